"""curation/text/page_declarations: the names found are those that plain searches find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from extractor_cases import HOSTILE_PAGES
from gold_sets import GOLD_SETS
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.html_blocks import page_array
from curation.text.page_declarations import DECLARATIONS, MOST_COUNTED, NAMES, OPEN_GRAPH, SHORTEST, declarations

_ALL_NAMES = [name for line in NAMES.values() for name in line.split()]


def found(page: bytes) -> dict[str, int]:
    """What is declared, and how often."""
    return {name: int(n) for name, n in zip(DECLARATIONS, declarations(page_array(page)), strict=True) if n}


def plainly(page: bytes) -> dict[str, int]:
    """The same by searching for each name, og:type left out."""
    low = page.lower()
    counts = {}
    for column, line in NAMES.items():
        hits = sum(low.startswith(name.encode(), at) for name in line.split() for at in _places(low, name.encode()))
        if hits:
            counts[column] = min(hits, MOST_COUNTED)
    return counts


def _places(page: bytes, name: bytes) -> list[int]:
    places, at = [], page.find(name)
    while at >= 0:
        places.append(at)
        at = page.find(name, at + 1)
    return places


def without_open_graph(counts: dict[str, int]) -> dict[str, int]:
    return {name: n for name, n in counts.items() if name not in OPEN_GRAPH}


_pieces = st.one_of(
    st.sampled_from(_ALL_NAMES), st.sampled_from(_ALL_NAMES).map(str.upper), st.sampled_from(_ALL_NAMES).map(lambda n: n[1:]),
    st.text(alphabet='"/<>=aeiodrst:-_ ', max_size=12),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(_pieces, max_size=30))
def test_finds_what_plain_searches_find(pieces: list[str]) -> None:
    page = "".join(pieces).encode()
    assert without_open_graph(found(page)) == plainly(page)


def test_finds_what_plain_searches_find_on_real_pages(data_folder: Path) -> None:
    for page in GOLD_SETS["readability"](data_folder):
        data = page.page.encode("utf-8", "replace")
        assert without_open_graph(found(data)) == plainly(data), page.name


@pytest.mark.parametrize("size", range(12))
@pytest.mark.parametrize("name", ['"qapage"', "/qapage", 'itemlist"'])
def test_a_name_at_every_place_of_a_short_page(name: str, size: int) -> None:
    for before in range(size + 1):
        page = (b"x" * before + name.encode() + b"x" * (size - before))[: len(name) + size]
        assert sum(found(page).values()) == 1, page


def test_pages_shorter_than_any_name() -> None:
    for size in range(SHORTEST):
        assert found(b'"qapage"'[:size]) == {}


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ('<meta property="og:type" content="article">', "og_article"),
        ("<meta content='website' property='og:type'/>", "og_website"),
        ('<META PROPERTY="OG:TYPE" CONTENT="Product.item">', "og_product"),
        ("<meta property=og:type content=article>", "og_article"),
        ('<meta property="og:type" content="profile">', None),
        ('<meta property="og:type"><meta name="x" content="article">', None),
        ('<meta property="og:type" content="article', "og_article"),
    ],
)
def test_the_type_of_open_graph(tag: str, kind: str | None) -> None:
    assert [name for name in found(tag.encode()) if name in OPEN_GRAPH] == ([kind] if kind else [])


def test_counts_are_bounded_and_hostile_pages_end() -> None:
    pages = [*HOSTILE_PAGES.values(), b"og:type" * 150_000, b'"' * 1_000_000, b"og:type=art" * 100_000, b"discourse" * 100_000]
    for page in pages:
        counts = declarations(page_array(page))
        assert counts.dtype == np.float32 and counts.min() >= 0 and counts.max() <= MOST_COUNTED


def test_names_are_of_the_form_the_search_relies_on() -> None:
    assert all(len(name) >= SHORTEST and name == name.lower() for name in _ALL_NAMES)
    assert len(set(_ALL_NAMES)) == len(_ALL_NAMES)
