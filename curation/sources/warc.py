"""Web archives: WARC and ARC 1.0 files, plain or gzipped, read into rows of pages with nothing unaccounted for.

Every `response` record (and every ARC capture) becomes one row, alive or a tombstone; records of other kinds are
counted. `warc_offset` is where the record's gzip member begins (plain files: the record), `warc_length` the bytes from
there that hold it (null where a member holds several records).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from curation.document import COLUMNS, doc_number, polars_type, storable
from curation.sources.archive import Wanted, tell_format
from curation.sources.archive_gzip import GzipArchive
from curation.sources.archive_plain import PlainArchive
from curation.sources.heads import WARC
from curation.sources.members import inflate_prefix
from curation.sources.page import Limits, Page, page_of
from curation.sources.shards import shards_by_size
from curation.stage import Input, Open, Piece, PieceReport, Source

MAX_ROWS = 512
"""Most rows of a frame."""

_COLUMNS = (
    "doc",
    "id",
    "source",
    "url",
    "fetched_at",
    "warc_path",
    "warc_offset",
    "warc_length",
    "http_status",
    "mime",
    "charset",
    "payload_digest",
    "html",
    "http_headers",
)
_DROPS = (
    "no_http",
    "http_status",
    "not_html",
    "truncated",
    "too_large",
    "empty_payload",
    "undecodable",
)
_HEAD_BYTES = 512
_CRAWL = re.compile(r"CC-MAIN-[0-9]{4}-[0-9]{2,4}(?![0-9])")
_ARCHIVE_NAME = re.compile(r"\.(?:warc|wet|wat|arc)(?:\.gz)?$", re.IGNORECASE)
_ARC_NAME = re.compile(r"\.arc(?:\.gz)?$", re.IGNORECASE)
_REFUSED = ((b"\x04\x22\x4d\x18", "LZ4"), (b"\x28\xb5\x2f\xfd", "Zstandard"), (b"BZh", "bzip2"), (b"PK\x03\x04", "zip"))


@dataclass(frozen=True)
class Warc(Source):
    """Pages of WARC and ARC files.

    crawl        value of the column `source`; empty: a CC-MAIN-YYYY-WW in the path, else "unknown"
    mimes        media types that are pages: by Content-Type, else WARC-Identified-Payload-Type, else the first bytes
    max_page_mb  largest decoded page, MiB
    shard_mb     compressed input per shard, 10**6 bytes
    batch_mb     html per frame, 10**6 bytes (a frame closes at the page that reaches it, or at 512 rows)
    statuses     HTTP statuses that are pages
    """

    crawl: str = ""
    mimes: tuple[str, ...] = ("text/html", "application/xhtml+xml")
    max_page_mb: float = 16.0
    shard_mb: float = 128.0
    batch_mb: float = 16.0
    statuses: tuple[int, ...] = (200,)

    libraries: ClassVar[tuple[str, ...]] = ("isal", "brotli", "webencodings", "faust-cchardet", "pyarrow")

    @property
    def short_name(self) -> str:
        return "warc"

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {name: COLUMNS[name] for name in _COLUMNS}

    @property
    def drops(self) -> tuple[str, ...]:
        return _DROPS

    def accepts(self, path: str, head: bytes) -> str | None:
        """None when the file is an archive by its content or, failing that, its name; otherwise why it is not."""
        for magic, name in _REFUSED:
            if head.startswith(magic):
                return f"not accepted: {name} compression; recompress as .gz or plain"
        if re.search(r"\.(?:lz4|zst|zstd)$", path, re.IGNORECASE):
            return "not accepted: LZ4 or Zstandard by its name; recompress as .gz or plain"
        zipped = head.startswith(b"\x1f\x8b")
        plain = inflate_prefix(head) if zipped else head
        if plain.startswith(b"filedesc:") or WARC.mark.search(plain) or _ARCHIVE_NAME.search(path):
            return None
        if not head:
            return "not an archive: an empty file"
        start = "gzip of " if zipped else ""
        return f"not an archive: neither its name nor its first bytes say so ({start}{bytes((plain or head)[:24])!r})"

    def cut(self, inputs: Sequence[Input]) -> list[tuple[Piece, ...]]:
        """Shards of about `shard_mb`, by sizes alone: large files in pieces, small ones together, in input order."""
        return shards_by_size(inputs, self.shard_mb, whole=lambda one: bool(_ARC_NAME.search(one.path)))

    def read(self, piece: Piece, open_input: Open) -> Iterator[pl.DataFrame | PieceReport]:
        """Frames in position order, then the report. Raises OSError when the input cannot be read.

        In the report, records and broken ranges together cover [first, stop): a record that could not be read whole is
        a row (`truncated`) whose bytes lie in a broken range; every byte outside of these belongs to whole records.
        """
        rows = _Rows(piece.input, self._source_of(piece.input.path))
        limits = Limits(frozenset(self.statuses), frozenset(self.mimes), int(self.max_page_mb * (1 << 20)))
        wanted = Wanted(frozenset({"response"}), limits.cap + (1 << 20))
        with closing(open_input(piece.input)) as file:
            zipped, dialect = tell_format(file.read(_HEAD_BYTES), inflate_prefix, piece.input.path)
            archive = (GzipArchive if zipped else PlainArchive)(file, piece.input.size, dialect, wanted)
            for record in archive.records(piece.start, piece.end, piece.exact):
                archive.account.records[record.head.kind] += 1
                if record.head.kind == "response":
                    rows.add(record.offset, record.ordinal, record.length, page_of(record, limits))
                    if len(rows) >= MAX_ROWS or rows.html_bytes >= self.batch_mb * 10**6:
                        yield rows.take()
        if len(rows):
            yield rows.take()
        account = archive.account
        yield PieceReport(piece, account.first, account.stop, dict(account.records), tuple(account.broken))

    def _source_of(self, path: str) -> str:
        match = None if self.crawl else _CRAWL.search(path)
        return self.crawl or (match[0] if match else "unknown")


class _Rows:
    """Column lists of the frame being filled."""

    def __init__(self, origin: Input, source: str) -> None:
        self._origin, self._source, self._path = origin, source, storable(origin.path)
        self._last = -1
        self._start()

    def _start(self) -> None:
        self._place: list[tuple[int, int, int | None]] = []
        self._pages: list[Page] = []
        self.html_bytes = 0

    def __len__(self) -> int:
        return len(self._pages)

    def add(self, offset: int, ordinal: int, length: int | None, page: Page) -> None:
        """Append a row. Positions stay ascending and unique within the file: the ordinal counts within a member."""
        self._last = max(offset + ordinal, self._last + 1)
        self._place.append((self._last, offset, length))
        self._pages.append(page)
        self.html_bytes += len(page.html or b"")

    def take(self) -> pl.DataFrame:
        """The frame of the rows so far; starts the next one."""
        pages, place = self._pages, self._place
        rows = len(pages)
        values: dict[str, list[object]] = {
            "doc": [doc_number(self._origin.number, position) for position, _, _ in place],
            "id": [page.id or f"{self._path}#{position}" for page, (position, _, _) in zip(pages, place, strict=True)],
            "source": [self._source] * rows,
            "warc_path": [self._path] * rows,
            "warc_offset": [offset for _, offset, _ in place],
            "warc_length": [length for _, _, length in place],
        }
        for name in (*_COLUMNS, "drop_reason", "drop_detail"):
            if name not in values:
                values[name] = [getattr(page, name) for page in pages]
        self._start()
        return pl.DataFrame([_series(name, values[name]) for name in _FRAME])


_FRAME = (*_COLUMNS, "drop_reason", "drop_detail")
_TYPES = {name: polars_type(COLUMNS[name]) for name in _FRAME}


def _series(name: str, values: list[object]) -> pl.Series:
    """A column of its contract type; instants are handed over as integers."""
    if name == "fetched_at":
        return pl.Series(name, values, dtype=pl.Int64).cast(_TYPES[name])
    return pl.Series(name, values, dtype=_TYPES[name])
