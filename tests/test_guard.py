"""The guard: every page ends as a value or a reason, whatever the parser does, and nobody waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation import guard as guard_module
from curation.guard import Guard, GuardError

FUNCTION = "guard_functions:make"
TIMEOUT_S = 1.0


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with Guard(FUNCTION, {"flag_file": str(tmp_path / "flag")}, timeout_s=TIMEOUT_S, memory_gb=0.125) as made:
        yield made


def value(page: bytes) -> tuple[bytes | None, ...]:
    return page, None, b""


def pid_of(guard: Guard) -> int:
    fields = guard.map([b"pid"])[0].value
    assert fields is not None and fields[0] is not None
    return int(fields[0])


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_dead(pid: int, wait_s: float) -> bool:
    end = time.monotonic() + wait_s
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_alive(pid)


@pytest.mark.parametrize(
    ("page", "reason", "detail"),
    [
        (b"do hold the lock", "timeout", "used its bound of 1 CPU seconds, alone in a fresh process"),
        (b"do free the lock", "timeout", "used its bound of 1 CPU seconds, alone in a fresh process"),
        (b"do segfault", "crashed", "process was killed by SIGSEGV, alone in a fresh process"),
        (b"do abort", "crashed", "process was killed by SIGABRT, alone in a fresh process"),
        (b"do die", "crashed", "process was killed by SIGKILL, alone in a fresh process"),
        (b"do exit", "crashed", "process exited with status 3, alone in a fresh process"),
        (b"do hog", "memory", "needed more than 0.125 GiB, alone in a fresh process"),
        (b"do raise", "extractor_error", "ValueError: first line"),
        (b"do system exit", "extractor_error", "SystemExit: not so fast"),
        (b"do surrogate", "extractor_error", None),
        (b"do recurse", "extractor_error", "RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_a_bad_page_gets_its_reason_and_its_neighbours_their_values(
    guard: Guard, page: bytes, reason: str, detail: str | None
) -> None:
    before, after = b"before", b"after"
    outcomes = guard.map([before, before, page, after, page, after])
    assert [o.value for o in outcomes if o.reason is None] == [value(p) for p in (before, before, after, after)]
    for bad in (outcomes[2], outcomes[4]):
        assert (bad.value, bad.reason) == (None, reason)
        assert bad.detail is not None and bad.detail.startswith(detail or "UnicodeEncodeError")
    assert guard.map([after])[0].value == value(after)


def test_a_page_that_sleeps_is_stopped_by_the_wall_clock(tmp_path: Path) -> None:
    with Guard(FUNCTION, {}, timeout_s=0.1, memory_gb=0.5) as guard:
        started = time.monotonic()
        outcomes = guard.map([b"a", b"do sleep", b"b"])
        assert 2 * 1.0 <= time.monotonic() - started < 20
    assert [o.reason for o in outcomes] == [None, "timeout", None]
    assert outcomes[1].detail == "no progress in 1 s, alone in a fresh process"


def test_time_spent_waiting_for_a_core_is_not_held_against_a_page() -> None:
    """A child that is stopped for longer than the CPU bound, as a crowded machine would, still gives its answer."""
    with Guard(FUNCTION, {}, timeout_s=1.0, memory_gb=0.5) as guard:
        pid = pid_of(guard)
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(2.5, os.kill, (pid, signal.SIGCONT)).start()
        assert guard.map([b"patience"])[0].value == value(b"patience")
        assert guard.restarts == 0


def test_a_failure_that_does_not_repeat_is_forgiven_and_counted(guard: Guard) -> None:
    outcomes = guard.map([b"a", b"once segfault", b"b"])
    assert [o.value for o in outcomes] == [value(b"a"), (b"second time",), value(b"b")]
    assert (guard.passed_on_retry, guard.restarts) == (1, 1)


def test_a_page_that_fails_is_tried_exactly_twice_and_exceptions_once(guard: Guard) -> None:
    guard.map([b"do segfault"])
    guard.map([b"a"])
    assert guard.restarts == 2
    guard.map([b"do raise"])
    assert guard.restarts == 2


def test_what_a_large_page_left_behind_is_given_back_without_blaming_anyone(guard: Guard) -> None:
    first = pid_of(guard)
    outcomes = guard.map([b"hoard %d" % (100 << 20), b"a", b"hoard %d" % (100 << 20), b"b"])
    assert [o.reason for o in outcomes] == [None] * 4
    assert pid_of(guard) != first
    assert guard.passed_on_retry == 0


def test_order_and_values_are_kept_over_many_windows(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [b"%d " % i * (i % 50) for i in range(3500)]
    expected = [value(p) for p in pages]
    assert [o.value for o in guard.map(pages)] == expected
    monkeypatch.setattr(guard_module, "WINDOW_BYTES", 1000)
    assert [o.value for o in guard.map(pages)] == expected
    assert [o.value for o in guard.map([memoryview(p) for p in pages])] == expected
    assert guard.restarts == 0


def test_no_pages_and_empty_pages(guard: Guard) -> None:
    assert guard.map([]) == []
    assert [o.value for o in guard.map([b"", b"", b"x"])] == [value(b""), value(b""), value(b"x")]


def test_output_larger_than_any_pipe_comes_back_whole() -> None:
    with Guard(FUNCTION, {}, timeout_s=10.0, memory_gb=0.5) as guard:
        outcomes = guard.map([b"repeat 20000000", b"x", b"repeat 3"])
    assert outcomes[0].value is not None and outcomes[0].value[0] == ("ä" * 20_000_000).encode()
    assert outcomes[1].value == value(b"x")
    assert outcomes[2].value == (b"\xc3\xa4" * 3,)


def test_large_windows_do_not_keep_their_memory(guard: Guard) -> None:
    guard.map([b"x" * (40 << 20)])
    guard.map([b"small"])
    assert os.fstat(guard._pages).st_size < 1 << 20


def test_the_kernels_count_agrees_with_the_outcome(guard: Guard) -> None:
    outcome = guard.map([b"do hold the lock"])[0]
    assert outcome.seconds == TIMEOUT_S
    assert guard.seconds == TIMEOUT_S


def test_noise_of_a_parser_reaches_nobody(guard: Guard, capfd: pytest.CaptureFixture[str]) -> None:
    assert [o.reason for o in guard.map([b"noise", b"noise"])] == [None, None]
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_string_hashes_are_fixed_in_the_child(guard: Guard) -> None:
    fields = guard.map([b"pid"])[0].value
    assert fields is not None and fields[1] == b"0"


def test_a_child_killed_between_pages_is_replaced_and_blames_no_page(guard: Guard) -> None:
    os.kill(pid_of(guard), signal.SIGKILL)
    time.sleep(0.1)
    assert [outcome[:3] for outcome in guard.map([b"a", b"b"])] == [(value(p), None, None) for p in (b"a", b"b")]
    assert guard.passed_on_retry == 0


def test_an_interrupt_leaves_the_guard_usable(guard: Guard, request: pytest.FixtureRequest) -> None:
    # a shell that starts a job in the background has it ignore interrupts
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    first = pid_of(guard)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        guard.map([b"a", b"do sleep", b"b"])
    assert not is_alive(first)
    assert guard.map([b"c"])[0].value == value(b"c")


def test_ctrl_c_does_not_end_the_child(guard: Guard) -> None:
    pid = pid_of(guard)
    os.kill(pid, signal.SIGINT)
    assert pid_of(guard) == pid


def test_close_ends_the_child_and_frees_its_files(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    guard = Guard(FUNCTION, {}, timeout_s=1.0, memory_gb=0.5)
    pid = pid_of(guard)
    guard.close()
    guard.close()
    assert not is_alive(pid)
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(GuardError, match="closed"):
        guard.map([b"a"])


@pytest.mark.parametrize(
    ("function", "config", "says"),
    [
        ("guard_functions:broken", {}, "RuntimeError: cannot load the tables"),
        ("guard_functions:nothing", {}, "AttributeError"),
        ("no_such_module:make", {}, "ModuleNotFoundError"),
        (FUNCTION, {"wrong_option": 1}, "unexpected keyword argument 'wrong_option'"),
    ],
)
def test_a_child_that_cannot_start_is_an_error_with_its_last_words(function: str, config: dict[str, object], says: str) -> None:
    with pytest.raises(GuardError) as caught:
        Guard(function, config, timeout_s=1.0, memory_gb=0.5)
    assert says in str(caught.value) and function in str(caught.value)


def test_a_missing_interpreter_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(GuardError, match="could not start"):
        Guard(FUNCTION, {}, timeout_s=1.0, memory_gb=0.5)


PARENT = """
import sys
sys.path[:0] = {path!r}
from curation.guard import Guard
guard = Guard("guard_functions:make", {{}}, timeout_s=60.0, memory_gb=0.5)
print(guard.map([b"pid"])[0].value[0].decode(), flush=True)
guard.map([{page!r}])
"""


@pytest.mark.parametrize("page", [b"do free the lock", b"do sleep", b"do hold the lock"])
@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux; elsewhere the CPU timer ends the child")
def test_the_child_dies_with_a_killed_parent(page: bytes) -> None:
    program = PARENT.format(path=[entry for entry in sys.path if entry], page=page)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.2)
    assert is_alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until_dead(child, 5.0)
