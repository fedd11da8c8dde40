"""The tree of block elements a page is segmented into: which elements a tag closes, and what an element inherits.

Open elements are a stack of element numbers; `last_open` has for each tag the stack position of the last open one (0, the
root's, for none), `previous` for each stack position that of the one before it, so that nothing is ever searched for.

Source: ours; the rules after the HTML standard (whatwg), 13.2.6, for pages as they are written.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import leaf
from curation.text.html_names import (
    ACTIONS,
    BUTTON_TAG,
    CAPTION,
    DD,
    DIR,
    DL,
    DT,
    ENDS_P,
    FNV_PRIME,
    H1,
    H6,
    HIDDEN,
    LI,
    MENU,
    OL,
    PRE,
    TABLE_TAG,
    TAG_FLAGS,
    TBODY,
    TD,
    TFOOT,
    TH,
    THEAD,
    TR,
    UL,
    P,
)
from curation.text.html_tags import IS_HIDDEN, NAMES, WORDS

# Columns of `elements`. ROW, CELL, ITEM, CODE: the nearest tr, td or th, li, pre around, -1 for none; LISTS: lists around.
PARENT, TAG_ID, DEPTH, FLAG_BITS, KIND_BITS, OWN_KINDS, ROW, CELL, ITEM, CODE, LISTS = range(11)
ELEMENT_COLUMNS = 11
MOST_DEPTH = 512
"""Of the tree, as in browsers: what is opened deeper hangs in the element at this depth."""


@leaf
def push(elements, signatures, count, parent, tag, told):
    """Enter an element; its number."""
    e = count
    elements[e, PARENT] = parent
    elements[e, TAG_ID] = tag
    elements[e, DEPTH] = elements[parent, DEPTH] + 1
    bits = elements[parent, FLAG_BITS] | TAG_FLAGS[tag]
    elements[e, FLAG_BITS] = bits | HIDDEN if told[IS_HIDDEN] else bits
    elements[e, OWN_KINDS] = told[WORDS]
    elements[e, KIND_BITS] = elements[parent, KIND_BITS] | told[WORDS]
    for column in (ROW, CELL, ITEM, CODE, LISTS):
        elements[e, column] = elements[parent, column]
    if tag == TABLE_TAG:
        elements[e, ROW] = elements[e, CELL] = -1
    elif tag == TR:
        elements[e, ROW] = e
    elif tag in (TD, TH):
        elements[e, CELL] = e
    elif tag == LI:
        elements[e, ITEM] = e
    elif TAG_FLAGS[tag] & PRE and elements[e, CODE] < 0:
        elements[e, CODE] = e
    elif tag in (UL, OL):
        elements[e, LISTS] += 1
    signatures[e] = (np.uint64(told[NAMES]) ^ np.uint64(tag)) * FNV_PRIME
    return e


@leaf
def pop_to(stack, previous, last_open, elements, depth, position):
    """Close the open elements from stack position `position` on; the new depth."""
    while depth > position:
        depth -= 1
        last_open[elements[stack[depth], TAG_ID]] = previous[depth]
    return depth


@leaf
def implied(tag, last_open):
    """Stack position of the open element that a start of `tag` closes, 0 for none (0 is the root)."""
    cell = max(last_open[TD], last_open[TH], last_open[CAPTION])
    if tag == LI:
        inner = max(last_open[UL], last_open[OL], last_open[MENU], last_open[DIR], cell)
        return last_open[LI] if last_open[LI] > inner else 0
    if tag in (DT, DD):
        found = max(last_open[DT], last_open[DD])
        return found if found > max(last_open[DL], cell) else 0
    table = last_open[TABLE_TAG]
    if tag in (TD, TH):
        found = max(last_open[TD], last_open[TH])
        return found if found > max(table, last_open[TR]) else 0
    if tag == TR:
        return last_open[TR] if last_open[TR] > table else 0
    if tag in (TBODY, THEAD, TFOOT):
        found = max(last_open[TBODY], last_open[THEAD], last_open[TFOOT])
        return found if found > table else 0
    if ACTIONS[tag] & ENDS_P:
        return last_open[P] if last_open[P] > max(cell, last_open[BUTTON_TAG]) else 0
    return 0


@leaf
def closable(tag, last_open):
    """Stack position of the open element that an end of `tag` closes, 0 for none."""
    found = last_open[tag]
    if tag == TABLE_TAG:
        return found
    if tag in (TR, TD, TH, TBODY, THEAD, TFOOT, CAPTION):
        return found if found > last_open[TABLE_TAG] else 0
    if H1 <= tag <= H6:
        for other in range(H1, H6 + 1):
            found = max(found, last_open[other])
    # no end tag leaves its table cell
    return found if found > max(last_open[TD], last_open[TH]) else 0
