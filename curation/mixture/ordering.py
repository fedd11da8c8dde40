"""Put the rows of a materialised mixture in order: shuffled over the whole, or by quality, in memory that is bounded.

The keys of all rows are sampled for bounds between the shards-to-be; every row goes to the bucket its key falls in, and each
bucket is sorted by itself. What comes out depends on the rows alone. A curriculum wants a loader that does not shuffle.

Source: ours; ascending quality with the best last after "How Learning Rate Decay Wastes Your Best Data in
Curriculum-Based LLM Pretraining" (arXiv:2511.18903).
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import MixtureError, explain_mismatch
from curation.parts import open_parquet, read_group
from curation.sampling import hash_documents
from curation.sinks.parquet import Parquet
from curation.storage import Folder

ORDERED = "ordered"
MANIFEST = "ordered-manifest.parquet"
ORDERS = ("document", "shuffled", "ascending", "descending")

SAMPLED_KEYS = 1 << 20
"""Keys from which bounds are taken, at most about twice as many."""

OPEN_BUCKETS = 256
"""Buckets filled in one pass over the shards; for more, the shards are read again."""


def check_order(order: str, quality: str) -> None:
    """Raise MixtureError unless it is an order, with a quality column exactly where it needs one."""
    if order not in ORDERS:
        raise MixtureError(explain_mismatch("order", wanted=", ".join(ORDERS), found=order))
    if (order in ("ascending", "descending")) != bool(quality):
        wanted = "a column of numbers for ascending and descending, such as score_quality_en, and none for others"
        raise MixtureError(explain_mismatch(f"order {order}: quality", wanted=wanted, found=quality or "none"))


def arrange(folder: Folder, order: str, quality: str, seed: int, target_mb: float) -> str:
    """Write the rows of `documents` in another order into the folder `ordered`, with a manifest; returns its name.

    A null or NaN quality counts as the least. Copies of a document are spread by their own hashes; among equals of quality the
    hash decides too.
    """
    check_order(order, quality)
    shards = sorted(f"documents/{name}" for name in folder.names("documents") if name.endswith(".parquet"))
    keys = _Keys(order, quality, seed)
    keys.check(folder, shards[0])
    bounds = _bounds(folder, shards, keys, target_mb * 1e6)
    folder.delete_folder(ORDERED)
    folder.make(ORDERED)
    rows = []
    for first in range(0, len(bounds) + 1, OPEN_BUCKETS):
        wanted = range(first, min(first + OPEN_BUCKETS, len(bounds) + 1))
        with tempfile.TemporaryDirectory(prefix="curation-order-") as scratch:
            schema = _fill_buckets(folder, shards, keys, bounds, wanted, Path(scratch))
            rows += [_write_shard(folder, keys, schema, Path(scratch), number) for number in wanted]
    table = pa.Table.from_pylist(rows)
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    folder.replace(MANIFEST, out.getvalue())
    return ORDERED


class _Keys:
    """The place of a row in the order: `major` (uint32, the quality), `minor` (uint64, a hash), then `doc` and `copy`."""

    def __init__(self, order: str, quality: str, seed: int) -> None:
        self.quality = quality
        self.columns = [name for name in ("doc", "stat_text_bytes", quality) if name]
        self._descending = order == "descending"
        self._salt = hash_documents(np.array([seed], np.uint64))

    def check(self, folder: Folder, shard: str) -> None:
        """Raise MixtureError unless the shards have the quality column."""
        with folder.open(shard) as stream:
            schema = open_parquet(stream).schema_arrow
        kind = schema.field(self.quality).type if self.quality in schema.names else None
        if self.quality and not (kind is not None and (pa.types.is_integer(kind) or pa.types.is_floating(kind))):
            found = str(kind) if kind else ", ".join(schema.names)
            raise MixtureError(explain_mismatch(f"quality {self.quality}", wanted="a column of numbers", found=found))

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The keys of all rows of a shard, in its order, with `bucket_key`, which orders as the first 64 bits of them do."""
        copy = rows.select((pl.col("doc").cum_count().over("doc") - 1).cast(pl.UInt64).alias("copy"))["copy"]
        docs = rows["doc"].to_numpy()
        minor = hash_documents(hash_documents(docs ^ self._salt) + copy.to_numpy())
        major = self._major(rows) if self.quality else np.zeros(rows.height, np.uint32)
        bucket_key = major.astype(np.uint64) << np.uint64(32) | minor >> np.uint64(32)
        if not self.quality:
            bucket_key = minor
        made = {"major": major, "minor": minor, "doc": docs, "copy": copy, "bucket_key": bucket_key}
        return pl.DataFrame(made).with_columns(rows["stat_text_bytes"].cast(pl.Int64).fill_null(0))

    def _major(self, rows: pl.DataFrame) -> np.ndarray:
        values = rows[self.quality].cast(pl.Float32).fill_null(float("nan")).to_numpy() + np.float32(0)
        bits = values.view(np.uint32)
        ordered = np.where(bits >> np.uint32(31) == 1, ~bits, bits | np.uint32(1 << 31))
        if self._descending:
            ordered = ~ordered
        return np.where(np.isnan(values), np.uint32(0xFFFFFFFF if self._descending else 0), ordered).astype(np.uint32)


