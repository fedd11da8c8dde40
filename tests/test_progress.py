"""One view for every runner: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from curation import meters
from curation.meters import Flow, WaveMeter, bytes_of, documents_of
from curation.progress import BarProgress, LineProgress, Observers

ROOT = Path(__file__).resolve().parent.parent


def record(documents: int, read: int = 0, text: int = 0, unit: str = "", fell: int = 0, wall: float = 0.0) -> dict:
    pieces = [{"first": 0, "stop": read}] if read else []
    counts = [{"label": "warc", "rows_in": documents, "reasons": {"bad_status": [fell, 0]} if fell else {}}]
    taken = {"seconds": {"wall": wall}} if wall else {}
    return {"unit": unit, "counts": counts, "pieces": pieces, "text_bytes": text, "part": {"rows": documents}, **taken}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until a test moves it."""
    moments = [100.0]
    monkeypatch.setattr(meters.time, "monotonic", lambda: moments[0])
    return moments


def test_what_a_unit_counts_for() -> None:
    assert (documents_of(record(7)), bytes_of(record(7, read=100, text=5)), bytes_of(record(7, text=5))) == (7, 100, 5)
    assert documents_of({"counts": [], "part": {"rows": 3}}) == 3


def test_lines_say_rates_and_time_left(caplog: pytest.LogCaptureFixture, now: list[float]) -> None:
    with caplog.at_level(logging.INFO, logger="curation"):
        lines = LineProgress()
        lines.wave("reading", 4, 1)
        for number in range(3):
            now[0] += 10
            lines.unit("reading", record(50, read=2_000_000, unit=f"s00-read-{number:05d}", fell=5))
    said = [r.getMessage() for r in caplog.records]
    assert said == [
        "reading: 4 units, 1 already done",
        "reading: 3/4 units, 100 documents, 5 documents/s, 0.2 MB/s, 0:10 left",
        "documents: 100 in, 90 alive, 10 dropped (warc:bad_status 10)",
        "reading: 4/4 units, 150 documents, 5 documents/s, 0.2 MB/s, done in 0:30",
    ], "a line every 15 seconds, and one at the end"


def test_many_units_do_not_flood_the_log(caplog: pytest.LogCaptureFixture, now: list[float]) -> None:
    with caplog.at_level(logging.INFO, logger="curation"):
        lines = LineProgress()
        for title in ("reading", "rows"):
            lines.wave(title, 50_000, 0)
        for number in range(100_000):
            now[0] += 0.001
            lines.unit("reading" if number % 2 else "rows", record(1, unit=f"s00-rows-{number:05d}"))
        lines.close()
    # 100 seconds: six pauses with a line for each wave and one for the documents, two beginnings, two ends
    assert len(caplog.records) <= 6 * 3 + 2 + 2 + 1


def test_waves_under_way_together_have_their_own_rates(now: list[float]) -> None:
    lines = LineProgress()
    lines.wave("reading", 4, 0)
    lines.wave("rows", 4, 2)
    for number in range(4):
        now[0] += 10
        lines.unit("reading", record(100, unit=f"s00-read-{number:05d}", wall=10.0))
    now[0] += 60
    lines.unit("rows", record(30, unit="s01-rows-00003", wall=20.0))
    reading, rows = lines.meters["reading"], lines.meters["rows"]
    assert reading.is_done and reading.rates()[1] == pytest.approx(10.0) and reading.seconds() == 40
    assert rows.done == 3 and rows.ran == 1
    assert rows.seconds() == 20, "a wave that was known long before it began began with its first unit"
    assert rows.rates()[1] == pytest.approx(1.5) and rows.seconds_left() == pytest.approx(20.0)


