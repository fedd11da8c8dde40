"""filters/buckets: the cuts by their definition, for any shards, order and partitions; what is refused; in the engine."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from dedup_steps import answer, settled
from engine_stages import Lines, Score
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import RecipeError
from curation.filters.buckets import Buckets, _key, _values
from curation.pipeline import Pipeline
from curation.runners.drive import run_pipeline
from curation.runners.local import LocalExecutor
from curation.sinks.parquet import Parquet

SCHEMA = {"doc": pl.UInt64, "score_p": pl.Float32, "language": pl.String}

special = st.sampled_from([0.0, -0.0, 1.0, float("inf"), float("-inf"), float("nan")])
values = st.one_of(st.none(), special, st.floats(width=32), st.floats(0, 9, width=16))
rows = st.lists(st.tuples(values, st.sampled_from(["eng_Latn", "deu_Latn", "", None])), min_size=1, max_size=120)


def frame(pairs: Sequence[tuple[float | None, str | None]]) -> pl.DataFrame:
    columns = {"doc": range(10, 10 + len(pairs)), "score_p": [p[0] for p in pairs], "language": [p[1] for p in pairs]}
    return pl.DataFrame(columns, schema=SCHEMA, strict=False)


def plainly(table: pl.DataFrame, percentiles: Sequence[float], names: Sequence[str]) -> list[str]:
    """The buckets by their definition, from sorted lists."""
    scored: dict[str, list[float]] = {}
    known = [
        (s, g) if s is not None and s == s and g is not None else None for s, g in table.select("score_p", "language").rows()
    ]
    for pair in known:
        if pair:
            scored.setdefault(pair[1], []).append(pair[0])
    cuts = {
        group: [sorted(found)[int(len(found) * Fraction(str(p)) // 100)] for p in percentiles]
        for group, found in scored.items()
    }
    return [names[sum(pair[0] >= cut for cut in cuts[pair[1]])] if pair else "all" for pair in known]


def shards(table: pl.DataFrame, sizes: Sequence[int]) -> list[pl.DataFrame]:
    made, at = [], 0
    for size in sizes:
        made.append(table.slice(at, size))
        at += size
    return [part for part in (*made, table.slice(at)) if part.height]


@settings(max_examples=60, deadline=None)
@given(rows, st.lists(st.integers(1, 40), max_size=4), st.sampled_from([2, 3, 16]), st.integers(0, 9))
def test_the_buckets_are_those_of_the_definition(pairs: list, sizes: list[int], partitions: int, seed: int) -> None:
    table = frame(pairs)
    stage = Buckets(column="score_p", percentiles=(12.5, 30, 60), names=("a", "b", "c", "d"), partitions=partitions)
    found = answer(stage, shards(table, sizes), seed=seed)
    assert found["doc"].equals(table["doc"])
    assert found["bucket_p"].to_list() == plainly(table, stage.percentiles, stage.names)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=50))
def test_keys_have_the_order_of_their_values(numbers: list[float]) -> None:
    given_ = np.array(numbers) + 0.0
    keys = _key(given_)
    assert _values(keys).tolist() == given_.tolist()
    assert given_[np.argsort(keys, kind="stable")].tolist() == sorted(given_.tolist())


def test_shares_and_the_report() -> None:
    generator = random.Random(3)
    languages = ["eng_Latn"] * 1000 + ["deu_Latn"] * 10
    table = frame([(generator.lognormvariate(6, 1), language) for language in languages])
    stage = Buckets(column="score_p")
    found = answer(stage, shards(table, [300, 300])).join(table, on="doc")
    counts = {key: n for *key_, n in found.group_by("language", "bucket_p").len().rows() for key in [tuple(key_)]}
    assert [counts["eng_Latn", name] for name in stage.names] == [300, 300, 400]
    assert [counts["deu_Latn", name] for name in stage.names] == [3, 3, 4]
    verdict, report, steps = settled(stage, *shards(table, [300, 300]))
    assert steps == ["count", "find", "pick", "settle"] and json.dumps(report)
    own = sorted(table.filter(pl.col("language") == "deu_Latn")["score_p"])
    assert report["score_p"]["deu_Latn"] == {"documents": 10, "cuts": [own[3], own[6]]}
    assert verdict.height == 2 * 4, "two cuts for each language of each batch and shard, never a row a document"


def test_fixed_cuts_sketch_nothing() -> None:
    table = frame([(1.0, "eng_Latn"), (200.0, "eng_Latn"), (1.0, "deu_Latn")])
    stage = Buckets(column="score_p", cuts={"eng_Latn": (100, 200)})
    verdict, report, steps = settled(stage, table)
    assert verdict.is_empty() and not report and steps == ["settle"] and stage.sketch(table).is_empty()
    assert stage.apply(table, verdict)["bucket_p"].to_list() == ["head", "tail", "all"]
    assert Buckets(column="score_p", cuts=(1, 2)).reads == ("score_p",)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"column": "text"}, "a column score_"),
        ({"percentiles": (60, 30)}, "that rise"),
        ({"percentiles": (30, 100)}, "between 0 and 100"),
        ({"percentiles": (30,)}, "one more than percentiles"),
        ({"names": ("head", "head", "tail")}, "different names"),
        ({"names": ("head", "middle", "all")}, "different names"),
        ({"names": ("Head", "middle", "tail")}, "small letters"),
        ({"drop": ("worst",)}, "some of head, middle, tail, all"),
        ({"cuts": {"eng_Latn": (1,)}}, "2 numbers that rise"),
        ({"cuts": (3, 2)}, "2 numbers that rise"),
        ({"cuts": {"eng_Latn": (1, 2)}, "by": None}, "no `by`"),
        ({"by": "text"}, "a light column"),
        ({"partitions": 1}, "2 to 65536"),
    ],
)
def test_what_is_refused(fields: dict, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Buckets(**fields)


def test_the_same_on_one_worker_and_on_two(tmp_path: Path) -> None:
    lines = [f"text number {n}" for n in range(300)]
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in lines))
    stage = Buckets(column="score_toy", by=None, drop=("tail",))
    pipeline = Pipeline("buckets", Lines(piece_bytes=900), (Score(), stage), Parquet())
    outputs = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        result = run_pipeline(
            pipeline, [str(tmp_path / "in.txt")], str(out), lambda p, f, o, n=workers: LocalExecutor(p, f, o, workers=n)
        )
        assert result.census
        outputs.append({p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*.parquet")) if "work" not in p.parts})
    assert outputs[0] == outputs[1]
    kept = pl.read_parquet(tmp_path / "out1/documents/*.parquet")
    fallen = pl.read_parquet(tmp_path / "out1/dropped/*.parquet")
    assert set(kept["bucket_toy"]) == {"head", "middle"} and set(fallen["drop_reason"]) == {"tail"}
    assert kept["score_toy"].max() < fallen["score_toy"].min() and kept.height + fallen.height == 300
    census = json.loads((tmp_path / "out1/census.json").read_text())
    assert census["reports"]["buckets"]["score_toy"][""]["documents"] == 300
