"""dedup/exact: any order of rows, any cut into shards and any number of partitions give the same answer."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup.exact import Exact
from curation.document import content_id
from curation.errors import RecipeError

ROWS = st.lists(
    st.tuples(st.integers(0, 10_000), st.sampled_from(["a", "b", "c", "d", None]), st.sampled_from(["x", "y", None])),
    min_size=1,
    max_size=40,
    unique_by=lambda row: row[0],
)


def frame(rows: list[tuple[int, str | None, str | None]]) -> pl.DataFrame:
    keys = [content_id(text) if text is not None else None for _, text, _ in rows]
    columns = {"doc": [r[0] for r in rows], "content_id": keys, "source": [r[2] for r in rows]}
    return pl.DataFrame(columns, schema={"doc": pl.UInt64, "content_id": pl.Binary, "source": pl.String})


def answer(stage: Exact, shards: list[pl.DataFrame], order=lambda parts: parts) -> pl.DataFrame:
    """Run the three steps over shards as a runner does; rows of a partition in the order `order` gives."""
    sketches = pl.concat([stage.sketch(shard) for shard in shards])
    assert sketches.filter(pl.col("partition") >= stage.partitions).is_empty()
    partitions = [stage.match(order(part)) for part in sketches.partition_by("partition")]
    verdict = stage.settle(order_list(partitions, order))
    assert verdict["doc"].is_sorted()
    return pl.concat([stage.apply(shard.select("doc", *stage.reads), verdict) for shard in shards]).sort("doc")


def order_list(parts: list[pl.DataFrame], order) -> list[pl.DataFrame]:
    return parts if order(pl.DataFrame({"doc": [1, 2]}))["doc"][0] == 1 else parts[::-1]


@settings(max_examples=80, deadline=None)
@given(rows=ROWS, scoped=st.booleans(), partitions=st.integers(1, 40), cut=st.integers(0, 40), seed=st.integers(0, 9))
def test_order_shards_and_partitions_change_nothing(rows, scoped: bool, partitions: int, cut: int, seed: int) -> None:
    scope = ("source",) if scoped else ()
    table = frame(rows)
    shards = [part for part in (table[:cut], table[cut:]) if part.height]
    expected = answer(Exact(scope=scope), [table.sort("doc")])
    found = answer(Exact(scope=scope, partitions=partitions), shards, lambda p: p.sample(fraction=1, shuffle=True, seed=seed))
    assert found.equals(expected)


@settings(max_examples=80, deadline=None)
@given(rows=ROWS, scoped=st.booleans())
def test_survivors_are_the_least_docs(rows, scoped: bool) -> None:
    result = answer(Exact(scope=("source",) if scoped else ()), [frame(rows)])
    groups = {doc: (text, source if scoped else "") if text is not None else doc for doc, text, source in rows}
    sizes = Counter(groups.values())
    for doc, cluster, size, reason, detail in result.iter_rows():
        least = min(other for other in groups if groups[other] == groups[doc])
        assert (cluster, size) == (least, sizes[groups[doc]])
        assert (reason, detail) == ((None, None) if doc == least else ("duplicate", f"kept twin doc={least}"))


def test_no_documents_at_all() -> None:
    stage = Exact()
    empty = frame([])
    assert stage.sketch(empty).is_empty() and stage.settle([]).is_empty()
    assert stage.apply(empty.select("doc", "content_id"), stage.settle([])).schema == {
        "doc": pl.UInt64, "cluster_id": pl.UInt64, "cluster_size": pl.Int32, "drop_reason": pl.String, "drop_detail": pl.String,
    }  # fmt: skip


def test_scope_values_cannot_run_together() -> None:
    table = pl.DataFrame(
        {"doc": [1, 2, 3], "content_id": [content_id("t")] * 3, "source": ["a", 'a","language":"b', "a"],
         "language": ['","b', None, "null"]},
        schema_overrides={"doc": pl.UInt64},
    )  # fmt: skip
    assert answer(Exact(scope=("source", "language")), [table])["drop_reason"].null_count() == 3


def test_docs_near_the_top_of_their_range() -> None:
    rows = [(2**64 - 2, "a", None), (2**64 - 1, "a", None)]
    assert answer(Exact(), [frame(rows)])["cluster_id"].to_list() == [2**64 - 2] * 2


@pytest.mark.parametrize("fields", [{"scope": "source"}, {"scope": ("text",)}, {"scope": ("a", "a")}, {"partitions": 0}])
def test_senseless_configuration(fields: dict) -> None:
    with pytest.raises(RecipeError, match="dedup/exact"):
        Exact(**fields)
