"""The book of chunks: what lies between white space, met once, tokenised once.

Text repeats itself: nine chunks in ten were seen before. The book keeps each chunk's bytes and its words (sizes, hashes,
flags), found by a 64-bit hash and compared byte by byte. It takes no more when it is full, and its owner then starts a
new one with the next batch, so that memory stays bounded whatever the text.

Source: ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curation.text.buffers import point_at, point_size, sequence_size
from curation.text.compiled import inlined, leaf
from curation.text.special_cases import count_sequences, join_specials
from curation.text.tables import Flag
from curation.text.word_rules import CHUNKS, LETTERS, UNSEGMENTED, split_chunk

LETTER, SYMBOL = np.uint32(Flag.LETTER), np.uint32(Flag.SYMBOL)
SENTENCE_END, CATEGORY_P = np.uint32(Flag.SENTENCE_END), np.uint32(Flag.CATEGORY_P)

BASE = np.uint64(0x9E3779B97F4A7C15 | 1)
"""Base of the words' polynomial hash over bytes, modulo 2^64."""

HAS_LETTER, NOT_SYMBOL, ENDS_SENTENCE, ALL_PUNCTUATION, AFTER_GAP = 1, 2, 4, 8, 16
"""Flags of a word; AFTER_GAP: white space other than one U+0020 stands before it."""

MAY_BEGIN_RUN, MAY_CONTINUE_RUN, HAS_SPECIAL = 1, 2, 4

FULL_CHUNKS, FULL_BYTES = 1_000_000, 96 << 20
"""Chunks, or bytes of chunks and words, at which a book is full."""


class Book(NamedTuple):
    """Chunks: `slots` int32 [2^k] (-1 empty) -> entry; `hashes` uint64, `key_at` int64, `key_size` int32 (into `keys`),
    `word_at` int64, `n_words` int32, `links` uint8 per entry; words: `sizes` (bytes), `chars` int32, `word_hashes`
    uint64, `flags` uint8. `used` int64 [3]: entries, bytes of keys, words."""

    slots: np.ndarray
    hashes: np.ndarray
    key_at: np.ndarray
    key_size: np.ndarray
    word_at: np.ndarray
    n_words: np.ndarray
    links: np.ndarray
    keys: np.ndarray
    sizes: np.ndarray
    chars: np.ndarray
    word_hashes: np.ndarray
    flags: np.ndarray
    used: np.ndarray


def new_book(entries: int = 1 << 14) -> Book:
    """An empty book with room for `entries` chunks before it first grows."""
    words = 2 * entries
    return Book(
        np.full(4 * entries, -1, dtype=np.int32),
        np.empty(entries, dtype=np.uint64),
        np.empty(entries, dtype=np.int64),
        np.empty(entries, dtype=np.int32),
        np.empty(entries, dtype=np.int64),
        np.empty(entries, dtype=np.int32),
        np.empty(entries, dtype=np.uint8),
        np.empty(8 * entries, dtype=np.uint8),
        np.empty(words, dtype=np.int32),
        np.empty(words, dtype=np.int32),
        np.empty(words, dtype=np.uint64),
        np.empty(words, dtype=np.uint8),
        np.zeros(3, dtype=np.int64),
    )


@leaf
def is_full(book):
    """Whether the book takes no more chunks in this batch but those with special cases, and the next begins a new one."""
    return book.used[0] >= FULL_CHUNKS or book.used[1] + 17 * book.used[2] >= FULL_BYTES


@inlined
def _longer(array, size):
    """The array with room for at least `size` items, doubled when it grows."""
    if size <= array.size:
        return array
    larger = np.empty(max(size, 2 * array.size), dtype=array.dtype)
    larger[: array.size] = array
    return larger


