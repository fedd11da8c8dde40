"""The three steps of a global stage as units: sketch a shard, match a partition, settle the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.document import HEAVY
from curation.errors import ContractError, explain_mismatch
from curation.parts import PARTS, ShardReader, to_frame
from curation.plan import Unit
from curation.records import Result
from curation.stage import GlobalStage
from curation.storage import Folder


def sketch(folder: Folder, stage: GlobalStage, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
    made: list[pl.DataFrame] = []
    with ShardReader(folder, unit.shards[0]) as reader:
        for frame in reader.frames(stage.sketch_reads):
            alive = frame.filter(pl.col("drop_stage").is_null()).select("doc", *stage.sketch_reads)
            if alive.height:
                made.append(_checked(stage, alive))
    if not made:
        result.rows = 0
        pq.write_table(pa.table({"doc": pa.array([], pa.uint64())}), out)
        return {"doc": pa.uint64()}
    rows = pl.concat(made).sort("partition", "doc", maintain_order=True)
    schema = rows.head(0).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    with pq.ParquetWriter(out, schema, compression="zstd", compression_level=1) as writer:
        for (number,), part in rows.group_by("partition", maintain_order=True):
            result.index[str(number)] = len(result.index)
            table = part.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
            writer.write_table(table, row_group_size=part.height)
    result.rows = rows.height
    return {field.name: field.type for field in schema}


def _checked(stage: GlobalStage, alive: pl.DataFrame) -> pl.DataFrame:
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


def match(folder: Folder, stage: GlobalStage, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
    taken: list[pl.DataFrame] = []
    for part in unit.parts:
        with folder.open(f"{PARTS}/{part.file}") as stream, pq.ParquetFile(stream) as file:
            taken.append(to_frame(file.read_row_group(part.index[str(unit.number)])))
    matched = stage.match(pl.concat(taken)) if taken else None
    return _write_plain(matched, out, result)


def settle(folder: Folder, stage: GlobalStage, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:

    def matches() -> Iterator[pl.DataFrame]:
        for part in unit.parts:
            if part.rows:
                with folder.open(f"{PARTS}/{part.file}") as stream:
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


def _write_plain(frame: pl.DataFrame | None, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
    if frame is None:
        frame = pl.DataFrame(schema={"doc": pl.UInt64})
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    pq.write_table(table, out, compression="zstd", compression_level=1, row_group_size=65536)
    result.rows = frame.height
    return {field.name: field.type for field in table.schema}
