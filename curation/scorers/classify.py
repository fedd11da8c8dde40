"""Scores of a classifier, by its card: quality, toxicity, or any other criterion someone has trained a model for.

Only scores: `filters/threshold` decides, so that a changed threshold runs no model again.

A card is of a linear model (fastText) or of an encoder (transformers: extra `neural`); docs/encoders.md says how encoders
are served.

Source: fastText (arXiv:1607.01759); encoders as classifiers/encoder.py says; pre-processing and labels as each card says,
with the card's own source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import polars as pl
import pyarrow as pa

from classifiers.card import Card, CardError, check_kind, find_weights
from classifiers.linear_fasttext import LinearFastText
from curation.errors import ModelError, RecipeError, explain_mismatch
from curation.scorers.encoder_cards import (
    EncoderScores,
    check_encoders,
    encoder_refs,
    encoder_resources,
    open_server,
    resolved_device,
)
from curation.scorers.model_files import card_files, card_of, column_names, model_ref
from curation.stage import Apply, ModelRef, Resources, Stage

if TYPE_CHECKING:
    from classifiers.serve import Server

KIND = "linear_fasttext"

ENCODER_FIELDS = {
    "also": (), "head": "", "long": "", "device": "cpu", "precision": "", "batch_tokens": 0, "gpus": 1.0,
}  # fmt: skip
"""What only encoders have, with its defaults."""


@dataclass(frozen=True)
class Classify(Stage):
    """Adds a float32 column for each label: `score_<card>` when there is one, `score_<card>_<label>` when there are several.
    Range and direction are the card's; null where the model has nothing to go by (a null text, or one of white space).

    `card`: a card's name, the path of a card of one's own (.toml), or the path of fastText weights (.bin, .ftz) that have
    none; then `labels` and `preprocessing` (a name of classifiers/preprocessing.py) must be given. `labels`: those to score;
    default: the card's `scored`. `weights`: where the weights lie that a card leaves to the user; else the environment
    variable CURATION_WEIGHTS_<CARD>.

    Of encoders, `card` may also be a folder that transformers loads, `hub:OWNER/NAME[@REVISION]` from the local cache or
    `download:OWNER/NAME[@REVISION]`, with `labels`; so may `weights`. `head`: where a linear head lies that a card leaves to
    the user. `also`: further cards scored in the same stage: models of one tokenizer share its work, linear heads over one
    encoder its pass. `long`: what is scored of texts longer than the model takes, "head", "head_tail" or "mean"; "": as the
    card says. `device`: "cpu", "cuda", or "auto", which becomes one of the two where the stage is made and is kept as such.
    `precision`: "float32", "bfloat16"; "": float32 on a CPU, bfloat16 on CUDA. `batch_tokens`: tokens of a batch with its
    padding, 0: by device. `gpus`: share of a GPU a worker asks for, more than 0; decides no score.

    Raises RecipeError for a card that is not there or is of another architecture, for labels that are not on it, and for
    encoders' fields beside a linear card; ModelError, before any work, for weights that are missing, are others, or lack a
    label, for a missing extra and for a device that is not there.
    """

    card: str = "quality_en"
    labels: tuple[str, ...] = ()
    weights: str = ""
    preprocessing: str = ""
    also: tuple[str, ...] = ()
    head: str = ""
    long: str = ""
    device: str = "cpu"
    precision: str = ""
    batch_tokens: int = 0
    gpus: float = 1.0

    # `gpus` is no path, but like them it decides where the work is done and never what comes of it
    path_fields: ClassVar[tuple[str, ...]] = ("card", "weights", "head", "also", "gpus")
    reusable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "also", tuple(self.also))
        card = self._card()
        if self._is_encoder():
            check_encoders(self.name, self._cards(), {name: getattr(self, name) for name in ENCODER_FIELDS})
            object.__setattr__(self, "device", resolved_device(self.device))
        elif self.device == "auto":
            object.__setattr__(self, "device", "cpu")
        for name, default in ENCODER_FIELDS.items():
            if not self._is_encoder() and getattr(self, name) != default:
                wanted = f"nothing beside a card of kind {card.kind}"
                raise RecipeError(explain_mismatch(f"{self.name}: {name}", wanted=wanted, found=getattr(self, name)))
        unknown = [label for label in self.labels if card.labels and label not in card.labels]
        if unknown or not self._labels(card):
            found = ", ".join(unknown) or "none, and the card leaves the choice to the recipe"
            wanted = f"of {', '.join(card.labels)}" if card.labels else "labels of the model"
            raise RecipeError(explain_mismatch(f"{self.name}: labels", wanted=wanted, found=found))
        columns = self._columns()
        if len(set(columns)) < len(columns):
            raise RecipeError(explain_mismatch(f"{self.name}: labels", wanted="one column each", found=", ".join(columns)))

    def _card(self) -> Card:
        return card_of(self.name, self.card, (KIND, "encoder"), self.preprocessing)

    def _cards(self) -> list[Card]:
        return [self._card(), *(card_of(self.name, name, "encoder", "") for name in self.also)]

    def _is_encoder(self) -> bool:
        return self._card().kind == "encoder"

    def _labels(self, card: Card) -> tuple[str, ...]:
        return self.labels or card.scored

    def _all_labels(self) -> list[tuple[str, ...]]:
        """Of each card: those asked for of the first, the cards' own of the others."""
        first, *others = self._cards()
        return [self._labels(first), *(card.scored for card in others)]

    def _columns(self) -> list[str]:
        made = zip(self._cards(), self._all_labels(), strict=True)
        return [column for card, labels in made for column in column_names(card, labels)]

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the model's kind."""
        return ("tokenizers", "torch", "transformers", "polars") if self._is_encoder() else ("fasttext-predict", "polars")

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return dict.fromkeys(self._columns(), pa.float32())

    @property
    def models(self) -> tuple[ModelRef, ...]:
        if self._is_encoder():
            return encoder_refs(self._cards(), self.label, self.weights, self.head)
        return (model_ref(self._card(), self.label, self.weights),)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(path for card in (self.card, *self.also) for path in card_files(card))

    @property
    def resources(self) -> Resources:
        if self._is_encoder():
            return encoder_resources(self._cards(), self.weights, self.device, self.gpus)
        return Resources(memory_gb=max(0.2, round(1.5 * self._card().size / 2**30, 1)))

    @property
    def encoder_bytes(self) -> int:
        """Bytes of the weights of encoders that a processor computes with; 0 for a linear model and on a GPU."""
        if not self._is_encoder() or self.device != "cpu":
            return 0
        return sum(find_weights(card, self.weights if i == 0 else "").size for i, card in enumerate(self._cards()))

    def check_models(self, models: Mapping[str, Path]) -> None:
        """Load the model once: weights of another architecture, or without a label, are told before any work."""
        if self._is_encoder():
            # the machine that plans need not be one with a GPU
            self._open_encoders(models, device="cpu")
        else:
            self._open(models)

    def _open_encoders(self, models: Mapping[str, Path], device: str) -> Server:
        cards, labels = self._cards(), self._all_labels()
        precision = self.precision if device == self.device else ""
        return open_server(
            self.name, cards, labels, models, long=self.long, device=device, precision=precision, budget=self.batch_tokens
        )

    def _open(self, models: Mapping[str, Path]) -> LinearFastText:
        card = self._card()
        try:
            check_kind(models[card.name], KIND)
            return LinearFastText.of(card, models[card.name], self._labels(card))
        except CardError as error:
            raise ModelError(f"{self.name}: {error}") from error

    def bind(self, models: Mapping[str, Path]) -> Apply:
        """Load the weights once; the result maps a batch to `doc` and the score columns."""
        names = tuple(self.adds)
        if self._is_encoder():
            pairs = zip(self._cards(), self._all_labels(), strict=True)
            columns = dict(zip(names, (f"{card.name}/{label}" for card, labels in pairs for label in labels), strict=True))
            return EncoderScores(self._open_encoders(models, self.device), self._card().preprocessing, columns)
        model = self._open(models)

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            scores = model.score(batch["text"].fill_null("").to_list())
            found = [pl.Series(name, scores[:, i]).fill_nan(None) for i, name in enumerate(names)]
            return batch.select("doc").with_columns(found)

        return apply
