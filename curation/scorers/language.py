"""Language of a document: ISO 639-3 and script, with the model's probability.

The label and the probability are lid.176's, over the whole text with newlines turned to spaces, exactly as
datatrove's LanguageFilter (backend ft176) computes them. Only the code is ours: lid.176 says `sr`, this stage says
`srp_Cyrl` or `srp_Latn`, by the letters of the text.

Source: Joulin et al., arXiv:1607.01759 and arXiv:1612.03651 (lid.176); pre-processing after datatrove
`pipeline/filters/language_filter.py` and `utils/lid.py`; codes after FineWeb2 (arXiv:2506.20920).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from classifiers.card import load_card
from classifiers.linear_fasttext import LinearFastText
from curation.scorers.language_codes import CODES, SCRIPT_LETTERS, script_of
from curation.stage import Apply, ModelRef, Resources, Stage

CARD = "lid176"

SCRIPT_PREFIX_CHARACTERS = 2_000
"""How much of a text is looked at to tell its script: enough to outweigh a menu, and a bound on the cost."""


@dataclass(frozen=True)
class Language(Stage):
    """Adds `language` (`eng_Latn`) and `score_language` (probability of the label, float32, 0 to 1.0001).

    Both are null where there is nothing to go by: a null text, or one of white space only. The probability is that of
    the language; the script is counted, not guessed. Raises KeyError in `bind` when the weights are not lid.176's.
    """

    libraries: ClassVar[tuple[str, ...]] = ("fasttext-predict", "polars")
    reusable: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {"language": pa.string(), "score_language": pa.float32()}

    @property
    def models(self) -> tuple[ModelRef, ...]:
        card = load_card(CARD)
        return (ModelRef(name=CARD, sha256=card.sha256, location=card.location),)

    @property
    def resources(self) -> Resources:
        return Resources(memory_gb=0.2)

    def bind(self, models: Mapping[str, Path]) -> Apply:
        """Load lid.176 once; the result maps a batch to `doc`, `language`, `score_language`."""
        model = LinearFastText(models[CARD])
        choices = [CODES[label] for label in model.labels]

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            best, scores = model.top(batch["text"].fill_null("").to_list())
            found = pl.Series("score_language", scores).fill_nan(None)
            return batch.select("doc").with_columns(_codes(batch["text"], best, choices), found)

        return apply


def _codes(texts: pl.Series, best: np.ndarray, choices: list[tuple[str, ...]]) -> pl.Series:
    """Code of each text from its label's index (-1 = unknown); texts of several scripts are told by their letters."""
    usual = [codes[0] for codes in choices]
    codes: list[str | None] = [usual[i] if i >= 0 else None for i in best]
    for label in np.unique(best[best >= 0]):
        if len(choices[label]) > 1:
            rows = np.flatnonzero(best == label)
            for row, which in zip(rows, _likeliest_script(texts[rows], choices[label]), strict=True):
                codes[row] = choices[label][which]
    return pl.Series("language", codes, dtype=pl.String)


def _likeliest_script(texts: pl.Series, codes: tuple[str, ...]) -> np.ndarray:
    """Index into `codes` of the script with most letters at the start of each text; the first where they tie."""
    heads = texts.str.head(SCRIPT_PREFIX_CHARACTERS)
    counts = [heads.str.count_matches(SCRIPT_LETTERS[script_of(code)]).to_numpy() for code in codes]
    return np.argmax(np.stack(counts), axis=0)
