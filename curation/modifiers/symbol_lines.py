"""Remove lines of nothing but symbols: rules, rows of a table, list marks left over by extraction.

Source: datatrove 0.10.1 `pipeline/formatters/symbol_lines_remover.py`; FineWeb2 (arXiv:2506.20920) uses it with the
symbol `|` and a newline as replacement. The same text, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.modifiers.rewriting import Modifier, count_columns, count_types
from curation.options import check_texts, refuse
from curation.stage import Apply
from curation.text.buffers import point_at, sequence_size, strings, utf8
from curation.text.compiled import kernel, leaf
from curation.text.punctuation import LINE_ENDS, PUNCTUATION, WHITE_SPACE

_SYMBOL, _SPACE, _END = 1, 2, 4
"""Classes of a code point: may stand in a line of symbols; white space; ends a line."""


@dataclass(frozen=True)
class SymbolLines(Modifier):
    """Removes every line that holds a symbol and nothing but `symbols` and spaces (U+0020).

    `symbols`: single characters; none (the default) for the punctuation and control characters of all scripts in
    text/punctuation.py. `replacement`: what stands for each run of such lines, as a line of its own; "" removes it,
    "\\n" leaves a paragraph break. Lines of white space only are kept, and end a run.

    A line ends where Python's str.splitlines() ends it; all ends become "\\n", and the end of the last line goes, also in
    a text without symbol lines, as in the reference. Counts: `lines` removed. A null text stays null. Raises
    RecipeError when a symbol is not one character.
    """

    symbols: Sequence[str] | None = None
    replacement: str = ""

    counts: ClassVar[Mapping[str, pa.DataType]] = count_types("symbol_lines", ("lines",))

    def __post_init__(self) -> None:
        for symbol in () if self.symbols is None else check_texts(self, "symbols"):
            if len(symbol) != 1:
                refuse(self, "symbols", "single characters", repr(symbol))
        if not isinstance(self.replacement, str):
            refuse(self, "replacement", "a text", repr(self.replacement))

    def bind(self, models: Mapping[str, Path]) -> Apply:
        classes = _classes("".join(sorted(PUNCTUATION) if self.symbols is None else self.symbols))
        replacement = np.frombuffer(self.replacement.encode(), np.uint8)

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            texts, counts = _remove(batch["text"], classes, replacement)
            return batch.select("doc").with_columns(texts, *count_columns(list(self.adds), counts.reshape(-1, 1)))

        return apply


def _classes(symbols: str) -> np.ndarray:
    """The classes of every code point, uint8."""
    classes = np.zeros(0x110000, np.uint8)
    for characters, bit in ((symbols + " ", _SYMBOL), (WHITE_SPACE, _SPACE), (LINE_ENDS, _END)):
        classes[[ord(c) for c in characters]] |= bit
    return classes


def _remove(texts: pl.Series, classes: np.ndarray, replacement: np.ndarray) -> tuple[pl.Series, np.ndarray]:
    """The texts without lines of symbols, named `text`, and the lines removed of each."""
    source, start = utf8(texts)
    sizes, counts = _measure(source, start, classes, len(replacement))
    ends = np.concatenate([[0], np.cumsum(sizes)])
    out = np.zeros(int(ends[-1]), np.uint8)
    _write(source, start, classes, replacement, ends, out)
    fresh = strings(out, ends).alias("text")
    if texts.null_count():
        fresh = fresh.to_frame().select(pl.when(texts.is_not_null()).then("text")).to_series()
    return fresh, counts


@leaf
def _line(data, at, stop, classes):  # type: ignore[no-untyped-def]
    """From `at`: where the line's text ends, where the next line begins, and whether it is one of symbols."""
    symbols, blank = True, True
    while at < stop:
        point, after = point_at(data, at), at + sequence_size(data[at])
        kind = classes[point]
        if kind & _END:
            if point == 13 and after < stop and data[after] == 10:
                after += 1
            return at, after, symbols and not blank
        if not kind & _SYMBOL:
            symbols = False
        if not kind & _SPACE:
            blank = False
        at = after
    return at, at, symbols and not blank


@kernel
def _measure(data, start, classes, replacement_size):  # type: ignore[no-untyped-def]
    """Bytes of every rewritten text, and lines removed of it. `start`: int64 [texts + 1] into `data`."""
    sizes = np.zeros(len(start) - 1, np.int64)
    counts = np.zeros(len(start) - 1, np.int32)
    for text in range(len(start) - 1):
        at, size, lines, in_run = start[text], 0, 0, False
        while at < start[text + 1]:
            end, after, symbols = _line(data, at, start[text + 1], classes)
            if not symbols:
                size += end - at + 1
                lines += 1
            else:
                counts[text] += 1
                if not in_run and replacement_size > 0:
                    size += replacement_size + 1
                    lines += 1
            in_run = symbols
            at = after
        sizes[text] = size - 1 if lines else 0
    return sizes, counts


@kernel
def _write(data, start, classes, replacement, ends, out):  # type: ignore[no-untyped-def]
    """Fill `out`; text i takes out[ends[i]:ends[i + 1]], which `_measure` sized."""
    for text in range(len(start) - 1):
        at, to, in_run = start[text], ends[text], False
        while at < start[text + 1]:
            end, after, symbols = _line(data, at, start[text + 1], classes)
            copied = end - at
            if not symbols:
                out[to : to + copied] = data[at:end]
            elif not in_run:
                copied = len(replacement)
                out[to : to + copied] = replacement
            if not symbols or (not in_run and len(replacement) > 0):
                to += copied
                if to < ends[text + 1]:
                    out[to] = 10
                    to += 1
            in_run = symbols
            at = after
