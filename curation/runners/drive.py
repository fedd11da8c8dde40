"""Drive a plan: wave after wave, skip what is committed, hand the rest to an executor, then publish.

The same driver serves every runner; an executor only runs units and tells when each is done.
"""

from __future__ import annotations

import io
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

import curation
from curation import census, faults
from curation.errors import DamagedPart, RecipeError, RunStopped, StorageError
from curation.fingerprint import code_digest, library_versions, stage_fingerprint
from curation.inputs import Inputs, find_inputs, number_inputs
from curation.parts import PARTS
from curation.pipeline import Pipeline
from curation.plan import Options, Plan, Unit, Wave
from curation.progress import LineProgress, Observers, Progress
from curation.recipe import to_yaml
from curation.records import COMMITS, TABLES, read_record, record_of
from curation.run_log import RunLog, start_facts
from curation.shares import Shares
from curation.stage import Stage
from curation.storage import Folder
from curation.unit import model_paths
from curation.unit_times import UnitTimes

logger = logging.getLogger("curation")

POLL_SECONDS = 1.0

REPAIRS = 20
"""Damaged data files that a run mends before it gives up on the disk."""


class Executor(Protocol):
    """Runs units somewhere. `execute` yields commit records in the order in which units finish. `close(abandon=True)`
    ends units under way at once: they leave nothing that a resume would trust. `observers` are told of the run too."""

    observers: Sequence[Progress]

    def execute(self, units: Sequence[Unit], earlier: Mapping[str, Sequence[str]]) -> Iterator[dict]: ...
    def close(self, abandon: bool = False) -> None: ...


MakeExecutor = Callable[[Pipeline, Folder, Mapping[str, object]], Executor]


@dataclass(frozen=True)
class Slice:
    """Share `number` (1-based) of `of` shares of every wave's units."""

    number: int
    of: int

    @staticmethod
    def parse(text: str) -> Slice:
        """Read `3/40`. RecipeError otherwise."""
        left, _, right = text.partition("/")
        if not (left.isdigit() and right.isdigit() and 1 <= int(left) <= int(right)):
            raise RecipeError(f"--slice: wanted i/n with 1 <= i <= n, found {text!r}")
        return Slice(int(left), int(right))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, unit: Unit) -> bool:
        return unit.number % self.of == self.number - 1


@dataclass
class WaveReport:
    """What one wave did: units in all, run now, taken over; documents whose columns were taken over."""

    title: str
    units: int
    ran: int = 0
    kept: int = 0
    documents: int = 0
    reused: int = 0
    seconds: float = 0.0


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
        try:
            done = all(_run_wave(wave, plan, folder, executor, slice_, show, result) for wave in plan.waves())
            return plan if done else None
        except DamagedPart as damage:
            logger.warning("%s is damaged (%s): its unit is done again", damage.file, damage.where)
            folder.delete(f"{COMMITS}/{record_of(damage.file)}")
    raise StorageError(
        f"{REPAIRS} data files under {folder.url}/{PARTS} were found damaged in one run\n"
        "  try:    look at that disk before anything is written to it again"
    )


def _run_wave(
    wave: Wave, plan: Plan, folder: Folder, executor: Executor, slice_: Slice | None, show: Progress, result: RunResult
) -> bool:
    """Bring every unit of a wave to a record. False when other slices have not done theirs."""
    started = time.monotonic()
    committed = folder.names(COMMITS)
    records = {u.name: _trusted(folder, u) for u in wave.units if u.record_name in committed}
    found = {name: record for name, record in records.items() if record is not None}
    missing = [u for u in wave.units if u.name not in found]
    mine = [u for u in missing if slice_ is None or slice_.holds(u)]
    report = WaveReport(wave.title, len(wave.units), ran=len(mine), kept=len(found))
    show.wave(wave.title, len(wave.units), len(found))
    show.kept(wave.title, list(found.values()))
    result.waves.append(report)
    earlier = _earlier_records(mine, committed)
    shares = Shares(plan.pipeline)
    for record in list(found.values()):
        shares.add(record)
    for record in _execute(wave, mine, found, executor, earlier):
        found[record["unit"]] = record
        report.documents += max((c["rows_in"] for c in record["counts"]), default=0)
        report.reused += sum(c["reused"] for c in record["counts"])
        show.unit(wave.title, record)
        shares.add(record)
    report.seconds = round(time.monotonic() - started, 3)
    theirs = [u for u in missing if u.name not in found]
    if theirs:
        if not _found_elsewhere(folder, theirs, found):
            return False
        show.kept(wave.title, [found[u.name] for u in theirs])
        show.wave(wave.title, len(wave.units), len(found))
    plan.commit(found)
    return True


def _execute(
    wave: Wave,
    mine: Sequence[Unit],
    found: Mapping[str, dict],
    executor: Executor,
    earlier: Mapping[str, Sequence[str]],
) -> Iterator[dict]:
    if not wave.sequential:
        yield from executor.execute(mine, earlier)
        return
    left = wave.units[0].limit or 0
    for unit in wave.units:
        if unit.name in found:
            record = found[unit.name]
        else:
            record = next(iter(executor.execute([replace(unit, limit=left)], earlier)))
            yield record
        left = max(0, left - record["part"]["rows"])


