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
    BEFORE,
    COUNT,
    FIRST,
    KEY,
    LAST_CHILD,
    NAME,
    add_all,
    ascii_letter,
    made,
)
from curation.text.math_pieces import (
    COLUMNS,
    HEAD,
    LITERALS,
    NEXT,
    ROWS,
    ROWS_PER_TAG,
    STORE,
    STORE_PER_BYTE,
    TEXT,
    Work,
    new_string,
    stripped,
    symbols,
    unescape,
)
from curation.text.math_symbols import (
    DROPPED,
    ELEMENT_IDS,
    ELEMENT_KEYS,
    MATH,
    MI,
    MMULTISCRIPTS,
    MPRESCRIPTS,
    MROW,
    MS,
    MSTYLE,
    MTABLE,
    NO_SCRIPT,
)

DEEPEST = 100
"""So many elements are open at most, the outermost among them; the tags of those within are passed over."""
LONGEST_NAME, LONGEST_PREFIX = 31, 8
_KEY_MASK = np.uint64(0x7FFFFFFF)
# What `_token` tells: the kind, and of a tag the number of its name and where its attributes are, from and to.
TEXT_TOKEN, OTHER_TOKEN, START_TOKEN, EMPTY_TOKEN, END_TOKEN = range(5)


# Rows: the state, the open elements, counts of their names' keys, then strings and pieces.
ROOT_ROW = np.int64(1)
_COUNTS = ROOT_ROW + DEEPEST + 1
_COUNT_BITS = 8
_FREE = _COUNTS + (1 << _COUNT_BITS) // COLUMNS


@leaf
def rows_needed(tags):
    """Rows for a formula of so many tags."""
    return _FREE + ROWS_PER_TAG * (tags + 1)


@inlined
def empty_rows(count):
    """So many rows, at least `rows_needed(0)`, with nothing in them."""
    rows = np.empty((count, COLUMNS), np.int64)
    for row in range(_FREE):
        for column in range(COLUMNS):
            rows[row, column] = 0
    return rows


@inlined
def work_for(size):
    """Room for formulas of up to `size` bytes, but for their tags."""
    store = np.empty(len(LITERALS) + STORE_PER_BYTE * size + 64, np.uint8)
    for i in range(len(LITERALS)):
        store[i] = LITERALS[i]
    return Work(empty_rows(rows_needed(np.int64(0))), store, np.empty(2 * size + 64, np.uint8), np.empty(size + 64, np.uint8))


@leaf
def begin(rows):
    """Forget the last formula."""
    rows[0, ROWS] = _FREE
    rows[0, STORE] = len(LITERALS)
    rows[0, TEXT] = 0


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
    """Where the name at `at` begins, its prefix left out."""
    i = at
    while i < end and i - at <= LONGEST_PREFIX and ascii_letter(data[i]):
        i += 1
    if 1 <= i - at <= LONGEST_PREFIX and i + 1 < end and data[i] == 58 and ascii_letter(data[i + 1]):
        return i + 1
    return at


@leaf
def name_key(data, at, end):
    """(hash in small letters, position behind) of the name at `at`, its prefix left out; behind is `at` without a name."""
    key = FNV_START
    i = first = at
    while i < end and i - first < LONGEST_NAME:
        c = data[i]
        if not ascii_letter(c) and (c != 45 or i == first):
            if c == 58 and first == at and 1 <= i - at <= LONGEST_PREFIX and i + 1 < end and ascii_letter(data[i + 1]):
                first = i = i + 1
                key = FNV_START
                continue
            break
        key = (key ^ np.uint64(c | 32 if c <= 90 and c != 45 else c)) * FNV_PRIME
        i += 1
    return key, i


@leaf
def _token(data, at, end):
    """(kind, hash of the name, start and end of the attributes, position behind) of what begins with the `<` at `at`."""
    ends = at + 1 < end and data[at + 1] == 47
    name = at + 2 if ends else at + 1
    key, start = name_key(data, name, end)
    named = start > name
    i = start if named else at + 1
    while i < end and data[i] != 60 and data[i] != 62:
        i += 1
    if i == end or data[i] == 60:
        return TEXT_TOKEN, key, at, at, at + 1
    if not named:
        return OTHER_TOKEN, key, at, at, i + 1
    if ends:
        return END_TOKEN, key, start, i, i + 1
    if i > start and data[i - 1] == 47:
        return EMPTY_TOKEN, key, start, i - 1, i + 1
    return START_TOKEN, key, start, i, i + 1


