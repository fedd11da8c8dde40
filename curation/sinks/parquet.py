"""Parquet shards: zstd, row groups of a fixed size, statistics, and metadata that says who made each column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from curation.stage import Sink

ROW_GROUP_BYTES = 32 << 20
"""A row group is closed early when its Arrow buffers reach this size, so that a reader's memory stays bounded."""


@dataclass(frozen=True)
class Parquet(Sink):
    """Write shards as Parquet.

    target_mb: text bytes (10**6) at which a shard is closed. row_group_rows: rows of a row group. level: zstd level.
    dropped_text: which tombstones keep their text: `none`, `sample:N` (N per reason and shard, chosen by a hash of
    `doc`) or `all`. repeat_by: a column that says how often a document is written, such as stat_rehydration_repeats; copies
    stand some thousand rows apart. Equal rows give equal bytes, whatever batches they arrived in: rows are re-chunked first.

    Source: ours.
    """

    row_group_rows: int = 8192
    level: int = 3

    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)

    def write(self, tables: Iterable[pa.Table], destination: BinaryIO, metadata: Mapping[str, str]) -> None:
        with ExitStack() as stack:
            writer: pq.ParquetWriter | None = None
            for chunk in rechunk(tables, self.row_group_rows, ROW_GROUP_BYTES):
                if writer is None:
                    writer = stack.enter_context(self._writer(chunk.schema, destination, metadata))
                writer.write_table(chunk.cast(writer.schema), row_group_size=max(1, chunk.num_rows))

    def _writer(self, schema: pa.Schema, destination: BinaryIO, metadata: Mapping[str, str]) -> pq.ParquetWriter:
        return pq.ParquetWriter(
            destination,
            schema.with_metadata({**(schema.metadata or {}), **_bytes(metadata)}),
            compression="zstd",
            compression_level=self.level,
            use_dictionary=[name for name in schema.names if name in _REPEATING],
        )


_REPEATING = frozenset(
    ("source", "warc_path", "http_status", "mime", "charset", "language", "domain", "drop_stage", "drop_reason")
)
"""Columns with few distinct values: dictionary encoding pays there and costs time elsewhere."""


def _bytes(metadata: Mapping[str, str]) -> dict[bytes, bytes]:
    return {key.encode(): value.encode() for key, value in metadata.items()}


def rechunk(tables: Iterable[pa.Table], rows: int, size: int) -> Iterator[pa.Table]:
    """Cut a stream of tables into contiguous tables of `rows` rows, fewer where `size` Arrow bytes come first.

    Where a cut falls depends on the rows alone. At least one table is yielded, so that an empty shard has a schema.
    """
    held: list[pa.Table] = []
    held_rows = held_bytes = 0
    last: pa.Table | None = None
    yielded = False
    for table in tables:
        last = table
        for grain in _grains(table):
            while grain.num_rows:
                taken = grain[: rows - held_rows]
                held.append(taken)
                held_rows += taken.num_rows
                held_bytes += taken.nbytes
                grain = grain[taken.num_rows :]
                if held_rows >= rows or held_bytes >= size:
                    yield pa.concat_tables(held).combine_chunks()
                    held, held_rows, held_bytes, yielded = [], 0, 0, True
    if held:
        yield pa.concat_tables(held).combine_chunks()
    elif not yielded and last is not None:
        yield last.combine_chunks()


def _grains(table: pa.Table) -> Iterator[pa.Table]:
    """Runs of 64 rows, the grain of the byte rule: exact enough, and cheap for small rows."""
    for i in range(0, table.num_rows, 64):
        yield table[i : i + 64]
