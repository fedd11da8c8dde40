"""What object stores do differently: exclusive creates by a condition, uploads of whole files, copies made by the store."""

from __future__ import annotations

import io
import os
import tempfile
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, cast

from fsspec import AbstractFileSystem

from curation.errors import StorageError, StorageUnavailable, explain_mismatch
from curation.storage_options import ALIASES, EXCLUSIVE
from curation.transport import is_taken, patient, reply_of

SPOOL_BYTES = 1 << 24
"""What is written stays in memory up to this size, then goes to a temporary file."""

BULK = 1000
"""Files deleted in one request."""

NOT_IMPLEMENTED = 501

PROBES = 8
"""Times a create looks again when the file that was in its way has gone."""


def protocols(fs: AbstractFileSystem) -> set[str]:
    """The protocols of a file system, under the names used here."""
    named = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return {ALIASES.get(name, name) for name in named}


def read(fs: AbstractFileSystem, path: str) -> bytes:
    """A whole small file."""
    # Without the hint s3fs asks for the size first: two requests where one does.
    return cast(bytes, fs.cat_file(path, max_concurrency=1) if "s3" in protocols(fs) else fs.cat_file(path))


def create(fs: AbstractFileSystem, path: str, data: bytes, name: str) -> bool:
    """Make a small file if there is none. True when it holds `data` after it: an attempt whose answer was lost is refused
    when it is tried again, by the file it made itself, and retries within the library cannot be told from the first."""
    for _ in range(PROBES):
        if patient(lambda: _put_new(fs, path, data), f"to create {name}"):
            return True
        try:
            return patient(lambda: read(fs, path), f"to read {name}") == data
        except FileNotFoundError:
            continue  # whoever made it has deleted it
    raise StorageError(f"{name} comes and goes\n  try:    see who else writes to this folder")


def _put_new(fs: AbstractFileSystem, path: str, data: bytes) -> bool:
    try:
        fs.pipe_file(path, data, mode="create")
    except Exception as error:
        if is_taken(error):
            return False
        raise
    return True


def copy(fs: AbstractFileSystem, source: str, target: str, name: str) -> None:
    """Let the store copy a file over another. A target of the same size and entity tag is the same file: nothing to do."""
    mine = patient(lambda: fs.info(source), f"to look at {name}")
    try:
        theirs = patient(lambda: fs.info(target), f"to look at {name}")
    except FileNotFoundError:
        theirs = {}
    tags = [str(info.get("ETag") or info.get("etag") or "") for info in (mine, theirs)]
    if mine["size"] == theirs.get("size") and tags[0] == tags[1] != "":
        return
    patient(lambda: fs.cp_file(source, target), f"to copy to {name}")


def delete_all(fs: AbstractFileSystem, path: str, name: str) -> None:
    """Remove everything under a path. What a bulk deletion leaves behind without saying so is deleted again."""
    for _ in range(PROBES):
        left = sorted(patient(lambda: fs.find(path), f"to list {name}"))
        if not left:
            return
        for first in range(0, len(left), BULK):
            patient(partial(fs.rm, left[first : first + BULK]), f"to delete {name}")
    raise StorageError(f"files under {name} stay after they were deleted\n  try:    see whether the rights include deletion")


def check(fs: AbstractFileSystem, folder: str, name: str) -> None:
    """Raise StorageError for a store on which two could create the same file: commit records rest on that they cannot."""
    if not protocols(fs) & set(EXCLUSIVE):
        raise StorageError(
            explain_mismatch(
                f"{name} cannot be an output folder",
                wanted="a folder on a disk, s3:// or gs://, where a file can be created only once",
                found=f"the file system {'/'.join(sorted(protocols(fs)))}, which is for reading inputs",
            )
        )
    path = f"{folder}/only-once-{uuid.uuid4().hex}.tmp"
    try:
        first, second = (create(fs, path, data, name) for data in (b"first", b"second"))
    except StorageUnavailable as error:
        if reply_of(error)[1] != NOT_IMPLEMENTED:
            raise
        raise _not_exclusive(name, "the store does not know such a condition") from error
    finally:
        _delete_quietly(lambda: patient(lambda: fs.rm_file(path), f"to delete a file in {name}"))
    if not first or second:
        raise _not_exclusive(name, "the store overwrote a file that was to be created only if it is not there")


def _delete_quietly(delete: Callable[[], object]) -> None:
    try:
        delete()
    except FileNotFoundError:
        pass


def _not_exclusive(name: str, found: str) -> StorageError:
    return StorageError(
        explain_mismatch(
            f"{name} cannot be an output folder",
            wanted="a store that honours a condition on writes: If-None-Match (s3), ifGenerationMatch (gs)",
            found=found,
            hint="write to a disk or to another store, then copy",
        )
    )


class Spool(io.RawIOBase):
    """What is written, kept until all of it is there: in memory, then in a temporary file that has no name and goes with the
    process."""

    def __init__(self) -> None:
        self._held: Any = io.BytesIO()
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        if isinstance(self._held, io.BytesIO) and self._size + view.nbytes > SPOOL_BYTES:
            on_disk = _temporary_file()
            on_disk.write(self._held.getbuffer())
            self._held = on_disk
        self._held.write(view)
        self._size += view.nbytes
        return view.nbytes

    def upload(self, fs: AbstractFileSystem, path: str, name: str) -> None:
        """Send all of it, as one file. Sent again from the start when it does not arrive."""
        if isinstance(self._held, io.BytesIO):
            data = self._held.getvalue()
            patient(lambda: fs.pipe_file(path, data), f"to write {name}")
            return
        self._held.flush()
        local = f"/proc/self/fd/{self._held.fileno()}"
        local = local if os.path.exists(local) else self._held.name
        patient(lambda: fs.put_file(local, path), f"to write {name}")

    def close(self) -> None:
        self._held.close()
        super().close()


def _temporary_file() -> BinaryIO:
    if os.path.isdir("/proc/self/fd"):
        return cast(BinaryIO, tempfile.TemporaryFile(prefix="curation-"))
    return cast(BinaryIO, tempfile.NamedTemporaryFile(prefix="curation-"))
