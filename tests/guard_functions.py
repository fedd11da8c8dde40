"""Page functions for tests/test_guard.py: the page names what happens. Imported by the guard's child."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

Fields = tuple[str | bytes | None, ...]


def make(flag_file: str = "") -> Callable[[memoryview], Fields]:
    """The page function; `flag_file` remembers across processes that `once …` has happened."""
    hoard: list[bytearray] = []

    def call(page: memoryview) -> Fields:
        word, _, rest = bytes(page).partition(b" ")
        if word == b"once":
            if not Path(flag_file).exists():
                Path(flag_file).touch()
                return misbehave(rest.decode())
            return (b"second time",)
        if word == b"hoard":
            hoard.append(bytearray(b"x") * int(rest))
        elif word == b"do":
            return misbehave(rest.decode())
        elif word == b"pid":
            return (str(os.getpid()), os.environ["PYTHONHASHSEED"])
        elif word == b"repeat":
            return ("ä" * int(rest),)
        elif word == b"noise":
            sys.stderr.write("noise\n" * 1000)
            sys.stdout.write("noise\n" * 1000)
        return (bytes(page), None, "")

    return call


def misbehave(how: str) -> Fields:
    """Do one of the things parsers do."""
    if how == "hold the lock":  # a catastrophic pattern never gives up the interpreter lock
        re.match(r"(a+)+$", "a" * 50 + "b")
    elif how == "free the lock":
        hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2**31 - 1)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()
    elif how == "exit":
        os._exit(3)
    elif how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "hog":
        return (b"%d" % len([bytearray(1 << 25) for _ in range(1000)]),)
    elif how == "sleep":
        time.sleep(10_000)
    elif how == "recurse":
        return misbehave(how)
    elif how == "raise":
        raise ValueError("first line\nsecond line \ud800")
    elif how == "system exit":
        raise SystemExit("not so fast")
    elif how == "surrogate":
        return ("\ud800",)
    return (b"survived",)


def broken() -> Callable[[memoryview], Fields]:
    """A factory that fails."""
    raise RuntimeError("cannot load the tables")
