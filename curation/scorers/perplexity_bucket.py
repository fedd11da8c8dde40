"""Head, middle or tail by perplexity, cut at percentiles of the documents' own language.

A route for documents, not a judgement: the tail holds dialect, talk, poetry and lists beside rubbish.

Source: CCNet (arXiv:1911.00359); cc_net `perplexity.py` (PerplexityBucket), which reads its percentiles from a table made
beforehand from a sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from curation.document import HEAVY
from curation.options import check_whole, refuse
from curation.stage import Found, GlobalStage, Settling, Tally

COLUMN = "stat_perplexity_bucket"

_SKETCH = {"doc": pl.UInt64, "partition": pl.UInt32, "key": pl.String, "value": pl.Float32}
_VERDICT = {"doc": pl.UInt64, COLUMN: pl.Int32}


@dataclass(frozen=True)
class PerplexityBucket(GlobalStage):
    """Adds `stat_perplexity_bucket`, int32: 0 head (below the first percentile of its language), 1 middle (below the second), 2
    tail (the rest); null where the document has no score: CCNet's bucket `all`.

    `column`: the score, lower is better. `by`: the text column within whose values percentiles are taken; null is a value
    of its own. `percentiles`: the two cuts, 0 to 100, interpolated linearly between documents. `partitions`: by the hash
    of `by`'s value, so all documents of a language meet in one; matching holds one: about 60 bytes a document. The report
    of the run names the cuts and the documents of every language. Raises RecipeError for cuts that do not rise, a heavy
    column or no column.
    """

    column: str = "score_ccnet"
    by: str = "language"
    percentiles: tuple[float, float] = (30.0, 60.0)

    settles_apart: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    sketch_fields: ClassVar[tuple[str, ...] | None] = ("column", "by")

    def __post_init__(self) -> None:
        object.__setattr__(self, "percentiles", tuple(self.percentiles))
        if len(self.percentiles) != 2 or not 0 <= self.percentiles[0] <= self.percentiles[1] <= 100:
            refuse(self, "percentiles", "two numbers in 0 to 100 that rise", self.percentiles)
        for name in ("column", "by"):
            if getattr(self, name) in HEAVY or getattr(self, name) in ("", "doc"):
                refuse(self, name, "the name of a light column", repr(getattr(self, name)))
        check_whole(self, "partitions", least=1)

    @property
    def sketch_reads(self) -> tuple[str, ...]:
        return (self.column, self.by)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {COLUMN: pa.int32()}

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `partition`, `key`, `value` of every document that has a score."""
        if not batch.schema[self.column].is_numeric():
            refuse(self, f"type of {self.column!r}", "numbers", batch.schema[self.column])
        value = pl.col(self.column).cast(pl.Float32).fill_nan(None).alias("value")
        rows = batch.select("doc", pl.col(self.by).cast(pl.String).fill_null("").alias("key"), value)
        rows = rows.filter(pl.col("value").is_not_null())
        if not rows.height:
            return pl.DataFrame(schema=_SKETCH)
        place = {key: _hash(key) % self.partitions for key in rows["key"].unique()}
        partition = pl.Series("partition", [place[key] for key in rows["key"]], dtype=pl.UInt32)
        return rows.with_columns(partition).select(list(_SKETCH))

    def match(self, partition: pl.DataFrame) -> Found:
        """`doc` and its bucket, sorted by `doc`; the facts are each key's documents and cuts."""
        if not partition.height:
            return Found(pl.DataFrame(schema=_VERDICT))
        value = pl.col("value").cast(pl.Float64)
        low, high = (value.quantile(p / 100, "linear").over("key").alias(name)
                     for p, name in zip(self.percentiles, ("low", "high"), strict=True))  # fmt: skip
        rows = partition.with_columns(low, high)
        bucket = pl.when(value < pl.col("low")).then(0).when(value < pl.col("high")).then(1).otherwise(2)
        cuts = rows.group_by("key").agg(pl.len(), pl.first("low"), pl.first("high")).sort("key")
        facts = {key: [documents, lower, upper] for key, documents, lower, upper in cuts.iter_rows()}
        return Found(rows.select("doc", bucket.cast(pl.Int32).alias(COLUMN)).sort("doc"), {"cuts": facts})

    def settling(self, sketched: int, matched: list[Tally]) -> Settling:
        """Each partition by itself; the report is every key's documents and cuts."""
        yield from super().settling(sketched, matched)
        return {"cuts": {key: cut for tally in matched for key, cut in tally.facts.get("cuts", {}).items()}}

    def settle(self, matches: Iterable[pl.DataFrame]) -> pl.DataFrame:
        """All matches, sorted by `doc`."""
        return pl.concat([pl.DataFrame(schema=_VERDICT), *matches]).sort("doc")

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        """The bucket of every document; null for those without a score."""
        found = batch.select("doc").join(verdict.select(list(_VERDICT)), on="doc", how="left", maintain_order="left")
        return found.select("doc", COLUMN)


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, person=b"ppl_bucket").digest(), "big")