def test_units_taken_over_make_no_rate(now: list[float]) -> None:
    lines = LineProgress()
    lines.wave("reading", 1000, 998)
    lines.kept("reading", [record(100, read=9, unit=f"s00-read-{n:05d}", fell=1) for n in range(998)])
    now[0] += 10
    lines.unit("reading", record(100, read=9, unit="s00-read-00998", wall=10.0))
    meter = lines.meters["reading"]
    assert meter.rates()[:2] == (pytest.approx(0.1), pytest.approx(10.0)) and meter.seconds_left() == pytest.approx(10.0)
    assert lines.flow.read == 99_900 and lines.flow.fell.total() == 998, "but their documents are there"


def test_the_time_left_follows_a_change_of_speed(now: list[float]) -> None:
    meter = WaveMeter("rows", 2000, 0)
    for _ in range(600):
        now[0] += 1
        meter.add(record(1))
    assert meter.seconds_left() == pytest.approx(1400, rel=0.01)
    for _ in range(60):
        now[0] += 10
        meter.add(record(1))
    assert meter.seconds_left() == pytest.approx(13_400, rel=0.1), "by the last 20 units, not by the fast ones before"
    now[0] += 1000
    assert meter.rates()[0] < 0.03, "a wave that stands still is seen to"


def test_a_unit_done_again_counts_once() -> None:
    flow = Flow()
    flow.add(record(100, read=9, unit="s00-heads-00001", fell=9))
    for fell in (3, 5):
        flow.add(record(100, read=9, unit="s00-read-00001", fell=fell))
    assert (flow.read, flow.alive, flow.top(3)) == (100, 95, [("warc:bad_status", 5)])


def test_newer_numbers_of_a_wave_take_the_place_of_the_old(now: list[float]) -> None:
    lines = LineProgress()
    lines.wave("rows", 3, 3)
    assert lines.meters["rows"].is_done
    lines.wave("rows", 5, 3)
    assert (lines.meters["rows"].units, lines.meters["rows"].is_done) == (5, False)


def test_what_comes_from_data_cannot_drive_the_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    bars = BarProgress(console)
    hostile = "evil\x1b]0;title\x07\x1b[2J\u202e[bold]\nname"
    bars.wave(hostile, 2, 0)
    shown = record(10, read=9, unit="s00-read-00001")
    shown["counts"][0]["reasons"] = {f"r\x1b[31m\r{n}": [1, 0] for n in range(5)}
    bars.unit(hostile, shown)
    bars.lost(hostile, "s00-read-00000", "\x1b[2J")
    bars.close()
    assert isinstance(console.file, io.StringIO)
    out = console.file.getvalue()
    assert "evil␛]0;title" in out and "[bold] name" in out and "1 times a worker was lost" in out
    for raw in ("\x1b]0;", "\x1b[2J", "\u202e", "\x07", "r\x1b[31m"):
        assert raw not in out


def test_log_lines_go_above_the_bars_and_handlers_are_given_back(capsys: pytest.CaptureFixture) -> None:
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    before = handler.stream
    try:
        bars = BarProgress(Console(stderr=True, force_terminal=True))
        assert handler.stream is not before
        bars.close()
        assert handler.stream is before
    finally:
        logging.getLogger().removeHandler(handler)


def test_observers_are_told_in_their_order() -> None:
    told: list[tuple] = []

    class Teller:
        def __init__(self, name: str) -> None:
            self.name = name

        def __getattr__(self, event: str):
            return lambda *given: told.append((self.name, event, *given))

    both = Observers(Teller("a"), Teller("b"))
    both.wave("t", 1, 0)
    both.kept("t", [])
    both.unit("t", {})
    both.lost("t", "u", "why")
    both.close()
    assert [(name, event) for name, event, *_ in told] == [
        (name, event) for event in ("wave", "kept", "unit", "lost", "close") for name in "ab"
    ]
    assert ("b", "lost", "t", "u", "why") in told


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
    assert re.search(r"warc > url > main_content.*1/1\s+\d+ documents/s\s+[\d.]+ MB/s", bar)
    assert out.startswith("recipe demo") and "documents/s" not in out
