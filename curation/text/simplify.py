"""Text made comparable: lower case, numbers, punctuation, white space and diacritics levelled, with the way back.

In this order: lower case; every number becomes `0`; every punctuation mark (and control character) a space; runs of
white space one space; canonical decomposition without nonspacing marks; no space at either end. A mark between two
spaces vanishes after they were counted, so that two spaces in a row can remain: the reference has it so, and
signatures computed by it stay valid.

One pass over UTF-8 with a table of code points, which is made from Python's own Unicode data (3.11: Unicode 14) at
first use, in about 0.2 s. Decimal digits that later versions of Unicode added are listed here, so that they do not
depend on Python. Two things depend on the context of a character: the final sigma, which the kernel handles, and the
canonical order of combining marks that are not nonspacing (24 in all), for which such a text is done again in Python.

Source: datatrove 0.10.1 `utils/text.py` (simplify_text with its default options), byte for byte.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
import polars as pl

from curation.text.buffers import point_at, point_size, strings, utf8
from curation.text.compiled import kernel, leaf
from curation.text.punctuation import PUNCTUATION, TERMINAL_PUNCTUATION, characters

SEPARATORS: frozenset[str] = (PUNCTUATION - TERMINAL_PUNCTUATION - {"１"}) | frozenset("!.?。．？！")
"""Punctuation that becomes a space: of the sentence terminals only the Latin and full-width ones. The reference also
lists the full-width digit one, which has become `0` by then and counts for a digit where digits stay."""

NUMBER_POINTS = ".,،٫⎖⎗⎘"
"""One of these between digits belongs to the number."""

_LATER_DIGITS = characters(
    "10D40-10D49 116D0-116E3 11BF0-11BF9 11DE0-11DE9 11F50-11F59 16130-16139 16D70-16D79 1CCF0-1CCF9 1E4F0-1E4F9 1E5F1-1E5FA"
)
"""Decimal digits of Unicode 15 to 17."""

_POINTS = 0x110000
_ALIKE = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xE000, 0xF900), (0x20000, 0x2F800), (0x2FA20, 0xE0000), (0xE0200, _POINTS))
"""Ranges without case, marks or decompositions: ideographs, private use and what is not assigned."""

_COPY, _MAP, _SPACE, _DIGIT, _MARK, _SIGMA = range(6)
_ACTION, _IGNORABLE, _CASED = 0x0F, 0x10, 0x20


class Simplified(NamedTuple):
    """Texts as UTF-8: text `t` is `data[start[t]:start[t + 1]]` (uint8, int64).

    With source offsets asked for, `source[i]` is the byte of the raw text (counted from its own start) at which the
    character begins that made byte `i` of `data`, and `source_end[t]` is where the last word of text `t` ends there;
    both are empty otherwise. Bytes between two words map to where the first ends, marks that were taken off included.
    """

    data: np.ndarray
    start: np.ndarray
    source: np.ndarray
    source_end: np.ndarray

    def to_series(self) -> pl.Series:
        """The texts as a series of strings."""
        return strings(self.data, self.start)


class _Tables(NamedTuple):
    """`action`: what to do with a code point, and its case bits. `mapped`: offset << 8 | size of its replacement in
    `arena`. `marks`: (code point, combining class of its first, of its last character) of what may need reordering.
    `plain`: what an ASCII letter or symbol becomes; 0 for bytes that need a closer look."""

    action: np.ndarray
    mapped: np.ndarray
    arena: np.ndarray
    marks: np.ndarray
    plain: np.ndarray


def simplify(texts: pl.Series, *, numbers: str = "zero", source: bool = False) -> Simplified:
    """The texts made comparable. `numbers`: "zero" (the reference: a number becomes `0`) or "keep" (digits stay).
    `source`: also the offsets back into the raw text."""
    raw, raw_start = utf8(texts)
    # Of what decomposes, nothing grows more than threefold; ASCII never grows.
    room = int(raw_start[-1] - raw_start[0]) + 2 * int(np.count_nonzero(raw[raw_start[0] : raw_start[-1]] & 0x80)) + 1
    out = np.empty(room, np.uint8)
    start = np.zeros(len(raw_start), np.int64)
    back = np.empty(room if source else 0, np.int64)
    back_end = np.zeros(len(raw_start) - 1 if source else 0, np.int64)
    reorder = np.zeros(len(raw_start), np.bool_)
    used = _simplify(raw, raw_start, *_tables(), numbers == "zero", out, start, back, back_end, reorder)
    for row in np.flatnonzero(reorder):
        text = raw[raw_start[row] : raw_start[row + 1]].tobytes().decode()
        ordered = simplify_text(text, numbers=numbers).encode()
        out[start[row] : start[row + 1]] = np.frombuffer(ordered, np.uint8)
    return Simplified(out[:used], start, back[:used] if source else back, back_end)


def simplify_text(text: str, *, numbers: str = "zero") -> str:
    """One text made comparable, by Python's own string functions: what the kernel is held to, many times slower."""
    text = text.lower()
    if numbers == "zero":
        text = _number_pattern().sub("0", text)
    text = re.sub(r"\s+", " ", text.translate(_separator_table()).strip())
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn").strip()


