"""dedup/labels: components in one place and in rounds, against scipy and each other."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup.labels import (
    Components,
    both_ways,
    edge_digest,
    large_star,
    mixed_all,
    small_star,
    spread,
    to_the_lesser,
)

Edges = tuple[np.ndarray, np.ndarray]


def in_one_place(edges: Edges, slices: int = 3, pieces: int = 1) -> dict[int, int]:
    components = Components()
    for piece in np.array_split(np.arange(len(edges[0])), pieces):
        components.add(edges[0][piece], edges[1][piece])
    found = components.labels(slices)
    assert found["doc"].is_sorted() and found["doc"].is_unique().all()
    assert found["partition"].equals(spread(found["doc"].to_numpy(), slices))
    return dict(found.select("doc", "root").rows())


def in_rounds(edges: Edges, slices: int) -> tuple[dict[int, int], int]:
    """Labels from alternating stars over slices, and the rounds it took."""
    found = pl.DataFrame({"doc": edges[0], "to": edges[1]}, schema={"doc": pl.UInt64, "to": pl.UInt64})
    digest = edge_digest(found)
    made = [both_ways(found, slices)]

    def sliced(tables: list[pl.DataFrame], number: int) -> pl.DataFrame:
        return pl.concat(table.filter(pl.col("partition") == number).drop("partition") for table in tables)

    for rounds in range(1, 100):
        large = [large_star(sliced(made, n), slices) for n in range(slices)]
        small = [small_star(sliced(large, n)) for n in range(slices)]
        made = [both_ways(table, slices) for table in small]
        before, digest = digest, sum(edge_digest(table) for table in small) % (1 << 64)
        if digest == before:
            labels = pl.concat(to_the_lesser(sliced(made, n) for n in range(slices)))
            assert labels["doc"].is_unique().all()
            return dict(labels.rows()), rounds
    raise AssertionError("no end")


def drawn(seed: int, n: int, per_document: float) -> Edges:
    random = np.random.default_rng(seed)
    docs = mixed_all(np.arange(n, dtype=np.uint64))  # documents' numbers are anywhere
    pairs = random.integers(0, n, size=(2, int(n * per_document)))
    return docs[pairs[0]], docs[pairs[1]]


@pytest.mark.parametrize("seed", range(6))
def test_components_are_those_of_scipy(seed: int) -> None:
    sparse = pytest.importorskip("scipy.sparse", reason="the oracle is scipy")
    from scipy.sparse.csgraph import connected_components

    n = (1, 10, 5_000, 50_000, 100_000, 200_000)[seed]
    doc, to = drawn(seed, n, (0, 0.3, 0.5, 0.5, 1, 3)[seed])
    found = in_one_place((doc, to), pieces=5)
    docs, places = np.unique(np.concatenate([doc, to]), return_inverse=True)
    child, parent = np.split(places, 2)
    graph = sparse.coo_matrix((np.ones(len(child), dtype=np.int8), (child, parent)), shape=(len(docs), len(docs)))
    count, label = connected_components(graph, directed=False)
    least = np.full(count, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(least, label, docs)
    expected = {d: r for d, r in zip(docs.tolist(), least[label].tolist(), strict=True) if d != r}
    assert found == expected
    if n <= 5_000:
        assert in_rounds((doc, to), slices=7)[0] == expected


@pytest.mark.parametrize("order", ["up", "down", "shuffled"])
def test_a_path_and_a_star_of_a_million(order: str) -> None:
    n = 1_000_000
    child, to = np.arange(1, n, dtype=np.uint64), np.arange(n - 1, dtype=np.uint64)
    turn = {"up": slice(None), "down": slice(None, None, -1), "shuffled": np.random.default_rng(1).permutation(n - 1)}[order]
    for ends in (to, np.zeros(n - 1, dtype=np.uint64)):
        found = in_one_place((child[turn].copy(), ends[turn].copy()))
        assert len(found) == n - 1 and set(found.values()) == {0}


def test_rounds_are_few_on_a_long_path() -> None:
    n = 20_000
    docs = mixed_all(np.arange(n, dtype=np.uint64))
    labels, rounds = in_rounds((docs[1:], docs[:-1]), slices=5)
    assert labels == in_one_place((docs[1:], docs[:-1])) and len(labels) == n - 1
    assert rounds <= 16, "about the logarithm of the length: labels that spread to neighbours would need 20,000"


@settings(max_examples=100, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60), slices=st.integers(1, 5))
def test_rounds_say_what_one_place_says(pairs: list[tuple[int, int]], slices: int) -> None:
    ends = np.array(pairs, dtype=np.uint64).reshape(-1, 2)
    edges = ends[:, 0].copy(), ends[:, 1].copy()
    expected = in_one_place(edges, slices)
    assert in_rounds(edges, slices)[0] == expected
    assert all(root < doc for doc, root in expected.items())


def test_documents_at_both_ends_of_their_range() -> None:
    ends = np.array([2**64 - 1, 1, 2**63], dtype=np.uint64), np.array([0, 2**63, 2**64 - 1], dtype=np.uint64)
    assert in_one_place(ends) == {1: 0, 2**63: 0, 2**64 - 1: 0} == in_rounds(ends, 2)[0]


def test_no_edges() -> None:
    none = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint64)
    assert in_one_place(none) == {} == in_rounds(none, 2)[0]
