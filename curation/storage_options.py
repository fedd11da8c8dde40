"""Options of storage: credentials, endpoints, requester-pays. They belong to a process, never to a recipe or a result.

An option applies to every remote file system, to one protocol (`s3`) or to what lies under a URL (`s3://bucket/folder`);
the longest that fits wins. They come from profiles in a file, from the command line, or from `use`, and go to fsspec as
they are. Nothing here prints a value: a dictionary of options shows its names only.
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import fsspec
import yaml
from fsspec.core import url_to_fs

from curation.errors import RecipeError, StorageError, explain_mismatch

logger = logging.getLogger("curation")

PROFILES_VARIABLE = "CURATION_STORAGE"
PROFILES_FILE = Path("~/.config/curation/storage.toml")

ALIASES = {"s3a": "s3", "gcs": "gs"}

EXTRAS = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "hf": ("huggingface_hub", "hf")}
"""Protocol -> the module it needs, and our extra that installs it."""

EXCLUSIVE = ("s3", "gs")
"""Protocols whose file systems turn an exclusive write into a condition that the store itself checks."""

_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # Other processes write to the same folders, so a remembered listing is a wrong one. Four parts of 50 MiB at a time
    # bound the memory of an upload. Retries of a single request are botocore's, with full jitter; see transport.py.
    "s3": {
        "use_listings_cache": False,
        "max_concurrency": 4,
        "config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 4}, "connect_timeout": 10, "read_timeout": 60},
    },
    "gs": {"use_listings_cache": False},
}

_SESSION_NAMES = {"profile", "use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache", "region"}


_TEXTS = {"key", "secret", "token", "username", "password"}
"""Options that are taken as they are written: as YAML, a key of digits would be a number."""


class StorageOptions(dict[str, Any]):
    """Options as a dictionary that never shows its values. A key that is a protocol or has `://` holds a dictionary of
    options for that place; every other key is an option of every remote file system."""

    def __repr__(self) -> str:
        return f"StorageOptions({', '.join(sorted(self))})"

    __str__ = __repr__

    def __reduce__(self) -> tuple:
        return StorageOptions, (dict(self),)


_of_process = StorageOptions()


def use(options: Mapping[str, Any] | None) -> None:
    """Let these options hold for every place this process opens, beneath those that a call is given."""
    global _of_process
    _of_process = StorageOptions(options or {})


def of_process() -> StorageOptions:
    """The options `use` has set, for processes that work on the same."""
    return _of_process


def protocol_of(url: str) -> str:
    """The protocol of a URL, `file` for a path."""
    head, found, _ = str(url).partition("://")
    return ALIASES.get(head, head) if found else "file"


def options_for(url: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The options that apply to a URL: those of the process, then the given ones, each from the general to the special."""
    if protocol_of(url) in ("file", "memory"):
        return {}
    found: dict[str, Any] = {}
    for layer in (_of_process, options or {}):
        places = [key for key, value in layer.items() if _is_place(key, value)]
        found.update({key: value for key, value in layer.items() if key not in places})
        for place in sorted((p for p in places if _covers(p, url)), key=lambda p: ("://" in p, len(p))):
            found.update(layer[place])
    return found


def _is_place(key: str, value: object) -> bool:
    return isinstance(value, Mapping) and ("://" in key or key in fsspec.available_protocols())


def _covers(place: str, url: str) -> bool:
    if "://" not in place:
        return ALIASES.get(place, place) == protocol_of(url)
    wanted, given = (f"{protocol_of(u)}://{u.partition('://')[2].rstrip('/')}/" for u in (place, url))
    return given.startswith(wanted)


