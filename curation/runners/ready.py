"""The units that may start now: a driver fills it and an executor takes from it, in turns."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from curation.errors import RunStopped
from curation.plan import Unit


class Job(NamedTuple):
    """A unit, and the names of earlier commit records of it whose columns it may take over."""

    unit: Unit
    earlier: Sequence[str] = ()


class Ready:
    """Units by segment, the earliest segment first: what a shard still has to be read for is done before what comes after,
    so a worker seldom changes the models it holds. A unit that lost its worker goes back to the front."""

    def __init__(self, on_lost: Callable[[Unit, str], None] | None = None) -> None:
        self._lanes: dict[int, deque[Job]] = {}
        self._on_lost = on_lost
        self._lost: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def add(self, job: Job) -> None:
        """A unit that may start."""
        self._lanes.setdefault(job.unit.segment, deque()).append(job)

    def waiting(self) -> dict[int, int]:
        """Segment -> units that wait, without those that have none, the earliest segment first."""
        return {segment: len(self._lanes[segment]) for segment in sorted(self._lanes) if self._lanes[segment]}

    def peek(self, segment: int) -> Job:
        """The next unit of a segment, which has one."""
        return self._lanes[segment][0]

    def take(self, segment: int | None = None) -> Job | None:
        """The next unit, of any segment or of this one."""
        if segment is None:
            segment = min((number for number, lane in self._lanes.items() if lane), default=None)
        lane = self._lanes.get(segment) if segment is not None else None
        return lane.popleft() if lane else None

    def again(self, job: Job, why: str, attempts: int) -> None:
        """A unit lost its worker or node and goes back. RunStopped when that was its last attempt of so many."""
        name = job.unit.name
        self._lost[name] += 1
        if self._lost[name] >= attempts:
            raise RunStopped(
                f"unit {name} lost its worker {attempts} times: {why}\n"
                "  try:    look for a worker that was killed for want of memory (the system's log, the node's), give fewer "
                "--workers or larger nodes, then the same command: finished units are kept"
            )
        if self._on_lost:
            self._on_lost(job.unit, why)
        self._lanes.setdefault(job.unit.segment, deque()).appendleft(job)
