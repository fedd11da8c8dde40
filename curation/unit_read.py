"""Reading a shard's part of the inputs: the source, the stages up to the extractor, and the text part they make.

Under a global stage that stands before the extractor this happens twice. The first time writes the heads: every document
with what is known of it without its page. The second time applies the verdicts and extracts what is left; it must meet the
same documents.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, cast

import polars as pl
import pyarrow as pa

from curation.document import DROP_COLUMNS, HEAVY, VOLATILE, column_type, empty_frame, in_contract_order
from curation.errors import ContractError, InputError, explain_mismatch
from curation.parts import Docs, PartWriter, ShardReader, coalesce_nulls
from curation.pipeline import ENGINE_COLUMNS, Segment
from curation.plan import PartRef, Unit
from curation.records import Result
from curation.run_stage import StageCount, check_source, count_drops, run_stage, with_no_drops
from curation.sampling import sampled
from curation.stage import Apply, GlobalStage, Input, PieceReport, Source, Stage
from curation.storage import Folder, WatchedInput, open_location

GROUP_ROWS = 4096
GROUP_TEXT_BYTES = 8 << 20
"""A text part's row group is closed at this many rows or text bytes: the batch of every later stage."""


@dataclass(frozen=True)
class Heads:
    """What the first reading found: `doc` of every document, and of those that came to the last global stage."""

    docs: pl.Series
    entered: pl.Series

    @staticmethod
    def of(folder: Folder, parts: Sequence[PartRef]) -> Heads:
        """From the parts of a shard's heads."""
        with ShardReader(folder, parts) as reader:
            frames = [frame.select("doc", pl.col("drop_stage").is_null().alias("alive")) for frame in reader.frames([])]
        found = pl.concat([pl.DataFrame(schema={"doc": pl.UInt64, "alive": pl.Boolean}), *frames])
        return Heads(found["doc"], found.filter("alive")["doc"])

    @property
    def bounds(self) -> Docs:
        """First and last document."""
        return (int(self.docs[0]), int(self.docs[-1])) if len(self.docs) else None