def locate(url: str, options: Mapping[str, Any] | None = None) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a path or URL, and the path in it. Raises StorageError where its library is not installed, and
    RecipeError for an option that it does not have."""
    protocol = protocol_of(url)
    if protocol in EXTRAS and importlib.util.find_spec(EXTRAS[protocol][0]) is None:
        module, extra = EXTRAS[protocol]
        raise StorageError(
            explain_mismatch(
                f"{shown(url)} needs the extra `{extra}`",
                wanted=f"the library {module}",
                found="not installed",
                hint=f"pip install 'curation[{extra}]'",
            )
        )
    given = options_for(url, options)
    if protocol == "s3":
        given = _for_s3(given)
    try:
        fs, path = url_to_fs(url, **{**_DEFAULTS.get(protocol, {}), **given})
    except (ImportError, ValueError) as error:
        raise StorageError(
            explain_mismatch(f"no file system for {shown(url)}", wanted="a path, or a URL fsspec knows", found=error)
        ) from error
    if protocol == "s3":
        fs.retries = 1  # ours are around whole operations (transport.py): nested ones would multiply
    return fs, path


def _for_s3(given: Mapping[str, Any]) -> dict[str, Any]:
    from s3fs import S3FileSystem

    known = set(inspect.signature(S3FileSystem.__init__).parameters) - {"self", "kwargs"} | _SESSION_NAMES
    if unknown := sorted(set(given) - known):
        raise RecipeError(
            explain_mismatch(
                "s3 has no such storage option",
                wanted="key, secret, token, anon, endpoint_url, region, requester_pays, profile, client_kwargs, of s3fs",
                found=", ".join(unknown),
            )
        )
    made = dict(given)
    if region := made.pop("region", None):
        made["client_kwargs"] = {"region_name": region, **made.get("client_kwargs", {})}
    made["config_kwargs"] = {**_DEFAULTS["s3"]["config_kwargs"], **made.get("config_kwargs", {})}
    return made


def shown(url: str) -> str:
    """A URL without what may be secret in it: user, password, query (a signed link carries its signature there)."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    query = parts.query if protocol_of(url) not in ("http", "https") else ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


# -- from the command line and from profiles


def storage_options(given: Sequence[str] = (), profile: str | None = None) -> StorageOptions:
    """Options of a profile, and over them those given as `KEY=VALUE`, `PROTOCOL.KEY=VALUE` or `URL.KEY=VALUE`, where VALUE
    is YAML. Raises RecipeError, which names what it does not understand and never a value."""
    merged = load_profile(profile) if profile else StorageOptions()
    for text in given:
        where, name, value = _parse(text)
        if where:
            merged[where] = {**merged.get(where, {}), name: value}
        else:
            merged[name] = value
    return merged


def _parse(text: str) -> tuple[str, str, Any]:
    key, equals, raw = text.partition("=")
    where, _, name = key.rpartition(".")
    if not equals or not name.isidentifier():
        raise RecipeError(
            explain_mismatch(
                "--storage-option",
                wanted="KEY=VALUE, s3.KEY=VALUE or s3://bucket/folder.KEY=VALUE",
                found=f"{key!r}, {'with' if equals else 'without'} a value",
            )
        )
    if where and "://" not in where and where not in fsspec.available_protocols():
        known = "a protocol such as s3, gs, hf, https, or a URL"
        raise RecipeError(explain_mismatch(f"--storage-option {key}", wanted=known, found=where))
    if name in _TEXTS:
        return where, name, raw
    try:
        return where, name, yaml.safe_load(raw)
    except yaml.YAMLError:
        raise RecipeError(f"--storage-option {key}: its value is no YAML; quote it: {name}='\"...\"'") from None


def profiles_path() -> Path:
    """Where profiles are: the file CURATION_STORAGE names, else ~/.config/curation/storage.toml."""
    return Path(os.environ.get(PROFILES_VARIABLE) or PROFILES_FILE).expanduser()


def load_profile(name: str) -> StorageOptions:
    """The options of a profile; `{env = "NAME"}` is the value of that environment variable. Raises RecipeError."""
    path = profiles_path()
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = f"write it, or name another with {PROFILES_VARIABLE}"
        found = error.strerror or "no such file"
        raise RecipeError(explain_mismatch(f"--profile {name}", wanted=f"the file {path}", found=found, hint=hint)) from None
    except ValueError:
        # What TOML's own message quotes may be a secret.
        raise RecipeError(f"--profile {name}: {path} is no TOML\n") from None
    if not isinstance(profiles.get(name), dict):
        found = ", ".join(sorted(profiles)) or "none"
        raise RecipeError(explain_mismatch(f"--profile {name}", wanted=f"a table of that name in {path}", found=found))
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        logger.warning("%s can be read by others on this machine: chmod 600 it", path)
    return StorageOptions(_from_environment(profiles[name], name))


def _from_environment(value: Any, profile: str) -> Any:
    if not isinstance(value, dict):
        return value
    if set(value) == {"env"}:
        variable = str(value["env"])
        if variable not in os.environ:
            subject = f"--profile {profile} names an environment variable"
            raise RecipeError(explain_mismatch(subject, wanted=variable, found="it is not set"))
        return os.environ[variable]
    return {key: _from_environment(inner, profile) for key, inner in value.items()}
