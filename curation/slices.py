"""Slices: a data file cut into numbered slices, each found, read and checked alone; slice_format.py has its bytes.

What leaves a shard for a global stage is written once, cut by partition, and read slice by slice by the units of the
next step: files are as many as units, not units times partitions, and a reader takes two ranges of a file, however many
slices that has. Parquet would make each of them parse a footer that describes every slice.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from curation.parts import PARTS
from curation.plan import PartRef
from curation.slice_format import slice_entry, slice_frame
from curation.storage import Folder


def slice_rows(folder: Folder, part: PartRef, number: int) -> int:
    """How many rows a slice has, from its entry alone."""
    with folder.open(f"{PARTS}/{part.file}", part.bytes) as stream:
        return slice_entry(stream, part, number).rows


def read_slice(folder: Folder, part: PartRef, number: int) -> pl.DataFrame | None:
    """One slice; None when it has no rows. Raises DamagedPart when its bytes are not those that were written."""
    with folder.open(f"{PARTS}/{part.file}", part.bytes) as stream:
        entry = slice_entry(stream, part, number)
        return slice_frame(stream, part, number, entry) if entry.rows else None


def read_slices(folder: Folder, part: PartRef) -> Iterator[pl.DataFrame]:
    """Every slice with rows, by number."""
    for number in range(part.slices):
        frame = read_slice(folder, part, number)
        if frame is not None:
            yield frame


def read_columns(folder: Folder, part: PartRef) -> pl.DataFrame:
    """A frame without rows that has the columns of the slices."""
    with folder.open(f"{PARTS}/{part.file}", part.bytes) as stream:
        return slice_frame(stream, part, part.slices, slice_entry(stream, part, part.slices))
