"""FineWeb's own filter: too few lines end in punctuation, too many are short or repeated, too many line breaks.

Decisions are datatrove 0.10.1's. Measures are integer counts and shares are formed in float64, as the reference forms
them, so no rounding in storage can flip a decision.

Source: Penedo et al., The FineWeb Datasets, arXiv:2406.17557, section 3.6; datatrove 0.10.1
`pipeline/filters/fineweb_quality_filter.py`; sentence terminals after Unicode's property Sentence_Terminal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.filters.by_language import LanguageFilter, measure_words
from curation.filters.language_settings import LanguageSettings
from curation.filters.rules import Rule, flag_rule, share_rule
from curation.options import check_choice, check_number, refuse
from curation.text.buffers import point_at
from curation.text.compiled import kernel, leaf
from curation.text.punctuation import TERMINAL_PUNCTUATION
from curation.text.repeats import code_points, new_tables, repeated_segments
from curation.text.segments import is_blank
from curation.text.words import Words

STOP_CHARACTERS: Mapping[str, frozenset[str]] = {"datatrove": TERMINAL_PUNCTUATION, "fineweb_v1": frozenset(".'\"!?")}
"""What may end a line: today's table of datatrove, or the five characters the published FineWeb was made with."""

_COUNTS = ("lines", "punct_lines", "short_lines", "dup_chars", "chars", "newlines", "words")


@cache
def _is_stop(name: str) -> np.ndarray:
    """bool [0x110000]: the code points that may end a line."""
    table = np.zeros(0x110000, dtype=np.bool_)
    table[[ord(c) for c in STOP_CHARACTERS[name]]] = True
    return table


@leaf
def _measure_text(words, text, is_stop, short, tables, counts):
    data, start, end = words.data, words.text_start[text], words.text_start[text + 1]
    n, line, newlines = 0, start, 0
    for at in range(start, end + 1):
        if at < end and data[at] != 10:
            continue
        newlines += at < end
        if not is_blank(data, line, at):
            tables.starts[n], tables.stops[n] = line, at
            last = at - 1
            while (data[last] & 0xC0) == 0x80:
                last -= 1
            counts[1] += is_stop[point_at(data, last)]
            counts[2] += code_points(data, line, at) <= short
            n += 1
        line = at + 1
    counts[0] = n
    counts[3] = repeated_segments(data, tables, n)[1]
    counts[4] = code_points(data, start, end) - newlines
    counts[5] = newlines
    counts[6] = words.first[text + 1] - words.first[text]


@kernel
def _measure(words, is_stop, short):
    """int32 [7, n_texts]: the measures, in the order of _COUNTS."""
    texts = words.text_start.size - 1
    counts = np.zeros((texts, 7), dtype=np.int32)
    most = 0
    for text in range(texts):
        newlines = 0
        for at in range(words.text_start[text], words.text_start[text + 1]):
            newlines += words.data[at] == 10
        most = max(most, newlines + 1)
    tables = new_tables(most, 0)
    for text in range(texts):
        _measure_text(words, text, is_stop, short, tables, counts[text])
    return counts.T.copy()


@dataclass(frozen=True)
class FineWeb(LanguageFilter):
    """Drops documents by five rules; the first that fires is the reason, the detail names every one that fired.

    Lines are parts between "\\n" that are not blank; lengths are code points; words are the reference tokenizer's.

    - `empty`: no line.
    - `line_punct`: share of lines ending in a stop character < `line_punct_min`; `line_punct_exclude_zero` spares
      documents where no line does.
    - `short_lines`: share of lines of at most `short_line_length` code points > `short_line_max`.
    - `char_dup`: code points of lines that occurred before / code points without newlines > `char_dup_max`.
    - `list_ratio`: newlines / words > `new_line_max`.
    - `unknown_language`: see `otherwise`.

    A bound of None switches its rule off. `stop_chars`: "datatrove" (sentence terminals of all scripts) or "fineweb_v1"
    (`. ' " ! ?`, with which the published FineWeb was made). `tokenizer`: a language (`eng_Latn`) whose words are counted,
    "language" for each row's own, or "characters" (English rules; each letter of a script without spaces is a word, so
    that `list_ratio` means something there). `by_language`: a table of settings (filters/language_settings) that replaces
    `line_punct_min` and `new_line_max` by the row's language; `otherwise` says what happens to a language it does not
    list: "default" (these bounds), "keep" or "drop". `compat="datatrove"` reads the table as datatrove does. A null text
    counts as empty. Raises RecipeError on options outside their range.
    """

    line_punct_min: float | None = 0.12
    line_punct_exclude_zero: bool = False
    short_line_max: float | None = 0.67
    short_line_length: int = 30
    char_dup_max: float | None = 0.01
    new_line_max: float | None = 0.3
    stop_chars: str = "datatrove"

    measure_fields: ClassVar[tuple[str, ...]] = ("short_line_length", "stop_chars", "tokenizer")

    def __post_init__(self) -> None:
        check_choice(self, "stop_chars", STOP_CHARACTERS)
        if isinstance(self.short_line_length, bool) or not isinstance(self.short_line_length, int):
            refuse(self, "short_line_length", "a whole number of code points", repr(self.short_line_length))
        check_number(self, "line_punct_min", "short_line_max", "char_dup_max", "new_line_max", optional=True)
        check_choice(self, "compat", ("", "datatrove"))
        super().__post_init__()

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {f"stat_fineweb_{name}": pa.int32() for name in _COUNTS}

    @property
    def reasons(self) -> tuple[str, ...]:
        return ("empty", "line_punct", "short_lines", "char_dup", "list_ratio")

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Counts, int32: lines, those ending in a stop character, short ones, code points of repeated lines, code
        points without newlines, newlines, words."""
        is_stop = _is_stop(self.stop_chars)

        def counts(words: Words, language: str | None) -> Mapping[str, np.ndarray]:
            return dict(zip(self.adds, _measure(words, is_stop, self.short_line_length), strict=True))

        return measure_words(batch, self.adds, self.tokenizer, False, counts)

    def rules(self, settings: LanguageSettings) -> list[Rule]:
        """In the order of the reference. Details read `line_punct=2/40=0.05 < 0.12`."""
        n = {name: pl.col(f"stat_fineweb_{name}") for name in _COUNTS}
        fewest = settings.bound("line_punct_thr", self.line_punct_min)
        most = settings.bound("new_line_ratio", self.new_line_max)
        punct = share_rule("line_punct", n["punct_lines"], n["lines"], "<", fewest)
        if self.line_punct_exclude_zero:
            punct = Rule(punct.reason, punct.fires & (n["punct_lines"] > 0), punct.detail)
        rules = [flag_rule("empty", n["lines"] == 0, "no line but blank ones"), punct]
        if self.short_line_max is not None:
            rules.append(share_rule("short_lines", n["short_lines"], n["lines"], ">", self.short_line_max))
        if self.char_dup_max is not None:
            rules.append(share_rule("char_dup", n["dup_chars"], n["chars"], ">", self.char_dup_max))
        lists = share_rule("list_ratio", n["newlines"], n["words"], ">", most)
        return [*rules, Rule(lists.reason, (n["lines"] > 0) & lists.fires, lists.detail)]
