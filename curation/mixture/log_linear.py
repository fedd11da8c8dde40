"""The log-linear law: loss = exp(floor) + exp(slopes . weights), one floor and one slope per domain.

Source: Olmix (Allen Institute for AI, 2026), its release: form, robust loss and its width; Data Mixing Laws, Ye et al.,
arXiv:2403.16952 (the same form with a separate factor, which the sum of the weights absorbs). Starts are ours: for each floor
on a ladder the slopes follow from least squares on log(loss - floor), so that no random start is needed and the order of
domains does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LADDER = (0.01, 0.4, 0.7, 0.9, 0.98)
"""Floors to start from, as shares of the lowest loss."""


@dataclass(frozen=True)
class LogLinearFit:
    """floor: log of the loss that no mixture goes below. slopes [domains]: a lower one helps more."""

    floor: float
    slopes: np.ndarray

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return np.exp(self.floor) + np.exp(weights @ self.slopes)

    def spread(self, weights: np.ndarray) -> np.ndarray | None:
        return None

    def derivatives(self, at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Loss, gradient and Hessian at one mixture."""
        rise = float(np.exp(at @ self.slopes))
        return float(np.exp(self.floor)) + rise, rise * self.slopes, rise * np.outer(self.slopes, self.slopes)


@dataclass(frozen=True)
class LogLinear:
    """Fit by the Huber loss of width `delta` (unit of the losses) and L-BFGS from every start; the best is kept.

    penalty: L2 on the slopes around their mean, relative to one run; it settles domains that no run distinguishes.
    iterations: most of each start.
    """

    delta: float = 0.02
    penalty: float = 1e-6
    iterations: int = 300
    name: str = "log_linear"

    def least_runs(self, domains: int) -> int:
        return domains + 2

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> LogLinearFit:
        from scipy.optimize import minimize

        best = None
        for start in _starts(weights, losses):
            found = minimize(
                self._objective, start, args=(weights, losses), jac=True, method="L-BFGS-B",
                options={"maxiter": self.iterations, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-8},
            )  # fmt: skip
            if best is None or found.fun < best.fun:
                best = found
        assert best is not None
        return LogLinearFit(float(best.x[0]), best.x[1:])

    def _objective(self, at: np.ndarray, weights: np.ndarray, losses: np.ndarray) -> tuple[float, np.ndarray]:
        """Huber loss and its gradient. Exponents are held below 50: line searches may go anywhere."""
        base, rise = np.exp(min(at[0], 50.0)), np.exp(np.minimum(weights @ at[1:], 50.0))
        error = base + rise - losses
        pull = np.clip(error, -self.delta, self.delta)
        value = (pull * (error - pull / 2)).sum()
        around = at[1:] - at[1:].mean()
        gradient = np.concatenate([[pull.sum() * base], weights.T @ (pull * rise) + self.penalty * around])
        return float(value + self.penalty / 2 * around @ around), gradient


def _starts(weights: np.ndarray, losses: np.ndarray) -> list[np.ndarray]:
    """[floor, slopes] for every floor of the ladder."""
    least = losses.min()
    gram = weights.T @ weights + 1e-3 * len(losses) / weights.shape[1] * np.eye(weights.shape[1])
    starts = []
    for share in LADDER:
        floor = share * least
        logs = np.log(np.maximum(losses - floor, 1e-6))
        slopes = np.linalg.solve(gram, weights.T @ (logs - logs.mean())) + logs.mean()
        starts.append(np.concatenate([[np.log(max(floor, 1e-3))], slopes]))
    return starts
