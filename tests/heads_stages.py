"""A source of pages without text, and stages before an extractor, for the tests of what runs before extraction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
from engine_stages import Length, Lines

from curation.dedup.payload import Payload
from curation.dedup.url_key import UrlKey
from curation.document import COLUMNS, content_id
from curation.pipeline import Pipeline
from curation.sinks.parquet import Parquet
from curation.stage import Apply, Filter, Open, Piece, PieceReport, Stage


@dataclass(frozen=True)
class Pages(Lines):
    """One page per line. Its address is its first letter, its digest that of the line; `BAD` lines are tombstones."""

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        names = ("id", "url", "payload_digest", "html", "fetched_at")
        return {name: COLUMNS[name] for name in names}

    def read(self, piece: Piece, open_input: Open) -> Iterator[pl.DataFrame | PieceReport]:
        for item in super().read(piece, open_input):
            if isinstance(item, PieceReport):
                yield item
                continue
            lines = item["text"]
            yield item.drop("text", "content_id", "url").with_columns(
                ("http://" + lines.str.slice(0, 1) + "/").alias("url"),
                pl.Series("payload_digest", [_sha1(line) for line in lines], dtype=pl.String),
                lines.cast(pl.Binary).alias("html"),
                (pl.col("doc") * 7919 % 997).cast(pl.Int64).cast(pl.Datetime("us", "UTC")).alias("fetched_at"),
            )


def _sha1(line: str | None) -> str | None:
    return None if line is None else "sha1:" + hashlib.sha1(line.encode()).hexdigest()


@dataclass(frozen=True)
class Extract(Stage):
    """The page is its own text; appends how many it extracts to `log`."""

    log: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        return ("html",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {"text": pa.large_string(), "content_id": pa.binary(16)}

    def bind(self, models: Mapping[str, Path]) -> Apply:
        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            if self.log:
                with open(self.log, "a") as out:
                    out.write(f"{batch.height}\n")
            texts = [page.decode() for page in batch["html"]]
            ids = pl.Series("content_id", [content_id(text) for text in texts], dtype=pl.Binary)
            return batch.select("doc", pl.Series("text", texts, dtype=pl.String), ids)

        return apply


@dataclass(frozen=True)
class NotLetter(Filter):
    """Drops pages by the first letter of what it reads, an address or a page."""

    letter: str = "a"
    column: str = "url"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def drops(self) -> tuple[str, ...]:
        return ("letter",)

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        found = stats[self.column].cast(pl.String).str.strip_prefix("http://").str.starts_with(self.letter)
        reason = pl.when(found).then(pl.lit("letter")).otherwise(None)
        return stats.select("doc", reason.alias("drop_reason"), reason.alias("drop_detail"))


def pages_pipeline(*stages: Stage, source: Lines = Pages()) -> Pipeline:
    return Pipeline("pages", source, stages, Parquet(target_mb=0.0005, row_group_rows=16, dropped_text="none"))


def crash_pipeline() -> Pipeline:
    """Two stages that see all documents before the extractor, a filter before, between and after them."""
    early = (NotLetter("b"), Payload(partitions=2), NotLetter("c", label="between"), UrlKey(partitions=2, keep="first"))
    return pages_pipeline(*early, Extract(), Length(least=2))
