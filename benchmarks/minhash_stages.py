"""MinHash deduplication from text to kept documents: curation's steps against datatrove's four stages.

    python benchmarks/minhash_stages.py DATA CACHE [--write]      # CACHE: JSON that keeps datatrove's figures between calls

English prose and markup of DATA, cut at line ends into pieces of 160 words or more (no piece twice), as large as it takes
for 40,000 of them; to every fourth piece one near-duplicate, which lacks one word in thirty: 50,000 documents in a random
order that is always the same. Smaller sizes take the first of them. `whole` is other documents: those of the English sets
as they are, up to 9,200, without edits.

datatrove 0.10.1 as shipped, defaults (14 bands of 8, 5-grams, xxhash64), two tasks: MinhashDedupSignature (which also packs,
sorts and verifies its files), MinhashDedupBuckets for each bucket, MinhashDedupCluster, MinhashDedupFilter. curation, as
its engine runs the units (`curation.unit_global`, files, checksums and syncs included): sketches of frames of 1,000
texts, shards of 5,000; match, label, gather, cluster; apply. Mode datatrove with `min_jaccard` None and `short_documents`
"keep" is the same configuration and must give the same clusters; beside it the native default.

CPU seconds (`time.process_time`) of one process a run, one core, after a few texts of warm-up; each step's are added up. Ours
is the median of interleaved rounds, datatrove is measured once.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beside_datatrove import HERE, ONE_CORE, measured_texts

SIZES = {"5000": 5_000, "15800": 15_800, "50000": 50_000, "whole": 9_200}
PIECE_WORDS = 160
SHARD, BATCH = 5_000, 1_000
OURS = {"curation, mode datatrove": "exact", "curation, native default": "native"}
SETTINGS: dict[str, dict[str, Any]] = {
    "exact": {"mode": "datatrove", "min_jaccard": None, "short_documents": "keep"},
    "native": {},
}
MARKUP = ("math-latex", "wiki-markup", "wiki-wikitext2-valid")
WARM_TEXTS = [f"It was late when ferry {i} came in, and most of us had gone to bed; the year was {i % 97}." for i in range(400)]


class Clock:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[name] += time.process_time() - started


def pieces(text: str) -> Iterator[str]:
    """A text cut at line ends where PIECE_WORDS are reached; a shorter rest is left out."""
    held: list[str] = []
    words = 0
    for line in text.split("\n"):
        held.append(line)
        words += len(line.split())
        if words >= PIECE_WORDS:
            yield "\n".join(held)
            held, words = [], 0


def markup(data: Path) -> Iterator[str]:
    for name in MARKUP:
        with gzip.open(data / "text-domains" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
            yield from (json.loads(line)["text"] for line in stream)


def texts_of(data: Path, size: str) -> list[str]:
    if size == "whole":
        return list(dict.fromkeys(measured_texts(data, 20_000)))[: SIZES[size]]
    sources = [*measured_texts(data, 20_000), *markup(data)]
    found = list(dict.fromkeys(piece for text in sources for piece in pieces(text)))[:40_000]
    dice = random.Random(5)
    edited = [" ".join(w for w in text.split(" ") if dice.random() > 1 / 30) for text in found[::4]]
    texts = [*found, *edited]
    dice.shuffle(texts)
    return texts[: SIZES[size]]


def summary(texts: list[str], clusters: list[list[int]], kept: int, clock: Clock) -> dict[str, Any]:
    groups = sorted(sorted(docs) for docs in clusters)
    digest = hashlib.blake2b(json.dumps(groups).encode(), digest_size=8).hexdigest()
    return {"documents": len(texts), "words": sum(len(t.split()) for t in texts), "clusters": len(groups), "digest": digest,
            "kept": kept, "seconds": dict(clock.seconds)}  # fmt: skip


def theirs(texts: list[str], folder: Path, clock: Clock) -> tuple[list[list[int]], int]:
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    config = MinhashConfig()
    signatures, buckets, removed = (str(folder / name) for name in ("signatures", "buckets", "removed"))
    half = len(texts) // 2
    tasks = [[Document(text, str(i)) for i, text in enumerate(part)] for part in (texts[:half], texts[half:])]
    with clock.step("signature"):
        signer = MinhashDedupSignature(signatures, config)
        for rank, task in enumerate(tasks):
            signer.run(iter(task), rank, 2)
    with clock.step("buckets"):
        for bucket in range(config.num_buckets):
            MinhashDedupBuckets(signatures, buckets, config=config).run(None, bucket, config.num_buckets)
    with clock.step("cluster"):
        MinhashDedupCluster(buckets, removed, config=config, save_cluster_id=True).run(None, 0, 1)
    with clock.step("filter"):
        kept = sum(len(list(MinhashDedupFilter(removed).run(iter(task), rank, 2))) for rank, task in enumerate(tasks))
    clusters: dict[int, list[int]] = defaultdict(list)
    for rank in range(2):
        for row, cluster in struct.iter_unpack("<2I", (folder / f"removed/{rank:06d}.clusters").read_bytes()):
            clusters[cluster].append(row + rank * half)
    return list(clusters.values()), kept


def ours(kind: str, texts: list[str], folder: Path, clock: Clock) -> tuple[list[list[int]], int]:
    import polars as pl
    from engine_steps import Steps

    from curation import unit_global
    from curation.dedup.minhash import Minhash

    stage = Minhash(documents=len(texts), max_cluster_share=None, **SETTINGS[kind])
    docs = pl.Series("doc", range(len(texts)), dtype=pl.UInt64)
    rows = pl.DataFrame({"doc": docs, "text": texts}).with_columns(pl.lit("here").alias("source"))
    shards = [rows.slice(at, SHARD) for at in range(0, len(texts), SHARD)]
    steps = Steps(folder, stage, [shard["doc"][0] for shard in shards])
    parts = []
    for number, shard in enumerate(shards):
        with clock.step("sketch"):
            made = [stage.sketch(batch.select("doc", *stage.sketch_reads)) for batch in shard.iter_slices(BATCH)]
            parts.append(steps.store(f"sketch-{number:05d}", pl.concat(made)))
    with clock.step("match"):
        matches = steps.match(tuple(parts))
    settling = stage.settling(sum(part.rows for part in parts), [tally for _, tally in matches])
    tables = {"match": tuple(part for part, _ in matches)}
    step = next(settling)
    while True:
        with clock.step(step.name):
            made = steps.step(step, tables)
        tables[step.name] = tuple(part for part, _ in made)
        try:
            step = settling.send([tally for _, tally in made])
        except StopIteration:
            break
    kept, owners = 0, []
    for number, shard in enumerate(shards):
        with clock.step("apply"):
            verdict = unit_global.verdict_of(steps.folder, tables[step.name], number, shard["doc"][0], shard["doc"][-1])
            answer = stage.apply(shard.select("doc"), verdict)
            kept += shard.filter(answer["drop_reason"].is_null()).height
        owners.append(answer.select("doc", "cluster_id", "cluster_size"))
    grouped = pl.concat(owners).filter(pl.col("cluster_size") > 1).group_by("cluster_id").agg("doc")
    return grouped["doc"].to_list(), kept


def measure(kind: str, data: Path, size: str) -> dict[str, Any]:
    texts = texts_of(data, size)

    def run(some: list[str], clock: Clock) -> tuple[list[list[int]], int]:
        with tempfile.TemporaryDirectory() as folder:
            return theirs(some, Path(folder), clock) if kind == "theirs" else ours(kind, some, Path(folder), clock)

    run(WARM_TEXTS, Clock())
    clock = Clock()
    return summary(texts, *run(texts, clock), clock)


def in_a_process(kind: str, data: Path, size: str) -> dict[str, Any]:
    command = [sys.executable, __file__, str(data), "-", "--one", kind, size]
    done = subprocess.run(command, env={**os.environ, **ONE_CORE}, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def cached_theirs(data: Path, cache: Path, size: str) -> dict[str, Any]:
    """datatrove's figures, measured where the cache has none for these very texts."""
    known = json.loads(cache.read_text()) if cache.exists() else {}
    key = hashlib.blake2b("\0".join(texts_of(data, size)).encode("utf-8", "replace"), digest_size=8).hexdigest()
    if known.get(size, {}).get("key") != key:
        known[size] = {"key": key, **in_a_process("theirs", data, size)}
        cache.write_text(json.dumps(known, indent=1))
    return known[size]


