"""From a finished run to ratings, from ratings to a small model, from the model to scores of the run: by the command line."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from chat_server import chat_server
from engine_stages import Lines, Score
from small_models import BAD, GOOD
from test_engine import run
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import ModelError
from curation.pipeline import Pipeline
from curation.sinks.parquet import Parquet
from curation.stage import Input


@dataclass(frozen=True)
class Sites(Lines):
    """A document a line, spread over 25 sites."""

    def _frame(self, item: Input, rows: list[tuple[int, str]]) -> pl.DataFrame:
        site = (pl.col("doc") % 25).cast(pl.String)
        return super()._frame(item, rows).with_columns(pl.format("https://www.s{}.example/{}", site, "doc").alias("url"))


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def share_of_teaching(text: str) -> float:
    words = text.split()
    return sum(word in GOOD.split() for word in words) / len(words)


def test_a_corpus_is_sampled_rated_learnt_and_scored(tmp_path: Path) -> None:
    pytest.importorskip("fasttext_new", reason="the extra `train` is not installed")
    generator = random.Random(8)
    texts = []
    for _ in range(400):
        share = generator.random()
        texts.append(" ".join(generator.choice((GOOD if generator.random() < share else BAD).split()) for _ in range(40)))
    (tmp_path / "in.txt").write_text("\n".join(texts) + "\n")
    out, ratings = tmp_path / "out", tmp_path / "ratings"
    run(Pipeline("corpus", Sites(piece_bytes=9_000), (Score(),), Parquet(target_mb=0.02)), tmp_path / "in.txt", out)

    def rate(text: str, n: int) -> tuple[str, str]:
        return "say", json.dumps({"education": round(5 * share_of_teaching(text))})

    with chat_server(rate) as (url, seen):
        said = call(
            "models", "annotate", out, "--out", ratings, "--endpoint", url, "--model", "big", "--sample", 250, "--by",
            "score_toy:5", "--train", "edu", "--min-count", 1, "--price-in", 2, "--request", '{"temperature": null, "seed": 7}',
        )  # fmt: skip
    assert "250 documents: 0 answered before, 250 have a valid answer" in said and f"card: {ratings / 'edu.toml'}" in said
    assert all(r["seed"] == 7 and "temperature" not in r for r in seen.requests) and len(seen.requests) == 250
    labels = pl.read_parquet(ratings / "labels.parquet")
    assert set(labels["stratum"].value_counts().rows()) == {(f"score_toy:5=q{i}", 50) for i in range(1, 6)}
    call("score", out, "--card", ratings / "edu.toml")
    scored = pl.read_parquet(out / "documents/*.parquet").join(pl.read_parquet(out / "scores/edu/*.parquet"), on="doc")
    truth = pl.Series("truth", [share_of_teaching(text) for text in scored["text"]])
    agreement = scored.select(pl.corr("score_edu", truth, method="spearman")).item()
    assert scored.height == 400 and agreement > 0.85
    table = json.loads(call("scores", out, "--by", "site", "--column", "score_edu", "--json"))
    assert len(table) == 25 and sum(row["documents"] for row in table) == sum(row["known"] for row in table) == 400


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rubric", "beauty"], "no rubric 'beauty'"),
        (["--request", "[1]"], "wanted: a JSON object"),
        (["--endpoint", "ftp://host"], r"wanted: http\(s\)://HOST/v1"),
        (["--endpoint", "http://host:port/v1"], "Port could not be cast|port"),
        (["--by", "nothing"], "wanted: a column nothing"),
    ],
)
def test_errors_without_a_traceback(options: list[str], said: str, tmp_path: Path) -> None:
    pl.DataFrame({"text": ["a", "b"]}).write_parquet(tmp_path / "d.parquet")
    usual = ["--endpoint", "http://127.0.0.1:9/v1", "--model", "m", "--tries", "1", "--out", str(tmp_path / "out")]
    with pytest.raises(ModelError, match=said):
        call("models", "annotate", tmp_path / "d.parquet", *usual, *options)


def test_a_student_that_cannot_be_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    pl.DataFrame({"text": ["a", "b"]}).write_parquet(tmp_path / "d.parquet")
    with chat_server(lambda text, n: ("say", '{"education": 3}')) as (url, seen):
        usual = ["--endpoint", url, "--model", "m", "--out", str(tmp_path / "out"), "--train", "x"]
        for more, said in ((["--at-least", "0"], "wanted: 1 to 5"), (["--criterion", "beauty"], "wanted: one of education")):
            with pytest.raises(ModelError, match=said):
                call("models", "annotate", tmp_path / "d.parquet", *usual, *more)
        assert not seen.requests
