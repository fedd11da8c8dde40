"""QuaDMix: how often each document is read, from its rank in quality within its domain, with parameters for every domain.

Several quality criteria are merged with weights of the domain's own, documents are ranked by the merged score in shares of the
domain's tokens (0 best, 1 worst), and a sigmoid of the rank says how often they are read: up to `numerator` ** scaling times at
the top, once at the quantile `kept`, `leak` times beyond it.

Source: QuaDMix, arXiv:2504.16511v2. Its equation 3 is known to us from a flattened text only: where scaling stands and what is
above the fraction are options. The paper does not say how criteria are brought to one scale; here by rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.artefact import Mixture, mixture_of
from curation.mixture.boosted_trees import BoostedTrees
from curation.mixture.regression import Regressor
from curation.sampling import hash_documents

CURVES = 4
"""Parameters of a domain besides its criteria: steepness, kept, scaling, leak."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """criteria [domains, criteria]: weights that sum to one in a domain. steepness, kept, scaling, leak [domains]: lambda,
    omega, eta and epsilon of the paper."""

    criteria: np.ndarray
    steepness: np.ndarray
    kept: np.ndarray
    scaling: np.ndarray
    leak: np.ndarray

    def vector(self) -> np.ndarray:
        """All numbers [domains * (criteria + 4)], for regressions."""
        curves = np.stack([self.steepness, self.kept, self.scaling, self.leak], axis=1)
        return np.concatenate([self.criteria, curves], axis=1).ravel()


@dataclass(frozen=True)
class Quadmix:
    """kept_most: largest quantile that a draw keeps; 0.1 as published means output of at most a tenth of the input's tokens, so
    small corpora want more. numerator: what is above the fraction. scaling_as: `exponent` or `factor`. steepness_scale:
    `logarithmic` (10 ** (3 u), 1 to 1000) or `linear` (1000 u). simulated, top: parameters tried by the regression, and
    averaged. seed: of all draws.
    """

    kept_most: float = 0.1
    numerator: float = 2.0
    scaling_as: str = "exponent"
    steepness_scale: str = "logarithmic"
    simulated: int = 100_000
    top: int = 10
    seed: int = 0
    name: str = "quadmix"

    def __post_init__(self) -> None:
        if not 0 < self.kept_most <= 1:
            raise MixtureError(explain_mismatch("quadmix: kept_most", wanted="above 0, at most 1", found=self.kept_most))
        if self.scaling_as not in ("exponent", "factor"):
            raise MixtureError(explain_mismatch("quadmix: scaling_as", wanted="exponent or factor", found=self.scaling_as))
        if self.steepness_scale not in ("logarithmic", "linear"):
            wanted = "logarithmic or linear"
            raise MixtureError(explain_mismatch("quadmix: steepness_scale", wanted=wanted, found=self.steepness_scale))

    def draw(self, count: int, domains: int, criteria: int, seed: int | None = None) -> list[Parameters]:
        """`count` sets of parameters by the paper's algorithm 1: one common weighting of the criteria, so that one can lead
        everywhere, and one for each domain; the rest uniform."""
        random = np.random.default_rng(self.seed if seed is None else seed)
        found = []
        for _ in range(count):
            common = random.random(criteria)
            own = common / common.sum() * random.random((domains, criteria))
            u = random.random((CURVES, domains))
            steep = 10 ** (3 * u[0]) if self.steepness_scale == "logarithmic" else 1000 * u[0]
            weights = own / own.sum(axis=1, keepdims=True)
            found.append(Parameters(weights, steep, self.kept_most * u[1], u[2], u[3] / 1000))
        return found

    def rate(self, ranks: np.ndarray, domains: np.ndarray, parameters: Parameters) -> np.ndarray:
        """How often documents are read on average, float64 [n], from their ranks in their domain (0 best to 1 worst)."""
        kept, scaling = parameters.kept[domains], parameters.scaling[domains]
        power = np.clip(-parameters.steepness[domains] * (kept - ranks), -700, 700)
        part = self.numerator / (1 + np.exp(power))
        inside = part**scaling if self.scaling_as == "exponent" else scaling * part
        return np.where(ranks <= kept, inside, 0.0) + parameters.leak[domains]

    def rates(self, scores: np.ndarray, domains: np.ndarray, tokens: np.ndarray, parameters: Parameters) -> np.ndarray:
        """`rate` of documents with `scores` [n, criteria] (higher is better), `domains` [n] (0, 1, ...) and `tokens` [n]."""
        merged = (criterion_ranks(scores) * parameters.criteria[domains]).sum(axis=1)
        return self.rate(token_ranks(merged, domains, tokens), domains, parameters)

    def search(self, tried: list[Parameters], losses: np.ndarray, regressor: Regressor | None = None) -> Parameters:
        """The mean of the best predicted of new draws, by a regression of the losses [runs] on the parameters tried.

        Different parameters can mean the same sampling; criteria are brought back to a sum of one after averaging. Raises
        MixtureError for too few runs.
        """
        trees = regressor or BoostedTrees(leaf_runs=10)
        domains, criteria = tried[0].criteria.shape
        table = np.stack([p.vector() for p in tried])
        if len(tried) < trees.least_runs(table.shape[1]) or len(tried) != len(losses):
            wanted = f"at least {trees.least_runs(table.shape[1])} runs, a loss for each"
            raise MixtureError(
                explain_mismatch("quadmix: search", wanted=wanted, found=f"{len(tried)} runs, {len(losses)} losses")
            )
        fitted = trees.fit(table, np.asarray(losses, dtype=np.float64))
        drawn = self.draw(self.simulated, domains, criteria, self.seed + 1)
        predicted = fitted.predict(np.stack([p.vector() for p in drawn]))
        best = [drawn[i] for i in np.argsort(predicted, kind="stable")[: self.top]]
        weights = np.mean([p.criteria for p in best], axis=0)
        return Parameters(
            weights / weights.sum(axis=1, keepdims=True), np.exp(np.mean([np.log(p.steepness) for p in best], axis=0)),
            *(np.mean([getattr(p, name) for p in best], axis=0) for name in ("kept", "scaling", "leak")),
        )  # fmt: skip

    def mixture(
        self, names: tuple[str, ...], rates: np.ndarray, domains: np.ndarray, tokens: np.ndarray, budget: int | None = None
    ) -> Mixture:
        """The token shares that rates imply: what the documents of each domain add up to. Raises MixtureError when nothing is
        read."""
        read = np.bincount(domains, rates * tokens, minlength=len(names))
        held = np.bincount(domains, tokens, minlength=len(names))
        if not read.sum() > 0:
            raise MixtureError(explain_mismatch("quadmix", wanted="rates above 0", found="none"))
        shares: Mapping[str, float] = dict(zip(names, (read / read.sum()).tolist(), strict=True))
        return mixture_of(
            shares, natural=dict(zip(names, (held / held.sum()).tolist(), strict=True)),
            available={n: int(t) for n, t in zip(names, held, strict=True)}, method=self.name, token_budget=budget,
            seed=self.seed,
        )  # fmt: skip


def criterion_ranks(scores: np.ndarray) -> np.ndarray:
    """Each criterion as ranks from 0 (best, the highest score) to 1, ties at their middle: [n, criteria]. Only the order of
    scores matters, so criteria of any scale can be merged."""
    ranks = np.empty(scores.shape)
    for column in range(scores.shape[1]):
        _, place, counts = np.unique(-scores[:, column], return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        ranks[:, column] = (ends - (counts + 1) / 2)[place] / max(len(scores) - 1, 1)
    return ranks


def token_ranks(merged: np.ndarray, domains: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Rank of each document within its domain as the share of the domain's tokens in better documents and half of those as
    good: [n], above 0 and below 1. merged: lower is better."""
    order = np.lexsort((merged, domains))
    d, m, t = domains[order], merged[order], tokens[order].astype(np.float64)
    fresh = np.append(True, (d[1:] != d[:-1]) | (m[1:] != m[:-1]))
    tie = np.cumsum(fresh) - 1
    mass = np.bincount(tie, t)
    owner = d[fresh]
    before = np.cumsum(mass) - mass
    first = np.append(True, owner[1:] != owner[:-1])
    before = before - before[first][np.cumsum(first) - 1]
    whole = np.bincount(owner, mass)[owner]
    ranks = np.empty(len(merged))
    ranks[order] = ((before + mass / 2) / np.maximum(whole, 1))[tie]
    return ranks


def copies(rates: np.ndarray, docs: np.ndarray, seed: int = 0) -> np.ndarray:
    """How often each document is read, int64 [n]: the whole part of its rate, and one more with the probability of the rest, by
    a hash of `docs` [n] and the seed, so that the answer for a document depends on nothing else."""
    whole = np.floor(rates)
    salted = hash_documents(docs.astype(np.uint64) ^ hash_documents(np.array([seed], dtype=np.uint64))[0])
    return (whole + ((salted >> np.uint64(11)).astype(np.float64) * 2.0**-53 < rates - whole)).astype(np.int64)


def scaled_to(rates: np.ndarray, tokens: np.ndarray, budget: int) -> np.ndarray:
    """Rates times one factor, so that `budget` tokens are expected. Raises MixtureError when nothing is read at all."""
    expected = float(rates @ tokens)
    if not expected > 0:
        raise MixtureError(explain_mismatch("quadmix", wanted="rates above 0", found="none"))
    return rates * (budget / expected)
