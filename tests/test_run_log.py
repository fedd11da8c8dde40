"""The run log: its schema, whole lines after a kill, no credentials, and a run that neither fails nor waits for it."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from engine_stages import Length, Lines, Score, Twins
from test_engine import make_inputs, pipeline, run, snapshot

from curation import run_log
from curation.errors import RunStopped
from curation.inputs import Inputs
from curation.progress import LineProgress
from curation.run_log import MOST_ROOTS, LogReader, RunLog, make_room, roots_of, starts, unit_facts
from curation.runners.publish import clean
from curation.runners.waves import Slice
from curation.stage import Apply, Input
from curation.storage import Folder

ROOT = Path(__file__).resolve().parent.parent

STAGES = (Score(), Length(least=3), Twins())


def events(out: Path | Folder) -> list[dict]:
    return [event for _, event in LogReader(out if isinstance(out, Folder) else Folder(str(out))).new()]


def record(unit: str = "s00-read-00001") -> dict:
    count = {"label": "warc", "rows_in": 100, "rows_out": 90, "reused": 1, "retried": 2, "reasons": {"bad_status": [10, 5]}}
    piece = {
        "path": "s3://user:pw@bucket/a.warc.gz?X-Amz-Signature=5i9n",
        "first": 5,
        "stop": 105,
        "records": {"response": 100},
    }
    return {
        "unit": unit, "fingerprint": "0123456789abcdef0123", "counts": [count], "pieces": [piece] * 5, "rows_alive": 90,
        "text_bytes": 7, "part": {"rows": 100, "bytes": 999}, "seconds": {"wall": 1.5, "cpu": 1.25},
    }  # fmt: skip


def schema() -> dict[str, set[str]]:
    """Event -> its fields, from the table of docs/observability.md."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|", (ROOT / "docs/observability.md").read_text(), re.M)
    return {event: set(re.findall(r"`(\w+)`", fields)) for event, fields in rows}


def test_every_event_has_the_fields_that_the_documents_name(tmp_path: Path) -> None:
    run(pipeline(*STAGES), make_inputs(tmp_path), tmp_path / "out", workers=2)
    run(pipeline(Score(), Length(least=5), Twins()), tmp_path / "in", tmp_path / "out")
    for error in (KeyboardInterrupt(), RunStopped("why")):
        log = RunLog(Folder(str(tmp_path / "more")))
        with pytest.raises(type(error)), log.of({}):
            log.lost("rows", "s01-rows-00001", "killed")
            log.waiting()
            raise error
    documented = schema()
    told = events(tmp_path / "out") + events(tmp_path / "more")
    assert {event["event"] for event in told} == set(documented)
    optional = {"records", "inputs", "more_inputs", "worker", "output"}
    for event in told:
        fields = set(event) - {"time", "event"}
        assert fields <= documented[event["event"]], event
        if event in events(tmp_path / "out"):
            assert documented[event["event"]] - fields <= optional, event
        assert datetime.fromisoformat(event["time"]).utcoffset() is not None


def test_a_start_names_where_the_inputs_lay(tmp_path: Path) -> None:
    inputs, out = make_inputs(tmp_path), tmp_path / "out"
    run(pipeline(*STAGES), inputs, out)
    more = make_inputs(tmp_path / "more")
    run(pipeline(*STAGES), more, out)
    found = [start["inputs"]["roots"] for start in starts(Folder(str(out)))]
    assert found == [[f"file://{more.parent}/"], [f"file://{inputs.parent}/"]]
    (out / "log" / "9-torn.jsonl").write_text('{"event": "run_sta')
    assert len(list(starts(Folder(str(out))))) == 2 and list(starts(Folder(str(tmp_path / "none")))) == []


def test_roots_are_few_and_without_credentials() -> None:
    places = [f"s3://user:pw@bucket{i}/crawl/a.warc.gz" for i in range(20)] + [
        "https://h/crawl/a.warc.gz?Signature=5i9n",
        "x/b.warc",
    ]
    roots = roots_of(Inputs([Input(i, "crawl/a.warc.gz", place, 1, "") for i, place in enumerate(places)]))
    assert roots == [f"s3://bucket{i}/" for i in range(MOST_ROOTS)]
    assert roots_of(Inputs([Input(0, "b.warc", "x/b.warc", 1, ""), Input(1, "c", "https://h/c?Signature=5i9n", 1, "")])) == [
        f"{Path.cwd()}/x/",
        "https://h/",
    ]


