"""Numbers of a whole page, from those of its blocks: what tells an article from a forum, a list or a shop.

Source: ours, after Lim et al., WI 2005 (kinds of web pages by structure).
"""

from __future__ import annotations

import numpy as np

from curation.text.block_features import FEATURES
from curation.text.block_measures import BARS, CHARS, COLONS, COMMAS, DIGITS, ENDED, WORDS
from curation.text.compiled import kernel, leaf
from curation.text.html_blocks import ELEMENT, GAP, IMAGES
from curation.text.html_names import FLAGS, KINDS, TAG, TAGS
from curation.text.html_tree import FLAG_BITS, KIND_BITS, TAG_ID

ENDED_WORDS, LONG, LONGER = 10, 15, 40
"""Words of a block from which on it counts as a sentence that ends, as long, as longer."""

_BASIC = (
    "blocks block_words ended_words longer longer_words long_share images block_images mean_alike most_alike_share long_alike "
    "longest points_best points_own gap block_elements prices block_prices ancestor2_share ancestor3_share"
)
_MEASURED = {"commas": COMMAS, "colons": COLONS, "bars": BARS, "digits": DIGITS}
_TEXT_TAGS = "p li h1 div dt button"
_COUNTED_TAGS = "button article pre figure h2 p"
_FLAGS = "article header list figure heading button pre paragraph"
_KINDS = "comment nav footer share related meta form tag caption"

PAGE_FEATURES: tuple[str, ...] = (
    *_BASIC.split(),
    *_MEASURED,
    *(f"in_{tag}" for tag in _TEXT_TAGS.split()),
    *(f"count_{tag}" for tag in _COUNTED_TAGS.split()),
    *(f"flag_{name}" for name in _FLAGS.split()),
    *(f"kind_{name}" for name in _KINDS.split()),
)
"""Shares are of the characters of all blocks, but `long` ones of the blocks and `words` of the words."""
_MEASURED_AT = len(_BASIC.split())
_IN_AT = _MEASURED_AT + len(_MEASURED)
_COUNTS_AT = _IN_AT + len(_TEXT_TAGS.split())
_FLAGS_AT = _COUNTS_AT + len(_COUNTED_TAGS.split())
_KINDS_AT = _FLAGS_AT + len(_FLAGS.split())
_COLUMNS = len(PAGE_FEATURES)

_MEASURED_COLUMNS = tuple(_MEASURED.values())
_TEXT_TAG_IDS = tuple(TAG[name] for name in _TEXT_TAGS.split())
_COUNTED_TAG_IDS = tuple(TAG[name] for name in _COUNTED_TAGS.split())
_FLAG_SHIFTS = tuple(FLAGS.index(name) for name in _FLAGS.split())
_KIND_SHIFTS = tuple(KINDS.index(name) for name in _KINDS.split())
_REPEATS, _LIKE_SHARE = FEATURES.index("repeats"), FEATURES.index("like_share")
_BEST_POINTS, _OWN_POINTS = FEATURES.index("best_points"), FEATURES.index("own_points")
_SECOND_SHARE, _THIRD_SHARE = FEATURES.index("ancestor2_page_share"), FEATURES.index("ancestor3_page_share")


@leaf
def _prices(text):
    """Signs of dollars, euros and pounds in the text (UTF-8)."""
    found = 0
    for i in range(len(text) - 2):
        euro = (text[i] == 0xE2) & (text[i + 1] == 0x82) & (text[i + 2] == 0xAC)
        found += (text[i] == 36) | euro | ((text[i] == 0xC2) & (text[i + 1] == 0xA3))
    return found


@leaf
def _add_bits(out, at, shifts, bits, weight):
    for k in range(len(shifts)):
        out[at + k] += weight * (bits >> shifts[k] & 1)


@leaf
def _add_blocks(out, in_tags, elements, blocks, measures, features):
    """Sum up over the blocks; (characters, words) of the page."""
    chars = words = np.float32(0)
    long = np.float32(0)
    for b in range(len(blocks)):
        weight, its_words = measures[b, CHARS], measures[b, WORDS]
        f = features[b]
        e = blocks[b, ELEMENT]
        chars += weight
        words += its_words
        if measures[b, ENDED] > 0 and its_words >= ENDED_WORDS:
            out[2] += its_words
        if its_words >= LONG:
            long += 1
            out[10] += f[_REPEATS]
        if its_words >= LONGER:
            out[3] += 1
            out[4] += its_words
        out[6] += blocks[b, IMAGES]
        out[8] += weight * f[_REPEATS]
        out[9] = max(out[9], f[_LIKE_SHARE])
        out[11] = max(out[11], weight)
        out[12] += weight * f[_BEST_POINTS]
        out[13] += weight * f[_OWN_POINTS]
        out[14] += blocks[b, GAP]
        out[18] += weight * f[_SECOND_SHARE]
        out[19] += weight * f[_THIRD_SHARE]
        for k in range(len(_MEASURED_COLUMNS)):
            out[_MEASURED_AT + k] += measures[b, _MEASURED_COLUMNS[k]]
        in_tags[elements[e, TAG_ID]] += weight
        _add_bits(out, _FLAGS_AT, _FLAG_SHIFTS, elements[e, FLAG_BITS], weight)
        _add_bits(out, _KINDS_AT, _KIND_SHIFTS, elements[e, KIND_BITS], weight)
    out[5] = long
    return max(chars, np.float32(1)), max(words, np.float32(1))


@kernel
def page_features(elements, blocks, measures, features, text):
    """float32 [len(PAGE_FEATURES)] of a page with at least one block."""
    n = np.float32(len(blocks))
    out = np.zeros(_COLUMNS, np.float32)
    in_tags = np.zeros(TAGS, np.float32)
    counts = np.zeros(TAGS, np.int32)
    chars, words = _add_blocks(out, in_tags, elements, blocks, measures, features)
    for e in range(len(elements)):
        counts[elements[e, TAG_ID]] += 1
    prices = np.float32(_prices(text))
    long = out[5]
    out[0] = np.log1p(n)
    out[1] = words / n
    out[2] /= words
    out[3] = np.log1p(out[3])
    out[4] /= words
    out[5] = long / n
    out[7] = out[6] / n
    out[6] = np.log1p(out[6])
    out[8] /= chars
    out[10] /= max(long, np.float32(1))
    out[11] = np.log1p(out[11])
    out[12] /= chars
    out[13] /= chars
    out[14] = np.log1p(out[14] / n)
    out[15] = len(elements) / n
    out[16] = np.log1p(prices)
    out[17] = prices / n
    out[18] /= chars
    out[19] /= chars
    for k in range(len(_MEASURED_COLUMNS)):
        out[_MEASURED_AT + k] /= words
    for k in range(len(_TEXT_TAG_IDS)):
        out[_IN_AT + k] = in_tags[_TEXT_TAG_IDS[k]] / chars
    for k in range(len(_COUNTED_TAG_IDS)):
        out[_COUNTS_AT + k] = np.log1p(np.float32(counts[_COUNTED_TAG_IDS[k]]))
    for at in range(_FLAGS_AT, _COLUMNS):
        out[at] /= chars
    return out
