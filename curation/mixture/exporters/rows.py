"""Documents as rows of text, for trainers that tokenise by themselves: Parquet or JSON lines, a folder a domain.

Source: ours.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.mixture.exporters.job import DomainFiles

SCHEMA = pa.schema([("id", pa.string()), ("text", pa.large_string()), ("domain", pa.string()), ("token_count", pa.int64())])
"""The columns, the same for every domain: readers that interleave want one schema."""

ROW_GROUP = 4096
ROW_GROUP_BYTES = 32 << 20
"""A row group is closed at so many rows, or bytes of text."""


class ParquetRows:
    """Writes `name/part-00000.parquet`, ...; a file is closed when it has `limit` bytes of text."""

    def __init__(self, folder: Path, name: str, domain: str, limit: int) -> None:
        self._folder, self._name, self._domain, self._limit = folder, name, domain, limit
        (folder / name).mkdir(parents=True, exist_ok=True)
        self._found = DomainFiles()
        self._held: list[pl.DataFrame] = []
        self._rows_held = self._bytes_held = 0
        self._size = limit
        self._writer: pq.ParquetWriter | None = None

    def add(self, rows: pl.DataFrame) -> None:
        self._held.append(rows)
        self._rows_held += rows.height
        self._bytes_held += int(rows["text"].str.len_bytes().sum())
        self._found.documents += rows.height
        self._found.tokens += int(rows["token_count"].sum())
        if self._rows_held >= ROW_GROUP or self._bytes_held >= min(self._limit, ROW_GROUP_BYTES):
            self._flush()

    def _flush(self) -> None:
        if self._writer is None or self._size >= self._limit:
            if self._writer is not None:
                self._writer.close()
            file = f"{self._name}/part-{len(self._found.files):05d}.parquet"
            self._found.files.append(file)
            self._writer, self._size = pq.ParquetWriter(self._folder / file, SCHEMA, compression="zstd"), 0
        rows = pl.concat(self._held).with_columns(pl.lit(self._domain).alias("domain")).select(SCHEMA.names)
        self._writer.write_table(rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(SCHEMA), row_group_size=ROW_GROUP)
        self._size += self._bytes_held
        self._held, self._rows_held, self._bytes_held = [], 0, 0

    def close(self) -> DomainFiles:
        if self._held:
            self._flush()
        if self._writer is not None:
            self._writer.close()
        return self._found


class JsonLines:
    """Writes `name/part-00000.jsonl.gz`, ...; a line a document: id, text. Equal documents are equal bytes."""

    def __init__(self, folder: Path, name: str, limit: int) -> None:
        self._folder, self._name, self._limit = folder, name, limit
        (folder / name).mkdir(parents=True, exist_ok=True)
        self._found = DomainFiles()
        self._size = limit
        self._raw: BinaryIO | None = None
        self._out: Any = None

    def add(self, rows: pl.DataFrame) -> None:
        for id_, text in rows.select("id", "text").iter_rows():
            if self._out is None or self._size >= self._limit:
                self._next()
            line = json.dumps({"id": id_, "text": text}, ensure_ascii=False).encode() + b"\n"
            self._out.write(line)
            self._size += len(line)
        self._found.documents += rows.height
        self._found.tokens += int(rows["token_count"].sum())

    def _next(self) -> None:
        self._end()
        file = f"{self._name}/part-{len(self._found.files):05d}.jsonl.gz"
        self._found.files.append(file)
        self._raw = (self._folder / file).open("wb")
        self._out, self._size = gzip.GzipFile("", "wb", 6, self._raw, mtime=0), 0

    def _end(self) -> None:
        if self._out is not None and self._raw is not None:
            self._out.close()
            self._raw.close()

    def close(self) -> DomainFiles:
        self._end()
        return self._found
