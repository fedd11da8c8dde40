"""Run units on a Ray cluster: units are tasks, segments with models a pool of actors, and files carry all data.

The driver hands over a unit (a few kilobytes) and gets its commit record back; texts never pass through Ray's object store.
What starts when is `schedule`'s to decide. Ray's own retries are off: a worker or node that is lost is no fault of the
unit, so what it had not committed is handed over again, a few times; an error that a unit raises ends the run as it does
everywhere.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import sys
import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa
import ray
from ray.exceptions import RayError, RayTaskError
from ray.util import metrics

from curation.errors import CurationError, RunStopped, explain_mismatch
from curation.pipeline import Pipeline
from curation.plan import NO_PARTS, Unit
from curation.progress import Progress
from curation.recipe import from_value, to_value
from curation.records import COMMITS, read_record
from curation.runners.ready import Job, Ready
from curation.runners.schedule import Lost, Needs, Schedule, no_place
from curation.stage import GlobalStage, Stage
from curation.storage import Folder
from curation.storage_options import StorageOptions, use
from curation.unit import Worker, versions_of

logger = logging.getLogger("curation")

LOOK_SECONDS = 5.0
"""How old the driver's knowledge of the cluster's nodes may be."""

TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
TOKEN_FILE = Path("~/.ray/auth_token")
"""Where Ray looks for a token itself."""


class Setup(NamedTuple):
    """What a worker is made of: the frozen recipe, the output folder, options for reading, the driver's libraries, and
    where the driver finds modules (a user's own stages): on another node what is not there does nothing."""

    run: str
    paths: tuple[str, ...]
    recipe: Any
    folder: Folder
    options: StorageOptions
    versions: dict[str, str]


class RayExecutor:
    """Runs units on the cluster at `address`; without one on that of RAY_ADDRESS, else on one that runs on this machine,
    else on one it starts here with `workers` cores, and ends."""

    def __init__(
        self,
        pipeline: Pipeline,
        folder: Folder,
        input_options: Mapping[str, object],
        address: str | None = None,
        workers: int | None = None,
    ) -> None:
        if not folder.is_shared:
            raise CurationError(f"{folder.url} lives in this process only\n  try:    a folder that every node can reach")
        self._pipeline, self._folder = pipeline, folder
        self._segments = pipeline.segments()
        self._needs: dict[tuple[int, int], Needs] = {}
        self._tasks: dict[tuple[int, int, str], Any] = {}
        self._modelled = {s.index for s in self._segments if any(stage.models for stage in s.stages)}
        self._looked = -LOOK_SECONDS
        self._nodes: list[Mapping[str, float]] = []
        self._owned = connect(address, workers)
        try:
            check_resources(pipeline, self.nodes())
        except BaseException:
            self.close()
            raise
        options = StorageOptions(input_options)
        setup = Setup(uuid.uuid4().hex, tuple(sys.path), to_value(pipeline), folder, options, versions_of(pipeline))
        self._setup = ray.put(setup)
        self.observers: Sequence[Progress] = (Metrics(pipeline.name),)

    def execute(self, ready: Ready) -> Generator[dict, None, None]:
        """Run units while there are any; yield each commit record when it is done."""
        schedule = Schedule(self, ready)
        try:
            yield from schedule.records()
        finally:
            for reference in schedule.under_way():
                ray.cancel(reference, force=True)

    # -- what a schedule asks of a cluster

    def nodes(self) -> Sequence[Mapping[str, float]]:
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self._looked = time.monotonic()
        return self._nodes

    def needs(self, unit: Unit) -> Needs:
        if (unit.segment, unit.documents) not in self._needs:
            self._needs[unit.segment, unit.documents] = needs_of(self._stages(unit))
        return self._needs[unit.segment, unit.documents]

    def has_models(self, unit: Unit) -> bool:
        return unit.kind == "rows" and unit.segment in self._modelled

    def run(self, job: Job) -> Any:
        return self._task_of(job.unit).remote(self._setup, *job)

    def _task_of(self, unit: Unit) -> Any:
        """The task of a unit's title, which is what the dashboard groups by; making one costs more than calling it."""
        key = unit.segment, unit.documents, unit.step.name if unit.step else unit.kind
        if key not in self._tasks:
            self._tasks[key] = _run_unit.options(**_asked(self.needs(unit)), name=self._title(unit))
        return self._tasks[key]

    def open(self, job: Job) -> tuple[Any, Any]:
        options = {**_asked(self.needs(job.unit)), "max_restarts": -1}
        actor = _UnitActor.options(**options).remote()  # type: ignore[attr-defined]
        return actor, self.ask(actor)

    def ask(self, actor: Any) -> Any:
        return actor.start.remote(self._setup)

    def give(self, actor: Any, job: Job) -> Any:
        return actor.run.options(name=self._title(job.unit)).remote(self._setup, *job)

    def stop(self, actor: Any) -> None:
        ray.kill(actor)

    def wait(self, handles: Sequence[Any], seconds: float) -> Sequence[Any]:
        first, left = ray.wait(list(handles), num_returns=1, timeout=seconds)
        if not first or not left:
            return first
        return first + ray.wait(left, num_returns=len(left), timeout=0)[0]

    def result(self, handle: Any, job: Job | None) -> dict | Lost | None:
        try:
            return ray.get(handle)
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, CurationError) else error) from None
        except RayError as error:
            if job and self._folder.exists(f"{COMMITS}/{job.unit.record_name}"):  # lost after it had committed
                return read_record(self._folder, job.unit.record_name)
            return Lost(str(error).splitlines()[0])

    def _stages(self, unit: Unit) -> Sequence[Stage]:
        if unit.segment == len(self._segments):
            return (self._pipeline.sink,)
        stages = self._segments[unit.segment].stages
        first = stages[0]
        return (first.sized(unit.documents),) if isinstance(first, GlobalStage) and unit.kind in NO_PARTS else stages

    def _title(self, unit: Unit) -> str:
        labels = " > ".join(stage.label for stage in self._stages(unit))
        step = unit.step.name if unit.step else unit.kind
        return f"{labels}: {step}" if unit.step or unit.kind in ("sketch", "match") else labels

    def close(self, abandon: bool = False) -> None:
        """Leave the cluster; end it when it was started here. Tasks under way end with their driver."""
        if self._owned and ray.is_initialized():
            ray.shutdown()
        self._owned = False


