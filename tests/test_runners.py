"""One suite for both runners: every golden case and the demo crawl through the engine, the same files from local and Ray.

A golden case becomes a pipeline: a source of its rows in two shards, its stage, a sink. What it leaves in this process is the
case's expected answer, and on Ray the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from extractor_cases import html_frame
from golden_rows import pipeline_of, write_rows, written
from test_engine import snapshot
from test_golden import GOLDEN, REWRITING, frame_of, golden_file, load_cases, plain

from curation.pipeline import Pipeline
from curation.recipe import build_stage, find_stage, load_recipe, with_settings
from curation.runners.choose import executor_maker
from curation.runners.drive import run_pipeline
from curation.stage import GlobalStage, Stage

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

STAGES = sorted(f"{path.parent.name}/{path.stem}" for path in GOLDEN.glob("*/*.yaml"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of this machine's own, that ends with the tests."""
    environment = {"env_vars": {"POLARS_MAX_THREADS": "1"}}
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield
    ray.shutdown()


def on_both(recipe: Pipeline, inputs: Path, folder: Path) -> Path:
    """Run a recipe on both runners; the local output, which is the other's to the byte."""
    for name in ("local", "ray"):
        result = run_pipeline(recipe, [str(inputs)], str(folder / name), executor_maker(name, workers=1))
        assert result.finished
    found, wanted = snapshot(folder / "ray"), snapshot(folder / "local")
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []
    assert "manifest.parquet" in wanted
    return folder / "local"


def cases_of(stage_name: str) -> list[tuple[Stage, pl.DataFrame, Callable[[Path], None]]]:
    """Stage, rows and a check of the output, for each case, or for those of one configuration where rows do not meet."""
    cases = load_cases(golden_file(stage_name))

    def built(case: Mapping[str, Any]) -> Stage:
        return build_stage(find_stage(stage_name), case.get("config") or {})

    if not stage_name.startswith("extractors/"):
        together = [case for case in cases if not isinstance(built(case), GlobalStage)]
        apart = [case for case in cases if case not in together or any("doc" in row for row in case["rows"])]
        apart += _merged([case for case in together if case not in apart])
        return [(built(case), frame_of(case["rows"]), _rows_check(built(case), case)) for case in apart]
    configs = {str(case.get("config") or {}): case for case in cases}
    chosen = {text: [case for case in cases if str(case.get("config") or {}) == text] for text in configs}
    return [(built(case), _pages(chosen[text]), _pages_check(chosen[text])) for text, case in configs.items()]


def _merged(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cases of one configuration as one."""
    found: dict[str, dict[str, Any]] = {}
    for case in cases:
        one = found.setdefault(str(case.get("config") or {}), {"config": case.get("config"), "rows": [], "expected": []})
        one["rows"] += case["rows"]
        one["expected"] += case["expected"]
    return list(found.values())


def _rows_check(stage: Stage, case: Mapping[str, Any]) -> Callable[[Path], None]:
    def check(out: Path) -> None:
        order = frame_of(case["rows"])["doc"].arg_sort().to_list()
        wanted = [case["expected"][place] for place in order]
        found = written(out, list(wanted[0]))
        assert plain(found, bool(stage.drops)) == wanted

    return check


def _pages(cases: list[dict[str, Any]]) -> pl.DataFrame:
    return html_frame([case["html"].encode() for case in cases])


def _pages_check(cases: list[dict[str, Any]]) -> Callable[[Path], None]:
    def check(out: Path) -> None:
        found = written(out, ["title", "text", "drop_reason", "drop_detail"]).rows(named=True)
        for case, row in zip(cases, found, strict=True):
            wanted = {name: value for name, value in case.items() if name in ("title", "text")}
            wanted |= {f"drop_{name}": case.get(name) for name in ("reason", "detail")}
            assert {name: row[name] for name in wanted} == wanted, case["name"]

    return check


@REWRITING
@pytest.mark.parametrize("stage_name", STAGES)
def test_golden_cases(stage_name: str, cluster: None, tmp_path: Path) -> None:
    for number, (stage, rows, check) in enumerate(cases_of(stage_name)):
        recipe, complete = pipeline_of(stage, rows)
        folder = tmp_path / str(number)
        (folder / "in").mkdir(parents=True)
        write_rows(complete, folder / "in/case.rows")
        check(on_both(recipe, folder / "in", folder))


@REWRITING
def test_no_golden_case_is_left_out() -> None:
    given = sum(rows.height for name in STAGES for _, rows, _ in cases_of(name))
    written_down = sum(len(case.get("rows", [0])) for name in STAGES for case in load_cases(golden_file(name)))
    assert given == written_down > 500


def test_the_demo_crawl(cluster: None, tmp_path: Path) -> None:
    from curation.demo.build_warc import build_crawl

    (tmp_path / "crawl").mkdir()
    build_crawl(tmp_path / "crawl")
    recipe = with_settings(load_recipe("demo"), ["warc.shard_mb=0.05"])
    on_both(recipe, tmp_path / "crawl", tmp_path)
