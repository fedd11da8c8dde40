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
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import pyarrow as pa

from curation.errors import CurationError, RunStopped
from curation.pipeline import Pipeline
from curation.plan import Unit
from curation.progress import Progress
from curation.recipe import from_value, to_value
from curation.records import COMMITS, read_record
from curation.runners.ready import Job, Ready
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
        self.observers: Sequence[Progress] = ()
        self._pipeline, self._folder, self._options = pipeline, folder, StorageOptions(input_options)
        self._pool: ProcessPoolExecutor | None = None
        self._workers: list[multiprocessing.process.BaseProcess] = []
        if not folder.is_shared and self.workers > 1:
            raise CurationError(
                f"{folder.url} lives in this process only, so {self.workers} workers cannot share it\n"
                "  try:    --workers 1, or a folder on disk"
            )

    def execute(self, ready: Ready) -> Generator[dict, None, None]:
        """Run units while there are any; yield each commit record when it is done."""
        return self._here(ready) if self.workers == 1 else self._pooled(ready)

    def close(self, abandon: bool = False) -> None:
        """End the workers. With `abandon`, at once: an interrupt or a broken contract must not wait for long units."""
        if self._pool is None:
            return
        if abandon:
            for worker in self._workers:
                worker.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None

    def _here(self, ready: Ready) -> Generator[dict, None, None]:
        worker = Worker(self._pipeline, self._folder, self._options)
        try:
            while (job := ready.take()) is not None:
                yield worker.run(job.unit, job.earlier)
        finally:
            worker.close()

    def _pooled(self, ready: Ready) -> Generator[dict, None, None]:
        running: dict[Future, Job] = {}
        while True:
            try:
                yield from self._one_pool(ready, running)
                return
            except BrokenProcessPool as error:
                self._pool = None
                logger.warning("a worker was killed; %d units were under way", len(running))
                lost, running = list(running.values()), {}
                for job in lost:
                    if self._folder.exists(f"{COMMITS}/{job.unit.record_name}"):  # its worker died after committing
                        yield read_record(self._folder, job.unit.record_name)
                    else:
                        ready.again(job, str(error), ATTEMPTS)

    def _one_pool(self, ready: Ready, running: dict[Future, Job]) -> Generator[dict, None, None]:
        pool = self._started()
        others = set(multiprocessing.active_children()) - set(self._workers)
        while True:
            while len(running) < self.workers * AHEAD and (job := ready.take()) is not None:
                try:
                    running[pool.submit(_run_unit, job.unit, job.earlier)] = job
                except BrokenProcessPool:
                    running[Future()] = job
                    raise
            self._workers = [p for p in multiprocessing.active_children() if p not in others]
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                record = future.result()
                del running[future]
                yield record

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
