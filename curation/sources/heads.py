"""Record heads of web archives: what a WARC header or an ARC line says, and how to recognise one in raw bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_HEAD = 1 << 20
"""Longest record head that is read, bytes; a longer one is damage (real heads are below 20 kB)."""

MAX_ARC_LINE = 16 << 10
"""Longest ARC record line that is read, bytes."""

KINDS = frozenset({"warcinfo", "response", "resource", "request", "metadata", "revisit", "conversion", "continuation"})
"""Record kinds of WARC 1.1; any other WARC-Type counts as `unknown`, so that hostile names cannot fill the census."""

_BLANK = re.compile(rb"\n\r?\n")
_FIELD = re.compile(
    rb"^(warc-type|warc-record-id|warc-target-uri|warc-date|warc-payload-digest|warc-truncated|"
    rb"warc-identified-payload-type|content-type|content-length)[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_ARC_LINE = re.compile(
    rb"([A-Za-z][A-Za-z0-9+.\-]*:[^\r\n]*?) ([0-9a-fA-F.:]{3,45}) ([0-9]{12,18}) "
    rb"(?:([^\r\n]{0,512}) )?([0-9]{1,15})[ \t]*\r?\n"
)
_ARC_VERSION = re.compile(rb"filedesc:[^\r\n]*\r?\n")


@dataclass(slots=True, frozen=True)
class Head:
    """A record's head. `size`: its bytes, blank line included; `length`: declared bytes of the block after it.

    `fields`: lower-case names of the fields this package uses -> raw values, first of repeated ones.
    """

    kind: str
    length: int
    size: int
    fields: dict[bytes, bytes] = field(default_factory=dict)

    def text(self, name: bytes) -> str | None:
        """A field as text (UTF-8, else latin-1), folded lines joined; None when missing or empty."""
        raw = self.fields.get(name)
        if not raw:
            return None
        if b"\n" in raw:
            raw = b" ".join(raw.split())
        try:
            return raw.decode("utf-8").strip() or None
        except UnicodeDecodeError:
            return raw.decode("latin-1").strip() or None


class Incomplete(Exception):
    """The bytes end inside what may be a head; more bytes would tell."""


def parse_warc_head(data: bytes) -> Head | None:
    """The WARC head at the start of `data`, or None when there is none.

    A head is `WARC/` (in any case), a blank line within MAX_HEAD and a decimal Content-Length of at most 18 digits.
    Raises Incomplete.
    """
    if data[:5].upper() != b"WARC/":
        if len(data) < 5 and b"WARC/".startswith(data.upper()):
            raise Incomplete
        return None
    blank = _BLANK.search(data, 0, MAX_HEAD)
    if blank is None:
        if len(data) < MAX_HEAD:
            raise Incomplete
        return None
    fields: dict[bytes, bytes] = {}
    for match in _FIELD.finditer(data, 0, blank.end()):
        fields.setdefault(match[1].lower(), match[2].strip())
    length = fields.get(b"content-length", b"")
    if not length.isdigit() or len(length) > 18:
        return None
    kind = fields.get(b"warc-type", b"").decode("latin-1").lower()
    return Head(kind if kind in KINDS else "unknown", int(length), blank.end(), fields)


def parse_arc_head(data: bytes) -> Head | None:
    """The ARC 1.0 record line at the start of `data` (URL, IP, date, mime, length), or None. Raises Incomplete."""
    line_end = data.find(b"\n", 0, MAX_ARC_LINE)
    if line_end < 0:
        if len(data) < MAX_ARC_LINE and re.match(rb"[A-Za-z][A-Za-z0-9+.\-]{0,30}:", data):
            raise Incomplete
        return None
    match = _ARC_LINE.fullmatch(data, 0, line_end + 1)
    if match is None:
        return _parse_version_block(data)
    url, _, date, mime, length = match.groups()
    mime = mime or b""
    kind = "warcinfo" if url.startswith(b"filedesc:") else "response"
    fields = {b"warc-target-uri": url, b"warc-date": date, b"warc-identified-payload-type": mime}
    return Head(kind, int(length), match.end(), fields)


def _parse_version_block(data: bytes) -> Head | None:
    """A `filedesc:` record whose length is no number (seen: `-1`, `one`, `-`): it ends at its first blank line."""
    line = _ARC_VERSION.match(data)
    blank = _BLANK.search(data, line.end(), 4096) if line else None
    return Head("warcinfo", blank.start() + 1 - line.end(), line.end()) if line and blank else None


@dataclass(frozen=True)
class Dialect:
    """WARC or ARC: how a head is read, what a line that may begin one looks like, and what must follow a block."""

    name: str
    parse: Callable[[bytes], Head | None]
    mark: re.Pattern[bytes]
    ending: re.Pattern[bytes]
    most_head: int

    def plausible(self, head: Head | None) -> bool:
        """Whether a head found by searching may be one: a WARC head must also say its type."""
        return head is not None and (self.name == "arc" or bool(head.fields.get(b"warc-type")))


_WARC_MARK = re.compile(rb"^[Ww][Aa][Rr][Cc]/[0-9]", re.MULTILINE)
_ARC_MARK = re.compile(
    rb"^[A-Za-z][A-Za-z0-9+.\-]{0,30}:[^\r\n]{0,4096} [0-9]{12,18} (?:[^\r\n]{0,512} )?[0-9]+[ \t]*\r?$", re.MULTILINE
)
WARC = Dialect("warc", parse_warc_head, _WARC_MARK, re.compile(rb"\r?\n\r?\n"), MAX_HEAD)
ARC = Dialect("arc", parse_arc_head, _ARC_MARK, re.compile(rb"\r?\n"), MAX_ARC_LINE)