def table(peer: dict[str, dict[str, Any]], found: dict[tuple[str, str], list[dict[str, Any]]], rounds: int) -> str:
    """The report, as Markdown."""
    from importlib.metadata import version

    lines = [
        "# MinHash deduplication against datatrove, from text to kept documents",
        "",
        "Made by `python benchmarks/minhash_stages.py DATA CACHE --write`; its docstring says what is measured and how. "
        f"{platform.machine()}, Python {platform.python_version()}, one core; ours the median of {rounds} rounds. Absolute "
        "times vary between machines; ratios count. Mode datatrove gives datatrove's clusters, document for document, "
        "and keeps as many documents, at every size.",
        "",
        "Versions: "
        + ", ".join(f"{n} {version(n)}" for n in ("datatrove", "spacy", "xxhash", "polars", "numba", "numpy"))
        + ".",
        "",
        "| documents | words each | datatrove, CPU s | curation, mode datatrove | native default | times faster, mode "
        "datatrove | native default |",
        "|---|---|---|---|---|---|---|",
    ]
    middle = {key: _median(runs) for key, runs in found.items()}
    for size, theirs_ in peer.items():
        seconds = sum(theirs_["seconds"].values())
        own = [sum(middle[kind, size].values()) for kind in OURS.values()]
        named = f"{theirs_['documents']:,}" + (" (whole)" if size == "whole" else "")
        lines.append(
            f"| {named} | {theirs_['words'] / theirs_['documents']:.0f} | {seconds:.1f} | {own[0]:.2f} | {own[1]:.2f} "
            f"| **{seconds / own[0]:.1f}** | **{seconds / own[1]:.1f}** |"
        )
    lines += ["", "## Where the time goes", "", "CPU µs a document.", ""]
    names = list(middle["exact", "50000"])
    lines += ["| documents | curation | " + " | ".join(names) + " | all |", "|---" * (len(names) + 3) + "|"]
    for title, kind in OURS.items():
        for size in SIZES:
            n = peer[size]["documents"]
            own = middle[kind, size]
            cells = " | ".join(f"{1e6 * own[name] / n:.1f}" for name in names)
            named = f"{n:,}{' (whole)' * (size == 'whole')}"
            lines.append(f"| {named} | {title.split(', ')[1]} | {cells} | {1e6 * sum(own.values()) / n:.1f} |")
    names = list(peer["50000"]["seconds"])
    lines += ["", "| documents | datatrove | " + " | ".join(names) + " | all |", "|---" * (len(names) + 3) + "|"]
    for size, theirs_ in peer.items():
        own, n = theirs_["seconds"], theirs_["documents"]
        cells = " | ".join(f"{1e6 * own[name] / n:.1f}" for name in names)
        lines.append(f"| {n:,}{' (whole)' * (size == 'whole')} | shipped | {cells} | {1e6 * sum(own.values()) / n:.1f} |")
    lines += ["", "## What was found", "",
              "| documents | clusters of 2 or more | kept: datatrove | mode datatrove | native default |",
              "|---|---|---|---|---|"]  # fmt: skip
    for size, theirs_ in peer.items():
        kept = [found[kind, size][0]["kept"] for kind in OURS.values()]
        named = f"{theirs_['documents']:,}" + (" (whole)" if size == "whole" else "")
        lines.append(f"| {named} | {theirs_['clusters']:,} | {theirs_['kept']:,} | {kept[0]:,} | {kept[1]:,} |")
    return "\n".join(lines) + "\n"


def _median(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {name: statistics.median(run["seconds"][name] for run in runs) for name in runs[0]["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("KIND", "SIZE"), help="one run, as JSON (what each process does)")
    parser.add_argument("--theirs", action="store_true", help="only fill the cache")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], options.data, options.one[1])))
        return
    peer = {size: cached_theirs(options.data, options.cache, size) for size in SIZES}
    if options.theirs:
        return
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for _ in range(options.rounds):
        for size in SIZES:
            for kind in OURS.values():
                found[kind, size].append(in_a_process(kind, options.data, size))
                print(size, kind, sum(found[kind, size][-1]["seconds"].values()), flush=True)
    for size in SIZES:
        same = found["exact", size][0]
        assert (same["digest"], same["kept"]) == (peer[size]["digest"], peer[size]["kept"]), f"other clusters at {size}"
    report = table(peer, found, options.rounds)
    print(report)
    if options.write:
        (HERE / "minhash_stages.md").write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
