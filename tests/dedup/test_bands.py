"""dedup/bands and dedup/survivors: records, ranges, stars against a plain model, and the order of survivors."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup.bands import HOTTEST, STAR_ROUNDS, band_mask, band_records, key_range, needed_bits, star_types, stars
from curation.dedup.survivors import check_policy, rank_columns, ranks
from curation.errors import RecipeError

U64 = 2**64 - 1


def test_records_of_every_band_and_the_ends_of_the_ranges() -> None:
    keys = np.array([[0, U64], [U64, 1 << 63]], dtype=np.uint64)
    sketch = np.array([[1, 2], [3, 4]], dtype=np.uint64)
    records = band_records(np.array([7, U64], np.uint64), keys, sketch, {"rank_0": np.array([5, 6], np.uint64)}, ranges=4)
    assert records.rows() == [
        (7, 0, 0, 1, 2, 5), (U64, 3, U64, 3, 4, 6), (7, 4 + 3, U64, 1, 2, 5), (U64, 4 + 2, 1 << 63, 3, 4, 6),
    ]  # fmt: skip
    assert records.columns == ["doc", "partition", "key", "low", "high", "rank_0"]


@given(keys=st.lists(st.integers(0, U64), min_size=1), ranges=st.integers(1, 70_000))
def test_ranges_are_even_and_in_order(keys: list[int], ranges: int) -> None:
    found = key_range(np.array(sorted(keys), dtype=np.uint64), ranges)
    assert (np.diff(found.astype(np.int64)) >= 0).all() and found.max() < ranges
    assert found.tolist() == [(key >> 32) * ranges >> 32 for key in sorted(keys)]


@pytest.mark.parametrize(
    ("cut", "size", "equal"), [(1, 128, 128), (0.55, 128, 100), (0.5, 120, 90), (0, 128, 64), (-1, 128, 0)]
)
def test_needed_bits(cut: float, size: int, equal: int) -> None:
    assert needed_bits(cut, size) == equal
    assert 2 * equal / size - 1 >= cut and (equal == 0 or 2 * (equal - 1) / size - 1 < cut)


def test_masks_leave_out_the_band() -> None:
    assert band_mask(0, 8) == (U64 ^ 0xFF, U64)
    assert band_mask(8, 8) == (U64, U64 ^ 0xFF)
    assert band_mask(7, 9) == (U64 ^ (1 << 63), U64 ^ 0xFF), "a band that lies across the halves"
    assert band_mask(16, 8) == (U64, U64), "beyond the sketch"
    assert band_mask(0, 100) == (U64, U64), "a band so long that little would be left"


def plain_stars(rows: list[tuple[int, int, int, int]], mask: int, allowed: int | None) -> dict[int, int]:
    """doc -> where its edge leads, from (doc, key, sketch, rank): the same rule over sets and lists."""
    buckets: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for doc, key, sketch, rank in rows:
        buckets[key].append((rank, doc, sketch))
    edges: dict[int, int] = {}
    for bucket in buckets.values():
        left = sorted(bucket)
        for _ in range(STAR_ROUNDS):
            if len(left) < 2:
                break
            best = left[0]
            like = [m for m in left[1:] if allowed is None or ((m[2] ^ best[2]) & mask).bit_count() <= allowed]
            edges.update({m[1]: best[1] for m in like} | ({best[1]: best[1]} if like else {}))
            left = [m for m in left[1:] if m not in like]
    return edges


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, U64), st.sampled_from([0, 5, 9, U64]), st.integers(0, 2**24 - 1), st.integers(0, 3)),
        min_size=1,
        max_size=40,
        unique_by=lambda row: row[0],
    ),
    cut=st.sampled_from([None, 0.55, 0.8]),
    band=st.integers(0, 3),
    order=st.randoms(use_true_random=False),
)
def test_stars_are_those_of_the_plain_model(rows, cut: float | None, band: int, order) -> None:
    def table(rows: list[tuple[int, int, int, int]]) -> pl.DataFrame:
        doc, key, sketch, rank = (np.array(column, dtype=np.uint64) for column in zip(*rows, strict=True))
        return pl.DataFrame({"doc": doc, "key": key, "low": sketch, "high": np.zeros_like(sketch), "rank_0": rank})

    found, refused, hottest = stars(table(rows), ("rank_0",), band, 8, cut)
    assert found.schema == star_types(("doc", "low", "high", "rank_0"))
    low, high = band_mask(band, 8)
    allowed = None if cut is None else 120 - needed_bits(cut, 120)
    assert dict(found.select("doc", "to").rows()) == plain_stars(rows, low | high << 64, allowed)
    assert found["doc"].is_sorted()
    assert {(r[0], r[2], r[3]) for r in rows} >= set(found.select("doc", "low", "rank_0").rows())
    buckets = [sorted((row[3], row[0]) for row in rows if row[1] == key) for key in {row[1] for row in rows}]
    shared = sorted((-len(bucket), bucket[0][1]) for bucket in buckets if len(bucket) > 1)
    assert [(-bucket.size, bucket.best) for bucket in hottest] == shared[:HOTTEST]
    shuffled = list(rows)
    order.shuffle(shuffled)
    again = stars(table(shuffled), ("rank_0",), band, 8, cut)
    assert again[0].equals(found) and again[1:] == (refused, hottest)


def test_a_bucket_of_unlike_documents_keeps_them_in_linear_time() -> None:
    n = 300_000
    random = np.random.default_rng(1)
    low, high = random.integers(0, U64, size=(2, n), dtype=np.uint64)
    bucket = pl.DataFrame({"doc": np.arange(n, dtype=np.uint64), "key": np.zeros(n, np.uint64), "low": low, "high": high})
    found, refused, hottest = stars(bucket, (), 0, 8, 0.9)
    assert found.is_empty() and refused == n - 1 and hottest == [(n, 0)]


def test_survivors_are_ranked_rule_by_rule() -> None:
    rows = pl.DataFrame(
        {
            "source": ["b", "a", "a", "z", None, "a"],
            "score_quality": [0.5, -1.0, 0.25, 0.9, 0.9, None],
            "stat_text_bytes": [10, 3, 10, None, 11, 12],
            "fetched_at": [datetime(2020 + i, 1, 1, tzinfo=UTC) for i in range(6)],
        },
        schema_overrides={"score_quality": pl.Float32, "stat_text_bytes": pl.Int32},
    )

    def order(*keep) -> list[int]:
        check_policy("keep", keep)
        made = ranks(rows, keep)
        assert len(made) == len(rank_columns(keep))
        return np.lexsort(made[::-1]).tolist() if made else []

    assert order(("stat_text_bytes", "largest")) == [5, 4, 0, 2, 1, 3]
    assert order(("stat_text_bytes", "smallest")) == [1, 0, 2, 4, 5, 3]
    assert order(("score_quality", "largest")) == [3, 4, 0, 2, 1, 5]
    assert order(("fetched_at", "largest")) == [5, 4, 3, 2, 1, 0]
    assert order(("source", ("a", "b")), ("score_quality", "largest"), ("fetched_at", "smallest")) == [2, 1, 5, 0, 3, 4]
    assert order() == []


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.one_of(st.none(), st.floats(width=32)), min_size=1, max_size=30), largest=st.booleans())
def test_floats_keep_their_order(values: list[float | None], largest: bool) -> None:
    rank = ranks(
        pl.DataFrame({"score_x": pl.Series(values, dtype=pl.Float32)}), (("score_x", "largest" if largest else "smallest"),)
    )
    known = [(v, r) for v, r in zip(values, rank[0].tolist(), strict=True) if v is not None and v == v]
    worst = {r for v, r in zip(values, rank[0].tolist(), strict=True) if v is None or v != v}
    assert worst <= {0xFFFFFFFF << 32}
    for a, rank_a in known:
        assert rank_a < 0xFFFFFFFF << 32
        for b, rank_b in known:
            assert (rank_a < rank_b) == (a > b if largest else a < b)


@pytest.mark.parametrize(
    "keep",
    ["stat_text_bytes", (("a", "longest"),), (("a", ()),), (("text", "largest"),), (("a", "largest"), ("a", "smallest")),
     (("a",),), (("a", "largest"),) * 5, (("doc", "largest"),)],
)  # fmt: skip
def test_senseless_policies(keep) -> None:
    with pytest.raises(RecipeError, match="at most four"):
        check_policy("keep", keep)


def test_a_policy_over_words_needs_their_order() -> None:
    with pytest.raises(RecipeError, match="source"):
        ranks(pl.DataFrame({"source": ["a"]}), (("source", "largest"),))
