r"""TeX of each element of presentation MathML, from its characters or from the TeX of its children.

Source: MathML 3 (W3C), chapter 3. The conversion is ours.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import leaf
from curation.text.html_names import FNV_PRIME, FNV_START, fnv, look_up
from curation.text.math_pieces import (
    ACCENT,
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
    MANY,
    MATRIX,
    NEW_ROW,
    NEXT,
    NOT,
    NOTHING,
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
    MMULTISCRIPTS,
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

# Columns of an open element's row: its name, where its attributes are, from and to, its first and last child, how many;
# the hash of its name; how many children were there at `mprescripts`.
NAME, ATTRIBUTES, ATTRIBUTES_END, FIRST, LAST_CHILD, COUNT, KEY, BEFORE = range(8)

_OPEN, _CLOSE, _SEPARATORS, _THICKNESS = (np.uint64(fnv(name)) for name in (b"open", b"close", b"separators", b"linethickness"))
LONGEST_FUNCTION = 6
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
            if stop == start:
                continue
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
def _add_copy(rows, store, s, text, size, escaped):
    """Add text[:size], which is not empty, to string `s`, the signs that mean something in TeX escaped or not."""
    first = at = np.int64(rows[0, STORE])
    for i in range(size):
        c = text[i]
        special = escaped and (35 <= c <= 38 or c == 95 or c == 123 or c == 125 or c == 92)  # # $ % & _ { } \
        if special:
            store[at] = 92
            at += 1
        if special and c == 92:
            for k in range(len(_BACKSLASH)):
                store[at] = _BACKSLASH[k]
                at += 1
        else:
            store[at] = c
            at += 1
    rows[0, STORE] = at
    add_piece(rows, s, first, at, OTHER, MANY, np.int64(store[at - 1]), NOT, NOT)


@leaf
def _function(text, size):
    """Flags of the function whose name is text[:size], 0 when it is none."""
    key = FNV_START
    for i in range(size):
        key = (key ^ np.uint64(text[i])) * FNV_PRIME
    return np.int64(look_up(FUNCTION_KEYS, FUNCTION_FLAGS, key))


@leaf
def _is_word(text, size):
    """Whether text[:size] is ASCII letters."""
    i = 0
    while i < size and ascii_letter(text[i]):
        i += 1
    return i == size


@leaf
def _leaf_string(rows, store, text, name):
    """The string of a leaf whose characters are in `text`."""
    size = _collapse(text, np.int64(rows[0, TEXT]))
    rows[0, TEXT] = 0
    of_text = name in (MTEXT, MS)
    function = _function(text, size) if name in (MI, MO) and 2 <= size <= LONGEST_FUNCTION else np.int64(0)
    if not of_text and not function and not (name == MI and size > 1 and _is_word(text, size)):
        return symbols(rows, store, text, np.int64(0), size)
    s = new_string(rows)
    if function:
        first = np.int64(rows[0, STORE])
        store[first] = 92
        for i in range(size):
            store[first + 1 + i] = text[i]
        rows[0, STORE] = first + 1 + size
        add_piece(rows, s, first, first + 1 + size, COMMAND, MANY, np.int64(text[size - 1]), function & LIMIT, NOT)
    elif size == 0:
        add_literal(rows, s, BLANK)
    else:
        add_literal(rows, s, TEXT_OF if of_text else ROMAN)
        _add_copy(rows, store, s, text, size, of_text)
        add_literal(rows, s, END_BRACE)
    return s


# ---- elements with children


@leaf
def _add_base(rows, s, base):
    """What a script hangs on, in braces where it is more than one symbol."""
    last = rows[base, LAST]
    if rows[base, CHARS] == 1 or rows[base, SHAPE] == COMMAND or last == 41 or last == 93 or last == 124:  # ) ] |
        add_string(rows, s, base)
    else:
        add_literal(rows, s, BRACE)
        add_string(rows, s, base)
        add_literal(rows, s, END_BRACE)


@leaf
def _add_two(rows, s, opening, first, between, second):
    add_literal(rows, s, opening)
    add_string(rows, s, first)
    add_literal(rows, s, between)
    add_string(rows, s, second)
    add_literal(rows, s, END_BRACE)


@leaf
def _attribute_of(work, d, key):
    """(start, end) of an attribute's value of the open element in row `d`, in `clean`; (-1, -1) without it."""
    return attribute(work.clean, np.int64(work.rows[d, ATTRIBUTES]), np.int64(work.rows[d, ATTRIBUTES_END]), key)


@leaf
def _fence(work, d, key, otherwise):
    """The string of a fence: the attribute's, or a literal; a dot where the attribute is empty."""
    start, end = _attribute_of(work, d, key)
    if start < 0:
        s = new_string(work.rows)
        add_literal(work.rows, s, otherwise)
        return s
    start, end = stripped(work.text, np.int64(0), unescape(work.clean, start, end, work.text, np.int64(0)))
    s = symbols(work.rows, work.store, work.text, start, end)
    if not work.rows[s, HEAD]:
        add_literal(work.rows, s, DOT)
    return s


@leaf
def _behind_point(text, at, size):
    """Position behind the character at `at`."""
    at += 1
    while at < size and text[at] & 0xC0 == 0x80:
        at += 1
    return at


@leaf
def _behind_space(text, at, size):
    wide = white_space(text, at, size) if at < size else 0
    while wide:
        at += wide
        wide = white_space(text, at, size) if at < size else 0
    return at


