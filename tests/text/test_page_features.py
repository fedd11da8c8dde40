"""curation/text/page_features: numbers against plain Python, and finite on whatever page."""

from __future__ import annotations

import numpy as np
import pytest
from extractor_cases import GOOD_PAGE, HOSTILE_PAGES

from curation.extractors.main_content import read_page
from curation.extractors.page_kinds import structure_of
from curation.text.block_measures import CHARS, WORDS
from curation.text.html_blocks import ELEMENT, IMAGES
from curation.text.html_names import FLAGS, TAG
from curation.text.html_tree import FLAG_BITS, TAG_ID
from curation.text.page_features import LONG, LONGER, PAGE_FEATURES


def numbers(page: bytes) -> dict[str, float]:
    reading = read_page(page)
    assert reading is not None
    return dict(zip(PAGE_FEATURES, structure_of(reading).tolist(), strict=True))


_SENTENCE = "One of the sentences that a page may hold, with as many words as it takes to be long."
_PAGE = (
    f"<article><h1>A heading</h1><p>{_SENTENCE}</p><p>{_SENTENCE * 4}</p><img src=a><button>Buy at $5 or €4 or £3</button>"
    "<pre>code</pre></article><ul><li>one</li><li><a href=x>two: three</a></li></ul>"
).encode()


def test_numbers_of_a_page_by_hand() -> None:
    found = numbers(_PAGE)
    reading = read_page(_PAGE)
    assert reading is not None
    chars, words = reading.measures[:, CHARS], reading.measures[:, WORDS]
    elements = reading.elements[reading.groups[:, ELEMENT]]
    n = len(reading.groups)
    assert found["blocks"] == pytest.approx(np.log1p(n)) and n == 7
    assert found["block_words"] == pytest.approx(words.sum() / n)
    assert found["long_share"] == pytest.approx((words >= LONG).sum() / n) and (words >= LONG).sum() == 2
    assert found["longer"] == pytest.approx(np.log1p((words >= LONGER).sum())) and (words >= LONGER).sum() == 1
    assert found["ended_words"] == pytest.approx(words[1:3].sum() / words.sum())
    assert found["images"] == pytest.approx(np.log1p(reading.groups[:, IMAGES].sum())) and reading.groups[:, IMAGES].sum() == 1
    assert found["prices"] == pytest.approx(np.log1p(3))
    assert found["block_prices"] == pytest.approx(3 / n)
    assert found["longest"] == pytest.approx(np.log1p(chars.max()))
    assert found["count_p"] == pytest.approx(np.log1p(2)) and found["count_pre"] == pytest.approx(np.log1p(1))
    assert found["in_p"] == pytest.approx(chars[elements[:, TAG_ID] == TAG["p"]].sum() / chars.sum())
    for name in ("article", "button", "heading", "pre", "list"):
        inside = elements[:, FLAG_BITS] >> FLAGS.index(name) & 1
        assert found[f"flag_{name}"] == pytest.approx((chars * inside).sum() / chars.sum()) and found[f"flag_{name}"] > 0


def test_hostile_pages_have_finite_numbers() -> None:
    for name, page in (HOSTILE_PAGES | {"good": GOOD_PAGE}).items():
        reading = read_page(page)
        if reading is not None:
            row = structure_of(reading)
            assert row.dtype == np.float32 and row.shape == (len(PAGE_FEATURES),) and np.isfinite(row).all(), name


def test_shares_are_shares() -> None:
    found = numbers(GOOD_PAGE)
    for name, value in found.items():
        if name.startswith(("in_", "flag_", "kind_")) or name in ("ended_words", "longer_words", "long_share"):
            assert 0 <= value <= 1 + 1e-5, name
