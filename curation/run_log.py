"""The run log: what a driver did, as JSON lines under `log/` of the output folder. docs/observability.md has the schema.

A run neither fails nor waits for want of it: what cannot be written is told once, and the log ends there. On a disk every
event is one appended line, so that a killed driver leaves whole lines; on an object store, which cannot append, the
newest file is put anew every few seconds. No credentials, no text of documents.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import curation
from curation.inputs import Inputs
from curation.meters import bytes_of, documents_of, drops_of
from curation.pipeline import Pipeline
from curation.plan import Options, run_fingerprint
from curation.printable import without_secrets
from curation.storage import Folder
from curation.storage_options import shown
from curation.unit import versions_of

logger = logging.getLogger("curation")

FOLDER = "log"

FILE_BYTES = 64 << 20
"""A file on a disk; then the next is begun."""

OBJECT_BYTES = 4 << 20
"""A file on an object store: it is put whole each time."""

PUT_SECONDS = 15.0
"""Pause between puts to an object store."""

MOST_BYTES = 1 << 30
"""All logs of a folder together: the oldest files are removed when a driver begins a new one."""

NAMES = 500
"""Units that one line names as taken over."""

MOST_ROOTS = 8
"""Roots of inputs that the start of a run names."""

REASON = 2000
"""Characters of an error or of a lost worker's last words."""


