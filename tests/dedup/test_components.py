"""dedup/components: documents gathered in any order, whole components clustered, and what is refused gathered again."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup.components import Members, clusters, gather, members, verdict
from curation.dedup.labels import Components


def labels_of(doc: list[int], to: list[int]) -> pl.DataFrame:
    components = Components()
    components.add(np.array(doc, dtype=np.uint64), np.array(to, dtype=np.uint64))
    return components.labels(1)


def numbered(low: list[int], edges: list[tuple[int, int]]) -> Members:
    """Documents 0, 1, ... with the given sketches (lower halves) and edges (child, to)."""
    docs = list(range(len(low)))
    rows = [(doc, doc) for doc in docs] + sorted(set(edges))
    doc, to = ([row[i] for row in rows] for i in range(2))
    sketch = np.array([low[d] for d in doc], dtype=np.uint64)
    stars = pl.DataFrame({"doc": doc, "to": to}).cast(pl.UInt64).with_columns(low=sketch, high=np.zeros_like(sketch))
    return members(gather([stars], [labels_of(doc, to)], ("low", "high")), ())


def stars_of(rows: list[tuple[int, int]]) -> pl.DataFrame:
    """Stars with the sketch and rank that belong to each document."""
    doc = np.array([r[0] for r in rows], dtype=np.uint64)
    to = np.array([r[1] for r in rows], dtype=np.uint64)
    return pl.DataFrame({"doc": doc, "to": to, "low": doc * 3, "high": doc * 5, "rank_0": 100 - doc})


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.lists(st.integers(0, 60), min_size=2, max_size=8, unique=True), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
)
def test_gathering_does_not_depend_on_order(groups: list[list[int]], order) -> None:
    parts = [stars_of([(doc, max(group)) for doc in group]) for group in groups]
    edges = {(doc, max(group)) for group in groups for doc in group if doc != max(group)}
    labels = labels_of([e[0] for e in edges], [e[1] for e in edges])
    names = ("low", "high", "rank_0")
    expected = gather(parts, [labels], names)
    order.shuffle(parts)
    assert gather(parts, [labels], names).equals(expected)
    docs = sorted({doc for group in groups for doc in group}, reverse=True)
    assert expected["doc"].to_list() == docs[::-1]
    found = members(expected.sample(fraction=1, shuffle=True, seed=3), ("rank_0",))
    assert found.doc.tolist() == docs, "the best rank (the largest doc here) comes first"
    assert found.rows["low"].to_list() == [3 * doc for doc in docs]
    assert {(int(found.doc[c]), int(found.doc[t])) for c, t in zip(found.child, found.to, strict=True)} == edges
    assert len(edges) == len(found.child) and (found.to < found.child).all()
    neighbours = {doc: {max(group) for group in groups if doc in group} for doc in docs}
    for number, root in enumerate(found.root.tolist()):
        assert root <= number and all(found.root[docs.index(near)] == root for near in neighbours[docs[number]])


def test_docs_at_both_ends_of_their_range() -> None:
    rows = pl.DataFrame({"doc": [0, 2**64 - 1], "to": [0, 0], "low": [0, 0], "high": [0, 0]}).cast(pl.UInt64)
    found = members(gather([rows], [labels_of([2**64 - 1], [0])], ("low", "high")), ())
    assert verdict(found, clusters(found, 0.5)).rows() == [(0, 0, 2, 1.0), (2**64 - 1, 0, 2, 1.0)]


def test_a_document_counts_as_many_as_it_stands_for() -> None:
    found = numbered([0, 0, bits((0, 40))], [(1, 0), (2, 0)])
    weighed = found._replace(rows=found.rows.with_columns(weight=pl.Series([5, 2, 7], dtype=pl.UInt64)))
    assert verdict(weighed, clusters(weighed, 0.9)).select("doc", "kept", "cluster_size").rows() == [(0, 0, 7), (1, 0, 7)]


def bits(*ranges: tuple[int, int]) -> int:
    return sum(((1 << (end - start)) - 1) << start for start, end in ranges)


def test_a_chain_is_split_where_it_leaves_its_survivor() -> None:
    """Each link differs by 8 bits (similarity 0.875); the survivor is left behind after three links at 0.55."""
    chain = [bits((0, 8 * i)) for i in range(8)]
    links = numbered(chain, [(i, i - 1) for i in range(1, 8)])
    assert clusters(links, None).tolist() == [0] * 8
    assert clusters(links, 0.55).tolist() == [0, 0, 0, 0, 4, 4, 4, 4]
    shared = verdict(links, clusters(links, 0.55))
    assert shared["kept"].to_list() == [0] * 4 + [4] * 4 and shared["cluster_size"].to_list() == [4] * 8
    assert shared["similarity"].min() >= 0.55


def test_members_that_only_a_third_connects_are_one_cluster() -> None:
    """2 leads to 0 and to 1, which share no bucket but are alike: the component brings them together."""
    assert clusters(numbered([0, bits((0, 4)), bits((0, 2))], [(2, 0), (2, 1)]), 0.55).tolist() == [0, 0, 0]


def test_the_refused_find_each_other() -> None:
    """A hub that is like everything, and two kinds of leaves that are like nothing of the other kind."""
    kinds = [0, bits((0, 20)), bits((40, 60)), bits((0, 18)), bits((40, 58)), bits((0, 20), (40, 60))]
    edges = [(i, 0) for i in range(1, 6)]
    found = clusters(numbered(kinds, edges), 0.8)
    assert found.tolist() == [0, 1, 2, 1, 2, 5]


def test_many_unlike_members_take_linear_time() -> None:
    """A hub whose 200,000 leaves are like nothing: held against a bounded number of survivors each."""
    n = 200_000
    random = np.random.default_rng(3)
    low, high = random.integers(0, 1 << 63, size=(2, n), dtype=np.uint64)
    rows = pl.DataFrame({"doc": np.arange(n, dtype=np.uint64), "low": low, "high": high})
    hub = Members(rows, np.zeros(n, dtype=np.int64), np.arange(1, n), np.zeros(n - 1, dtype=np.int64))
    centre = clusters(hub, 0.9)
    assert np.array_equal(centre, np.arange(n))


@settings(max_examples=100, deadline=None)
@given(
    kinds=st.lists(st.integers(0, 2**20 - 1), min_size=1, max_size=30),
    data=st.data(),
    least=st.sampled_from([0.55, 0.8, 0.95]),
)
def test_every_member_is_like_its_survivor(kinds: list[int], data, least: float) -> None:
    edges = data.draw(st.lists(st.integers(1, len(kinds) - 1), max_size=40)) if len(kinds) > 1 else []
    touched = numbered(kinds, [(c, data.draw(st.integers(0, c - 1))) for c in edges])
    centre, plain = clusters(touched, least), clusters(touched, None)
    for member, survivor in enumerate(centre.tolist()):
        assert survivor <= member and centre[survivor] == survivor
        assert plain[survivor] == plain[member], "splitting never joins two components"
        assert 1 - (kinds[member] ^ kinds[survivor]).bit_count() / 64 >= least or survivor == member
    for member in np.flatnonzero(plain != np.arange(len(kinds))):
        if 1 - (kinds[member] ^ kinds[plain[member]]).bit_count() / 64 >= least:
            assert centre[member] == plain[member], "who is like the component's survivor is in its cluster"