class Metrics:
    """What a run did so far as Ray's own metrics, for the dashboard and Prometheus: `ray_curation_*`, with the recipe's name.

    The driver counts, and not the workers: it learns of every unit once, whereas a worker that is lost takes the counts it
    has not yet exported with it and one that commits late counts a unit twice. Units that were taken over do not count.
    """

    BOUNDARIES = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)
    """Seconds of a unit."""

    def __init__(self, recipe: str) -> None:
        def counter(name: str, what: str, *tags: str) -> metrics.Counter:
            return metrics.Counter(f"curation_{name}", what, ("recipe", *tags)).set_default_tags({"recipe": recipe})

        self._in = counter("documents_in", "Documents read from the inputs.")
        self._out = counter("documents_out", "Documents written to shards.")
        self._dropped = counter("dropped", "Documents that fell.", "stage", "reason")
        self._done = counter("units_done", "Units committed.", "title")
        self._lost = counter("units_lost", "Units that lost their worker and were run again.", "title")
        self._seconds = metrics.Histogram(
            "curation_unit_seconds", "Wall seconds of a unit.", list(self.BOUNDARIES), ("recipe", "title")
        ).set_default_tags({"recipe": recipe})

    def wave(self, title: str, units: int, done: int) -> None:
        """Nothing: what is counted has happened."""

    def kept(self, title: str, records: Sequence[Mapping]) -> None:
        """Nothing: it was counted when it was done."""

    def unit(self, title: str, record: Mapping) -> None:
        self._done.inc(1, {"title": title})
        self._seconds.observe(max(record["seconds"]["wall"], 1e-3), {"title": title})
        if record["unit"].startswith("sink-") and record["rows_alive"]:
            self._out.inc(record["rows_alive"])
        if "-heads-" in record["unit"]:  # done again where the archive is read for good
            return
        if record["pieces"] and record["counts"][0]["rows_in"]:
            self._in.inc(record["counts"][0]["rows_in"])
        for count in record["counts"]:
            for reason, (documents, _) in count["reasons"].items():
                if documents:
                    self._dropped.inc(documents, {"stage": count["label"], "reason": reason})

    def lost(self, title: str, name: str, why: str) -> None:
        self._lost.inc(1, {"title": title})

    def close(self) -> None:
        """Nothing: Ray exports what there is."""


def needs_of(stages: Sequence[Stage]) -> Needs:
    """What a unit of these stages needs: they run one after the other, but all models stay on the accelerator."""
    needs = [stage.resources for stage in stages]
    memory = max(need.memory_gb for need in needs)
    return Needs(max(need.cpus for need in needs), sum(need.gpus for need in needs), int(memory * 2**30) if memory > 1 else 0)


