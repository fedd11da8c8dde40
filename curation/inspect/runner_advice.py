"""Whether a run is worth a cluster: its work on this machine against what starting Ray and handing out its units cost."""

from __future__ import annotations

import math

from curation.inspect.estimate import Scale, estimate, scale_of_inputs
from curation.pipeline import Pipeline
from curation.plan import Plan
from curation.runners.local import available_cores

RAY_START = 10.0
"""Seconds by which a run on Ray starts later than one in processes of this machine: benchmarks/ray_startup.md."""

RAY_UNIT = 0.02
"""Seconds a unit costs on one core more than there: the same."""

MORE = 10
"""How many times this machine's cores a cluster has in the example."""


def runner_advice(pipeline: Pipeline, plan: Plan, cores: int | None = None) -> str:
    """Which runner serves a planned run, as a line of text. A cluster of twice the cores saves half of the work at most: a run
    whose half is less than what Ray costs is small."""
    here = cores or available_cores()
    scale = scale_of_inputs(plan, Scale(1.0))
    work, units, all_known = _work(pipeline, plan, scale, here)
    ray = RAY_START + units * RAY_UNIT / here
    least = "about" if all_known else "at least"
    said = f"{least} {_time(work)} of work on the {here} cores of this machine; Ray would add about {_time(ray)}"
    if work / 2 <= ray and all_known:
        return f"{said}: use the local runner"
    if work <= MORE * ray:
        return f"{said}: the local runner does, a cluster saves little"
    there, _, _ = _work(pipeline, plan, scale, MORE * here)
    if there + ray > work / 2:
        return f"{said}, but {len(plan.shards)} shards keep few more cores busy: smaller shards, or the local runner"
    return f"{said}: on a cluster of {MORE * here} cores {least} {_time(there + ray)} (--runner ray, curation submit)"


def _work(pipeline: Pipeline, plan: Plan, scale: Scale, cores: int) -> tuple[float, int, bool]:
    """Seconds of a run on so many cores, its units, and whether every stage's cost is known."""
    scale = Scale(scale.documents, cores)
    found = estimate(pipeline, scale, len(plan.shards))
    known = not any("not estimated" in problem for problem in found.problems)
    return sum(phase.wall(scale) for phase in found.phases), sum(math.ceil(phase.units) for phase in found.phases), known


def _time(seconds: float) -> str:
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 100:
        return f"{round(seconds, -1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
