"""Confirmation of large clusters on the texts themselves: who is not like the survivor, word for word, is not dropped.

    Minhash(drop=False), Confirm()

dedup/minhash merges by a sketch of 128 bits, whose estimate of a similarity is 0.05 to 0.08 off. In a pair that is
nothing; in a cluster of a hundred thousand (a template, a false key) it decides over many documents. Here the members
of large clusters are held against their survivor by the sets of their shingles (runs of words, as 32-bit hashes): the
sets are all that leaves a shard. The refused gather around the best among them, and so on; who is like none stays.

A shingle of one set meets another one of the other set by chance n * m / 2**32 times: 0.0002 times for sets of 1,000,
0.02 for 10,000, 2.3 for 100,000, so a similarity is never off by more than about 0.00002 for documents up to that size.

Source: ours; similarity of shingle sets after Broder, "On the resemblance and containment of documents" (1997), samples
of long documents after Cohen and Kaplan, "Summarizing data using bottom-k sketches" (PODC 2007), refused members after
the leader algorithm (Hartigan, Clustering Algorithms, 1975). Decision 013 says why and what it measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.dedup.minhash import TEXT_BYTES
from curation.dedup.scope import MOST_PARTITIONS, partition_of
from curation.dedup.signatures import NUMBERS, Family, signer_of
from curation.dedup.survivors import Rule, check_policy, rank_columns, ranks
from curation.errors import RunStopped, explain_mismatch
from curation.options import check_choice, check_number, check_share, check_whole, refuse
from curation.stage import GlobalStage, Resources
from curation.text.compiled import kernel, leaf

COMPARISONS = 64
"""Comparisons a member of a cluster takes, on average over the cluster, before what is still refused is left alone."""

WHOLE = 1 << 32
"""Cut-off of a set that holds all shingles of its document: above every hash."""

SHINGLE_BYTES = 9
ROW_BYTES = 280
"""Bytes a shingle and a document take at the peak of `match`, the partition itself included (measured, with headroom)."""

_FIXED = {"doc": pl.UInt64(), "partition": pl.UInt32(), "cluster_id": pl.UInt64()}
_SETS = {"cutoff": pl.UInt64(), "shingles": pl.List(pl.UInt32())}
_VERDICT = {"doc": pl.UInt64(), "kept": pl.UInt64(), "members": pl.Int32(), "similarity": pl.Float32(), "sampled": pl.Boolean()}
_BLOCK = 64
_LOWER = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Confirm(GlobalStage):
    """Drops every document but the best of a cluster (`near_duplicate`), after the members of large clusters have been
    held against it by their texts; stands behind dedup/minhash with drop=False.

    `from_size`: clusters of at least so many documents (2 or more) are confirmed. Of smaller ones all but the survivor
    are dropped on the estimate of dedup/minhash. `min_jaccard` (0 to 1): least similarity of a member and its survivor,
    the Jaccard similarity of their sets of shingles; who has less is refused, and the refused gather around the best
    of them. `keep`: who is the best among the refused: rules as of dedup/minhash, as a rule the same ones.

    The shingles: runs of `ngram` words (1 to 255), a shorter document is one shingle of all its words; `tokenizer`: what
    splits words, a language such as "eng_Latn", "whitespace", or None for what dedup/minhash has by default; `numbers`:
    "zero" takes all numbers for equal, as dedup/minhash does, "keep" does not. Letter case, punctuation and diacritics
    do not count.

    `most_shingles` (64 or more): of a document with more different shingles the so many of least hash are kept, 4 bytes
    each; it is compared with others over the range of hashes that both have in full, at least so many of their union.
    The similarity is then an estimate (the detail says "sampled") without bias and with a standard deviation of at most
    sqrt(J * (1 - J) / most_shingles), 0.007 at J = 0.7. `memory_gb` (GiB): what one match may take, 9 bytes a shingle and
    280 a document; a partition that would take more stops the run before it is matched. A cluster is never cut, so that
    is its bound too: 859,092 documents of 1,000 words need 7.4 GiB. `partitions`: what the clusters are spread over.

    Rewrites `cluster_id`, and `cluster_size` where a cluster fell apart: each part has the number of its members, exact
    twins dropped before them no longer counted. Work: 64 comparisons a member; what is then still refused stays. A
    cluster that lost its survivor since dedup/minhash has its best living member instead, its size as it was. The answer
    depends on neither the order of documents nor the partitions. Raises RecipeError on senseless settings.
    """

    from_size: int = 100
    min_jaccard: float = 0.7
    keep: Sequence[Rule] = ((TEXT_BYTES, "largest"),)
    ngram: int = 5
    tokenizer: str | None = None
    numbers: str = "zero"
    most_shingles: int = 4096
    memory_gb: float = 8.0

    libraries: ClassVar[tuple[str, ...]] = ("polars", "numpy", "numba")
    sketch_fields = ("from_size", "keep", "ngram", "tokenizer", "numbers", "most_shingles", "partitions")
    match_fields = ("min_jaccard",)
    settles_apart = True

    def __post_init__(self) -> None:
        check_policy("dedup/confirm: keep", self.keep)
        check_share(self, "min_jaccard")
        check_choice(self, "numbers", NUMBERS)
        for name, least, most in (
            ("from_size", 2, 2**31 - 1),
            ("ngram", 1, 255),
            ("most_shingles", 64, 2**31 - 1),
            ("partitions", 1, MOST_PARTITIONS),
        ):
            check_whole(self, name, least=least)
            if getattr(self, name) > most:
                refuse(self, name, f"{least} to {most}", getattr(self, name))
        check_number(self, "memory_gb")
        if self.memory_gb <= 0:
            refuse(self, "memory_gb", "more than 0", self.memory_gb)
        _ = self.family  # raises on an unknown tokenizer

    @property
    def family(self) -> Family:
        """What makes shingles of a text."""
        return Family(ngram=self.ngram, numbers=self.numbers, tokenizer=self.tokenizer)

    @property
    def reads(self) -> tuple[str, ...]:
        return ("cluster_id", "cluster_size", "stat_cluster_similarity")

    @property
    def sketch_reads(self) -> tuple[str, ...]:
        policy = (column for column, _ in self.keep if column != TEXT_BYTES)
        return tuple(dict.fromkeys(("text", "cluster_id", "cluster_size", *policy)))

    @property
    def rewrites(self) -> tuple[str, ...]:
        return ("cluster_id", "cluster_size")

    @property
    def drops(self) -> tuple[str, ...]:
        return ("near_duplicate",)

    @property
    def resources(self) -> Resources:
        return Resources(memory_gb=self.memory_gb)

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        """A row for each document of a cluster: `cluster_id`, its ranks and, in large clusters alone, its sorted set of
        shingle hashes with the `cutoff` below which the set is complete."""
        sized = batch.filter(pl.col("cluster_size") >= 2).with_columns(pl.col("text").str.len_bytes().alias(TEXT_BYTES))
        names = rank_columns(self.keep)
        clusters = sized["cluster_id"].to_numpy()
        rows = sized.select(
            "doc",
            partition_of(clusters * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32), self.partitions),
            "cluster_id",
            *(pl.Series(name, values) for name, values in zip(names, ranks(sized, self.keep), strict=True)),
        )
        is_large = sized["cluster_size"] >= self.from_size
        large, small = rows.filter(is_large), rows.filter(~is_large)
        if large.height:
            hashes, begin = signer_of(self.family).shingle_hashes(sized["text"].filter(is_large))
            values, first, cutoff = least_shingles(hashes, begin, self.most_shingles)
            sets = pl.Series("shingles", pa.LargeListArray.from_arrays(first, values))
            large = large.with_columns(pl.Series("cutoff", cutoff), sets)
        types = {**_FIXED, **dict.fromkeys(names, pl.UInt64()), **_SETS}
        return pl.concat([pl.DataFrame(schema=types), large, small], how="diagonal")

    def match(self, partition: pl.DataFrame) -> pl.DataFrame:
        """The verdict on every member of a large cluster and of a small one whose survivor is gone."""
        self._check_shingles(partition)
        names = rank_columns(self.keep)
        small = partition.filter(pl.col("shingles").is_null())
        made = [pl.DataFrame(schema=_VERDICT), _orphans(small, names)]
        large = np.flatnonzero(partition["shingles"].is_not_null().to_numpy())
        if len(large):
            made.append(self._confirmed(partition, large, names))
        return pl.concat(made).sort("doc")

    def _confirmed(self, partition: pl.DataFrame, large: np.ndarray, names: Sequence[str]) -> pl.DataFrame:
        sets = partition["shingles"].rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        values, offsets = sets.values.to_numpy(), sets.offsets.to_numpy()
        taken = {name: partition[name].to_numpy()[large] for name in ("doc", "cluster_id", *names)}
        doc, cluster = taken["doc"], taken["cluster_id"]
        order = np.lexsort((doc, *(taken[name] for name in reversed(names)), doc != cluster, cluster))
        doc, cluster, large = doc[order], cluster[order], large[order]
        cutoff = partition["cutoff"].to_numpy()[large].astype(np.int64)
        first = np.flatnonzero(np.r_[True, cluster[1:] != cluster[:-1], True])
        centre = np.arange(len(doc))
        similarity = np.full(len(doc), np.nan)
        gather(first, offsets[large], offsets[large + 1], cutoff, values, self.min_jaccard, COMPARISONS, centre, similarity)
        columns = {
            "doc": doc,
            "kept": doc[centre],
            "members": pl.Series(_sizes(first, centre)).replace(0, None),
            "similarity": pl.Series(similarity.astype(np.float32)).fill_nan(None),
            "sampled": np.minimum(cutoff, cutoff[centre]) < WHOLE,
        }
        return pl.DataFrame(columns, schema=_VERDICT)

    def _check_shingles(self, partition: pl.DataFrame) -> None:
        shingles = int(partition["shingles"].list.len().cast(pl.Int64).sum() or 0)
        need = (shingles * SHINGLE_BYTES + partition.height * ROW_BYTES) / 2**30
        if need > self.memory_gb:
            number = int(partition["partition"][0])
            enough = math.ceil(1.1 * self.partitions * need / self.memory_gb)
            raise RunStopped(
                explain_mismatch(
                    f"dedup/confirm: partition {number} holds {partition.height} documents of {shingles} shingles",
                    wanted=f"at most {self.memory_gb} GiB to match them",
                    found=f"{need:.1f} GiB",
                    hint=f"partitions={enough}, a larger memory_gb, or a smaller most_shingles where one cluster is too large",
                )
            )

    def settle(self, matches: Iterable[pl.DataFrame]) -> pl.DataFrame:
        """All verdicts, sorted by `doc`: a cluster lies in one partition, so there is nothing left to join."""
        return pl.concat([pl.DataFrame(schema=_VERDICT), *matches]).sort("doc")

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        """The cluster, and `near_duplicate` for all but its survivor."""
        found = batch.join(verdict, on="doc", how="left", maintain_order="left")
        kept = pl.coalesce("kept", "cluster_id")
        is_twin = (kept != pl.col("doc")).fill_null(False)
        similarity = pl.col("similarity").cast(pl.Float64).round(2)
        estimated = pl.col("stat_cluster_similarity").cast(pl.Float64).round(2)
        how = pl.when("sampled").then(pl.lit("sampled")).otherwise(pl.lit("exact"))
        detail = pl.coalesce(
            pl.format("kept twin doc={}, {} similarity {} >= {}", kept, how, similarity, pl.lit(self.min_jaccard)),
            pl.format("kept twin doc={} for doc={}, which was dropped before", "kept", "cluster_id"),
            pl.format("kept twin doc={}, estimated similarity {}", kept, estimated),
            pl.format("kept twin doc={}", kept),
        )
        return found.select(
            "doc",
            kept.alias("cluster_id"),
            pl.coalesce("members", "cluster_size").alias("cluster_size"),
            pl.when(is_twin).then(pl.lit("near_duplicate")).alias("drop_reason"),
            pl.when(is_twin).then(detail).alias("drop_detail"),
        )


def _orphans(small: pl.DataFrame, rank_names: Sequence[str]) -> pl.DataFrame:
    """The verdict on members of small clusters whose survivor is not among them: the best of them is it now."""
    lost = small.filter((pl.col("doc") != pl.col("cluster_id")).all().over("cluster_id")).sort(*rank_names, "doc")
    return lost.select(
        "doc",
        pl.col("doc").first().over("cluster_id").alias("kept"),
        pl.lit(None, dtype=pl.Int32).alias("members"),
        pl.lit(None, dtype=pl.Float32).alias("similarity"),
        pl.lit(None, dtype=pl.Boolean).alias("sampled"),
    )


def _sizes(first: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """How many rows have each row's centre, int32; 0 throughout a cluster that is still one: its size may count more
    than is here, such as exact twins dropped before."""
    begin = np.repeat(first[:-1], np.diff(first))
    whole = np.repeat(np.maximum.reduceat(centre != begin, first[:-1]) == 0, np.diff(first))
    return np.where(whole, 0, np.bincount(centre, minlength=len(centre))[centre]).astype(np.int32)


def least_shingles(hashes: np.ndarray, begin: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each text's different shingle hashes in order (uint32), at most `most` of them, where each text's begin (int64
    [n + 1]) and its cut-off (uint64 [n]): the set holds every hash of the text below it, WHOLE when it holds all."""
    texts = len(begin) - 1
    keys = np.repeat(np.arange(texts, dtype=np.uint64), np.diff(begin)) << np.uint64(32) | hashes
    keys.sort()
    keys = keys[np.r_[True, keys[1:] != keys[:-1]]] if len(keys) else keys
    first = np.searchsorted(keys, np.arange(texts + 1, dtype=np.uint64) << np.uint64(32))
    sizes = np.diff(first)
    cutoff = np.full(texts, WHOLE, dtype=np.uint64)
    longer = np.flatnonzero(sizes > most)
    cutoff[longer] = keys[first[longer] + most] & _LOWER
    kept = np.arange(len(keys)) - np.repeat(first[:-1], sizes) < most
    begins = np.concatenate([[0], np.cumsum(np.minimum(sizes, most))]).astype(np.int64)
    return (keys[kept] & _LOWER).astype(np.uint32), begins, cutoff


