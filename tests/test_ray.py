"""The Ray runner: the same files as the local one, lost workers and nodes, refusals before any work."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from engine_stages import Length, Lines, Score, Twins, Upper
from test_demo import outputs
from test_engine import make_inputs, pipeline, snapshot
from test_engine import run as run_locally

from curation.dedup.minhash import Minhash
from curation.errors import ContractError, CurationError, RunStopped
from curation.pipeline import Pipeline
from curation.runners.choose import executor_maker
from curation.runners.drive import RunResult, run_pipeline
from curation.stage import Apply, Resources, Stage

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

from curation.runners import ray as runner  # noqa: E402
from curation.runners import schedule  # noqa: E402


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of this machine's own, that ends with the tests."""
    environment = {"env_vars": {"POLARS_MAX_THREADS": "1"}}
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield
    ray.shutdown()


def run(recipe: Pipeline, inputs: Path, out: Path, **options) -> RunResult:
    return run_pipeline(recipe, [str(inputs)], str(out), executor_maker("ray"), **options)


@pytest.mark.parametrize(
    "stages",
    [(Score(), Length(least=3), Twins()), (Upper(), Minhash(share_of=(), partitions=28))],
    ids=["filters and a global stage", "near-duplicates"],
)
def test_the_same_files_as_locally(cluster: None, stages: tuple[Stage, ...], tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    recipe = pipeline(*stages, source=Lines(200))
    here = run_locally(recipe, inputs, tmp_path / "local")
    there = run(recipe, inputs, tmp_path / "ray")
    assert snapshot(tmp_path / "ray") == snapshot(tmp_path / "local")

    def counts(result: RunResult) -> list[tuple]:
        assert result.census is not None
        return [(s["label"], s["in"], s["out"], s["dropped"]) for s in result.census["stages"]]

    assert counts(here) == counts(there)
    again = run(recipe, inputs, tmp_path / "ray")
    assert all(wave.ran == 0 for wave in again.waves)


def test_the_demo_crawl_with_its_model_on_actors(cluster: None, tmp_path: Path) -> None:
    from curation.demo.build_warc import build_crawl
    from curation.recipe import load_recipe, with_settings

    build_crawl(tmp_path / "crawl")
    recipe = with_settings(load_recipe("demo"), ["warc.shard_mb=0.03"])
    assert any(stage.models for stage in recipe.stages)
    for name in ("local", "ray"):
        run_pipeline(recipe, [str(tmp_path / "crawl")], str(tmp_path / name), executor_maker(name, workers=1))
    assert outputs(tmp_path / "ray") == outputs(tmp_path / "local")


@dataclass(frozen=True)
class Breaking(Score):
    """Loses a row."""

    def bind(self, models: Mapping[str, Path]) -> Apply:
        apply = super().bind(models)
        return lambda batch: apply(batch)[1:]


def test_a_broken_contract_ends_the_run_and_is_not_tried_again(cluster: None, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="broke its contract"):
        run(pipeline(Breaking()), make_inputs(tmp_path), tmp_path / "out")


@dataclass(frozen=True)
class Dying(Score):
    """Ends its process at the first batch that any process has, as often as there are files named `life-*` in `lives`."""

    lives: str = ""

    def bind(self, models: Mapping[str, Path]) -> Apply:
        apply = super().bind(models)

        def dying(batch: pl.DataFrame) -> pl.DataFrame:
            for life in sorted(Path(self.lives).glob("life-*")):
                try:
                    life.unlink()
                except FileNotFoundError:
                    continue
                os.kill(os.getpid(), signal.SIGKILL)
            return apply(batch)

        return dying


@pytest.mark.parametrize(("lives", "ends"), [(2, True), (40, False)])
def test_lost_workers(cluster: None, lives: int, ends: bool, tmp_path: Path) -> None:
    for number in range(lives):
        (tmp_path / f"life-{number:02d}").touch()
    inputs = make_inputs(tmp_path)
    recipe = pipeline(Dying(lives=str(tmp_path)))
    if not ends:
        with pytest.raises(RunStopped, match=f"lost its worker {schedule.ATTEMPTS} times"):
            run(recipe, inputs, tmp_path / "out")
        for life in tmp_path.glob("life-*"):
            life.unlink()
    run(recipe, inputs, tmp_path / "out")
    assert not list(tmp_path.glob("life-*"))
    run_locally(recipe, inputs, tmp_path / "local")
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "local")


@dataclass(frozen=True)
class Accelerated(Score):
    """Asks for a GPU unless its device is the processor."""

    device: str = "cuda"

    @property
    def resources(self) -> Resources:
        return Resources(gpus=0.5 if self.device == "cuda" else 0)


def test_a_gpu_that_is_nowhere_is_refused_before_any_work(cluster: None, tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    with pytest.raises(RunStopped, match=r"'accelerated'(.|\n)*GPU 0.5(.|\n)*--set accelerated.device=cpu"):
        run(pipeline(Accelerated()), inputs, tmp_path / "out")
    assert not list((tmp_path / "out/work/commits").iterdir())
    run(pipeline(Accelerated(device="cpu")), inputs, tmp_path / "out")


def test_what_a_unit_asks_for() -> None:
    assert runner.needs_of([Score(), Accelerated(), Accelerated()]) == schedule.Needs(1.0, gpus=1.0)
    assert runner.needs_of([Minhash(memory_gb=4)]) == schedule.Needs(1.0, memory=4 << 30)


def test_other_versions_are_refused(cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "versions_of", lambda recipe: {"polars": "0.0.1"})
    with pytest.raises(RunStopped, match=r"other library versions(.|\n)*0\.0\.1"):
        run(pipeline(Score()), make_inputs(tmp_path), tmp_path / "out")


def test_an_open_cluster_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runner, "TOKEN_FILE", tmp_path / "auth_token")
    for name in runner.TOKEN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for address in ("192.0.2.7:6379", "ray://192.0.2.7:10001"):
        with pytest.raises(CurationError, match=r"another machine(.|\n)*RAY_AUTH_TOKEN"):
            runner.check_address(address)
    for address in (None, "auto", "local", "127.0.0.1:6379", "ray://localhost:10001", "[::1]:6379"):
        runner.check_address(address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    runner.check_address("192.0.2.7:6379")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / "auth_token").write_text("secret")
    runner.check_address("192.0.2.7:6379")


def test_names_of_runners() -> None:
    with pytest.raises(CurationError, match="local or ray"):
        executor_maker("slurm")
    with pytest.raises(CurationError, match="belongs to --runner ray"):
        executor_maker("local", address="auto")


def test_a_folder_of_one_process_is_refused(cluster: None, tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="this process only"):
        run_pipeline(pipeline(Score()), [str(make_inputs(tmp_path))], "memory://ray", executor_maker("ray"))


def test_texts_stay_out_of_the_object_store(cluster: None, tmp_path: Path) -> None:
    """What lies in the store while a run goes is a small part of what its documents hold."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("\n".join("word " * 200 + str(i) for i in range(20_000)) + "\n")
    held: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            left = ray.available_resources().get("object_store_memory", 0)
            held.append(ray.cluster_resources()["object_store_memory"] - left)
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run(pipeline(Score(), source=Lines(4_000_000), target_mb=5), tmp_path / "in", tmp_path / "out")
    finally:
        done.set()
        watcher.join()
    assert max(held) < 1e6, "20 MB of text passed through the stages"
