"""What makes a result what it is, as hexadecimal digests: configuration, code, libraries, models, word lists.

Never part of a fingerprint: credentials, mount paths, worker counts, times, the label of a stage.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from functools import cache
from pathlib import Path

from curation.stage import ROOMS, Filter, GlobalStage, Stage, frozen_fields

ENGINE_VERSION = 2
"""Raised when the engine itself changes what ends in a part: every unit is then computed anew."""

_DIGESTED = (*(f"curation.{room}" for room in (*ROOMS, "text", "guard")), "classifiers")


def digest(value: object) -> str:
    """sha256 (hex) of a value's canonical JSON. Mappings are ordered by key; tuples are lists."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str, ensure_ascii=False).encode()).hexdigest()


def stage_fingerprint(stage: Stage) -> str:
    """Digest of everything that decides what a stage does to a row."""
    return digest([_identity(stage), _plain(_fields(stage))])


def _fields(stage: Stage) -> dict[str, object]:
    """A stage's configuration without the fields that only say where files lie: their content is in `files`."""
    return {name: value for name, value in frozen_fields(stage).items() if name not in stage.path_fields}


def columns_fingerprint(stage: Stage) -> str:
    """Digest of everything that decides the columns a stage adds: of a Filter's fields only `measure_fields`."""
    fields = _fields(stage)
    if isinstance(stage, Filter):
        fields = {name: value for name, value in fields.items() if name in stage.measure_fields}
    return digest([_identity(stage), _plain(fields)])


def step_fingerprints(stage: GlobalStage) -> tuple[str, str, str]:
    """Digests of everything that decides what a global stage's sketches, matches and later steps hold."""
    fields = {**_fields(stage), "partitions": stage.partition_count}
    named = {"partitions", *(stage.sketch_fields or ())}
    sketching = fields if stage.sketch_fields is None else {name: fields[name] for name in sorted(named)}
    matching = fields if stage.match_fields is None else {**sketching, **{name: fields[name] for name in stage.match_fields}}
    sketch = digest([_identity(stage, stage.sketches_files), _plain(sketching)])
    match, settle = (digest([_identity(stage), _plain(part)]) for part in (matching, fields))
    return sketch, match, settle


def _identity(stage: Stage, with_files: bool = True) -> dict[str, object]:
    return {
        "engine": ENGINE_VERSION,
        "name": stage.name,
        "code": code_digest(type(stage).__module__),
        "libraries": library_versions(stage.libraries),
        "models": {ref.name: ref.sha256 for ref in stage.models},
        # Many lists share a file name (UT1 has a `domains` in every category): position and folder tell them apart.
        "files": [[f"{path.parent.name}/{path.name}", file_digest(path)] for path in stage.files if with_files],
    }


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(v) for v in value)  # type: ignore[type-var]
    return value


def library_versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """Installed version of each distribution; `absent` where it is not installed."""
    return {name: _version(name) for name in distributions}


@cache
def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes, read again only when its size or time of change is another."""
    facts = path.stat()
    return _digest_of(path, facts.st_size, facts.st_mtime_ns)


@cache
def _digest_of(path: Path, size: int, changed_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def code_digest(module: str) -> str:
    """sha256 (hex) over the source of a module and of the modules of stage rooms and classifiers it imports.

    A module that reads data files of the package names them in a literal `PACKAGE_DATA`, patterns beside its own file;
    their bytes count as source.
    """
    sources: dict[str, str] = {}
    _collect(module, sources)
    return digest(sources)


def _collect(module: str, sources: dict[str, str]) -> None:
    if module in sources:
        return
    path = _source_file(module)
    if path is None:
        return
    text = path.read_text(encoding="utf-8")
    sources[module] = hashlib.sha256(text.encode()).hexdigest()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "PACKAGE_DATA" for t in node.targets):
            for pattern in ast.literal_eval(node.value):
                sources.update({f"{module}: {data.name}": file_digest(data) for data in sorted(path.parent.glob(pattern))})
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            # `from curation.sources import payload` names a module too
            wanted = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        else:
            continue
        for name in wanted:
            if name.startswith(_DIGESTED) and _is_module(name):
                _collect(name, sources)


def _source_file(module: str) -> Path | None:
    """The .py file of a module, loaded or not; None for anything else (built in, typed into a notebook)."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        origin = getattr(loaded, "__file__", None)
    else:
        spec = importlib.util.find_spec(module)
        origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
