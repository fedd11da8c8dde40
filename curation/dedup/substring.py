"""Exact substrings: a run of bytes that stood before, in this document or another, is cut; the first stays.

Source: Lee et al., arXiv:2107.06499, section 4.1 (50 tokens, 100 bytes); 500 bytes as in OLMo 3 (datamap-rs, suffix
arrays over 56 shards). The runs are found without a suffix array: dedup/repeated_windows.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from curation.dedup.cutting import TextCutter
from curation.dedup.repeated_windows import MOST_BYTES, repeated_spans
from curation.dedup.scope import partition_of, scope_keys
from curation.options import check_whole, refuse
from curation.stage import Resources
from curation.text.buffers import strings, utf8
from curation.text.compiled import kernel

_VERDICT: Mapping[str, Any] = {"doc": pl.UInt64, "starts": pl.List(pl.Int32), "ends": pl.List(pl.Int32)}
_SPREAD = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True)
class Substring(TextCutter):
    """Cuts out of `text` every run of at least `min_bytes` bytes that stood before, in order of `doc` and position; drops
    (`nothing_left`) documents of which only white space would stay, whose tombstone keeps the text as it was.

    - `min_bytes`: least length of a repeated run in UTF-8 bytes, 1 or more. A run may overlap its first occurrence by
      nothing: of a million equal letters the first `min_bytes` stay. Cuts are shrunk to whole characters.
    - `scope`: columns within whose values documents are compared, such as ("source",); they then share a partition. With
      () documents are spread over `partitions` by a hash of `doc`.
    - `budget_mb`: 10**6 bytes of text that are searched at once, above 0, at most 4,294.

    Documents are compared within one budget: those of a partition (and scope) are taken in order of `doc`, as many as
    fit; a document above the budget is searched alone. So what is found grows with `budget_mb` and falls with
    `partitions`: set the latter to the bytes of text over the budget. Memory is the partition's text and 2 to 10 bytes for
    each byte of the budget. This stage's sketches hold the texts themselves.

    Adds `stat_substring_spans` (int32, runs cut) and `stat_substring_removed_bytes` (int32). The answer does not depend on
    the order of rows, shards or partitions; it depends on the number of partitions. Raises RecipeError on senseless options.
    """

    min_bytes: int = 500
    budget_mb: float = 256.0

    verdict_schema: ClassVar[Mapping[str, Any]] = _VERDICT
    reason: ClassVar[str] = "nothing_left"
    removed: ClassVar[tuple[str, str]] = ("stat_substring_spans", "stat_substring_removed_bytes")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "min_bytes", least=1)
        if not 0 < self.budget_mb * 1e6 <= MOST_BYTES:
            refuse(self, "budget_mb", f"more than 0, at most {MOST_BYTES // 10**6}", self.budget_mb)

    @property
    def resources(self) -> Resources:
        return Resources(memory_gb=1 + 10 * self.budget_mb / 1024)

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `partition`, `key` (uint64, of the scope), `content` (UTF-8) of every document that is long enough."""
        rows = batch.filter(pl.col("text").str.len_bytes() >= self.min_bytes)
        keys = scope_keys(rows, self.scope)
        docs = rows["doc"].to_numpy() * _SPREAD
        partition = partition_of(keys if self.scope else docs ^ (docs >> np.uint64(32)), self.partitions)
        return pl.DataFrame(
            [rows["doc"], partition, pl.Series("key", keys, dtype=pl.UInt64), rows["text"].cast(pl.Binary).alias("content")]
        )

    def match(self, partition: pl.DataFrame) -> pl.DataFrame:
        """`doc`, and the `starts` and `ends` of the spans to cut: bytes, increasing, apart."""
        rows = partition.sort("key", "doc")
        found = [pl.DataFrame(schema=_VERDICT), *(self._spans(group) for group in self._groups(rows))]
        return pl.concat(found).sort("doc")

    def _groups(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        sizes = rows["content"].bin.size().to_numpy()
        keys = rows["key"].to_numpy()
        first, held = 0, 0
        for row, size in enumerate(sizes.tolist()):
            if row > first and (keys[row] != keys[first] or held + size > self.budget_mb * 1e6):
                yield rows[first:row]
                first, held = row, 0
            held += size
        if first < rows.height:
            yield rows[first:]

    def _spans(self, group: pl.DataFrame) -> pl.DataFrame:
        data, starts = utf8(group["content"].cast(pl.String))
        texts, firsts, ends = repeated_spans(data, starts, self.min_bytes)
        spans = pl.DataFrame(
            [group["doc"].gather(texts), pl.Series("starts", firsts, dtype=pl.Int32), pl.Series("ends", ends, dtype=pl.Int32)]
        )
        return spans.group_by("doc", maintain_order=True).agg("starts", "ends")

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        """`text` without the spans, and how much went."""
        found = batch.join(verdict, on="doc", how="left", maintain_order="left")
        spans = found["starts"].list.len().fill_null(0).cast(pl.Int32).to_numpy()
        data, starts = utf8(batch["text"])
        first = np.append(0, np.cumsum(spans)).astype(np.int64)
        cut = strings(*_without(data, starts, first, _flat(found["starts"]), _flat(found["ends"])))
        emptied = (spans > 0) & (cut.str.strip_chars().str.len_bytes() == 0).to_numpy()
        why = pl.format("{} bytes of it are repeated", pl.col("stat_substring_removed_bytes"))
        return self.answer(batch, cut, spans, emptied, why)


def _flat(lists: pl.Series) -> np.ndarray:
    return lists.explode().drop_nulls().to_numpy().astype(np.int64)


@kernel
def _without(data, starts, first, from_, to):
    """The texts without data[starts[i] + from_:starts[i] + to] of their spans first[i] to first[i + 1]."""
    out, ends = np.empty(starts[-1] - starts[0] + 1, np.uint8), np.zeros(starts.size, np.int64)
    n = 0
    for text in range(starts.size - 1):
        at = starts[text]
        for span in range(first[text], first[text + 1] + 1):
            stop = starts[text] + from_[span] if span < first[text + 1] else starts[text + 1]
            for i in range(at, stop):
                out[n] = data[i]
                n += 1
            if span < first[text + 1]:
                at = starts[text] + to[span]
        ends[text + 1] = n
    return out[:n], ends
