"""A Gaussian process on the square roots of the weights, with a length scale for every domain.

Square roots put mixtures on a sphere where a step from 0 to 0.01 counts as much as one from 0.36 to 0.49, as it nearly does
for losses; on plain weights the process learns nothing.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), chapters 2 and 5: marginal likelihood and its
gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

JITTER = 1e-8


@dataclass(frozen=True)
class GaussianProcessFit:
    """places [runs, domains]: roots of the weights seen, over their length scales. `mean` and `scale` undo the standardising
    of losses."""

    mean: float
    scale: float
    amplitude: float
    noise: float
    linear: float
    lengths: np.ndarray
    roots: np.ndarray
    factor: np.ndarray
    alpha: np.ndarray

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return self.mean + self.scale * (self._cross(weights) @ self.alpha)

    def spread(self, weights: np.ndarray) -> np.ndarray | None:
        """Standard deviation of the expected loss, without the noise of a single run."""
        from scipy.linalg import solve_triangular

        cross = self._cross(weights)
        explained = (solve_triangular(self.factor, cross.T, lower=True) ** 2).sum(axis=0)
        roots = np.sqrt(np.maximum(weights, 0))
        own = self.amplitude + self.linear * (roots**2).sum(axis=1)
        return self.scale * np.sqrt(np.maximum(own - explained, 0))

    def _cross(self, weights: np.ndarray) -> np.ndarray:
        roots = np.sqrt(np.maximum(weights, 0))
        return self.amplitude * np.exp(-0.5 * _distances(roots / self.lengths, self.roots / self.lengths)) + self.linear * (
            roots @ self.roots.T
        )


@dataclass(frozen=True)
class GaussianProcess:
    """Squared-exponential kernel with one length per domain, plus a linear kernel and noise; all learned by the marginal
    likelihood from each of `starts` (initial lengths). prior: strength of the log-normal prior on lengths, which keeps few
    runs from being overfitted by domains that tell nothing. iterations: most of each start."""

    starts: tuple[float, ...] = (0.5, 1.5)
    prior: float = 1.0
    iterations: int = 200
    name: str = "gaussian_process"

    def least_runs(self, domains: int) -> int:
        return 8

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> GaussianProcessFit:
        from scipy.optimize import minimize

        roots = np.sqrt(np.maximum(weights, 0))
        mean, scale = float(losses.mean()), float(losses.std()) or 1.0
        values = (losses - mean) / scale
        domains = weights.shape[1]
        squares = np.stack([(roots[:, [d]] - roots[:, d]) ** 2 for d in range(domains)])
        inner = roots @ roots.T
        bounds = [(-7.0, 7.0), (-14.0, 1.0), (-7.0, 7.0)] + [(-4.0, 6.0)] * domains
        best = None
        for start in self.starts:
            first = np.concatenate([[0.0, -4.0, -1.0], np.full(domains, np.log(start))])
            found = minimize(
                self._objective, first, args=(squares, inner, values), jac=True, method="L-BFGS-B", bounds=bounds,
                options={"maxiter": self.iterations, "ftol": 1e-9},
            )  # fmt: skip
            if best is None or found.fun < best.fun:
                best = found
        assert best is not None
        return self._fitted(best.x, roots, inner, values, mean, scale)

    def _objective(
        self, at: np.ndarray, squares: np.ndarray, inner: np.ndarray, values: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Negative log marginal likelihood (and prior) of the logs of [amplitude, noise, linear, lengths...]; its gradient."""
        from scipy.linalg import cho_solve, cholesky

        amplitude, noise, linear = np.exp(at[:3])
        inverse = np.exp(-2 * at[3:])
        radial = amplitude * np.exp(-0.5 * np.tensordot(inverse, squares, axes=1))
        kernel = radial + linear * inner
        kernel[np.diag_indices_from(kernel)] += noise + JITTER
        factor = cholesky(kernel, lower=True)
        alpha = cho_solve((factor, True), values)
        value = 0.5 * values @ alpha + np.log(np.diag(factor)).sum()
        outer = cho_solve((factor, True), np.eye(len(values))) - np.outer(alpha, alpha)
        weighted = outer * radial
        lengths = 0.5 * np.einsum("dij,ij->d", squares, weighted) * inverse
        gradient = np.concatenate(
            [[0.5 * weighted.sum(), 0.5 * noise * np.trace(outer), 0.5 * linear * (outer * inner).sum()], lengths]
        )
        value += 0.5 * self.prior * at[3:] @ at[3:]  # lengths around 1: roots of shares are at most 1.4 apart
        gradient[3:] += self.prior * at[3:]
        return float(value), gradient

    def _fitted(self, at, roots, inner, values, mean: float, scale: float) -> GaussianProcessFit:
        from scipy.linalg import cho_solve, cholesky

        amplitude, noise, linear = (float(v) for v in np.exp(at[:3]))
        lengths = np.exp(at[3:])
        kernel = amplitude * np.exp(-0.5 * _distances(roots / lengths, roots / lengths)) + linear * inner
        kernel[np.diag_indices_from(kernel)] += noise + JITTER
        factor = cholesky(kernel, lower=True)
        return GaussianProcessFit(
            mean, scale, amplitude, noise, linear, lengths, roots, factor, cho_solve((factor, True), values)
        )


def _distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Squared distances [left, right]."""
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    return np.maximum(squares, 0)
