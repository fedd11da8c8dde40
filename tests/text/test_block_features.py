"""curation/text/block_measures, block_features and block_text: counts against plain Python, and what the text looks like."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from extractor_cases import HOSTILE_PAGES
from gold_sets import GOLD_SETS
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.extractors.main_content import Reading, chosen_text, read_page
from curation.text.block_features import FEATURES, SECOND_FEATURES
from curation.text.block_measures import (
    CALLS,
    CAPITALS,
    CHARS,
    COMMAS,
    DIGITS,
    ENDED,
    MEASURES,
    PLAIN,
    STOP_WORDS,
    STOPS,
    TITLED,
    WORDS,
    measure,
    title_words,
)
from curation.text.block_text import render
from curation.text.html_blocks import ELEMENT, END, LINK_BYTES, START
from curation.text.html_tree import DEPTH, PARENT, TAG_ID


def measured(text: str, title: str = "") -> np.ndarray:
    data, page = (np.frombuffer(t.encode() or b" ", np.uint8) for t in (text, title))
    page.flags.writeable = False
    row = np.empty(MEASURES, np.float32)
    measure(data, 0, len(text.encode()), title_words(page, 0, len(title.encode())), row)
    return row


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abzABZ019 ,.!?;:'\"|-\n", max_size=200))
def test_counts_of_ascii_text(text: str) -> None:
    row = measured(text)
    assert row[CHARS] == len(text)
    assert row[WORDS] == len(re.findall("[A-Za-z0-9]+", text))
    assert row[COMMAS] == text.count(",") and row[STOPS] == text.count(".") and row[CALLS] == len(re.findall("[!?]", text))
    assert row[DIGITS] == len(re.findall("[0-9]", text)) and row[CAPITALS] == len(re.findall("[A-Z]", text))
    last = text.rstrip()[-1:]
    assert row[ENDED] == (last in tuple(".!?:;\"'"))


@pytest.mark.parametrize(
    ("text", "words", "stops", "ended"),
    [
        ("Это было не так.", 4, 3, 1),
        ("Die Fähre kam, und alle stiegen ein!", 7, 2, 1),
        ("这是一个很长的句子。", 5, 0, 1),
        ("«Où est-il ?»", 3, 1, 1),
        ("Read more →", 2, 1, 0),
    ],
)
def test_counts_of_other_scripts(text: str, words: int, stops: int, ended: int) -> None:
    row = measured(text)
    assert (row[CHARS], row[ENDED]) == (len(text), ended)
    assert abs(row[WORDS] - words) <= 1 and abs(row[STOP_WORDS] - stops) <= 1


def test_words_of_the_title_are_found_whatever_their_case() -> None:
    row = measured("THE LATE FERRY leaves", "The late ferry | The Harbour Post")
    assert (row[TITLED], row[WORDS]) == (3, 4)
    assert measured("x " * 200, "y " * 200)[TITLED] == 0


def readings(data_folder, count: int) -> list[Reading]:  # type: ignore[no-untyped-def]
    pages = [page.page.encode("utf-8", "replace") for page in GOLD_SETS["scrapinghub"](data_folder)]
    found = [read_page(page) for page in random.Random(5).sample(pages, count)]
    return [reading for reading in found if reading is not None]


def column(name: str) -> int:
    return FEATURES.index(name)


def test_features_of_real_pages_against_plain_python(data_folder) -> None:  # type: ignore[no-untyped-def]
    for reading in readings(data_folder, 12):
        f, measures, elements, blocks = reading.features, reading.measures, reading.elements, reading.groups
        assert f.shape == (len(blocks), len(FEATURES)) and np.isfinite(f).all()
        size = blocks[:, END] - blocks[:, START]
        share = blocks[:, LINK_BYTES] / size
        assert np.allclose(f[:, column("link_share")], share, atol=1e-6)
        assert np.allclose(measures[:, PLAIN], measures[:, CHARS] * (1 - share), rtol=1e-5)
        assert np.allclose(
            f[:, column("at_char")], (np.cumsum(measures[:, CHARS]) - measures[:, CHARS]) / measures[:, CHARS].sum()
        )
        totals = np.zeros(len(elements))
        for block, chars in zip(blocks, measures[:, CHARS], strict=True):
            e = block[ELEMENT]
            while e >= 0:
                totals[e] += chars
                e = elements[e, PARENT]
        assert np.allclose(f[:, column("ancestor1_chars")], np.log1p(totals[blocks[:, ELEMENT]]), rtol=1e-5)
        for e in range(1, len(elements)):
            above = elements[e, PARENT]
            while above > 0 and totals[above] <= totals[e]:
                above = elements[above, PARENT]
            assert reading.wider[e] == above
        assert f[:, column("best_points")].max() == 1 and f[:, column("best_points")].min() >= 0
        top = f[:, column("own_points")] == 1  # the text of the container with most points
        assert top.any() and (f[top, column("up_to_shared")] <= 1).all() and not f[top, column("top_to_shared")].any()
        assert (f[:, column("tag")] == elements[blocks[:, ELEMENT], TAG_ID]).all()
        assert (f[:, column("depth")] == elements[blocks[:, ELEMENT], DEPTH]).all()


def test_second_features_against_plain_python(data_folder) -> None:  # type: ignore[no-untyped-def]
    for reading in readings(data_folder, 5):
        n = len(reading.groups)
        answers = np.random.default_rng(n).random(n, np.float32)
        f = reading.second(answers)
        assert f.shape == (n, len(SECOND_FEATURES)) and np.isfinite(f).all()
        padded = np.concatenate([np.full(4, -1), answers, np.full(4, -1)])
        for k in (-4, -1, 1, 4):
            assert np.allclose(f[:, SECOND_FEATURES.index(f"at{k:+d}")], padded[4 + k : 4 + k + n])
        weights = reading.measures[:, CHARS] + 1
        assert np.allclose(f[:, SECOND_FEATURES.index("page_mean")], (answers * weights).sum() / weights.sum(), rtol=1e-4)
        above = np.flatnonzero(answers > 0.5)
        between = (np.arange(n) >= above[0]) & (np.arange(n) <= above[-1])
        assert (f[:, SECOND_FEATURES.index("inside")] == between).all()


@pytest.mark.parametrize("name", HOSTILE_PAGES)
def test_features_of_hostile_pages_are_numbers(name: str) -> None:
    reading = read_page(HOSTILE_PAGES[name])
    if reading is not None:
        assert np.isfinite(reading.features).all()
        assert np.isfinite(reading.second(np.ones(len(reading.groups), np.float32))).all()


# ---- text


def rendered(page: str, **options: bool | str) -> str:
    """Everything on the page as text."""
    reading = read_page(page.encode())
    assert reading is not None
    return chosen_text(reading, np.ones(len(reading.groups), np.float32), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("page", "plain", "markdown"),
    [
        ("<h2>Head</h2><p>one<p>two", "Head\none\ntwo", "## Head\n\none\n\ntwo"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>d", "- a\n- b\n- c\nd", "- a\n  - b\n- c\n\nd"),
        ("<ul><li><p>a<p>b<li>c</ul>", "- a\nb\n- c", "- a\nb\n- c"),
        ("<table><tr><td>a<td>b<tr><td><td>c</table>", "a | b\n | c", "| a | b |\n| --- | --- |\n|  | c |"),
        ("<table><tr><td>a<br>b<td><p>c<p>d</table>e", "a b | c d\ne", "| a b | c d |\n| --- | --- |\n\ne"),
        ("x<pre>a\n  b</pre>y", "x\na\n  b\ny", "x\n\n```\na\n  b\n```\n\ny"),
        ("<pre><div>a</div><div>  b</div></pre>", "a\n  b", "```\na\n  b\n```"),
        ("<blockquote>q</blockquote>", "q", "> q"),
        ("a<br>b", "a\nb", "a\nb"),
        ("<pre>a</pre><pre>b</pre>", "a\nb", "```\na\n```\n\n```\nb\n```"),
    ],
)
def test_what_the_text_looks_like(page: str, plain: str, markdown: str) -> None:
    assert rendered(page) == plain
    assert rendered(page, markdown=True) == markdown


LONG = ("word " * 60).strip()


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (f"<tr><td>{LONG}<td>{LONG}", f"{LONG}\n{LONG}"),
        (f"<tr><td>menu<td>{LONG}<tr><td>foot", f"menu\n{LONG}\nfoot"),
        (f"<tr><td><td>{LONG}", LONG),
        ("<tr><td>a<td><table><tr><td>b<td>c</table><tr><td>d<td>e", "a\nb | c\nd\ne"),
        (f"<tr><td>a<td>{LONG}<tr><td>b<td>{LONG}", f"a | {LONG}\nb | {LONG}"),
        ("<thead><tr><td>a<td>b<tbody><tr><td>c<td>d", "a | b\nc | d"),
    ],
)
def test_rows_of_data_and_the_paragraphs_of_a_layout(table: str, text: str) -> None:
    assert rendered(f"<table>{table}</table>") == text


def test_rows_of_every_table() -> None:
    page = f"<table><tr><td>a<td><td>{LONG}<td></table><table><tr><td>b</table>c"
    assert rendered(page, tables="rows") == f"| a |  | {LONG} |  |\n| b |\nc"


_TAGS = st.sampled_from(
    [
        "<td>",
        "<tr>",
        "<table>",
        "</table>",
        "<li>",
        "<ul>",
        "</ul>",
        "<pre>",
        "</pre>",
        "<h1>",
        "<blockquote>",
        "<p>",
        "<div>",
        "<br>",
        "x",
        "yy",
        "zzz",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_TAGS, max_size=80), st.booleans(), st.booleans(), st.integers(0, 2**31))
def test_text_of_any_choice_of_blocks(pieces: list[str], markdown: bool, rows: bool, seed: int) -> None:
    """No byte is written beside the buffer, and the words kept come out in their order."""
    reading = read_page("\n".join(pieces).encode())
    if reading is None:
        return
    keep = np.random.default_rng(seed).integers(0, 2, len(reading.blocks)).astype(bool)
    data = render(reading.elements, reading.blocks, reading.text, keep, markdown, rows)
    text = data.tobytes().decode()
    kept = [bytes(reading.text[a:b]).decode() for (a, b), k in zip(reading.blocks[:, (START, END)], keep, strict=True) if k]
    assert re.findall("[xyz]+", text) == re.findall("[xyz]+", "\n".join(kept))


def test_code_and_formulas_follow_the_text_around_them() -> None:
    page = b"<p>one<pre>code</pre><p>two<p>$x^2$<p>three<pre>other</pre><p>it costs $5 or $6<p>so $f(x)$ is<nav>$f(x)$</nav>"
    reading = read_page(page)
    assert reading is not None
    for answers, wanted in (
        ([1, 0, 0, 0, 0, 0, 0, 0, 0], "one\ncode"),
        ([0, 0, 1, 0, 0, 0, 0, 0, 0], "code\ntwo\n$x^2$"),
        ([0, 0, 0, 0, 1, 0, 0, 0.2, 0.2], "$x^2$\nthree\nother\nso $f(x)$ is"),
    ):
        assert chosen_text(reading, np.array(answers, np.float32)) == wanted


def test_small_gaps_are_filled_unless_unlikely_or_frame() -> None:
    reading = read_page(b"<p>a<p>b<p>c<nav>d</nav><p>e<p><a href=x>f</a><p>g" + b"<p>h" * 6 + b"<p>i")
    assert reading is not None
    answers = np.array([1, 0.4, 0.1, 0.4, 1, 0.4, 1, *[0.4] * 6, 1], np.float32)
    assert chosen_text(reading, answers) == "a\nb\ne\ng\ni"
