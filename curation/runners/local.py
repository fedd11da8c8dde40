"""Run units on this machine: in this process for one worker, in a pool of processes for more.

A worker that is killed (by the system for want of memory, or by hand) breaks the pool; the pool is made anew and the
units that have no commit record are run again, a few times, before the run gives up.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.process
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import pyarrow as pa

from curation.errors import CurationError, RunStopped
from curation.pipeline import Pipeline
from curation.plan import Unit
from curation.recipe import from_value, to_value
from curation.records import COMMITS, read_record
from curation.storage import Folder
from curation.storage_options import StorageOptions, use
from curation.unit import Worker, versions_of

logger = logging.getLogger("curation")

ATTEMPTS = 3
"""How often a unit may lose its worker before the run stops."""

AHEAD = 2
"""Units handed over per worker: enough to keep it busy, few enough to stop soon."""


class LocalExecutor:
    """Runs units with `workers` processes; one worker means this very process, so that a debugger works."""

    def __init__(
        self, pipeline: Pipeline, folder: Folder, input_options: Mapping[str, object], workers: int | None = None
    ) -> None:
        self.workers = workers or available_cores()
        self._pipeline, self._folder, self._options = pipeline, folder, StorageOptions(input_options)
        self._pool: ProcessPoolExecutor | None = None
        self._workers: list[multiprocessing.process.BaseProcess] = []
        if not folder.is_shared and self.workers > 1:
            raise CurationError(
                f"{folder.url} lives in this process only, so {self.workers} workers cannot share it\n"
                "  try:    --workers 1, or a folder on disk"
            )

    def execute(self, units: Sequence[Unit], earlier: Mapping[str, Sequence[str]]) -> Iterator[dict]:
        """Run units; yield each commit record when it is done."""
        if self.workers == 1:
            yield from self._here(units, earlier)
        elif units:
            yield from self._pooled(list(units), earlier)

    def close(self, abandon: bool = False) -> None:
        """End the workers. With `abandon`, at once: an interrupt or a broken contract must not wait for long units."""
        if self._pool is None:
            return
        if abandon:
            for worker in self._workers:
                worker.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None

    def _here(self, units: Sequence[Unit], earlier: Mapping[str, Sequence[str]]) -> Iterator[dict]:
        worker = Worker(self._pipeline, self._folder, self._options)
        try:
            for unit in units:
                yield worker.run(unit, earlier.get(unit.name, ()))
        finally:
            worker.close()

    def _pooled(self, units: list[Unit], earlier: Mapping[str, Sequence[str]]) -> Iterator[dict]:
        todo = {u.name: u for u in units}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                for record in self._one_pool(list(todo.values()), earlier):
                    todo.pop(record["unit"])
                    yield record
                return
            except BrokenProcessPool:
                self._pool = None
                for record in self._committed(todo.values()):  # its worker died after committing
                    todo.pop(record["unit"])
                    yield record
                logger.warning("a worker was killed; attempt %d of %d, %d units left", attempt, ATTEMPTS, len(todo))
        raise RunStopped(
            f"workers were killed {ATTEMPTS} times in a row; units left: {', '.join(sorted(todo)[:5])}\n"
            "  try:    fewer --workers if memory ran out (see the system's log), then the same command: "
            "finished units are kept"
        )

    def _committed(self, units) -> list[dict]:
        committed = self._folder.names(COMMITS)
        return [read_record(self._folder, u.record_name) for u in list(units) if u.record_name in committed]

    def _one_pool(self, units: list[Unit], earlier: Mapping[str, Sequence[str]]) -> Iterator[dict]:
        pool = self._started()
        others = set(multiprocessing.active_children()) - set(self._workers)
        queue = iter(units)
        running: set[Future] = set()
        while True:
            while len(running) < self.workers * AHEAD and (unit := next(queue, None)) is not None:
                running.add(pool.submit(_run_unit, unit, earlier.get(unit.name, ())))
            self._workers = [p for p in multiprocessing.active_children() if p not in others]
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # A worker is one core's worth of work: Polars reads this when a worker imports it.
            os.environ.setdefault("POLARS_MAX_THREADS", "1")
            # spawn: the driver has threads (Polars, Arrow), and forking those is undefined behaviour.
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(
                    to_value(self._pipeline),
                    self._folder,
                    self._options,
                    os.getpid(),
                    versions_of(self._pipeline),
                ),
            )
        return self._pool


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- inside a worker

_worker: Worker | None = None
_refusal = ""


def _start_worker(value: object, folder: Folder, options: Mapping[str, object], parent: int, versions: dict) -> None:
    global _worker, _refusal
    pa.set_cpu_count(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides; a unit that is nearly done may end
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    use(options)
    pipeline = from_value(value, allow_code=True)
    found = versions_of(pipeline)
    if found != versions:
        _refusal = f"this worker has other library versions than the driver: {found} against {versions}"
    _worker = Worker(pipeline, folder, options)


def _end_with_parent(parent: int) -> None:
    """Leave when the driver is gone: a worker that outlives it would work for nobody."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _run_unit(unit: Unit, earlier: Sequence[str]) -> dict:
    if _refusal or _worker is None:
        raise RunStopped(_refusal or "this worker did not start")
    return _worker.run(unit, earlier)
