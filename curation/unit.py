"""Run one unit: read committed parts, run stages, write a part, commit.

The commit record is written last, exclusively, and is the only pointer to the data file, whose name no other attempt
uses. A unit that dies leaves a file that nothing points to; `curation clean` and the next run's publish remove it.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation import faults
from curation.document import (
    COLUMNS,
    DROP_COLUMNS,
    HEAVY,
    VOLATILE,
    column_type,
    content_id,
    empty_frame,
    in_contract_order,
)
from curation.errors import ContractError, StorageError, explain_mismatch
from curation.fingerprint import stage_fingerprint
from curation.models import available_models
from curation.parts import PARTS, PartWriter, ShardReader, coalesce_nulls, to_frame, to_table
from curation.pipeline import ENGINE_COLUMNS, Pipeline, Segment
from curation.plan import PartRef, Unit, part_of
from curation.run_stage import StageCount, count_drops, run_stage, with_no_drops
from curation.stage import Apply, GlobalStage, Input, PieceReport, Stage
from curation.storage import Folder, open_location

COMMITS = "work/commits"
GROUP_ROWS = 4096
GROUP_TEXT_BYTES = 8 << 20
"""A text part's row group is closed at this many rows or text bytes: the batch of every later stage."""

_RUN_COLUMNS = ("doc", *DROP_COLUMNS)


