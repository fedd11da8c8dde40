"""Documents of Parquet files: the shards of an earlier run, or any files with a column of text.

A row's number is its place in its file, so that documents keep their numbers whatever the shard size. A file is cut
between row groups, each read by the piece in which its first byte lies.

Source: ours; the Parquet format's own offsets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.document import COLUMNS, DROP_COLUMNS, HEAVY, allowed_type, content_id, doc_number, polars_type, storable
from curation.errors import InputError, explain_mismatch
from curation.options import check_number, refuse
from curation.sources.shards import shards_by_size
from curation.stage import Input, Open, Piece, PieceReport, Source

MAX_ROWS = 512
"""Most rows of a frame."""

FRAME_BYTES = 16 << 20
"""Bytes of a frame, by the mean size of its row group's rows."""

_MAGIC = b"PAR1"
_OWN = ("id", "source", "text", "content_id")
_OPEN = {"stat_": pa.int32(), "score_": pa.float32()}


@dataclass(frozen=True)
class Parquet(Source):
    """Rows of Parquet files as documents, each with `id`, `source`, `text` and `content_id`.

    text, id_column  the file's columns of the text and of the identifier; a file without the latter, or a null in it, is
                     given `path#row`
    columns          further columns to take over, by their names in the data contract (`url`, `language`, `domain`,
                     `token_count`, ...), `score_NAME` (float32), `stat_NAME` (int32; `stat_NAME:float32` where it is one); a
                     file without one is null there
    corpus           value of the column `source` where a file has none
    shard_mb         bytes of files a shard, 10**6; a larger file is cut between its row groups

    `content_id` is the file's own where it has one for the column `text`, else made from the text. A row with a null text is
    a tombstone (`no_text`). Raises RecipeError on columns that are no document's, InputError on a file that cannot be read or
    lacks the text.
    """

    text: str = "text"
    id_column: str = "id"
    columns: tuple[str, ...] = ()
    corpus: str = "unknown"
    shard_mb: float = 256.0

    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        check_number(self, "shard_mb")
        if not self.shard_mb > 0:
            refuse(self, "shard_mb", "more than 0", self.shard_mb)
        for name, data_type in self._extra().items():
            closed = {*_OWN, *DROP_COLUMNS, *(HEAVY - {"title"}), "doc", "stat_text_bytes"}
            if name in closed or allowed_type(name, data_type):
                refuse(self, "columns", "columns of the data contract that the source does not make itself", name)

    def _extra(self) -> dict[str, pa.DataType]:
        """Further columns and their types."""
        found: dict[str, pa.DataType] = {}
        for entry in self.columns:
            name, _, said = entry.partition(":")
            prefix = re.match(r"[a-z]*_?", name)
            by_prefix = _OPEN.get(prefix[0] if prefix and not said else "", pa.null())
            found[name] = COLUMNS.get(name, pa.type_for_alias(said) if said in ("int32", "float32") else by_prefix)
        return found

    @property
    def short_name(self) -> str:
        return "shards"

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {**{name: COLUMNS[name] for name in _OWN}, **self._extra()}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("no_text",)

    def accepts(self, path: str, head: bytes) -> str | None:
        """None when the file begins as Parquet does."""
        return None if head.startswith(_MAGIC) else f"not Parquet: begins with {head[:8]!r}"

    def cut(self, inputs: Sequence[Input]) -> list[tuple[Piece, ...]]:
        """Shards of about `shard_mb`, by sizes alone: large files in pieces, small ones together, in input order."""
        return shards_by_size(inputs, self.shard_mb)

    def read(self, piece: Piece, open_input: Open) -> Iterator[pl.DataFrame | PieceReport]:
        """Frames in row order, then the report, which covers the file's bytes up to the next piece's first row group."""
        rows = 0
        with closing(open_input(piece.input)) as stream:
            try:
                file = pq.ParquetFile(stream, pre_buffer=False)
                names = self._names(file.schema_arrow.names, piece.input.path)
                groups, first, stop = _groups_of(file, piece)
                row = sum(file.metadata.row_group(i).num_rows for i in range(groups.start))
                for group in groups:
                    size = _frame_rows(file.metadata.row_group(group))
                    for batch in file.iter_batches(size, [group], list(names), use_threads=False):
                        yield self._frame(pa.Table.from_batches([batch]), piece.input, row)
                        row += batch.num_rows
                        rows += batch.num_rows
            except (pa.ArrowException, OSError) as error:
                hint = "write the file again, or leave it out"
                said = str(error).splitlines()[0]
                message = explain_mismatch(piece.input.path, wanted="a Parquet file", found=said, hint=hint)
                raise InputError(message) from error
        yield PieceReport(piece, first, stop, {"row": rows})

    def _names(self, there: Sequence[str], path: str) -> tuple[str, ...]:
        """Columns of the file to read."""
        if self.text not in there:
            hint = "say which column holds the text: text=NAME"
            found = ", ".join(there[:20])
            raise InputError(explain_mismatch(f"{path}: text", wanted=f"a column {self.text!r}", found=found, hint=hint))
        wanted = (self.text, self.id_column, "source", "content_id", *self._extra())
        return tuple(name for name in dict.fromkeys(wanted) if name in there)

    def _frame(self, rows: pa.Table, origin: Input, first: int) -> pl.DataFrame:
        """Rows of the file, from row `first` on, as documents."""
        number = doc_number(origin.number, first)
        made: dict[str, pl.Series] = {"doc": pl.Series(np.arange(number, number + rows.num_rows, dtype=np.uint64))}
        text = _column(rows, self.text, "text")
        made["text"] = text
        given = _column(rows, self.id_column, "id") if self.id_column in rows.column_names else None
        if given is None or given.null_count():
            path = storable(origin.path)
            own = pl.Series([f"{path}#{place}" for place in range(first, first + rows.num_rows)])
            given = own if given is None else given.zip_with(given.is_not_null(), own)
        made["id"] = given
        said = _column(rows, "source", "source") if "source" in rows.column_names else _nulls(rows.num_rows, pa.string())
        made["source"] = said.fill_null(self.corpus)
        made["content_id"] = self._identities(rows, text)
        for name, data_type in self._extra().items():
            there = name in rows.column_names
            made[name] = _column(rows, name, name, data_type) if there else _nulls(rows.num_rows, data_type)
        frame = pl.DataFrame(made)
        gone = pl.col("text").is_null()
        return frame.with_columns(
            pl.when(gone).then(pl.lit("no_text")).alias("drop_reason"),
            pl.when(gone).then(pl.lit("the text is null")).alias("drop_detail"),
        ).select("doc", *self.adds, "drop_reason", "drop_detail")

    def _identities(self, rows: pa.Table, text: pl.Series) -> pl.Series:
        if self.text == "text" and "content_id" in rows.column_names:
            known = rows.column("content_id")
            if known.type == COLUMNS["content_id"] and known.null_count == text.null_count():
                return _column(rows, "content_id", "content_id")
        return pl.Series([None if t is None else content_id(t) for t in text], dtype=pl.Binary)


