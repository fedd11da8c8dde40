"""Keep documents whose value in one column lies within bounds: the decision over any measure or score.

Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import polars as pl

from curation.document import HEAVY
from curation.errors import RunStopped
from curation.options import refuse
from curation.stage import Filter

Bound = float | Mapping[str, float] | None


@dataclass(frozen=True)
class Threshold(Filter):
    """Drops documents below `at_least` or above `at_most`; a value equal to a bound is kept.

    `column`: the numeric column. `by`: a text column (such as "language") by whose value the bounds are tables; then
    `otherwise` ("keep" or "drop") says what happens to a document whose value no table lists. A document listed in one
    table only is held to that bound only. `unknown`: what happens to a null or NaN, which is never taken for zero:
    "drop" with a reason of its own, "keep", or "stop" the run.

    Values are compared as float64: a bound of 0.65 is above the float32 nearest to it. Raises RecipeError on bounds
    that are missing, cross, or do not fit `by`.
    """

    column: str = ""
    at_least: Bound = None
    at_most: Bound = None
    by: str | None = None
    otherwise: str | None = None
    unknown: str = "drop"

    def __post_init__(self) -> None:
        if not self.column or self.column in HEAVY:
            self._refuse("column", "the name of a numeric column", self.column)
        if self.at_least is None and self.at_most is None:
            self._refuse("bounds", "at_least, at_most or both", "neither")
        if self.unknown not in ("keep", "drop", "stop"):
            self._refuse("unknown", '"keep", "drop" or "stop"', self.unknown)
        self._check_form()
        values: list[str | None] = [*self._listed()] or [None]
        for value in values:
            low, high = self._bound(self.at_least, value), self._bound(self.at_most, value)
            if any(b is not None and not math.isfinite(b) for b in (low, high)):
                self._refuse("bounds", "finite numbers", f"{low}, {high}")
            if low is not None and high is not None and low > high:
                self._refuse(f"bounds{f' of {value}' if value else ''}", "at_least <= at_most", f"{low} > {high}")

    def _check_form(self) -> None:
        """Plain numbers without `by`; tables and `otherwise` with it."""
        for name, bound in (("at_least", self.at_least), ("at_most", self.at_most)):
            if isinstance(bound, bool) or not isinstance(bound, (int, float, Mapping, type(None))):
                self._refuse(name, "a number or a table", repr(bound))
            if isinstance(bound, Mapping) and not bound:
                self._refuse(name, "a table with entries", "an empty one")
        tables = [isinstance(b, Mapping) for b in (self.at_least, self.at_most) if b is not None]
        if self.by is None:
            if any(tables):
                self._refuse("by", "a column, as the bounds are tables", "none")
            if self.otherwise is not None:
                self._refuse("otherwise", "nothing, as there is no `by`", self.otherwise)
            return
        if not all(tables):
            self._refuse("bounds", f"tables by {self.by!r}", "a plain number")
        if self.otherwise not in ("keep", "drop"):
            self._refuse("otherwise", '"keep" or "drop" for values that no table lists', self.otherwise)

    def _refuse(self, what: str, wanted: str, found: object) -> NoReturn:
        refuse(f"{self.name}({self.column!r})", what, wanted, found)

    def _listed(self) -> list[str]:
        """Every value of `by` that a table lists, sorted."""
        tables = [bound for bound in (self.at_least, self.at_most) if isinstance(bound, Mapping)]
        return sorted({str(value) for table in tables for value in table})

    @staticmethod
    def _bound(bound: Bound, value: str | None) -> float | None:
        return bound.get(value) if isinstance(bound, Mapping) and value is not None else bound  # type: ignore[return-value]

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,) if self.by is None else (self.column, self.by)

    @property
    def drops(self) -> tuple[str, ...]:
        reasons = [
            ("below", self.at_least is not None),
            ("above", self.at_most is not None),
            ("unknown", self.unknown == "drop"),
            ("not_listed", self.otherwise == "drop"),
        ]
        return tuple(reason for reason, possible in reasons if possible)

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        """Reasons: `not_listed`, `unknown`, `below`, `above`; the detail is `column=value < at_least bound`.

        Raises RunStopped on a null or NaN when `unknown` is "stop", RecipeError when the column is not numeric.
        """
        if not stats.schema[self.column].is_numeric():
            self._refuse("type of the column", "numbers", stats.schema[self.column])
        raw = pl.col(self.column)
        value = raw.cast(pl.Float64).fill_nan(None)
        unlisted = pl.lit(False) if self.by is None else ~pl.col(self.by).is_in(self._listed()).fill_null(False)
        missing = ~unlisted & value.is_null()
        if self.unknown == "stop" and stats.select(missing.any()).item():
            first = stats.filter(missing)["doc"][0]
            raise RunStopped(f"{self.column} is unknown for doc {first}, and filters/threshold has unknown='stop'")
        reason, detail = pl.lit(None, dtype=pl.String), pl.lit(None, dtype=pl.String)
        for name, when, words in reversed(self._cases(raw, value, unlisted, missing)):
            if name in self.drops:
                reason = pl.when(when.fill_null(False)).then(pl.lit(name)).otherwise(reason)
                detail = pl.when(when.fill_null(False)).then(words).otherwise(detail)
        return stats.select("doc", reason.alias("drop_reason"), detail.alias("drop_detail"))

    def _cases(self, raw: pl.Expr, value: pl.Expr, unlisted: pl.Expr, missing: pl.Expr) -> list[tuple[str, pl.Expr, pl.Expr]]:
        """Each reason with when it fires and its detail, in order of precedence."""
        low, high = self._bound_expr(self.at_least), self._bound_expr(self.at_most)
        least, most = self._bound_words(self.at_least), self._bound_words(self.at_most)
        name = pl.lit(self.column)
        by = pl.lit("") if self.by is None else pl.col(self.by)
        where = by if self.by is None else pl.format(" for {}", by)
        no_bound = pl.format("{}={} has no bound for {}", pl.lit(self.by), by.fill_null("unknown"), name)
        return [
            ("not_listed", unlisted, no_bound),
            ("unknown", missing, pl.format("{} unknown{}", name, where)),
            ("below", ~unlisted & (value < low), pl.format("{}={} < at_least {}{}", name, _shown(raw, least), least, where)),
            ("above", ~unlisted & (value > high), pl.format("{}={} > at_most {}{}", name, _shown(raw, most), most, where)),
        ]

    def _bound_expr(self, bound: Bound) -> pl.Expr:
        """The bound of each row, float64; null where the row has none."""
        if not isinstance(bound, Mapping):
            return pl.lit(bound, dtype=pl.Float64)
        bounds = [float(b) for b in bound.values()]
        return pl.col(self.by or "").replace_strict(list(bound), bounds, default=None, return_dtype=pl.Float64)

    def _bound_words(self, bound: Bound) -> pl.Expr:
        """The bound of each row as the recipe wrote it."""
        if not isinstance(bound, Mapping):
            return pl.lit(str(bound))
        words = [str(b) for b in bound.values()]
        return pl.col(self.by or "").replace_strict(list(bound), words, default=None, return_dtype=pl.String)


def _shown(raw: pl.Expr, bound: pl.Expr) -> pl.Expr:
    """The value in its column's own shortest form; in full where that form reads like the bound it missed."""
    short, full = raw.cast(pl.String), raw.cast(pl.Float64).cast(pl.String)
    return pl.when(short == bound).then(full).otherwise(short)
