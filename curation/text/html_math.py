"""Mathematics in pages, turned to TeX between dollar signs before the page is segmented.

Pages write formulas as MathML, with or without the TeX they were made of; as MathJax's scripts; as KaTeX's spans, which hold
MathML and a drawing of it for the eye. A page without any of that is returned as it is. One compiled pass, linear in the
page: each search for an end goes on where the last one ended, and one that found nothing is not made again.

Source: MathML Core and MathML 3 (W3C), chapter 3; MathJax 2 and 3, KaTeX as found in pages; the conversion is ours.
"""

from __future__ import annotations

import numpy as np

from curation.text.byte_scans import copied_to, tag_from, tags_in
from curation.text.compiled import kernel, leaf
from curation.text.html_blocks import page_array
from curation.text.math_pieces import (
    HEAD,
    Work,
    most_bytes,
    new_string,
    put_string,
)
from curation.text.math_sources import (
    ALTTEXT,
    DRAWN,
    MATH_WORD,
    MATHML,
    MOST_FORMULA,
    NONE,
    SCRIPT_WORD,
    TEX_SCRIPT,
    behind_span,
    end_from,
    is_display,
    mode_is_display,
    noted,
    script_tex,
    start_at,
    tex_note,
)
from curation.text.mathml import begin, empty_rows, mathml_string, rows_needed, work_for
from curation.text.tag_scans import attribute, tag_close

MOST_GROWTH = 1 << 14
"""Bytes that TeX may add to a page; formulas that would add more, which are no formulas, keep their characters only."""

# Places in `progress`: the next end of a formula, of a script; whether a drawing without an end was found; the last `>`;
# where the page is read, up to where it was copied; bytes written; rows the next formula needs; bytes of formulas whose TeX
# was too long; formulas so far.
_MATH_END, _SCRIPT_END, _NO_DRAWING, _LAST_CLOSE, AT, COPIED, SIZE, ROWS_WANTED, IN_VAIN, FORMULAS = (
    np.int64(i) for i in range(10)
)
PLACES = 10


_NO_PLACES = np.empty((0, 3), np.int64)


def tex_for_math(page: bytes | memoryview) -> bytes | memoryview:
    """The page (UTF-8) with every formula as TeX; the very same object when it holds none."""
    data = page_array(page)
    return memoryview(_with_tex(data, _NO_PLACES)[0]) if _holds_math(data) else page


def formula_places(page: bytes | memoryview) -> list[tuple[int, int, int]]:
    """(start, end, size) of each formula of a page: the bytes it takes, and how many stand in for it in `tex_for_math`."""
    data = page_array(page)
    if not _holds_math(data):
        return []
    places = np.empty((np.count_nonzero(data == 60), 3), np.int64)
    _, count = _with_tex(data, places)
    return [(start, end, size) for start, end, size in places[:count].tolist()]


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
def _tex_of(work, data, kind, name_end, end):
    """(string, whether on a line of its own) of a formula; `name_end` is behind its name, or behind the tag of a script."""
    begin(work.rows)
    if kind == TEX_SCRIPT:
        return script_tex(work, data, name_end, end), False
    inner = name_end
    display = False
    if kind == MATHML:
        close = tag_close(data, name_end, end)
        if close < 0:
            return new_string(work.rows), False
        inner = close + 1
        display = is_display(data, name_end, close)
    start, stop = tex_note(data, inner, end)
    s = np.int64(0)
    if start >= 0:
        s = noted(work, data, start, stop)
    if kind == MATHML and (s == 0 or not work.rows[s, HEAD]):
        start, stop = attribute(data, name_end, close, ALTTEXT)
        if start >= 0:
            s = noted(work, data, start, stop)
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
        behind = np.int64(-1) if ends[_NO_DRAWING] else behind_span(data, at, n)
        ends[_NO_DRAWING] |= behind < 0
        return behind, behind
    if kind == MATHML:
        end = end_from(data, name_end, n, ends, _MATH_END, MATH_WORD)
    else:
        end = end_from(data, name_end, n, ends, _SCRIPT_END, SCRIPT_WORD)
    if end >= ends[_LAST_CLOSE] or end - at > MOST_FORMULA:
        return np.int64(-1), np.int64(-1)
    behind = end
    while data[behind] != 62:
        behind += 1
    return end, behind + 1


@leaf
def _write_formula(work, data, kind, at, name_end, end, closed, out, size, progress):
    """Write the formula data[at:closed], whose content ends at `end`, as TeX, or its characters where that would be longer
    than the page up to its end by more than MOST_GROWTH; the size of `out` then."""
    if progress[IN_VAIN] <= MOST_GROWTH + len(data) // 8:
        s, display = _tex_of(work, data, kind, name_end, end)
        display |= kind != MATHML and mode_is_display(data, at, name_end)
        if size + most_bytes(work.rows, work.store, s) <= closed + MOST_GROWTH:
            return _put_formula(work.rows, work.store, s, display, out, size)
        progress[IN_VAIN] += end - at
    return _put_characters(data, at, end, out, size)


@leaf
def _go_on(work, data, out, places, progress):
    """Convert from where it was left until the page ends; whether it did: the rows may be too few for a formula."""
    n = np.int64(len(data))
    copied, size = progress[COPIED], progress[SIZE]
    behind = progress[AT]
    while behind < n:
        i = tag_from(data, behind, n)
        behind = i + 1
        if i == n:
            break
        kind, name_end = start_at(data, i, n)
        if kind == NONE:
            continue
        end, closed = _behind_formula(data, n, kind, i, name_end, progress)
        if end < 0:
            continue
        progress[AT] = i
        size = begun = copied_to(data, copied, i, out, size)
        if kind != DRAWN:
            progress[ROWS_WANTED] = rows_needed(tags_in(data, i, end))
            if progress[ROWS_WANTED] > len(work.rows):
                progress[COPIED], progress[SIZE] = i, size
                return False
            size = _write_formula(work, data, kind, i, name_end, end, closed, out, size, progress)
        progress[COPIED], progress[SIZE] = closed, size
        if progress[FORMULAS] < len(places):
            places[progress[FORMULAS]] = i, closed, size - begun
        progress[FORMULAS] += 1
        copied = behind = closed
    progress[SIZE] = copied_to(data, copied, n, out, size)
    return True


@kernel
def _with_tex(data, places):
    """(the page (uint8, read-only) with its formulas as TeX, their number); fills `places`, as many as it has rows, with start,
    end and size."""
    n = np.int64(len(data))
    work = work_for(min(n, np.int64(MOST_FORMULA)))
    progress = np.zeros(PLACES, np.int64)
    progress[_MATH_END] = progress[_SCRIPT_END] = -1
    progress[_LAST_CLOSE] = n - 1
    while progress[_LAST_CLOSE] >= 0 and data[progress[_LAST_CLOSE]] != 62:
        progress[_LAST_CLOSE] -= 1
    out = np.empty(n + MOST_GROWTH + 64, np.uint8)
    while not _go_on(work, data, out, places, progress):
        work = Work(empty_rows(2 * progress[ROWS_WANTED]), work.store, work.text, work.clean)
    return out[: progress[SIZE]], progress[FORMULAS]
