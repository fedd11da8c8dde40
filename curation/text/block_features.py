"""The numbers a model is given for each block: of the block, its place in the tree and the page, and its neighbours.

`FEATURES` names the columns of the first stage, `SECOND_FEATURES` those of the second, which sees the first's answers
around a block. Changing what a column holds makes trained models useless: train anew.

Source: ours, after Kohlschütter et al., WSDM 2010; Readability.js; Vogels et al., ECIR 2018 (labels of neighbours).
"""

from __future__ import annotations

import numpy as np

from curation.text.block_measures import (
    BARS,
    BLOCK_SUM,
    CALLS,
    CAPITALS,
    CHAR_SUM,
    CHARS,
    COLONS,
    COMMAS,
    DIGITS,
    ENDED,
    LONGEST,
    MEASURES,
    PLAIN,
    PLAIN_SUM,
    POINT_SUM,
    POINTS,
    QUOTES,
    STOP_SUM,
    STOP_WORDS,
    STOPS,
    TITLED,
    WORD_SUM,
    WORDS,
    container_sums,
    measure,
    text_container,
    title_words,
    tree_distances,
)
from curation.text.compiled import inlined, kernel, leaf
from curation.text.html_blocks import BREAKS, ELEMENT, END, GAP, IMAGES, LINK_BYTES, LINKS, START
from curation.text.html_names import FLAGS, FNV_PRIME, HEADING, KINDS
from curation.text.html_tree import DEPTH, FLAG_BITS, KIND_BITS, OWN_KINDS, PARENT, TAG_ID

ANCESTORS = 4
NEIGHBOURS = (-2, -1, 1, 2)
WINDOW = 6

_OWN = (
    "chars words link_share links word_length commas stops calls colons quotes bars digits capitals stop_words ended titled "
    "breaks images gap tag parent_tag depth index at_char page_share repeats like_share"
)
_ANCESTOR = "chars link_share points blocks page_share stop_words longest"
_PLACE = "best_points own_points up_to_shared top_to_shared"
_PAGE = "page_chars page_link_share page_blocks page_block_words page_stop_words since_heading heading_distance longest_share"
_NEIGHBOUR = "chars link_share ended stop_words tag alike"
_WINDOW = "chars link_share words ended"

FEATURES: tuple[str, ...] = (
    *_OWN.split(),
    *(f"flag_{name}" for name in FLAGS),
    *(f"kind_{name}" for name in KINDS),
    *(f"own_kind_{name}" for name in KINDS),
    *(f"ancestor{k}_{name}" for k in range(1, ANCESTORS + 1) for name in _ANCESTOR.split()),
    *_PLACE.split(),
    *_PAGE.split(),
    *(f"at{k:+d}_{name}" for k in NEIGHBOURS for name in _NEIGHBOUR.split()),
    *(f"window_{name}" for name in _WINDOW.split()),
)
_FLAGS_AT = len(_OWN.split())
_KINDS_AT = _FLAGS_AT + len(FLAGS)
_OWN_KINDS_AT = _KINDS_AT + len(KINDS)
_ANCESTORS_AT = _OWN_KINDS_AT + len(KINDS)
_ANCESTOR_SIZE = len(_ANCESTOR.split())
_PLACE_AT = _ANCESTORS_AT + ANCESTORS * _ANCESTOR_SIZE
_PAGE_AT = _PLACE_AT + len(_PLACE.split())
_NEIGHBOURS_AT = _PAGE_AT + len(_PAGE.split())
_NEIGHBOUR_SIZE = len(_NEIGHBOUR.split())
_WINDOW_AT = _NEIGHBOURS_AT + len(NEIGHBOURS) * _NEIGHBOUR_SIZE
_COLUMNS = len(FEATURES)
_FLAG_COUNT, _KIND_COUNT = len(FLAGS), len(KINDS)

SECOND_FEATURES: tuple[str, ...] = (
    "own",
    *(f"at{k:+d}" for k in (-4, -3, -2, -1, 1, 2, 3, 4)),
    *("before_mean", "after_mean", "around_mean"),
    *(f"ancestor{k}_{name}" for k in range(1, ANCESTORS + 1) for name in ("mean", "share")),
    *("page_mean", "page_max", "to_last", "to_next", "inside", "rank"),
    *("chars", "link_share", "tag", "index", "kind_comment", "heading", "titled"),
)
_SECOND_COLUMNS = len(SECOND_FEATURES)
_REACH = 8


