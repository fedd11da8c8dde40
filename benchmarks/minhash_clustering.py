"""Time, memory and bytes of matching and clustering band records: planted clusters, 10**5 to 10**7 documents.

    python benchmarks/minhash_clustering.py [--most 10000000]      # writes minhash_clustering.md and .svg beside itself

Records are made, not signed: 14 bands, keys and 128-bit sketches as MinHash gives them for members that are 0.9 alike. 40 %
of the documents lie in clusters of 2 to 200; one document in a thousand also shares a key with a cluster it is nothing
like. One rank column and one of the source, as with the defaults; shards of 100,000 documents. `worst` is 10**6 documents,
all in clusters of 9 to 200, every band halving a cluster anew: nearly each is in a bucket in every band, and edges differ.

The engine's own units (benchmarks/engine_steps.py), one after the other on one core, half a GiB a unit. Each step runs in
a process of its own after a warm-up with 3,000 documents: CPU seconds of the process; peak memory is the largest resident
set from the end of the warm-up on. Making and writing the sketches is not counted, reading them is.
`rounds` is the same with `settle_memory_gb` so small that components are labelled in rounds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from beside_datatrove import HERE, ONE_CORE
from clustering_report import plot, report
from engine_steps import Measured, Steps, measured

from curation.dedup.bands import PEAK_BYTES, band_records
from curation.dedup.components import GATHER_BYTES, MEMBER_BYTES
from curation.dedup.labels import LABEL_BYTES, ROUND_BYTES
from curation.dedup.minhash import Minhash
from curation.plan import PartRef
from curation.sampling import hash_documents
from curation.slices import read_slices
from curation.storage import Folder

BANDS = 14
ALIKE = 0.9
SHARD = 100_000
MEMORY_GB = 0.5
WARM = 3_000
CONSTANTS = {"match": PEAK_BYTES, "label": LABEL_BYTES, "gather": GATHER_BYTES, "cluster": MEMBER_BYTES,
             "edges": PEAK_BYTES, "large": ROUND_BYTES, "small": ROUND_BYTES}  # fmt: skip
KINDS = {"": {}, "rounds": {"settle_memory_gb": 1e-6}, "worst": {}}
"""Kind of run -> fields of the stage."""


def planted(n: int, share: float) -> np.ndarray:
    """The cluster of each document, int64 [n]; its own number + n for a document alone. `share`: of documents in clusters."""
    random = np.random.default_rng(7)
    sizes = np.minimum((2 if share < 1 else 8) + random.zipf(2.0, size=n), 200)
    sizes = sizes[np.cumsum(sizes) <= int(share * n)]
    cluster = np.arange(n, 2 * n)
    members = random.permutation(n)[: sizes.sum()]
    cluster[members] = np.repeat(np.arange(len(sizes)), sizes)
    return cluster


def sketches(cluster: np.ndarray) -> np.ndarray:
    """The cluster's bits, each flipped with probability (1 - ALIKE) / 4: two members then agree as their similarity asks."""
    random = np.random.default_rng(11)
    halves = []
    for half in range(2):
        own = hash_documents(cluster.astype(np.uint64) * np.uint64(2) + np.uint64(half))
        flips = np.zeros(len(cluster), dtype=np.uint64)
        for bit in range(64):
            flips |= (random.random(len(cluster), dtype=np.float32) < (1 - ALIKE) / 4).astype(np.uint64) << np.uint64(bit)
        halves.append(own ^ flips)
    return np.stack(halves, axis=1)


def keys_of(docs: np.ndarray, cluster: np.ndarray, rows: int, worst: bool) -> Iterator[np.ndarray]:
    """The keys of some documents (`docs`, their numbers), a band at a time."""
    n = len(cluster)
    random = np.random.default_rng([13, int(docs[0])])
    for band in range(BANDS):
        if worst:  # neighbours change from band to band: halves of a cluster
            side = hash_documents(docs * np.uint64(BANDS) + np.uint64(band)) & np.uint64(1)
            owner = cluster[docs] * 2 + side.astype(np.int64)
        else:
            shares = random.random(len(docs), dtype=np.float32) < ALIKE ** (rows / 2)
            owner = np.where(shares, cluster[docs], docs.astype(np.int64) + 2 * n)
            stray = random.random(len(docs), dtype=np.float32) < 0.001 / BANDS
            owner[stray] = cluster[random.integers(0, n, size=int(stray.sum()))]
        yield hash_documents(owner.astype(np.uint64) * np.uint64(BANDS) + np.uint64(band))


