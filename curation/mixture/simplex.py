"""Shares that sum to one below upper bounds: the nearest ones, and the minimum of a convex function over them.

Source: ours; the interior-point step is the textbook one (Boyd and Vandenberghe, Convex Optimization, 2004, chapter 11.3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curation.errors import MixtureError, explain_mismatch

Convex = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]
"""Value, gradient [n] and Hessian [n, n] at a point with positive entries."""

TOLERANCE = 1e-9
LEAST_PRESSURE = 1e-13
"""Of the barrier at the end, in units of the function: the value stays within twice as much a share of the least one."""
RESOLVED = 1e-13
"""Distance from a bound, as a share of it, below which the pressure falls no further: numbers end at 1e-16."""
STEPS = 60
"""Most Newton steps for each pressure."""
NEAR = 0.05
"""Gain over pressure (the squared decrement) below which Newton's steps square the distance."""
LAST_STEPS = 6
"""Steps that are taken from there at most."""


@dataclass(frozen=True)
class Minimum:
    """`at` [n]: the minimiser. `residual`: the largest violation of the conditions of Karush, Kuhn and Tucker, in units of
    the function. `steps`: Newton steps taken."""

    at: np.ndarray
    residual: float
    steps: int


def within(shares: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The shares nearest to `shares` by Kullback-Leibler divergence that are below `upper`: capped where they would exceed it,
    the rest scaled up together. Works along the last axis. Raises MixtureError when the positive shares have no room."""
    shares = np.asarray(shares, dtype=np.float64)
    upper = np.broadcast_to(upper, shares.shape)
    free = (shares > 0) & (upper > 0)
    if (np.where(free, upper, 0).sum(axis=-1) < 1 - 1e-12).any():
        raise MixtureError(
            explain_mismatch(
                "upper bounds", wanted="room for a share of 1", found=f"{np.where(free, upper, 0).sum(axis=-1).min():.6g}",
                hint="raise the epochs, or give the domains that have tokens a natural share",
            )
        )  # fmt: skip
    capped = ~free
    fixed = np.zeros(np.shape(shares))
    for _ in range(shares.shape[-1] + 1):
        left = np.where(capped, 0.0, shares)
        total = left.sum(axis=-1, keepdims=True)
        room = 1 - fixed.sum(axis=-1, keepdims=True)
        found = np.where(capped, fixed, left / np.where(total > 0, total, 1.0) * room)
        over = ~capped & (found > upper)
        if not over.any():
            break
        fixed, capped = np.where(over, upper, fixed), capped | over
    return np.minimum(found, upper)


def minimise(function: Convex, upper: np.ndarray) -> Minimum:
    """Minimise a convex function over shares that sum to one with 0 <= share <= upper, by an interior-point method.

    Raises MixtureError when the bounds leave no room, or no point of small residual is found (the function is not convex).
    """
    upper = np.minimum(np.asarray(upper, dtype=np.float64), 1.0)
    inside = np.flatnonzero(upper > 0)
    whole = np.zeros(len(upper))
    if upper.sum() < 1 + 1e-9 or len(inside) == 1:
        whole = within(upper, upper)
        return Minimum(whole, 0.0, 0)

    def part(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        whole[inside] = at
        value, gradient, hessian = function(whole)
        return value, gradient[inside], hessian[np.ix_(inside, inside)]

    at, residual, steps = _interior(part, upper[inside])
    if not residual < 1e-6:
        found = f"{residual:.3g} after {steps} steps"
        raise MixtureError(explain_mismatch("the solver", wanted="a residual below 1e-6", found=found))
    whole[:] = 0
    whole[inside] = within(at, upper[inside])
    return Minimum(whole, residual, steps)


def _interior(function: Convex, upper: np.ndarray) -> tuple[np.ndarray, float, int]:
    """Point, residual and steps: Newton's method on function + pressure * barrier for falling pressures. The function is
    divided by the size of its gradient at the start where that is above one."""
    at = upper / upper.sum()
    _, gradient, _ = function(at)
    scale = max(1.0, float(np.abs(gradient - gradient.mean()).max()))
    level, steps, pressure = 0.0, 0, 1.0
    while pressure * scale > LEAST_PRESSURE and (pressure > LEAST_PRESSURE or ((upper - at) / upper).min() > RESOLVED):
        pressure /= 10
        last = 0
        for _ in range(STEPS):
            value, gradient, hessian = _scaled(function, at, scale)
            slack = upper - at
            slope = gradient - pressure / at + pressure / slack
            by, level = _newton(slope, hessian + np.diag(pressure / at**2 + pressure / slack**2), 1 - at.sum())
            gain = float(-slope @ by)
            before = _barrier(value, pressure, at, slack)
            last += gain < NEAR * pressure
            if last > LAST_STEPS or np.abs(slope + level).max() < 1e-3 * TOLERANCE:
                break
            at = _forward(function, scale, upper, pressure, at, by, gain, before)
            steps += 1
    _, gradient, _ = _scaled(function, at, scale)
    return at, _residual(at, gradient + level, upper), steps


def _scaled(function: Convex, at: np.ndarray, scale: float) -> tuple[float, np.ndarray, np.ndarray]:
    value, gradient, hessian = function(at)
    return value / scale, gradient / scale, hessian / scale


def _newton(slope: np.ndarray, hessian: np.ndarray, missing: float) -> tuple[np.ndarray, float]:
    """Newton's step that brings the sum to one, and the multiplier of the sum."""
    n = len(slope)
    # Entries span many orders where a share is tiny: rows and columns are brought to one size first.
    size = 1 / np.sqrt(np.diag(hessian))
    system = np.zeros((n + 1, n + 1))
    system[:n, :n] = hessian * np.outer(size, size)
    system[:n, n] = system[n, :n] = size
    found = np.linalg.solve(system, np.append(-slope * size, missing))
    return found[:n] * size, float(found[n])


def _forward(
    function: Convex,
    scale: float,
    upper: np.ndarray,
    pressure: float,
    at: np.ndarray,
    by: np.ndarray,
    gain: float,
    before: float,
) -> np.ndarray:
    """The longest step of 1, 1/2, 1/4 ... of the way that stays inside and gains. Where gains are below what numbers resolve,
    the step that is safe for a logarithmic barrier: all of it near the end, else 1 / (1 + decrement)."""
    if gain < 1e-11 * max(1.0, abs(before)):
        decrement = np.sqrt(max(gain, 0.0) / pressure)
        return at + by / (1 + decrement if gain >= NEAR * pressure else 1.0) * _most(at, by, upper)
    step = _most(at, by, upper)
    for _ in range(50):
        after = at + step * by
        value, _, _ = function(after)
        if _barrier(value / scale, pressure, after, upper - after) <= before - 0.1 * step * gain:
            break
        step /= 2
    return after


def _most(at: np.ndarray, by: np.ndarray, upper: np.ndarray) -> float:
    """The share of a step, at most 1, that stays inside."""
    step = 1.0
    for room, change in ((at, by), (upper - at, -by)):
        falling = change < 0
        if falling.any():
            step = min(step, 0.99 * float((room[falling] / -change[falling]).min()))
    return step


def _barrier(value: float, pressure: float, at: np.ndarray, slack: np.ndarray) -> float:
    return float(value - pressure * (np.log(at).sum() + np.log(slack).sum()))


def _residual(at: np.ndarray, pull: np.ndarray, upper: np.ndarray) -> float:
    """Largest violation of the conditions: each share either feels no pull along the sum (gradient and the sum's multiplier),
    or is that near to the bound it is pulled to."""
    return float(max(np.minimum(np.abs(pull), np.where(pull > 0, at, upper - at)).max(), abs(at.sum() - 1)))
