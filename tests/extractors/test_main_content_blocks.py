"""The blocks of a page, kept and cut: reasons, places in the page, paths, and that they are what the stage does."""

from __future__ import annotations

import html
import random
import re
from pathlib import Path

import numpy as np
import pytest
from extractor_cases import GOOD_PAGE, HOSTILE_PAGES, golden_cases
from gold_sets import GOLD_SETS
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.extractors import MainContent
from curation.extractors.main_content import choice, read_page
from curation.extractors.main_content_blocks import MOST_PATH, Block, page_blocks, page_text
from curation.text.block_choice import (
    AS_NEIGHBOURS,
    BELOW,
    BELOW_BEST,
    BEST,
    BY_MODEL,
    COMMENTS_CUT,
    COMMENTS_KEPT,
    FORMULA,
    HEADLINE,
    IN_GAP,
    KEPT,
    REASONS,
)
from curation.text.html_blocks import PAGE_END, PAGE_START, page_array, segment
from curation.text.html_math import formula_places, tex_for_math

SENTENCE = b"A sentence of the page that is long enough to have fifteen words and more than that, as this one has. "


def reasons(page: bytes, answers: list[float], **options: object) -> list[int]:
    """What becomes of the blocks of a page for answers made up."""
    reading = read_page(page)
    assert reading is not None and len(reading.groups) == len(answers)
    return choice(reading, np.array(answers, np.float32), **options).tolist()  # type: ignore[arg-type]


def test_the_reasons_of_a_choice() -> None:
    assert reasons(b"<p>a<p>b", [0.6, 0.5]) == [BY_MODEL, BELOW]
    assert reasons(b"<p>a<p>b<p>c", [0.4, 0.25, 0.2]) == [BEST, BEST, BELOW_BEST]
    assert reasons(b"<p>a<p>b<nav>c</nav><p>d", [0.9, 0.4, 0.4, 0.9]) == [BY_MODEL, IN_GAP, BELOW, BY_MODEL]
    assert reasons(b"<p>a<pre>code</pre><p>b<p>c", [0.9, 0.1, 0.2, 0.1]) == [BY_MODEL, AS_NEIGHBOURS, BELOW, BELOW]
    assert reasons(b"<p>a<p>b$x$<p>c", [0.1, 0.2, 0.9]) == [BELOW, FORMULA, BY_MODEL]
    assert reasons(b"<p>a<p>b<pre>$x$</pre>", [0.9, 0.1, 0.6]) == [BY_MODEL, BELOW, BY_MODEL]


def test_the_reasons_of_headline_and_comments() -> None:
    page = b"<title>A good headline</title><h1>A good headline</h1><p>" + SENTENCE
    assert reasons(page, [0.1, 0.9]) == [HEADLINE, BY_MODEL]
    assert reasons(page, [0.1, 0.9], headline=False) == [BELOW, BY_MODEL]
    page = b"<p>" + SENTENCE * 3 + b"<div class=comments><p>" + SENTENCE + b"<p>" + SENTENCE + b"<form>reply</form></div>"
    assert reasons(page, [0.9, 0.8, 0.1, 0.1]) == [BY_MODEL, COMMENTS_CUT, BELOW, BELOW]
    assert reasons(page, [0.9, 0.8, 0.1, 0.1], comments=True) == [BY_MODEL, BY_MODEL, COMMENTS_KEPT, BELOW]


@pytest.fixture(scope="module")
def pages(data_folder: Path) -> list[bytes]:
    """Real pages, and those of the golden cases and of mathematics."""
    found = [
        page.page.encode("utf-8", "replace") for name in ("readability", "scrapinghub") for page in GOLD_SETS[name](data_folder)
    ]
    found = random.Random(3).sample(found, 120)
    found += [page.read_bytes() for page in sorted((data_folder / "math-html").rglob("*.html"))[:20]]
    return [*found, *(case["html"].encode() for case in golden_cases("main_content"))]


STAGES = (MainContent(), MainContent(threshold=0.1), MainContent(threshold=0.95), MainContent(comments=True, headline=False))


def test_reasons_say_what_the_answers_say(pages: list[bytes]) -> None:
    """Each reason against its rule, from the answers alone."""
    seen = set()
    for page in pages:
        for stage in STAGES:
            blocks = page_blocks(page, stage)
            threshold = np.float32(stage.threshold)
            best = max((block.answer for block in blocks), default=0)
            for block in blocks:
                code = next(code for code, words in REASONS.items() if words == block.reason)
                seen.add(code)
                assert block.kept == (code >= KEPT)
                assert (code != BY_MODEL) or block.answer > threshold
                assert (code not in (AS_NEIGHBOURS, FORMULA, BELOW, BELOW_BEST, BEST)) or block.answer <= threshold
                assert (code not in (BEST, BELOW_BEST)) or best <= threshold
                assert (code != COMMENTS_KEPT) or stage.comments
                assert (code != HEADLINE) or stage.headline
    assert seen >= {BY_MODEL, BEST, BELOW, BELOW_BEST, COMMENTS_KEPT, HEADLINE, IN_GAP, AS_NEIGHBOURS}


def words_of(text: str) -> list[str]:
    """The words of a text without the marks of tables and lists."""
    return [word for word in text.split() if word not in ("|", "-")]


def test_the_blocks_kept_are_the_text_of_the_stage(pages: list[bytes]) -> None:
    for page in pages:
        for stage in STAGES:
            text = page_text(page, stage)
            kept = [block.text for block in page_blocks(page, stage) if block.kept]
            assert words_of(" ".join(kept)) == words_of(text)


