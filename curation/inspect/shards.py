"""Open the shards and tombstones of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import polars as pl

from curation.document import COLUMNS, polars_type
from curation.errors import StorageError, explain_mismatch
from curation.parts import open_parquet, read_group, to_frame
from curation.storage import Folder


def documents(out: str, columns: list[str] | None = None, options: Mapping[str, object] | None = None) -> pl.DataFrame:
    """The kept documents of a run as one frame, in document order. `columns`: only these (faster)."""
    return _read(out, "documents", columns, options)


def dropped(out: str, columns: list[str] | None = None, options: Mapping[str, object] | None = None) -> pl.DataFrame:
    """The tombstones of a run as one frame, in document order. `columns`: only these (faster)."""
    return _read(out, "dropped", columns, options)


def by_shard(out: str, columns: list[str], options: Mapping[str, object] | None = None) -> Iterator[pl.DataFrame]:
    """Columns of the documents and tombstones of each shard of a run in turn; one a shard does not have is null."""
    folder = Folder(out, dict(options or {}))
    for names in zip(_names(folder, "documents"), _names(folder, "dropped"), strict=True):
        pair = [_table(folder, f"{kind}/{name}", columns) for kind, name in zip(("documents", "dropped"), names, strict=True)]
        rows = pl.concat(pair, how="diagonal")
        missing = [pl.lit(None, dtype=polars_type(COLUMNS[name])).alias(name) for name in columns if name not in rows.columns]
        yield rows.with_columns(*missing).select(columns)


def columns_of(out: str, kind: str, options: Mapping[str, object] | None = None) -> list[str]:
    """Columns of `documents` or `dropped`, and for documents the scores that were added to the finished run later."""
    folder = Folder(out, dict(options or {}))
    name = _names(folder, kind)[0]
    own = _columns(folder, f"{kind}/{name}")
    return list(dict.fromkeys([*own, *(c for columns in _sides(folder, kind, name).values() for c in columns)]))


def producer_of(out: str, kind: str, column: str, options: Mapping[str, object] | None = None) -> str:
    """What the shards of `documents` or `dropped` say of who wrote a column: `stage@fingerprint`, and its models."""
    folder = Folder(out, dict(options or {}))
    with folder.open(f"{kind}/{_names(folder, kind)[0]}") as stream:
        field = open_parquet(stream).schema_arrow.field(column)
    return (field.metadata or {}).get(b"producer", b"").decode()


def each_shard(out: str, kind: str, columns: list[str], options: Mapping[str, object] | None = None) -> Iterator[pl.DataFrame]:
    """Those of `columns` that each shard of `documents` or `dropped` has, its side files' scores among them."""
    folder = Folder(out, dict(options or {}))
    for name in _names(folder, kind):
        frame = _table(folder, f"{kind}/{name}", columns)
        for place, found in _sides(folder, kind, name).items():
            more = [c for c in found if c in columns and c not in frame.columns]
            side = _table(folder, f"{place}/{name}", more) if more else pl.DataFrame()
            if more and side.height != frame.height:
                hint = "score the finished run again"
                raise StorageError(
                    explain_mismatch(f"{place}/{name}", wanted=f"{frame.height} rows", found=str(side.height), hint=hint)
                )
            frame = frame.hstack(side) if more else frame
        yield frame


def _sides(folder: Folder, kind: str, name: str) -> dict[str, list[str]]:
    """Side files of a shard: their folder -> the score columns there."""
    places = [f"scores/{card}" for card in folder.folders("scores")] if kind == "documents" else []
    found = {place: _columns(folder, f"{place}/{name}") for place in places if folder.exists(f"{place}/{name}")}
    return {place: [c for c in columns if c != "doc"] for place, columns in found.items()}


def _columns(folder: Folder, name: str) -> list[str]:
    with folder.open(name) as stream:
        return list(open_parquet(stream).schema_arrow.names)


def select(
    out: str,
    kind: str,
    light: list[str],
    choose: Callable[[pl.DataFrame], pl.DataFrame],
    options: Mapping[str, object] | None = None,
) -> pl.DataFrame:
    """Whole rows of `documents` or `dropped` that `choose` picks from a frame of `doc` and the `light` columns.

    Only the light columns of all shards are held; whole rows are read from the shards that hold a chosen one.
    """
    folder = Folder(out, dict(options or {}))
    names = _names(folder, kind)
    frames = [
        _table(folder, f"{kind}/{name}", ["doc", *light]).with_columns(pl.lit(i, pl.UInt32).alias("_shard"))
        for i, name in enumerate(names)
    ]
    chosen = choose(pl.concat(frames))
    rows = []
    for (shard,), part in chosen.group_by("_shard", maintain_order=True):
        with folder.open(f"{kind}/{names[int(str(shard))]}") as stream:
            file = open_parquet(stream)
            groups = (read_group(file, group) for group in range(file.num_row_groups))
            rows += [group.join(part.select("doc"), on="doc", how="semi") for group in groups]
    return pl.concat(rows).sort("doc") if rows else _table(folder, f"{kind}/{names[0]}", None).clear()


def _names(folder: Folder, kind: str) -> list[str]:
    names = sorted(n for n in folder.names(kind) if n.endswith(".parquet"))
    if not names:
        raise StorageError(
            explain_mismatch(
                "no shards here",
                wanted=f"{folder.url}/{kind}/shard-*.parquet",
                found="none",
                hint="give the --out folder of a finished run",
            )
        )
    return names


def _table(folder: Folder, name: str, columns: list[str] | None) -> pl.DataFrame:
    with folder.open(name) as stream:
        file = open_parquet(stream)
        known = [c for c in dict.fromkeys(columns) if c in file.schema_arrow.names] if columns else None
        return to_frame(file.read(columns=known, use_threads=False))


def _read(out: str, kind: str, columns: list[str] | None, options: Mapping[str, object] | None) -> pl.DataFrame:
    folder = Folder(out, dict(options or {}))
    return pl.concat(_table(folder, f"{kind}/{name}", columns) for name in _names(folder, kind))
