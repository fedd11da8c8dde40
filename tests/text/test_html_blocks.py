"""curation/text/html_blocks: blocks, the tree, entities, and that no page crashes it or makes it slow."""

from __future__ import annotations

import html
import random
import re
from html.entities import html5

import numpy as np
import pytest
from extractor_cases import HOSTILE_PAGES
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.html_blocks import (
    BLOCK_COLUMNS,
    BREAKS,
    ELEMENT,
    END,
    GAP,
    IMAGES,
    LINK_BYTES,
    LINKS,
    PAGE_END,
    PAGE_START,
    START,
    page_array,
    segment,
)
from curation.text.html_names import HIDDEN, KINDS, NAV, STOP_BYTES, STOP_FOUND, STOP_KEYS, TAG, TAG_NAMES, fnv, look_up
from curation.text.html_tree import CELL, CODE, ELEMENT_COLUMNS, FLAG_BITS, ITEM, KIND_BITS, PARENT, PLACE, ROW, TAG_ID


def blocks_of(page: str | bytes) -> list[str]:
    """Texts of a page's blocks."""
    _, _, blocks, text, _, _ = segment(page_array(page.encode() if isinstance(page, str) else page))
    return [text[a:b].tobytes().decode("utf-8", "replace") for a, b in blocks[:, (START, END)]]


def tags_of(page: str) -> list[str]:
    """For each block the names of the elements around it, outermost first."""
    elements, _, blocks, _, _, _ = segment(page_array(page.encode()))
    paths = []
    for block in blocks:
        path, e = [], block[ELEMENT]
        while e > 0:
            path.append(TAG_NAMES[elements[e, TAG_ID]])
            e = elements[e, PARENT]
        paths.append(" ".join(reversed(path)))
    return paths


@pytest.mark.parametrize(
    ("page", "blocks"),
    [
        ("", []),
        ("   \n", []),
        ("plain", ["plain"]),
        ("<p>one<p>two", ["one", "two"]),
        ("<p>in <b>line</b>s</p>", ["in lines"]),
        ("<p> white \n\t space&nbsp;&#160;&#x20; ends </p>", ["white space ends"]),
        ("<p>one<br>line<br><br>two", ["one\nline", "two"]),
        ("<p>one<br>  <br>two", ["one", "two"]),
        ("one<hr>two", ["one", "two"]),
        ("a < b & c <3", ["a < b & c <3"]),
        ("a<!-- x > y -->b<!bogus>c<?php d ?>e", ["abce"]),
        ("a<!-->b", ["ab"]),
        ("a<!-- never closed> b", ["a b"]),
        ("x<script>if (a < b) { '<p>' }</script>y<style>p {}</style>z", ["xyz"]),
        ("x<SCRIPT>a</Script >y", ["xy"]),
        ("x<script>never closed", ["x"]),
        ("x<svg><text>no</text></svg>y<svg/>z", ["xyz"]),
        ("x<select><option>no</select>y", ["xy"]),
        ("x<object>never closed", ["xnever closed"]),
        ("<title>no</title>yes", ["yes"]),
        ("<p title='a > b' class=\"x\" data-y=z>yes", ["yes"]),
        ("<a href='>'>yes</a>", ["yes"]),
        ("<p class='never closed>yes", ["yes"]),
        ("<pre>\n  a\n\n    b  \n</pre>", ["  a\n\n    b"]),
        ("<pre>a<br>b<b>c</b></pre> d  e", ["a\nbc", "d e"]),
        ("<x-card>one</x-card>two<span>three</span>", ["one", "twothree"]),
        ("<table><tr><td>1<td>2<tr><td>3</table>", ["1", "2", "3"]),
        ("<h1>Head</h2>text", ["Head", "text"]),
        ("</p></div></nothing>text</", ["text</"]),
        ("日本\u3000語", ["日本\u3000語"]),
        ("nul\0byte", ["nul byte"]),
    ],
)
def test_blocks(page: str, blocks: list[str]) -> None:
    assert blocks_of(page) == blocks


