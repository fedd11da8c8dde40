"""The bytes of a sliced file: numbered slices of rows, each found, read and checked alone.

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
from typing import BinaryIO, NamedTuple, Protocol

import polars as pl

from curation.errors import DamagedPart

_FIELDS = struct.Struct("<QQII")
_ENTRY = struct.Struct("<QQIIII")


class Sliced(Protocol):
    """What is known of a file from elsewhere: its name, bytes, and how many slices it is cut into."""

    @property
    def file(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def slices(self) -> int: ...


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


def slice_frame(stream: BinaryIO, part: Sliced, number: int, entry: Entry) -> pl.DataFrame:
    """The rows of a slice. Raises DamagedPart when its bytes are not those that were written."""
    stream.seek(entry.offset)
    data = stream.read(entry.length)
    if len(data) != entry.length or zlib.crc32(data) != entry.crc:
        raise DamagedPart(part.file, f"slice {number}")
    return pl.read_ipc_stream(data)


def slice_entry(stream: BinaryIO, part: Sliced, number: int) -> Entry:
    """Where a slice lies. Raises DamagedPart when the entry is not the one that was written."""
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
