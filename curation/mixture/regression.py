"""Regressions of a loss on mixture weights: what they share, the two linear ones, cross-validation and the noise floor.

A regressor is a small frozen value; `fit` gives a `Fitted` that predicts. All take weights as they are stored, and none needs
more than numpy and scipy but boosted_trees.

Source: RegMix, Liu et al., arXiv:2407.01492 (linear baseline); the textbook forms of least squares and k-fold cross-validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.run_table import RunTable

RIDGES = tuple(float(10.0**power) for power in np.arange(-8.0, 2.1, 0.5))
"""Penalties that ridge chooses from, relative to the number of runs."""


class Fitted(Protocol):
    """A fitted regression."""

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """Expected losses [rows] of mixtures [rows, domains]."""
        ...

    def spread(self, weights: np.ndarray) -> np.ndarray | None:
        """Standard deviations [rows] of the predictions, None when the form knows none."""
        ...


class Regressor(Protocol):
    """A form of regression with its settings."""

    @property
    def name(self) -> str:
        """As in reports and on the command line."""
        ...

    def least_runs(self, domains: int) -> int:
        """How many runs a fit needs to say anything."""
        ...

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Fitted:
        """Fit losses [runs] on weights [runs, domains]."""
        ...


@dataclass(frozen=True)
class Affine:
    """loss = intercept + weights . slopes; without an uncertainty of its own."""

    intercept: float
    slopes: np.ndarray

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return self.intercept + weights @ self.slopes

    def spread(self, weights: np.ndarray) -> np.ndarray | None:
        return None


@dataclass(frozen=True)
class Linear:
    """Ordinary least squares; the solution of least norm, since weights that sum to one leave one direction open."""

    name: str = "linear"

    def least_runs(self, domains: int) -> int:
        return domains + 1

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Affine:
        centre, mean = weights.mean(axis=0), losses.mean()
        slopes = np.linalg.lstsq(weights - centre, losses - mean, rcond=1e-10)[0]
        return Affine(float(mean - centre @ slopes), slopes)


@dataclass(frozen=True)
class Ridge:
    """Least squares with an L2 penalty on the slopes, of the size in `penalties` (relative to the number of runs) that
    leave-one-out likes best; computed in closed form from one singular value decomposition."""

    penalties: tuple[float, ...] = RIDGES
    name: str = "ridge"

    def least_runs(self, domains: int) -> int:
        return 4

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Affine:
        centre, mean = weights.mean(axis=0), losses.mean()
        left, sizes, right = np.linalg.svd(weights - centre, full_matrices=False)
        along = left.T @ (losses - mean)
        best: tuple[float, np.ndarray] | None = None
        for penalty in self.penalties:
            shrunk = sizes**2 / (sizes**2 + penalty * len(losses))
            leverage = (left**2) @ shrunk + 1 / len(losses)
            error = float(np.mean(((losses - mean - left @ (shrunk * along)) / np.maximum(1 - leverage, 1e-9)) ** 2))
            if best is None or error < best[0]:
                best = error, right.T @ (along * sizes / (sizes**2 + penalty * len(losses)))
        assert best is not None
        return Affine(float(mean - centre @ best[1]), best[1])


@dataclass(frozen=True)
class Score:
    """How a regressor did on runs it had not seen: `spearman` (-1 to 1, NaN for constant predictions), `rmse` and `mae` in
    the unit of the losses. `predicted`: its predictions [runs]."""

    name: str
    spearman: float
    rmse: float
    mae: float
    predicted: np.ndarray


@dataclass(frozen=True)
class NoiseFloor:
    """What runs of the same mixture differ by: `std` in the unit of the losses, over `repeats` runs of `mixtures` repeated
    mixtures. No regression can do better."""

    std: float
    mixtures: int
    repeats: int


def score(name: str, predicted: np.ndarray, losses: np.ndarray) -> Score:
    """Hold predictions against losses."""
    error = predicted - losses
    return Score(name, spearman(predicted, losses), float(np.sqrt(np.mean(error**2))), float(np.abs(error).mean()), predicted)


def spearman(left: np.ndarray, right: np.ndarray) -> float:
    """Rank correlation, ties at their middle rank; NaN when one side is constant."""
    a, b = (pl.Series(np.asarray(v, dtype=np.float64)).rank("average").to_numpy() for v in (left, right))
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else float("nan")


def require_runs(table: RunTable, regressor: Regressor) -> None:
    """Raise MixtureError when a table has fewer runs than a regressor needs."""
    table.require(regressor.least_runs(len(table.domains)), f"the {regressor.name} regression of {len(table.domains)} domains")


def folds_of(weights: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold [runs] of each run: at random, of equal size, repeats of a mixture together so that none is seen in training."""
    _, group = np.unique(weights, axis=0, return_inverse=True)
    first = np.sort(np.unique(group, return_index=True)[1])  # groups in order of rows: the order of domains must not matter
    order = {int(group[row]): i for i, row in enumerate(first)}
    place = np.random.default_rng(seed).permutation(len(first)) % folds
    return np.array([place[order[int(g)]] for g in group])


