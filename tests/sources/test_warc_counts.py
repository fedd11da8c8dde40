"""Our record counts against warcio's: every disagreement on the real archives is explained, and the table is current."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "warc_counts.py"


def load() -> ModuleType:
    """The benchmark as a module: benchmarks is no package."""
    spec = importlib.util.spec_from_file_location("warc_counts", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_disagreement_with_warcio_is_explained(data_folder: Path) -> None:
    counts = load()
    files = counts.files_of(data_folder)
    lines = [counts.compare(path, path.relative_to(data_folder).as_posix()) for path in files]
    assert counts.problems(lines) == []
    assert counts.table(lines) == BENCHMARK.with_suffix(".md").read_text(encoding="utf-8")