def _trusted(folder: Folder, unit: Unit) -> dict | None:
    """The unit's commit record if it is whole and its data is there; a damaged one is removed and the unit redone."""
    try:
        record = read_record(folder, unit.record_name)
        files = [record["part"], *([record["dropped"]] if "dropped" in record else [])]
        if all(folder.size(f"work/parts/{f['file']}") == f["bytes"] for f in files):
            return record
        why = "its data file is missing or has another size"
    except (StorageError, KeyError) as error:
        why = str(error)
    logger.warning("unit %s is done again: %s", unit.name, why)
    folder.delete(f"{COMMITS}/{unit.record_name}")
    return None


def _earlier_records(units: Sequence[Unit], committed: Mapping[str, int]) -> dict[str, list[str]]:
    """Unit name -> records of the same unit under other fingerprints, whose columns may be taken over."""
    wanted = {u.name for u in units if u.reuse_keys}
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted(committed):
        unit = name.split(".", 1)[0]
        if unit in wanted and name.endswith(".json"):
            found[unit].append(name)
    return dict(found)


def _found_elsewhere(folder: Folder, theirs: Sequence[Unit], found: dict[str, dict]) -> bool:
    """Whether other slices have committed these units by now; their records are added to `found`."""
    committed = folder.names(COMMITS)
    if any(u.record_name not in committed for u in theirs):
        return False
    found.update({u.name: read_record(folder, u.record_name) for u in theirs})
    return True


# -- publish


def publish(plan: Plan, folder: Folder, counted: Mapping) -> None:
    """Give finished shards their names, remove what an earlier recipe left, then write manifest, recipe and census.

    Idempotent: a run that was ended in the middle of it does it again with the same outcome.
    """
    sinks = [r for name, r in sorted(plan.final.items()) if name.startswith("sink-")]
    manifest: list[dict] = []
    for kind, key in (("documents", "part"), ("dropped", "dropped")):
        names = []
        for number, record in enumerate(sinks):
            name = f"shard-{number:05d}.parquet"
            folder.publish(f"work/parts/{record[key]['file']}", f"{kind}/{name}")
            faults.point("publish-shard")
            names.append(name)
            manifest.append(
                {"file": f"{kind}/{name}", "rows": record[key]["rows"], "bytes": record[key]["bytes"],
                 "sha256": record[key]["sha256"], "text_bytes": record["text_bytes"] if kind == "documents" else 0,
                 "inputs": record["inputs"]}
            )  # fmt: skip
        for stale in sorted(set(folder.names(kind)) - set(names)):
            folder.delete(f"{kind}/{stale}")
    folder.replace("manifest.parquet", _manifest_bytes(manifest))
    faults.point("publish-manifest")
    folder.replace(TABLES, _tables_bytes(plan))
    folder.replace("recipe.yaml", to_yaml(plan.pipeline, _run_facts(plan)).encode())
    folder.replace(census.FILE, census.to_json(counted))


def _tables_bytes(plan: Plan) -> bytes:
    """For each global stage the data files of its sketches and of its verdict, as JSON."""
    named = {
        label: {name: [asdict(part) for part in parts] for name, parts in tables.items()}
        for label, tables in plan.tables.items()
    }
    return json.dumps(named, ensure_ascii=False).encode()


def _manifest_bytes(rows: list[dict]) -> bytes:
    schema = pa.schema(
        [("file", pa.string()), ("rows", pa.int64()), ("bytes", pa.int64()), ("sha256", pa.string()),
         ("text_bytes", pa.int64()), ("inputs", pa.list_(pa.string()))]
    )  # fmt: skip
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out, compression="zstd")
    return out.getvalue()


def _run_facts(plan: Plan) -> dict[str, object]:
    """What the frozen recipe says about this run besides its configuration."""
    return {
        "fingerprint": plan.fingerprint(),
        "recipe_fingerprint": plan.pipeline.fingerprint(),
        "curation": curation.__version__,
        "limit": plan.options.limit,
        "sample": plan.options.sample,
        "stages": {s.label: _stage_facts(s) for s in plan.pipeline.everything()},
    }


def _stage_facts(stage: Stage) -> dict[str, object]:
    facts: dict[str, object] = {
        "fingerprint": stage_fingerprint(stage),
        "code": code_digest(type(stage).__module__),
    }
    if stage.libraries:
        facts["libraries"] = library_versions(stage.libraries)
    if stage.models:
        facts["models"] = {m.name: m.sha256 for m in stage.models}
    return facts


def remove_orphans(folder: Folder) -> int:
    """Remove data files that no commit record points to: what killed attempts left. Returns how many.

    Only for a finished run that no other driver shares: a file under way has no record yet either.
    """
    committed = folder.names(COMMITS)
    files: dict[str, list[str]] = defaultdict(list)
    for name in folder.names("work/parts"):
        unit, fingerprint, _ = name.split(".", 2)
        files[f"{unit}.{fingerprint}.json"].append(name)
    removed = 0
    for record_name, names in files.items():
        wanted: set[str] = set()
        if record_name in committed:
            if len(names) == 1:
                continue
            record = read_record(folder, record_name)
            wanted = {part["file"] for part in (record["part"], record.get("dropped")) if part}
        for name in set(names) - wanted:
            folder.delete(f"work/parts/{name}")
            removed += 1
    return removed


def clean(folder: Folder) -> int:
    """Remove the work of a finished run (parts and commit records). Returns the bytes freed.

    Raises StorageError when the run is not finished, since nothing could resume it then.
    """
    if not folder.exists(census.FILE):
        raise StorageError(
            f"{folder.url} holds no finished run, so its work is still needed\n"
            "  try:    finish it with the same `curation run`, or delete the folder"
        )
    freed = sum(size for name in ("parts", "commits") for size in folder.names(f"work/{name}").values())
    folder.delete_folder("work")
    return freed


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
