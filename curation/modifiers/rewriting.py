"""What modifiers share: a stage that rewrites the text and counts, and rewriting the texts that a cheap test selected.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.document import storable
from curation.stage import Stage


def count_types(stem: str, kinds: Sequence[str]) -> Mapping[str, pa.DataType]:
    """What a modifier `adds`: `stat_<stem>_<kind>`, int32, in this order."""
    return {f"stat_{stem}_{kind}": pa.int32() for kind in kinds}


@dataclass(frozen=True)
class Modifier(Stage):
    """A stage that reads the text, rewrites it and adds `counts`."""

    counts: ClassVar[Mapping[str, pa.DataType]] = {}
    """The columns it adds: what it changed of each kind."""

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def rewrites(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return self.counts


Rewrite = Callable[[str], tuple[str, Sequence[int]]]
"""The new text, and how many of each kind were changed."""


def rewrite_where(texts: pl.Series, selected: pl.Series, rewrite: Rewrite, kinds: int) -> tuple[pl.Series, np.ndarray]:
    """`texts` with `rewrite` applied where `selected` is true (null = false); counts, int32 [len(texts), kinds].

    A null text stays null. What `rewrite` returns may hold lone surrogates: they become U+FFFD.
    """
    counts = np.zeros((len(texts), kinds), np.int32)
    rows = np.flatnonzero((selected.fill_null(False) & texts.is_not_null()).to_numpy())
    changed: list[int] = []
    fresh: list[str] = []
    for row, text in zip(rows.tolist(), texts.gather(rows), strict=True):
        new, counts[row] = rewrite(text)
        if new != text:
            changed.append(row)
            fresh.append(storable(new))
    return (texts.clone().scatter(changed, fresh) if changed else texts), counts


def count_columns(names: Sequence[str], counts: np.ndarray) -> list[pl.Series]:
    """The columns of `counts` as int32 series of these names."""
    return [pl.Series(name, np.ascontiguousarray(counts[:, i], dtype=np.int32)) for i, name in enumerate(names)]