@leaf
def has_room(book, key_size):
    """Whether one more chunk of that many bytes fits as the book is (a chunk has at most as many words as bytes)."""
    entries, keys, words = book.used[0], book.used[1], book.used[2]
    fits = entries < book.hashes.size and 2 * (entries + 1) <= book.slots.size
    return fits and keys + key_size <= book.keys.size and words + key_size <= book.sizes.size


@inlined
def with_room(book, key_size):
    """The book with room for one more chunk of that many bytes."""
    entries = book.used[0]
    slots = book.slots
    if 2 * (entries + 1) > slots.size:
        slots = np.full(4 * slots.size, -1, dtype=np.int32)
        mask = slots.size - 1
        for entry in range(entries):
            slot = np.int64(book.hashes[entry] & np.uint64(mask))
            while slots[slot] >= 0:
                slot = (slot + 1) & mask
            slots[slot] = entry
    return Book(
        slots,
        _longer(book.hashes, entries + 1),
        _longer(book.key_at, entries + 1),
        _longer(book.key_size, entries + 1),
        _longer(book.word_at, entries + 1),
        _longer(book.n_words, entries + 1),
        _longer(book.links, entries + 1),
        _longer(book.keys, book.used[1] + key_size),
        _longer(book.sizes, book.used[2] + key_size),
        _longer(book.chars, book.used[2] + key_size),
        _longer(book.word_hashes, book.used[2] + key_size),
        _longer(book.flags, book.used[2] + key_size),
        book.used,
    )


@leaf
def look_up(slots, hashes, key_at, key_size, keys, data, start, end, value):
    """The entry of the chunk data[start:end] with hash `value`, or -1."""
    mask = slots.size - 1
    slot = np.int64(value & np.uint64(mask))
    size = end - start
    while True:
        entry = np.int64(slots[slot])
        if entry < 0:
            return entry
        if hashes[entry] == value and key_size[entry] == size:
            at = key_at[entry]
            same = True
            for i in range(size):
                if keys[at + i] != data[start + i]:
                    same = False
                    break
            if same:
                return entry
        slot = (slot + 1) & mask


@leaf
def decode(data, start, end, points):
    """Code points of the UTF-8 data[start:end] into `points` (int32); returns how many."""
    n, at = 0, start
    while at < end:
        c = data[at]
        if c < 0x80:
            points[n] = c
            at += 1
        else:
            points[n] = point_at(data, at)
            at += sequence_size(c)
        n += 1
    return n


@leaf
def describe(all_flags, points, start, end):
    """(bytes, polynomial hash of the bytes, flags) of the word points[start:end]."""
    size, value, flags = 0, np.uint64(0), 0
    all_p = ALL_PUNCTUATION
    for i in range(start, end):
        point = np.int64(points[i])
        f = all_flags[point]
        if f & LETTER:
            flags |= HAS_LETTER
        if not f & SYMBOL:
            flags |= NOT_SYMBOL
        if not f & CATEGORY_P:
            all_p = 0
        length = point_size(point)
        size += length
        if length == 1:
            value = value * BASE + np.uint64(point + 1)
        elif length == 2:
            value = value * BASE + np.uint64((0xC0 | point >> 6) + 1)
            value = value * BASE + np.uint64((0x80 | point & 0x3F) + 1)
        else:
            if length == 3:
                value = value * BASE + np.uint64((0xE0 | point >> 12) + 1)
            else:
                value = value * BASE + np.uint64((0xF0 | point >> 18) + 1)
                value = value * BASE + np.uint64((0x80 | point >> 12 & 0x3F) + 1)
            value = value * BASE + np.uint64((0x80 | point >> 6 & 0x3F) + 1)
            value = value * BASE + np.uint64((0x80 | point & 0x3F) + 1)
    if end - start == 1 and all_flags[points[start]] & SENTENCE_END:
        flags |= ENDS_SENTENCE
    return size, value, flags | all_p


