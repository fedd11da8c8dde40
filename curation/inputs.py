"""What a run reads: paths, folders, globs, URLs and list files become a numbered list of inputs.

Numbers are append-only per output folder (an input keeps its number when more arrive), because documents are numbered
by them. What is no input is listed with the reason, not ignored.
"""

from __future__ import annotations

import glob
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from fsspec import AbstractFileSystem

from curation.errors import InputError, StorageUnavailable, explain_mismatch
from curation.stage import Input, Source
from curation.storage import Folder, open_location
from curation.storage_options import locate, protocol_of, shown
from curation.transport import patient

LIST_SUFFIXES = (".paths", ".paths.gz", ".lst")
TRUSTED_SUFFIXES = (".warc.gz", ".warc", ".arc.gz", ".arc")
HEAD_BYTES = 512

_T = TypeVar("_T")


@dataclass(frozen=True)
class Refused:
    """A file that was found but is not an input: its path, size in bytes and why."""

    path: str
    size: int
    why: str


@dataclass
class Inputs:
    """The inputs of a run in numbered order, and what was found besides."""

    accepted: list[Input] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def find_inputs(
    wanted: Sequence[str], source: Source, *, root: str = "", options: Mapping[str, object] | None = None
) -> Inputs:
    """List everything the paths, folders, globs, URLs and list files name; number what `source` accepts by path.

    `root` goes before every line of a list file. Raises InputError when a name leads nowhere, when nothing is left, or
    when two inputs would be recorded under one path.
    """
    found: dict[str, tuple[str, int, str]] = {}
    for name in wanted:
        for path, location, size, identity in _expand(name, root, options or {}):
            if path in found and found[path][0] != location:
                raise InputError(
                    explain_mismatch(
                        "two inputs would be recorded under one path",
                        wanted="different paths",
                        found=f"{path} for {found[path][0]} and {location}",
                        hint="give the folder above both as one --input",
                    )
                )
            found[path] = (location, size, identity)
    result = Inputs()
    for path in sorted(found):
        location, size, identity = found[path]
        why = source.accepts(path, _head(location, path, options or {}))
        if why is None:
            result.accepted.append(Input(len(result.accepted), path, location, size, identity))
        else:
            result.refused.append(Refused(path, size, why))
    if not result.accepted:
        listed = "; ".join(f"{r.path}: {r.why}" for r in result.refused[:5]) or "nothing"
        raise InputError(explain_mismatch("no input to read", wanted=f"what {source.name} reads", found=listed))
    return result


def _expand(name: str, root: str, options: Mapping[str, object]) -> list[tuple[str, str, int, str]]:
    """(recorded path, location, size, identity) of every file a name stands for."""
    if name.endswith(LIST_SUFFIXES):
        return [_one(line, _join(root, line), options) for line in _lines(name, options)]
    fs, path = locate(name, options)
    if glob.has_magic(path):
        files = {p: i for p, i in _asked(fs, name, lambda: fs.glob(path, detail=True)).items() if _is_file(fs, p, i)}
        if not files:
            raise InputError(explain_mismatch("the pattern matches no file", wanted=shown(name), found="nothing"))
        base = path[: path.index(next(c for c in path if c in "*?["))].rpartition("/")[0]
        return [_described(fs, p, _relative(p, base.rpartition("/")[0]), files[p]) for p in sorted(files)]
    if (info := _info(fs, path, name))["type"] == "directory":
        parent = path.rstrip("/").rpartition("/")[0]
        files = _asked(fs, name, lambda: fs.find(path, detail=True))
        return [_described(fs, p, _relative(p, parent), files[p]) for p in sorted(files)]
    return [(_last(path), name, int(info["size"] or 0), _identity(info))]


