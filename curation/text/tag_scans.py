"""Scans of tags by kernels: names, attributes, ends. Linear, whatever is left open.

Source: the HTML standard (whatwg), 13.2.5, simplified.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import leaf
from curation.text.html_names import FNV_PRIME, FNV_START

LONGEST_NAME, LONGEST_PREFIX = 31, 8


@leaf
def ascii_letter(c):
    return 97 <= c | 32 <= 122


@leaf
def white_space_byte(c):
    return c == 32 or 9 <= c <= 13


@leaf
def is_word(data, at, end, word):
    """Whether `word`, in small letters, stands at `at` in letters of any size."""
    if at + len(word) > end:
        return False
    for k in range(len(word)):
        c = data[at + k]
        if (c | 32 if 65 <= c <= 90 else c) != word[k]:
            return False
    return True


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
def _is_name(c):
    return not (white_space_byte(c) or c == 61 or c == 34 or c == 39 or c == 47)


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


@leaf
def tag_close(data, at, end):
    """Position of the `>` that ends the tag whose attributes begin at `at`, quotes heeded where they are closed; -1."""
    plain = np.int64(-1)
    quote = np.uint8(0)
    for i in range(at, end):
        c = data[i]
        if c == 62:
            if not quote:
                return i
            if plain < 0:
                plain = np.int64(i)
        elif quote:
            if c == quote:
                quote = np.uint8(0)
        elif c == 34 or c == 39:
            quote = c
    return plain
