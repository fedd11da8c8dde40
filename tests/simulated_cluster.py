"""A cluster that exists only as numbers, for the scheduler: nodes, tasks that wait for a place, actors that hold one, losses.

Time is simulated: it jumps to the next end. Where nothing can end any more, it jumps by what the scheduler would wait.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from curation.plan import Unit
from curation.runners.ready import Job
from curation.runners.schedule import Lost, Needs


@dataclass
class Node:
    """One machine: what it has, what of it is free, how much slower than others it is."""

    total: dict[str, float]
    slowness: float = 1.0
    free: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.free = dict(self.total)

    def take(self, needs: Needs) -> bool:
        wanted = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory}
        if any(self.free.get(kind, 0) < amount - 1e-9 for kind, amount in wanted.items() if amount):
            return False
        for kind, amount in wanted.items():
            self.free[kind] = self.free.get(kind, 0) - amount
        return True

    def give_back(self, needs: Needs) -> None:
        for kind, amount in (("CPU", needs.cpus), ("GPU", needs.gpus), ("memory", needs.memory)):
            self.free[kind] = self.free.get(kind, 0) + amount


@dataclass
class Worker:
    """An actor: where it is (None: nowhere yet), and its units, of which it runs one at a time."""

    needs: Needs
    node: Node | None = None
    queue: list[tuple[int, Job]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    is_up: bool = False
    gone: bool = False


@dataclass
class SimulatedCluster:
    """`seconds`: how long a unit takes on a usual node. `needs_of`, `modelled`: by unit. `losses`: share of runs that end
    without a result. `start_seconds`: until an actor is up. `fair`: pending tasks and actors find places in order; else in
    any."""

    machines: Sequence[Node]
    seconds: Callable[[Unit], float]
    needs_of: Callable[[Unit], Needs] = lambda unit: Needs()
    modelled: Callable[[Unit], bool] = lambda unit: False
    losses: float = 0.0
    start_seconds: float = 0.0
    fair: bool = True
    seed: int = 0
    record_of: Callable[[Unit], dict] = lambda unit: {"unit": unit.name}

    def __post_init__(self) -> None:
        self.now = 0.0
        self.busy = 0.0
        self.lost = self.stalls = self.opened = 0
        self.running = self.most_running = 0
        self._random = random.Random(self.seed)
        self._numbers = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._pending: list[tuple[int, Job]] = []
        self._workers: dict[int, Worker] = {}
        self._done: dict[int, dict | Lost | None] = {}
        self._ended: list[int] = []
        self._alive = [node.total for node in self.machines]
        self._next_free = 0
        self._no_room: set[Needs] = set()

    # -- what the scheduler asks

    def nodes(self) -> Sequence[Mapping[str, float]]:
        return self._alive

    def needs(self, unit: Unit) -> Needs:
        return self.needs_of(unit)

    def has_models(self, unit: Unit) -> bool:
        return self.modelled(unit)

    def run(self, job: Job) -> int:
        handle = next(self._numbers)
        self._pending.append((handle, job))
        return handle

    def open(self, job: Job) -> tuple[int, int]:
        actor = next(self._numbers)
        self._workers[actor] = Worker(self.needs_of(job.unit))
        self.opened += 1
        return actor, self.ask(actor)

    def ask(self, actor: int) -> int:
        handle = next(self._numbers)
        worker = self._workers[actor]
        if worker.is_up:
            self._end(handle, None)
        else:
            worker.asked.append(handle)
        return handle

    def give(self, actor: int, job: Job) -> int:
        handle = next(self._numbers)
        worker = self._workers[actor]
        worker.queue.append((handle, job))
        if len(worker.queue) == 1 and worker.is_up:
            self._start_next(worker)
        return handle

    def stop(self, actor: int) -> None:
        worker = self._workers.pop(actor)
        worker.gone = True
        if worker.node is not None:
            self._leave(worker.node, worker.needs)

    def wait(self, handles: Sequence[int], seconds: float) -> Sequence[int]:
        wanted = set(handles)
        until = self.now + seconds
        self._place()
        while not (found := [h for h in self._ended if h in wanted]):
            if not self._events or self._events[0][0] > until:
                self.now, self.stalls = until, self.stalls + 1
                return []
            self.now = self._events[0][0]
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            self._place()
        self._ended = [h for h in self._ended if h not in wanted]
        return found

    def result(self, handle: int, job: Job | None) -> dict | Lost | None:
        return self._done.pop(handle)

    # -- what happens

    def _end(self, handle: int, outcome: dict | Lost | None) -> None:
        self._done[handle] = outcome
        self._ended.append(handle)

    def _at(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), what))

    def _place(self) -> None:
        """Tasks and actors that wait find nodes."""
        waiting: list[tuple[Needs, Callable[[Node], None]]] = [
            (worker.needs, lambda node, worker=worker: self._settle(worker, node))
            for worker in self._workers.values()
            if worker.node is None
        ]
        if not self.fair:
            waiting += [(self.needs_of(job.unit), lambda node, e=(h, job): self._begin(e, node)) for h, job in self._pending]
            self._random.shuffle(waiting)
            for needs, begin in waiting:
                if (node := self._room(needs)) is not None:
                    begin(node)
            return
        for needs, begin in waiting:
            if (node := self._room(needs)) is not None:
                begin(node)
        while self._pending and (node := self._room(self.needs_of(self._pending[0][1].unit))) is not None:
            self._begin(self._pending[0], node)

    def _room(self, needs: Needs) -> Node | None:
        if needs in self._no_room:
            return None
        for offset in range(len(self.machines)):
            node = self.machines[(self._next_free + offset) % len(self.machines)]
            if node.take(needs):
                self._next_free = (self._next_free + offset) % len(self.machines)
                return node
        self._no_room.add(needs)
        return None

    def _leave(self, node: Node, needs: Needs) -> None:
        node.give_back(needs)
        self._no_room.clear()

    def _begin(self, entry: tuple[int, Job], node: Node) -> None:
        self._pending.remove(entry) if self._pending[0] != entry else self._pending.pop(0)
        handle, job = entry
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        took = self.seconds(job.unit) * node.slowness

        def end() -> None:
            self.running -= 1
            self._leave(node, self.needs_of(job.unit))
            self._end(handle, self._outcome(job, took))

        self._at(took, end)

    def _settle(self, worker: Worker, node: Node) -> None:
        worker.node = node

        def up() -> None:
            worker.is_up = True
            for handle in worker.asked:
                self._end(handle, None)
            worker.asked = []
            if worker.queue:
                self._start_next(worker)

        self._at(self.start_seconds, up)

    def _start_next(self, worker: Worker) -> None:
        handle, job = worker.queue[0]
        assert worker.node is not None
        took = self.seconds(job.unit) * worker.node.slowness
        self.running += 1
        self.most_running = max(self.most_running, self.running)

        def end() -> None:
            self.running -= 1
            if worker.gone:
                return
            worker.queue.pop(0)
            outcome = self._outcome(job, took)
            self._end(handle, outcome)
            if isinstance(outcome, Lost):
                self._restart(worker)
            elif worker.queue:
                self._start_next(worker)

        self._at(took, end)

    def _restart(self, worker: Worker) -> None:
        """A lost actor's other units are lost with it; it looks for a place again."""
        for handle, _ in worker.queue:
            self._end(handle, Lost("its actor died"))
        assert worker.node is not None
        self._leave(worker.node, worker.needs)
        worker.queue, worker.node, worker.is_up = [], None, False

    def _outcome(self, job: Job, took: float) -> dict | Lost:
        self.busy += took
        if self._random.random() < self.losses:
            self.lost += 1
            return Lost("simulated")
        return self.record_of(job.unit)
