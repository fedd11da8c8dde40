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

    strings: np.ndarray  # int32 [s, STRING_COLUMNS]
    pieces: np.ndarray  # int32 [p, PIECE_COLUMNS]
    store: np.ndarray  # uint8: the literals, then what was made of a formula
    text: np.ndarray  # uint8: characters of the leaf being read
    clean: np.ndarray  # uint8: the formula without its comments
    nodes: np.ndarray  # int32 [DEEPEST + 2, NODE_COLUMNS]: the open elements
    hashes: np.ndarray  # uint64 [DEEPEST + 2]: their names
    open_of: np.ndarray  # int32 [256]: how many are open whose hash ends in this byte
    state: np.ndarray  # int64 [STATES]


# Columns of `strings`: first and last piece (-1: empty), the sibling behind; the shape of its end; characters, up to 2;
# last byte; flags; the accent it is when it stands above something.
HEAD, TAIL, NEXT, SHAPE, CHARS, LAST, FLAGS, ACCENT = range(8)
STRING_COLUMNS = 8
# Columns of `pieces`: where in the store, from and to, and the piece behind (-1: none).
START, END, FOLLOWING = range(3)
PIECE_COLUMNS = 3
# Places in `state`: pieces and strings in use, bytes of the store and of `text` in use.
PIECES, STRINGS, STORE, TEXT = range(4)
STATES = 4
STORE_PER_BYTE = 17
r"""A byte of a formula makes at most so many of its store: `\` in a text becomes `\textbackslash{}`."""
STRINGS_PER_TAG, PIECES_PER_TAG = 12, 24
"""A `<` makes at most a tag and a text, which make at most so many strings and pieces."""

_LITERALS = (
    " ", "{", "}", "}{", "]{", "_{", "^{", "}_{", "}^{", "\\frac{", "\\binom{", "\\sqrt{", "\\sqrt[", "\\underset{",
    "\\overset{", "\\left", "\\right", ".", "(", ")", ",", "\\begin{matrix} ", " \\\\ ", " \\end{matrix}", " & ", "\\text{",
    "\\mathrm{", *(f"\\{name}{{" for name in ACCENT_NAMES),
)  # fmt: skip
(BLANK, BRACE, END_BRACE, BETWEEN, ROOT_OF, SUB, SUP, END_SUB, END_SUP, FRAC, BINOM, SQRT, ROOT, UNDER, OVER, LEFT, RIGHT, DOT,
 OPENING, CLOSING, COMMA, MATRIX, NEW_ROW, END_MATRIX, CELL, TEXT_OF, ROMAN) = range(27)  # fmt: skip
FIRST_ACCENT = 27
LITERALS = np.frombuffer("".join(_LITERALS).encode(), np.uint8)
_LITERAL_AT = np.cumsum([0, *(len(tex) for tex in _LITERALS)]).astype(np.int32)
_LITERAL_SHAPE = np.array([COMMAND if tex in ("\\left", "\\right") else OTHER for tex in _LITERALS], np.int32)


@leaf
def new_string(work):
    s = work.state[STRINGS]
    work.state[STRINGS] = s + 1
    work.strings[s, HEAD] = work.strings[s, TAIL] = work.strings[s, NEXT] = -1
    work.strings[s, SHAPE] = EMPTY
    work.strings[s, CHARS] = work.strings[s, LAST] = work.strings[s, FLAGS] = work.strings[s, ACCENT] = 0
    return s


@leaf
def shape_of_both(first, second):
    """How a string ends that is made of two."""
    if second == EMPTY or (second == LETTERS and first != EMPTY):
        return first
    return OPEN if second == COMMAND and first != EMPTY else second


@leaf
def _add(work, s, head, tail, shape, chars, last, flags, accent):
    """Link a chain of pieces, of which this is known, to the end of string `s`."""
    strings = work.strings
    if strings[s, HEAD] < 0:
        strings[s, HEAD] = head
        strings[s, SHAPE] = shape
        strings[s, CHARS] = chars
        strings[s, FLAGS] = flags
        strings[s, ACCENT] = accent
    else:
        work.pieces[strings[s, TAIL], FOLLOWING] = head
        strings[s, SHAPE] = shape_of_both(strings[s, SHAPE], shape)
        strings[s, CHARS] = 2
        strings[s, FLAGS] &= LETTER_FIRST
        strings[s, ACCENT] = 0
    strings[s, TAIL] = tail
    strings[s, LAST] = last