def _keys_of(folder: Folder, shard: str, keys: _Keys) -> pl.DataFrame:
    with folder.open(shard) as stream:
        file = open_parquet(stream)
        groups = [read_group(file, i, keys.columns) for i in range(file.num_row_groups)]
    return keys.of(pl.concat(groups)) if groups else pl.DataFrame()


def _bounds(folder: Folder, shards: list[str], keys: _Keys, target: float) -> np.ndarray:
    """The first key of every bucket but the first: buckets of about as many text bytes, from a sample by hash."""
    total = 0
    rate = 0
    held: list[pl.DataFrame] = []
    for shard in shards:
        found = _keys_of(folder, shard, keys)
        if not found.height:
            continue
        total += int(found["stat_text_bytes"].sum())
        held.append(_sampled(found.select("bucket_key", "minor", "stat_text_bytes"), rate))
        while sum(frame.height for frame in held) > 2 * SAMPLED_KEYS:
            rate += 1
            held = [_sampled(frame, rate) for frame in held]
    buckets = max(1, int(-(-total // max(1, int(target)))))
    if buckets == 1 or not held:
        return np.zeros(0, np.uint64)
    sample = pl.concat(held).sort("bucket_key")
    sizes = sample["stat_text_bytes"].cum_sum().to_numpy()
    edges = sizes[-1] * np.arange(1, buckets) / buckets
    return np.unique(sample["bucket_key"].to_numpy()[np.searchsorted(sizes, edges, side="left")])


def _sampled(frame: pl.DataFrame, rate: int) -> pl.DataFrame:
    """One row in 2**rate, by hash: the same ones whatever was sampled before."""
    chosen = hash_documents(frame["minor"].to_numpy()) & np.uint64((1 << rate) - 1) == 0
    return frame.filter(pl.Series(chosen))


def _fill_buckets(
    folder: Folder, shards: list[str], keys: _Keys, bounds: np.ndarray, wanted: range, scratch: Path
) -> pa.Schema:
    """Append every row of the wanted buckets to its bucket's file, with its keys; returns the schema of the shards."""
    writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    schema: pa.Schema | None = None
    try:
        for shard in shards:
            places = _keys_of(folder, shard, keys)
            with folder.open(shard) as stream:
                file = open_parquet(stream)
                schema = schema or file.schema_arrow
                first = 0
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group, use_threads=False)
                    own = places[first : first + rows.num_rows]
                    first += rows.num_rows
                    numbers = np.searchsorted(bounds, own["bucket_key"].to_numpy(), side="right")
                    for name in ("major", "minor", "copy"):
                        rows = rows.append_column(f"_{name}", own[name].to_arrow())
                    for number in np.unique(numbers).tolist():
                        if number not in wanted:
                            continue
                        taken = rows.take(pa.array(np.flatnonzero(numbers == number)))
                        if number not in writers:
                            writers[number] = pa.ipc.new_stream(scratch / f"{number}", taken.schema, options=options)
                        writers[number].write_table(taken)
    finally:
        for writer in writers.values():
            writer.close()
    assert schema is not None
    return schema


def _write_shard(folder: Folder, keys: _Keys, schema: pa.Schema, scratch: Path, number: int) -> dict[str, object]:
    """Sort a bucket and write it as a shard; its line of the manifest."""
    path = scratch / f"{number}"
    rows = schema.empty_table()
    if path.exists():
        with pa.ipc.open_stream(path) as stream:
            found = stream.read_all()
        rows = found.sort_by([("_major", "ascending"), ("_minor", "ascending"), ("doc", "ascending"), ("_copy", "ascending")])
        rows = rows.drop_columns(["_major", "_minor", "_copy"]).cast(schema)
    file = f"{ORDERED}/shard-{number:05d}.parquet"
    written = folder.write(file, lambda out: Parquet().write([rows], out, {}))
    column = rows.column(keys.quality).to_pylist() if keys.quality else []
    known = [value for value in column if value is not None and value == value]
    return {
        "file": file, "rows": rows.num_rows, "bytes": written.bytes, "sha256": written.sha256,
        "least_quality": float(min(known)) if known else None, "largest_quality": float(max(known)) if known else None,
    }  # fmt: skip