def make(n: int, stage: Minhash, folder: Path, worst: bool) -> tuple[PartRef, ...]:
    """Sketches of `n` documents, a file for each shard."""
    cluster = planted(n, 1.0 if worst else 0.4)
    sketch = sketches(cluster)
    steps, parts = Steps(folder, stage, [0]), []
    for number, first in enumerate(range(0, n, SHARD)):
        docs = np.arange(first, min(first + SHARD, n), dtype=np.uint64)
        carried = {"rank_0": hash_documents(docs), "origin": np.zeros(len(docs), dtype=np.uint64)}
        keys = np.stack(list(keys_of(docs, cluster, stage.rows, worst)), axis=1)
        records = band_records(docs, keys, sketch[first : first + SHARD], carried, stage.ranges)
        parts.append(steps.store(f"sketch-{number:05d}", records))
    return tuple(parts)


def warm_up(kind: str) -> None:
    stage = Minhash(bands=BANDS, documents=WARM, memory_gb=MEMORY_GB, max_cluster_share=None, **KINDS[kind])
    with tempfile.TemporaryDirectory() as folder:
        run(
            stage,
            make(WARM, stage, Path(folder), kind == "worst"),
            lambda *what: measured(Path(folder), stage, [0], *what, int),
        )


def run(stage: Minhash, made: tuple[PartRef, ...], measure: Callable[..., Measured]) -> dict[str, Measured]:
    """Every step, by name."""
    tables = {"sketch": made}
    found = {"match": measure(None, tables)}
    tables = {"match": tuple(part for part, _ in found["match"].made)}
    settling = stage.settling(sum(part.rows for part in made), [tally for _, tally in found["match"].made])
    step = next(settling)
    while True:
        taken = {take.step: tables[take.step] for take in step.takes}
        found[step.name] = measure(step, taken)
        tables[step.name] = tuple(part for part, _ in found[step.name].made)
        try:
            step = settling.send([tally for _, tally in found[step.name].made])
        except StopIteration:
            return found


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's value, from a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measure(n: int, kind: str) -> dict[str, Any]:
    """One size: what each step took, and what became of the planted duplicates."""
    stage = Minhash(bands=BANDS, documents=n, memory_gb=MEMORY_GB, max_cluster_share=None, **KINDS[kind])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = apart(make, n, stage, folder, kind == "worst")
        firsts = list(range(0, n, SHARD))
        found = run(stage, made, lambda *what: apart(measured, folder, stage, firsts, *what, partial(warm_up, kind)))
        verdict = apart(read_verdict, folder, [part for part, _ in found["cluster"].made])
        outcome = apart(judged, n, kind, *verdict)
    steps = {name: figures(step) for name, step in found.items()}
    return {"n": n, "kind": kind, "partitions": stage.partition_count, "sketches": sum(p.bytes for p in made), "steps": steps,
            "touched": sum(t.rows for _, t in found["gather"].made), **outcome}  # fmt: skip


def figures(step: Measured) -> dict[str, float]:
    return {"cpu": step.cpu, "wall": step.wall, "base": step.base, "peak": step.peak, "most_rows": step.most_rows,
            "rows": sum(part.rows for part, _ in step.made), "bytes": sum(part.bytes for part, _ in step.made)}  # fmt: skip


def read_verdict(folder: Path, parts: list[PartRef]) -> tuple[np.ndarray, np.ndarray]:
    rows = pl.concat(frame for part in parts for frame in read_slices(Folder(str(folder)), part))
    return rows["doc"].to_numpy(), rows["kept"].to_numpy()


def judged(n: int, kind: str, doc: np.ndarray, kept: np.ndarray) -> dict[str, int]:
    cluster = planted(n, 1.0 if kind == "worst" else 0.4)
    gone = doc != kept
    return {
        "gone": int(gone.sum()),
        "planted": int((cluster < n).sum()) - len(np.unique(cluster[cluster < n])),
        "false": int((cluster[doc.astype(np.int64)] != cluster[kept.astype(np.int64)]).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=10_000_000, help="documents of the largest run")
    parser.add_argument("--cache", type=Path, help="JSON that keeps the figures of finished sizes between calls")
    parser.add_argument("--show", action="store_true", help="print, write nothing")
    options = parser.parse_args()
    os.environ.update(ONE_CORE)
    known = json.loads(options.cache.read_text()) if options.cache and options.cache.exists() else {}
    wanted = [(10**5, ""), (10**6, ""), (10**7, ""), (10**5, "rounds"), (10**6, "rounds"), (10**6, "worst")]
    for n, kind in wanted:
        if n <= options.most and f"{n} {kind}" not in known:
            known[f"{n} {kind}"] = measure(n, kind)
            print(json.dumps(known[f"{n} {kind}"]), flush=True)
            if options.cache:
                options.cache.write_text(json.dumps(known))
    rows = [known[f"{n} {kind}"] for n, kind in wanted if f"{n} {kind}" in known]
    if not options.show:
        (HERE / "minhash_clustering.md").write_text(report(rows, CONSTANTS), encoding="utf-8")
        (HERE / "minhash_clustering.svg").write_text(plot(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