def cross_validate(
    weights: np.ndarray, losses: np.ndarray, regressors: Sequence[Regressor], *, folds: int = 10, seed: int = 0
) -> list[Score]:
    """Predict every run from the other folds, with every regressor. One that has too few runs in a fold scores NaN.

    Raises MixtureError when there are fewer than four runs.
    """
    folds = min(folds, len(losses))
    if folds < 2 or len(losses) < 4:
        raise MixtureError(explain_mismatch("cross-validation", wanted="at least 4 runs", found=len(losses)))
    fold = folds_of(weights, folds, seed)
    scores = []
    for regressor in regressors:
        predicted = np.full(len(losses), np.nan)
        for number in np.unique(fold):
            inside = fold != number
            if inside.sum() >= regressor.least_runs(weights.shape[1]):
                predicted[~inside] = regressor.fit(weights[inside], losses[inside]).predict(weights[~inside])
        known = np.isfinite(predicted).all()
        nan = float("nan")
        scores.append(score(regressor.name, predicted, losses) if known else Score(regressor.name, nan, nan, nan, predicted))
    return scores


def choose(scores: Sequence[Score]) -> Score:
    """The score of least squared error, among those that are numbers and rank at all. Raises MixtureError when none is."""
    usable = [s for s in scores if np.isfinite(s.rmse) and np.isfinite(s.spearman)]
    if not usable:
        hint = "train more mixtures: `curation mix propose`"
        names = ", ".join(s.name for s in scores)
        raise MixtureError(explain_mismatch("regressions", wanted="one that predicts", found=f"none of {names}", hint=hint))
    return min(usable, key=lambda s: s.rmse)


def noise_floor(weights: np.ndarray, losses: np.ndarray) -> NoiseFloor | None:
    """Pooled standard deviation among runs of equal mixtures; None when no mixture was run twice."""
    _, group, counts = np.unique(weights, axis=0, return_inverse=True, return_counts=True)
    freedom = int((counts - 1).sum())
    if freedom == 0:
        return None
    means = np.bincount(group, losses) / counts
    return NoiseFloor(
        float(np.sqrt(((losses - means[group]) ** 2).sum() / freedom)), int((counts > 1).sum()), int(counts[counts > 1].sum())
    )


def report_scores(scores: Sequence[Score], chosen: str = "", floor: NoiseFloor | None = None) -> str:
    """The scores as a Markdown table, the chosen one marked."""
    lines = ["| regression | Spearman x100 | RMSE | MAE |", "|---|---|---|---|"]
    for s in scores:
        mark = " (chosen)" if s.name == chosen else ""
        rank = f"{100 * s.spearman:.2f}" if np.isfinite(s.spearman) else "constant" if np.isfinite(s.rmse) else "too few runs"
        lines.append(f"| {s.name}{mark} | {rank} | {s.rmse:.5f} | {s.mae:.5f} |")
    if floor:
        lines.append(f"\nnoise floor {floor.std:.5f}, from {floor.repeats} runs of {floor.mixtures} repeated mixtures")
    return "\n".join(lines)
