"""What a page says of its own kind: types of schema.org, og:type, the names of forum, documentation and shop software.

One pass that looks at every fourth byte or so and reads only where a name may end; it never reads a byte more than a few times,
whatever the page holds. Names in scripts, comments and text count as well: what is told is a hint, weighed by a model.

Source: ours; names from schema.org, ogp.me and the software's own pages. The search is Wu and Manber's (TR-94-17, Arizona).
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import kernel, leaf

NAMES: dict[str, str] = {
    "forum_posting": "discussionforumposting",
    "qa_page": '"qapage" /qapage',
    "question": '/question" "question"',
    "comment": 'org/comment "comment"',
    "product": '"product" "productgroup" org/product og:product product:price',
    "offer": '"offer" "aggregateoffer" org/offer',
    "article": '"article" org/article',
    "news": "newsarticle blogposting",
    "technical": "techarticle apireference",
    "list": 'itemlist" collectionpage searchresultspage',
    "questions": 'faqpage"',
    "service": '"service" "softwareapplication" "localbusiness"',
    "published": "article:published datepublished",
    "author": '"author"',
    "forum_software": "vbulletin xenforo discourse viewtopic showthread postbody memberlist flarum- ipsapp_ topic-post "
    "bbcode_ phpbb_wrap phpbb.com",
    "documentation_software": "sphinxsidebar docusaurus mkdocs- doxygen javadoc gitbook readthedocs docsearch vitepress "
    "mintlify rustdoc mediawiki",
    "shop_software": "add-to-cart addtocart add_to_cart cdn.shopify woocommerce product-price magento prestashop",
    "article_software": "wp-content wordpress",
}
"""Names by what they tell, in small letters; at least SHORTEST bytes each."""
OPEN_GRAPH = ("og_article", "og_website", "og_product")
DECLARATIONS: tuple[str, ...] = (*NAMES, *OPEN_GRAPH)
"""What each column of `declarations` counts."""
MOST_COUNTED = 3
SHORTEST = 7
_OG_TYPE = b"og:type"
_OG_REACH = 80
"""Bytes before and behind `og:type` in which its value is looked for: a page may write the value first."""

_BITS = 13
_OG_COLUMN, _COLUMN_COUNT = len(NAMES), len(DECLARATIONS)


@leaf
def _hash_of(first, second, third):
    """Of three bytes, capitals and small letters alike."""
    return ((first | 32) * 953 ^ (second | 32) * 61 ^ (third | 32)) & ((1 << _BITS) - 1)


def _tables() -> tuple[np.ndarray, ...]:
    """(shift uint8 [2**_BITS] by a hash of three bytes, first name int16 of a hash, next name int16, starts int32, bytes,
    column int16) of all names."""
    names = [(name.encode(), column) for column, (_, line) in enumerate(NAMES.items()) for name in line.split()]
    names.append((_OG_TYPE, _OG_COLUMN))
    shift = np.full(1 << _BITS, SHORTEST - 2, np.uint8)
    heads, nexts = np.full(1 << _BITS, -1, np.int16), np.full(len(names), -1, np.int16)
    for number, (name, _) in enumerate(names):
        if len(name) < SHORTEST or name != name.lower():
            raise ValueError(f"{name!r}: {SHORTEST} bytes or more, small letters")
        for at in range(SHORTEST - 2):
            place = int(_hash_of(name[at], name[at + 1], name[at + 2]))
            shift[place] = min(shift[place], SHORTEST - 3 - at)
        nexts[number], heads[place] = heads[place], number
    starts = np.cumsum([0, *(len(name) for name, _ in names)]).astype(np.int32)
    columns = np.array([column for _, column in names], np.int16)
    return shift, heads, nexts, starts, np.frombuffer(b"".join(name for name, _ in names), np.uint8), columns


_SHIFTS, _HEADS, _NEXTS, _STARTS, _BYTES, _COLUMNS = _tables()


@leaf
def _small(c):
    return c + 32 if 65 <= c <= 90 else c


@leaf
def _is_at(page, at, name):
    """Whether the name of that number stands at `at`, whatever its case."""
    first, end = _STARTS[name], _STARTS[name + 1]
    if at + end - first > len(page):
        return False
    k = first
    while k < end and _small(page[at + k - first]) == _BYTES[k]:
        k += 1
    return k == end


@leaf
def _value_begins(page, at):
    """1 when `article`, 2 when `website`, 3 when `product` follows a quote or `=` at `at`, else 0."""
    if at + 8 > len(page) or not (page[at] == 34 or page[at] == 39 or page[at] == 61):
        return 0
    a, b, c = _small(page[at + 1]), _small(page[at + 2]), _small(page[at + 3])
    if a == 97 and b == 114 and c == 116:
        return 1
    if a == 119 and b == 101 and c == 98:
        return 2
    if a == 112 and b == 114 and c == 111 and page[at + 4] | 32 == 100:  # not a profile
        return 3
    return 0


@leaf
def _open_graph(page, at):
    """Which value the tag around the `og:type` at `at` has, as `_value_begins` says."""
    i = at
    while i < min(at + _OG_REACH, len(page)) and page[i] != 62:
        found = _value_begins(page, i)
        if found:
            return found
        i += 1
    i = at
    while i > max(at - _OG_REACH, 0) and page[i] != 60:
        found = _value_begins(page, i)
        if found:
            return found
        i -= 1
    return 0


@leaf
def _count(page, at, out):
    """Count the names whose first SHORTEST bytes may end behind the three bytes at `at`."""
    start = at - SHORTEST + 3
    name = _HEADS[_hash_of(page[at], page[at + 1], page[at + 2])]
    while name >= 0:
        if _is_at(page, start, name):
            column = np.int64(_COLUMNS[name])
            if column == _OG_COLUMN:
                value = _open_graph(page, start)
                if value:
                    out[column + value - 1] = min(out[column + value - 1] + 1, MOST_COUNTED)
            else:
                out[column] = min(out[column] + 1, MOST_COUNTED)
        name = _NEXTS[name]


@leaf
def _step(page, at, out):
    """Look at the three bytes at `at`; how far the next place is at which a name may be found."""
    step = np.int64(_SHIFTS[_hash_of(page[at], page[at + 1], page[at + 2])])
    if step == 0:
        _count(page, at, out)
        return np.int64(1)
    return step


@kernel
def declarations(page):
    """float32 [len(DECLARATIONS)]: how often the page (uint8, read-only) names each, MOST_COUNTED at most."""
    out = np.zeros(_COLUMN_COUNT, np.float32)
    first = np.int64(SHORTEST - 3)
    last = np.int64(len(page) - 2)
    # a step waits for the one before it: four quarters of the page at a time are searched in a third of the time
    quarter = (last - first) // 4 if last > first else np.int64(0)
    a, b, c, d = first, first + quarter, first + 2 * quarter, first + 3 * quarter
    end_a, end_b, end_c = b, c, d
    while a < end_a and b < end_b and c < end_c and d < last:
        a += _step(page, a, out)
        b += _step(page, b, out)
        c += _step(page, c, out)
        d += _step(page, d, out)
    while a < end_a:
        a += _step(page, a, out)
    while b < end_b:
        b += _step(page, b, out)
    while c < end_c:
        c += _step(page, c, out)
    while d < last:
        d += _step(page, d, out)
    return out
