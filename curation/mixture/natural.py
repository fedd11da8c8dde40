"""The natural shares, within the limit on epochs: the baseline of every other method.

Source: the proportional baseline of the mixture literature, e.g. DoReMi, Xie et al., arXiv:2305.10429.
"""

from __future__ import annotations

from dataclasses import dataclass

from curation.mixture.artefact import Mixture
from curation.mixture.problem import Problem
from curation.mixture.simplex import within


@dataclass(frozen=True)
class Natural:
    """Every domain by its share of the tokens; where a cap binds, the rest shares what is left in proportion."""

    name: str = "natural"

    def solve(self, problem: Problem) -> Mixture:
        return problem.mixture(self, within(problem.natural, problem.upper))
