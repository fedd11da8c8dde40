"""Run one unit: read committed parts, run stages, write a part, commit.

The commit record is written last, exclusively, and is the only pointer to the data file, whose name no other attempt
uses. A unit that dies leaves a file that nothing points to; the run that finishes removes it.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation import faults, unit_global
from curation.document import COLUMNS, DROP_COLUMNS, VOLATILE, column_type, content_id, empty_frame, in_contract_order
from curation.errors import ContractError, DamagedPart, InputError, StorageError, explain_mismatch
from curation.models import available_models
from curation.parts import PARTS, PartWriter, ShardReader, coalesce_nulls, to_frame, undamaged
from curation.pipeline import ENGINE_COLUMNS, Pipeline, Segment
from curation.plan import Unit, part_of
from curation.records import COMMITS, Result, read_record
from curation.run_stage import StageCount, check_source, count_drops, run_stage, with_no_drops
from curation.sampling import sampled
from curation.stage import Apply, GlobalStage, Input, PieceReport, Stage
from curation.storage import Folder, WatchedInput, Written, open_location
from curation.unit_sink import ShardMaker

GROUP_ROWS = 4096
GROUP_TEXT_BYTES = 8 << 20
"""A text part's row group is closed at this many rows or text bytes: the batch of every later stage."""


