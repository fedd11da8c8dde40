"""Band records: documents that agree in all rows of a band share a bucket, and each bucket becomes a star.

A record is `doc`, `partition` (band and range of keys), `key` (64 bits of the band), the 128-bit sketch of the whole
signature in `low` and `high`, the survivor ranks, and what else is carried along. A document has one record a band, so
within a partition every document lies in one bucket and the stars of its buckets are a forest: nothing is left to contract
there.

Source: ours; bands after Indyk and Motwani (STOC 1998), one-bit sketches after Li and König (b-Bit Minwise Hashing, WWW
2010), the star to the least member after Kiveris et al. (Connected Components in MapReduce and Beyond, SoCC 2014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from curation.text.compiled import kernel, leaf

SKETCH_BITS = 128
STAR_ROUNDS = 64
"""Centres a bucket may have. What is like none of them stays alone: it is kept."""

HOTTEST = 5
"""Largest buckets of a partition that are told of."""

INDEXED = 1 << 63
"""The bit of a `doc` that says, in a run against an index of earlier corpora: a member of that index."""

PEAK_BYTES = 240
"""Bytes a record takes at the peak of a match, reading and writing included, with every document in a bucket (measured, with
headroom)."""


def record_types(carried: Sequence[str]) -> dict[str, pl.DataType]:
    """Columns of a band record: its own, and those that are `carried` (ranks and what else is asked for)."""
    names = ("key", "low", "high", *carried)
    return {"doc": pl.UInt64(), "partition": pl.UInt32(), **dict.fromkeys(names, pl.UInt64())}


def band_records(
    docs: np.ndarray, keys: np.ndarray, sketch: np.ndarray, carried: Mapping[str, np.ndarray], ranges: int
) -> pl.DataFrame:
    """Records of documents from their band keys (uint64 [n, bands]), sketches (uint64 [n, 2]) and carried columns (uint64)."""
    bands = keys.shape[1]
    key = keys.T.ravel()
    band = np.repeat(np.arange(bands, dtype=np.uint32), len(docs))
    columns = {"doc": np.tile(docs, bands), "partition": band * np.uint32(ranges) + key_range(key, ranges), "key": key}
    columns.update({"low": np.tile(sketch[:, 0], bands), "high": np.tile(sketch[:, 1], bands)})
    columns.update({name: np.tile(values, bands) for name, values in carried.items()})
    return pl.DataFrame(columns, schema=record_types(list(carried)))


def key_range(keys: np.ndarray, ranges: int) -> np.ndarray:
    """The range (uint32 < ranges) each key lies in: equal parts of the 64-bit numbers, by their upper half."""
    return ((keys >> np.uint64(32)) * np.uint64(ranges) >> np.uint64(32)).astype(np.uint32)


def needed_bits(min_jaccard: float, bits: int) -> int:
    """How many of `bits` equal sketch bits say that the estimate 2 * equal / bits - 1 is at least `min_jaccard`."""
    return int(np.ceil(bits * (1 + min_jaccard) / 2 - 1e-9))


def band_mask(band: int, rows: int) -> tuple[int, int]:
    """The sketch bits without those of one band: documents of a bucket agree in these, whatever their similarity."""
    taken = ((1 << rows) - 1) << (band * rows)
    left = ~taken & ((1 << SKETCH_BITS) - 1)
    if left.bit_count() < SKETCH_BITS // 2:  # too few for an estimate: bands this long are hardly met by chance
        left = (1 << SKETCH_BITS) - 1
    return left & ((1 << 64) - 1), left >> 64


@leaf
def ones(x):
    """Set bits of a uint64."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@leaf
def differing(low_a, high_a, low_b, high_b):
    """Bits in which two sketches differ."""
    return ones(low_a ^ low_b) + ones(high_a ^ high_b)