def _asked(needs: Needs) -> dict[str, Any]:
    """The same in Ray's words."""
    asked: dict[str, Any] = {"num_cpus": needs.cpus}
    if needs.gpus:
        asked["num_gpus"] = needs.gpus
    if needs.memory:
        asked["memory"] = needs.memory
    return asked


def check_resources(pipeline: Pipeline, nodes: Sequence[Mapping[str, float]]) -> None:
    """Raise RunStopped unless some node can run each stage, before any work is done. What a global stage needs is known when
    its documents are counted, and is looked at then."""
    for stage in pipeline.everything():
        needs = needs_of([stage])
        if any(needs.fits(node) for node in nodes):
            continue
        no_gpu = needs.gpus > max((node.get("GPU", 0) for node in nodes), default=0)
        hint = f"--set {stage.label}.device=cpu, or a node with a GPU"
        larger = f"a larger node, or --set {stage.label}.memory_gb=... where the stage has it"
        raise no_place(f"stage {stage.label!r} ({stage.name})", needs, nodes, hint if no_gpu else larger)


def connect(address: str | None, workers: int | None) -> bool:
    """Connect to a cluster or start one, and log which. True when this process started it or connected first."""
    if ray.is_initialized():
        return False
    wanted = address or os.environ.get("RAY_ADDRESS")
    check_address(wanted)
    quiet: dict[str, Any] = {
        "logging_level": logging.WARNING, "log_to_driver": False,
        "runtime_env": {"env_vars": {"POLARS_MAX_THREADS": "1"}},
    }  # fmt: skip
    try:
        ray.init(address=wanted or "auto", **quiet)
        logger.info("ray: connected to the cluster at %s", ray.get_runtime_context().gcs_address)
    except ConnectionError as error:
        if wanted and wanted != "auto":
            raise CurationError(f"no Ray cluster at {wanted}: {error}\n  try:    ray status --address {wanted}") from error
        ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
        logger.info("ray: no cluster here, started one on this machine (%g cores)", ray.cluster_resources().get("CPU", 0))
    return True


def check_address(address: str | None) -> None:
    """Raise CurationError for a cluster elsewhere without a token: whoever reaches an open one runs code on it."""
    has_token = any(os.environ.get(name) for name in TOKEN_VARIABLES) or TOKEN_FILE.expanduser().exists()
    if not address or address in ("auto", "local") or has_token:
        return
    host = urlsplit(address if "//" in address else f"//{address}").hostname or ""
    if not _is_loopback(host):
        raise CurationError(
            explain_mismatch(
                f"the Ray cluster at {address} is on another machine",
                wanted="a token (RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH), there and here",
                found="none of " + ", ".join(TOKEN_VARIABLES),
                hint="an open cluster runs anybody's code; make a token with `ray get-auth-token --generate`",
            )
        )


def _is_loopback(host: str) -> bool:
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(address).is_loopback for address in found)


# -- inside a worker

_workers: dict[str, Worker] = {}


def _worker_of(setup: Setup) -> Worker:
    """This process's worker for a run; that of an earlier run is closed."""
    if setup.run not in _workers:
        pa.set_cpu_count(1)
        sys.path += [path for path in setup.paths if path not in sys.path]
        while _workers:
            _workers.popitem()[1].close()
        use(setup.options)
        pipeline = from_value(setup.recipe, allow_code=True)
        found = versions_of(pipeline)
        if found != setup.versions:
            names = sorted(name for name in {*found, *setup.versions} if found.get(name) != setup.versions.get(name))
            raise RunStopped(
                explain_mismatch(
                    f"a worker on {socket.gethostname()} has other library versions than the driver",
                    wanted={name: setup.versions.get(name) for name in names},
                    found={name: found.get(name) for name in names},
                    hint="install the same versions on every node, or give the job a runtime environment",
                )
            )
        _workers[setup.run] = Worker(pipeline, setup.folder, setup.options)
    return _workers[setup.run]


@ray.remote(max_retries=0)
def _run_unit(setup: Setup, unit: Unit, earlier: Sequence[str]) -> dict:
    return _worker_of(setup).run(unit, earlier)


@ray.remote
class _UnitActor:
    """Runs units of one segment, whose models it keeps. What `start` raises reaches the driver as it is, which a
    constructor's error does not."""

    def start(self, setup: Setup) -> None:
        _worker_of(setup)

    def run(self, setup: Setup, unit: Unit, earlier: Sequence[str]) -> dict:
        return _worker_of(setup).run(unit, earlier)
