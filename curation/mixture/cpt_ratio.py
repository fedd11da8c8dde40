"""How much of a domain continued pre-training may read without losing what the model knew: the ratio for a loss budget.

Source: CMR, Gu et al., arXiv:2407.17467; D-CPT, Que et al., arXiv:2406.01375. The bootstrap over ratios is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.artefact import Mixture
from curation.mixture.cpt_laws import RatioCurve, critical_ratios, fit_change, fit_curve, fit_dcpt, largest_ratio
from curation.mixture.problem import Problem
from curation.mixture.regressors import require_library
from curation.mixture.run_table import RunTable

LEAST_RATIOS = 4
BOOTSTRAPS = 200


@dataclass(frozen=True)
class CptRatio:
    """general: the corpus that must not be forgotten; the problem's other domain is the one to learn. tolerance: how far the
    general loss may end above its start, in the unit of the losses for `cmr`, as a share of it for `dcpt`. law: `cmr` needs
    runs at four ratios or more, `dcpt` also takes several sizes (column `parameters`) and 30 losses.

    The run table has a row for each checkpoint: weights of the two domains, losses on both, `tokens` so far. Rows with 0 tokens
    give the start. Raises MixtureError when the problem has not two domains or no budget, or no ratio stays in the tolerance.
    """

    general: str = "general"
    tolerance: float = 0.05
    law: str = "cmr"
    parameters: float | None = None
    name: str = "cpt_ratio"

    def __post_init__(self) -> None:
        if self.law not in ("cmr", "dcpt"):
            raise MixtureError(explain_mismatch("cpt_ratio: law", wanted="cmr or dcpt", found=repr(self.law)))
        if not self.tolerance > 0:
            raise MixtureError(explain_mismatch("cpt_ratio: tolerance", wanted="above 0", found=self.tolerance))

    def solve(self, problem: Problem) -> Mixture:
        if len(problem.domains) != 2 or self.general not in problem.domains or problem.token_budget is None:
            found = f"{', '.join(problem.domains)}, budget {problem.token_budget}"
            hint = "set general=NAME to the corpus that must not be forgotten, and --token-budget"
            wanted = f"two domains, one of them {self.general!r}, and a token budget"
            raise MixtureError(explain_mismatch("cpt_ratio", wanted=wanted, found=found, hint=hint))
        require_library("scipy", "cpt_ratio")
        domain = next(d for d in problem.domains if d != self.general)
        if self.law == "cmr":
            ratio, spread = self._critical(problem.runs, problem.token_budget)
        else:
            ratio, spread = self._by_dcpt(problem.runs, problem.token_budget), None
        if ratio is None:
            hint = "raise the tolerance or the token budget, or train at smaller ratios"
            wanted = f"a ratio at which {self.general!r} rises by at most {self.tolerance}"
            raise MixtureError(explain_mismatch("cpt_ratio", wanted=wanted, found="none", hint=hint))
        at = problem.domains.index(domain)
        ratio = min(ratio, float(problem.upper[at]))
        weights = np.full(2, 1 - ratio)
        weights[at] = ratio
        return problem.mixture(self, weights, self._start(problem.runs) + self._allowed(problem.runs), spread)

    def curve(self, table: RunTable) -> RatioCurve:
        """The CMR over tokens, fitted where the ratios enclose it. Raises MixtureError when they enclose it at fewer than three
        token counts."""
        return self._curve(*self._changes(table))

    def _critical(self, table: RunTable, tokens: float) -> tuple[float | None, float | None]:
        """The CMR and the standard deviation of the general loss's fit."""
        ratios, points, changes, error = self._changes(table)
        return self._curve(ratios, points, changes, error).ratio(tokens), error

    def _curve(self, ratios: np.ndarray, points: np.ndarray, changes: np.ndarray, error: float) -> RatioCurve:
        critical = critical_ratios(ratios, changes, self.tolerance)
        known = np.isfinite(critical)
        if known.sum() < 3:
            found = f"at {int(known.sum())} of {len(points)} token counts"
            wanted = f"ratios below and above the one at which {self.general!r} rises by {self.tolerance}"
            raise MixtureError(
                explain_mismatch("cpt_ratio", wanted=wanted, found=found, hint="train at smaller and larger ratios")
            )
        return fit_curve(points[known], critical[known])

    def interval(self, table: RunTable, tokens: float, seed: int = 0) -> tuple[float, float]:
        """The middle 90 % of the CMR at a budget when the noise around the fitted curves is drawn anew."""
        ratios, points, changes, error = self._changes(table)
        random = np.random.default_rng(seed)
        found = []
        for _ in range(BOOTSTRAPS):
            moved = changes + random.normal(0, error, (len(ratios), 1))
            try:
                ratio = self._curve(ratios, points, moved, error).ratio(tokens)
            except MixtureError:
                continue
            found += [] if ratio is None else [ratio]
        if not found:
            raise MixtureError(explain_mismatch("cpt_ratio: interval", wanted="a ratio in some draws", found="none"))
        return float(np.quantile(found, 0.05)), float(np.quantile(found, 0.95))

    def _changes(self, table: RunTable) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Ratios, token counts, the fitted change of the general loss [ratios, counts], and the error of those fits."""
        tokens, losses = table.column("tokens"), table.target(self.general)
        share = 1 - table.weights[:, table.domains.index(self.general)]
        after = tokens > 0
        ratios = np.unique(share[after])
        if len(ratios) < LEAST_RATIOS:
            wanted = f"runs at {LEAST_RATIOS} ratios at least"
            raise MixtureError(explain_mismatch("cpt_ratio", wanted=wanted, found=len(ratios), hint="train more ratios"))
        start = self._start(table)
        points = np.geomspace(tokens[after].min(), tokens.max(), 40)
        changes, errors = [], []
        for ratio in ratios:
            rows = after & (share == ratio)
            curve = fit_change(tokens[rows], losses[rows] - start)
            changes.append(curve(points))
            errors.append(curve(tokens[rows]) - (losses[rows] - start))
        return ratios, points, np.stack(changes), float(np.concatenate(errors).std())

    def _by_dcpt(self, table: RunTable, tokens: float) -> float | None:
        count = len(table)
        sizes = table.extra.get("parameters", np.ones(count))
        seen = table.column("tokens")
        after = seen > 0
        share = table.weights[:, table.domains.index(self.general)]
        law = fit_dcpt(sizes[after], seen[after], share[after], table.target(self.general)[after])
        low, high = float(share[after].min()), float(share[after].max())
        if not law.falls(tokens, low, high):
            hint = "train more ratios or checkpoints after the warm-up, or use law=cmr"
            wanted = f"a loss on {self.general!r} that falls as its share rises from {low:.2g} to {high:.2g}"
            raise MixtureError(explain_mismatch("the fitted D-CPT law", wanted=wanted, found="one that rises", hint=hint))
        size = float(sizes.max()) if self.parameters is None else self.parameters
        limit = self._start(table) + self._allowed(table)
        return largest_ratio(lambda ratio: law.predict(size, tokens, 1 - ratio), limit)

    def _start(self, table: RunTable) -> float:
        """The general loss before the first step."""
        rows = table.column("tokens") == 0
        if not rows.any():
            hint = "add a row with tokens 0 and the losses of the model as it was"
            raise MixtureError(explain_mismatch("cpt_ratio", wanted="the general loss at 0 tokens", found="none", hint=hint))
        return float(table.target(self.general)[rows].mean())

    def _allowed(self, table: RunTable) -> float:
        return self.tolerance * (1.0 if self.law == "cmr" else self._start(table))
