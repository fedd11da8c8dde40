"""How kernels are compiled: to machine code at first use, kept on disk, without the interpreter lock.

The compiled code of a module lies in a folder of its own, named by a digest of the sources it was made of: its own and
those of every kernel it calls, in whatever file. numba alone looks at a function's own file, and would go on running
old code of a kernel that is called from another. The folder is `__pycache__` beside the source or, where that cannot be
written, the user's cache folder (NUMBA_CACHE_DIR moves it). Folders of older sources are removed.

The first use of the words of English costs about 10 s of compiling, each filter 2 to 6 s more, extractors/main_content
45 s; every later process loads the code in milliseconds.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

_log = logging.getLogger(__name__)

PACKAGE = Path(__file__).resolve().parent.parent
_IMPORTED = re.compile(r"^from (curation(?:\.\w+)+) import", re.M)
_DECORATED = "curation.text.compiled"


def _source_of(module: str) -> Path | None:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def sources_of(path: Path) -> dict[Path, str]:
    """File -> sha256 (hex) of a module and of the kernels and tables it imports, near or far."""
    seen: dict[Path, str] = {}
    waiting = [path]
    while waiting:
        source = waiting.pop()
        if source in seen:
            continue
        text = source.read_text(encoding="utf-8")
        seen[source] = hashlib.sha256(text.encode()).hexdigest()
        for module in _IMPORTED.findall(text):
            found = _source_of(module)
            # what holds no kernel and no constant of one cannot change the code
            if found and (module.startswith("curation.text.") or _DECORATED in found.read_text(encoding="utf-8")):
                waiting.append(found)
    return seen


@cache
def sources_digest(path: str) -> str:
    """Digest (hex) of `sources_of` a module, whatever folder it lies in."""
    named = sorted((source.name, value) for source, value in sources_of(Path(path)).items())
    return hashlib.sha256(repr(named).encode()).hexdigest()


class _ByDigest:
    """Mixed into numba's locators: their folder, and in it one for the digest of all sources."""

    def get_cache_path(self) -> str:
        source = Path(self._py_file)  # type: ignore[attr-defined]
        stem = source.stem if source.stem != "__init__" else source.parent.name
        return os.path.join(super().get_cache_path(), f"{stem}-{sources_digest(str(source))[:16]}")  # type: ignore[misc]

    def ensure_cache_path(self) -> None:
        folder = Path(self.get_cache_path())
        if not folder.is_dir():
            stem = folder.name.rpartition("-")[0]
            for old in folder.parent.glob(f"{stem}-" + "[0-9a-f]" * 16):
                shutil.rmtree(old, ignore_errors=True)
        super().ensure_cache_path()  # type: ignore[misc]


class _Provided(_ByDigest, caching.UserProvidedCacheLocator):
    pass


class _BesideSource(_ByDigest, caching.InTreeCacheLocator):
    pass


class _UserWide(_ByDigest, caching.UserWideCacheLocator):
    pass


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes = [_Provided, _BesideSource, _UserWide]


class _Cache(caching.FunctionCache):
    _impl_class = _Implementation

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = super().load_overload(sig, target_context)
        if found is None:
            _say_once()
        return found


@cache
def _say_once() -> None:
    _log.info("compiling the text kernels: a minute or two, once for this installation")


def _decorator(**options: Any) -> Callable[..., Any]:
    compile_with = numba.njit(nogil=True, boundscheck=False, error_model="numpy", **options)

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = compile_with(function)
        dispatcher._cache = _Cache(function)
        return dispatcher

    return decorate


kernel: Callable[..., Any] = _decorator()
"""Decorator of a function over numpy arrays and numbers. Bounds are not checked: each kernel states what it relies on."""

inlined: Callable[..., Any] = _decorator()
"""Decorator of a function that kernels call and that makes arrays."""

leaf: Callable[..., Any] = _decorator(_nrt=False)
"""Decorator of a function that kernels call and that makes no array: it does not count the references to those it is
given, which costs more than the work of a small function (measured: the tokenizer is three times as fast)."""
