"""Runs and indexes for the tests of the index: lines of files as documents, whose source is the first letter of the file."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
from engine_stages import Lines
from test_engine import run

from curation.dedup.minhash import Minhash
from curation.pipeline import Pipeline
from curation.sinks.parquet import Parquet
from curation.stage import Input, Open, Piece, PieceReport


@dataclass(frozen=True)
class SourcedLines(Lines):
    """Lines with a `source`: the first letter of the file's name."""

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {**super().adds, "source": pa.string()}

    def read(self, piece: Piece, open_input: Open) -> Iterator[pl.DataFrame | PieceReport]:
        for found in super().read(piece, open_input):
            if isinstance(found, pl.DataFrame):
                found = found.with_columns(pl.lit(piece.input.path.rsplit("/", 1)[-1][0]).alias("source"))
            yield found

    def _frame(self, item: Input, rows: list[tuple[int, str]]) -> pl.DataFrame:
        return super()._frame(item, rows)


A_FIRST = (("source", ("a", "b", "c")), ("text_bytes", "largest"))


def recipe(piece_bytes: int = 12_000, **fields) -> Pipeline:
    stage = Minhash(**{"share_of": (), "keep": A_FIRST, **fields})
    return Pipeline("indexed", SourcedLines(piece_bytes), (stage,), Parquet(target_mb=0.02, row_group_rows=64))


def curated(folder: Path, texts: Mapping[str, Sequence[str]], workers: int = 1, **fields) -> Path:
    """The output folder of a run over files of lines by name: `a` becomes in/a0.txt and in/a1.txt."""
    inputs = folder / "in"
    inputs.mkdir(parents=True, exist_ok=True)
    for name, lines in texts.items():
        half = (len(lines) + 1) // 2
        for number, part in enumerate((lines[:half], lines[half:])):
            (inputs / f"{name}{number}.txt").write_text("".join(f"{line}\n" for line in part))
    run(recipe(**fields), inputs, folder / "out", workers=workers)
    return folder / "out"


def fallen(out: Path, source: str = "") -> dict[str, str]:
    """id -> reason of the dropped documents, of one source where it is given."""
    gone = pl.read_parquet(out / "dropped/*.parquet")
    if gone.is_empty():
        return {}
    rows = gone.filter(pl.col("source") == source) if source else gone
    return dict(rows.select("id", "drop_reason").rows())


def clusters_of_texts(seed: int, clusters: int, most: int) -> list[str]:
    """Texts in clusters of 1 to `most` that differ in their last words, in mixed order: so alike that all of a cluster meet."""
    generator = random.Random(seed)
    texts = []
    for _ in range(clusters):
        words = ["".join(generator.choices("abcdefghijklmnop", k=6)) for _ in range(generator.randint(90, 140))]
        for _ in range(generator.randint(1, most)):
            end = ("end" * generator.randint(1, 9) for _ in range(generator.randint(0, 2)))
            texts.append(" ".join((*words, *end)))
    generator.shuffle(texts)
    return texts
