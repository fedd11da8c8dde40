"""Where a page writes formulas: MathML, the TeX noted in it, MathJax's scripts, and the drawings that repeat them.

Source: MathML Core and MathML 3 (W3C); MathJax 2 and 3, KaTeX as found in pages; ours.
"""

from __future__ import annotations

import numpy as np

from curation.text.byte_scans import holds_four, tag_from
from curation.text.compiled import leaf
from curation.text.html_names import fnv
from curation.text.math_pieces import MANY, NOT, STORE, add_piece, new_string, stripped, unescape
from curation.text.math_symbols import OTHER
from curation.text.tag_scans import ascii_letter, attribute, is_word, name_at, name_key, white_space_byte

MOST_FORMULA = 1 << 16
"""Bytes of a formula; longer ones are left to the segmenter, which leaves them out."""

NONE, MATHML, TEX_SCRIPT, MATHML_SCRIPT, DRAWN = range(5)

ALTTEXT, _DISPLAY, _ENCODING, _MODE, _TYPE, _CLASS = (
    np.uint64(fnv(name)) for name in (b"alttext", b"display", b"encoding", b"mode", b"type", b"class")
)


def _word(word: str) -> np.ndarray:
    return np.frombuffer(word.encode(), np.uint8)


MATH_WORD, SCRIPT_WORD, _SPAN_WORD, _NOTE_WORD = _word("math"), _word("script"), _word("span"), _word("annotation")
_MATH_KEY, _SCRIPT_KEY, _SPAN_KEY = (np.uint64(fnv(name)) for name in (b"math", b"script", b"span"))
_BLOCK_WORD, _DISPLAY_WORD = _word("block"), _word("display")
_TEX_TYPE, _MATHML_TYPE = _word("math/tex"), _word("math/mml")
_KATEX, _MATHJAX, _DRAWING = _word("katex-html"), _word("mathjax"), _word("mjx-chtml")
_PREVIEW, _SVG, _CHTML = _word("_preview"), _word("_svg"), _word("_chtml")
_X_TEX, _TEX, _LATEX = _word("application/x-tex"), _word("tex"), _word("latex")
_STYLE = _word("{\\displaystyle")
_CDATA, _CDATA_END = _word("<![cdata["), _word("]]>")


@leaf
def _drawn_class(data, start, end):
    """Whether a class is that of a span in which KaTeX or MathJax drew a formula."""
    if is_word(data, start, end, _KATEX):
        return end == start + len(_KATEX)
    if is_word(data, start, end, _DRAWING):
        return True
    rest = start + len(_MATHJAX)
    if not is_word(data, start, end, _MATHJAX):
        return False
    if is_word(data, rest, end, _PREVIEW):
        rest += len(_PREVIEW)
    elif is_word(data, rest, end, _SVG):
        rest += len(_SVG)
    elif is_word(data, rest, end, _CHTML):
        rest += len(_CHTML)
    return rest == end


@leaf
def start_at(data, at, end):
    """(kind, position behind the name) of the formula that begins with the `<` at `at`: NONE where it is none."""
    if at + 1 < end and not ascii_letter(data[at + 1]):
        return NONE, at
    key, behind = name_key(data, at + 1, end)
    if key == _MATH_KEY and behind < end and (white_space_byte(data[behind]) or data[behind] == 62):
        return MATHML, behind
    if (key != _SCRIPT_KEY and key != _SPAN_KEY) or behind == end or not white_space_byte(data[behind]):
        return NONE, at
    close = behind
    while close < end and data[close] != 62 and data[close] != 60:
        close += 1
    if close == end or data[close] == 60:
        return NONE, at
    start, stop = attribute(data, behind, close, _TYPE if key == _SCRIPT_KEY else _CLASS)
    if start >= 0 and key == _SCRIPT_KEY:
        if is_word(data, start, stop, _TEX_TYPE):
            return TEX_SCRIPT, close + 1
        if is_word(data, start, stop, _MATHML_TYPE):
            return MATHML_SCRIPT, close + 1
    elif start >= 0 and _drawn_class(data, start, stop):
        return DRAWN, close + 1
    return NONE, at


@leaf
def end_from(data, at, end, ends, place, word):
    """Position of the next `</` before `word`, a prefix or none between, from `at` on; `end` when there is none."""
    i = max(ends[place], at)
    if ends[place] >= at:
        return i
    i = tag_from(data, i, end)
    while i + 1 < end and not (data[i + 1] == 47 and is_word(data, name_at(data, i + 2, end), end, word)):
        i = tag_from(data, i + 1, end)
    ends[place] = i if i + 1 < end else end
    return ends[place]


