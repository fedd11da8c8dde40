"""Rounds of proposing, training and fitting: each round draws its mixtures where the last fit expects low losses.

Source: CLIMB, Diao et al., arXiv:2504.13161, in outline (64, 32 and 16 mixtures, a predictor between them); how mixtures are
drawn near the best is ours.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.problem import Problem
from curation.mixture.regressors import select
from curation.mixture.run_table import RunTable, read, write
from curation.mixture.sampling import Sampling, proposals, propose
from curation.mixture.search import simulate

Train = Callable[[RunTable, int], RunTable]
"""Trains the proposed mixtures of a round (0, 1, ...) and returns the same rows with losses."""


@dataclass(frozen=True)
class Rounds:
    """sizes: mixtures of each round. sampling: of the first. near: weakest and strongest Dirichlet around the best mixture in
    later rounds. candidates: mixtures drawn for each that is kept; the lowest predicted are. explored: share of a later round
    that is drawn there but not chosen by prediction, against a fit that fools itself."""

    sizes: tuple[int, ...] = (64, 32, 16)
    sampling: Sampling = Sampling()
    near: tuple[float, float] = (10.0, 100.0)
    candidates: int = 20
    explored: float = 0.25

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise MixtureError(explain_mismatch("rounds: sizes", wanted="numbers of 1 or more", found=self.sizes))
        if not 0 <= self.explored <= 1 or self.candidates < 1:
            found = f"{self.explored}, {self.candidates}"
            raise MixtureError(explain_mismatch("rounds", wanted="explored from 0 to 1, candidates of 1 or more", found=found))

    def run(self, problem: Problem, train: Train) -> RunTable:
        """All runs of all rounds, those of `problem.table` first. The same problem and losses give the same proposals."""
        done = problem.table
        for number in range(len(self.sizes)):
            trained = train(self.proposals(problem, number, done), number).ordered(problem.domains)
            done = trained if done is None else joined(done, trained)
        assert done is not None
        return done

    def proposals(self, problem: Problem, number: int, done: RunTable | None) -> RunTable:
        """The mixtures of round `number`, after the runs `done`."""
        count = self.sizes[number]
        sampling = replace(self.sampling, seed=self.sampling.seed + number)
        if done is None:
            return proposals(problem.domains, problem.natural, count, sampling, problem.upper)
        losses = replace(problem, table=done).objective()
        fitted = select(done.weights, losses, seed=problem.seed).fitted
        centre = simulate(fitted.predict, problem.natural, problem.upper, simulated=20_000, seed=problem.seed)
        centre = 0.99 * centre + 0.01 * problem.natural  # a domain that the fit dismissed may come back
        around = replace(
            sampling, temperature=1.0, min_strength=self.near[0], max_strength=self.near[1], max_usage=None
        )  # fmt: skip
        drawn = propose(centre, count * self.candidates, around, problem.upper)
        explored = round(count * self.explored)
        rest = drawn[explored:]
        best = rest[np.argsort(fitted.predict(rest), kind="stable")[: count - explored]]
        rows = np.concatenate([drawn[:explored], best])
        return RunTable(f"round {number}", problem.domains, (), rows, np.zeros((count, 0)))


def joined(first: RunTable, second: RunTable) -> RunTable:
    """Two tables of the same domains and targets as one. Raises MixtureError when they differ."""
    if first.targets != second.targets:
        found = ", ".join(second.targets)
        raise MixtureError(explain_mismatch("tables to join", wanted=", ".join(first.targets), found=found))
    second = second.ordered(first.domains)
    both = [name for name in first.extra if name in second.extra]
    return RunTable(
        first.name, first.domains, first.targets, np.concatenate([first.weights, second.weights]),
        np.concatenate([first.losses, second.losses]), (*first.runs, *second.runs),
        extra={name: np.concatenate([first.extra[name], second.extra[name]]) for name in both},
    )  # fmt: skip


def by_command(command: str, out: Path) -> Train:
    """Training by a command. Round N has a folder of its own, `out`/round-N; the command reads proposed mixtures from the file
    {mixtures} in it and writes a run table to {runs}, or as runs.csv into {folder}. A round whose run table is there is not
    trained again.

    Raises MixtureError when the command lacks a place or fails, and when a finished round was of other mixtures.
    """
    words = shlex.split(command)
    if "{mixtures}" not in command or ("{runs}" not in command and "{folder}" not in command):
        wanted = "a command with {mixtures}, and {runs} or {folder}"
        raise MixtureError(explain_mismatch("--train", wanted=wanted, found=command))

    def train(proposed: RunTable, number: int) -> RunTable:
        folder = out / f"round-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        places = {"{mixtures}": folder / "mixtures.csv", "{runs}": folder / "runs.csv", "{folder}": folder}
        runs = places["{runs}"]
        write(proposed, places["{mixtures}"])
        if not runs.exists():
            filled = list(words)
            for place, path in places.items():
                filled = [word.replace(place, str(path)) for word in filled]
            status = subprocess.run(filled, check=False).returncode
            if status or not runs.exists():
                found = f"exit status {status}" if status else "no such file afterwards"
                raise MixtureError(explain_mismatch(shlex.join(filled), wanted=f"a run table {runs.name}", found=found))
        trained = read(str(runs)).ordered(proposed.domains)
        _same_mixtures(proposed, trained, f"round-{number}/{runs.name}")
        return trained

    return train


def _same_mixtures(proposed: RunTable, trained: RunTable, name: str) -> None:
    """Every run trained must be of a mixture proposed; a trainer may leave out runs that diverged."""
    apart = np.abs(trained.weights[:, None] - proposed.weights).max(axis=2).min(axis=1)
    if len(trained) > len(proposed) or apart.max() > 1e-6:
        hint = "start in a fresh folder, or give the settings that the round was made with"
        raise MixtureError(explain_mismatch(name, wanted="the mixtures of this round", found="others", hint=hint))


def sizes_of(text: str) -> tuple[int, ...]:
    """`64,32,16` as numbers. Raises MixtureError."""
    parts: Sequence[str] = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise MixtureError(explain_mismatch("--sizes", wanted="numbers such as 64,32,16", found=repr(text)))
    return tuple(int(part) for part in parts)
