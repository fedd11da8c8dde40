"""Runs of neighbouring blocks that share an answer, and the part of the tree they hang in.

A page can hold hundreds of thousands of blocks and elements in a megabyte. Its numbers are made for runs of blocks, each in
the place of its first, and of the tree only the elements around those are needed for them.

Source: ours.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import kernel, leaf
from curation.text.html_blocks import BLOCK_COLUMNS, ELEMENT, END, LINK_BYTES, LINKS, PAGE_END
from curation.text.html_tree import CELL, CODE, ELEMENT_COLUMNS, ITEM, PARENT, ROW


@kernel
def groups_of(blocks, stride):
    """Runs of `stride` blocks (the last may be shorter), in the form of blocks: where the first begins and the last ends,
    with the links of all; the rest is the first's."""
    count = (len(blocks) + stride - 1) // stride
    groups = np.empty((count, BLOCK_COLUMNS), np.int32)
    for g in range(count):
        first = g * stride
        end = min(first + stride, len(blocks))
        for column in range(BLOCK_COLUMNS):
            groups[g, column] = blocks[first, column]
        groups[g, END] = blocks[end - 1, END]
        groups[g, PAGE_END] = blocks[end - 1, PAGE_END]
        for b in range(first + 1, end):
            groups[g, LINK_BYTES] += blocks[b, LINK_BYTES]
            groups[g, LINKS] += blocks[b, LINKS]
    return groups


@leaf
def _mark(elements, groups, held):
    """Set `held` (bool [e]) for the elements around the groups, and the root; how many there are."""
    held[0] = True
    count = 1
    for g in range(len(groups)):
        e = groups[g, ELEMENT]
        while not held[e]:
            held[e] = True
            count += 1
            e = elements[e, PARENT]
    return count


@kernel
def tree_of_groups(elements, signatures, groups):
    """(elements, signatures, groups) with the elements around the groups alone, in the same order, numbered anew."""
    held = np.zeros(len(elements), np.bool_)
    count = _mark(elements, groups, held)
    numbers = np.empty(len(elements), np.int32)  # of the elements that are held
    tree = np.empty((count, ELEMENT_COLUMNS), np.int32)
    names = np.empty(count, np.uint64)
    count = 0
    for e in range(len(elements)):
        if not held[e]:
            continue
        numbers[e] = count
        names[count] = signatures[e]
        for column in range(ELEMENT_COLUMNS):
            tree[count, column] = elements[e, column]
        for column in (PARENT, ROW, CELL, ITEM, CODE):
            if tree[count, column] >= 0:
                tree[count, column] = numbers[tree[count, column]]
        count += 1
    hung = groups.copy()
    for g in range(len(groups)):
        hung[g, ELEMENT] = numbers[groups[g, ELEMENT]]
    return tree, names, hung
