"""A cluster of several nodes on this machine: nodes and drivers are killed in the middle of a run, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from engine_stages import Lines, Score
from test_crash import committed
from test_engine import make_inputs, pipeline, snapshot
from test_engine import run as run_locally

from curation.dedup.minhash import Minhash
from curation.pipeline import Pipeline
from curation.runners.choose import executor_maker
from curation.runners.drive import run_pipeline
from curation.scorers.language import Language as LanguageScorer
from curation.stage import Apply, ModelRef

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
from ray.cluster_utils import Cluster  # noqa: E402


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that runs no unit and three nodes of one core each."""
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    workers = [nodes.add_node(num_cpus=1) for _ in range(3)]
    ray.init(address=nodes.address, log_to_driver=False, runtime_env={"env_vars": {"POLARS_MAX_THREADS": "1"}})
    nodes.wait_for_nodes()
    yield nodes, workers
    ray.shutdown()
    nodes.shutdown()


@dataclass(frozen=True)
class Slow(Score):
    """Takes its time, so that a node can be killed in the middle of it."""

    seconds: float = 0.3

    def bind(self, models: Mapping[str, Path]) -> Apply:
        apply = super().bind(models)

        def slow(batch: pl.DataFrame) -> pl.DataFrame:
            time.sleep(self.seconds)
            return apply(batch)

        return slow


@dataclass(frozen=True)
class SlowModel(Slow):
    """The same with a model, so that it runs on actors."""

    @property
    def models(self) -> tuple[ModelRef, ...]:
        return LanguageScorer().models


@dataclass(frozen=True)
class SlowMatch(Minhash):
    """Near-duplicates whose matches take their time."""

    def match(self, partition: pl.DataFrame):
        time.sleep(0.2)
        return super().match(partition)


RECIPES: Mapping[str, Pipeline] = {
    "rows": pipeline(Slow(), source=Lines(200)),
    "match": pipeline(SlowMatch(share_of=()), source=Lines(200)),
    "model": pipeline(SlowModel(), source=Lines(200)),
}
STEP = {"rows": "s01-rows", "match": "s01-match", "model": "s01-rows"}


@pytest.mark.parametrize("phase", RECIPES)
def test_a_node_is_killed(phase: str, cluster: Any, tmp_path: Path) -> None:
    _, workers = cluster
    inputs, out, recipe = make_inputs(tmp_path), tmp_path / "out", RECIPES[phase]
    before: dict[str, int] = {}
    killed: list[int] = []

    def kill() -> None:
        while sum(name.startswith(STEP[phase]) for name in before) < 2:
            time.sleep(0.02)
            before.update(committed(out))
        raylets = [process.pid for kind, process in workers[0].live_processes() if kind == "raylet"]
        os.kill(raylets[0], signal.SIGKILL)
        killed.extend(raylets)

    killer = threading.Thread(target=kill)
    killer.start()
    run_pipeline(recipe, [str(inputs)], str(out), executor_maker("ray"))
    killer.join()
    assert len(killed) == 1 and len(before) < len(committed(out))
    run_locally(recipe, inputs, tmp_path / "local")
    assert snapshot(out) == snapshot(tmp_path / "local")
    after = committed(out)
    assert {name: after[name] for name in before} == before, "finished units were not repeated"
    assert len(after) == len(committed(tmp_path / "local"))


DRIVER = """
import sys
from pathlib import Path
import ray
from test_ray_nodes import RECIPES
from curation.runners.choose import executor_maker
from curation.runners.drive import run_pipeline

phase, inputs, out, address = sys.argv[1:]
ray.init(address=address, log_to_driver=False)
run_pipeline(RECIPES[phase], [inputs], out, executor_maker("ray"))
"""


def test_the_driver_is_killed_and_started_again(cluster: Any, tmp_path: Path) -> None:
    nodes, _ = cluster
    inputs, out = make_inputs(tmp_path), tmp_path / "out"
    command = [sys.executable, "-c", DRIVER, "rows", str(inputs), str(out), nodes.address]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    driver = subprocess.Popen(command, env=environment)
    before: dict[str, int] = {}
    while sum(name.startswith("s01-rows") for name in before) < 2:
        assert driver.poll() is None
        time.sleep(0.05)
        before = committed(out) if out.exists() else {}
    driver.kill()
    driver.wait()
    subprocess.run(command, env=environment, check=True)
    run_locally(RECIPES["rows"], inputs, tmp_path / "local")
    assert snapshot(out) == snapshot(tmp_path / "local")
    after = committed(out)
    assert {name: after[name] for name in before} == before
