"""One document at a time under a time and memory bound: every page ends as a value or as a reason.

Parsers are C code fed by strangers: they loop, overflow the stack and eat memory. Only another process can be
stopped in the middle of such a call, so a `Guard` owns one child process, started fresh (`subprocess`, never a fork
of a process with threads), that calls one function on one page after another.

    parent (the worker)                                child (`python -m curation.guard_child`)
    pages  --> shared file, one window at a time  -->  reads page after page
    "first, stop, position" --> socket            -->  for each: arm the CPU timer, call, disarm, append a record
    records <-- shared file, read once a window   <--  "done" <-- socket

No deadlock is possible: pages and results lie in anonymous shared files, which never block, and what crosses the
socket is one message of 24 bytes down and one byte up per window, far below any socket buffer. Neither side ever
waits for the other to make room; the parent waits only for the byte or for the end of the child, and looks after
the child while it waits.

Bounds. CPU: the child arms ITIMER_PROF before each page; SIGPROF's default action ends it wherever it is, in C code,
holding the interpreter lock or not. It counts CPU time of the child alone, so a busy machine changes nothing. Sleep:
the parent kills a child that made no progress for 10 times the bound without being runnable. Memory: RLIMIT_DATA,
counted above what the child holds when it is ready. A page that ends the child, or meets MemoryError, is tried once
more alone in a fresh child, and that second fate is its fate: the pages before it cannot have decided it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Self

from curation.errors import CurationError
from curation.guard_child import DONE, EXIT_MEMORY, EXIT_RECYCLE, FIELD, OK, READY, RECORD, REQUEST

LOG = logging.getLogger(__name__)

REASONS = ("extractor_error", "timeout", "memory", "crashed")
"""Every reason an Outcome may carry."""

Page = bytes | memoryview

Value = tuple[bytes | None, ...]

WINDOW_BYTES = 16 << 20
"""Pages handed over at a time; bounds both shared files. One page larger than this makes a window of its own."""
WINDOW_PAGES = 1000
"""Below IOV_MAX (1024), so that a window is one writev."""

IDLE_FACTOR = 10
"""A child that sleeps is killed after this many times the CPU bound, in wall seconds."""
START_TIMEOUT_S = 300.0
"""Wall seconds for the child to import its function. Importing takes under a second; a swapping machine is slow."""

_ALLOCATOR_SAYS = (b"memory allocation of", b"bad_alloc", b"out of memory")  # Rust, C++, C before they abort


class GuardError(CurationError):
    """The guard's child could not be started or answered nonsense: infrastructure, not a document."""


class Outcome(NamedTuple):
    """What became of one page: `value` (the function's fields as bytes) or `reason` (of REASONS) with `detail`.

    `seconds`: CPU seconds in the child; the bound for a timeout, 0.0 for a child that died.
    """

    value: Value | None
    reason: str | None
    detail: str | None
    seconds: float


