"""How scores lie in a finished run, group by group: by source, domain, language, year, or quantiles of another score.

What a threshold takes away, and from whom, is read here before it is set: toxicity is not low quality, and old pages, books
and dialogue fall first under filters that look right on average.

Source: A Pretrainer's Guide (arXiv:2305.13169) for the groups and the figures of each; the rest ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from curation.document import HEAVY
from curation.errors import RecipeError, StorageError, explain_mismatch
from curation.inspect.shards import columns_of, each_shard
from curation.printable import shorten

QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}

_MADE = {"year": ("url", "fetched_at"), "crawl_year": ("fetched_at",), "site": ("url",)}
"""Groups that are made of other columns where the run has none of the name."""

_DATED = r"/(199\d|20\d\d)[/-](?:0?[1-9]|1[0-2])(?:[/-]|$)"
"""A year and a month in an address, as blogs and newspapers write them: /2019/05/ or /2019-05-03."""

_HOST = r"(?i)^https?://(?:[^/?#@]*@)?(?:www\.)?([^/:?#]+)"

_BY_ADDRESS, _BYTES = "dated_by_address", "stat_text_bytes"


@dataclass(frozen=True)
class Group:
    """What to group by: a column, `year`, `crawl_year`, `site`; with `bins`, a number cut into so many quantiles."""

    name: str
    bins: int = 0

    @classmethod
    def parse(cls, given: str) -> Group:
        """`NAME` or `NAME:BINS`. Raises RecipeError for another form or a heavy column."""
        name, colon, bins = given.strip().partition(":")
        right = not colon or (bins.isascii() and bins.isdigit() and 2 <= int(bins) <= 1000)
        if not name or name in HEAVY or not right:
            wanted = "light columns, each NAME or NAME:BINS with 2 to 1000 quantiles"
            raise RecipeError(explain_mismatch("scores: by", wanted=wanted, found=repr(given)))
        return cls(name, int(bins) if colon else 0)


def score_table(
    out: str,
    by: Sequence[str],
    columns: Sequence[str] = (),
    *,
    fallen: bool = False,
    options: Mapping[str, object] | None = None,
) -> pl.DataFrame:
    """A row for each group and score: the groups' values, `documents`, `text_mb` (10**6 bytes), `score`, `known` (documents
    that have it), `mean`, `p5` to `p95`, exact and interpolated linearly; sorted by the groups' values.

    `columns`: numbers to describe; default every score of the run and those that `curation score` added. `fallen`:
    tombstones instead of documents. `year` is the one in a dated address that is not after the crawl, else the crawl's;
    `dated_by_address` counts the former. Light columns of all documents are held: 4 bytes a score, about 20 a group.
    """
    kind = "dropped" if fallen else "documents"
    groups = [Group.parse(given) for given in by]
    if len({g.name for g in groups}) < len(groups):
        raise RecipeError(explain_mismatch("scores: by", wanted="each column once", found=", ".join(by)))
    known = columns_of(out, kind, options)
    scores = list(dict.fromkeys(columns)) or sorted(name for name in known if name.startswith("score_"))
    if not scores:
        raise StorageError(explain_mismatch(out, wanted="scores", found="none", hint="curation score, or name columns"))
    made = [g.name for g in groups if g.name in _MADE and g.name not in known]
    wanted = [*(g.name for g in groups if g.name not in made), *scores]
    missing = [name for name in wanted if name not in known]
    if missing:
        hint = f"groups that are made of addresses and dates: {', '.join(_MADE)}"
        raise StorageError(
            explain_mismatch(out, wanted=f"columns {', '.join(missing)}", found=", ".join(sorted(known)), hint=hint)
        )
    reads = dict.fromkeys([*wanted, *(c for name in made for c in _MADE[name]), _BYTES])
    kept = [*wanted, *made, _BYTES, *([_BY_ADDRESS] if "year" in made else [])]
    rows = pl.concat(_made(frame, made).select(*dict.fromkeys(kept)) for frame in each_shard(out, kind, [*reads], options))
    wrong = [name for name in (*scores, *(g.name for g in groups if g.bins)) if not rows.schema[name].is_numeric()]
    if wrong:
        found = ", ".join(f"{name}: {rows.schema[name]}" for name in wrong)
        raise StorageError(explain_mismatch("scores", wanted="columns of numbers", found=found))
    return _described(rows, groups, scores)


def scores_text(table: pl.DataFrame, most: int = 50) -> str:
    """The table for people: the `most` groups of most documents, in the order of their values."""
    names = table.columns[: table.columns.index("documents")]
    groups = table.select(*names, "documents").unique().sort("documents", *names, descending=[True, *(False for _ in names)])
    shown = table.join(groups.head(most), on=names, how="semi", maintain_order="left") if names else table
    heads = table.columns
    lines = [heads]
    before: list[object] = []
    for row in shown.iter_rows():
        same = list(row[: len(names)]) == before and bool(names)
        before = list(row[: len(names)])
        score = heads.index("score")
        lines.append(["" if same and i < score else _shown(value) for i, value in enumerate(row)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    text = [i < len(names) or heads[i] == "score" for i in range(len(heads))]
    told = [
        "  ".join(cell.ljust(w) if left else cell.rjust(w) for cell, w, left in zip(line, widths, text, strict=True)).rstrip()
        for line in lines
    ]
    if names and groups.height > most:
        told.append(f"{groups.height - most} smaller groups are not shown (--most)")
    return "\n".join(told)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return shorten(str(value), 40)


def _made(frame: pl.DataFrame, made: Sequence[str]) -> pl.DataFrame:
    """The frame with the groups that are made of its address and date."""
    for name, kind in (("url", pl.String), ("fetched_at", pl.Datetime("us", "UTC")), (_BYTES, pl.Int32)):
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, kind).alias(name))
    crawl = pl.col("fetched_at").dt.year().cast(pl.Int32)
    dated = pl.col("url").str.extract(_DATED, 1).cast(pl.Int32)
    dated = pl.when((dated <= crawl) | crawl.is_null()).then(dated)
    expressions = {
        "year": [pl.coalesce(dated, crawl).alias("year"), dated.is_not_null().alias(_BY_ADDRESS)],
        "crawl_year": [crawl.alias("crawl_year")],
        "site": [pl.col("url").str.extract(_HOST, 1).str.to_lowercase().alias("site")],
    }
    return frame.with_columns(expression for name in made for expression in expressions[name])


def _described(rows: pl.DataFrame, groups: Sequence[Group], scores: Sequence[str]) -> pl.DataFrame:
    names = [g.name for g in groups]
    keys = [
        (_bins(rows[g.name], g.bins) if g.bins else rows[g.name].cast(pl.String).replace("", None)).fill_null("unknown")
        for g in groups
    ]
    values = rows.select(pl.col(name).cast(pl.Float64).fill_nan(None).alias(f"value of {name}") for name in scores)
    counted = rows.select(name for name in (_BYTES, _BY_ADDRESS) if name in rows.columns)
    table = pl.concat([pl.DataFrame(keys), values, counted], how="horizontal") if keys else values.hstack(counted)
    counts = [pl.len().alias("documents"), (pl.col(_BYTES).cast(pl.Int64).sum() / 1e6).alias("text_mb")]
    counts += [pl.col(_BY_ADDRESS).sum()] if _BY_ADDRESS in rows.columns else []
    parts = []
    for score in scores:
        value = pl.col(f"value of {score}")
        figures = [pl.lit(score).alias("score"), value.count().alias("known"), value.mean().alias("mean")]
        figures += [value.quantile(q, "linear").alias(name) for name, q in QUANTILES.items()]
        parts.append(table.group_by(names).agg(*counts, *figures) if names else table.select(*counts, *figures))
    return pl.concat(parts).sort(*names, "score")


def _bins(values: pl.Series, bins: int) -> pl.Series:
    """`q1` (least) to `qN`, cut at quantiles of all documents; values equal to a cut are above it."""
    numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    ranked = np.sort(numbers[~np.isnan(numbers)])
    edges = ranked[[len(ranked) * i // bins for i in range(1, bins)]] if len(ranked) else ranked
    places = np.where(np.isnan(numbers), bins, np.searchsorted(edges, numbers, side="right"))
    width = len(str(bins))
    labels = pl.Series(values.name, [*(f"q{i + 1:0{width}}" for i in range(bins)), None], dtype=pl.String)
    return labels.gather(places)
