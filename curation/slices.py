"""Slices: a data file cut into numbered slices, each found, read and checked alone.

What leaves a shard for a global stage is written once, cut by partition, and read slice by slice by the units of the
next step: files are as many as units, not units times partitions, and a reader takes two ranges of a file, however many
slices that has. Parquet would make each of them parse a footer that describes every slice.

Layout: the slices that have rows, each an Arrow IPC stream (LZ4), and one without rows, for the columns alone; then for
every number an entry of 32 bytes, that of the columns last: offset and length of the slice (uint64), its rows, its
CRC-32, the CRC-32 of the entry so far, 0 (uint32); all little-endian.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

import polars as pl

from curation.errors import DamagedPart
from curation.parts import PARTS
from curation.plan import PartRef
from curation.storage import Folder

_FIELDS = struct.Struct("<QQII")
_ENTRY = struct.Struct("<QQIIII")


class Entry(NamedTuple):
    """Where a slice lies: byte `offset`, `length`, its `rows` and its CRC-32."""

    offset: int
    length: int
    rows: int
    crc: int


def write_slices(out: BinaryIO, columns: pl.DataFrame, slices: Iterable[tuple[int, pl.DataFrame]], count: int) -> int:
    """Write frames by number (ascending, below `count`; those without rows may be missing), and a frame without rows that
    has their columns; returns the rows written."""
    entries = [Entry(0, 0, 0, 0)] * (count + 1)
    offset = rows = 0
    for number, frame in chain(slices, [(count, columns.clear())]):
        buffer = io.BytesIO()
        frame.rechunk().write_ipc_stream(buffer, compression="lz4", compat_level=pl.CompatLevel.oldest())
        data = buffer.getbuffer()
        out.write(data)
        entries[number] = Entry(offset, len(data), frame.height, zlib.crc32(data))
        offset += len(data)
        rows += frame.height
    for entry in entries:
        fields = _FIELDS.pack(*entry)
        out.write(_ENTRY.pack(*entry, zlib.crc32(fields), 0))
    return rows


def cut_by_partition(rows: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows of each `partition` without that column, in order of partition; within one they keep their order."""
    ordered = rows.sort("partition", maintain_order=True)
    for number, size, start in (
        ordered.select(pl.col("partition").rle().struct.unnest())
        .select("value", "len", (pl.col("len").cum_sum() - pl.col("len")).alias("start"))
        .iter_rows()
    ):
        yield number, ordered.slice(start, size).drop("partition")


def slice_rows(folder: Folder, part: PartRef, number: int) -> int:
    """How many rows a slice has, from its entry alone."""
    with folder.open(f"{PARTS}/{part.file}") as stream:
        return _entry(stream, part, number).rows


def read_slice(folder: Folder, part: PartRef, number: int) -> pl.DataFrame | None:
    """One slice; None when it has no rows. Raises DamagedPart when its bytes are not those that were written."""
    with folder.open(f"{PARTS}/{part.file}") as stream:
        entry = _entry(stream, part, number)
        return _frame(stream, part, number, entry) if entry.rows else None


def read_slices(folder: Folder, part: PartRef) -> Iterator[pl.DataFrame]:
    """Every slice with rows, by number."""
    for number in range(part.slices):
        frame = read_slice(folder, part, number)
        if frame is not None:
            yield frame


def read_columns(folder: Folder, part: PartRef) -> pl.DataFrame:
    """A frame without rows that has the columns of the slices."""
    with folder.open(f"{PARTS}/{part.file}") as stream:
        return _frame(stream, part, part.slices, _entry(stream, part, part.slices))


def _frame(stream: BinaryIO, part: PartRef, number: int, entry: Entry) -> pl.DataFrame:
    stream.seek(entry.offset)
    data = stream.read(entry.length)
    if len(data) != entry.length or zlib.crc32(data) != entry.crc:
        raise DamagedPart(part.file, f"slice {number}")
    return pl.read_ipc_stream(data)


def _entry(stream: BinaryIO, part: PartRef, number: int) -> Entry:
    if not 0 <= number <= part.slices:
        raise IndexError(f"slice {number} of {part.slices}")
    stream.seek(part.bytes - _ENTRY.size * (part.slices + 1 - number))
    data = stream.read(_ENTRY.size)
    if len(data) != _ENTRY.size:
        raise DamagedPart(part.file, f"entry of slice {number}")
    offset, length, rows, crc, own, _ = _ENTRY.unpack(data)
    if zlib.crc32(data[: _FIELDS.size]) != own:
        raise DamagedPart(part.file, f"entry of slice {number}")
    return Entry(offset, length, rows, crc)