@leaf
def _end_below(values, begin, end, limit):
    """The end of what is below `limit` in the sorted values begin to end."""
    while begin < end:
        middle = (begin + end) // 2
        if np.int64(values[middle]) < limit:
            begin = middle + 1
        else:
            end = middle
    return begin


@leaf
def _shared(values, a, a_end, b, b_end, least):
    """How many of the sorted values a to a_end are among b to b_end; any number below `least` when they are fewer."""
    shared = np.int64(0)
    left = min(a_end - a, b_end - b)
    while left > 0 and shared + left >= least:
        # no position passes its end within so many steps, so the steps need no look at it and no branch
        for _ in range(min(left, _BLOCK)):
            x, y = values[a], values[b]
            shared += x == y
            a += x <= y
            b += y <= x
        left = min(a_end - a, b_end - b)
    return shared


@leaf
def jaccard(values, a, a_end, b, b_end, least_jaccard):
    """Jaccard similarity of two sorted sets, 0 for two empty ones; any value below `least_jaccard` when it is less."""
    total = (a_end - a) + (b_end - b)
    if total == 0:
        return 0.0
    least = np.int64(least_jaccard * total / (1 + least_jaccard)) - 1  # one less: rounding refuses nobody
    shared = _shared(values, a, a_end, b, b_end, least)
    return shared / (total - shared)


@kernel
def gather(first, begin, end, cutoff, values, min_jaccard, comparisons, centre, similarity):
    """Writes into `centre` (int64 [n], 0 to n - 1 throughout) the row each row is kept for, and into `similarity`
    (float64 [n]) theirs. Cluster c is rows first[c] to first[c + 1], best document first, and row i has the sorted
    values begin[i] to end[i], complete below cutoff[i]. Work: at most `comparisons` a row and one round more."""
    for c in range(first.size - 1):
        left = np.arange(first[c], first[c + 1])
        n = left.size
        budget = comparisons * n
        while n > 1 and budget > 0:
            budget -= n - 1
            best, stay = left[0], 0
            for i in range(1, n):
                row = left[i]
                limit = min(cutoff[best], cutoff[row])
                a_end = end[best] if cutoff[best] == limit else _end_below(values, begin[best], end[best], limit)
                b_end = end[row] if cutoff[row] == limit else _end_below(values, begin[row], end[row], limit)
                found = jaccard(values, begin[best], a_end, begin[row], b_end, min_jaccard)
                if found >= min_jaccard:
                    centre[row], similarity[row] = best, found
                else:
                    left[stay] = row
                    stay += 1
            n = stay
