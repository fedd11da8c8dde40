"""What repeats within a text: segments (lines, paragraphs), the most frequent n-gram, n-grams seen before.

Equality is decided on the bytes; hashes only say where to look. Tables are stamped, not cleared, and sized for the text.

Source: definitions of Rae et al., arXiv:2112.11446, table A1, as datatrove 0.10.1 counts them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curation.text.chunk_book import BASE
from curation.text.compiled import inlined, leaf

_SPREAD = np.uint64(0xD6E8FEB86659FD93)
HALF = np.uint64(32)
MIX = np.uint64(0xFF51AFD7ED558CCD)

POWERS = 4096


class Tables(NamedTuple):
    """Scratch for texts of up to n items (words or segments): `stamps`, `items` int32 [2^k > n], `counts` int32 [n + 1];
    `stamp` int32 [1] counts the passes; `powers` uint64 [POWERS] of BASE; `flat` uint8, the words end to end, with
    `ends` int64 [n + 1] and `prefix` uint64 [n + 1], the hash of flat up to each word; `starts`, `stops` int64 [n + 1]."""

    stamps: np.ndarray
    items: np.ndarray
    counts: np.ndarray
    stamp: np.ndarray
    powers: np.ndarray
    flat: np.ndarray
    ends: np.ndarray
    prefix: np.ndarray
    starts: np.ndarray
    stops: np.ndarray


@inlined
def new_tables(items, flat_bytes):
    """Tables for texts of up to that many words, lines and bytes."""
    size = 16
    while size < 2 * items + 2:
        size *= 2
    powers = np.ones(POWERS, dtype=np.uint64)
    for i in range(1, POWERS):
        powers[i] = powers[i - 1] * BASE
    return Tables(
        np.zeros(size, dtype=np.int32),
        np.empty(size, dtype=np.int32),
        np.empty(items + 1, dtype=np.int32),
        np.zeros(1, dtype=np.int32),
        powers,
        np.empty(flat_bytes + 1, dtype=np.uint8),
        np.empty(items + 1, dtype=np.int64),
        np.empty(items + 1, dtype=np.uint64),
        np.empty(items + 1, dtype=np.int64),
        np.empty(items + 1, dtype=np.int64),
    )


@leaf
def mask_for(items, size):
    """Mask of the smallest power of two that holds `items` half full; `size` is the largest."""
    room = 16
    while room < 2 * items + 2 and room < size:
        room *= 2
    return np.int64(room - 1)


@leaf
def slot_of(value, mask):
    """Where a hash is looked for first."""
    value = value * _SPREAD
    return np.int64((value ^ (value >> HALF)) & np.uint64(mask))


@leaf
def segment_hash(data, start, size):
    """Hash of the bytes data[start:start + size]."""
    value = np.uint64(size)
    for i in range(start, start + size):
        value = (value ^ np.uint64(data[i])) * MIX
        value ^= value >> HALF
    return value


@leaf
def same_bytes(data, a, b, size):
    """Whether data[a:a + size] and data[b:b + size] are the same."""
    for i in range(size):  # noqa: SIM110 (a kernel, which knows no all)
        if data[a + i] != data[b + i]:
            return False
    return True


@leaf
def code_points(data, start, end):
    """Code points of the UTF-8 data[start:end]."""
    n = 0
    for i in range(start, end):
        n += (data[i] & 0xC0) != 0x80
    return n


@leaf
def repeated_segments(data, tables, n):
    """(how many, code points) of the n segments data[starts:stops] of the tables that occurred before in the text."""
    tables.stamp[0] += 1
    stamps, items, stamp = tables.stamps, tables.items, tables.stamp[0]
    mask = mask_for(n, stamps.size)
    repeated, chars = 0, 0
    for i in range(n):
        start, size = tables.starts[i], tables.stops[i] - tables.starts[i]
        slot = slot_of(segment_hash(data, start, size), mask)
        while True:
            if stamps[slot] != stamp:
                stamps[slot], items[slot] = stamp, i
                break
            other = tables.starts[items[slot]]
            if tables.stops[items[slot]] - other == size and same_bytes(data, other, start, size):
                repeated += 1
                chars += code_points(data, start, start + size)
                break
            slot = (slot + 1) & mask
    return repeated, chars


@leaf
def power(powers, exponent):
    """BASE to the exponent, modulo 2^64."""
    if exponent < POWERS:
        return powers[exponent]
    result, base = np.uint64(1), BASE
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


@leaf
def lay_flat(words, text, tables):
    """Writes the words of a text end to end into tables.flat, with ends and prefix hashes; returns how many."""
    first = words.first[text]
    n = words.first[text + 1] - first
    at, value = 0, np.uint64(0)
    tables.ends[0], tables.prefix[0] = 0, 0
    for i in range(n):
        start, size = words.start[first + i], words.size[first + i]
        for k in range(size):
            tables.flat[at + k] = words.data[start + k]
        at += size
        value = value * power(tables.powers, np.int64(size)) + words.hash[first + i]
        tables.ends[i + 1], tables.prefix[i + 1] = at, value
    return n


@leaf
def n_gram_hash(tables, i, n):
    """Hash of the words i to i + n, joined without blanks: the same however they are cut."""
    size = tables.ends[i + n] - tables.ends[i]
    return tables.prefix[i + n] - tables.prefix[i] * power(tables.powers, size)


@leaf
def top_n_gram_chars(words, text, tables, n_words, n):
    """Code points of the most frequent n-gram (words joined by blanks; the first of those that are equally frequent)
    times its occurrences; 0 when the text has fewer than n words. An n-gram that occurs once counts, too."""
    last = n_words - n + 1
    if last <= 0:
        return 0
    tables.stamp[0] += 1
    stamps, items, counts, ends, stamp = tables.stamps, tables.items, tables.counts, tables.ends, tables.stamp[0]
    mask = mask_for(last, stamps.size)
    best, best_count = np.int64(0), 1
    for i in range(last):
        slot = slot_of(n_gram_hash(tables, i, n), mask)
        counts[i] = 0
        while True:
            if stamps[slot] != stamp:
                stamps[slot], items[slot], counts[i] = stamp, i, 1
                break
            other = np.int64(items[slot])
            same = True
            for k in range(n):
                if ends[other + k + 1] - ends[other] != ends[i + k + 1] - ends[i]:
                    same = False
                    break
            if same and same_bytes(tables.flat, ends[other], ends[i], ends[i + n] - ends[i]):
                counts[other] += 1
                if counts[other] > best_count or (counts[other] == best_count and other < best):
                    best, best_count = other, counts[other]
                break
            slot = (slot + 1) & mask
    chars = n - 1
    for i in range(words.first[text] + best, words.first[text] + best + n):
        chars += words.chars[i]
    return chars * best_count


@leaf
def repeated_n_gram_chars(words, text, tables, n_words, n):
    """Code points of n-grams (words joined without blanks) that were met before, read from left to right: after a
    repeated one reading goes on behind it, after a new one at the next word."""
    last = n_words - n + 1
    if last <= 0:
        return 0
    tables.stamp[0] += 1
    stamps, items, ends, stamp = tables.stamps, tables.items, tables.ends, tables.stamp[0]
    mask = mask_for(last, stamps.size)
    first = words.first[text]
    chars, i = 0, np.int64(0)
    while i < last:
        size = ends[i + n] - ends[i]
        slot = slot_of(n_gram_hash(tables, i, n), mask)
        step = 1
        while True:
            if stamps[slot] != stamp:
                stamps[slot], items[slot] = stamp, i
                break
            other = np.int64(items[slot])
            if ends[other + n] - ends[other] == size and same_bytes(tables.flat, ends[other], ends[i], size):
                for k in range(first + i, first + i + n):
                    chars += words.chars[k]
                step = n
                break
            slot = (slot + 1) & mask
        i += step
    return chars
