"""Bring the units of a wave, and of the segments behind it, to commit records.

What is committed already is only looked at. What is missing goes to an executor as soon as what it builds on is there: a
shard does not wait for other shards between two segments.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

from curation.errors import RecipeError, StorageError
from curation.lists import Lists
from curation.meters import documents_of
from curation.parts import PARTS
from curation.pipeline import Pipeline
from curation.plan import Plan, Unit, Wave
from curation.progress import Progress
from curation.records import COMMITS, read_record
from curation.runners.ready import Job, Ready
from curation.shares import Shares
from curation.storage import Folder

logger = logging.getLogger("curation")

READERS = 16
"""Threads that read commit records: on an object store each takes some 30 ms, most of it waiting."""


class Executor(Protocol):
    """Runs units somewhere. `execute` takes jobs while there are any and yields commit records in the order in which units
    finish; between two of them more may become ready. `close(abandon=True)` ends units under way at once: they leave
    nothing that a resume would trust. `observers` are told of the run too."""

    observers: Sequence[Progress]

    def execute(self, ready: Ready) -> Generator[dict, None, None]: ...
    def close(self, abandon: bool = False) -> None: ...


MakeExecutor = Callable[[Pipeline, Folder, Mapping[str, object]], Executor]


@dataclass(frozen=True)
class Slice:
    """Share `number` (1-based) of `of` shares of every segment's units."""

    number: int
    of: int

    @staticmethod
    def parse(text: str) -> Slice:
        """Read `3/40`. RecipeError otherwise."""
        left, _, right = text.partition("/")
        if not (left.isdigit() and right.isdigit() and 1 <= int(left) <= int(right)):
            raise RecipeError(f"--slice: wanted i/n with 1 <= i <= n, found {text!r}")
        return Slice(int(left), int(right))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, unit: Unit) -> bool:
        return unit.number % self.of == self.number - 1


@dataclass
class WaveReport:
    """What became of one segment or step: units in all, run now, taken over; documents whose columns were taken over;
    seconds from its first unit to its last."""

    title: str
    units: int
    ran: int = 0
    kept: int = 0
    documents: int = 0
    reused: int = 0
    seconds: float = 0.0


