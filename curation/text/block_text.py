"""From answers to text: which blocks are kept, and their text with lists, tables and code readable.

Source: ours; Markdown as in CommonMark 0.31 with GitHub's tables.
"""

from __future__ import annotations

import numpy as np

from curation.text.block_measures import CHARS, TITLED, WORDS
from curation.text.compiled import inlined, kernel, leaf
from curation.text.html_blocks import ELEMENT, END, LINK_BYTES, START
from curation.text.html_names import (
    ASIDE,
    BUTTON,
    COMMENT_KIND,
    FOOTER,
    FORM,
    H1,
    H6,
    HEADER,
    HEADING,
    HIDDEN,
    NAV,
    QUOTE,
    TABLE_TAG,
    TD,
    TH,
)
from curation.text.html_tree import CELL, CODE, FLAG_BITS, ITEM, KIND_BITS, LISTS, PARENT, ROW, TAG_ID

COMMENT_FACTOR = np.float32(0.25)
"""What an answer for a block of readers' comments is worth, unless nearly all of the page is that."""
COMMENT_PAGE = 0.95
FALLBACK = np.float32(0.6)
"""Where no block reaches the threshold, those are kept that reach this share of the highest answer."""
LEAST = np.float32(0.05)
HEADLINE_REACH = 14
HEADLINE_TITLE = 0.6
LEAD_WORDS = 15
FORMULA_ANSWER = np.float32(0.1)
"""A block that holds a formula and is likelier than this is kept."""
GAP_BLOCKS = 4
GAP_ANSWER = np.float32(0.3)
"""What the answer for one of at most so many blocks between two kept ones must reach for them to be kept too."""
FRAME = NAV | ASIDE | FOOTER | FORM | BUTTON | HIDDEN | HEADER
SHORT_CELL = 200
"""Bytes of a table cell up to which a table is surely one of data, whose cells stand side by side."""


@leaf
def _is_headline(elements, blocks, measures, b):
    words = measures[b, WORDS]
    heading = elements[blocks[b, ELEMENT], FLAG_BITS] & HEADING != 0
    return heading and words > 0 and measures[b, TITLED] >= HEADLINE_TITLE * words


@leaf
def _add_headline(elements, blocks, measures, keep):
    """Keep the heading nearest before the first long kept block that says what the title says, if none is kept."""
    lead = 0
    while lead < len(keep) and not (keep[lead] and measures[lead, WORDS] >= LEAD_WORDS):
        lead += 1
    if lead == len(keep):
        return
    found = -1
    for b in range(lead - 1, max(lead - 1 - HEADLINE_REACH, -1), -1):
        if _is_headline(elements, blocks, measures, b):
            if keep[b]:
                return
            if found < 0:
                found = b
    if found >= 0:
        keep[found] = True


@leaf
def _holds_formula(text, start, end):
    """Whether text[start:end] is TeX between dollar signs, or holds some: nothing that could be an amount of money or a
    placeholder."""
    if end - start > 2 and text[start] == 36 and text[end - 1] == 36:
        return True
    i = start
    while i + 2 < end:
        if text[i] != 36:
            i += 1
            continue
        after = text[i + 1]
        close = i + 1
        while close < end and (text[close] != 36 or close == i + 1):
            close += 1
        if close == end:
            return False
        behind = text[close + 1] if close + 1 < end else 32
        word = 48 <= behind <= 57 or 97 <= behind | 32 <= 122
        if not (after <= 32 or after == 123 or 48 <= after <= 57 or text[close - 1] <= 32 or word):
            return True
        i = close
    return False


@leaf
def _mark_follower(elements, blocks, text, b):
    """2 for a block that holds a formula, 1 for one of code, 0 for another."""
    e = blocks[b, ELEMENT]
    if elements[e, CODE] >= 0:
        return np.uint8(1)
    formula = not elements[e, FLAG_BITS] & FRAME and _holds_formula(text, blocks[b, START], blocks[b, END])
    return np.uint8(2 if formula else 0)


@inlined
def _as_neighbours(elements, blocks, text, answers):
    """Raise the answers for code and formulas, which belong to the text around them and look like none, to those of the
    nearest other blocks before and behind; a formula is kept even where that is not much: frames hold none."""
    n = len(blocks)
    marks = np.zeros(n, np.uint8)
    for b in range(n):
        marks[b] = _mark_follower(elements, blocks, text, b)
    if not marks.any():
        return
    near = np.float32(0)
    for b in range(n):
        if not marks[b]:
            near = answers[b]
        elif near > answers[b]:
            answers[b] = near
    near = np.float32(0)
    for b in range(n - 1, -1, -1):
        if not marks[b]:
            near = answers[b]
        elif near > answers[b]:
            answers[b] = near
    for b in range(n):
        if marks[b] == 2 and answers[b] > FORMULA_ANSWER:
            answers[b] = 1


