"""Laws of continued pre-training on a general corpus and one domain: losses by ratio, tokens and size.

The critical mixture ratio (CMR) is the largest share of the domain at which the general loss does not end more than a tolerance
above its start. D-CPT models one loss whole, so that any question about ratio, tokens and size can be asked of it.

Source: CMR, Gu et al., arXiv:2407.17467 (forms; fitted constants in published.py); D-CPT, Que et al., arXiv:2406.01375 (its
form L3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curation.errors import MixtureError, explain_mismatch

POWERS = np.array([-1.0, -0.7, -0.5, -0.35, -0.2, -0.1, 0.1, 0.2, 0.35, 0.5, 0.7])
"""Exponents of the pairs of power terms that a curve over tokens is made of."""


@dataclass(frozen=True)
class RatioCurve:
    """factor * x ** power + offset: the CMR over tokens, or a loss over the ratio."""

    factor: float
    power: float
    offset: float

    def __call__(self, x: float | np.ndarray) -> np.ndarray:
        return self.factor * np.asarray(x, dtype=np.float64) ** self.power + self.offset

    def ratio(self, tokens: float) -> float | None:
        """The CMR at a token budget, at most 1; None where the curve gives none above 0."""
        found = float(self(tokens))
        return min(found, 1.0) if found > 0 else None


def fit_curve(x: np.ndarray, y: np.ndarray) -> RatioCurve:
    """The curve of least squares through points with x above 0: a line for every power, and the best power.

    Raises MixtureError for fewer than three points.
    """
    from scipy.optimize import minimize_scalar

    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(x) < 3 or not (x > 0).all():
        hint = "train at more ratios or keep more checkpoints"
        raise MixtureError(explain_mismatch("a curve", wanted="at least 3 points above 0", found=len(x), hint=hint))
    unit = float(np.exp(np.log(x).mean()))

    def line(power: float) -> tuple[float, np.ndarray]:
        # (x ** power - 1) / power goes on into log(x) at power 0, so the search meets no wall there.
        at = np.expm1(power * np.log(x / unit)) / power if abs(power) > 1e-9 else np.log(x / unit)
        basis = np.stack([at, np.ones(len(x))], axis=1)
        found = np.linalg.lstsq(basis, y, rcond=None)[0]
        return float(((basis @ found - y) ** 2).sum()), found

    grid = np.linspace(-3, 3, 61)
    best = int(np.argmin([line(p)[0] for p in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, 60)]
    power = float(minimize_scalar(lambda p: line(p)[0], bounds=(low, high), method="bounded", options={"xatol": 1e-7}).x)
    power = power if abs(power) > 1e-6 else 1e-6
    slope, level = line(power)[1]
    factor = float(slope) / power * unit**-power
    return RatioCurve(factor, power, float(level - slope / power))


def fit_change(tokens: np.ndarray, change: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The change of a loss over tokens as two power terms and an offset: it may rise first and fall later."""
    tokens, change = np.asarray(tokens, dtype=np.float64), np.asarray(change, dtype=np.float64)
    unit = float(tokens.max())
    best: tuple[float, tuple[float, ...], np.ndarray] | None = None
    pairs: list[tuple[float, ...]] = [(p,) for p in POWERS]
    pairs += [(p, q) for i, p in enumerate(POWERS) for q in POWERS[i + 1 :]] if len(tokens) >= 6 else []
    for powers in pairs:
        found, *_ = np.linalg.lstsq(_terms(tokens / unit, powers), change, rcond=1e-8)
        error = float(((_terms(tokens / unit, powers) @ found - change) ** 2).sum()) * (1.0 if len(powers) == 1 else 1.1)
        if best is None or error < best[0]:
            best = error, powers, found
    assert best is not None
    _, powers, found = best
    return lambda at: _terms(np.asarray(at, dtype=np.float64) / unit, powers) @ found


def _terms(x: np.ndarray, powers: tuple[float, ...]) -> np.ndarray:
    return np.stack([*(np.atleast_1d(x) ** p for p in powers), np.ones(len(np.atleast_1d(x)))], axis=1)


def critical_ratios(ratios: np.ndarray, changes: np.ndarray, tolerance: float) -> np.ndarray:
    """For each token count the ratio at which the general loss has risen by `tolerance`: [points], NaN where the ratios do not
    enclose it. ratios [runs], ascending; changes [runs, points] of the general loss from its start."""
    found = np.full(changes.shape[1], np.nan)
    for point in range(changes.shape[1]):
        above = np.flatnonzero(changes[:, point] > tolerance)
        if len(above) and above[0] > 0:
            high = above[0]
            low = high - 1
            part = (tolerance - changes[low, point]) / (changes[high, point] - changes[low, point])
            found[point] = ratios[low] + part * (ratios[high] - ratios[low])
    return found


