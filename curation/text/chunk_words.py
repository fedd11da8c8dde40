"""Words of chunks that a library or a pattern splits: only chunks the book does not know are asked about.

Three passes over a batch: unknown chunks are entered without words; Python asks for their words, all at once; the texts
are walked as by the compiled rules, every chunk now being known. Special cases across blanks, which a few texts in a
thousand hold, are asked about again as one string.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl

from curation.text.buffers import utf8
from curation.text.chunk_book import (
    AFTER_GAP,
    Book,
    decode,
    describe,
    enter,
    has_room,
    is_full,
    look_up,
    new_book,
    new_desk,
    with_room,
)
from curation.text.compiled import inlined, kernel, leaf
from curation.text.tables import flags_of
from curation.text.word_rules import load_rules
from curation.text.words import (
    END,
    FULL_SPANS,
    MAY_GO_ON,
    NEEDED,
    RUN,
    RUN_BYTE,
    RUN_CHUNKS,
    RUN_WORD,
    STATES,
    WORDS,
    RuleSegmenter,
    Words,
    new_spans,
    next_chunk,
    spans_with_room,
    walk,
)

MOST_UNKNOWN = (1 << 16, 4 << 20)
"""Unknown chunks, and bytes of them, that are asked about at a time."""


class Answer(NamedTuple):
    """Words of n chunks: `counts` int64 [n], `lengths` int64 (code points of each word, end to end), `links` uint8 [n]
    (chunk_book: MAY_BEGIN_RUN, MAY_CONTINUE_RUN, HAS_SPECIAL)."""

    counts: np.ndarray
    lengths: np.ndarray
    links: np.ndarray


class ChunkSplitter(Protocol):
    """What knows the words of a chunk. The words of a chunk cover it; they depend on nothing but the chunk."""

    def takes(self, chunk: str) -> bool:
        """Whether the chunk can be split in a time that stays bounded; the base rules split those that cannot."""

    def split(self, chunks: list[str]) -> Answer:
        """The words of some chunks."""

    def split_run(self, run: str) -> list[tuple[int, int]]:
        """(start, end) in code points of the words of chunks that stand one U+0020 apart."""


@leaf
def _next_unknown(book, data, at, end, chunk, value):
    """Looks for a chunk from `at` on that the book does not know: chunk[0], chunk[1] are its bounds (both `end`: there is
    none), value[0] its hash."""
    while True:
        start, at, h = next_chunk(data, at, end)
        known = look_up(book.slots, book.hashes, book.key_at, book.key_size, book.keys, data, start, at, h) >= 0
        if start == end or not known:
            chunk[0], chunk[1], value[0] = start, at, h
            return


@kernel
def _enter_unknown(flags, book, data, text_start, place, most_chunks, most_bytes):
    """Enters chunks the book does not know, without words, from place[0] (text), place[1] (byte) on, until there are
    enough of them or the texts are at their end (place[0] is then their number). Returns the book."""
    desk, chunk, value = new_desk(1), np.zeros(2, dtype=np.int64), np.zeros(1, dtype=np.uint64)
    stop_entries, stop_bytes = book.used[0] + most_chunks, book.used[1] + most_bytes
    while place[0] < text_start.size - 1:
        end = text_start[place[0] + 1]
        at = max(place[1], text_start[place[0]])
        while True:
            _next_unknown(book, data, at, end, chunk, value)
            start, at = chunk[0], chunk[1]
            if start == at:
                break
            if not has_room(book, at - start):
                book = with_room(book, at - start)
            enter(flags, book, data, start, at, value[0], desk.starts, desk.stops, desk.points, 0, 0)
            place[1] = at
            if book.used[0] >= stop_entries or book.used[1] >= stop_bytes:
                return book
        place[0] += 1
    return book


@kernel
def _fill(flags, book, entries, counts, lengths, links):
    """Gives entries of the book the words that were asked for. Returns the book."""
    book = with_room(book, lengths.size)
    points = np.empty(book.key_size[entries].max(), dtype=np.int32)
    word, at_length = book.used[2], 0
    for i in range(entries.size):
        entry = entries[i]
        decode(book.keys, book.key_at[entry], book.key_at[entry] + book.key_size[entry], points)
        book.word_at[entry], book.n_words[entry], book.links[entry] = word, counts[i], links[i]
        start = 0
        for length in lengths[at_length : at_length + counts[i]]:
            book.sizes[word], book.word_hashes[word], book.flags[word] = describe(flags, points, start, start + length)
            book.chars[word] = length
            start += length
            word += 1
        at_length += counts[i]
    book.used[2] = word
    return book


@inlined
def _noted(runs, n, text, state):
    """The list of runs with one more: text, first and last word, first byte."""
    if n == len(runs):
        longer = np.empty((2 * n, 4), dtype=np.int64)
        longer[:n] = runs
        runs = longer
    runs[n] = text, state[RUN_WORD], state[WORDS], state[RUN_BYTE]
    return runs


@kernel
def _split_known(rules, book, data, text_start):
    """(first word of each text, spans, words, runs int64 [n, 4]): every chunk is in the book, so no rule is used."""
    texts = text_start.size - 1
    first = np.zeros(texts + 1, dtype=np.int64)
    spans = new_spans((text_start[texts] - text_start[0]) // 4 + 16)
    state, chunk_hash, desk = np.zeros(STATES, dtype=np.int64), np.zeros(1, dtype=np.uint64), new_desk(1)
    runs, n_runs = np.empty((8, 4), dtype=np.int64), 0
    for text in range(texts):
        n = state[WORDS]
        state[:] = 0
        state[0], state[WORDS] = text_start[text], n
        event = FULL_SPANS
        while event != END:
            event = walk(rules, book, desk, data, text_start[text + 1], spans, state, chunk_hash)
            if event == FULL_SPANS:
                spans = spans_with_room(spans, state[NEEDED])
            elif event == RUN:
                runs = _noted(runs, n_runs, text, state)
                n_runs += 1
                state[RUN_CHUNKS], state[MAY_GO_ON] = 0, 0
        first[text + 1] = state[WORDS]
    return first, spans, state[WORDS], runs[:n_runs]


@kernel
def _describe_all(flags, points, starts, stops, sizes, hashes, word_flags):
    """Fills sizes, hashes and flags of the words points[starts[i]:stops[i]]."""
    for i in range(starts.size):
        sizes[i], hashes[i], word_flags[i] = describe(flags, points, starts[i], stops[i])


class BookSegmenter:
    """Splits by asking about each chunk once. Keeps a book of chunks; not for use by several threads at once."""

    def __init__(self, splitter: ChunkSplitter) -> None:
        self._splitter = splitter
        self._base = RuleSegmenter(load_rules("spacy_xx"))
        self._flags = flags_of("spacy_xx")
        self._book: Book = new_book()

    def split(self, texts: pl.Series) -> Words:
        """Words of each text; nulls count as empty."""
        return self.split_buffer(*utf8(texts))

    def split_buffer(self, data: np.ndarray, text_start: np.ndarray) -> Words:
        """Words of the texts data[text_start[i]:text_start[i + 1]] (UTF-8, uint8 and int64)."""
        if is_full(self._book):
            self._book = new_book()
        place = np.zeros(2, dtype=np.int64)
        while place[0] < len(text_start) - 1:
            known = int(self._book.used[0])
            self._book = _enter_unknown(self._flags, self._book, data, text_start, place, *MOST_UNKNOWN)
            self._ask(np.arange(known, int(self._book.used[0])))
        first, spans, n, runs = _split_known(self._base.rules, self._book, data, text_start)
        words = Words(data, text_start, first, *(array[:n] for array in spans))
        return self._rejoined(words, runs) if len(runs) else words

    def _ask(self, entries: np.ndarray) -> None:
        """Has the chunks of new entries split."""
        book = self._book
        ends = (book.key_at[entries] + book.key_size[entries]).tolist()
        chunks = [book.keys[at:end].tobytes().decode() for at, end in zip(book.key_at[entries].tolist(), ends, strict=True)]
        taken = np.fromiter(map(self._splitter.takes, chunks), dtype=bool, count=len(chunks))
        for where, split in ((taken, self._splitter.split), (~taken, self._by_base_rules)):
            asked = [chunks[i] for i in np.flatnonzero(where)]
            if asked:
                counts, lengths, links = split(asked)
                _check_cover(asked, counts, lengths)
                self._book = _fill(self._flags, self._book, entries[where], counts, lengths, links)

    def _by_base_rules(self, chunks: list[str]) -> Answer:
        words = self._base.split(pl.Series(chunks, dtype=pl.String))
        return Answer(np.diff(words.first), words.chars.astype(np.int64), np.zeros(len(chunks), dtype=np.uint8))

    def _rejoined(self, words: Words, runs: np.ndarray) -> Words:
        """The words with those of each run as they are when it is asked about as one string."""
        first, done = words.first.copy(), 0
        parts: list[tuple[np.ndarray, ...]] = []
        for text, begin, end, byte in runs.tolist():
            stop = int(words.start[end - 1] + words.size[end - 1])
            changed = self._run_words(words.data[byte:stop].tobytes().decode(), byte)
            changed[4][0] |= words.flags[begin] & AFTER_GAP
            parts += [tuple(array[done:begin] for array in words[3:]), changed]
            first[text + 1 :] += len(changed[0]) - (end - begin)
            done = end
        parts.append(tuple(array[done:] for array in words[3:]))
        return Words(words.data, words.text_start, first, *(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _run_words(self, run: str, byte: int) -> tuple[np.ndarray, ...]:
        """start, size, chars, hash, flags of the words of a run that begins at `byte`."""
        spans = np.array(self._splitter.split_run(run), dtype=np.int64).reshape(-1, 2)
        points = np.frombuffer(run.encode("utf-32-le"), dtype=np.int32)
        n = len(spans)
        sizes, hashes, flags = np.empty(n, np.int32), np.empty(n, np.uint64), np.empty(n, np.uint8)
        _describe_all(self._flags, points, spans[:, 0], spans[:, 1], sizes, hashes, flags)
        to_byte = np.cumsum([0, *(len(c.encode()) for c in run)])
        chars = (spans[:, 1] - spans[:, 0]).astype(np.int32)
        return byte + to_byte[spans[:, 0]], sizes, chars, hashes, flags


def _check_cover(chunks: list[str], counts: np.ndarray, lengths: np.ndarray) -> None:
    """Raises ValueError unless the words cover their chunks: the kernels rely on it."""
    covered = np.add.reduceat(lengths, np.cumsum(counts) - counts)
    if counts.min() < 1 or counts.sum() != len(lengths) or covered.tolist() != list(map(len, chunks)):
        raise ValueError("the words of a chunk do not cover it")


def chunked(words_of_chunks: Iterator[list[int]]) -> Answer:
    """The answer that consists of each chunk's word lengths."""
    lists = list(words_of_chunks)
    counts = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    lengths = np.fromiter((length for lengths in lists for length in lengths), dtype=np.int64, count=int(counts.sum()))
    return Answer(counts, lengths, np.zeros(len(lists), dtype=np.uint8))
