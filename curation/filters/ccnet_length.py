"""Drop documents that are too short or too long in characters: the limits of CCNet, C4 and DCLM.

CCNet keeps pages of at least 300 characters; C4, mC4 and DCLM drop those above 190,000 (`min_chars=None,
max_chars=190000, counted="text"`). They do not count the same: CCNet's reader strips every line, leaves out blank
ones and takes the page's first line for its title, which it does not count; C4 counts the text as it is. An
extractor's text has no title line, so none is taken off here. Characters are code points everywhere.

Source: Wenzek et al., CCNet, arXiv:1911.00359, and `cc_net/process_wet_file.py` of facebookresearch/cc_net (parse_doc,
group_by_docs; min_len 300); C4's `is_valid_length` (max_length 1.9e5) in tensorflow/datasets `c4_utils.py`; the same
number in DCLM's `baselines/mappers/filters/content_filters.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.filters.characters import SPACE, classes
from curation.filters.rules import decide_by, value_rule
from curation.options import check_choice, check_whole, refuse
from curation.stage import Filter
from curation.text.buffers import point_at, sequence_size, utf8
from curation.text.compiled import kernel

_MEASURES = {"lines": "stat_ccnet_length_line_chars", "text": "stat_ccnet_length_chars"}


@dataclass(frozen=True)
class CcnetLength(Filter):
    """Drops documents outside two bounds; a length equal to a bound is kept.

    `min_chars`: reason `too_short` below it. `max_chars`: reason `too_long` above it. In code points; None = no bound.
    `counted`: "lines" (CCNet: lines stripped of white space, blank ones left out, one character for each break between
    those that remain) or "text" (C4: every code point, line breaks included). Both are measured, so that changing it
    only decides anew. Raises RecipeError when neither bound is given, one is negative, or they cross.
    """

    min_chars: int | None = 300
    max_chars: int | None = None
    counted: str = "lines"

    libraries: ClassVar[tuple[str, ...]] = ("polars",)

    def __post_init__(self) -> None:
        check_whole(self, "min_chars", "max_chars", optional=True)
        if self.min_chars is None and self.max_chars is None:
            refuse(self, "bounds", "min_chars, max_chars or both", "neither")
        if self.min_chars is not None and self.max_chars is not None and self.min_chars > self.max_chars:
            refuse(self, "bounds", "min_chars <= max_chars", f"{self.min_chars} > {self.max_chars}")
        check_choice(self, "counted", _MEASURES)

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return dict.fromkeys(_MEASURES.values(), pa.int32())

    @property
    def drops(self) -> tuple[str, ...]:
        bounds = {"too_short": self.min_chars, "too_long": self.max_chars}
        return tuple(reason for reason, bound in bounds.items() if bound is not None)

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        data, offsets = utf8(batch["text"])
        lines, text = (np.zeros(batch.height, np.int32) for _ in range(2))
        _count(data, offsets, classes(), lines, text)
        return batch.select("doc", pl.Series(_MEASURES["lines"], lines), pl.Series(_MEASURES["text"], text))

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        """Details read `too_short=12 < 300`."""
        length = pl.col(_MEASURES[self.counted])
        rules = []
        if self.min_chars is not None:
            rules.append(value_rule("too_short", length, "<", self.min_chars))
        if self.max_chars is not None:
            rules.append(value_rule("too_long", length, ">", self.max_chars))
        return decide_by(stats, rules)


@kernel
def _count(data, offsets, table, lines, text):  # type: ignore[no-untyped-def]
    """Code points of each text, and of its stripped lines joined by one break; "\\r" breaks a line as "\\n" does."""
    for i in range(len(lines)):
        at, end = offsets[i], offsets[i + 1]
        chars = total = run = kept = 0  # run: since the line's first visible character; kept: up to its last
        while at < end:
            lead = data[at]
            chars += 1
            if lead == 10 or lead == 13:
                if kept:
                    total += kept + (1 if total else 0)
                run = kept = 0
            elif table[point_at(data, at)] & SPACE:
                run += 1 if kept else 0
            else:
                run += 1
                kept = run
            at += sequence_size(lead)
        if kept:
            total += kept + (1 if total else 0)
        lines[i] = total
        text[i] = chars
