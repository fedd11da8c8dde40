"""Drop documents with too few long paragraphs: what C4's "webtextlike" and multilingual variants (mC4) ask of a page.

A paragraph is what lies between two line breaks ("\\n"), spaces included. The reference wants three lines and that
the shortest of its three longest has 200 characters, which says that three lines have.

Source: C4's `paragraph_filter` in tensorflow/datasets `c4_utils.py` (mC4: Xue et al., arXiv:2010.11934); datatrove
0.10.1 `pipeline/filters/c4_filters.py` C4ParagraphFilter decides the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.filters.rules import decide_by, value_rule
from curation.options import check_whole
from curation.stage import Filter
from curation.text.buffers import utf8
from curation.text.compiled import kernel


@dataclass(frozen=True)
class C4Paragraph(Filter):
    """Drops documents with fewer than `min_paragraphs` paragraphs of at least `min_chars` code points.

    Reason: `few_paragraphs`. Measures: `stat_c4_paragraph_lines` (all lines, blank ones too) and
    `stat_c4_paragraph_long` (those long enough). Raises RecipeError unless both fields are whole numbers, 1 or more.
    """

    min_paragraphs: int = 3
    min_chars: int = 200

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    measure_fields: ClassVar[tuple[str, ...]] = ("min_chars",)

    def __post_init__(self) -> None:
        check_whole(self, "min_paragraphs", "min_chars", least=1)

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {"stat_c4_paragraph_lines": pa.int32(), "stat_c4_paragraph_long": pa.int32()}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("few_paragraphs",)

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        data, offsets = utf8(batch["text"])
        lines, long = (np.zeros(batch.height, np.int32) for _ in range(2))
        _count(data, offsets, self.min_chars, lines, long)
        return batch.select("doc", pl.Series("stat_c4_paragraph_lines", lines), pl.Series("stat_c4_paragraph_long", long))

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        """Details read `few_paragraphs=2 < 3`."""
        return decide_by(stats, [value_rule("few_paragraphs", pl.col("stat_c4_paragraph_long"), "<", self.min_paragraphs)])


@kernel
def _count(data, offsets, least, lines, long):  # type: ignore[no-untyped-def]
    """Lines of each text, and how many of them have at least `least` code points."""
    for i in range(len(lines)):
        size = 0
        for at in range(offsets[i], offsets[i + 1]):
            byte = data[at]
            if byte == 10:
                lines[i] += 1
                long[i] += size >= least
                size = 0
            else:
                size += (byte & 0xC0) != 0x80  # continuation bytes begin no code point
        lines[i] += 1
        long[i] += size >= least
