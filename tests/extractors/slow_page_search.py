"""A search for pages that extractors/main_content is slow on: pages of repeated pieces, changed at random, the slowest kept.

    python tests/extractors/slow_page_search.py [SECONDS] [SEED] [marks]

Prints the slowest kinds it found, with CPU milliseconds a megabyte. Formulas are left out: they are bounded by themselves.
Characters that normalisation changes and bytes that are no UTF-8 are tried with `marks` alone: the identity of a text, which
every extractor makes, costs 20 ms a megabyte of the former, and each of the latter is three bytes of text.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from curation.extractors.main_content import make_page_function
from curation.text.html_names import TAG_NAMES

OPTIONS = {"threshold": 0.5, "comments": False, "headline": True, "markdown": False, "tables": "data", "model": ""}
PAGE_BYTES = 1_000_000
KEPT = 16
_NAMES = [name for name in TAG_NAMES if name and name not in ("math", "plaintext")]
_ATTRIBUTES = (
    " class='nav menu'", ' class="a1-b2 c_d eF"', " id=comments", " style='display:none'", " style='width:1px;a:b;c:d'",
    " hidden", " href=x", " href='", ' class="', " a", " a=1", " role=main itemprop=text", " aria-hidden=true", "/",
    " x='>'", "\n", " =",
)  # fmt: skip
_TEXTS = (
    "x", "a b", "The", "of ", "1", ".", ",", "|", "$x$", "$", "<", "&", "&amp;", "&#65;", "&#x1F600;", "&nbsp;", "&nGt;",
    "&ampx", "\u00a0", "\u00c2", "é", "日", "한", "🎉", " ", "\n", "\n\n", "\t", "\r\n", "\x00",
    "x " * 20, "word, " * 8, "A" * 40,
    "<!--", "-->", "<!---->", "<!", "<?", "</", "</>", "]]>", "'", '"', ">",
)  # fmt: skip
_MARKS = ("e\u0301", "\u0301", "\u0344", "\u1100\u1161", "\u0958", "\ufdfa")
_BYTES = (b"\xff", b"\xc3", b"\xe2\x80", b"\xf0\x9f", b"\xc2", b"\xed\xa0\x80")


class Part(NamedTuple):
    """Pieces that are repeated over a share of the page."""

    pieces: tuple[bytes, ...]
    weight: int


Kind = tuple[Part, ...]


def _piece(rng: random.Random, marks: bool) -> bytes:
    chance = rng.random()
    name = rng.choice(_NAMES if rng.random() < 0.5 else ["p", "td", "tr", "table", "li", "ul", "div", "pre", "br", "a", "h1"])
    if chance < 0.4:
        attributes = "".join(rng.choices(_ATTRIBUTES, k=rng.choice((0, 0, 0, 1, 3))))
        return f"<{name}{attributes}>".encode()
    if chance < 0.55:
        return f"</{name}>".encode()
    if chance < 0.6:
        return f"<{rng.choice(('x-y', 'b', 'unknown', name.upper()))}".encode()
    if marks and chance < 0.7:
        return rng.choice((*_BYTES, *(mark.encode() for mark in _MARKS)))
    return rng.choice(_TEXTS).encode()


def _part(rng: random.Random, marks: bool) -> Part:
    return Part(tuple(_piece(rng, marks) for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 8)))), rng.choice((1, 1, 2, 8)))


def mutated(kind: Kind, rng: random.Random, marks: bool) -> Kind:
    """One change: a piece or a part added, left out, exchanged or weighed otherwise."""
    parts = list(kind)
    at = rng.randrange(len(parts))
    pieces = list(parts[at].pieces)
    change = rng.randrange(8)
    if change == 0:
        parts.insert(at, _part(rng, marks))
    elif change == 1 and len(parts) > 1:
        del parts[at]
    elif change == 2:
        parts[at] = Part(parts[at].pieces, rng.choice((1, 2, 4, 16)))
    else:
        place = rng.randrange(len(pieces))
        if change == 3 and len(pieces) > 1:
            del pieces[place]
        elif change == 4:
            rng.shuffle(pieces)
        elif change == 5:
            pieces[place] = _piece(rng, marks)
        else:
            pieces.insert(place, _piece(rng, marks))
        parts[at] = Part(tuple(pieces[:24]), parts[at].weight)
    return tuple(parts[:6])


def page_of(kind: Kind, size: int = PAGE_BYTES) -> bytes:
    """A page of about so many bytes: each part's pieces repeated over its share."""
    weights = sum(part.weight for part in kind)
    out = [b"<html><title>The a of x</title><body>"]
    for part in kind:
        unit = b"".join(part.pieces)
        out.append(unit * max(size * part.weight // weights // len(unit), 1))
    return b"".join(out)


def cost(extract: Callable[[memoryview], object], page: bytes, rounds: int) -> float:
    """CPU milliseconds a megabyte, the least of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        extract(memoryview(page))
        best = min(best, time.process_time() - started)
    return best * 1e9 / max(len(page), 1)


def slowest(seconds: float, seed: int = 1, marks: bool = False) -> list[tuple[float, Kind]]:
    """The slowest kinds found in so much time, slowest first: half of those tried are new, half are kept ones changed."""
    extract = make_page_function(**OPTIONS)  # type: ignore[arg-type]
    rng = random.Random(seed)
    kept: list[tuple[float, Kind]] = []
    end = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < end:
        tried += 1
        fresh = len(kept) < KEPT or rng.random() < 0.2
        if fresh:
            kind = tuple(_part(rng, marks) for _ in range(rng.choice((1, 1, 1, 2, 3))))
        else:
            kind = mutated(rng.choice(kept)[1], rng, marks)
        page = page_of(kind)
        least = kept[-1][0] if len(kept) == KEPT else 0.0
        found = cost(extract, page, 1)
        if found <= least:
            continue
        found = cost(extract, page, 3)
        signs = set(kind[0].pieces)
        alike = [i for i, (_, other) in enumerate(kept) if set(other[0].pieces) == signs]
        if alike and kept[alike[0]][0] >= found:
            continue
        kept = [pair for i, pair in enumerate(kept) if i not in alike] + [(found, kind)]
        kept = sorted(kept, key=lambda pair: -pair[0])[:KEPT]
        if tried % 50 == 0:  # a page that was slow because the machine was busy does not stay
            kept = sorted(((min(ms, cost(extract, page_of(k), 1)), k) for ms, k in kept), key=lambda pair: -pair[0])
    return sorted(((cost(extract, page_of(kind), 5), kind) for _, kind in kept), key=lambda pair: -pair[0])


if __name__ == "__main__":
    found = slowest(float((sys.argv[1:2] or ["600"])[0]), int((sys.argv[2:3] or ["1"])[0]), "marks" in sys.argv)
    for ms, kind in found:
        sys.stdout.write(f"{ms:6.1f} {[(b''.join(part.pieces)[:120], part.weight) for part in kind]}\n")
