"""RegMix: fit a regression on the runs, simulate many mixtures, average the best predicted.

Source: RegMix, Liu et al., arXiv:2407.01492, and its release: LightGBM, 100,000 mixtures from Dirichlet(natural), top 128.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.artefact import Mixture
from curation.mixture.convex import score_of
from curation.mixture.problem import Problem
from curation.mixture.regression import Fitted, Regressor, choose, require_runs
from curation.mixture.regressors import named
from curation.mixture.search import simulate


@dataclass(frozen=True)
class Regmix:
    """regressor: `lightgbm` as published, another by name, or `auto`, the one that cross-validation likes best. simulated, top:
    mixtures drawn and averaged. concentration: of the Dirichlet around the natural shares. One regression of the objective
    (the weighted mean of the targets) is fitted, as published for a single target. The release draws with seed 42."""

    regressor: str = "lightgbm"
    simulated: int = 100_000
    top: int = 128
    concentration: float = 1.0
    name: str = "regmix"

    def __post_init__(self) -> None:
        if self.regressor != "auto":
            named([self.regressor])
        if not 1 <= self.top <= self.simulated:
            found = f"{self.top} of {self.simulated}"
            raise MixtureError(explain_mismatch("regmix: top", wanted="1 to the number simulated", found=found))
        if not self.concentration > 0:
            raise MixtureError(explain_mismatch("regmix: concentration", wanted="above 0", found=self.concentration))

    def solve(self, problem: Problem) -> Mixture:
        table = problem.runs
        regressor, error = self._chosen(problem)
        fitted: Fitted = regressor.fit(table.weights, problem.objective())
        weights = simulate(
            fitted.predict, problem.natural, problem.upper, simulated=self.simulated, top=self.top,
            concentration=self.concentration, seed=problem.seed,
        )  # fmt: skip
        at = weights[np.newaxis]
        spread = fitted.spread(at)
        return problem.mixture(self, weights, fitted.predict(at)[0], error if spread is None else float(spread[0]))

    def _chosen(self, problem: Problem) -> tuple[Regressor, float]:
        """The regressor and its cross-validated error."""
        if self.regressor != "auto":
            regressor = named([self.regressor])[0]
            require_runs(problem.runs, regressor)
            return regressor, score_of(problem, regressor).rmse
        scores = [score_of(problem, r) for r in named([])]
        best = choose(scores)
        return named([best.name])[0], best.rmse
