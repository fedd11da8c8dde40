"""Near-duplicates by MinHash: of documents that are alike, the best stays, and what is not like it stays too.

Documents that agree on all rows of a band are candidates. Within a bucket each is held against the best document, over
the bits of a 128-bit sketch that the band does not hold; what is alike is joined to components; and every member of a
component is held against the component's survivor, so that a chain of neighbours does not fall for one of them.

    sketch   a shard          -> a record for each band of each document, cut by band and range of keys
    match    a range of a band -> the stars of its buckets (dedup/bands.py), cut by document
    label    all stars         -> the least document of each component, in one place (dedup/labels.py); where that is too
                                 small, `edges` and rounds of `large` and `small` stars, in slices by document
    gather   a slice           -> each document once, with its edges and label, cut by component
    cluster  a slice           -> the verdict on whole components (dedup/components.py)

With an index of earlier corpora (dedup/index.py) its records join those of their band and range in `match`; what comes of
that is theirs to say in dedup/index_match.py.

Source: Broder, "On the resemblance and containment of documents" (1997); bands and defaults as FineWeb
(arXiv:2406.17557) and datatrove 0.10.1 `pipeline/dedup/minhash.py`; verified merges are ours, after the sketches of Li
and König (WWW 2010).
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.dedup import index_match, labels
from curation.dedup.bands import INDEXED, PEAK_BYTES, band_records, record_types, stars
from curation.dedup.cluster_report import check_shares, gather_report, largest_clusters, per_origin
from curation.dedup.components import GATHER_BYTES, MEMBER_BYTES, VERDICT, clusters, gather, members, verdict
from curation.dedup.index import MANIFEST, Index, kind_of, open_index, probe
from curation.dedup.labels import LABEL_BYTES, ROUND_BYTES, Components
from curation.dedup.scope import check_scope, scope_keys
from curation.dedup.signatures import Family, band_keys, bit_sketch, signer_of
from curation.dedup.survivors import Rule, check_policy, rank_columns, ranks
from curation.document import content_id
from curation.errors import RecipeError, RunStopped, explain_mismatch
from curation.stage import Found, GlobalStage, Resources, Settling, Step, Take, Tally

TEXT_BYTES = "text_bytes"
"""Name under which a survivor policy may ask for the size of the text itself, in bytes."""

MOST_PARTITIONS = 1 << 20

USUAL_DOCUMENTS = 10_000_000
"""How many are taken for granted before they are counted, as when a recipe is explained."""

_SHORT = ("exact", "keep")


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
    `drop`: False drops nothing and adds `stat_cluster_similarity` (float32, with the survivor; null for a document alone),
    for a later stage such as dedup/confirm to decide. `extend`: True for a recipe where a stage before it, such as
    dedup/exact, adds clusters already: they are joined, their sizes are summed.

    `share_of`: columns whose values say what a document belongs to, such as its source; when a cluster of `share_from`
    documents or more holds a larger share than `max_cluster_share` (0 to 1) of all that belong together, the run stops:
    a template, or a broken extractor. None never stops.

    Memory: `documents` is how many documents there are in all (None: as the plan counts them when the stage begins),
    `memory_gb` (GiB) what one unit may take: `partitions` follows from both unless given (then a multiple of `bands`), and a
    partition that would take more stops the run before it is read; the members of an index count. `settle_memory_gb` (GiB)
    is what one place may take to label components, about 90 bytes a document; more documents than that are labelled in
    rounds over slices, with the same answer.

    `index`: folder of an index of earlier corpora, on a disk that every worker sees, made by `curation index build` of a run
    with the same signatures, scope and short_documents. Its members are better than every document of this run, and nothing
    changes about them; a document like one of them is dropped as `near_duplicate_of_index`, and the detail names the
    snapshot and member. Then `cluster_id` of a document with its survivor in the index is 2**63 + that member's number, and
    `cluster_size` counts what the index counted. Not with drop=False; at most 2**23 inputs. None: no index.

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
    drop: bool = True
    extend: bool = False
    share_of: Sequence[str] = ("source",)
    max_cluster_share: float | None = 0.1
    share_from: int = 1000
    documents: int | None = None
    memory_gb: float = 2.5
    settle_memory_gb: float = 8.0
    index: str | None = None
    partitions: int = field(default=0, kw_only=True)

    libraries: ClassVar[tuple[str, ...]] = ("polars", "numpy", "numba")
    sketch_fields: ClassVar[tuple[str, ...]] = (
        "mode", "hash", "bands", "rows", "ngram", "seed", "tokenizer", "scope", "keep", "short_documents", "extend",
        "share_of",
    )  # fmt: skip
    match_fields: ClassVar[tuple[str, ...]] = ("min_jaccard",)
    path_fields: ClassVar[tuple[str, ...]] = ("index",)
    sketches_files: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _ = self.family  # raises on a senseless one
        check_policy("dedup/minhash: keep", self.keep)
        for name in ("scope", "share_of"):
            check_scope(self, name)
        if self.short_documents not in _SHORT:
            raise _wrong("short_documents", " or ".join(_SHORT), self.short_documents)
        if self.min_jaccard is not None and not -1 <= self.min_jaccard <= 1:
            raise _wrong("min_jaccard", "-1 to 1, or None", self.min_jaccard)
        if self.max_cluster_share is not None and not 0 < self.max_cluster_share <= 1:
            raise _wrong("max_cluster_share", "above 0, at most 1, or None", self.max_cluster_share)
        for name in ("share_from", "documents", "memory_gb", "settle_memory_gb"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise _wrong(name, "more than 0", getattr(self, name))
        if self.index is not None:
            self._open()  # raises on one that is missing or of another kind
        known = self.partitions or self.documents  # else they follow from what the plan counts
        if known and (self.partition_count % self.bands or not 0 < self.partition_count <= MOST_PARTITIONS):
            wanted = f"0, or a multiple of {self.bands} (bands) up to {MOST_PARTITIONS}"
            raise _wrong("partitions", wanted, self.partition_count)

    @property
    def family(self) -> Family:
        """The signatures' family."""
        return Family(self.mode, self.hash, self.bands, self.rows, self.ngram, self.seed, self.tokenizer)

    def _open(self) -> Index:
        """The index. Raises RecipeError when it is of another kind than this stage's, or cannot go with its settings."""
        if not self.drop:
            raise _wrong("drop", "true with an index: no later stage has the texts of its members", self.drop)
        if "://" in str(self.index):
            raise _wrong("index", "a path: copy an index from a store to a disk that every worker has", self.index)
        found = _opened(str(self.index), os.stat(self.files[0]).st_mtime_ns if self.files[0].is_file() else 0)
        for name, theirs, mine in found.manifest.kind.differing(kind_of(self.family, self.scope, self.short_documents)):
            raise _wrong(f"{name} differs from the index {self.index}", repr(theirs), mine)
        return found

    @property
    def files(self) -> tuple[Path, ...]:
        return () if self.index is None else (Path(self.index) / MANIFEST,)

    @cached_property
    def partition_count(self) -> int:
        """`partitions`, or as many as the documents need, those of the index included."""
        older = 0 if self.index is None else self._open().manifest.documents
        return self.partitions or self.bands * self.ranges_for((self.documents or USUAL_DOCUMENTS) + older)

    def sized(self, documents: int) -> Minhash:
        return self if self.partitions or self.documents else replace(self, documents=max(1, documents))

    @property
    def ranges(self) -> int:
        """Key ranges a band is cut into."""
        return self.partition_count // self.bands

    def ranges_for(self, documents: int) -> int:
        """Key ranges a band needs, so that a match of evenly spread documents takes at most `memory_gb`."""
        return math.ceil(documents * PEAK_BYTES / (self.memory_gb * 2**30))

    @property
    def match_slices(self) -> int:
        """Slices of documents in which stars are gathered: a document may have a star in every band."""
        return self.bands * self.ranges

    @property
    def reads(self) -> tuple[str, ...]:
        return ()

    @property
    def sketch_reads(self) -> tuple[str, ...]:
        policy = (column for column, _ in self.keep if column != TEXT_BYTES)
        weight = ("cluster_size",) if self.extend else ()
        return tuple(dict.fromkeys(("text", *self.scope, *self.share_of, *policy, *weight)))

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        similarity = {} if self.drop else {"stat_cluster_similarity": pa.float32()}
        return similarity if self.extend else {"cluster_id": pa.uint64(), "cluster_size": pa.int32(), **similarity}

    @property
    def rewrites(self) -> tuple[str, ...]:
        return ("cluster_id", "cluster_size") if self.extend else ()

    @property
    def drops(self) -> tuple[str, ...]:
        of_index = ("near_duplicate_of_index",) if self.index is not None else ()
        return ("near_duplicate", *of_index) if self.drop else ()

    @property
    def resources(self) -> Resources:
        return Resources(memory_gb=self.memory_gb)

    # -- sketch

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        """A record for each band of each document with a signature; see dedup/bands.py. Scopes are part of the keys."""
        signed = signer_of(self.family).sign(batch["text"])
        keys, sketches = band_keys(signed, self.family), bit_sketch(signed)
        keys ^= scope_keys(batch, self.scope)[:, None]
        present = signed.present
        if self.short_documents == "keep":
            present = present & (signed.words >= self.ngram)
        carried = self._carried(batch)
        docs = batch["doc"].to_numpy()
        chosen = {name: values[present] for name, values in carried.items()}
        made = [band_records(docs[present], keys[present], sketches[present], chosen, self.ranges)]
        if self.short_documents == "exact":
            made.append(self._short_records(batch, np.flatnonzero(~signed.present & (signed.words > 0)), carried))
        return pl.concat(made)

    def _carried(self, batch: pl.DataFrame) -> dict[str, np.ndarray]:
        """What goes with a document's records: its ranks, what it belongs to, how many it stands for."""
        sized = batch.with_columns(pl.col("text").str.len_bytes().alias(TEXT_BYTES))
        carried = dict(zip(rank_columns(self.keep), ranks(sized, self.keep), strict=True))
        if self.share_of:
            carried["origin"] = scope_keys(batch, self.share_of)
        if self.extend:
            carried["weight"] = batch["cluster_size"].cast(pl.UInt64).to_numpy()
        return carried

    def _short_records(self, batch: pl.DataFrame, rows: np.ndarray, carried: Mapping[str, np.ndarray]) -> pl.DataFrame:
        """One record, in the first band, for each short document without a signature: its text's digest is its sketch."""
        if not len(rows):
            return pl.DataFrame(schema=record_types(list(carried)))
        digests = b"".join(content_id(text) for text in batch["text"].gather(rows))
        sketch = np.frombuffer(digests, dtype="<u8").reshape(-1, 2).astype(np.uint64)
        keys = sketch[:, :1] ^ scope_keys(batch, self.scope)[rows, None]
        chosen = {name: values[rows] for name, values in carried.items()}
        return band_records(batch["doc"].to_numpy()[rows], keys, sketch, chosen, self.ranges)

    # -- match

    def check_memory(self, step: str, number: int, rows: int) -> None:
        """Stops before a unit reads more than `memory_gb`."""
        sizes = {"match": PEAK_BYTES, "gather": GATHER_BYTES, "cluster": MEMBER_BYTES}
        need = rows * (ROUND_BYTES if step.startswith(("large", "small")) else sizes.get(step, 0)) / 2**30
        if need <= self.memory_gb:
            return
        enough = self.bands * math.ceil(1.1 * self.ranges * need / self.memory_gb)
        hints = {
            "match": f"partitions={enough}, or a larger memory_gb; dedup/exact before it where most share one key",
            "cluster": "a larger memory_gb; one component may be that large: dedup/exact before it, or more rows a band",
        }
        raise RunStopped(
            explain_mismatch(
                f"dedup/minhash: partition {number} of {step} holds {rows} documents",
                wanted=f"at most {self.memory_gb} GiB for them",
                found=f"{need:.1f} GiB",
                hint=hints.get(step, f"partitions={enough}, or a larger memory_gb"),
            )
        )

    def known(self, number: int) -> pl.DataFrame | None:
        """The index's records of a partition."""
        if self.index is None:
            return None
        index = self._open()
        if (made := probe(self.family)) != index.manifest.kind.probe:
            raise _wrong(f"index {self.index}: signatures of its probe texts", index.manifest.kind.probe, made)
        return index_match.known_records(index.read(*divmod(number, self.ranges), self.ranges))

    def match(self, partition: pl.DataFrame) -> Found:
        """The stars of one partition; see dedup/bands.py. Facts: documents `seen` by what they belong to (in the first band,
        where each has a record), how many were `refused`, and the `hottest` buckets, size and best document."""
        band = int(partition["partition"][0]) // self.ranges
        ranked, has_index = rank_columns(self.keep), self.index is not None
        new = records = partition
        if has_index:
            new, known = index_match.split(partition)
            records = index_match.together(new, known)
        rows, refused, hottest = stars(records, ranked, band, self.rows, self.min_jaccard, has_index)
        if has_index:
            rows = index_match.led_to_survivors(rows, known)
        seen = per_origin(new) if band == 0 else {}
        facts = {"seen": seen, "refused": refused, "hottest": [list(bucket) for bucket in hottest]}
        return Found(rows.with_columns(labels.spread(rows["doc"].to_numpy(), self.match_slices)), facts)

    # -- settle

    def settling(self, sketched: int, matched: list[Tally]) -> Settling:
        """Labels in one place or in rounds, by the memory that would take; then documents are gathered and clustered."""
        seen: Counter[str] = Counter()
        for tally in matched:
            seen.update(tally.facts.get("seen", {}))
        slices = self.match_slices
        touched = sum(tally.rows for tally in matched)
        if self.index is None:
            touched = min(touched, seen.total())
        if touched * LABEL_BYTES <= self.settle_memory_gb * 2**30:
            yield Step("label", (Take("match", "all"),), 1, slices)
            last = "label"
        else:
            last = yield from self._rounds(slices)
        yield Step("gather", (Take("match"), Take(last)), slices, slices)
        clustered = yield Step("cluster", (Take("gather"),), slices)
        return self._report(seen, matched, clustered)

    def _rounds(self, slices: int) -> Generator[Step, list[Tally], str]:
        """Alternating stars until a round changes nothing; returns the name of the last step."""
        tallies = yield Step("edges", (Take("match", "own"),), slices, slices)
        last, digest = "edges", _digest(tallies)
        for number in range(1, 1000):
            yield Step(f"large{number}", (Take(last),), slices, slices)
            tallies = yield Step(f"small{number}", (Take(f"large{number}"),), slices, slices)
            last, before, digest = f"small{number}", digest, _digest(tallies)
            if digest == before:
                return last
        raise RunStopped("dedup/minhash: components did not settle in 1000 rounds; this is a defect")

    def step(self, step: Step, number: int, taken: Sequence[Iterator[pl.DataFrame]]) -> pl.DataFrame | Found:
        slices = self.match_slices
        if step.name == "label":
            components = Components()
            for rows in taken[0]:
                components.add(rows["doc"].to_numpy(), rows["to"].to_numpy())
            return components.labels(slices)
        if step.name == "gather":
            return self._gather(list(taken[0]), taken[1])
        if step.name == "cluster":
            return self._cluster(list(taken[0]))
        found = pl.concat([pl.DataFrame(schema=labels.EDGES), *(rows.select(*labels.EDGES) for rows in taken[0])])
        if step.name == "edges" or step.name.startswith("small"):
            edges = labels.small_star(found) if step.name != "edges" else found
            return Found(labels.both_ways(edges, slices), {"digest": labels.edge_digest(edges)})
        return labels.large_star(found, slices)

    def _gather(self, found: list[pl.DataFrame], labelled: Iterator[pl.DataFrame]) -> pl.DataFrame:
        if not found:
            return pl.DataFrame(schema={"partition": pl.UInt32})
        names = [name for name in found[0].columns if name not in ("doc", "to")]
        rows = gather(found, labels.to_the_lesser(labelled), names)
        return rows.with_columns(labels.spread(rows["root"].to_numpy(), self.match_slices))

    def _cluster(self, gathered: list[pl.DataFrame]) -> pl.DataFrame | Found:
        """The verdict on whole components. Facts: documents and survivors in clusters, and the `largest` clusters: documents
        of one origin, the origin, the survivor, all documents."""
        if not gathered:
            return pl.DataFrame(schema=VERDICT)
        found = members(pl.concat(gathered), rank_columns(self.keep), self.index is not None)
        centre = clusters(found, self.min_jaccard)
        settled = verdict(found, centre)
        facts = {
            "clustered": settled.height,
            "clusters": settled["kept"].n_unique(),
            "of_index": int((settled["kept"].to_numpy() >= np.uint64(INDEXED)).sum()) if self.index is not None else 0,
            "largest": largest_clusters(found, centre),
        }
        return Found(settled, facts)

    def _report(self, seen: Counter[str], matched: list[Tally], clustered: list[Tally]) -> Mapping[str, Any]:
        """Sums for the census; raises RunStopped when a cluster holds too much of what belongs together."""
        found = gather_report(seen, matched, clustered)
        if self.max_cluster_share is not None:
            check_shares(found, self.max_cluster_share, self.share_from, self.share_of)
        if self.index is None:
            return found.told
        of_index = sum(tally.facts["of_index"] for tally in clustered if tally.facts)
        return {**found.told, "of_index": of_index, "index": self._open().sha256}

    # -- apply

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        """The cluster, and `near_duplicate` for all but its survivor."""
        found = batch.join(verdict.rename({"cluster_size": "size"}), on="doc", how="left", maintain_order="left")
        own_id, own_size = (pl.col("cluster_id"), pl.col("cluster_size")) if self.extend else (pl.col("doc"), 1)
        columns = [
            pl.when(pl.col("kept").is_null()).then(own_id).otherwise("kept").alias("cluster_id"),
            pl.when(pl.col("kept").is_null()).then(own_size).otherwise("size").cast(pl.Int32).alias("cluster_size"),
        ]
        if not self.drop:
            return found.select("doc", *columns, pl.col("similarity").alias("stat_cluster_similarity"))
        is_twin = pl.col("kept").is_not_null() & (pl.col("kept") != pl.col("doc"))
        similarity = pl.col("similarity").cast(pl.Float64).round(2)
        least = "" if self.min_jaccard is None else f" >= {self.min_jaccard}"
        reason, twin = pl.lit("near_duplicate"), pl.format("doc={}", "kept")
        if self.index is not None:
            found = found.with_columns(self._members_named(found["kept"]))
            in_index = pl.col("member").is_not_null()
            reason = pl.when(in_index).then(pl.lit("near_duplicate_of_index")).otherwise(reason)
            twin = pl.when(in_index).then(pl.format("in the index: {} member {}", "snapshot", "member")).otherwise(twin)
        detail = pl.format("kept twin {}, estimated similarity {}" + least, twin, similarity)
        return found.select(
            "doc",
            *columns,
            pl.when(is_twin).then(reason).alias("drop_reason"),
            pl.when(is_twin).then(detail).alias("drop_detail"),
        )

    def _members_named(self, kept: pl.Series) -> list[pl.Series]:
        """Columns `member` and `snapshot` of the survivors that lie in the index, null for others."""
        rows = np.flatnonzero(kept.fill_null(0).to_numpy() >= np.uint64(INDEXED))
        numbers = kept.gather(rows).to_numpy() - np.uint64(INDEXED)
        named = dict(zip(rows.tolist(), zip(numbers.tolist(), self._open().snapshots_of(numbers), strict=True), strict=True))
        each = [named.get(i, (None, None)) for i in range(len(kept))]
        return [
            pl.Series("member", [member for member, _ in each], dtype=pl.UInt64),
            pl.Series("snapshot", [name for _, name in each], dtype=pl.String),
        ]


def _wrong(name: str, wanted: str, found: object) -> RecipeError:
    return RecipeError(explain_mismatch(f"dedup/minhash: {name}", wanted=wanted, found=repr(found)))


@cache
def _opened(path: str, changed_ns: int) -> Index:
    """An index, opened once as long as its manifest is not another."""
    return open_index(path)


def _digest(tallies: list[Tally]) -> int:
    return sum(tally.facts.get("digest", 0) for tally in tallies) % (1 << 64)
