"""`curation census` of a run that is not finished, and `curation slow`: what belongs to the run, and what does not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from engine_stages import Length, Score, Twins
from test_engine import make_inputs, pipeline, run

from curation.errors import ContractError, StorageError
from curation.inspect import unfinished
from curation.inspect.slow import slow
from curation.inspect.unfinished import RunWatch, follow
from curation.runners.waves import Slice
from curation.stage import Apply
from curation.storage import Folder
from curation.unit_times import UnitTimes

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Stopping(Score):
    """Scores `batches` batches of a process and then breaks its word, or waits while the file `gate` is there."""

    batches: int = 5
    gate: str = ""

    def bind(self, models: Mapping[str, Path]) -> Apply:
        apply = super().bind(models)
        seen = [0]

        def counted(batch: pl.DataFrame) -> pl.DataFrame:
            seen[0] += 1
            if seen[0] <= self.batches:
                return apply(batch)
            while self.gate and Path(self.gate).exists():
                time.sleep(0.01)
            return apply(batch) if self.gate else apply(batch)[1:]

        return counted


def state_of(out: Path) -> dict:
    watch = RunWatch(Folder(str(out)))
    watch.look()
    assert watch.is_unfinished
    return watch.state()


def test_a_failed_run_tells_what_its_records_hold(tmp_path: Path) -> None:
    inputs, out = make_inputs(tmp_path), tmp_path / "out"
    with pytest.raises(ContractError):
        run(pipeline(Length(least=3), Stopping()), inputs, out)
    state = state_of(out)
    records = [json.loads(path.read_text()) for path in (out / "work/commits").iterdir()]
    assert state["unfinished"] is True and state["units"]["done"] == len(records) < state["units"]["known"]
    assert state["state"].startswith("failed: ContractError")
    for entry in state["stages"]:
        counts = [c for r in records for c in r["counts"] if c["label"] == entry["label"]]
        assert entry["in"] == sum(c["rows_in"] for c in counts) and entry["out"] == sum(c["rows_out"] for c in counts)
    (text,) = follow(str(out))
    assert text.startswith(f"unfinished: {len(records)} of {state['units']['known']} units")
    assert "too_short" in text and "census.json" not in text
    (as_json,) = follow(str(out), as_json=True)
    assert json.loads(as_json)["stages"] == state["stages"]
    with pytest.raises(StorageError, match="no census here"):
        list(follow(str(out), finished=True))


def test_records_of_other_recipes_do_not_count(tmp_path: Path) -> None:
    inputs, out = make_inputs(tmp_path), tmp_path / "out"
    finished = run(pipeline(Length(least=3), Score(), Twins()), inputs, out)
    assert finished.census is not None
    with pytest.raises(ContractError):
        run(pipeline(Length(least=5), Stopping(), Twins()), inputs, out)
    state = state_of(out)
    by_label = {entry["label"]: entry for entry in state["stages"]}
    assert by_label["lines"]["in"] == 180, "the reading was taken over"
    committed = [path.name for path in (out / "work/commits").glob("s01-rows-*")]
    assert 0 < by_label["length"]["in"] < finished.census["stages"][1]["in"] and len(committed) > 13
    (text,) = follow(str(out))
    assert "census.json is of a run that finished before" in text
    (funnel,) = follow(str(out), finished=True)
    assert funnel.startswith("recipe engine") and "unfinished" not in funnel
    # Back to the first recipe: nothing runs, and the folder's census is this run's again.
    run(pipeline(Length(least=3), Score(), Twins()), inputs, out)
    (funnel,) = follow(str(out))
    assert "unfinished" not in funnel


def test_units_of_a_first_attempt_count_in_the_second(tmp_path: Path) -> None:
    inputs, out = make_inputs(tmp_path), tmp_path / "out"
    recipe = pipeline(Stopping(batches=4), Twins())
    done = 0
    for _ in range(2):
        with pytest.raises(ContractError):
            run(recipe, inputs, out)
        state = state_of(out)
        assert state["units"]["done"] == len(list((out / "work/commits").iterdir())) > done
        assert [wave["title"] for wave in state["waves"]] == ["lines", "stopping"]
        done = state["units"]["done"]


def test_a_run_is_watched_while_it_goes_on(tmp_path: Path) -> None:
    inputs, out, gate = make_inputs(tmp_path), tmp_path / "out", tmp_path / "gate"
    gate.touch()
    recipe = pipeline(Stopping(batches=5, gate=str(gate)), Twins())
    running = threading.Thread(target=run, args=(recipe, inputs, out))
    running.start()
    seen: list[dict] = []
    try:
        for text in follow(str(out), as_json=True, every_s=0.05) if _appears(out / "log") else ():
            seen.append(json.loads(text))
            if seen[-1].get("unfinished") and seen[-1]["units"]["done"] >= 16:
                gate.unlink(missing_ok=True)
    finally:
        gate.unlink(missing_ok=True)
        running.join()
    assert seen[0]["unfinished"] and seen[0]["state"] == "running"
    done = [state["units"]["done"] for state in seen if state.get("unfinished")]
    assert done == sorted(done) and max(done) >= 16
    assert "unfinished" not in seen[-1] and seen[-1]["output"]["documents"] > 0, "the last is the census"


def _appears(path: Path) -> bool:
    deadline = time.monotonic() + 30
    while not (path.exists() and any(p.stat().st_size for p in path.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.005)
    return path.exists()


def test_after_a_kill(tmp_path: Path) -> None:
    make_inputs(tmp_path)
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/crash_run.py"), "engine", str(tmp_path / "in"), str(out), "2"],
        env=environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(list((out / "work/commits").glob("*"))) < 10 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    state = state_of(out)
    assert state["state"].startswith("its driver is gone")
    # The driver may have died before it heard of the last units: those are not known to be this run's.
    assert 0 < state["units"]["done"] <= len(list((out / "work/commits").iterdir()))
    shown = subprocess.run([sys.executable, "-m", "curation.cli", "census", str(out)], capture_output=True, text=True)
    assert shown.returncode == 0 and shown.stdout.startswith("unfinished: "), shown.stderr


def test_a_driver_elsewhere_is_not_called_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ContractError):
        run(pipeline(Stopping()), make_inputs(tmp_path), tmp_path / "out")
    log = next((tmp_path / "out/log").iterdir())
    log.write_text("\n".join(log.read_text().splitlines()[:-1]) + "\n")
    assert state_of(tmp_path / "out")["state"] == "running"
    monkeypatch.setattr(unfinished.socket, "gethostname", lambda: "another")
    assert state_of(tmp_path / "out")["state"] == "running, or its driver was killed"


def test_slices_are_one_run(tmp_path: Path) -> None:
    inputs, out = make_inputs(tmp_path), tmp_path / "out"
    recipe = pipeline(Score())
    assert not run(recipe, inputs, out, slice_=Slice(2, 2)).finished
    state = state_of(out)
    assert state["state"] == "waiting for other slices" and state["units"]["done"] < state["units"]["known"]
    while not run(recipe, inputs, out, slice_=Slice(1, 2)).finished:
        run(recipe, inputs, out, slice_=Slice(2, 2))
    (text,) = follow(str(out))
    assert "unfinished" not in text


def test_what_is_gone_or_damaged_is_not_counted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ContractError):
        run(pipeline(Stopping()), make_inputs(tmp_path), out)
    before = state_of(out)["units"]["done"]
    first, second, *_ = sorted((out / "work/commits").iterdir())
    first.unlink()
    second.write_text("{")
    assert state_of(out)["units"]["done"] == before - 2


# -- slow units


def facts(unit: str, wall: float, size: int = 1000, documents: int = 10, **more) -> dict:
    return {"unit": unit, "wall_s": wall, "bytes": size, "documents": documents, **more}


def test_what_sets_slow_units_apart() -> None:
    times = UnitTimes()
    for number in range(40):
        path = {"inputs": [f"file{number}.warc.gz[0:9]"], "more_inputs": 2, "records": 30}
        times.add("reading", facts(f"s00-read-{number:05d}", 10.0, **path), 100.0 + number)
    times.add("reading", facts("s00-read-00050", 100.0, size=9000), 200.0)
    times.add("reading", facts("s00-read-00051", 60.0, documents=70, attempt=2), 201.0)
    times.add("reading", facts("s00-read-00052", 50.0, worker={"host": "n\x1b[1m", "pid": 3}), 202.0)
    times.add("rows", facts("s01-rows-00003", 1.0), 203.0)
    times.add("rows", facts("s01-rows-00004", 9.0), 203.0)
    wave = times.waves()[0]
    assert (wave.title, wave.units, wave.median, wave.most, wave.ratio) == ("reading", 43, 10.0, 100.0, 10.0)
    assert wave.p95 == 50.0, "the 41st of 43"
    assert times.worth_a_word()
    report = times.report()
    assert re.search(r"s00-read-00050 .*: 9\.0 times the bytes\n", report)
    assert re.search(r"s00-read-00051 .*: 7\.0 times the documents, attempt 2\n", report)
    assert re.search(r"s00-read-00052 .*: the first of its worker \(imports, models\), on n␛\[1m\n", report)
    assert re.search(r"s01-rows-00004 .*no more data than others.*\n +of file4\.warc\.gz\[0:9\] and 2 more", report)
    assert "s00-read-00002" not in report, "a unit like the others is not named"
    assert "s01-rows" not in times.report(only_slow=True)


def test_an_even_wave_is_not_worth_a_word() -> None:
    times = UnitTimes()
    assert times.report().count("\n") == 0 and not times.worth_a_word()
    for number in range(5):
        times.add("reading", facts(f"s00-read-{number:05d}", 100.0 + number), 500.0)
    times.add("quick", facts("s01-rows-00000", 0.1), 600.0)
    times.add("quick", facts("s01-rows-00001", 20.0), 601.0)
    assert not times.worth_a_word(), "much over its median, but not 30 seconds"


def test_the_tail_is_when_fewer_than_half_the_workers_were_busy() -> None:
    times = UnitTimes()
    for number in range(8):
        times.add("a", facts(f"s00-read-{number:05d}", 10.0), 110.0)
    times.add("a", facts("s00-read-00008", 60.0), 160.0)
    assert times.waves()[0].tail == 50.0, "from 110, when one of nine was left, to 160"
    assert "its last 0:50 of 1:00 had fewer than half the workers busy" in times.report()
    for number in range(8):  # another wave fills the workers meanwhile
        times.add("b", facts(f"s01-rows-{number:05d}", 45.0), 155.0)
    assert times.waves()[0].tail == 5.0
    alone = UnitTimes()
    for number in range(3):
        alone.add("a", facts(f"s00-read-{number:05d}", 1.0), 101.0 + number)
    assert alone.waves()[0].tail == 0, "one worker has no tail"


def test_slow_reads_the_newest_run_that_ran_a_unit(tmp_path: Path) -> None:
    inputs, out = make_inputs(tmp_path), tmp_path / "out"
    first = run(pipeline(Score()), inputs, out, workers=2)
    said = slow(str(out))
    assert re.search(r"^lines +13 ", said, re.M) and re.search(r"^parquet ", said, re.M)
    run(pipeline(Score()), inputs, out)
    assert slow(str(out)) == said, "a run that took everything over has no times"
    assert [w.units for w in first.times.waves()] == [w.ran for w in first.waves]
    run(pipeline(Score(), Twins()), inputs, out)
    assert "lines" not in slow(str(out)) and "twins: match" in slow(str(out)), "units taken over have none"
    with pytest.raises(StorageError, match="no unit has run here"):
        slow(str(tmp_path / "in"))
