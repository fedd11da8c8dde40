"""From the blocks that are kept to text, with lists, tables and code readable.

Source: ours; Markdown as in CommonMark 0.31 with GitHub's tables.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import inlined, kernel, leaf
from curation.text.html_blocks import ELEMENT, END, START
from curation.text.html_names import H1, H6, HEADING, QUOTE, TABLE_TAG, TD, TH
from curation.text.html_tree import CELL, CODE, FLAG_BITS, ITEM, LISTS, PARENT, ROW, TAG_ID

SHORT_CELL = 200
"""Bytes of a table cell up to which a table is surely one of data, whose cells stand side by side."""


@leaf
def _put(out, at, text):
    for i in range(len(text)):
        out[at + i] = text[i]
    return at + len(text)


@leaf
def _put_block(out, at, text, start, end, one_line):
    for i in range(start, end):
        out[at] = 32 if one_line and text[i] == 10 else text[i]
        at += 1
    return at


_NEW_LINE = np.frombuffer(b"\n", np.uint8)
_BAR = np.frombuffer(b" | ", np.uint8)
_ROW_START = np.frombuffer(b"| ", np.uint8)
_ROW_END = np.frombuffer(b" |", np.uint8)
_RULE = np.frombuffer(b" --- |", np.uint8)
_BULLET = np.frombuffer(b"- ", np.uint8)
_QUOTE_MARK = np.frombuffer(b"> ", np.uint8)
_FENCE = np.frombuffer(b"```", np.uint8)
_SPACES = np.frombuffer(b"  ", np.uint8)
MOST_INDENT = 6
MOST_CELLS = 64
"""Of a row with more, bars of empty cells beyond are left out."""
MORE_BARS = 1000
"""Bars of a page beyond two for each cell. A row that other blocks interrupt begins anew, each time with a bar for each cell
before: without a bound a megabyte of cells could become 30 of bars."""
ROOM = 2 * MOST_INDENT + 28
"""Bytes of marks a block may need beside its text and the bars of its row."""


@leaf
def _table_of(elements, row):
    """The table of a row; within one, rows hang in it or in its head, body or foot."""
    e = elements[row, PARENT]
    if e > 0 and elements[e, TAG_ID] != TABLE_TAG:
        e = elements[e, PARENT]
    return e


@leaf
def _any_cell(elements, blocks, keep):
    """Whether a cell of a row is kept."""
    for b in range(len(blocks)):
        if keep[b]:
            e = blocks[b, ELEMENT]
            if elements[e, CELL] >= 0 and elements[e, ROW] >= 0:
                return True
    return False


@leaf
def _most_bars(elements, places):
    cells = 0
    for e in range(len(places)):
        cells += elements[e, TAG_ID] == TD or elements[e, TAG_ID] == TH
    return 2 * cells + MORE_BARS if cells else 0


@inlined
def _rows_of_data(elements, blocks, keep, every):
    """(places int32 [e]: number of a cell in its row, of a row how many cells it has; bool [e]: rows to write side by side).

    Rows are so written in every table, or in those of data alone: no table stands within, and cells are short, or several
    rows have several and no cell holds half of the text. Others lay out a page; their cells are its paragraphs.
    """
    n = len(elements)
    found = _any_cell(elements, blocks, keep)
    places = np.zeros(n if found else 0, np.int32)
    beside = np.zeros(n if found else 0, np.bool_)
    if not found:
        return places, beside
    sizes = np.zeros(n, np.int32)  # bytes of text: of a cell, of a row's longest cell so far, of a table
    longest, several, filled = np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.int32)
    layout = np.zeros(n, np.bool_)
    for e in range(n):
        tag = elements[e, TAG_ID]
        row = elements[e, ROW]
        if tag in (TD, TH) and row >= 0:
            places[e] = places[row]
            places[row] += 1
        elif tag == TABLE_TAG and elements[elements[e, PARENT], ROW] >= 0:
            layout[_table_of(elements, elements[elements[e, PARENT], ROW])] = True
    for b in range(len(blocks)):
        e = blocks[b, ELEMENT]
        row, cell = elements[e, ROW], elements[e, CELL]
        if row < 0 or cell < 0:
            continue
        size = blocks[b, END] - blocks[b, START]
        table = _table_of(elements, row)
        if sizes[cell] == 0:
            filled[row] += 1
            several[table] += filled[row] == 2
        sizes[cell] += size
        sizes[table] += size
        longest[table] = max(longest[table], sizes[cell])
    for e in range(n):
        if elements[e, ROW] == e:
            table = _table_of(elements, e)
            short = longest[table] <= SHORT_CELL or (several[table] > 1 and 2 * longest[table] <= sizes[table])
            beside[e] = every or (short and not layout[table])
    return places, beside


@leaf
def _put_bars(out, at, wanted, left):
    """(position, bars of the page that are left) after so many bars, or those that may be."""
    count = min(wanted, MOST_CELLS, left)
    for _ in range(count):
        at = _put(out, at, _BAR)
    return at, left - max(count, 0)


@leaf
def _end_row(out, at, left, elements, row, cell, places, table, markdown):
    """End a row, its last cells empty; in Markdown with a rule under the first of a table: (position, bars left, table)."""
    at, left = _put_bars(out, at, places[row] - 1 - places[cell], left)
    at = _put(out, at, _ROW_END)
    now = _table_of(elements, row)
    if markdown and now != table:
        at, left = _put_rule(out, at, places[row], left)
    return at, left, now


@leaf
def _put_rule(out, at, columns, left):
    at = _put(out, at, _NEW_LINE)
    out[at] = 124
    at += 1
    count = min(columns, MOST_CELLS, left)
    for _ in range(count):
        at = _put(out, at, _RULE)
    return at, left - count


@leaf
def _put_mark(out, at, elements, blocks, e, last_item, markdown):
    """The mark a block begins with: bullet of a list item that begins here, heading, quotation."""
    item = elements[e, ITEM]
    if item >= 0 and item != last_item:
        for _ in range(min(elements[item, LISTS] - 1, MOST_INDENT) if markdown else 0):
            at = _put(out, at, _SPACES)
        at = _put(out, at, _BULLET)
    if markdown:
        if elements[e, FLAG_BITS] & QUOTE:
            at = _put(out, at, _QUOTE_MARK)
        if elements[e, FLAG_BITS] & HEADING and H1 <= elements[e, TAG_ID] <= H6:
            for _ in range(elements[e, TAG_ID] - H1 + 1):
                out[at] = 35
                at += 1
            out[at] = 32
            at += 1
    return at


@kernel
def render(elements, blocks, text, keep, markdown, rows):
    """uint8: the text of the kept blocks.

    One line for each block; cells of a row of data side by side with bars between, an empty one too; list items begin with a
    dash; code keeps its lines. `markdown`: headings, tables, quotations and code are marked and blank lines stand between.
    `rows`: the rows of every table, between bars.
    """
    places, beside = _rows_of_data(elements, blocks, keep, rows)
    barred = markdown or rows
    left = _most_bars(elements, places)
    out = np.empty(16 + len(text) + ROOM * keep.sum() + len(_RULE) * left, np.uint8)
    at = 0
    row = cell = item = code = -1
    table = -1
    side_by_side = False
    for b in range(len(blocks)):
        if not keep[b]:
            continue
        e = blocks[b, ELEMENT]
        now_row, now_cell = elements[e, ROW], elements[e, CELL]
        now_code, now_item = elements[e, CODE], elements[e, ITEM]
        in_row = now_row >= 0 and now_cell >= 0 and now_code < 0 and beside[now_row]
        if in_row and side_by_side and now_row == row:
            # ---- beside the block before
            if now_cell == cell:
                out[at] = 32
                at += 1
            else:
                at = _put(out, at, _BAR)
                at, left = _put_bars(out, at, min(places[now_cell] - places[cell], MOST_CELLS) - 1, left)
            at = _put_block(out, at, text, blocks[b, START], blocks[b, END], True)
        else:
            # ---- on a line of its own
            if side_by_side and barred:
                at, left, table = _end_row(out, at, left, elements, row, cell, places, table, markdown)
            if markdown and code >= 0 and now_code != code:
                at = _put(out, at, _NEW_LINE)
                at = _put(out, at, _FENCE)
            if at:
                close = (now_code >= 0 and now_code == code) or (side_by_side and in_row) or (item >= 0 and now_item >= 0)
                out[at] = 10
                at += 1
                if markdown and not close:
                    out[at] = 10
                    at += 1
            if now_code >= 0:
                if markdown and now_code != code:
                    at = _put(out, at, _FENCE)
                    at = _put(out, at, _NEW_LINE)
                at = _put_block(out, at, text, blocks[b, START], blocks[b, END], False)
            elif in_row:
                if barred:
                    at = _put(out, at, _ROW_START)
                at, left = _put_bars(out, at, places[now_cell], left)
                at = _put_block(out, at, text, blocks[b, START], blocks[b, END], True)
            else:
                if markdown or now_item >= 0:
                    at = _put_mark(out, at, elements, blocks, e, item, markdown)
                at = _put_block(out, at, text, blocks[b, START], blocks[b, END], False)
        row, cell, item, code, side_by_side = now_row, now_cell, now_item, now_code, in_row
    if side_by_side and barred:
        at, left, table = _end_row(out, at, left, elements, row, cell, places, table, markdown)
    if markdown and code >= 0:
        at = _put(out, at, _NEW_LINE)
        at = _put(out, at, _FENCE)
    return out[:at]
