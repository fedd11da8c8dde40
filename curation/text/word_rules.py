"""spaCy's rule-based tokenizer for one white-space-free chunk, compiled.

The order is the library's: special case, prefix, special case, suffix (the longest, seen after the prefix is gone),
special case, and again; what is left is a special case, a URL, or split at infixes. Then sequences of tokens that look
like a special case are joined to one (special_cases.py). Strings are int32 code points; positions are indices into them.

Linear in the chunk: special cases are shorter than `longest`, so longer strings are never looked up.

Source: spaCy 3.8.18 (MIT) `spacy/tokenizer.pyx`, `spacy/lang/punctuation.py`; differential tests against the library.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from curation.text.compiled import leaf
from curation.text.special_cases import build_trie
from curation.text.string_sets import find, packed_set
from curation.text.tables import Flag, flags_of, load_arrays
from curation.text.url_pattern import is_url

SUFFIX, SUFFIX_AFTER_DIGIT, DOT_FOLLOWS = (np.uint32(f) for f in (Flag.SUFFIX, Flag.SUFFIX_AFTER_DIGIT, Flag.DOT_FOLLOWS))
PREFIX, INFIX, UPPER = (np.uint32(f) for f in (Flag.PREFIX, Flag.INFIX, Flag.UPPER))
BEFORE_DOT, AFTER_DOT = np.uint32(Flag.BEFORE_DOT), np.uint32(Flag.AFTER_DOT)
BEFORE_COMMA, AFTER_COMMA = np.uint32(Flag.BEFORE_COMMA), np.uint32(Flag.AFTER_COMMA)
BEFORE_HYPHEN, AFTER_HYPHEN = np.uint32(Flag.BEFORE_HYPHEN), np.uint32(Flag.AFTER_HYPHEN)
BEFORE_SIGN, AFTER_SIGN = np.uint32(Flag.BEFORE_SIGN), np.uint32(Flag.AFTER_SIGN)

LONGEST_UNIT = 7
ELLIPSIS, EM_DASH, APOSTROPHE = 0x2026, 0x2014, 0x2019

RULES, LETTERS, CHUNKS = 0, 1, 2
UNSEGMENTED = np.uint32(Flag.UNSEGMENTED)


class WordRules(NamedTuple):
    """A rule set: `flags` uint32 [0x110000]; `specials`, the special cases, and for each its tokens' lengths in code
    points (`piece_lengths`, from `piece_groups[i]` on); `units`; `words` of matcher patterns and a trie over them.

    Sets of strings are packed into one int32 array each, see string_sets.py. `trie` int32 [n, 3]: rows of (node, word,
    next node), hashed by `trie_slots`; `ends` bool [nodes]: a pattern ends here; `begins`, `continues` bool [words]: the
    word occurs in a pattern before, or after, another word. `mode` int64 [2]: RULES, LETTERS (letters of scripts without
    spaces are words of their own) or CHUNKS (what stands between white space is one word); 1 where a special case spans
    a blank (Macedonian `пр. н. е.`).
    """

    flags: np.ndarray
    specials: np.ndarray
    piece_lengths: np.ndarray
    piece_groups: np.ndarray
    units: np.ndarray
    words: np.ndarray
    trie: np.ndarray
    trie_slots: np.ndarray
    ends: np.ndarray
    begins: np.ndarray
    continues: np.ndarray
    mode: np.ndarray


@leaf
def is_ascii_digit(point):
    return 48 <= point <= 57


@leaf
def prefix_length(flags, points, start, end):
    """Length of the prefix of points[start:end], 0 when it has none."""
    c = points[start]
    if flags[c] & PREFIX:
        return 1
    left = end - start
    if c == 46 and left > 1 and points[start + 1] == 46:
        stop = start + 2
        while stop < end and points[stop] == 46:
            stop += 1
        return stop - start
    if c == 43 and (left == 1 or not is_ascii_digit(points[start + 1])):
        return 1
    if left > 1 and (c == 67 or c == 65) and points[start + 1] == 36:
        return 2
    if left > 2 and c == 85 and points[start + 1] == 83 and points[start + 2] == 36:
        return 3
    return 0


@leaf
def _suffix_after_digit(flags, units, points, start, end):
    """Length of a currency sign or unit that ends points[start:end] and follows an ASCII digit there."""
    c, left = points[end - 1], end - start
    if c == 36 and left > 3 and points[end - 2] == 83 and points[end - 3] == 85 and is_ascii_digit(points[end - 4]):
        return 3
    for length in range(min(LONGEST_UNIT, left - 1), 0, -1):
        if is_ascii_digit(points[end - length - 1]) and find(units, points, end - length, end) >= 0:
            return length
    if c == 36 and left > 2 and (points[end - 2] == 67 or points[end - 2] == 65) and is_ascii_digit(points[end - 3]):
        return 2
    if left > 1 and is_ascii_digit(points[end - 2]) and (c == 43 or flags[c] & SUFFIX_AFTER_DIGIT):
        return 1
    return 0


@leaf
def _dot_is_suffix(flags, points, start, end):
    """Whether the full stop that ends points[start:end] is cut off because of what stands before it."""
    if end - start < 2:
        return False
    before = flags[points[end - 2]]
    if before & DOT_FOLLOWS:
        return True
    if end - start < 3:
        return False
    if before & UPPER and flags[points[end - 3]] & UPPER:
        return True
    c = points[end - 2]
    degree = points[end - 3] == 0xB0
    return degree and (c == 70 or c == 102 or c == 67 or c == 99 or c == 75 or c == 107)


@leaf
def suffix_length(flags, units, points, start, end):
    """Length of the longest suffix of points[start:end], 0 when it has none."""
    if end <= start:
        return 0
    c, left = points[end - 1], end - start
    best = 0
    if flags[c] & SUFFIX:
        best = 1
        if c == ELLIPSIS and left > 1 and points[end - 2] == ELLIPSIS:
            best = 2
    elif c == 46:
        if left > 1 and points[end - 2] == 46:
            first = end - 2
            while first > start and points[first - 1] == 46:
                first -= 1
            return end - first
        if _dot_is_suffix(flags, points, start, end):
            best = 1
    elif (c == 115 or c == 83) and left > 1 and (points[end - 2] == 39 or points[end - 2] == APOSTROPHE):
        best = 2
    after_digit = _suffix_after_digit(flags, units, points, start, end)
    return max(best, after_digit)


@leaf
def infix_length(flags, points, start, at, end):
    """Length of the infix at `at` in points[start:end], 0 when there is none; it may look at both neighbours."""
    c = points[at]
    if c == 46 and at + 1 < end and points[at + 1] == 46:
        stop = at + 2
        while stop < end and points[stop] == 46:
            stop += 1
        return stop - at
    if flags[c] & INFIX:
        return 1
    if at == start or at + 1 >= end:
        return 0
    before, after = points[at - 1], points[at + 1]
    if (c == 43 or c == 45 or c == 42 or c == 94) and is_ascii_digit(before) and (is_ascii_digit(after) or after == 45):
        return 1
    if c == 46:
        return 1 if flags[before] & BEFORE_DOT and flags[after] & AFTER_DOT else 0
    if c == 44:
        return 1 if flags[before] & BEFORE_COMMA and flags[after] & AFTER_COMMA else 0
    if c == 45 or c == EM_DASH:
        if not flags[before] & BEFORE_HYPHEN:
            return 0
        most = 3 if c == 45 else 2
        stop = at + 1
        while stop < end and stop - at < most and points[stop] == c and not flags[points[stop]] & AFTER_HYPHEN:
            stop += 1
        return stop - at if stop < end and flags[points[stop]] & AFTER_HYPHEN else 0
    if c == 0x2013 or c == 126:
        return 1 if flags[before] & BEFORE_HYPHEN and flags[after] & AFTER_HYPHEN else 0
    if c == 58 or c == 60 or c == 62 or c == 61 or c == 47:
        return 1 if flags[before] & BEFORE_SIGN and flags[after] & AFTER_SIGN else 0
    return 0


@leaf
def _attach(flags, specials, piece_lengths, piece_groups, points, start, end, stops, n):
    """Tokens of what affixes left over, points[start:end]: their ends go to stops[n:]; returns the new count."""
    special = find(specials, points, start, end)
    if special >= 0:
        at = start
        for piece in range(piece_groups[special], piece_groups[special + 1]):
            at += piece_lengths[piece]
            stops[n] = at
            n += 1
        return n
    if not is_url(flags, points, start, end):
        begin, at = start, start
        while at < end:
            length = infix_length(flags, points, start, at, end)
            if length == 0:
                at += 1
                continue
            if at > start:
                if at > begin:
                    stops[n] = at
                    n += 1
                stops[n] = at + length
                n += 1
                begin = at + length
            at += length
        if begin == end:
            return n
    stops[n] = end
    return n + 1


@leaf
def split_chunk(flags, specials, piece_lengths, piece_groups, units, points, start, end, stops, tail):
    """Tokens of the chunk points[start:end] before special cases are joined: their ends in stops; returns how many.

    `stops` and `tail` are int64 arrays of at least end - start entries; `tail` is scratch.
    """
    n, cut = 0, 0
    first, last = start, end
    size = -1
    while first < last and last - first != size:
        if find(specials, points, first, last) >= 0:
            break
        size = last - first
        before = prefix_length(flags, points, first, last)
        if before and first + before < last and find(specials, points, first + before, last) >= 0:
            first += before
            stops[n] = first
            n += 1
            break
        after = suffix_length(flags, units, points, first + before, last)
        if after and last - after > first and find(specials, points, first, last - after) >= 0:
            tail[cut] = last
            cut += 1
            last -= after
            break
        if before:
            first += before
            stops[n] = first
            n += 1
        if after:
            tail[cut] = last
            cut += 1
            last -= after
    if first < last:
        n = _attach(flags, specials, piece_lengths, piece_groups, points, first, last, stops, n)
    for i in range(cut - 1, -1, -1):
        stops[n] = tail[i]
        n += 1
    return n


@cache
def load_rules(rule_set: str, mode: int = RULES) -> WordRules:
    """A rule set of the tables (`spacy_en`, `spacy_xx`), ready for the kernels."""
    a = load_arrays(rule_set)
    flat = [
        "".join(map(chr, a["pattern_points"][s:e]))
        for s, e in zip(a["pattern_offsets"], a["pattern_offsets"][1:], strict=False)
    ]
    numbers = {word: i for i, word in enumerate(dict.fromkeys(flat))}
    groups = a["pattern_groups"].tolist()
    patterns = [tuple(numbers[w] for w in flat[s:e]) for s, e in zip(groups, groups[1:], strict=False)]
    points = np.array([ord(c) for word in numbers for c in word], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, numbers)]).astype(np.int32)
    edges = a["special_offsets"].tolist()
    blanks = any(e - s > 1 and 32 in a["special_points"][s:e] for s, e in zip(edges, edges[1:], strict=False))
    trie, trie_slots, ends, begins, continues = build_trie(patterns, len(numbers))
    return WordRules(
        flags_of(rule_set),
        packed_set(a["special_points"], a["special_offsets"]),
        np.diff(a["piece_offsets"]).astype(np.int32),
        a["piece_groups"].astype(np.int32),
        packed_set(a["unit_points"], a["unit_offsets"]),
        packed_set(points, offsets),
        trie,
        trie_slots,
        ends,
        begins,
        continues,
        np.array([mode, blanks], dtype=np.int64),
    )
