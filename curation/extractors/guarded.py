"""What every extractor shares: one page at a time under a guard, the page's title, and outcomes turned into columns.

An extractor's file holds its Stage and a module-level function that makes its page function. Only the guard's child
calls that function, so only the child imports the parser.

Source: ours; the layout read by `_views` is Arrow's BinaryView (Columnar Format 1.4).
"""

from __future__ import annotations

import html
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import polars as pl
import pyarrow as pa

from curation.document import COLUMNS, content_id, storable
from curation.guard import REASONS, Guard, Outcome
from curation.stage import Apply, Resources, Stage

PageFields = tuple[bytes | None, str | None, bytes | None]
"""What a page function returns: text (UTF-8), title and content_id."""

PageFunction = Callable[[memoryview], PageFields]
"""Called by the guard's child with each page (UTF-8)."""

BOUNDS = ("timeout_s", "memory_gb")
"""Fields that bound a page; all other fields are options of the page function."""

TITLE_WITHIN = 1 << 18
"""Characters of a page in which its title is looked for. Pages with more than this before the title do exist, but
scanning every page to its end for them would cost more than resiliparse does on small ones."""

# The two letters looked at first are those of every name: most tags are passed over five times as fast.
_HEAD_TAG = re.compile(
    r"<(?=[!bst][-oiectv])(?:(!--)|(title|script|style|svg|textarea)(?=[\s/>])|body(?=[\s/>]))", re.IGNORECASE
)
_VIEW = struct.Struct("<iiii")

_END_TAGS = {
    name: re.compile(f"</{name}(?=[\\s/>])", re.IGNORECASE) for name in ("title", "script", "style", "svg", "textarea")
}


@dataclass(frozen=True)
class GuardedExtractor(Stage):
    """An extractor whose page function runs in a guard's child.

    `timeout_s`: CPU seconds a page may take; a busy machine does not change what that means. `memory_gb`: GiB a page
    may take above what the idle child holds. A page that breaks a bound is tried once more alone.
    """

    timeout_s: float = 5.0
    memory_gb: float = 1.0

    @property
    def page_function(self) -> str:
        """`package.module:function` that makes the page function from the options."""
        raise NotImplementedError(f"{type(self).__name__} must name its page function")

    @property
    def reads(self) -> tuple[str, ...]:
        return ("html",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {name: COLUMNS[name] for name in ("text", "title", "content_id")}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("empty_text", *REASONS)

    @property
    def resources(self) -> Resources:
        return Resources(cpus=1.0, memory_gb=1.0 + self.memory_gb)

    @property
    def stop_shares(self) -> Mapping[str, float]:
        return {"extractor_error": 0.05}

    def bind(self, models: Mapping[str, Path]) -> Apply:
        options = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in (*BOUNDS, "label")}
        return Extraction(Guard(self.page_function, options, self.timeout_s, self.memory_gb))

    def close(self, apply: Apply) -> None:
        if isinstance(apply, Extraction):
            apply.guard.close()


class Extraction:
    """The `apply` of a guarded extractor: holds the guard."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    @property
    def retried(self) -> int:
        """Pages that broke a bound once and passed alone, so far."""
        return self.guard.passed_on_retry

    def __call__(self, batch: pl.DataFrame) -> pl.DataFrame:
        pages = _views(batch["html"]) if batch.height else []
        outcomes = iter(self.guard.map([page for page in pages if page]))
        rows = [_row(page, next(outcomes)) if page else _dropped("empty_text", "no html") for page in pages]
        columns = zip(*rows, strict=True) if rows else ((), (), (), (), ())
        text, title, identity, reason, detail = (list(column) for column in columns)
        return batch.select("doc").with_columns(
            pl.Series("text", text, dtype=pl.Binary).cast(pl.String),
            pl.Series("title", title, dtype=pl.Binary).cast(pl.String),
            pl.Series("content_id", identity, dtype=pl.Binary),
            pl.Series("drop_reason", reason, dtype=pl.String),
            pl.Series("drop_detail", detail, dtype=pl.String),
        )


def _views(column: pl.Series) -> list[memoryview]:
    """The bytes of every row, empty for null, where they lie: no copy of the html is made.

    Reads Arrow's BinaryView layout, which is polars' own: 16 bytes a row, (size, prefix, buffer, offset), or size and
    the bytes themselves up to 12. Measured on pages of 83 KB: 1 µs a page, against 36 to 48 for any copying way.
    """
    array = column.to_arrow(compat_level=pl.CompatLevel.newest())
    if not pa.types.is_binary_view(array.type):
        return [memoryview(page or b"") for page in column.to_list()]
    _, rows, *data = (memoryview(b"" if buffer is None else buffer) for buffer in array.buffers())
    first = _VIEW.size * array.offset
    rows = rows[first : first + _VIEW.size * len(array)]
    pages = [
        data[buffer][offset : offset + size] if size > 12 else rows[_VIEW.size * i + 4 : _VIEW.size * i + 4 + size]
        for i, (size, _, buffer, offset) in enumerate(_VIEW.iter_unpack(rows))
    ]
    if column.null_count():
        pages = [page[:0] if null else page for page, null in zip(pages, column.is_null(), strict=True)]
    return pages


_Row = tuple[bytes | None, bytes | None, bytes | None, str | None, str | None]


def _row(page: memoryview, outcome: Outcome) -> _Row:
    if outcome.value is None:
        return _dropped(outcome.reason or "crashed", outcome.detail or "")
    text, title, identity = outcome.value
    if text is None:
        return _dropped("empty_text", f"no text in {len(page)} bytes of html")
    return text, title, identity, None, None


def _dropped(reason: str, detail: str) -> _Row:
    return None, None, None, reason, detail


def page_fields(text: str | None, page: str) -> PageFields:
    """What a page function returns for `text` extracted from `page`: text, title and content_id.

    All None when the text is empty or white space only. Computed in the child, which has the string at hand.
    """
    if not text or text.isspace():
        return None, None, None
    try:
        data = text.encode()
    except UnicodeEncodeError:
        text = storable(text)
        data = text.encode()
    title = page_title(page)
    return data, title and storable(title), content_id(text)


def page_title(page: str) -> str | None:
    """The content of the first HTML <title>, entities decoded and white space normalised; None when there is none.

    Titles inside comments, scripts, styles and SVG pictures are not the page's. Looks at the first TITLE_WITHIN
    characters and not beyond <body>; linear in them whatever they hold.
    """
    head = page[:TITLE_WITHIN]
    at = 0
    while tag := _HEAD_TAG.search(head, at):
        name = (tag[2] or "").lower()
        if tag[1]:
            at = head.find("-->", tag.end())
        elif not name:
            return None
        else:
            start = head.find(">", tag.end())
            end = _END_TAGS[name].search(head, start) if start >= 0 else None
            if end is None:
                return None
            if name == "title":
                return " ".join(html.unescape(head[start + 1 : end.start()]).split()) or None
            at = end.end()
        if at < 0:
            return None
    return None
