"""Documents of a run among members of an index: which records meet, and whom an edge to a member leads to.

A member was settled when it came in. So of its records only those count whose key a new document has; edges between
members are left out; and an edge to a member that was dropped leads to that one's survivor, which alone is a document
further on, with its own sketch and, as weight, the size its cluster had.

Source: ours.
"""

from __future__ import annotations

import polars as pl

from curation.dedup.bands import INDEXED
from curation.errors import RunStopped, explain_mismatch

_BIT = pl.lit(INDEXED, dtype=pl.UInt64)
_ONLY_MEMBERS = [pl.col(name) for name in ("size", "kept", "kept_low", "kept_high")]


def known_records(records: pl.DataFrame) -> pl.DataFrame:
    """Records of an index (index.py) as records of documents; `kept` is filled for survivors too."""
    is_dropped = pl.col("kept").is_not_null()
    return records.select(
        (pl.col("member") | _BIT).alias("doc"),
        "key",
        "low",
        "high",
        pl.col("size").cast(pl.UInt64),
        (pl.coalesce("kept", "member") | _BIT).alias("kept"),
        pl.when(is_dropped).then("kept_low").otherwise("low").alias("kept_low"),
        pl.when(is_dropped).then("kept_high").otherwise("high").alias("kept_high"),
    )


def split(partition: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The records of the run, with a weight, and those of the index that share a key with one of them."""
    is_known = pl.col("size").is_not_null() if "size" in partition.columns else pl.lit(False)
    new = partition.filter(~is_known).select(pl.exclude("size", "kept", "kept_low", "kept_high"))
    if "weight" not in new.columns:
        new = new.with_columns(pl.lit(1, dtype=pl.UInt64).alias("weight"))
    if new.height and int(new["doc"].max()) >= INDEXED:  # type: ignore[arg-type]
        raise RunStopped(
            explain_mismatch(
                "dedup/minhash: this run has too many inputs to be held against an index",
                wanted=f"documents below {INDEXED}, so at most 8,388,608 inputs",
                found=new["doc"].max(),
                hint="cut the run into several, or join files into larger ones",
            )
        )
    if "size" not in partition.columns:
        return new, pl.DataFrame(schema={"doc": pl.UInt64, "key": pl.UInt64})
    known = partition.filter(is_known)
    return new, known.join(new.select("key").unique(), on="key", how="semi", maintain_order="left")


def together(new: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The records of both, with the columns of those of the run; ranks and origin of a member are 0."""
    if known.is_empty():
        return new
    given = {"doc", "key", "low", "high"}
    filled = [pl.col("size").alias(n) if n == "weight" else pl.lit(0, new.schema[n]).alias(n) for n in new.columns]
    return pl.concat([known.select(n if n in given else e for n, e in zip(new.columns, filled, strict=True)), new])


def led_to_survivors(stars: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Stars with the edges of documents of the run alone, those to members led to their survivors, and a row for each of
    these survivors."""
    rows = stars.filter(pl.col("doc") < _BIT)
    if known.is_empty():
        return rows
    survivors = known.select(pl.col("doc").alias("to"), *_ONLY_MEMBERS)
    met = rows.join(survivors, on="to", how="left", maintain_order="left")
    found = met.drop_nulls("kept").unique("kept", maintain_order=True)
    values: dict[str, pl.Expr] = {
        "doc": pl.col("kept"), "to": pl.col("kept"), "low": pl.col("kept_low"), "high": pl.col("kept_high"),
        "weight": pl.col("size"),
    }  # fmt: skip
    centres = found.select(values.get(n, pl.lit(0, stars.schema[n])).alias(n) for n in stars.columns)
    edges = met.with_columns(pl.coalesce("kept", "to").alias("to")).select(stars.columns)
    return pl.concat([edges, centres])
