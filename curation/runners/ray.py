"""Run units on a Ray cluster: units are tasks, segments with models a pool of actors, and files carry all data.

The driver hands over a unit (a few kilobytes) and gets its commit record back; texts never pass through Ray's object store.
Few units are under way at a time, so the driver holds handles and not data however many there are. Ray's own retries are
off: a worker or node that is lost is no fault of the unit, so what it had not committed is handed over again, a few
times; an error that a unit raises ends the run as it does everywhere.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa
import ray
from ray.exceptions import RayError, RayTaskError

from curation.errors import CurationError, RunStopped, explain_mismatch
from curation.pipeline import Pipeline
from curation.plan import Unit
from curation.recipe import from_value, to_value
from curation.records import COMMITS, read_record
from curation.stage import Stage
from curation.storage import Folder
from curation.storage_options import StorageOptions, use
from curation.unit import Worker, versions_of

logger = logging.getLogger("curation")

ATTEMPTS = 4
"""How often a unit may lose its worker or node before the run stops."""

AHEAD = 2
"""Units under way for each one that can run at once: the next is there when a worker is free."""

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
        self._owned = connect(address, workers)
        try:
            check_resources(pipeline, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        except BaseException:
            self.close()
            raise
        options = StorageOptions(input_options)
        setup = Setup(uuid.uuid4().hex, tuple(sys.path), to_value(pipeline), folder, options, versions_of(pipeline))
        self._setup = ray.put(setup)

    def execute(self, units: Sequence[Unit], earlier: Mapping[str, Sequence[str]]) -> Iterator[dict]:
        """Run units; yield each commit record when it is done."""
        left = list(units)
        lost: Counter[str] = Counter()
        while left:
            again: list[Unit] = []
            for unit, outcome in self._outcomes(left, earlier):
                if isinstance(outcome, dict):
                    yield outcome
                    continue
                lost[unit.name] += 1
                if lost[unit.name] >= ATTEMPTS:
                    raise RunStopped(
                        f"unit {unit.name} lost its worker {ATTEMPTS} times: {outcome}\n"
                        "  try:    look at the nodes' memory and logs, then the same command: finished units are kept"
                    ) from outcome
                logger.warning("unit %s lost its worker and is run again: %s", unit.name, str(outcome).splitlines()[0])
                again.append(unit)
            left = again

    def _outcomes(self, units: Sequence[Unit], earlier: Mapping[str, Sequence[str]]) -> Iterator[tuple[Unit, dict | RayError]]:
        """Each unit with its commit record, or with the failure of the machinery that kept it from making one."""
        queue = list(reversed(units))
        pool = _ActorPool(self._setup, self._needs(units[0]), len(units)) if self._has_models(units[0]) else None
        running: dict[Any, Unit] = {}
        try:
            while queue or running:
                room = AHEAD * (pool.size if pool else max(1, int(ray.cluster_resources().get("CPU", 1))))
                while queue and len(running) < room:
                    unit = queue.pop()
                    hints = tuple(earlier.get(unit.name, ()))
                    running[pool.submit(unit, hints) if pool else self._submit(unit, hints)] = unit
                done, _ = ray.wait(list(running), num_returns=1)
                unit = running.pop(done[0])
                yield unit, self._record(done[0], unit)
        finally:
            for reference in running:
                ray.cancel(reference, force=pool is None)
            if pool:
                pool.close()

    def _submit(self, unit: Unit, earlier: Sequence[str]) -> Any:
        options = {**self._needs(unit), "name": f"{self._title(unit)} {unit.number}"}
        return _run_unit.options(**options).remote(self._setup, unit, earlier)

    def _record(self, reference: Any, unit: Unit) -> dict | RayError:
        try:
            return ray.get(reference)
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, CurationError) else error) from None
        except RayError as error:
            if unit.record_name in self._folder.names(COMMITS):  # lost after it had committed
                return read_record(self._folder, unit.record_name)
            return error

    def _stages(self, unit: Unit) -> Sequence[Stage]:
        return self._segments[unit.segment].stages if unit.segment < len(self._segments) else (self._pipeline.sink,)

    def _has_models(self, unit: Unit) -> bool:
        return unit.kind == "rows" and any(stage.models for stage in self._stages(unit))

    def _title(self, unit: Unit) -> str:
        return " > ".join(stage.label for stage in self._stages(unit)) + (f": {unit.step.name}" if unit.step else "")

    def _needs(self, unit: Unit) -> dict[str, Any]:
        return needs_of(self._stages(unit))

    def close(self, abandon: bool = False) -> None:
        """Leave the cluster; end it when it was started here. Tasks under way end with their driver."""
        if self._owned and ray.is_initialized():
            ray.shutdown()
        self._owned = False


def needs_of(stages: Sequence[Stage]) -> dict[str, Any]:
    """What a unit of these stages asks Ray for: they run one after the other, but all models stay on the accelerator."""
    needs = [stage.resources for stage in stages]
    asked: dict[str, Any] = {"num_cpus": max(need.cpus for need in needs)}
    if gpus := sum(need.gpus for need in needs):
        asked["num_gpus"] = gpus
    if (memory := max(need.memory_gb for need in needs)) > 1:
        asked["memory"] = int(memory * 2**30)
    return asked


def check_resources(pipeline: Pipeline, nodes: Sequence[Mapping[str, float]]) -> None:
    """Raise RunStopped unless some node can run each stage, before any work is done."""
    for stage in pipeline.everything():
        asked = needs_of([stage])
        wanted = {"CPU": asked["num_cpus"], "GPU": asked.get("num_gpus", 0), "memory": asked.get("memory", 0)}
        if any(all(node.get(kind, 0) >= amount for kind, amount in wanted.items()) for node in nodes):
            continue
        most = {kind: max((node.get(kind, 0) for node in nodes), default=0) for kind in wanted}
        lacking = [kind for kind, amount in wanted.items() if most[kind] < amount]
        raise RunStopped(
            explain_mismatch(
                f"no node of the cluster can run stage {stage.label!r} ({stage.name})",
                wanted=", ".join(f"{kind} {amount:g}" for kind, amount in wanted.items() if amount),
                found=f"{len(nodes)} nodes, the largest with "
                + ", ".join(f"{kind} {amount:g}" for kind, amount in most.items()),
                hint=f"--set {stage.label}.device=cpu, or a node with a GPU"
                if "GPU" in lacking
                else f"a larger node, or --set {stage.label}.memory_gb=... where the stage has it",
            )
        )


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


class _ActorPool:
    """Workers that bind a segment's models once and take its units."""

    def __init__(self, setup: Any, needs: Mapping[str, Any], units: int) -> None:
        total = ray.cluster_resources()
        places = [total.get("CPU", 1) // (needs["num_cpus"] or 1)]
        if needs.get("num_gpus"):
            places.append(total.get("GPU", 0) // needs["num_gpus"])
        self.size = max(1, min(units, int(min(places))))
        self._setup, self._needs = setup, dict(needs)
        self._actors = [self._start() for _ in range(self.size)]
        self._given = [0] * self.size

    def _start(self) -> Any:
        return _UnitActor.options(**self._needs, max_restarts=-1).remote(self._setup)  # type: ignore[attr-defined]

    def submit(self, unit: Unit, earlier: Sequence[str]) -> Any:
        place = self._given.index(min(self._given))
        self._given[place] += 1
        return self._actors[place].run.remote(unit, earlier)

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor)


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
    def __init__(self, setup: Setup) -> None:
        self._worker = _worker_of(setup)

    def run(self, unit: Unit, earlier: Sequence[str]) -> dict:
        return self._worker.run(unit, earlier)
