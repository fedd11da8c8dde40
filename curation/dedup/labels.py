"""Connected components: a label for every document that has a like one, the least document of its component.

In one place: union-find in a hash table from documents to parents, edges streaming by; nothing else is resident.

Where the documents are too many for one place: rounds of stars over a partitioned table of edges. In a large star every
neighbour greater than a document is hung on the least document around it, in a small star every neighbour that is less;
rounds go on until they change nothing. Both give the same labels.

Source: union-find after Tarjan (JACM 1975) with path halving; alternating stars after Kiveris et al., "Connected Components
in MapReduce and Beyond" (SoCC 2014), algorithm 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from curation.text.compiled import kernel, leaf

LABEL_BYTES = 90
"""Bytes a document takes at the peak of `Components`, its labels included (measured, with headroom)."""

ROUND_BYTES = 200
"""Bytes an edge takes at the peak of a round (measured, with headroom)."""

EDGES = {"doc": pl.UInt64(), "to": pl.UInt64()}
LABELS = {"doc": pl.UInt64(), "root": pl.UInt64(), "partition": pl.UInt32()}

_LEAST_SLOTS = 1 << 12
_FULLEST = 0.7
_EMPTY = -1


def spread(docs: np.ndarray, slices: int) -> pl.Series:
    """Column `partition` (uint32 < slices): which slice each document lies in, evenly, whatever the numbers."""
    return pl.Series("partition", (mixed_all(docs) % np.uint64(slices)).astype(np.uint32))


@leaf
def mixed(x):
    """A uint64 with its bits mixed: a bijection, the finaliser of splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def mixed_all(values):
    """`mixed` of every value (uint64 [n])."""
    out = np.empty_like(values)
    for i in range(values.size):
        out[i] = mixed(values[i])
    return out


@leaf
def find_slot(key, keys, parent):
    """The slot of a key: its own, or the empty one where it belongs. Slots are a power of two, some always empty."""
    last = np.uint64(keys.size - 1)
    slot = mixed(key) & last
    while parent[slot] != -1 and keys[slot] != key:
        slot = (slot + np.uint64(1)) & last
    return np.int64(slot)


@leaf
def find_root(parent, x):
    """The root of x; every other slot on the way is hung on its grandparent."""
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@kernel
def unite(doc, to, begin, keys, parent, room):
    """Takes in the edges doc[i] to[i] from number `begin` on, until there is no room for two more documents. The root of a
    component is its least document. Returns the number of the first edge left, and the room left."""
    for i in range(begin, doc.size):
        if room < 2:
            return i, room
        a, b = find_slot(doc[i], keys, parent), np.int64(0)
        if parent[a] == -1:
            keys[a], parent[a] = doc[i], a
            room -= 1
        b = find_slot(to[i], keys, parent)
        if parent[b] == -1:
            keys[b], parent[b] = to[i], b
            room -= 1
        a, b = find_root(parent, a), find_root(parent, b)
        if keys[a] < keys[b]:
            parent[b] = a
        elif keys[b] < keys[a]:
            parent[a] = b
    return doc.size, room


@kernel
def move(keys, parent, new_keys, new_parent):
    """Hangs every document of one table on its root in another, empty and larger."""
    for slot in range(keys.size):
        if parent[slot] == -1:
            continue
        root = find_root(parent, slot)
        new_root = find_slot(keys[root], new_keys, new_parent)
        new_keys[new_root], new_parent[new_root] = keys[root], new_root
        if slot != root:
            new = find_slot(keys[slot], new_keys, new_parent)
            new_keys[new], new_parent[new] = keys[slot], new_root


@kernel
def roots_of(keys, parent, docs, roots):
    """Writes every document that is not a root, and its root; returns how many those are."""
    n = 0
    for slot in range(keys.size):
        if parent[slot] != -1 and parent[slot] != slot:
            docs[n], roots[n] = keys[slot], keys[find_root(parent, slot)]
            n += 1
    return n


