"""Mathematics in pages, turned to TeX between dollar signs before the page is segmented.

Pages write formulas as MathML, with or without the TeX they were made of; as MathJax's scripts; as KaTeX's spans, which hold
MathML and a drawing of it for the eye. A page without any of that is returned as it is. One compiled pass, linear in the
page: each search for an end goes on where the last one ended, and one that found nothing is not made again.

Source: MathML Core and MathML 3 (W3C), chapter 3; MathJax 2 and 3, KaTeX as found in pages; the conversion is ours.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import kernel, leaf
from curation.text.html_blocks import page_array
from curation.text.html_names import fnv
from curation.text.math_elements import ascii_letter, attribute, white_space_byte
from curation.text.math_pieces import (
    HEAD,
    MANY,
    NOT,
    OTHER,
    STORE,
    Work,
    add_piece,
    most_bytes,
    new_string,
    put_string,
    stripped,
    unescape,
)
from curation.text.mathml import begin, empty_rows, mathml_string, name_at, name_key, rows_needed, work_for

MOST_FORMULA = 1 << 16
"""Bytes of a formula; longer ones are left to the segmenter, which leaves them out."""

MOST_GROWTH = 1 << 14
"""Bytes that TeX may add to a page; formulas that would add more, which are no formulas, keep their characters only."""

NONE, MATHML, TEX_SCRIPT, MATHML_SCRIPT, DRAWN = range(5)
# Places in `progress`: the next end of a formula, of a script; whether a drawing without an end was found; the last `>`;
# where the page is read, up to where it was copied; bytes written; rows the next formula needs; bytes of formulas whose TeX
# was too long.
_MATH_END, _SCRIPT_END, _NO_DRAWING, _LAST_CLOSE, AT, COPIED, SIZE, ROWS_WANTED, IN_VAIN = (np.int64(i) for i in range(9))
PLACES = 9

_ALTTEXT, _DISPLAY, _ENCODING, _MODE, _TYPE, _CLASS = (
    np.uint64(fnv(name)) for name in (b"alttext", b"display", b"encoding", b"mode", b"type", b"class")
)


def _word(word: str) -> np.ndarray:
    return np.frombuffer(word.encode(), np.uint8)


_MATH_WORD, _SCRIPT_WORD, _SPAN_WORD, _NOTE_WORD = _word("math"), _word("script"), _word("span"), _word("annotation")
_MATH_KEY, _SCRIPT_KEY, _SPAN_KEY = (np.uint64(fnv(name)) for name in (b"math", b"script", b"span"))
_BLOCK_WORD, _DISPLAY_WORD = _word("block"), _word("display")
_TEX_TYPE, _MATHML_TYPE = _word("math/tex"), _word("math/mml")
_KATEX, _MATHJAX, _DRAWING = _word("katex-html"), _word("mathjax"), _word("mjx-chtml")
_PREVIEW, _SVG, _CHTML = _word("_preview"), _word("_svg"), _word("_chtml")
_X_TEX, _TEX, _LATEX = _word("application/x-tex"), _word("tex"), _word("latex")
_STYLE = _word("{\\displaystyle")
_CDATA, _CDATA_END = _word("<![cdata["), _word("]]>")


def tex_for_math(page: bytes | memoryview) -> bytes | memoryview:
    """The page (UTF-8) with every formula as TeX; the very same object when it holds none."""
    data = page_array(page)
    return memoryview(_with_tex(data)) if _holds_math(data) else page


@kernel
def _holds_math(data):
    """Whether `<math`, `:math`, `math/tex` or `math/mml` is somewhere, in letters of any size."""
    nearest = np.uint8(255)  # bits in which a place differs from what is looked for: so the loop is done 32 bytes at a time
    for i in range(len(data) - 5):
        name = (data[i + 1] | 32) ^ 109 | (data[i + 2] | 32) ^ 97 | (data[i + 3] | 32) ^ 116 | (data[i + 4] | 32) ^ 104
        sign = min(np.uint8(data[i] ^ 60), np.uint8(data[i] ^ 58), np.uint8(data[i + 5] ^ 47))
        nearest = min(nearest, np.uint8(name | sign))
    return nearest == 0


@leaf
def _is_word(data, at, end, word):
    """Whether `word`, in small letters, stands at `at` in letters of any size."""
    if at + len(word) > end:
        return False
    for k in range(len(word)):
        c = data[at + k]
        if (c | 32 if 65 <= c <= 90 else c) != word[k]:
            return False
    return True


@leaf
def _tag_close(data, at, end):
    """Position of the `>` that ends the tag whose attributes begin at `at`, quotes heeded where they are closed; -1."""
    plain = np.int64(-1)
    quote = np.uint8(0)
    for i in range(at, end):
        c = data[i]
        if c == 62:
            if not quote:
                return i
            if plain < 0:
                plain = i
        elif quote:
            if c == quote:
                quote = np.uint8(0)
        elif c == 34 or c == 39:
            quote = c
    return plain


@leaf
def _drawn_class(data, start, end):
    """Whether a class is that of a span in which KaTeX or MathJax drew a formula."""
    if _is_word(data, start, end, _KATEX):
        return end == start + len(_KATEX)
    if _is_word(data, start, end, _DRAWING):
        return True
    rest = start + len(_MATHJAX)
    if not _is_word(data, start, end, _MATHJAX):
        return False
    if _is_word(data, rest, end, _PREVIEW):
        rest += len(_PREVIEW)
    elif _is_word(data, rest, end, _SVG):
        rest += len(_SVG)
    elif _is_word(data, rest, end, _CHTML):
        rest += len(_CHTML)
    return rest == end


@leaf
def _start_at(data, at, end):
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
        if _is_word(data, start, stop, _TEX_TYPE):
            return TEX_SCRIPT, close + 1
        if _is_word(data, start, stop, _MATHML_TYPE):
            return MATHML_SCRIPT, close + 1
    elif start >= 0 and _drawn_class(data, start, stop):
        return DRAWN, close + 1
    return NONE, at


@leaf
def _end_from(data, at, end, ends, place, word):
    """Position of the next `</` before `word`, a prefix or none between, from `at` on; `end` when there is none."""
    i = max(ends[place], at)
    if ends[place] >= at:
        return i
    while i + 1 < end:
        if data[i] == 60 and data[i + 1] == 47 and _is_word(data, name_at(data, i + 2, end), end, word):
            ends[place] = i
            return i
        i += 1
    ends[place] = end
    return end


@leaf
def _behind_span(data, at, end):
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
        if not _is_word(data, i, end, _SPAN_WORD) or behind >= end:
            continue
        if not (white_space_byte(data[behind]) or data[behind] == 62 or data[behind] == 47):
            continue
        depth += -1 if ending else 1
        if not depth:
            while behind < end and data[behind] != 62:
                behind += 1
            return behind + 1 if behind < end else np.int64(-1)
    return np.int64(-1)


# ---- TeX that the page itself holds


@leaf
def _within_style(store, start, end):
    r"""store[start:end] without the `{\displaystyle …}` some generators put around the whole: (start, end)."""
    start, end = stripped(store, start, end)
    if not _is_word(store, start, end, _STYLE) or store[end - 1] != 125:
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
def _noted(work, data, start, end):
    """A new string: the TeX data[start:end], its character references decoded."""
    first = np.int64(work.rows[0, STORE])
    behind = unescape(data, start, end, work.store, first)
    first, behind = _within_style(work.store, first, behind)
    return _stored(work.rows, first, behind)


@leaf
def _script_tex(work, data, start, end):
    """A new string: the TeX of a script, without the marks of CDATA and the `%` that hides them from TeX."""
    first = at = np.int64(work.rows[0, STORE])
    i = start
    while i < end:
        opening = data[i] == 60 and _is_word(data, i, end, _CDATA)
        if opening or (data[i] == 93 and _is_word(data, i, end, _CDATA_END)):
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
    return _is_word(data, name_at(data, at, end), end, _NOTE_WORD)


@leaf
def _tex_note(data, at, end):
    """(start, end) of the TeX in the first annotation of it in data[at:end]; (-1, -1) without one that ends."""
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
            (size == len(_X_TEX) and _is_word(data, start, stop, _X_TEX))
            or (size == len(_TEX) and _is_word(data, start, stop, _TEX))
            or (size == len(_LATEX) and _is_word(data, start, stop, _LATEX))
        ):
            continue
        k = close + 1
        while k + 1 < end and not (data[k] == 60 and data[k + 1] == 47 and _is_note(data, k + 2, end)):
            k += 1
        if k + 1 < end:
            return close + 1, k
        break
    return np.int64(-1), np.int64(-1)


# ---- formulas


@leaf
def _is_display(data, start, end):
    """Whether the attributes data[start:end] say that the formula has a line of its own."""
    first, last = attribute(data, start, end, _DISPLAY)
    if first >= 0 and _is_word(data, first, last, _BLOCK_WORD):
        return True
    first, last = attribute(data, start, end, _MODE)
    return first >= 0 and _is_word(data, first, last, _DISPLAY_WORD)


@leaf
def _mode_is_display(data, start, end):
    """Whether a script's type, as in `math/tex; mode=display`, says so."""
    i = start
    while i < end and not _is_word(data, i, end, _DISPLAY_WORD):
        i += 1
    return i < end


