"""Mathematics in pages, turned to TeX between dollar signs before the page is segmented.

Pages write formulas as MathML, with or without the TeX they were made of; as MathJax's scripts; as KaTeX's spans, which hold
MathML and a drawing of it for the eye. A page without any of that is returned as it is. Linear in the page: each search goes
on where the last ended, and one that found nothing is not made again.

Source: MathML Core and MathML 3 (W3C), chapter 3; MathJax 2 and 3, KaTeX as found in pages; the conversion is ours.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from curation.text.mathml import tex_of

_STARTS = re.compile(
    rb"<(?:(?P<math>(?:[A-Za-z]{1,8}:)?math)(?=[\s>])"
    rb"|(?P<script>script)\s[^<>]{0,200}?type\s*=\s*[\"']?math/(?P<kind>tex|mml)(?P<mode>[^>\"']{0,40})[^<>]{0,200}>"
    rb"|span\s[^<>]{0,60}class\s*=\s*[\"'](?P<drawn>katex-html|MathJax(?:_Preview|_SVG|_CHTML)?|mjx-chtml[^\"']{0,40})[\"'])",
    re.IGNORECASE,
)
_SIGNS = (b"<math", b"math/tex", b":math", b"<MATH", b":MATH", b"math/mml")
_SPAN = re.compile(rb"<(/?)span(?=[\s>/])", re.IGNORECASE)
_DISPLAY = re.compile(rb"display\s*=\s*[\"']?block|mode\s*=\s*[\"']?display", re.IGNORECASE)
_TEX_NOTE = re.compile(
    rb"<(?:[a-z]{1,8}:)?annotation[^>]{0,200}encoding\s*=\s*[\"'](?:application/x-tex|TeX|LaTeX)[\"'][^>]{0,200}>",
    re.IGNORECASE,
)
_NOTE_END = re.compile(rb"</(?:[a-z]{1,8}:)?annotation", re.IGNORECASE)
_ALT = re.compile(rb"\balttext\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
MOST_FORMULA = 1 << 16
"""Bytes of a formula; longer ones are left to the segmenter."""
MOST_MATH = 1 << 20
"""Bytes of all formulas of a page; further ones are left to the segmenter, which leaves them out."""


def tex_for_math(page: bytes | memoryview) -> bytes | memoryview:
    """The page (UTF-8) with every formula as TeX; the very same object when it holds none."""
    data = bytes(page)
    out: list[bytes] = []
    at = 0
    for start, end, tex in _formulas(data):
        out += [data[at:start], tex]
        at = end
    return b"".join([*out, data[at:]]) if at else page


def formula_places(page: bytes | memoryview) -> list[tuple[int, int, int]]:
    """(start, end, size) of each formula of a page: the bytes it takes, and how many stand in for it in `tex_for_math`."""
    return [(start, end, len(tex)) for start, end, tex in _formulas(bytes(page))]


def _formulas(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(start, end, TeX as HTML text) of each formula of a page."""
    if not (b"math" in data or b"MATH" in data) or not any(sign in data for sign in _SIGNS):
        return
    at = 0
    ends: dict[bytes, int] = {}
    left = MOST_MATH
    while left > 0 and (start := _STARTS.search(data, at)):
        end, tex = _formula(data, start, ends)
        if end < 0:
            at = start.end()
            continue
        yield start.start(), end, tex
        left -= end - start.start()
        at = end


def _formula(data: bytes, start: re.Match[bytes], ends: dict[bytes, int]) -> tuple[int, bytes]:
    """(position behind, TeX as HTML text) of the formula that begins at `start`; (-1, nothing) where it is none.

    `ends` remembers where the next end of each name is, so that it is looked for once."""
    if start["drawn"]:
        if b"span" in ends:
            return -1, b""
        behind = _behind_span(data, start.start())
        if behind < 0:
            ends[b"span"] = -1
        return behind, b""
    end_tag = b"</" + (start["math"] or start["script"])
    end = ends.get(end_tag, 0)
    if 0 <= end < start.end():
        end = ends[end_tag] = data.find(end_tag, start.end())
    if end < 0 or end - start.start() > MOST_FORMULA:
        return -1, b""
    behind = data.find(b">", end) + 1
    if not behind:
        return -1, b""
    if start["script"] and start["kind"].lower() == b"tex":
        tex = data[start.end() : end].decode("utf-8", "replace")
        tex = tex.replace("<![CDATA[", "").replace("]]>", "").strip()
        display = _DISPLAY.search(start["mode"]) is not None
    else:
        element = data[start.start() : end]
        display = _DISPLAY.search(element[: element.find(b">") + 1]) is not None
        tex = tex_of_mathml(element)
    return behind, _delimited(tex, display)


def _delimited(tex: str, display: bool) -> bytes:
    """TeX between dollar signs, as text of a page."""
    tex = " ".join(tex.split())
    if not tex:
        return b" "
    mark, space = ("$$", " ") if display else ("$", "")
    return f"{space}{mark}{html.escape(tex, quote=False)}{mark}{space}".encode()


def tex_of_mathml(element: bytes) -> str:
    """TeX of a MathML element (its bytes up to the end tag): the TeX noted in it, its alternative text, or a conversion."""
    if note := _TEX_NOTE.search(element):
        end = _NOTE_END.search(element, note.end())
        if end:
            return _without_style(html.unescape(element[note.end() : end.start()].decode("utf-8", "replace")))
    if alt := _ALT.search(element[: element.find(b">") + 1]):
        return _without_style(html.unescape((alt[1] or alt[2] or b"").decode("utf-8", "replace")))
    return tex_of(element.decode("utf-8", "replace"))


def _without_style(tex: str) -> str:
    r"""TeX without the `{\displaystyle …}` some generators put around the whole."""
    tex = tex.strip()
    if tex.startswith(r"{\displaystyle") and tex.endswith("}"):
        return tex[len(r"{\displaystyle") : -1].strip()
    return tex


def _behind_span(data: bytes, at: int) -> int:
    """Position behind the span that begins at `at`, -1 when it does not end within reach."""
    depth = 0
    for tag in _SPAN.finditer(data, at, at + MOST_FORMULA):
        depth += -1 if tag[1] else 1
        if not depth:
            return data.find(b">", tag.end()) + 1 or -1
    return -1
