"""Patience with remote stores: what passes is tried again, after a random pause that grows; what does not is told at once.

Two layers. A single request is tried four times by botocore (gcsfs: six times). Those cannot help when a stream breaks in
the middle of a body, when an upload of several parts loses one, when throttling lasts, or when the answer to a request is
lost, so here whole operations are done again. Each of them may be: reads, listings and deletions change nothing twice,
data files are written whole under names of their own, and the exclusive create looks at what is there (storage.py).

Pauses follow "full jitter": evenly from 0 to a bound that doubles, so that a thousand workers that were throttled together
do not come back together.
"""

from __future__ import annotations

import errno
import io
import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar, cast

from curation.errors import StorageUnavailable, explain_mismatch

logger = logging.getLogger("curation")

TRIES = 10
"""Times an operation is tried; with the pauses below, over about a minute, two at most."""

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 20.0

_T = TypeVar("_T")

_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
_PASSING_CODES = {
    "SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException",
    "RequestLimitExceeded", "BandwidthLimitExceeded", "OperationAborted", "ConditionalRequestConflict",
    "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch",
    "NoSuchUpload",  # the answer to the end of an upload in parts was lost: it is uploaded again, whole
}  # fmt: skip
_LASTING_STATUS = {400, 401, 403, 404, 405, 411, 412, 416, 501}
_PASSING_ERRORS = {
    # of botocore, aiohttp, urllib3, requests, httpx: a connection that fails, ends early or is too slow
    "HTTPClientError", "IncompleteReadError", "ResponseParserError", "ClientConnectionError", "ClientPayloadError",
    "ConnectionError", "IncompleteRead", "ProtocolError", "RequestException", "TransportError", "ChecksumError",
}  # fmt: skip
_WITH_STATUS = {"ClientResponseError", "HttpError"}  # of aiohttp, gcsfs
_PASSING_ERRNOS = {
    errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH,
    errno.ENETUNREACH, errno.ENETDOWN, errno.EAGAIN,
}  # fmt: skip


def reply_of(error: BaseException) -> tuple[str, int]:
    """Error code and HTTP status of the reply behind an error; "" and 0 where there was none."""
    for link in _causes(error):
        response = getattr(link, "response", None)
        if isinstance(response, dict):  # botocore
            code = str(response.get("Error", {}).get("Code", ""))
            status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            return code, status or (int(code) if code.isdigit() else 0)
        number = getattr(response, "status_code", None)  # requests, huggingface_hub
        if type(link).__name__ in _WITH_STATUS:  # others of aiohttp have a code too, which no server sent
            number = getattr(link, "status", None) or getattr(link, "code", None)
        if str(number).isdigit():
            return "", int(str(number))
    return "", 0


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


def is_taken(error: BaseException) -> bool:
    """Whether an exclusive write was refused because the name exists. Not every store says which condition failed."""
    code, status = reply_of(error)
    return isinstance(error, FileExistsError) or code == "PreconditionFailed" or status == 412


def passes(error: BaseException) -> bool:
    """Whether an error is one that may be gone the next time."""
    code, status = reply_of(error)
    if code in _PASSING_CODES or status in _PASSING_STATUS:
        return True
    if status in _LASTING_STATUS or isinstance(error, (FileNotFoundError, FileExistsError, PermissionError)):
        return False
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, (TimeoutError, ConnectionError)) or names & _PASSING_ERRORS:
        return "SSLError" not in names
    return isinstance(error, OSError) and error.errno in _PASSING_ERRNOS


def pause(tries: int) -> float:
    """Seconds to wait after so many tries that failed."""
    return random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**tries))


