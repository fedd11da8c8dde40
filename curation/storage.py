"""Folders on any fsspec file system, and the two promises everything else rests on.

1. `Folder.create` makes a file appear whole or not at all, and only once: the second creator is told so. Commit
   records are made with it, so a record's existence means that everything it names was finished.
2. Data files are written under names no other attempt uses, hashed while they are written; a failed write is removed.

Local disks use a hard link for the exclusive step, `memory://` a look under a lock, object stores a conditional put, and
everything there is done with patience (transport.py, object_store.py).
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import BinaryIO, TypeVar, cast

import fsspec

from curation import faults, object_store
from curation.errors import InputError, StorageError, StorageUnavailable, explain_mismatch
from curation.storage_options import StorageOptions, locate, protocol_of, shown
from curation.transport import PatientFile, patient

PART_BLOCK = 1 << 18
"""Bytes read ahead in a data file: columns that lie together come together, and a slice does not bring its neighbours."""

INPUT_BLOCK = 1 << 24
"""Bytes read ahead in an input, which is read from a place to its end."""

_T = TypeVar("_T")
_memory_lock = threading.Lock()


@dataclass(frozen=True)
class Written:
    """A finished data file: its size in bytes and the sha256 (hex) of its content."""

    bytes: int
    sha256: str


class _Hashing(io.RawIOBase):
    """A write-only stream that hashes what passes through it, so that a file is never read back for its digest."""

    def __init__(self, inner: BinaryIO) -> None:
        self._inner = inner
        self.digest = hashlib.sha256()
        self.bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[override]
        view = memoryview(data)
        self._inner.write(view)
        self.digest.update(view)
        self.bytes += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        if not self.closed:
            self._inner.flush()


@dataclass(frozen=True)
class Folder:
    """A folder named by a path or an fsspec URL. Names inside it are relative, with forward slashes.

    `options` go to fsspec (credentials, endpoints) and never to a record, a log or a fingerprint; see storage_options.py.
    On a remote store every operation is tried again while its errors pass; StorageUnavailable says that they did not.
    """

    url: str
    options: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", StorageOptions(self.options))

    def __getstate__(self) -> dict[str, object]:
        return {"url": self.url, "options": self.options}

    @cached_property
    def _located(self) -> tuple[fsspec.AbstractFileSystem, str]:
        fs, root = locate(self.url, self.options)
        return fs, root.rstrip("/")

    @property
    def fs(self) -> fsspec.AbstractFileSystem:
        return self._located[0]

    @property
    def is_local(self) -> bool:
        return protocol_of(self.url) in ("file", "local")

    @property
    def is_shared(self) -> bool:
        """False when only this process sees it (memory://)."""
        return protocol_of(self.url) != "memory"

    @property
    def is_remote(self) -> bool:
        """Whether it is reached over a network, so that operations fail and are done again."""
        return self.is_shared and not self.is_local

    def path(self, name: str) -> str:
        """Full path of a name, as the file system wants it."""
        return f"{self._located[1]}/{name}" if name else self._located[1]

    def open(self, name: str, size: int | None = None) -> BinaryIO:
        """Open a file for reading, seekable. `size`, where it is known, saves a remote store the question."""
        if not self.is_remote:
            return cast(BinaryIO, self.fs.open(self.path(name), "rb"))
        return open_remote(self.fs, self.path(name), self._shown(name), PART_BLOCK, size)

    def read(self, name: str) -> bytes:
        return self._patient("to read", name, lambda: object_store.read(self.fs, self.path(name)))

    def exists(self, name: str) -> bool:
        if not self.is_remote:
            return bool(self.fs.exists(self.path(name)))
        return self.size(name) is not None

    def size(self, name: str) -> int | None:
        """Bytes of a file; None when there is none."""
        try:
            return int(self._patient("to look at", name, lambda: self.fs.info(self.path(name)))["size"])
        except OSError:  # of a remote store only that there is none: others are StorageUnavailable
            return None

    def names(self, folder: str) -> dict[str, int]:
        """Files directly in `folder` -> size. An absent folder has none."""
        try:
            found = self._patient("to list", folder, lambda: self.fs.ls(self.path(folder), detail=True, refresh=True))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        sizes = {str(e["name"]).rsplit("/", 1)[-1]: int(e["size"] or 0) for e in found if e["type"] == "file"}
        sizes.pop("", None)  # what a web console makes in place of a folder
        return sizes

    def folders(self, folder: str) -> list[str]:
        """Folders directly in `folder`, sorted. An absent folder has none."""
        try:
            found = self._patient("to list", folder, lambda: self.fs.ls(self.path(folder), detail=True, refresh=True))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(str(e["name"]).rstrip("/").rsplit("/", 1)[-1] for e in found if e["type"] == "directory")

    def delete(self, name: str) -> None:
        """Remove a file; absent is fine."""
        try:
            self._patient("to delete", name, lambda: self.fs.rm_file(self.path(name)))
        except FileNotFoundError:
            pass

    def delete_folder(self, name: str) -> None:
        """Remove a folder and what is in it; absent is fine."""
        try:
            if self.is_remote:
                object_store.delete_all(self.fs, self.path(name), self._shown(name))
            else:
                self.fs.rm(self.path(name), recursive=True)
        except FileNotFoundError:
            pass

    def make(self, *folders: str) -> None:
        """Make folders. Object stores have none: there it is seen whether the store keeps the promise of `create`."""
        if self.is_remote:
            above = folders[0].rpartition("/")[0] if folders else ""
            object_store.check(self.fs, self.path(above), shown(self.url))
            return
        for name in folders:
            with self._explaining(name):
                self.fs.makedirs(self.path(name), exist_ok=True)

    def write(self, name: str, fill: Callable[[BinaryIO], None]) -> Written:
        """Write a data file under a name nobody else uses. A failure removes it and raises StorageError for I/O."""
        path = self.path(name)
        if self.is_remote:
            return self._upload(name, path, fill)
        try:
            with self._explaining(name), self.fs.open(path, "wb") as raw:
                faults.point("part-open")
                out = _Hashing(cast(BinaryIO, raw))
                fill(cast(BinaryIO, out))
                raw.flush()
                if self.is_local:
                    os.fsync(raw.fileno())
        except BaseException:
            self.delete(name)
            raise
        return Written(out.bytes, out.digest.hexdigest())

    def _upload(self, name: str, path: str, fill: Callable[[BinaryIO], None]) -> Written:
        """Nothing is sent before the whole file is there, so that a failure has nothing to remove."""
        with self._explaining(name, spooled=True), object_store.Spool() as spool:
            faults.point("part-open")
            out = _Hashing(cast(BinaryIO, spool))
            fill(cast(BinaryIO, out))
            spool.upload(self.fs, path, self._shown(name))
        return Written(out.bytes, out.digest.hexdigest())

    def create(self, name: str, data: bytes) -> bool:
        """Make the small file `name` appear whole, if it does not exist. True when this call made it.

        A remote store's answer may be lost: a file that holds exactly these bytes counts as made by this call.
        """
        path = self.path(name)
        with self._explaining(name):
            if self.is_local:
                return self._create_local(path, data)
            if not self.is_shared:
                with _memory_lock:
                    if self.fs.exists(path):
                        return False
                    self.fs.pipe_file(path, data)
                    return True
            faults.point("record-written")
            return object_store.create(self.fs, path, data, self._shown(name))

    def replace(self, name: str, data: bytes) -> None:
        """Write a small file over whatever has its name; readers see the old or the new one, whole."""
        path = self.path(name)
        with self._explaining(name):
            if not self.is_local:
                self._patient("to write", name, lambda: self.fs.pipe_file(path, data))
                return
            temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
            try:
                _write_synced(temporary, data)
                os.replace(temporary, path)
            except BaseException:
                _remove_quietly(temporary)
                raise

    def publish(self, source: str, target: str) -> None:
        """Give the content of `source` the name `target` too, replacing what was there: a hard link where possible, on an
        object store a copy that the store makes, unless it is there."""
        with self._explaining(target):
            if self.is_remote:
                object_store.copy(self.fs, self.path(source), self.path(target), self._shown(target))
                return
            if not self.is_local:
                self.fs.cp_file(self.path(source), self.path(target))
                return
            temporary = f"{self.path(target)}.{uuid.uuid4().hex[:8]}.tmp"
            try:
                try:
                    os.link(self.path(source), temporary)
                except OSError as error:
                    if error.errno not in (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP):
                        raise
                    self.fs.cp_file(self.path(source), temporary)
                os.replace(temporary, self.path(target))
            except BaseException:
                _remove_quietly(temporary)
                raise

    def _patient(self, doing: str, name: str, call: Callable[[], _T]) -> _T:
        return patient(call, f"{doing} {self._shown(name)}") if self.is_remote else call()

    def _shown(self, name: str) -> str:
        return f"{shown(self.url)}/{name}"

    def _create_local(self, path: str, data: bytes) -> bool:
        temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
        try:
            _write_synced(temporary, data)
            faults.point("record-written")
            # link() is atomic and fails when the name exists: the record is whole or absent, whoever dies when.
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            _remove_quietly(temporary)
        return True

    @contextmanager
    def _explaining(self, name: str, spooled: bool = False) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(_explain(error, self._shown(name), spooled)) from error


class WatchedInput(io.RawIOBase):
    """An input stream that remembers when its storage fails.

    A disk or network error must stop the unit, not look like broken bytes of an archive: the readers of archives treat
    errors as damage of the file, so the failure is kept here, where the engine looks for it.
    """

    def __init__(self, inner: BinaryIO, name: str) -> None:
        self._inner = inner
        self._name = name
        self.failure: InputError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        return self._watch(lambda: self._inner.read(-1 if size is None else size))

    def readinto(self, buffer) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self.read(-1)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._watch(lambda: self._inner.seek(offset, whence))

    def tell(self) -> int:
        return self._inner.tell()

    def close(self) -> None:
        self._inner.close()
        super().close()

    def _watch(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except (OSError, StorageUnavailable) as error:
            said = getattr(error, "strerror", None) or error
            self.failure = InputError(
                f"reading {self._name} failed: {said}\n"
                "  try:    see to the disk or network, then run the same command: finished units are kept"
            )
            raise self.failure from error


def open_location(location: str, options: Mapping[str, object] | None = None) -> WatchedInput:
    """Open any path or fsspec URL for reading, seekable. Raises InputError when it cannot be opened."""
    fs, path = locate(location, options)
    try:
        if protocol_of(location) in ("file", "local", "memory"):
            return WatchedInput(cast(BinaryIO, fs.open(path, "rb")), location)
        return WatchedInput(open_remote(fs, path, shown(location), INPUT_BLOCK), shown(location))
    except (OSError, StorageUnavailable) as error:
        raise InputError(
            explain_mismatch(
                "an input cannot be read",
                wanted=shown(location),
                found=getattr(error, "strerror", None) or str(error),
                hint="check that it is still there and may be read, then run the same command: finished units are kept",
            )
        ) from error


def open_remote(fs: fsspec.AbstractFileSystem, path: str, name: str, block: int, size: int | None = None) -> BinaryIO:
    """Open a file of a remote store. `block`: bytes read beyond what is asked for, since the next read wants them."""
    known = {"size": size} if size is not None and "s3" in object_store.protocols(fs) else {}
    return cast(BinaryIO, PatientFile(lambda: fs.open(path, "rb", block_size=block, **known), name))


def _write_synced(path: str, data: bytes) -> None:
    with open(path, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def _remove_quietly(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _explain(error: OSError, path: str, spooled: bool = False) -> str:
    hints = {
        errno.ENOSPC: "free some space or give another --out, then run the same command: finished units are kept",
        errno.EDQUOT: "raise the quota or give another --out, then run the same command: finished units are kept",
        errno.EACCES: "check who owns the folder and that you may write there",
        errno.EROFS: "give --out a folder on a disk that can be written",
    }
    hint = hints.get(error.errno or 0, "check that the folder exists, can be written and has space")
    if spooled and error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = f"free some space in {tempfile.gettempdir()}, where a file is made before it is sent, or set TMPDIR"
    return f"cannot write {path}: {error.strerror or error}\n  try:    {hint}"
