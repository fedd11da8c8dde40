"""All forms of regression by name, the default ones, and the choice among them.

Source: ours.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.boosted_trees import BoostedTrees
from curation.mixture.effective_data import EffectiveData
from curation.mixture.gaussian_process import GaussianProcess
from curation.mixture.log_linear import LogLinear
from curation.mixture.regression import Fitted, Linear, Regressor, Ridge, Score, choose, cross_validate

REGRESSORS: tuple[Regressor, ...] = (
    Linear(), Ridge(), LogLinear(), EffectiveData(), GaussianProcess(), BoostedTrees(),
)  # fmt: skip
LIBRARIES = {"log_linear": "scipy", "effective_data": "scipy", "gaussian_process": "scipy", "lightgbm": "lightgbm"}
"""What the extra `mixture` brings for each."""
CONVEX = ("log_linear", "effective_data")
"""Laws that the exact solver takes."""
MANY = 128
"""Runs above which five folds serve instead of ten: fits get dear and folds large."""


@dataclass(frozen=True)
class Choice:
    """The regressor that cross-validation likes best, fitted on all runs; `score` on runs unseen, `scores` of all."""

    fitted: Fitted
    score: Score
    scores: tuple[Score, ...]


def named(names: Sequence[str]) -> tuple[Regressor, ...]:
    """Regressors of these names; without, all whose libraries are installed. Raises MixtureError for an unknown one and one
    without its library."""
    known = {r.name: r for r in REGRESSORS}
    for name in names:
        if name not in known:
            raise MixtureError(explain_mismatch("regression", wanted=f"one of {', '.join(known)}", found=repr(name)))
        if name in LIBRARIES:
            require_library(LIBRARIES[name], f"regression {name}")
    return tuple(known[name] for name in names) if names else tuple(r for r in REGRESSORS if _installed(r.name))


def require_library(library: str, what: str) -> None:
    """Raise MixtureError when a library of the extra `mixture` that `what` needs is not installed."""
    if importlib.util.find_spec(library) is None:
        hint = "pip install 'curation[mixture]', or choose what does without"
        raise MixtureError(explain_mismatch(what, wanted=f"the library {library}", found="not installed", hint=hint))


def _installed(name: str) -> bool:
    return name not in LIBRARIES or importlib.util.find_spec(LIBRARIES[name]) is not None


def select(
    weights: np.ndarray, losses: np.ndarray, regressors: Sequence[Regressor] | None = None, seed: int = 0
) -> Choice:  # fmt: skip
    """Cross-validate the regressors (without, all that are installed) and fit the best on all runs. Raises MixtureError when
    none predicts."""
    regressors = named([]) if regressors is None else regressors
    folds = 10 if len(losses) <= MANY else 5
    scores = cross_validate(weights, losses, regressors, folds=folds, seed=seed)
    best = choose(scores)
    chosen = next(r for r in regressors if r.name == best.name)
    return Choice(chosen.fit(weights, losses), best, tuple(scores))
