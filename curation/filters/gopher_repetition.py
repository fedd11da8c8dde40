"""Gopher's repetition rules: repeated lines and paragraphs, frequent and repeated n-grams.

The paper leaves open what is counted, and each code base counts something else: `variant` says whose rules these are.
Decisions are datatrove 0.10.1's by default: a repeated line is one that occurred before (the first does not count); a
top n-gram is joined by blanks and counts even when it occurs once; a repeated n-gram is joined without blanks and met
from left to right; all shares are of the text's code points. The others: gopher_repetition_variants.py.

Source: Rae et al., Scaling Language Models (Gopher), arXiv:2112.11446, appendix A.1.1 and table A1; datatrove 0.10.1
`pipeline/filters/gopher_repetition_filter.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.filters.by_language import measure_words
from curation.filters.gopher_repetition_variants import REPEATED, TOP, counts_of, measure, reasons_of, rules_of
from curation.filters.gopher_variants import GopherFilter, as_datatrove_splits, zero_is_off
from curation.filters.language_settings import LanguageSettings
from curation.filters.rules import Rule, flag_rule, share_rule
from curation.text.compiled import kernel, leaf
from curation.text.repeats import (
    code_points,
    lay_flat,
    new_tables,
    repeated_n_gram_chars,
    repeated_segments,
    top_n_gram_chars,
)
from curation.text.segments import cut_at_newlines, stripped
from curation.text.words import Words

_N_GRAMS = (*(f"top_{n}_chars" for n in TOP), *(f"dup_{n}_chars" for n in REPEATED))
_COUNTS = (
    "chars",
    "paragraphs",
    "dup_paragraphs",
    "dup_paragraph_chars",
    "lines",
    "dup_lines",
    "dup_line_chars",
    *_N_GRAMS,
)
_PREFIX = "stat_gopher_repetition_"
_BOUNDS = (
    *("dup_para_max", "dup_para_chars_max", "dup_line_max", "dup_line_chars_max", "dup_line_chars_of_words_max"),
    *(f"top_{n}_gram_max" for n in TOP),
    *(f"dup_{n}_gram_max" for n in REPEATED),
)
_COMPATS = {"datatrove": "datatrove", "dclm": "uniseg-0.8"}
"""Variant -> the `compat` it has."""

_WITHOUT_EFFECT = {
    "dolma": ("dup_para_max", "dup_para_chars_max", "dup_line_chars_max"),
    "dclm": ("dup_line_chars_of_words_max",),
    "redstone": ("dup_para_max", "dup_para_chars_max", "dup_line_chars_of_words_max"),
}
"""Bounds that a variant has no rule for; datatrove's lacks what "dclm" lacks."""


@leaf
def _measure_text(words, text, tables, counts):
    data, start, end = words.data, words.text_start[text], words.text_start[text + 1]
    counts[0] = code_points(data, start, end)
    first, last = stripped(data, start, end)
    n = cut_at_newlines(data, first, last, 2, tables)
    counts[1] = n
    counts[2], counts[3] = repeated_segments(data, tables, n)
    n = cut_at_newlines(data, start, end, 1, tables)
    counts[4] = n
    counts[5], counts[6] = repeated_segments(data, tables, n)
    n = lay_flat(words, text, tables)
    for i in range(2, 5):
        counts[5 + i] = top_n_gram_chars(words, text, tables, n, i)
    for i in range(5, 11):
        counts[5 + i] = repeated_n_gram_chars(words, text, tables, n, i)


@kernel
def _measure(words):
    """int32 [16, n_texts]: the measures, in the order of _COUNTS."""
    texts = words.text_start.size - 1
    counts = np.zeros((texts, 16), dtype=np.int32)
    items, longest = 0, 0
    for text in range(texts):
        newlines = 0
        for at in range(words.text_start[text], words.text_start[text + 1]):
            newlines += words.data[at] == 10
        items = max(items, newlines + 1, words.first[text + 1] - words.first[text])
        longest = max(longest, words.text_start[text + 1] - words.text_start[text])
    tables = new_tables(items, longest)
    for text in range(texts):
        _measure_text(words, text, tables, counts[text])
    return counts.T.copy()


