"""One live view for every runner: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from typing import Protocol

logger = logging.getLogger("curation")

LINE_SECONDS = 15.0
"""Pause between plain lines."""


class Progress(Protocol):
    """What a driver tells about a run. `documents` and `size` (input or text bytes) are of the finished unit."""

    def wave(self, title: str, units: int, done: int) -> None: ...
    def unit(self, record: Mapping) -> None: ...
    def close(self) -> None: ...


def documents_of(record: Mapping) -> int:
    """Documents a unit looked at."""
    return max((count["rows_in"] for count in record.get("counts", ())), default=record["part"]["rows"])


def bytes_of(record: Mapping) -> int:
    """Bytes a unit worked on: of the archive when it read one, else of text."""
    read = sum(piece["stop"] - piece["first"] for piece in record.get("pieces", ()))
    return read or record.get("text_bytes", 0)


class LineProgress:
    """Plain log lines: one at each wave, and one every 15 seconds."""

    def __init__(self) -> None:
        self._title, self._units, self._done = "", 0, 0
        self._documents = self._bytes = 0
        self._fresh = 0
        self._started = self._said = time.monotonic()

    def wave(self, title: str, units: int, done: int) -> None:
        self._title, self._units, self._done, self._fresh = title, units, done, 0
        self._documents = self._bytes = 0
        self._started = self._said = time.monotonic()
        logger.info("%s: %d units, %d already done", title, units, done)

    def unit(self, record: Mapping) -> None:
        self._done += 1
        self._fresh += 1
        self._documents += documents_of(record)
        self._bytes += bytes_of(record)
        now = time.monotonic()
        if now - self._said < LINE_SECONDS and self._done < self._units:
            return
        self._said = now
        seconds = max(now - self._started, 1e-6)
        left = (self._units - self._done) * seconds / self._fresh
        logger.info(
            "%s: %d/%d units, %d documents, %.0f documents/s, %.1f MB/s, %.0f s left",
            self._title, self._done, self._units, self._documents, self._documents / seconds,
            self._bytes / seconds / 1e6, left,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing to release."""


class BarProgress:
    """A bar for the current wave with documents/s, MB/s and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[rates]}"), TimeRemainingColumn(), console=Console(stderr=True),
        )  # fmt: skip
        self._bar.start()
        self._task = TaskID(0)
        self._documents = self._bytes = 0
        self._started = time.monotonic()

    def wave(self, title: str, units: int, done: int) -> None:
        shown = title if len(title) <= 44 else title[:43] + "…"
        self._documents = self._bytes = 0
        self._started = time.monotonic()
        self._task = self._bar.add_task(f"{shown:44}", total=units, completed=done, rates="" if done < units else "kept")

    def unit(self, record: Mapping) -> None:
        self._documents += documents_of(record)
        self._bytes += bytes_of(record)
        seconds = max(time.monotonic() - self._started, 1e-6)
        rates = f"{self._documents / seconds:8.0f} documents/s {self._bytes / seconds / 1e6:7.1f} MB/s"
        self._bar.update(self._task, advance=1, rates=rates)

    def close(self) -> None:
        self._bar.stop()


def make_progress() -> Progress:
    """A bar when standard error is a terminal, lines otherwise."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()