def _asked(fs: AbstractFileSystem, name: str, call: Callable[[], _T]) -> _T:
    """What a file system answers; a remote one is asked again while its errors pass."""
    try:
        return call() if _is_near(name) else patient(call, f"to list {shown(name)}")
    except (OSError, StorageUnavailable) as error:
        raise InputError(
            explain_mismatch(
                "an input cannot be read",
                wanted=shown(name),
                found=getattr(error, "strerror", None) or str(error) or type(error).__name__,
                hint="check the path and its permissions, and --root when it comes from a list",
            )
        ) from error


def _is_file(fs: AbstractFileSystem, path: str, info: Mapping) -> bool:
    return info["type"] == "file" or (bool(info.get("islink")) and fs.isfile(path))


def _is_near(name: str) -> bool:
    return protocol_of(name) in ("file", "local", "memory")


def _relative(path: str, parent: str) -> str:
    return path[len(parent) :].lstrip("/") if path.startswith(parent) else path


def _last(path: str) -> str:
    """The name of a single input, as it is recorded: without the query of a signed link."""
    return shown(path).rsplit("/", 1)[-1]


def _described(fs: AbstractFileSystem, path: str, recorded: str, info: Mapping) -> tuple[str, str, int, str]:
    if info.get("size") is None or info.get("islink"):  # listings describe a link, not what it leads to
        info = _info(fs, path, fs.unstrip_protocol(path))
    return recorded, fs.unstrip_protocol(path), int(info["size"] or 0), _identity(info)


def _one(recorded: str, location: str, options: Mapping[str, object]) -> tuple[str, str, int, str]:
    fs, path = locate(location, options)
    info = _info(fs, path, location)
    return recorded, location, int(info["size"] or 0), _identity(info)


def _info(fs: AbstractFileSystem, path: str, name: str) -> Mapping:
    return _asked(fs, name, lambda: fs.info(path))


def _identity(info: Mapping[str, object]) -> str:
    for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created"):
        if info.get(key):
            return str(info[key])
    return "unknown"


def _join(root: str, line: str) -> str:
    return f"{root.rstrip('/')}/{line}" if root else line


def _lines(name: str, options: Mapping[str, object]) -> list[str]:
    fs, path = locate(name, options)
    try:
        data = fs.cat_file(path) if _is_near(name) else patient(lambda: fs.cat_file(path), f"to read {shown(name)}")
    except FileNotFoundError as error:
        raise InputError(explain_mismatch("the list of inputs does not exist", wanted=shown(name), found="no file")) from error
    except StorageUnavailable as error:
        raise InputError(str(error)) from error
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise InputError(f"the list of inputs {name} is a broken gzip file: {error}") from error
    lines = [line.strip() for line in data.decode("utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _head(location: str, path: str, options: Mapping[str, object]) -> bytes:
    """The first bytes of a file; none are fetched for a remote file whose name says what it is."""
    if protocol_of(location) not in ("file", "local") and path.endswith(TRUSTED_SUFFIXES):
        return b""
    with open_location(location, options) as stream:
        return stream.read(HEAD_BYTES)


def number_inputs(inputs: Inputs, folder: Folder) -> Inputs:
    """Give each input the number it already has in the output folder, and new ones the next; remember them there.

    Several drivers may do this at once (--slice): the register is made exclusively, the loser reads the winner's.
    """
    while True:
        registers = sorted(n for n in folder.names("work") if n.startswith("inputs-") and n.endswith(".json"))
        known: dict[str, int] = json.loads(folder.read(f"work/{registers[-1]}")) if registers else {}
        new = [i.path for i in inputs.accepted if i.path not in known]
        if not new:
            break
        known.update({path: number for number, path in enumerate(new, start=len(known))})
        data = json.dumps(known, indent=0, ensure_ascii=False).encode()
        if folder.create(f"work/inputs-{len(registers):06d}.json", data):
            break
    numbered = [Input(**{**asdict(i), "number": known[i.path]}) for i in inputs.accepted]
    return Inputs(sorted(numbered, key=lambda i: i.number), inputs.refused)