@kernel
def make_stars(first, low, high, mask_low, mask_high, allowed, rounds, centre):
    """Writes into `centre` (int64 [n], -1 throughout) the row each row's edge leads to; -1 stays where it is like no
    other. Bucket b is rows first[b] to first[b + 1], best document first; two rows are alike when at most `allowed`
    sketch bits under the mask differ. Returns how many rows their bucket's best refused."""
    longest = 0
    for b in range(first.size - 1):
        longest = max(longest, first[b + 1] - first[b])
    left = np.empty(longest, dtype=np.int64)
    refused = 0
    for b in range(first.size - 1):
        n = first[b + 1] - first[b]
        for i in range(n):
            left[i] = first[b] + i
        for turn in range(rounds):
            if n < 2:
                break
            best, stay, joined = left[0], 0, False
            a_low, a_high = low[best], high[best]
            for i in range(1, n):
                row = left[i]
                if differing(a_low & mask_low, a_high & mask_high, low[row] & mask_low, high[row] & mask_high) <= allowed:
                    centre[row], joined = best, True
                else:
                    left[stay] = row
                    stay += 1
            if joined:
                centre[best] = best
            if turn == 0:
                refused += stay
            n = stay
    return refused


class Bucket(NamedTuple):
    """Documents that share a key: how many, and the best of them."""

    size: int
    best: int


def stars(
    records: pl.DataFrame, rank_names: Sequence[str], band: int, rows: int, min_jaccard: float | None, indexed: bool = False
) -> tuple[pl.DataFrame, int, list[Bucket]]:
    """The stars of one partition: a row for every document that has a like one, with `to`, the document its edge leads
    to (itself for a centre), and the record's other columns but `partition` and `key`, sorted by `doc`.

    Besides, how many documents the best of their bucket refused, and the HOTTEST largest buckets. With `min_jaccard` None
    none is refused. `indexed`: members of an index are among the records, and better than all others.
    """
    order, first = _buckets(records, rank_names, indexed)
    centre, refused = _centres(records, order, first, band, rows, min_jaccard)
    docs = records["doc"].to_numpy()[order]
    hottest = _hottest(first, docs)
    linked = np.flatnonzero(centre >= 0)
    linked = linked[np.argsort(docs[linked])]
    to, order = docs[centre[linked]], order[linked]
    names = [name for name in records.columns if name not in ("partition", "key")]
    columns = {name: records[name].to_numpy()[order] for name in names} | {"to": to}
    return pl.DataFrame(columns, schema={**star_types(names)}), refused, hottest


def _buckets(records: pl.DataFrame, rank_names: Sequence[str], indexed: bool) -> tuple[np.ndarray, np.ndarray]:
    """The records that share their key, bucket by bucket, best first: their rows; and where each bucket begins, and the end."""
    key = records["key"].to_numpy()
    order = np.argsort(key, kind="stable")
    key = key[order]
    same = np.zeros(len(key) + 1, dtype=bool)
    same[1:-1] = key[1:] == key[:-1]
    order = order[same[1:] | same[:-1]]
    docs, *others = (records[name].to_numpy()[order] for name in ("doc", *reversed(rank_names), "key"))
    older_first = [docs < np.uint64(INDEXED)] if indexed else []
    order = order[np.lexsort([docs, *others[:-1], *older_first, others[-1]])]
    key = records["key"].to_numpy()[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1], True]) if len(order) else np.zeros(1, np.int64)
    return order, first


def _centres(
    records: pl.DataFrame, order: np.ndarray, first: np.ndarray, band: int, rows: int, min_jaccard: float | None
) -> tuple[np.ndarray, int]:
    """`make_stars` over the rows in their order."""
    centre = np.full(len(order), -1, dtype=np.int64)
    mask = band_mask(band, rows) if min_jaccard is not None else (0, 0)
    bits = sum(half.bit_count() for half in mask)
    allowed = bits - needed_bits(min_jaccard, bits) if min_jaccard is not None else 0
    masks = np.array(mask, dtype=np.uint64)
    low, high = records["low"].to_numpy()[order], records["high"].to_numpy()[order]
    return centre, make_stars(first, low, high, masks[0], masks[1], allowed, STAR_ROUNDS, centre)


def star_types(names: Sequence[str]) -> dict[str, pl.DataType]:
    """Columns of what `stars` returns, from those of the records."""
    return dict.fromkeys((*names, "to"), pl.UInt64())


def _hottest(first: np.ndarray, docs: np.ndarray) -> list[Bucket]:
    sizes = np.diff(first)
    if not len(sizes):
        return []
    return [Bucket(int(sizes[i]), int(docs[first[i]])) for i in np.lexsort((docs[first[:-1]], -sizes))[:HOTTEST]]
