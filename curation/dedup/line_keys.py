"""Digests of the lines of texts in a form that forgets case, numbers and punctuation; and texts without some of them.

Source: ours; the normal form after CCNet (Wenzek et al., arXiv:1911.00359; facebookresearch/cc_net
`text_normalizer.normalize_for_dedup` and `dedup.py`), whose own is `compat="cc_net"`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl

from curation.text.buffers import point_at, sequence_size, strings, utf8
from curation.text.compiled import kernel, leaf
from curation.text.segments import is_blank, stripped
from curation.text.tables import Flag, flags_of

_KEPT, _LEFT_OUT, _DIGIT, _BLANK = 0, 1, 2, 3
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(32)
_CONTROLS = [*range(32), *range(127, 160)]
_CC_NET_MARKS = "，。、„”“«»」「《》´∶：？！（）；–—．～’…━〈〉【】％►"


@cache
def _kinds(compat: str) -> np.ndarray:
    """uint8 [0x110000]: what becomes of each code point: kept, left out, written as 0, or written as one blank."""
    flags = flags_of("spacy_en")
    kinds = np.zeros(len(flags), np.uint8)
    if compat:
        kinds[[*_CONTROLS, *map(ord, _CC_NET_MARKS)]] = _LEFT_OUT
    else:
        kinds[flags & Flag.CATEGORY_P != 0] = _LEFT_OUT
        kinds[_CONTROLS] = _LEFT_OUT
        kinds[flags & Flag.SPACE != 0] = _BLANK
    kinds[flags & Flag.DIGIT != 0] = _DIGIT
    return kinds


def line_keys(texts: pl.Series, paragraphs: bool, min_chars: int, compat: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row int64, line int32 (from 0) and key uint64 of every line, or of the first line of every paragraph.

    Lines stand between "\\n", paragraphs between blank lines. Those whose normal form has fewer than `min_chars` code
    points are left out; under `compat="cc_net"` none is, and a blank line is a line.
    """
    data, starts = utf8(texts.fill_null("").str.to_lowercase())
    return _keys(data, starts, _kinds(compat), paragraphs, min_chars, bool(compat))


def without_lines(
    texts: pl.Series, first: np.ndarray, lines: np.ndarray, paragraphs: bool, compat: str
) -> tuple[pl.Series, np.ndarray, np.ndarray]:
    """Each text without its lines[first[row]:first[row + 1]] (increasing), or the paragraphs that begin with them; how many
    lines went, int32 [rows]; and whether a line that is not blank stayed, bool [rows].

    Where lines went, the longest run of blank lines around them stays, none at either end of the text. Under
    `compat="cc_net"` blank lines are lines like others.
    """
    data, starts = utf8(texts)
    size = int(starts[-1] - starts[0]) if len(starts) else 0
    out, ends, gone, stayed = _cut(data, starts, first, lines, paragraphs, bool(compat), np.empty(size + 1, np.uint8))
    return strings(out, ends).alias(texts.name), gone, stayed


@leaf
def _add(value, byte):
    value = (value ^ np.uint64(byte)) * _MIX
    return value ^ (value >> _HALF)


@leaf
def _line_key(data, start, end, kinds, value):
    """(`value` with the normal form of a line taken in, its code points)."""
    start, end = stripped(data, start, end)
    at, chars, blank = start, 0, False
    while at < end:
        size = sequence_size(data[at])
        kind = kinds[point_at(data, at)]
        if kind == _BLANK:
            blank = chars > 0
        elif kind != _LEFT_OUT:
            if blank:
                value = _add(value, 32)
                chars += 1
                blank = False
            chars += 1
            if kind == _DIGIT:
                value = _add(value, 48)
            else:
                for i in range(at, at + size):
                    value = _add(value, data[i])
        at += size
    return value, chars


@leaf
def _line_end(data, at, end):
    while at < end and data[at] != 10:
        at += 1
    return at


@kernel
def _keys(data, starts, kinds, paragraphs, min_chars, every):
    """Relies on `data` being valid UTF-8."""
    most = starts.size - 1
    for at in range(starts[0], starts[-1]):
        most += data[at] == 10
    rows, numbers, keys = np.empty(most, np.int64), np.empty(most, np.int32), np.empty(most, np.uint64)
    n = 0
    for row in range(starts.size - 1):
        at, end, number = starts[row], starts[row + 1], 0
        while at <= end:
            first, value, chars = number, np.uint64(0), 0
            stop = _line_end(data, at, end)
            blank = not every and is_blank(data, at, stop)
            value, chars = _line_key(data, at, stop, kinds, value)
            at, number = stop + 1, number + 1
            while paragraphs and not blank and at <= end:
                stop = _line_end(data, at, end)
                if is_blank(data, at, stop):
                    break
                value, more = _line_key(data, at, stop, kinds, _add(value, 10))
                chars += more
                at, number = stop + 1, number + 1
            if not blank and (every or chars >= min_chars):
                rows[n], numbers[n], keys[n] = row, first, value
                n += 1
    return rows[:n], numbers[:n], keys[:n]


@leaf
def _copy(data, start, end, out, n):
    for i in range(start, end):
        out[n] = data[i]
        n += 1
    return n


@kernel
def _cut(data, starts, first, lines, paragraphs, every, out):
    """Relies on: `out` holds all of `data`."""
    texts = starts.size - 1
    ends, gone, stayed = np.zeros(texts + 1, np.int64), np.zeros(texts, np.int32), np.zeros(texts, np.bool_)
    n = 0
    for row in range(texts):
        at, end, number, item = starts[row], starts[row + 1], 0, first[row]
        last, blanks, most_blanks, cutting, cut_here = at, 0, 0, False, False
        while at <= end:
            stop = _line_end(data, at, end)
            if not every and is_blank(data, at, stop):
                blanks += 1
                most_blanks = max(most_blanks, blanks)
                cutting = False
            else:
                blanks = 0
                if item < first[row + 1] and lines[item] == number:
                    item += 1
                    cutting = True
                elif not paragraphs:
                    cutting = False
                if cutting:
                    gone[row] += 1
                    cut_here = True
                else:
                    if not cut_here:
                        n = _copy(data, last, at, out, n)
                    elif stayed[row]:
                        for _ in range(1 + most_blanks):
                            out[n] = 10
                            n += 1
                    n = _copy(data, at, stop, out, n)
                    last, most_blanks, cut_here, stayed[row] = stop, 0, False, True
            at, number = stop + 1, number + 1
        if not cut_here:
            n = _copy(data, last, end, out, n)
        ends[row + 1] = n
    return out[:n], ends, gone, stayed