@pytest.mark.parametrize(
    ("page", "paths"),
    [
        ("<ul><li>a<li>b<ul><li>c</ul>d</ul>e", ["ul li", "ul li", "ul li ul li", "ul li", ""]),
        ("<p>a<div>b</div>", ["p", "div"]),
        ("<div><p>a</div>b", ["div p", ""]),
        ("<table><tr><td>a<table><tr><td>b</table>c<td>d</table>e", [
            "table tr td", "table tr td table tr td", "table tr td", "table tr td", ""]),
        ("<div><table><tr><td>a</div>b</table>c", ["div table tr td", "div table tr td", "div"]),
        ("<dl><dt>a<dd>b<dt>c</dl>", ["dl dt", "dl dd", "dl dt"]),
        ("<table><thead><tr><th>a<tbody><tr><td>b</table>", ["table thead tr th", "table tbody tr td"]),
        ("<section><article>a</section>b", ["section article", ""]),
        ("<html><head></head><body class=x><main>a</main></body></html>b", ["main", ""]),
    ],
)  # fmt: skip
def test_tree(page: str, paths: list[str]) -> None:
    assert tags_of(page) == paths


def test_what_is_seen_on_the_way() -> None:
    page = b"<nav class=x><a href=/>ab</a> cd <a name=q>ef</a></nav><img><img><p>x<br>y</p><div><div><p style='display: none'>z"
    elements, _, blocks, _, _, _ = segment(page_array(page))
    first, second, third = blocks
    assert (first[LINK_BYTES], first[LINKS]) == (2, 1)
    assert (second[BREAKS], second[IMAGES], second[LINK_BYTES]) == (1, 2, 0)
    assert third[GAP] == 4  # an end of p, starts of two div and a p
    assert elements[first[ELEMENT], FLAG_BITS] & NAV and elements[third[ELEMENT], FLAG_BITS] & HIDDEN
    assert page[second[PAGE_START] : second[PAGE_END]] == b"x<br>y"


def test_places_in_the_page() -> None:
    page = b"<h1>ab</h1> <pre><br>\ncd <b>e</b></pre><p>&amp;<!-- > -->f&nbsp;</p>"
    elements, _, blocks, _, _, _ = segment(page_array(page))
    assert [page[block[PAGE_START] : block[PAGE_END]] for block in blocks] == [b"ab", b"<br>\ncd <b>e", b"&amp;<!-- > -->f"]
    assert [page[place : place + 3] for place in elements[1:, PLACE]] == [b"<h1", b"<pr", b"<p>"]


def test_kinds_of_class_names_are_inherited() -> None:
    elements, _, blocks, _, _, _ = segment(page_array(b"<div id=commentList><div class='post-body_7'><p>a</div></div><p>b"))
    inner, outer = (elements[block[ELEMENT], KIND_BITS] for block in blocks)
    assert [name for i, name in enumerate(KINDS) if inner >> i & 1] == ["comment", "content"]
    assert outer == 0


def test_places_of_cells_items_and_code() -> None:
    page = b"<table><tr><td><ul><li>a</ul><td><pre>b<div>c</div></pre></table>d"
    elements, _, blocks, _, _, _ = segment(page_array(page))
    a, b, c, d = (elements[block[ELEMENT]] for block in blocks)
    assert a[ROW] == b[ROW] == c[ROW] > 0 and a[CELL] != b[CELL] == c[CELL]
    assert a[ITEM] > 0 and b[ITEM] == -1 and b[CODE] == c[CODE] > 0 and a[CODE] == -1
    assert tuple(d[[ROW, CELL, ITEM, CODE]]) == (-1, -1, -1, -1)


def test_signatures_tell_tag_and_class_but_not_numbers() -> None:
    _, signatures, _, _, _, _ = segment(page_array(b"<p class='a1'>x<p class=a2>x<p class=b>x<div class=a>x"))
    assert signatures[1] == signatures[2]
    assert len({*signatures[1:].tolist()}) == 3


