"""Rounds: each is nearer to the best mixture, the same twice, resumed after a kill, and refused when it does not fit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from curation.errors import MixtureError
from curation.mixture.effective_data import EffectiveDataFit
from curation.mixture.problem import Problem, problem_of
from curation.mixture.rounds import Rounds, by_command, joined, sizes_of
from curation.mixture.run_table import RunTable
from curation.mixture.sampling import Sampling

TOKENS = {"web": 600, "code": 250, "books": 100, "maths": 50}
TRUTH = EffectiveDataFit(2.0, 0.3, 0.7, np.array([0.05, 0.1, 0.5, 1.0]))
MADE = Rounds((24, 12, 12), Sampling(minimum=0.001))


@pytest.fixture(autouse=True)
def few_regressions(monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.mixture import rounds
    from curation.mixture.regressors import named, select

    quick = named(["ridge", "effective_data"])
    monkeypatch.setattr(rounds, "select", lambda weights, losses, seed: select(weights, losses, quick, seed))


def train(proposed: RunTable, number: int) -> RunTable:
    noise = np.random.default_rng(number).normal(0, 0.003, len(proposed))
    return RunTable("runs", proposed.domains, ("maths",), proposed.weights, (TRUTH.predict(proposed.weights) + noise)[:, None])


def problem(**changed) -> Problem:
    return problem_of(TOKENS, **changed)


def test_later_rounds_are_nearer_to_the_best_mixture() -> None:
    table = MADE.run(problem(), train)
    losses = table.losses[:, 0]
    assert len(table) == 48
    assert losses[24:].mean() < losses[:24].mean() - 0.2 and losses[24:].min() <= losses[:24].min()
    assert np.array_equal(MADE.run(problem(), train).weights, table.weights)


def test_rounds_keep_caps_and_go_on_from_runs_that_are_there() -> None:
    given = problem(token_budget=1000, max_epochs=4.0)
    table = MADE.run(given, train)
    assert (table.weights <= given.upper + 1e-9).all()
    more = Rounds((10,), Sampling(minimum=0.001)).run(problem(table=table), train)
    assert len(more) == 58 and np.array_equal(more.weights[:48], table.weights)


SCRIPT = """
import sys
import numpy as np, polars as pl
from pathlib import Path
frame = pl.read_csv(sys.argv[1])
Path(sys.argv[3]).open("a").write("x")
weights = frame.select(pl.col("^weight_.*$")).to_numpy()
frame.with_columns(loss_maths=pl.Series(2 + np.exp(-weights @ np.array([0.0, 1.0, 2.0, 3.0])))).write_csv(sys.argv[2])
"""


def test_a_command_trains_and_a_finished_round_is_not_trained_again(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    command = f"{sys.executable} {tmp_path / 'train.py'} {{mixtures}} {{folder}}/runs.csv {tmp_path / 'calls'}"
    made = Rounds((12, 6), Sampling(minimum=0.001))
    first = made.run(problem(), by_command(command, tmp_path / "out"))
    assert (tmp_path / "calls").read_text() == "xx" and len(first) == 18
    (tmp_path / "out" / "round-1" / "runs.csv").unlink()  # killed in the second round
    again = made.run(problem(), by_command(command, tmp_path / "out"))
    assert (tmp_path / "calls").read_text() == "xxx" and np.array_equal(again.losses, first.losses)
    with pytest.raises(MixtureError, match="the mixtures of this round"):
        Rounds((12, 6), Sampling(minimum=0.001, seed=1)).run(problem(), by_command(command, tmp_path / "out"))


def test_commands_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MixtureError, match="{mixtures}, and {runs} or {folder}"):
        by_command("train {mixtures}", tmp_path)
    with pytest.raises(MixtureError, match="exit status 3"):
        MADE.run(problem(), by_command(f"{sys.executable} -c 'raise SystemExit(3)' {{mixtures}} {{runs}}", tmp_path / "a"))
    with pytest.raises(MixtureError, match="no such file afterwards"):
        MADE.run(problem(), by_command(f"{sys.executable} -c '' {{mixtures}} {{runs}}", tmp_path / "b"))


def test_tables_of_other_targets_are_not_joined() -> None:
    first = train(MADE.proposals(problem(), 0, None), 0)
    other = RunTable("other", first.domains, ("web",), first.weights, first.losses)
    with pytest.raises(MixtureError, match="tables to join"):
        joined(first, other)


def test_sizes_are_numbers() -> None:
    assert sizes_of("64,32, 16") == (64, 32, 16)
    for wrong in ("64;32", "", "a"):
        with pytest.raises(MixtureError, match="--sizes"):
            sizes_of(wrong)
    with pytest.raises(MixtureError, match="rounds: sizes"):
        Rounds((0,))
    with pytest.raises(MixtureError, match="explored"):
        Rounds(explored=2)
