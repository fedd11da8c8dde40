"""Golden cases: small rows in and the exact answer out, for every stage of these rooms.

tests/golden/<room>/<stage>.yaml is a list of cases: `name`, `config` (fields of the stage), `rows` (columns; `doc`
counts from 0 unless given; a text as `content_id` becomes its digest) and `expected` (every column the stage returns
but `doc`; float32 to five digits). Leading comment lines are kept. `CURATION_GOLDEN=write pytest tests/test_golden.py`
rewrites `expected`: read the diff.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from dedup_steps import verdict_of

from curation.document import COLUMNS, content_id, polars_type
from curation.models import available_models
from curation.recipe import build_stage, find_stage, stage_names
from curation.run_stage import check_answer
from curation.stage import GlobalStage, Stage

ROOMS = ("filters", "modifiers", "scorers", "dedup")
GOLDEN = Path(__file__).parent / "golden"
CURATION = Path(__file__).parent.parent / "curation"
STAGES = [name for name in stage_names() if name.split("/")[0] in ROOMS]
MODULES = [path for room in ROOMS for path in sorted((CURATION / room).glob("*.py")) if path.name != "__init__.py"]
WRITE = os.environ.get("CURATION_GOLDEN") == "write"
REWRITING = pytest.mark.skipif(WRITE, reason="goldens are being rewritten")


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as one double-quoted line: a blank line in a golden would be hard to see."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if "\n" in value else None)


_Dumper.add_representer(str, _text)


def golden_file(stage_name: str) -> Path:
    return GOLDEN / f"{stage_name}.yaml"


def load_cases(path: Path) -> list[dict[str, Any]]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def all_cases() -> list[Any]:
    found = [(name, case) for name in STAGES if golden_file(name).is_file() for case in load_cases(golden_file(name))]
    return [pytest.param(name, case, id=f"{name}: {case['name']}") for name, case in found]


def frame_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of a case as a stage is given them: columns of the contract in their types, `doc` numbered."""
    columns = dict.fromkeys(["doc", *(key for row in rows for key in row)])
    series = []
    for name in columns:
        values = [row.get(name, i if name == "doc" else None) for i, row in enumerate(rows)]
        if name == "content_id":
            values = [content_id(v) if isinstance(v, str) else v for v in values]
        if name in COLUMNS:
            kind = polars_type(COLUMNS[name])
        else:
            kind = pl.Float32() if any(isinstance(v, float) for v in values) else pl.Int32()
        series.append(pl.Series(name, values, dtype=kind))
    return pl.DataFrame(series)


def answer_of(stage: Stage, rows: pl.DataFrame) -> pl.DataFrame:
    """What the stage answers, checked as the engine checks it."""
    given = rows.select("doc", *dict.fromkeys((*stage.reads, *stage.rewrites)))
    if isinstance(stage, GlobalStage):
        return check_answer(stage, given, stage.apply(given, verdict_of(stage, rows)))
    apply = stage.bind(available_models(stage.models))
    try:
        return check_answer(stage, given, apply(given))
    finally:
        stage.close(apply)


def plain(answer: pl.DataFrame, drops: bool) -> list[dict[str, Any]]:
    """The answer as YAML can hold it: float32 to five digits, no `doc`, drop columns only where it may drop."""
    columns = [c for c in answer.columns if c != "doc" and (drops or not c.startswith("drop_"))]
    floats = {c for c, t in answer.schema.items() if t == pl.Float32}

    def value(name: str, given: Any) -> Any:
        return float(f"{given:.5g}") if name in floats and given is not None else given

    return [{c: value(c, row[c]) for c in columns} for row in answer.iter_rows(named=True)]


def run_case(stage_name: str, case: Mapping[str, Any]) -> list[dict[str, Any]]:
    stage = build_stage(find_stage(stage_name), case.get("config") or {})
    return plain(answer_of(stage, frame_of(case["rows"])), bool(stage.drops))


@REWRITING
@pytest.mark.parametrize(("stage_name", "case"), all_cases())
def test_golden(stage_name: str, case: dict[str, Any]) -> None:
    assert run_case(stage_name, case) == case["expected"]


@pytest.mark.parametrize("stage_name", STAGES)
def test_stage_has_golden_cases(stage_name: str) -> None:
    path = golden_file(stage_name)
    assert path.is_file(), f"{stage_name} lacks {path}: write a case with name, config, rows and expected"
    names = [case["name"] for case in load_cases(path)]
    assert names and len(set(names)) == len(names)


@REWRITING
@pytest.mark.parametrize("stage_name", STAGES)
def test_every_reason_has_a_golden_case(stage_name: str) -> None:
    seen, declared = set(), set()
    for case in load_cases(golden_file(stage_name)):
        stage = build_stage(find_stage(stage_name), case.get("config") or {})
        declared |= set(stage.drops)
        seen |= {row.get("drop_reason") for row in case["expected"]}
    assert declared - seen == set(), "reasons without a case"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_golden_file_has_a_stage(path: Path) -> None:
    if path.parent.name in ROOMS:
        assert f"{path.parent.name}/{path.stem}" in STAGES, f"{path} tests no stage"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_module_names_its_source(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree)
    assert docstring, f"{path} has no docstring"
    assert "\nSource: " in docstring, f'{path}: the docstring lacks a line "Source: ..." (paper, table, repository or ours)'
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path}: class {node.name} has no docstring"


@pytest.mark.skipif(not WRITE, reason="set CURATION_GOLDEN=write to rewrite")
@pytest.mark.parametrize("stage_name", STAGES)
def test_write(stage_name: str) -> None:
    path = golden_file(stage_name)
    lines = path.read_text(encoding="utf-8").splitlines()
    head = list(takewhile(lambda line: line.startswith("#"), lines))
    cases = [{**case, "expected": run_case(stage_name, case)} for case in load_cases(path)]
    body = yaml.dump(cases, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096)
    path.write_text("\n".join([*head, body]), encoding="utf-8")
