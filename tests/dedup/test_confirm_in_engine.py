"""dedup/confirm behind dedup/minhash, run by the engine: the same documents whatever the cuts and workers, none lost."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import polars as pl
from engine_stages import Length
from engine_stages import Lines as LineSource
from test_confirm import plain_jaccard, plain_sets
from test_engine import run
from test_minhash import lines_of, windows, words_of

from curation.dedup.confirm import Confirm
from curation.dedup.exact import Exact
from curation.dedup.minhash import Minhash
from curation.fingerprint import step_fingerprints
from curation.pipeline import Pipeline
from curation.sinks.parquet import Parquet


def test_another_threshold_keeps_the_sketches() -> None:
    one, other, longer = (step_fingerprints(Confirm(**fields)) for fields in ({}, {"min_jaccard": 0.9}, {"ngram": 6}))
    assert one[0] == other[0] and one[1] != other[1] and one[2] != other[2]
    assert one[0] != longer[0]
    assert step_fingerprints(Confirm(memory_gb=16))[:2] == one[:2]


def drifting_lines() -> list[str]:
    """Chains of 40, pairs, and texts alone, of different lengths; and one that no later stage lets pass."""
    texts = [text for seed in range(3) for text in windows(seed, count=40, step=8, size=100)]
    texts += [" ".join(words_of(seed // 2, 60)) for seed in range(20, 28)] + [" ".join(words_of(9, 30))]
    return [f"{text} {'x' * (i + 1)}" for i, text in enumerate(texts)] + ["BAD"]


def everything(out: Path) -> pl.DataFrame:
    parts = [pl.read_parquet(path) for name in ("documents", "dropped") for path in sorted((out / name).glob("*.parquet"))]
    return pl.concat(parts, how="diagonal_relaxed").sort("doc")


def test_a_run_with_clusters_confirmed(tmp_path: Path) -> None:
    inputs = lines_of(drifting_lines(), tmp_path)
    tables = []
    for piece_bytes, workers in ((1500, 2), (10**6, 1)):
        stages = (
            Minhash(drop=False, share_of=(), min_jaccard=None, keep=()),
            Confirm(from_size=3, keep=(), partitions=3),
            Length(least=1),
        )
        recipe = Pipeline("engine", LineSource(piece_bytes), stages, Parquet(dropped_text="all"))
        out = tmp_path / str(piece_bytes)
        run(recipe, inputs, out, workers=workers)
        tables.append(everything(out))
    made = tables[0]
    assert made.equals(tables[1]) and made.height == len(drifting_lines())
    of_a_cluster = made.filter(pl.col("cluster_size") > 1)
    assert of_a_cluster.group_by("cluster_id").agg(pl.len() == pl.col("cluster_size").first())["len"].all()
    details = made["drop_detail"].drop_nulls()
    assert details.str.contains("exact similarity").sum() > 60 and details.str.contains("estimated similarity").sum() == 4
    sets = dict(zip(made["doc"].to_list(), plain_sets(made["text"].to_list()), strict=True))
    twins = made.filter(pl.col("drop_detail").str.contains("exact")).select("doc", "cluster_id").rows()
    assert min(plain_jaccard(sets[doc], sets[kept]) for doc, kept in twins) >= Fraction("0.7")


def test_a_filter_between_loses_no_cluster(tmp_path: Path) -> None:
    """The survivors, the longest, are dropped before the clusters are confirmed."""
    texts = [f"{' '.join(words_of(seed, 60))} {'x' * i}" for seed in range(4) for i in range(1, 9)]

    @dataclass(frozen=True)
    class Short(Length):
        def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
            return super().decide(stats.with_columns(-pl.col("stat_length")))

    stages = (Minhash(drop=False, share_of=()), Short(least=-426), Confirm(from_size=9))
    recipe = Pipeline("engine", LineSource(10**6), stages, Parquet(dropped_text="all"))
    run(recipe, lines_of(texts, tmp_path), tmp_path / "out")
    made = everything(tmp_path / "out")
    assert made.filter(pl.col("drop_reason").is_null())["text"].str.len_chars().to_list() == [426] * 4
    assert made.filter(pl.col("drop_reason") == "near_duplicate")["drop_detail"].str.contains("which was dropped before").all()


def test_behind_exact_duplicates(tmp_path: Path) -> None:
    """Sizes count the exact twins, as long as their cluster is one."""
    texts = [" ".join([*words_of(seed, 60), *more]) for seed in range(3) for more in ((), (), (), ("more",))]
    stages = (Exact(), Minhash(drop=False, extend=True, share_of=()), Confirm(from_size=2))
    recipe = Pipeline("engine", LineSource(10**6), stages, Parquet(dropped_text="all"))
    run(recipe, lines_of(texts, tmp_path), tmp_path / "out")
    kept = everything(tmp_path / "out").filter(pl.col("drop_reason").is_null())
    assert kept["text"].str.ends_with("more").to_list() == [True] * 3
    assert kept["cluster_size"].to_list() == [4] * 3 and kept["cluster_id"].equals(kept["doc"], check_names=False)