def patient(call: Callable[[], _T], what: str) -> _T:
    """The result of a call to a remote store, tried again while its errors pass. FileNotFoundError and FileExistsError are
    answers and go through; everything else becomes StorageUnavailable. `what`: the operation and place, for people."""
    for tries in range(1, TRIES + 1):
        try:
            return call()
        except Exception as error:
            code, _ = reply_of(error)
            if isinstance(error, FileExistsError) or (isinstance(error, FileNotFoundError) and not _lacks_more(code)):
                raise
            if not _is_of_storage(error):
                raise
            if not passes(error) or tries == TRIES:
                raise unavailable(error, what, tries) from error
            seconds = pause(tries)
            logger.debug("%s: %s; again in %.1f s", what, _shortly(error), seconds)
            time.sleep(seconds)
    raise AssertionError("unreachable")


def _lacks_more(code: str) -> bool:
    """Whether a code of status 404 says that more is missing than a file."""
    return code in ("NoSuchBucket", "NoSuchUpload")


def _is_of_storage(error: BaseException) -> bool:
    """Whether an error is a store's, and not a mistake in the program."""
    if isinstance(error, OSError) or reply_of(error) != ("", 0):
        return True
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "requests", "urllib3", "httpx",
                           "huggingface_hub", "fsspec", "s3fs"})  # fmt: skip


def unavailable(error: BaseException, what: str, tries: int) -> StorageUnavailable:
    """An error of a store as what was wanted, found and to be tried."""
    code, status = reply_of(error)
    names = {kind.__name__ for kind in type(error).__mro__}
    expired = "FileExpired" in names or getattr(error, "errno", None) == errno.ESTALE
    if code == "NoSuchBucket":
        hint = "check the name; buckets are not made here"
    elif isinstance(error, PermissionError) or status in (401, 403) or "Forbidden" in str(error):
        hint = "see docs/storage.md for the rights a run needs, and --profile or --storage-option for credentials"
    elif names & {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError"}:
        hint = "give credentials (--profile, --storage-option, the provider's environment variables), or anon=true"
    elif expired:
        hint = "let it be written to its end, then the same command: what was read from the old file is read anew"
    elif passes(error):
        hint = "see whether the store answers (endpoint_url, network, quota), then the same command: finished units are kept"
    else:
        hint = "check the address and the storage options (--profile, --storage-option)"
    found = "it changed while it was read" if expired else _shortly(error) + (f", after {tries} tries" if tries > 1 else "")
    return StorageUnavailable(explain_mismatch("a store cannot be used", wanted=what, found=found, hint=hint))


def _shortly(error: BaseException) -> str:
    code, status = reply_of(error)
    said = str(getattr(error, "strerror", None) or error).split("\n", 1)[0].strip() or type(error).__name__
    said = said.split("?", 1)[0] if "://" in said else said  # a signed link
    known = " ".join(str(part) for part in (status or "", code) if part and str(part) not in said)
    return f"{known}: {said}" if known else said


class PatientFile(io.RawIOBase):
    """A remote file that is read by ranges. A read that breaks is done again from where it began, and so is one that brought
    fewer bytes than the file has there."""

    def __init__(self, open_file: Callable[[], BinaryIO], name: str) -> None:
        self._open, self._name = open_file, name
        self._inner = cast(Any, patient(open_file, f"to open {name}"))
        self._size = int(self._inner.size)
        self._identity = _identity(self._inner)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        data = patient(lambda: self._read(wanted), f"to read {self._name} from byte {self._at}")
        self._at += len(data)
        return data

    def _read(self, wanted: int) -> bytes:
        if self._inner is None:
            self._inner = cast(Any, self._open())
            if (self._inner.size, _identity(self._inner)) != (self._size, self._identity):
                raise OSError(errno.ESTALE, "it changed while it was read")
        try:
            self._inner.seek(self._at)
            data = self._inner.read(wanted)
        except Exception:
            inner, self._inner = self._inner, None
            inner.close()
            raise
        if len(data) != wanted:
            self._inner = None
            raise ConnectionError(f"{len(data)} bytes came where there are {wanted}")
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self.read(-1)

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()
            self._inner = None
        super().close()


def _identity(file: Any) -> object:
    details = getattr(file, "_details", None) or {}  # what was asked when it was opened, if anything was
    return details.get("ETag") or details.get("etag") or details.get("generation")
