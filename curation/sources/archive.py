"""What reading an archive yields and the account that goes with it; searching a file for a pattern in blocks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from curation.sources.heads import ARC, WARC, Dialect, Head, Incomplete

SCAN_BLOCK = 1 << 20
"""Bytes held while searching a file."""

SEARCHED_HEAD = 8 << 10
"""Longest head that is found by searching, bytes."""

CHAIN_RECORDS = 64
"""A candidate found by searching is believed after this many well-formed successors,"""

CHAIN_BYTES = 64 << 20
"""after this many bytes of them, or at the end of the file."""


@dataclass(slots=True)
class Record:
    """One record. `block` holds its bytes after the head: all of them, or the first `limit` when `oversize`.

    `offset`: where its gzip member begins (plain files: the record). `ordinal`: its place among the records of that
    member. `length`: bytes from `offset` that hold it; None where a member holds several. `cut`: why the block is not
    whole, None when it is.
    """

    head: Head
    offset: int
    ordinal: int
    length: int | None
    block: bytes
    oversize: bool
    cut: str | None


@dataclass
class Account:
    """What became of the bytes [first, stop): `broken` ranges are disjoint and ascending; the rest are records."""

    first: int
    stop: int
    records: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, int, str]] = field(default_factory=list)

    def lose(self, start: int, end: int, why: str) -> None:
        """Note [start, end) as broken; joined to the range before it when they touch and say the same."""
        if start >= end:
            return
        if self.broken and self.broken[-1][1] == start and self.broken[-1][2] == why:
            start = self.broken.pop()[0]
        self.broken.append((start, end, why))


@dataclass(frozen=True)
class Wanted:
    """Which records' blocks are kept, and how many bytes of each."""

    kinds: frozenset[str]
    limit: int


def find_head(peek: Callable[[int], bytes], dialect: Dialect, searching: bool = False) -> Head | None:
    """The head at the start of what `peek(n)` shows (at most n bytes, fewer only at the end), or None.

    While searching, only heads of up to SEARCHED_HEAD bytes are seen: candidates may be as many as the lines of a file.
    """
    for size in (SEARCHED_HEAD,) if searching else (SEARCHED_HEAD, dialect.most_head):
        data = peek(size)
        try:
            return dialect.parse(data)
        except Incomplete:
            if len(data) < size:
                return None
    return None


def scan(file: BinaryIO, pattern: re.Pattern[bytes], start: int, overlap: int = 8 << 10) -> Iterator[int]:
    """Offsets >= `start` where `pattern` matches, ascending; at most SCAN_BLOCK bytes in memory.

    `^` matches at the beginning of the file and after a line feed. `overlap` bounds the length of a match. The file may
    be moved between two offsets.
    """
    at = start
    while True:
        begin = max(0, at - 1)
        file.seek(begin)
        block = file.read(SCAN_BLOCK)
        last = len(block) < SCAN_BLOCK
        until = len(block) if last else len(block) - overlap
        for match in pattern.finditer(block, at - begin):
            if match.start() >= until:
                break
            yield begin + match.start()
        if last:
            return
        at = begin + until


def tell_format(head: bytes, inflate_head: Callable[[bytes], bytes], path: str) -> tuple[bool, Dialect]:
    """Whether the file is gzip, and its dialect, from its first bytes and, when these do not tell, its name."""
    zipped = head.startswith(b"\x1f\x8b")
    plain = inflate_head(head) if zipped else head
    name = path.lower()
    if WARC.mark.search(plain):
        return zipped, WARC
    arc = plain.startswith(b"filedesc:") or ".arc" in name and ".warc" not in name
    return zipped or (name.endswith(".gz") and not plain.startswith(b"filedesc:")), ARC if arc else WARC
