"""Make an index of near-duplicates from a finished run: its sketches and its verdict, and what was in the run's own index.

What is resident: 44 bytes a document of the run (its number, member, survivor, that one's sketch, sizes), and the records
of one range of keys. Texts are not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from curation.dedup.bands import INDEXED, key_range
from curation.dedup.index import RECORD, Index, IndexWriter, Kind, Manifest, Snapshot, kind_of, open_index, probe, slices_for
from curation.dedup.signatures import Family
from curation.dedup.survivors import rank_columns
from curation.errors import DamagedPart, StorageError, explain_mismatch
from curation.inspect.shards import by_shard
from curation.parts import open_parquet, read_group
from curation.plan import PartRef
from curation.records import TABLES
from curation.slices import read_slice
from curation.storage import Folder

STAGE = "dedup/minhash"

MEMBER = {
    "member": pl.UInt64(), "doc": pl.UInt64(), "id": pl.String(), "url": pl.String(), "source": pl.String(),
    "kept": pl.UInt64(), "size": pl.UInt32(),
}  # fmt: skip
"""Columns of the table of members: `kept` is the member that stayed of its cluster, `size` the size of that cluster."""


def build(out: str, target: str, *, stage: str = "", name: str = "", options: Mapping[str, object] | None = None) -> Manifest:
    """Make the index `target` from the run in `out`: of its stage dedup/minhash, the one labelled `stage` where it has
    several. `name`: of the snapshot; by default the documents' only source, or the name of the folder.

    A run against an index becomes an index of both. Raises StorageError when the run is not finished or its work is gone.
    """
    run = _open_run(out, stage, options)
    writer = IndexWriter(target, options or {})
    older = run.older()
    first = older.manifest.documents if older else 0
    known = _Members.of(run, first, older)
    documents = first + len(known.doc)
    ranges = slices_for(documents, run.ranges)
    for band in range(run.settings["bands"]):
        slices = _band(run, known, older, band, ranges)
        writer.band(slices, ranges, small=documents < 1 << 32)
    if older:
        for file in older.manifest.members:
            writer.members(lambda out_, file=file: _rewrite(older, file.file, out_, known.sizes))  # type: ignore[misc]
    sources: set[str | None] = set()
    writer.members(lambda out_: _write_members(run, known, out_, sources))
    only = next(iter(sources)) if len(sources) == 1 else None
    snapshot = Snapshot(
        name or only or PurePath(out.rstrip("/")).name, first, len(known.doc), int((known.kept == known.member).sum()),
        run.settings["keep"], run.settings["min_jaccard"], run.facts["fingerprint"], run.facts["recipe_fingerprint"],
        {"curation": run.facts["curation"], **run.facts["stages"][run.label].get("libraries", {})},
    )  # fmt: skip
    return writer.commit(Manifest(run.kind(), ranges, (*(older.manifest.snapshots if older else ()), snapshot)))


# -- the run


@dataclass(frozen=True)
class _Run:
    """A finished run: its folder, the label and settings of the stage, what recipe.yaml says of the run, the report of the
    stage, and where its sketches and its verdict lie."""

    folder: Folder
    label: str
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    report: Mapping[str, Any]
    sketches: tuple[PartRef, ...]
    verdict: tuple[PartRef, ...]

    @property
    def ranges(self) -> int:
        return self.sketches[0].slices // self.settings["bands"]

    def kind(self) -> Kind:
        family = Family(**{n: self.settings[n] for n in ("mode", "hash", "bands", "rows", "ngram", "seed", "tokenizer")})
        plain = kind_of(family, self.settings["scope"], self.settings["short_documents"])
        return Kind(plain.family, plain.scope, plain.short_documents, probe(family))

    def older(self) -> Index | None:
        """The index the run was held against, which must still be that one."""
        path = self.settings["index"]
        if path is None:
            return None
        index = open_index(path)
        if index.sha256 != self.report.get("index"):
            raise StorageError(
                explain_mismatch(
                    f"the index {path} is not the one the run was held against",
                    wanted=f"a manifest with sha256 {self.report.get('index')}",
                    found=index.sha256,
                    hint="put that index back there, or run the recipe again with this one",
                )
            )
        return index

    def records(self, number: int) -> pl.DataFrame:
        """The band records of a partition, of all shards."""
        frames = [frame for part in self.sketches if (frame := self._slice(part, number)) is not None]
        return pl.concat(frames) if frames else pl.DataFrame(schema={"doc": pl.UInt64})

    def verdicts(self) -> pl.DataFrame:
        frames = [f for part in self.verdict for n in range(part.slices) if (f := self._slice(part, n)) is not None]
        schema = {"doc": pl.UInt64, "kept": pl.UInt64, "cluster_size": pl.Int32}
        return pl.concat([pl.DataFrame(schema=schema), *(frame.select(*schema) for frame in frames)])

    def _slice(self, part: PartRef, number: int) -> pl.DataFrame | None:
        try:
            return read_slice(self.folder, part, number)
        except (DamagedPart, OSError) as error:
            why = error.where if isinstance(error, DamagedPart) else error.strerror or str(error)
            hint = "run the recipe into that folder again: what is missing or damaged is done again"
            subject = "a data file of the run cannot be used"
            raise StorageError(explain_mismatch(subject, wanted=f"{part.file} as written", found=why, hint=hint)) from error


def _open_run(out: str, label: str, options: Mapping[str, object] | None) -> _Run:
    folder = Folder(out, dict(options or {}))
    again = "run the same recipe into that folder again: finished units are kept; then build the index before `curation clean`"
    try:
        recipe = yaml.safe_load(folder.read("recipe.yaml"))
        census = json.loads(folder.read("census.json"))
        tables = json.loads(folder.read(TABLES))
    except OSError as error:
        wanted = "recipe.yaml, census.json and work/ of a finished run"
        found = f"no {str(error.filename or error).rsplit('/', 1)[-1]}"
        message = explain_mismatch(f"no index can be made of {out}", wanted=wanted, found=found, hint=again)
        raise StorageError(message) from error
    stages = {entry["label"]: entry for entry in recipe["stages"] if entry["stage"] == STAGE}
    if (label and label not in stages) or (not label and len(stages) != 1):
        wanted = f"--stage with one of: {', '.join(stages)}" if stages else f"a recipe with {STAGE}"
        raise StorageError(explain_mismatch("which stage to make the index of?", wanted=wanted, found=label or "none given"))
    label = label or next(iter(stages))
    settings = stages[label]
    if not settings["drop"]:
        raise StorageError(
            explain_mismatch("no index can be made of a stage that drops nothing", wanted="drop: true", found=label)
        )
    parts = {name: tuple(PartRef(**{**p, "columns": tuple(p["columns"])}) for p in ps) for name, ps in tables[label].items()}
    report = census.get("reports", {}).get(label, {})
    return _Run(folder, label, settings, recipe["run"], report, parts["sketch"], parts["verdict"])


# -- members


@dataclass(frozen=True)
class _Members:
    """The documents of a run by `doc`: number in the index, that of its survivor, the survivor's sketch, and the size of
    its cluster; and `sizes`, the new size of clusters of older members (kept, new_size)."""

    doc: np.ndarray
    member: np.ndarray
    kept: np.ndarray
    low: np.ndarray
    high: np.ndarray
    size: np.ndarray
    sizes: pl.DataFrame

    @staticmethod
    def of(run: _Run, first: int, older: Index | None) -> _Members:
        """Numbered from `first` in survivor order."""
        ranked = rank_columns(run.settings["keep"])
        wanted = ("doc", "low", "high", *ranked, "weight")
        frames = [run.records(number) for number in range(run.ranges)]  # each document has a record in the first band
        rows = pl.concat([f.select(c for c in wanted if c in f.columns) for f in frames if f.height] or [_NOTHING])
        weight = pl.col("weight") if "weight" in rows.columns else pl.lit(1, pl.UInt64)
        rows = (
            rows.sort(*(r for r in ranked if r in rows.columns), "doc")
            .with_columns(pl.int_range(first, first + pl.len(), dtype=pl.UInt64).alias("member"), weight.alias("weight"))
            .join(run.verdicts(), on="doc", how="left", maintain_order="left")
        )
        verdict_kept = pl.coalesce("kept", "doc")
        in_older = (pl.col("kept") >= _BIT).fill_null(False) if older else pl.lit(False)
        own = rows.select(pl.col("doc").alias("kept_doc"), *(pl.col(n).alias(f"kept_{n}") for n in ("member", "low", "high")))
        rows = rows.with_columns(
            pl.when(in_older).then(None).otherwise(verdict_kept).alias("kept_doc"),
            pl.when(in_older).then(pl.col("kept") - _BIT).otherwise(None).alias("older"),
            pl.coalesce(pl.col("cluster_size").cast(pl.UInt64), "weight").cast(pl.UInt32).alias("size"),
        ).join(own, on="kept_doc", how="left", maintain_order="left")
        touched = (
            rows.drop_nulls("older").group_by("older").agg(pl.col("size").max().alias("new_size")).rename({"older": "kept"})
        )
        if older and touched.height:
            rows = _with_older(rows, older, touched)
        rows = rows.sort("doc")
        doc, member, kept, low, high, size = (
            rows[name].to_numpy() for name in ("doc", "member", "kept_member", "kept_low", "kept_high", "size")
        )
        return _Members(doc, member, kept, low, high, size, touched)

    def records(self, records: pl.DataFrame) -> pl.DataFrame:
        """Band records of the index (RECORD) from those of the run."""
        at = np.searchsorted(self.doc, records["doc"].to_numpy())
        is_dropped = self.kept[at] != self.member[at]
        columns = {"kept": self.kept, "kept_low": self.low, "kept_high": self.high}
        dropped = [pl.Series(n, np.where(is_dropped, values[at], np.uint64(0))) for n, values in columns.items()]
        return (
            records.select("key", "low", "high")
            .with_columns(pl.Series("member", self.member[at]), pl.Series("size", self.size[at]), *dropped)
            .with_columns(pl.when(pl.Series(is_dropped)).then("kept").otherwise(None).alias("kept"))
            .select(*RECORD)
        )


_BIT = pl.lit(INDEXED, dtype=pl.UInt64)
_NOTHING = pl.DataFrame(schema=dict.fromkeys(("doc", "low", "high"), pl.UInt64))


def _with_older(rows: pl.DataFrame, older: Index, touched: pl.DataFrame) -> pl.DataFrame:
    """Rows whose survivor is an older member, with its number and sketch, which its record in the first band has."""
    ranges = older.manifest.ranges
    found = pl.concat(
        older.read(0, number, ranges).join(touched, left_on="member", right_on="kept", how="semi") for number in range(ranges)
    ).select(pl.col("member").alias("older"), pl.col("low").alias("older_low"), pl.col("high").alias("older_high"))
    return rows.join(found, on="older", how="left", maintain_order="left").with_columns(
        pl.coalesce("older", "kept_member").alias("kept_member"),
        pl.coalesce("older_low", "kept_low").alias("kept_low"),
        pl.coalesce("older_high", "kept_high").alias("kept_high"),
    )


def _band(run: _Run, known: _Members, older: Index | None, band: int, ranges: int) -> Iterator[pl.DataFrame]:
    """The records of a band for each of `ranges`, a multiple of the run's."""
    each = ranges // run.ranges
    for number in range(run.ranges):
        records = run.records(band * run.ranges + number)
        new = known.records(records) if records.height else pl.DataFrame(schema=RECORD)
        place = key_range(new["key"].to_numpy(), ranges)
        for slice_ in range(number * each, (number + 1) * each):
            own = new.filter(pl.Series(place == slice_, dtype=pl.Boolean))
            yield pl.concat([resized(older.read(band, slice_, ranges), known.sizes), own]) if older else own


