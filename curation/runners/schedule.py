"""Decide what starts next on a cluster: tasks for plain units, pools of actors for units with models.

It knows no cluster: `Host` starts things and tells what ended, be it Ray or a simulation of a thousand cores. The driver
holds handles and never data; few units are under way at a time, however many there are.

Units of several segments are under way at once, so the rules are about who may hold cores:

- tasks are handed over in the order of their segments, AHEAD for each that can run at once;
- a pool with an accelerator opens with its first unit, for cores are not what it competes for; it leaves one to tasks;
- a pool without one takes the cores that tasks no longer need, and grows as they end;
- only actors that are up are given units: one that finds no place waits, and nothing waits for it;
- a pool to which no unit will come is closed, and so is an idle one that holds what earlier units wait for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from curation.errors import RunStopped, explain_mismatch
from curation.plan import Unit
from curation.runners.ready import Job, Ready

ATTEMPTS = 4
"""How often a unit may lose its worker or node before the run stops."""

AHEAD = 2
"""Units under way for each one that can run at once: the next is there when a worker is free."""

STALL_SECONDS = 600.0
"""After so long without an end, idle pools give back what they hold."""

MOST_ACTORS = 1 << 20

Handle = Hashable
Actor = Hashable


@dataclass(frozen=True)
class Needs:
    """What a unit needs of one node: cores, accelerators (a fraction shares one), bytes of memory, 0 for any."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0

    def fits(self, node: Mapping[str, float]) -> int:
        """How many fit on an empty node."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        return int(min((node.get(kind, 0) // amount for kind, amount in wanted.items() if amount), default=AHEAD))


@dataclass(frozen=True)
class Lost:
    """A unit's worker or node went away: no fault of the unit."""

    why: str


class Host(Protocol):
    """What a scheduler needs of a cluster."""

    def nodes(self) -> Sequence[Mapping[str, float]]:
        """What each node that is up has in all: CPU, GPU, memory in bytes."""
        ...

    def needs(self, unit: Unit) -> Needs: ...

    def has_models(self, unit: Unit) -> bool:
        """Whether a unit goes to an actor, which holds its models."""
        ...

    def run(self, job: Job) -> Handle:
        """Start a task."""
        ...

    def open(self, job: Job) -> tuple[Actor, Handle]:
        """Start an actor for units like this one; the handle is done when it is up."""
        ...

    def ask(self, actor: Actor) -> Handle:
        """A handle that is done when an actor is up again."""
        ...

    def give(self, actor: Actor, job: Job) -> Handle:
        """Have an actor run a unit."""
        ...

    def stop(self, actor: Actor) -> None: ...

    def wait(self, handles: Sequence[Handle], seconds: float) -> Sequence[Handle]:
        """Those that are done, once one is; none after so many seconds."""
        ...

    def result(self, handle: Handle, job: Job | None) -> dict | Lost | None:
        """A unit's commit record, or None for an actor that is up; raises what the unit raised."""
        ...


@dataclass
class _Pool:
    """The actors of one segment: how many units each has under way, and which are not up."""

    needs: Needs
    given: dict[Actor, int] = field(default_factory=dict)
    starting: set[Actor] = field(default_factory=set)
    failed: int = 0

    @property
    def busy(self) -> int:
        return sum(self.given.values())

    @property
    def up(self) -> list[Actor]:
        return [actor for actor in self.given if actor not in self.starting]

    def free(self) -> Actor | None:
        """The actor that is up and has the fewest units under way, if it may have another."""
        least = min(self.up, key=self.given.__getitem__, default=None)
        return least if least is not None and self.given[least] < AHEAD else None


@dataclass(frozen=True)
class _Started:
    """What a handle stands for: a unit's run, or the start of an actor (no job)."""

    segment: int
    job: Job | None
    actor: Actor | None = None
    cpus: float = 0.0


