r"""TeX of each element of presentation MathML, from its characters or from the TeX of its children.

Source: MathML 3 (W3C), chapter 3. The conversion is ours.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import leaf
from curation.text.html_names import fnv
from curation.text.math_leaves import leaf_string
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
    MATRIX,
    NEW_ROW,
    NEXT,
    NOTHING,
    OPENING,
    OVER,
    RIGHT,
    ROOT,
    ROOT_OF,
    SHAPE,
    SQRT,
    SUB,
    SUP,
    UNDER,
    add_joined,
    add_literal,
    add_string,
    new_string,
    stripped,
    symbols,
    unescape,
)
from curation.text.math_symbols import (
    BAR,
    COMMAND,
    LIMIT,
    MFENCED,
    MFRAC,
    MI,
    MLABELEDTR,
    MMULTISCRIPTS,
    MOVER,
    MROOT,
    MS,
    MSPACE,
    MSQRT,
    MSUB,
    MSUBSUP,
    MSUP,
    MTABLE,
    MTR,
    MUNDER,
    MUNDEROVER,
    OVERLINE,
    white_space,
)
from curation.text.tag_scans import attribute

# Columns of an open element's row: its name, where its attributes are, from and to, its first and last child, how many;
# the hash of its name; how many children were there at `mprescripts`.
NAME, ATTRIBUTES, ATTRIBUTES_END, FIRST, LAST_CHILD, COUNT, KEY, BEFORE = range(8)

_OPEN, _CLOSE, _SEPARATORS, _THICKNESS = (np.uint64(fnv(name)) for name in (b"open", b"close", b"separators", b"linethickness"))


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
def _add_fence(work, d, s, key, otherwise):
    """Add a fence to string `s`: the attribute's, or a literal; a dot where the attribute is empty."""
    start, end = _attribute_of(work, d, key)
    if start < 0:
        add_literal(work.rows, s, otherwise)
        return
    start, end = stripped(work.text, np.int64(0), unescape(work.clean, start, end, work.text, np.int64(0)))
    fence = symbols(work.rows, work.store, work.text, start, end)
    if work.rows[fence, HEAD]:
        add_joined(work.rows, s, fence)
    else:
        add_literal(work.rows, s, DOT)


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
    _add_fence(work, d, s, _OPEN, OPENING)
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
    _add_fence(work, d, s, _CLOSE, CLOSING)


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
        return leaf_string(rows, work.store, work.text, name)
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