def resized(rows: pl.DataFrame, sizes: pl.DataFrame) -> pl.DataFrame:
    """Records or members with the new `size` of the clusters that have one."""
    if sizes.is_empty():
        return rows
    met = rows.with_columns(pl.coalesce("kept", "member").alias("survivor"))
    met = met.join(sizes.rename({"kept": "survivor"}), on="survivor", how="left", maintain_order="left")
    return met.with_columns(pl.coalesce("new_size", "size").alias("size")).select(rows.columns)


def members_schema() -> pa.Schema:
    """MEMBER as Arrow types."""
    return pl.DataFrame(schema=MEMBER).to_arrow(compat_level=pl.CompatLevel.oldest()).schema


def members_writer(out: BinaryIO) -> pq.ParquetWriter:
    """A table of members, its pages with checksums."""
    return pq.ParquetWriter(out, members_schema(), compression="zstd", write_page_checksum=True)


def member_frames(index: Index, file: str) -> Iterator[pl.DataFrame]:
    """The row groups of a table of members."""
    with index.folder.open(file) as stream:
        table = open_parquet(stream)
        for group in range(table.num_row_groups):
            yield read_group(table, group).cast(MEMBER)  # type: ignore[arg-type]


def _rewrite(older: Index, file: str, out: BinaryIO, sizes: pl.DataFrame) -> None:
    with members_writer(out) as writer:
        for rows in member_frames(older, file):
            writer.write_table(arrow_of(resized(rows, sizes)))


