"""Whoever is killed whenever: the same command again ends with the same bytes, and finished units are not repeated."""

from __future__ import annotations

import errno
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_engine import make_inputs, snapshot

from curation.errors import InputError, StorageError
from curation.faults import POINTS
from curation.storage import Folder

PROGRAM = Path(__file__).parent / "crash_run.py"
WORKER_POINTS = [p for p in POINTS if not p.startswith("publish")]


def start(inputs: Path, out: Path, workers: int, fault: str = "", recipe: str = "engine") -> subprocess.Popen:
    environment = {**os.environ, "CURATION_FAULT": fault, "PYTHONPATH": str(PROGRAM.parent.parent)}
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), recipe, str(inputs), str(out), str(workers)],
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(inputs: Path, out: Path, workers: int, fault: str = "", recipe: str = "engine") -> int:
    process = start(inputs, out, workers, fault, recipe)
    _, error = process.communicate(timeout=240)
    assert process.returncode in (0, -signal.SIGKILL), error.decode()
    return process.returncode


def committed(out: Path) -> dict[str, int]:
    """Commit record -> inode: a unit that ran again would have another."""
    return {p.name: p.stat().st_ino for p in (out / "work/commits").glob("*.json")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, bytes]]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    inputs = make_inputs(folder, files=2, lines=40)
    assert finish(inputs, folder / "out", workers=1) == 0
    yield inputs, snapshot(folder / "out")


@pytest.mark.parametrize("point", POINTS)
def test_the_driver_is_killed_at_each_point(point: str, undisturbed, tmp_path: Path) -> None:
    inputs, wanted = undisturbed
    nth = 4 if point in WORKER_POINTS else 1
    assert finish(inputs, tmp_path / "out", workers=1, fault=f"{point}:{nth}") == -signal.SIGKILL
    before = committed(tmp_path / "out")
    assert finish(inputs, tmp_path / "out", workers=1) == 0
    assert snapshot(tmp_path / "out") == wanted
    after = committed(tmp_path / "out")
    assert {name: after[name] for name in before} == before, "finished units were repeated"
    parts = {p.name.split(".parquet")[0].removesuffix(".dropped") for p in (tmp_path / "out/work/parts").iterdir()}
    assert len(parts) == len(after), "what the killed attempt left was removed"


@pytest.mark.parametrize("point", WORKER_POINTS)
def test_a_worker_is_killed_at_each_point(point: str, undisturbed, tmp_path: Path) -> None:
    """The run itself survives the loss of a worker: each new worker dies at its own fifth passing, twice at most."""
    inputs, wanted = undisturbed
    process = start(inputs, tmp_path / "out", workers=2, fault=f"{point}:5:worker")
    _, error = process.communicate(timeout=240)
    if process.returncode != 0:
        assert b"workers were killed" in error
        assert finish(inputs, tmp_path / "out", workers=2) == 0
    assert b"a worker was killed" in error
    assert snapshot(tmp_path / "out") == wanted


def kill_at_random(undisturbed, out: Path, seed: int) -> None:
    inputs, wanted = undisturbed
    generator = random.Random(seed)
    killed = 0
    for _ in range(6):
        process = start(inputs, out, workers=2)
        time.sleep(generator.uniform(0.3, 4.0))
        before = committed(out) if (out / "work/commits").exists() else {}
        if process.poll() is None:
            if generator.random() < 0.5:
                os.killpg(process.pid, signal.SIGKILL)  # everything at once, as when a machine goes down
            else:
                process.kill()  # the driver alone: its workers must notice and leave
            killed += 1
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
        if killed >= 2:
            break
    time.sleep(1.5)  # orphans leave within half a second of their driver; whatever they still commit is whole
    assert finish(inputs, out, workers=2) == 0
    after = committed(out)
    assert {name: after[name] for name in before} == before, "finished units were repeated"
    assert snapshot(out) == wanted


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments(seed: int, undisturbed, tmp_path: Path) -> None:
    kill_at_random(undisturbed, tmp_path / "out", seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3, 20))
def test_killed_at_many_random_moments(seed: int, undisturbed, tmp_path: Path) -> None:
    kill_at_random(undisturbed, tmp_path / "out", seed)


