"""From stars to clusters: the documents of a component together, every member held against its survivor.

`gather` brings what is known of a document to one place: its sketch and ranks once, its edges, the label of its component
(labels.py). `Members` numbers documents of whole components in survivor order (ranks, then `doc`), so the least number of
a component is its survivor. Near-duplicates chain: A is like B, B like C, and A is nothing like Z. A member whose sketch is
not like the survivor's is refused, and the refused are gathered again around the best of them. Members of an index of
earlier corpora are the best of all, and survivors whatever they are like: nothing changes about them.

Source: ours; the second look after the leader algorithm (Hartigan, Clustering Algorithms, 1975). Decision 012 says why and
what it measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from curation.dedup.bands import INDEXED, SKETCH_BITS, differing, needed_bits
from curation.text.compiled import kernel

HEIR_STEPS = 64
"""Survivors a refused document is held against, beyond those its own edges lead to, before it becomes one itself."""

GATHER_BYTES = 180
"""Bytes a star takes at the peak of `gather`, reading and writing included (measured, with headroom)."""

MEMBER_BYTES = 480
"""Bytes a document takes at the peak of clustering, at three different edges or more (measured, with headroom)."""


def gather(stars: Iterable[pl.DataFrame], labels: Iterable[pl.DataFrame], names: Sequence[str]) -> pl.DataFrame:
    """`doc`, the columns `names`, `root` (the least document of its component) and `tos` (the documents its edges lead to,
    increasing) of every document of the stars, sorted by `doc`; `labels` hold those that are not their own root."""
    found = pl.concat(stars)
    docs, at = np.unique(found["doc"].to_numpy(), return_index=True)
    nodes = found.select("doc", *names)[at]
    tos = _lists(docs, found["doc"].to_numpy(), found["to"].to_numpy())
    del found, at
    root = docs.copy()
    for frame in labels:
        root[np.searchsorted(docs, frame["doc"].to_numpy())] = frame["root"].to_numpy()
    return nodes.with_columns(pl.Series("root", root), tos)


def _lists(docs: np.ndarray, doc: np.ndarray, to: np.ndarray) -> pl.Series:
    """For each of `docs` (increasing) the other documents its edges lead to, increasing."""
    order = np.lexsort((to, doc))
    doc, to = doc[order], to[order]
    new = np.append(True, (doc[1:] != doc[:-1]) | (to[1:] != to[:-1]))[: len(doc)] & (doc != to)
    ends = np.append(0, np.searchsorted(doc[new], docs, side="right"))
    return pl.Series("tos", pa.LargeListArray.from_arrays(ends, pa.array(to[new])))


class Members(NamedTuple):
    """Documents of whole components in survivor order: their columns; for each the number of its survivor-to-be `root`, the
    least number of its component (int64 [n]); edges, `child` to `to` (int64 [m], to < child), in order; and how many are
    members of an index, which are the first."""

    rows: pl.DataFrame
    root: np.ndarray
    child: np.ndarray
    to: np.ndarray
    indexed: int = 0

    @property
    def doc(self) -> np.ndarray:
        return self.rows["doc"].to_numpy()


def members(gathered: pl.DataFrame, rank_names: Sequence[str], indexed: bool = False) -> Members:
    """Members from what `gather` made, of all documents of the components that are there, in any order; `indexed`: members
    of an index may be among them."""
    doc = gathered["doc"].to_numpy()
    older_first = [doc < np.uint64(INDEXED)] if indexed else []
    order = np.lexsort([doc, *(gathered[name].to_numpy() for name in reversed(rank_names)), *older_first])
    older = int((doc >= np.uint64(INDEXED)).sum()) if indexed else 0
    rows = gathered.drop("tos")[order]
    _, least, of = np.unique(rows["root"].to_numpy(), return_index=True, return_inverse=True)
    lists = gathered["tos"].gather(order)
    child = np.repeat(np.arange(len(order)), lists.list.len().to_numpy())
    to = _numbers(rows["doc"].to_numpy(), lists.explode().drop_nulls().to_numpy())
    place = np.lexsort((to, child))
    return Members(rows, least[of], child, to[place], older)


def _numbers(doc: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted document stands in `doc`."""
    order = np.argsort(doc)
    return order[np.searchsorted(doc, wanted, sorter=order)]


