"""Processes that train groups of proxies, one thread each: on a CPU that is faster than one process of several threads.

Source: ours; measured in benchmarks/proxy_speed.md.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from curation.errors import StorageError
from curation.mixture.proxies_group import Group, Member
from curation.mixture.proxy_data import Pool, load_pool
from curation.mixture.proxy_settings import ProxySettings
from curation.storage import Folder

TRIAL_STEPS = 4
TOLD_EVERY_S = 1.0

Hear = Callable[[str, int], None]


@dataclass(frozen=True)
class Job:
    """A group to train: its members, the file of its rows once it is done, the file of its checkpoint."""

    members: tuple[Member, ...]
    rows: Path
    state: Path


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """Sums are taken in another order by several threads: one, so that numbers do not depend on the machine's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if device == "cpu" else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def trial_rate(settings: ProxySettings, pool: Pool, members: Sequence[Member], device: str) -> float:
    """Tokens per second of a few steps of one group in this process."""
    with one_thread(device):
        group = Group(replace(settings, steps=TRIAL_STEPS + 1), pool, members, device)
        group.advance()
        _settled(device)
        began = time.perf_counter()
        for _ in range(TRIAL_STEPS):
            group.advance()
        _settled(device)
    return TRIAL_STEPS * settings.batch * settings.context * len(members) / (time.perf_counter() - began)


def _settled(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def run_jobs(
    home: Path, jobs: Sequence[Job], settings: ProxySettings, device: str, workers: int, every_s: float, hear: Hear
) -> None:
    """Train every group; `hear` is told (name of the rows' file, steps done). Raises StorageError when a worker dies."""
    if workers <= 1:
        for job in jobs:
            _train(job, home, settings, device, every_s, _throttled(partial(hear, str(job.rows)), settings.steps))
        return
    context = multiprocessing.get_context("spawn")
    heard, stop = context.Queue(), context.Event()
    common = (home, settings, device, every_s)
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(heard, stop)) as pool:
        futures = [pool.submit(_work, job, *common) for job in jobs]
        try:
            _listen(futures, heard, hear)
        except BrokenProcessPool:
            raise StorageError(
                "a process that trained proxies died, of memory perhaps\n  try:    the same command again: it goes on from "
                "the checkpoints; fewer --workers or a smaller stack need less memory"
            ) from None
        except BaseException:
            stop.set()  # workers write their checkpoints and end
            for future in futures:
                future.cancel()
            raise


def _listen(futures: Sequence[Future], heard: Any, hear: Hear) -> None:
    open_ones = set(futures)
    while open_ones:
        done, open_ones = wait(open_ones, timeout=0.2)
        for future in done:
            future.result()
        try:
            while True:
                hear(*heard.get_nowait())
        except queue.Empty:
            pass


_worker: dict[str, Any] = {}


def _start_worker(heard: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver says when to stop
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    _worker.update(heard=heard, stop=stop)


def _end_with_the_driver() -> None:
    """When the driver is killed nobody waits for this process any more, and its work may soon be another's."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def _work(job: Job, home: Path, settings: ProxySettings, device: str, every_s: float) -> None:
    def tell(step: int) -> bool:
        _worker["heard"].put((str(job.rows), step))
        return not _worker["stop"].is_set()

    _train(job, home, settings, device, every_s, _throttled(tell, settings.steps))


def _throttled(tell: Callable[[int], Any], last: int) -> Callable[[int], bool]:
    """Pass on one step a second, and the last one."""
    told = 0.0

    def some(step: int) -> bool:
        nonlocal told
        now = time.monotonic()
        if now - told < TOLD_EVERY_S and step < last:
            return True
        told = now
        return tell(step) is not False

    return some


def _train(job: Job, home: Path, settings: ProxySettings, device: str, every_s: float, tell: Callable[[int], bool]) -> None:
    with one_thread(device):
        outcomes = Group(settings, load_pool(home / "work"), job.members, device, job.state).train(every_s, tell)
    if outcomes is not None:
        rows = [{name: _plain(value) for name, value in asdict(outcome).items()} for outcome in outcomes]
        Folder(str(job.rows.parent)).replace(job.rows.name, json.dumps(rows, allow_nan=False).encode() + b"\n")
        job.state.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """JSON has no NaN: null."""
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
