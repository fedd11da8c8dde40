"""The steps of a global stage as units: sketch a shard, match a partition, and what leads from there to the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import BinaryIO, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.document import HEAVY
from curation.errors import ContractError, explain_mismatch
from curation.parts import ShardReader
from curation.plan import COLLECT, PartRef, Unit
from curation.records import Result
from curation.slice_format import cut_by_partition, write_slices
from curation.slices import read_columns, read_slice, read_slices, slice_rows
from curation.stage import Found, GlobalStage
from curation.storage import Folder

_T = TypeVar("_T")

READERS = 16
"""Slices that a unit reads at a time from storage that is not a local disk."""

HELD_AHEAD = 256
"""Slices read at most before they are asked for."""


def sketch(folder: Folder, stage: GlobalStage, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
    made: list[pl.DataFrame] = []
    with ShardReader(folder, unit.shards[0]) as reader:
        for frame in reader.frames(stage.sketch_reads):
            alive = frame.filter(pl.col("drop_stage").is_null()).select("doc", *stage.sketch_reads)
            if alive.height:
                rows = stage.sketch(alive)
                heavy = sorted(HEAVY & set(rows.columns))
                if heavy and not stage.needs_text:
                    _broke(stage, "sketch", "no text, unless it declares needs_text", ", ".join(heavy))
                _check_partitions(stage, "sketch", rows, stage.partition_count)
                made.append(rows)
    rows = pl.concat(made).sort("partition", "doc", maintain_order=True) if made else pl.DataFrame()
    return _write(rows, out, result, stage.partition_count)


def match(folder: Folder, stage: GlobalStage, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
    parts = unit.taken[0]
    known = stage.known(unit.number)
    older = 0 if known is None else known.height
    stage.check_memory("match", unit.number, older + _rows_of(folder, parts, unit.number))
    taken = list(_tables(folder, parts, "slice", unit.number))
    if not taken:
        return _write(pl.DataFrame(), out, result, stage.match_slices)
    rows = pl.concat(taken) if known is None else pl.concat([known, *taken], how="diagonal")
    found = _found(stage.match(rows.with_columns(pl.lit(unit.number, dtype=pl.UInt32).alias("partition"))), result)
    if stage.match_slices > 1:
        _check_partitions(stage, "match", found, stage.match_slices)
        return _write(found, out, result, stage.match_slices)
    return _write(found.with_columns(pl.lit(0, dtype=pl.UInt32).alias("partition")), out, result, 1)


def step(folder: Folder, stage: GlobalStage, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
    assert unit.step is not None
    if unit.step.name == COLLECT:
        return _collect(folder, unit, out, result)
    sliced = [part for take, parts in zip(unit.step.takes, unit.taken, strict=True) if take.how == "slice" for part in parts]
    stage.check_memory(unit.step.name, unit.number, _rows_of(folder, sliced, unit.number))
    taken = [_tables(folder, parts, take.how, unit.number) for take, parts in zip(unit.step.takes, unit.taken, strict=True)]
    found = _found(stage.step(unit.step, unit.number, taken), result)
    if unit.step.slices:
        _check_partitions(stage, unit.step.name, found, unit.step.slices)
        return _write(found, out, result, unit.step.slices)
    if "doc" not in found.columns or found["doc"].null_count():
        _broke(stage, unit.step.name, "a verdict with `doc`", ", ".join(found.columns) or "no columns")
    found = found.sort("doc", maintain_order=True)
    ranges = np.searchsorted(np.array(unit.bounds, dtype=np.uint64), found["doc"].to_numpy(), side="right")
    ranged = found.with_columns(pl.Series("partition", ranges, dtype=pl.UInt32))
    return _write(ranged, out, result, len(unit.bounds) + 1)


def _collect(folder: Folder, unit: Unit, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
    rows = verdict_of(folder, unit.taken[0], unit.number, 0, (1 << 64) - 1)
    return _write(rows.with_columns(pl.lit(0, dtype=pl.UInt32).alias("partition")), out, result, 1)


def verdict_of(folder: Folder, parts: Sequence[PartRef], number: int, first: int, last: int) -> pl.DataFrame:
    """The rows of a verdict's slice between two documents, by `doc`."""
    frames = list(_tables(folder, tuple(parts), "slice", number))
    if not frames:
        return read_columns(folder, parts[0])
    return pl.concat(frame.filter(pl.col("doc").is_between(first, last)) for frame in frames).sort("doc", maintain_order=True)


def _tables(folder: Folder, parts: tuple[PartRef, ...], how: str, number: int) -> Iterator[pl.DataFrame]:
    if how != "slice":
        for part in parts:
            yield from read_slices(folder, part)
        return
    frames = _ahead(partial(read_slice, folder, number=number), parts, 1 if folder.is_local else READERS)
    yield from (frame for frame in frames if frame is not None)


def _rows_of(folder: Folder, parts: Sequence[PartRef], number: int) -> int:
    return sum(_ahead(partial(slice_rows, folder, number=number), parts, 1 if folder.is_local else READERS))


def _ahead(read: Callable[[PartRef], _T], parts: Sequence[PartRef], readers: int) -> Iterator[_T]:
    """What is read of each part, in their order, `readers` at a time: on an object store most of it is waiting."""
    if readers == 1 or len(parts) == 1:
        yield from map(read, parts)
        return
    with ThreadPoolExecutor(readers) as pool:
        for start in range(0, len(parts), HELD_AHEAD):
            yield from pool.map(read, parts[start : start + HELD_AHEAD])


def _found(found: pl.DataFrame | Found, result: Result) -> pl.DataFrame:
    if isinstance(found, Found):
        result.facts = dict(found.facts)
        return found.rows
    return found


def _write(rows: pl.DataFrame, out: BinaryIO, result: Result, slices: int) -> dict[str, pa.DataType]:
    columns = rows.clear().drop("partition", strict=False)
    result.rows = write_slices(out, columns, cut_by_partition(rows) if rows.height else (), slices)
    result.slices = slices
    schema = columns.to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    return {field.name: field.type for field in schema}


def _check_partitions(stage: GlobalStage, step: str, rows: pl.DataFrame, count: int) -> None:
    if rows.schema.get("partition") != pl.UInt32:
        found = ", ".join(f"{n}: {t}" for n, t in rows.schema.items())
        _broke(stage, step, "a column partition: UInt32", found)
    if rows.height and int(rows["partition"].max()) >= count:  # type: ignore[arg-type]
        _broke(stage, step, f"partition < {count}", rows["partition"].max())


def _broke(stage: GlobalStage, step: str, wanted: str, found: object) -> None:
    raise ContractError(
        explain_mismatch(f"stage {stage.label!r} ({stage.name}) broke its contract in {step}", wanted=wanted, found=found)
    )
