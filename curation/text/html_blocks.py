"""Segmenter of HTML: one compiled pass from UTF-8 bytes to blocks of text and the tree of block elements they hang in.

A block is the text between two boundaries: starts and ends of block elements, `hr`, two `br`. Inline elements leave no
trace but links, pictures and line breaks. Nothing is looked at twice, whatever the page holds: open elements are found
through the last of their tag, and searches that ran to the end are remembered (html_tags.py).

Relies on pages below 2**31 bytes. Any bytes are allowed: what is no UTF-8 passes through.

Source: ours, after the measurements of Kohlschütter et al., WSDM 2010 (blocks), and the HTML standard (whatwg), 13.2.6.
"""

from __future__ import annotations

from itertools import accumulate
from math import prod

import numpy as np

from curation.text.compiled import kernel, leaf
from curation.text.html_entities import put_point, reference
from curation.text.html_names import (
    ACTIONS,
    BLOCK,
    BODY,
    BR,
    BUTTON_TAG,
    ENDS_P,
    FNV_PRIME,
    FNV_START,
    HEAD,
    HR,
    HTML,
    IMG,
    LI,
    PRE,
    RAW,
    SCRIPT,
    SKIPPED,
    STYLE,
    TAG_IDS,
    TAG_KEYS,
    TAGS,
    TD,
    TH,
    TITLE,
    TR,
    UNKNOWN_BLOCK,
    A,
    P,
    look_up,
)
from curation.text.html_tags import CLOSED, HAS_HREF, SELF_CLOSED, TOLD, attributes, behind_comment, end_tag_of
from curation.text.html_tree import (
    CELL,
    CODE,
    ELEMENT_COLUMNS,
    FLAG_BITS,
    ITEM,
    MOST_DEPTH,
    PARENT,
    ROW,
    TAG_ID,
    closable,
    implied,
    pop_to,
    push,
)

# Columns of `blocks`: element, bytes of `text` and of the page, and what was seen on the way.
ELEMENT, START, END, PAGE_START, PAGE_END, LINK_BYTES, LINKS, BREAKS, IMAGES, GAP = range(10)
BLOCK_COLUMNS = 10


@leaf
def _finish(blocks, count, text, start, end, element, seen, page_start, page_end):
    """Enter the block text[start:end] when there is something in it; the new count."""
    while end > start and text[end - 1] <= 32:
        end -= 1
    first = start
    while first < end and text[first] <= 32:
        first += 1
    if first == end:
        return count
    blocks[count, ELEMENT] = element
    blocks[count, START] = start
    blocks[count, END] = end
    blocks[count, PAGE_START] = page_start
    blocks[count, PAGE_END] = page_end
    blocks[count, LINK_BYTES] = min(seen[0], end - start)
    blocks[count, LINKS] = seen[1]
    blocks[count, BREAKS] = seen[2]
    blocks[count, IMAGES] = seen[3]
    blocks[count, GAP] = seen[4]
    seen[3] = seen[4] = 0
    return count + 1


@kernel
def _tags(data):
    """Number of `<`: a bound on elements, and blocks are at most one more than that."""
    tags = 0
    for i in range(len(data)):
        tags += data[i] == 60
    return tags