class Components:
    """Union-find over documents that come as edges, in any order. Linear in the edges; see LABEL_BYTES."""

    def __init__(self) -> None:
        self._resize(_LEAST_SLOTS)
        self._used = 0

    def _resize(self, slots: int) -> None:
        self._keys = np.zeros(slots, dtype=np.uint64)
        self._parent = np.full(slots, _EMPTY, dtype=np.int32 if slots <= 1 << 31 else np.int64)

    def add(self, doc: np.ndarray, to: np.ndarray) -> None:
        """Edges between documents, uint64 [m] each."""
        begin = 0
        while begin < len(doc):
            most = int(len(self._keys) * _FULLEST)
            begin, room = unite(doc, to, begin, self._keys, self._parent, most - self._used)
            self._used = most - room
            if begin < len(doc):
                keys, parent = self._keys, self._parent
                self._resize(2 * len(keys))
                move(keys, parent, self._keys, self._parent)

    def labels(self, slices: int) -> pl.DataFrame:
        """`doc` and `root` of every document that is not itself the least of its component, and its slice."""
        docs, roots = np.empty(self._used, dtype=np.uint64), np.empty(self._used, dtype=np.uint64)
        n = roots_of(self._keys, self._parent, docs, roots)
        order = np.argsort(docs[:n])
        docs, roots = docs[order], roots[order]
        return pl.DataFrame({"doc": docs, "root": roots}).with_columns(spread(docs, slices)).match_to_schema(LABELS)


def both_ways(edges: pl.DataFrame, slices: int) -> pl.DataFrame:
    """Every edge twice, once in the slice of each of its ends, which is then `doc`; each pair once."""
    doc, to = edges["doc"].to_numpy(), edges["to"].to_numpy()
    return _frame(np.append(doc, to), np.append(to, doc), slices)


def large_star(edges: pl.DataFrame, slices: int) -> pl.DataFrame:
    """Edges from each neighbour greater than a document to the least document around it, in the slice of the neighbour."""
    doc, to, least = _with_least(edges)
    hung = to > doc
    return _frame(to[hung], np.minimum(least, doc)[hung], slices)


def small_star(edges: pl.DataFrame) -> pl.DataFrame:
    """Edges from a document and its lesser neighbours to the least of those; `edges` lead from greater to lesser."""
    doc, to, least = _with_least(edges)
    return _frame(np.append(doc, to), np.append(least, least), 1).drop("partition")


def _frame(doc: np.ndarray, to: np.ndarray, slices: int) -> pl.DataFrame:
    """Edges between different documents, each once, by `doc` and `to`, and the slice of `doc`."""
    doc, to = _sorted_pairs(doc, to)
    apart = doc != to
    doc, to = doc[apart], to[apart]
    return pl.DataFrame({"doc": doc, "to": to}, schema=EDGES).with_columns(spread(doc, slices))


def _with_least(edges: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The edges, sorted, and for each the least document its `doc` has an edge to."""
    doc, to = _sorted_pairs(edges["doc"].to_numpy(), edges["to"].to_numpy())
    starts = np.flatnonzero(np.append(True, doc[1:] != doc[:-1])[: len(doc)])
    return doc, to, np.repeat(to[starts], np.diff(np.append(starts, len(doc))))


def _sorted_pairs(doc: np.ndarray, to: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs by `doc` and `to`, each once."""
    order = np.lexsort((to, doc))
    doc, to = doc[order], to[order]
    new = np.append(True, (doc[1:] != doc[:-1]) | (to[1:] != to[:-1]))[: len(doc)]
    return doc[new], to[new]


def edge_digest(edges: pl.DataFrame) -> int:
    """A number for a set of edges that depends on no order: the sum of their mixed bits, modulo 2**64."""
    both = mixed_all(edges["doc"].to_numpy()) ^ mixed_all(~edges["to"].to_numpy())
    return int(mixed_all(both).sum(dtype=np.uint64)) if len(both) else 0


def to_the_lesser(labels: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """`doc` and `root` from labels, or from the edges of the last round, of which those count that lead to the lesser."""
    for frame in labels:
        rows = frame if "root" in frame.columns else frame.rename({"to": "root"})
        yield rows.filter(pl.col("root") < pl.col("doc")).select("doc", "root")
