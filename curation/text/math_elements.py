r"""TeX of each element of presentation MathML, from its characters or from the TeX of its children.

Source: MathML 3 (W3C), chapter 3. The conversion is ours.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import leaf
from curation.text.html_names import FNV_PRIME, FNV_START, fnv, look_up
from curation.text.math_pieces import ACCENT as ACCENT_COLUMN
from curation.text.math_pieces import (
    BETWEEN,
    BINOM,
    BLANK,
    BRACE,
    CELL,
    CHARS,
    CLOSING,
    COMMA,
    DOT,
    END_BRACE,
    END_MATRIX,
    END_SUP,
    FIRST_ACCENT,
    FLAGS,
    FRAC,
    HEAD,
    LAST,
    LEFT,
    MATRIX,
    NEW_ROW,
    NEXT,
    OPENING,
    OVER,
    RIGHT,
    ROMAN,
    ROOT,
    ROOT_OF,
    SHAPE,
    SQRT,
    STORE,
    SUB,
    SUP,
    TEXT,
    TEXT_OF,
    UNDER,
    add_joined,
    add_literal,
    add_piece,
    add_string,
    new_string,
    stripped,
    symbols,
    unescape,
)
from curation.text.math_symbols import (
    BAR,
    COMMAND,
    FUNCTION_FLAGS,
    FUNCTION_KEYS,
    LIMIT,
    MFENCED,
    MFRAC,
    MI,
    MLABELEDTR,
    MO,
    MOVER,
    MROOT,
    MS,
    MSPACE,
    MSQRT,
    MSUB,
    MSUBSUP,
    MSUP,
    MTABLE,
    MTEXT,
    MTR,
    MUNDER,
    MUNDEROVER,
    OTHER,
    OVERLINE,
    white_space,
)

# Columns of `nodes`: an open element's name, where its attributes are, from and to, its first and last child, how many.
NAME, ATTRIBUTES, ATTRIBUTES_END, FIRST, LAST_CHILD, COUNT = range(6)
NODE_COLUMNS = 6

_OPEN, _CLOSE, _SEPARATORS, _THICKNESS = (np.uint64(fnv(name)) for name in (b"open", b"close", b"separators", b"linethickness"))
_BACKSLASH = np.frombuffer(b"textbackslash{}", np.uint8)


@leaf
def ascii_letter(c):
    return 97 <= c | 32 <= 122


@leaf
def _is_name(c):
    return not (white_space_byte(c) or c == 61 or c == 34 or c == 39 or c == 47)


@leaf
def white_space_byte(c):
    return c == 32 or 9 <= c <= 13


@leaf
def attribute(data, at, end, key):
    """(start, end) of the value of the first attribute with this name (its hash), in quotes or not; (-1, -1) without one."""
    i = at
    while i < end:
        if not _is_name(data[i]):
            i += 1
            continue
        name = FNV_START
        while i < end and _is_name(data[i]):
            c = data[i]
            name = (name ^ np.uint64(c | 32 if 65 <= c <= 90 else c)) * FNV_PRIME
            i += 1
        while i < end and white_space_byte(data[i]):
            i += 1
        if i >= end or data[i] != 61:
            continue
        i += 1
        while i < end and white_space_byte(data[i]):
            i += 1
        start = stop = i
        if i < end and (data[i] == 34 or data[i] == 39):
            start = stop = i + 1
            while stop < end and data[stop] != data[i]:
                stop += 1
            if stop == end:  # never closed: what follows is read as if there were no quote
                i = start
                continue
            i = stop + 1
        else:
            while i < end and not (white_space_byte(data[i]) or data[i] == 34 or data[i] == 39):
                i += 1
            stop = i
        if name == key:
            return start, stop
    return np.int64(-1), np.int64(-1)


# ---- leaves


@leaf
def _collapse(text, size):
    """White space of text[:size] as one blank each, none at its ends; the size then."""
    at = np.int64(0)
    i = np.int64(0)
    pending = False
    while i < size:
        wide = white_space(text, i, size)
        if wide:
            pending = True
            i += wide
            continue
        if pending and at:
            text[at] = 32
            at += 1
        pending = False
        text[at] = text[i]
        at += 1
        i += 1
    return at


@leaf
def _copied(work, s, size, escaped):
    """Add text[:size] to string `s`, the signs that mean something in TeX escaped or not."""
    first = at = work.state[STORE]
    for i in range(size):
        c = work.text[i]
        special = escaped and (35 <= c <= 38 or c == 95 or c == 123 or c == 125 or c == 92)  # # $ % & _ { } \
        if special:
            work.store[at] = 92
            at += 1
        if special and c == 92:
            for k in range(len(_BACKSLASH)):
                work.store[at] = _BACKSLASH[k]
                at += 1
        else:
            work.store[at] = c
            at += 1
    work.state[STORE] = at
    add_piece(work, s, first, at, OTHER, 2, 0, 0)


@leaf
def _function(work, size):
    """Flags of the function whose name is text[:size], 0 when it is none."""
    key = FNV_START
    for i in range(size):
        key = (key ^ np.uint64(work.text[i])) * FNV_PRIME
    return np.int64(look_up(FUNCTION_KEYS, FUNCTION_FLAGS, key))


@leaf
def _leaf_string(work, name):
    """The string of a leaf whose characters are in `text`."""
    size = _collapse(work.text, work.state[TEXT])
    work.state[TEXT] = 0
    if name in (MTEXT, MS):
        s = new_string(work)
        if size == 0:
            add_literal(work, s, BLANK)
        else:
            add_literal(work, s, TEXT_OF)
            _copied(work, s, size, True)
            add_literal(work, s, END_BRACE)
        return s
    function = _function(work, size) if (name in (MI, MO)) and 2 <= size <= 6 else np.int64(0)
    if function:
        s = new_string(work)
        first = work.state[STORE]
        work.store[first] = 92
        for i in range(size):
            work.store[first + 1 + i] = work.text[i]
        work.state[STORE] = first + 1 + size
        add_piece(work, s, first, first + 1 + size, COMMAND, 2, function & LIMIT, 0)
        return s
    if name == MI and size > 1:
        letters = True
        for i in range(size):
            letters &= ascii_letter(work.text[i])
        if letters:
            s = new_string(work)
            add_literal(work, s, ROMAN)
            _copied(work, s, size, False)
            add_literal(work, s, END_BRACE)
            return s
    return symbols(work, np.int64(0), size)


# ---- elements with children


@leaf
def _add_base(work, s, base):
    """What a script hangs on, in braces where it is more than one symbol."""
    row = work.strings
    last = row[base, LAST]
    single = row[base, CHARS] == 1 or row[base, SHAPE] == COMMAND
    if single or (row[base, HEAD] >= 0 and (last == 41 or last == 93 or last == 124)):  # ) ] |
        add_string(work, s, base)
    else:
        add_literal(work, s, BRACE)
        add_string(work, s, base)
        add_literal(work, s, END_BRACE)


@leaf
def _add_two(work, s, opening, first, between, second):
    add_literal(work, s, opening)
    add_string(work, s, first)
    add_literal(work, s, between)
    add_string(work, s, second)
    add_literal(work, s, END_BRACE)


@leaf
def _given(work, d, key, otherwise):
    """The string of a fence: the attribute's, or a literal; a dot where the attribute is empty."""
    start, end = attribute(work.clean, np.int64(work.nodes[d, ATTRIBUTES]), np.int64(work.nodes[d, ATTRIBUTES_END]), key)
    if start < 0:
        s = new_string(work)
        add_literal(work, s, otherwise)
        return s
    start, end = stripped(work.text, np.int64(0), unescape(work.clean, start, end, work.text, np.int64(0)))
    s = symbols(work, start, end)
    if work.strings[s, HEAD] < 0:
        add_literal(work, s, DOT)
    return s