@kernel
def hold_against(root, first_edge, to, low, high, allowed, steps, indexed, centre):
    """Writes into `centre` (integers [n]) the survivor each document ends with, best documents first; the first `indexed`
    are survivors without being held against any.

    A document is like another when at most `allowed` sketch bits differ. It is held against the survivor of its
    component, then those its edges lead to, then at most `steps` survivors that were refused before it, in the order
    in which they were; like none, it is a survivor. Work: edges + steps * documents.
    """
    n = root.size
    heir = np.full(n, -1, dtype=root.dtype)
    for d in range(n):
        best = root[d]
        centre[d] = d
        if best == d:
            continue
        if d >= indexed and differing(low[d], high[d], low[best], high[best]) <= allowed:
            centre[d] = best
            continue
        for e in range(first_edge[d], first_edge[d + 1]):
            near = centre[to[e]]
            if near != best and differing(low[d], high[d], low[near], high[near]) <= allowed:
                centre[d] = near
                break
        if centre[d] != d:
            continue
        last, taken = best, 0
        while heir[last] >= 0 and taken < steps:
            last = heir[last]
            taken += 1
            if d >= indexed and differing(low[d], high[d], low[last], high[last]) <= allowed:
                centre[d] = last
                break
        if centre[d] == d and heir[last] < 0:
            heir[last] = d


def clusters(found: Members, min_jaccard: float | None) -> np.ndarray:
    """The survivor of each document, as its number; whole components with `min_jaccard` None."""
    if min_jaccard is None:
        plain = found.root.copy()
        plain[: found.indexed] = np.arange(found.indexed)
        return plain
    first_edge = np.searchsorted(found.child, np.arange(len(found.root) + 1))
    centre = np.empty_like(found.root)
    low, high = found.rows["low"].to_numpy(), found.rows["high"].to_numpy()
    allowed = SKETCH_BITS - needed_bits(min_jaccard, SKETCH_BITS)
    hold_against(found.root, first_edge, found.to, low, high, allowed, HEIR_STEPS, found.indexed, centre)
    return centre


VERDICT = {"doc": pl.UInt64(), "kept": pl.UInt64(), "cluster_size": pl.Int32(), "similarity": pl.Float32()}


def verdict(found: Members, centre: np.ndarray) -> pl.DataFrame:
    """`doc`, `kept`, `cluster_size` and `similarity` (estimated, with the kept one) of every document of the run
    in a cluster of two or more, sorted by `doc`. A document counts as many as its column `weight` says, where it has one."""
    weight = found.rows["weight"].to_numpy().astype(np.float64) if "weight" in found.rows.columns else None
    size = np.bincount(centre, weight, minlength=len(centre))[centre] if len(centre) else np.zeros(0)
    alone = np.bincount(centre, minlength=len(centre))[centre] < 2 if len(centre) else np.zeros(0, dtype=bool)
    doc, low, high = found.doc, found.rows["low"].to_numpy(), found.rows["high"].to_numpy()
    some = found.indexed + np.flatnonzero(~alone[found.indexed :])
    some = some[np.argsort(doc[some])]
    kept = centre[some]
    unlike = np.bitwise_count(low[some] ^ low[kept]).astype(np.int64)
    unlike += np.bitwise_count(high[some] ^ high[kept])
    columns = [doc[some], doc[kept], size[some], 1 - unlike * (2 / SKETCH_BITS)]
    series = [pl.Series(name, values).cast(kind) for (name, kind), values in zip(VERDICT.items(), columns, strict=True)]
    return pl.DataFrame(series)
