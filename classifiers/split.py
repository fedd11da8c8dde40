"""Examples to train on and examples to measure with, so that nothing measured was seen: whole sources, whole clusters.

Two examples belong together when they share a group (a site, a book, an author), a cluster from an earlier near-duplicate
search, or at least half of a sketch of their word 5-grams. What belongs together lands on one side, chosen by a hash.

Source: ours; bottom-k sketches after Broder 1997.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from zlib import crc32

SHINGLE = 5
"""Words in a shingle."""

SKETCH = 16
"""How many of a text's smallest shingle hashes stand for it."""

_WORD = re.compile(r"\w+")


def sketch(text: str) -> frozenset[int]:
    """The smallest SKETCH hashes of the text's word 5-grams, of the whole text where it has fewer words."""
    words = _WORD.findall(text.lower())
    last = max(len(words) - SHINGLE, 0)
    hashes = {crc32(" ".join(words[i : i + SHINGLE]).encode()) for i in range(last + 1)}
    return frozenset(sorted(hashes)[:SKETCH]) if words else frozenset()


def near_duplicates(texts: Sequence[str]) -> list[int]:
    """Cluster of each text: the number of its first member. Texts are linked when half of the smaller sketch is shared."""
    sketches = [sketch(text) for text in texts]
    holders: dict[int, list[int]] = defaultdict(list)
    links = _Links(len(texts))
    for row, own in enumerate(sketches):
        shared: dict[int, int] = defaultdict(int)
        for value in own:
            for other in holders[value]:
                shared[other] += 1
            # the first holders suffice to link a cluster; a shingle on every page must not cost quadratic time
            if len(holders[value]) < 50:
                holders[value].append(row)
        for other, count in shared.items():
            if 2 * count >= min(len(own), len(sketches[other])):
                links.join(row, other)
    return links.roots()


def groups_of(texts: Sequence[str], *columns: Sequence[object]) -> list[int]:
    """Group of each example: what shares a near-duplicate cluster or a value (not None) of any column is one."""
    links = _Links(len(texts))
    for column in (near_duplicates(texts), *columns):
        first: dict[object, int] = {}
        for row, value in enumerate(column):
            if value is not None:
                links.join(row, first.setdefault(value, row))
    return links.roots()


def held_out(names: Iterable[object], share: float, seed: int) -> list[bool]:
    """True for examples to measure with: a `share` (0 to 1) of the groups, by a hash of the group's name and the seed."""
    limit = int(share * 2**64)
    chosen: dict[object, bool] = {}
    answer = []
    for name in names:
        if name not in chosen:
            digest = hashlib.blake2b(f"{seed}\x1f{name}".encode(), digest_size=8).digest()
            chosen[name] = int.from_bytes(digest, "big") < limit
        answer.append(chosen[name])
    return answer


class _Links:
    """Union-find; the root of a set is its smallest member."""

    def __init__(self, size: int) -> None:
        self._above = list(range(size))

    def root(self, row: int) -> int:
        while self._above[row] != row:
            self._above[row] = self._above[self._above[row]]
            row = self._above[row]
        return row

    def join(self, a: int, b: int) -> None:
        a, b = self.root(a), self.root(b)
        self._above[max(a, b)] = min(a, b)

    def roots(self) -> list[int]:
        return [self.root(row) for row in range(len(self._above))]
