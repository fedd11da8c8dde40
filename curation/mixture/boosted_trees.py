"""Gradient-boosted trees on the weights, by LightGBM (the extra `mixture`).

Source: RegMix, Liu et al., arXiv:2407.01492, settings of its release. The release stops early on its test set; here only
`stop_on` does that, for the comparison with its figures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TreesFit:
    """A booster; trees know no uncertainty."""

    booster: Any

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(self.booster.predict(weights, num_threads=1))

    def spread(self, weights: np.ndarray) -> np.ndarray | None:
        return None


@dataclass(frozen=True)
class BoostedTrees:
    """LightGBM's regression: `trees` of `leaves` leaves, at least `leaf_runs` runs in each, learning rate `rate`.

    stop_on: weights and losses of runs on which training stops after three rounds without improvement (L1 or L2); None trains
    all trees. seed: LightGBM's; the same runs give the same trees.
    """

    trees: int = 1000
    rate: float = 0.01
    leaves: int = 31
    leaf_runs: int = 20
    seed: int = 42
    stop_on: tuple[np.ndarray, np.ndarray] | None = field(default=None, compare=False)
    name: str = "lightgbm"

    def least_runs(self, domains: int) -> int:
        """A leaf on either side of one split."""
        return 2 * self.leaf_runs

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> TreesFit:
        import lightgbm

        settings = {
            "boosting": "gbdt", "objective": "regression", "metric": ["l1", "l2"], "learning_rate": self.rate,
            "num_leaves": self.leaves, "min_data_in_leaf": self.leaf_runs, "seed": self.seed, "verbosity": -1,
            "num_threads": 1, "deterministic": True, "force_row_wise": True,
        }  # fmt: skip
        data = lightgbm.Dataset(weights, losses)
        if self.stop_on is None:
            return TreesFit(lightgbm.train(settings, data, self.trees))
        watched = data.create_valid(*self.stop_on)
        stop = lightgbm.early_stopping(3, verbose=False)
        return TreesFit(lightgbm.train(settings, data, self.trees, valid_sets=[watched], callbacks=[stop]))
