"""Whole runs from and to an S3-compatible server that fails: what they leave is, byte for byte, what a disk would hold.

The server is moto's, on loopback; the proxy before it breaks one request in twenty (a 500, a 503 SlowDown, a connection
closed before anything, after the work or in the middle of the answer, a late answer), and each fault comes to the engine:
the library's own retries are off.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_proxy import KINDS, FaultyProxy
from s3_cases import SECRET, Store, census_counts, serve
from test_engine import snapshot

from curation.demo.build_warc import build_crawl
from curation.pipeline import Pipeline
from curation.recipe import load_recipe, with_settings
from curation.runners.choose import executor_maker
from curation.runners.drive import RunResult, run_pipeline
from curation.storage_options import use

backend = pytest.fixture(scope="module")(serve)


@pytest.fixture
def store(backend: str) -> Iterator[Store]:
    proxy = FaultyProxy(int(backend.rpartition(":")[2]), period=20)
    yield Store(proxy, backend)
    proxy.close()
    use(None)


def demo() -> Pipeline:
    return with_settings(load_recipe("demo"), ["warc.shard_mb=0.1"])


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], RunResult]:
    """The demo crawl, and what a run on a disk makes of it."""
    folder = tmp_path_factory.mktemp("disk")
    build_crawl(folder / "crawl")
    result = run_pipeline(demo(), [str(folder / "crawl")], str(folder / "out"), executor_maker("local", workers=1))
    return folder / "crawl", snapshot(folder / "out"), result


def every_kind(store: Store) -> None:
    """Faults of every kind were really made, one request in twenty."""
    counts = store.proxy.counts
    assert all(counts[kind] > 0 for kind in KINDS), counts
    assert abs(sum(counts[kind] for kind in KINDS) / counts["requests"] - 0.05) < 0.01, counts


def same_as_on_disk(store: Store, out: str, result: RunResult, on_disk: tuple[Path, dict[str, bytes], RunResult]) -> None:
    _, wanted, there = on_disk
    assert store.outputs(out) == wanted
    assert census_counts(result.census) == census_counts(there.census)
    assert census_counts(json.loads(store.files.cat_file(f"{store.bucket}/{out}/census.json"))) == census_counts(there.census)
    assert store.parts(out) == store.named_parts(out), "no orphans, nothing missing"


@pytest.mark.parametrize("workers", [1, 2])
def test_the_demo_crawl_from_and_to_a_failing_store(store: Store, on_disk, workers: int) -> None:
    crawl = store.put(on_disk[0], "crawl")
    make = executor_maker("local", workers=workers)
    result = run_pipeline(demo(), [crawl], f"{store.url}/out", make, storage_options=store.options)
    every_kind(store)
    same_as_on_disk(store, "out", result, on_disk)
    before = store.committed("out")
    again = run_pipeline(demo(), [crawl], f"{store.url}/out", make, storage_options=store.options)
    assert all(wave.ran == 0 for wave in again.waves) and store.committed("out") == before
    same_as_on_disk(store, "out", again, on_disk)


def test_the_demo_crawl_on_ray(store: Store, on_disk, caplog: pytest.LogCaptureFixture) -> None:
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    crawl = store.put(on_disk[0], "crawl")
    environment = {"env_vars": {"POLARS_MAX_THREADS": "1"}}
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    logs = Path(ray._private.worker._global_node.get_session_dir_path()) / "logs"
    try:
        with caplog.at_level(logging.DEBUG, logger="curation"):
            result = run_pipeline(demo(), [crawl], f"{store.url}/out", executor_maker("ray"), storage_options=store.options)
    finally:
        ray.shutdown()
    every_kind(store)
    same_as_on_disk(store, "out", result, on_disk)
    assert logs.is_dir() and SECRET not in caplog.text
    leaks = [path for path in logs.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert leaks == []
