"""A program for the crash tests to kill: run the engine's small pipeline, or a recipe, over a folder.

python crash_run.py engine|heads|RECIPE INPUT OUT WORKERS [PROFILE]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from engine_stages import Lines, Score, SlowLength, Twins
from heads_stages import crash_pipeline

from curation.pipeline import Pipeline
from curation.recipe import load_recipe
from curation.runners.drive import run_pipeline
from curation.runners.local import LocalExecutor
from curation.sinks.parquet import Parquet
from curation.storage_options import storage_options


def engine_pipeline() -> Pipeline:
    """Reading, scoring, a global stage, a filter, small shards: every kind of unit."""
    stages = (Score(), SlowLength(least=3), Twins())
    return Pipeline("engine", Lines(200), stages, Parquet(target_mb=0.0005, row_group_rows=16))


if __name__ == "__main__":
    recipe, source, out, workers, *profile = sys.argv[1:]
    options = storage_options(profile=profile[0] if profile else None)
    made = {"engine": engine_pipeline, "heads": crash_pipeline}
    pipeline = made[recipe]() if recipe in made else load_recipe(recipe)
    run_pipeline(pipeline, [source], out, lambda p, f, o: LocalExecutor(p, f, o, workers=int(workers)), storage_options=options)