@leaf
def behind_span(data, at, end):
    """Position behind the span that begins at `at`, -1 when it does not end within reach."""
    depth = 0
    last = min(end, at + MOST_FORMULA)
    i = at
    while i < last:
        if data[i] != 60:
            i += 1
            continue
        ending = i + 1 < end and data[i + 1] == 47
        i += 2 if ending else 1
        behind = i + len(_SPAN_WORD)
        if not is_word(data, i, end, _SPAN_WORD) or behind >= end:
            continue
        if not (white_space_byte(data[behind]) or data[behind] == 62 or data[behind] == 47):
            continue
        depth += -1 if ending else 1
        if not depth:
            while behind < end and data[behind] != 62:
                behind += 1
            return behind + 1 if behind < end else np.int64(-1)
    return np.int64(-1)


@leaf
def _within_style(store, start, end):
    r"""store[start:end] without the `{\displaystyle …}` some generators put around the whole: (start, end)."""
    start, end = stripped(store, start, end)
    if not is_word(store, start, end, _STYLE) or store[end - 1] != 125:
        return start, end
    depth = 0
    i = start
    while i < end:
        if store[i] == 92:
            i += 1
        elif store[i] == 123:
            depth += 1
        elif store[i] == 125:
            depth -= 1
            if not depth:
                break
        i += 1
    # the brace that closes the first is the last
    return (start + len(_STYLE), end - 1) if i == end - 1 else (start, end)


@leaf
def _stored(rows, first, behind):
    """A new string: what the store holds from `first` on."""
    rows[0, STORE] = behind
    s = new_string(rows)
    if behind > first:
        add_piece(rows, s, first, behind, OTHER, MANY, NOT, NOT, NOT)
    return s


@leaf
def noted(work, data, start, end):
    """A new string: the TeX data[start:end], its character references decoded."""
    first = np.int64(work.rows[0, STORE])
    behind = unescape(data, start, end, work.store, first)
    first, behind = _within_style(work.store, first, behind)
    return _stored(work.rows, first, behind)


@leaf
def script_tex(work, data, start, end):
    """A new string: the TeX of a script, without the marks of CDATA and the `%` that hides them from TeX."""
    first = at = np.int64(work.rows[0, STORE])
    i = start
    while i < end:
        opening = data[i] == 60 and is_word(data, i, end, _CDATA)
        if opening or (data[i] == 93 and is_word(data, i, end, _CDATA_END)):
            i += len(_CDATA) if opening else len(_CDATA_END)
            while at > first and work.store[at - 1] == 32:
                at -= 1
            if at > first and work.store[at - 1] == 37:
                at -= 1
            continue
        work.store[at] = data[i]
        at += 1
        i += 1
    return _stored(work.rows, first, at)


@leaf
def _is_note(data, at, end):
    return is_word(data, name_at(data, at, end), end, _NOTE_WORD)


@leaf
def tex_note(data, at, end):
    """(start, end) of the TeX in the first annotation of it in data[at:end]; (-1, -1) without one that ends."""
    if not holds_four(data, at, end, 110, 110, 111, 116):  # annotation
        return np.int64(-1), np.int64(-1)
    for i in range(at, end):
        if data[i] != 60:
            continue
        if not _is_note(data, i + 1, end):
            continue
        close = behind = name_at(data, i + 1, end) + len(_NOTE_WORD)
        while close < end and data[close] != 62 and data[close] != 60:
            close += 1
        start, stop = attribute(data, behind, close, _ENCODING)
        if start < 0 or close == end or data[close] == 60:
            continue
        size = stop - start
        if not (
            (size == len(_X_TEX) and is_word(data, start, stop, _X_TEX))
            or (size == len(_TEX) and is_word(data, start, stop, _TEX))
            or (size == len(_LATEX) and is_word(data, start, stop, _LATEX))
        ):
            continue
        k = close + 1
        while k + 1 < end and not (data[k] == 60 and data[k + 1] == 47 and _is_note(data, k + 2, end)):
            k += 1
        if k + 1 < end:
            return close + 1, k
        break
    return np.int64(-1), np.int64(-1)


@leaf
def is_display(data, start, end):
    """Whether the attributes data[start:end] say that the formula has a line of its own."""
    first, last = attribute(data, start, end, _DISPLAY)
    if first >= 0 and is_word(data, first, last, _BLOCK_WORD):
        return True
    first, last = attribute(data, start, end, _MODE)
    return first >= 0 and is_word(data, first, last, _DISPLAY_WORD)


@leaf
def mode_is_display(data, start, end):
    """Whether a script's type, as in `math/tex; mode=display`, says so."""
    i = start
    while i < end and not is_word(data, i, end, _DISPLAY_WORD):
        i += 1
    return i < end