@leaf
def _tex_of(work, data, kind, name_end, end):
    """(string, whether on a line of its own) of a formula; `name_end` is behind its name, or behind the tag of a script."""
    begin(work.rows)
    if kind == TEX_SCRIPT:
        return _script_tex(work, data, name_end, end), False
    inner = name_end
    display = False
    if kind == MATHML:
        close = _tag_close(data, name_end, end)
        if close < 0:
            return new_string(work.rows), False
        inner = close + 1
        display = _is_display(data, name_end, close)
    start, stop = _tex_note(data, inner, end)
    s = np.int64(0)
    if start >= 0:
        s = _noted(work, data, start, stop)
    if kind == MATHML and (s == 0 or not work.rows[s, HEAD]):
        start, stop = attribute(data, name_end, close, _ALTTEXT)
        if start >= 0:
            s = _noted(work, data, start, stop)
    if s == 0 or not work.rows[s, HEAD]:
        s = mathml_string(work, data, inner, end)
    return s, display


@leaf
def _put_signs(out, at, count):
    for _ in range(count):
        out[at] = 36
        at += 1
    return at


@leaf
def _put_formula(rows, store, s, display, out, at):
    """Write a string between dollar signs; a blank where it is empty. The position behind."""
    out[at] = 32
    begun = _put_signs(out, at + display, np.int64(1) + display)
    behind = put_string(rows, store, s, out, begun)
    if behind == begun:
        out[at] = 32
        return at + 1
    behind = _put_signs(out, behind, np.int64(1) + display)
    out[behind] = 32
    return behind + display