def test_the_log_adds_up_to_the_census(tmp_path: Path) -> None:
    result = run(pipeline(*STAGES), make_inputs(tmp_path), tmp_path / "out", workers=2)
    assert result.census is not None
    told = events(tmp_path / "out")
    assert [told[0]["event"], told[-1]["event"]] == ["run_started", "run_finished"]
    assert told[0]["inputs"]["files"] == 3 and told[0]["runner"] == "local" and told[0]["options"]["slice"] is None
    done = [event for event in told if event["event"] == "unit_done"]
    dropped: dict[str, int] = {}
    for event in done:
        for reason, documents in event["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + documents
    counted = {f"{s['label']}:{r}": d["documents"] for s in result.census["stages"] for r, d in s["dropped"].items()}
    assert dropped == counted
    assert len(done) == sum(wave.ran for wave in result.waves) == len(list((tmp_path / "out/work/commits").iterdir()))
    waves = {event["title"]: event["units"] for event in told if event["event"] == "wave_started"}
    assert waves == {wave.title: wave.units for wave in result.waves}
    pids = {event["worker"]["pid"] for event in done}
    assert len(pids) == 2 and os.getpid() not in pids
    committed = json.loads(next((tmp_path / "out/work/commits").iterdir()).read_text())
    assert "worker" not in committed, "what is committed is the same wherever it was made"


def test_a_second_run_names_what_it_took_over(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    run(pipeline(*STAGES), inputs, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    again = run(pipeline(*STAGES), inputs, tmp_path / "out")
    assert snapshot(tmp_path / "out") == before
    second = events(tmp_path / "out")
    second = second[[e["event"] for e in second].index("run_finished") + 1 :]
    assert not [event for event in second if event["event"] == "unit_done"]
    kept = {name for event in second if event["event"] == "units_kept" for name in event["units"]}
    assert len(kept) == sum(wave.units for wave in again.waves)
    assert {f"{name}.json" for name in kept} == {p.name for p in (tmp_path / "out/work/commits").iterdir()}
    clean(Folder(str(tmp_path / "out")))
    assert events(tmp_path / "out"), "the log stays when the work is removed"


def test_a_failed_run_says_why_without_credentials(tmp_path: Path) -> None:
    log = RunLog(Folder(str(tmp_path)))
    why = "GET https://me:secret@host/x?X-Amz-Signature=deadbeef&part=2 failed"
    with pytest.raises(RunStopped), log.of({"recipe": "r"}):
        log.unit("reading", record())
        log.lost("reading", "s00-read-00001", why)
        log.unit("reading", record())
        raise RunStopped(why)
    text = next((tmp_path / "log").iterdir()).read_text()
    for secret in ("secret", "deadbeef", "user:pw", "5i9n"):
        assert secret not in text
    told = events(tmp_path)
    assert told[-1]["event"] == "run_failed" and told[-1]["error"] == "RunStopped" and "part=2" in told[-1]["why"]
    assert [event.get("attempt") for event in told if event["event"] == "unit_done"] == [1, 2]
    assert unit_facts(record())["more_inputs"] == 2


def test_what_is_not_text_of_ours_stays_on_its_line(tmp_path: Path) -> None:
    log = RunLog(Folder(str(tmp_path)))
    with log.of({}):
        log.lost("a\x1b[31m\u2028b", "unit", "line\nline\x07\udcff" + "x" * 10**6)
    data = next((tmp_path / "log").iterdir()).read_bytes()
    assert data.isascii() and b"\x1b" not in data and data.count(b"\n") == 2 and len(data) < 10_000
    assert events(tmp_path)[1]["title"] == "a\x1b[31m\u2028b"


def test_a_full_disk_is_told_once_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, written = os.write, [0]

    def full(file: int, data: bytes) -> int:
        written[0] += 1
        if written[0] > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data[: 10 if written[0] == 4 else None])

    monkeypatch.setattr(run_log.os, "write", full)
    with caplog.at_level(logging.WARNING, logger="curation"):
        result = run(pipeline(*STAGES), make_inputs(tmp_path), tmp_path / "out")
    assert result.finished and (tmp_path / "out/census.json").exists()
    warned = [r for r in caplog.records if "run log" in r.getMessage()]
    assert len(warned) == 1 and "No space left" in warned[0].getMessage() and written[0] == 5
    monkeypatch.undo()
    assert len(events(tmp_path / "out")) == 3, "and the torn line is passed over"


def test_a_folder_that_cannot_be_made_is_no_reason_to_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/log").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING, logger="curation"):
        assert run(pipeline(*STAGES), make_inputs(tmp_path), tmp_path / "out").finished
    assert sum("run log" in r.getMessage() for r in caplog.records) == 1


def test_an_object_store_gets_whole_files_that_a_reader_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "PUT_SECONDS", 0.01)
    monkeypatch.setattr(run_log, "OBJECT_BYTES", 2000)
    folder = Folder("memory://a-run-log")
    reader, found = LogReader(folder), []
    log = RunLog(folder)
    with log.of({"recipe": "r"}):
        for number in range(60):
            log.unit("reading", record(f"s00-read-{number:05d}"))
            time.sleep(0.002)
            found += [event for _, event in reader.new()]
        assert found, "the log is there before the run has ended"
    found += [event for _, event in reader.new()]
    assert [e["unit"] for e in found if e["event"] == "unit_done"] == [f"s00-read-{n:05d}" for n in range(60)]
    assert found == events(folder) and len(folder.names("log")) > 3
    folder.delete_folder("log")


def test_an_object_store_that_fails_ends_the_log_and_not_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self, name: str, data: bytes) -> None:
        raise ValueError("an error of some client library")

    monkeypatch.setattr(run_log, "PUT_SECONDS", 0.01)
    monkeypatch.setattr(Folder, "replace", refuse)
    log = RunLog(Folder("memory://a-refused-log"))
    with caplog.at_level(logging.WARNING, logger="curation"), log.of({}):
        for _ in range(20):
            log.lost("t", "u", "w")
            time.sleep(0.005)
    assert sum("an error of some client library" in r.getMessage() for r in caplog.records) == 1


