"""scorers/perplexity_bucket: shares of a third and a third, whatever the shards and the order; settings that cannot work."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from dedup_steps import settled, verdict_of

from curation.errors import RecipeError
from curation.scorers.perplexity_bucket import COLUMN, PerplexityBucket


def documents(count: int = 3_000) -> pl.DataFrame:
    rng = np.random.default_rng(4)
    languages = rng.choice(["eng_Latn", "deu_Latn", "zho_Hans"], count, p=[0.7, 0.2, 0.1])
    scale = np.select([languages == "eng_Latn", languages == "deu_Latn"], [300.0, 900.0], 5_000.0)
    values = (scale * rng.lognormal(size=count)).astype(np.float32)
    values[::50] = np.nan
    return pl.DataFrame(
        {"doc": np.arange(count), "language": languages, "score_ccnet": values},
        schema={"doc": pl.UInt64, "language": pl.String, "score_ccnet": pl.Float32},
    )


def bucketed(stage: PerplexityBucket, *shards: pl.DataFrame, seed: int | None = None) -> pl.DataFrame:
    verdict = verdict_of(stage, *shards, seed=seed)
    return pl.concat([stage.apply(shard, verdict) for shard in shards]).sort("doc")


def test_every_language_is_cut_at_its_own_percentiles() -> None:
    rows = documents()
    found = rows.join(bucketed(PerplexityBucket(), rows), on="doc")
    for _, own in found.filter(pl.col(COLUMN).is_not_null()).group_by("language"):
        shares = [own.filter(pl.col(COLUMN) == b).height / own.height for b in (0, 1, 2)]
        assert shares == pytest.approx([0.3, 0.3, 0.4], abs=0.02)
        low, high = np.percentile(own["score_ccnet"].cast(pl.Float64), [30, 60])
        assert own.filter((pl.col("score_ccnet") < low) != (pl.col(COLUMN) == 0)).is_empty()
        assert own.filter((pl.col("score_ccnet") >= high) != (pl.col(COLUMN) == 2)).is_empty()
    assert found.filter(pl.col("score_ccnet").is_nan())[COLUMN].null_count() == 60


@pytest.mark.parametrize("partitions", [1, 3, 16])
def test_shards_order_and_partitions_change_nothing(partitions: int) -> None:
    rows = documents(500)
    whole = bucketed(PerplexityBucket(), rows)
    stage = PerplexityBucket(partitions=partitions)
    assert bucketed(stage, rows[:100], rows[100:101], rows[101:], seed=partitions).equals(whole)


def test_the_report_names_the_cuts() -> None:
    rows = documents(500)
    _, report, _ = settled(PerplexityBucket(), rows)
    english = rows.filter((pl.col("language") == "eng_Latn") & pl.col("score_ccnet").is_not_nan())["score_ccnet"]
    low, high = np.percentile(english.cast(pl.Float64), [30, 60])
    assert report["cuts"]["eng_Latn"] == [english.len(), pytest.approx(low), pytest.approx(high)]
    assert set(report["cuts"]) == {"eng_Latn", "deu_Latn", "zho_Hans"}


def test_nothing_scored_is_nothing_bucketed() -> None:
    rows = documents(10).with_columns(pl.lit(None, pl.Float32).alias("score_ccnet"))
    assert bucketed(PerplexityBucket(), rows)[COLUMN].null_count() == 10
    assert bucketed(PerplexityBucket(), rows[:0]).schema == {"doc": pl.UInt64, COLUMN: pl.Int32}


@pytest.mark.parametrize(
    "fields", [{"percentiles": (60, 30)}, {"percentiles": (30,)}, {"percentiles": (30, 101)}, {"column": "text"}, {"by": ""}]
)
def test_settings_that_cannot_work(fields: dict) -> None:
    with pytest.raises(RecipeError):
        PerplexityBucket(**fields)
