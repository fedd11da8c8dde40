"""Gradient-boosted trees, walked by a kernel: the answer of a model that LightGBM trained, without LightGBM.

A row goes left where its value is at most the threshold. Values are float32, so a threshold rounded down to float32
decides every row as the trained float64 one does. Leaves are stored as they were trained, in float64.

Source: ours; the form of trees is LightGBM's `Booster.dump_model()` (Ke et al., NeurIPS 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from curation.text.compiled import kernel


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


def packed(trees: Trees) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `probabilities` walks: nodes int32 [n, 4] (column, key of the threshold, left, right), roots, leaves."""
    nodes = np.empty((len(trees.columns), 4), np.int32)
    nodes[:, 0], nodes[:, 1], nodes[:, 2:] = trees.columns, _keys_of(trees.thresholds), trees.children
    return nodes, trees.roots, trees.leaves


def _keys_of(values: np.ndarray) -> np.ndarray:
    """int32 numbers that are in order as the float32 `values` are; both zeros are one."""
    bits = (values + np.float32(0)).view(np.int32)
    return bits ^ (bits >> 31 & 0x7FFFFFFF)


@kernel
def probabilities(rows, nodes, roots, leaves):
    """float32 [n]: the logistic of the sum of the leaves each row (float32, contiguous, no NaN) falls into.

    Relies on every column of the nodes being one of `rows`. Tree by tree: one tree's nodes stay in the nearest cache, each
    in one line of it. Values are compared as whole numbers that are in the same order.
    """
    n, columns = rows.shape
    keys = np.empty((n, columns), np.int32)
    bits = rows.view(np.int32)
    for r in range(n):
        for c in range(columns):
            value = bits[r, c]
            if value == np.int32(-2147483648):  # minus zero
                value = np.int32(0)
            keys[r, c] = value ^ (value >> 31 & 0x7FFFFFFF)
    sums = np.zeros(n, np.float64)
    for root in roots:
        for r in range(n):
            node = root
            while node >= 0:
                side = 2 if keys[r, nodes[node, 0]] <= nodes[node, 1] else 3
                node = nodes[node, side]
            sums[r] += leaves[-1 - node]
    out = np.empty(n, np.float32)
    for r in range(n):
        out[r] = 1 / (1 + np.exp(-sums[r]))
    return out