@leaf
def _fenced(work, d, s):
    """Children between fences, a separator between each two; the last separator serves for all further ones."""
    rows, text = work.rows, work.text
    add_literal(rows, s, LEFT)
    add_joined(rows, s, _fence(work, d, _OPEN, OPENING))
    start, end = _attribute_of(work, d, _SEPARATORS)
    size = unescape(work.clean, start, end, text, np.int64(0)) if start >= 0 else np.int64(0)
    following = _behind_space(text, np.int64(0), size)
    first = behind = np.int64(0)
    child = rows[d, FIRST]
    while child:
        sibling = rows[child, NEXT]
        add_joined(rows, s, child)
        if sibling and start < 0:
            add_literal(rows, s, COMMA)
        elif sibling:
            if following < size:
                first, behind = following, _behind_point(text, following, size)
                following = _behind_space(text, behind, size)
            add_joined(rows, s, symbols(rows, work.store, text, first, behind))
        child = sibling
    add_literal(rows, s, RIGHT)
    add_joined(rows, s, _fence(work, d, _CLOSE, CLOSING))


@leaf
def _is_binomial(work, d):
    """Whether a fraction has no line."""
    data = work.clean
    start, end = _attribute_of(work, d, _THICKNESS)
    if start < 0 or end == start or data[start] != 48:
        return False
    if end == start + 3:
        return data[start + 1] == 112 and (data[start + 2] == 116 or data[start + 2] == 120)  # 0pt, 0px
    return end == start + 1


@leaf
def _over(rows, s, base, mark):
    accent = rows[mark, ACCENT]
    if accent == BAR and rows[base, CHARS] > 1:
        accent = OVERLINE
    if accent:
        add_literal(rows, s, FIRST_ACCENT + accent - 1)
        add_string(rows, s, base)
        add_literal(rows, s, END_BRACE)
    else:
        _add_two(rows, s, OVER, mark, BETWEEN, base)


@leaf
def _scripted(rows, name, s, one, two):
    """Elements of two children; whether this is one."""
    limit = name == MUNDER and rows[one, FLAGS] & LIMIT
    if name in (MSUP, MSUB) or limit:
        if limit:
            add_string(rows, s, one)
        else:
            _add_base(rows, s, one)
        add_literal(rows, s, SUP if name == MSUP else SUB)
        add_string(rows, s, two)
        add_literal(rows, s, END_BRACE)
    elif name == MROOT:
        _add_two(rows, s, ROOT, two, ROOT_OF, one)
    elif name == MUNDER:
        _add_two(rows, s, UNDER, two, BETWEEN, one)
    elif name == MOVER:
        _over(rows, s, one, two)
    else:
        return False
    return True


@leaf
def _add_scripts(rows, s, child, count):
    """Add `count` children from `child` on, an index and a power by turns, each pair on a base or on nothing."""
    for k in range(count):
        if k > 1 and k % 2 == 0:
            add_literal(rows, s, NOTHING)
        if rows[child, HEAD]:
            add_literal(rows, s, SUP if k % 2 else SUB)
            sibling = rows[child, NEXT]
            add_string(rows, s, child)
            add_literal(rows, s, END_BRACE)
            child = sibling
        else:
            child = rows[child, NEXT]


@leaf
def _multiscripts(rows, d, s):
    """A base with indices and powers behind it and, from `mprescripts` on, before it."""
    count = rows[d, COUNT]
    before = rows[d, BEFORE] if rows[d, BEFORE] else count
    base = child = rows[d, FIRST]
    for _ in range(before):
        child = rows[child, NEXT]
    if count > before:
        add_literal(rows, s, NOTHING)
        _add_scripts(rows, s, child, count - before)
    first = rows[base, NEXT]
    _add_base(rows, s, base)
    _add_scripts(rows, s, first, before - 1)


@leaf
def _add_separated(rows, s, first, separator):
    """Add the strings from `first` on, the separator between them."""
    child = first
    while child:
        sibling = rows[child, NEXT]
        add_string(rows, s, child)
        if sibling:
            add_literal(rows, s, separator)
        child = sibling


@leaf
def add_all(rows, s, first):
    """Add the strings from `first` on."""
    child = first
    while child:
        sibling = rows[child, NEXT]
        add_joined(rows, s, child)
        child = sibling


@leaf
def made(work, d):
    """The string of the open element in row `d`."""
    rows = work.rows
    name, count = rows[d, NAME], rows[d, COUNT]
    if MI <= name <= MS:
        return _leaf_string(rows, work.store, work.text, name)
    s = new_string(rows)
    one = rows[d, FIRST]
    two = rows[one, NEXT] if count >= 2 else one
    if count == 2 and name == MFRAC:
        _add_two(rows, s, BINOM if _is_binomial(work, d) else FRAC, one, BETWEEN, two)
    elif count == 2 and _scripted(rows, name, s, one, two):
        pass
    elif count == 3 and name in (MSUBSUP, MUNDEROVER):
        three = rows[two, NEXT]
        _add_base(rows, s, one)
        _add_two(rows, s, SUB, two, END_SUP, three)
    elif name == MMULTISCRIPTS and count:
        _multiscripts(rows, d, s)
    elif name == MSQRT:
        add_literal(rows, s, SQRT)
        add_all(rows, s, one)
        add_literal(rows, s, END_BRACE)
    elif name == MFENCED:
        _fenced(work, d, s)
    elif name == MTABLE:
        add_literal(rows, s, MATRIX)
        _add_separated(rows, s, one, NEW_ROW)
        add_literal(rows, s, END_MATRIX)
    elif name in (MTR, MLABELEDTR):
        _add_separated(rows, s, one, CELL)
    elif name == MSPACE:
        add_literal(rows, s, BLANK)
    else:
        add_all(rows, s, one)
    return s
