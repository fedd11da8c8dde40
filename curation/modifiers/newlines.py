"""Collapse runs of newlines, and optionally strip the white space that ends lines.

Source: DCLM (arXiv:2406.11794), `newline_removal_modifier` with 2 consecutive newlines in its baseline's configuration;
stripping is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa

from curation.modifiers.rewriting import Modifier, count_types
from curation.options import check_flags, check_whole
from curation.stage import Apply

_TRAILING = r"(?m)[ \t\x0B\x0C\r\u{A0}\u{1680}\u{2000}-\u{200A}\u{202F}\u{205F}\u{3000}]+$"
"""White space before a newline or the end of the text, other than what ends a line itself."""


@dataclass(frozen=True)
class Newlines(Modifier):
    """Shortens every run of more than `max_run` "\\n" to `max_run` (at least 1; 2 leaves one blank line).

    `strip_lines`: first remove white space from the end of every line, so that lines of spaces count as blank; a
    carriage return before the newline is white space. Counts: `newlines` and `spaces` removed. A null text stays null.
    Raises RecipeError on options outside their range.
    """

    max_run: int = 2
    strip_lines: bool = False

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    counts: ClassVar[Mapping[str, pa.DataType]] = count_types("newlines", ("newlines", "spaces"))

    def __post_init__(self) -> None:
        check_whole(self, "max_run", least=1)
        check_flags(self, "strip_lines")

    def bind(self, models: Mapping[str, Path]) -> Apply:
        long_run = rf"\n{{{self.max_run + 1},}}"

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            text = pl.col("text")
            stripped = text.str.replace_all(_TRAILING, "") if self.strip_lines else text
            short = pl.col("stripped").str.replace_all(long_run, "\n" * self.max_run)
            steps = batch.select("doc", "text", stripped.alias("stripped")).with_columns(short.alias("short"))
            return steps.select(
                "doc",
                pl.col("short").alias("text"),
                _lost("stripped", "short").alias("stat_newlines_newlines"),
                _lost("text", "stripped").alias("stat_newlines_spaces"),
            )

        return apply


def _lost(before: str, after: str) -> pl.Expr:
    """Code points fewer after than before; 0 for a null text."""
    counted = pl.col(before).str.len_chars().cast(pl.Int64) - pl.col(after).str.len_chars().cast(pl.Int64)
    return counted.fill_null(0).cast(pl.Int32)
