"""Text from data, made safe for a terminal or a log."""

from __future__ import annotations

import re
import unicodedata

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_USER = re.compile(r"(?<=://)[^/\s@]+@")
_SECRET = re.compile(
    r"([?&](?:x-(?:amz|goog)-[a-z-]+|awsaccesskeyid|googleaccessid|signature|sig|token|access_token|key|secret)=)[^&\s'\"]+",
    re.IGNORECASE,
)


def printable(text: str) -> str:
    """`text` safe for a terminal: ANSI escapes and control characters made visible, bidirectional controls too."""
    if text.isprintable():
        return text
    text = _ANSI.sub(lambda m: m.group().replace("\x1b", "␛"), text)
    return "".join(c if c in "\n\t" or (unicodedata.category(c) != "Cc" and c not in _BIDI) else f"⟨{ord(c):x}⟩" for c in text)


def shorten(text: str, characters: int) -> str:
    """The first `characters` of a text on one line, with an ellipsis where it goes on."""
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= characters else flat[: characters - 1] + "…"


def without_secrets(text: str) -> str:
    """`text` without the user names, passwords and signatures of the addresses in it."""
    if "@" in text:
        text = _USER.sub("…@", text)
    return _SECRET.sub(r"\1…", text) if "=" in text else text
