"""A worker that dies while an encoder scores: the run goes on, or the same command again does, and ends with the same bytes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_stages import Lines
from small_encoders import encoder_card, small_bert
from small_models import BAD, GOOD
from test_engine import snapshot

pytest.importorskip("transformers", reason="the extra `neural` is not installed")

from curation.pipeline import Pipeline
from curation.runners.choose import executor_maker
from curation.runners.drive import run_pipeline
from curation.scorers.classify import Classify
from curation.sinks.parquet import Parquet
from curation.stage import Apply

BATCHES = 3
"""A process dies at this batch of the encoder: in the middle of a unit."""


class Mortal:
    """An encoder whose process ends at its third batch, as often as there are files named `life-*` in `lives`."""

    def __init__(self, model: Any, lives: str) -> None:
        self._model, self._lives, self._passes = model, lives, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def run(self, tokens: np.ndarray, mask: np.ndarray) -> Any:
        self._passes += 1
        if self._passes == BATCHES:
            for life in sorted(Path(self._lives).glob("life-*")):
                try:
                    life.unlink()
                except FileNotFoundError:
                    continue  # another worker took it
                os.kill(os.getpid(), signal.SIGKILL)
        return self._model.run(tokens, mask)


@dataclass(frozen=True)
class MortalClassify(Classify):
    """Classify with a Mortal encoder."""

    lives: str = ""

    def bind(self, models: Mapping[str, Path]) -> Apply:
        apply: Any = super().bind(models)
        for served in apply._server._served:
            served.model = Mortal(served.model, self.lives)
        return apply


def recipe(folder: Path) -> Pipeline:
    stage = MortalClassify(card=str(folder / "mine.toml"), lives=str(folder))
    return Pipeline("killed", Lines(piece_bytes=900), (stage,), Parquet(target_mb=0.002))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An encoder, and an input of six shards of a dozen lines of many lengths."""
    small_bert(tmp_path / "weights", ["a", "b", "c"])
    encoder_card(tmp_path, "mine", "weights", ["a", "b", "c"])
    words = (GOOD + " " + BAD).split()
    lines = [" ".join(words[i % 7 : 7 + i % 23]) for i in range(72)]
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in lines))
    return tmp_path


def run(folder: Path, out: str, runner: str = "local", workers: int = 1) -> None:
    run_pipeline(recipe(folder), [str(folder / "in.txt")], str(folder / out), executor_maker(runner, workers=workers))


def committed(out: Path) -> dict[str, int]:
    """Commit record -> inode: a unit that ran again would have another."""
    return {p.name: p.stat().st_ino for p in (out / "work/commits").glob("*.json")}


@pytest.fixture
def wanted(folder: Path) -> dict[str, bytes]:
    """Files of a run that nothing disturbed."""
    run(folder, "whole")
    found = snapshot(folder / "whole")
    assert len(committed(folder / "whole")) > 6 and found
    return found


def test_the_run_dies_and_the_same_command_resumes(folder: Path, wanted: dict[str, bytes]) -> None:
    (folder / "life-0").touch()
    process = multiprocessing.get_context("spawn").Process(target=run, args=(folder, "out"))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL and not list(folder.glob("life-*"))
    before = committed(folder / "out")
    assert 0 < len(before) < len(committed(folder / "whole"))
    run(folder, "out")
    after = committed(folder / "out")
    assert {name: after[name] for name in before} == before, "finished units were repeated"
    assert snapshot(folder / "out") == wanted


def test_a_worker_dies_and_the_run_goes_on(folder: Path, wanted: dict[str, bytes], caplog: pytest.LogCaptureFixture) -> None:
    (folder / "life-0").touch()
    run(folder, "out", workers=2)
    assert "a worker was killed" in caplog.text and not list(folder.glob("life-*"))
    assert snapshot(folder / "out") == wanted


@pytest.fixture
def cluster() -> Iterator[None]:
    """A cluster of this machine's own, that ends with the test."""
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    environment = {"env_vars": {"POLARS_MAX_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}}
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield
    ray.shutdown()


def test_an_actor_of_a_cluster_dies_and_the_run_goes_on(cluster: None, folder: Path, wanted: dict[str, bytes]) -> None:
    (folder / "life-0").touch()
    run(folder, "out", "ray", workers=2)
    assert not list(folder.glob("life-*")) and snapshot(folder / "out") == wanted
