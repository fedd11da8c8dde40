"""Records of gzipped archives: the chain of members from a known start, with every byte accounted for.

Where the chain breaks, reading goes on at the next *verified* member. A captured .warc.gz inside a damaged record holds
member headers of its own; verification tells them apart: their chain ends at bytes that are no gzip header, because the
outer record goes on.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import BinaryIO, Literal

from curation.sources.archive import CHAIN_BYTES, CHAIN_RECORDS, Account, Record, Wanted, find_head, scan
from curation.sources.heads import Dialect, Head
from curation.sources.members import MAGIC, Member

MOST_PADDING = 1 << 20
"""Zero bytes looked at when a chain ends in padding."""


class GzipArchive:
    """Records of a gzipped archive whose first byte lies in [start, end); `account` is complete when they are taken."""

    def __init__(self, file: BinaryIO, size: int, dialect: Dialect, wanted: Wanted) -> None:
        self._file, self._size, self._dialect, self._wanted = file, size, dialect, wanted
        self._member = Member(file, size)
        self._phantoms: set[int] = set()
        self._ordinal = 0  # records begun in the current member
        self._junk = 0  # inflated bytes of the current member that are no record
        self._begun = False  # a record runs over into the current member
        self.account = Account(0, 0)

    def records(self, start: int, end: int, exact: bool) -> Iterator[Record]:
        """Every record that belongs to [start, end). An inexact start is moved to the next verified member.

        Reading stops only where a member begins a record, so that a neighbour that starts there sees the same chain.
        Raises OSError when the file cannot be read.
        """
        at = start if exact or start == 0 else self.search(start)
        self.account = Account(at, at)
        while at < min(end, self._size):
            if self._member.open(at):
                at = yield from self._read_members()
            else:
                at = self._lose(at, at + 1, self._no_member(at))
            self.account.stop = at

    def _no_member(self, at: int) -> str:
        return "zero bytes" if self._zeros(at, 64) else "no gzip member begins here"

    def _zeros(self, at: int, most: int) -> bool:
        self._file.seek(at)
        return not self._file.read(most).strip(b"\0")

    def _lose(self, start: int, search_from: int, why: str) -> int:
        """Account the bytes from `start` to the next verified member as broken; where that member begins."""
        at = self.search(search_from)
        self.account.lose(start, at, why)
        return at

    def _read_members(self) -> Generator[Record, None, int]:
        """Yield the records of the open member, and of those that one runs over into; return where to go on."""
        member = self._member
        self._enter(begun=False)
        while member.skip_line_ends():
            head = find_head(member.peek, self._dialect)
            if head is None:
                if member.failure is not None:
                    break
                self._junk += member.skip_to(self._dialect)
                continue
            record, restart = self._read_record(head)
            if member.failure is not None:
                record.cut = record.cut or member.failure
                after = self._fail(self._ordinal - (member.start == record.offset))
                record.length = after - record.offset
                yield record
                return after
            yield record
            if restart:
                return member.start
        if member.failure is not None:
            return self._fail(self._ordinal)
        self._leave()
        return member.end

    def _enter(self, begun: bool) -> None:
        self._ordinal, self._junk, self._begun = 0, 0, begun

    def _leave(self) -> None:
        """Account for what the member that has ended held besides records."""
        member = self._member
        if not self._ordinal and not self._begun:
            self.account.lose(member.start, member.end, "a gzip member that holds no record")
        elif self._junk:
            # Compressed bytes of a stretch inside a member cannot be told apart: its last byte stands for them.
            self.account.lose(member.end - 1, member.end, f"{self._junk} inflated bytes of this member are no record")

    def _fail(self, complete: int) -> int:
        """Account for a member that broke after `complete` whole records; where to go on."""
        member = self._member
        start = member.start if not complete else max(member.start + 1, member.consumed)
        return self._lose(start, max(start, member.start + 1), member.failure or "")

    def _read_record(self, head: Head) -> tuple[Record, bool]:
        """The record at `head`, and whether the member after it was opened because it begins another record."""
        member, restart = self._member, False
        offset, ordinal = member.start, self._ordinal
        self._ordinal += 1
        member.skip(head.size)
        left = head.length
        keep = min(left, self._wanted.limit) if head.kind in self._wanted.kinds else 0
        parts: list[bytes] = []
        while True:
            if keep:
                parts.append(member.read(keep))
                keep -= len(parts[-1])
                left -= len(parts[-1])
            if not keep and left:
                left -= member.skip(left)
            if not left or member.failure is not None:
                break
            following = self._open_following()
            restart = following == "record"
            if following != "block":
                break
        cut = None if not left else f"{head.length - left} of {head.length} bytes"
        if not left and member.peek(1) not in (b"", b"\r", b"\n") and not self._at_record():
            cut = f"its {head.length} bytes do not end at a line end"
        ends_member = restart or not member.skip_line_ends()
        alone = ends_member and ordinal == 0
        length = (member.start if restart else member.end) - offset if alone else None
        block = parts[0] if len(parts) == 1 else b"".join(parts)
        oversize = head.kind in self._wanted.kinds and head.length > self._wanted.limit
        return Record(head, offset, ordinal, length, block, oversize, cut), restart

    def _open_following(self) -> Literal["block", "record", "nothing"]:
        """At a member's end inside a block: open the member after it and tell whether it continues the block or begins
        a record of its own; "nothing" (and nothing opened) when no member follows."""
        member = self._member
        self._file.seek(member.end)
        if MAGIC.match(self._file.read(4)) is None:
            return "nothing"
        self._leave()
        member.open(member.end)
        self._enter(begun=True)
        return "record" if self._at_record() else "block"

    def _at_record(self) -> bool:
        """Whether a record seems to begin at the next byte, line ends aside."""
        return self._dialect.mark.match(self._member.peek(8 << 10).lstrip(b"\r\n")) is not None

    def search(self, at: int) -> int:
        """The first verified member at or after byte `at`; the file's size when there is none."""
        for offset in scan(self._file, MAGIC, at):
            if offset not in self._phantoms and self._verified(offset):
                return offset
        return self._size

    def _verified(self, offset: int) -> bool:
        """Whether the member at `offset` begins a record of this archive, judged by the chain that it begins."""
        member, at = Member(self._file, self._size), offset
        chain: list[int] = []
        while at < self._size and len(chain) < CHAIN_RECORDS and at - offset < CHAIN_BYTES:
            if not member.open(at):
                if chain and self._padding(at):
                    return True
                self._phantoms.update(chain)
                return False
            head = find_head(member.peek, self._dialect, searching=True) if member.skip_line_ends() else None
            if not self._dialect.plausible(head):
                return bool(chain)
            member.skip(1 << 62)
            if member.failure is not None:
                return bool(chain)
            chain.append(at)
            at = member.end
        return True

    def _padding(self, at: int) -> bool:
        return self._size - at <= MOST_PADDING and self._zeros(at, MOST_PADDING)
