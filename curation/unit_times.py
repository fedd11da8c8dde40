"""Which units of a run were slow, and how uneven its waves were: of units that ran now, never of those taken over."""

from __future__ import annotations

import heapq
import time
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from curation.meters import clock
from curation.printable import shorten
from curation.run_log import unit_facts

SLOWEST = 5
"""Units named for each wave, at most."""

MORE = 1.5
"""Medians from which a unit has more than others: of seconds, to be named, or of data."""

SLOW_RATIO = 4.0
SLOW_SECONDS = 30.0
"""A unit is worth a word at the end of a run when it took so many medians of its wave, and so many seconds."""


@dataclass
class _Wave:
    """Seconds, ends, bytes and documents of the units of one title, and what is known of the slowest."""

    walls: array = field(default_factory=lambda: array("d"))
    ends: array = field(default_factory=lambda: array("d"))
    sizes: array = field(default_factory=lambda: array("d"))
    documents: array = field(default_factory=lambda: array("d"))
    slowest: list[tuple[float, str, Mapping[str, Any], bool]] = field(default_factory=list)


@dataclass(frozen=True)
class WaveTimes:
    """One title: `units` that ran, seconds of the median, the 95th percentile and the slowest, the `ratio` of slowest to
    median, and `tail`: seconds at its end in which fewer than half the workers had a unit of any wave."""

    title: str
    units: int
    median: float
    p95: float
    most: float
    ratio: float
    tail: float
    span: float


class UnitTimes:
    """Observes a run, or is given the events of its log, and reports."""

    def __init__(self) -> None:
        self._waves: dict[str, _Wave] = {}
        self._workers: set[tuple] = set()
        self._inputs: dict[str, str] = {}
        """Number of a shard -> what it was read from."""

    def wave(self, title: str, units: int, done: int) -> None:
        """Nothing: only units that ran count."""

    def kept(self, title: str, records: Sequence[Mapping]) -> None:
        for record in records:
            if record.get("pieces"):
                self._remember(unit_facts(record))

    def unit(self, title: str, record: Mapping) -> None:
        self.add(title, unit_facts(record), time.time())

    def lost(self, title: str, name: str, why: str) -> None:
        """Nothing: a lost attempt has no time."""

    def close(self) -> None:
        """Nothing to release."""

    def add(self, title: str, facts: Mapping[str, Any], ended: float) -> None:
        """Count a unit that ended at `ended` (seconds since 1970), with what the log tells of it."""
        wave = self._waves.setdefault(title, _Wave())
        wave.walls.append(facts["wall_s"])
        wave.ends.append(ended)
        wave.sizes.append(facts["bytes"])
        wave.documents.append(facts["documents"])
        self._remember(facts)
        keep = heapq.heappush if len(wave.slowest) < SLOWEST else heapq.heappushpop
        worker = tuple(facts.get("worker", {}).values())
        first = bool(worker) and worker not in self._workers
        self._workers.add(worker)
        keep(wave.slowest, (facts["wall_s"], f"{facts['unit']}#{len(wave.walls)}", facts, first))

    def _remember(self, facts: Mapping[str, Any]) -> None:
        if facts.get("inputs"):
            more = f" and {facts['more_inputs']} more" if facts.get("more_inputs") else ""
            self._inputs[_shard(facts["unit"])] = ", ".join(facts["inputs"]) + more

    def waves(self) -> list[WaveTimes]:
        """Each title in the order in which its first unit ended."""
        busy = self._busy()
        most = max((under_way for _, under_way in busy), default=0)
        return [_times(title, wave, busy, most) for title, wave in self._waves.items()]

    def _busy(self) -> list[tuple[float, int]]:
        """Units under way after each moment at which one began or ended. Times are the driver's own: those of other
        machines may differ from it."""
        changes = [
            change
            for wave in self._waves.values()
            for wall, end in zip(wave.walls, wave.ends, strict=True)
            for change in ((end - wall, 1), (end, -1))
        ]
        under_way, found = 0, []
        for moment, change in sorted(changes):
            under_way += change
            found.append((moment, under_way))
        return found

    def worth_a_word(self) -> bool:
        """Whether a unit took much longer than others of its wave."""
        return any(times.ratio > SLOW_RATIO and times.most > SLOW_SECONDS for times in self.waves())

    def report(self, only_slow: bool = False) -> str:
        """Waves with their times, and the slowest units of each; `only_slow`: of waves worth a word."""
        shown = [t for t in self.waves() if not only_slow or (t.ratio > SLOW_RATIO and t.most > SLOW_SECONDS)]
        lines = [f"{'wave':44}{'units':>7}{'median':>9}{'p95':>9}{'most':>9}{'ratio':>7}{'tail':>9}  (seconds)"]
        for times in shown:
            tail = f"{times.tail:>9.1f}" if times.tail else f"{'-':>9}"
            lines.append(
                f"{shorten(times.title, 43):44}{times.units:>7}{times.median:>9.2f}{times.p95:>9.2f}{times.most:>9.2f}"
                f"{times.ratio:>7.1f}{tail}"
            )
            if times.tail > max(0.1 * times.span, 1.0):
                lines.append(f"  its last {clock(times.tail)} of {clock(times.span)} had fewer than half the workers busy")
            lines += self._slowest(self._waves[times.title], times)
        return "\n".join(lines)

    def _slowest(self, wave: _Wave, times: WaveTimes) -> list[str]:
        if times.units < 2:
            return []
        usual_size, usual_documents = median(wave.sizes), median(wave.documents)
        lines = []
        for wall, _, facts, first in sorted(wave.slowest, key=lambda entry: -entry[0]):
            ratio = wall / max(times.median, 1e-3)
            if ratio < MORE:
                break
            records = f", {facts['records']} records" if "records" in facts else ""
            size, documents = facts["bytes"], facts["documents"]
            lines.append(
                f"  {wall:9.2f} s {ratio:6.1f}x  {facts['unit']}  {size / 1e6:.1f} MB, {documents} documents{records}: "
                + _why(ratio, _over(size, usual_size), _over(documents, usual_documents), facts, first)
            )
            if place := self._inputs.get(_shard(facts["unit"])):
                lines.append(f"             of {shorten(place, 160)}")
        return lines