class Guard:
    """Calls `function` on pages in a child process, each under `timeout_s` CPU seconds and `memory_gb` GiB.

    `function` is "package.module:name": called once in the child as name(**config), it returns the function that is
    called with each page (bytes) and returns a tuple of str, bytes or None. `config` must fit in JSON.
    The child starts at once, so a wrong option is a GuardError here. Not for use by two threads at a time. On Linux
    the child dies with the thread that started it; a child found dead between pages is replaced and blames no page.

    `restarts` counts children started after the first; `passed_on_retry` pages that failed once and then passed;
    `seconds` sums the CPU seconds of the outcomes.
    """

    def __init__(self, function: str, config: Mapping[str, object], timeout_s: float, memory_gb: float) -> None:
        self._arguments = json.dumps(
            {"function": function, "config": dict(config), "timeout_s": timeout_s, "memory_gb": memory_gb}
        )
        self._function = function
        self._timeout_s = timeout_s
        self._memory_gb = memory_gb
        self._pages = _anonymous_file("guard-pages")
        self._results = _anonymous_file("guard-results")
        self._noise = _anonymous_file("guard-noise", append=True)
        self._child: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self.restarts = -1
        self.passed_on_retry = 0
        self.seconds = 0.0
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child and free the shared files. Safe to call twice."""
        self._stop(kill=True)
        for number in (self._pages, self._results, self._noise):
            if number >= 0:
                os.close(number)
        self._pages = self._results = self._noise = -1

    def map(self, pages: Sequence[Page]) -> list[Outcome]:
        """The outcome of every page, in order. Raises GuardError when the child cannot be (re)started."""
        if self._pages < 0:
            raise GuardError(f"the guard of {self._function} is closed; make a new one")
        outcomes: list[Outcome] = []
        try:
            for window in _windows(pages):
                self._hand_over(window)
                self._finish_window(len(window), outcomes)
        except BaseException:  # passed on: an interrupted child is in the middle of something, so it goes
            self._stop(kill=True)
            raise
        self.seconds += sum(outcome.seconds for outcome in outcomes)
        return outcomes

    def _hand_over(self, window: Sequence[Page]) -> None:
        """Write offsets and pages over the last window; freed only when it was large, since new memory costs more."""
        offsets = [8 * (len(window) + 1)]
        for page in window:
            offsets.append(offsets[-1] + len(page))
        if os.fstat(self._pages).st_size > 2 * WINDOW_BYTES:
            os.ftruncate(self._pages, 0)
        os.lseek(self._pages, 0, os.SEEK_SET)
        rest = [struct.pack(f"<{len(offsets)}q", *offsets), *window]
        if os.writev(self._pages, rest) != offsets[-1]:
            raise GuardError(f"could not hand {offsets[-1]} bytes of pages to the guard: no memory for a shared file")
        os.ftruncate(self._results, 0)
        os.ftruncate(self._noise, 0)

    def _finish_window(self, pages: int, outcomes: list[Outcome]) -> None:
        """Append the outcome of every page of the window, through as many children as that takes."""
        first = 0
        while first < pages:
            fate = self._run(first, pages, outcomes)
            first += fate.answered
            if fate.reason is None:
                continue
            alone = self._run(first, first + 1, outcomes)
            first += 1
            if alone.answered:
                self.passed_on_retry += 1
                LOG.info("a page that ended with %s passed alone in a fresh process", fate.reason)
                continue
            detail = f"{alone.detail}, alone in a fresh process"
            outcomes.append(Outcome(None, alone.reason or "crashed", detail, self._timeout_s * alone.timed_out))

    def _run(self, first: int, stop: int, outcomes: list[Outcome]) -> _Fate:
        """Let the child work on pages first..stop; append what it answered and say how it ended."""
        self._ensure_child()
        assert self._socket is not None and self._child is not None
        begin = os.fstat(self._results).st_size
        asleep = False
        try:
            self._socket.sendall(REQUEST.pack(first, stop, begin))
            asleep = self._wait(self._timeout_s)
            answer = b"" if asleep else self._socket.recv(1)
        except OSError:  # the child died before it read the request, or with it unread
            answer = b""
        end, answered = _read_records(self._results, begin, outcomes)
        if answer == DONE and answered == stop - first:
            return _Fate(answered)
        code = self._stop(kill=asleep or answer == DONE)
        os.ftruncate(self._results, end)  # a record the dying child wrote in part
        if answered == stop - first or (code == EXIT_RECYCLE and answered):
            return _Fate(answered)
        if asleep:
            return _Fate(answered, "timeout", f"no progress in {IDLE_FACTOR * self._timeout_s:g} s", True)
        return self._fate_of_exit(answered, code)

    def _fate_of_exit(self, answered: int, code: int) -> _Fate:
        if code == -signal.SIGPROF:
            return _Fate(answered, "timeout", f"used its bound of {self._timeout_s:g} CPU seconds", True)
        if code == EXIT_MEMORY or (code != 0 and any(s in self._noise_tail().lower() for s in _ALLOCATOR_SAYS)):
            return _Fate(answered, "memory", f"needed more than {self._memory_gb:g} GiB")
        return _Fate(answered, "crashed", f"process {_exit_in_words(code)}")

    def _wait(self, timeout_s: float) -> bool:
        """Wait until the child answers or ends; True when it has slept too long instead.

        Only time in which the child neither finishes a page, nor uses CPU, nor waits for a free core counts as
        sleep, so a busy machine never ends a page here. Without /proc (not Linux) all waiting on one page counts.
        """
        assert self._socket is not None and self._child is not None
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        tick_s = max(0.01, timeout_s / 4)
        slept_s, before = 0.0, (-1, -1)
        while not poll.poll(tick_s * 1000):
            cpu, runnable = _cpu_and_state(self._child.pid)
            now = (os.fstat(self._results).st_size, cpu)
            if now[0] != before[0]:
                slept_s = 0.0
            elif not runnable and now == before:
                slept_s += tick_s
            before = now
            if slept_s >= IDLE_FACTOR * timeout_s:
                return True
        return False

    def _ensure_child(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            self._stop()
        if self._child is None:
            self._start()

    def _start(self) -> None:
        """Start the child and wait until it has imported its function."""
        ours, theirs = socket.socketpair()
        os.ftruncate(self._noise, 0)
        command = [sys.executable, "-m", "curation.guard_child", str(os.getpid())]
        command += [str(n) for n in (theirs.fileno(), self._pages, self._results)]
        try:
            self._child = subprocess.Popen(
                [*command, self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._noise,
                stderr=self._noise,
                pass_fds=(theirs.fileno(), self._pages, self._results),
                env=_child_environment(),
            )
        except OSError as error:
            ours.close()
            raise GuardError(f"could not start the process that runs {self._function}: {error}") from error
        finally:
            theirs.close()
        self._socket = ours
        self.restarts += 1
        ours.settimeout(START_TIMEOUT_S)
        timed_out = False
        try:
            answer = ours.recv(1)
        except OSError as error:
            answer, timed_out = b"", isinstance(error, TimeoutError)
        ours.settimeout(None)
        if answer != READY:
            code = self._stop(kill=timed_out)
            tail = self._noise_tail().decode("utf-8", "replace").strip()
            raise GuardError(
                f"the process that runs {self._function} did not start: it {_exit_in_words(code)}\n"
                f"  its last words: {tail[-1500:] or 'none'}"
            )

    def _stop(self, kill: bool = False) -> int:
        """Reap the child if there is one; its exit code, negative for a signal. Its own code, unless `kill`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        child, self._child = self._child, None
        if child is None:
            return 0
        if kill:
            child.kill()
        try:
            return child.wait(10.0)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def _noise_tail(self) -> bytes:
        size = os.fstat(self._noise).st_size
        return os.pread(self._noise, 4096, max(0, size - 4096))


