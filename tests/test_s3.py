"""Whole runs from and to an S3-compatible server that fails: what they leave is, byte for byte, what a disk would hold.

The server is moto's, on loopback; the proxy before it breaks one request in twenty (a 500, a 503 SlowDown, a connection
closed before anything, after the work or in the middle of the answer, a late answer), and each fault comes to the engine:
the library's own retries are off.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_proxy import KINDS, FaultyProxy, Request
from s3_cases import KEY_ID, SECRET, Store, census_counts, serve
from test_crash import PROGRAM
from test_engine import make_inputs, snapshot
from typer.testing import CliRunner

from curation.cli import app
from curation.demo.build_warc import build_crawl
from curation.pipeline import Pipeline
from curation.recipe import load_recipe, with_settings
from curation.runners.choose import executor_maker
from curation.runners.drive import RunResult, run_pipeline
from curation.storage_options import PROFILES_VARIABLE, use

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


# -- killed


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Small inputs, and what the engine's small pipeline makes of them on a disk."""
    folder = tmp_path_factory.mktemp("small")
    inputs = make_inputs(folder, files=2, lines=30)
    subprocess.run([sys.executable, str(PROGRAM), "engine", str(inputs), str(folder / "out"), "1"], check=True)
    return inputs, snapshot(folder / "out")


def start(store: Store, tmp_path: Path, source: str, workers: int = 1, fault: str = "") -> subprocess.Popen:
    profile = store.profile(tmp_path / "storage.toml")
    environment = {**os.environ, "CURATION_FAULT": fault, PROFILES_VARIABLE: str(profile)}
    command = [sys.executable, str(PROGRAM), "engine", source, f"{store.url}/out", str(workers), "proof"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True)


def finish(process: subprocess.Popen) -> int:
    _, error = process.communicate(timeout=240)
    assert SECRET not in error.decode()
    assert process.returncode in (0, -signal.SIGKILL), error.decode()
    return process.returncode


def resumed(store: Store, tmp_path: Path, source: str, wanted: dict[str, bytes]) -> None:
    before, left = store.committed("out"), store.parts("out")
    assert finish(start(store, tmp_path, source)) == 0
    after = store.committed("out")
    assert {name: after[name] for name in before} == before, "finished units were repeated"
    assert len(after) > len(before) > 0 or "publish" in str(left)
    assert store.outputs("out") == wanted
    assert store.parts("out") == store.named_parts("out"), "what the killed attempt left was removed"


@pytest.mark.parametrize("point", ["part-open:4", "part-written:4", "record-written:4", "record-committed:4"])
def test_killed_at_a_point(store: Store, small, tmp_path: Path, point: str) -> None:
    source = store.put(small[0], "in")
    assert finish(start(store, tmp_path, source, fault=point)) == -signal.SIGKILL
    orphans = store.parts("out") - store.named_parts("out")
    assert len(orphans) == (1 if point.startswith(("part-written", "record-written")) else 0)
    resumed(store, tmp_path, source, small[1])


def is_commit(request: Request) -> bool:
    return request.method == "PUT" and "/work/commits/" in request.path


@pytest.mark.parametrize("stored", [True, False], ids=["after the store has it", "before the store has it"])
def test_killed_while_a_commit_is_on_its_way(store: Store, small, tmp_path: Path, stored: bool) -> None:
    """The process dies when its commit record has been sent and nothing has come back, whether it was stored or not."""
    source = store.put(small[0], "in")
    process = start(store, tmp_path, source)
    seen: list[str] = []

    def kill(request: Request) -> bool:
        if is_commit(request) and request.path not in seen:
            seen.append(request.path)
            if len(seen) == 6:
                process.kill()
                return True
        return False

    if stored:
        store.proxy.watch(kill, lambda: None)
    else:
        store.proxy.order("refused", kill)
    assert finish(process) == -signal.SIGKILL
    name = seen[5].partition("?")[0].lstrip("/")
    assert (name in store.committed("out")) == stored
    resumed(store, tmp_path, source, small[1])


def test_all_killed_at_once_between_publishing(store: Store, small, tmp_path: Path) -> None:
    source = store.put(small[0], "in")
    for fault in ("publish-shard:2", "publish-manifest:1"):
        assert finish(start(store, tmp_path, source, fault=fault)) == -signal.SIGKILL
    before = store.committed("out")
    assert finish(start(store, tmp_path, source)) == 0
    assert store.committed("out") == before and store.outputs("out") == small[1]
    process = start(store, tmp_path, source.replace("/in", "/in"), workers=2)
    assert finish(process) == 0 and store.committed("out") == before


def test_workers_and_driver_killed_together(store: Store, small, tmp_path: Path) -> None:
    source = store.put(small[0], "in")
    process = start(store, tmp_path, source, workers=2)
    deadline = time.monotonic() + 120
    while len(store.committed("out")) < 4 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None, "the run ended before it was killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    resumed(store, tmp_path, source, small[1])


# -- the command line


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_every_verb_and_no_secret_anywhere(
    store: Store, on_disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys given by a profile open everything and are written nowhere, at the most talkative level of the log."""
    store.proxy.period = 0
    crawl = store.put(on_disk[0], "crawl")
    monkeypatch.setenv(PROFILES_VARIABLE, str(store.profile(tmp_path / "storage.toml")))
    out, told = f"{store.url}/out", io.StringIO()
    handler = logging.StreamHandler(told)
    logging.getLogger().addHandler(handler)
    said = []
    for verb in (
        ["run", "demo", "--input", crawl, "--out", out, "--workers", "1", "--log-level", "debug"],
        ["explain", "demo", "--input", crawl],
        ["plan", "demo", "--input", crawl],
        ["census", out],
        ["census", out, "--json"],
        ["peek", out],
        ["why", "0", out],
        ["contamination", out],
    ):
        said.append(CliRunner().invoke(app, [*verb, "--profile", "proof"]).output)
    given = [f"--storage-option={key}={value}" for key, value in store.options.items() if key != "config_kwargs"]
    assert "kept " in invoke("census", out, *given)
    assert "freed" in invoke("clean", out, *given)
    logging.getLogger().removeHandler(handler)
    assert "kept " in said[0] and "segment 0" in said[1] and "kept " in said[3] and " of " in said[5], said
    everything = "".join(said) + told.getvalue() + caplog.text
    assert store.bucket in everything and "curation" in told.getvalue() + caplog.text
    stored = b"".join(store.files.cat_file(name) for name in store.files.find(store.bucket))
    for secret in (SECRET, KEY_ID):
        assert secret not in everything and secret.encode() not in stored


def test_an_index_on_a_store(store: Store, on_disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage that reads an index by its URL is opened with the options of the process, in workers too."""
    crawl = store.put(on_disk[0], "crawl")
    monkeypatch.setenv(PROFILES_VARIABLE, str(store.profile(tmp_path / "storage.toml")))
    index, common = f"{store.url}/index", ["--profile", "proof"]
    run = ["run", "demo", "--input", crawl, "--log-level", "error", *common]
    invoke(*run, "--out", f"{store.url}/first", "--workers", "1")
    assert "index of near-duplicates" in invoke("index", "build", f"{store.url}/first", index, *common)
    assert "as they were written" in invoke("index", "inspect", index, "--verify", *common)
    label = next(stage.label for stage in load_recipe("demo").stages if stage.name == "dedup/minhash")
    invoke(*run, "--out", f"{store.url}/second", "--workers", "2", "--set", f"{label}.index={index}")
    census = json.loads(store.files.cat_file(f"{store.bucket}/second/census.json"))
    assert "near_duplicate_of_index" in json.dumps(census)
