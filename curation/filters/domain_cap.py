"""Keep at most so many documents of a domain, chosen by a hash or by a score.

The answer depends on the set of documents alone: not on their order, nor on shards, partitions or workers.

Source: ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl

from curation.document import HEAVY
from curation.filters.url_keys import KEYS, address_key, suffix_file
from curation.options import check_choice, check_whole, refuse
from curation.stage import GlobalStage

_SKETCH = {"doc": pl.UInt64, "partition": pl.UInt32, "key": pl.String, "draw": pl.UInt64, "priority": pl.Float64}
_VERDICT = {"doc": pl.UInt64, "key": pl.String, "rank": pl.UInt32}


@dataclass(frozen=True)
class DomainCap(GlobalStage):
    """Drops (`over_cap`) all but `cap` documents of each `key`; the detail names the key, the document's rank, the cap.

    `cap`: documents a key may keep, 1 or more. `key`: "domain" (the registered domain), "site" (the same, but each
    blog or user page of a public platform by itself) or "host" (without `www.`). A document without a readable address
    is not counted and stays.

    Which stay: `priority` names a numeric column of which the largest values stay (the smallest, with `least_first`;
    null and NaN come last). Among equals, and without it, those with the least blake2b hash of `seed` and `content_id`
    (of `doc` where that is null), then the least `doc`. A larger cap keeps all that a smaller one keeps.

    `partitions`: by the key's hash, so all documents of a key meet in one. Matching holds one partition: about 150
    bytes a document with the sort (100 million documents of one domain take 15 GB, however many partitions there are);
    the verdict takes about 40 bytes per dropped document. Raises RecipeError on a cap below 1, an unknown key, a heavy
    column as priority.
    """

    cap: int = 1000
    key: str = "domain"
    priority: str | None = None
    least_first: bool = False
    seed: int = 0

    settles_apart: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("polars",)

    def __post_init__(self) -> None:
        check_whole(self, "cap", least=1)
        check_choice(self, "key", KEYS)
        if self.priority is not None and (self.priority in HEAVY or self.priority in ("", "doc", "url", "content_id")):
            refuse(self, "priority", "a numeric column", repr(self.priority))
        if not -(1 << 63) <= self.seed < 1 << 63:
            refuse(self, "seed", "a 64-bit number", self.seed)
        if not 1 <= self.partitions <= 1 << 16:
            refuse(self, "partitions", "1 to 65536", self.partitions)

    @property
    def sketch_reads(self) -> tuple[str, ...]:
        return ("url", "content_id") if self.priority is None else ("url", "content_id", self.priority)

    @property
    def drops(self) -> tuple[str, ...]:
        return ("over_cap",)

    @property
    def files(self) -> tuple[Path, ...]:
        return () if self.key == "host" else (suffix_file(),)

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `partition`, `key`, `draw` (the hash), `priority` (larger stays); no row without a key."""
        rows = batch.with_columns(address_key(batch["url"], self.key).alias("key")).filter(pl.col("key").is_not_null())
        priority = pl.lit(0.0)
        if self.priority is not None:
            if not rows.schema[self.priority].is_numeric():
                refuse(self, f"type of {self.priority!r}", "numbers", rows.schema[self.priority])
            value = pl.col(self.priority).cast(pl.Float64).fill_nan(None)
            priority = -value if self.least_first else value
        if not rows.height:
            return pl.DataFrame(schema=_SKETCH)
        place = {key: _hash(key.encode(), 0) % self.partitions for key in rows["key"].unique()}
        return rows.select(
            "doc",
            pl.Series("partition", [place[key] for key in rows["key"]], dtype=pl.UInt32),
            "key",
            _draws(rows["doc"], rows["content_id"], self.seed),
            priority.cast(pl.Float64).alias("priority"),
        )

    def match(self, partition: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `key`, `rank` (1 = first to stay) of every document over the cap, sorted by `doc`."""
        ranked = partition.sort(
            "key", "priority", "draw", "doc", descending=[False, True, False, False], nulls_last=[False, True, False, False]
        )
        rank = pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).over("key").alias("rank")
        return ranked.select("doc", "key", rank).filter(pl.col("rank") > self.cap).sort("doc")

    def settle(self, matches: Iterable[pl.DataFrame]) -> pl.DataFrame:
        """All matches, sorted by `doc`: a key lies in one partition."""
        return pl.concat([pl.DataFrame(schema=_VERDICT), *matches]).sort("doc")

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        """`over_cap` with a detail like `domain example.com: rank 1001 > 1000`."""
        found = batch.select("doc").join(verdict, on="doc", how="left", maintain_order="left")
        over = pl.col("rank").is_not_null()
        said = pl.format("{} {}: rank {} > {}", pl.lit(self.key), pl.col("key"), pl.col("rank"), pl.lit(self.cap))
        return found.select(
            "doc",
            pl.when(over).then(pl.lit("over_cap")).alias("drop_reason"),
            pl.when(over).then(said).alias("drop_detail"),
        )


def _draws(docs: pl.Series, identities: pl.Series, seed: int) -> pl.Series:
    values = (i if i is not None else doc.to_bytes(8, "little") for doc, i in zip(docs, identities, strict=True))
    return pl.Series("draw", np.fromiter((_hash(value, seed) for value in values), np.uint64, len(docs)))


def _hash(value: bytes, seed: int) -> int:
    salt = seed.to_bytes(8, "little", signed=True)
    return int.from_bytes(hashlib.blake2b(value, digest_size=8, salt=salt, person=b"domain_cap").digest(), "big")
