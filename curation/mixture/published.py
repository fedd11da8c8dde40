"""Published figures that reports set beside ours.

Source: RegMix, Liu et al., arXiv:2407.01492 (table of rank correlations, released mixture), and its release (token shares of
the Pile's domains as its sampler has them); CMR, Gu et al., arXiv:2407.17467 (fitted constants for a finance corpus).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

PILE_SHARES: Mapping[str, float] = {
    "the_pile_arxiv": 0.113285, "the_pile_freelaw": 0.079609, "the_pile_nih_exporter": 0.003913,
    "the_pile_pubmed_central": 0.185376, "the_pile_wikipedia_en": 0.051081, "the_pile_dm_mathematics": 0.015963,
    "the_pile_github": 0.101751, "the_pile_philpapers": 0.003708, "the_pile_stackexchange": 0.066529,
    "the_pile_enron_emails": 0.001751, "the_pile_gutenberg_pg_19": 0.027085, "the_pile_pile_cc": 0.236869,
    "the_pile_ubuntu_irc": 0.011843, "the_pile_europarl": 0.007930, "the_pile_hackernews": 0.008033,
    "the_pile_pubmed_abstracts": 0.038826, "the_pile_uspto_backgrounds": 0.046447,
}  # fmt: skip
"""Token shares; they sum to one but for rounding."""

PILE_TARGET = "the_pile_pile_cc"

RANKS: Mapping[str, tuple[float, float, float]] = {"linear": (90.08, 89.26, 88.01), "lightgbm": (98.45, 98.64, 97.12)}
"""Spearman x100 for PILE_TARGET after 512 runs: at 1M, 60M and 1B parameters."""

REGMIX_WEIGHTS: Mapping[str, float] = {
    "the_pile_pile_cc": 0.8701, "the_pile_ubuntu_irc": 0.0642, "the_pile_pubmed_abstracts": 0.0242,
    "the_pile_wikipedia_en": 0.0159, "the_pile_hackernews": 0.0119,
}  # fmt: skip
"""The largest weights of the released mixture."""


CMR: Mapping[str, tuple[tuple[float, float, float], float]] = {
    "460M": ((0.22524761, 0.26944345, -0.48139982), 0.298), "940M": ((0.7520627, 0.13720245, -1.06581937), 0.349),
    "1.6B": ((-2.36384831, -0.15125569, 1.59223649), 0.414), "3.1B": ((-2.5368197, -0.42071423, 0.84375368), 0.478),
}  # fmt: skip
"""Model size -> (factor, power, offset) of the critical ratio over tokens in units of 0.2B, and the ratio at 20B tokens."""


def shares_of(domains: tuple[str, ...]) -> np.ndarray | None:
    """The natural shares [domains] of the Pile's domains; None for others."""
    if set(domains) != set(PILE_SHARES):
        return None
    shares = np.array([PILE_SHARES[d] for d in domains])
    return shares / shares.sum()
