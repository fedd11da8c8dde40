"""Stages before the extractor that see all documents: killed and resumed, and over real archives."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_crash import committed, finish
from test_engine import make_inputs, snapshot
from test_heads import entered
from test_real_archives import FOLDERS

from curation.dedup.payload import Payload
from curation.dedup.url_key import UrlKey
from curation.extractors.resiliparse import Resiliparse
from curation.faults import POINTS
from curation.filters.url import Url
from curation.inspect.shards import documents, dropped
from curation.pipeline import Pipeline
from curation.runners.drive import RunResult, run_pipeline
from curation.runners.local import LocalExecutor
from curation.sinks.parquet import Parquet
from curation.sources.warc import Warc
from curation.stage import Stage

# -- crashes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], dict[str, int]]:
    folder = tmp_path_factory.mktemp("undisturbed_heads")
    inputs = make_inputs(folder, files=2, lines=40)
    assert finish(inputs, folder / "out", 1, recipe="heads") == 0
    units: dict[str, int] = {}
    for name in committed(folder / "out"):
        units[name.split("-")[0] + name.split("-")[1]] = units.get(name.split("-")[0] + name.split("-")[1], 0) + 1
    return inputs, snapshot(folder / "out"), units


@pytest.mark.parametrize("segment", ["s00heads", "s02heads", "s04read"])
@pytest.mark.parametrize("point", POINTS[:4])
def test_the_driver_is_killed_in_the_heads_and_in_the_reading(segment: str, point: str, undisturbed, tmp_path: Path) -> None:
    inputs, wanted, units = undisturbed
    before = sum(number for kind, number in units.items() if kind < segment and kind.startswith("s0"))
    assert units[segment] >= 3
    assert finish(inputs, tmp_path / "out", 1, fault=f"{point}:{before + 3}", recipe="heads") == -signal.SIGKILL
    killed = committed(tmp_path / "out")
    assert any(name.startswith(segment[:3] + "-" + segment[3:]) for name in killed)
    assert finish(inputs, tmp_path / "out", 1, recipe="heads") == 0
    assert snapshot(tmp_path / "out") == wanted
    after = committed(tmp_path / "out")
    assert {name: after[name] for name in killed} == killed, "finished units were repeated"


# -- real archives


def archives(data_folder: Path, tmp_path: Path) -> list[str]:
    """Every real archive, and a copy of the best known ones under another path."""
    copy = tmp_path / "again"
    shutil.copytree(data_folder / "warc-commoncrawl", copy / "warc-commoncrawl")
    shutil.copytree(data_folder / "warc-general" / "dolma", copy / "dolma")
    for path in copy.rglob("*"):
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    return [*(str(data_folder / name) for name in FOLDERS), str(copy)]


@pytest.mark.parametrize("judges", [(Payload(),), (UrlKey(keep="first"),), (UrlKey(), Payload(keep="oldest"))])
def test_real_archives(judges: Sequence[Stage], data_folder: Path, tmp_path: Path) -> None:
    inputs = archives(data_folder, tmp_path)

    def curate(name: str, *stages: Stage, workers: int = 1, shard_mb: float = 128) -> RunResult:
        recipe = Pipeline("heads", Warc(shard_mb=shard_mb), stages, Parquet())
        return run_pipeline(recipe, inputs, str(tmp_path / name), lambda p, f, o: LocalExecutor(p, f, o, workers=workers))

    before = curate("before", Url(), *judges, Resiliparse())
    behind = curate("behind", Url(), Resiliparse(), *judges)
    columns = ["doc", "url", "text", "payload_digest"]
    kept = documents(str(tmp_path / "before"), columns)
    assert entered(before, "resiliparse") < 0.8 * entered(behind, "resiliparse")
    assert kept.equals(documents(str(tmp_path / "behind"), columns))
    assert kept.height > 150
    curate("small", Url(), *judges, Resiliparse(), workers=2, shard_mb=0.3)
    assert documents(str(tmp_path / "small"), columns).equals(kept)
    fallen = ["doc", "drop_stage", "drop_reason", "drop_detail"]
    assert dropped(str(tmp_path / "small"), fallen).equals(dropped(str(tmp_path / "before"), fallen))
