"""The URL pattern of spaCy's tokenizers, compiled: which chunks are left whole because they look like an address.

Linear in the chunk: after each sign `@` a host is looked for, which ends before the next. Strings are int32 code points.

Source: spaCy 3.8.18 (MIT) `spacy/lang/tokenizer_exceptions.py` (URL pattern); differential tests against the library.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import leaf
from curation.text.tables import Flag

DIGIT, WORD, LABEL, LOWER = (np.uint32(f) for f in (Flag.DIGIT, Flag.WORD, Flag.LABEL, Flag.LOWER))


@leaf
def _tail_matches(flags, points, at, end):
    """Whether points[at:end] is what may follow a host: nothing, a port of 2 to 5 digits, a path."""
    if at < end and points[at] == 58:
        at += 1
        first = at
        while at < end and flags[points[at]] & DIGIT:
            at += 1
        if at - first < 2 or at - first > 5:
            return False
    return at == end or points[at] == 47 or points[at] == 63 or points[at] == 35


@leaf
def _digits_until(flags, points, at, end):
    """End of the run of decimal digits (of any script) that begins at `at`."""
    while at < end and flags[points[at]] & DIGIT:
        at += 1
    return at


@leaf
def _is_private(flags, points, at, end):
    """Whether an address that the URL pattern leaves out begins here: 10, 127, 169.254, 192.168, 172.16 to 172.31."""
    stop = _digits_until(flags, points, at, end)
    length = stop - at
    more = 0
    c = points[at]
    if (
        length == 2
        and c == 49
        and points[at + 1] == 48
        or length == 3
        and c == 49
        and points[at + 1] == 50
        and points[at + 2] == 55
    ):
        more = 3
    elif length == 3 and c == 49 and stop < end and points[stop] == 46:
        second = stop + 1
        close = _digits_until(flags, points, second, end)
        s1, s2 = points[at + 1], points[at + 2]
        if close - second == 3 and s1 == 54 and s2 == 57:
            more = 2 if points[second] == 50 and points[second + 1] == 53 and points[second + 2] == 52 else 0
        elif close - second == 3 and s1 == 57 and s2 == 50:
            more = 2 if points[second] == 49 and points[second + 1] == 54 and points[second + 2] == 56 else 0
        elif close - second == 2 and s1 == 55 and s2 == 50:
            a, b = points[second], points[second + 1]
            in_range = (a == 49 and 54 <= b <= 57) or (a == 50) or (a == 51 and 48 <= b <= 49)
            more = 2 if in_range else 0
        stop = close
    if more == 0:
        return False
    for _ in range(more):
        if stop >= end or points[stop] != 46:
            return False
        first = stop + 1
        stop = min(_digits_until(flags, points, first, end), first + 3)
        if stop == first:
            return False
    return True


@leaf
def _octet_matches(points, start, end, place):
    """Whether points[start:end], digits of any script, is octet `place` (0 to 3) as the URL pattern writes it.

    Digits that the pattern spells out must be ASCII; where it says "any digit" other scripts pass as well.
    """
    length = end - start
    if length < 1 or length > 3:
        return False
    a = points[start]
    ascii_head = 49 <= a <= 57
    if place == 0:
        if length == 1:
            return ascii_head
        if length == 2:
            return ascii_head
        b, c = points[start + 1], points[start + 2]
        if a == 49:
            return True
        return a == 50 and (48 <= b <= 49 or (b == 50 and 48 <= c <= 51))
    if place == 3:
        if length <= 2:
            return ascii_head
        b, c = points[start + 1], points[start + 2]
        if a == 49:
            return True
        return a == 50 and (48 <= b <= 52 or (b == 53 and 48 <= c <= 52))
    if length <= 2:
        return True
    b, c = points[start + 1], points[start + 2]
    return a == 49 or (a == 50 and (48 <= b <= 52 or (b == 53 and 48 <= c <= 53)))


@leaf
def _address_matches(flags, points, at, end):
    """Whether a public dotted quad with what may follow it is all of points[at:end]."""
    if at >= end or not flags[points[at]] & DIGIT or _is_private(flags, points, at, end):
        return False
    for place in range(4):
        stop = _digits_until(flags, points, at, end)
        if not _octet_matches(points, at, stop, place):
            return False
        if place < 3:
            if stop >= end or points[stop] != 46:
                return False
            stop += 1
        at = stop
    return _tail_matches(flags, points, at, end)


@leaf
def _host_matches(flags, points, at, end):
    """Whether labels, each with a full stop, a lower-case top level of 2 to 63 and a tail are all of points[at:end]."""
    while True:
        first = at
        while at < end and at - first <= 64 and (flags[points[at]] & LABEL or points[at] == 45 or points[at] == 95):
            at += 1
        if at >= end or points[at] != 46 or at == first or at - first > 64:
            return False
        if not (flags[points[first]] & LABEL and flags[points[at - 1]] & LABEL):
            return False
        at += 1
        stop = at
        while stop < end and stop - at <= 63 and flags[points[stop]] & LOWER:
            stop += 1
        if 2 <= stop - at <= 63 and _tail_matches(flags, points, stop, end):
            return True


@leaf
def is_url(flags, points, start, end):
    """Whether the library's URL pattern matches points[start:end]: scheme and user are optional, a host is not."""
    dots = False
    for i in range(start, end):
        if points[i] == 46:
            dots = True
            break
    if not dots:
        return False
    if _address_matches(flags, points, start, end) or _host_matches(flags, points, start, end):
        return True
    at = start
    while at < end and (flags[points[at]] & WORD or points[at] == 43 or points[at] == 45 or points[at] == 46):
        at += 1
    if at - start >= 2 and at + 2 < end and points[at] == 58 and points[at + 1] == 47 and points[at + 2] == 47:
        after = at + 3
        if _address_matches(flags, points, after, end) or _host_matches(flags, points, after, end):
            return True
    for i in range(start + 1, end):
        if points[i] == 64 and (_address_matches(flags, points, i + 1, end) or _host_matches(flags, points, i + 1, end)):
            return True
    return False
