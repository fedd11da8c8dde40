"""What repeats within a text, as others than datatrove count it: every occurrence, n-grams as sequences of words.

Equality is decided on the bytes; hashes only say where to look. The tables are those of repeats.py, made with no room
for flat text; their `prefix` holds a hash over whole words here and `starts` the first occurrence of each n-gram.

Source: definitions of Dolma 1.x `taggers/gopher.py`, DCLM `content_filters.py` and RedStone `func/repetition.py`.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import leaf
from curation.text.repeats import HALF, MIX, code_points, mask_for, same_bytes, segment_hash, slot_of

_BASE = np.uint64(0xD6E8FEB86659FD93)


@leaf
def copied_segments(data, tables, n):
    """(how many, code points) of the n segments of the tables that occur more than once, every occurrence counted."""
    tables.stamp[0] += 1
    stamps, items, counts, stamp = tables.stamps, tables.items, tables.counts, tables.stamp[0]
    mask = mask_for(n, stamps.size)
    copies, chars = 0, 0
    for i in range(n):
        start, size = tables.starts[i], tables.stops[i] - tables.starts[i]
        slot = slot_of(segment_hash(data, start, size), mask)
        while True:
            if stamps[slot] != stamp:
                stamps[slot], items[slot], counts[i] = stamp, i, 1
                break
            other = items[slot]
            if tables.stops[other] - tables.starts[other] == size and same_bytes(data, tables.starts[other], start, size):
                more = 2 if counts[other] == 1 else 1
                counts[other] += 1
                copies += more
                chars += more * code_points(data, start, start + size)
                break
            slot = (slot + 1) & mask
    return copies, chars


@leaf
def segment_chars(data, tables, n):
    """Code points of the n segments of the tables."""
    chars = 0
    for i in range(n):
        chars += code_points(data, tables.starts[i], tables.stops[i])
    return chars


@leaf
def lay_words(words, text, tables):
    """Writes the hash of the words up to each word of a text into tables.prefix; returns (words, their code points)."""
    first = words.first[text]
    n = words.first[text + 1] - first
    chars, value = 0, np.uint64(0)
    tables.prefix[0] = 0
    for i in range(n):
        word = (words.hash[first + i] ^ np.uint64(words.size[first + i])) * MIX
        value = value * _BASE + (word ^ (word >> HALF))
        tables.prefix[i + 1] = value
        chars += words.chars[first + i]
    return n, chars


@leaf
def _same_words(words, a, b, n):
    """Whether the n words from a and from b on are the same."""
    for k in range(n):
        size = words.size[a + k]
        if words.hash[a + k] != words.hash[b + k] or size != words.size[b + k]:
            return False
        if not same_bytes(words.data, words.start[a + k], words.start[b + k], size):
            return False
    return True


@leaf
def group_n_grams(words, text, tables, n_words, n):
    """Counts the n-grams of a text. For the one at word i: tables.starts[i] is where it first occurs, tables.counts[i]
    how often (0 but where it first occurs). Returns how many there are."""
    last = max(n_words - n + 1, 0)
    tables.stamp[0] += 1
    stamps, items, counts, stamp = tables.stamps, tables.items, tables.counts, tables.stamp[0]
    mask = mask_for(last, stamps.size)
    first, base = words.first[text], np.uint64(1)
    for _ in range(n):
        base *= _BASE
    for i in range(last):
        slot = slot_of(tables.prefix[i + n] - tables.prefix[i] * base, mask)
        counts[i] = 0
        while True:
            if stamps[slot] != stamp:
                stamps[slot], items[slot], counts[i] = stamp, i, 1
                tables.starts[i] = i
                break
            other = np.int64(items[slot])
            if _same_words(words, first + other, first + i, n):
                counts[other] += 1
                tables.starts[i] = other
                break
            slot = (slot + 1) & mask
    return last


@leaf
def _chars(words, at, n):
    chars = 0
    for i in range(at, at + n):
        chars += words.chars[i]
    return chars


@leaf
def top_chars(words, text, tables, n, grams, fewest, longest):
    """Code points of the words of the most frequent n-gram, times its occurrences; 0 when these are fewer than `fewest`.
    Of equally frequent ones the first counts, or the longest where `longest`. After group_n_grams."""
    best, chars = fewest - 1, 0
    for i in range(grams):
        count = tables.counts[i]
        if count > best or (longest and count == best and count >= fewest):
            size = _chars(words, words.first[text] + i, n)
            if count > best or size > chars:
                best, chars = count, size
    return best * chars


@leaf
def mass(words, text, tables, n, grams):
    """(code points of all n-grams that occur more than once, of all n-grams), every occurrence counted, so that a word
    counts once for each n-gram it stands in. After group_n_grams."""
    repeated, whole = 0, 0
    for i in range(grams):
        count = tables.counts[i]
        if count > 0:
            size = count * _chars(words, words.first[text] + i, n)
            whole += size
            if count > 1:
                repeated += size
    return repeated, whole


@leaf
def covered_chars(words, text, tables, n, grams):
    """Code points of the words that stand in an n-gram that occurs more than once; each word counts once. After
    group_n_grams."""
    first, done, chars = words.first[text], np.int64(0), 0
    for i in range(grams):
        if tables.counts[tables.starts[i]] > 1:
            begin = max(done, i)
            chars += _chars(words, first + begin, i + n - begin)
            done = i + n
    return chars
