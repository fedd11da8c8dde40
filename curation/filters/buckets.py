"""Buckets of a score, cut at percentiles of the whole corpus, language by language: CCNet's head, middle and tail.

Buckets are routes first: every document is told its bucket, and only those named in `drop` fall. The cuts are exact and the
same for any order of inputs, shards and partitions: values are counted by their 20 leading bits, the counts say where a
percentile lies, and only the values there are sorted.

Source: CCNet (arXiv:1911.00359) section 3.3 and cc_net `mine.py`: below the 30th percentile of a language's perplexity is
head, from there and below the 60th is middle, the rest is tail; a document of a language without a model is `all`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.document import HEAVY
from curation.options import refuse
from curation.stage import Found, GlobalStage, Settling, Step, Take, Tally

BIN_BITS = 20
"""Leading bits of a float64 by which values are counted: sign, exponent and 8 bits more, bins 0.4 % wide or less."""

_ROWS: Mapping[str, Any] = {"doc": pl.UInt64, "group": pl.String, "key": pl.UInt64, "rows": pl.UInt64}
_COUNTS: Mapping[str, Any] = {"group": pl.String, "bin": pl.UInt64, "rows": pl.UInt64}
_WANTED: Mapping[str, Any] = {"group": pl.String, "which": pl.UInt32, "bin": pl.UInt64, "within": pl.UInt64, "total": pl.UInt64}
_CUTS: Mapping[str, Any] = {"group": pl.String, "which": pl.UInt32, "cut": pl.Float64, "total": pl.UInt64}
_VERDICT: Mapping[str, Any] = {"doc": pl.UInt64, "group": pl.String, "which": pl.UInt32, "cut": pl.Float64}


@dataclass(frozen=True)
class Buckets(GlobalStage):
    """Adds `bucket_<name>` (text) for the score `score_<name>` in `column`: one of `names`, from the lowest values up, or
    `unscored` where the score or the value of `by` is null, or that value has no cuts.

    `percentiles` (between 0 and 100, rising): where the scored documents of each value of the column `by` (None: all together)
    are cut. A cut is a value that occurs, with at most that share of the documents strictly below it; documents equal to
    a cut are above it. `cuts` instead of percentiles: fixed numbers, rising, or a table of them by the value of `by`.
    `names`: one more than there are cuts. `drop`: buckets whose documents fall; the bucket is the reason.

    `partitions` (2 to 65,536): the values are counted in all but one of them, evenly by language and bin: a match holds about
    200 bytes a document over their number. A sketch is 4 to 20 bytes a document; the steps after the match hold one bin of
    each cut, the last one about 180 bytes for each batch and value of `by` in it. Raises RecipeError on settings that do not
    fit each other.
    """

    column: str = "score_ccnet"
    percentiles: tuple[float, ...] = (30, 60)
    names: tuple[str, ...] = ("head", "middle", "tail")
    by: str | None = "language"
    cuts: tuple[float, ...] | Mapping[str, tuple[float, ...]] | None = None
    unscored: str = "all"
    drop: tuple[str, ...] = ()

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    sketch_fields: ClassVar[tuple[str, ...] | None] = ("column", "by", "cuts")
    match_fields: ClassVar[tuple[str, ...] | None] = ()

    def __post_init__(self) -> None:
        for name in ("percentiles", "names", "drop"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.column.startswith(("score_", "stat_")):
            refuse(self, "column", "a column score_* or stat_*", repr(self.column))
        if self.by is not None and (self.by in HEAVY or self.by in ("", "doc")):
            refuse(self, "by", "a light column, or None", repr(self.by))
        if not _rises(self.percentiles) or not all(0 < p < 100 for p in self.percentiles):
            refuse(self, "percentiles", "numbers between 0 and 100 that rise", self.percentiles)
        if isinstance(self.cuts, Mapping) and self.by is None:
            refuse(self, "cuts", "a list of numbers, as there is no `by`", self.cuts)
        for cuts in self._listed():
            if not _rises(cuts) or len(cuts) != len(self.names) - 1:
                refuse(self, "cuts", f"{len(self.names) - 1} numbers that rise", cuts)
        if self.cuts is None and len(self.percentiles) != len(self.names) - 1:
            refuse(self, "names", f"{len(self.percentiles) + 1} of them, one more than percentiles", self.names)
        every = (*self.names, self.unscored)
        if len(set(every)) < len(every) or not all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in every):
            refuse(self, "names", "different names of small letters, `unscored` among them", every)
        if not set(self.drop) <= set(every):
            refuse(self, "drop", f"some of {', '.join(every)}", self.drop)
        if not 2 <= self.partitions <= 1 << 16:
            refuse(self, "partitions", "2 to 65536", self.partitions)

    def _listed(self) -> list[Sequence[float]]:
        """Every list of fixed cuts."""
        if self.cuts is None:
            return []
        return [tuple(c) for c in self.cuts.values()] if isinstance(self.cuts, Mapping) else [tuple(self.cuts)]

    @property
    def _group_column(self) -> str | None:
        """The column by whose value documents are cut apart; a plain list of cuts asks for none."""
        return self.by if self.cuts is None or isinstance(self.cuts, Mapping) else None

    @property
    def bucket(self) -> str:
        """The column it adds."""
        return f"bucket_{self.column.split('_', 1)[1]}"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,) if self._group_column is None else (self.column, self._group_column)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {self.bucket: pa.string()}

    @property
    def drops(self) -> tuple[str, ...]:
        return tuple(name for name in (*self.names, self.unscored) if name in self.drop)

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        """How often each value occurs (`group`, `key`, `rows`, `doc` null), by partition 1 and up; in partition 0, without
        rows, the first document that is to hear of each group's cuts."""
        known = batch.select(self._group(), self._value()).drop_nulls() if self.cuts is None else batch.clear()
        if not known.height:
            return pl.DataFrame(schema={**_ROWS, "partition": pl.UInt32})
        counted = known.with_columns(pl.Series("key", _key(known["value"].to_numpy()))).group_by("group", "key").len("rows")
        counted = counted.sort("group", "key")
        first = known.select("group").unique().sort("group").with_columns(doc=pl.lit(batch["doc"].min(), dtype=pl.UInt64))
        bins = counted["key"].to_numpy() >> np.uint64(64 - BIN_BITS)
        place = _spread(counted["group"], bins, self.partitions - 1) + np.uint32(1)
        rows = counted.with_columns(pl.col("rows").cast(pl.UInt64), pl.lit(None, dtype=pl.UInt64).alias("doc"))
        return pl.concat([
            first.with_columns(
                pl.lit(0, dtype=pl.UInt64).alias("key"), pl.lit(0, dtype=pl.UInt64).alias("rows"),
                pl.lit(0, dtype=pl.UInt32).alias("partition"),
            ).select(*_ROWS, "partition"),
            rows.with_columns(pl.Series("partition", place)).select(*_ROWS, "partition"),
        ])  # fmt: skip

    def match(self, partition: pl.DataFrame) -> pl.DataFrame:
        """Partition 0 as it is; elsewhere how often each value occurs in all."""
        heard = partition.filter(pl.col("rows") == 0).select(*_ROWS)
        counted = partition.filter(pl.col("rows") > 0).group_by("group", "key").agg(pl.col("doc").first(), pl.col("rows").sum())
        return pl.concat([heard, counted.select(*_ROWS)]).sort("group", "key", "doc")

    def settling(self, sketched: int, matched: list[Tally]) -> Settling:
        """Counts by bin; the bin of each cut; the value within it; and the cuts, for each batch that is to hear of them."""
        own = Take("match", "own")
        if self.cuts is None:
            yield Step("count", (own,), units=self.partitions, slices=1)
            yield Step("find", (Take("count", "all"),), slices=1)
            yield Step("pick", (own, Take("find", "all")), units=self.partitions, slices=1)
            tallies = yield Step("settle", (own, Take("pick", "all")))
        else:
            tallies = yield Step("settle", (own,))
        return tallies[0].facts or None

    def step(self, step: Step, number: int, taken: Sequence[Iterator[pl.DataFrame]]) -> pl.DataFrame | Found:
        if step.name == "count":
            found = _count(_together(taken[0], _ROWS))
        elif step.name == "find":
            found = _find(_together(taken[0], _COUNTS), self.percentiles)
        elif step.name == "pick":
            found = _pick(_together(taken[0], _ROWS), _together(taken[1], _WANTED))
        else:
            return self._settled(_together(taken[0], _ROWS), _together(taken[1], _CUTS) if len(taken) > 1 else None)
        return found.with_columns(pl.lit(0, dtype=pl.UInt32).alias("partition"))

    def _settled(self, heard: pl.DataFrame, cuts: pl.DataFrame | None) -> Found:
        if cuts is None:
            return Found(pl.DataFrame(schema=_VERDICT))
        cuts = cuts.sort("group", "which")
        rows = heard.select("doc", "group").join(cuts, on="group").select(*_VERDICT).sort("doc", "group", "which")
        told = cuts.group_by("group", maintain_order=True).agg("cut", pl.col("total").first())
        report = {group: {"documents": total, "cuts": values} for group, values, total in told.rows()}
        return Found(rows, {self.column: report} if report else {})

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        """The bucket; with `drop`, the bucket as reason, and value, group and cuts as detail."""
        rows = batch.select("doc", self._group(), self._value())
        wide = self._table(verdict)
        rows = rows.join(wide, on="group", how="left", maintain_order="left")
        places = [name for name in wide.columns if name != "group"]
        above = pl.sum_horizontal([(pl.col("value") >= pl.col(place)).cast(pl.Int32) for place in places])
        place = pl.when(pl.col("value").is_not_null() & pl.col(places[0]).is_not_null()).then(above)
        buckets = rows.with_columns(place.alias("place")).with_columns(
            pl.col("place").replace_strict(list(range(len(self.names))), list(self.names), return_dtype=pl.String)
            .fill_null(pl.lit(self.unscored)).alias(self.bucket)
        )  # fmt: skip
        if not self.drop:
            return buckets.select("doc", self.bucket)
        shown = pl.col("value").cast(pl.Float32).cast(pl.String).fill_null("unknown")
        cuts = pl.concat_str([pl.col(p).cast(pl.String) for p in places], separator=", ", ignore_nulls=True)
        of = pl.lit("") if self._group_column is None else pl.format(" for {}", pl.col("group").fill_null("unknown"))
        detail = pl.format("{}={} is {}: cuts {}{}", pl.lit(self.column), shown, pl.col(self.bucket), cuts, of)
        unknown = pl.format("{}={} is {}{}", pl.lit(self.column), shown, pl.col(self.bucket), of)
        falls = pl.col(self.bucket).is_in(list(self.drop))
        return buckets.select(
            "doc",
            self.bucket,
            pl.when(falls).then(pl.col(self.bucket)).alias("drop_reason"),
            pl.when(falls).then(pl.when(pl.col("place").is_null()).then(unknown).otherwise(detail)).alias("drop_detail"),
        )

    def _table(self, verdict: pl.DataFrame) -> pl.DataFrame:
        """`group` and a column for each cut."""
        count = len(self.names) - 1
        if self.cuts is None:
            found = [
                verdict.filter(pl.col("which") == i).select("group", pl.col("cut").alias(f"cut{i}")).unique()
                for i in range(count)
            ]
            table = found[0]
            for more in found[1:]:
                table = table.join(more, on="group")
            return table
        listed = self.cuts if isinstance(self.cuts, Mapping) else {"": self.cuts}
        schema: dict[str, Any] = {"group": pl.String, **{f"cut{i}": pl.Float64 for i in range(count)}}
        return pl.DataFrame([(group, *map(float, cuts)) for group, cuts in listed.items()], schema=schema, orient="row")

    def _group(self) -> pl.Expr:
        name = self._group_column
        return (pl.lit("") if name is None else pl.col(name).cast(pl.String)).alias("group")

    def _value(self) -> pl.Expr:
        return (pl.col(self.column).cast(pl.Float64).fill_nan(None) + 0.0).alias("value")  # -0.0 is 0.0


