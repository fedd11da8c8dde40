"""Advice on the runner: from the size of the inputs and committed constants alone, never from a clock."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from engine_stages import Length, Lines, Twins
from typer.testing import CliRunner

from curation.cli import app
from curation.inspect import runner_advice as advice
from curation.pipeline import Pipeline
from curation.plan import Plan
from curation.recipe import load_recipe
from curation.sinks.parquet import Parquet
from curation.stage import Input

GB = 10**9


def said(recipe: str, files: int, size: int, cores: int = 2) -> str:
    pipeline = load_recipe(recipe)
    inputs = [Input(n, f"crawl-{n}.warc.gz", "", size, "") for n in range(files)]
    return advice.runner_advice(pipeline, Plan(pipeline, inputs), cores)


def seconds(text: str) -> list[float]:
    """Every duration in a text, in seconds."""
    factor = {"s": 1, "min": 60, "h": 3600}
    return [float(number) * factor[unit] for number, unit in re.findall(r"([\d.]+) (s|min|h)\b", text)]


def test_a_small_run_is_for_one_machine() -> None:
    assert said("common_crawl_english", 1, 10**5).endswith("use the local runner")


def test_a_large_run_is_for_a_cluster_and_faster_there() -> None:
    text = said("common_crawl_english", 1000, GB)
    assert "on a cluster of 20 cores" in text and "--runner ray" in text
    here, ray, there = seconds(text)
    assert here / 10 < there < here / 2 and ray < there


def test_more_input_is_never_told_as_less_work() -> None:
    texts = [said("common_crawl_english", 1, size) for size in (10**5, 10**7, 10**8, GB, 10 * GB)]
    work = [seconds(text)[0] for text in texts]
    assert work == sorted(work) and work[0] < work[-1]
    kinds = [text.split(": ")[-1].split(" of ")[0] for text in texts]
    assert kinds[0] == "use the local runner" and kinds[-1] == "on a cluster"


def test_few_shards_keep_few_cores_busy() -> None:
    """One shard cannot be shared, however large it is."""
    pipeline = Pipeline("one", Lines(piece_bytes=10**13), (Length(),), Parquet())
    plan = Plan(pipeline, [Input(0, "a.txt", "", 10**12, "")])
    assert "1 shards keep few more cores busy" in advice.runner_advice(pipeline, plan, 2)


def test_a_stage_of_unknown_cost_is_said() -> None:
    pipeline = Pipeline("twins", Lines(), (Twins(),), Parquet())
    plan = Plan(pipeline, [Input(0, "a.txt", "", 100, "")])
    text = advice.runner_advice(pipeline, plan, 2)
    assert text.startswith("at least") and "use the local runner" not in text


def test_explain_says_it(tmp_path: Path) -> None:
    from curation.demo.build_warc import build_crawl

    build_crawl(tmp_path)
    found = CliRunner().invoke(app, ["explain", "demo", "--input", str(tmp_path)], catch_exceptions=False)
    assert found.output.rstrip().endswith("use the local runner")


@pytest.mark.parametrize(("value", "shown"), [(0.2, "1 s"), (8.4, "8 s"), (43.0, "40 s"), (600.0, "10 min"), (7200.0, "2.0 h")])
def test_durations(value: float, shown: str) -> None:
    assert advice._time(value) == shown