@leaf
def enter(flags, book, data, start, end, value, starts, stops, points, n, links):
    """Adds the chunk data[start:end] with its n words (indices into points) to a book with room; returns its entry."""
    size = end - start
    entry, key_at, word_at = book.used[0], book.used[1], book.used[2]
    keys, sizes, chars, word_hashes, word_flags = book.keys, book.sizes, book.chars, book.word_hashes, book.flags
    book.hashes[entry] = value
    book.key_at[entry], book.key_size[entry] = key_at, size
    book.word_at[entry], book.n_words[entry] = word_at, n
    book.links[entry] = links
    for i in range(size):
        keys[key_at + i] = data[start + i]
    for i in range(n):
        sizes[word_at + i], word_hashes[word_at + i], word_flags[word_at + i] = describe(flags, points, starts[i], stops[i])
        chars[word_at + i] = stops[i] - starts[i]
    slots = book.slots
    mask = slots.size - 1
    slot = np.int64(value & np.uint64(mask))
    while slots[slot] >= 0:
        slot = (slot + 1) & mask
    slots[slot] = entry
    book.used[0] += 1
    book.used[1] += size
    book.used[2] += n
    return entry


class Desk(NamedTuple):
    """Scratch for one chunk of n code points: `points` int32 [n], the others int64 [n]."""

    points: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    tail: np.ndarray


@inlined
def new_desk(size):
    """A desk for chunks of up to `size` code points."""
    points = np.empty(size, dtype=np.int32)
    return Desk(points, np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64))


@leaf
def _rule_words(rules, points, start, end, starts, stops, tail, n):
    """Words of points[start:end] by the rules, from word n on; returns the new count. `tail` is scratch."""
    if end <= start:
        return n
    m = split_chunk(
        rules.flags,
        rules.specials,
        rules.piece_lengths,
        rules.piece_groups,
        rules.units,
        points,
        start,
        end,
        stops[n:],
        tail,
    )
    for i in range(n, n + m):
        starts[i] = start if i == n else stops[i - 1]
    return n + m


@leaf
def bare_words(rules, points, start, end, starts, stops, tail):
    """Words of the chunk points[start:end] before special cases are joined, into starts and stops; returns how many."""
    if rules.mode[0] == CHUNKS:
        starts[0], stops[0] = start, end
        return 1
    n, begin = 0, start
    if rules.mode[0] == LETTERS:
        for at in range(start, end):
            if rules.flags[points[at]] & UNSEGMENTED:
                n = _rule_words(rules, points, begin, at, starts, stops, tail, n)
                starts[n], stops[n] = at, at + 1
                n += 1
                begin = at + 1
    return _rule_words(rules, points, begin, end, starts, stops, tail, n)


@leaf
def tokenise(rules, desk, data, start, end):
    """Words of the chunk data[start:end], before special cases are joined, onto the desk, which has room. Returns how
    many sequences of them look like a special case, how many words there are, and how the chunk may take part in a run."""
    points, starts, stops, numbers = desk.points, desk.starts, desk.stops, desk.tail
    size = decode(data, start, end, points)
    n = bare_words(rules, points, 0, size, starts, stops, desk.tail)
    sequences = count_sequences(rules.words, rules.trie, rules.trie_slots, rules.ends, points, starts, stops, n, numbers)
    links = 0
    if numbers[n - 1] >= 0 and rules.begins[numbers[n - 1]]:
        links |= MAY_BEGIN_RUN | (HAS_SPECIAL if rules.mode[1] else 0)
    if numbers[0] >= 0 and rules.continues[numbers[0]]:
        links |= MAY_CONTINUE_RUN
    return sequences, n, links


@inlined
def enter_joined(rules, book, desk, data, start, end, value, n, sequences, links):
    """Enters the chunk of which `tokenise` left n words on the desk, after special cases are joined in it."""
    links |= HAS_SPECIAL
    starts, stops, n = join_specials(rules, desk.points, desk.starts, desk.stops, n, desk.tail, sequences)
    enter(rules.flags, book, data, start, end, value, starts, stops, desk.points, n, links)