class RunLog:
    """Writes the log of one driver; an observer of its run (`curation.progress.Progress`).

    `patient`: lines are held back until a unit has run or the run is published. A slice that only looks whether its
    neighbours are done, once a second, then leaves no file.
    """

    def __init__(self, folder: Folder, patient: bool = False) -> None:
        self._folder = folder
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]  # to the millisecond: names sort by it
        self.driver = f"{stamp}Z-{uuid.uuid4().hex[:8]}"
        self._held: list[bytes] | None = [] if patient else None
        self._waves: dict[str, int] = {}
        self._losses: Counter[str] = Counter()
        self._encode = json.JSONEncoder(separators=(",", ":"), default=str).encode
        self._sink: _Appended | _Put | None = None
        self._broken = False

    @contextmanager
    def of(self, facts: Mapping[str, Any]) -> Iterator[None]:
        """Write `run_started` with `facts`, and at the end how it ended: finished, failed or interrupted, and why."""
        self._event("run_started", {**facts, "driver": {"host": socket.gethostname(), "pid": os.getpid()}})
        try:
            yield
        except KeyboardInterrupt:
            self._release()
            self._event("run_interrupted", {})
            raise
        except BaseException as error:
            self._release()
            self._event("run_failed", {"error": type(error).__name__, "why": _words(str(error))})
            raise
        finally:
            self._close()

    def finished(self, published: bool, facts: Mapping[str, Any]) -> None:
        """Every unit of the run is done; `published`: by this driver, its files have their names."""
        if published:
            self._release()
        self._event("run_finished", {"published": published, **facts})

    def waiting(self) -> None:
        """This slice has done its units, and others have not."""
        self._event("run_waiting", {})

    # -- what a driver tells

    def wave(self, title: str, units: int, done: int) -> None:
        if self._waves.get(title) != units:  # what is taken over later has its own events
            self._waves[title] = units
            self._event("wave_started", {"title": title, "units": units, "done": done})

    def kept(self, title: str, records: Sequence[Mapping]) -> None:
        names = [f"{record['unit']}.{record['fingerprint']}" for record in records]
        for first in range(0, len(names), NAMES):
            self._event("units_kept", {"title": title, "units": names[first : first + NAMES]})

    def unit(self, title: str, record: Mapping) -> None:
        self._event("unit_done", {"title": title, **unit_facts(record), "attempt": 1 + self._losses[record["unit"]]})
        self._release()

    def lost(self, title: str, name: str, why: str) -> None:
        self._losses[name] += 1
        self._event("unit_lost", {"title": title, "unit": name, "why": _words(why)})

    def close(self) -> None:
        """Observers are closed before the run has ended; `of` closes the log."""

    # -- lines

    def _release(self) -> None:
        """Write what was held back, and hold back nothing from now on."""
        held, self._held = self._held or (), None
        for line in held:
            self._write(line)

    def _event(self, event: str, facts: Mapping[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = self._encode({"time": now, "event": event, **facts}).encode() + b"\n"
        if self._held is not None:
            self._held.append(line)
        else:
            self._write(line)

    def _write(self, line: bytes) -> None:
        if self._broken:
            return
        try:
            if self._sink is None:
                self._folder.make(FOLDER)
                self._sink = (_Appended if self._folder.is_local else _Put)(self._folder, self.driver)
            self._sink.write(line)
        except Exception as error:  # noqa: BLE001 - a named border: no file system's error may end a run for its log
            self._give_up(error)

    def _close(self) -> None:
        if self._sink is None or self._broken:
            return
        try:
            self._sink.close()
        except Exception as error:  # noqa: BLE001 - the same border
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._broken = True
        logger.warning("the run log ends here, the run goes on: %s", _words(str(error)))


class _Appended:
    """Lines appended to files of a local disk, each by one call, so that readers and a killed driver see whole lines."""

    def __init__(self, folder: Folder, driver: str) -> None:
        self._folder, self._driver = folder, driver
        self._number = self._bytes = 0
        self._file = self._begin()

    def _begin(self) -> int:
        make_room(self._folder)
        name = self._folder.path(f"{FOLDER}/{self._driver}-{self._number:04d}.jsonl")
        return os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)

    def write(self, line: bytes) -> None:
        if self._bytes >= FILE_BYTES:
            os.close(self._file)
            self._number, self._bytes = self._number + 1, 0
            self._file = self._begin()
        self._bytes += len(line)
        while line:  # a disk that is nearly full takes a part
            line = line[os.write(self._file, line) :]

    def close(self) -> None:
        os.close(self._file)


class _Put:
    """Lines gathered and put as files of an object store, by a thread, so that no unit waits for the network."""

    def __init__(self, folder: Folder, driver: str) -> None:
        make_room(folder)
        self._folder, self._driver = folder, driver
        self._number = self._put = 0
        self._lines = bytearray()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._keep_putting, daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        if self._failure:
            raise self._failure
        with self._lock:
            self._lines += line

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        if self._failure:
            raise self._failure

    def _keep_putting(self) -> None:
        ends = False
        while not ends:
            ends = self._over.wait(PUT_SECONDS)
            try:
                self._put_now()
            except Exception as error:  # noqa: BLE001 - the same border, told by the driver's next event
                self._failure = error
                return

    def _put_now(self) -> None:
        with self._lock:
            data = bytes(self._lines)
        if len(data) == self._put:
            return
        self._folder.replace(f"{FOLDER}/{self._driver}-{self._number:04d}.jsonl", data)
        self._put = len(data)
        if len(data) >= OBJECT_BYTES:
            with self._lock:
                del self._lines[: len(data)]
            self._number, self._put = self._number + 1, 0


def make_room(folder: Folder) -> None:
    """Remove the oldest files of a folder's logs until there is room for another."""
    sizes = folder.names(FOLDER)
    total = sum(sizes.values())
    for name in sorted(sizes):
        if total <= MOST_BYTES - FILE_BYTES:
            return
        folder.delete(f"{FOLDER}/{name}")
        total -= sizes[name]


def start_facts(pipeline: Pipeline, inputs: Inputs, options: Options, slice_: str | None) -> dict[str, Any]:
    """What the log says of a run at its start."""
    return {
        "run": run_fingerprint(pipeline, inputs.accepted, options),
        "recipe": pipeline.name,
        "recipe_fingerprint": pipeline.fingerprint(),
        "stages": [[stage.label, stage.name] for stage in (pipeline.source, *pipeline.stages)],
        "inputs": {
            "files": len(inputs.accepted),
            "bytes": sum(item.size for item in inputs.accepted),
            "refused": len(inputs.refused),
            "roots": roots_of(inputs),
        },
        "options": {"limit": options.limit, "sample": options.sample, "slice": slice_},
        "curation": curation.__version__,
        "python": platform.python_version(),
        "libraries": versions_of(pipeline),
    }


def roots_of(inputs: Inputs) -> list[str]:
    """What goes before the recorded paths of the inputs, the first few that differ: where the archives were."""
    found: dict[str, None] = {}
    for item in inputs.accepted:
        location = item.location if "://" in item.location else os.path.abspath(item.location)
        if shown(location).endswith(f"/{item.path}"):
            found[shown(location).removesuffix(item.path)] = None
        if len(found) == MOST_ROOTS:
            break
    return list(found)


def unit_facts(record: Mapping) -> dict[str, Any]:
    """What the log tells of a unit that ran."""
    pieces, counts, part = record.get("pieces", ()), record["counts"], record["part"]
    facts: dict[str, Any] = {
        "unit": record["unit"],
        "fingerprint": record["fingerprint"],
        "wall_s": record["seconds"]["wall"],
        "cpu_s": record["seconds"]["cpu"],
        "documents": documents_of(record),
        "alive": record["rows_alive"],
        "dropped": drops_of(record),
        "bytes": bytes_of(record),
        "rows": part["rows"],
        "file_bytes": part["bytes"],
        "reused": sum([count["reused"] for count in counts]),
        "retried": sum([count["retried"] for count in counts]),
    }
    if pieces:
        facts["records"] = sum(sum(piece["records"].values()) for piece in pieces)
        facts["inputs"] = [f"{without_secrets(p['path'])}[{p['first']}:{p['stop']}]" for p in pieces[:3]]
        facts["more_inputs"] = len(pieces) - len(facts["inputs"])
    if "worker" in record:
        facts["worker"] = record["worker"]
    return facts


def _words(text: str) -> str:
    return without_secrets(text)[:REASON]


def starts(folder: Folder) -> Iterator[dict[str, Any]]:
    """The event `run_started` of each driver of a folder, the newest first; only first lines are read."""
    for name in sorted(folder.names(FOLDER), reverse=True):
        with folder.open(f"{FOLDER}/{name}") as stream:
            line = stream.readline()
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") == "run_started":
            yield event


class LogReader:
    """Reads the logs of a folder, and again what was added since. Lines that are torn or no events are passed over."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}

    def new(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each event not yet given, with the driver that wrote it; of each driver in the order it wrote them."""
        for name, size in sorted(self._folder.names(FOLDER).items()):
            if not name.endswith(".jsonl") or size <= self._read.get(name, 0):
                continue
            driver = name.rsplit("-", 1)[0]
            try:
                with self._folder.open(f"{FOLDER}/{name}") as stream:
                    stream.seek(self._read.get(name, 0))
                    for event in self._events(name, stream):
                        yield driver, event
            except FileNotFoundError:  # removed for room meanwhile
                continue

    def _events(self, name: str, stream: Any) -> Iterator[dict[str, Any]]:
        for line in stream:
            if not line.endswith(b"\n"):  # torn, or being written: given when it is whole
                return
            self._read[name] = self._read.get(name, 0) + len(line)
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                yield event