class ShardReading:
    """Reads shards through one segment, `heads` or `read`."""

    def __init__(
        self,
        source: Source,
        segment: Segment,
        bound: Sequence[tuple[Stage, Apply]],
        heads: Heads | None,
        input_options: Mapping[str, object],
    ) -> None:
        self._source, self._bound, self._heads, self._input_options = source, bound, heads, input_options
        declared: dict[str, pa.DataType] = {name: t for stage in segment.stages for name, t in stage.adds.items()}
        declared.update(ENGINE_COLUMNS)  # null in heads
        left_out = HEAVY if segment.kind == "heads" else VOLATILE
        names = in_contract_order({"doc", *declared, *DROP_COLUMNS} - left_out)
        self._types = {name: column_type(name, declared) for name in names}
        self._counts = {s.label: StageCount(s.label) for s in segment.stages}
        judging = [s.label for s in segment.stages if isinstance(s, GlobalStage)]
        self._last_judge = judging[-1] if judging else ""
        self._docs: list[pl.Series] = []
        self._entered: list[pl.Series] = []

    def fill(self, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
        """Write the part of one shard; its columns and their types."""
        result.counts = list(self._counts.values())
        with PartWriter(out, self._types) as writer:
            buffer = _Buffer(writer)
            for frame in self._frames(unit, result):
                buffer.add(self._batch(frame, result))
            buffer.flush()
        self._check_heads(unit)
        result.rows, result.docs = writer.rows, writer.docs
        return self._types

    def _batch(self, frame: pl.DataFrame, result: Result) -> pl.DataFrame:
        kept, gone = self._judge_source(frame)
        fallen = [gone]
        for stage, apply in self._bound:
            if stage.label == self._last_judge:
                self._entered.append(kept["doc"])
            kept, gone = run_stage(stage, apply, kept, self._counts[stage.label])
            fallen.append(gone)
        merged = reunite(with_no_drops(kept), fallen, self._types)
        if "text" in self._types:
            merged = with_text_bytes(merged)
        self._docs.append(merged["doc"])
        alive = merged.filter(pl.col("drop_stage").is_null())
        result.rows_alive += alive.height
        result.text_bytes += int(alive["stat_text_bytes"].sum() or 0)
        return merged

    def _judge_source(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        count = self._counts[self._source.label]
        fell = pl.col("drop_reason").is_not_null()
        kept = frame.filter(~fell).drop("drop_reason", "drop_detail")
        gone = frame.filter(fell).with_columns(pl.lit(self._source.label).alias("drop_stage"))
        count.rows_in += frame.height
        count.rows_out += kept.height
        count_drops(count, gone)
        return kept, gone

    def _check_heads(self, unit: Unit) -> None:
        """Raise unless the documents are those of the first reading, and as many of them came to the last global stage."""
        if self._heads is None:
            return
        paths = ", ".join(dict.fromkeys(piece.input.path for piece in unit.pieces))
        if not _joined(self._docs).equals(self._heads.docs):
            raise InputError(
                explain_mismatch(
                    f"an input changed between its first and its second reading: {paths}",
                    wanted=f"{len(self._heads.docs)} documents, as at first",
                    found=f"{sum(map(len, self._docs))} documents, or others",
                    hint="run the same command again: what was read from the old file is read anew",
                )
            )
        if not _joined(self._entered).equals(self._heads.entered):
            raise ContractError(
                explain_mismatch(
                    f"a stage before {self._last_judge!r} dropped other documents at the second reading of {paths}",
                    wanted=f"the same {len(self._heads.entered)} documents as at the first",
                    found=f"{sum(map(len, self._entered))} documents, or others",
                    hint="stages before it run twice and must say the same both times; put those that cannot behind it",
                )
            )

    def _frames(self, unit: Unit, result: Result) -> Iterator[pl.DataFrame]:
        """The source's frames, checked, cut by --sample and --limit; reports are collected, docs strictly increase."""
        left = unit.limit
        last = -1
        for piece in unit.pieces:
            if left is not None and left <= 0:
                return
            opened: list[WatchedInput] = []
            for item in _timed(self._source.read(piece, partial(self._open, opened)), result.counts[0]):
                for stream in opened:
                    if stream.failure is not None:
                        raise stream.failure
                if isinstance(item, PieceReport):
                    result.pieces.append(item)
                    continue
                last = check_source(self._source, item, last)
                frame = item
                if unit.sample is not None:
                    frame = frame.filter(pl.Series(sampled(frame["doc"].to_numpy(), unit.sample)))
                if left is not None:
                    frame = frame[: max(0, left)]
                    left -= frame.height
                result.skipped += item.height - frame.height
                if frame.height:
                    yield frame
                if left is not None and left <= 0:
                    return

    def _open(self, opened: list[WatchedInput], item: Input) -> BinaryIO:
        stream = open_location(item.location, self._input_options)
        if (size := stream.seek(0, 2)) != item.size:
            raise InputError(
                explain_mismatch(
                    f"the input {item.path} changed while the run was going",
                    wanted=f"{item.size} bytes, as when the run began",
                    found=f"{size} bytes",
                    hint="run the same command again: what was read from the old file is read anew",
                )
            )
        stream.seek(0)
        opened.append(stream)
        return cast(BinaryIO, stream)


def _joined(docs: Sequence[pl.Series]) -> pl.Series:
    return pl.concat([pl.Series("doc", [], dtype=pl.UInt64), *docs])


class _Buffer:
    """Gathers frames until a row group is full, so that small source frames do not make small batches."""

    def __init__(self, writer: PartWriter) -> None:
        self._writer = writer
        self._held: list[pl.DataFrame] = []
        self._rows = self._bytes = 0

    def add(self, frame: pl.DataFrame) -> None:
        self._held.append(frame)
        self._rows += frame.height
        self._bytes += int(frame["stat_text_bytes"].sum() or 0)
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_TEXT_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._held:
            self._writer.write(pl.concat(self._held))
        self._held, self._rows, self._bytes = [], 0, 0


def _timed(items: Iterator, count: StageCount) -> Iterator:
    """The items, with the wall seconds it took to make them added to `count`."""
    while True:
        started = time.perf_counter()
        item = next(items, None)
        count.seconds += time.perf_counter() - started
        if item is None:
            return
        yield item


def reunite(kept: pl.DataFrame, fallen: Sequence[pl.DataFrame], types: Mapping[str, pa.DataType]) -> pl.DataFrame:
    """Live and dropped rows as one frame in document order, null where a column had not been reached."""
    frames = [coalesce_nulls(f, types) for f in (kept, *fallen) if f.height]
    if not frames:
        return empty_frame(types)
    return frames[0] if len(frames) == 1 else pl.concat(frames).sort("doc")


def with_text_bytes(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with the UTF-8 bytes of its text."""
    return frame.with_columns(pl.col("text").str.len_bytes().cast(pl.Int32).alias("stat_text_bytes"))
