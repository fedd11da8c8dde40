"""One view for every runner: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from curation import progress
from curation.progress import LineProgress, bytes_of, documents_of

ROOT = Path(__file__).resolve().parent.parent


def record(documents: int, read: int = 0, text: int = 0) -> dict:
    pieces = [{"first": 0, "stop": read}] if read else []
    return {"counts": [{"rows_in": documents}], "pieces": pieces, "text_bytes": text, "part": {"rows": documents}}


def test_what_a_unit_counts_for() -> None:
    assert (documents_of(record(7)), bytes_of(record(7, read=100, text=5)), bytes_of(record(7, text=5))) == (7, 100, 5)
    assert documents_of({"counts": [], "part": {"rows": 3}}) == 3


def test_lines_say_rates_and_time_left(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO, logger="curation"):
        lines = LineProgress()
        lines.wave("reading", 4, 1)
        for _ in range(3):
            now[0] += 10
            lines.unit("reading", record(50, read=2_000_000))
    said = [r.getMessage() for r in caplog.records]
    assert said[0] == "reading: 4 units, 1 already done"
    assert said[1] == "reading: 3/4 units, 100 documents, 5 documents/s, 0.2 MB/s, 10 s left"
    assert said[2].startswith("reading: 4/4 units, 150 documents") and said[2].endswith("0 s left")
    assert len(said) == 3, "a line every 15 seconds, and one at the end"


def test_a_terminal_gets_a_bar_and_standard_output_stays_clean(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "140"}
    process = subprocess.Popen(
        [sys.executable, "-m", "curation.cli", "demo", "--out", str(tmp_path / "demo"), "--workers", "1"],
        stdout=subprocess.PIPE, stderr=follower, env=environment,
    )  # fmt: skip
    os.close(follower)
    seen = bytearray()
    while True:
        try:
            block = os.read(leader, 4096)
        except OSError:  # the other end was closed: the program has ended
            break
        if not block:
            break
        seen += block
    assert process.stdout is not None
    out = process.stdout.read().decode()
    assert process.wait() == 0
    bar = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode(errors="replace"))
    assert re.search(r"warc > url > trafilatura.*1/1\s+\d+ documents/s\s+[\d.]+ MB/s", bar)
    assert out.startswith("recipe demo") and "documents/s" not in out
