"""dedup/confirm: the same as plain sets of shingles say, undone merges, kept templates, and one answer in any order."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from dedup_steps import answer, verdict_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_minhash import editions, judged_pairs, windows, words_of

from curation.dedup.confirm import WHOLE, Confirm, gather, least_shingles
from curation.dedup.minhash import Minhash
from curation.errors import RecipeError, RunStopped
from curation.text.simplify import simplify

SIMILARITY = "stat_cluster_similarity"


def clustered(texts: Sequence[str | None], clusters: Sequence[int], docs: Sequence[int] | None = None) -> pl.DataFrame:
    """Documents as Minhash(drop=False) leaves them: `clusters` holds the row of each document's survivor."""
    docs = docs or range(len(texts))
    sizes = np.bincount(clusters, minlength=len(texts))
    columns = {
        "doc": docs,
        "text": texts,
        "cluster_id": [docs[row] for row in clusters],
        "cluster_size": [int(sizes[row]) for row in clusters],
        SIMILARITY: [0.75 if sizes[row] > 1 else None for row in clusters],
    }
    kinds = {"doc": pl.UInt64, "text": pl.String, "cluster_id": pl.UInt64, "cluster_size": pl.Int32, SIMILARITY: pl.Float32}
    return pl.DataFrame(columns, schema=kinds)


def one_cluster(texts: Sequence[str | None]) -> pl.DataFrame:
    return clustered(texts, [0] * len(texts))


def plain_sets(texts: Sequence[str | None], ngram: int = 5) -> list[set[tuple[str, ...]]]:
    """The shingles of each text as words."""
    found = []
    for text in simplify(pl.Series(texts, dtype=pl.String)).to_series():
        words = text.split()
        found.append({tuple(words[i : i + ngram]) for i in range(max(1, len(words) - ngram + 1))} if words else set())
    return found


def plain_jaccard(a: set, b: set) -> Fraction:
    return Fraction(len(a & b), len(a | b)) if a | b else Fraction(0)


def plainly(table: pl.DataFrame, least: Fraction, ngram: int = 5, rounds: int = 64) -> dict[int, tuple[int, Fraction | None]]:
    """doc -> who it is kept for and their similarity, by plain sets; the longest text is the best, then the least doc."""
    sets = dict(zip(table["doc"].to_list(), plain_sets(table["text"].to_list(), ngram), strict=True))
    sizes = {doc: len((text or "").encode()) if text is not None else -1 for doc, text in table.select("doc", "text").rows()}
    found = {}
    for (survivor,), members in table.group_by("cluster_id"):
        left = sorted(members["doc"].to_list(), key=lambda doc: (doc != survivor, -sizes[doc], doc))
        budget = rounds * len(left)
        while left:
            best, *others = left
            found[best] = (best, None)
            alike = {doc: plain_jaccard(sets[best], sets[doc]) for doc in others} if budget > 0 else {}
            budget -= len(others)
            found.update({doc: (best, value) for doc, value in alike.items() if value >= least})
            left = [doc for doc in others if doc not in found]
    return found


def check_against_plain(table: pl.DataFrame, least: str, ngram: int = 5) -> pl.DataFrame:
    fields = {"from_size": 2, "tokenizer": "whitespace", "ngram": ngram, "partitions": 3, "most_shingles": 1 << 20}
    stage = Confirm(**fields, min_jaccard=float(least))
    expected = plainly(table, Fraction(least), ngram)
    made = answer(stage, [table])
    assert dict(made.select("doc", "cluster_id").rows()) == {doc: kept for doc, (kept, _) in expected.items()}
    sizes = made.group_by("cluster_id").len()
    assert dict(made.select("cluster_id", "cluster_size").unique().rows()) == dict(sizes.rows())
    gone = made["drop_reason"].is_not_null()
    assert (gone == (made["doc"] != made["cluster_id"])).all()
    for doc, value in verdict_of(stage, table).select("doc", "similarity").rows():
        wanted = expected[doc][1]
        assert value is None if wanted is None else value == pytest.approx(float(wanted), abs=1e-6)
    return made


# -- beside plain sets