@leaf
def _add_child(rows, d, s):
    if rows[d, COUNT]:
        rows[rows[d, LAST_CHILD], NEXT] = s
    else:
        rows[d, FIRST] = s
    rows[d, LAST_CHILD] = s
    rows[d, COUNT] += 1


@leaf
def _add_text(work, d, start, end):
    """Take the characters clean[start:end] into the open element in row `d`."""
    rows, text = work.rows, work.text
    if MI <= rows[d, NAME] <= MS:
        rows[0, TEXT] = unescape(work.clean, start, end, text, np.int64(rows[0, TEXT]))
        return
    start, end = stripped(text, np.int64(0), unescape(work.clean, start, end, text, np.int64(0)))
    if end > start:
        _add_child(rows, d, symbols(rows, work.store, text, start, end))


@leaf
def _open(rows, d, name, key, start, end):
    rows[d, NAME], rows[d, ATTRIBUTES], rows[d, ATTRIBUTES_END], rows[d, KEY] = name, start, end, key
    rows[d, FIRST] = rows[d, LAST_CHILD] = rows[d, COUNT] = rows[d, BEFORE] = 0
    rows[_COUNTS + (key >> 3 & 31), key & 7] += 1


@leaf
def _close(work, d):
    """Close the open element in row `d`, the deepest."""
    rows = work.rows
    s = made(work, d)
    key = rows[d, KEY]
    rows[_COUNTS + (key >> 3 & 31), key & 7] -= 1
    # a row's cells and a script's parts keep their places, empty ones too
    if rows[s, HEAD] or rows[d - 1, NAME] not in (MROW, MATH, MSTYLE, MTABLE):
        _add_child(rows, d - 1, s)


@leaf
def _row_of(rows, top, key):
    """Row of the deepest open element of this name, that of the outermost when none is open."""
    if not rows[_COUNTS + (key >> 3 & 31), key & 7]:
        return ROOT_ROW
    d = top
    while d > ROOT_ROW and rows[d, KEY] != key:
        d -= 1
    return d


@leaf
def _take_tag(work, top, kind, key, name, start, end):
    """Open or close what a tag opens or closes; the row of the deepest open element then."""
    rows = work.rows
    if kind == END_TOKEN:
        d = _row_of(rows, top, key)
        while d > ROOT_ROW and top >= d:
            _close(work, top)
            top -= 1
        return top
    if MI <= rows[top, NAME] <= MS:
        _close(work, top)
        top -= 1
    top += 1
    _open(rows, top, name, key, start, end)
    if kind == EMPTY_TOKEN:
        _close(work, top)
        top -= 1
    return top


@leaf
def mathml_string(work, data, start, end):
    """The string of the MathML data[start:end]: what is inside of `math`, ended or not."""
    clean, rows = work.clean, work.rows
    size = _without_comments(data, start, end, clean)
    rows[ROOT_ROW, NAME] = MATH
    rows[ROOT_ROW, FIRST] = rows[ROOT_ROW, COUNT] = 0
    top = ROOT_ROW
    dropped = flattened = 0
    i = text_at = np.int64(0)
    while i < size:
        if clean[i] != 60:
            i += 1
            continue
        kind, full_key, first, last, behind = _token(clean, i, size)
        at = i
        i = behind
        if kind == TEXT_TOKEN:
            continue
        if at > text_at and not dropped:
            _add_text(work, top, text_at, at)
        text_at = behind
        if kind == OTHER_TOKEN:
            continue
        name = look_up(ELEMENT_KEYS, ELEMENT_IDS, full_key)
        placed = MPRESCRIPTS <= name <= NO_SCRIPT and kind != END_TOKEN and rows[top, NAME] == MMULTISCRIPTS and not flattened
        if placed and not dropped:
            if name == NO_SCRIPT:
                _add_child(rows, top, new_string(rows))
            else:
                rows[top, BEFORE] = rows[top, COUNT]
        elif MPRESCRIPTS <= name <= DROPPED:
            dropped = max(dropped + (kind == START_TOKEN) - (kind == END_TOKEN), 0)
        elif dropped or (name == MATH and top == ROOT_ROW):
            continue
        elif kind != END_TOKEN and top == ROOT_ROW + DEEPEST:
            flattened += kind == START_TOKEN
        elif kind == END_TOKEN and flattened:
            flattened -= 1
        else:
            top = _take_tag(work, top, kind, np.int64(full_key & _KEY_MASK), np.int64(name), first, last)
    if size > text_at and not dropped:
        _add_text(work, top, text_at, size)
    while top > ROOT_ROW:
        _close(work, top)
        top -= 1
    s = new_string(rows)
    add_all(rows, s, rows[ROOT_ROW, FIRST])
    return s
