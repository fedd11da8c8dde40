"""Exact duplicates: of documents with the same text, the first stays.

Source: ours. Identity is `content_id` (blake2b-128 of the NFC text): two different texts meet with probability 2**-128
a pair, about 10**-15 in a corpus of 10**12 documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.dedup.scope import ScopedStage, drop_twins, partition_of, scope_values, twins

_SKETCH = {"doc": pl.UInt64, "partition": pl.UInt32, "key": pl.Binary, "scope": pl.String}
_VERDICT: Mapping[str, Any] = {"doc": pl.UInt64, "kept": pl.UInt64, "cluster_size": pl.Int32}


@dataclass(frozen=True)
class Exact(ScopedStage):
    """Drops every document but the one of least `doc` among those of equal `content_id` and equal `scope`.

    `scope`: columns within whose values duplicates are looked for, such as ("source",); () means everywhere. A null in
    a scope column is a value like any other. A document without `content_id` is nobody's duplicate.

    Adds `cluster_id` (uint64: `doc` of the survivor, its own for a document without twins) and `cluster_size` (int32,
    1 for those). The answer does not depend on the order of rows, shards or partitions, nor on their number. Raises
    RecipeError on a heavy column in `scope`.
    """

    verdict_schema: ClassVar[Mapping[str, Any]] = _VERDICT

    @property
    def reads(self) -> tuple[str, ...]:
        return ("content_id",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {"cluster_id": pa.uint64(), "cluster_size": pa.int32()}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("duplicate",)

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `partition`, `key` (content_id), `scope` (its values as JSON); no row for a null content_id."""
        rows = batch.filter(pl.col("content_id").is_not_null())
        if not rows.height:
            return pl.DataFrame(schema=_SKETCH)
        # digests are uniform, so their first bytes spread texts evenly; equal texts meet whatever their scope
        digests = np.frombuffer(b"".join(key[:8] for key in rows["content_id"]), dtype=">u8")
        partition = partition_of(digests, self.partitions)
        return rows.select("doc", partition, pl.col("content_id").alias("key"), scope_values(self.scope))

    def match(self, partition: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `kept`, `cluster_size` of every document that has a twin, the kept one included, sorted by `doc`."""
        return twins(partition, pl.col("doc").min(), "cluster_size")

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        """`cluster_id`, `cluster_size`, and `duplicate` with the kept twin for all but the survivor."""
        found = batch.select("doc").join(verdict, on="doc", how="left", maintain_order="left")
        return found.select(
            "doc",
            pl.coalesce("kept", "doc").alias("cluster_id"),
            pl.col("cluster_size").fill_null(1),
            *drop_twins("duplicate"),
        )
