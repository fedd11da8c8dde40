"""From a response record to a row: the page as UTF-8, or a tombstone with its reason. One function, no state."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from curation.document import storable
from curation.sources.archive import Record
from curation.sources.charset import to_utf8
from curation.sources.heads import Head
from curation.sources.payload import Broken, HttpHead, dechunk, decode_body, parse_http

MAX_STORED_HEADERS = 32 << 10
"""Bytes of the HTTP head that a row keeps."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_TYPE = frozenset({"unk", "unknown", "x-unknown", "unknown/unknown", "application/unknown", "application/x-unknown"})
_HTML = re.compile(
    rb"[\s\xef\xbb\xbf]{0,1024}<(?:!doctype[\s]{1,8}html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|"
    rb"br|p|meta|!--)(?:[\s>]|(?<=--))",
    re.IGNORECASE,
)


@dataclass(slots=True, frozen=True)
class Limits:
    """What a page must be: `statuses` and `mimes` allowed, at most `cap` bytes decoded."""

    statuses: frozenset[int]
    mimes: frozenset[str]
    cap: int


@dataclass(slots=True)
class Page:
    """The columns of a row that come from the record itself. `html` is None exactly when `drop_reason` is set.

    `fetched_at`: microseconds since 1970, UTC. `payload_digest`: the header's; where there is none, that of a page that is
    used is `payload_sha1`.
    """

    id: str | None
    url: str | None
    fetched_at: int | None
    payload_digest: str | None
    http_status: int | None = None
    mime: str | None = None
    http_headers: str | None = None
    charset: str | None = None
    html: bytes | None = None
    drop_reason: str | None = None
    drop_detail: str | None = None

    def drop(self, reason: str, detail: str) -> Page:
        """Make it a tombstone."""
        self.drop_reason, self.drop_detail = reason, detail
        return self


def page_of(record: Record, limits: Limits) -> Page:
    """The page of a response or ARC record.

    Checks, in order: cut block, HTTP head, status, media type, WARC-Truncated, size, missing bytes, empty body, content
    coding, charset. A response without an HTTP head whose block begins like HTML is a page without status and headers.
    """
    head = record.head
    page = Page(_record_id(head), _url(head), microseconds(head.text(b"warc-date")), head.text(b"warc-payload-digest"))
    http = parse_http(record.block)
    if http is not None:
        page.http_status = http.status
        raw = record.block[: min(http.size, MAX_STORED_HEADERS)].strip()
        page.http_headers = storable(raw.decode("latin-1"))
    page.mime = _stated_type(head, http)
    if record.cut is not None:
        return page.drop("truncated", f"record block: {record.cut}")
    if http is None and (not record.block or not _HTML.match(record.block)):
        return page.drop("no_http", _describe(head, record.block))
    if http is not None and http.status not in limits.statuses:
        return page.drop("http_status", f"{http.status} not in {sorted(limits.statuses)}")
    if page.mime is not None and page.mime not in limits.mimes:
        return page.drop("not_html", f"{page.mime[:100]} not in {sorted(limits.mimes)}")
    truncated = head.text(b"warc-truncated")
    if truncated:
        return page.drop("truncated", f"WARC-Truncated: {truncated[:100]}")
    return _decode(page, record, http, limits)


def _decode(page: Page, record: Record, http: HttpHead | None, limits: Limits) -> Page:
    """The second half of `page_of`: the body."""
    if record.oversize:
        return page.drop("too_large", f"record block of {record.head.length} bytes > {limits.cap}")
    body = record.block[http.size :] if http else record.block
    charset = None
    if http is not None:
        charset = http.charset
        if http.chunked:
            body = dechunk(body)
        elif http.length is not None and http.length > limits.cap:
            return page.drop("too_large", f"Content-Length {http.length} > {limits.cap}")
        elif http.length is not None and len(body) < http.length:
            return page.drop("truncated", f"{len(body)} bytes of Content-Length {http.length}")
    decoded = decode_body(body, http.codings if http else (), limits.cap)
    if isinstance(decoded, Broken):
        return page.drop(decoded.reason, decoded.detail)
    if not decoded:
        return page.drop("empty_payload", "0 bytes")
    if page.mime is None:
        if not _HTML.match(decoded):
            return page.drop("not_html", f"no media type, and {bytes(decoded[:24])!r} does not begin like HTML")
        page.mime = "text/html"
    text = to_utf8(decoded, charset)
    if isinstance(text, str):
        return page.drop("undecodable", text)
    page.html, page.charset = text
    if not page.html:
        page.html, page.charset = None, None
        return page.drop("empty_payload", f"{len(decoded)} bytes of byte order mark")
    if page.payload_digest is None:
        page.payload_digest = payload_sha1(body)
    return page


def payload_sha1(body: bytes) -> str:
    """The digest of a payload (chunks joined, content codings as they are) in the form that WARC files use."""
    digest = hashlib.sha1(body, usedforsecurity=False).digest()
    return f"sha1:{base64.b32encode(digest).decode()}"


def _stated_type(head: Head, http: HttpHead | None) -> str | None:
    """The media type by Content-Type, else by WARC-Identified-Payload-Type, else None: the first bytes will tell.

    Without an HTTP head only the first bytes count: crawlers' guesses for bare blocks are worthless.
    """
    if http is None:
        return None
    identified = (head.text(b"warc-identified-payload-type") or "").lower().split(";", 1)[0].strip()
    for stated in (http.content_type, identified):
        if "/" in stated and stated not in _NO_TYPE:
            return storable(stated[:200])
    return None


def _describe(head: Head, block: bytes) -> str:
    stated = head.text(b"content-type") or "none"
    return f"no HTTP head; record Content-Type {stated[:100]}, first bytes {bytes(block[:24])!r}"


def _record_id(head: Head) -> str | None:
    text = head.text(b"warc-record-id")
    return text.strip("<>").strip() or None if text else None


def _url(head: Head) -> str | None:
    text = head.text(b"warc-target-uri")
    return text.strip("<>").strip() or None if text else None


def microseconds(date: str | None) -> int | None:
    """A WARC date (ISO 8601) or an ARC date (14 digits) as microseconds since 1970 UTC; None when it is no date."""
    if not date:
        return None
    try:
        if date.isascii() and date.isdigit():
            moment = datetime.strptime(date[:14], "%Y%m%d%H%M%S")
        else:
            moment = datetime.fromisoformat(date)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return (moment - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None