@leaf
def _put_characters(data, start, end, out, at):
    """Write what is no tag in data[start:end], as it is, between dollar signs; the position behind."""
    at = _put_signs(out, at, np.int64(1))
    i = start
    while i < end:
        c = data[i]
        if c == 60:
            c = np.uint8(32)
            behind = i + 1
            while behind < end and data[behind] != 60 and data[behind] != 62:
                behind += 1
            if behind < end and data[behind] == 62:
                i = behind
        out[at] = c
        at += 1
        i += 1
    return _put_signs(out, at, np.int64(1))


@leaf
def _behind_formula(data, n, kind, at, name_end, ends):
    """(end of its content, position behind it) of the formula that begins at `at`; (-1, -1) where it has none in reach."""
    if kind == DRAWN:
        behind = np.int64(-1) if ends[_NO_DRAWING] else _behind_span(data, at, n)
        ends[_NO_DRAWING] |= behind < 0
        return behind, behind
    if kind == MATHML:
        end = _end_from(data, name_end, n, ends, _MATH_END, _MATH_WORD)
    else:
        end = _end_from(data, name_end, n, ends, _SCRIPT_END, _SCRIPT_WORD)
    if end >= ends[_LAST_CLOSE] or end - at > MOST_FORMULA:
        return np.int64(-1), np.int64(-1)
    behind = end
    while data[behind] != 62:
        behind += 1
    return end, behind + 1


@leaf
def _tags(data, start, end):
    """Number of `<` in data[start:end]."""
    count = np.int64(0)
    for i in range(start, end):
        count += data[i] == 60
    return count


@leaf
def _copy(data, start, end, out, at):
    for i in range(start, end):
        out[at] = data[i]
        at += 1
    return at


@leaf
def _write_formula(work, data, kind, at, name_end, end, closed, out, size, progress):
    """Write the formula data[at:closed], whose content ends at `end`, as TeX, or its characters where that would be longer
    than the page up to its end by more than MOST_GROWTH; the size of `out` then."""
    if progress[IN_VAIN] <= MOST_GROWTH + len(data) // 8:
        s, display = _tex_of(work, data, kind, name_end, end)
        display |= kind != MATHML and _mode_is_display(data, at, name_end)
        if size + most_bytes(work.rows, work.store, s) <= closed + MOST_GROWTH:
            return _put_formula(work.rows, work.store, s, display, out, size)
        progress[IN_VAIN] += end - at
    return _put_characters(data, at, end, out, size)


@leaf
def _go_on(work, data, out, progress):
    """Convert from where it was left until the page ends; whether it did: the rows may be too few for a formula."""
    n = np.int64(len(data))
    copied, size = progress[COPIED], progress[SIZE]
    behind = progress[AT]
    while behind < n:
        i = behind
        behind = i + 1
        if data[i] != 60:
            continue
        kind, name_end = _start_at(data, i, n)
        if kind == NONE:
            continue
        end, closed = _behind_formula(data, n, kind, i, name_end, progress)
        if end < 0:
            continue
        progress[AT] = i
        size = _copy(data, copied, i, out, size)
        if kind != DRAWN:
            progress[ROWS_WANTED] = rows_needed(_tags(data, i, end))
            if progress[ROWS_WANTED] > len(work.rows):
                progress[COPIED], progress[SIZE] = i, size
                return False
            size = _write_formula(work, data, kind, i, name_end, end, closed, out, size, progress)
        progress[COPIED], progress[SIZE] = closed, size
        copied = behind = closed
    progress[SIZE] = _copy(data, copied, n, out, size)
    return True


@kernel
def _with_tex(data):
    """The page (uint8, read-only) with its formulas as TeX."""
    n = np.int64(len(data))
    work = work_for(min(n, np.int64(MOST_FORMULA)))
    progress = np.zeros(PLACES, np.int64)
    progress[_MATH_END] = progress[_SCRIPT_END] = -1
    progress[_LAST_CLOSE] = n - 1
    while progress[_LAST_CLOSE] >= 0 and data[progress[_LAST_CLOSE]] != 62:
        progress[_LAST_CLOSE] -= 1
    out = np.empty(n + MOST_GROWTH + 64, np.uint8)
    while not _go_on(work, data, out, progress):
        work = Work(empty_rows(2 * progress[ROWS_WANTED]), work.store, work.text, work.clean)
    return out[: progress[SIZE]]
