"""The effective-data law: loss = floor + data ** -decay with data = sum of value_d * weight_d ** returns.

A proxy learns a target from whatever its domains are worth to it: `value` tokens of use in each token of a domain, with
diminishing returns inside a domain, and the loss falls as a power of the sum. It is convex in the weights (data is concave in
them, a falling power of it convex), so the best mixture can be solved for exactly. Every value is positive: a domain may be
useless, not harmful, other than by taking the place of others.

Source: ours; its parts are the scaling law in data (Kaplan et al., arXiv:2001.08361) and the effective data of transfer
(Hernandez et al., arXiv:2102.01293).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST = 1e-12
"""Stands for a share of nothing where a logarithm is taken."""


@dataclass(frozen=True)
class EffectiveDataFit:
    """floor: loss with endless data. decay > 0. returns: 0 to 1. values [domains], positive, in the unit that makes data of 1
    cost one unit of loss."""

    floor: float
    decay: float
    returns: float
    values: np.ndarray

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return self.floor + (_powers(weights, self.returns) @ self.values + LEAST) ** -self.decay

    def spread(self, weights: np.ndarray) -> np.ndarray | None:
        return None

    def derivatives(self, at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Loss, gradient and Hessian at one mixture of positive weights."""
        powers = self.values * at**self.returns
        data = powers.sum() + LEAST
        rise = self.returns * powers / at
        loss = data**-self.decay
        slope = -self.decay * loss / data
        bend = -(self.decay + 1) * slope / data
        hessian = bend * np.outer(rise, rise) + np.diag(slope * (self.returns - 1) * rise / at)
        return self.floor + loss, slope * rise, hessian


@dataclass(frozen=True)
class EffectiveData:
    """Fit by the Huber loss of width `delta` (unit of the losses) and L-BFGS from each of `starts`: floor as a share of the
    lowest loss, and decay; the best is kept. penalty: L2 on the logs of the values around their mean, relative to one run; with
    few runs it keeps domains alike until the runs tell them apart."""

    delta: float = 0.1
    penalty: float = 0.01
    starts: tuple[tuple[float, float], ...] = ((0.5, 0.1), (0.8, 0.2), (0.95, 0.4))
    iterations: int = 500
    name: str = "effective_data"

    def least_runs(self, domains: int) -> int:
        return max(8, domains // 2)

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> EffectiveDataFit:
        from scipy.optimize import minimize

        logs = np.log(np.maximum(weights, LEAST))
        domains = weights.shape[1]
        bounds = [(-8.0, 3.0), (-5.0, 1.5), (-3.0, 6.0)] + [(-40.0, 40.0)] * domains
        scale = float(losses.min())
        best = None
        for share, decay in self.starts:
            value = np.log(max(losses.mean() / scale - share, 1e-6)) / -decay
            start = np.concatenate([[np.log(share), np.log(decay), 1.0], np.full(domains, np.clip(value, -39, 39))])
            found = minimize(
                self._objective, start, args=(logs, weights > 0, losses / scale, self.delta / scale), jac=True,
                method="L-BFGS-B", bounds=bounds, options={"maxiter": self.iterations, "ftol": 1e-10},
            )  # fmt: skip
            if best is None or found.fun < best.fun:
                best = found
        assert best is not None
        floor, decay = np.exp(best.x[:2])
        values = np.exp(best.x[3:] - np.log(scale) / decay)  # back from the lowest loss as the unit
        return EffectiveDataFit(float(floor * scale), float(decay), float(1 / (1 + np.exp(-best.x[2]))), values)

    def _objective(
        self, at: np.ndarray, logs: np.ndarray, present: np.ndarray, losses: np.ndarray, delta: float
    ) -> tuple[float, np.ndarray]:
        """Huber loss over its width, and its gradient, for [log floor, log decay, logit returns, log values...]."""
        floor, decay = np.exp(at[:2])
        returns = 1 / (1 + np.exp(-at[2]))
        values = np.exp(at[3:])
        powers = np.where(present, np.exp(returns * logs), 0.0)
        data = powers @ values + LEAST
        loss = data**-decay
        error = floor + loss - losses
        pull = np.clip(error, -delta, delta) / delta
        around = at[3:] - at[3:].mean()
        value = (pull * (error - delta * pull / 2)).sum() + self.penalty / 2 * around @ around
        slope = -decay * loss / data * pull
        gradient = np.concatenate([
            [
                pull.sum() * floor,
                -decay * (pull * loss * np.log(data)).sum(),
                returns * (1 - returns) * (slope * ((powers * logs) @ values)).sum(),
            ],
            (powers.T @ slope) * values + self.penalty * around,
        ])  # fmt: skip
        return float(value), gradient


def _powers(weights: np.ndarray, returns: float) -> np.ndarray:
    return np.where(weights > 0, np.maximum(weights, LEAST) ** returns, 0.0)
