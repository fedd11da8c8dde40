"""One index of several: their snapshots one after the other, members renumbered, nothing held against anything anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import polars as pl

from curation.dedup.index import Index, IndexWriter, Manifest, open_index, slices_for
from curation.errors import RecipeError, StorageError, explain_mismatch
from curation.inspect.index_build import arrow_of, member_frames, members_writer


def merge(paths: Sequence[str], into: str) -> Manifest:
    """Make the index `into` of the indexes `paths`: the members of the first are the best. Members of two of them that are
    alike stay what they are.

    Raises RecipeError when they are not of one kind, StorageError when a snapshot would be in it twice.
    """
    indexes = [open_index(path) for path in paths]
    _check(paths, indexes)
    writer = IndexWriter(into)
    offsets = [sum(index.manifest.documents for index in indexes[:i]) for i in range(len(indexes))]
    documents = sum(index.manifest.documents for index in indexes)
    ranges = slices_for(documents)
    for band in range(len(indexes[0].manifest.bands)):
        writer.band(_band(indexes, offsets, band, ranges), ranges, small=documents < 1 << 32)
    snapshots = []
    for index, offset in zip(indexes, offsets, strict=True):
        for snapshot, file in zip(index.manifest.snapshots, index.manifest.members, strict=True):
            writer.members(lambda out, index=index, file=file, by=offset: _members(index, file.file, by, out))  # type: ignore[misc]
            snapshots.append(dataclasses.replace(snapshot, first=snapshot.first + offset))
    return writer.commit(Manifest(indexes[0].manifest.kind, ranges, tuple(snapshots)))


def _check(paths: Sequence[str], indexes: Sequence[Index]) -> None:
    if len(paths) < 2:
        raise RecipeError(explain_mismatch("nothing to merge", wanted="two indexes or more", found=", ".join(paths) or "none"))
    for path, index in zip(paths[1:], indexes[1:], strict=True):
        for name, one, other in indexes[0].manifest.kind.differing(index.manifest.kind):
            subject = f"indexes of different kinds cannot be merged: {name}"
            raise RecipeError(explain_mismatch(subject, wanted=f"{one!r}, as {paths[0]}", found=f"{other!r} in {path}"))
    met: dict[str, str] = {}
    for path, index in zip(paths, indexes, strict=True):
        for snapshot in index.manifest.snapshots:
            if snapshot.run in met:
                raise StorageError(
                    explain_mismatch(
                        f"the snapshot {snapshot.name} would be in the index twice",
                        wanted="indexes of different runs",
                        found=f"it is in {met[snapshot.run]} and in {path}",
                        hint="an index made of a run against another index holds that one already",
                    )
                )
            met[snapshot.run] = path


def _band(indexes: Sequence[Index], offsets: Sequence[int], band: int, ranges: int) -> Iterator[pl.DataFrame]:
    for number in range(ranges):
        pairs = zip(indexes, offsets, strict=True)
        yield pl.concat(_moved(index.read(band, number, ranges), offset) for index, offset in pairs)


def _members(index: Index, file: str, offset: int, out: BinaryIO) -> None:
    with members_writer(out) as writer:
        for rows in member_frames(index, file):
            writer.write_table(arrow_of(_moved(rows, offset)))


def _moved(rows: pl.DataFrame, offset: int) -> pl.DataFrame:
    return rows.with_columns(pl.col("member", "kept") + pl.lit(offset, pl.UInt64))
