"""Repeated lines: a line or paragraph that occurred before, in this document or another, goes; documents stay.

Source: CCNet, Wenzek et al., arXiv:1911.00359, section 3.1 (paragraph deduplication), and facebookresearch/cc_net
`dedup.py` (bda555b). Least counts of occurrences as in Llama 3, arXiv:2407.21783, section 3.1.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from curation.dedup.cutting import TextCutter
from curation.dedup.labels import spread
from curation.dedup.line_keys import line_keys, without_lines
from curation.dedup.scope import partition_of, scope_keys
from curation.options import check_choice, check_whole, refuse
from curation.stage import Settling, Step, Take, Tally

_UNITS = ("line", "paragraph")
_KEEP = ("first", "none")
_COMPATS = ("", "cc_net")
_MATCH = {"doc": pl.UInt64, "line": pl.Int32}
_VERDICT: Mapping[str, Any] = {"doc": pl.UInt64, "lines": pl.List(pl.Int32)}
_SCOPED = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Lines(TextCutter):
    """Cuts repeated lines out of `text`; drops (`no_line_left`) documents of which only blank lines would stay, whose
    tombstone keeps the text as it was.

    Two lines are the same when their normal forms are: lower case, every decimal digit a 0, without punctuation (Unicode
    category P) and control characters, white space squeezed to one blank. They meet in a 64-bit digest: of 10**10
    different lines, about 3 pairs share one. A line of nothing but blanks is no line; where lines go, the longest run of
    blank lines around them stays.

    - `unit`: "line" (between "\\n") or "paragraph" (between blank lines; the forms of all its lines together).
    - `keep`: "first", the occurrence of least `doc` and position stays; "none", what occurs in several documents goes
      everywhere (as in CCNet's paper), and within one document all but the first.
    - `min_copies`: occurrences in the scope from which a line is repeated, 2 or more; 7 is Llama 3's "more than 6 times".
    - `min_chars`: normal forms of fewer code points are left alone, 1 or more.
    - `scope`: columns within whose values lines are compared, such as ("language",) or ("source",); () means everywhere.
    - `compat`: "cc_net" takes its normal form (only 33 marks of punctuation go, white space stays but at the ends), and
      blank lines, the empty form and every length count as lines.

    Sketches hold a digest, `doc` and line number a line (20 bytes before compression). A partition is matched in memory,
    about 60 bytes a line: choose `partitions` so that one holds some ten million lines. Adds `stat_lines_removed` (int32,
    lines) and `stat_lines_removed_bytes` (int32). The answer does not depend on the order of rows, shards or partitions,
    nor on their number. Raises RecipeError on senseless options.
    """

    unit: str = "line"
    keep: str = "first"
    min_copies: int = 2
    min_chars: int = 1
    compat: str = ""

    verdict_schema: ClassVar[Mapping[str, Any]] = _VERDICT
    reason: ClassVar[str] = "no_line_left"
    removed: ClassVar[tuple[str, str]] = ("stat_lines_removed", "stat_lines_removed_bytes")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "unit", _UNITS)
        check_choice(self, "keep", _KEEP)
        check_choice(self, "compat", _COMPATS)
        check_whole(self, "min_copies", least=2)
        check_whole(self, "min_chars", least=1)
        if self.compat and (self.unit != "line" or self.min_chars != 1):
            refuse(self, "compat", "lines of every length", f"unit={self.unit!r}, min_chars={self.min_chars}")

    @property
    def match_slices(self) -> int:
        return self.partitions

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `partition`, `key` (uint64), `line` (int32) of every line."""
        batch = batch.filter(pl.col("text").is_not_null())
        rows, lines, keys = line_keys(batch["text"], self.unit == "paragraph", self.min_chars, self.compat)
        keys = (keys ^ scope_keys(batch, self.scope)[rows]) * _SCOPED if self.scope else keys
        # the low bits of a key are those of a product: its high ones spread lines evenly
        partition = partition_of(keys >> np.uint64(32), self.partitions)
        return pl.DataFrame(
            [batch["doc"].gather(rows), partition, pl.Series("key", keys), pl.Series("line", lines, dtype=pl.Int32)]
        )

    def match(self, partition: pl.DataFrame) -> pl.DataFrame:
        """`doc` and `line` of every line that goes, cut by document."""
        rows = partition.sort("key", "doc", "line")
        keys, docs = rows["key"].to_numpy(), rows["doc"].to_numpy()
        is_first = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
        run = np.cumsum(is_first) - 1
        gone = ~is_first
        if self.keep == "none":
            firsts = docs[is_first]
            several = np.zeros(len(firsts), bool)
            several[run[docs != firsts[run]]] = True
            gone |= several[run]
        gone &= (np.bincount(run, minlength=1)[run] >= self.min_copies) if len(keys) else gone
        found = rows.select("doc", "line").filter(pl.Series(gone))
        return found.with_columns(spread(found["doc"].to_numpy(), self.match_slices))

    def settling(self, sketched: int, matched: list[Tally]) -> Settling:
        """A document's lines lie in many partitions, so what goes is brought together by document."""
        yield Step("settle", (Take("match"),), units=self.match_slices)
        return {"lines": sketched, "removed": sum(tally.rows for tally in matched)}

    def settle(self, matches: Iterable[pl.DataFrame]) -> pl.DataFrame:
        """`doc` and `lines`, the numbers of its lines that go, increasing; sorted by `doc`."""
        empty = pl.DataFrame(schema=_MATCH)
        gone = pl.concat([empty, *(found.select(empty.columns) for found in matches)]).sort("doc", "line")
        return gone.group_by("doc", maintain_order=True).agg(pl.col("line").alias("lines")).match_to_schema(_VERDICT)

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        """`text` without the lines that go, and what went."""
        found = batch.join(verdict, on="doc", how="left", maintain_order="left")
        lists = found["lines"]
        first = np.append(0, np.cumsum(lists.list.len().fill_null(0).to_numpy())).astype(np.int64)
        lines = lists.explode().drop_nulls().to_numpy()
        cut, gone, stayed = without_lines(batch["text"], first, lines.astype(np.int32), self.unit == "paragraph", self.compat)
        why = pl.format("each of its {} lines is repeated", pl.col("stat_lines_removed"))
        return self.answer(batch, cut, gone, (gone > 0) & ~stayed, why)
