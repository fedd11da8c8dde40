"""What the stages that cut repeated parts out of texts share.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.dedup.scope import ScopedStage


@dataclass(frozen=True)
class TextCutter(ScopedStage):
    """Cuts parts out of `text`; drops, with `reason`, a document of which nothing would stay, and leaves its text be."""

    reason: ClassVar[str] = ""
    removed: ClassVar[tuple[str, str]] = ("", "")
    """The columns it adds: parts cut, bytes cut."""

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def rewrites(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return dict.fromkeys(self.removed, pa.int32())

    @property
    def drops(self) -> tuple[str, ...]:
        return (self.reason,)

    def answer(self, batch: pl.DataFrame, cut: pl.Series, parts: np.ndarray, emptied: np.ndarray, why: pl.Expr) -> pl.DataFrame:
        """The stage's answer, of the texts after the cuts, the parts cut of each, and whether nothing stayed; `why` is
        the detail, over the columns added."""
        text = batch["text"]
        size = text.str.len_bytes().cast(pl.Int64) - cut.str.len_bytes().cast(pl.Int64)
        nothing = pl.Series(emptied)
        kept = pl.select(pl.when(text.is_null() | nothing).then(text).otherwise(cut).alias("text")).to_series()
        counts = [pl.Series(self.removed[0], parts, dtype=pl.Int32), size.fill_null(0).cast(pl.Int32).alias(self.removed[1])]
        gone = pl.when(nothing)
        return pl.DataFrame([batch["doc"], kept, *counts]).with_columns(
            gone.then(pl.lit(self.reason)).alias("drop_reason"), gone.then(why).alias("drop_detail")
        )