def test_an_interrupt_ends_at_once_and_resumes(undisturbed, tmp_path: Path) -> None:
    inputs, wanted = undisturbed
    process = start(inputs, tmp_path / "out", workers=2)
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "out/work/commits").glob("*"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: driver and workers get it
    asked = time.monotonic()
    process.communicate(timeout=30)
    assert time.monotonic() - asked < 10 and process.returncode != 0
    assert finish(inputs, tmp_path / "out", workers=2) == 0
    assert snapshot(tmp_path / "out") == wanted


def test_orphaned_workers_leave(undisturbed, tmp_path: Path) -> None:
    inputs, _ = undisturbed
    process = start(inputs, tmp_path / "out", workers=2)
    deadline = time.monotonic() + 60
    while len(group_of(process.pid)) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, "the run ended before its workers were seen"
    process.kill()
    process.wait()
    while group_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert group_of(process.pid) == []


def group_of(leader: int) -> list[int]:
    """Living processes of a process group (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[2]) == leader and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small tmpfs can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=False)


def test_a_full_disk_is_a_clear_error_and_leaves_nothing_to_trust(undisturbed, tmp_path: Path) -> None:
    inputs, wanted = undisturbed
    for disk in small_disk(tmp_path / "disk", "220k"):
        process = start(inputs, disk / "out", workers=2)
        _, error = process.communicate(timeout=240)
        assert process.returncode not in (0, -signal.SIGKILL)
        assert b"No space left on device" in error and b"free some space" in error
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        assert finish(inputs, disk / "out", workers=2) == 0
        assert snapshot(disk / "out") == wanted


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))

    def fill(out) -> None:
        out.write(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="free some space"):
        folder.write("data", fill)
    assert list(tmp_path.iterdir()) == []
    assert folder.create("record", b"first") and not folder.create("record", b"second")
    assert folder.read("record") == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["record"]


def test_a_folder_that_cannot_be_written(undisturbed, tmp_path: Path) -> None:
    inputs, _ = undisturbed
    (tmp_path / "out").write_text("a file where the folder should be")
    process = start(inputs, tmp_path / "out", workers=1)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1 and b"cannot write" in error


def test_an_input_that_fails_while_it_is_read(undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk error stops the run with a clear message; it is never taken for a damaged archive."""
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    from curation.recipe import load_recipe
    from curation.runners.drive import run_pipeline
    from curation.runners.local import LocalExecutor

    path = tmp_path / "in.warc.gz"
    with path.open("wb") as out:
        writer = WARCWriter(out, gzip=True)
        for i in range(200):
            body = io.BytesIO(b"<p>" + os.urandom(2000).hex().encode())
            headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
            record = writer.create_warc_record(f"http://x.example/{i}", "response", body, http_headers=headers)
            writer.write_record(record)

    class Failing(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            if self.tell() > 100_000:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    def go() -> None:
        recipe = load_recipe("common_crawl_english")
        run_pipeline(recipe, [str(path)], str(tmp_path / "out"), lambda p, f, o: LocalExecutor(p, f, o, workers=1))

    from curation import storage

    real = storage.locate

    class FailingSystem:
        def open(self, name: str, mode: str):
            return Failing(name)

    def opens(url: str, options):
        fs, inner = real(url, options)
        return (FailingSystem(), inner) if url.endswith("in.warc.gz") else (fs, inner)

    monkeypatch.setattr(storage, "locate", opens)
    with pytest.raises(InputError, match="Input/output error"):
        go()
    assert list((tmp_path / "out/work/commits").iterdir()) == []
    assert list((tmp_path / "out/work/parts").iterdir()) == []
    monkeypatch.undo()
    go()
    path.write_bytes(path.read_bytes() + b"more")

    def stale(*arguments, **options):
        found = find(*arguments, **options)
        return type(found)([replace(i, size=i.size - 4) for i in found.accepted], found.refused)

    from curation.runners import drive

    find = drive.find_inputs
    monkeypatch.setattr(drive, "find_inputs", stale)
    with pytest.raises(InputError, match="changed while the run was going"):
        go()


def test_an_input_that_is_gone(undisturbed, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/dangling.txt").symlink_to(tmp_path / "nowhere")
    process = start(tmp_path / "in", tmp_path / "out", workers=1)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1 and b"InputError" in error and b"cannot be read" in error
