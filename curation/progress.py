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
    """What a driver tells about a run. Several titles may be under way at once.

    wave: a title has so many units, `done` of which were committed before; told again when that changes. unit: one of a
    title's units was committed just now. lost: a unit lost its worker and is run again.
    """

    def wave(self, title: str, units: int, done: int) -> None: ...
    def unit(self, title: str, record: Mapping) -> None: ...
    def lost(self, title: str, name: str, why: str) -> None: ...
    def close(self) -> None: ...


def documents_of(record: Mapping) -> int:
    """Documents a unit looked at."""
    return max((count["rows_in"] for count in record.get("counts", ())), default=record["part"]["rows"])


def bytes_of(record: Mapping) -> int:
    """Bytes a unit worked on: of the archive when it read one, else of text."""
    read = sum(piece["stop"] - piece["first"] for piece in record.get("pieces", ()))
    return read or record.get("text_bytes", 0)


class _Title:
    """What is known of one title's units."""

    def __init__(self) -> None:
        self.units = self.done = self.fresh = self.documents = self.bytes = 0
        self.started = self.said = time.monotonic()

    def add(self, record: Mapping) -> None:
        self.done += 1
        self.fresh += 1
        self.documents += documents_of(record)
        self.bytes += bytes_of(record)

    def rates(self) -> tuple[float, float]:
        """Documents and MB a second since its first unit."""
        seconds = max(time.monotonic() - self.started, 1e-6)
        return self.documents / seconds, self.bytes / seconds / 1e6


class LineProgress:
    """Plain log lines: one at each title, and one every 15 seconds."""

    def __init__(self) -> None:
        self._titles: dict[str, _Title] = {}

    def wave(self, title: str, units: int, done: int) -> None:
        state = self._titles.setdefault(title, _Title())
        state.units, state.done = units, done
        logger.info("%s: %d units, %d already done", title, units, done)

    def unit(self, title: str, record: Mapping) -> None:
        state = self._titles[title]
        state.add(record)
        now = time.monotonic()
        if now - state.said < LINE_SECONDS and state.done < state.units:
            return
        state.said = now
        left = (state.units - state.done) * (now - state.started) / state.fresh
        logger.info(
            "%s: %d/%d units, %d documents, %.0f documents/s, %.1f MB/s, %.0f s left",
            title, state.done, state.units, state.documents, *state.rates(), left,
        )  # fmt: skip

    def lost(self, title: str, name: str, why: str) -> None:
        logger.warning("%s: unit %s lost its worker and is run again: %s", title, name, why)

    def close(self) -> None:
        """Nothing to release."""


class BarProgress:
    """A bar for each title with documents/s, MB/s and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[rates]}"), TimeRemainingColumn(), console=Console(stderr=True),
        )  # fmt: skip
        self._bar.start()
        self._tasks: dict[str, TaskID] = {}
        self._titles: dict[str, _Title] = {}

    def wave(self, title: str, units: int, done: int) -> None:
        shown = title if len(title) <= 44 else title[:43] + "…"
        self._titles[title] = _Title()
        self._tasks[title] = self._bar.add_task(
            f"{shown:44}", total=units, completed=done, rates="" if done < units else "kept"
        )

    def unit(self, title: str, record: Mapping) -> None:
        self._titles[title].add(record)
        documents, megabytes = self._titles[title].rates()
        self._bar.update(self._tasks[title], advance=1, rates=f"{documents:8.0f} documents/s {megabytes:7.1f} MB/s")

    def lost(self, title: str, name: str, why: str) -> None:
        self._bar.console.print(f"unit {name} lost its worker and is run again", markup=False)

    def close(self) -> None:
        self._bar.stop()


def make_progress() -> Progress:
    """A bar when standard error is a terminal, lines otherwise."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()
