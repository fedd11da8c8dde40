"""What the commit records of a run add up to while it goes: documents by fate, and how fast each wave is."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

WINDOW_SECONDS = 180.0
"""Rates and the time left are of the last three minutes, since speeds change: caches fill, large files come first."""

WINDOW_UNITS = 20
"""A window reaches back over so many units at least: fewer say little."""


def documents_of(record: Mapping) -> int:
    """Documents a unit looked at."""
    return max([count["rows_in"] for count in record.get("counts", ())], default=record["part"]["rows"])


def bytes_of(record: Mapping) -> int:
    """Bytes a unit worked on: of the archive when it read one, else of text."""
    read = sum([piece["stop"] - piece["first"] for piece in record.get("pieces", ())])
    return read or record.get("text_bytes", 0)


def drops_of(record: Mapping) -> dict[str, int]:
    """`label:reason` -> documents that fell in a unit."""
    return {
        f"{count['label']}:{reason}": documents
        for count in record.get("counts", ())
        for reason, (documents, _) in count["reasons"].items()
    }


class Flow:
    """Documents of a run so far: read, fallen by `label:reason`, and those not fallen yet.

    A unit that is done again counts once. Heads are read again later, so they count only then.
    """

    def __init__(self) -> None:
        self.read = 0
        self.fell: Counter[str] = Counter()
        self._held: dict[str, tuple[int, tuple[tuple[str, int], ...]]] = {}

    @property
    def alive(self) -> int:
        return self.read - self.fell.total()

    def add(self, record: Mapping) -> None:
        """Count the record of a unit, in place of an earlier one of the same unit."""
        unit = record.get("unit", "")
        if "-heads-" in unit or not record.get("counts"):
            return
        if unit in self._held:
            self._count(self._held[unit], -1)
        # Not the record: there may be a million of them.
        read = record["counts"][0]["rows_in"] if record.get("pieces") else 0
        self._held[unit] = (read, tuple((sys.intern(reason), n) for reason, n in drops_of(record).items()))
        self._count(self._held[unit], 1)

    def _count(self, held: tuple[int, tuple[tuple[str, int], ...]], sign: int) -> None:
        self.read += sign * held[0]
        for reason, documents in held[1]:
            self.fell[reason] += sign * documents

    def top(self, most: int) -> list[tuple[str, int]]:
        """The reasons that took most, with their documents."""
        found = sorted(self.fell.items(), key=lambda item: (-item[1], item[0]))
        return [(reason, documents) for reason, documents in found[:most] if documents > 0]


@dataclass
class WaveMeter:
    """How far a wave is and how fast. Units that were taken over count as done and never towards a rate.

    `documents`, `bytes`: of units that ran now. Times are of `time.monotonic`.
    """

    title: str
    units: int
    done: int
    documents: int = 0
    bytes: int = 0
    ran: int = 0
    announced: float = field(default_factory=lambda: time.monotonic())
    started: float | None = None
    ended: float | None = None
    _seconds: deque[list[float]] = field(default_factory=deque)
    """Seconds in which units ended: [time, units, documents, bytes], within the window."""
    _since: float = 0.0
    _inside: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    def set(self, units: int, done: int) -> None:
        """Take in newer numbers of units."""
        self.units, self.done = units, done
        if done < units:
            self.ended = None
        elif self.ended is None and self.ran:
            self.ended = time.monotonic()

    def add(self, record: Mapping) -> None:
        """Count a unit that ended just now."""
        now = time.monotonic()
        documents, size = documents_of(record), bytes_of(record)
        if self.started is None:
            # A wave may be known long before a worker is free for it: it begins where its first unit did.
            took = record.get("seconds", {}).get("wall", now - self.announced)
            self.started = self._since = max(self.announced, now - took)
        self.done, self.ran = self.done + 1, self.ran + 1
        self.documents += documents
        self.bytes += size
        if not self._seconds or now - self._seconds[-1][0] >= 1:
            self._seconds.append([now, 0, 0, 0])
        for place, amount in enumerate((1, documents, size)):
            self._seconds[-1][place + 1] += amount
            self._inside[place] += amount
        self._forget(now)
        if self.done >= self.units:
            self.ended = now

    def _forget(self, now: float) -> None:
        while len(self._seconds) > 1:
            oldest = self._seconds[0]
            if now - oldest[0] < WINDOW_SECONDS or self._inside[0] - oldest[1] < WINDOW_UNITS:
                return
            self._since = oldest[0]
            self._inside = [held - gone for held, gone in zip(self._inside, oldest[1:], strict=True)]
            self._seconds.popleft()

    @property
    def is_done(self) -> bool:
        return self.done >= self.units

    def rates(self) -> tuple[float, float, float]:
        """Units, documents and bytes a second: of the last minutes while it runs, of the whole when it is done."""
        if self.started is None:
            return 0.0, 0.0, 0.0
        if self.ended is not None:
            seconds = max(self.ended - self.started, 1e-6)
            return self.ran / seconds, self.documents / seconds, self.bytes / seconds
        # Up to now and not up to the last unit: a wave that stands still is seen to get slower.
        seconds = max(time.monotonic() - self._since, 1e-6)
        units, documents, size = self._inside
        return units / seconds, documents / seconds, size / seconds

    def seconds_left(self) -> float | None:
        """By the rate of the last minutes; None while nothing is known."""
        rate = self.rates()[0]
        return None if not rate else max(self.units - self.done, 0) / rate

    def seconds(self) -> float:
        """How long it has run."""
        if self.started is None:
            return 0.0
        return (self.ended if self.ended is not None else time.monotonic()) - self.started


def clock(seconds: float | None) -> str:
    """A span as 4:05 or 2:04:05; `-:--` when it is unknown."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
