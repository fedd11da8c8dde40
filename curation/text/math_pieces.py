r"""TeX put together in kernels without moving a byte: a string is a chain of pieces of a store, and chains are linked.

What a parent element asks of its children's TeX (does it end with a command, is it one symbol, ...) is known of each
string without reading it, so that a formula costs what its length is, however deep it nests.

Source: ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curation.text.compiled import leaf
from curation.text.html_entities import put_point, reference
from curation.text.math_symbols import (
    ACCENT_NAMES,
    COMMAND,
    EMPTY,
    LETTER_FIRST,
    LETTERS,
    OPEN,
    OTHER,
    PLAIN_LETTER,
    STYLED,
    STYLED_BEHIND,
    SYMBOL_AT,
    SYMBOL_BYTES,
    SYMBOL_FLAGS,
    SYMBOL_SHAPE,
    accent_of,
    is_letter,
    point_at,
    symbol_of,
    white_space,
)


class Work(NamedTuple):
    """Arrays the conversion of a page's formulas works in, one after the other."""

    rows: np.ndarray  # int64 [r, 8]: the state, the open elements, how many of a name are open; then strings and pieces
    store: np.ndarray  # uint8: the literals, then what was made of a formula
    text: np.ndarray  # uint8: characters of the leaf being read
    clean: np.ndarray  # uint8: the formula without its comments


# Columns of the first row, the state: rows, bytes of the store and of `text` in use.
ROWS, STORE, TEXT = range(3)
# Columns of a string: first and last piece (0: empty), the sibling behind (0: none); the shape of its end; characters, up
# to 2; last byte; flags; the accent it is when it stands above something.
HEAD, TAIL, NEXT, SHAPE, CHARS, LAST, FLAGS, ACCENT = range(8)
COLUMNS = 8
# Columns of a piece: where in the store, from and to, and the piece behind (0: none).
START, END, FOLLOWING = range(3)
NOT, MANY = np.int64(0), np.int64(2)
"""No flag and no accent; more characters than one."""
STORE_PER_BYTE = 17
r"""A byte of a formula makes at most so many of its store: `\` in a text becomes `\textbackslash{}`."""
ROWS_PER_TAG = 32
"""A `<` makes at most a tag and a text, which make at most so many strings and pieces."""

_LITERALS = (
    " ", "{", "}", "}{", "]{", "_{", "^{", "}_{", "}^{", "\\frac{", "\\binom{", "\\sqrt{", "\\sqrt[", "\\underset{",
    "\\overset{", "\\left", "\\right", ".", "(", ")", ",", "\\begin{matrix} ", " \\\\ ", " \\end{matrix}", " & ", "\\text{",
    "\\mathrm{", "{}", *(f"\\{name}{{" for name in ACCENT_NAMES),
)  # fmt: skip
(BLANK, BRACE, END_BRACE, BETWEEN, ROOT_OF, SUB, SUP, END_SUB, END_SUP, FRAC, BINOM, SQRT, ROOT, UNDER, OVER, LEFT, RIGHT, DOT,
 OPENING, CLOSING, COMMA, MATRIX, NEW_ROW, END_MATRIX, CELL, TEXT_OF, ROMAN, NOTHING) = (
    np.int64(i) for i in range(28)
)  # fmt: skip
FIRST_ACCENT = np.int64(28)
LITERALS = np.frombuffer("".join(_LITERALS).encode(), np.uint8)
_LITERAL_AT = np.cumsum([0, *(len(tex) for tex in _LITERALS)])
_LITERAL_LAST = np.array([ord(tex[-1]) for tex in _LITERALS], np.int64)
_LITERAL_SHAPE = np.array([COMMAND if tex in ("\\left", "\\right") else OTHER for tex in _LITERALS], np.int64)


@leaf
def new_string(rows):
    s = rows[0, ROWS]
    rows[0, ROWS] = s + 1
    for column in range(COLUMNS):
        rows[s, column] = 0
    return s


@leaf
def shape_of_both(first, second):
    """How a string ends that is made of two."""
    if second == EMPTY or (second == LETTERS and first != EMPTY):
        return first
    return OPEN if second == COMMAND and first != EMPTY else second


@leaf
def _add(rows, s, head, tail, shape, chars, last, flags, accent):
    """Link a chain of pieces, of which this is known, to the end of string `s`."""
    if not rows[s, HEAD]:
        rows[s, HEAD] = head
        rows[s, SHAPE] = shape
        rows[s, CHARS] = chars
        rows[s, FLAGS] = flags
        rows[s, ACCENT] = accent
    else:
        rows[rows[s, TAIL], FOLLOWING] = head
        rows[s, SHAPE] = shape_of_both(rows[s, SHAPE], shape)
        rows[s, CHARS] = 2
        rows[s, FLAGS] &= LETTER_FIRST
        rows[s, ACCENT] = 0
    rows[s, TAIL] = tail
    rows[s, LAST] = last


@leaf
def add_piece(rows, s, start, end, shape, chars, last, flags, accent):
    """Add the piece of the store from `start` to `end`, which is not empty, to string `s`."""
    piece = rows[0, ROWS]
    rows[0, ROWS] = piece + 1
    rows[piece, START] = start
    rows[piece, END] = end
    rows[piece, FOLLOWING] = 0
    _add(rows, s, piece, piece, shape, chars, last, flags, accent)


