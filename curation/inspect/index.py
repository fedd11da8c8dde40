"""What is in an index of near-duplicates: its snapshots, sizes, one member, and whether every file is as it was written."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from curation.dedup.index import Index, Manifest, open_index
from curation.errors import CurationError, StorageError, explain_mismatch
from curation.inspect.index_build import member_frames
from curation.printable import printable


def index_text(path: str) -> str:
    """An index in a few lines of text."""
    return "\n".join(_described(path, open_index(path).manifest))


def _described(path: str, manifest: Manifest) -> Iterator[str]:
    documents = manifest.documents
    sizes = {
        name: sum(file.bytes for file in files) for name, files in (("bands", manifest.bands), ("members", manifest.members))
    }
    family = manifest.kind.family
    yield f"index of near-duplicates {path}: {documents} documents of {len(manifest.snapshots)} snapshots"
    yield f"{'snapshot':32}{'first':>12}{'documents':>12}{'survivors':>12}"
    for s in manifest.snapshots:
        yield f"{printable(s.name):32}{s.first:>12}{s.documents:>12}{s.survivors:>12}"
    yield "signatures: " + ", ".join(f"{name}={value}" for name, value in family.items())
    yield f"scope: {', '.join(manifest.kind.scope) or 'everywhere'}; short documents: {manifest.kind.short_documents}"
    yield f"{len(manifest.bands)} bands in {manifest.ranges} ranges of keys"
    for name, size in sizes.items():
        yield f"{name}: {size} bytes, {size / max(documents, 1):.1f} a document"


def member(path: str, number: int) -> dict[str, object]:
    """A member of an index: snapshot, doc, id, url, source, `kept` (the member that stayed of its cluster), and the size of
    that cluster. Raises CurationError when it has none of that number."""
    index = open_index(path)
    for snapshot, file in zip(index.manifest.snapshots, index.manifest.members, strict=True):
        if snapshot.first <= number < snapshot.first + snapshot.documents:
            return {"snapshot": snapshot.name, **_row(index, file.file, number)}
    wanted = f"a member below {index.manifest.documents}"
    raise CurationError(explain_mismatch("no such member of the index", wanted=wanted, found=number))


def _row(index: Index, file: str, number: int) -> dict[str, object]:
    for rows in member_frames(index, file):
        found = rows.filter(pl.col("member") == pl.lit(number, dtype=pl.UInt64))
        if found.height:
            return found.row(0, named=True)
    raise StorageError(explain_mismatch("the index is damaged", wanted=f"member {number} in {file}", found="no such row"))


def member_text(path: str, number: int) -> str:
    """A member as lines of text."""
    return "\n".join(f"{name:10}{printable(str(value))}" for name, value in member(path, number).items() if value is not None)


def verify(path: str) -> str:
    """Read every byte of an index; a line that says all is well. Raises StorageError naming every damaged file."""
    index = open_index(path)
    damaged = index.damaged()
    if damaged:
        hint = "build or merge it again, or bring these files back from a copy"
        found = "; ".join(damaged)
        raise StorageError(explain_mismatch(f"{path} is damaged", wanted="the files of its manifest", found=found, hint=hint))
    return f"{path}: {len(index.manifest.files)} files are as they were written"
