"""What is counted in the text of a block, and sums over containers: the raw material of block_features.py.

Source: ours, after Kohlschütter et al., WSDM 2010 (shallow text features) and Readability.js (points of containers).
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import inlined, leaf
from curation.text.html_blocks import ELEMENT, END, LINK_BYTES, START
from curation.text.html_names import (
    DD,
    DT,
    FNV_PRIME,
    FNV_START,
    H1,
    H6,
    LI,
    STOP_BYTES,
    STOP_FOUND,
    STOP_KEYS,
    P,
    look_up,
)
from curation.text.html_tree import DEPTH, PARENT, TAG_ID

# Columns of measures, float32 [b, MEASURES]. WORDS: runs of letters and digits, two characters of Han or kana for one.
CHARS, WORDS, COMMAS, STOPS, CALLS, COLONS, QUOTES, BARS, DIGITS, CAPITALS, STOP_WORDS, ENDED, TITLED, PLAIN = range(14)
MEASURES = 14
# Columns of sums, float32 [e, SUMS], over all blocks within an element. PLAIN_SUM: characters outside links.
CHAR_SUM, PLAIN_SUM, WORD_SUM, POINT_SUM, STOP_SUM, BLOCK_SUM, LONGEST, POINTS = range(8)
SUMS = 8

TITLE_SLOTS = 256
TITLE_WORDS = 64

_LETTER, _DIGIT, _CAPITAL, _COMMA, _STOP, _CALL, _COLON, _QUOTE, _BAR, _LATE = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10


def _classes() -> np.ndarray:
    classes = np.zeros(256, np.uint8)
    for chars, value in (
        ("abcdefghijklmnopqrstuvwxyz", _LETTER), ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", _CAPITAL), ("0123456789", _DIGIT),
        (",", _COMMA), (".", _STOP), ("!?", _CALL), (":;", _COLON), ("\"'", _QUOTE), ("|/><*#", _BAR),
    ):  # fmt: skip
        for char in chars:
            classes[ord(char)] = value
    classes[0xC0:] = _LATE
    return classes


CLASSES = _classes()


@leaf
def _wide_class(data, i, end):
    """(class, bytes, is Han or kana) of the sequence at `i`, whose first byte is 0xC0 or above."""
    c = data[i]
    if c < 0xE0:
        size = 2
        if i + 1 < end:
            d = data[i + 1]
            if c == 0xC2 and (d == 0xAB or d == 0xBB):
                return _QUOTE, size, False
            if c == 0xC2 and (d == 0xB7 or d == 0xA6):
                return _BAR, size, False
            if c == 0xD8 and d == 0x8C:
                return _COMMA, size, False
            if c == 0xD8 and d == 0x9F:
                return _CALL, size, False
        return _LETTER, size, False
    size = 3 if c < 0xF0 else 4
    if i + 2 >= end or size == 4:
        return _LETTER, size, False
    d, e = data[i + 1], data[i + 2]
    if c == 0xE2:
        if d == 0x80:
            if 0x98 <= e <= 0x9F or e == 0xB9 or e == 0xBA:
                return _QUOTE, size, False
            if e == 0xA6:
                return _STOP, size, False
            if e == 0xA2:
                return _BAR, size, False
        return 0, size, False
    if c == 0xE3 and d == 0x80:
        if e == 0x81:
            return _COMMA, size, False
        if e == 0x82:
            return _STOP, size, False
        return (_QUOTE if 0x8A <= e <= 0x8F else 0), size, False
    if c == 0xEF and d == 0xBC:
        if e == 0x8C:
            return _COMMA, size, False
        if e == 0x81 or e == 0x9F:
            return _CALL, size, False
        if e == 0x9A or e == 0x9B:
            return _COLON, size, False
        return 0, size, False
    if c == 0xE0 and d == 0xA5 and e == 0xA4:
        return _STOP, size, False
    return _LETTER, size, 0xE3 <= c <= 0xE9


@leaf
def _title_has(words, key):
    slot = key & np.uint64(TITLE_SLOTS - 1)
    while words[slot] != 0:
        if words[slot] == key:
            return True
        slot = (slot + np.uint64(1)) & np.uint64(TITLE_SLOTS - 1)
    return False


@inlined
def title_words(page, start, end):
    """Hashes of the title's words, lower case: uint64 [TITLE_SLOTS], 0 for an empty slot."""
    words = np.zeros(TITLE_SLOTS, np.uint64)
    count = 0
    i = start
    while i < end and count < TITLE_WORDS:
        key = FNV_START
        first = i
        while i < end:
            c = page[i]
            kind = CLASSES[c]
            if not (0 < kind <= _CAPITAL or c >= 0x80):
                break
            key = (key ^ np.uint64(c | 32 if kind == _CAPITAL else c)) * FNV_PRIME
            i += 1
        if i == first:
            i += 1
        elif not _title_has(words, key):
            slot = key & np.uint64(TITLE_SLOTS - 1)
            while words[slot] != 0:
                slot = (slot + np.uint64(1)) & np.uint64(TITLE_SLOTS - 1)
            words[slot] = key
            count += 1
    return words