@leaf
def _fenced(work, d, s):
    nodes = work.nodes
    add_literal(work, s, LEFT)
    add_joined(work, s, _given(work, d, _OPEN, OPENING))
    start, end = attribute(work.clean, np.int64(nodes[d, ATTRIBUTES]), np.int64(nodes[d, ATTRIBUTES_END]), _SEPARATORS)
    size = unescape(work.clean, start, end, work.text, np.int64(0)) if start >= 0 else np.int64(0)
    at = np.int64(0)  # of the next separator; the last is used on and on
    last = np.int64(-1)
    child = nodes[d, FIRST]
    while child >= 0:
        following = work.strings[child, NEXT]
        add_joined(work, s, child)
        child = following
        if child < 0:
            break
        if start < 0:
            add_literal(work, s, COMMA)
            continue
        while at < size:
            wide = white_space(work.text, at, size)
            if not wide:
                break
            at += wide
        if at < size:
            last = at
            at += 1
            while at < size and work.text[at] & 0xC0 == 0x80:
                at += 1
        if last >= 0:
            behind = last + 1
            while behind < size and work.text[behind] & 0xC0 == 0x80:
                behind += 1
            add_joined(work, s, symbols(work, last, behind))
    add_literal(work, s, RIGHT)
    add_joined(work, s, _given(work, d, _CLOSE, CLOSING))


