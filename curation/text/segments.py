"""Segments of a text: lines and paragraphs between newlines, into the scratch tables of repeats.py.

Source: ours.
"""

from __future__ import annotations

from curation.text.buffers import space_size
from curation.text.compiled import leaf


@leaf
def is_blank(data, start, end):
    """Whether data[start:end] is white space."""
    while start < end:
        size = space_size(data, start, end)
        if size == 0:
            return False
        start += size
    return True


@leaf
def stripped(data, start, end):
    """The range of data[start:end] without white space at its ends."""
    while start < end:
        size = space_size(data, start, end)
        if size == 0:
            break
        start += size
    while end > start:
        lead = end - 1
        while lead > start and (data[lead] & 0xC0) == 0x80:
            lead -= 1
        if space_size(data, lead, end) == 0:
            break
        end = lead
    return start, end


@leaf
def cut_at_newlines(data, start, end, fewest, tables):
    """Segments of data[start:end] between runs of at least `fewest` newlines, into tables.starts and stops; returns how
    many."""
    n, begin, at = 0, start, start
    while at < end:
        if data[at] != 10:
            at += 1
            continue
        stop = at
        while at < end and data[at] == 10:
            at += 1
        if at - stop >= fewest:
            tables.starts[n], tables.stops[n] = begin, stop
            n += 1
            begin = at
    tables.starts[n], tables.stops[n] = begin, end
    return n + 1


@leaf
def cut_at_each_newline(data, start, end, tables):
    """Segments of data[start:end] between single newlines, empty ones too, as cut_at_newlines writes them."""
    n, begin = 0, start
    for at in range(start, end):
        if data[at] == 10:
            tables.starts[n], tables.stops[n] = begin, at
            n += 1
            begin = at + 1
    tables.starts[n], tables.stops[n] = begin, end
    return n + 1


@leaf
def strip_segments(data, tables, n):
    """Strips the n segments of the tables and removes those that are blank; returns how many are left."""
    left = 0
    for i in range(n):
        start, stop = stripped(data, tables.starts[i], tables.stops[i])
        if start < stop:
            tables.starts[left], tables.stops[left] = start, stop
            left += 1
    return left
