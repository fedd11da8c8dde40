"""A run that is not finished, as far as its log and its commit records tell: going on, failed, interrupted or killed.

Which records belong to it the log says: those of earlier recipes lie in the same folder. Nothing of it is checked: the
census is what a finished run leaves.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from curation.census import FILE as CENSUS
from curation.census import read_census, stage_account, to_json
from curation.errors import StorageError
from curation.inspect.funnel import funnel
from curation.meters import clock
from curation.printable import shorten
from curation.records import read_record
from curation.run_log import LogReader
from curation.storage import Folder

READERS = 16
"""Records read at a time: on an object store each is a round trip."""

ENDINGS = ("run_finished", "run_failed", "run_interrupted", "run_waiting")


@dataclass
class _Driver:
    """One driver's log: its first event, its last, and how it ended if it did."""

    started: Mapping[str, Any]
    last: str
    ending: Mapping[str, Any] | None = None


@dataclass
class RunState:
    """A run from the logs of all its drivers, which share its fingerprint. `waves`: title -> units known, units done.
    `records`: unit -> name of its commit record without `.json`."""

    waves: dict[str, tuple[int, int]] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    lost: int = 0
    units_of: dict[str, set[str]] = field(default_factory=dict)


class RunWatch:
    """The newest run of a folder. `look` reads what was added since it was called last."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._reader = LogReader(folder)
        self._drivers: dict[str, _Driver] = {}
        self._runs: dict[str, RunState] = {}
        self._counts: dict[str, dict[str, Any] | None] = {}

    def look(self) -> None:
        """Take in new events and new records of the newest run."""
        for driver, event in self._reader.new():
            self._take(driver, event)
        state = self._newest_state()
        if state is None:
            return
        new = sorted(name for name in state.records.values() if not self._counts.get(name))
        with ThreadPoolExecutor(READERS) as readers:
            self._counts.update(zip(new, readers.map(self._counts_of, new), strict=True))

    def _take(self, driver: str, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "run_started":
            self._drivers[driver] = _Driver(event, event["time"])
            self._runs.setdefault(event["run"], RunState())
        if driver not in self._drivers:  # the beginning of its log is gone
            return
        known = self._drivers[driver]
        known.last = event["time"]
        state = self._runs[known.started["run"]]
        if kind in ENDINGS:
            known.ending = event
        elif kind == "wave_started":
            state.waves[event["title"]] = (event["units"], event["done"])
        elif kind == "units_kept":
            self._hold(state, event["title"], event["units"])
        elif kind == "unit_done":
            self._hold(state, event["title"], [f"{event['unit']}.{event['fingerprint']}"])
        elif kind == "unit_lost":
            state.lost += 1

    @staticmethod
    def _hold(state: RunState, title: str, names: list[str]) -> None:
        for name in names:
            unit = name.split(".", 1)[0]
            state.records[unit] = name
            state.units_of.setdefault(title, set()).add(unit)

    def _counts_of(self, name: str) -> dict[str, Any] | None:
        """What a record counts; None when it is not there: it was damaged, or the work was cleaned."""
        try:
            record = read_record(self._folder, f"{name}.json")
        except (FileNotFoundError, StorageError):
            return None
        return {"counts": record["counts"], "read": bool(record["pieces"])}

    # -- what it found

    def _newest(self) -> _Driver | None:
        return max(self._drivers.values(), key=lambda driver: driver.started["time"], default=None)

    def _newest_state(self) -> RunState | None:
        newest = self._newest()
        return self._runs[newest.started["run"]] if newest else None

    @property
    def is_unfinished(self) -> bool:
        """Whether the newest run has begun and no driver has published it since."""
        newest = self._newest()
        if newest is None:
            return False
        run, begun = newest.started["run"], newest.started["time"]
        endings = [d.ending for d in self._drivers.values() if d.ending and d.started["run"] == run]
        return not any(e.get("published") and e["time"] >= begun for e in endings)

    def state(self) -> dict[str, Any]:
        """The run as a plain value. `unfinished` is true in every one, so that it is never taken for a census."""
        newest, run = self._newest(), self._newest_state()
        assert newest and run, "look first, and ask whether it is unfinished"
        started = newest.started
        held = {unit: counts for unit, name in run.records.items() if (counts := self._counts.get(name))}
        waves = [
            {"title": title, "units": units, "done": min(units, sum(u in held for u in run.units_of.get(title, ())))}
            for title, (units, _) in run.waves.items()
        ]
        return {
            "unfinished": True,
            "recipe": started["recipe"],
            "fingerprint": started["recipe_fingerprint"],
            "run": started["run"],
            "started": started["time"],
            "last_event": max(d.last for d in self._drivers.values() if d.started["run"] == started["run"]),
            "state": _how_it_goes(newest),
            "workers_lost": run.lost,
            "units": {"done": sum(w["done"] for w in waves), "known": sum(w["units"] for w in waves)},
            "waves": waves,
            "stages": stage_account(((label, name) for label, name in started["stages"]), held),
        }


def _how_it_goes(driver: _Driver) -> str:
    """In words: how the newest driver ended; where it has not said, whether its process is still there if it is ours to
    see."""
    if driver.ending:
        said = {
            "run_interrupted": "interrupted",
            "run_waiting": "waiting for other slices",
            "run_finished": "every unit is done, to be published by slice 1",
        }
        kind = driver.ending["event"]
        return said.get(kind) or f"failed: {driver.ending.get('error', '')}: {driver.ending.get('why', '')}"
    where = driver.started["driver"]
    if where["host"] != socket.gethostname():
        return "running, or its driver was killed"
    return "running" if _is_alive(where["pid"]) else "its driver is gone: killed, or the machine went down"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def unfinished_text(state: Mapping[str, Any], has_census: bool = False) -> str:
    """The state of an unfinished run as lines of plain text."""
    units = state["units"]
    ago = (datetime.now(UTC) - datetime.fromisoformat(state["last_event"])).total_seconds()
    lines = [
        f"unfinished: {units['done']} of {units['known']} units; more waves may follow, and nothing is checked yet",
        f"recipe {shorten(state['recipe'], 80)} ({state['fingerprint'][:12]}), started {state['started']}",
        f"{shorten(state['state'], 300)}; last event {clock(max(ago, 0))} ago"
        + (f"; {state['workers_lost']} times a worker was lost" if state["workers_lost"] else ""),
    ]
    if has_census:
        lines.append("census.json is of a run that finished before: --finished shows it")
    lines.append(f"{'wave':60}{'done':>10}{'units':>10}")
    lines += [f"{shorten(w['title'], 58):60}{w['done']:>10}{w['units']:>10}" for w in state["waves"]]
    lines.append(f"{'stage':34}{'in':>12}{'out':>12}{'dropped':>12}   (of the units that are done)")
    for entry in state["stages"]:
        gone = sum(sums["documents"] for sums in entry["dropped"].values())
        lines.append(f"{shorten(entry['label'], 32):34}{entry['in']:>12}{entry['out']:>12}{gone:>12}")
        lines += [f"  - {shorten(reason, 52):54}{sums['documents']:>12}" for reason, sums in entry["dropped"].items()]
    return "\n".join(lines)


def follow(
    out: str,
    *,
    as_json: bool = False,
    finished: bool = False,
    every_s: float | None = None,
    options: Mapping[str, object] | None = None,
) -> Iterator[str]:
    """What a folder's run tells: the funnel of its census, or the state of one that is not finished; again every `every_s`
    seconds until it is finished. `finished`: the census that is there, whatever runs now. StorageError where there is
    neither a run nor a census."""
    folder = Folder(out, dict(options or {}))
    watch = RunWatch(folder)
    while True:
        if not finished:
            watch.look()
        if finished or not watch.is_unfinished:
            census = read_census(folder)
            yield to_json(census).decode().rstrip() if as_json else funnel(census)
            return
        state = watch.state()
        has_census = folder.exists(CENSUS)
        yield json.dumps(state, indent=1, ensure_ascii=False) if as_json else unfinished_text(state, has_census)
        if every_s is None:
            return
        time.sleep(every_s)
