"""curation score: side files row for row beside their shards, kept, redone and refused; the run itself untouched."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from engine_stages import Lines
from small_models import BAD, GOOD, uniform_arpa, write_card
from test_engine import run

from classifiers.linear_fasttext import LinearFastText
from curation.errors import ModelError, RecipeError, StorageError
from curation.filters.threshold import Threshold
from curation.pipeline import Pipeline
from curation.score_run import report, score_run, scorer_of
from curation.scorers.classify import Classify
from curation.sinks.parquet import Parquet


@pytest.fixture
def out(tmp_path: Path) -> Path:
    lines = [
        f"{text} {i}" for i in range(60) for text in (f"{GOOD} {GOOD}", f"{BAD} {BAD}", "I have added the sources, thank you")
    ]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    pipeline = Pipeline("scored", Lines(piece_bytes=3_000), (), Parquet(target_mb=0.004, row_group_rows=16))
    run(pipeline, tmp_path / "in.txt", tmp_path / "out")
    return tmp_path / "out"


def files(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file() and "scores" not in p.parts}


def test_side_files_are_their_shards_row_for_row(out: Path) -> None:
    before = files(out)
    place, done = score_run(str(out), scorer_of("toxicity_en"))
    assert files(out) == before and place == "scores/toxicity_en" and len(done) > 2
    model = LinearFastText.of(
        Classify(card="toxicity_en")._card(), Path(__file__).parent.parent / "classifiers/weights/toxicity_en.ftz"
    )
    for path in sorted((out / "documents").iterdir()):
        shard, side = pl.read_parquet(path), pl.read_parquet(out / place / path.name)
        assert side.columns == ["doc", "score_toxicity_en"] and side["doc"].equals(shard["doc"])
        assert side["score_toxicity_en"].fill_null(float("nan")).to_list() == pytest.approx(
            model.score(shard["text"].to_list())[:, 0].tolist(), nan_ok=True
        )
    facts = json.loads((out / place / "manifest.json").read_text())
    assert facts["rows"] == sum(part.rows for part in done) == 181 and sum(part.known for part in done) == 180
    assert "181 documents" in report(place, done) and "1 unknown" in report(place, done)


def test_the_same_command_again_scores_nothing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score_run(str(out), scorer_of("toxicity_en"))
    bytes_before = {p.name: p.read_bytes() for p in (out / "scores/toxicity_en").iterdir()}
    monkeypatch.setattr(LinearFastText, "score", lambda *_: pytest.fail("scored again"))
    _, done = score_run(str(out), scorer_of("toxicity_en"))
    assert all(part.kept for part in done)
    assert {p.name: p.read_bytes() for p in (out / "scores/toxicity_en").iterdir()} == bytes_before


def test_what_is_missing_damaged_or_stale_is_done_anew(out: Path) -> None:
    score_run(str(out), scorer_of("toxicity_en"))
    place = out / "scores/toxicity_en"
    whole = {p.name: p.read_bytes() for p in place.iterdir()}
    names = sorted(name for name in whole if name.endswith(".parquet"))
    (place / names[0]).unlink()
    (place / names[1]).write_bytes(b"PAR1 half of")
    (place / f"{names[0]}.12345678.attempt").write_bytes(b"a killed attempt")
    stale = pq.read_table(place / names[2])
    pq.write_table(stale.replace_schema_metadata({"curation_shard_sha256": "another"}), place / names[2])
    _, done = score_run(str(out), scorer_of("toxicity_en"))
    assert [part.file for part in done if not part.kept] == names[:3]
    assert {p.name: p.read_bytes() for p in place.iterdir()} == whole


def test_two_workers_write_the_same_bytes(out: Path) -> None:
    score_run(str(out), scorer_of("perplexity_en"))
    one = {p.name: p.read_bytes() for p in (out / "scores/perplexity_en").iterdir()}
    for path in (out / "scores/perplexity_en").iterdir():
        path.unlink()
    score_run(str(out), scorer_of("perplexity_en"), workers=2)
    assert {p.name: p.read_bytes() for p in (out / "scores/perplexity_en").iterdir()} == one


def test_a_document_on_which_the_scorer_fails_is_unknown_and_counted(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score = LinearFastText.score

    def fails(self: LinearFastText, texts: list[str]):
        if any(text.startswith(BAD) and text.endswith(" 7") for text in texts):
            raise ValueError("cannot read this one")
        return score(self, texts)

    monkeypatch.setattr(LinearFastText, "score", fails)
    _, done = score_run(str(out), scorer_of("quality_en"))
    assert sum(part.failed for part in done) == 1 and sum(part.known for part in done) == 179
    sides = pl.read_parquet(out / "scores/quality_en/*.parquet")
    assert sides.height == 181 and sides["score_quality_en"].null_count() == 2


def test_what_cannot_be_scored_is_said(out: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no card"):
        scorer_of("no_such_card")
    with pytest.raises(RecipeError, match="a language model"):
        scorer_of("perplexity_en", labels=["x"])
    with pytest.raises(RecipeError, match="a classifier"):
        scorer_of("quality_en", pieces="x.model")
    with pytest.raises(ModelError, match="weights, which you bring"):
        score_run(str(out), scorer_of("dclm_fasttext"))
    with pytest.raises(StorageError, match="a finished run"):
        score_run(str(tmp_path / "nothing"), scorer_of("quality_en"))
    shard = sorted((out / "documents").iterdir())[1]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(StorageError, match=f"documents/{shard.name}"):
        score_run(str(out), scorer_of("quality_en"))
    assert not (out / "scores/quality_en/manifest.json").exists()


def test_a_card_of_ones_own(out: Path, tmp_path: Path) -> None:
    uniform_arpa(tmp_path / "mine.arpa", ["the", "sun"])
    labels = {"labels": ["perplexity"], "scored": None, "range": [1.0, 3.5e38], "preprocessing": "plain_lines"}
    card = write_card(tmp_path / "mine.toml", "ngram_kenlm", tmp_path / "mine.arpa", **labels)
    score_run(str(out), scorer_of(str(card)))
    sides = pl.read_parquet(out / "scores/mine/*.parquet")
    assert sides.filter(pl.col("score_mine").is_not_null())["score_mine"].to_list() == pytest.approx([4.0] * 120, rel=1e-4)
    assert Threshold(column="score_mine", at_most=5.0).decide(sides)["drop_reason"].null_count() == 120
