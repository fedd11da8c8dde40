"""Write WARC/1.0 files from the demo catalogue or from a folder of HTML files.

The output bytes depend only on the input: dates come from the position of a page, record ids are uuid5 of the URL
and warcio's gzip members carry no time stamp. (A different zlib or brotli release may still compress differently.)
"""

from __future__ import annotations

import argparse
import sys
import tomllib
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import brotli
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

DEMO_DIR = Path(__file__).parent
CATALOGUE = DEMO_DIR / "crawl.toml"

_EPOCH = datetime(2024, 7, 1, 12, 0, 0, tzinfo=UTC)
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://curation.example/demo-crawl/")
_SOFTWARE = "curation.demo.build_warc"
_REASONS = {200: "OK", 301: "Moved Permanently", 302: "Found", 404: "Not Found", 410: "Gone", 500: "Server Error"}
_CHUNK = 4096  # bytes per chunk of a chunked body, small enough that short pages get more than one
_HUGE_BYTES = 20_000_000  # above the 16 MiB body limit of the source stage
_BOMB_BYTES = 64 * 1024 * 1024
_NESTED_TAGS = 50_000


@dataclass(frozen=True, slots=True)
class Page:
    """One ``[[page]]`` of the catalogue; ``crawl.toml`` documents the keys."""

    slug: str
    url: str
    language: str
    kind: str
    warc: str
    fate: str
    file: str | None = None
    payload: str | None = None
    generate: str | None = None
    charset: str = "utf-8"
    invalid_bytes: str = ""
    content_type: str | None = None
    status: int = 200
    location: str | None = None
    content_encoding: str | None = None
    plain_body: bool = False
    chunked: bool = False
    truncated: str | None = None
    near_group: str | None = None
    exact_group: str | None = None


def load_catalogue(catalogue: Path = CATALOGUE) -> list[Page]:
    """Read the catalogue and return its pages in file order.

    Raises ValueError for an unknown or missing key, a repeated slug or URL, an unknown generator, or a page whose file
    is not in the ``pages`` folder beside the catalogue.
    """
    with catalogue.open("rb") as stream:
        entries = tomllib.load(stream).get("page", [])
    known = {field.name for field in fields(Page)}
    pages: list[Page] = []
    seen: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        label = f"{catalogue.name}: page {number} ({entry.get('slug', 'no slug')})"
        if unknown := sorted(entry.keys() - known):
            raise ValueError(f"{label}: unknown key {', '.join(unknown)}")
        page = _page(entry, label)
        for name in (page.slug, page.url):
            if name in seen:
                raise ValueError(f"{label}: {name!r} occurs twice")
            seen.add(name)
        _check_body_source(page, catalogue.parent / "pages", label)
        pages.append(page)
    return pages


def _page(entry: dict[str, Any], label: str) -> Page:
    """Make a Page of one TOML table, with a readable error for a missing key."""
    try:
        return Page(**entry)
    except TypeError as error:
        raise ValueError(f"{label}: {error}") from error


def _check_body_source(page: Page, pages_dir: Path, label: str) -> None:
    """Raise ValueError unless the body of the page can be found or made."""
    if page.generate is not None:
        if page.generate not in _GENERATORS:
            raise ValueError(f"{label}: unknown generator {page.generate!r}, known are {', '.join(_GENERATORS)}")
    elif page.payload is None and not _page_path(page, pages_dir).is_file():
        raise ValueError(f"{label}: missing page file {_page_path(page, pages_dir)}")


def _page_path(page: Page, pages_dir: Path) -> Path:
    return pages_dir / f"{page.file or page.slug}.html"


def page_body(page: Page, pages_dir: Path = DEMO_DIR / "pages") -> bytes:
    """Return the body of a page in its own charset, before any content encoding.

    Raises ValueError if a character of the stored file does not exist in the charset, or if the number of U+FFFD marks
    in the file differs from the number of ``invalid_bytes``.
    """
    if page.generate is not None:
        return _GENERATORS[page.generate]()
    text = page.payload if page.payload is not None else _page_path(page, pages_dir).read_text("utf-8")
    broken = bytes.fromhex(page.invalid_bytes)
    pieces = text.split("\ufffd") if broken else [text]
    if len(pieces) != len(broken) + 1:
        raise ValueError(f"{page.slug}: {len(pieces) - 1} U+FFFD marks for {len(broken)} invalid bytes")
    try:
        encoded = [_encode(piece, page.charset) for piece in pieces]
    except (UnicodeEncodeError, LookupError) as error:
        raise ValueError(f"{page.slug}: cannot encode as {page.charset}: {error}") from error
    return b"".join(part + broken[i : i + 1] for i, part in enumerate(encoded))


def _encode(text: str, charset: str) -> bytes:
    """Encode text; "utf-16" is little endian with a BOM on every machine, unlike Python's native order."""
    if charset == "utf-16":
        return b"\xff\xfe" + text.encode("utf-16-le")
    return text.encode(charset)