@cache
def _number_pattern() -> re.Pattern[str]:
    digit = rf"[\d{_LATER_DIGITS}]"
    return re.compile(rf"{digit}+(?:[{re.escape(NUMBER_POINTS)}]{digit}+)?")


@cache
def _separator_table() -> dict[int, str]:
    return {ord(c): " " for c in SEPARATORS}


@cache
def _tables() -> _Tables:
    """The tables of code points, made once per process."""
    action, mapped = np.zeros(_POINTS, np.uint8), np.zeros(_POINTS, np.int32)
    arena = bytearray()
    marks = []
    first = 0
    for begin, end in (*_ALIKE, (0xD800, 0xE000)):
        action[begin:end] = _COPY
    for begin, end in sorted((*_ALIKE, (0xD800, 0xE000))):
        for point in range(first, begin):
            char = chr(point)
            kind = _kind(char)
            made = _replacement(char) if kind == _COPY else char
            if made != char:
                encoded = made.encode()
                mapped[point] = len(arena) << 8 | len(encoded)
                arena += encoded
                kind = _MAP
            classes = [unicodedata.combining(c) for c in made]
            if kind in (_COPY, _MAP) and any(classes):
                marks.append((point, classes[0], classes[-1]))
                kind = _MARK
            action[point] = kind | _case_bits(char)
        first = max(first, end)
    for char in _LATER_DIGITS:
        action[ord(char)] = _DIGIT
    plain = np.zeros(256, np.uint8)
    for point in range(0x80):
        if action[point] & _ACTION in (_COPY, _MAP):
            plain[point] = ord(chr(point).lower())
    return _Tables(action, mapped, np.frombuffer(bytes(arena), np.uint8), np.array(marks, np.int64).reshape(-1, 3), plain)


def _kind(char: str) -> int:
    if char in SEPARATORS or char.isspace():
        return _SPACE
    if char == "Σ":
        return _SIGMA
    return _DIGIT if char.isdecimal() else _COPY


def _replacement(char: str) -> str:
    """A character by itself in lower case, decomposed, without nonspacing marks."""
    if char.isascii():
        return char.lower()
    return "".join(c for c in unicodedata.normalize("NFD", char.lower()) if unicodedata.category(c) != "Mn")


def _case_bits(char: str) -> int:
    """Unicode's Case_Ignorable and Cased, as Python's own lower() shows them by what it does to a sigma."""
    after_letter = ("A" + char + "Σ").lower().endswith("ς")
    alone = (char + "Σ").lower().endswith("ς")
    return (_IGNORABLE if after_letter and not alone else 0) | (_CASED if alone else 0)


@leaf
def _is_number_point(point):
    return point in (0x2E, 0x2C) or point == 0x60C or point == 0x66B or 0x2396 <= point <= 0x2398


