"""Golden cases as pipelines: a source that reads a case's rows from a file, with columns that other stages would add."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from curation.document import COLUMNS, VOLATILE, column_type, content_id, empty_frame
from curation.pipeline import Pipeline
from curation.sinks.parquet import Parquet
from curation.stage import Apply, GlobalStage, Input, Open, Piece, PieceReport, Source, Stage


@dataclass(frozen=True)
class Rows(Source):
    """Rows as lines of JSON, two pieces a file. `columns`: a name of the contract, or NAME:int32, NAME:float. They may be of
    any kind: here the stages that would add them are left out."""

    columns: tuple[str, ...] = ()

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        declared = {"int32": pa.int32(), "float": pa.float32()}
        named = [column.partition(":") for column in self.columns]
        return {name: COLUMNS[name] if name in COLUMNS else declared[kind] for name, _, kind in named}

    def accepts(self, path: str, head: bytes) -> str | None:
        return None if path.endswith(".rows") else "not a .rows file"

    def cut(self, inputs: Sequence[Input]) -> list[tuple[Piece, ...]]:
        return [(Piece(i, *span),) for i in inputs for span in ((0, i.size // 2), (i.size // 2, i.size))]

    def read(self, piece: Piece, open_input: Open) -> Iterator[pl.DataFrame | PieceReport]:
        with open_input(piece.input) as stream:
            data = stream.read()
        first = position = piece.start if not piece.start or piece.exact else data.find(b"\n", piece.start - 1) + 1 or len(data)
        rows = []
        while position < min(piece.end, len(data)):
            end = data.find(b"\n", position) + 1 or len(data)
            rows.append(json.loads(data[position:end]))
            position = end
        yield self._frame(rows)
        yield PieceReport(piece, first, position, {"row": len(rows)})

    def _frame(self, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        frame = empty_frame({"doc": pa.uint64(), **self.adds, "drop_reason": pa.string(), "drop_detail": pa.string()})
        series = []
        for name, kind in frame.schema.items():
            values = [row.get(name) for row in rows]
            if kind == pl.Binary:
                values = [value if value is None else bytes.fromhex(value) for value in values]
            if isinstance(kind, pl.Datetime):
                series.append(pl.Series(name, values, pl.String).str.to_datetime(time_unit="us", time_zone="UTC"))
            else:
                series.append(pl.Series(name, values, dtype=kind))
        return pl.DataFrame(series)


@dataclass(frozen=True)
class NoText(Stage):
    """Stands for the extractor behind a stage that reads pages."""

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {name: COLUMNS[name] for name in ("text", "content_id")}

    def bind(self, models: Mapping[str, Path]) -> Apply:
        return lambda batch: batch.select("doc", pl.lit("").alias("text"), pl.lit(content_id("")).alias("content_id"))


def write_rows(rows: pl.DataFrame, file: Path) -> None:
    """Rows, sorted by `doc`, as the source reads them."""

    def plain(value: Any) -> Any:
        return value.hex() if isinstance(value, bytes) else value.isoformat() if hasattr(value, "isoformat") else value

    lines = ({name: plain(value) for name, value in row.items()} for row in rows.sort("doc").iter_rows(named=True))
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def pipeline_of(stage: Stage, rows: pl.DataFrame) -> tuple[Pipeline, pl.DataFrame]:
    """The stage alone between a source of rows like these and a sink; and the rows with what every document has."""
    reads = {*stage.reads, *stage.rewrites, *(stage.sketch_reads if isinstance(stage, GlobalStage) else ())}
    pages = bool(reads & VOLATILE)
    number = [f"row-{doc}" for doc in rows["doc"]]
    if "id" not in rows.columns:
        rows = rows.with_columns(pl.Series("id", number, pl.String))
    if not pages:
        if "text" not in rows.columns:
            rows = rows.with_columns(pl.Series("text", number, pl.String))
        if "content_id" not in rows.columns:
            digests = [content_id(text or "") for text in rows["text"]]
            rows = rows.with_columns(pl.Series("content_id", digests, pl.Binary))
    names = [name for name in rows.columns if name != "doc"]
    declared = {name: pa.float32() if rows.schema[name] == pl.Float32 else pa.int32() for name in names}
    columns = [n if n in COLUMNS else f"{n}:{'float' if column_type(n, declared) == pa.float32() else 'int32'}" for n in names]
    behind = (NoText(),) if pages and "text" not in stage.adds else ()
    sink = Parquet(target_mb=0.0005, row_group_rows=16, dropped_text="all")
    return Pipeline("golden", Rows(columns=tuple(columns)), (stage, *behind), sink), rows


def written(out: Path, columns: Iterable[str]) -> pl.DataFrame:
    """These columns of every document of a run, kept or dropped, sorted by `doc`."""
    files = sorted([*out.glob("documents/*.parquet"), *out.glob("dropped/*.parquet")])
    frames = [pl.read_parquet(file) for file in files]
    found = pl.concat(frames, how="diagonal_relaxed").sort("doc")
    absent = [pl.lit(None, pl.String).alias(name) for name in columns if name not in found.columns]
    return found.with_columns(absent).select("doc", *columns)
