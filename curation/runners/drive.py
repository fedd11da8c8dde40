"""Drive a plan: wave after wave, skip what is committed, hand the rest to an executor, then publish.

The same driver serves every runner; an executor only runs units and tells when each is done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from curation import census
from curation.errors import DamagedPart, RunStopped, StorageError
from curation.inputs import Inputs, find_inputs, number_inputs
from curation.parts import PARTS
from curation.pipeline import Pipeline
from curation.plan import Options, Plan
from curation.progress import LineProgress, Observers, Progress
from curation.records import COMMITS, record_of
from curation.run_log import RunLog, start_facts
from curation.runners.publish import publish, remove_orphans
from curation.runners.waves import Executor, MakeExecutor, Slice, WaveReport, WaveRun
from curation.storage import Folder
from curation.unit import model_paths
from curation.unit_times import UnitTimes

logger = logging.getLogger("curation")

POLL_SECONDS = 1.0

REPAIRS = 20
"""Damaged data files that a run mends before it gives up on the disk."""


@dataclass
class RunResult:
    """What a run did: its census (None when other slices must finish first), each wave, and how long its units took."""

    folder: Folder
    census: dict | None
    waves: list[WaveReport] = field(default_factory=list)
    finished: bool = True
    times: UnitTimes = field(default_factory=UnitTimes)

    def report(self) -> str:
        """What was run and what was taken over, wave by wave, as lines of text."""
        lines = [f"{'wave':48}{'units':>7}{'run':>6}{'kept':>6}{'documents':>11}{'reused':>8}{'seconds':>9}"]
        for w in self.waves:
            title = w.title if len(w.title) <= 46 else w.title[:45] + "…"
            lines.append(f"{title:48}{w.units:>7}{w.ran:>6}{w.kept:>6}{w.documents:>11}{w.reused:>8}{w.seconds:>9.1f}")
        return "\n".join(lines)


def run_pipeline(
    pipeline: Pipeline,
    wanted: Sequence[str],
    out: str,
    make_executor: MakeExecutor,
    *,
    root: str = "",
    options: Options = Options(),
    slice_: Slice | None = None,
    storage_options: Mapping[str, object] | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Run a pipeline over inputs into the folder `out`; the same call again finishes or finds it done.

    Raises the CurationErrors of its parts. Returns with `finished=False` only for a slice whose neighbours still run.
    """
    folder = Folder(out, dict(storage_options or {}))
    folder.make("work/parts", "work/commits", "documents", "dropped")
    inputs = number_inputs(find_inputs(wanted, pipeline.source, root=root, options=storage_options), folder)
    for refused in inputs.refused:
        logger.info("not an input: %s (%s)", refused.path, refused.why)
    model_paths(pipeline.stages)  # a missing model is told before any work, not after hours of it
    result = RunResult(folder, None)
    facts = start_facts(pipeline, inputs, options, str(slice_) if slice_ else None)
    executor = make_executor(pipeline, folder, dict(storage_options or {}))
    log = RunLog(folder, patient=slice_ is not None)
    show = Observers(progress or LineProgress(), log, result.times, *executor.observers)
    with log.of({**facts, "runner": type(executor).__module__.rsplit(".", 1)[-1]}):
        finished = False
        try:
            plan = _run_plan(lambda: Plan(pipeline, inputs.accepted, options), folder, executor, slice_, show, result)
            finished = plan is not None
        finally:
            executor.close(abandon=not finished)
            show.close()
        if plan is None:
            result.finished = False
            log.waiting()
            return result
        result.census = census.take_census(pipeline, inputs, plan.final, plan.reports)
        publishes = slice_ is None or slice_.number == 1
        if publishes:
            publish(plan, folder, result.census)
        if slice_ is None:
            remove_orphans(folder)
        log.finished(publishes, {"output": result.census["output"]})
    return result


def _run_plan(
    make_plan: Callable[[], Plan],
    folder: Folder,
    executor: Executor,
    slice_: Slice | None,
    show: Progress,
    result: RunResult,
) -> Plan | None:
    """Bring every wave of a plan to records; None when other slices have not done theirs. A data file that is found
    damaged is written again by its unit, and the plan is gone through anew: what is committed is only looked at."""
    for _ in range(REPAIRS):
        plan = make_plan()
        result.waves.clear()
        waves = WaveRun(plan, folder, executor, slice_, show, result.waves)
        try:
            return plan if all(waves.run(wave) for wave in plan.waves()) else None
        except DamagedPart as damage:
            logger.warning("%s is damaged (%s): its unit is done again", damage.file, damage.where)
            folder.delete(f"{COMMITS}/{record_of(damage.file)}")
    raise StorageError(
        f"{REPAIRS} data files under {folder.url}/{PARTS} were found damaged in one run\n"
        "  try:    look at that disk before anything is written to it again"
    )


def wait_for_slices(again: Callable[[], RunResult], patience_s: float) -> RunResult:
    """Call `again` until the other slices' units are there, for at most `patience_s` seconds of no progress."""
    deadline = time.monotonic() + patience_s
    waves = -1
    while True:
        result = again()
        if result.finished:
            return result
        if len(result.waves) > waves:
            waves, deadline = len(result.waves), time.monotonic() + patience_s
        if time.monotonic() > deadline:
            raise RunStopped(
                f"other slices have not finished {result.waves[-1].title!r} for {patience_s:.0f} s\n"
                "  try:    see whether they run, then run this slice again"
            )
        time.sleep(POLL_SECONDS)


def plan_only(
    pipeline: Pipeline, wanted: Sequence[str], *, root: str = "", storage_options: Mapping[str, object] | None = None
) -> tuple[Plan, Inputs]:
    """The plan of a run that is not run, for `explain`."""
    inputs = find_inputs(wanted, pipeline.source, root=root, options=storage_options)
    return Plan(pipeline, inputs.accepted), inputs
