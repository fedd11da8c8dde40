"""What Ray costs a run that a single process could do: seconds to start, milliseconds a unit.

    PYTHONPATH=.:tests python benchmarks/ray_startup.py

Each figure is the median of three runs in processes of their own: a recipe of two light stages over files of one line, few of
them and many. What grows with the files is the cost of a unit, what does not is the start. The constants of
curation/inspect/runner_advice.py come from here.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FEW, MANY = 10, 210
RUNS = 3


def one_run(runner: str, workers: int, files: int) -> None:
    """Print the seconds of one run and its units: from before the runner's import to the end."""
    from engine_stages import Length, Lines, Score

    from curation.pipeline import Pipeline
    from curation.runners.choose import executor_maker
    from curation.runners.drive import run_pipeline
    from curation.sinks.parquet import Parquet

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        for number in range(files):
            (Path(folder) / f"in/{number:05d}.txt").write_text(f"a line of file {number}\n")
        recipe = Pipeline("light", Lines(), (Score(), Length()), Parquet())
        started = time.perf_counter()
        result = run_pipeline(recipe, [f"{folder}/in"], f"{folder}/out", executor_maker(runner, workers))
        print(time.perf_counter() - started, sum(wave.units for wave in result.waves))


def timed(runner: str, workers: int, files: int) -> tuple[float, int]:
    """Median seconds, and units."""
    found = []
    for _ in range(RUNS):
        command = [sys.executable, __file__, "--one", runner, str(workers), str(files)]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        found.append((float(out[-2]), int(out[-1])))
    return statistics.median(seconds for seconds, _ in found), found[0][1]


def main() -> None:
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}; {RUNS} runs each, medians")
    print(f"{'runner':8}{'workers':>8}{'few, s':>9}{'many, s':>9}{'units':>7}{'start, s':>10}{'ms a unit':>11}")
    for runner, workers in (("local", 1), ("local", 2), ("ray", 1), ("ray", 2)):
        few, few_units = timed(runner, workers, FEW)
        many, many_units = timed(runner, workers, MANY)
        unit = (many - few) / (many_units - few_units)
        start = few - unit * few_units
        print(f"{runner:8}{workers:>8}{few:>9.2f}{many:>9.2f}{many_units:>7}{start:>10.2f}{1e3 * unit:>11.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=3, metavar=("RUNNER", "WORKERS", "FILES"), help=argparse.SUPPRESS)
    asked = parser.parse_args().one
    if asked:
        one_run(asked[0], int(asked[1]), int(asked[2]))
    else:
        main()
