"""What a unit costs besides its work: 10,000 units of four lines of text each, on every runner.

    PYTHONPATH=.:tests python benchmarks/many_units.py [--units 10000]      # writes many_units.md beside itself

A source of text lines and one filter: two units a shard, a part and a commit record for each, an fsync in both. The work in
a unit is nearly nothing, so what is measured is the engine: planning, handing over, reading the part before, writing and
committing one. Each run is a process of its own. Start-up is told apart by running a tenth of the units first in the same
way: a figure a unit is (large - small) / (units of large - units of small). CPU is that of the driver, of its workers and,
on Ray, of every Ray process on the machine that the run started; the driver's memory is its resident set as units end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

HERE = Path(__file__).parent
FILE_LINES, LINE, PIECE = 16, "a line of some twenty five\n", 4
RUNS = [("local", 1), ("local", 2), ("ray", 1), ("ray", 2)]


class Watch:
    """Notes the driver's resident set, in MiB, and the moment and CPU at which the first unit had ended."""

    def __init__(self, units: int) -> None:
        self.resident: list[float] = []
        self._every, self._seen = max(1, units // 20), 0

    def wave(self, title: str, units: int, done: int) -> None:
        """Nothing to note."""

    def kept(self, title: str, records: Sequence[Mapping]) -> None:
        """Nothing to note."""

    def unit(self, title: str, record: Mapping) -> None:
        self._seen += 1
        if self._seen % self._every == 0:
            self.resident.append(psutil.Process().memory_info().rss / 2**20)

    def lost(self, title: str, name: str, why: str) -> None:
        raise RuntimeError(f"{name} was lost: {why}")

    def close(self) -> None:
        """Nothing to release."""


def inputs(folder: Path, shards: int) -> Path:
    """Files of four shards each."""
    folder.mkdir()
    for number in range(shards * PIECE // FILE_LINES):
        (folder / f"file{number:05d}.txt").write_text(LINE * FILE_LINES)
    return folder


def child(runner: str, workers: int, units: int, folder: Path) -> dict[str, object]:
    from engine_stages import Length, Lines

    from curation import sinks
    from curation.pipeline import Pipeline
    from curation.runners.choose import executor_maker
    from curation.runners.drive import run_pipeline

    recipe = Pipeline(name="many", source=Lines(PIECE * len(LINE)), stages=(Length(),), sink=sinks.Parquet())
    crawl = inputs(folder / f"in-{units}", units // 2)
    watch = Watch(units)
    cpu = [0.0]

    def make(*given):
        executor = executor_maker(runner, workers)(*given)
        close = executor.close

        def closing(abandon: bool = False) -> None:
            if runner == "ray":
                cpu[0] = sum(sum(p.cpu_times()[:2]) for p in psutil.Process().children(recursive=True))
            close(abandon)

        executor.close = closing
        return executor

    started = time.monotonic()
    result = run_pipeline(recipe, [str(crawl)], str(folder / f"out-{units}"), make, progress=watch)
    wall = time.monotonic() - started
    ran = sum(w.ran for w in result.waves)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    children = cpu[0] if runner == "ray" else used[1].ru_utime + used[1].ru_stime
    return {
        "units": ran, "wall": wall, "driver": used[0].ru_utime + used[0].ru_stime, "workers": children,
        "resident": watch.resident,
    }  # fmt: skip


def measure(runner: str, workers: int, units: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--child", runner, str(workers), str(units), folder]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "POLARS_MAX_THREADS": "1"})
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def report(units: int, rows: list[dict]) -> str:
    lines = [
        __doc__.strip(), "",
        f"{units:,} units against {units // 10:,}; {os.cpu_count()} cores; Python {sys.version.split()[0]}.", "",
        "| runner | workers | start-up, s | wall ms a unit | CPU ms a unit | of it the driver | driver MiB at 5, 50, 100 % |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]  # fmt: skip
    for row in rows:
        r = row["resident"]
        lines.append(
            f"| {row['runner']} | {row['workers']} | {row['start']:.1f} | {row['wall']:.2f} | {row['cpu']:.2f} "
            f"| {row['driver']:.2f} | {r[0]:.0f}, {r[len(r) // 2]:.0f}, {r[-1]:.0f} |"
        )
    one, two = (next(r for r in rows if (r["runner"], r["workers"]) == ("local", n)) for n in (1, 2))
    lines += ["", f"CPU of two local workers over one: {two['cpu'] / one['cpu']:.2f}."]
    if ray := {r["workers"]: r for r in rows if r["runner"] == "ray"}:
        lines.append(f"CPU of two Ray workers over one: {ray[2]['cpu'] / ray[1]['cpu']:.2f}.")
        above = [ray[n]["cpu"] - base["cpu"] for n, base in ((1, one), (2, two))]
        lines.append(f"A unit on Ray above one here: {above[0]:.1f} ms of CPU with one worker, {above[1]:.1f} with two.")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--runs", default="", help="only these, e.g. local:1,ray:2")
    parser.add_argument("--child", nargs=4)
    given = parser.parse_args()
    if given.child:
        runner, workers, units, folder = given.child
        print(json.dumps(child(runner, int(workers), int(units), Path(folder))))
        return
    wanted = [(r, int(w)) for r, w in (p.split(":") for p in given.runs.split(",") if p)] or RUNS
    rows = []
    for runner, workers in wanted:
        small, large = (measure(runner, workers, n) for n in (given.units // 10, given.units))
        more = large["units"] - small["units"]

        def of(key: str, small=small, large=large, more=more) -> float:
            return (large[key] - small[key]) / more * 1e3

        wall = of("wall")
        rows.append(
            {"runner": runner, "workers": workers, "wall": wall, "cpu": of("driver") + of("workers"), "driver": of("driver"),
             "start": small["wall"] - wall * small["units"] / 1e3, "resident": large["resident"]}
        )  # fmt: skip
        print(rows[-1], flush=True)
    if wanted == RUNS:
        (HERE / "many_units.md").write_text("# What a unit costs besides its work\n\n" + report(given.units, rows))


if __name__ == "__main__":
    main()
