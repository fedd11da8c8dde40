"""Which tokens of a page are the gold text's: alignment of two token sequences, and from it the share of each block.

Source: Needleman & Wunsch, J. Mol. Biol. 48 (1970), with a bonus for matches that continue a run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numba
import numpy as np

_WORD = re.compile(r"\w+")
MOST_CELLS = 300_000_000
"""Larger tables (bytes) are not made: shared runs of three tokens decide then."""


@numba.njit(nogil=True)
def _matched(page, gold):  # type: ignore[no-untyped-def]
    """bool [len(page)]: the tokens of `page` in the best alignment. A match counts 1, one that continues a run 2."""
    n, m = len(page), len(gold)
    moves = np.zeros((n, m), np.uint8)  # 0 up, 1 left, 2 match; +4: a match here continues a run
    best = np.zeros(m + 1, np.int32)
    ended = np.full(m + 1, -1, np.int32)
    for i in range(n):
        corner, corner_ended = best[0], ended[0]
        for j in range(m):
            up, up_ended = best[j + 1], ended[j + 1]
            here = -1
            if page[i] == gold[j]:
                here = corner + 1
                if corner_ended >= 0 and corner_ended + 2 > here:
                    here = corner_ended + 2
                    moves[i, j] = 4
            value = up
            if best[j] > value:
                value = best[j]
                moves[i, j] |= 1
            if here >= value:
                value = here
                moves[i, j] = (moves[i, j] & 4) | 2
            best[j + 1], ended[j + 1] = value, here
            corner, corner_ended = up, up_ended
    found = np.zeros(n, np.bool_)
    i, j = n - 1, m - 1
    forced = False
    while i >= 0 and j >= 0:
        move = moves[i, j]
        if forced or move & 3 == 2:
            found[i] = True
            forced = move & 4 != 0
            i -= 1
            j -= 1
        elif move & 3 == 1:
            j -= 1
        else:
            i -= 1
    return found


def _in_shared_runs(page: np.ndarray, gold: np.ndarray, run: int = 3) -> np.ndarray:
    known = {tuple(gold[i : i + run]) for i in range(len(gold) - run + 1)}
    found = np.zeros(len(page), bool)
    for i in range(len(page) - run + 1):
        if tuple(page[i : i + run]) in known:
            found[i : i + run] = True
    return found


def tokens(text: str) -> list[str]:
    r"""Lower-cased `\w+` of a text; characters of scripts without spaces one by one, which would be one token a sentence."""
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        if word[0] >= "\u3040" and word[0] < "\uac00":
            found.extend(word)
        else:
            found.append(word)
    return found


def gold_shares(blocks: Sequence[str], gold: str) -> tuple[np.ndarray, np.ndarray]:
    """For each block the share of its tokens that are in the gold text at their place, and how many tokens it has."""
    numbers: dict[str, int] = {}

    def numbered(words: list[str]) -> list[int]:
        return [numbers.setdefault(word, len(numbers)) for word in words]

    page = [numbered(tokens(block)) for block in blocks]
    sizes = np.array([len(block) for block in page], np.int64)
    joined = np.array([token for block in page for token in block], np.int32)
    wanted = np.array(numbered(tokens(gold)), np.int32)
    if not len(joined) or not len(wanted):
        return np.zeros(len(blocks)), sizes
    small = len(joined) * len(wanted) <= MOST_CELLS
    found = _matched(joined, wanted) if small else _in_shared_runs(joined, wanted)
    owner = np.repeat(np.arange(len(blocks)), sizes)
    return np.bincount(owner, found, len(blocks)) / np.maximum(sizes, 1), sizes