def said_in(page: bytes, block: Block) -> str:
    """What the bytes of a block say when they are read alone."""
    _, _, _, text, _, _ = segment(page_array(bytes(tex_for_math(page[block.start : block.end]))))
    return " ".join(text.tobytes().decode("utf-8", "replace").split())


def test_the_bytes_of_a_block_say_its_text(pages: list[bytes]) -> None:
    checked = 0
    for page in pages:
        last = 0
        for block in page_blocks(page, MainContent()):
            assert last <= block.start < block.end <= len(page)
            last = block.end
            assert said_in(page, block) == " ".join(block.text.split())
            checked += 1
    assert checked > 10_000


_WORD = st.text(st.sampled_from("abcXYZé字 &<>$"), min_size=1, max_size=12).map(lambda text: html.escape(text))
_FORMULA = st.sampled_from(
    [
        "<math><mi>x</mi><mo>=</mo><mn>2</mn></math>",
        "<math display='block'><mi>y</mi></math>",
        "<math></math>",
        '<span class="katex-html"><b>x</b></span>',
        "<script type='math/tex'>a_1</script>",
    ]
)
_TAG = st.sampled_from(
    ["<p>", "<b>", "</b>", "<div class='a b'>", "</div>", "<li>", "<br>", "<br><br>", "<!-- c -->", "<pre>", "</pre>"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_WORD | _FORMULA | _TAG, max_size=40).map("".join))
def test_places_reach_over_formulas(page: str) -> None:
    """Blocks lie one behind the other, cut no formula in two, and outside of formulas they say what the page says there."""
    data = page.encode()
    spans = [(start, end) for start, end, _ in formula_places(data)]
    last = 0
    for block in page_blocks(data, MainContent()):
        assert last <= block.start < block.end <= len(data)
        last = block.end
        for start, end in spans:
            assert not (start < block.start < end or start < block.end < end)
        if not any(block.start < end and start < block.end for start, end in spans):
            assert said_in(data, block).replace(" ", "") == re.sub(r"\s", "", block.text)


@pytest.mark.parametrize(
    "page", ["", "a", "<math><mi>x</mi></math>", "a<math><mi>x</mi></math><math></math>b<math>c</math>d", "<math>x"]
)
def test_places_of_formulas(page: str) -> None:
    """What stands between the formulas stands so in the page that is read too."""
    data, read = page.encode(), bytes(tex_for_math(page.encode()))
    at = behind = 0
    for start, end, size in formula_places(data):
        assert start >= behind and data[start:].startswith(b"<math") and data[:end].endswith(b"</math>")
        assert read[at : at + start - behind] == data[behind:start]
        at, behind = at + start - behind + size, end
    assert read[at:] == data[behind:]
    assert len(formula_places(data)) == page.count("</math>")


def test_places_in_a_page_without_formulas_are_the_segmenters() -> None:
    _, _, blocks, _, _, _ = segment(page_array(GOOD_PAGE))
    assert [[block.start, block.end] for block in page_blocks(GOOD_PAGE, MainContent())] == blocks[
        :, (PAGE_START, PAGE_END)
    ].tolist()


@pytest.mark.parametrize(
    ("page", "paths"),
    [
        (b"text", ["body"]),
        (b"<html><body class=x><main><p>a</p></main>b", ["body > main > p", "body"]),
        (b"<div data-class=no class='x y'>z", ["body > div.x.y"]),
        (b"<div CLASS='a  b\nc d'><P id=class class=q>x", ["body > div.a.b.c > p.q"]),
        (b"<div title='a > class=no' class=yes>x", ["body > div.yes"]),
        (b"<div data-class=no>x<div class>y<div class=''>z", ["body > div", "body > div > div", "body > div > div > div"]),
        (b"<X-Card class=k><unclosed>x", ["body > x-card.k"]),
        (b"<p class=" + b"n" * 100 + b">x", ["body > p." + "n" * 39 + "…"]),
        (b"<p class='never closed>x", ["body > p"]),
        (b"<math><mi>x</mi></math><ul class=u><li>a", ["body", "body > ul.u > li"]),
        (b"<div>" * 50 + b"x", ["body > … > " + " > ".join(["div"] * (MOST_PATH - 1))]),
    ],
)
def test_paths(page: bytes, paths: list[str]) -> None:
    assert [block.path for block in page_blocks(page, MainContent())] == paths


@pytest.mark.parametrize("name", HOSTILE_PAGES)
def test_hostile_pages(name: str) -> None:
    page = HOSTILE_PAGES[name]
    blocks = page_blocks(page, MainContent())
    assert all(0 <= block.start < block.end <= len(page) for block in blocks)
    assert all(len(block.path) < 2_000 for block in blocks)


def test_a_page_without_text_has_no_blocks() -> None:
    assert page_blocks(b"<title>x</title><p> </p>", MainContent()) == [] and page_text(b"<p> </p>", MainContent()) == ""


def test_neighbours_that_share_an_answer_share_a_reason() -> None:
    page = b"<title>x</title><article>" + b"<p>One of very many sentences, all alike, that a page may hold.</p>" * 3000
    reading = read_page(page)
    assert reading is not None and reading.stride > 1
    blocks = page_blocks(page, MainContent())
    assert len(blocks) == 3000 and len({block.answer for block in blocks[: reading.stride]}) == 1
    assert len({block.reason for block in blocks[: reading.stride]}) == 1
