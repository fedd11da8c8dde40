"""Domains as clusters of embeddings: k-means that gives the same table for the same rows, in any order of the files.

    table = cluster_table(["embeddings/"], clusters=16)       # a Parquet file with id and an `embedding` list a row
    write_table(table, Path("clusters.parquet"))              # what mixture/domains reads with by="table"

Vectors are scaled to length one, so that distance is that of angles. Centres are found on a sample by hash, beginning far from
one another by draws of the seed (k-means++); then every row goes to its nearest centre. Clusters are numbered by size.

Source: Lloyd (1982); k-means++ after Arthur and Vassilvitskii (SODA 2007); clusters as domains after CLIMB (arXiv:2504.13161).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import MixtureError, explain_mismatch
from curation.inputs import find_inputs
from curation.sources.parquet import Parquet
from curation.stage import Input
from curation.storage import open_location

ROUNDS = 100
BLOCK = 4096
"""Rows whose distances are taken at a time."""


@dataclass(frozen=True)
class Embeddings:
    """Parquet files with the columns `id` (string) and `column`, a list or fixed list of numbers of one length a row."""

    inputs: Sequence[str]
    column: str = "embedding"
    storage_options: dict[str, object] = field(default_factory=dict, repr=False)

    def batches(self) -> Iterator[tuple[list[str], np.ndarray]]:
        """Identifiers and unit vectors (float32 [n, size]). Raises MixtureError for rows that have none."""
        for one in find_inputs(self.inputs, Parquet(), options=self.storage_options).accepted:
            with open_location(one.location, self.storage_options) as stream:
                file = pq.ParquetFile(stream, pre_buffer=False)
                missing = [name for name in ("id", self.column) if name not in file.schema_arrow.names]
                if missing:
                    found = ", ".join(file.schema_arrow.names)
                    raise MixtureError(explain_mismatch(one.path, wanted=f"columns id and {self.column}", found=found))
                for batch in file.iter_batches(BLOCK, columns=["id", self.column], use_threads=False):
                    yield batch.column("id").to_pylist(), _vectors(batch.column(self.column), one)


def _vectors(column: pa.Array, where: Input) -> np.ndarray:
    lengths = {len(row) if row is not None else 0 for row in column}
    if len(lengths) != 1 or 0 in lengths:
        found = f"lengths {sorted(lengths)[:5]}"
        raise MixtureError(explain_mismatch(f"{where.path}: embeddings", wanted="numbers of one length a row", found=found))
    flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    rows = flat.reshape(len(column), -1)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(norms).all():
        raise MixtureError(explain_mismatch(f"{where.path}: embeddings", wanted="finite numbers", found="NaN or infinite"))
    return (rows / np.where(norms > 0, norms, 1)).astype(np.float32)


def cluster_table(embeddings: Embeddings, clusters: int, seed: int = 0, sample: int = 100_000) -> pl.DataFrame:
    """`id` and `domain` (`cluster-00` is the largest) of every row. `sample`: rows that centres are found on.

    Raises MixtureError when there are fewer distinct vectors than clusters.
    """
    if clusters < 1:
        raise MixtureError(explain_mismatch("clusters", wanted="at least 1", found=clusters))
    centres = find_centres(_sampled(embeddings, sample), clusters, seed)
    names: list[str] = []
    nearest: list[np.ndarray] = []
    for ids, rows in embeddings.batches():
        names += ids
        nearest.append(_nearest(rows, centres)[0])
    found = np.concatenate(nearest)
    order = np.argsort(-np.bincount(found, minlength=clusters), kind="stable")
    rank = np.empty(clusters, np.int64)
    rank[order] = np.arange(clusters)
    width = max(2, len(str(clusters - 1)))
    labels = [f"cluster-{i:0{width}d}" for i in range(clusters)]
    return pl.DataFrame({"id": names, "domain": [labels[i] for i in rank[found]]})


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write the table for mixture/domains."""
    rows = table.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.schema([("id", pa.string()), ("domain", pa.string())]))
    pq.write_table(rows, path, compression="zstd")


def _sampled(embeddings: Embeddings, sample: int) -> np.ndarray:
    """The vectors with the least hashes of their `id`, in that order: the same for any order of rows."""
    kept: list[tuple[bytes, bytes]] = []
    for ids, rows in embeddings.batches():
        kept += [(hashlib.blake2b(i.encode(), digest_size=8).digest(), row.tobytes()) for i, row in zip(ids, rows, strict=True)]
        if len(kept) > 2 * sample:
            kept = sorted(kept)[:sample]
    if not kept:
        raise MixtureError(explain_mismatch("embeddings", wanted="rows", found="none"))
    return np.frombuffer(b"".join(row for _, row in sorted(kept)[:sample]), np.float32).reshape(min(len(kept), sample), -1)


def find_centres(rows: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Unit centres [clusters, size] of unit rows (float32 [n, size]) after at most ROUNDS rounds of Lloyd's algorithm."""
    draw = np.random.default_rng(seed)
    first = rows[draw.integers(len(rows))]
    centres = [first]
    distance = 2 - 2 * (rows @ first).astype(np.float64)
    for _ in range(clusters - 1):
        weight = np.clip(distance, 0, None)
        weight[weight < 1e-6] = 0
        if not weight.any():
            found = f"{len(centres)} distinct vectors"
            raise MixtureError(explain_mismatch("clusters", wanted=f"at least {clusters} distinct vectors", found=found))
        centres.append(rows[draw.choice(len(rows), p=weight / weight.sum())])
        distance = np.minimum(distance, 2 - 2 * (rows @ centres[-1]).astype(np.float64))
    found_centres = np.array(centres)
    last = np.full(len(rows), -1)
    for _ in range(ROUNDS):
        nearest, closeness = _nearest(rows, found_centres)
        if (nearest == last).all():
            break
        last = nearest
        sums = np.zeros((clusters, rows.shape[1]))
        np.add.at(sums, nearest, rows)
        empty = np.bincount(nearest, minlength=clusters) == 0
        sums[empty] = rows[np.argsort(closeness, kind="stable")[: empty.sum()]]  # the rows that fit worst begin anew
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        found_centres = (sums / np.where(norms > 0, norms, 1)).astype(np.float32)
    return found_centres


def _nearest(rows: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of each row, the first among equals, and the cosine with it."""
    found = np.empty(len(rows), np.int64)
    closeness = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        cosines = rows[start : start + BLOCK] @ centres.T
        found[start : start + BLOCK] = cosines.argmax(axis=1)
        closeness[start : start + BLOCK] = cosines.max(axis=1)
    return found, closeness
