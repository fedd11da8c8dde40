"""Training proxies: mixtures in, a run table out. Many small models, one for each mixture, on the text of every domain.

The folder of a run holds what a resumed one needs: the tokenizer, the tokens, a file of rows for every finished group of
proxies, a checkpoint for every one under way. The same command again goes on from there and writes the same table.

Source: RegMix, Liu et al., arXiv:2407.01492 (small models on random mixtures, losses by domain); pairing of seeds and
evaluation, stacking and resuming are ours.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curation.errors import MixtureError, StorageError, explain_mismatch
from curation.mixture.artefact import load, unknown_domain
from curation.mixture.proxy_data import Pool, build_pool, epochs_of, load_pool, missing_extra, tokenizer_for
from curation.mixture.proxy_settings import ProxySettings, cost
from curation.mixture.proxy_text import read_domains, text_files
from curation.mixture.run_table import LOSS, WEIGHT, read
from curation.storage import Folder

if TYPE_CHECKING:
    from curation.mixture.proxies_group import Member
    from curation.mixture.proxies_work import Job

logger = logging.getLogger("curation")

CPU_STACK, GPU_STACK = 8, 64
"""Proxies in a group where the settings leave it open; CPU_STACK as measured in benchmarks/proxy_speed.md."""

FORWARD_SHARE = 3
"""Tokens evaluated in the time of one trained on: there is no backward pass, which is twice the forward one."""

MANY_EPOCHS = 4.0
"""Repetitions of a domain beyond which a proxy may say more of memorising than of the domain (Muennighoff et al.,
arXiv:2305.16264): a word of warning."""


@dataclass(frozen=True)
class Machine:
    """What trains: `device` "cpu" or "cuda"; `workers`, processes of one thread each, 0 for all cores (on a GPU: one);
    `checkpoint_s`, seconds between checkpoints. None of it but the device changes a number of the table."""

    device: str = "cpu"
    workers: int = 0
    checkpoint_s: float = 60.0

    @property
    def processes(self) -> int:
        if self.device != "cpu":
            return 1
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Mixtures:
    """Mixtures to train: names of domains, weights (runs, domains), names of runs, and for each what is added to the seed."""

    domains: tuple[str, ...]
    weights: np.ndarray
    runs: tuple[str, ...]
    seeds: tuple[int, ...]


def read_mixtures(location: str) -> Mixtures:
    """Mixtures of a CSV or Parquet file: columns `weight_<domain>`, and if they are there `run` (names) and `seed` (a
    whole number added to the settings' seed); or the one of a mixture.json. Raises MixtureError where there are no
    weights, or impossible ones, and InputError where the file cannot be read."""
    if location.endswith(".json"):
        one = load(location).weights
        return Mixtures(tuple(one), np.array([list(one.values())]), (Path(location).stem,), (0,))
    table = read(location, trained=False)
    seeds = table.extra.get("seed", np.zeros(len(table)))
    return Mixtures(table.domains, table.weights, table.runs, tuple(int(seed) for seed in seeds))


def train_proxies(
    where: Sequence[str], mixtures: Mixtures, out: str, settings: ProxySettings, machine: Machine = Machine(), *,
    column: str = "domain", table: str = "runs.csv", say: Callable[[str], None] = logger.info,
) -> Path:  # fmt: skip
    """Train one proxy for every mixture and write the run table into the folder `out`; the same call again resumes.

    `where`: Parquet or JSONL files, or folders, with `text` and the domain in `column` ("" for one domain a file). All
    domains of the text are evaluated on, also those no mixture has. `say` hears what is about to be done, and how it goes.

    The table has a row for each mixture: `run`, `seed`, `weight_<domain>`, `loss_<domain>` in bits per byte, `training_loss`
    (nats per token), `diverged_at` (null, or the step whose loss was not a number; such a row has no losses).
    Raises MixtureError, InputError, and StorageError where the folder holds other proxies or another process works in it.
    """
    _require_torch(machine)
    home = Path(out)
    (home / "work").mkdir(parents=True, exist_ok=True)
    with _alone(home):
        settings = replace(settings, stack=settings.stack or (CPU_STACK if machine.device == "cpu" else GPU_STACK))
        pool = _pool(home, where, settings, column)
        members = _members(pool, mixtures, settings)
        jobs = _jobs(home, pool, members, settings, machine)
        _announce(pool, members, jobs, settings, machine, say)
        _run_all(home, [job for job in jobs if not job.rows.exists()], settings, machine, say)
        return _write_table(home / table, pool, mixtures, jobs)


def _require_torch(machine: Machine) -> None:
    try:
        import torch
    except ImportError:
        raise MixtureError(missing_extra("torch")) from None
    if machine.device != "cpu" and not torch.cuda.is_available():
        hint = "--device cpu, or a torch built for this machine's GPU"
        raise MixtureError(explain_mismatch("--device", wanted="a device torch can use", found=machine.device, hint=hint))


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the folder: the lock goes with the process, however it ends."""
    with (home / "work" / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StorageError(
                f"{home}: another process trains proxies here\n  try:    wait for it, or another --out"
            ) from None
        yield


def _pool(home: Path, where: Sequence[str], settings: ProxySettings, column: str) -> Pool:
    """The tokens of the folder, or of the text where there are none yet. What was tokenised is not read again."""
    files = text_files(where)
    given = {
        "settings": {k: v for k, v in asdict(settings).items() if k != "stack"},
        "column": column,
        "text": [[path.name, path.stat().st_size] for path in files],
    }
    facts = home / "proxies.json"
    if facts.exists():
        _require_same(home, json.loads(facts.read_text(encoding="utf-8")), given)
        return load_pool(home / "work")
    domains = read_domains(files, column, settings.pool_mb * 1e6)
    tokenizer = tokenizer_for(settings, domains)
    build_pool(settings, domains, tokenizer).save(home / "work")
    tokenizer.save(str(home / "tokenizer.json"))
    Folder(str(home)).replace(facts.name, json.dumps(given, indent=1, ensure_ascii=False).encode() + b"\n")
    return load_pool(home / "work")


def _require_same(home: Path, there: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    known = {**there["settings"], "column": there["column"], "text": there["text"]}
    now = {**given["settings"], "column": given["column"], "text": given["text"]}
    for name in now:
        if known.get(name) != now[name]:
            wanted = f"{name} as in its proxies: {known.get(name)!r}"
            hint = "another --out for other proxies: losses of different ones do not compare"
            raise StorageError(explain_mismatch(str(home), wanted=wanted, found=repr(now[name]), hint=hint))


def _members(pool: Pool, mixtures: Mixtures, settings: ProxySettings) -> list[Member]:
    """Mixtures over the pool's domains, in their order. Raises MixtureError where one asks for a domain without text."""
    from curation.mixture.proxies_group import Member

    for name in mixtures.domains:
        if name not in pool.names and mixtures.weights[:, mixtures.domains.index(name)].any():
            raise MixtureError(unknown_domain(name, pool.names, "the text"))
    places = [mixtures.domains.index(name) if name in mixtures.domains else -1 for name in pool.names]
    sums = mixtures.weights.sum(1, keepdims=True)
    weights = np.where(np.array(places) >= 0, mixtures.weights[:, places], 0.0) / sums
    return [
        Member(run, settings.seed + seed, tuple(row))
        for run, seed, row in zip(mixtures.runs, mixtures.seeds, weights.tolist(), strict=True)
    ]


def _jobs(home: Path, pool: Pool, members: Sequence[Member], settings: ProxySettings, machine: Machine) -> list[Job]:
    """Groups in order; their files are named after everything that their rows depend on."""
    import torch

    from curation.mixture.proxies_work import Job

    common = json.dumps([asdict(settings), pool.digest(), machine.device, torch.__version__], sort_keys=True)
    jobs = []
    for start in range(0, len(members), settings.stack):
        group = tuple(members[start : start + settings.stack])
        told = json.dumps([common, [[member.seed, member.weights] for member in group]])
        name = f"group-{start:05d}-{hashlib.blake2b(told.encode(), digest_size=8).hexdigest()}"
        jobs.append(Job(group, home / "work" / f"{name}.json", home / "work" / f"{name}.pt"))
    return jobs


def _announce(
    pool: Pool, members: Sequence[Member], jobs: Sequence[Job], settings: ProxySettings, machine: Machine,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Tell what is about to be done: sizes, FLOPs, the time it will take after a few steps' trial, domains read often."""
    from curation.mixture.proxies_work import trial_rate

    open_jobs = [job for job in jobs if not job.rows.exists()]
    done = len(members) - sum(len(job.members) for job in open_jobs)
    say(cost(settings, len(members)) + (f"; {done} are done" if done else ""))
    if open_jobs:
        at_once = min(machine.processes, len(open_jobs), len(os.sched_getaffinity(0)))
        rate = trial_rate(settings, pool, open_jobs[0].members, machine.device) * at_once
        evaluated = len(pool.names) * settings.eval_sequences * settings.context / FORWARD_SHARE
        tokens = (settings.tokens + evaluated) * sum(len(job.members) for job in open_jobs)
        speed = f"{rate:,.0f} tokens/s, {rate * settings.flops_a_token / 1e9:,.0f} GFLOP/s"
        say(f"about {duration(tokens / rate)} at {speed} in {machine.processes} process(es) on {machine.device}")
    epochs = epochs_of(pool, settings, np.array([member.weights for member in members])).max(0)
    for name, most in zip(pool.names, epochs, strict=True):
        if most > MANY_EPOCHS:
            say(f"warning: a proxy reads {name} {most:.1f} times; fewer steps, or more of its text, compare better")


def duration(seconds: float) -> str:
    """Seconds as 45 s, 12 min or 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _run_all(home: Path, jobs: Sequence[Job], settings: ProxySettings, machine: Machine, say: Callable[[str], None]) -> None:
    from curation.mixture.proxies_work import run_jobs

    meter = _Meter(settings, {str(job.rows): len(job.members) for job in jobs}, say)
    run_jobs(home, jobs, settings, machine.device, min(machine.processes, len(jobs)), machine.checkpoint_s, meter.hear)


class _Meter:
    """Says every so often how far all groups are and how long they will still take."""

    every_s = 15.0

    def __init__(self, settings: ProxySettings, sizes: Mapping[str, int], say: Callable[[str], None]) -> None:
        self._settings, self._sizes, self._say = settings, sizes, say
        self._steps: dict[str, int] = {}
        self._first: dict[str, int] = {}
        self._begun = self._said = time.monotonic()

    def hear(self, job: str, step: int) -> None:
        """A group has done so many steps; those before the first report were done by an earlier process."""
        self._first.setdefault(job, step - 1)
        self._steps[job] = step
        now = time.monotonic()
        if now - self._said >= self.every_s:
            self._said = now
            self._say(self.line(now))

    def line(self, now: float) -> str:
        steps = self._settings.steps
        all_steps = steps * sum(self._sizes.values())
        reached = sum(self._sizes[job] * step for job, step in self._steps.items())
        here = sum(self._sizes[job] * (step - self._first[job]) for job, step in self._steps.items())
        finished = sum(self._sizes[job] for job, step in self._steps.items() if step >= steps)
        rate = max(here, 1) / max(now - self._begun, 1e-9)
        tokens = rate * self._settings.batch * self._settings.context
        left = duration((all_steps - reached) / rate)
        trained = f"{finished} of {sum(self._sizes.values())} trained"
        return f"proxies: {trained}, {reached / all_steps:.0%}, {tokens:,.0f} tokens/s, {left} left"


def _write_table(path: Path, pool: Pool, mixtures: Mixtures, jobs: Sequence[Job]) -> Path:
    """The rows of all groups in the order of the mixtures; the same bytes whenever and however often they were made."""
    rows: list[dict[str, Any]] = [row for job in jobs for row in json.loads(job.rows.read_text(encoding="utf-8"))]
    columns: dict[str, Any] = {"run": list(mixtures.runs), "seed": list(mixtures.seeds)}
    shares = np.array([member.weights for job in jobs for member in job.members])
    chosen = [j for j, name in enumerate(pool.names) if name in mixtures.domains]
    columns |= {WEIGHT + pool.names[j]: shares[:, j] for j in chosen}
    losses = np.array([row["bits_a_byte"] for row in rows], dtype=np.float64)
    columns |= {LOSS + name: losses[:, j] for j, name in enumerate(pool.names)}
    columns["training_loss"] = [row["training_loss"] for row in rows]
    columns["diverged_at"] = [row["diverged_at"] or None for row in rows]
    lost = sum(1 for row in rows if row["diverged_at"])
    if lost:
        logger.warning("%d of %d proxies diverged: their rows are marked in diverged_at and have no losses", lost, len(rows))
    frame = pl.DataFrame(columns, schema_overrides={"diverged_at": pl.Int64, "training_loss": pl.Float64})
    frame, stream = frame.with_columns(pl.col(pl.Float64).fill_nan(None)), io.BytesIO()
    frame.write_parquet(stream) if path.suffix == ".parquet" else frame.write_csv(stream)
    Folder(str(path.parent)).replace(path.name, stream.getvalue())
    return path
