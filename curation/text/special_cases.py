"""Special cases of spaCy's tokenizers, joined: sequences of words that are one become its own words.

The sequences are found in a trie over word numbers; WordRules holds it.

Source: spaCy 3.8.18 (MIT) `spacy/tokenizer.pyx`; differential tests against the library itself.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import inlined, leaf
from curation.text.string_sets import find


@leaf
def next_node(trie, trie_slots, node, word):
    """The trie's node after `word`, or -1."""
    mask = trie_slots.size - 1
    slot = ((node * 31 + word) * 40503) & mask
    while True:
        row = trie_slots[slot]
        if row < 0:
            return np.int64(-1)
        if trie[row, 0] == node and trie[row, 1] == word:
            return np.int64(trie[row, 2])
        slot = (slot + 1) & mask


@inlined
def _longest_spans(span_start, span_end, spans, n_tokens):
    """Marks the spans that stay (True): longest first, then leftmost; a span falls when its first or last token was
    covered by an earlier one, which covers its tokens even when it falls itself."""
    kept = np.zeros(spans, dtype=np.bool_)
    seen = np.zeros(n_tokens, dtype=np.bool_)
    longest = 0
    for i in range(spans):
        longest = max(longest, span_end[i] - span_start[i])
    for length in range(longest, 0, -1):
        for i in range(spans):
            if span_end[i] - span_start[i] != length:
                continue
            kept[i] = not seen[span_start[i]] and not seen[span_end[i] - 1]
            seen[span_start[i] : span_end[i]] = True
    return kept


@leaf
def count_sequences(strings, trie, trie_slots, ends, points, starts, stops, n, numbers):
    """How many sequences of the n tokens are a pattern; `numbers` int64 [n] is filled with the tokens' word numbers."""
    for i in range(n):
        numbers[i] = find(strings, points, starts[i], stops[i])
    found = 0
    for i in range(n):
        node, at = np.int64(0), i
        while at < n and numbers[at] >= 0:
            node = next_node(trie, trie_slots, node, numbers[at])
            if node < 0:
                break
            at += 1
            found += ends[node]
    return found


@inlined
def join_specials(rules, points, starts, stops, n, numbers, sequences):
    """Tokens after special cases are looked for in sequences of tokens, blanks between them ignored.

    starts, stops: int64, the n tokens; `numbers`, `sequences` as `count_sequences` left them, not zero. Returns (starts,
    stops, how many). A sequence that spans a blank is no special case and changes nothing, but it can keep a shorter
    one from changing.
    """
    span_start, span_end = np.empty(sequences, dtype=np.int64), np.empty(sequences, dtype=np.int64)
    found = 0
    for i in range(n):
        node, at = np.int64(0), i
        while at < n and numbers[at] >= 0:
            node = next_node(rules.trie, rules.trie_slots, node, numbers[at])
            if node < 0:
                break
            at += 1
            if rules.ends[node]:
                span_start[found], span_end[found] = i, at
                found += 1
    kept = _longest_spans(span_start, span_end, sequences, n)
    return _retokenised(rules, points, starts, stops, n, span_start, span_end, kept)


@inlined
def _retokenised(rules, points, starts, stops, n, span_start, span_end, kept):
    """The tokens with the kept spans replaced by their special case's own tokens, where the span's text is one."""
    size = n
    replaced = np.full(n, -1, dtype=np.int64)
    until = np.zeros(n, dtype=np.int64)
    for i in range(kept.size):
        if kept[i]:
            special = find(rules.specials, points, starts[span_start[i]], stops[span_end[i] - 1])
            if special >= 0:
                replaced[span_start[i]] = special
                until[span_start[i]] = span_end[i]
                size += rules.piece_groups[special + 1] - rules.piece_groups[special]
    new_starts, new_stops = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    m, i = 0, 0
    while i < n:
        if replaced[i] < 0:
            new_starts[m], new_stops[m] = starts[i], stops[i]
            m += 1
            i += 1
            continue
        at = starts[i]
        for piece in range(rules.piece_groups[replaced[i]], rules.piece_groups[replaced[i] + 1]):
            new_starts[m] = at
            at += rules.piece_lengths[piece]
            new_stops[m] = at
            m += 1
        i = until[i]
    return new_starts, new_stops, m


def build_trie(patterns: list[tuple[int, ...]], n_words: int) -> tuple[np.ndarray, ...]:
    """(trie, trie_slots, ends, begins, continues) of WordRules, for patterns of word numbers."""
    rows: dict[tuple[int, int], int] = {}
    ends, begins, continues = {0: False}, np.zeros(n_words, bool), np.zeros(n_words, bool)
    for pattern in patterns:
        node = 0
        for i, word in enumerate(pattern):
            begins[word] |= i < len(pattern) - 1
            continues[word] |= i > 0
            node = rows.setdefault((node, word), len(ends))
            ends.setdefault(node, False)
        ends[node] = True
    trie = np.array([(node, word, after) for (node, word), after in rows.items()], dtype=np.int32).reshape(-1, 3)
    slots = np.full(1 << max(4, (4 * len(trie)).bit_length()), -1, dtype=np.int32)
    for row, (node, word, _) in enumerate(trie.tolist()):
        slot = ((node * 31 + word) * 40503) & (slots.size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (slots.size - 1)
        slots[slot] = row
    return trie, slots, np.array([ends[node] for node in sorted(ends)], dtype=bool), begins, continues
