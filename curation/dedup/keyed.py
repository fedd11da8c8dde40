"""Duplicates by a key that one column gives: of the documents that share it, one stays, by its time or its number.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.dedup.scope import ScopedStage, drop_twins, partition_of, scope_values, twins
from curation.document import COLUMNS, polars_type
from curation.options import check_choice

_KEEP = ("newest", "oldest", "first")
_SKETCH: Mapping[str, Any] = {"doc": pl.UInt64, "partition": pl.UInt32, "key": pl.Binary, "scope": pl.String}
_VERDICT: Mapping[str, Any] = {"doc": pl.UInt64, "kept": pl.UInt64, "copies": pl.Int32}


@dataclass(frozen=True)
class KeyedStage(ScopedStage):
    """Drops (`reason`) every document but one among those of one key (`keys` of the column `key_column`) and one `scope`.

    `keep` picks the survivor: "newest" or "oldest" by `fetched_at` (a document without a time comes last, the least `doc`
    first among equals), or "first", the least `doc`. A document without a key is nobody's duplicate. Adds
    `stat_<stage>_copies`. All it reads is known before the text. Raises RecipeError on senseless options.
    """

    keep: str = field(default="first", kw_only=True)

    verdict_schema: ClassVar[Mapping[str, Any]] = _VERDICT
    key_column: ClassVar[str]
    reason: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "keep", _KEEP)

    def keys(self, values: pl.Series) -> pl.Series:
        """Binary, one key for each value (none is null): evenly spread bytes, eight at least at its end; null for none."""
        raise NotImplementedError(f"{type(self).__name__} must implement keys")

    @property
    def sketch_reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.key_column, *self._times(), *self.scope)))

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {self._copies: pa.int32()}

    @property
    def drops(self) -> tuple[str, ...]:
        return (self.reason,)

    @property
    def _copies(self) -> str:
        return f"stat_{self.short_name}_copies"

    def _times(self) -> dict[str, pl.DataType]:
        return {} if self.keep == "first" else {"fetched_at": polars_type(COLUMNS["fetched_at"])}

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `partition`, `key`, `scope`, and `fetched_at` where it decides; no row for a document without a key."""
        rows = batch.filter(pl.col(self.key_column).is_not_null())
        rows = rows.with_columns(self.keys(rows[self.key_column]).alias("key")).filter(pl.col("key").is_not_null())
        if not rows.height:
            return pl.DataFrame(schema={**_SKETCH, **self._times()})
        digests = np.frombuffer(b"".join(key[-8:] for key in rows["key"]), np.uint64)
        return rows.select("doc", partition_of(digests, self.partitions), "key", scope_values(self.scope), *self._times())

    def match(self, partition: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `kept`, `copies` of every document that has a twin, the kept one included, sorted by `doc`."""
        order = [*self._times(), "doc"]
        ranked = partition.sort(order, descending=[self.keep == "newest", False][-len(order) :], nulls_last=True)
        return twins(ranked, pl.col("doc").first(), "copies")

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        """The copies, and `reason` with the kept twin for all but the survivor."""
        found = batch.select("doc").join(verdict, on="doc", how="left", maintain_order="left")
        return found.select(
            "doc",
            pl.col("copies").fill_null(1).alias(self._copies),
            *drop_twins(self.reason, f" ({self.keep})"),
        )
