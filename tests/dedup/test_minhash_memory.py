"""dedup/minhash: no step takes more memory than the constants say by which it is planned and refused.

Each step runs on files of slices in a process of its own, every document in a bucket of every band, with three different
edges or more; what it adds to the resident memory is held against its rows.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from benchmarks.engine_steps import Measured, Steps, measured
from curation.dedup.bands import PEAK_BYTES, band_records
from curation.dedup.components import GATHER_BYTES, MEMBER_BYTES
from curation.dedup.labels import LABEL_BYTES, ROUND_BYTES
from curation.dedup.minhash import Minhash
from curation.plan import PartRef
from curation.sampling import hash_documents
from curation.stage import Step

DOCUMENTS = 500_000
EMPTIEST = 740_000
"""Documents for which the table of components has just grown, so that it is emptiest."""

BANDS, SHARDS = 5, 5
FIXED = 24 << 20
"""Bytes of buffers that no row accounts for, such as those of reading and writing."""


def stage_for(rounds: bool) -> Minhash:
    return Minhash(bands=BANDS, partitions=BANDS, max_cluster_share=None, settle_memory_gb=1e-9 if rounds else 8.0)


def sketches(folder: Path, n: int) -> tuple[PartRef, ...]:
    """Clusters of 64, cut into quarters anew by every band; sketches 0.9 alike."""
    docs = np.arange(n, dtype=np.uint64) * np.uint64(7919)
    cluster = hash_documents(docs) % np.uint64(n // 64)
    shared = hash_documents(np.stack([cluster, cluster + np.uint64(n)], axis=1))
    sketch = shared ^ (np.uint64(1) << (hash_documents(docs) >> np.uint64(58)))[:, None]
    quarter = hash_documents(docs[:, None] + np.arange(BANDS, dtype=np.uint64)) >> np.uint64(62)
    keys = hash_documents(cluster[:, None] * np.uint64(4) + quarter)
    carried = {"rank_0": hash_documents(docs + np.uint64(1)), "origin": np.zeros(n, dtype=np.uint64)}
    steps = Steps(folder, stage_for(False), [0])
    chosen = [slice(n * i // SHARDS, n * (i + 1) // SHARDS) for i in range(SHARDS)]
    return tuple(
        steps.store(f"sketch-{i}", band_records(docs[s], keys[s], sketch[s], {k: v[s] for k, v in carried.items()}, 1))
        for i, s in enumerate(chosen)
    )


def every_step(folder: Path, n: int, rounds: bool, only: str | None = None) -> dict[str, Measured]:
    """The steps up to the verdict; with `only`, that one in a fresh process and the others here."""
    stage, made = stage_for(rounds), sketches(folder, n)
    step: Step | None = None
    tables: dict[str, tuple[PartRef, ...]] = {"sketch": made}
    found: dict[str, Measured] = {}
    settling = None
    while True:
        name = step.name if step else "match"
        if name == only:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                found[name] = pool.submit(alone, folder, rounds, step, tables).result()
        else:
            found[name] = measured(folder, stage, [0], step, tables, int)
        tables[name] = tuple(part for part, _ in found[name].made)
        tallies = [tally for _, tally in found[name].made]
        try:
            if settling is None:
                settling = stage.settling(sum(part.rows for part in made), tallies)
                step = next(settling)
            else:
                step = settling.send(tallies)
        except StopIteration:
            return found


def alone(folder: Path, rounds: bool, step: Step | None, tables: Mapping[str, tuple[PartRef, ...]]) -> Measured:
    def warm() -> None:
        every_step(folder / "warm", 2_000, rounds)

    return measured(folder, stage_for(rounds), [0], step, tables, warm)


@pytest.mark.parametrize(
    ("name", "row_bytes"),
    [("match", PEAK_BYTES), ("label", LABEL_BYTES), ("gather", GATHER_BYTES), ("cluster", MEMBER_BYTES),
     ("edges", PEAK_BYTES), ("large1", ROUND_BYTES), ("small1", ROUND_BYTES)],
)  # fmt: skip
def test_a_step_stays_within_its_bytes_a_row(tmp_path: Path, name: str, row_bytes: int) -> None:
    n = EMPTIEST if name == "label" else DOCUMENTS
    step = every_step(tmp_path, n, name in ("edges", "large1", "small1"), name)[name]
    rows = n if name == "label" else step.most_rows  # labels are counted by documents, not by edges
    assert rows >= DOCUMENTS // BANDS * 0.9
    assert step.peak - step.base <= rows * row_bytes + FIXED