@leaf
def _is_binomial(work, d):
    """Whether a fraction has no line."""
    data = work.clean
    start, end = attribute(data, np.int64(work.nodes[d, ATTRIBUTES]), np.int64(work.nodes[d, ATTRIBUTES_END]), _THICKNESS)
    if start < 0 or end == start or data[start] != 48:
        return False
    if end == start + 3:
        return data[start + 1] == 112 and (data[start + 2] == 116 or data[start + 2] == 120)  # 0pt, 0px
    return end == start + 1


@leaf
def _over(work, s, base, mark):
    accent = work.strings[mark, ACCENT_COLUMN]
    if accent == BAR and work.strings[base, CHARS] > 1:
        accent = OVERLINE
    if accent:
        add_literal(work, s, FIRST_ACCENT + accent - 1)
        add_string(work, s, base)
        add_literal(work, s, END_BRACE)
    else:
        _add_two(work, s, OVER, mark, BETWEEN, base)


@leaf
def _scripted(work, name, s, one, two):
    """Elements of two children; whether this is one."""
    if name in (MSUP, MSUB):
        _add_base(work, s, one)
        add_literal(work, s, SUP if name == MSUP else SUB)
        add_string(work, s, two)
        add_literal(work, s, END_BRACE)
    elif name == MROOT:
        _add_two(work, s, ROOT, two, ROOT_OF, one)
    elif name == MUNDER and work.strings[one, FLAGS] & LIMIT:
        add_string(work, s, one)
        add_literal(work, s, SUB)
        add_string(work, s, two)
        add_literal(work, s, END_BRACE)
    elif name == MUNDER:
        _add_two(work, s, UNDER, two, BETWEEN, one)
    elif name == MOVER:
        _over(work, s, one, two)
    else:
        return False
    return True


@leaf
def _separated(work, s, first, separator):
    """Add the strings from `first` on, the separator between them."""
    child = first
    while child >= 0:
        following = work.strings[child, NEXT]
        add_string(work, s, child)
        child = following
        if child >= 0:
            add_literal(work, s, separator)


@leaf
def _joined(work, s, first):
    """Add the strings from `first` on."""
    child = first
    while child >= 0:
        following = work.strings[child, NEXT]
        add_joined(work, s, child)
        child = following


@leaf
def made(work, d):
    """The string of the open element at depth `d`."""
    name, count = work.nodes[d, NAME], work.nodes[d, COUNT]
    if MI <= name <= MS:
        return _leaf_string(work, name)
    s = new_string(work)
    one = work.nodes[d, FIRST]
    two = work.strings[one, NEXT] if count >= 2 else one
    if count == 2 and name == MFRAC:
        _add_two(work, s, BINOM if _is_binomial(work, d) else FRAC, one, BETWEEN, two)
    elif count == 2 and _scripted(work, name, s, one, two):
        pass
    elif count == 3 and (name in (MSUBSUP, MUNDEROVER)):
        three = work.strings[two, NEXT]
        _add_base(work, s, one)
        _add_two(work, s, SUB, two, END_SUP, three)
    elif name == MSQRT:
        add_literal(work, s, SQRT)
        _joined(work, s, one)
        add_literal(work, s, END_BRACE)
    elif name == MFENCED:
        _fenced(work, d, s)
    elif name == MTABLE:
        add_literal(work, s, MATRIX)
        _separated(work, s, one, NEW_ROW)
        add_literal(work, s, END_MATRIX)
    elif name in (MTR, MLABELEDTR):
        _separated(work, s, one, CELL)
    elif name == MSPACE:
        add_literal(work, s, BLANK)
    else:
        _joined(work, s, one)
    return s