@leaf
def _fill_gaps(elements, blocks, answers, keep):
    """Keep the few blocks between two kept ones that are not quite unlikely and no frame: short items of lists and tables."""
    last = -1
    for b in range(len(keep)):
        if not keep[b]:
            continue
        if last >= 0 and 1 < b - last <= GAP_BLOCKS + 1:
            for between in range(last + 1, b):
                e = blocks[between, ELEMENT]
                size = blocks[between, END] - blocks[between, START]
                plain = 4 * blocks[between, LINK_BYTES] <= size and not elements[e, FLAG_BITS] & FRAME
                keep[between] = plain and answers[between] > GAP_ANSWER
        last = b


@kernel
def select(elements, blocks, measures, text, given, threshold, comments, headline):
    """bool [b]: the blocks kept, by the answers `given` (float32).

    Without `comments`, readers' comments count less; with them, those that are sentences are kept whatever was answered.
    `headline`: see `_add_headline`.
    """
    n = len(blocks)
    answers = given.copy()
    _as_neighbours(elements, blocks, text, answers)
    total = spoken = np.float32(0)
    for b in range(n):
        mass = answers[b] * measures[b, CHARS]
        total += mass
        if elements[blocks[b, ELEMENT], KIND_BITS] & COMMENT_KIND:
            spoken += mass
    lower = not comments and spoken <= COMMENT_PAGE * total
    highest = np.float32(0)
    for b in range(n):
        e = blocks[b, ELEMENT]
        if elements[e, KIND_BITS] & COMMENT_KIND:
            if lower:
                answers[b] *= COMMENT_FACTOR
            elif comments and measures[b, WORDS] >= 4 and 2 * blocks[b, LINK_BYTES] < blocks[b, END] - blocks[b, START]:
                answers[b] = max(answers[b], np.float32(0 if elements[e, FLAG_BITS] & (FORM | NAV) else 1))
        highest = max(highest, answers[b])
    keep = answers > threshold
    if not keep.any():
        keep = (answers > LEAST) & (answers > FALLBACK * highest)
    _fill_gaps(elements, blocks, answers, keep)
    if headline:
        _add_headline(elements, blocks, measures, keep)
    return keep


@kernel
def expand(keep, stride, count):
    """bool [count]: `keep` of groups of `stride` blocks, for each block."""
    out = np.empty(count, np.bool_)
    for g in range(len(keep)):
        for b in range(g * stride, min((g + 1) * stride, count)):
            out[b] = keep[g]
    return out


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
ROOM = 2 * MOST_INDENT + 24
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
def _most_bytes(elements, blocks, text, keep, places, cell_bytes):
    """Bound on the bytes of the kept blocks, bars of `cell_bytes` for each cell of the rows they stand in."""
    size = 16 + len(text)
    for b in range(len(blocks)):
        size += ROOM * keep[b]
    if len(places):
        for b in range(len(blocks)):
            row = elements[blocks[b, ELEMENT], ROW]
            if keep[b] and row >= 0 and elements[blocks[b, ELEMENT], CELL] >= 0:
                size += cell_bytes * min(places[row], MOST_CELLS)
    return size


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
def _end_row(out, at, elements, row, cell, places, table, markdown):
    """End a row, its last cells empty; in Markdown with a rule under the first of a table: (position, table)."""
    for _ in range(min(places[row] - 1 - places[cell], MOST_CELLS)):
        at = _put(out, at, _BAR)
    at = _put(out, at, _ROW_END)
    now = _table_of(elements, row)
    if markdown and now != table:
        at = _put_rule(out, at, min(places[row], MOST_CELLS))
    return at, now


@leaf
def _put_rule(out, at, columns):
    at = _put(out, at, _NEW_LINE)
    out[at] = 124
    at += 1
    for _ in range(columns):
        at = _put(out, at, _RULE)
    return at


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
    out = np.empty(_most_bytes(elements, blocks, text, keep, places, 12 if barred else 3), np.uint8)
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
                for _ in range(max(min(places[now_cell] - places[cell], MOST_CELLS), 1)):
                    at = _put(out, at, _BAR)
            at = _put_block(out, at, text, blocks[b, START], blocks[b, END], True)
        else:
            # ---- on a line of its own
            if side_by_side and barred:
                at, table = _end_row(out, at, elements, row, cell, places, table, markdown)
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
                for _ in range(min(places[now_cell], MOST_CELLS)):
                    at = _put(out, at, _BAR)
                at = _put_block(out, at, text, blocks[b, START], blocks[b, END], True)
            else:
                if markdown or now_item >= 0:
                    at = _put_mark(out, at, elements, blocks, e, item, markdown)
                at = _put_block(out, at, text, blocks[b, START], blocks[b, END], False)
        row, cell, item, code, side_by_side = now_row, now_cell, now_item, now_code, in_row
    if side_by_side and barred:
        at, table = _end_row(out, at, elements, row, cell, places, table, markdown)
    if markdown and code >= 0:
        at = _put(out, at, _NEW_LINE)
        at = _put(out, at, _FENCE)
    return out[:at]
