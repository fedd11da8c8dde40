"""Character references of HTML, decoded by a kernel: named, decimal and hexadecimal.

Source: the HTML standard (whatwg), 13.2.5.72 to 80; the names are those of Python's `html.entities`.
"""

from __future__ import annotations

from html.entities import html5

import numpy as np

from curation.text.compiled import leaf
from curation.text.html_names import FNV_PRIME, FNV_START, hash_table, look_up

LONGEST_NAME = 32
REPLACEMENT = 0xFFFD


def _named() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Table of the names without `;` (1 + index into `texts`), whether each does without one, and their texts [n, 2]."""
    names = sorted({name.rstrip(";") for name in html5})
    points = np.zeros((len(names) + 1, 2), np.int32)
    bare = np.zeros(len(names) + 1, np.bool_)
    for i, name in enumerate(names, 1):
        text = html5.get(name + ";") or html5[name]
        points[i, : len(text)] = [ord(c) for c in text]
        bare[i] = name in html5
    keys, found = hash_table({name.encode(): i for i, name in enumerate(names, 1)}, 13)
    return keys, found, bare, points


NAME_KEYS, NAME_FOUND, NAME_BARE, NAME_POINTS = _named()
C1_POINTS = np.array([ord(bytes([b]).decode("cp1252", "replace")) for b in range(128, 160)], np.int32)
"""What a number from 128 to 159 means: pages number cp1252, as browsers know."""


@leaf
def put_point(out, at, point):
    """Write a code point as UTF-8; the position behind it."""
    if point < 0x80:
        out[at] = point
        return at + 1
    if point < 0x800:
        out[at] = 0xC0 | point >> 6
        out[at + 1] = 0x80 | point & 0x3F
        return at + 2
    if point < 0x10000:
        out[at] = 0xE0 | point >> 12
        out[at + 1] = 0x80 | point >> 6 & 0x3F
        out[at + 2] = 0x80 | point & 0x3F
        return at + 3
    out[at] = 0xF0 | point >> 18
    out[at + 1] = 0x80 | point >> 12 & 0x3F
    out[at + 2] = 0x80 | point >> 6 & 0x3F
    out[at + 3] = 0x80 | point & 0x3F
    return at + 4


@leaf
def _numeric(data, at, end):
    """(code point, position behind) of the reference `&#…` at `at`; behind is `at` where it is none."""
    i = at + 2
    base = np.int64(10)
    if i < end and (data[i] == 120 or data[i] == 88):
        base = np.int64(16)
        i += 1
    first = i
    value = np.int64(0)
    while i < end:
        c = np.int64(data[i])
        if 48 <= c <= 57:
            digit = c - 48
        elif base == 16 and 97 <= c | 32 <= 102:
            digit = (c | 32) - 87
        else:
            break
        value = min(value * base + digit, np.int64(0x110000))
        i += 1
    if i == first:
        return np.int64(0), at
    if i < end and data[i] == 59:
        i += 1
    if 128 <= value < 160:
        value = np.int64(C1_POINTS[value - 128])
    if value == 0 or value > 0x10FFFF or 0xD800 <= value < 0xE000:
        value = np.int64(REPLACEMENT)
    return value, i


@leaf
def reference(data, at, end):
    """(first code point, second or 0, position behind) of the reference whose `&` is at `at`; behind is `at` where the
    `&` is only that. Relies on at < end <= len(data)."""
    if at + 1 < end and data[at + 1] == 35:
        point, behind = _numeric(data, at, end)
        return point, np.int64(0), behind
    key = FNV_START
    i = at + 1
    bare_entry, bare_at = np.int32(0), at
    while i < end and i - at <= LONGEST_NAME:
        c = data[i]
        if not (97 <= c | 32 <= 122 or 48 <= c <= 57):
            break
        key = (key ^ np.uint64(c)) * FNV_PRIME
        i += 1
        entry = look_up(NAME_KEYS, NAME_FOUND, key) if i - at <= 7 else np.int32(0)
        if entry and NAME_BARE[entry]:
            bare_entry, bare_at = entry, i
    if i < end and data[i] == 59 and i > at + 1:
        entry = look_up(NAME_KEYS, NAME_FOUND, key)
        if entry:
            return np.int64(NAME_POINTS[entry, 0]), np.int64(NAME_POINTS[entry, 1]), i + 1
    if bare_entry:
        return np.int64(NAME_POINTS[bare_entry, 0]), np.int64(NAME_POINTS[bare_entry, 1]), bare_at
    return np.int64(0), np.int64(0), at
