"""Run one unit: read committed parts, run stages, write a part, commit.

The commit record is written last, exclusively, and is the only pointer to the data file, whose name no other attempt
uses. A unit that dies leaves a file that nothing points to; the run that finishes removes it.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow as pa

from curation import faults, unit_global
from curation.document import COLUMNS, DROP_COLUMNS, column_type, content_id, empty_frame, in_contract_order
from curation.errors import ContractError, DamagedPart, StorageError
from curation.fingerprint import library_versions
from curation.lists import Lists
from curation.models import available_models
from curation.parts import PARTS, Docs, PartWriter, ShardReader, open_parquet, to_frame, undamaged
from curation.pipeline import ENGINE_COLUMNS, Pipeline, Segment
from curation.plan import Unit, part_of
from curation.records import COMMITS, Result, read_record
from curation.run_stage import StageCount, run_stage, with_no_drops
from curation.stage import Apply, GlobalStage, Source, Stage
from curation.storage import Folder, Written
from curation.unit_read import Heads, ShardReading, reunite, with_text_bytes
from curation.unit_sink import ShardMaker


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
        self._lists = Lists(folder)
        self._bound: tuple[int, list[tuple[Stage, Apply]]] | None = None

    def run(self, unit: Unit, earlier: Sequence[str] = ()) -> dict:
        """Run one unit and commit it; return its commit record (another attempt's, when that was faster).

        `earlier`: names of commit records of the same unit under other fingerprints, whose columns may be taken over.
        """
        self._earlier = earlier
        unit = self._lists.whole(unit)
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
                # Beside the record and not in it: what is committed is the same wherever it was made.
                return {**record, "worker": {"host": socket.gethostname(), "pid": os.getpid()}}
        except BaseException:
            self._discard(file)
            raise
        self._discard(file)
        return read_record(self.folder, unit.record_name)

    def _write_files(self, unit: Unit, file: str, result: Result, record: dict) -> None:
        columns: dict[str, pa.DataType] = {}

        shard = ShardMaker(self.pipeline, self.folder, unit) if unit.kind == "sink" else None

        def fill(out: BinaryIO) -> None:
            columns.update(shard.documents(out, result) if shard else self._body(unit, out, result))

        written = self.folder.write(f"{PARTS}/{file}", fill)
        record["part"] = {"file": file, **_file_facts(written), "columns": list(columns), "rows": result.rows}
        record["part"]["slices"] = result.slices
        if shard:
            record["dropped"] = shard.dropped(_dropped_name(file))

    def _body(self, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
        if unit.pieces:
            return self._read(unit, out, result)
        if unit.kind in ("heads", "rows"):
            return self._rows(unit, out, result)
        stage = self.segments[unit.segment].stages[0]
        assert isinstance(stage, GlobalStage)
        stage = stage.sized(unit.documents)
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

    def _bind(self, segment: Segment, verdicts: Mapping[str, pl.DataFrame]) -> list[tuple[Stage, Apply]]:
        """Every stage of the segment but the source with what applies it; a global stage applies its verdict."""
        if self._bound is None or self._bound[0] != segment.index:
            self.close()
            stages = [s for s in segment.stages if not isinstance(s, (GlobalStage, Source))]
            self._bound = (segment.index, [(s, s.bind(available_models(s.models))) for s in stages])
        made = {stage.label: apply for stage, apply in self._bound[1]}
        given = {s.label: _applying(s, verdicts[s.label]) for s in segment.stages if isinstance(s, GlobalStage)}
        return [(s, made[s.label] if s.label in made else given[s.label]) for s in segment.stages if not isinstance(s, Source)]

    def _verdicts(self, unit: Unit, docs: Docs) -> dict[str, pl.DataFrame]:
        """The rows of each verdict between the first and the last document of the unit's shard."""
        first, last = docs or (0, 0)
        return {
            label: unit_global.verdict_of(self.folder, verdict.tables, verdict.number, first, last)
            for label, verdict in unit.verdicts.items()
        }

    # -- read

    def _read(self, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
        segment = self.segments[unit.segment]
        heads = Heads.of(self.folder, unit.shards[0]) if unit.shards[0] else None
        bound = self._bind(segment, self._verdicts(unit, heads.bounds if heads else None))
        reading = ShardReading(self.pipeline.source, segment, bound, heads, self._input_options)
        return reading.fill(unit, out, result)

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
            bound = self._bind(segment, self._verdicts(unit, reader.bounds() if unit.verdicts else None))
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
        changed = reunite(with_no_drops(kept), fallen, types)
        if changed.height != entered:
            raise ContractError(f"unit lost rows: {entered} entered, {changed.height} came out")
        return frame.select("doc").join(changed, on="doc", how="left", maintain_order="left").select(list(types))

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
                frame = to_frame(open_parquet(stream).read(columns=list(types), use_threads=False))
        except (FileNotFoundError, DamagedPart):
            return empty_frame(types)
        return frame.filter(pl.all_horizontal(pl.col(name).is_not_null() for name in stage.adds))


def _applying(stage: GlobalStage, verdict: pl.DataFrame) -> Apply:
    return lambda batch: stage.apply(batch, verdict)


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


def _with_text_identity(frame: pl.DataFrame) -> pl.DataFrame:
    ids = pl.Series("content_id", [None if t is None else content_id(t) for t in frame["text"]], dtype=pl.Binary)
    return with_text_bytes(frame.with_columns(ids))


def model_paths(stages: Sequence[Stage]) -> dict[str, Path]:
    """Every model the stages need, verified; raises ModelError for the first that is missing, another, or of no use."""
    found: dict[str, Path] = {}
    for stage in stages:
        paths = available_models(stage.models)
        stage.check_models(paths)
        found |= paths
    return found


def versions_of(pipeline: Pipeline) -> dict[str, str]:
    """Versions of the libraries on which a pipeline's results depend: equal on all that work on one run."""
    names = {name for stage in pipeline.everything() for name in stage.libraries}
    return library_versions(tuple(sorted(names | {"polars", "pyarrow"})))