@dataclass
class Result:
    """What a unit's body found, for its commit record."""

    counts: list[StageCount] = field(default_factory=list)
    pieces: list[PieceReport] = field(default_factory=list)
    rows_alive: int = 0
    text_bytes: int = 0
    skipped: int = 0
    index: dict[str, int] = field(default_factory=dict)
    extra: dict[str, object] = field(default_factory=dict)


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
        bodies: dict[str, Callable[[Unit, BinaryIO, Result], dict[str, pa.DataType]]] = {
            "read": self._read,
            "rows": self._rows,
            "sketch": self._sketch,
            "match": self._match,
            "settle": self._settle,
            "sink": self._documents,
        }
        started, cpu = time.time(), time.process_time()
        result = Result()
        attempt = uuid.uuid4().hex[:8]
        file = f"{unit.name}.{unit.fingerprint}.{attempt}.parquet"
        columns: dict[str, pa.DataType] = {}

        def fill(out: BinaryIO) -> None:
            columns.update(bodies[unit.kind](unit, out, result))

        try:
            written = self.folder.write(f"{PARTS}/{file}", fill)
            record = {
                "unit": unit.name,
                "fingerprint": unit.fingerprint,
                "part": {"file": file, "bytes": written.bytes, "sha256": written.sha256, "columns": list(columns),
                         "rows": result.extra.pop("rows")},
            }  # fmt: skip
            if unit.kind == "sink":
                record["dropped"] = self._dropped(unit, file.replace(".parquet", ".dropped.parquet"), result)
            faults.point("part-written")
            record.update(self._account(unit, result))
            record["seconds"] = {"wall": round(time.time() - started, 3), "cpu": round(time.process_time() - cpu, 3)}
            if self.folder.create(f"{COMMITS}/{unit.record_name}", json.dumps(record, ensure_ascii=False).encode()):
                faults.point("record-committed")
                return record
        except BaseException:
            self.folder.delete(f"{PARTS}/{file}")
            raise
        self.folder.delete(f"{PARTS}/{file}")
        return read_record(self.folder, unit.record_name)

    def close(self) -> None:
        """Let stages release what they hold."""
        if self._bound:
            for stage, apply in self._bound[1]:
                stage.close(apply)
            self._bound = None

    def _account(self, unit: Unit, result: Result) -> dict:
        pieces = [
            {"input": p.piece.input.number, "path": p.piece.input.path, "size": p.piece.input.size, "first": p.first,
             "stop": p.stop, "records": dict(p.records), "broken": [list(b) for b in p.broken]}
            for p in result.pieces
        ]  # fmt: skip
        return {
            "counts": [asdict(c) for c in result.counts],
            "pieces": pieces,
            "rows_alive": result.rows_alive,
            "text_bytes": result.text_bytes,
            "skipped": result.skipped,
            "index": result.index,
            "reuse_keys": dict(unit.reuse_keys),
            **result.extra,
        }

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
        result.extra["rows"] = writer.rows
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
            for item in _timed(source.read(piece, self._open), result.counts[0]):
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

    def _open(self, item: Input) -> BinaryIO:
        return open_location(item.location, self._input_options)

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
        result.extra["rows"] = writer.rows
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
        docs = [frame["doc"] for frame in reader.frames([])]
        first, last = (docs[0][0], docs[-1][-1]) if docs else (0, 0)
        with self.folder.open(f"{PARTS}/{unit.verdict.file}") as stream:
            table = pq.read_table(stream, filters=[("doc", ">=", first), ("doc", "<=", last)])
        return to_frame(table)

    def _known(self, unit: Unit, segment: Segment) -> dict[str, pl.DataFrame]:
        """Columns that an earlier commit of this shard already holds for a stage, by label."""
        found: dict[str, pl.DataFrame] = {}
        wanted = dict(unit.reuse_keys)
        for name in self._earlier:
            try:
                record = read_record(self.folder, name)
            except (StorageError, FileNotFoundError):
                continue
            for label, key in list(wanted.items()):
                if key not in record.get("reuse_keys", {}).values():
                    continue
                stage = next(s for s in segment.stages if s.label == label)
                found[label] = self._take(record, stage)
                del wanted[label]
        return {label: frame for label, frame in found.items() if frame.height}

    def _take(self, record: Mapping, stage: Stage) -> pl.DataFrame:
        """`doc` and a stage's columns from an earlier part, for the rows that have them."""
        part = part_of(record)
        types = {"doc": COLUMNS["doc"], **stage.adds}
        try:
            with self.folder.open(f"{PARTS}/{part.file}") as stream:
                frame = to_frame(pq.read_table(stream, columns=list(types)))
        except (FileNotFoundError, pa.ArrowInvalid):
            return empty_frame(types)
        return frame.filter(pl.all_horizontal(pl.col(name).is_not_null() for name in stage.adds))

    # -- global

    def _sketch(self, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
        stage = self._global(unit)
        made: list[pl.DataFrame] = []
        with ShardReader(self.folder, unit.shards[0]) as reader:
            for frame in reader.frames(stage.sketch_reads):
                alive = frame.filter(pl.col("drop_stage").is_null()).select("doc", *stage.sketch_reads)
                if alive.height:
                    made.append(self._checked_sketch(stage, alive))
        if not made:
            result.extra["rows"] = 0
            pq.write_table(pa.table({"doc": pa.array([], pa.uint64())}), out)
            return {"doc": pa.uint64()}
        rows = pl.concat(made).sort("partition", "doc", maintain_order=True)
        schema = rows.head(0).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
        with pq.ParquetWriter(out, schema, compression="zstd", compression_level=1) as writer:
            for (number,), part in rows.group_by("partition", maintain_order=True):
                result.index[str(number)] = len(result.index)
                table = part.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
                writer.write_table(table, row_group_size=part.height)
        result.extra["rows"] = rows.height
        return {field.name: field.type for field in schema}

    def _checked_sketch(self, stage: GlobalStage, alive: pl.DataFrame) -> pl.DataFrame:
        sketch = stage.sketch(alive)
        subject = f"stage {stage.label!r} ({stage.name}) broke its contract in sketch"
        if "partition" not in sketch.columns or sketch.schema["partition"] != pl.UInt32:
            found = ", ".join(f"{n}: {t}" for n, t in sketch.schema.items())
            raise ContractError(explain_mismatch(subject, wanted="a column partition: UInt32", found=found))
        if sketch.height and int(sketch["partition"].max()) >= stage.partitions:  # type: ignore[arg-type]
            raise ContractError(
                explain_mismatch(subject, wanted=f"partition < {stage.partitions}", found=sketch["partition"].max())
            )
        heavy = sorted(HEAVY & set(sketch.columns))
        if heavy:
            raise ContractError(explain_mismatch(subject, wanted="no text in a sketch", found=", ".join(heavy)))
        return sketch

    def _match(self, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
        stage = self._global(unit)
        taken: list[pl.DataFrame] = []
        for part in unit.parts:
            with self.folder.open(f"{PARTS}/{part.file}") as stream, pq.ParquetFile(stream) as file:
                taken.append(to_frame(file.read_row_group(part.index[str(unit.number)])))
        matched = stage.match(pl.concat(taken)) if taken else None
        return _write_plain(matched, out, result)

    def _settle(self, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
        stage = self._global(unit)

        def matches() -> Iterator[pl.DataFrame]:
            for part in unit.parts:
                if part.rows:
                    with self.folder.open(f"{PARTS}/{part.file}") as stream:
                        yield to_frame(pq.read_table(stream))

        verdict = stage.settle(matches())
        if "doc" not in verdict.columns or not verdict["doc"].is_sorted():
            raise ContractError(
                explain_mismatch(
                    f"stage {stage.label!r} ({stage.name}) broke its contract in settle",
                    wanted="a verdict with `doc`, sorted by it",
                    found=", ".join(verdict.columns) or "no columns",
                )
            )
        return _write_plain(verdict, out, result)

    def _global(self, unit: Unit) -> GlobalStage:
        stage = self.segments[unit.segment].stages[0]
        assert isinstance(stage, GlobalStage)
        return stage

    # -- sink

    def _documents(self, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
        types = self._shard_types(dropped=False)

        def tables() -> Iterator[pa.Table]:
            for frame in self._shard_frames(unit, list(types)):
                alive = frame.filter(pl.col("drop_stage").is_null())
                result.rows_alive += alive.height
                result.text_bytes += int(alive["stat_text_bytes"].sum() or 0)
                yield self._described(to_table(alive, types))

        self.pipeline.sink.write(_never_empty(tables(), self._described(_no_rows(types))), out, self._metadata())
        result.extra["rows"] = result.rows_alive
        result.extra["inputs"] = self._input_paths(unit)
        return types

    def _dropped(self, unit: Unit, file: str, result: Result) -> dict:
        types = self._shard_types(dropped=True)
        with_text = self._tombstones_with_text(unit)
        rows = 0

        def tables() -> Iterator[pa.Table]:
            nonlocal rows
            for frame in self._shard_frames(unit, list(types)):
                gone = frame.filter(pl.col("drop_stage").is_not_null())
                if with_text is not None:
                    keeps = pl.col("doc").is_in(with_text.implode())
                    heavy = [c for c in ("text", "title") if c in gone.columns]
                    gone = gone.with_columns(pl.when(keeps).then(pl.col(c)).otherwise(None).alias(c) for c in heavy)
                rows += gone.height
                yield self._described(to_table(gone, types))

        def fill(out: BinaryIO) -> None:
            self.pipeline.sink.write(_never_empty(tables(), self._described(_no_rows(types))), out, self._metadata())

        written = self.folder.write(f"{PARTS}/{file}", fill)
        return {"file": file, "bytes": written.bytes, "sha256": written.sha256, "rows": rows}

    def _shard_frames(self, unit: Unit, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        types = {name: column_type(name, self.pipeline.column_types()) for name in columns}
        for parts in unit.shards:
            with ShardReader(self.folder, parts) as reader:
                for frame in reader.frames([*columns, "stat_text_bytes"]):
                    yield coalesce_nulls(frame, {**types, **_TYPES_ALWAYS})

    def _shard_types(self, *, dropped: bool) -> dict[str, pa.DataType]:
        types = self.pipeline.column_types()
        names = in_contract_order(set(types) - (set() if dropped else set(DROP_COLUMNS)))
        return {name: types[name] for name in names}

    def _described(self, table: pa.Table) -> pa.Table:
        """The table with the producer of each column in its field's metadata."""
        fields = [f.with_metadata({"producer": self._producers().get(f.name, "engine")}) for f in table.schema]
        return table.cast(pa.schema(fields))

    def _producers(self) -> dict[str, str]:
        made: dict[str, str] = {}
        for stage in (self.pipeline.source, *self.pipeline.stages):
            models = "".join(f" card={m.name} sha256={m.sha256}" for m in stage.models)
            for name in (*stage.adds, *stage.rewrites):
                made[name] = f"{stage.name}@{stage_fingerprint(stage)[:12]}{models}"
        return made

    def _metadata(self) -> dict[str, str]:
        return {"curation.recipe": self.pipeline.name, "curation.fingerprint": self.pipeline.fingerprint()}

    def _input_paths(self, unit: Unit) -> list[str]:
        paths: set[str] = set()
        for parts in unit.shards:
            record = read_record(self.folder, record_of(parts[0]))
            paths.update(piece["path"] for piece in record["pieces"])
        return sorted(paths)

    def _tombstones_with_text(self, unit: Unit) -> pl.Series | None:
        """`doc` of the tombstones that keep their text; None when all do."""
        policy = getattr(self.pipeline.sink, "dropped_text", "none")
        if policy == "all":
            return None
        kind, _, number = str(policy).partition(":")
        wanted = int(number) if kind == "sample" else 0
        if not wanted:
            return pl.Series("doc", [], dtype=pl.UInt64)
        gone = pl.concat(
            frame.filter(pl.col("drop_stage").is_not_null()).select("doc", "drop_stage", "drop_reason")
            for frame in self._shard_frames(unit, ["drop_stage", "drop_reason"])
        )
        ranked = gone.with_columns(pl.Series("rank", hash_documents(gone["doc"].to_numpy())))
        chosen = ranked.sort("rank", "doc").group_by("drop_stage", "drop_reason", maintain_order=True).head(wanted)
        return chosen["doc"].sort()


_TYPES_ALWAYS = {"doc": COLUMNS["doc"], **ENGINE_COLUMNS, **{name: COLUMNS[name] for name in DROP_COLUMNS}}


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
    """The items, with the CPU seconds it took to make them added to `count`."""
    while True:
        started = time.process_time()
        item = next(items, None)
        count.seconds += time.process_time() - started
        if item is None:
            return
        yield item


def read_record(folder: Folder, name: str) -> dict:
    """A commit record. StorageError when it is not whole, which only damage from outside can cause."""
    try:
        record = json.loads(folder.read(f"{COMMITS}/{name}"))
    except ValueError as error:
        raise StorageError(
            f"commit record {name} is damaged: {error}\n  try:    delete that file and run again"
        ) from error
    return record


def record_of(part: PartRef) -> str:
    """Name of the commit record that points to a part."""
    return part.file.rsplit(".", 2)[0] + ".json"


def hash_documents(docs: np.ndarray) -> np.ndarray:
    """splitmix64 of each `doc`: uint64 [n], the same on every machine and version."""
    with np.errstate(over="ignore"):
        x = docs.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def sampled(docs: np.ndarray, share: float) -> np.ndarray:
    """Which documents a sample of `share` (0..1) holds: bool [n], by hash, so samples of larger shares contain it."""
    return hash_documents(docs) < np.uint64(min(share * 2.0**64, 2.0**64 - 2048))


def check_source(source: Stage, frame: pl.DataFrame, last: int) -> int:
    """Check a source's frame: columns, reasons, `doc` strictly increasing after `last`. Returns its last `doc`."""
    subject = f"source {source.label!r} ({source.name}) broke its contract"
    wanted = {"doc", *source.adds, "drop_reason", "drop_detail"}
    if set(frame.columns) != wanted:
        raise ContractError(
            explain_mismatch(subject, wanted=", ".join(sorted(wanted)), found=", ".join(sorted(frame.columns)))
        )
    undeclared = set(frame["drop_reason"].drop_nulls().unique().to_list()) - set(source.drops)
    if undeclared:
        raise ContractError(explain_mismatch(subject, wanted=", ".join(source.drops), found=", ".join(undeclared)))
    docs = frame["doc"].to_numpy()
    if len(docs) and (int(docs[0]) <= last or bool((docs[1:] <= docs[:-1]).any())):
        raise ContractError(explain_mismatch(subject, wanted="doc strictly increasing", found=f"doc {docs[0]} after {last}"))
    return int(docs[-1]) if len(docs) else last


def _reunite(
    kept: pl.DataFrame, fallen: Sequence[pl.DataFrame], types: Mapping[str, pa.DataType]
) -> pl.DataFrame:
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


def _no_rows(types: Mapping[str, pa.DataType]) -> pa.Table:
    return pa.schema(list(types.items())).empty_table()


def _never_empty(tables: Iterator[pa.Table], empty: pa.Table) -> Iterator[pa.Table]:
    """The tables, with an empty one first, so that a sink always learns the schema."""
    yield empty
    yield from tables


def _write_plain(frame: pl.DataFrame | None, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
    if frame is None:
        frame = pl.DataFrame(schema={"doc": pl.UInt64})
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    pq.write_table(table, out, compression="zstd", compression_level=1, row_group_size=65536)
    result.extra["rows"] = frame.height
    return {field.name: field.type for field in table.schema}


def model_paths(stages: Sequence[Stage]) -> dict[str, Path]:
    """Every model the stages need, verified; raises ModelError for the first that is missing or another."""
    return {name: path for stage in stages for name, path in available_models(stage.models).items()}
