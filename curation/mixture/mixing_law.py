"""Data mixing laws: losses as exponentials of the weights, and as powers of steps and sizes, nested to reach a large run.

Source: Ye et al., Data Mixing Laws, arXiv:2403.16952: forms, widths of the robust loss (0.05 for mixtures, 0.02 for steps).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.artefact import Mixture
from curation.mixture.convex import solve_laws
from curation.mixture.log_linear import LogLinear
from curation.mixture.problem import Problem


@dataclass(frozen=True)
class MixingLaw:
    """The exponential law per target, minimised without a pull; caps on epochs hold. law: settings of the fit."""

    law: LogLinear = field(default_factory=lambda: LogLinear(delta=0.05))
    name: str = "mixing_law"

    def solve(self, problem: Problem) -> Mixture:
        return solve_laws(self, problem, (self.law,), 0.0)


@dataclass(frozen=True)
class PowerLaw:
    """loss = floor + factor * x ** -power: in steps, tokens or parameters."""

    floor: float
    factor: float
    power: float

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.floor + self.factor * np.asarray(x, dtype=np.float64) ** -self.power


def fit_power_laws(x: np.ndarray, losses: np.ndarray, delta: float = 0.02) -> list[PowerLaw]:
    """Power laws of several runs with one common power: `losses` [runs, points] at `x` [points], robust of width `delta`.

    One power for all, because few points of one run leave it open. For a given power each run is a line in x ** -power, so
    the power is all that is searched. Raises MixtureError for fewer than three points or x that is not above 0.
    """
    from scipy.optimize import minimize_scalar

    x, losses = np.asarray(x, dtype=np.float64), np.atleast_2d(losses)
    if len(x) < 3 or not (x > 0).all() or losses.shape[1] != len(x):
        found = f"{len(x)} points, losses of shape {losses.shape}"
        raise MixtureError(explain_mismatch("power laws", wanted="at least 3 points above 0, a loss at each", found=found))

    def lines(power: float) -> tuple[float, list[tuple[float, float]]]:
        parts = [_robust_line((x / x[-1]) ** -power, row, delta) for row in losses]
        return sum(error for error, _, _ in parts), [(floor, factor) for _, floor, factor in parts]

    grid = np.geomspace(0.02, 3.0, 40)
    errors = [lines(power)[0] for power in grid]
    at = int(np.argmin(errors))
    low, high = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    power = float(minimize_scalar(lambda p: lines(p)[0], bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x)
    return [PowerLaw(floor, factor * float(x[-1]) ** power, power) for floor, factor in lines(power)[1]]


def _robust_line(at: np.ndarray, losses: np.ndarray, delta: float) -> tuple[float, float, float]:
    """Huber error, intercept and slope (neither negative) of a line, by iteratively reweighted least squares."""
    weight = np.ones(len(at))
    floor = factor = 0.0
    for _ in range(30):
        total = weight.sum()
        mean, level = (weight @ at) / total, (weight @ losses) / total
        spread = weight @ (at - mean) ** 2
        factor = max(0.0, float(weight @ ((at - mean) * (losses - level)) / spread)) if spread > 0 else 0.0
        floor = float(level - factor * mean)
        if floor < 0:
            floor, factor = 0.0, max(0.0, float((weight @ (at * losses)) / (weight @ at**2)))
        error = np.abs(losses - floor - factor * at)
        weight = np.minimum(1.0, delta / np.maximum(error, 1e-12))
    pull = np.minimum(error, delta)
    return float((pull * (error - pull / 2)).sum()), floor, factor
