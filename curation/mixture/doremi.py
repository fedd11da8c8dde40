"""DoReMi: domains on which a proxy lags behind a reference model gain weight, step by step; the mean over steps is the mixture.

Source: DoReMi, Xie et al., arXiv:2305.10429, and its release (step size 1, smoothing 1e-3 in its run script). There the excess
is clipped at 0 for each token; a caller who has only means per domain clips the mean, which is smaller or equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.artefact import Mixture
from curation.mixture.problem import Problem
from curation.mixture.simplex import within


@dataclass
class DomainWeights:
    """Weights during training. logs: of the weights [domains]. total, steps: their sum over the steps and its number.
    last: the excess seen last in each domain, which counts while a domain is in no batch."""

    logs: np.ndarray
    step_size: float = 1.0
    smoothing: float = 1e-3
    total: np.ndarray = field(init=False)
    last: np.ndarray = field(init=False)
    steps: int = 0

    def __post_init__(self) -> None:
        self.total, self.last = np.zeros(len(self.logs)), np.zeros(len(self.logs))

    @property
    def weights(self) -> np.ndarray:
        """Weights [domains] of the losses in the next step."""
        raw = np.exp(self.logs - self.logs.max())
        return raw / raw.sum()

    @property
    def mean(self) -> np.ndarray:
        """The mean of the weights over the steps: DoReMi's mixture."""
        return self.total / self.steps if self.steps else self.weights

    def update(self, excess: np.ndarray) -> np.ndarray:
        """Take one step's excess losses [domains] (NaN: the domain was in no batch) and return the new weights."""
        self.last = np.where(np.isnan(excess), self.last, np.maximum(excess, 0.0))
        self.logs = self.logs + self.step_size * self.last
        self.logs = np.log((1 - self.smoothing) * self.weights + self.smoothing / len(self.logs))
        self.total, self.steps = self.total + self.weights, self.steps + 1
        return self.weights


@dataclass(frozen=True)
class Doremi:
    """step_size: of the exponentiated gradient. smoothing: share of the uniform mixture mixed in at every step, 0 to 1.

    As a method it replays a recorded proxy run: a run table with one row per step in order, `loss_<domain>` of the proxy for
    every domain, and further columns `reference_<domain>` of the reference model. `train` takes a live run instead.
    """

    step_size: float = 1.0
    smoothing: float = 1e-3
    name: str = "doremi"

    def __post_init__(self) -> None:
        if not self.step_size > 0 or not 0 <= self.smoothing < 1:
            found = f"{self.step_size} and {self.smoothing}"
            raise MixtureError(explain_mismatch("doremi", wanted="step_size above 0, smoothing from 0 to 1", found=found))

    def solve(self, problem: Problem) -> Mixture:
        table = problem.runs
        for domain in problem.domains:
            if domain not in table.targets:
                found = ", ".join(table.targets)
                raise MixtureError(explain_mismatch("doremi: losses", wanted=f"loss_{domain} too", found=found))
        excess = np.stack([table.target(d) - table.column(f"reference_{d}") for d in problem.domains], axis=1)
        steps = iter(excess)
        return problem.mixture(self, self.train(problem, lambda _: next(steps), len(excess)))

    def train(self, problem: Problem, step: Callable[[np.ndarray], np.ndarray], steps: int) -> np.ndarray:
        """Weights after `steps` calls of `step`, which trains the proxy one step with given weights [domains] and returns the
        excess losses [domains]."""
        state = DomainWeights(np.full(len(problem.domains), -np.log(len(problem.domains))), self.step_size, self.smoothing)
        for _ in range(steps):
            state.update(step(state.weights))
        return within(state.mean, problem.upper)