@leaf
def _digits_end(data, at, end, action):
    """Where the run of digits at `at` ends."""
    while at < end:
        point = point_at(data, at)
        if action[point] & _ACTION != _DIGIT:
            break
        at += point_size(point)
    return at


@leaf
def _number_end(data, at, end, action):
    """Where the number at `at` ends: digits, and one point with digits after it."""
    at = _digits_end(data, at, end, action)
    if at < end:
        point = point_at(data, at)
        if _is_number_point(point):
            after = _digits_end(data, at + point_size(point), end, action)
            if after > at + point_size(point):
                return after
    return at


@leaf
def _sigma_is_final(data, begin, at, end, action):
    """Unicode's Final_Sigma: a cased character before and none after, ignorable ones left out."""
    cased = False
    i = at
    while i > begin:
        i -= 1
        while data[i] & 0xC0 == 0x80:
            i -= 1
        point = point_at(data, i)
        if not action[point] & _IGNORABLE:
            cased = action[point] & _CASED != 0
            break
    if not cased:
        return False
    i = at + 2
    while i < end:
        point = point_at(data, i)
        if not action[point] & _IGNORABLE:
            return action[point] & _CASED == 0
        i += point_size(point)
    return True


@leaf
def _mark_classes(marks, point):
    for k in range(len(marks)):
        if marks[k, 0] == point:
            return marks[k, 1], marks[k, 2]
    return 0, 0


@leaf
def _write(raw, begin, at, end, point, action, mapped, arena, zero_numbers, out, o):
    """Writes what becomes of the character at `at`, or of the number, to out[o:]; returns where both go on."""
    what, size = action[point] & _ACTION, point_size(point)
    if what == _DIGIT and zero_numbers:
        out[o] = 0x30
        return o + 1, _number_end(raw, at, end, action)
    if what == _SIGMA:
        out[o] = 0xCF
        out[o + 1] = 0x82 if _sigma_is_final(raw, begin, at, end, action) else 0x83
        return o + 2, at + size
    if mapped[point] != 0:
        offset, length = mapped[point] >> 8, mapped[point] & 0xFF
        for k in range(length):
            out[o + k] = arena[offset + k]
        return o + length, at + size
    for k in range(size):
        out[o + k] = raw[at + k]
    return o + size, at + size


@kernel
def _simplify(raw, raw_start, action, mapped, arena, marks, plain, zero_numbers, out, start, back, back_end, reorder):
    """Fills `out`, `start` and, where they have room, `back` and `back_end`; sets `reorder` for texts whose marks stand
    out of canonical order. Relies on valid UTF-8 and on room for 3 bytes per non-ASCII byte. Returns bytes written."""
    with_source = len(back) > 0
    o = 0
    for t in range(len(raw_start) - 1):
        begin, end = raw_start[t], raw_start[t + 1]
        out_begin = o
        start[t] = o
        spaced = False
        last_class = 0
        i = begin
        while i < end:
            simple = plain[raw[i]]
            if simple != 0:
                out[o] = simple
                if with_source:
                    back[o] = i - begin
                o += 1
                i += 1
                spaced = False
                last_class = 0
                continue
            point = point_at(raw, i)
            size = point_size(point)
            what = action[point] & _ACTION
            if what == _SPACE:
                if not spaced and o > out_begin:
                    out[o] = 0x20
                    if with_source:
                        back[o] = i - begin
                    o += 1
                spaced = True
                last_class = 0
                i += size
                continue
            spaced = False
            written = o
            o, following = _write(raw, begin, i, end, point, action, mapped, arena, zero_numbers, out, o)
            if what == _MARK:
                first, last = _mark_classes(marks, point)
                if first != 0 and first < last_class:
                    reorder[t] = True
                last_class = last
            elif o > written:
                last_class = 0
            if with_source:
                for k in range(written, o):
                    back[k] = i - begin
            i = following
        finish = end - begin
        while o > out_begin and out[o - 1] == 0x20:
            o -= 1
            if with_source:
                finish = back[o]
        if with_source:
            back_end[t] = finish
    start[len(raw_start) - 1] = o
    return o
