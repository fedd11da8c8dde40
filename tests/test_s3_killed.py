"""Runs to an S3-compatible server that fails, killed in the middle of a commit and resumed: nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_proxy import KINDS, FaultyProxy, Request
from s3_cases import SECRET, Store, serve
from test_crash import PROGRAM
from test_engine import make_inputs, snapshot

from curation.records import COMMITS
from curation.storage_options import PROFILES_VARIABLE

backend = pytest.fixture(scope="module")(serve)


@pytest.fixture
def store(backend: str) -> Iterator[Store]:
    proxy = FaultyProxy(int(backend.rpartition(":")[2]), period=20)
    yield Store(proxy, backend)
    proxy.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Small inputs, and what the engine's small pipeline makes of them on a disk."""
    folder = tmp_path_factory.mktemp("small")
    inputs = make_inputs(folder, files=1, lines=40)
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
    before = store.committed("out")
    assert finish(start(store, tmp_path, source)) == 0
    after = store.committed("out")
    assert {name: after[name] for name in before} == before, "finished units were repeated"
    assert len(after) > len(before) > 0
    assert sum(store.proxy.counts[kind] for kind in KINDS) > 5, "the store failed all the while"
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
    return request.method == "PUT" and f"/{COMMITS}/" in request.path


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


def test_killed_while_publishing(store: Store, small, tmp_path: Path) -> None:
    source = store.put(small[0], "in")
    for fault in ("publish-shard:2", "publish-manifest:1"):
        assert finish(start(store, tmp_path, source, fault=fault)) == -signal.SIGKILL
    before = store.committed("out")
    assert finish(start(store, tmp_path, source)) == 0
    assert store.committed("out") == before and store.outputs("out") == small[1]


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