@dataclass(frozen=True)
class DcptLaw:
    """L = floor + size_factor / N ** size_power + data_factor * r ** ratio_power / D ** data_power
    + ratio_factor / (r + offset) ** decay, with N parameters, D tokens, r the share of the corpus whose loss it is."""

    floor: float
    size_factor: float
    size_power: float
    data_factor: float
    ratio_power: float
    data_power: float
    ratio_factor: float
    offset: float
    decay: float

    def predict(self, parameters: np.ndarray | float, tokens: np.ndarray | float, ratio: np.ndarray | float) -> np.ndarray:
        n, d, r = (np.asarray(v, dtype=np.float64) for v in (parameters, tokens, ratio))
        return (
            self.floor + self.size_factor * n**-self.size_power + self.data_factor * r**self.ratio_power * d**-self.data_power
            + self.ratio_factor * (r + self.offset) ** -self.decay
        )  # fmt: skip

    def falls(self, tokens: float, low: float, high: float) -> bool:
        """Whether the loss falls as its corpus's share rises from `low` to `high`, as it must for the law to make sense."""
        grid = np.linspace(low, high, 500)
        return bool((np.diff(self.predict(1.0, tokens, grid)) < 0).all())


LEAST_POINTS = 30
"""Losses that nine constants need."""


def fit_dcpt(parameters: np.ndarray, tokens: np.ndarray, ratio: np.ndarray, losses: np.ndarray, delta: float = 1e-3) -> DcptLaw:
    """The law of least Huber loss (width `delta`) through points [n]; deterministic, from a ladder of starts.

    The four factors enter linearly: for given powers they follow by non-negative least squares, which makes every start a good
    one. Raises MixtureError for fewer than 30 points.
    """
    from scipy.optimize import least_squares, nnls

    n, d, r, y = (np.asarray(v, dtype=np.float64) for v in (parameters, tokens, ratio, losses))
    if len(y) < LEAST_POINTS:
        hint = "keep more checkpoints, or train more ratios"
        raise MixtureError(explain_mismatch("the D-CPT law", wanted=f"at least {LEAST_POINTS} losses", found=len(y), hint=hint))
    units = float(n.max()), float(d.max())
    n, d = n / units[0], d / units[1]
    one_size = bool(np.ptp(n) == 0)

    def columns(powers: np.ndarray) -> np.ndarray:
        size, eta, beta, eps, gamma = np.exp(powers)
        first = np.zeros(len(y)) if one_size else n**-size
        return np.stack([np.ones(len(y)), first, r**eta * d**-beta, (r + eps) ** -gamma], axis=1)

    def error(at: np.ndarray) -> np.ndarray:
        return columns(at[4:]) @ np.exp(at[:4]) - y

    ladder = [
        np.log([0.3, eta, beta, eps, gamma])
        for eta in (0.2, 1.0) for beta in (0.15, 0.5) for eps in (0.02, 0.2) for gamma in (0.2, 1.0)
    ]  # fmt: skip
    best = None
    for powers in ladder:
        factors, _ = nnls(columns(powers), y)
        start = np.concatenate([np.log(np.maximum(factors, 1e-4)), powers])
        low, high = np.full(9, -12.0), np.concatenate([np.full(4, 5.0), np.full(5, 2.0)])
        found = least_squares(error, start, bounds=(low, high), loss="huber", f_scale=delta, max_nfev=400)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    floor, size, data, ratio_factor = np.exp(best.x[:4])
    size_power, eta, beta, eps, gamma = np.exp(best.x[4:])
    return DcptLaw(
        float(floor), 0.0 if one_size else float(size * units[0] ** size_power), float(size_power),
        float(data * units[1] ** beta), float(eta), float(beta), float(ratio_factor), float(eps), float(gamma),
    )  # fmt: skip


def largest_ratio(loss: Callable[[np.ndarray], np.ndarray], limit: float) -> float | None:
    """The largest domain ratio from 0 to 1 up to which a general loss stays at or below `limit`, by interpolation on a fine
    grid; None when it is above at 0 already. A fitted law may fall again near 1, where nothing of the general corpus is left to
    learn from; that is not taken for a licence."""
    grid = np.linspace(0, 1, 2001)
    values = loss(grid)
    above = np.flatnonzero(values > limit)
    if len(above) == 0:
        return 1.0
    if above[0] == 0:
        return None
    last = above[0] - 1
    return float(grid[last] + (limit - values[last]) / (values[last + 1] - values[last]) * (grid[1] - grid[0]))


def best_ratio(law: DcptLaw, parameters: float, domain_tokens: float, least: float = 0.01) -> float:
    """The ratio that gives the lowest domain loss when only `domain_tokens` tokens of the domain exist and none is read twice:
    a larger ratio then means a shorter run."""
    grid = np.linspace(least, 1, 20_000)
    return float(grid[np.argmin(law.predict(parameters, domain_tokens / grid, grid))])