class Worker:
    """Runs units of one pipeline in one process. Stages of a segment are bound once and kept until the next segment,
    so that models and guard children are started once per worker."""

    def __init__(
        self,
        pipeline: Pipeline,
        folder: Folder,
        input_options: Mapping[str, object] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.folder = folder
        self.segments = pipeline.segments()
        self._input_options = dict(input_options or {})
        self._bound: tuple[int, list[tuple[Stage, Apply]]] | None = None

    def run(self, unit: Unit, earlier: Sequence[str] = ()) -> dict:
        """Run one unit and commit it; return its commit record (another attempt's, when that was faster).

        `earlier`: names of commit records of the same unit under other fingerprints, whose columns may be taken over.
        """
        self._earlier = earlier
        started, cpu = time.time(), time.process_time()
        result = Result()
        file = f"{unit.name}.{unit.fingerprint}.{uuid.uuid4().hex[:8]}.parquet"
        record: dict = {"unit": unit.name, "fingerprint": unit.fingerprint}
        try:
            self._write_files(unit, file, result, record)
            faults.point("part-written")
            record.update(_account(unit, result))
            record["seconds"] = {"wall": round(time.time() - started, 3), "cpu": round(time.process_time() - cpu, 3)}
            if self.folder.create(f"{COMMITS}/{unit.record_name}", json.dumps(record, ensure_ascii=False).encode()):
                faults.point("record-committed")
                return record
        except BaseException:
            self._discard(file)
            raise
        self._discard(file)
        return read_record(self.folder, unit.record_name)

    def _write_files(self, unit: Unit, file: str, result: Result, record: dict) -> None:
        columns: dict[str, pa.DataType] = {}

        def fill(out: BinaryIO) -> None:
            columns.update(self._body(unit, out, result))

        written = self.folder.write(f"{PARTS}/{file}", fill)
        record["part"] = {"file": file, **_file_facts(written), "columns": list(columns), "rows": result.rows}
        record["part"]["slices"] = result.slices
        if unit.kind == "sink":
            record["dropped"] = ShardMaker(self.pipeline, self.folder).dropped(unit, _dropped_name(file))

    def _body(self, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
        if unit.kind == "read":
            return self._read(unit, out, result)
        if unit.kind == "rows":
            return self._rows(unit, out, result)
        if unit.kind == "sink":
            return ShardMaker(self.pipeline, self.folder).documents(unit, out, result)
        stage = self.segments[unit.segment].stages[0]
        assert isinstance(stage, GlobalStage)
        step = {"sketch": unit_global.sketch, "match": unit_global.match, "step": unit_global.step}[unit.kind]
        return step(self.folder, stage, unit, out, result)

    def _discard(self, file: str) -> None:
        self.folder.delete(f"{PARTS}/{file}")
        self.folder.delete(f"{PARTS}/{_dropped_name(file)}")

    def close(self) -> None:
        """Let stages release what they hold."""
        if self._bound:
            for stage, apply in self._bound[1]:
                stage.close(apply)
            self._bound = None

    def _bind(self, segment: Segment, verdict: pl.DataFrame | None = None) -> list[tuple[Stage, Apply]]:
        if self._bound is None or self._bound[0] != segment.index:
            self.close()
            stages = [s for s in segment.stages if not isinstance(s, GlobalStage) and s is not self.pipeline.source]
            self._bound = (segment.index, [(s, s.bind(available_models(s.models))) for s in stages])
        bound = list(self._bound[1])
        if verdict is not None:
            stage = segment.stages[0]
            assert isinstance(stage, GlobalStage)
            bound.insert(0, (stage, lambda batch: stage.apply(batch, verdict)))
        return bound

    # -- read

    def _read(self, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
        segment = self.segments[0]
        source = self.pipeline.source
        bound = self._bind(segment)
        declared: dict[str, pa.DataType] = dict(source.adds)
        for stage in segment.stages[1:]:
            declared.update(stage.adds)
        declared.update(ENGINE_COLUMNS)
        names = in_contract_order({"doc", *declared, *DROP_COLUMNS} - VOLATILE)
        types = {name: column_type(name, declared) for name in names}
        counts = {s.label: StageCount(s.label) for s in segment.stages}
        result.counts = list(counts.values())
        with PartWriter(out, types) as writer:
            buffer = _Buffer(writer)
            for frame in self._source_frames(unit, result):
                buffer.add(self._read_batch(frame, bound, counts, result, types))
            buffer.flush()
        result.rows, result.docs = writer.rows, writer.docs
        return types

    def _read_batch(
        self,
        frame: pl.DataFrame,
        bound: Sequence[tuple[Stage, Apply]],
        counts: Mapping[str, StageCount],
        result: Result,
        types: Mapping[str, pa.DataType],
    ) -> pl.DataFrame:
        kept, gone = self._judge_source(frame, counts[self.pipeline.source.label])
        fallen = [gone]
        for stage, apply in bound:
            kept, gone = run_stage(stage, apply, kept, counts[stage.label])
            fallen.append(gone)
        merged = _with_text_bytes(_reunite(with_no_drops(kept), fallen, types))
        alive = merged.filter(pl.col("drop_stage").is_null())
        result.rows_alive += alive.height
        result.text_bytes += int(alive["stat_text_bytes"].sum() or 0)
        return merged

    def _source_frames(self, unit: Unit, result: Result) -> Iterator[pl.DataFrame]:
        """The source's frames, checked, cut by --sample and --limit; reports are collected, docs strictly increase."""
        source = self.pipeline.source
        left = unit.limit
        last = -1
        for piece in unit.pieces:
            if left is not None and left <= 0:
                return
            opened: list[WatchedInput] = []
            for item in _timed(source.read(piece, partial(self._open, opened)), result.counts[0]):
                for stream in opened:
                    if stream.failure is not None:
                        raise stream.failure
                if isinstance(item, PieceReport):
                    result.pieces.append(item)
                    continue
                last = check_source(source, item, last)
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

    def _judge_source(self, frame: pl.DataFrame, count: StageCount) -> tuple[pl.DataFrame, pl.DataFrame]:
        source = self.pipeline.source
        fell = pl.col("drop_reason").is_not_null()
        kept = frame.filter(~fell).drop("drop_reason", "drop_detail")
        gone = frame.filter(fell).with_columns(pl.lit(source.label).alias("drop_stage"))
        count.rows_in += frame.height
        count.rows_out += kept.height
        count_drops(count, gone)
        return kept, gone

    # -- rows

    def _rows(self, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
        segment = self.segments[unit.segment]
        declared: dict[str, pa.DataType] = {}
        reads: list[str] = ["stat_text_bytes"]
        for stage in segment.stages:
            reads += [c for c in (*stage.reads, *stage.rewrites) if c not in declared]
            declared.update(stage.adds)
            declared.update({name: COLUMNS[name] for name in stage.rewrites})
            if "text" in stage.rewrites:
                declared.update({"content_id": COLUMNS["content_id"], **ENGINE_COLUMNS})
        names = in_contract_order({"doc", *declared, *DROP_COLUMNS})
        types = {name: column_type(name, declared) for name in names}
        result.counts = [StageCount(s.label) for s in segment.stages]
        with ShardReader(self.folder, unit.shards[0]) as reader, PartWriter(out, types) as writer:
            bound = self._bind(segment, self._verdict(unit, reader))
            known = self._known(unit, segment)
            for frame in reader.frames(reads):
                writer.write(self._rows_batch(frame, bound, result, known, types))
        result.rows = writer.rows
        return types

    def _rows_batch(
        self,
        frame: pl.DataFrame,
        bound: Sequence[tuple[Stage, Apply]],
        result: Result,
        known: Mapping[str, pl.DataFrame],
        types: Mapping[str, pa.DataType],
    ) -> pl.DataFrame:
        kept = frame.filter(pl.col("drop_stage").is_null()).drop(DROP_COLUMNS)
        entered = kept.height
        fallen: list[pl.DataFrame] = []
        for (stage, apply), count in zip(bound, result.counts, strict=True):
            kept, gone = run_stage(stage, apply, kept, count, known.get(stage.label))
            if "text" in stage.rewrites:
                kept = _with_text_identity(kept)
            fallen.append(gone)
        result.rows_alive += kept.height
        result.text_bytes += int(kept["stat_text_bytes"].sum() or 0)
        changed = _reunite(with_no_drops(kept), fallen, types)
        if changed.height != entered:
            raise ContractError(f"unit lost rows: {entered} entered, {changed.height} came out")
        return frame.select("doc").join(changed, on="doc", how="left", maintain_order="left").select(list(types))

    def _verdict(self, unit: Unit, reader: ShardReader) -> pl.DataFrame | None:
        if unit.verdict is None:
            return None
        first, last = 0, 0
        if reader.groups:
            first, last = reader.frame(0, [])["doc"][0], reader.frame(reader.groups - 1, [])["doc"][-1]
        return unit_global.verdict_of(self.folder, unit.verdict, unit.verdict_slice, first, last)

    def _known(self, unit: Unit, segment: Segment) -> dict[str, pl.DataFrame]:
        """Columns that earlier commits of this shard already hold for a stage, by label: of all of them together, so that
        a document measured once is never measured again."""
        found: dict[str, list[pl.DataFrame]] = {}
        stages = {stage.label: stage for stage in segment.stages}
        for name in self._earlier:
            try:
                record = read_record(self.folder, name)
            except (StorageError, FileNotFoundError):
                continue
            theirs = set(record.get("reuse_keys", {}).values())
            for label, key in unit.reuse_keys.items():
                if key in theirs:
                    found.setdefault(label, []).append(self._take(record, stages[label]))
        known = {label: pl.concat(frames).unique("doc", keep="any") for label, frames in found.items()}
        return {label: frame for label, frame in known.items() if frame.height}

    def _take(self, record: Mapping, stage: Stage) -> pl.DataFrame:
        """`doc` and a stage's columns from an earlier part, for the rows that have them."""
        part = part_of(record)
        types = {"doc": COLUMNS["doc"], **stage.adds}
        try:
            with self.folder.open(f"{PARTS}/{part.file}") as stream, undamaged(part):
                frame = to_frame(pq.read_table(stream, columns=list(types), page_checksum_verification=True))
        except (FileNotFoundError, DamagedPart):
            return empty_frame(types)
        return frame.filter(pl.all_horizontal(pl.col(name).is_not_null() for name in stage.adds))


def _account(unit: Unit, result: Result) -> dict:
    """What a unit found, as the rest of its commit record."""
    pieces = [
        {
            "input": p.piece.input.number,
            "path": p.piece.input.path,
            "size": p.piece.input.size,
            "first": p.first,
            "stop": p.stop,
            "records": dict(p.records),
            "broken": [list(b) for b in p.broken],
        }
        for p in result.pieces
    ]
    return {
        "counts": [asdict(c) for c in result.counts],
        "pieces": pieces,
        "rows_alive": result.rows_alive,
        "text_bytes": result.text_bytes,
        "skipped": result.skipped,
        "facts": result.facts,
        "docs": result.docs,
        "inputs": result.inputs,
        "reuse_keys": dict(unit.reuse_keys),
    }


def _file_facts(written: Written) -> dict[str, object]:
    return {"bytes": written.bytes, "sha256": written.sha256}


def _dropped_name(file: str) -> str:
    return file.replace(".parquet", ".dropped.parquet")


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


def _reunite(kept: pl.DataFrame, fallen: Sequence[pl.DataFrame], types: Mapping[str, pa.DataType]) -> pl.DataFrame:
    """Live and dropped rows as one frame in document order, null where a column had not been reached."""
    frames = [coalesce_nulls(f, types) for f in (kept, *fallen) if f.height]
    if not frames:
        return empty_frame(types)
    return frames[0] if len(frames) == 1 else pl.concat(frames).sort("doc")


def _with_text_bytes(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("text").str.len_bytes().cast(pl.Int32).alias("stat_text_bytes"))


def _with_text_identity(frame: pl.DataFrame) -> pl.DataFrame:
    ids = pl.Series("content_id", [None if t is None else content_id(t) for t in frame["text"]], dtype=pl.Binary)
    return _with_text_bytes(frame.with_columns(ids))


def model_paths(stages: Sequence[Stage]) -> dict[str, Path]:
    """Every model the stages need, verified; raises ModelError for the first that is missing or another."""
    return {name: path for stage in stages for name, path in available_models(stage.models).items()}
