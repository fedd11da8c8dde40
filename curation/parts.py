"""Parts: the data files between segments, and reading several of a shard side by side.

Every shard has one text part and any number of side parts. All have the same rows in the same order and the same row
groups, so reading them together is a zip, and one row group is one batch: what is in a batch depends on the rows only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.document import DROP_COLUMNS, polars_type
from curation.errors import DamagedPart, StorageError
from curation.plan import PartRef
from curation.storage import Folder

PARTS = "work/parts"

Docs = tuple[int, int] | None
"""First and last document of a shard; None where it has none."""


def to_table(frame: pl.DataFrame, types: Mapping[str, pa.DataType]) -> pa.Table:
    """A frame as an Arrow table with exactly the given columns and types, one chunk a column."""
    schema = pa.schema(list(types.items()))
    table = frame.select(list(types)).to_arrow(compat_level=pl.CompatLevel.oldest())
    return table.cast(schema).combine_chunks()


def to_frame(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a frame; fixed-size binary becomes binary, which Polars can hold."""
    for i, column in enumerate(table.schema):
        if pa.types.is_fixed_size_binary(column.type):
            table = table.set_column(i, column.name, table.column(i).cast(pa.large_binary()))
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def open_parquet(stream: BinaryIO) -> pq.ParquetFile:
    """A Parquet file over a Python stream, whose page checksums are verified. Read it with `use_threads=False`.

    Arrow's threads must never hold what Python made: a thread that frees such a buffer while the interpreter ends aborts
    the process. They would gain nothing either, because Arrow takes one read of a Python stream at a time.
    """
    return pq.ParquetFile(stream, page_checksum_verification=True, pre_buffer=False)


def read_group(file: pq.ParquetFile, group: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """One row group as a frame; all columns or some."""
    return to_frame(file.read_row_group(group, columns=columns, use_threads=False))


@contextmanager
def undamaged(part: PartRef) -> Iterator[None]:
    """Within it, what Arrow says of bytes that are not a part's is raised as DamagedPart; errors of the disk stay."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedPart(part.file, str(error).splitlines()[0]) from error


class PartWriter:
    """Writes one part, one row group per call. Leaving its context writes the footer, before the file is closed."""

    def __init__(self, destination: BinaryIO, types: Mapping[str, pa.DataType]) -> None:
        self.types = dict(types)
        self.rows = 0
        self.groups = 0
        self.docs: Docs = None
        schema = pa.schema(list(self.types.items()))
        # Parts are read back once or twice, soon: light compression.
        self._writer = pq.ParquetWriter(destination, schema, compression="zstd", compression_level=1, write_page_checksum=True)

    def write(self, frame: pl.DataFrame) -> None:
        """Write a row group; an empty frame writes nothing."""
        if frame.height:
            self._writer.write_table(to_table(frame, self.types), row_group_size=frame.height)
            self.rows += frame.height
            self.groups += 1
            self.docs = (self.docs[0] if self.docs else int(frame["doc"][0]), int(frame["doc"][-1]))

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


class ShardReader:
    """Reads the parts of one shard together. A column is taken from the last part that has it; the text of a row that
    was dropped before a rewriting stage, from the part before."""

    def __init__(self, folder: Folder, parts: Sequence[PartRef]) -> None:
        self._stack = ExitStack()
        self._parts = list(parts)
        self._files = [self._open(folder, part) for part in parts]
        groups = {f.num_row_groups for f in self._files}
        rows = {f.metadata.num_rows for f in self._files}
        if len(groups) > 1 or len(rows) > 1:
            self.close()
            names = ", ".join(p.file for p in parts)
            raise StorageError(f"parts of one shard have different rows: {names}\n  try:    delete `work` and run again")
        self.groups = groups.pop()

    def _open(self, folder: Folder, part: PartRef) -> pq.ParquetFile:
        stream = self._stack.enter_context(folder.open(f"{PARTS}/{part.file}", part.bytes))
        with undamaged(part):
            return self._stack.enter_context(open_parquet(stream))

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def bounds(self) -> Docs:
        """First and last document."""
        if not self.groups:
            return None
        return int(self.frame(0, [])["doc"][0]), int(self.frame(self.groups - 1, [])["doc"][-1])

    def frames(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """One frame per row group: `doc`, the asked columns, and the drop columns of all parts together."""
        for group in range(self.groups):
            yield self.frame(group, columns)

    def frame(self, group: int, columns: Sequence[str]) -> pl.DataFrame:
        """One row group; see `frames`."""
        wanted = [c for c in dict.fromkeys(columns) if c != "doc" and c not in DROP_COLUMNS]
        taken: list[pl.DataFrame] = []
        for part, file in zip(self._parts, self._files, strict=True):
            own = [c for c in (*wanted, *DROP_COLUMNS) if c in part.columns]
            with undamaged(part):
                taken.append(read_group(file, group, ["doc", *own]))
        doc = taken[0]["doc"]
        for part, frame in zip(self._parts[1:], taken[1:], strict=True):
            if not frame["doc"].equals(doc):
                raise StorageError(f"part {part.file} holds other documents than its text part")
        series = {"doc": doc}
        merged: list[pl.Expr] = []
        for name in (*wanted, *DROP_COLUMNS):
            holders = [frame[name] for frame in reversed(taken) if name in frame.columns]
            series[name] = holders[0]
            if len(holders) > 1:
                merged.append(pl.coalesce(holders).alias(name))
        return pl.DataFrame(series).with_columns(merged)


def coalesce_nulls(frame: pl.DataFrame, types: Mapping[str, pa.DataType]) -> pl.DataFrame:
    """The frame with every column of `types`, null where it had none, in their order."""
    missing = [pl.lit(None, dtype=polars_type(t)).alias(n) for n, t in types.items() if n not in frame.columns]
    return frame.with_columns(missing).select(list(types))