@pytest.mark.parametrize("least", ["0.5", "0.7", "0.9"])
def test_as_plain_sets_say_on_judged_pages(data_folder: Path, least: str) -> None:
    pairs = judged_pairs(data_folder)
    texts = [side for pair in pairs for side in (pair["text_a"], pair["text_b"])]
    made = check_against_plain(clustered(texts, [row // 24 * 24 for row in range(len(texts))]), least)
    dropped = made["drop_reason"].is_not_null().sum()
    assert 20 < dropped < 200


def test_as_plain_sets_say_on_editions_of_a_book(data_folder: Path) -> None:
    texts = [text for edition in editions(data_folder) for text in edition[:500]]
    found = verdict_of(Minhash(min_jaccard=None, share_of=()), pl.DataFrame({"doc": range(len(texts)), "text": texts}))
    clusters = dict(found.select("doc", "kept").rows())
    table = clustered(texts, [clusters.get(row, row) for row in range(len(texts))])
    made = check_against_plain(table, "0.7")
    undone = made.filter(pl.col("cluster_id") != pl.Series(table["cluster_id"]))
    assert made["drop_reason"].is_not_null().sum() > 1500 and undone.height >= 1


WORDS = st.lists(st.sampled_from("abcde"), max_size=12).map(" ".join)
TEXTS = st.lists(st.one_of(st.none(), WORDS), min_size=1, max_size=30)


@settings(max_examples=150, deadline=None)
@given(texts=TEXTS, clusters=st.integers(1, 4), least=st.sampled_from(["0", "0.2", "0.5", "1"]))
def test_as_plain_sets_say_on_small_texts(texts: list[str | None], clusters: int, least: str) -> None:
    check_against_plain(clustered(texts, [row % clusters for row in range(len(texts))]), least, ngram=2)


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, seed=st.integers(0, 1000), partitions=st.integers(1, 9), from_size=st.integers(2, 8))
def test_order_shards_and_partitions_change_nothing(
    texts: list[str | None], seed: int, partitions: int, from_size: int
) -> None:
    drawn = random.Random(seed)
    docs = sorted(drawn.sample(range(1 << 40), len(texts)))
    table = clustered(texts, [min(row % 4, len(texts) - 1) for row in range(len(texts))], docs)
    fields = {"from_size": from_size, "ngram": 2, "min_jaccard": 0.4, "tokenizer": "whitespace"}
    expected = answer(Confirm(**fields, partitions=16), [table])
    cut = drawn.randrange(len(texts))
    shards = [part for part in (table[:cut], table[cut:]) if part.height]
    assert answer(Confirm(**fields, partitions=partitions), shards, seed=seed).equals(expected)


# -- clusters that fall apart, and such that do not


def similar_texts(seed: int, count: int, changed: int = 2, size: int = 200) -> list[str]:
    """Copies of one text with a few words changed, all of one length."""
    drawn, words = random.Random(seed), words_of(seed, size)
    copies = []
    for _ in range(count):
        copy = list(words)
        for place in drawn.sample(range(size), changed):
            copy[place] = "".join(drawn.choices("abcdefghijklmnop", k=6))
        copies.append(" ".join(copy))
    return copies


def test_a_false_merge_is_undone() -> None:
    kinds = [similar_texts(seed, 60) for seed in range(3)]
    texts = [text for same in zip(*kinds, strict=True) for text in same]
    made = answer(Confirm(), [one_cluster(texts)])
    assert made["cluster_id"].to_list() == [row % 3 for row in range(180)]
    assert made["cluster_size"].unique().to_list() == [60]
    assert made["drop_reason"].to_list() == [None] * 3 + ["near_duplicate"] * 177
    assert made["drop_detail"].drop_nulls().str.contains(r"^kept twin doc=[012], exact similarity 0\.\d+ >= 0\.7$").all()


def test_a_template_stays_one_cluster() -> None:
    template = " ".join(words_of(7, 300))
    texts = [f"{template} {' '.join(words_of(100 + i, 10))}" for i in range(200)]
    made = answer(Confirm(), [one_cluster(texts)])
    assert made["cluster_id"].unique().to_list() == [0] and made["cluster_size"].unique().to_list() == [200]
    assert made["drop_reason"].null_count() == 1


def test_nobody_in_a_drifting_chain_falls_for_one_it_is_not_like() -> None:
    texts = windows(3, count=120, step=8)
    found = verdict_of(Minhash(min_jaccard=None, share_of=()), pl.DataFrame({"doc": range(120), "text": texts}))
    assert found["kept"].unique().to_list() == [0] and found.height == 120  # one component
    made = answer(Confirm(tokenizer="whitespace"), [one_cluster(texts)])
    sets = plain_sets(texts)
    values = [plain_jaccard(sets[doc], sets[kept]) for doc, kept in made.select("doc", "cluster_id").rows()]
    assert min(values) >= Fraction("0.7")
    assert 10 <= made["drop_reason"].null_count() <= 40


def test_smaller_clusters_are_dropped_as_they_are() -> None:
    texts = [" ".join(words_of(i, 30)) for i in range(120)]
    clusters = [0] * 99 + [99] * 20 + [119]
    made = answer(Confirm(), [clustered(texts, clusters)])
    assert made["cluster_id"].to_list() == clusters
    assert made["drop_reason"].null_count() == 3
    assert made["drop_detail"][1] == "kept twin doc=0, estimated similarity 0.75"
    stage = Confirm()
    assert stage.sketch(clustered(texts, clusters).select("doc", *stage.sketch_reads))["shingles"].null_count() == 119


def test_a_lost_survivor_takes_nobody_along() -> None:
    small, large = similar_texts(1, 5), similar_texts(2, 120)
    longest = similar_texts(1, 6)[5] + " and more"
    table = clustered(["the survivor", *small, longest, "the other", *large], [0] * 7 + [7] * 121)
    alive = table.filter(~pl.col("doc").is_in([0, 7]))
    made = answer(Confirm(), [alive])
    assert made.filter(pl.col("drop_reason").is_null())["doc"].to_list() == [6, 8]
    assert made["cluster_size"].to_list() == [7] * 6 + [121] * 120  # as they were found
    assert made["drop_detail"][0] == "kept twin doc=6 for doc=0, which was dropped before"


def test_a_size_that_counts_exact_twins_is_kept_while_the_cluster_is() -> None:
    """Behind dedup/exact and Minhash(extend=True) a size is more than the members that are here."""
    texts = [*similar_texts(1, 3), "a text of its own, once", *similar_texts(2, 2), " ".join(words_of(9, 30))]
    table = clustered(texts, [0, 0, 0, 3, 4, 4, 4]).with_columns(pl.Series("cluster_size", [500] * 7, dtype=pl.Int32))
    made = answer(Confirm(), [table])
    assert made["cluster_id"].to_list() == [0, 0, 0, 3, 4, 4, 6]
    assert made["cluster_size"].to_list() == [500, 500, 500, 500, 2, 2, 1]


def test_the_survivor_stays_and_the_refused_follow_the_policy() -> None:
    texts = [" ".join(words_of(kind, 20)) for kind in (1, 1, 2, 2, 2)]
    table = one_cluster(texts).with_columns(source=pl.Series(["b", "a", "b", "b", "a"]))
    made = answer(Confirm(from_size=2, keep=(("source", ["a", "b"]),)), [table])
    assert made["cluster_id"].to_list() == [0, 0, 4, 4, 4]


def test_numbers_count_when_they_are_kept() -> None:
    texts = [" ".join(f"{word} {i * 1000 + place}" for place, word in enumerate(words_of(1, 40))) for i in range(100)]
    assert answer(Confirm(), [one_cluster(texts)])["drop_reason"].null_count() == 1
    assert answer(Confirm(numbers="keep"), [one_cluster(texts)])["drop_reason"].null_count() == 100


# -- long documents


def overlapping(drawn: np.random.Generator, size: int, shared: float) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of so many hashes, with that share of each in both."""
    both = int(size * shared)
    values = drawn.choice(1 << 32, size=2 * size - both, replace=False).astype(np.uint32)
    return values[:size], np.concatenate([values[:both], values[size:]])


def sampled_jaccard(sets: tuple[np.ndarray, np.ndarray], most: int) -> float:
    values, first, cutoff = least_shingles(np.concatenate(sets), np.cumsum([0, *map(len, sets)]), most)
    centre, similarity = np.arange(2), np.full(2, np.nan)
    gather(np.array([0, 2]), first[:-1], first[1:], cutoff.astype(np.int64), values, 0.0, 1, centre, similarity)
    return float(similarity[1])


@pytest.mark.parametrize("second", [1.0, 0.5])
def test_the_estimate_over_samples_has_no_bias(second: float) -> None:
    """Of equal sizes, and of a long document with the half of it that is in both."""
    drawn, most, errors = np.random.default_rng(1), 512, []
    for _ in range(200):
        one, other = overlapping(drawn, 3000, 0.8)
        other = other[: int(len(other) * second)]
        true = len(np.intersect1d(one, other)) / len(np.union1d(one, other))
        errors.append(sampled_jaccard((one, other), most) - true)
    deviation = math.sqrt(true * (1 - true) / most)
    assert abs(np.mean(errors)) < 4 * deviation / math.sqrt(200)
    assert 0.5 * deviation < np.std(errors) < 1.1 * deviation


def test_samples_are_compared_below_the_lesser_cutoff() -> None:
    drawn = np.random.default_rng(3)
    for _ in range(100):
        sets = tuple(drawn.choice(400, size=drawn.integers(80, 300), replace=False).astype(np.uint32) for _ in range(2))
        cutoff = min(sorted(values.tolist())[64] for values in sets)
        one, other = ({v for v in values.tolist() if v < cutoff} for values in sets)
        assert sampled_jaccard(sets, 64) == len(one & other) / len(one | other)


def test_a_set_is_complete_below_its_cutoff() -> None:
    drawn = np.random.default_rng(2)
    sets = [drawn.integers(0, 1 << 32, size=size, dtype=np.uint32) for size in (0, 1, 99, 100, 101, 5000)]
    sets[3][:50] = sets[3][50:]  # repeats count once
    values, first, cutoff = least_shingles(np.concatenate(sets), np.cumsum([0, *map(len, sets)]), 100)
    assert np.diff(first).tolist() == [0, 1, 99, 50, 100, 100]
    assert (cutoff == WHOLE).tolist() == [True, True, True, True, False, False]
    for i, whole in enumerate(sets):
        assert values[first[i] : first[i + 1]].tolist() == [v for v in np.unique(whole) if v < cutoff[i]]


def test_long_documents_are_compared_by_samples() -> None:
    drawn = random.Random(4)
    words = words_of(1, 20_000)
    alike = " ".join("other" if drawn.random() < 0.01 else word for word in words)
    unlike = " ".join("other" if drawn.random() < 0.2 else word for word in words)
    texts = [" ".join(words) + " the longest", alike, unlike, " ".join(words[:300])]
    stage = Confirm(from_size=2, most_shingles=1000, tokenizer="whitespace")
    made = answer(stage, [one_cluster(texts)])
    assert made["cluster_id"].to_list() == [0, 0, 2, 3]
    assert made["drop_detail"][1].startswith("kept twin doc=0, sampled similarity 0.9")
    sets = plain_sets(texts[:2])
    value = verdict_of(stage, one_cluster(texts))["similarity"][1]
    assert abs(value - float(plain_jaccard(*sets))) < 5 * math.sqrt(0.09 / 1000)
    sketch = stage.sketch(one_cluster(texts).select("doc", *stage.sketch_reads))
    assert sketch["shingles"].list.len().to_list() == [1000, 1000, 1000, 296]


def test_a_partition_beyond_its_memory_stops_before_it_is_matched() -> None:
    table = one_cluster([" ".join(words_of(i, 30)) for i in range(100)])
    with pytest.raises(RunStopped, match=r"100 documents of 2600 shingles(.|\n)*partitions=\d+(.|\n)*most_shingles"):
        verdict_of(Confirm(memory_gb=1e-5), table)


# -- hostile


def test_texts_of_one_thing() -> None:
    texts: list[str | None] = [unit * 1_000_000 for unit in ("a", "\n", "b ", "é", "中", "...")]
    texts += ["c " * 10_000_000, None, "", "b b b b b b"]
    made = answer(Confirm(from_size=2), [one_cluster(texts)])
    assert made.filter(pl.col("drop_reason").is_not_null())["doc"].to_list() == [9]
    assert made["cluster_id"][9] == 2


def test_a_cluster_of_all_kinds_costs_64_comparisons_a_member() -> None:
    """What is still refused then stays: here two copies that were never held against each other."""
    texts = [" ".join(words_of(i, 12 if i < 150 else 8)) for i in range(200)]
    texts += [texts[199], texts[0]]
    made = answer(Confirm(from_size=2), [one_cluster(texts)])
    assert made.filter(pl.col("drop_reason").is_not_null())["doc"].to_list() == [201]
    assert plainly(one_cluster(texts), Fraction("0.7"))[200][0] == 200
    assert plainly(one_cluster(texts), Fraction("0.7"), rounds=300)[200][0] == 199


@pytest.mark.parametrize(
    "fields",
    [{"from_size": 1}, {"from_size": 2.5}, {"min_jaccard": 1.1}, {"min_jaccard": -0.1}, {"keep": "longest"}, {"ngram": 0},
     {"numbers": "drop"}, {"most_shingles": 63}, {"memory_gb": 0}, {"partitions": 0}, {"tokenizer": "klingon"}],
)  # fmt: skip
def test_senseless_configuration(fields: dict) -> None:
    with pytest.raises(RecipeError, match=next(iter(fields))):
        Confirm(**fields)


def test_nothing_to_do() -> None:
    stage = Confirm()
    assert stage.settle([]).is_empty()
    alone = clustered(["one text", None], [0, 1])
    assert stage.sketch(alone.select("doc", *stage.sketch_reads)).is_empty()
    assert stage.apply(alone.select("doc", *stage.reads), stage.settle([])).rows() == [
        (0, 0, 1, None, None),
        (1, 1, 1, None, None),
    ]