def test_every_entity_reads_as_the_standard_library_reads_it() -> None:
    names = sorted(html5) + ["#65", "#65;", "#x41;", "#X41", "#128;", "#x9f;", "#0;", "#xD800;", "#99999999999;", "#1114112;",
                             "#;", "#x;", "nothing;", "ampx", "notit;", "copyx", "", ";"]  # fmt: skip
    for name in names:
        page = f"[&{name}]"
        wanted = re.sub("[\x00-\x20\u00a0]+", " ", html.unescape(page))
        assert "".join(blocks_of(page)) == wanted, name


def test_stop_words_are_found() -> None:
    assert all(look_up(STOP_KEYS, STOP_FOUND, np.uint64(fnv(word.encode()))) for word in ("the", "und", "και", "и"))
    assert not look_up(STOP_KEYS, STOP_FOUND, np.uint64(fnv(b"harbour")))
    assert max(len(word.encode()) for word in ("είναι", "только")) <= STOP_BYTES


def check_invariants(page: bytes) -> None:
    """What every other kernel relies on."""
    elements, signatures, blocks, text, title_start, title_end = segment(page_array(page))
    assert elements.shape[1] == ELEMENT_COLUMNS and blocks.shape[1] == BLOCK_COLUMNS and len(signatures) == len(elements)
    order = np.arange(len(elements))
    assert (elements[1:, PARENT] < order[1:]).all() and (elements[1:, PARENT] >= 0).all()
    assert (elements[:, TAG_ID] > 0).all() and (elements[:, TAG_ID] < len(TAG_NAMES)).all()
    for column in (ROW, CELL, ITEM, CODE):
        assert (elements[:, column] <= order).all()
    assert 0 <= title_start <= title_end <= len(page)
    if len(blocks):
        assert (blocks[:, START] < blocks[:, END]).all() and (blocks[1:, START] >= blocks[:-1, END]).all()
        assert blocks[-1, END] <= len(text)
        assert ((blocks[:, ELEMENT] >= 0) & (blocks[:, ELEMENT] < len(elements))).all()
        assert (blocks[:, LINK_BYTES] >= 0).all() and (blocks[:, LINK_BYTES] <= blocks[:, END] - blocks[:, START]).all()
        assert (blocks[:, PAGE_START] <= blocks[:, PAGE_END]).all() and (blocks[:, PAGE_END] <= len(page)).all()


@pytest.mark.parametrize("name", HOSTILE_PAGES)
def test_hostile_pages(name: str) -> None:
    check_invariants(HOSTILE_PAGES[name])


_PIECES = st.sampled_from(
    ["<", ">", "</", "<!--", "-->", "&", ";", "&amp", "&#", "&#x41", "'", '"', "=", "/", " ", "\n", "a", "é", "中", "\u00a0",
     "\0", *(f"<{name}>" for name in TAG if name), *(f"</{name}>" for name in TAG if name), "<a href=",
     "<p class='x y'", "<br><br>"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=60))
def test_any_pieces(pieces: list[str]) -> None:
    check_invariants("".join(pieces).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(page: bytes) -> None:
    check_invariants(page)


def test_text_without_markup_is_kept_whole() -> None:
    words = [random.Random(1).choice(("so", "ganz", "été", "中文", "&amp;", "1")) for _ in range(500)]
    assert blocks_of(" ".join(words)) == [" ".join(words).replace("&amp;", "&")]


def test_every_prefix_of_a_page() -> None:
    """A page cut anywhere, as truncated records are."""
    page = (b"<html><head><title>T &amp; t</title><script>a</script></head><body class=\"x y\"><!-- c --><p id='q'>"
            b"caf\xc3\xa9 &#233;<table><tr><td>1</td></tr></table><pre> a\n b</pre><svg><g/></svg></body></html>")  # fmt: skip
    for size in range(len(page)):
        check_invariants(page[:size])
    assert re.search("café é", blocks_of(page)[0])
