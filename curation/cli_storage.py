"""What verbs have in common: the storage options of those that take a folder, a URL or inputs, and the log."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Annotated, Any, Optional

import typer

from curation.errors import CurationError
from curation.storage_options import storage_options, use

STORAGE_OPTION = Annotated[
    Optional[list[str]],
    typer.Option(
        "--storage-option",
        metavar="[WHERE.]KEY=VALUE",
        help="For remote storage, e.g. requester_pays=true or s3://bucket.anon=true. Repeatable; see docs/storage.md.",
    ),
]
PROFILE = Annotated[
    Optional[str],
    typer.Option("--profile", help="Storage options of that name in ~/.config/curation/storage.toml (CURATION_STORAGE)."),
]

TALKATIVE = ("botocore", "aiobotocore", "boto3", "s3fs", "gcsfs", "fsspec", "urllib3", "google", "httpx", "httpcore", "asyncio")
"""Libraries whose debug log holds headers and signatures of requests."""


def with_storage(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb with --storage-option and --profile, which hold for all that it opens."""

    @functools.wraps(verb)
    def opened(*arguments: Any, storage_option: list[str] | None = None, profile: str | None = None, **named: Any) -> None:
        use(storage_options(storage_option or (), profile))
        verb(*arguments, **named)

    signature = inspect.signature(verb, eval_str=True)
    added = {"storage_option": STORAGE_OPTION, "profile": PROFILE}
    parameters = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=a) for n, a in added.items()]
    opened.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *parameters])  # type: ignore[attr-defined]
    opened.__annotations__ = {**verb.__annotations__, **added}
    return opened


def quiet_libraries() -> None:
    """Keep what libraries of storage say at the level debug out of the log, whatever its level."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.INFO)


def set_log(level: str) -> None:
    """Send the package's log to standard error at `level`."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise CurationError(f"--log-level: wanted debug, info, warning or error, found {level!r}")
    logging.basicConfig(level=number, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S", force=True)
    quiet_libraries()