class _Fate(NamedTuple):
    """How a run of the child ended: pages it answered, and why it stopped at the next one (None = it did not)."""

    answered: int
    reason: str | None = None
    detail: str | None = None
    timed_out: bool = False


def _windows(pages: Sequence[Page]) -> Iterator[Sequence[Page]]:
    first, size = 0, 0
    for i, page in enumerate(pages):
        if i > first and (size + len(page) > WINDOW_BYTES or i - first >= WINDOW_PAGES):
            yield pages[first:i]
            first, size = i, 0
        size += len(page)
    if first < len(pages):
        yield pages[first:]


def _read_records(results: int, begin: int, outcomes: list[Outcome]) -> tuple[int, int]:
    """Append the outcomes of all complete records from byte `begin`; where they end, and how many they were."""
    block = os.pread(results, os.fstat(results).st_size - begin, begin)
    at, count = 0, 0
    while at + RECORD.size <= len(block):
        size, status, seconds = RECORD.unpack_from(block, at)
        if size < RECORD.size or at + size > len(block):
            break
        fields: list[bytes | None] = []
        cursor = at + RECORD.size
        while cursor < at + size:
            (length,) = FIELD.unpack_from(block, cursor)
            cursor += FIELD.size
            fields.append(None if length < 0 else block[cursor : cursor + length])
            cursor += max(length, 0)
        if status == OK:
            outcomes.append(Outcome(tuple(fields), None, None, seconds))
        else:
            outcomes.append(Outcome(None, "extractor_error", (fields[0] or b"").decode(), seconds))
        at += size
        count += 1
    return begin + at, count


def _anonymous_file(name: str, append: bool = False) -> int:
    """Descriptor of a file without a name: in memory where the system offers that, else in the temporary folder."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create(name)
    else:
        with tempfile.TemporaryFile(prefix=name) as stream:
            number = os.dup(stream.fileno())
    if append:
        fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | os.O_APPEND)
    return number


def _child_environment() -> dict[str, str]:
    """The parent's environment and import path; string hashes fixed, so that no set order depends on the process."""
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0", "POLARS_MAX_THREADS": "1"}


def _cpu_and_state(pid: int) -> tuple[int, bool]:
    """CPU time used by a process, in clock ticks, and whether it is running or waits for a core; Linux only."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return 0, False
    return int(fields[11]) + int(fields[12]), fields[0] == b"R"


def _exit_in_words(code: int) -> str:
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
