"""What a run reads: paths, folders, globs, URLs and list files become a numbered list of inputs.

Numbers are append-only per output folder (an input keeps its number when more arrive), because documents are numbered
by them. What is no input is listed with the reason, not ignored.
"""

from __future__ import annotations

import glob
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from fsspec.core import url_to_fs

from curation.errors import InputError, explain_mismatch
from curation.stage import Input, Source
from curation.storage import Folder

LIST_SUFFIXES = (".paths", ".paths.gz", ".lst")
TRUSTED_SUFFIXES = (".warc.gz", ".warc", ".arc.gz", ".arc")
HEAD_BYTES = 512


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
        for path, location, size, identity in _expand(name, root, dict(options or {})):
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
        why = source.accepts(path, _head(location, path, dict(options or {})))
        if why is None:
            result.accepted.append(Input(len(result.accepted), path, location, size, identity))
        else:
            result.refused.append(Refused(path, size, why))
    if not result.accepted:
        listed = "; ".join(f"{r.path}: {r.why}" for r in result.refused[:5]) or "nothing"
        raise InputError(explain_mismatch("no input to read", wanted=f"what {source.name} reads", found=listed))
    return result


def _expand(name: str, root: str, options: dict[str, object]) -> list[tuple[str, str, int, str]]:
    """(recorded path, location, size, identity) of every file a name stands for."""
    if name.endswith(LIST_SUFFIXES):
        return [_one(line, _join(root, line), options) for line in _lines(name, options)]
    fs, path = url_to_fs(name, **options)
    if glob.has_magic(path):
        files = sorted(p for p in fs.glob(path) if fs.isfile(p))
        if not files:
            raise InputError(explain_mismatch("the pattern matches no file", wanted=name, found="nothing"))
        base = path[: path.index(next(c for c in path if c in "*?["))].rpartition("/")[0]
        return [_described(fs, p, _relative(p, base.rpartition("/")[0])) for p in files]
    if fs.isdir(path):
        parent = path.rstrip("/").rpartition("/")[0]
        return [_described(fs, p, _relative(p, parent)) for p in sorted(fs.find(path))]
    return [_one(path.rsplit("/", 1)[-1], name, options)]


def _relative(path: str, parent: str) -> str:
    return path[len(parent) :].lstrip("/") if path.startswith(parent) else path


def _described(fs, path: str, recorded: str) -> tuple[str, str, int, str]:
    info = _info(fs, path)
    return recorded, fs.unstrip_protocol(path), int(info["size"] or 0), _identity(info)


def _one(recorded: str, location: str, options: dict[str, object]) -> tuple[str, str, int, str]:
    fs, path = url_to_fs(location, **options)
    info = _info(fs, path)
    return recorded, location, int(info["size"] or 0), _identity(info)


def _info(fs, path: str) -> Mapping:
    try:
        return fs.info(path)
    except OSError as error:
        raise InputError(
            explain_mismatch(
                "an input cannot be read",
                wanted=path,
                found=error.strerror or str(error) or type(error).__name__,
                hint="check the path and its permissions, and --root when it comes from a list",
            )
        ) from error


def _identity(info: Mapping[str, object]) -> str:
    for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created"):
        if info.get(key):
            return str(info[key])
    return "unknown"


def _join(root: str, line: str) -> str:
    return f"{root.rstrip('/')}/{line}" if root else line


def _lines(name: str, options: dict[str, object]) -> list[str]:
    fs, path = url_to_fs(name, **options)
    try:
        data = fs.cat_file(path)
    except FileNotFoundError as error:
        raise InputError(explain_mismatch("the list of inputs does not exist", wanted=name, found="no file")) from error
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise InputError(f"the list of inputs {name} is a broken gzip file: {error}") from error
    lines = [line.strip() for line in data.decode("utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _head(location: str, path: str, options: dict[str, object]) -> bytes:
    """The first bytes of a file; none are fetched for a remote file whose name says what it is."""
    fs, inner = url_to_fs(location, **options)
    local = "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)
    if not local and path.endswith(TRUSTED_SUFFIXES):
        return b""
    try:
        with fs.open(inner, "rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(
            explain_mismatch("an input cannot be read", wanted=location, found=str(error), hint="check its permissions")
        ) from error


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
