r"""TeX of the leaves of MathML: identifiers, numbers, operators and texts.

Source: MathML 3 (W3C), chapter 3.2. The conversion is ours.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import leaf
from curation.text.html_names import FNV_PRIME, FNV_START, look_up
from curation.text.math_pieces import (
    BLANK,
    END_BRACE,
    MANY,
    NOT,
    ROMAN,
    STORE,
    TEXT,
    TEXT_OF,
    add_literal,
    add_piece,
    new_string,
    symbols,
)
from curation.text.math_symbols import (
    COMMAND,
    FUNCTION_FLAGS,
    FUNCTION_KEYS,
    LIMIT,
    MI,
    MO,
    MS,
    MTEXT,
    OTHER,
    white_space,
)
from curation.text.tag_scans import ascii_letter

LONGEST_FUNCTION = 6
_BACKSLASH = np.frombuffer(b"textbackslash{}", np.uint8)


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
def leaf_string(rows, store, text, name):
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
