"""Stages that rewrite text from a verdict, run by the engine: the same shards whatever the cuts, every row accounted for."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from engine_stages import Length
from engine_stages import Lines as LineSource

from curation.dedup.exact import Exact
from curation.dedup.lines import Lines
from curation.dedup.rehydration import Rehydration
from curation.dedup.substring import Substring
from curation.dedup.url_key import UrlKey
from curation.document import content_id
from curation.errors import ContractError, RecipeError
from curation.pipeline import Pipeline
from curation.runners.drive import run_pipeline
from curation.runners.local import LocalExecutor
from curation.sinks.parquet import Parquet
from curation.stage import Stage

TEXTS = [
    "Alpha 1",
    "Beta",
    "BAD",
    "alpha 2!",
    "a sentence that is repeated",
    "so: a sentence that is repeated",
    "Gamma",
    "Gamma",
]


def shards(folder: Path, stages: tuple[Stage, ...], piece_bytes: int) -> pl.DataFrame:
    """Every document, kept or dropped, after a run over the texts cut into pieces of so many bytes."""
    (folder / "in").mkdir(parents=True, exist_ok=True)
    (folder / "in" / "a.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    recipe = Pipeline("kinds", LineSource(piece_bytes), stages, Parquet(dropped_text="all"))
    out = folder / f"out{piece_bytes}"
    run_pipeline(recipe, [str(folder / "in")], str(out), lambda p, f, o: LocalExecutor(p, f, o, workers=1))
    parts = [pl.read_parquet(f) for name in ("documents", "dropped") for f in sorted((out / name).glob("*.parquet"))]
    return pl.concat(parts, how="diagonal_relaxed").sort("doc")


def test_rewritten_texts_reach_what_follows(tmp_path: Path) -> None:
    stages = (
        UrlKey(keep="first"),
        Lines(partitions=3, label="repeats"),
        Substring(min_bytes=20, partitions=1),
        Length(least=4),
    )
    whole = shards(tmp_path, stages, 10**6)
    assert whole["text"].to_list() == ["Alpha 1", "Beta", None, "alpha 2!", TEXTS[4], "so: ", "Gamma", "Gamma"]
    assert whole["drop_reason"].to_list() == [None, None, "bad_line", "no_line_left", None, None, None, "no_line_left"]
    assert whole["stat_length"].to_list() == [7, 4, None, None, 27, 4, 5, None]
    assert whole["content_id"][5] == content_id("so: ") and whole["stat_text_bytes"][5] == 4
    for piece_bytes in (11, 40):
        assert shards(tmp_path, stages, piece_bytes).equals(whole)


def test_repeats_from_the_size_of_clusters(tmp_path: Path) -> None:
    made = shards(tmp_path, (Exact(), Rehydration()), 10**6)
    assert made.filter(pl.col("drop_reason").is_null())["stat_rehydration_repeats"].to_list() == [1, 1, 1, 1, 1, 2]


def test_the_sink_writes_a_document_as_often_as_it_repeats(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("\n".join([*TEXTS, *["Gamma"] * 3]) + "\n", encoding="utf-8")
    stages = (Exact(), Rehydration())
    sink = Parquet(dropped_text="all", repeat_by="stat_rehydration_repeats")
    recipe = Pipeline("kinds", LineSource(10**6), stages, sink)
    made = run_pipeline(
        recipe, [str(tmp_path / "in")], str(tmp_path / "out"), lambda p, f, o: LocalExecutor(p, f, o, workers=1)
    )
    written = pl.read_parquet(tmp_path / "out/documents/*.parquet")
    once = [text for text in dict.fromkeys(TEXTS) if text != "BAD"]
    assert written["text"].to_list() == [*once, *["Gamma"] * 4], "five copies count five times, apart from the first"
    assert made.census is not None
    assert made.census["output"]["documents"] == len(once) and made.census["output"]["rows"] == len(once) + 4
    manifest = pl.read_parquet(tmp_path / "out/manifest.parquet")
    assert manifest.filter(pl.col("file").str.starts_with("documents"))["rows"].to_list() == [len(once) + 4]


def test_a_column_that_cannot_say_how_often_is_refused() -> None:
    for column in ("stat_nothing", "text"):
        with pytest.raises(RecipeError, match="repeat_by"):
            Pipeline("kinds", LineSource(100), (Exact(),), Parquet(repeat_by=column))


def test_writing_a_document_no_time_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("\n\n", encoding="utf-8")
    recipe = Pipeline("kinds", LineSource(100), (Length(least=0),), Parquet(repeat_by="stat_length"))
    with pytest.raises(ContractError, match="would lose them"):
        run_pipeline(recipe, [str(tmp_path / "in")], str(tmp_path / "out"), lambda p, f, o: LocalExecutor(p, f, o, workers=1))
