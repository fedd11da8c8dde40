"""From answers to a choice: which blocks of a page are kept, and why each is kept or cut.

Source: ours.
"""

from __future__ import annotations

import numpy as np

from curation.text.block_measures import CHARS, TITLED, WORDS
from curation.text.compiled import inlined, kernel, leaf
from curation.text.html_blocks import ELEMENT, END, LINK_BYTES, START
from curation.text.html_names import ASIDE, BUTTON, COMMENT_KIND, FOOTER, FORM, HEADER, HEADING, HIDDEN, NAV
from curation.text.html_tree import CODE, FLAG_BITS, KIND_BITS

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
# What `select` says of a block: why it was cut, or from KEPT on why it was kept.
KEPT = 16
BELOW, BELOW_BEST, COMMENTS_CUT = range(3)
BY_MODEL, BEST, AS_NEIGHBOURS, FORMULA, IN_GAP, HEADLINE, COMMENTS_KEPT = range(KEPT, KEPT + 7)
REASONS = {
    BELOW: "below the threshold",
    BELOW_BEST: "far below the best of a page where nothing reaches the threshold",
    COMMENTS_CUT: "readers' comments",
    BY_MODEL: "above the threshold",
    BEST: "among the best of a page where nothing reaches the threshold",
    AS_NEIGHBOURS: "code or a formula beside kept text",
    FORMULA: "a formula",
    IN_GAP: "between kept blocks",
    HEADLINE: "the headline",
    COMMENTS_KEPT: "readers' comments, which are wanted",
}
"""The reasons in words."""


@leaf
def _is_headline(elements, blocks, measures, b):
    words = measures[b, WORDS]
    heading = elements[blocks[b, ELEMENT], FLAG_BITS] & HEADING != 0
    return heading and words > 0 and measures[b, TITLED] >= HEADLINE_TITLE * words


@leaf
def _add_headline(elements, blocks, measures, why):
    """Keep the heading nearest before the first long kept block that says what the title says, if none is kept."""
    lead = 0
    while lead < len(why) and not (why[lead] >= KEPT and measures[lead, WORDS] >= LEAD_WORDS):
        lead += 1
    if lead == len(why):
        return
    found = -1
    for b in range(lead - 1, max(lead - 1 - HEADLINE_REACH, -1), -1):
        if _is_headline(elements, blocks, measures, b):
            if why[b] >= KEPT:
                return
            if found < 0:
                found = b
    if found >= 0:
        why[found] = HEADLINE


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
def _as_neighbours(elements, blocks, text, answers, why):
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
        if marks[b]:
            why[b] = AS_NEIGHBOURS
        if marks[b] == 2 and answers[b] > FORMULA_ANSWER:
            answers[b] = 1
            why[b] = FORMULA


@leaf
def _fill_gaps(elements, blocks, answers, why):
    """Keep the few blocks between two kept ones that are not quite unlikely and no frame: short items of lists and tables."""
    last = -1
    for b in range(len(why)):
        if why[b] < KEPT:
            continue
        if last >= 0 and 1 < b - last <= GAP_BLOCKS + 1:
            for between in range(last + 1, b):
                e = blocks[between, ELEMENT]
                size = blocks[between, END] - blocks[between, START]
                plain = 4 * blocks[between, LINK_BYTES] <= size and not elements[e, FLAG_BITS] & FRAME
                if plain and answers[between] > GAP_ANSWER:
                    why[between] = IN_GAP
        last = b


@leaf
def _is_comment(elements, blocks, b):
    return elements[blocks[b, ELEMENT], KIND_BITS] & COMMENT_KIND != 0


@leaf
def _in_form(elements, blocks, b):
    return elements[blocks[b, ELEMENT], FLAG_BITS] & (FORM | NAV) != 0


@leaf
def _settle(elements, blocks, answers, given, why, threshold, highest, lower):
    """Turn `why` from what raised an answer into what becomes of the block: kept above the threshold or, where nothing is,
    above a share of the highest answer. `lower`: the answers for comments were lowered."""
    best = highest <= threshold
    bound = max(LEAST, FALLBACK * highest) if best else threshold
    for b in range(len(why)):
        if answers[b] > bound:
            if not why[b] or given[b] > bound:
                why[b] = BEST if best else BY_MODEL
        elif lower and answers[b] > COMMENT_FACTOR * bound and _is_comment(elements, blocks, b):
            why[b] = COMMENTS_CUT
        else:
            why[b] = BELOW_BEST if best else BELOW


@kernel
def select(elements, blocks, measures, text, given, threshold, comments, headline):
    """uint8 [b]: what becomes of each block by the answers `given` (float32): one of REASONS, KEPT or more where it is kept.

    Without `comments`, readers' comments count less; with them, those that are sentences are kept whatever was answered.
    `headline`: see `_add_headline`.
    """
    n = len(blocks)
    answers = given.copy()
    why = np.zeros(n, np.uint8)
    _as_neighbours(elements, blocks, text, answers, why)
    total = spoken = np.float32(0)
    for b in range(n):
        mass = answers[b] * measures[b, CHARS]
        total += mass
        if _is_comment(elements, blocks, b):
            spoken += mass
    lower = not comments and spoken <= COMMENT_PAGE * total
    highest = np.float32(0)
    for b in range(n):
        if _is_comment(elements, blocks, b):
            size = blocks[b, END] - blocks[b, START]
            if lower:
                answers[b] *= COMMENT_FACTOR
            elif (
                comments and measures[b, WORDS] >= 4 and 2 * blocks[b, LINK_BYTES] < size and not _in_form(elements, blocks, b)
            ):
                answers[b] = max(answers[b], np.float32(1))
                why[b] = COMMENTS_KEPT
        highest = max(highest, answers[b])
    _settle(elements, blocks, answers, given, why, threshold, highest, lower)
    _fill_gaps(elements, blocks, answers, why)
    if headline:
        _add_headline(elements, blocks, measures, why)
    return why


@kernel
def expand(why, stride, count):
    """uint8 [count]: `why` of groups of `stride` blocks, for each block."""
    out = np.empty(count, np.uint8)
    for g in range(len(why)):
        for b in range(g * stride, min((g + 1) * stride, count)):
            out[b] = why[g]
    return out
