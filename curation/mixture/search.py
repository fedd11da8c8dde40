"""The best mixture of fitted regressions: exactly where they are convex laws, else by simulation.

Source: RegMix, Liu et al., arXiv:2407.01492 (simulate, average the best); Olmix (Allen Institute for AI, 2026): the convex
objective with a Kullback-Leibler pull to the natural shares and caps on epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.simplex import Minimum, minimise, within

TINY = 1e-300


class Law(Protocol):
    """A fitted regression that is convex in the weights and knows its derivatives."""

    def derivatives(self, at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Loss, gradient [domains] and Hessian [domains, domains] at one mixture."""
        ...


@dataclass(frozen=True)
class Objective:
    """Weighted sum of laws, `weights` by law, plus `pull` times the divergence from the `natural` shares [domains]."""

    laws: tuple[tuple[float, Law], ...]
    natural: np.ndarray
    pull: float = 0.0

    def __call__(self, at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Value, gradient and Hessian, for `minimise`. Divided by 1 + pull, so that a strong pull stays a number."""
        value, gradient, hessian = 0.0, np.zeros(len(at)), np.zeros((len(at), len(at)))
        safe = np.maximum(at, TINY)
        for weight, law in self.laws:
            part, slope, bend = law.derivatives(safe)
            value, gradient, hessian = value + weight * part, gradient + weight * slope, hessian + weight * bend
        if self.pull:
            ratio = np.log(safe / np.maximum(self.natural, TINY))
            value += self.pull * float(at @ ratio)
            gradient = gradient + self.pull * (ratio + 1)
            hessian = hessian + np.diag(self.pull / safe)
        size = 1 + self.pull
        return value / size, gradient / size, hessian / size

    def loss(self, at: np.ndarray) -> float:
        """The laws alone."""
        return sum(weight * law.derivatives(np.maximum(at, TINY))[0] for weight, law in self.laws)


def solve(objective: Objective, upper: np.ndarray) -> Minimum:
    """The minimum of an objective over shares that sum to one below `upper`. A pull leaves out what has no natural share; an
    infinite one gives the natural shares, capped."""
    if np.isinf(objective.pull):
        return Minimum(within(objective.natural, upper), 0.0, 0)
    return minimise(objective, np.where((objective.natural > 0) | (objective.pull == 0), upper, 0.0))


def simulate(
    predict: Callable[[np.ndarray], np.ndarray], natural: np.ndarray, upper: np.ndarray, *,
    simulated: int = 100_000, top: int = 128, concentration: float = 1.0, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """Mean of the `top` mixtures of lowest predicted loss among `simulated` ones, drawn from Dirichlet(concentration * natural)
    and brought below the caps. The draws are those of numpy's frozen generator: the same in every version, as in the
    release."""
    random = np.random.RandomState(seed)
    present = np.flatnonzero(natural > 0)
    best, losses = np.zeros((0, len(natural))), np.zeros(0)
    for start in range(0, simulated, 20_000):
        drawn = np.zeros((min(20_000, simulated - start), len(natural)))
        drawn[:, present] = random.dirichlet(concentration * natural[present], size=len(drawn))
        drawn = np.where(np.isfinite(drawn), drawn, natural)  # a weak Dirichlet may draw nothing but zeros
        if (upper < 1).any():  # a trace of every domain, so that what caps cut off has somewhere to go
            drawn = within(0.999999 * drawn + 1e-6 * natural, upper)
        best, losses = np.concatenate([best, drawn]), np.concatenate([losses, predict(drawn)])
        keep = np.argsort(losses, kind="stable")[:top]
        best, losses = best[keep], losses[keep]
    return within(best.mean(axis=0), upper)


def expand(collapsed: Mapping[str, float], name: str, inside: Mapping[str, float]) -> dict[str, float]:
    """Weights in which one virtual domain `name` is replaced by its members, in their fixed shares `inside` (sum to one).

    With it a mixture is reused when only some domains change: the untouched ones are one domain whose shares stay. Raises
    MixtureError when `name` has no weight or a member is there already.
    """
    if name not in collapsed:
        raise MixtureError(explain_mismatch("a collapsed domain", wanted=f"one of {', '.join(collapsed)}", found=repr(name)))
    twice = [d for d in inside if d in collapsed and d != name]
    if twice:
        raise MixtureError(explain_mismatch(f"members of {name!r}", wanted="domains of their own", found=", ".join(twice)))
    found: dict[str, float] = {}
    for domain, weight in collapsed.items():
        found |= {d: weight * share for d, share in inside.items()} if domain == name else {domain: weight}
    return found
