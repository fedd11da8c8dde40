"""The exact minimum of fitted laws with a pull to the natural shares and caps on epochs; cross-validation chooses the law.

Source: ours; objective and caps after Olmix (Allen Institute for AI, 2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.artefact import Mixture
from curation.mixture.problem import Problem
from curation.mixture.regression import Regressor, Score, choose, cross_validate, require_runs, score
from curation.mixture.regressors import CONVEX, MANY, named
from curation.mixture.search import Objective, solve


@dataclass(frozen=True)
class Convex:
    """law: `log_linear`, `effective_data`, or `auto`, the one that cross-validation on the runs likes better for the whole
    objective. pull: weight of the divergence from the natural shares, in units of the losses; 0 trusts the law alone, infinity
    gives the natural shares. The predicted loss has the cross-validated error as its standard deviation."""

    law: str = "auto"
    pull: float = 0.05
    name: str = "convex"

    def __post_init__(self) -> None:
        if self.law not in ("auto", *CONVEX):
            raise MixtureError(explain_mismatch("convex: law", wanted=f"auto, {', '.join(CONVEX)}", found=repr(self.law)))
        check_pull(self.pull)

    def solve(self, problem: Problem) -> Mixture:
        names = CONVEX if self.law == "auto" else (self.law,)
        return solve_laws(self, problem, named(names), self.pull)


def check_pull(pull: float) -> None:
    """Raise MixtureError unless it is a number, 0 or more."""
    if not pull >= 0:
        raise MixtureError(explain_mismatch("pull to the natural shares", wanted="0 or more", found=pull))


def solve_laws(method: Any, problem: Problem, laws: tuple[Regressor, ...], pull: float) -> Mixture:
    """Fit one law per target, the kind that cross-validation likes best, and solve. `method` names it in the mixture."""
    table = problem.runs
    named([law.name for law in laws])  # or the error that names the missing library
    usable = [law for law in laws if len(table) >= law.least_runs(len(problem.domains))]
    if not usable:
        require_runs(table, min(laws, key=lambda law: law.least_runs(len(problem.domains))))
    scored = {law.name: score_of(problem, law) for law in usable}
    best = choose(list(scored.values())) if len(scored) > 1 else next(iter(scored.values()))
    chosen = next(law for law in usable if law.name == best.name)
    fits: list[tuple[float, Any]] = [
        (weight, chosen.fit(table.weights, table.target(target))) for target, weight in problem.target_weights.items()
    ]
    objective = Objective(tuple(fits), problem.natural, pull)
    found = solve(objective, problem.upper)
    return problem.mixture(method, found.at, objective.loss(found.at), best.rmse)


def score_of(problem: Problem, regressor: Regressor) -> Score:
    """The cross-validated score of the objective, predicted target by target."""
    table = problem.runs
    folds = 10 if len(table) <= MANY else 5
    predicted = np.zeros(len(table))
    for target, weight in problem.target_weights.items():
        part = cross_validate(table.weights, table.target(target), [regressor], folds=folds, seed=problem.seed)[0]
        predicted += weight * part.predicted
    return score(regressor.name, predicted, problem.objective())