class Schedule:
    """Runs the units of a `Ready` on a host. `peak`: most handles held at once."""

    def __init__(self, host: Host, ready: Ready) -> None:
        self._host, self._ready = host, ready
        self._started: dict[Handle, _Started] = {}
        self._pools: dict[int, _Pool] = {}
        self._tasks: Counter[int] = Counter()
        self._task_cores = 0.0
        self._nodes: Sequence[Mapping[str, float]] = ()
        self._fits: dict[Needs, int] = {}
        self._cores = 0.0
        self.peak = 0

    def records(self) -> Generator[dict, None, None]:
        """Yield each commit record as its unit ends; what becomes ready meanwhile is run too."""
        try:
            while True:
                self._hand_over()
                self.peak = max(self.peak, len(self._started))
                if not self._started and not len(self._ready):
                    return
                done = self._host.wait(list(self._started), STALL_SECONDS)
                for handle in done:
                    record = self._ended(handle)
                    if record is not None:
                        yield record
                self._close_pools(stalled=not done)
        finally:
            for pool in self._pools.values():
                for actor in pool.given:
                    self._host.stop(actor)

    def under_way(self) -> list[Handle]:
        """Handles of tasks that were started and have not ended."""
        return [handle for handle, started in self._started.items() if started.actor is None]

    # -- what starts

    def _hand_over(self) -> None:
        self._look()
        for segment, waiting in self._ready.waiting().items():
            job = self._ready.peek(segment)
            needs = self._host.needs(job.unit)
            fit = self._fit(needs)
            if self._host.has_models(job.unit):
                self._fill_pool(segment, job, needs, fit)
                continue
            for _ in range(min(waiting, AHEAD * fit - self._tasks.total())):
                self._start_task(segment, needs)
        if len(self._ready) and not self._started:
            job = self._ready.peek(min(self._ready.waiting()))
            raise no_place(job.unit.name, self._host.needs(job.unit), self._nodes)

    def _look(self) -> None:
        """Count again when the nodes are others."""
        nodes = self._host.nodes()
        if nodes is not self._nodes:
            self._nodes, self._fits = nodes, {}
            self._cores = sum(node.get("CPU", 0) for node in nodes)

    def _fit(self, needs: Needs) -> int:
        """How many that need so much fit on all nodes."""
        if needs not in self._fits:
            self._fits[needs] = sum(needs.fits(node) for node in self._nodes)
        return self._fits[needs]

    def _start_task(self, segment: int, needs: Needs) -> None:
        job = self._ready.take(segment)
        assert job is not None
        self._started[self._host.run(job)] = _Started(segment, job, cpus=needs.cpus)
        self._tasks[segment] += 1
        self._task_cores += needs.cpus

    def _fill_pool(self, segment: int, job: Job, needs: Needs, fit: int) -> None:
        pool = self._pools.setdefault(segment, _Pool(needs))
        wanted = -(-(self._ready.waiting()[segment] + pool.busy) // AHEAD)
        more = min(wanted, fit) - len(pool.given)
        for _ in range(min(more, self._room(needs)) if more > 0 else 0):
            actor, handle = self._host.open(job)
            pool.given[actor] = 0
            pool.starting.add(actor)
            self._started[handle] = _Started(segment, None, actor)
        while (actor := pool.free()) is not None and (taken := self._ready.take(segment)) is not None:
            pool.given[actor] += 1
            self._started[self._host.give(actor, taken)] = _Started(segment, taken, actor)

    def _room(self, needs: Needs) -> int:
        """How many more actors that need so much the tasks leave cores for."""
        free = self._cores - sum(pool.needs.cpus * len(pool.given) for pool in self._pools.values())
        if needs.gpus:
            free -= min(1.0, self._task_cores)
        elif any(not self._host.has_models(self._ready.peek(lane).unit) for lane in self._ready.waiting()):
            return 0
        else:
            free -= min(self._task_cores, self._cores)
        return int(free // needs.cpus) if needs.cpus else MOST_ACTORS

    # -- what ends

    def _ended(self, handle: Handle) -> dict | None:
        started = self._started.pop(handle)
        outcome = self._host.result(handle, started.job)
        if started.actor is None:
            self._tasks[started.segment] -= 1
            self._task_cores -= started.cpus
        else:
            self._actor_ended(started, outcome)
        if isinstance(outcome, Lost) and started.job:
            self._ready.again(started.job, outcome.why, ATTEMPTS)
        return outcome if isinstance(outcome, dict) else None

    def _actor_ended(self, started: _Started, outcome: dict | Lost | None) -> None:
        """A unit of an actor ended, or its start did."""
        pool, actor = self._pools[started.segment], started.actor
        if started.job and actor in pool.given:
            pool.given[actor] -= 1
        if outcome is None:
            pool.starting.discard(actor)
        elif isinstance(outcome, Lost) and actor not in pool.starting and actor in pool.given:
            # It comes back by itself where there is a place for it; until then it is given nothing.
            pool.starting.add(actor)
            self._started[self._host.ask(actor)] = _Started(started.segment, None, actor)
        elif isinstance(outcome, Lost) and started.job is None:
            pool.failed += 1
            self._host.stop(actor)
            pool.given.pop(actor, None)
            pool.starting.discard(actor)
            if pool.failed >= ATTEMPTS:
                raise RunStopped(
                    f"workers for segment {started.segment} could not be started {ATTEMPTS} times: {outcome.why}\n"
                    "  try:    look at the nodes' memory and logs, then the same command: finished units are kept"
                )

    def _close_pools(self, stalled: bool) -> None:
        """Close pools to which no unit will come; idle ones that hold what earlier units wait for; all idle ones when nothing
        has ended for long."""
        if not self._pools:
            return
        waiting = self._ready.waiting()
        tasks = self._tasks.total() or any(not self._host.has_models(self._ready.peek(lane).unit) for lane in waiting)
        for segment, pool in sorted(self._pools.items(), reverse=True):
            if pool.busy or waiting.get(segment):
                continue
            held = sum(other.needs.cpus * len(other.given) for other in self._pools.values())
            to_come = any(lane < segment for lane in waiting) or any(n for lane, n in self._tasks.items() if lane < segment)
            to_come = to_come or any(other.busy for lane, other in self._pools.items() if lane < segment)
            starved = any(waiting.get(lane) and not other.up for lane, other in self._pools.items() if lane < segment)
            if stalled or not to_come or starved or (tasks and self._cores - held < 1):
                for actor in pool.given:
                    self._host.stop(actor)
                self._started = {h: s for h, s in self._started.items() if s.actor not in pool.given}
                del self._pools[segment]


def no_place(what: str, needs: Needs, nodes: Sequence[Mapping[str, float]], hint: str = "a larger node") -> RunStopped:
    """The error of a unit or stage that no node can run."""
    wanted = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory}
    most = {kind: max((node.get(kind, 0) for node in nodes), default=0) for kind in wanted}
    return RunStopped(
        explain_mismatch(
            f"no node of the cluster can run {what}",
            wanted=", ".join(_amount(kind, amount) for kind, amount in wanted.items() if amount),
            found=f"{len(nodes)} nodes, the largest with " + ", ".join(_amount(kind, n) for kind, n in most.items()),
            hint=hint,
        )
    )


def _amount(kind: str, amount: float) -> str:
    return f"{amount / 2**30:.1f} GiB of memory" if kind == "memory" else f"{kind} {amount:g}"
