"""Train the two stages that tell the main content of a page from the rest, and measure them on sites they have not seen.

In order: pages come as blocks with features and labels (align.py makes the labels); each page weighs the same, a block in it
partly by its tokens; the first stage is trained; its answers for pages it has not seen (folds by site) are given with those
of their neighbours to the second. `cross_validated` repeats all that for each fold of sites, so that no answer comes from a
model that has seen the site. The same pages give the same trees.

Imports `lightgbm` (extra `train`). Knows blocks as arrays only.

Source: stacked generalisation, Wolpert, Neural Networks 5 (1992); LightGBM, Ke et al., NeurIPS 2017.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from classifiers.examples import TrainingError


@dataclass(frozen=True)
class TrainingPage:
    """A page as blocks: `features` float32 [b, columns], `labels` bool [b] (content), `tokens` int [b]; `second` gives the
    second stage's features (float32) for the first stage's answers. `weight`: of the page, 1 for full. `site` never stands
    on both sides of a fold."""

    site: str
    features: np.ndarray
    labels: np.ndarray
    tokens: np.ndarray
    second: Callable[[np.ndarray], np.ndarray]
    weight: float = 1.0


@dataclass(frozen=True)
class ExtractorSettings:
    """`trees`, `leaves`: of the first stage; `second_trees`, `second_leaves`: of the second; `rate`: shrinkage; `least_rows`
    in a leaf; `token_share`: part of a page's weight that is shared out by tokens, the rest by blocks; `folds` of sites."""

    trees: int = 120
    leaves: int = 24
    second_trees: int = 80
    second_leaves: int = 16
    rate: float = 0.1
    least_rows: int = 40
    token_share: float = 0.7
    folds: int = 3
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class TrainedExtractor:
    """The two boosters; `dumps` are what a walker of trees needs."""

    first: Any
    second: Any

    def dumps(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.first.dump_model(), self.second.dump_model()

    def answers(self, page: TrainingPage) -> np.ndarray:
        """Probability of content for each block."""
        if not len(page.labels):
            return np.zeros(0, np.float32)
        first = self.first.predict(page.features).astype(np.float32)
        return self.second.predict(page.second(first)).astype(np.float32)


def train_extractor(pages: Sequence[TrainingPage], settings: ExtractorSettings = ExtractorSettings()) -> TrainedExtractor:
    """Train both stages. Raises TrainingError without LightGBM, or when a fold of sites would be empty."""
    pages = [page for page in pages if len(page.labels)]
    folds = np.array([fold_of(page.site, settings.folds, settings.seed) for page in pages])
    if len(np.unique(folds)) < 2:
        raise TrainingError("sites to train with\n  wanted: at least two folds of sites\n  found:  all pages in one")
    rows = [page.features for page in pages]
    unseen: list[np.ndarray] = [np.zeros(0, np.float32)] * len(pages)
    for fold in np.unique(folds):
        known = [i for i in range(len(pages)) if folds[i] != fold]
        model = _boost(pages, rows, known, settings, settings.trees, settings.leaves)
        for i in np.flatnonzero(folds == fold):
            unseen[i] = model.predict(pages[i].features).astype(np.float32)
    everything = list(range(len(pages)))
    second_rows = [page.second(answers) for page, answers in zip(pages, unseen, strict=True)]
    return TrainedExtractor(
        _boost(pages, rows, everything, settings, settings.trees, settings.leaves),
        _boost(pages, second_rows, everything, settings, settings.second_trees, settings.second_leaves),
    )


def cross_validated(
    pages: Sequence[TrainingPage],
    settings: ExtractorSettings = ExtractorSettings(),
    use: Sequence[bool] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[np.ndarray]:
    """For each page the answers of a model that has seen no page of its site. `use` says which pages may be trained with."""
    usable = [True] * len(pages) if use is None else list(use)
    folds = [fold_of(page.site, settings.folds, settings.seed + 1) for page in pages]
    answers: list[np.ndarray] = [np.zeros(0, np.float32)] * len(pages)
    for fold in sorted(set(folds)):
        known = [page for page, f, u in zip(pages, folds, usable, strict=True) if u and f != fold]
        model = train_extractor(known, settings)
        for i, page in enumerate(pages):
            if folds[i] == fold:
                answers[i] = model.answers(page)
        progress(f"fold {fold}: trained with {len(known)} pages")
    return answers


def fold_of(site: str, folds: int, seed: int = 0) -> int:
    """Fold of a site, by a hash: the same in every run."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\x1f{site}".encode(), digest_size=8).digest(), "little") % folds


def row_weights(page: TrainingPage, token_share: float) -> np.ndarray:
    """Weights of a page's blocks; their sum is the page's weight."""
    total = max(int(page.tokens.sum()), 1)
    return page.weight * (token_share * page.tokens / total + (1 - token_share) / len(page.tokens))


def _boost(
    pages: Sequence[TrainingPage], rows: Sequence[np.ndarray], chosen: Sequence[int],
    settings: ExtractorSettings, trees: int, leaves: int,
) -> Any:  # fmt: skip
    lightgbm = _trainer()
    weights = np.concatenate([row_weights(pages[i], settings.token_share) for i in chosen])
    data = lightgbm.Dataset(
        np.concatenate([rows[i] for i in chosen]),
        label=np.concatenate([pages[i].labels for i in chosen]).astype(np.float32),
        weight=(weights / weights.mean()).astype(np.float32),
        params={"max_bin": 127, "bin_construct_sample_cnt": 100_000, "verbosity": -1},
    )
    return lightgbm.train(
        {
            "objective": "binary",
            "num_leaves": leaves,
            "learning_rate": settings.rate,
            "min_data_in_leaf": settings.least_rows,
            "feature_fraction": 0.5,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "lambda_l2": 1.0,
            "max_bin": 127,
            "use_missing": False,
            "seed": settings.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": settings.threads,
            "verbosity": -1,
        },
        data,
        num_boost_round=trees,
    )


def _trainer() -> Any:
    try:
        import lightgbm
    except ModuleNotFoundError as error:
        hint = "pip install 'curation[train]'"
        raise TrainingError(f"training\n  wanted: lightgbm\n  found:  not installed\n  try:    {hint}") from error
    return lightgbm
