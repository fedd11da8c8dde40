"""Small stages for the tests of the engine: a source of text lines, and stages that keep or break their word."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa

from curation.document import content_id, doc_number
from curation.stage import Apply, Filter, GlobalStage, Input, Open, Piece, PieceReport, Source, Stage


@dataclass(frozen=True)
class Lines(Source):
    """One document per line; `BAD` lines are tombstones. Cut into pieces of `piece_bytes`.

    With `phantom`, a cut piece claims to begin two bytes early unless it is exact: what a fooled resync looks like.
    """

    piece_bytes: int = 200
    phantom: bool = False

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {"id": pa.string(), "text": pa.large_string(), "content_id": pa.binary(16), "url": pa.string()}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("bad_line",)

    def accepts(self, path: str, head: bytes) -> str | None:
        return None if path.endswith(".txt") else "not a .txt file"

    def cut(self, inputs: Sequence[Input]) -> list[tuple[Piece, ...]]:
        return [
            (Piece(i, start, min(start + self.piece_bytes, i.size)),)
            for i in inputs
            for start in range(0, max(i.size, 1), self.piece_bytes)
        ]

    def read(self, piece: Piece, open_input: Open) -> Iterator[pl.DataFrame | PieceReport]:
        with open_input(piece.input) as stream:
            data = stream.read()
        position = piece.start
        if piece.start and not piece.exact:
            position = data.find(b"\n", piece.start - 1) + 1 or len(data)
        first = max(0, position - 2) if self.phantom and piece.start and not piece.exact else position
        rows = []
        while position < min(piece.end, len(data)):
            end = data.find(b"\n", position) + 1 or len(data)
            rows.append((position, data[position:end].decode().rstrip("\n")))
            position = end
        for i in range(0, len(rows), 7):
            yield self._frame(piece.input, rows[i : i + 7])
        yield PieceReport(piece, first, max(position, first), {"line": len(rows)})

    def _frame(self, item: Input, rows: list[tuple[int, str]]) -> pl.DataFrame:
        bad = [text.startswith("BAD") for _, text in rows]
        return pl.DataFrame(
            {
                "doc": [doc_number(item.number, position) for position, _ in rows],
                "id": [f"{item.path}#{position}" for position, _ in rows],
                "text": [None if b else text for (_, text), b in zip(rows, bad, strict=True)],
                "content_id": [None if b else content_id(text) for (_, text), b in zip(rows, bad, strict=True)],
                "url": [f"http://{item.path}/{position}" for position, _ in rows],
                "drop_reason": ["bad_line" if b else None for b in bad],
                "drop_detail": ["begins with BAD" if b else None for b in bad],
            },
            schema={"doc": pl.UInt64, "id": pl.String, "text": pl.String, "content_id": pl.Binary, "url": pl.String,
                    "drop_reason": pl.String, "drop_detail": pl.String},
        )  # fmt: skip


@dataclass(frozen=True)
class Length(Filter):
    """Keep texts of at least `least` characters; appends a line to `log` whenever it measures."""

    least: int = 4
    log: str = ""
    measure_fields = ("log",)

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {"stat_length": pa.int32()}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("too_short",)

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        if self.log:
            with open(self.log, "a") as out:
                out.write(f"{batch.height}\n")
        return batch.select("doc", pl.col("text").str.len_chars().cast(pl.Int32).alias("stat_length"))

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        short = pl.col("stat_length") < self.least
        return stats.select(
            "doc",
            pl.when(short).then(pl.lit("too_short")).otherwise(None).alias("drop_reason"),
            pl.when(short).then(pl.format("length={} < {}", "stat_length", self.least)).otherwise(None).alias("drop_detail"),
        )


@dataclass(frozen=True)
class SlowLength(Length):
    """Takes a moment per batch, so that a random kill finds work under way."""

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        time.sleep(0.02)
        return super().measure(batch)


@dataclass(frozen=True)
class Score(Stage):
    """A scorer that raises on texts with POISON in them."""

    reusable = True

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {"score_toy": pa.float32()}

    def bind(self, models: Mapping[str, Path]) -> Apply:
        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            if batch["text"].str.contains("POISON").any():
                raise ValueError("poisoned text")
            values = [hashlib.md5(t.encode()).digest()[0] / 255 for t in batch["text"]]
            return batch.select("doc").with_columns(pl.Series("score_toy", values, dtype=pl.Float32))

        return apply


@dataclass(frozen=True)
class Upper(Stage):
    """Rewrites the text in capitals."""

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def rewrites(self) -> tuple[str, ...]:
        return ("text",)

    def bind(self, models: Mapping[str, Path]) -> Apply:
        return lambda batch: batch.select("doc", pl.col("text").str.to_uppercase())


@dataclass(frozen=True)
class Twins(GlobalStage):
    """Drops all but the first of equal first characters."""

    partitions: int = field(default=4, kw_only=True)

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {"cluster_size": pa.int32()}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("twin",)

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        key = pl.col("text").str.slice(0, 1)
        number = pl.Series("partition", [ord(t[0]) % self.partitions if t else 0 for t in batch["text"]], dtype=pl.UInt32)
        return batch.select("doc", key.alias("key")).with_columns(number)

    def match(self, partition: pl.DataFrame) -> pl.DataFrame:
        first = pl.col("doc").min().over("key").alias("kept")
        return partition.select("doc", first, pl.len().over("key").cast(pl.Int32).alias("size"))

    def settle(self, matches: Iterable[pl.DataFrame]) -> pl.DataFrame:
        found = list(matches)
        empty = pl.DataFrame(schema={"doc": pl.UInt64, "kept": pl.UInt64, "size": pl.Int32})
        return pl.concat([empty, *found]).sort("doc")

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        joined = batch.select("doc").join(verdict, on="doc", how="left", maintain_order="left")
        twin = pl.col("kept") != pl.col("doc")
        return joined.select(
            "doc",
            pl.col("size").alias("cluster_size"),
            pl.when(twin).then(pl.lit("twin")).otherwise(None).alias("drop_reason"),
            pl.when(twin).then(pl.format("kept doc={}", "kept")).otherwise(None).alias("drop_detail"),
        )
