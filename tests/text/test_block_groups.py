"""curation/text/block_groups: what is left out of a tree changes no number, and groups are the sums of their blocks."""

from __future__ import annotations

import random

import numpy as np
import pytest
from extractor_cases import HOSTILE_PAGES
from gold_sets import GOLD_SETS
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.block_features import features, second_features
from curation.text.block_groups import groups_of, tree_of_groups
from curation.text.html_blocks import (
    BREAKS,
    ELEMENT,
    END,
    LINK_BYTES,
    LINKS,
    PAGE_END,
    PAGE_START,
    START,
    page_array,
    segment,
)
from curation.text.html_names import TAG_NAMES
from curation.text.html_tree import DEPTH, MOST_DEPTH, PARENT, TAG_ID


def check_tree(page: bytes, stride: int) -> int:
    """Compare the numbers of both stages with and without the elements left out; how many those are."""
    data = page_array(page)
    elements, signatures, blocks, text, *title = segment(data)
    if not len(blocks):
        return 0
    groups = groups_of(blocks, stride)
    tree, names, hung = tree_of_groups(elements, signatures, groups)
    assert (tree[1:, PARENT] < np.arange(1, len(tree))).all() and (tree[1:, PARENT] >= 0).all()
    some = slice(None, None, len(groups) // 30 + 1)
    assert [path(tree, e) for e in hung[some, ELEMENT]] == [path(elements, e) for e in groups[some, ELEMENT]]
    whole, measures, wider = features(data, elements, signatures, groups, text, *title)
    found, same_measures, tree_wider = features(data, tree, names, hung, text, *title)
    assert np.array_equal(whole, found) and np.array_equal(measures, same_measures)
    answers = np.random.default_rng(len(blocks)).random(len(groups), np.float32)
    assert np.array_equal(
        second_features(elements, wider, groups, measures, answers), second_features(tree, tree_wider, hung, measures, answers)
    )
    return len(elements) - len(tree)


def path(elements: np.ndarray, e: int) -> tuple[int, ...]:
    tags = []
    while e >= 0:
        tags.append(int(elements[e, TAG_ID]))
        e = elements[e, PARENT]
    return tuple(tags)


@pytest.mark.parametrize("stride", [1, 3])
def test_numbers_of_real_pages(data_folder, stride: int) -> None:  # type: ignore[no-untyped-def]
    pages = [page.page.encode("utf-8", "replace") for page in GOLD_SETS["readability"](data_folder)]
    assert sum(check_tree(page, stride) for page in random.Random(3).sample(pages, 20)) > 1000


@pytest.mark.parametrize("name", HOSTILE_PAGES)
def test_numbers_of_hostile_pages(name: str) -> None:
    check_tree(HOSTILE_PAGES[name], 2)


_PIECES = st.sampled_from(
    [f"<{end}{name}>" for name in TAG_NAMES[1:60] for end in ("", "/")] + ["x", "some words, of a page."] * 20
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_PIECES, max_size=80), st.integers(1, 4))
def test_numbers_of_any_pieces(pieces: list[str], stride: int) -> None:
    check_tree("".join(pieces).encode(), stride)


def test_groups_are_the_sums_of_their_blocks() -> None:
    page = b"".join(b"<p>%d<a href=x>%s</a><br>y" % (i, b"z" * (i % 5)) for i in range(20)) + b"<p>last"
    blocks = segment(page_array(page))[2]
    for stride in (1, 2, 7, 20, 21, 30):
        groups = groups_of(blocks, stride)
        for group, first in zip(groups, range(0, len(blocks), stride), strict=True):
            run = blocks[first : first + stride]
            assert (group[[START, PAGE_START, ELEMENT, BREAKS]] == run[0][[START, PAGE_START, ELEMENT, BREAKS]]).all()
            assert (group[[END, PAGE_END]] == run[-1][[END, PAGE_END]]).all()
            assert (group[[LINK_BYTES, LINKS]] == run[:, [LINK_BYTES, LINKS]].sum(0)).all()


@pytest.mark.parametrize("unit", [b"<div>x ", b"<ul><li>a", b"<table><tr><td>a", b"<pre>x", b"<blockquote><div class=nav>a"])
def test_trees_are_512_deep_at_most_and_no_text_is_lost(unit: bytes) -> None:
    page = unit * 3000 + b"</div>" * 4000 + b"<p>behind"
    elements, _, blocks, text, *_ = segment(page_array(page))
    assert elements[:, DEPTH].max() == MOST_DEPTH and len(blocks) == 3001
    assert text[blocks[-1, START] : blocks[-1, END]].tobytes() == b"behind"
    assert check_tree(page, 3) > 0