def test_files_are_cut_and_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "FILE_BYTES", 1000)
    monkeypatch.setattr(run_log, "MOST_BYTES", 5000)
    for _ in range(3):
        log = RunLog(Folder(str(tmp_path)))
        with log.of({}):
            for number in range(20):
                log.unit("reading", record(f"s00-read-{number:05d}"))
        assert sum(p.stat().st_size for p in (tmp_path / "log").iterdir()) <= 5000 + 1000
    folder = Folder(str(tmp_path))
    told = events(folder)
    assert told[-1]["unit"] == "s00-read-00019", "the newest stay"
    monkeypatch.setattr(run_log, "MOST_BYTES", 0)
    make_room(folder)
    assert not folder.names("log")


def test_a_slice_that_only_waits_leaves_no_file(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    halves = [Slice(1, 2), Slice(2, 2)]
    finished = [False, False]
    for _ in range(40):
        for place, half in enumerate(halves):
            finished[place] = run(pipeline(*STAGES), inputs, tmp_path / "out", slice_=half).finished
    assert all(finished)
    drivers = {driver for driver, _ in LogReader(Folder(str(tmp_path / "out"))).new()}
    told = events(tmp_path / "out")
    # Slice 1 publishes each time it is called; of slice 2 there are those calls that ran a unit.
    assert sum(event["event"] == "run_finished" and event["published"] for event in told) > 1
    of_second = sum(event["event"] == "run_started" and event["options"]["slice"] == "2/2" for event in told)
    assert 0 < of_second < 10 and len(drivers) < 60


@pytest.mark.parametrize("after", [3, 20])
def test_a_killed_driver_leaves_whole_lines(tmp_path: Path, after: int) -> None:
    make_inputs(tmp_path)
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/crash_run.py"), "engine", str(tmp_path / "in"), str(out), "2"],
        env=environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(list((out / "work/commits").glob("*"))) < after and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    data = next((out / "log").iterdir()).read_bytes()
    assert data.endswith(b"\n") and all(json.loads(line)["event"] for line in data.splitlines())
    # A torn line, which only a broken disk could leave, is passed over.
    path = next((out / "log").iterdir())
    path.write_bytes(data + b'{"time":"2026-01-01T00:00:00+00:00","event":"unit_do')
    assert len(events(out)) == data.count(b"\n")


def test_a_reader_gives_what_was_added(tmp_path: Path) -> None:
    log = RunLog(Folder(str(tmp_path)))
    reader = LogReader(Folder(str(tmp_path)))
    with log.of({}):
        assert [event["event"] for _, event in reader.new()] == ["run_started"]
        log.unit("reading", record())
        assert [event["event"] for _, event in reader.new()] == ["unit_done"]
        assert not list(reader.new())
    path = next((tmp_path / "log").iterdir())
    with path.open("ab") as stream:
        stream.write(b'no json\n[1]\n{"event": 7}\n{"event":"mine","time":"x"}\n{"event":')
    assert [event["event"] for _, event in reader.new()] == ["mine"]
    with path.open("ab") as stream:
        stream.write(b'"whole"}\n')
    assert [event["event"] for _, event in reader.new()] == ["whole"]


@dataclass(frozen=True)
class DyingOnce(Score):
    """Ends its process at the first batch, as long as the file `life` is there."""

    life: str = ""

    def bind(self, models: Mapping[str, Path]) -> Apply:
        apply = super().bind(models)

        def dying(batch: pl.DataFrame) -> pl.DataFrame:
            try:
                Path(self.life).unlink()
            except FileNotFoundError:
                return apply(batch)
            os.kill(os.getpid(), signal.SIGKILL)
            return batch

        return dying


def test_a_lost_worker_is_told_and_its_unit_has_a_second_attempt(tmp_path: Path) -> None:
    (tmp_path / "life").touch()
    run(pipeline(DyingOnce(life=str(tmp_path / "life"))), make_inputs(tmp_path), tmp_path / "out", workers=2)
    told = events(tmp_path / "out")
    lost = [event for event in told if event["event"] == "unit_lost"]
    assert lost and all(event["why"] for event in lost)
    attempts = {event["unit"]: event["attempt"] for event in told if event["event"] == "unit_done"}
    assert {unit for unit, attempt in attempts.items() if attempt == 2} == {event["unit"] for event in lost}


def test_units_taken_over_behind_a_unit_that_ran_are_named(tmp_path: Path) -> None:
    """A shard's record is gone: it is made again, and what follows it is found committed only then."""
    inputs, out = make_inputs(tmp_path), tmp_path / "out"
    recipe = pipeline(Length(least=3), Score(), Twins())
    run(recipe, inputs, out)
    for path in (out / "work/commits").glob("s00-read-0000[3-5].*"):
        path.unlink()
    view = LineProgress()
    again = run(recipe, inputs, out, progress=view)
    assert sum(wave.ran for wave in again.waves) == 3
    assert all(meter.is_done and meter.done == meter.units for meter in view.meters.values()), "views reach the end"
    told = events(out)
    newest = told[max(place for place, event in enumerate(told) if event["event"] == "run_started") :]
    kept = [name for event in newest if event["event"] == "units_kept" for name in event["units"]]
    assert len(kept) == len(set(kept)) == sum(wave.kept for wave in again.waves)
    assert view.flow.read == 180


def test_lines_of_the_source_are_in_the_log_of_a_limited_run(tmp_path: Path) -> None:
    from curation.plan import Options

    run(pipeline(Score(), source=Lines(200)), make_inputs(tmp_path), tmp_path / "out", options=Options(limit=20))
    started = events(tmp_path / "out")[0]
    assert started["options"] == {"limit": 20, "sample": None, "slice": None}