def _huge_divs() -> bytes:
    """A page of about 20 MB that is nothing but div elements."""
    head, tail = b"<!DOCTYPE html><html><head><title>divs</title></head><body>\n", b"</body></html>\n"
    row = b"<div></div>\n"
    return head + row * (_HUGE_BYTES // len(row)) + tail


def _gzip_bomb() -> bytes:
    """64 MiB of spaces. The body is large only once its gzip content encoding is undone."""
    return b" " * _BOMB_BYTES


def _nested_tags() -> bytes:
    """A page of 50,000 span elements, each inside the one before."""
    head, tail = b"<!DOCTYPE html><html><head><title>deep</title></head><body>", b"</body></html>\n"
    return head + b"<span>" * _NESTED_TAGS + b"</span>" * _NESTED_TAGS + tail


_GENERATORS = {"huge_divs": _huge_divs, "gzip_bomb": _gzip_bomb, "nested_tags": _nested_tags}


def _transfer(body: bytes, page: Page) -> bytes:
    """Apply the content encoding and the chunked framing, as the server would have sent them."""
    if page.content_encoding is not None and not page.plain_body:
        body = _compress(body, page.content_encoding, page.slug)
    if not page.chunked:
        return body
    chunks = (body[start : start + _CHUNK] for start in range(0, len(body), _CHUNK))
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def _compress(body: bytes, encoding: str, slug: str) -> bytes:
    """Compress a body for a Content-Encoding header (HTTP's "deflate" is the zlib format)."""
    if encoding == "br":
        return bytes(brotli.compress(body))
    window = {"gzip": zlib.MAX_WBITS + 16, "deflate": zlib.MAX_WBITS}.get(encoding)
    if window is None:
        raise ValueError(f"{slug}: unknown content_encoding {encoding!r}")
    # A compressor object rather than gzip.compress(): its header has no time stamp in any Python version.
    compressor = zlib.compressobj(9, zlib.DEFLATED, window)
    return compressor.compress(body) + compressor.flush()


class _CrawlFile:
    """One WARC file under construction: a warcinfo record, then the records of each page."""

    def __init__(self, stream: BinaryIO, filename: str) -> None:
        self._writer = WARCWriter(stream, gzip=True)
        self._name = filename
        self._info_id = _record_id(filename, "warcinfo")
        info = {"software": _SOFTWARE, "format": "WARC File Format 1.0", "isPartOf": "curation-demo", "robots": "none"}
        lines = "".join(f"{key}: {value}\r\n" for key, value in info.items()).encode()
        headers = {
            "WARC-Type": "warcinfo",
            "WARC-Record-ID": self._info_id,
            "WARC-Date": _warc_date(0),
            "WARC-Filename": filename,
        }
        self._write("", "warcinfo", headers, lines)

    def add(self, index: int, url: str, http: StatusAndHeaders, body: bytes, **extra: str | None) -> str:
        """Write the request and the response of one page; return the id of the response record.

        ``index`` gives the date, ``extra`` holds further WARC headers with "_" for "-"; None values are left out.
        """
        request_id, response_id = (_record_id(self._name, kind, url) for kind in ("request", "response"))
        common = {"WARC-Date": _warc_date(index), "WARC-Warcinfo-ID": self._info_id}
        ids = {"WARC-Type": "request", "WARC-Record-ID": request_id, "WARC-Concurrent-To": response_id}
        self._write(url, "request", ids | common, b"", _request_headers(url))
        ids = {"WARC-Type": "response", "WARC-Record-ID": response_id, "WARC-Concurrent-To": request_id}
        more = {name.replace("_", "-"): value for name, value in extra.items() if value is not None}
        # 203.0.113.0/24 is reserved for documentation, like the TLDs of the demo URLs.
        address = {"WARC-IP-Address": f"203.0.113.{index % 250 + 1}"}
        self._write(url, "response", ids | common | address | more, body, http)
        return response_id

    def add_metadata(self, index: int, url: str, response_id: str) -> None:
        """Write a metadata record that refers to the response of the same page."""
        headers = {
            "WARC-Type": "metadata",
            "WARC-Record-ID": _record_id(self._name, "metadata", url),
            "WARC-Date": _warc_date(index),
            "WARC-Warcinfo-ID": self._info_id,
            "WARC-Concurrent-To": response_id,
        }
        self._write(url, "metadata", headers, f"fetchTimeMs: {100 + 7 * index}\r\n".encode())

    def _write(self, url: str, kind: str, headers: dict[str, str], body: bytes, http: StatusAndHeaders | None = None) -> None:
        record = self._writer.create_warc_record(
            url, kind, payload=BytesIO(body), length=len(body), warc_headers_dict=headers, http_headers=http
        )
        self._writer.write_record(record)


def _record_id(*names: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(_NAMESPACE, ' '.join(names))}>"


def _warc_date(index: int) -> str:
    """One page every three seconds from a fixed moment on."""
    return (_EPOCH + timedelta(seconds=3 * index)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _request_headers(url: str) -> StatusAndHeaders:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [("Host", parts.netloc), ("User-Agent", _SOFTWARE), ("Accept-Encoding", "br, gzip, deflate")]
    return StatusAndHeaders(f"GET {target} HTTP/1.1", headers, is_http_request=True)


def _response_headers(page: Page, length: int) -> StatusAndHeaders:
    headers = [("Server", "demo")]
    optional = {
        "Content-Type": page.content_type,
        "Location": page.location,
        "Content-Encoding": page.content_encoding,
        "Transfer-Encoding": "chunked" if page.chunked else None,
        "Content-Length": None if page.chunked else str(length),
    }
    headers += [(name, value) for name, value in optional.items() if value is not None]
    return StatusAndHeaders(f"{page.status} {_REASONS.get(page.status, 'Unknown')}", headers, protocol="HTTP/1.1")


def _identified_type(body: bytes) -> str | None:
    """The media type a crawler would sniff from the body, None for an empty one."""
    if not body:
        return None
    if body.startswith(b"%PDF-"):
        return "application/pdf"
    return "application/json" if body.startswith(b"{") else "text/html"


def build_crawl(out_dir: Path, *, catalogue: Path = CATALOGUE) -> list[Path]:
    """Write every WARC file the catalogue names into ``out_dir`` and return their paths, sorted by name.

    Each file starts with a warcinfo record; then come a request and a response record for each page in catalogue
    order, and a metadata record for every eighth page. Files that exist are overwritten.

    Raises ValueError if the catalogue is wrong (see :func:`load_catalogue` and :func:`page_body`).
    """
    pages = load_catalogue(catalogue)
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in sorted({page.warc for page in pages}):
        path = out_dir / f"{name}.warc.gz"
        with path.open("wb") as stream:
            numbered = [(index, page) for index, page in enumerate(pages) if page.warc == name]
            _write_pages(_CrawlFile(stream, path.name), numbered, catalogue.parent / "pages")
        paths.append(path)
    return paths


def _write_pages(crawl: _CrawlFile, numbered: Iterable[tuple[int, Page]], pages_dir: Path) -> None:
    for index, page in numbered:
        body = page_body(page, pages_dir)
        sent = _transfer(body, page)
        response_id = crawl.add(
            index,
            page.url,
            _response_headers(page, len(sent)),
            sent,
            WARC_Truncated=page.truncated,
            WARC_Identified_Payload_Type=_identified_type(body),
        )
        if index % 8 == 0:
            crawl.add_metadata(index, page.url, response_id)


def warc_from_folder(folder: Path, out: Path, *, base_url: str = "https://folder.example/") -> int:
    """Write all .html and .htm files below ``folder`` to the WARC file ``out`` and return how many there were.

    The URL of a page is ``base_url`` plus its relative path, percent-encoded. The bytes are stored untouched, with the
    content type "text/html" and no charset, because nothing is known about them.

    Raises ValueError if ``folder`` is not a folder or holds no HTML file.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".html", ".htm"} and path.is_file())
    if not files:
        raise ValueError(f"{folder} holds no .html or .htm file")
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as stream:
        crawl = _CrawlFile(stream, out.name)
        for index, path in enumerate(files):
            body = path.read_bytes()
            headers = [("Content-Type", "text/html"), ("Content-Length", str(len(body)))]
            http = StatusAndHeaders("200 OK", headers, protocol="HTTP/1.1")
            crawl.add(index, base_url.rstrip("/") + "/" + quote(path.relative_to(folder).as_posix()), http, body)
    return len(files)


def main(argv: list[str] | None = None) -> int:
    """Command line: turn FOLDER into the WARC file OUT, or write the demo crawl into the folder OUT with --demo."""
    parser = argparse.ArgumentParser(prog="python -m curation.demo.build_warc", description=main.__doc__)
    parser.add_argument("folder", metavar="FOLDER", nargs="?", type=Path, help="folder of .html files")
    parser.add_argument("out", metavar="OUT", type=Path, help="the .warc.gz file, or a folder with --demo")
    parser.add_argument("--demo", action="store_true", help="write the packaged demo crawl instead of a folder")
    parser.add_argument("--base-url", default="https://folder.example/", help="URL of the folder itself")
    options = parser.parse_args(argv)
    if options.demo == (options.folder is not None):
        parser.error("give either FOLDER or --demo")
    try:
        if options.demo:
            sys.stdout.write("".join(f"{path}\n" for path in build_crawl(options.out)))
        else:
            count = warc_from_folder(options.folder, options.out, base_url=options.base_url)
            sys.stdout.write(f"{options.out}: {count} pages\n")
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
