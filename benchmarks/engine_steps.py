"""What the benchmarks of global stages share: the units of a stage's steps, run one after the other as the engine runs them.

Tables lie between the steps in files of slices, written with their checksums and synced; only plan and commit records
are left out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa

from curation import unit_global
from curation.parts import PARTS
from curation.plan import PartRef, Unit
from curation.records import Result
from curation.slices import slice_rows
from curation.stage import GlobalStage, Step, Tally
from curation.storage import Folder

Made = tuple[PartRef, Tally]


class Steps:
    """The steps of one stage in one folder; `firsts` are the first documents of its shards."""

    def __init__(self, folder: Path, stage: GlobalStage, firsts: Sequence[int]) -> None:
        self.folder = Folder(str(folder))
        self.folder.make(PARTS)
        self.stage = stage
        self.bounds = tuple(firsts[1:])

    def store(self, name: str, rows: pl.DataFrame) -> PartRef:
        """Sketches of a shard."""
        ordered = rows.sort("partition", "doc", maintain_order=True)
        return self._kept(name, lambda out, result: unit_global._write(ordered, out, result, self.stage.partition_count))[0]

    def match(self, sketches: tuple[PartRef, ...], numbers: Sequence[int] | None = None) -> list[Made]:
        wanted = range(self.stage.partition_count) if numbers is None else numbers
        units = [Unit("match", 1, n, "0", taken=(sketches,)) for n in wanted]
        return [self._unit(f"match-{u.number:05d}", unit_global.match, u) for u in units]

    def step(self, step: Step, tables: Mapping[str, tuple[PartRef, ...]]) -> list[Made]:
        made = []
        for n in range(step.units):
            taken = tuple(tables[t.step][n : n + 1] if t.how == "own" else tables[t.step] for t in step.takes)
            bounds = () if step.slices else self.bounds
            unit = Unit("step", 1, n, "0", taken=taken, step=step, bounds=bounds)
            made.append(self._unit(f"{step.name}-{n:05d}", unit_global.step, unit))
        return made

    def _unit(self, name: str, run: Callable, unit: Unit) -> Made:
        return self._kept(name, lambda out, result: run(self.folder, self.stage, unit, out, result))

    def _kept(self, name: str, fill: Callable[[Any, Result], Mapping[str, pa.DataType]]) -> Made:
        result = Result()
        columns: dict[str, pa.DataType] = {}
        written = self.folder.write(f"{PARTS}/{name}.slices", lambda out: columns.update(fill(out, result)))
        part = PartRef(f"{name}.slices", tuple(columns), result.rows, "0", written.sha256, written.bytes, result.slices)
        return part, Tally(result.rows, result.facts)


class Measured(NamedTuple):
    """A step: its tables and tallies; CPU and wall seconds; resident bytes before it and at its peak; the most rows
    one unit read."""

    made: list[Made]
    cpu: float
    wall: float
    base: int
    peak: int
    most_rows: int


def measured(
    folder: Path, stage: GlobalStage, firsts: Sequence[int], step: Step | None, tables: Mapping[str, tuple[PartRef, ...]],
    warm: Callable[[], object],
) -> Measured:  # fmt: skip
    """Run a step (None: the match of `tables["sketch"]`) after a warm-up; meant for a process of its own."""
    steps = Steps(folder, stage, firsts)
    warm()
    reset_peak()
    base, cpu, wall = resident("VmRSS"), time.process_time(), time.time()
    made = steps.match(tables["sketch"]) if step is None else steps.step(step, tables)
    spent = time.process_time() - cpu, time.time() - wall
    return Measured(made, *spent, base, resident("VmHWM"), most_rows(steps.folder, step, tables))


def most_rows(folder: Folder, step: Step | None, tables: Mapping[str, tuple[PartRef, ...]]) -> int:
    """The most rows that a unit of a step reads of the first table it takes."""
    parts = tables["sketch" if step is None else step.takes[0].step]
    how = "slice" if step is None else step.takes[0].how
    if how == "all":
        return sum(part.rows for part in parts)
    if how == "own":
        return max(part.rows for part in parts)
    return max(sum(slice_rows(folder, part, n) for part in parts) for n in range(parts[0].slices))


def reset_peak() -> None:
    """Let the kernel's high-water mark of resident memory begin at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def resident(field: str) -> int:
    """Bytes resident now (VmRSS) or at most since the last reset (VmHWM)."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
