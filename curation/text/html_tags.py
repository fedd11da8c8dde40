"""Scanning the inside of HTML tags: attributes, ends of comments and of content that is no text. Linear in the page.

A page may open quotes, comments and scripts and never close them. Each kind of search that ran to the end of the page
without finding is remembered in `closed` (positions from which on nothing is found), so that none is made twice.

Source: the HTML standard (whatwg), 13.2.5, simplified.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import leaf
from curation.text.html_names import COMMENT_KIND, FNV_PRIME, FNV_START, KIND_KEYS, KIND_MASKS, TAGS, fnv, look_up

_CLASS, _ID, _ROLE, _ITEMPROP = (np.uint64(fnv(name)) for name in (b"class", b"id", b"role", b"itemprop"))
_STYLE, _HIDDEN, _HREF, _ARIA_HIDDEN = (np.uint64(fnv(name)) for name in (b"style", b"hidden", b"href", b"aria-hidden"))

# Places in `closed`: from here on there is no such byte or end; the page's size + 1 while that is not known.
NO_DOUBLE, NO_SINGLE, NO_COMMENT, NO_TAG_END, NO_END = 0, 1, 2, 3, 4
CLOSED = NO_END + TAGS

# What `attributes` tells of a tag, in an int64 array of so many places.
NAMES, WORDS, IS_HIDDEN, HAS_HREF, SELF_CLOSED = 0, 1, 2, 3, 4
TOLD = 5


@leaf
def _is_letter(c):
    return 97 <= c | 32 <= 122


@leaf
def _find(data, at, end, byte, closed, place):
    """Position of `byte` from `at` on, -1 when there is none."""
    if at >= closed[place]:
        return np.int64(-1)
    i = at
    while i < end:
        if data[i] == byte:
            return i
        i += 1
    closed[place] = at
    return np.int64(-1)


@leaf
def _name_words(data, start, end, told):
    """Take the value of a class, id, role or itemprop into `told`: its hash without digits, the kinds of its words."""
    names = np.uint64(told[NAMES])
    kinds = told[WORDS]
    i = start
    while i < end:
        c = data[i]
        if not _is_letter(c):
            if not 48 <= c <= 57:
                names = (names ^ np.uint64(c)) * FNV_PRIME
            i += 1
            continue
        key = FNV_START
        first = True
        while i < end and _is_letter(data[i]):
            # a new word begins at a capital that follows a small letter
            if not first and data[i] < 97 and data[i - 1] >= 97:
                break
            low = np.uint64(data[i] | 32)
            key = (key ^ low) * FNV_PRIME
            names = (names ^ low) * FNV_PRIME
            first = False
            i += 1
        kinds |= np.int64(look_up(KIND_KEYS, KIND_MASKS, key))
    told[NAMES] = np.int64(names)
    told[WORDS] = kinds


@leaf
def _hides(data, start, end):
    """Whether a style has `display:none` or `visibility:hidden`, with or without a blank."""
    i = start
    while i + 4 < end:
        if data[i] == 58:  # a colon
            j = i + 1
            while j < end and data[j] == 32:
                j += 1
            if j + 4 <= end and i >= start + 7:
                before = data[i - 1] | 32
                if before == 121 and data[i - 2] | 32 == 97:  # displAY: none
                    if data[j] | 32 == 110 and data[j + 1] | 32 == 111 and data[j + 2] | 32 == 110:
                        return True
                elif before == 121 and data[i - 2] | 32 == 116 and data[j] | 32 == 104 and data[j + 1] | 32 == 105:
                    return True  # visibiliTY: hidden
        i += 1
    return False


@leaf
def _value(data, at, end, closed):
    """(start, end, position behind) of the attribute value at `at`, blanks before it skipped."""
    i = at
    while i < end and data[i] <= 32:
        i += 1
    if i >= end:
        return i, i, i
    c = data[i]
    if c == 34 or c == 39:
        close = _find(data, i + 1, end, c, closed, NO_DOUBLE if c == 34 else NO_SINGLE)
        if close >= 0:
            return i + 1, close, close + 1
        i += 1  # never closed: what follows is read as if there were no quote
    start = i
    while i < end and data[i] > 32 and data[i] != 62:
        i += 1
    return start, i, i


@leaf
def attributes(data, at, end, wanted, closed, told):
    """Position behind the `>` of the tag whose attributes begin at `at`; fills `told` when they are `wanted`."""
    told[NAMES] = np.int64(FNV_START)
    told[WORDS] = told[IS_HIDDEN] = told[HAS_HREF] = told[SELF_CLOSED] = 0
    i = at
    while i < end:
        c = data[i]
        if c == 62:
            told[SELF_CLOSED] = 1 if data[i - 1] == 47 else 0
            return i + 1
        if c <= 32 or c == 47:
            i += 1
            continue
        key = FNV_START
        first = i
        while i < end:
            c = data[i]
            if c <= 32 or c == 62 or c == 47 or (c == 61 and i > first):
                break
            key = (key ^ np.uint64(c | 32 if 65 <= c <= 90 else c)) * FNV_PRIME
            i += 1
        while i < end and data[i] <= 32:
            i += 1
        start = stop = i
        if i < end and data[i] == 61:
            start, stop, i = _value(data, i + 1, end, closed)
        if not wanted:
            continue
        if key in (_CLASS, _ID, _ROLE, _ITEMPROP):
            # ids differ from element to element: they tell kinds, but no signature
            before = told[NAMES]
            _name_words(data, start, stop, told)
            if key != _CLASS:
                told[NAMES] = before
        elif key == _HREF:
            told[HAS_HREF] = 1
        elif key == _HIDDEN:
            told[IS_HIDDEN] = 1
        elif key == _STYLE:
            if _hides(data, start, stop):
                told[IS_HIDDEN] = 1
        elif key == _ARIA_HIDDEN and stop > start and data[start] | 32 == 116:
            told[IS_HIDDEN] = 1
    return end


@leaf
def behind_comment(data, at, end, closed):
    """Position behind the comment or declaration whose `<!` or `<?` is at `at`."""
    if at + 3 < end and data[at + 1] == 33 and data[at + 2] == 45 and data[at + 3] == 45 and at < closed[NO_COMMENT]:
        i = at + 2
        while i + 2 < end:
            if data[i + 2] == 62 and data[i] == 45 and data[i + 1] == 45:
                return i + 3
            i += 1
        closed[NO_COMMENT] = at
    close = _find(data, at + 2, end, 62, closed, NO_TAG_END)
    return close + 1 if close >= 0 else end


@leaf
def end_tag_of(data, name, size, at, end, tag, closed):
    """Position of the `</` that ends the element named data[name:name + size], from `at` on; -1 when there is none."""
    place = NO_END + tag
    if at >= closed[place]:
        return np.int64(-1)
    i = at
    while i + 2 + size <= end:
        if data[i] == 60 and data[i + 1] == 47:
            k = 0
            while k < size and data[i + 2 + k] | 32 == data[name + k] | 32:
                k += 1
            if k == size and (i + 2 + size == end or not _is_letter(data[i + 2 + size])):
                return i
        i += 1
    closed[place] = at
    return np.int64(-1)


@leaf
def is_comment_kind(kinds):
    return kinds & COMMENT_KIND != 0