@leaf
def measure(text, start, end, title, row):
    """Fill the measures `row` of the block text[start:end]."""
    row[:] = 0
    chars = words = wide = stops = titled = 0
    last = 0
    i = start
    while i < end:
        key = FNV_START
        first = i
        while i < end:
            c = text[i]
            kind = CLASSES[c]
            size = 1
            if kind == _LATE:
                kind, size, is_wide = _wide_class(text, i, end)
                if kind == _LETTER:
                    wide += is_wide
                    chars += 1
                    for k in range(i, min(i + size, end)):
                        key = (key ^ np.uint64(text[k])) * FNV_PRIME
                    i += size
                    last = kind
                    continue
            if kind == 0 or kind > _CAPITAL:
                break
            if kind == _DIGIT:
                row[DIGITS] += 1
            elif kind == _CAPITAL:
                row[CAPITALS] += 1
                c |= 32
            key = (key ^ np.uint64(c)) * FNV_PRIME
            chars += 1
            last = kind
            i += 1
        if i > first:
            words += 1
            if i - first <= STOP_BYTES and look_up(STOP_KEYS, STOP_FOUND, key):
                stops += 1
            if _title_has(title, key):
                titled += 1
            continue
        # not of a word
        if c > 32:
            last = kind
            if kind == _COMMA:
                row[COMMAS] += 1
            elif kind == _STOP:
                row[STOPS] += 1
            elif kind == _CALL:
                row[CALLS] += 1
            elif kind == _COLON:
                row[COLONS] += 1
            elif kind == _QUOTE:
                row[QUOTES] += 1
            elif kind == _BAR:
                row[BARS] += 1
        chars += 1
        i += size
    row[CHARS] = chars
    row[WORDS] = words + wide // 2
    row[STOP_WORDS] = stops
    row[TITLED] = titled
    row[ENDED] = _STOP <= last <= _QUOTE


@leaf
def text_container(elements, e):
    """The element that holds the paragraph `e`: itself unless it is a paragraph, a heading or an item."""
    tag = elements[e, TAG_ID]
    if tag in (P, LI, DD, DT) or H1 <= tag <= H6:
        return max(elements[e, PARENT], 0)
    return e


@inlined
def container_sums(elements, blocks, measures):
    """Sums over the blocks within each element, and its points: of each block with more than 25 characters outside links
    1 + commas + up to 3 for its length, half of them to the element above, all times the share outside links."""
    sums = np.zeros((len(elements), SUMS), np.float32)
    for b in range(len(blocks)):
        e = blocks[b, ELEMENT]
        size = max(blocks[b, END] - blocks[b, START], 1)
        plain = measures[b, CHARS] * (1 - blocks[b, LINK_BYTES] / size)
        measures[b, PLAIN] = plain
        sums[e, CHAR_SUM] += measures[b, CHARS]
        sums[e, PLAIN_SUM] += plain
        sums[e, WORD_SUM] += measures[b, WORDS]
        sums[e, POINT_SUM] += measures[b, COMMAS] + measures[b, STOPS] + measures[b, CALLS]
        sums[e, STOP_SUM] += measures[b, STOP_WORDS]
        sums[e, BLOCK_SUM] += 1
        sums[e, LONGEST] = max(sums[e, LONGEST], plain)
        if plain > 25:
            points = 1 + measures[b, COMMAS] + min(plain / 100, 3.0)
            holder = text_container(elements, e)
            sums[holder, POINTS] += points
            if elements[holder, PARENT] >= 0:
                sums[elements[holder, PARENT], POINTS] += points / 2
    for e in range(len(elements) - 1, 0, -1):
        parent = elements[e, PARENT]
        for column in range(LONGEST):
            sums[parent, column] += sums[e, column]
        sums[parent, LONGEST] = max(sums[parent, LONGEST], sums[e, LONGEST])
    for e in range(len(elements)):
        if sums[e, CHAR_SUM] > 0:
            sums[e, POINTS] *= sums[e, PLAIN_SUM] / sums[e, CHAR_SUM]
    return sums


@inlined
def tree_distances(elements, top):
    """int32 [e, 2]: steps from each element up to the nearest one that holds `top` too, and from `top` up to that."""
    distances = np.zeros((len(elements), 2), np.int32)
    shared = np.zeros(len(elements), np.int32)
    holds = np.zeros(len(elements), np.bool_)
    e = top
    while e >= 0:
        holds[e] = True
        e = elements[e, PARENT]
    for e in range(len(elements)):
        if holds[e]:
            shared[e] = e
        else:
            parent = elements[e, PARENT]
            shared[e] = shared[parent]
            distances[e, 0] = distances[parent, 0] + 1
        distances[e, 1] = elements[top, DEPTH] - elements[shared[e], DEPTH]
    return distances
