"""Compiled code is kept by the digest of all the sources it is made of, and never outlives one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from curation.text.compiled import sources_of

MODULE = """
from curation.text.compiled import kernel
from curation.text.{helper} import added

@kernel
def total(n):
    return n + added(n)
"""
HELPER = """
from curation.text.compiled import leaf

@leaf
def added(n):
    return n * {factor}
"""


def test_a_filters_digest_holds_every_kernel_it_calls() -> None:
    import curation.filters.gopher_quality as module

    names = {path.name for path in sources_of(Path(module.__file__))}
    assert {"gopher_quality.py", "chunk_book.py", "buffers.py", "word_rules.py", "compiled.py", "line_breaks.py"} <= names
    assert "stage.py" not in names


def test_a_kernel_called_from_another_file_is_never_stale(tmp_path: Path) -> None:
    """numba's own cache would answer 1 + 1 * 2 the second time: it looks at the caller's file alone."""
    import curation.text

    room = Path(curation.text.__file__).parent
    helper = room / f"helper_of_test_{os.getpid()}.py"
    caller = tmp_path / "caller.py"
    caller.write_text(MODULE.format(helper=helper.stem))
    answers = []
    try:
        for factor in (2, 3, 3):
            helper.write_text(HELPER.format(factor=factor))
            run = [sys.executable, "-c", "from caller import total; print(total(1), len(total.stats.cache_hits))"]
            done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True, env=_environment(tmp_path))
            answers.append(done.stdout.split())
    finally:
        helper.unlink()
    assert answers == [["3", "0"], ["4", "0"], ["4", "1"]]
    folders = [p for p in (tmp_path / "compiled").rglob("caller-*") if p.is_dir()]
    assert len(folders) == 1, "code of older sources is removed"


def _environment(folder: Path) -> dict[str, str]:
    import curation

    here = str(Path(curation.__file__).parent.parent)  # this very package, whatever else PYTHONPATH names
    return {**os.environ, "PYTHONPATH": here, "NUMBA_CACHE_DIR": str(folder / "compiled"), "PYTHONDONTWRITEBYTECODE": "1"}
