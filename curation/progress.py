"""One live view for every runner: a bar for each wave on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from curation.meters import Flow, WaveMeter, clock
from curation.printable import shorten

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

logger = logging.getLogger("curation")

LINE_SECONDS = 15.0
"""Pause between plain lines."""

REASONS = 3
"""Drop reasons shown: those that took most."""

TITLE = 44
"""Characters of a title shown."""


class Progress(Protocol):
    """What a driver tells about a run. Several waves may be under way at once, each known by its title.

    `wave`: this title's units are known in number, and `done` of them were committed already; called again, newer numbers
    take the place of the old. `kept`: records of units of that title that this driver did not run. `unit`: the record
    of a unit that was committed just now. `lost`: a unit lost its worker and is run again. `close`: the run is over.
    """

    def wave(self, title: str, units: int, done: int) -> None: ...
    def kept(self, title: str, records: Sequence[Mapping]) -> None: ...
    def unit(self, title: str, record: Mapping) -> None: ...
    def lost(self, title: str, name: str, why: str) -> None: ...
    def close(self) -> None: ...


class Observers:
    """Tells several observers of one run, in their order."""

    def __init__(self, *observers: Progress) -> None:
        self._observers = observers

    def wave(self, title: str, units: int, done: int) -> None:
        for observer in self._observers:
            observer.wave(title, units, done)

    def kept(self, title: str, records: Sequence[Mapping]) -> None:
        for observer in self._observers:
            observer.kept(title, records)

    def unit(self, title: str, record: Mapping) -> None:
        for observer in self._observers:
            observer.unit(title, record)

    def lost(self, title: str, name: str, why: str) -> None:
        for observer in self._observers:
            observer.lost(title, name, why)

    def close(self) -> None:
        for observer in self._observers:
            observer.close()


class _View:
    """What both views know: the waves, the documents by fate, the workers lost."""

    def __init__(self) -> None:
        self.meters: dict[str, WaveMeter] = {}
        self.flow = Flow()
        self.workers_lost = 0

    def wave(self, title: str, units: int, done: int) -> None:
        if title in self.meters:
            self._changed(self.meters[title], units, done)
        else:
            self.meters[title] = WaveMeter(title, units, done)
            self._opened(self.meters[title])

    def kept(self, title: str, records: Sequence[Mapping]) -> None:
        for record in records:
            self.flow.add(record)

    def unit(self, title: str, record: Mapping) -> None:
        if title not in self.meters:
            self.wave(title, 0, 0)
        meter = self.meters[title]
        meter.add(record)
        meter.units = max(meter.units, meter.done)
        self.flow.add(record)
        self._moved(meter)

    def lost(self, title: str, name: str, why: str) -> None:
        self.workers_lost += 1
        logger.warning("%s: unit %s lost its worker and is run again: %s", shorten(title, 200), name, shorten(why, 300))

    def _changed(self, meter: WaveMeter, units: int, done: int) -> None:
        was_done = meter.is_done
        meter.set(units, done)
        if meter.is_done and meter.ran and not was_done:  # its last units were taken over
            self._moved(meter)

    def summary(self) -> str:
        """The documents so far in one line, with the reasons that took most."""
        flow = self.flow
        said = f"documents: {flow.read} in, {flow.alive} alive, {flow.fell.total()} dropped"
        if top := flow.top(REASONS):
            said += " (" + ", ".join(f"{shorten(reason, TITLE)} {count}" for reason, count in top) + ")"
        return said + (f"; {self.workers_lost} times a worker was lost" if self.workers_lost else "")

    def _opened(self, meter: WaveMeter) -> None:
        """A wave was announced for the first time."""

    def _moved(self, meter: WaveMeter) -> None:
        """A unit of a wave is done."""


class LineProgress(_View):
    """Plain log lines: one when a wave is announced and one when it is done; every 15 seconds one for each wave under way
    and one for the documents."""

    def __init__(self) -> None:
        super().__init__()
        self._said = time.monotonic()
        self._moving: dict[str, WaveMeter] = {}

    def _opened(self, meter: WaveMeter) -> None:
        logger.info("%s: %d units, %d already done", shorten(meter.title, 200), meter.units, meter.done)

    def _moved(self, meter: WaveMeter) -> None:
        now = time.monotonic()
        self._moving[meter.title] = meter
        if now - self._said >= LINE_SECONDS:
            self._said = now
            for moving in self._moving.values():
                self._say(moving)
            self._moving.clear()
            logger.info("%s", self.summary())
        elif meter.is_done:
            del self._moving[meter.title]
            self._say(meter)

    def _say(self, meter: WaveMeter) -> None:
        _, documents, size = meter.rates()
        rest = f"done in {clock(meter.seconds())}" if meter.is_done else f"{clock(meter.seconds_left())} left"
        logger.info(
            "%s: %d/%d units, %d documents, %.0f documents/s, %.1f MB/s, %s",
            shorten(meter.title, 200), meter.done, meter.units, meter.documents, documents, size / 1e6, rest,
        )  # fmt: skip

    def close(self) -> None:
        """The last word on the documents, when there were any."""
        if self.flow.read:
            logger.info("%s", self.summary())


class BarProgress(_View):
    """A bar for each wave with documents/s, MB/s and the time left, and a line on the documents below them.

    Waves that were taken over whole, and all but the last few that are done, are left out.
    """

    DONE_SHOWN = 4

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, get_renderable=self._picture, refresh_per_second=4)
        self._outlets: list[tuple[logging.StreamHandler, TextIO]] = []
        before = sys.stderr
        self._live.start()
        # Log lines must go above the bars, through what the live view put in the place of standard error.
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                self._outlets.append((handler, before))
                handler.setStream(sys.stderr)

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        for meter in self._shown():
            table.add_row(Text(f"{shorten(meter.title, TITLE):{TITLE}}"), *self._cells(meter))
        left_out = sum(meter.is_done for meter in self.meters.values()) - sum(meter.is_done for meter in self._shown())
        lines: list[RenderableType] = [Text(f"{left_out} waves done before", style="dim")] if left_out else []
        return Group(*lines, table, Text(self.summary(), overflow="ellipsis", no_wrap=True))

    def _shown(self) -> list[WaveMeter]:
        meters = list(self.meters.values())
        done = [meter for meter in meters if meter.is_done]
        hidden = {meter.title for meter in done[: -self.DONE_SHOWN]}
        return [meter for meter in meters if meter.title not in hidden]

    @staticmethod
    def _cells(meter: WaveMeter) -> tuple[RenderableType | Text, ...]:
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        bar = ProgressBar(total=max(meter.units, 1), completed=meter.done if meter.units else 1, width=24)
        count = Text(f"{meter.done}/{meter.units}")
        if not meter.ran:
            return bar, count, Text("kept" if meter.is_done else "")
        _, documents, size = meter.rates()
        rest = f"{clock(meter.seconds())} taken" if meter.is_done else f"{clock(meter.seconds_left())} left"
        return bar, count, Text(f"{documents:8.0f} documents/s {size / 1e6:7.1f} MB/s  {rest}")

    def close(self) -> None:
        self._live.stop()
        for handler, stream in self._outlets:
            handler.setStream(stream)
        self._outlets.clear()


def make_progress() -> Progress:
    """A bar when standard error is a terminal, lines otherwise."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()