def _groups_of(file: pq.ParquetFile, piece: Piece) -> tuple[range, int, int]:
    """Row groups whose first byte lies in a piece; where they begin, and where those of the next piece do."""
    facts = file.metadata
    starts = [_first_byte(facts.row_group(i)) for i in range(facts.num_row_groups)]
    begin, end = (
        next((i for i, start in enumerate(starts) if start >= edge), len(starts)) for edge in (piece.start, piece.end)
    )
    first = 0 if piece.start == 0 else (starts[begin] if begin < len(starts) else piece.input.size)
    stop = starts[end] if end < len(starts) else piece.input.size
    return range(0 if piece.start == 0 else begin, end), first, stop


def _frame_rows(group: pq.RowGroupMetaData) -> int:
    """Rows of a frame: fewer where a row group's rows are large."""
    return max(1, min(MAX_ROWS, FRAME_BYTES * group.num_rows // max(1, group.total_byte_size)))


def _first_byte(group: pq.RowGroupMetaData) -> int:
    columns = (group.column(i) for i in range(group.num_columns))
    pages = ((c.dictionary_page_offset, c.data_page_offset) for c in columns)
    return min(offset for pair in pages for offset in pair if offset is not None)


def _column(rows: pa.Table, name: str, contract: str, data_type: pa.DataType | None = None) -> pl.Series:
    """A column of the file as the data contract has it."""
    wanted = data_type or COLUMNS[contract]
    kept = pa.large_binary() if pa.types.is_fixed_size_binary(wanted) else wanted
    series = pl.from_arrow(rows.column(name).cast(kept).combine_chunks())
    assert isinstance(series, pl.Series)
    return series.cast(polars_type(wanted)).rename(contract)


def _nulls(rows: int, data_type: pa.DataType) -> pl.Series:
    return pl.Series([None] * rows, dtype=polars_type(data_type))
