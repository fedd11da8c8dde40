"""Small synthetic archives, healthy and diseased, each built by a function named for its disease."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence

import polars as pl

from curation.sources.warc import Warc
from curation.stage import Input, Piece, PieceReport

HTML = b"<html><head><title>Page %d</title></head><body><p>Hello, page %d of the archive.</p></body></html>"


def http(body: bytes, *fields: str, status: str = "200 OK", content_type: str | None = "text/html; charset=utf-8") -> bytes:
    """An HTTP response."""
    lines = [f"HTTP/1.1 {status}", *([f"Content-Type: {content_type}"] if content_type else []), *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def warc(block: bytes, kind: str = "response", number: int = 0, length: int | str | None = None, *more: str) -> bytes:
    """A WARC record; `length` overrides its Content-Length."""
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{number:012d}>",
        f"WARC-Target-URI: http://example.org/{number}",
        "WARC-Date: 2024-05-06T07:08:09Z",
        "Content-Type: application/http; msgtype=response",
        *more,
        f"Content-Length: {len(block) if length is None else length}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def page(number: int, *more: str) -> bytes:
    """A WARC record of a healthy page."""
    return warc(http(HTML % (number, number)), "response", number, None, *more)


def member(data: bytes, level: int = 6) -> bytes:
    """One gzip member, the same bytes every time."""
    return gzip.compress(data, level, mtime=0)


def healthy_records(count: int = 6) -> list[bytes]:
    """A warcinfo record, then requests and pages in turn."""
    records = [warc(b"software: none\r\n", "warcinfo", 900)]
    for number in range(count):
        records.append(warc(b"GET / HTTP/1.1\r\n\r\n", "request", 100 + number))
        records.append(page(number))
    return records


def healthy_gz(count: int = 6) -> bytes:
    """One member per record."""
    return b"".join(member(record) for record in healthy_records(count))


def healthy_plain(count: int = 6) -> bytes:
    """Uncompressed."""
    return b"".join(healthy_records(count))


def whole_file_one_member(count: int = 6) -> bytes:
    """The whole file compressed at once."""
    return member(healthy_plain(count))


def members_of_three(count: int = 6) -> bytes:
    """Three records to a member."""
    records = healthy_records(count)
    return b"".join(member(b"".join(records[i : i + 3])) for i in range(0, len(records), 3))


def captured_warc_gz(level: int = 0) -> bytes:
    """A page that is itself a .warc.gz: inside stored (level 0) members its member headers lie bare in the file."""
    inner = healthy_gz(3)
    outer = [page(1), warc(http(inner, content_type="application/gzip"), "response", 2), page(3), page(4)]
    return b"".join(member(record, level) for record in outer)


def captured_warc_plain() -> bytes:
    """A page that is itself a .warc, in an uncompressed archive."""
    inner = healthy_plain(2)
    return b"".join([page(1), warc(http(inner, content_type="application/warc"), "response", 2), page(3), page(4)])


def record_over_two_members() -> bytes:
    """A record whose block goes on in the next member."""
    record = page(1)
    return member(record[:300]) + member(record[300:]) + member(page(2))


def damaged(data: bytes, at: int, value: int = 0xFF) -> bytes:
    """`data` with the byte at `at` changed."""
    return data[:at] + bytes([data[at] ^ value]) + data[at + 1 :]


def member_starts(records: Sequence[bytes]) -> list[int]:
    """Where the members of `records` begin."""
    starts, at = [], 0
    for record in records:
        starts.append(at)
        at += len(member(record))
    return starts


def bomb(megabytes: int) -> bytes:
    """A gzip body of zeros."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(squeezer.compress(bytes(1 << 20)) for _ in range(megabytes)) + squeezer.flush()


def read_piece(
    source: Warc, data: bytes, path: str, start: int, end: int, exact: bool = False
) -> tuple[pl.DataFrame, PieceReport]:
    """The rows and the report of one piece; checks that the account tiles."""
    one = Input(3, path, path, len(data), "")
    *frames, report = source.read(Piece(one, start, end, exact), lambda _: io.BytesIO(data))
    assert isinstance(report, PieceReport)
    check_account(report.first, report.stop, report.broken)
    tables = [frame for frame in frames if isinstance(frame, pl.DataFrame)]
    rows = pl.concat(tables) if tables else pl.DataFrame()
    assert len(rows) == report.records.get("response", 0)
    return rows, report


def read_all(data: bytes, path: str = "x.warc.gz", source: Warc | None = None) -> tuple[pl.DataFrame, PieceReport]:
    """The rows and the report of a whole file."""
    rows, report = read_piece(source or Warc(), data, path, 0, len(data))
    assert (report.first, report.stop) == (0, len(data))
    return rows, report


def read_in_pieces(data: bytes, cuts: Sequence[int], path: str = "x.warc.gz") -> tuple[pl.DataFrame, list[PieceReport], int]:
    """The rows, reports and number of redone pieces of a file cut at `cuts`, as the engine reads it."""
    bounds = [0, *sorted(cuts), len(data)]
    parts: list[pl.DataFrame] = []
    reports: list[PieceReport] = []
    redone = 0
    for start, end in zip(bounds, bounds[1:], strict=False):
        rows, report = read_piece(Warc(), data, path, start, end)
        if reports and reports[-1].stop != report.first:
            rows, report = read_piece(Warc(), data, path, reports[-1].stop, end, exact=True)
            redone += 1
        parts.append(rows)
        reports.append(report)
    assert reports[0].first == 0 and reports[-1].stop == len(data)
    assert all(a.stop == b.first for a, b in zip(reports, reports[1:], strict=False))
    full = [rows for rows in parts if len(rows)]
    return (pl.concat(full) if full else pl.DataFrame()), reports, redone


def check_account(first: int, stop: int, broken: Sequence[tuple[int, int, str]]) -> None:
    """Broken ranges are ascending, disjoint, not empty and within [first, stop]."""
    at = first
    for start, end, why in broken:
        assert at <= start < end <= stop, (first, stop, broken)
        assert why
        at = end
