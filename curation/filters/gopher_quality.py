"""Gopher's quality rules: length, word length, symbols, bullet and ellipsis lines, words with letters, stop words.

Decisions are datatrove 0.10.1's by default; reasons are named for what they mean (its `gopher_enough_stop_words` is our
`too_few_stop_words`). `variant` takes those of others, which count otherwise: gopher_quality_variants.py.

Source: Rae et al., Scaling Language Models (Gopher), arXiv:2112.11446, appendix A.1.1; datatrove 0.10.1
`pipeline/filters/gopher_quality_filter.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.filters.by_language import measure_words
from curation.filters.gopher_quality_variants import COUNTS, REASONS, measure, rules_of
from curation.filters.gopher_variants import GopherFilter, as_datatrove_splits, zero_is_off
from curation.filters.language_settings import LanguageSettings
from curation.filters.rules import Rule, share_rule, value_rule
from curation.text.buffers import space_size
from curation.text.chunk_book import HAS_LETTER, NOT_SYMBOL
from curation.text.compiled import kernel, leaf
from curation.text.line_breaks import break_size
from curation.text.word_set import WordSet, number_of, word_set
from curation.text.words import Words

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

_OF_WORDS = ("words", "non_symbol_words", "non_symbol_chars", "alpha_words", "stop_words")
_COUNTS = (*_OF_WORDS, "hashes", "ellipses", "lines", "bullet_lines", "ellipsis_lines")
_PREFIX = "stat_gopher_quality_"
_BOUNDS = {
    "short_doc": "min_words",
    "long_doc": "max_words",
    "below_avg_word_length": "min_avg_word_length",
    "above_avg_word_length": "max_avg_word_length",
    "too_many_hashes": "max_hash_ratio",
    "too_many_ellipsis": "max_ellipsis_ratio",
    "too_many_symbols": "max_symbol_ratio",
    "too_many_bullets": "max_bullet_lines",
    "too_many_end_ellipsis": "max_ellipsis_lines",
    "below_alpha": "min_alpha_words",
    "too_few_stop_words": "min_stop_words",
}
"""Reason -> field that bounds it."""

_BY_LANGUAGE = {
    "below_avg_word_length": "min_avg_word_length",
    "above_avg_word_length": "max_avg_word_length",
    "below_alpha": "max_non_alpha_words_ratio",
}
"""Reason -> field of a table of settings."""


@leaf
def _ends_in_ellipsis(data, start, end):
    """Whether data[start:end] ends in `...` or U+2026."""
    if end - start < 3:
        return False
    a, b, c = data[end - 3], data[end - 2], data[end - 1]
    return (a == 46 and b == 46 and c == 46) or (a == 0xE2 and b == 0x80 and c == 0xA6)


@leaf
def _end_line(data, solid, last, counts):
    """Counts a line of str.splitlines whose white-space-free part is data[solid:last]; solid < 0: it is blank."""
    counts[7] += 1
    if solid >= 0:
        bullet = last - solid >= 3 and data[solid] == 0xE2 and data[solid + 1] == 0x80 and data[solid + 2] == 0xA2
        counts[8] += bullet or data[solid] == 45
        counts[9] += _ends_in_ellipsis(data, solid, last)


@leaf
def _line_counts(data, start, end, counts):
    """counts[5:10] of one text: `#`, ellipses, lines of str.splitlines, those that begin with a bullet, end in dots."""
    at, line, solid, last, dots = start, start, np.int64(-1), start, 0
    while at < end:
        c = data[at]
        if c <= 32 or c == 0xC2 or 0xE1 <= c <= 0xE3:
            size = break_size(data, at, end)
            if size > 0:
                _end_line(data, solid, last, counts)
                at += size
                line, solid, dots = at, np.int64(-1), 0
                continue
            space = space_size(data, at, end)
            if space > 0:
                at += space
                dots = 0
                continue
            if c == 0xE2 and data[at + 1] == 0x80 and data[at + 2] == 0xA6:
                counts[6] += 1
        if solid < 0:
            solid = at
        dots = dots + 1 if c == 46 else 0
        if dots == 3:
            counts[6] += 1
            dots = 0
        counts[5] += c == 35
        at += 1
        last = at
    if at > line:
        _end_line(data, solid, last, counts)


@leaf
def _word_counts(words, stop_words, seen, text, counts):
    """counts[0:5] of one text: words, those not of punctuation alone, their code points, with a letter, stop words."""
    counts[0] = words.first[text + 1] - words.first[text]
    for i in range(words.first[text], words.first[text + 1]):
        flags = words.flags[i]
        if flags & NOT_SYMBOL:
            counts[1] += 1
            counts[2] += words.chars[i]
        if flags & HAS_LETTER:
            counts[3] += 1
        number = number_of(stop_words, words.data, words.start[i], words.size[i], words.hash[i])
        if number >= 0 and seen[number] != text:
            seen[number] = text
            counts[4] += 1


@kernel
def _measure(words, stop_words):
    """int32 [10, n_texts]: the measures, in the order of _COUNTS."""
    texts = words.text_start.size - 1
    counts = np.zeros((texts, 10), dtype=np.int32)
    seen = np.full(stop_words.offsets.size, -1, dtype=np.int64)
    for text in range(texts):
        _word_counts(words, stop_words, seen, text, counts[text])
        _line_counts(words.data, words.text_start[text], words.text_start[text + 1], counts[text])
    return counts.T.copy()


@cache
def _set_of(words: Iterable[str]) -> WordSet:
    return word_set(sorted(words))


@dataclass(frozen=True)
class GopherQuality(GopherFilter):
    """Drops documents by ten rules; the first that fires is the reason, the detail names every one that fired.

    `variant`: whose rules, with all their published bounds, which are the same but for what they bound: "datatrove"
    (FineWeb), "dolma" (gopher_v1 with the mixing configuration of Dolma 1.6), "dclm" (DCLM-Baseline) or "redstone". What
    they count differs, see gopher_quality_variants.py; what follows is datatrove's. There words are tokens of the
    reference tokenizer; those made of punctuation alone count as words only where said.

    - `short_doc`, `long_doc`: words but punctuation < `min_words` or > `max_words`.
    - `below_avg_word_length`, `above_avg_word_length`: their mean length in code points < `min_avg_word_length` or
      > `max_avg_word_length`; in "dolma" the median.
    - `too_many_hashes`, `too_many_ellipsis`: `#`, or `...` and U+2026, per word > `max_hash_ratio`, `max_ellipsis_ratio`.
      The other variants have one rule for both: `too_many_symbols`, bounded by `max_symbol_ratio`.
    - `too_many_bullets`, `too_many_end_ellipsis`: share of lines that begin with `-` or U+2022 > `max_bullet_lines`, that
      end in an ellipsis > `max_ellipsis_lines`. Lines are those of str.splitlines.
    - `below_alpha`: share of words with a letter < `min_alpha_words`.
    - `too_few_stop_words`: distinct words of `stop_words` in the text < `min_stop_words`; case counts. In the other
      variants every occurrence counts; for "dclm" and "redstone" the text is in lower case.
    - `unknown_language`: see `otherwise`.

    A bound of None switches its rule off; zero is a bound; a bound may not be set where the variant lacks its rule.
    `tokenizer`: a language (`eng_Latn`) whose words to split, or "language" for each row's own; datatrove's variant only,
    the others say what a word is. `by_language`: a table of settings (filters/language_settings) whose bounds and stop
    words replace these by the row's language; `otherwise` says what happens to a language it does not list: "default"
    (these bounds), "keep" or "drop". `compat="datatrove"`: zeros switch rules off, and a text that holds the word
    IS_ALPHA is split without it, as that code does. Raises RecipeError on an unknown variant, table, language or option.
    """

    min_words: int | None = 50
    max_words: int | None = 100_000
    min_avg_word_length: float | None = 3
    max_avg_word_length: float | None = 10
    max_hash_ratio: float | None = 0.1
    max_ellipsis_ratio: float | None = 0.1
    max_bullet_lines: float | None = 0.9
    max_ellipsis_lines: float | None = 0.3
    min_alpha_words: float | None = 0.8
    min_stop_words: int | None = 2
    stop_words: tuple[str, ...] = STOP_WORDS
    max_symbol_ratio: float | None = 0.1

    measure_fields: ClassVar[tuple[str, ...]] = ("stop_words", "tokenizer", "by_language", "compat", "variant")

    def __post_init__(self) -> None:
        two = ("max_hash_ratio", "max_ellipsis_ratio")
        without_effect = ("max_symbol_ratio",) if self.variant == "datatrove" else two
        self.check({"datatrove": "datatrove"}, _BOUNDS.values(), without_effect)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        names = _COUNTS if self.variant == "datatrove" else COUNTS
        return {f"{_PREFIX}{name}": pa.int32() for name in names}

    @property
    def reasons(self) -> tuple[str, ...]:
        if self.variant != "datatrove":
            return REASONS
        return tuple(reason for reason in _BOUNDS if reason != "too_many_symbols")

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Counts, int32: words, those not of punctuation alone and their code points, those with a letter, distinct stop
        words, `#`, ellipses, lines, those that begin with a bullet, those that end in an ellipsis. Those of a variant:
        `COUNTS`."""
        if self.variant != "datatrove":
            return measure(batch, self.variant, _PREFIX, bool(self.by_language), self._stop_words)
        if self.compat == "datatrove":
            return as_datatrove_splits(batch, self.tokenizer, self._measure, [f"{_PREFIX}{name}" for name in _OF_WORDS])
        return self._measure(batch)

    def _stop_words(self, language: str | None) -> WordSet:
        listed = self.settings.stop_words(language)
        return _set_of(listed or frozenset(self.stop_words))

    def _measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        def counts(words: Words, language: str | None) -> Mapping[str, np.ndarray]:
            return dict(zip(self.adds, _measure(words, self._stop_words(language)), strict=True))

        return measure_words(batch, self.adds, self.tokenizer, bool(self.by_language), counts)

    def rules(self, settings: LanguageSettings) -> list[Rule]:
        """In the order of the reference."""
        bounds = {}
        for reason, field in _BOUNDS.items():
            bound = zero_is_off(getattr(self, field), self.compat)
            listed = _BY_LANGUAGE.get(reason)
            bounds[reason] = settings.bound(listed, bound) if listed else pl.lit(bound)
        return self._rules(bounds) if self.variant == "datatrove" else rules_of(self.variant, _PREFIX, bounds)

    def _rules(self, bounds: Mapping[str, pl.Expr]) -> list[Rule]:
        """The rules of datatrove."""
        n = {name: pl.col(f"{_PREFIX}{name}") for name in _COUNTS}
        length = (n["non_symbol_chars"], n["non_symbol_words"])
        return [
            value_rule("short_doc", n["non_symbol_words"], "<", bounds["short_doc"]),
            value_rule("long_doc", n["non_symbol_words"], ">", bounds["long_doc"]),
            share_rule("below_avg_word_length", *length, "<", bounds["below_avg_word_length"]),
            share_rule("above_avg_word_length", *length, ">", bounds["above_avg_word_length"]),
            share_rule("too_many_hashes", n["hashes"], n["words"], ">", bounds["too_many_hashes"]),
            share_rule("too_many_ellipsis", n["ellipses"], n["words"], ">", bounds["too_many_ellipsis"]),
            share_rule("too_many_bullets", n["bullet_lines"], n["lines"], ">", bounds["too_many_bullets"]),
            share_rule("too_many_end_ellipsis", n["ellipsis_lines"], n["lines"], ">", bounds["too_many_end_ellipsis"]),
            share_rule("below_alpha", n["alpha_words"], n["words"], "<", bounds["below_alpha"]),
            value_rule("too_few_stop_words", n["stop_words"], "<", bounds["too_few_stop_words"]),
        ]