@leaf
def _signature(elements, signatures, e):
    """Hash of tag and class names of an element and the two above."""
    key = signatures[e]
    for _ in range(2):
        e = elements[e, PARENT]
        if e < 0:
            break
        key = (key ^ signatures[e]) * FNV_PRIME
    return key


@inlined
def _alike(elements, signatures, blocks, measures):
    """For each block: number of the first block with its signature; for each such, how many there are and the characters
    outside links they hold."""
    n = len(blocks)
    size = 16
    while size < 2 * n:
        size *= 2
    slots = np.full(size, -1, np.int32)
    keys = np.empty(n, np.uint64)
    first = np.empty(n, np.int32)
    counts = np.zeros(n, np.float32)
    chars = np.zeros(n, np.float32)
    mask = np.uint64(size - 1)
    for b in range(n):
        if b and blocks[b, ELEMENT] == blocks[b - 1, ELEMENT]:
            keys[b] = keys[b - 1]
            first[b] = first[b - 1]
        else:
            key = _signature(elements, signatures, blocks[b, ELEMENT])
            keys[b] = key
            slot = (key ^ key >> np.uint64(29)) & mask
            while slots[slot] >= 0 and keys[slots[slot]] != key:
                slot = (slot + np.uint64(1)) & mask
            if slots[slot] < 0:
                slots[slot] = b
            first[b] = slots[slot]
        counts[first[b]] += 1
        chars[first[b]] += measures[b, PLAIN]
    return first, counts, chars


@leaf
def _share(part, whole):
    return part / whole if whole > 0 else np.float32(0)


@leaf
def _own_features(f, elements, blocks, measures, b, page_plain, at_char, page_chars):
    m = measures[b]
    words = max(m[WORDS], np.float32(1))
    chars = max(m[CHARS], np.float32(1))
    e = blocks[b, ELEMENT]
    parent = elements[e, PARENT]
    f[0] = np.log1p(m[CHARS])
    f[1] = np.log1p(m[WORDS])
    f[2] = blocks[b, LINK_BYTES] / max(blocks[b, END] - blocks[b, START], 1)
    f[3] = blocks[b, LINKS]
    f[4] = m[CHARS] / words
    f[5] = m[COMMAS] / words
    f[6] = m[STOPS] / words
    f[7] = m[CALLS] / words
    f[8] = m[COLONS] / words
    f[9] = m[QUOTES] / words
    f[10] = m[BARS] / words
    f[11] = m[DIGITS] / chars
    f[12] = m[CAPITALS] / chars
    f[13] = m[STOP_WORDS] / words
    f[14] = m[ENDED]
    f[15] = m[TITLED] / words
    f[16] = blocks[b, BREAKS]
    f[17] = blocks[b, IMAGES]
    f[18] = min(blocks[b, GAP], 100)
    f[19] = elements[e, TAG_ID]
    f[20] = elements[parent, TAG_ID] if parent >= 0 else 0
    f[21] = elements[e, DEPTH]
    f[22] = b / len(blocks)
    f[23] = _share(at_char, page_chars)
    f[24] = _share(m[PLAIN], page_plain)
    for i in range(_FLAG_COUNT):
        f[_FLAGS_AT + i] = elements[e, FLAG_BITS] >> i & 1
    for i in range(_KIND_COUNT):
        f[_KINDS_AT + i] = elements[e, KIND_BITS] >> i & 1
        own = elements[e, OWN_KINDS] | (elements[parent, OWN_KINDS] if parent >= 0 else 0)
        f[_OWN_KINDS_AT + i] = own >> i & 1


