"""curation scores: the figures by their definition, years and sites, groups of quantiles, side files, what is refused."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from engine_stages import Lines, Score
from small_models import BAD, GOOD
from test_engine import run
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import RecipeError, StorageError
from curation.filters.threshold import Threshold
from curation.inspect.scores import score_table, scores_text
from curation.pipeline import Pipeline
from curation.sinks.parquet import Parquet


def documents(count: int = 500) -> pl.DataFrame:
    generator = random.Random(1)
    values = [None if i % 50 == 0 else float("nan") if i % 50 == 1 else generator.lognormvariate(0, 1) for i in range(count)]
    return pl.DataFrame(
        {
            "doc": range(count),
            "text": ["x"] * count,
            "url": [f"http://{'www.' * (i % 2)}Site{i % 3}.example/{'2019/05/' * (i % 5 == 0)}{i}" for i in range(count)],
            "fetched_at": [datetime(2021 + i % 2, 6, 1, tzinfo=UTC) for i in range(count)],
            "domain": [("books", "news", None, "")[i % 4] for i in range(count)],
            "stat_text_bytes": [1000 * (i % 7) for i in range(count)],
            "score_a": values,
            "score_b": [i / count for i in range(count)],
        },
        schema_overrides={"doc": pl.UInt64, "stat_text_bytes": pl.Int32, "score_a": pl.Float32, "score_b": pl.Float32},
    )


def stored(out: Path, table: pl.DataFrame, kind: str = "documents") -> Path:
    (out / kind).mkdir(parents=True)
    for number, part in enumerate((table[:200], table[200:201], table[201:])):
        part.write_parquet(out / kind / f"shard-0000{number}.parquet", row_group_size=64)
    return out


def test_figures_by_their_definition(tmp_path: Path) -> None:
    rows = documents()
    table = score_table(str(stored(tmp_path / "out", rows)), ["domain"])
    assert table["domain"].to_list() == ["books", "books", "news", "news", "unknown", "unknown"]
    assert table["score"].to_list() == ["score_a", "score_b"] * 3
    for line in table.iter_rows(named=True):
        inside = [i for i in range(500) if ("books", "news", "unknown", "unknown")[i % 4] == line["domain"]]
        own = rows[inside]
        known = np.array([v for v in own[line["score"]] if v is not None and v == v])
        assert line["documents"] == len(inside) and line["known"] == len(known)
        assert line["text_mb"] == pytest.approx(own["stat_text_bytes"].sum() / 1e6)
        figures = [known.astype(float).mean(), *np.percentile(known.astype(float), [5, 25, 50, 75, 95])]
        assert [line[n] for n in ("mean", "p5", "p25", "p50", "p75", "p95")] == pytest.approx(figures)


def test_the_year_is_in_the_address_or_the_crawls(tmp_path: Path) -> None:
    addresses = [
        ("https://a.example/2019/05/page", 2019), ("https://a.example/2018-5-03/page", 2018),
        ("https://a.example/2019/05", 2019),
        ("https://a.example/2023/05/after-the-crawl", 2021), ("https://a.example/2019/13/no-month", 2021), (None, 2021),
        ("https://a.example/12019/05/x", 2021), ("https://a.example/1954/05/before-the-web", 2021), ("", 2021),
    ]  # fmt: skip
    rows = pl.DataFrame(
        {"url": [a for a, _ in addresses], "fetched_at": [datetime(2021, 1, 1)] * len(addresses), "score_a": 1.0, "doc": 0}
    )
    out = str(stored(tmp_path / "out", rows))
    table = score_table(out, ["year"])
    wanted = {str(year): sum(y == year for _, y in addresses) for _, year in addresses}
    assert dict(table.select("year", "documents").rows()) == wanted
    assert dict(table.select("year", "dated_by_address").rows()) == {"2018": 1, "2019": 2, "2021": 0}
    assert score_table(out, ["crawl_year"])["crawl_year"].to_list() == ["2021"]
    undated = stored(tmp_path / "undated", pl.DataFrame({"doc": [0, 1], "score_a": [1.0, 2.0]}))
    assert score_table(str(undated), ["year", "site"]).row(0)[:3] == ("unknown", "unknown", 2)
    own = stored(tmp_path / "own", rows.with_columns(pl.lit(7).alias("year")))
    assert score_table(str(own), ["year"])["year"].to_list() == ["7"], "a column of the name goes first"


def test_sites_have_one_name(tmp_path: Path) -> None:
    rows = documents()
    table = score_table(str(stored(tmp_path / "out", rows)), ["site"], ["score_b"])
    assert dict(table.select("site", "documents").rows()) == {f"site{i}.example": len(rows[i::3]) for i in range(3)}
    odd = pl.DataFrame({"doc": 0, "score_a": 1.0, "url": ["HTTPS://me:pw@WWW.a.example:80/x", "ftp://b", "https://c?q", None]})
    assert score_table(str(stored(tmp_path / "odd", odd)), ["site"])["site"].to_list() == ["a.example", "c", "unknown"]


def test_one_score_by_quantiles_of_another(tmp_path: Path) -> None:
    out = str(stored(tmp_path / "out", documents()))
    table = score_table(out, ["score_b:4"], ["score_b"])
    assert table.select("score_b", "documents").rows() == [("q1", 125), ("q2", 125), ("q3", 125), ("q4", 125)]
    assert (table["p95"].to_numpy()[:3] < table["p5"].to_numpy()[1:]).all()
    cross = score_table(out, ["score_b:2", "score_a:2"], ["score_a"])
    assert cross["documents"].sum() == 500 and cross.height == 6 and set(cross["score_a"]) == {"q1", "q2", "unknown"}
    assert len(score_table(out, ["score_b:12"], ["score_b"])["score_b"].unique()) == 12
    same = stored(tmp_path / "same", pl.DataFrame({"doc": range(9), "score_a": [0.0] * 8 + [1.0]}))
    assert score_table(str(same), ["score_a:3"])["documents"].to_list() == [9], "equal values stay together"


def test_without_groups_it_is_the_whole_and_text_shows_the_largest(tmp_path: Path) -> None:
    out = str(stored(tmp_path / "out", documents()))
    assert score_table(out, [])["documents"].to_list() == [500, 500]
    said = scores_text(score_table(out, ["domain", "site"]), most=2).splitlines()
    assert said[0].split() == ["domain", "site", "documents", "text_mb", "score", "known", "mean", "p5", "p25", "p50", "p75",
                               "p95"]  # fmt: skip
    assert len(said) == 2 * 2 + 2 and said[-1] == "7 smaller groups are not shown (--most)"
    assert said[1].split()[0] == "unknown" and said[2].split()[0] == "score_b"
    empty = stored(tmp_path / "empty", documents()[:0])
    assert score_table(str(empty), ["domain"]).height == 0 and scores_text(score_table(str(empty), ["domain"]))


@pytest.mark.parametrize(
    ("by", "columns", "said"),
    [
        (["nothing"], [], "wanted: columns nothing"),
        (["domain"], ["score_c"], "wanted: columns score_c"),
        (["domain"], ["url"], "columns of numbers"),
        (["domain:3"], [], "columns of numbers"),
        (["text"], [], "light columns"),
        (["domain:1"], [], "NAME:BINS with 2 to 1000"),
        ([":3"], [], "NAME:BINS"),
        (["score_a:2", "score_a:3"], [], "each column once"),
    ],
)
def test_what_is_refused(by: list[str], columns: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises((RecipeError, StorageError), match=said):
        score_table(str(stored(tmp_path / "out", documents())), by, columns)


def test_scores_added_to_a_finished_run_are_seen_and_tombstones_too(tmp_path: Path) -> None:
    texts = [f"{text} {i}" for i in range(40) for text in (f"{GOOD} {GOOD}", f"{BAD} {BAD}")]
    (tmp_path / "in.txt").write_text("\n".join(texts) + "\n")
    stages = (Score(), Threshold(column="score_toy", at_least=0.4))
    out = tmp_path / "out"
    run(Pipeline("table", Lines(piece_bytes=3_000), stages, Parquet(target_mb=0.002)), tmp_path / "in.txt", out)

    def call(*arguments: object) -> list[dict]:
        result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.output) if "--json" in arguments else []

    before = call("scores", out, "--by", "site", "--json")
    assert [row["score"] for row in before] == ["score_toy"] and before[0]["p5"] >= 0.4
    gone = call("scores", out, "--by", "site", "--dropped", "--json")
    assert gone[0]["p95"] < 0.4 and gone[0]["documents"] + before[0]["documents"] == 80
    call("score", out, "--card", "toxicity_en")
    after = call("scores", out, "--by", "crawl_year", "--json")
    assert [row["score"] for row in after] == ["score_toxicity_en", "score_toy"] and after[0]["known"] == before[0]["documents"]
    scored = pl.read_parquet(out / "scores/toxicity_en/*.parquet")["score_toxicity_en"]
    assert after[0]["mean"] == pytest.approx(scored.cast(pl.Float64).mean())
    call("scores", out, "--by", "year", "--by", "score_toy:2", "--column", "score_toxicity_en")
    side = min((out / "scores/toxicity_en").glob("*.parquet"))
    pl.read_parquet(side)[1:].write_parquet(side)
    with pytest.raises(StorageError, match="score the finished run again"):
        score_table(str(out), [])
