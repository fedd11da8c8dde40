"""What the Ray runner tells Ray's metrics: read back from the agent's own export, and call by call."""

from __future__ import annotations

import re
import socket
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_stages import Length, Score, Twins
from test_engine import make_inputs, pipeline

from curation.runners.choose import executor_maker
from curation.runners.drive import RunResult, run_pipeline

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

from curation.runners import ray as runner  # noqa: E402


@pytest.fixture(scope="module")
def export() -> Iterator[str]:
    """A cluster of one core, and where its agent exports what it was told."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init(
        address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, _metrics_export_port=port,
        _system_config={"metrics_report_interval_ms": 200}, runtime_env={"env_vars": {"POLARS_MAX_THREADS": "1"}},
    )  # fmt: skip
    yield f"http://127.0.0.1:{port}/metrics"
    ray.shutdown()


def exported(url: str) -> dict[tuple[str, str, str], float]:
    """(metric, title or stage, reason) -> value, of the sums and counts of ours."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return {}
    found: dict[tuple[str, str, str], float] = defaultdict(float)
    for name, tags, value in re.findall(r"^ray_curation_(\w+)\{(.*)\} ([\d.e+]+)$", text, re.M):
        tag = dict(re.findall(r'(\w+)="([^"]*)"', tags))
        assert tag["recipe"] == "engine"
        if not name.endswith("_bucket"):
            found[name.removesuffix("_total"), tag.get("title", tag.get("stage", "")), tag.get("reason", "")] += float(value)
    return dict(found)


def run(inputs: Path, out: Path) -> RunResult:
    recipe = pipeline(Score(), Length(least=3), Twins())
    return run_pipeline(recipe, [str(inputs)], str(out), executor_maker("ray"))


def test_the_agent_exports_what_the_census_counts(export: str, tmp_path: Path) -> None:
    result = run(make_inputs(tmp_path), tmp_path / "out")
    assert result.census is not None
    wanted = {("documents_in", "", ""): 180.0, ("documents_out", "", ""): float(result.census["output"]["documents"])}
    for entry in result.census["stages"]:
        for reason, sums in entry["dropped"].items():
            wanted["dropped", entry["label"], reason] = float(sums["documents"])
    for wave in result.waves:
        wanted["units_done", wave.title, ""] = wanted["unit_seconds_count", wave.title, ""] = float(wave.ran)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = {key: value for key, value in exported(export).items() if key[0] != "unit_seconds_sum"}
        if found == wanted:
            break
        time.sleep(0.3)
    assert found == wanted
    again = run(tmp_path / "in", tmp_path / "out")  # everything is taken over
    assert not sum(wave.ran for wave in again.waves)
    time.sleep(1.5)
    assert {key: value for key, value in exported(export).items() if key[0] != "unit_seconds_sum"} == wanted


def test_heads_and_lost_units(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple] = []

    class Metric:
        def __init__(self, name: str, description: str, *rest) -> None:
            self.name = name
            assert description.endswith(".")

        def set_default_tags(self, tags: dict) -> Metric:
            assert tags == {"recipe": "r"}
            return self

        def inc(self, value: float, tags: dict | None = None) -> None:
            assert value > 0, "Ray refuses to count nothing"
            told.append((self.name, value, *(tags or {}).values()))

        observe = inc

    monkeypatch.setattr(runner.metrics, "Counter", Metric)
    monkeypatch.setattr(runner.metrics, "Histogram", Metric)
    counter = runner.Metrics("r")
    count = {"label": "warc", "rows_in": 7, "reasons": {"bad_status": [2, 0], "never": [0, 0]}}
    record = {"unit": "s00-heads-00000", "seconds": {"wall": 0.0}, "rows_alive": 5, "pieces": [1], "counts": [count]}
    counter.unit("warc", record)
    assert told == [("curation_units_done", 1, "warc"), ("curation_unit_seconds", 1e-3, "warc")]
    told.clear()
    counter.unit("warc", {**record, "unit": "s01-read-00000"})
    assert ("curation_documents_in", 7) in told and ("curation_dropped", 2, "warc", "bad_status") in told
    assert len(told) == 4
    told.clear()
    counter.unit("parquet", {**record, "unit": "sink-00000", "rows_alive": 0, "pieces": [], "counts": []})
    counter.kept("warc", [record])
    counter.lost("warc", "s01-read-00001", "why")
    assert [entry[0] for entry in told] == ["curation_units_done", "curation_unit_seconds", "curation_units_lost"]