def arrow_of(rows: pl.DataFrame) -> pa.Table:
    """Members as Arrow rows of their table."""
    return rows.select(*MEMBER).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(members_schema())


def _write_members(run: _Run, known: _Members, out: BinaryIO, sources: set[str | None]) -> None:
    """The documents of the run that were sketched, in the order of its shards; every one must be met."""
    written = 0
    with members_writer(out) as writer:
        for rows in by_shard(run.folder.url, ["doc", "id", "url", "source"], run.folder.options):
            at = np.searchsorted(known.doc, rows["doc"].to_numpy())
            there = at < len(known.doc)
            there[there] = known.doc[at[there]] == rows["doc"].to_numpy()[there]
            rows, at = rows.filter(pl.Series(there)).sort("doc"), np.sort(at[there])
            kept = known.kept[at]
            table = rows.with_columns(
                pl.Series("member", known.member[at]), pl.Series("kept", kept), pl.Series("size", known.size[at])
            )
            writer.write_table(arrow_of(table))
            sources.update(rows["source"].unique().to_list())
            written += rows.height
    if written != len(known.doc):
        raise StorageError(
            explain_mismatch(
                "shards and sketches of the run are not of the same documents",
                wanted=f"{len(known.doc)} documents that were sketched",
                found=written,
                hint="run the recipe into that folder again: finished units are kept",
            )
        )
