"""Shares to a power: 1 is natural, 0 uniform, between them small domains are read more.

Source: temperature sampling of multilingual models, e.g. XLM-R, Conneau et al., arXiv:1911.02116 (power 0.3 there, 0.5 in
RegMix's prior).
"""

from __future__ import annotations

from dataclasses import dataclass

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.artefact import Mixture
from curation.mixture.problem import Problem
from curation.mixture.sampling import tempered
from curation.mixture.simplex import within


@dataclass(frozen=True)
class Temperature:
    """power: 0 to 1. Caps on epochs hold."""

    power: float = 0.5
    name: str = "temperature"

    def __post_init__(self) -> None:
        if not 0 <= self.power <= 1:
            raise MixtureError(explain_mismatch("temperature: power", wanted="0 (uniform) to 1 (natural)", found=self.power))

    def solve(self, problem: Problem) -> Mixture:
        return problem.mixture(self, within(tempered(problem.natural, self.power), problem.upper))