def segment(data: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, int]:
    """(elements, signatures, blocks, text, title start, title end) of a page (uint8, read-only).

    `elements` int32 [e, ELEMENT_COLUMNS], parents before children; `signatures` uint64 [e], of tag and class names; `blocks`
    int32 [b, BLOCK_COLUMNS] in the order of the page; `text` uint8; the title's bytes of the page, from and to.
    """
    n = len(data)
    tags = _tags(data)
    # An element takes three bytes of a page at least, a block four.
    most_elements, most_blocks = min(tags, n // 3) + 2, min(tags, n // 4) + 2
    signatures, elements, stack, blocks, text = _tables(
        ((most_elements,), np.uint64),
        ((most_elements, ELEMENT_COLUMNS), np.int32),
        ((2, most_elements), np.int32),
        ((most_blocks, BLOCK_COLUMNS), np.int32),
        ((n + n // 4 + 16,), np.uint8),
    )
    e, b, size, title_start, title_end = _fill(data, elements, signatures, blocks, text, stack[0], stack[1])
    return elements[:e], signatures[:e], blocks[:b], text[:size], title_start, title_end


def _tables(*wanted: tuple[tuple[int, ...], type]) -> list[np.ndarray]:
    """Empty arrays of these shapes and types, in one piece of memory and not made by the kernel: numpy asks for large memory
    pages, and on pages of very many tags most of the time would go into getting small ones."""
    sizes = [prod(shape) * np.dtype(kind).itemsize + 63 & ~63 for shape, kind in wanted]
    memory = np.empty(sum(sizes), np.uint8)
    places = accumulate(sizes, initial=0)
    return [np.ndarray(shape, kind, memory, place) for (shape, kind), place in zip(wanted, places, strict=False)]


@kernel
def _fill(data, elements, signatures, blocks, text, stack, previous):
    """Fill the tables: (elements, blocks, bytes of text, title start, title end)."""
    n = np.int64(len(data))
    last_open = np.zeros(TAGS, np.int32)
    closed = np.full(CLOSED, n + 1, np.int64)
    told = np.zeros(TOLD, np.int64)
    seen = np.zeros(5, np.int64)  # of the block being read: link bytes, links, breaks; since the last: pictures, boundaries

    elements[0] = 0
    for column in (PARENT, ROW, CELL, ITEM, CODE):
        elements[0, column] = -1
    elements[0, TAG_ID] = BODY
    signatures[0] = FNV_START
    element_count, block_count, depth = 1, 0, 1
    stack[0] = 0
    out = block_start = np.int64(0)
    page_start = page_end = np.int64(0)
    pending = 0  # white space before the next character: 1 a blank, 2 a line break
    in_link = False
    in_pre = False
    title_start = title_end = np.int64(0)

    i = np.int64(0)
    while i < n:
        c = data[i]
        if c != 60:
            # ---- text
            if c <= 32 or (c == 0xC2 and i + 1 < n and data[i + 1] == 0xA0):
                if in_pre:
                    if out == block_start:
                        page_start = i
                    if c == 10 or c == 32 or c == 9:
                        if c != 10 or out > block_start:
                            text[out] = c
                            out += 1
                    elif c == 0xC2:
                        text[out] = 32
                        out += 1
                elif pending == 0:
                    pending = 1
                i += 2 if c == 0xC2 else 1
                continue
            before = out
            space = pending
            if out == block_start:
                page_start = i
                pending = 0
            elif pending:
                text[out] = 10 if pending == 2 else 32
                out += 1
                pending = 0
            if c == 38:
                first, second, behind = reference(data, i, n)
                if behind == i:
                    text[out] = 38
                    out += 1
                    i += 1
                elif first <= 32 or first == 0xA0:
                    i = behind
                    out = before
                    if in_pre:
                        text[out] = 10 if first == 10 else 32
                        out += 1
                    else:
                        pending = max(space, 1)
                    continue
                else:
                    out = put_point(text, out, first)
                    if second:
                        out = put_point(text, out, second)
                    i = behind
            else:
                text[out] = c
                out += 1
                i += 1
                while i < n:
                    c = data[i]
                    if c <= 32 or c == 60 or c == 38 or c == 0xC2:
                        break
                    text[out] = c
                    out += 1
                    i += 1
                if i < n and c == 0xC2 and not (i + 1 < n and data[i + 1] == 0xA0):
                    text[out] = c
                    out += 1
                    i += 1
            if in_link:
                seen[0] += out - before
            page_end = i
            continue

        # ---- a tag, a comment or a plain `<`
        after = data[i + 1] if i + 1 < n else np.uint8(0)
        ends = after == 47
        name = i + 2 if ends else i + 1
        letter = data[name] | 32 if name < n else np.uint8(0)
        if not 97 <= letter <= 122:
            if after == 33 or after == 63 or (ends and name < n):
                i = behind_comment(data, i, n, closed)
                continue
            before = out
            if out == block_start:
                page_start = i
            elif pending:
                text[out] = 10 if pending == 2 else 32
                out += 1
            pending = 0
            text[out] = 60
            out += 1
            i += 1
            page_end = i
            if in_link:
                seen[0] += out - before
            continue

        key = FNV_START
        hyphen = False
        j = name
        while j < n:
            c = data[j]
            if c <= 32 or c == 47 or c == 62:
                break
            hyphen |= c == 45
            key = (key ^ np.uint64(c | 32 if 65 <= c <= 90 else c)) * FNV_PRIME
            j += 1
        size = j - name
        tag = np.int64(look_up(TAG_KEYS, TAG_IDS, key))
        if tag == 0 and hyphen:
            tag = np.int64(UNKNOWN_BLOCK)
        action = ACTIONS[tag]

        if ends:
            i = attributes(data, j, n, False, closed, told)
            if tag == A:
                in_link = False
            elif action & BLOCK and tag != HTML and tag != BODY and tag != HEAD:
                block_count = _finish(blocks, block_count, text, block_start, out, stack[depth - 1], seen, page_start, page_end)
                block_start = out
                pending = 0
                seen[0] = seen[1] = seen[2] = 0
                seen[4] += 1
                position = closable(tag, last_open)
                if position:
                    depth = pop_to(stack, previous, last_open, elements, depth, position)
                    in_pre = elements[stack[depth - 1], FLAG_BITS] & PRE != 0
            elif tag == BR and not in_pre:
                pending = 2
            continue

        wanted = action & BLOCK != 0 or tag == A
        i = attributes(data, j, n, wanted, closed, told)
        if action & SKIPPED:
            if told[SELF_CLOSED] and not action & RAW:
                continue
            close = end_tag_of(data, name, size, i, n, tag, closed)
            if close >= 0:
                if tag == TITLE and title_end == 0:
                    title_start, title_end = i, close
                i = attributes(data, close + 2 + size, n, False, closed, told)
            elif tag in (SCRIPT, STYLE):
                i = n
            continue
        if tag == A:
            in_link = told[HAS_HREF] != 0
            seen[1] += in_link
        elif tag == BR:
            if in_pre:
                text[out] = 10
                out += 1
                continue
            seen[2] += 1
            if pending == 2:
                block_count = _finish(blocks, block_count, text, block_start, out, stack[depth - 1], seen, page_start, page_end)
                block_start = out
                seen[0] = seen[1] = seen[2] = 0
                pending = 0
            else:
                pending = 2
        elif tag == IMG:
            seen[3] += 1
        elif tag == HR or (action & BLOCK and tag != HTML and tag != BODY and tag != HEAD):
            block_count = _finish(blocks, block_count, text, block_start, out, stack[depth - 1], seen, page_start, page_end)
            block_start = out
            pending = 0
            seen[0] = seen[1] = seen[2] = 0
            seen[4] += 1
            if tag == HR:
                continue
            position = implied(tag, last_open)
            if position:
                depth = pop_to(stack, previous, last_open, elements, depth, position)
            if ACTIONS[tag] & ENDS_P and last_open[P] > max(last_open[TD], last_open[TH], last_open[BUTTON_TAG]):
                depth = pop_to(stack, previous, last_open, elements, depth, last_open[P])
            if tag in (LI, TD, TR, TH):
                in_link = False
            new = push(elements, signatures, element_count, stack[min(depth, MOST_DEPTH) - 1], tag, told)
            element_count += 1
            stack[depth] = new
            previous[depth] = last_open[tag]
            last_open[tag] = depth
            depth += 1
            in_pre = elements[new, FLAG_BITS] & PRE != 0
    block_count = _finish(blocks, block_count, text, block_start, out, stack[depth - 1], seen, page_start, page_end)
    return element_count, block_count, out, title_start, title_end


def page_array(page: bytes | bytearray | memoryview) -> np.ndarray:
    """The bytes of a page where they lie, read-only, which is the one form the kernels are compiled for."""
    data = np.frombuffer(page, np.uint8)
    data.flags.writeable = False
    return data
