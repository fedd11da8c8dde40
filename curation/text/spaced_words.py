"""Hashes of words that are found without rules or dictionaries: what MinHash needs, and the fastest way to it.

"spaced": words end at white space and at punctuation; in scripts written without spaces every letter is a word of its
own, so that five of them are a shingle and a sentence is not one giant word. Marks and format characters after such a
letter belong to it. As a pattern, over str.isspace, Unicode's categories and the letters of UNSPACED:

    L[MF]*|[^PSL]+      L: letter of UNSPACED   M: category M   F: Cf   P: category P   S: white space and U+200B

Tibetan needs nothing more: its syllables end in a tsheg, which is punctuation, as is the word space of Ethiopic.

"whitespace": words end at white space, nothing else.

Source: ours; scripts whose letters are line-break class SA, ID or CJ of UAX #14 (Unicode 17). Categories are those of
Python's Unicode data, as in text/simplify.py; code points of UNSPACED that it does not know count as letters.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np

from curation.text.buffers import point_at, point_size, sequence_size
from curation.text.chunk_book import BASE
from curation.text.compiled import kernel, leaf
from curation.text.punctuation import characters

NAMES = ("spaced", "whitespace")

UNSPACED = (
    "E00-EFF 1000-109F 1780-17FF 1950-19DF 1A20-1AAF 3005-3007 303B-303C 3040-309A 309D-30FF 3100-312F 31A0-31BF 31F0-31FF "
    "3400-4DBF 4E00-A48F A9E0-A9FF AA60-AADF F900-FAFF FF66-FF9F 11700-1174F 16FE0-16FFF 17000-18DFF 1AFF0-1B2FF"
)
"""Thai, Lao, Myanmar, Khmer, Tai Le, New Tai Lue, Tai Tham, Han, kana, Bopomofo, Yi, Tai Viet, Ahom, Tangut, Khitan and
Nushu; besides, planes 2 and 3, which Unicode reserves for ideographs. Digits in these ranges are no letters."""

ORDINARY, SEPARATOR, LETTER, MARK, _NOT_ASCII = range(5)
_IDEOGRAPHS = slice(0x20000, 0x40000)
_POINTS = 0x110000


class Kinds(NamedTuple):
    """`of_point` uint8 [0x110000]: SEPARATOR, LETTER (a word of its own), MARK (belongs to a letter before it) or
    ORDINARY. `of_byte` uint8 [256]: what begins with a byte: SEPARATOR, itself one; _NOT_ASCII, some character that is not
    ordinary; else ORDINARY."""

    of_point: np.ndarray
    of_byte: np.ndarray


@cache
def kinds_of(name: str) -> Kinds:
    """The kinds of characters by which "spaced" or "whitespace" finds words, made once per process."""
    of_point = np.zeros(_POINTS, np.uint8)
    # no white space, punctuation or mark is assigned between these
    for point in (*range(0x20000), *range(0xE0000, 0xE0200)):
        char = chr(point)
        if char.isspace():
            of_point[point] = SEPARATOR
        elif name == "spaced":
            of_point[point] = _kind(char)
    if name == "spaced":
        for char in characters(UNSPACED):
            if unicodedata.category(char) in ("Lo", "Lm", "Nl", "Cn"):
                of_point[ord(char)] = LETTER
        of_point[_IDEOGRAPHS] = LETTER
    of_byte = np.zeros(256, np.uint8)
    for point in np.flatnonzero(of_point):
        if not 0xD800 <= point <= 0xDFFF:
            of_byte[chr(point).encode()[0]] = SEPARATOR if point < 0x80 else _NOT_ASCII
    return Kinds(of_point, of_byte)


def _kind(char: str) -> int:
    category = unicodedata.category(char)
    if category[0] == "P" or char == "\u200b":
        return SEPARATOR
    return MARK if category[0] == "M" or category == "Cf" else ORDINARY


@leaf
def _with_marks(data, at, end, of_point, value):
    """The hash of a word with the marks at `at` taken in, and where they end."""
    while at < end and data[at] >= 0xC0:
        point = point_at(data, at)
        if of_point[point] != MARK:
            break
        for i in range(at, at + point_size(point)):
            value = value * BASE + np.uint64(data[i] + 1)
        at += point_size(point)
    return value, at


@kernel
def word_hashes(data, text_start, kinds):
    """Hash of every word (uint64: polynomial over its bytes, as words.Words has it), and the first word of each text
    (int64 [texts + 1]). Relies on valid UTF-8. A word takes two bytes of text, counting what ends it: room enough."""
    of_point, of_byte = kinds.of_point, kinds.of_byte
    texts = text_start.size - 1
    first = np.zeros(texts + 1, np.int64)
    hashes = np.empty((text_start[texts] - text_start[0] + texts + 1) // 2, np.uint64)
    n = 0
    for t in range(texts):
        i, end = text_start[t], text_start[t + 1]
        while i < end:
            value, begin = np.uint64(0), i
            while True:
                kind = np.uint8(ORDINARY)
                while i < end:
                    kind = of_byte[data[i]]
                    if kind != ORDINARY:
                        break
                    value = value * BASE + np.uint64(data[i] + 1)
                    i += 1
                if kind != _NOT_ASCII:
                    break
                point = point_at(data, i)
                kind = of_point[point]
                if kind == SEPARATOR or (kind == LETTER and i > begin):
                    break
                after = i + point_size(point)
                while i < after:
                    value = value * BASE + np.uint64(data[i] + 1)
                    i += 1
                if kind == LETTER:
                    value, i = _with_marks(data, i, end, of_point, value)
                    break
            if i > begin:
                hashes[n] = value
                n += 1
            if kind == SEPARATOR:
                i += sequence_size(data[i])
        first[t + 1] = n
    return hashes[:n], first
