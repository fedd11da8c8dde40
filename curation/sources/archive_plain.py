"""Records of uncompressed archives, with every byte accounted for.

Each record must end where its length says, at line ends and then another record or the end of the file. Where that
breaks, reading goes on at the next *verified* record: one whose own chain of records holds. The records of a captured
archive inside a damaged record are told apart by the surplus line ends after the last of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from curation.sources.archive import CHAIN_BYTES, CHAIN_RECORDS, Account, Record, Wanted, find_head, scan
from curation.sources.heads import Dialect, Head

WINDOW = 256 << 10
"""Bytes held of the file besides the block asked for."""

_LINE_ENDS = re.compile(rb"[\r\n]*")


class PlainArchive:
    """Records of a plain archive whose first byte lies in [start, end); `account` is complete when they are taken."""

    def __init__(self, file: BinaryIO, size: int, dialect: Dialect, wanted: Wanted) -> None:
        self._file, self._size, self._dialect, self._wanted = file, size, dialect, wanted
        self._window, self._window_at = b"", 0
        self._phantoms: set[int] = set()
        self.account = Account(0, 0)

    def records(self, start: int, end: int, exact: bool) -> Iterator[Record]:
        """Every record that belongs to [start, end). An inexact start is moved to the next verified record.

        Raises OSError when the file cannot be read.
        """
        at = start if exact or start == 0 else self.search(start)
        self.account = Account(at, at)
        if at == 0:
            at = self._after_line_ends(0)
        while at < min(end, self._size):
            head = self._head(at)
            if head is None:
                at = self._lose(at, at + 1, "no record begins here")
            else:
                record, at = self._read_record(head, at)
                yield record
        self.account.stop = max(at, self.account.first)

    def _view(self, at: int, size: int) -> bytes:
        offset = at - self._window_at
        if offset < 0 or offset + size > len(self._window):
            if size > WINDOW:
                self._file.seek(at)
                return self._file.read(size)
            self._file.seek(at)
            self._window, self._window_at, offset = self._file.read(WINDOW), at, 0
        return self._window[offset : offset + size]

    def _head(self, at: int, searching: bool = False) -> Head | None:
        return find_head(lambda size: self._view(at, size), self._dialect, searching)

    def _after_line_ends(self, at: int) -> int:
        while data := self._view(at, 4096):
            match = _LINE_ENDS.match(data)
            assert match is not None
            at += match.end()
            if match.end() < len(data):
                break
        return at

    def _lose(self, start: int, search_from: int, why: str) -> int:
        at = self.search(search_from)
        self.account.lose(start, at, why)
        return at

    def _read_record(self, head: Head, at: int) -> tuple[Record, int]:
        """The record at `at` and where the next one begins, after accounting for what is broken between them."""
        block_at = at + head.size
        stop = block_at + head.length
        after, cut = self._follow(head, block_at, stop)
        wanted = head.kind in self._wanted.kinds
        within = min(head.length, (after if cut else stop) - block_at)
        block = self._view(block_at, min(within, self._wanted.limit)) if wanted else b""
        if cut:
            self.account.lose(at, after, cut)
        oversize = wanted and within > self._wanted.limit
        return Record(head, at, 0, (after if cut else stop) - at, block, oversize, cut), after

    def _follow(self, head: Head, block_at: int, stop: int) -> tuple[int, str | None]:
        """Where to go on after the block [block_at, stop), and why the block is not whole, if it is not."""
        if stop > self._size:
            after = self.search(block_at)
            return after, f"{after - block_at} of {head.length} bytes before {self._what(after)}"
        after = self._after_line_ends(stop)
        if after >= self._size or self._dialect.mark.match(self._view(after, 8 << 10)):
            return after, None
        if self._dialect.ending.match(self._view(stop, 4)):
            return self._lose(after, after + 1, "no record begins here"), None
        after = self.search(block_at)
        if after < stop:
            return after, f"{after - block_at} of {head.length} bytes before {self._what(after)}"
        return after, f"its {head.length} bytes do not end at a line end"

    def _what(self, after: int) -> str:
        return "another record" if after < self._size else "the end of the file"

    def search(self, at: int) -> int:
        """The first verified record at or after byte `at`; the file's size when there is none."""
        for offset in scan(self._file, self._dialect.mark, at):
            if offset not in self._phantoms and self._verified(offset):
                return offset
        return self._size

    def _verified(self, offset: int) -> bool:
        """Whether a record of this archive begins at `offset`, judged by the chain of records that it begins."""
        chain: list[int] = []
        at = offset
        while at < self._size and len(chain) < CHAIN_RECORDS and at - offset < CHAIN_BYTES:
            if self._dialect.mark.match(self._view(at, 8 << 10)) is None:
                self._phantoms.update(chain)
                return False
            head = self._head(at, searching=True)
            stop = self._size + 1 if head is None else at + head.size + head.length
            if stop > self._size or not self._dialect.plausible(head):
                return bool(chain)
            ending = self._dialect.ending.match(self._view(stop, 4))
            after = self._after_line_ends(stop)
            if ending is None and after < self._size:
                return bool(chain)
            chain.append(at)
            if ending is not None and stop + ending.end() != after:
                self._phantoms.update(chain)
                return False
            at = after
        return True
