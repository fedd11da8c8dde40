"""Open the shards and tombstones of a run."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

import polars as pl

from curation.errors import StorageError, explain_mismatch
from curation.parts import to_frame
from curation.storage import Folder

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def documents(out: str, columns: list[str] | None = None, options: Mapping[str, object] | None = None) -> pl.DataFrame:
    """The kept documents of a run as one frame, in document order. `columns`: only these (faster)."""
    return _read(out, "documents", columns, options)


def dropped(out: str, columns: list[str] | None = None, options: Mapping[str, object] | None = None) -> pl.DataFrame:
    """The tombstones of a run as one frame, in document order. `columns`: only these (faster)."""
    return _read(out, "dropped", columns, options)


def _read(out: str, kind: str, columns: list[str] | None, options: Mapping[str, object] | None) -> pl.DataFrame:
    import pyarrow.parquet as pq

    folder = Folder(out, dict(options or {}))
    names = sorted(n for n in folder.names(kind) if n.endswith(".parquet"))
    if not names:
        raise StorageError(
            explain_mismatch(
                "no shards here",
                wanted=f"{out}/{kind}/shard-*.parquet",
                found="none",
                hint="give the --out folder of a finished run",
            )  # fmt: skip
        )
    frames = []
    for name in names:
        with folder.open(f"{kind}/{name}") as stream:
            file = pq.ParquetFile(stream)
            known = [c for c in columns if c in file.schema_arrow.names] if columns else None
            frames.append(to_frame(file.read(columns=known)))
    return pl.concat(frames)


def printable(text: str) -> str:
    """`text` safe for a terminal: ANSI escapes and control characters made visible, bidirectional controls too."""
    text = _ANSI.sub(lambda m: m.group().replace("\x1b", "␛"), text)
    return "".join(c if c in "\n\t" or (unicodedata.category(c) != "Cc" and c not in _BIDI) else f"⟨{ord(c):x}⟩" for c in text)


def shorten(text: str, characters: int) -> str:
    """The first `characters` of a text on one line, with an ellipsis where it goes on."""
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= characters else flat[: characters - 1] + "…"
