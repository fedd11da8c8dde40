"""OlmixBase: a log-linear law per target, solved exactly with a pull to the natural shares and caps on epochs.

Source: Olmix (Allen Institute for AI, 2026), its release: form, lambda 0.05, repetition factor 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from curation.mixture.artefact import Mixture
from curation.mixture.convex import check_pull, solve_laws
from curation.mixture.log_linear import LogLinear
from curation.mixture.problem import Problem


@dataclass(frozen=True)
class Olmix:
    """pull: the published lambda. law: settings of the fit. The limit of 4 epochs is the problem's `max_epochs`."""

    pull: float = 0.05
    law: LogLinear = field(default_factory=LogLinear)
    name: str = "olmix"

    def __post_init__(self) -> None:
        check_pull(self.pull)

    def solve(self, problem: Problem) -> Mixture:
        return solve_laws(self, problem, (self.law,), self.pull)