@leaf
def _ancestor_features(f, elements, sums, wider, e):
    """Of the four containers around, wrappers that hold nothing more left out."""
    page_plain = sums[0, PLAIN_SUM]
    for k in range(ANCESTORS):
        at = _ANCESTORS_AT + k * _ANCESTOR_SIZE
        words = max(sums[e, WORD_SUM], np.float32(1))
        f[at] = np.log1p(sums[e, CHAR_SUM])
        f[at + 1] = 1 - _share(sums[e, PLAIN_SUM], sums[e, CHAR_SUM])
        f[at + 2] = sums[e, POINT_SUM] / words
        f[at + 3] = np.log1p(sums[e, BLOCK_SUM])
        f[at + 4] = _share(sums[e, PLAIN_SUM], page_plain)
        f[at + 5] = sums[e, STOP_SUM] / words
        f[at + 6] = np.log1p(sums[e, LONGEST])
        e = wider[e]


@leaf
def _around_features(f, elements, blocks, measures, first, b):
    """Of two neighbours on each side, and of the window around."""
    n = len(blocks)
    for k in range(4):
        other = b + (k - 2 if k < 2 else k - 1)
        at = _NEIGHBOURS_AT + k * _NEIGHBOUR_SIZE
        if other < 0 or other >= n:
            for i in range(_NEIGHBOUR_SIZE):
                f[at + i] = -1
            continue
        m = measures[other]
        f[at] = np.log1p(m[CHARS])
        f[at + 1] = blocks[other, LINK_BYTES] / max(blocks[other, END] - blocks[other, START], 1)
        f[at + 2] = m[ENDED]
        f[at + 3] = m[STOP_WORDS] / max(m[WORDS], np.float32(1))
        f[at + 4] = elements[blocks[other, ELEMENT], TAG_ID]
        f[at + 5] = first[other] == first[b]
    low, high = max(b - WINDOW, 0), min(b + WINDOW + 1, n)
    chars = plain = words = ended = np.float32(0)
    for other in range(low, high):
        chars += measures[other, CHARS]
        plain += measures[other, PLAIN]
        words += measures[other, WORDS]
        ended += measures[other, ENDED]
    f[_WINDOW_AT] = np.log1p(chars)
    f[_WINDOW_AT + 1] = 1 - _share(plain, chars)
    f[_WINDOW_AT + 2] = words / (high - low)
    f[_WINDOW_AT + 3] = ended / (high - low)


@kernel
def features(page, elements, signatures, blocks, text, title_start, title_end):
    """(features float32 [b, len(FEATURES)], measures, `wider` int32 [e]) of the blocks of a page.

    `wider`: the nearest element above that holds more text.
    """
    n = len(blocks)
    measures = np.empty((n, MEASURES), np.float32)
    title = title_words(page, title_start, title_end)
    for b in range(n):
        measure(text, blocks[b, START], blocks[b, END], title, measures[b])
    sums = container_sums(elements, blocks, measures)
    wider = np.zeros(len(elements), np.int32)
    best = np.zeros(len(elements), np.float32)
    top = 0
    best[0] = sums[0, POINTS]
    for e in range(1, len(elements)):
        parent = elements[e, PARENT]
        wider[e] = parent if sums[parent, CHAR_SUM] > sums[e, CHAR_SUM] else wider[parent]
        best[e] = max(best[parent], sums[e, POINTS])
        if sums[e, POINTS] > sums[top, POINTS]:
            top = e
    distances = tree_distances(elements, top)
    first, counts, like_chars = _alike(elements, signatures, blocks, measures)

    out = np.zeros((n, _COLUMNS), np.float32)
    page_chars, page_plain, top_points = sums[0, CHAR_SUM], sums[0, PLAIN_SUM], sums[top, POINTS]
    at_char = np.float32(0)
    since_heading = np.float32(50)
    heading_distance = np.float32(0)
    for b in range(n):
        f = out[b]
        e = blocks[b, ELEMENT]
        _own_features(f, elements, blocks, measures, b, page_plain, at_char, page_chars)
        f[25] = np.log1p(counts[first[b]])
        f[26] = _share(like_chars[first[b]], page_plain)
        _ancestor_features(f, elements, sums, wider, e)
        f[_PLACE_AT] = _share(best[e], top_points)
        f[_PLACE_AT + 1] = _share(sums[text_container(elements, e), POINTS], top_points)
        f[_PLACE_AT + 2] = distances[e, 0]
        f[_PLACE_AT + 3] = distances[e, 1]
        heading = elements[e, FLAG_BITS] & HEADING != 0
        if heading:
            since_heading = np.float32(0)
            heading_distance = np.float32(0)
        f[_PAGE_AT] = np.log1p(page_chars)
        f[_PAGE_AT + 1] = 1 - _share(page_plain, page_chars)
        f[_PAGE_AT + 2] = np.log1p(np.float32(n))
        f[_PAGE_AT + 3] = sums[0, WORD_SUM] / n
        f[_PAGE_AT + 4] = _share(sums[0, STOP_SUM], sums[0, WORD_SUM])
        f[_PAGE_AT + 5] = since_heading
        f[_PAGE_AT + 6] = np.log1p(heading_distance)
        f[_PAGE_AT + 7] = _share(measures[b, PLAIN], sums[0, LONGEST])
        _around_features(f, elements, blocks, measures, first, b)
        at_char += measures[b, CHARS]
        heading_distance += measures[b, CHARS]
        since_heading = min(since_heading + 1, np.float32(50))
    return out, measures, wider


