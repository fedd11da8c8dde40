"""A few documents of a run, kept or dropped, as text."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from curation.inspect.shards import select
from curation.printable import printable, shorten
from curation.sampling import hash_documents


def peek(
    out: str,
    *,
    number: int = 5,
    fallen: bool = False,
    reason: str | None = None,
    language: str | None = None,
    characters: int = 400,
    options: Mapping[str, object] | None = None,
) -> str:
    """`number` documents chosen evenly by a hash of `doc`, the same every time.

    fallen: tombstones instead of kept documents; reason: only `stage:reason` or `reason`; characters: of text shown.
    """
    total = 0

    def choose(frame: pl.DataFrame) -> pl.DataFrame:
        nonlocal total
        if reason:
            stage, _, name = reason.rpartition(":")
            frame = frame.filter(pl.col("drop_reason") == name)
            frame = frame.filter(pl.col("drop_stage") == stage) if stage else frame
        if language and "language" in frame.columns:
            frame = frame.filter(pl.col("language") == language)
        total = frame.height
        ranked = frame.with_columns(pl.Series("_rank", hash_documents(frame["doc"].to_numpy())))
        return ranked.sort("_rank").head(number).sort("doc")

    kind = "dropped" if fallen or reason else "documents"
    shown = select(out, kind, ["drop_stage", "drop_reason", "language"], choose, options)
    lines = [f"{shown.height} of {total}"]
    for row in shown.iter_rows(named=True):
        lines += ["", *_card(row, characters)]
    return "\n".join(lines)


def _card(row: Mapping, characters: int) -> list[str]:
    head = f"── doc {row['doc']}  {printable(str(row.get('url') or row.get('id') or ''))}"
    facts = [str(row[name]) for name in ("language", "charset", "http_status") if row.get(name) is not None]
    lines = [head, f"   {' · '.join(facts)}" if facts else ""]
    if row.get("drop_stage"):
        lines.append(f"   fell at {row['drop_stage']}: {row['drop_reason']} ({printable(str(row['drop_detail'] or ''))})")
    if row.get("title"):
        lines.append(f"   {shorten(row['title'], 100)}")
    if row.get("text"):
        lines.append(f"   {shorten(row['text'], characters)}")
    return [line for line in lines if line]
