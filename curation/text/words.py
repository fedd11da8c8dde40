"""Words of texts, as the reference tokenizers split them: spans, lengths, hashes and flags, in a few arrays.

    words = segmenter("eng_Latn").split(frame["text"])

Source: ours; rules after spaCy 3.8.18 and datatrove 0.10.1 `utils/word_tokenizers.py`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import polars as pl

from curation.text.buffers import point_size, space_size, utf8
from curation.text.chunk_book import (
    AFTER_GAP,
    HAS_SPECIAL,
    MAY_BEGIN_RUN,
    MAY_CONTINUE_RUN,
    Book,
    bare_words,
    decode,
    describe,
    enter,
    enter_joined,
    has_room,
    is_full,
    look_up,
    new_book,
    new_desk,
    tokenise,
    with_room,
)
from curation.text.compiled import inlined, kernel, leaf
from curation.text.special_cases import count_sequences, join_specials
from curation.text.word_rules import WordRules

CHUNK_MULTIPLIER = np.uint64(0xFF51AFD7ED558CCD)
CHUNK_SHIFT = np.uint64(32)


class Words(NamedTuple):
    """Words of n texts. All texts lie end to end in `data` (uint8, UTF-8); text i is data[text_start[i]:text_start[i+1]]
    and its words are first[i] to first[i + 1]. Per word: `start` int64 (byte in data), `size` int32 (bytes), `chars`
    int32 (code points), `hash` uint64 (polynomial over the bytes, base chunk_book.BASE), `flags` uint8 (chunk_book)."""

    data: np.ndarray
    text_start: np.ndarray
    first: np.ndarray
    start: np.ndarray
    size: np.ndarray
    chars: np.ndarray
    hash: np.ndarray
    flags: np.ndarray

    def strings(self, text: int) -> list[str]:
        """The words of one text."""
        spans = range(self.first[text], self.first[text + 1])
        return [self.data[self.start[i] : self.start[i] + self.size[i]].tobytes().decode() for i in spans]


class Spans(NamedTuple):
    """The arrays of Words that hold one item per word, with room to spare."""

    start: np.ndarray
    size: np.ndarray
    chars: np.ndarray
    hash: np.ndarray
    flags: np.ndarray


@inlined
def new_spans(room):
    return Spans(
        np.empty(room, dtype=np.int64),
        np.empty(room, dtype=np.int32),
        np.empty(room, dtype=np.int32),
        np.empty(room, dtype=np.uint64),
        np.empty(room, dtype=np.uint8),
    )


@inlined
def spans_with_room(spans, n):
    """The spans with room for n words, half as many again when they grow."""
    size = spans.start.size
    if n <= size:
        return spans
    larger = new_spans(max(n, size + size // 2))
    larger.start[:size], larger.size[:size], larger.chars[:size] = spans.start, spans.size, spans.chars
    larger.hash[:size], larger.flags[:size] = spans.hash, spans.flags
    return larger


@inlined
def _rewrite_run(rules, data, at, end, spans, n):
    """Writes the words of chunks that stand one U+0020 apart, data[at:end], from word n on: special cases are looked for
    across the blanks. Returns the spans and the new number of words."""
    desk = new_desk(end - at)
    points, starts, stops, tail = desk.points, np.empty(end - at, dtype=np.int64), np.empty(end - at, dtype=np.int64), desk.tail
    length = decode(data, at, end, points)
    m, begin = 0, 0
    while begin < length:
        close = begin
        while close < length and points[close] != 32:
            close += 1
        k = bare_words(rules, points, begin, close, desk.starts, desk.stops, tail)
        starts[m : m + k], stops[m : m + k] = desk.starts[:k], desk.stops[:k]
        m += k
        begin = close + 1
    found = count_sequences(rules.words, rules.trie, rules.trie_slots, rules.ends, points, starts, stops, m, tail)
    starts, stops, m = join_specials(rules, points, starts, stops, m, tail, found)
    spans = spans_with_room(spans, n + m)
    first_flags = spans.flags[n] & AFTER_GAP
    byte, done = at, 0
    for i in range(m):
        while done < starts[i]:
            byte += point_size(points[done])
            done += 1
        size, value, flags = describe(rules.flags, points, starts[i], stops[i])
        spans.start[n + i], spans.chars[n + i] = byte, stops[i] - starts[i]
        spans.size[n + i], spans.hash[n + i], spans.flags[n + i] = size, value, flags
        byte += size
        done = stops[i]
    spans.flags[n] |= first_flags
    return spans, n + m


END, NO_ROOM, SPECIAL, FULL_SPANS, RUN = range(5)
AT, WORDS, CHUNKS_DONE, CHUNK, STOP, RUN_WORD, RUN_BYTE, RUN_CHUNKS, RUN_SPECIAL, MAY_GO_ON = range(10)
SEQUENCES, BARE_WORDS, LINKS, NEEDED, STATES = 10, 11, 12, 13, 14


@leaf
def next_chunk(data, at, end):
    """(first byte, end, hash) of the first run of characters that are not white space from `at` on; an empty one at `end`
    where there is none."""
    while at < end:
        c = data[at]
        if c == 32 or 9 <= c <= 13 or 28 <= c <= 31:
            at += 1
            continue
        space = space_size(data, at, end) if c >= 0xC2 else 0
        if space == 0:
            break
        at += space
    chunk, value = at, np.uint64(0)
    while at < end:
        c = data[at]
        if c <= 32:
            if c == 32 or 9 <= c <= 13 or 28 <= c <= 31:
                break
        elif (c == 0xC2 or 0xE1 <= c <= 0xE3) and space_size(data, at, end) > 0:
            break
        value = (value ^ np.uint64(c)) * CHUNK_MULTIPLIER
        value ^= value >> CHUNK_SHIFT
        at += 1
    return chunk, at, value


@leaf
def _write_words(rules, book, desk, spans, entry, n, m, byte):
    """Writes the m words of a chunk that begins at `byte` as words n to n + m: from its entry in the book, or from the
    desk where that is -1."""
    word = book.word_at[entry] if entry >= 0 else np.int64(0)
    for i in range(m):
        if entry >= 0:
            spans.size[n + i], spans.chars[n + i] = book.sizes[word + i], book.chars[word + i]
            spans.hash[n + i], spans.flags[n + i] = book.word_hashes[word + i], book.flags[word + i]
        else:
            size, hash_, flags = describe(rules.flags, desk.points, desk.starts[i], desk.stops[i])
            spans.size[n + i], spans.hash[n + i], spans.flags[n + i] = size, hash_, flags
            spans.chars[n + i] = desk.stops[i] - desk.starts[i]
        spans.start[n + i] = byte
        byte += spans.size[n + i]


@leaf
def walk(rules, book, desk, data, end, spans, state, chunk_hash):
    """Writes the words of chunks from state[AT] to `end`, and stops at what needs an array made: a book or desk without
    room for a chunk (state[CHUNK] to state[STOP], its hash in chunk_hash[0]), special cases to be joined in a new chunk
    (state[SEQUENCES] of them, state[BARE_WORDS] words), full spans (state[NEEDED]
    words are wanted), or the end of a run to be rewritten.

    Apart from its callers because references to arrays are not counted in a leaf: that counting was 90 % of the time.
    """
    while True:
        chunk, at, value = next_chunk(data, state[AT], end)
        one_blank = chunk - state[AT] == 1 and data[chunk - 1] == 32 and state[CHUNKS_DONE] > 0
        gap = AFTER_GAP if chunk > state[AT] and not one_blank else 0
        entry, links = np.int64(-1), np.int64(0)
        if at > chunk:
            entry = look_up(book.slots, book.hashes, book.key_at, book.key_size, book.keys, data, chunk, at, value)
            if entry < 0:
                state[CHUNK], state[STOP], chunk_hash[0] = chunk, at, value
                full = is_full(book)
                if at - chunk > desk.points.size or not (full or has_room(book, at - chunk)):
                    return NO_ROOM
                state[SEQUENCES], state[BARE_WORDS], state[LINKS] = tokenise(rules, desk, data, chunk, at)
                if state[SEQUENCES]:
                    return SPECIAL
                links = state[LINKS]
                if not full:
                    m = state[BARE_WORDS]
                    entry = enter(rules.flags, book, data, chunk, at, value, desk.starts, desk.stops, desk.points, m, links)
            else:
                links = np.int64(book.links[entry])
        if not (at > chunk and one_blank and state[MAY_GO_ON] and links & MAY_CONTINUE_RUN):
            if state[RUN_CHUNKS] > 1 and state[RUN_SPECIAL]:
                return RUN
            state[RUN_WORD], state[RUN_BYTE], state[RUN_CHUNKS], state[RUN_SPECIAL] = state[WORDS], chunk, 0, 0
        if at == chunk:
            state[AT] = at
            return END
        n = state[WORDS]
        m = np.int64(book.n_words[entry]) if entry >= 0 else state[BARE_WORDS]
        if n + m > spans.start.size:
            state[NEEDED] = n + m
            return FULL_SPANS
        _write_words(rules, book, desk, spans, entry, n, m, chunk)
        spans.flags[n] |= gap
        state[AT], state[WORDS] = at, n + m
        state[CHUNKS_DONE] += 1
        state[RUN_CHUNKS] += 1
        state[RUN_SPECIAL] |= links & HAS_SPECIAL
        state[MAY_GO_ON] = links & MAY_BEGIN_RUN


@kernel
def _split_texts(rules, book, data, text_start):
    """(book, first word of each text, spans, words) of all texts. A run is chunks one U+0020 apart whose neighbours might
    form a special case across the blank; only one that holds a special case is looked at again."""
    texts = text_start.size - 1
    first = np.zeros(texts + 1, dtype=np.int64)
    spans = new_spans((text_start[texts] - text_start[0]) // 4 + 16)
    desk = new_desk(256)
    state, chunk_hash = np.zeros(STATES, dtype=np.int64), np.zeros(1, dtype=np.uint64)
    for text in range(texts):
        n = state[WORDS]
        state[:] = 0
        state[AT], state[WORDS] = text_start[text], n
        event = FULL_SPANS
        while event != END:
            event = walk(rules, book, desk, data, text_start[text + 1], spans, state, chunk_hash)
            chunk, stop = state[CHUNK], state[STOP]
            if event == NO_ROOM:
                if stop - chunk > desk.points.size:
                    desk = new_desk(2 * (stop - chunk))
                book = with_room(book, stop - chunk)
            elif event == SPECIAL:
                if not has_room(book, stop - chunk):
                    book = with_room(book, stop - chunk)
                n, links = state[BARE_WORDS], state[LINKS]
                enter_joined(rules, book, desk, data, chunk, stop, chunk_hash[0], n, state[SEQUENCES], links)
            elif event == FULL_SPANS:
                spans = spans_with_room(spans, state[NEEDED])
            elif event == RUN:
                run_end = spans.start[state[WORDS] - 1] + spans.size[state[WORDS] - 1]
                spans, n = _rewrite_run(rules, data, state[RUN_BYTE], run_end, spans, state[RUN_WORD])
                state[WORDS], state[RUN_CHUNKS], state[MAY_GO_ON] = n, 0, 0
        first[text + 1] = state[WORDS]
    return book, first, spans, state[WORDS]


class Segmenter(Protocol):
    """What splits texts into words."""

    def split(self, texts: pl.Series) -> Words:
        """Words of each text; nulls count as empty."""

    def split_buffer(self, data: np.ndarray, text_start: np.ndarray) -> Words:
        """Words of the texts data[text_start[i]:text_start[i + 1]] (UTF-8, uint8 and int64)."""


class RuleSegmenter:
    """Splits by one of the compiled rule sets. Keeps a book of chunks; not for use by several threads at once."""

    def __init__(self, rules: WordRules) -> None:
        self.rules = rules
        self._book: Book = new_book()

    def split(self, texts: pl.Series) -> Words:
        """Words of each text; nulls count as empty."""
        return self.split_buffer(*utf8(texts))

    def split_buffer(self, data: np.ndarray, text_start: np.ndarray) -> Words:
        """Words of the texts data[text_start[i]:text_start[i + 1]] (UTF-8, uint8 and int64)."""
        if is_full(self._book):
            self._book = new_book()
        self._book, first, spans, n = _split_texts(self.rules, self._book, data, text_start)
        return Words(data, text_start, first, *(array[:n] for array in spans))


RULE_SETS = {
    "spacy:en": "spacy_en",
    "spacy:tn": "spacy_tn",
    "spacy:lg": "spacy_tn",
    **{f"spacy:{code}": f"spacy_{code}" for code in ("tl", "fo", "ga", "hsb", "la", "mk")},
    **{
        f"spacy:{code}": "spacy_xx"
        for code in ["xx", "lv", "sq", "et", "yo", "az", "af", "cs", "dsb", "eu", "he", "hr", "hy", "is", "sk"]
    },
}
"""Tokenizers whose rules are compiled -> the rule set. Several languages of spaCy have the base rules as they are."""


def segmenter(tokenizer: str) -> Segmenter:
    """What splits by a tokenizer: a language's (`eng_Latn`), one by its name (`spacy:en`), "whitespace" or "characters";
    see segmenters.segmenter. Raises RecipeError on an unknown name, and where an extra is not installed."""
    from curation.text.segmenters import segmenter as choose  # they are made of what stands here

    return choose(tokenizer)