def _times(title: str, wave: _Wave, busy: Sequence[tuple[float, int]], most_busy: int) -> WaveTimes:
    walls = sorted(wave.walls)
    middle, most = median(walls), walls[-1]
    first = min(end - wall for wall, end in zip(wave.walls, wave.ends, strict=True))
    last = max(wave.ends)
    tail = 0.0
    if most_busy > 1:
        since, place = last, bisect_left(busy, (last, -1)) - 1
        while place >= 0 and since > first and busy[place][1] < most_busy / 2:
            since, place = busy[place][0], place - 1
        tail = last - max(since, first)
    p95 = walls[-(-95 * len(walls) // 100) - 1]
    return WaveTimes(title, len(walls), middle, p95, most, most / max(middle, 1e-3), tail, last - first)


def _why(ratio: float, size: float, documents: float, facts: Mapping[str, Any], first: bool) -> str:
    """What sets a slow unit apart from the median of its wave, as far as its record tells."""
    said = []
    if size >= max(MORE, ratio / 2):
        said.append(f"{size:.1f} times the bytes")
    if documents >= max(MORE, ratio / 2):
        said.append(f"{documents:.1f} times the documents")
    if first:
        said.append("the first of its worker (imports, models)")
    if not said:
        said.append("no more data than others: hard documents, or a slow or busy machine")
    if facts.get("retried"):
        said.append(f"{facts['retried']} documents tried twice")
    if facts.get("attempt", 1) > 1:
        said.append(f"attempt {facts['attempt']}")
    if facts.get("worker"):
        said.append(f"on {shorten(str(facts['worker'].get('host', '')), 60)}")
    return ", ".join(said)


def _over(value: float, usual: float) -> float:
    return value / usual if usual else 0.0


def _shard(unit: str) -> str:
    """What units of one shard have in common; partitions of global steps and output shards are no shards of the input."""
    kind, number = unit.rsplit("-", 1)
    return number if kind.endswith(("-heads", "-read", "-rows", "-sketch")) else ""