def _rises(numbers: Sequence[float]) -> bool:
    plain = all(isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)
    return plain and len(numbers) > 0 and all(a < b for a, b in zip(numbers, numbers[1:], strict=False))


def _key(values: np.ndarray) -> np.ndarray:
    """uint64 [n] in the order of float64 [n]."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.uint64)
    sign = np.uint64(1 << 63)
    return np.where(bits & sign, ~bits, bits | sign)


def _values(keys: np.ndarray) -> np.ndarray:
    """The float64 [n] that `_key` made uint64 [n] of."""
    sign = np.uint64(1 << 63)
    return np.where(keys & sign, keys & ~sign, ~keys).view(np.float64)


def _spread(groups: pl.Series, bins: np.ndarray, partitions: int) -> np.ndarray:
    """uint32 [n] below `partitions`: a hash of group and bin, so that all equal values of a group meet."""
    digests = {g: int.from_bytes(hashlib.blake2b(g.encode(), digest_size=8).digest(), "little") for g in groups.unique()}
    own = groups.replace_strict(digests, return_dtype=pl.UInt64).to_numpy()
    with np.errstate(over="ignore"):
        mixed = (own ^ bins) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return ((mixed >> np.uint64(32)) % np.uint64(partitions)).astype(np.uint32)


def _together(tables: Iterator[pl.DataFrame], schema: Mapping[str, Any]) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=schema), *(t.select(*schema) for t in tables if t.width)])


def _bin() -> pl.Expr:
    return (pl.col("key") // (1 << (64 - BIN_BITS))).cast(pl.UInt64).alias("bin")


def _count(rows: pl.DataFrame) -> pl.DataFrame:
    counted = rows.filter(pl.col("rows") > 0).group_by("group", _bin()).agg(pl.col("rows").sum())
    return counted.select(*_COUNTS).sort("group", "bin")


def _find(counts: pl.DataFrame, percentiles: Sequence[float]) -> pl.DataFrame:
    """For each group and percentile, the bin its cut lies in and how many values of that bin come before it."""
    counts = counts.sort("group", "bin")
    wanted = []
    for (group,), rows in counts.group_by("group", maintain_order=True):
        ends = np.cumsum(rows["rows"].to_numpy())
        total = int(ends[-1])
        for which, percentile in enumerate(percentiles):
            rank = total * Fraction(str(percentile)) // 100
            at = int(np.searchsorted(ends, rank, side="right"))
            wanted.append((group, which, rows["bin"][at], rank - (int(ends[at - 1]) if at else 0), total))
    return pl.DataFrame(wanted, schema=_WANTED, orient="row")


def _pick(rows: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    """The cuts whose bin lies in this partition."""
    near = (
        rows.filter(pl.col("rows") > 0).with_columns(_bin()).join(wanted.select("group", "bin").unique(), on=["group", "bin"])
    )
    near = near.sort("group", "key").with_columns(pl.col("rows").cum_sum().over("group", "bin").alias("end"))
    inside = (pl.col("within") < pl.col("end")) & (pl.col("within") >= pl.col("end") - pl.col("rows"))
    hit = near.join(wanted, on=["group", "bin"]).filter(inside)
    return hit.with_columns(pl.Series("cut", _values(hit["key"].to_numpy()), dtype=pl.Float64)).select(*_CUTS)
