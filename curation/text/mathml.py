r"""Presentation MathML as TeX: `<msup><mi>x</mi><mn>2</mn></msup>` becomes `x^{2}`.

Meant for reading and training, not for typesetting: spacing and fonts are left out, and what is not known passes as text.
Linear in the element; nesting beyond DEEPEST is flattened.

Source: MathML 3 (W3C), chapter 3. The conversion is ours.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import inlined, leaf
from curation.text.html_names import FNV_PRIME, FNV_START, look_up
from curation.text.math_elements import (
    ATTRIBUTES,
    ATTRIBUTES_END,
    COUNT,
    FIRST,
    LAST_CHILD,
    NAME,
    NODE_COLUMNS,
    ascii_letter,
    made,
)
from curation.text.math_pieces import (
    HEAD,
    LITERALS,
    NEXT,
    PIECE_COLUMNS,
    PIECES_PER_TAG,
    STATES,
    STORE,
    STORE_PER_BYTE,
    STRING_COLUMNS,
    STRINGS_PER_TAG,
    TEXT,
    Work,
    add_joined,
    new_string,
    stripped,
    symbols,
    unescape,
)
from curation.text.math_symbols import DROPPED, ELEMENT_IDS, ELEMENT_KEYS, MATH, MI, MROW, MS, MSTYLE, MTABLE

DEEPEST = 100
"""So many elements are open at most, the outermost among them; the tags of those within are passed over."""
LONGEST_NAME, LONGEST_PREFIX = 31, 8
# What `_tag` tells: the kind, and of a tag the number of its name and where its attributes are, from and to.
TEXT_TOKEN, OTHER_TOKEN, START_TOKEN, EMPTY_TOKEN, END_TOKEN = range(5)


@inlined
def work_for(size, tags):
    """Room for formulas of up to `size` bytes with up to `tags` of `<`."""
    work = Work(
        np.empty((STRINGS_PER_TAG * (tags + 1), STRING_COLUMNS), np.int32),
        np.empty((PIECES_PER_TAG * (tags + 1), PIECE_COLUMNS), np.int32),
        np.empty(len(LITERALS) + STORE_PER_BYTE * size + 64, np.uint8),
        np.empty(2 * size + 64, np.uint8),
        np.empty(size + 64, np.uint8),
        np.empty((DEEPEST + 2, NODE_COLUMNS), np.int32),
        np.zeros(DEEPEST + 2, np.uint64),
        np.zeros(256, np.int32),
        np.zeros(STATES, np.int64),
    )
    work.store[: len(LITERALS)] = LITERALS
    return work


@leaf
def begin(work):
    """Forget the last formula."""
    work.state[:] = 0
    work.state[STORE] = len(LITERALS)


@leaf
def _without_comments(data, start, end, clean):
    """Copy data[start:end] but its comments to `clean`; the size of that. A comment without an end stays."""
    size = np.int64(0)
    i = start
    closed = True
    while i < end:
        if closed and data[i] == 60 and i + 3 < end and data[i + 1] == 33 and data[i + 2] == 45 and data[i + 3] == 45:
            k = i + 6
            while k < end and not (data[k] == 62 and data[k - 1] == 45 and data[k - 2] == 45):
                k += 1
            if k < end:
                i = k + 1
                continue
            closed = False
        clean[size] = data[i]
        size += 1
        i += 1
    return size


@leaf
def name_at(data, at, end):
    """(start, end) of the name at `at`, its prefix left out; equal where there is none."""
    i = at
    while i < end and i - at <= LONGEST_PREFIX and ascii_letter(data[i]):
        i += 1
    if 1 <= i - at <= LONGEST_PREFIX and i + 1 < end and data[i] == 58 and ascii_letter(data[i + 1]):
        at = i + 1
    if at >= end or not ascii_letter(data[at]):
        return at, at
    i = at + 1
    while i < end and i - at < LONGEST_NAME and (ascii_letter(data[i]) or data[i] == 45):
        i += 1
    return at, i


@leaf
def _token(data, at, end):
    """(kind, hash of the name, start and end of the attributes, position behind) of what begins with the `<` at `at`."""
    ends = at + 1 < end and data[at + 1] == 47
    name, i = name_at(data, at + 2 if ends else at + 1, end)
    key = FNV_START
    for k in range(name, i):
        c = data[k]
        key = (key ^ np.uint64(c | 32 if 65 <= c <= 90 else c)) * FNV_PRIME
    start = i
    if name == i:
        i = at + 1
    while i < end and data[i] != 60 and data[i] != 62:
        i += 1
    if i == end or data[i] == 60:
        return TEXT_TOKEN, key, at, at, at + 1
    if name == start:
        return OTHER_TOKEN, key, at, at, i + 1
    if ends:
        return END_TOKEN, key, start, i, i + 1
    if i > start and data[i - 1] == 47:
        return EMPTY_TOKEN, key, start, i - 1, i + 1
    return START_TOKEN, key, start, i, i + 1


@leaf
def _add_child(work, d, s):
    nodes = work.nodes
    if nodes[d, COUNT]:
        work.strings[nodes[d, LAST_CHILD], NEXT] = s
    else:
        nodes[d, FIRST] = s
    nodes[d, LAST_CHILD] = s
    nodes[d, COUNT] += 1


@leaf
def _add_text(work, d, start, end):
    """Take the characters clean[start:end] into the open element at depth `d`."""
    if MI <= work.nodes[d, NAME] <= MS:
        work.state[TEXT] = unescape(work.clean, start, end, work.text, work.state[TEXT])
        return
    start, end = stripped(work.text, np.int64(0), unescape(work.clean, start, end, work.text, np.int64(0)))
    if end > start:
        _add_child(work, d, symbols(work, start, end))


@leaf
def _open(work, d, name, key, start, end):
    nodes = work.nodes
    nodes[d, NAME], nodes[d, ATTRIBUTES], nodes[d, ATTRIBUTES_END] = name, start, end
    nodes[d, FIRST] = nodes[d, LAST_CHILD] = -1
    nodes[d, COUNT] = 0
    work.hashes[d] = key
    work.open_of[key & np.uint64(255)] += 1


@leaf
def _close(work, d):
    """Close the open element at depth `d`, the deepest."""
    s = made(work, d)
    work.open_of[work.hashes[d] & np.uint64(255)] -= 1
    parent = work.nodes[d - 1, NAME]
    # a row's cells and a script's parts keep their places, empty ones too
    if work.strings[s, HEAD] >= 0 or parent not in (MROW, MATH, MSTYLE, MTABLE):
        _add_child(work, d - 1, s)


@leaf
def _depth_of(work, depth, key):
    """Depth of the deepest open element of this name, 0 when none is open."""
    if not work.open_of[key & np.uint64(255)]:
        return 0
    d = depth - 1
    while d > 0 and work.hashes[d] != key:
        d -= 1
    return d


@leaf
def mathml_string(work, data, start, end):
    """The string of the MathML data[start:end]: what is inside of `math`, ended or not."""
    size = _without_comments(data, start, end, work.clean)
    _open(work, 0, MATH, np.uint64(0), 0, 0)
    depth = 1  # elements open, the outermost among them
    dropped = flattened = 0
    i = np.int64(0)
    while i < size:
        kind, key, first, last, behind = TEXT_TOKEN, np.uint64(0), i, i, i
        if work.clean[i] == 60:
            kind, key, first, last, behind = _token(work.clean, i, size)
        else:
            while behind < size and work.clean[behind] != 60:
                behind += 1
        at = i
        i = behind
        if kind == TEXT_TOKEN:
            if not dropped:
                _add_text(work, depth - 1, at, behind)
            continue
        if kind == OTHER_TOKEN:
            continue
        name = look_up(ELEMENT_KEYS, ELEMENT_IDS, key)
        if name == DROPPED:
            dropped = max(dropped + (kind == START_TOKEN) - (kind == END_TOKEN), 0)
        elif dropped or (name == MATH and depth == 1):
            continue
        elif kind != END_TOKEN and depth > DEEPEST:
            flattened += kind == START_TOKEN
        elif kind == END_TOKEN and flattened:
            flattened -= 1
        elif kind != END_TOKEN:
            if MI <= work.nodes[depth - 1, NAME] <= MS:
                depth -= 1
                _close(work, depth)
            _open(work, depth, name, key, first, last)
            if kind == EMPTY_TOKEN:
                _close(work, depth)
            else:
                depth += 1
        else:
            d = _depth_of(work, depth, key)
            while d and depth > d:
                depth -= 1
                _close(work, depth)
    while depth > 1:
        depth -= 1
        _close(work, depth)
    work.open_of[0] = 0
    s = new_string(work)
    child = work.nodes[0, FIRST]
    while child >= 0:
        following = work.strings[child, NEXT]
        add_joined(work, s, child)
        child = following
    return s