class WaveRun:
    """Runs the waves of one plan, one after the other."""

    def __init__(
        self,
        plan: Plan,
        folder: Folder,
        executor: Executor,
        slice_: Slice | None,
        show: Progress,
        reports: list[WaveReport],
    ) -> None:
        self._plan, self._folder, self._executor, self._slice, self._show = plan, folder, executor, slice_, show
        self._reports = reports
        self._lists = Lists(folder)

    def run(self, wave: Wave) -> bool:
        """Bring every unit of a wave to a record. False when other slices have not done theirs."""
        self._wave = wave
        self._shares = Shares(self._plan.pipeline)
        self._begun = time.monotonic()
        self._look()
        self._mine: dict[str, Unit] = {}
        self._theirs: dict[str, Unit] = {}
        self._ready = Ready(lambda unit, why: self._show.lost(wave.title_of(unit), unit.name, why))
        self._titled = {wave.title: WaveReport(wave.title, len(wave.units))}
        self._titled |= {title: self._report_of(title) for title in wave.behind.values()}
        listed = {id(report) for report in self._reports}
        self._reports += [report for report in self._titled.values() if id(report) not in listed]
        self._arrive(wave.units)
        self._tell(self._titled)
        if wave.sequential:
            self._in_turn(wave)
        self._execute()
        while self._theirs and self._found_elsewhere():
            self._execute()
        return not self._theirs

    def _report_of(self, title: str) -> WaveReport:
        """The report of a segment behind: one, however many waves bring it units."""
        found = next((report for report in self._reports if report.title == title), None)
        return found or WaveReport(title, len(self._plan.shards))

    def _look(self) -> None:
        """What is committed, and how large each data file is: two listings, however many units there are."""
        self._committed = self._folder.names(COMMITS)
        self._sizes = self._folder.names(PARTS)
        self._named: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self._committed):
            if name.endswith(".json"):
                self._named[name.split(".", 1)[0]].append(name)

    # -- what is there

    def _arrive(self, units: Iterable[Unit]) -> set[str]:
        """Units whose turn has come: take over what is committed, and what that makes ready; queue the rest. Returns the
        titles of what was taken over."""
        left = list(units)
        titles: set[str] = set()
        while left:
            found = self._records(left)
            kept: dict[str, list[dict]] = defaultdict(list)
            for unit in left:
                if unit.name in found:
                    kept[self._wave.title_of(unit)].append(found[unit.name])
            for title, records in kept.items():
                self._show.kept(title, records)
            titles |= set(kept)
            after: list[Unit] = []
            for unit in left:
                if unit.name in found:
                    self._report(unit).kept += 1
                    self._shares.add(found[unit.name])
                    after += self._plan.follow(unit, found[unit.name])
                elif self._slice is None or self._wave.sequential or self._slice.holds(unit):
                    self._mine[unit.name] = unit
                    if not (self._wave.sequential and unit.segment == self._wave.units[0].segment):
                        self._ready.add(self._job(unit))
                else:
                    self._theirs[unit.name] = unit
            left = after
        return titles

    def _tell(self, titles: Iterable[str]) -> None:
        """How many units of each title there are, and how many are done by now."""
        for title in titles:
            report = self._titled[title]
            self._show.wave(title, report.units, report.kept + report.ran)

    def _records(self, units: Iterable[Unit]) -> dict[str, dict]:
        """The records of those units that are committed and whole."""
        there = [u for u in units if u.record_name in self._committed]
        if len(there) < READERS or self._folder.is_local:
            read = [self._trusted(unit) for unit in there]
        else:
            with ThreadPoolExecutor(READERS) as pool:
                read = list(pool.map(self._trusted, there))
        return {unit.name: record for unit, record in zip(there, read, strict=True) if record is not None}

    def _trusted(self, unit: Unit) -> dict | None:
        """The unit's commit record if it is whole and its data is there; a damaged one is removed and the unit redone."""
        try:
            record = read_record(self._folder, unit.record_name)
            files = [record["part"], *([record["dropped"]] if "dropped" in record else [])]
            if all(self._sizes.get(f["file"]) == f["bytes"] for f in files):
                return record
            why = "its data file is missing or has another size"
        except (StorageError, KeyError, FileNotFoundError) as error:
            why = str(error)
        logger.warning("unit %s is done again: %s", unit.name, why)
        self._folder.delete(f"{COMMITS}/{unit.record_name}")
        return None

    def _job(self, unit: Unit) -> Job:
        """With the records of the same unit under other fingerprints, whose columns may be taken over."""
        return Job(self._lists.shorten(unit), tuple(self._named.get(unit.name, ())) if unit.reuse_keys else ())

    # -- what is not

    def _execute(self) -> None:
        if len(self._ready):
            with closing(self._executor.execute(self._ready)) as records:
                for record in records:
                    self._done(record)

    def _done(self, record: dict) -> None:
        unit = self._mine.pop(record["unit"])
        report = self._report(unit)
        report.ran += 1
        report.documents += documents_of(record) if record["counts"] else 0
        report.reused += sum(count["reused"] for count in record["counts"])
        report.seconds = round(time.monotonic() - self._begun, 3)
        self._show.unit(self._wave.title_of(unit), record)
        self._shares.add(record)
        self._tell(self._arrive(self._plan.follow(unit, record)))

    def _in_turn(self, wave: Wave) -> None:
        """Under a limit: each unit is told how many documents those before it left."""
        left = wave.units[0].limit or 0
        for unit in wave.units:
            if unit.name in self._mine:
                one = Ready()
                one.add(Job(replace(unit, limit=left)))
                for record in self._executor.execute(one):
                    self._done(record)
            if unit.name in self._plan.final:
                left = max(0, left - self._plan.final[unit.name]["part"]["rows"])

    def _found_elsewhere(self) -> bool:
        """Whether other slices have committed any of their units by now, which are taken in."""
        self._look()
        there = [unit for unit in self._theirs.values() if unit.record_name in self._committed]
        for unit in there:
            del self._theirs[unit.name]
        self._tell(self._arrive(there))
        return bool(there)

    def _report(self, unit: Unit) -> WaveReport:
        return self._titled[self._wave.title_of(unit)]
