"""Draw the documents of a mixture: of every domain as many tokens as its share of the budget, whole epochs and a rest.

A domain asked for 2.3 times its tokens is taken twice whole, and a third time in part: the documents with the least draws, a
hash of text and seed, until the tokens are there. A larger budget keeps all that a smaller one takes. The draws of all
domains are cut into ranges, one a partition; where in which range a domain's rest ends follows from the sums of the ranges
before, so no place needs all documents, and the number of partitions changes nothing.

Source: ours; four epochs as the most that still pay after Muennighoff et al., "Scaling Data-Constrained Language Models"
(arXiv:2305.16264).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.mixture.artefact import Mixture, load
from curation.mixture.demand import Demand, demands, share_report
from curation.options import check_choice, check_number, check_whole, refuse
from curation.sampling import hash_documents
from curation.stage import Found, GlobalStage, Settling, Step, Take, Tally

REPEATS = "stat_materialise_repeats"

DOCUMENT_BYTES = 250
"""Bytes a document takes at the peak of a match (measured, with headroom)."""

MATCH_GB = 1.0

_WHEN_SHORT = ("stop", "clip", "shrink")
_MATCH: Mapping[str, Any] = {
    "doc": pl.UInt64, "domain": pl.String, "draw": pl.UInt64, "tokens": pl.Int64, "before": pl.Int64, "documents": pl.Int64,
    "range": pl.UInt32,
}  # fmt: skip
_SUMS: Mapping[str, Any] = {name: _MATCH[name] for name in ("domain", "range", "tokens", "before")}


@dataclass(frozen=True)
class Materialise(GlobalStage):
    """Drops what the mixture does not take and adds `stat_materialise_repeats` (int32, 1 or more): how often a document is
    taken, for the sink's `repeat_by`.

    mixture: path of a mixture.json, whose weights are shares of tokens. tokens: the budget, all domains together; 0: the
    file's `token_budget`, and without one the most that `max_epochs` allows. max_epochs: how often a document may be taken on
    the average of its domain. when_short: what happens when a domain would have to be read more often. "stop": the run stops
    and says what to do. "clip": that domain gives what it may, the total is less and the shares are others. "shrink": the
    budget is made so small that the shares hold. seed: of the draws; documents of the same text (`content_id`) have the same
    draw, those without one are drawn by `doc`.

    Reads `domain` and `token_count`. Of the tokens a domain is asked for, the sum is met to half a document. Reasons:
    `not_sampled` (its domain was taken in part, without it), `zero_weight`, `unknown_domain` (the mixture does not name its
    domain). Raises MixtureError for a domain with a weight that the corpus lacks or has no tokens of, RunStopped when a domain
    is short. `partitions`: at least so many; more where a partition would take over a GiB.
    """

    mixture: str = "mixture.json"
    tokens: int = 0
    max_epochs: float = 4.0
    when_short: str = "stop"
    seed: int = 0
    partitions: int = field(default=16, kw_only=True)

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    path_fields: ClassVar[tuple[str, ...]] = ("mixture",)
    sketch_fields: ClassVar[tuple[str, ...]] = ("seed",)
    match_fields: ClassVar[tuple[str, ...]] = ()
    sketches_files: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_whole(self, "tokens")
        check_whole(self, "partitions", least=1)
        check_number(self, "max_epochs")
        check_choice(self, "when_short", _WHEN_SHORT)
        if not self.max_epochs > 0:
            refuse(self, "max_epochs", "more than 0", self.max_epochs)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 1 << 64:
            refuse(self, "seed", "a whole number of 64 bits", repr(self.seed))

    @property
    def reads(self) -> tuple[str, ...]:
        return ("domain",)

    @property
    def sketch_reads(self) -> tuple[str, ...]:
        return ("content_id", "domain", "token_count")

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {REPEATS: pa.int32()}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("not_sampled", "zero_weight", "unknown_domain")

    @property
    def files(self) -> tuple[Path, ...]:
        return (Path(self.mixture).expanduser(),)

    @property
    def match_slices(self) -> int:
        return 2

    def sized(self, documents: int) -> Materialise:
        return replace(self, partitions=max(self.partitions, math.ceil(documents * DOCUMENT_BYTES / (MATCH_GB * 2**30))))

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `partition` (the range of the draw), `domain`, `draw`, `tokens`."""
        draws = draws_of(batch["doc"], batch["content_id"], self.seed)
        ranges = ((draws >> np.uint64(32)) * np.uint64(self.partitions) >> np.uint64(32)).astype(np.uint32)
        return batch.select(
            "doc", pl.Series("partition", ranges), "domain", pl.Series("draw", draws),
            pl.col("token_count").fill_null(0).cast(pl.Int64).alias("tokens"),
        )  # fmt: skip

    def match(self, partition: pl.DataFrame) -> Found:
        """The documents by draw with the tokens of their domain `before` each (slice 1), and each domain's sums (slice 0)."""
        # by numbers in place of names: sorting strings takes most of the time
        names = partition["domain"].unique().sort()
        codes = pl.DataFrame({"domain": names, "code": pl.Series(range(len(names)), dtype=pl.UInt32)})
        coded = partition.join(codes, on="domain", how="left", maintain_order="left", nulls_equal=True)
        order = np.lexsort([coded[name].to_numpy() for name in ("doc", "draw", "code")])
        docs = coded[order]
        tokens, code = docs["tokens"].to_numpy(), docs["code"].to_numpy()
        passed = np.cumsum(tokens) - tokens
        first = np.flatnonzero(np.r_[True, code[1:] != code[:-1]])
        before = passed - np.repeat(passed[first], np.diff(np.r_[first, len(code)]))
        docs = docs.with_columns(pl.Series("before", before)).drop("code")
        number = pl.col("partition").first().alias("range")
        sums = docs.group_by("domain", maintain_order=True).agg(
            pl.sum("tokens"), pl.len().cast(pl.Int64).alias("documents"), number
        )
        slices = [sums.with_columns(partition=pl.lit(0, pl.UInt32)), docs.with_columns(partition=pl.lit(1, pl.UInt32))]
        facts = [
            [name, tokens, documents] for name, tokens, documents in sums.select("domain", "tokens", "documents").iter_rows()
        ]
        return Found(pl.concat(slices, how="diagonal").select("partition", *_MATCH), {"domains": facts})

    def settling(self, sketched: int, matched: list[Tally]) -> Settling:
        """Adds up the sums of the ranges, then settles each range by itself; reports what was asked for and what is taken."""
        corpus: dict[str | None, list[int]] = {}
        for tally in matched:
            for name, *sums in tally.facts.get("domains", ()):
                corpus[name] = [a + b for a, b in zip(corpus.get(name, [0, 0]), sums, strict=True)]
        tokens = {name: sums[0] for name, sums in corpus.items() if name is not None}
        asked = self._demands(tokens)
        yield Step("sums", (Take("match"),), units=1, slices=1)
        settled = yield Step("settle", (Take("match", "own"), Take("sums", "all")), units=self.partition_count)
        return share_report(asked, tokens, [tally.facts for tally in settled])

    def _demands(self, tokens: Mapping[str, int]) -> dict[str, Demand]:
        """What each domain with a weight is to give."""
        mixture = load_mixture(self.files[0])
        mixture.require(tokens)
        budget = self.tokens or mixture.token_budget
        return demands(mixture.weights, tokens, budget, self.max_epochs, self.when_short)

    def step(self, step: Step, number: int, taken: Sequence[Iterator[pl.DataFrame]]) -> pl.DataFrame | Found:
        first = pl.concat([pl.DataFrame(schema=dict(_MATCH)), *taken[0]])
        if step.name == "sums":
            sums = first.select("domain", "range", "tokens").sort("domain", "range")
            running = (pl.col("tokens").cum_sum() - pl.col("tokens")).over("domain").alias("before")
            return sums.select("domain", "range", "tokens", running, pl.lit(0, pl.UInt32).alias("partition"))
        return self._settle_range(
            number, first.filter(pl.col("doc").is_not_null()), pl.concat([pl.DataFrame(schema=dict(_SUMS)), *taken[1]])
        )

    def _settle_range(self, number: int, docs: pl.DataFrame, sums: pl.DataFrame) -> Found:
        """How often each document of a range is taken."""
        totals = dict(sums.filter(pl.col("domain").is_not_null()).group_by("domain").agg(pl.sum("tokens")).iter_rows())
        asked = self._demands(totals)
        earlier = dict(
            sums.filter((pl.col("range") == number) & pl.col("domain").is_not_null()).select("domain", "before").iter_rows()
        )
        table = pl.DataFrame(
            [(name, earlier.get(name, 0), one.copies, one.rest) for name, one in asked.items()],
            schema={"domain": pl.String, "earlier": pl.Int64, "copies": pl.Int32, "rest": pl.Int64}, orient="row",
        )  # fmt: skip
        # a document is in the rest when its middle is: the sum is met to half a document
        again = (2 * (pl.col("earlier") + pl.col("before")) + pl.col("tokens") <= 2 * pl.col("rest")) & (pl.col("rest") > 0)
        joined = docs.join(table, on="domain", how="left").with_columns(
            (pl.col("copies") + again.cast(pl.Int32)).alias("repeats")
        )
        drawn = joined.filter(pl.col("repeats") > 0).group_by("domain").agg(
            (pl.col("tokens") * pl.col("repeats")).sum(), pl.col("repeats").sum().cast(pl.Int64).alias("rows"), pl.len()
        )  # fmt: skip
        facts = {"drawn": [list(row) for row in drawn.sort("domain").iter_rows()]}
        return Found(joined.select("doc", pl.col("repeats").fill_null(-1)), facts)

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        """The repeats, and why a document is not taken."""
        weights = load_mixture(self.files[0]).weights
        found = batch.join(verdict, on="doc", how="left", maintain_order="left").with_columns(
            pl.col("domain").replace_strict(weights, default=None, return_dtype=pl.Float64).alias("weight")
        )
        reason = (
            pl.when(pl.col("weight").is_null()).then(pl.lit("unknown_domain"))
            .when(pl.col("weight") == 0).then(pl.lit("zero_weight"))
            .when(pl.col("repeats") < 1).then(pl.lit("not_sampled"))
        )  # fmt: skip
        named = pl.col("domain").fill_null("null")
        said = pl.format("domain {}, weight {}", named, pl.col("weight").round_sig_figs(6).cast(pl.String).fill_null("none"))
        return found.select(
            "doc",
            pl.col("repeats").clip(0).alias(REPEATS),
            reason.alias("drop_reason"),
            pl.when(reason.is_not_null()).then(said).alias("drop_detail"),
        )


def draws_of(docs: pl.Series, identities: pl.Series, seed: int) -> np.ndarray:
    """The draw of each document: uint64 [n], even over the 64-bit numbers."""
    known = identities.is_not_null().to_numpy()
    halves = np.zeros((len(docs), 2), dtype="<u8")
    halves[:, 1] = docs.to_numpy()
    if known.any():
        joined = b"".join(identities.drop_nulls())
        halves[known] = np.frombuffer(joined, dtype="<u8").reshape(-1, 2)
    salt = hash_documents(np.array([seed], dtype=np.uint64))
    return hash_documents(hash_documents(halves[:, 0] ^ salt) ^ halves[:, 1])


def load_mixture(path: Path) -> Mixture:
    """The mixture of a file, read again when the file is another."""
    facts = path.stat()
    return _load(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=4)
def _load(path: Path, changed_ns: int, size: int) -> Mixture:
    return load(str(path))
