"""Perplexity of a document under an n-gram model, by its card: low where the text is like the model's training text.

Under a model of clean text low is clean; under one of harmful text low is harmful, and `filters/threshold` keeps what lies
above. Only scores: a changed threshold runs no model again.

Source: CCNet (arXiv:1911.00359), cc_net `perplexity.py` and `mine.py`; Perplexed by Quality (arXiv:2212.10440).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from classifiers.card import Card, CardError, check_kind
from classifiers.ngram_kenlm import NgramKenlm
from curation.errors import ModelError, RecipeError, explain_mismatch
from curation.scorers.language_codes import CODES
from curation.scorers.model_files import card_files, card_of, column_names, model_ref
from curation.stage import Apply, ModelRef, Resources, Stage

KIND = "ngram_kenlm"


@dataclass(frozen=True)
class Perplexity(Stage):
    """Adds `score_<card>`, float32: 10 ** -(sum of log10 probabilities / tokens), sentence ends counted. Null where there are
    fewer than `min_tokens` tokens (words or pieces, without sentence ends): short texts scatter widely.

    `card`: a card's name, the path of a card of one's own (.toml), or the path of KenLM weights (.bin, .arpa) that have
    none; then `preprocessing` (a name of classifiers/preprocessing.py) must be given. `quantiles` (0 to 1): adds
    `score_<card>_line_p<percent>`, the quantiles of the perplexity over the document's lines. `weights`, `pieces`: where the
    model and its SentencePiece model lie that a card leaves to the user; else the environment variables
    CURATION_WEIGHTS_<CARD> and CURATION_WEIGHTS_<CARD>_PIECES.

    `languages`: lid.176's codes (`en`, `de`) of languages with a model each; `weights` and `pieces` then hold `{language}`,
    the stage reads `language` too, and a document of another language has no score: null. Raises RecipeError for a card that
    is not there or is of another architecture and for settings that do not fit; ModelError, before any work, for weights
    that are missing or others.
    """

    card: str = "perplexity_en"
    quantiles: tuple[float, ...] = ()
    min_tokens: int = 20
    languages: tuple[str, ...] = ()
    weights: str = ""
    pieces: str = ""
    preprocessing: str = ""

    path_fields: ClassVar[tuple[str, ...]] = ("card", "weights", "pieces")
    reusable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for field in ("quantiles", "languages"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        self._card()
        for name, right, wanted, found in (
            ("quantiles", all(0 <= q <= 1 for q in self.quantiles), "numbers in 0 to 1", self.quantiles),
            ("quantiles", len(set(self._quantile_names())) == len(self.quantiles), "different percents", self.quantiles),
            ("min_tokens", self.min_tokens >= 1, "1 or more", self.min_tokens),
            ("languages", set(self.languages) <= set(CODES), "codes of lid.176, such as en", self.languages),
            ("languages", len(set(self.languages)) == len(self.languages), "each once", self.languages),
            ("weights", not self.weights or ("{language}" in self.weights) == bool(self.languages),
             "{language} in it where there are languages, and only there", self.weights),
            ("pieces", not self.pieces or ("{language}" in self.pieces) == bool(self.languages),
             "{language} in it where there are languages, and only there", self.pieces),
        ):  # fmt: skip
            if not right:
                raise RecipeError(explain_mismatch(f"{self.name}: {name}", wanted=wanted, found=found))

    def _card(self) -> Card:
        return card_of(self.name, self.card, KIND, self.preprocessing)

    def _quantile_names(self) -> list[str]:
        column = column_names(self._card(), ("perplexity",))[0]
        return [f"{column}_line_p{100 * q:g}".replace(".", "_") for q in self.quantiles]

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """SentencePiece decides only where the model has pieces."""
        return ("kenlm-ex", "polars", "sentencepiece") if self._has_pieces() else ("kenlm-ex", "polars")

    def _has_pieces(self) -> bool:
        return bool(self.pieces) or self._card().pieces is not None

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text", "language") if self.languages else ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        names = [*column_names(self._card(), ("perplexity",)), *self._quantile_names()]
        return dict.fromkeys(names, pa.float32())

    @property
    def models(self) -> tuple[ModelRef, ...]:
        card = self._card()
        parts = (("", self.weights), ("pieces", self.pieces)) if self._has_pieces() else (("", self.weights),)
        return tuple(
            model_ref(card, self.label, given, part, language) for language in self.languages or ("",) for part, given in parts
        )

    @property
    def files(self) -> tuple[Path, ...]:
        return card_files(self.card)

    @property
    def resources(self) -> Resources:
        return Resources(memory_gb=max(0.2, round(1.2 * self._card().size / 2**30, 1)))

    def check_models(self, models: Mapping[str, Path]) -> None:
        """Load each model once: weights of another architecture are told before any work."""
        for language in self.languages or ("",):
            self._open(models, language)

    def _open(self, models: Mapping[str, Path], language: str) -> NgramKenlm:
        card = self._card()
        name = f"{card.name}_{language}" if language else card.name
        try:
            check_kind(models[name], KIND)
            return NgramKenlm.of(card, models[name], models.get(f"{name}_pieces"), self.min_tokens)
        except CardError as error:
            raise ModelError(f"{self.name}: {error}") from error

    def bind(self, models: Mapping[str, Path]) -> Apply:
        """Load the weights once; the result maps a batch to `doc` and the score columns."""
        opened = {language: self._open(models, language) for language in self.languages or ("",)}
        return partial(self._apply, opened)

    def _apply(self, models: Mapping[str, NgramKenlm], batch: pl.DataFrame) -> pl.DataFrame:
        texts = batch["text"].fill_null("")
        scores = np.full((batch.height, 1 + len(self.quantiles)), np.nan, dtype=np.float32)
        for language, model in models.items():
            rows = np.arange(batch.height)
            if language:
                rows = np.flatnonzero(batch["language"].is_in(CODES[language]).fill_null(False).to_numpy())
            own = texts[rows].to_list() if language else texts.to_list()
            scores[rows] = model.with_lines(own, self.quantiles) if self.quantiles else model.score(own)
        found = [pl.Series(name, scores[:, i]).fill_nan(None) for i, name in enumerate(self.adds)]
        return batch.select("doc").with_columns(found)