@leaf
def add_literal(rows, s, literal):
    start, end = np.int64(_LITERAL_AT[literal]), np.int64(_LITERAL_AT[literal + 1])
    shape, last = np.int64(_LITERAL_SHAPE[literal]), np.int64(_LITERAL_LAST[literal])
    add_piece(rows, s, start, end, shape, min(end - start, MANY), last, NOT, NOT)


@leaf
def add_string(rows, s, t):
    """Add string `t`, which is used up, to string `s`."""
    if rows[t, HEAD]:
        shape, chars, last = np.int64(rows[t, SHAPE]), np.int64(rows[t, CHARS]), np.int64(rows[t, LAST])
        _add(rows, s, rows[t, HEAD], rows[t, TAIL], shape, chars, last, np.int64(rows[t, FLAGS]), np.int64(rows[t, ACCENT]))


@leaf
def add_joined(rows, s, t):
    """Add string `t` to string `s`, a blank between where a command would run into a letter."""
    if rows[s, SHAPE] in (COMMAND, OPEN) and rows[t, FLAGS] & LETTER_FIRST:
        add_literal(rows, s, BLANK)
    add_string(rows, s, t)


@leaf
def most_bytes(rows, store, s):
    """So many bytes at most `put_string` writes."""
    size = np.int64(0)
    piece = rows[s, HEAD]
    while piece:
        start, end = np.int64(rows[piece, START]), np.int64(rows[piece, END])
        size += end - start
        for i in range(start, end):
            size += 4 * (store[i] == 38 or store[i] == 60)
        piece = rows[piece, FOLLOWING]
    return size


@leaf
def _would_be_markup(sign, c):
    """Whether `sign`, a `<` or `&` of the text, would begin a tag or a reference before `c`."""
    if 97 <= c | 32 <= 122:
        return True
    return (c == 33 or c == 47 or c == 63) if sign == 60 else (c == 35 or 48 <= c <= 57)


@leaf
def put_string(rows, store, s, out, at):
    """Write string `s` as text of a page: white space as one blank each, none at its ends; the position behind it."""
    pending = False
    first = at
    before = np.uint8(0)
    piece = rows[s, HEAD]
    while piece:
        i, end = np.int64(rows[piece, START]), np.int64(rows[piece, END])
        piece = rows[piece, FOLLOWING]
        while i < end:
            c = store[i]
            wide = white_space(store, i, end) if c <= 32 or 0xC2 <= c <= 0xE3 else 0
            if wide:
                pending = True
                i += wide
                continue
            if pending and at > first:
                out[at] = before = 32
                at += 1
            pending = False
            if (before == 38 or before == 60) and _would_be_markup(before, c):
                out[at - 1] = 38
                out[at] = 97 if before == 38 else 108  # &amp; &lt;
                out[at + 1] = 109 if before == 38 else 116
                out[at + 2] = 112 if before == 38 else 59
                out[at + 3] = 59
                at += 4 if before == 38 else 3
            out[at] = before = c
            at += 1
            i += 1
    return at


@leaf
def unescape(data, at, end, out, size):
    """Write data[at:end] with its character references decoded to `out` from `size` on; the size then."""
    while at < end:
        c = data[at]
        if c == 38:
            first, second, behind = reference(data, at, end)
            if behind > at:
                size = put_point(out, size, first)
                if second:
                    size = put_point(out, size, second)
                at = behind
                continue
        out[size] = c
        size += 1
        at += 1
    return size


@leaf
def stripped(data, start, end):
    """data[start:end] without the white space at its ends: (start, end)."""
    while start < end:
        wide = white_space(data, start, end)
        if not wide:
            break
        start += wide
    while start < end:
        if white_space(data, end - 1, end):
            end -= 1
        elif end - 2 >= start and white_space(data, end - 2, end) == 2:
            end -= 2
        elif end - 3 >= start and white_space(data, end - 3, end) == 3:
            end -= 3
        else:
            break
    return start, end


@leaf
def symbols(rows, store, text, start, end):
    """A new string: text[start:end], each character as its TeX."""
    s = new_string(rows)
    first = at = np.int64(rows[0, STORE])
    shape, chars, flags, accent = EMPTY, NOT, NOT, NOT
    i = start
    while i < end:
        point, i = point_at(text, i, end)
        if STYLED <= point < STYLED_BEHIND:
            point = np.int64(PLAIN_LETTER[point - STYLED])
        symbol = symbol_of(point)
        if symbol:
            size = np.int64(SYMBOL_AT[symbol + 1] - SYMBOL_AT[symbol])
            if not size:
                continue
            new_shape, new_flags = np.int64(SYMBOL_SHAPE[symbol]), np.int64(SYMBOL_FLAGS[symbol])
        else:
            size = np.int64(1)
            new_shape = LETTERS if 97 <= point | 32 <= 122 else OTHER
            new_flags = LETTER_FIRST if is_letter(point) else NOT
        if new_flags & LETTER_FIRST and (shape in (COMMAND, OPEN)):
            store[at] = 32
            at += 1
            shape = OTHER
        if at == first:
            chars, flags, accent = min(size, MANY), new_flags, accent_of(point)
        else:
            chars, flags, accent = MANY, flags & LETTER_FIRST, NOT
        shape = shape_of_both(shape, new_shape)
        if symbol:
            for k in range(SYMBOL_AT[symbol], SYMBOL_AT[symbol + 1]):
                store[at] = SYMBOL_BYTES[k]
                at += 1
        else:
            at = put_point(store, at, point)
    rows[0, STORE] = at
    if at > first:
        add_piece(rows, s, first, at, shape, chars, np.int64(store[at - 1]), flags, accent)
    return s
