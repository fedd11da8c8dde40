"""Gradient-boosted trees, answered by a kernel: the answer of a model that LightGBM trained, without LightGBM.

A row goes left where its value is at most the threshold. Values are float32, so a threshold rounded down to float32
decides every row as the trained float64 one does. Leaves are stored as they were trained, in float64.

Source: ours; the form of trees is LightGBM's `Booster.dump_model()` (Ke et al., NeurIPS 2017), leaves are found by masks as in
QuickScorer (Lucchese et al., SIGIR 2015) and its vectorised form (SIGIR 2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from curation.text.compiled import kernel, leaf

MOST_LEAVES = 32
"""Of a tree: they are the bits of a number."""
LANES, FEW_LANES = 64, 32
"""Rows answered at once, which the compiler makes vectors of; the fewer where no more are left."""
_ALL = np.uint32(0xFFFFFFFF)
# The product of a power of two with this number has, for each of the 32, other highest five bits.
_DE_BRUIJN = np.uint32(0x077CB531)


class Trees(NamedTuple):
    """Inner nodes of all trees one after the other: `columns` int16, `thresholds` float32, `children` int32 [n, 2] (left,
    right; below 0: leaf -1 - i). `roots` int32 [trees]: a node, or a leaf where a tree is one. `leaves` float64."""

    columns: np.ndarray
    thresholds: np.ndarray
    children: np.ndarray
    roots: np.ndarray
    leaves: np.ndarray


def float32_below(value: float) -> np.float32:
    """The largest float32 that is at most `value`."""
    nearest = np.float32(value)
    return np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > value else nearest


def from_dump(dump: Mapping[str, Any]) -> Trees:
    """The trees of a dumped LightGBM model. Raises ValueError for splits that are not `<=` on numbers."""
    columns: list[int] = []
    thresholds: list[np.float32] = []
    children: list[list[int]] = []
    leaves: list[float] = []

    def enter(root: Mapping[str, Any]) -> int:
        """Depth first with a stack of (node, parent, side)."""
        first = 0
        waiting: list[tuple[Mapping[str, Any], int, int]] = [(root, -1, 0)]
        while waiting:
            node, parent, side = waiting.pop()
            if "leaf_value" in node and "split_feature" not in node:
                number = -1 - len(leaves)
                leaves.append(node["leaf_value"])
            else:
                if node["decision_type"] != "<=":
                    raise ValueError(f"a split {node['decision_type']!r}; wanted: <=")
                number = len(columns)
                columns.append(node["split_feature"])
                thresholds.append(float32_below(node["threshold"]))
                children.append([0, 0])
                waiting += [(node["right_child"], number, 1), (node["left_child"], number, 0)]
            if parent < 0:
                first = number
            else:
                children[parent][side] = number
        return first

    roots = [enter(tree["tree_structure"]) for tree in dump["tree_info"]]
    return Trees(
        np.array(columns, np.int16),
        np.array(thresholds, np.float32),
        np.array(children, np.int32).reshape(-1, 2),
        np.array(roots, np.int32),
        np.array(leaves, np.float64),
    )


class PackedTrees(NamedTuple):
    """What `probabilities` reads. Of each inner node its column (int32), threshold (float32) and the leaves (bits of uint32,
    from the left) that are still possible on its right; tree t has the nodes firsts[t]:firsts[t + 1] (int32). `leaves`
    float64 [trees, MOST_LEAVES], each in the place `_place` gives for its bit."""

    columns: np.ndarray
    thresholds: np.ndarray
    masks: np.ndarray
    firsts: np.ndarray
    leaves: np.ndarray


def packed(trees: Trees) -> PackedTrees:
    """Relies on the order of `from_dump`: nodes before those below, leaves from the left. Raises ValueError for trees of more
    than MOST_LEAVES leaves."""
    count = len(trees.roots)
    firsts = np.full(count + 1, len(trees.columns), np.int32)
    for t in range(count - 1, -1, -1):
        firsts[t] = trees.roots[t] if trees.roots[t] >= 0 else firsts[t + 1]
    sizes = np.diff(firsts) + 1
    if count and sizes.max() > MOST_LEAVES:
        raise ValueError(f"a tree of {sizes.max()} leaves; wanted: at most {MOST_LEAVES}")
    masks = np.zeros(len(trees.columns), np.uint32)
    leaves = np.zeros((count, MOST_LEAVES))
    first_leaf = 0
    for t, size in enumerate(sizes.tolist()):
        bits = (np.uint32(1) << np.arange(size)).astype(np.uint32)
        leaves[t, bits * _DE_BRUIJN >> np.uint32(27)] = trees.leaves[first_leaf : first_leaf + size]
        below = np.zeros(size - 1, np.uint32)
        for node in range(size - 2, -1, -1):
            sides = [below[child - firsts[t]] if child >= 0 else bits[-1 - child - first_leaf]
                     for child in trees.children[firsts[t] + node].tolist()]  # fmt: skip
            masks[firsts[t] + node] = ~sides[0]
            below[node] = sides[0] | sides[1]
        first_leaf += size
    return PackedTrees(trees.columns.astype(np.int32), trees.thresholds, masks, firsts, leaves)


@leaf
def _reach(reached, values, columns, thresholds, masks, first, end):
    """Bits of the leaves of a tree that each lane's row can reach; the lowest is the one it falls into."""
    lanes = len(reached)
    for lane in range(lanes):
        reached[lane] = _ALL
    for node in range(first, end):
        value = values[columns[node]]
        threshold, mask = thresholds[node], masks[node]
        for lane in range(lanes):
            reached[lane] &= _ALL if value[lane] <= threshold else mask


@leaf
def _add_leaves(sums, reached, places, leaves):
    for lane in range(len(reached)):
        lowest = reached[lane] & (~reached[lane] + np.uint32(1))
        places[lane] = np.uint32(lowest * _DE_BRUIJN) >> np.uint32(27)
    for lane in range(len(reached)):
        sums[lane] += leaves[np.uint64(places[lane])]


@kernel
def probabilities(rows, columns, thresholds, masks, firsts, leaves):
    """float32 [n]: the logistic of the sum of the leaves each row (float32, contiguous, no NaN) falls into.

    Relies on every column of the nodes being one of `rows`. Every node of a tree is looked at for LANES rows at once, without
    a branch: several times as fast as a walk from the root for each row. Sums are made tree by tree.
    """
    n, width = rows.shape
    out = np.empty(n, np.float32)
    values = np.zeros((width, LANES), np.float32)
    all_reached, places = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
    sums = np.empty(LANES, np.float64)
    for start in range(0, n, LANES):
        count = min(LANES, n - start)
        reached = all_reached[: LANES if count > FEW_LANES else FEW_LANES]
        for lane in range(count):
            for column in range(width):
                values[column, lane] = rows[start + lane, column]
        sums[:] = 0
        for t in range(len(firsts) - 1):
            _reach(reached, values, columns, thresholds, masks, firsts[t], firsts[t + 1])
            _add_leaves(sums, reached, places, leaves[t])
        for lane in range(count):
            out[start + lane] = 1 / (1 + np.exp(-sums[lane]))
    return out


@kernel
def probability(row, columns, thresholds, children, roots, leaves):
    """As `probabilities`, of one row (float32 [columns]) and by walks from the roots: for `Trees` as they are."""
    total = 0.0
    for root in roots:
        node = np.int64(root)
        while node >= 0:
            node = np.int64(children[node, 0 if row[columns[node]] <= thresholds[node] else 1])
        total += leaves[-1 - node]
    return 1 / (1 + np.exp(-total))
