"""Mixtures to train proxies on: drawn around the natural shares, from nearly one domain to nearly the prior.

A mixture is drawn from Dirichlet(strength * tempered prior) with the strength drawn from a logarithmic ladder: low strengths
give nearly pure mixtures, high ones the tempered prior itself. Mixtures that use a domain beyond its bound are thrown away,
shares below `minimum` become 0 and the rest are rounded to multiples of it.

Source: RegMix, Liu et al., arXiv:2407.01492, and its released sampler (constants). Ours differs in three points: every row
sums to one exactly on the grid (the release's to 0.996-1.003), bounds hold after rounding, and drawing goes on until `count`
different mixtures are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.run_table import RunTable

BATCH = 4096
MOST_BATCHES = 500
"""Two million draws; a space that yields too few mixtures by then is practically empty."""


@dataclass(frozen=True)
class Sampling:
    """How mixtures are drawn.

    temperature: power of the natural shares that makes the prior, 0 (uniform) to 1 (natural). min_strength, max_strength,
    strengths: ends and steps of the logarithmic ladder of Dirichlet strengths. max_usage: no domain above this many times its
    natural share; None sets no such bound. minimum: smallest share but 0, and the grid; about 100 sequences of a proxy's
    training set are enough to be felt, so 100 / sequences. seed: of the draws.

    Raises MixtureError for values out of range.
    """

    temperature: float = 0.5
    min_strength: float = 0.1
    max_strength: float = 5.0
    strengths: int = 15
    max_usage: float | None = 15.0
    minimum: float = 2e-4
    seed: int = 42

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 1:
            raise MixtureError(explain_mismatch("temperature", wanted="0 to 1", found=self.temperature))
        if not 0 < self.min_strength <= self.max_strength < np.inf:
            found = f"{self.min_strength} to {self.max_strength}"
            raise MixtureError(explain_mismatch("strengths", wanted="0 < min_strength <= max_strength", found=found))
        if self.strengths < 1:
            raise MixtureError(explain_mismatch("strengths", wanted="1 or more", found=self.strengths))
        if self.max_usage is not None and not self.max_usage >= 1:
            raise MixtureError(explain_mismatch("max_usage", wanted="1 or more, or null", found=self.max_usage))
        if not 1e-7 <= self.minimum <= 0.5:
            raise MixtureError(explain_mismatch("minimum", wanted="0.0000001 to 0.5", found=self.minimum))

    @property
    def units(self) -> int:
        """Steps of the grid from 0 to 1."""
        return round(1 / self.minimum)

    @property
    def ladder(self) -> np.ndarray:
        """The Dirichlet strengths, float64 [strengths]."""
        return np.logspace(np.log10(self.min_strength), np.log10(self.max_strength), self.strengths)


def tempered(shares: np.ndarray, temperature: float) -> np.ndarray:
    """Shares to a power, summing to one; a domain of share 0 keeps 0."""
    powers = np.where(shares > 0, np.power(np.maximum(shares, 1e-300), temperature), 0.0)
    return powers / powers.sum()


def epoch_bounds(available: np.ndarray, token_budget: int, epochs: float | np.ndarray) -> np.ndarray:
    """Largest share [domains] that a training run of `token_budget` tokens may take without reading a domain more than `epochs`
    times."""
    return np.minimum(1.0, np.asarray(available, dtype=np.float64) * epochs / token_budget)


def propose(natural: np.ndarray, count: int, sampling: Sampling = Sampling(), upper: np.ndarray | None = None) -> np.ndarray:
    """Different mixtures float64 [count, domains] on the grid of `sampling`, the same for the same arguments.

    natural: shares [domains] that sum to one, the centre of the draws. upper: largest share of each domain (`epoch_bounds`),
    beside what max_usage allows. Raises MixtureError when the bounds leave no room, or too few different mixtures.
    """
    natural = np.asarray(natural, dtype=np.float64)
    most = _bounds(natural, sampling, upper)
    random = np.random.default_rng(sampling.seed)
    prior = tempered(natural, sampling.temperature)
    seen: dict[bytes, np.ndarray] = {}
    for _ in range(MOST_BATCHES):
        drawn = on_grid(_draw(prior, sampling.ladder, random), sampling.units)
        for row in drawn[(drawn <= most).all(axis=1)]:
            seen.setdefault(row.tobytes(), row)
            if len(seen) == count:
                return np.stack(list(seen.values())) / sampling.units
    raise MixtureError(
        explain_mismatch(
            "mixtures within the bounds", wanted=f"{count} different ones",
            found=f"{len(seen)} in {BATCH * MOST_BATCHES:,} draws",
            hint="ask for fewer, raise max_usage or the epochs, or lower minimum",
        )
    )  # fmt: skip


def proposals(
    domains: Sequence[str], natural: np.ndarray, count: int, sampling: Sampling = Sampling(), upper: np.ndarray | None = None,
    *, natural_runs: int = 0,
) -> RunTable:  # fmt: skip
    """Mixtures to train, as a run table without losses: `natural_runs` of the natural shares (their spread is the noise of a
    run), then `count` different ones."""
    rows = propose(natural, count, sampling, upper)
    first = np.repeat(on_grid(np.asarray(natural)[None], sampling.units) / sampling.units, natural_runs, axis=0)
    rows = np.concatenate([first, rows])
    return RunTable("proposals", tuple(domains), (), rows, np.zeros((len(rows), 0)))


def on_grid(shares: np.ndarray, units: int) -> np.ndarray:
    """Rows of shares as whole units int64 [rows, domains] that sum to `units`; shares below one unit become 0, unless all are.

    The units that rounding down leaves go to the largest remainders, so no share moves by more than one unit.
    """
    kept = np.where((shares * units < 1) & (shares * units >= 1).any(axis=1, keepdims=True), 0.0, shares)
    exact = kept / kept.sum(axis=1, keepdims=True) * units
    whole = np.floor(exact + 1e-9)
    left = (units - whole.sum(axis=1)).astype(np.int64)
    order = np.argsort(-np.where(kept > 0, exact - whole, -1.0), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    return whole.astype(np.int64) + (rank < left[:, None])


def _draw(prior: np.ndarray, ladder: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """BATCH mixtures, each of a strength of its own."""
    steps = random.integers(len(ladder), size=BATCH)
    rows = np.zeros((BATCH, len(prior)))
    present = np.flatnonzero(prior > 0)
    for step, strength in enumerate(ladder):
        which = np.flatnonzero(steps == step)
        rows[np.ix_(which, present)] = random.dirichlet(strength * prior[present], size=len(which))
    return rows


def _bounds(natural: np.ndarray, sampling: Sampling, upper: np.ndarray | None) -> np.ndarray:
    """Largest number of units of each domain."""
    if natural.ndim != 1 or not (natural >= 0).all() or abs(natural.sum() - 1) > 1e-6:
        raise MixtureError(
            explain_mismatch("natural shares", wanted="numbers that sum to 1", found=f"a sum of {natural.sum():.6g}")
        )
    most = np.ones(len(natural)) if upper is None else np.minimum(1.0, upper)
    if sampling.max_usage is not None:
        most = np.minimum(most, natural * sampling.max_usage)
    most = np.where(natural > 0, most, 0.0)
    if most.sum() < 1:
        hint = "raise the epochs or max_usage, or lower the token budget"
        found = f"at most {most.sum():.4g} of the training run"
        raise MixtureError(explain_mismatch("bounds of the domains", wanted="room for a whole run", found=found, hint=hint))
    return np.floor(most * sampling.units + 1e-9).astype(np.int64)
