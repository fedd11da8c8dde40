"""One document's life: where it came from, what was measured, where and why it fell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from curation.document import DROP_COLUMNS, HEAVY
from curation.errors import CurationError, explain_mismatch
from curation.inspect.shards import select
from curation.printable import printable, shorten

_PROVENANCE = ("doc", "id", "url", "source", "fetched_at", "warc_path", "warc_offset", "warc_length", "http_status",
               "mime", "charset", "payload_digest")  # fmt: skip


def why(wanted: str, out: str, options: Mapping[str, object] | None = None) -> str:
    """The story of the documents whose `id`, `url` or `doc` is `wanted`, as lines of text.

    Real crawls repeat ids and URLs, so there may be several. Raises CurationError when there is none.
    """
    return "\n\n".join(_story(kind, row, out, options) for kind, row in find(wanted, out, options))


def find(wanted: str, out: str, options: Mapping[str, object] | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The rows of those documents in the order of `doc`, each with `kept` or `dropped`. CurationError when there is none."""
    found = [
        (kind, row)
        for kind, folder in (("kept", "documents"), ("dropped", "dropped"))
        for row in select(out, folder, ["id", "url"], lambda f: _matching(f, wanted), options).iter_rows(named=True)
    ]
    if not found:
        raise CurationError(
            explain_mismatch(
                "no such document in this run",
                wanted="the id, url or doc number of a document",
                found=printable(wanted),
                hint="a page that never came in has no record: see `curation census` for files and broken ranges",
            )  # fmt: skip
        )
    return sorted(found, key=lambda f: f[1]["doc"])


def _matching(frame: pl.DataFrame, wanted: str) -> pl.DataFrame:
    hits = pl.lit(False)
    for name in ("id", "url"):
        if name in frame.columns:
            hits = hits | (pl.col(name) == wanted) | (pl.col(name) == wanted.strip("<>"))
    if wanted.isdigit() and int(wanted) < 1 << 64:
        hits = hits | (pl.col("doc") == pl.lit(int(wanted), dtype=pl.UInt64))
    return frame.filter(hits.fill_null(False))


def _story(kind: str, row: Mapping, out: str, options: Mapping[str, object] | None) -> str:
    lines = [f"{kind}: {printable(str(row.get('url') or row['id']))}"]
    lines += [f"  {name:16} {printable(str(row[name]))}" for name in _PROVENANCE if row.get(name) is not None]
    lines.append("  measured")
    rest = [n for n in row if n not in _PROVENANCE and n not in HEAVY and n not in DROP_COLUMNS and n != "content_id"]
    shown = [f"    {name:30} {_number(row[name])}" for name in rest if row[name] is not None]
    lines += shown or ["    nothing: it fell before anything was measured"]
    unknown = [name for name in rest if row[name] is None]
    if unknown:
        lines.append(f"    unknown (never reached): {', '.join(unknown)}")
    if kind == "dropped":
        lines.append(f"  fell at {row['drop_stage']}: {row['drop_reason']}")
        lines.append(f"    {printable(str(row['drop_detail'] or ''))}")
    twin = row.get("cluster_id")
    if row.get("drop_reason") == "near_duplicate_of_index":
        lines.append("  its twin: see `curation index inspect INDEX --member N`")
    elif kind == "dropped" and twin is not None and twin != row["doc"]:
        kept = select(out, "documents", [], lambda f: f.filter(pl.col("doc") == pl.lit(twin, dtype=pl.UInt64)), options)
        fate = "kept" if kept.height else "it fell later itself"
        url = printable(str(kept["url"][0])) if kept.height else ""
        lines.append(f"  its twin: doc {twin} {url} ({fate})")
    if row.get("text"):
        lines.append(f"  text: {shorten(row['text'], 300)}")
    if row.get("warc_path"):
        lines.append(f"  fetch it again: bytes {row['warc_offset']}+{row['warc_length']} of {printable(str(row['warc_path']))}")
    return "\n".join(lines)


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else printable(str(value))
