"""Near-duplicates by MinHash: of documents that are alike, the best stays, and what is not like it stays too.

Documents that agree on all rows of a band are candidates. Within a bucket each is held against the best document, over
the bits of a 128-bit sketch that the band does not hold; what is alike is joined by union-find; and every member of a
component is held against the component's survivor, so that a chain of neighbours does not fall for one of them.

Source: Broder, "On the resemblance and containment of documents" (1997); bands and defaults as FineWeb
(arXiv:2406.17557) and datatrove 0.10.1 `pipeline/dedup/minhash.py`; verified merges are ours, after the sketches of Li
and König (WWW 2010).
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.dedup.bands import PEAK_BYTES, band_records, record_types, star_types, stars
from curation.dedup.components import Gathering, clusters, verdict
from curation.dedup.signatures import Family, Signer, band_keys, bit_sketch
from curation.dedup.survivors import Rule, check_policy, rank_columns, ranks
from curation.document import HEAVY, content_id
from curation.errors import RecipeError, RunStopped, explain_mismatch
from curation.stage import GlobalStage, Resources

TEXT_BYTES = "text_bytes"
"""Name under which a survivor policy may ask for the size of the text itself, in bytes."""

_SHORT = ("exact", "keep")
_signers = threading.local()


@dataclass(frozen=True)
class Minhash(GlobalStage):
    """Drops every document but the best of a cluster of near-duplicates (`near_duplicate`; the detail names the kept one
    and the estimated similarity).

    The signature: `mode` "native" or "datatrove" (the reference's values, bit by bit), `hash` (datatrove only:
    "xxhash64", "sha1_64", "xxhash32", "sha1_32"), `bands` and `rows` (a pair of Jaccard similarity J shares a band with
    probability 1 - (1 - J**rows)**bands: one half at 0.69 by default), `ngram` words a shingle, `seed` of the
    permutations, `tokenizer` (a language such as "eng_Latn", "whitespace", or "spaced": any language's words, letters
    where a script has no spaces; None: "spaced" in mode native, "eng_Latn" in mode datatrove). See dedup/signatures.py.

    `scope`: columns within whose values near-duplicates are looked for, such as ("source",); () means everywhere.
    `min_jaccard`: least estimated similarity (-1 to 1) of a document with the best of its bucket and with its survivor;
    the estimate's standard deviation is 0.075 at 0.55. None believes every bucket and drops whole components.
    `keep`: who survives: rules of a column and "largest", "smallest" or a list of its values from best to worst, compared
    in order, at most four; `text_bytes` is the size of the text; a null is the worst; ties go to the least `doc`.
    `short_documents`: what becomes of documents of fewer than `ngram` words. "exact": they are duplicates of equals only
    (native: of the same words; datatrove: of the same text). "keep": they always stay. Documents without words stay.
    `max_cluster_share`: the run stops when a cluster of `share_from` documents or more holds a larger share (0 to 1) of
    all documents with a signature; None never stops. `annotate`: False adds no column, for a recipe where dedup/exact
    adds them already.

    Memory: `documents` is how many documents are expected in all, `memory_gb` (GiB) what one match may take:
    `partitions` follows from both unless given (then a multiple of `bands`), and a partition that would take more stops
    the run before it begins. `settle_memory_gb` (GiB) bounds the clustering, about 240 bytes a document that has a like one.

    Adds `cluster_id` (uint64: `doc` of the survivor, its own for a document alone) and `cluster_size` (int32). The answer
    depends on neither the order of documents nor the partitions. Raises RecipeError on senseless settings.
    """

    mode: str = "native"
    hash: str = "xxhash64"
    bands: int = 14
    rows: int = 8
    ngram: int = 5
    seed: int = 1
    tokenizer: str | None = None
    scope: Sequence[str] = ()
    min_jaccard: float | None = 0.55
    keep: Sequence[Rule] = ((TEXT_BYTES, "largest"),)
    short_documents: str = "exact"
    max_cluster_share: float | None = 0.1
    share_from: int = 1000
    annotate: bool = True
    documents: int = 10_000_000
    memory_gb: float = 2.5
    settle_memory_gb: float = 8.0
    partitions: int = field(default=0, kw_only=True)

    libraries: ClassVar[tuple[str, ...]] = ("polars", "numpy", "numba")

    def __post_init__(self) -> None:
        _ = self.family  # raises on a senseless one
        check_policy("dedup/minhash: keep", self.keep)
        refused = [c for c in self.scope if c in HEAVY or c == "doc"]
        if isinstance(self.scope, str) or refused or len(set(self.scope)) != len(self.scope):
            raise _wrong("scope", 'light columns, each once, such as ("source",)', self.scope)
        if self.short_documents not in _SHORT:
            raise _wrong("short_documents", " or ".join(_SHORT), self.short_documents)
        if self.min_jaccard is not None and not -1 <= self.min_jaccard <= 1:
            raise _wrong("min_jaccard", "-1 to 1, or None", self.min_jaccard)
        if self.max_cluster_share is not None and not 0 < self.max_cluster_share <= 1:
            raise _wrong("max_cluster_share", "above 0, at most 1, or None", self.max_cluster_share)
        for name in ("share_from", "documents", "memory_gb", "settle_memory_gb"):
            if not getattr(self, name) > 0:
                raise _wrong(name, "more than 0", getattr(self, name))
        if not self.partitions:
            object.__setattr__(self, "partitions", self.bands * self.ranges_for(self.documents))
        if self.partitions % self.bands or not 0 < self.partitions <= 1 << 20:
            raise _wrong("partitions", f"0, or a multiple of {self.bands} (bands) up to {1 << 20}", self.partitions)

    @property
    def family(self) -> Family:
        """The signatures' family."""
        return Family(self.mode, self.hash, self.bands, self.rows, self.ngram, self.seed, self.tokenizer)

    @property
    def ranges(self) -> int:
        """Key ranges a band is cut into."""
        return self.partitions // self.bands

    def ranges_for(self, documents: int) -> int:
        """Key ranges a band needs, so that a match of evenly spread documents takes at most `memory_gb`."""
        return math.ceil(documents * PEAK_BYTES / (self.memory_gb * 2**30))

    @property
    def reads(self) -> tuple[str, ...]:
        return ()

    @property
    def sketch_reads(self) -> tuple[str, ...]:
        policy = (column for column, _ in self.keep if column != TEXT_BYTES)
        return tuple(dict.fromkeys(("text", *self.scope, *policy)))

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {"cluster_id": pa.uint64(), "cluster_size": pa.int32()} if self.annotate else {}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("near_duplicate",)

    @property
    def resources(self) -> Resources:
        return Resources(memory_gb=self.memory_gb)

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        """A record for each band of each document with a signature; see dedup/bands.py. Scopes are part of the keys."""
        signed = _signer(self.family).sign(batch["text"])
        keys, sketches = band_keys(signed, self.family), bit_sketch(signed)
        keys ^= _scope_numbers(batch, self.scope)[:, None]
        present = signed.present
        if self.short_documents == "keep":
            present = present & (signed.words >= self.ngram)
        sized = batch.with_columns(pl.col("text").str.len_bytes().alias(TEXT_BYTES))
        names = dict(zip(rank_columns(self.keep), ranks(sized, self.keep), strict=True))
        docs = batch["doc"].to_numpy()
        chosen = {name: values[present] for name, values in names.items()}
        made = [band_records(docs[present], keys[present], sketches[present], chosen, self.ranges)]
        if self.short_documents == "exact":
            made.append(self._short_records(batch, np.flatnonzero(~signed.present & (signed.words > 0)), names))
        return pl.concat(made)

    def _short_records(self, batch: pl.DataFrame, rows: np.ndarray, names: Mapping[str, np.ndarray]) -> pl.DataFrame:
        """One record, in the first band, for each short document without a signature: its text's digest is its sketch."""
        if not len(rows):
            return pl.DataFrame(schema=record_types(list(names)))
        digests = b"".join(content_id(text) for text in batch["text"].gather(rows))
        sketch = np.frombuffer(digests, dtype="<u8").reshape(-1, 2).astype(np.uint64)
        keys = sketch[:, :1] ^ _scope_numbers(batch, self.scope)[rows, None]
        chosen = {name: values[rows] for name, values in names.items()}
        return band_records(batch["doc"].to_numpy()[rows], keys, sketch, chosen, self.ranges)

    def match(self, partition: pl.DataFrame) -> pl.DataFrame:
        """The stars of one partition and its count; see dedup/bands.py. Raises RunStopped when it is too large."""
        names = rank_columns(self.keep)
        if not partition.height:
            return pl.DataFrame(schema=star_types(names))
        need = partition.height * PEAK_BYTES / 2**30
        number = int(partition["partition"][0])
        if need > self.memory_gb:
            enough = self.bands * math.ceil(1.1 * self.ranges * need / self.memory_gb)
            raise RunStopped(
                explain_mismatch(
                    f"dedup/minhash: partition {number} holds {partition.height} documents",
                    wanted=f"at most {self.memory_gb} GiB to match them",
                    found=f"{need:.1f} GiB",
                    hint=f"partitions={enough}, or a larger memory_gb; dedup/exact before it where most share one key",
                )
            )
        return stars(partition, names, number // self.ranges, self.rows, self.min_jaccard)

    def settle(self, matches: Iterable[pl.DataFrame]) -> pl.DataFrame:
        """`doc`, `kept`, `cluster_size`, `similarity` of every member of a cluster, sorted by `doc`."""
        gathering = Gathering(rank_columns(self.keep), self.settle_memory_gb)
        seen, hottest = 0, (0, 0)
        for found in matches:
            count = found.filter(pl.col("doc").is_null())
            seen += int(count["seen"].sum() or 0)
            hottest = max(hottest, *count.select("bucket", "to").iter_rows(), key=lambda bucket: (bucket[0], -bucket[1]))
            gathering.add(found.filter(pl.col("doc").is_not_null()))
        touched = gathering.touched()
        settled = verdict(touched, clusters(touched, self.min_jaccard))
        self._check_share(settled, seen, hottest)
        return settled

    def _check_share(self, settled: pl.DataFrame, seen: int, hottest: tuple[int, int]) -> None:
        if self.max_cluster_share is None or not settled.height:
            return
        size, kept = settled.sort("cluster_size", "kept", descending=(True, False)).select("cluster_size", "kept").row(0)
        if size >= self.share_from and size > self.max_cluster_share * seen:
            raise RunStopped(
                explain_mismatch(
                    f"dedup/minhash: the cluster of doc={kept} holds {size} documents: a template, or a broken extractor?",
                    wanted=f"at most {self.max_cluster_share:.1%} of the {seen} documents with a signature",
                    found=f"{size / seen:.1%}; the largest bucket, of doc={hottest[1]}, holds {hottest[0]}",
                    hint="look at that document; put dedup/exact before it, raise min_jaccard or max_cluster_share",
                )
            )

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        """The cluster, and `near_duplicate` for all but its survivor."""
        found = batch.select("doc").join(verdict, on="doc", how="left", maintain_order="left")
        is_twin = pl.col("kept").is_not_null() & (pl.col("kept") != pl.col("doc"))
        similarity = pl.col("similarity").cast(pl.Float64).round(2)
        least = "" if self.min_jaccard is None else f" >= {self.min_jaccard}"
        detail = pl.format("kept twin doc={}, estimated similarity {}" + least, "kept", similarity)
        return found.select(
            "doc",
            *((pl.coalesce("kept", "doc").alias("cluster_id"), pl.col("cluster_size").fill_null(1)) if self.annotate else ()),
            pl.when(is_twin).then(pl.lit("near_duplicate")).alias("drop_reason"),
            pl.when(is_twin).then(detail).alias("drop_detail"),
        )


def _wrong(name: str, wanted: str, found: object) -> RecipeError:
    return RecipeError(explain_mismatch(f"dedup/minhash: {name}", wanted=wanted, found=repr(found)))


def _signer(family: Family) -> Signer:
    """This thread's signer of a family: it keeps the words it has met from batch to batch."""
    kept = getattr(_signers, "kept", None)
    if kept is None or kept.family != family:
        kept = _signers.kept = Signer(family)
    return kept


def _scope_numbers(batch: pl.DataFrame, scope: Sequence[str]) -> np.ndarray:
    """One number (uint64) for each document's values of the scope columns, 0 for no scope."""
    if not scope:
        return np.zeros(batch.height, dtype=np.uint64)
    values = batch.select(pl.struct(list(scope)).struct.json_encode().alias("scope"))["scope"]
    known = {v: int.from_bytes(hashlib.blake2b(v.encode(), digest_size=8).digest(), "little") for v in values.unique()}
    return values.replace_strict(known, return_dtype=pl.UInt64).to_numpy()
