"""The child of a Guard (guard.py says why and how): calls one function on page after page until the parent goes away.

Run as `python -m curation.guard_child PARENT SOCKET PAGES RESULTS ARGUMENTS` by guard.py alone. Imports nothing but
the standard library and the module of the function it is given.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

REQUEST = struct.Struct("<QQQ")  # first page, page to stop before, byte position of the next record
RECORD = struct.Struct("<QBd")  # bytes of the whole record, status, CPU seconds; then the fields
FIELD = struct.Struct("<q")  # bytes of one field, -1 = None
OK, ERROR = 0, 1
EXIT_MEMORY, EXIT_RECYCLE = 81, 82
READY, DONE = b"R", b"D"


def serve(parent: int, channel: socket.socket, pages: int, results: int, arguments: Mapping[str, Any]) -> None:
    """Answer requests until the parent goes away."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to handle
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module, _, name = arguments["function"].partition(":")
    call = getattr(importlib.import_module(module), name)(**arguments["config"])
    gc.collect()
    gc.freeze()  # what was imported is never garbage: spares every later collection the walk over it
    _bound_memory(int(arguments["memory_gb"] * 2**30))
    timeout_s, recycle_at = float(arguments["timeout_s"]), int(arguments["memory_gb"] * 2**29)
    shared = memoryview(b"")
    channel.sendall(READY)
    while request := channel.recv(REQUEST.size, socket.MSG_WAITALL):
        first, stop, position = REQUEST.unpack(request)
        if len(shared) != os.fstat(pages).st_size:
            shared = memoryview(mmap.mmap(pages, 0, prot=mmap.PROT_READ))
        offsets = struct.unpack_from(f"<{stop - first + 1}q", shared, 8 * first)
        for i in range(stop - first):
            record, seconds = _one_page(call, shared[offsets[i] : offsets[i + 1]], timeout_s)
            if os.pwrite(results, record, position) != len(record):
                os._exit(EXIT_MEMORY)
            position += len(record)
            # the allocator kept too much of a large page, or something leaks: the next pages deserve their full bound.
            # A page that took 10 ms pays for a look (10 µs); quick ones share one every 64.
            if (seconds > 0.01 or i % 64 == 63) and _private_bytes() > recycle_at:
                os._exit(EXIT_RECYCLE)
        channel.sendall(DONE)


def _one_page(call: Callable[[memoryview], Any], page: memoryview, timeout_s: float) -> tuple[bytes, float]:
    """Call the function on one page with the CPU timer armed; its record and the CPU seconds it took."""
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, timeout_s)
    status = OK
    try:
        parts: list[bytes] = []
        for field in call(page):
            data = field.encode() if isinstance(field, str) else field
            parts += (FIELD.pack(-1),) if data is None else (FIELD.pack(len(data)), data)
        body = b"".join(parts)
    except MemoryError:
        os._exit(EXIT_MEMORY)
    except BaseException as error:  # noqa: BLE001 - a named border: whatever a parser throws is a reason
        lines = str(error).splitlines()
        said = f"{type(error).__name__}: {lines[0] if lines else ''}"[:300].encode("utf-8", "replace")
        status, body = ERROR, FIELD.pack(len(said)) + said
    signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time() - started
    return RECORD.pack(RECORD.size + len(body), status, seconds) + body, seconds


def _die_with(parent: int) -> None:
    """Have the kernel end this process when the parent ends (Linux); elsewhere the CPU timer and end of file do it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it ended before the call above
        os._exit(0)


def _bound_memory(size: int) -> None:
    """Let this process take `size` bytes more than it has. Does nothing where the system does not count (macOS)."""
    if sys.platform == "linux":
        size += _statm(5)  # data pages, what RLIMIT_DATA counts
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _private_bytes() -> int:
    return _statm(1) - _statm(2) if sys.platform == "linux" else 0


def _statm(field: int) -> int:
    with open("/proc/self/statm", "rb") as stream:
        return int(stream.read().split()[field]) * resource.getpagesize()


def _main() -> None:
    parent, channel, pages, results = (int(argument) for argument in sys.argv[1:5])
    serve(parent, socket.socket(fileno=channel), pages, results, json.loads(sys.argv[5]))


if __name__ == "__main__":
    _main()