@leaf
def add_piece(work, s, start, end, shape, chars, flags, accent):
    """Add store[start:end] to string `s`."""
    if end == start:
        return
    piece = work.state[PIECES]
    work.state[PIECES] = piece + 1
    work.pieces[piece, START] = start
    work.pieces[piece, END] = end
    work.pieces[piece, FOLLOWING] = -1
    _add(work, s, piece, piece, shape, chars, np.int64(work.store[end - 1]), flags, accent)


@leaf
def add_literal(work, s, literal):
    start, end = np.int64(_LITERAL_AT[literal]), np.int64(_LITERAL_AT[literal + 1])
    add_piece(work, s, start, end, np.int64(_LITERAL_SHAPE[literal]), min(end - start, 2), 0, 0)


@leaf
def add_string(work, s, t):
    """Add string `t`, which is used up, to string `s`."""
    row = work.strings
    if row[t, HEAD] >= 0:
        _add(work, s, row[t, HEAD], row[t, TAIL], row[t, SHAPE], row[t, CHARS], row[t, LAST], row[t, FLAGS], row[t, ACCENT])


@leaf
def add_joined(work, s, t):
    """Add string `t` to string `s`, a blank between where a command would run into a letter."""
    shape = work.strings[s, SHAPE]
    if (shape in (COMMAND, OPEN)) and work.strings[t, FLAGS] & LETTER_FIRST:
        add_literal(work, s, BLANK)
    add_string(work, s, t)


@leaf
def rope_bytes(work, s):
    size = np.int64(0)
    piece = work.strings[s, HEAD]
    while piece >= 0:
        size += work.pieces[piece, END] - work.pieces[piece, START]
        piece = work.pieces[piece, FOLLOWING]
    return size


@leaf
def put_rope(work, s, out, at):
    """Write string `s` as text of a page: white space as one blank each, none at its ends; the position behind it."""
    pending = False
    first = at
    piece = work.strings[s, HEAD]
    while piece >= 0:
        i, end = np.int64(work.pieces[piece, START]), np.int64(work.pieces[piece, END])
        piece = work.pieces[piece, FOLLOWING]
        while i < end:
            c = work.store[i]
            wide = white_space(work.store, i, end) if c <= 32 or 0xC2 <= c <= 0xE3 else 0
            if wide:
                pending = True
                i += wide
                continue
            if pending and at > first:
                out[at] = 32
                at += 1
            pending = False
            i += 1
            if c == 38 or c == 60 or c == 62:  # &amp; &lt; &gt;
                out[at] = 38
                out[at + 1] = 97 if c == 38 else 108 if c == 60 else 103
                out[at + 2] = 109 if c == 38 else 116
                out[at + 3] = 112 if c == 38 else 59
                out[at + 4] = 59
                at += 5 if c == 38 else 4
            else:
                out[at] = c
                at += 1
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
def symbols(work, start, end):
    """A new string: text[start:end], each character as its TeX."""
    text, store = work.text, work.store
    s = new_string(work)
    first = at = work.state[STORE]
    shape, chars, flags, accent = EMPTY, 0, 0, np.int64(0)
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
            size = 1
            new_shape = LETTERS if 97 <= point | 32 <= 122 else OTHER
            new_flags = LETTER_FIRST if is_letter(point) else 0
        if new_flags & LETTER_FIRST and (shape in (COMMAND, OPEN)):
            store[at] = 32
            at += 1
            shape = OTHER
        if at == first:
            chars, flags, accent = min(size, 2), new_flags, accent_of(point)
        else:
            chars, flags, accent = 2, flags & LETTER_FIRST, np.int64(0)
        shape = shape_of_both(shape, new_shape)
        if symbol:
            for k in range(SYMBOL_AT[symbol], SYMBOL_AT[symbol + 1]):
                store[at] = SYMBOL_BYTES[k]
                at += 1
        else:
            at = put_point(store, at, point)
    work.state[STORE] = at
    add_piece(work, s, first, at, shape, chars, flags, accent)
    return s