@leaf
def _mass_features(f, elements, wider, mass, chars, e):
    """Mean answer in the containers around and their share of the page's answers."""
    for k in range(ANCESTORS):
        f[12 + 2 * k] = _share(mass[e], chars[e])
        f[13 + 2 * k] = _share(mass[e], mass[0])
        e = wider[e]


@kernel
def second_features(elements, wider, blocks, measures, answers):
    """float32 [b, len(SECOND_FEATURES)]: the first stage's `answers` (float32) around each block."""
    n = len(blocks)
    out = np.zeros((n, _SECOND_COLUMNS), np.float32)
    mass = np.zeros(len(elements), np.float32)
    chars = np.zeros(len(elements), np.float32)
    highest = np.float32(0)
    for b in range(n):
        weight = measures[b, CHARS] + 1
        mass[blocks[b, ELEMENT]] += weight * answers[b]
        chars[blocks[b, ELEMENT]] += weight
        highest = max(highest, answers[b])
    for e in range(len(elements) - 1, 0, -1):
        mass[elements[e, PARENT]] += mass[e]
        chars[elements[e, PARENT]] += chars[e]
    low, high = n, -1
    for b in range(n):
        if answers[b] > 0.5:
            low, high = min(low, b), b
    to_last = np.float32(50)
    for b in range(n):
        f = out[b]
        e = blocks[b, ELEMENT]
        f[0] = answers[b]
        for k in range(4):
            f[1 + k] = answers[b - 4 + k] if b - 4 + k >= 0 else -1
            f[5 + k] = answers[b + 1 + k] if b + 1 + k < n else -1
        before = after = before_weight = after_weight = np.float32(0)
        for k in range(1, _REACH + 1):
            if b - k >= 0:
                weight = (measures[b - k, WORDS] + 1) / k
                before += weight * answers[b - k]
                before_weight += weight
            if b + k < n:
                weight = (measures[b + k, WORDS] + 1) / k
                after += weight * answers[b + k]
                after_weight += weight
        f[9] = _share(before, before_weight)
        f[10] = _share(after, after_weight)
        f[11] = _share(before + after, before_weight + after_weight)
        _mass_features(f, elements, wider, mass, chars, e)
        f[20] = _share(mass[0], chars[0])
        f[21] = highest
        f[22] = to_last
        f[24] = low <= b <= high
        f[25] = answers[b] - highest
        f[26] = np.log1p(measures[b, CHARS])
        f[27] = blocks[b, LINK_BYTES] / max(blocks[b, END] - blocks[b, START], 1)
        f[28] = elements[e, TAG_ID]
        f[29] = b / n
        f[30] = elements[e, KIND_BITS] & 1
        f[31] = elements[e, FLAG_BITS] & HEADING != 0
        f[32] = measures[b, TITLED] / max(measures[b, WORDS], np.float32(1))
        to_last = np.float32(0) if answers[b] > 0.5 else min(to_last + 1, np.float32(50))
    to_next = np.float32(50)
    for b in range(n - 1, -1, -1):
        out[b, 23] = to_next
        to_next = np.float32(0) if answers[b] > 0.5 else min(to_next + 1, np.float32(50))
    return out