@dataclass(frozen=True)
class GopherRepetition(GopherFilter):
    """Drops documents that repeat themselves; the first rule that fires is the reason, the detail names all that fired.

    `variant`: whose rules, with all their published bounds: "datatrove" (FineWeb), "dolma" (gopher_v1 with the mixing
    configuration of Dolma 1.6), "dclm" (DCLM-Baseline) or "redstone". What they count differs, see
    gopher_repetition_variants.py; what follows is datatrove's.

    - `empty`: no text.
    - `dup_para`, `dup_para_chars`: share of paragraphs (between two or more newlines) that occurred before, and share of
      the text's code points in them > `dup_para_max`, `dup_para_chars_max`. Not in "dolma" and "redstone".
    - `dup_line`, `dup_line_chars`: the same of lines (between newlines) > `dup_line_max`, `dup_line_chars_max`. In
      "dolma" the latter is over the code points of words and bounded by `dup_line_chars_of_words_max`.
    - `top_2_gram` to `top_4_gram`: code points of the most frequent n-gram, times its count, over those of the text
      > `top_2_gram_max`, `top_3_gram_max`, `top_4_gram_max`. (Dolma's configuration misspells these three measures, so
      that they never fired there; None says the same.)
    - `dup_5_gram` to `dup_10_gram`: share of code points in n-grams met before > `dup_5_gram_max`, `dup_6_gram_max`,
      `dup_7_gram_max`, `dup_8_gram_max`, `dup_9_gram_max`, `dup_10_gram_max`.
    - `unknown_language`: see `otherwise`.

    A bound of None switches its rule off; zero is a bound; a bound may not be set where the variant lacks its rule.
    `tokenizer`: a language (`eng_Latn`) whose words make the n-grams, or "language" for each row's own; datatrove's
    variant only, the others say what a word is. `by_language`: a table of settings (filters/language_settings) that
    replaces bounds by the row's language; `otherwise` says what happens to a language it does not list: "default"
    (these bounds), "keep" or "drop". `compat="datatrove"`: zeros switch rules on lines and paragraphs off, and a text
    that holds the word IS_ALPHA is split without it, as that code does; `compat="uniseg-0.8"` with "dclm": the word
    boundaries of that release (text/word_breaks.py). Raises RecipeError on an unknown variant, table, language or
    option.
    """

    dup_para_max: float | None = 0.3
    dup_para_chars_max: float | None = 0.2
    dup_line_max: float | None = 0.3
    dup_line_chars_max: float | None = 0.2
    top_2_gram_max: float | None = 0.20
    top_3_gram_max: float | None = 0.18
    top_4_gram_max: float | None = 0.16
    dup_5_gram_max: float | None = 0.15
    dup_6_gram_max: float | None = 0.14
    dup_7_gram_max: float | None = 0.13
    dup_8_gram_max: float | None = 0.12
    dup_9_gram_max: float | None = 0.11
    dup_10_gram_max: float | None = 0.10
    dup_line_chars_of_words_max: float | None = 0.3

    measure_fields: ClassVar[tuple[str, ...]] = ("tokenizer", "compat", "variant")

    def __post_init__(self) -> None:
        self.check(_COMPATS, _BOUNDS, _WITHOUT_EFFECT.get(self.variant, _WITHOUT_EFFECT["dclm"]))

    @property
    def table_compat(self) -> str:
        return self.compat if self.variant == "datatrove" else ""

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        names = _COUNTS if self.variant == "datatrove" else counts_of(self.variant)
        return {f"{_PREFIX}{name}": pa.int32() for name in names}

    @property
    def reasons(self) -> tuple[str, ...]:
        if self.variant != "datatrove":
            return reasons_of(self.variant)
        segments = ("empty", "dup_para", "dup_para_chars", "dup_line", "dup_line_chars")
        return (*segments, *(f"top_{n}_gram" for n in TOP), *(f"dup_{n}_gram" for n in REPEATED))

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Counts, int32: code points; paragraphs, those that occurred before and their code points; the same of lines;
        code points of the top 2- to 4-grams; code points of 5- to 10-grams met before. Those of a variant: `counts_of`."""
        if self.variant != "datatrove":
            return measure(batch, self.variant, _PREFIX, self.compat)
        if self.compat == "datatrove":
            return as_datatrove_splits(batch, self.tokenizer, self._measure, [f"{_PREFIX}{name}" for name in _N_GRAMS])
        return self._measure(batch)

    def _measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        def counts(words: Words, language: str | None) -> Mapping[str, np.ndarray]:
            return dict(zip(self.adds, _measure(words), strict=True))

        return measure_words(batch, self.adds, self.tokenizer, False, counts)

    def _bound(self, reason: str) -> pl.Expr:
        """The bound of a reason, for each row."""
        settings = self.settings
        kind, _, rest = reason.partition("_")
        if reason == "dup_line":
            return settings.bound("dup_line_frac", zero_is_off(self.dup_line_max, self.compat))
        if rest.endswith("_gram"):
            field = f"{kind}_n_grams.{rest.removesuffix('_gram')}"
            return settings.bound(field, getattr(self, f"{reason}_max"))
        of_words = reason == "dup_line_chars" and self.variant == "dolma"
        bound = self.dup_line_chars_of_words_max if of_words else getattr(self, f"{reason}_max")
        return pl.lit(zero_is_off(bound, self.compat), dtype=pl.Float64)

    def rules(self, settings: LanguageSettings) -> list[Rule]:
        """In the order of the reference."""
        return self._rules() if self.variant == "datatrove" else rules_of(self.variant, _PREFIX, self._bound)

    def _rules(self) -> list[Rule]:
        """The rules of datatrove."""
        n = {name: pl.col(f"{_PREFIX}{name}") for name in _COUNTS}
        shares = {
            "dup_para": (n["dup_paragraphs"], n["paragraphs"]),
            "dup_para_chars": (n["dup_paragraph_chars"], n["chars"]),
            "dup_line": (n["dup_lines"], n["lines"]),
            "dup_line_chars": (n["dup_line_chars"], n["chars"]),
            **{f"top_{i}_gram": (n[f"top_{i}_chars"], n["chars"]) for i in TOP},
            **{f"dup_{i}_gram": (n[f"dup_{i}_chars"], n["chars"]) for i in REPEATED},
        }
        rules = [flag_rule("empty", n["chars"] == 0, "no text")]
        return rules + [share_rule(name, *share, ">", self._bound(name)) for name, share in shares.items()]
