"""Within what duplicates are looked for: columns whose values must be equal, and the partition of a key.

Source: ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from curation.document import HEAVY
from curation.errors import RecipeError, explain_mismatch

MOST_PARTITIONS = 1 << 16


def check_scope(stage: str, scope: Sequence[str], partitions: int, name: str = "scope") -> None:
    """Raise RecipeError unless the field `name`, whose value is `scope`, names light columns, each once, and there are 1 to
    65,536 partitions."""
    refused = [c for c in scope if c in HEAVY or c in ("doc", "content_id")]
    if isinstance(scope, str) or refused or len(set(scope)) != len(scope):
        wanted = 'light columns, each once, such as ("source",)'
        raise RecipeError(explain_mismatch(f"dedup/{stage}: {name}", wanted=wanted, found=repr(scope)))
    if not 1 <= partitions <= MOST_PARTITIONS:
        wanted = f"1 to {MOST_PARTITIONS}"
        raise RecipeError(explain_mismatch(f"dedup/{stage}: partitions", wanted=wanted, found=partitions))


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
