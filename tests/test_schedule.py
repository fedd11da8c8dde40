"""What starts when on a cluster, on one that is simulated: every unit once, nothing waits for ever, models load seldom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_cluster import Node, SimulatedCluster

from curation.errors import RunStopped
from curation.plan import Unit
from curation.runners.ready import Job, Ready
from curation.runners.schedule import AHEAD, Needs, Schedule

GIB = 2**30


def chain(cluster: SimulatedCluster, segments: int, shards: int) -> tuple[list[str], Schedule]:
    """Run `segments` units for each shard, each ready once the one before it has ended, as a plan's are."""
    ready = Ready()
    for shard in range(shards):
        ready.add(Job(Unit("rows", 0, shard, "f")))
    schedule = Schedule(cluster, ready)
    names: list[str] = []
    for record in schedule.records():
        names.append(record["unit"])
        segment, shard = int(record["unit"][1:3]), int(record["unit"].rsplit("-", 1)[1])
        if segment + 1 < segments:
            ready.add(Job(Unit("rows", segment + 1, shard, "f")))
    return names, schedule


def of_segment(values: dict[int, Needs]) -> Callable[[Unit], Needs]:
    return lambda unit: values.get(unit.segment, Needs())


MACHINES = st.lists(
    st.builds(lambda cpus, gpus: {"CPU": float(cpus), "GPU": float(gpus)}, st.integers(1, 4), st.integers(0, 2)), max_size=3
).map(lambda rest: [{"CPU": 2.0, "GPU": 1.0}, *rest])
KINDS = st.lists(st.sampled_from(["task", "cpu", "gpu", "half", "wide"]), min_size=1, max_size=5)
NEEDS = {"task": Needs(), "cpu": Needs(), "gpu": Needs(gpus=1), "half": Needs(gpus=0.5), "wide": Needs(cpus=2)}


@settings(max_examples=300, deadline=None)
@given(
    machines=MACHINES,
    kinds=KINDS,
    shards=st.integers(1, 12),
    losses=st.sampled_from([0.0, 0.02]),
    fair=st.booleans(),
    seed=st.integers(0, 9),
)
def test_every_unit_ends_once_whatever_the_cluster(
    machines: list[dict[str, float]], kinds: list[str], shards: int, losses: float, fair: bool, seed: int
) -> None:
    cluster = SimulatedCluster(
        [Node(dict(machine), slowness=1 + i) for i, machine in enumerate(machines)],
        seconds=lambda unit: 1 + unit.number % 3,
        needs_of=of_segment({i: NEEDS[kind] for i, kind in enumerate(kinds)}),
        modelled=lambda unit: kinds[unit.segment] in ("cpu", "gpu", "half"),
        losses=losses,
        start_seconds=5,
        fair=fair,
        seed=seed,
    )
    try:
        names, _ = chain(cluster, len(kinds), shards)
    except RunStopped as error:
        assert losses and "lost its worker 4 times" in str(error)
        return
    assert Counter(names) == {f"s{i:02d}-rows-{n:05d}": 1 for i in range(len(kinds)) for n in range(shards)}
    for node in cluster.machines:
        assert {kind: node.free[kind] for kind in node.total} == pytest.approx(node.total)


def test_a_shard_does_not_wait_for_others_between_segments() -> None:
    slow = {0: 1000.0}
    cluster = SimulatedCluster(
        [Node({"CPU": 2.0})], seconds=lambda unit: slow.get(unit.number, 1.0) if not unit.segment else 1.0
    )
    names, _ = chain(cluster, 3, 50)
    assert names[-3:] == ["s00-rows-00000", "s01-rows-00000", "s02-rows-00000"]
    assert cluster.now == pytest.approx(1002)


def test_an_accelerator_works_while_cores_still_read() -> None:
    cluster = SimulatedCluster(
        [Node({"CPU": 8.0, "GPU": 1.0})],
        seconds=lambda unit: 7.0 if unit.segment == 0 else 0.5,
        needs_of=of_segment({1: Needs(gpus=1)}),
        modelled=lambda unit: unit.segment == 1,
        start_seconds=20,
    )
    chain(cluster, 2, 70)
    assert cluster.opened == 1  # loaded once, though it was idle now and then
    assert cluster.now < 80  # one after the other: 61 s of reading, 20 s to load, 35 s of scoring


def test_models_on_cores_come_after_the_reading() -> None:
    cluster = SimulatedCluster(
        [Node({"CPU": 4.0})], seconds=lambda unit: 1.0, modelled=lambda unit: unit.segment == 1, start_seconds=3
    )
    names, _ = chain(cluster, 2, 40)
    assert cluster.opened == 4
    assert cluster.stalls == 0
    assert cluster.now == pytest.approx(10 + 3 + 10, abs=2)
    assert names.index("s01-rows-00000") > 35


def test_what_nobody_has_is_said_and_not_waited_for() -> None:
    cluster = SimulatedCluster([Node({"CPU": 4.0, "memory": 8.0 * GIB})], seconds=lambda unit: 1.0)
    cluster.needs_of = lambda unit: Needs(memory=64 * GIB)
    with pytest.raises(RunStopped, match=r"no node of the cluster can run s00-rows-00000(?s:.)*64.0 GiB(?s:.)*8.0 GiB"):
        chain(cluster, 1, 3)


def test_the_driver_holds_few_handles() -> None:
    cluster = SimulatedCluster([Node({"CPU": 16.0}) for _ in range(4)], seconds=lambda unit: 1.0)
    _, schedule = chain(cluster, 2, 3000)
    assert schedule.peak <= AHEAD * 64


def test_a_unit_that_kills_its_workers_stops_the_run() -> None:
    cluster = SimulatedCluster([Node({"CPU": 2.0})], seconds=lambda unit: 1.0, losses=1.0)
    with pytest.raises(RunStopped, match="lost its worker 4 times"):
        chain(cluster, 1, 3)
