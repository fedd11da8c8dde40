"""The HTTP response inside a record: its head, its transfer and content codings, in bounded memory.

Nothing here raises on hostile bytes: what cannot be decoded comes back as a Broken with its reason in words.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import brotli
import pyarrow as pa
from isal import isal_zlib
from isal.igzip_lib import IsalError

MAX_HTTP_HEAD = 1 << 20
"""Longest HTTP head that is read, bytes."""

MAX_CODINGS = 2
"""Nested content codings that are undone."""

_STEP = 256 << 10
_STATUS_LINE = re.compile(rb"HTTP/[0-9](?:\.[0-9])?[ \t]+([0-9]{1,3})(?![0-9])[^\n]{0,65536}\n")
_BLANK = re.compile(rb"\n\r?\n")
_FIELD = re.compile(
    rb"^(content-type|content-length|content-encoding|transfer-encoding)[ \t]*:[ \t]*"
    rb"([^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]{0,1024})?\r?\n")
_LOOKS_PLAIN = re.compile(rb"[\s\xef\xbb\xbf]*<[!?a-zA-Z]")
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(slots=True, frozen=True)
class HttpHead:
    """Status and the fields that matter. `size`: bytes of the head, blank line included; `length`: Content-Length."""

    status: int
    size: int
    content_type: str
    charset: str | None
    length: int | None
    codings: tuple[str, ...]
    chunked: bool


@dataclass(slots=True, frozen=True)
class Broken:
    """A body that cannot be used: `reason` is `undecodable` or `too_large`, `detail` says why with the numbers."""

    reason: str
    detail: str


def parse_http(block: bytes) -> HttpHead | None:
    """The HTTP head at the start of `block`, or None when there is none within MAX_HTTP_HEAD bytes.

    Of repeated fields the last Content-Type that names a type counts, as in browsers; content codings add up.
    """
    status = _STATUS_LINE.match(block)
    if status is None:
        return None
    blank = _BLANK.search(block, status.end() - 1, MAX_HTTP_HEAD)
    if blank is None and len(block) >= MAX_HTTP_HEAD:
        return None
    size = blank.end() if blank else len(block)
    content_type, charset, length, transfer = "", None, None, ""
    codings: list[str] = []
    for match in _FIELD.finditer(block, status.end(), size):
        name, value = match[1].lower(), match[2].decode("latin-1").strip()
        if name == b"content-type":
            if value:
                content_type, charset = split_content_type(value)
        elif name == b"content-length":
            length = int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None
        elif name == b"content-encoding":
            codings += [coding for part in value.lower().split(",") if (coding := part.strip())]
        else:
            transfer = f"{transfer},{value.lower()}"
    used = tuple(coding for coding in codings if coding not in ("identity", "none", "utf-8", "text", "plain"))
    return HttpHead(int(status[1]), size, content_type, charset, length, used, "chunked" in transfer)


_CHARSET = re.compile(r"charset[ \t]*=[ \t]*[\"']?[ \t]*([^\s\"';,]{1,64})", re.IGNORECASE)


def split_content_type(value: str) -> tuple[str, str | None]:
    """The media type, lower-case and without parameters, and the charset parameter of a Content-Type."""
    match = _CHARSET.search(value)
    return value.split(";", 1)[0].split(",", 1)[0].strip().lower(), match[1] if match else None


def dechunk(body: bytes) -> bytes:
    """`body` without its chunked framing. A body that is not chunked is returned as it is; from the first wrong chunk
    length on, the rest is taken as it is, as browsers do."""
    parts: list[bytes] = []
    at = 0
    while match := _CHUNK_SIZE.match(body, at):
        size = int(match[1], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[match.end() : match.end() + size])
        at = match.end() + size
        if at >= len(body):
            return b"".join(parts)
        at += 2 if body.startswith(b"\r\n", at) else 1 if body.startswith(b"\n", at) else 0
    return body if not parts else b"".join([*parts, body[at:]])


def decode_body(body: bytes, codings: tuple[str, ...], cap: int) -> bytes | Broken:
    """`body` with its content codings undone, last one first; at most `cap` bytes are ever made."""
    if len(codings) > MAX_CODINGS:
        return Broken("undecodable", f"{len(codings)} nested content codings, at most {MAX_CODINGS}")
    for coding in reversed(codings):
        decoder = _DECODERS.get(coding)
        if decoder is None:
            if _LOOKS_PLAIN.match(body):
                continue
            return Broken("undecodable", f"unknown content coding {coding[:40]!r}")
        decoded = _collect(decoder(body), coding, body, cap)
        if isinstance(decoded, Broken):
            return decoded
        body = decoded
    return Broken("too_large", f"{len(body)} bytes > {cap}") if len(body) > cap else body


class _Undecodable(Exception):
    """The coded bytes break off or are wrong."""


def _collect(chunks: Iterator[bytes], coding: str, body: bytes, cap: int) -> bytes | Broken:
    parts: list[bytes] = []
    total = 0
    try:
        for chunk in chunks:
            parts.append(chunk)
            total += len(chunk)
            if total > cap:
                return Broken("too_large", f"more than {cap} bytes decoded from {len(body)} of {coding}")
    except _Undecodable as problem:
        # Crawlers often store the decoded body and leave the header: then the bytes are no such coding at all.
        if total == 0 and _LOOKS_PLAIN.match(body):
            return body
        return Broken("undecodable", f"{coding}: {problem} after {total} decoded bytes")
    return b"".join(parts) if len(parts) != 1 else parts[0]


def _gzip(body: bytes) -> Iterator[bytes]:
    """Members one after another; what follows the last is ignored."""
    if not body.startswith(_GZIP_MAGIC):
        if not body:
            return
        raise _Undecodable("no gzip header")
    while body.startswith(_GZIP_MAGIC):
        inflater = isal_zlib.decompressobj(31)
        data = body
        while not inflater.eof:
            try:
                out = inflater.decompress(data, _STEP)
            except IsalError:  # type: ignore[misc]  # its stub calls this exception a value
                raise _Undecodable("damaged data") from None
            if not out and not inflater.eof:
                raise _Undecodable("the data end early")
            yield out
            data = inflater.unconsumed_tail
        body = inflater.unused_data


def _deflate(body: bytes) -> Iterator[bytes]:
    """zlib-wrapped, as the standard says, or raw, as some servers send it."""
    if not body:
        return
    wrapped = len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
    inflater = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
    data = body
    while not inflater.eof:
        try:
            out = inflater.decompress(data, _STEP)
        except zlib.error:
            raise _Undecodable("damaged data") from None
        if not out and not inflater.eof:
            raise _Undecodable("the data end early")
        yield out
        data = inflater.unconsumed_tail


def _brotli(body: bytes) -> Iterator[bytes]:
    if not body:
        return
    decompressor = brotli.Decompressor()
    data = body
    while True:
        try:
            out = decompressor.process(data, output_buffer_limit=_STEP)
        except brotli.error:
            raise _Undecodable("damaged data") from None
        if out:
            yield out
        if decompressor.is_finished():
            return
        if not out and decompressor.can_accept_more_data():
            raise _Undecodable("the data end early")
        data = b""


def _zstd(body: bytes) -> Iterator[bytes]:
    if not body:
        return
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
            while out := stream.read(_STEP):
                yield out
    except (OSError, pa.ArrowInvalid):
        raise _Undecodable("damaged or cut data") from None


_DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
