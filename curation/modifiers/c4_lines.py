"""What modifiers/c4 counts and judges: lines and sentences of texts, and the texts made of those that pass.

Source: as modifiers/c4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curation.text.buffers import point_at, sequence_size, space_size
from curation.text.chunk_book import AFTER_GAP, ALL_PUNCTUATION, ENDS_SENTENCE
from curation.text.compiled import kernel, leaf
from curation.text.line_breaks import break_size
from curation.text.segments import stripped
from curation.text.tables import Flag

DIGIT = np.uint32(Flag.DIGIT)

LOREM, CURLY = 1, 2
"""What ends a document."""


class Settings(NamedTuple):
    """The options as numbers; -1 switches a bound off."""

    citations: bool
    terminal: bool
    min_words: int
    max_word: int
    lorem: bool
    javascript: bool
    curly: bool
    policy: bool


@leaf
def _phrase_at(data, at, end, phrases, offsets, number):
    """Whether the phrase of that number begins at `at`, letters of either case (U+212A is a k in lower case, too)."""
    for i in range(offsets[number], offsets[number + 1]):
        if at >= end:
            return False
        c, wanted = data[at], phrases[i]
        if wanted == 107 and c == 0xE2 and at + 2 < end and data[at + 1] == 0x84 and data[at + 2] == 0xAA:
            at += 3
            continue
        if (c | 32 if 65 <= c <= 90 else c) != wanted:
            return False
        at += 1
    return True


@leaf
def _phrases_in(data, start, end, phrases, offsets):
    """Bits of the phrases that occur in data[start:end]."""
    found = 0
    for at in range(start, end):
        c = data[at] | 32
        if c == 108 or c == 106 or c == 116 or c == 112 or c == 99 or c == 117:
            for number in range(offsets.size - 1):
                if c == phrases[offsets[number]] and _phrase_at(data, at, end, phrases, offsets, number):
                    found |= 1 << number
    return found


@leaf
def _citation_size(data, at, end, flags):
    """Bytes of the citation mark that begins with the `[` at `at`: [12], [], [edit], [citation needed]; 0 if none."""
    stop = at + 1
    while stop < end and flags[point_at(data, stop)] & DIGIT:
        stop += sequence_size(data[stop])
    if stop < end and data[stop] == 93:
        return stop + 1 - at
    if end - at >= 6 and data[at + 1] == 101 and data[at + 2] == 100 and data[at + 3] == 105 and data[at + 4] == 116:
        return 6 if data[at + 5] == 93 else 0
    wanted = (99, 105, 116, 97, 116, 105, 111, 110, 32, 110, 101, 101, 100, 101, 100, 93)
    if end - at < 17:
        return 0
    for i in range(16):
        if data[at + 1 + i] != wanted[i]:
            return 0
    return 17


@leaf
def _words_of_line(data, start, end):
    """(words between white space, code points of the longest) of data[start:end]."""
    count, longest, chars, at = 0, 0, 0, start
    while at < end:
        c = data[at]
        if (c <= 32 or c == 0xC2 or 0xE1 <= c <= 0xE3) and space_size(data, at, end) > 0:
            at += space_size(data, at, end)
            chars = 0
            continue
        count += chars == 0
        chars += 1
        longest = max(longest, chars)
        at += sequence_size(c)
    return count, longest


@leaf
def _is_finished(data, start, end):
    """Whether data[start:end] ends as a sentence does: `. ? ! " '` but not `...`."""
    if end <= start:
        return False
    c = data[end - 1]
    if not (c == 46 or c == 63 or c == 33 or c == 34 or c == 39):
        return False
    return not (c == 46 and end - start >= 3 and data[end - 2] == 46 and data[end - 3] == 46)


@leaf
def _judge_line(data, start, end, settings, flags, phrases, offsets, out, at, counts, citations):
    """Writes a stripped line, data[start:end], without citations to out[at:]. Returns (its end there or -1 when the line
    goes, what ends the document: 0, LOREM or CURLY)."""
    words, longest = _words_of_line(data, start, end)
    if settings.max_word >= 0 and longest > settings.max_word:
        counts[2] += 1
        return np.int64(-1), 0
    stop, curly, i = at, False, start
    while i < end:
        size = _citation_size(data, i, end, flags) if settings.citations and data[i] == 91 else 0
        if size > 0:
            i += size
            citations[0] += 1
            continue
        curly = curly or data[i] == 123
        out[stop] = data[i]
        stop += 1
        i += 1
    if settings.terminal and not _is_finished(out, at, stop):
        counts[3] += 1
        return np.int64(-1), 0
    if words < settings.min_words:
        counts[4] += 1
        return np.int64(-1), 0
    found = _phrases_in(out, at, stop, phrases, offsets)
    if settings.lorem and found & 1:
        return np.int64(-1), LOREM
    if settings.javascript and found & 2:
        counts[5] += 1
        return np.int64(-1), 0
    if settings.curly and curly:
        return np.int64(-1), CURLY
    if settings.policy and found & ~3:
        counts[6] += 1
        return np.int64(-1), 0
    return stop, 0


@leaf
def _next_line(data, at, end):
    """(end of the line that begins at `at`, beginning of the next)."""
    while at < end:
        c = data[at]
        if c <= 30 or c == 0xC2 or c == 0xE2:
            size = break_size(data, at, end)
            if size > 0:
                return at, at + size
        at += 1
    return at, at


@leaf
def _judge_text(data, starts, stops, lines, settings, flags, phrases, offsets, separator, out, out_lines, state, counts):
    """Judges the lines of one text; kept ones go to out, each followed by the separator. `state`: bytes written, lines
    written. Returns (what ended the document, the number of that line)."""
    begin_at, begin_line = state[0], state[1]
    citations = counts[7:8]
    for i in range(lines):
        counts[0] += 1
        start, end = stripped(data, starts[i], stops[i])
        stop, ended = _judge_line(data, start, end, settings, flags, phrases, offsets, out, state[0], counts, citations)
        if ended:
            state[0], state[1] = begin_at, begin_line
            return ended, i + 1
        if stop >= 0:
            counts[1] += 1
            out_lines[state[1]] = state[0]
            out[stop] = separator
            state[0] = stop + 1
            state[1] += 1
    return 0, 0


@kernel
def judge(data, text_start, line_first, starts, stops, settings, flags, phrases, offsets, separator):
    """(out, out_lines, first_line, ended, ended_line, counts): the kept lines of all texts end to end, where each begins,
    the first of each text, what ended a document and in which line of it, counts int32 [n, 9]."""
    texts = text_start.size - 1
    total_lines = line_first[texts]
    out = np.empty(text_start[texts] - text_start[0] + total_lines + 1, dtype=np.uint8)
    out_lines = np.empty(total_lines + 1, dtype=np.int64)
    first_line = np.zeros(texts + 1, dtype=np.int64)
    ended, ended_line = np.zeros(texts, dtype=np.int32), np.zeros(texts, dtype=np.int32)
    counts = np.zeros((texts, 9), dtype=np.int32)
    state = np.zeros(2, dtype=np.int64)
    for text in range(texts):
        a, b = line_first[text], line_first[text + 1]
        ended[text], ended_line[text] = _judge_text(
            data,
            starts[a:b],
            stops[a:b],
            b - a,
            settings,
            flags,
            phrases,
            offsets,
            separator,
            out,
            out_lines,
            state,
            counts[text],
        )
        first_line[text + 1] = state[1]
    out_lines[state[1]] = state[0]
    return out[: max(1, state[0])], out_lines[: state[1] + 1], first_line, ended, ended_line, counts


@kernel
def lines_of(data, text_start):
    """(line_first, starts, stops): the lines of str.splitlines of every text."""
    texts = text_start.size - 1
    line_first = np.zeros(texts + 1, dtype=np.int64)
    for text in range(texts):
        at, n = text_start[text], 0
        while at < text_start[text + 1]:
            _, at = _next_line(data, at, text_start[text + 1])
            n += 1
        line_first[text + 1] = line_first[text] + n
    starts, stops = np.empty(line_first[texts], dtype=np.int64), np.empty(line_first[texts], dtype=np.int64)
    n = 0
    for text in range(texts):
        at = text_start[text]
        while at < text_start[text + 1]:
            starts[n] = at
            stops[n], at = _next_line(data, at, text_start[text + 1])
            n += 1
    return line_first, starts, stops


@leaf
def _sentence_steps(words, text, breaks):
    """(sentences of one text, whether the last is at its end mark); breaks[i] is set at each word that begins one."""
    n, seen = 0, False
    for i in range(words.first[text], words.first[text + 1]):
        flags = words.flags[i]
        begins = i == words.first[text]
        if flags & AFTER_GAP and seen:
            begins, seen = True, False
        if flags & ENDS_SENTENCE:
            seen = True
        elif seen and not flags & ALL_PUNCTUATION:
            begins, seen = True, False
        breaks[i] = begins
        n += begins
    return n, seen


@kernel
def count_sentences(words):
    """int32 [n]: sentences of each line (and the separator behind it), as spaCy's sentencizer with its default marks
    divides it. White space left at the end, but for one blank, is a sentence if one was finished; nothing is one, too."""
    breaks = np.zeros(words.start.size, dtype=np.bool_)
    lines = words.text_start.size - 1
    counts = np.zeros(lines, dtype=np.int32)
    for line in range(lines):
        n, finished = _sentence_steps(words, line, breaks)
        if n > 0:
            last = words.first[line + 1] - 1
            tail = words.start[last] + words.size[last]
            blank = words.text_start[line + 1] - 1 - tail
            n += finished and (blank > 1 or (blank == 1 and words.data[tail] != 32))
        counts[line] = max(n, 1)
    return counts


@kernel
def sentences_of(words):
    """(line_first, starts, stops): the sentences of every text, as byte ranges without white space at their ends."""
    breaks = np.zeros(words.start.size, dtype=np.bool_)
    texts = words.text_start.size - 1
    line_first = np.zeros(texts + 1, dtype=np.int64)
    for text in range(texts):
        line_first[text + 1] = line_first[text] + _sentence_steps(words, text, breaks)[0]
    starts, stops = np.empty(line_first[texts], dtype=np.int64), np.empty(line_first[texts], dtype=np.int64)
    n = 0
    for i in range(words.start.size):
        if breaks[i]:
            starts[n] = words.start[i]
            n += 1
        stops[n - 1] = words.start[i] + words.size[i]
    return line_first, starts, stops


@kernel
def assemble(data, text_start, out, out_lines, first_line, gone):
    """(bytes, offsets) of the new texts: kept lines joined and stripped; a text that goes stays as it was."""
    texts = text_start.size - 1
    offsets = np.zeros(texts + 1, dtype=np.int64)
    result = np.empty(text_start[texts] - text_start[0] + out.size + 1, dtype=np.uint8)
    at = 0
    for text in range(texts):
        if gone[text]:
            start, end = text_start[text], text_start[text + 1]
            result[at : at + end - start] = data[start:end]
        else:
            start, end = stripped(out, out_lines[first_line[text]], out_lines[first_line[text + 1]])
            result[at : at + end - start] = out[start:end]
        at += end - start
        offsets[text + 1] = at
    return result[:at], offsets
