"""Make a stage's models available: find the weights, verify their sha256 once per process."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from curation.errors import ModelError, explain_mismatch
from curation.fingerprint import file_digest
from curation.stage import ModelRef


def available_models(refs: Sequence[ModelRef]) -> dict[str, Path]:
    """Model name -> verified path. Raises ModelError when weights are missing or are not those of the card."""
    return {ref.name: _verified(ref) for ref in refs}


@cache
def _verified(ref: ModelRef) -> Path:
    path = locate(ref.location)
    if not path.is_file():
        raise ModelError(
            explain_mismatch(
                f"the weights of model {ref.name!r} are not there",
                wanted=ref.location,
                found="no such file",
                hint="put the file there, or install the package that carries it",
            )  # fmt: skip
        )
    found = file_digest(path)
    if found != ref.sha256:
        raise ModelError(
            explain_mismatch(f"model {ref.name!r} at {path} is not the one its card names", wanted=ref.sha256, found=found)
        )
    return path


def locate(location: str) -> Path:
    """The path of `package:NAME/path/inside` (weights that a Python package carries) or of a plain path."""
    if not location.startswith("package:"):
        return Path(location).expanduser()
    package, _, inside = location.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            explain_mismatch("model package", wanted=package, found="not installed", hint=f"pip install {package}")
        )
    return Path(next(iter(spec.submodule_search_locations))) / inside
