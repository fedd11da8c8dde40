"""Within what duplicates are looked for: columns whose values must be equal; the partition of a key; twins.

Source: ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl

from curation.document import HEAVY
from curation.options import refuse
from curation.stage import GlobalStage, Stage

MOST_PARTITIONS = 1 << 16


def check_scope(stage: Stage, name: str = "scope") -> None:
    """Raise RecipeError unless the field `name` names light columns, each once."""
    scope = getattr(stage, name)
    refused = [c for c in scope if c in HEAVY or c in ("doc", "content_id")]
    if isinstance(scope, str) or refused or len(set(scope)) != len(scope):
        refuse(stage, name, 'light columns, each once, such as ("source",)', repr(scope))


@dataclass(frozen=True)
class ScopedStage(GlobalStage):
    """A stage that compares documents within equal values of the columns `scope`; a partition's matches are final.

    Raises RecipeError unless `scope` names light columns, each once, and there are 1 to 65,536 partitions.
    """

    scope: Sequence[str] = field(default=(), kw_only=True)

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    settles_apart: ClassVar[bool] = True
    verdict_schema: ClassVar[Mapping[str, Any]] = {}
    """The columns of a match and of the verdict, as polars types."""

    def __post_init__(self) -> None:
        check_scope(self)
        if not 1 <= self.partitions <= MOST_PARTITIONS:
            refuse(self, "partitions", f"1 to {MOST_PARTITIONS}", self.partitions)

    @property
    def sketch_reads(self) -> tuple[str, ...]:
        return (*self.reads, *self.scope)

    def settle(self, matches: Iterable[pl.DataFrame]) -> pl.DataFrame:
        """All matches, sorted by `doc`: what is alike lies in one partition, so there is nothing left to join."""
        return pl.concat([pl.DataFrame(schema=self.verdict_schema), *matches]).sort("doc")


def scope_values(scope: Sequence[str]) -> pl.Expr:
    """The values of the scope's columns of each row as one JSON text, column `scope`; "" without columns."""
    return (pl.struct(list(scope)).struct.json_encode() if scope else pl.lit("", dtype=pl.String)).alias("scope")


def scope_keys(rows: pl.DataFrame, scope: Sequence[str]) -> np.ndarray:
    """uint64 [rows]: a digest of each row's scope values, 0 without scope."""
    if not scope:
        return np.zeros(rows.height, np.uint64)
    values = rows.select(scope_values(scope)).to_series()
    known = {value: _digest(value) for value in values.unique()}
    return values.replace_strict(known, return_dtype=pl.UInt64).to_numpy()


def _digest(value: str) -> int:
    return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "little")


def partition_of(keys: np.ndarray, partitions: int) -> pl.Series:
    """Column `partition` uint32 of uniform uint64 keys."""
    return pl.Series("partition", (keys % np.uint64(partitions)).astype(np.uint32))


def twins(rows: pl.DataFrame, kept: pl.Expr, size: str) -> pl.DataFrame:
    """`doc`, `kept` and the number `size` of every document that shares `key` and `scope` with others, the one that is
    `kept` of them included, sorted by `doc`."""
    group = ("key", "scope")
    found = rows.select("doc", kept.over(group).alias("kept"), pl.len().over(group).cast(pl.Int32).alias(size))
    return found.filter(pl.col(size) > 1).sort("doc")


def drop_twins(reason: str, by: str = "") -> tuple[pl.Expr, pl.Expr]:
    """`drop_reason`, and `drop_detail` with the kept twin, of every document that is not `kept` itself."""
    gone = pl.when(pl.col("kept") != pl.col("doc"))
    detail = pl.format(f"kept twin doc={{}}{by}", pl.col("kept"))
    return gone.then(pl.lit(reason)).alias("drop_reason"), gone.then(detail).alias("drop_detail")
