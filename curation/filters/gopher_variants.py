"""What both Gopher filters share: the names of the variants, RedStone's normalisation, bounds, and datatrove's quirks.

Source: Dolma (669f5348), DCLM (361714bd), RedStone (e731748d) `rule_based_filters/utils.py`; datatrove 0.10.1
`utils/word_tokenizers.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields

import numpy as np
import polars as pl
import pyarrow as pa

from curation.filters.by_language import LanguageFilter, measure_words
from curation.options import check_choice, check_number, refuse
from curation.text.words import Words

VARIANTS = ("datatrove", "dolma", "dclm", "redstone")


@dataclass(frozen=True)
class GopherFilter(LanguageFilter):
    """A filter by Gopher's rules as one of VARIANTS has them: `variant`."""

    variant: str = field(default="datatrove", kw_only=True)

    def check(self, compats: Mapping[str, str], bounds: Iterable[str], without_effect: Iterable[str]) -> None:
        """Raises RecipeError on an unknown variant, a `compat` that is not the variant's (`compats`), a tokenizer where
        the variant has its own, one of `bounds` that is neither None nor a finite number, and one that is set although
        the variant has no rule for it (`without_effect`)."""
        check_choice(self, "variant", VARIANTS)
        allowed = ["", *([compats[self.variant]] if self.variant in compats else [])]
        if self.compat not in allowed:
            wanted = f"{' or '.join(map(repr, allowed))} with variant {self.variant!r}"
            refuse(self, "compat", wanted, repr(self.compat))
        defaults = {field.name: field.default for field in fields(self) if field.default is not MISSING}
        if self.variant != "datatrove" and self.tokenizer != defaults["tokenizer"]:
            wanted = f"nothing, as variant {self.variant!r} says what a word is"
            refuse(self, "tokenizer", wanted, repr(self.tokenizer))
        for name in without_effect:
            value = getattr(self, name)
            if value is not None and value != defaults[name]:
                refuse(self, name, f"nothing, as variant {self.variant!r} has no such rule", repr(value))
        check_number(self, *bounds, optional=True)
        super().__post_init__()


def zero_is_off(bound: float | None, compat: str) -> float | None:
    """The bound; with datatrove's `compat` a zero is None, as that code asks whether a bound is true."""
    return None if compat == "datatrove" and bound == 0 else bound


def normalised(batch: pl.DataFrame) -> pl.DataFrame:
    """The batch with its text as RedStone counts it: NFKC, lower case, line and paragraph separators as newlines."""
    text = pl.col("text").fill_null("").str.normalize("NFKC").str.to_lowercase()
    return batch.with_columns(text.str.replace_all("[\u2028\u2029]", "\n").alias("text"))


SYMBOL_NAME = "IS_ALPHA"
"""A word on which spaCy fails inside datatrove, which then splits the text without it."""


def as_datatrove_splits(
    batch: pl.DataFrame, tokenizer: str, measure: Callable[[pl.DataFrame], pl.DataFrame], of_words: Iterable[str]
) -> pl.DataFrame:
    """What `measure` says of the batch. Texts of which SYMBOL_NAME is a word have the columns `of_words` measured on what
    is left when every occurrence of it is deleted. (datatrove spares the first such text of a process.)"""
    measured = measure(batch)
    suspects = np.flatnonzero(batch["text"].str.contains(SYMBOL_NAME, literal=True).fill_null(False).to_numpy())
    if not suspects.size:
        return measured

    def has_name(words: Words, language: str | None) -> Mapping[str, np.ndarray]:
        return {"found": np.array([SYMBOL_NAME in words.strings(i) for i in range(words.first.size - 1)], dtype=np.int32)}

    found = measure_words(batch[suspects], {"found": pa.int32()}, tokenizer, False, has_name)["found"].to_numpy()
    rows = suspects[found > 0]
    if not rows.size:
        return measured
    again = measure(batch[rows].with_columns(pl.col("text").str.replace_all(SYMBOL_NAME, "", literal=True)))
    return measured.with_columns(measured[name].scatter(rows, again[name]) for name in of_words)
