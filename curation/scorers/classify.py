"""Scores of a classifier, by its card: quality, toxicity, or any other criterion someone has trained a model for.

Only scores: `filters/threshold` decides, so that a changed threshold runs no model again.

Source: fastText (arXiv:1607.01759); pre-processing and labels as each card says, with the card's own source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa

from classifiers.card import Card, CardError, check_kind
from classifiers.linear_fasttext import LinearFastText
from curation.errors import ModelError, RecipeError, explain_mismatch
from curation.scorers.model_files import card_files, card_of, column_names, model_ref
from curation.stage import Apply, ModelRef, Resources, Stage

KIND = "linear_fasttext"


@dataclass(frozen=True)
class Classify(Stage):
    """Adds a float32 column for each label: `score_<card>` when there is one, `score_<card>_<label>` when there are several.
    Range and direction are the card's; null where the model has nothing to go by (a null text, or one of white space).

    `card`: a card's name, the path of a card of one's own (.toml), or the path of fastText weights (.bin, .ftz) that have
    none; then `labels` and `preprocessing` (a name of classifiers/preprocessing.py) must be given. `labels`: those to score;
    default: the card's `scored`. `weights`: where the weights lie that a card leaves to the user; else the environment
    variable CURATION_WEIGHTS_<CARD>.

    Raises RecipeError for a card that is not there or is of another architecture, and for labels that are not on it;
    ModelError, before any work, for weights that are missing, are others, or lack a label.
    """

    card: str = "quality_en"
    labels: tuple[str, ...] = ()
    weights: str = ""
    preprocessing: str = ""

    libraries: ClassVar[tuple[str, ...]] = ("fasttext-predict", "polars")
    path_fields: ClassVar[tuple[str, ...]] = ("card", "weights")
    reusable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        card = self._card()
        unknown = [label for label in self.labels if card.labels and label not in card.labels]
        if unknown or not self._labels(card):
            found = ", ".join(unknown) or "none, and the card leaves the choice to the recipe"
            wanted = f"of {', '.join(card.labels)}" if card.labels else "labels of the model"
            raise RecipeError(explain_mismatch(f"{self.name}: labels", wanted=wanted, found=found))
        columns = column_names(card, self._labels(card))
        if len(set(columns)) < len(columns):
            raise RecipeError(explain_mismatch(f"{self.name}: labels", wanted="one column each", found=", ".join(columns)))

    def _card(self) -> Card:
        return card_of(self.name, self.card, KIND, self.preprocessing)

    def _labels(self, card: Card) -> tuple[str, ...]:
        return self.labels or card.scored

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        card = self._card()
        return dict.fromkeys(column_names(card, self._labels(card)), pa.float32())

    @property
    def models(self) -> tuple[ModelRef, ...]:
        return (model_ref(self._card(), self.label, self.weights),)

    @property
    def files(self) -> tuple[Path, ...]:
        return card_files(self.card)

    @property
    def resources(self) -> Resources:
        return Resources(memory_gb=max(0.2, round(1.5 * self._card().size / 2**30, 1)))

    def check_models(self, models: Mapping[str, Path]) -> None:
        """Load the model once: weights of another architecture, or without a label, are told before any work."""
        self._open(models)

    def _open(self, models: Mapping[str, Path]) -> LinearFastText:
        card = self._card()
        try:
            check_kind(models[card.name], KIND)
            return LinearFastText.of(card, models[card.name], self._labels(card))
        except CardError as error:
            raise ModelError(f"{self.name}: {error}") from error

    def bind(self, models: Mapping[str, Path]) -> Apply:
        """Load the weights once; the result maps a batch to `doc` and the score columns."""
        model = self._open(models)
        names = tuple(self.adds)

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            scores = model.score(batch["text"].fill_null("").to_list())
            found = [pl.Series(name, scores[:, i]).fill_nan(None) for i, name in enumerate(names)]
            return batch.select("doc").with_columns(found)

        return apply
