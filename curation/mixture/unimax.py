"""As even as the limit on epochs allows: from the smallest domain up, each gets an equal part of what is left, or all it may.

Source: UniMax, Chung et al., arXiv:2304.09151.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.artefact import Mixture
from curation.mixture.problem import Problem


@dataclass(frozen=True)
class Unimax:
    """The limit is the problem's `max_epochs` at its `token_budget`. Raises MixtureError when the problem has no budget or no
    token counts."""

    name: str = "unimax"

    def solve(self, problem: Problem) -> Mixture:
        if problem.available is None or problem.token_budget is None or problem.max_epochs is None:
            hint = "give --tokens-by-domain, --token-budget and --max-epochs"
            found = "one of them missing"
            raise MixtureError(
                explain_mismatch("unimax", wanted="tokens, a budget and a limit on epochs", found=found, hint=hint)
            )
        return problem.mixture(self, evenly(problem.upper))


def evenly(upper: np.ndarray) -> np.ndarray:
    """The most even shares [domains] that sum to one below `upper`."""
    shares, left = np.zeros(len(upper)), 1.0
    order = np.argsort(upper, kind="stable")
    for done, domain in enumerate(order):
        shares[domain] = min(upper[domain], left / (len(order) - done))
        left -= shares[domain]
    return shares / shares.sum()
