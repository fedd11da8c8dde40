"""Send a run to a Ray cluster as a job: `curation run RECIPE --runner ray --address auto ...` on its head.

Everything that can be told here is told before anything is sent. A secret argument (--storage-option, a URL with a password or
a signature) goes as an environment variable, which Ray's dashboard masks, and stands in no command line that is shown.
Source: ours; Ray 2.60 job submission API.
"""

from __future__ import annotations

import asyncio
import fnmatch
import json
import os
import re
import shlex
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from curation.errors import CurationError, explain_mismatch

EXIT_FAILED, EXIT_STOPPED, EXIT_INTERRUPTED = 1, 3, 130
"""Exit statuses of `curation submit`: the job failed (or was refused), was stopped, Ctrl-C while following. 0: it succeeded."""

MOST_BYTES = 50_000_000
"""Bytes of a working directory that are sent."""

NOT_SENT = (".*", "__pycache__", "venv", "node_modules", "data")
"""Names in a working directory that are never sent: hidden ones (repositories, environments, credentials) and data."""

TAKEN = ("POLARS_MAX_THREADS", "RAY_ADDRESS")
"""Environment variables that the runner or Ray sets in every job."""

PATIENCE = 10
"""Times in a row that following may fail before it gives up; the job goes on."""

SECRET_OPTIONS = ("--storage-option",)
_ANSWER_SECONDS = 10.0
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Job:
    """A run to send: the recipe as the cluster will name it, options of `curation run`, Ray's runtime environment, and the
    folder that goes along, "" for none, less names that match `exclude`."""

    recipe: str
    arguments: tuple[str, ...]
    runtime_env: Mapping[str, Any]
    working_dir: str = ""
    exclude: tuple[str, ...] = field(default=NOT_SENT)

    def line(self) -> str:
        """The run as a command line for people, secrets masked."""
        shown = shlex.join([self.recipe, "--runner", "ray", "--address", "auto", *masked(self.arguments)])
        return f"curation run {shown}"

    def entrypoint(self) -> tuple[str, dict[str, str]]:
        """The shell command of the job, and the variables that hold its secret arguments."""
        words: list[str] = []
        held: dict[str, str] = {}
        for argument, shown in zip(self.arguments, masked(self.arguments), strict=True):
            if argument == shown:
                words.append(shlex.quote(argument))
            else:
                name = f"CURATION_ARGUMENT_{len(held) + 1}"
                held[name] = argument
                words.append(f'"${name}"')
        start = ["python", "-m", "curation.cli", "run", self.recipe, "--runner", "ray", "--address", "auto"]
        return " ".join([shlex.join(start), *words]), held


def masked(arguments: Sequence[str]) -> list[str]:
    """Arguments with what may be secret as `***`: values of --storage-option, users and queries of URLs."""
    shown, value_of_secret = [], False
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if value_of_secret:
            shown.append(f"{option}=***" if equals else "***")
        elif option in SECRET_OPTIONS and equals:
            shown.append(f"{option}={value.partition('=')[0]}=***")
        else:
            shown.append(mask_url(argument))
        value_of_secret = argument in SECRET_OPTIONS
    return shown


def mask_url(text: str) -> str:
    """A text with the user, password and query of a URL in it as `***`."""
    text = re.sub(r"://[^/@\s]+@", "://***@", text)
    return re.sub(r"(://[^?\s]*\?)\S+", r"\1***", text)


# -- what is sent


def make_job(
    recipe: str,
    arguments: Sequence[str],
    *,
    working_dir: str | None = None,
    exclude: Sequence[str] = (),
    env: Sequence[str] = (),
    pip: Sequence[str] = (),
    runtime_env: Path | None = None,
) -> Job:
    """The job of a recipe and options that `curation run` has accepted. A recipe in a file goes along with its folder, or with
    `working_dir`, which must hold it. Raises CurationError on what cannot be sent."""
    folder = working_dir or ""
    if Path(recipe).suffix in (".py", ".yaml", ".yml"):
        path = Path(recipe).resolve()
        folder = folder or str(path.parent)
        if not path.is_relative_to(Path(folder).resolve()):
            wanted = f"a recipe inside the working directory {folder}"
            raise CurationError(explain_mismatch("submit: RECIPE", wanted=wanted, found=recipe, hint="another --working-dir"))
        recipe = path.relative_to(Path(folder).resolve()).as_posix()
    environment = _environment(env, pip, runtime_env)
    if folder and "working_dir" in environment:
        raise CurationError("submit: --runtime-env names a working_dir, and so does --working-dir or a recipe in a file")
    job = Job(recipe, tuple(arguments), environment, folder, (*NOT_SENT, *exclude))
    if folder:
        sent = {name for name, _ in files_to_send(folder, job.exclude)}
        if Path(recipe).suffix and recipe not in sent:
            raise CurationError(
                explain_mismatch("submit: RECIPE is not sent", wanted="a name that nothing excludes", found=recipe)
            )
    return job


def _environment(env: Sequence[str], pip: Sequence[str], file: Path | None) -> dict[str, Any]:
    """Ray's runtime environment from options and a file."""
    found: Any = {}
    if file:
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise CurationError(f"submit: --runtime-env {file} cannot be read: {error}") from error
    if not isinstance(found, dict) or not isinstance(variables := found.get("env_vars") or {}, dict):
        raise CurationError(f"submit: --runtime-env {file}: wanted a mapping, with env_vars a mapping")
    if pip and found.get("pip"):
        raise CurationError("submit: packages in --pip and in --runtime-env: wanted in one of them")
    for entry in env:
        name, equals, value = entry.partition("=")
        if not equals and name not in os.environ:
            raise CurationError(f"submit: --env {name}: not set here; wanted KEY=VALUE, or KEY of a variable that is set")
        variables = {**variables, name: value if equals else os.environ[name]}
    if taken := sorted(set(TAKEN) & set(variables)):
        raise CurationError(f"submit: {', '.join(taken)} is set by the run itself and cannot be given")
    found = {**found, **({"env_vars": variables} if variables else {})}
    return {**found, "pip": list(pip)} if pip else found


def files_to_send(folder: str, exclude: Sequence[str]) -> list[tuple[str, int]]:
    """(path within the folder, bytes) of each file that goes along. CurationError beyond MOST_BYTES, naming the largest."""
    if not Path(folder).is_dir():
        raise CurationError(explain_mismatch("submit: --working-dir", wanted="a folder", found=folder))
    found: list[tuple[str, int]] = []
    total = 0
    for name, size in _walk(folder, exclude):
        found.append((name, size))
        total += size
        if total > MOST_BYTES:
            largest = ", ".join(f"{n} ({s / 1e6:.1f} MB)" for n, s in sorted(found, key=lambda f: -f[1])[:3])
            raise CurationError(
                explain_mismatch(
                    f"submit: the working directory {folder} is too large to send",
                    wanted=f"at most {MOST_BYTES / 1e6:g} MB of code and lists, without {', '.join(exclude)}",
                    found=f"more; largest so far: {largest}",
                    hint="--working-dir with only the recipe and its lists, or --exclude NAME; data goes to shared storage",
                )
            )
    return found


def _walk(folder: str, exclude: Sequence[str]) -> Iterator[tuple[str, int]]:
    def kept(names: list[str]) -> list[str]:
        return sorted(n for n in names if not any(fnmatch.fnmatchcase(n, pattern) for pattern in exclude))

    for where, folders, files in os.walk(folder):
        folders[:] = kept(folders)
        for name in kept(files):
            path = Path(where, name)
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path.stat().st_size


# -- sending and following


def submit(
    job: Job,
    address: str,
    write: Callable[[str], None],
    *,
    places: Sequence[str] = (),
    job_id: str | None = None,
    following: bool = True,
) -> int:
    """Send the job to the cluster at `address` and follow it; the exit status. `write` is given what to show; `places` are
    the run's inputs and output, named in a warning where they look like paths of one machine."""
    client = connect(address)
    write(f"runs there: {job.line()}\n")
    if (own := unshared(places)) and not is_this_machine(client):
        write(f"warning: every node must see these paths as shared folders (--shared-paths): {', '.join(own)}\n")
    number = send(client, job, job_id)
    where = mask_url(address)
    later = f"ray job logs --address {where} --follow {number}\n  ray job stop --address {where} {number}\n"
    write(f"job {number}; to follow or stop it:\n  {later}")
    try:
        return follow(client, number, write) if following else 0
    except KeyboardInterrupt:
        write(f"\njob {number} goes on:\n  {later}")
        return EXIT_INTERRUPTED


def connect(address: str) -> Any:
    """A client of the job API at `address` (http://HOST:8265). CurationError when it is elsewhere and there is no token, when
    it does not answer or refuses."""
    try:
        from ray.job_submission import JobSubmissionClient

        from curation.runners.ray import check_address
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] not in ("ray", "aiohttp", "requests"):
            raise
        raise CurationError(
            explain_mismatch(
                "submit needs Ray", wanted="the extra `ray`", found="not installed", hint="pip install 'curation[ray]'"
            )
        ) from error
    if urlsplit(address).scheme not in ("http", "https"):
        wanted = "the address of the dashboard, http://HOST:8265"
        raise CurationError(explain_mismatch("submit: --address", wanted=wanted, found=address))
    check_address(address)
    try:
        return JobSubmissionClient(address, headers=_headers())
    except ConnectionError as error:
        raise CurationError(
            f"no job API at {mask_url(address)}\n  try:    ray status there; the dashboard's port, 8265"
        ) from error
    except _failures() as error:
        raise _refused(address, error) from error


def _headers() -> dict[str, str]:
    """The token where there is one: Ray's client sends it by itself only when RAY_AUTH_MODE says so."""
    from curation.runners.ray import TOKEN_FILE

    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        return {}
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or TOKEN_FILE).expanduser()
    token = os.environ.get("RAY_AUTH_TOKEN") or (file.read_text(encoding="utf-8") if file.is_file() else "")
    return {"Authorization": f"Bearer {token.strip()}"} if token else {}


def _refused(address: str, error: Exception) -> CurationError:
    said = str(error)
    if re.search(r"Unauthorized|Forbidden|Authentication|\b40[13]\b", said):
        return CurationError(
            explain_mismatch(
                f"the cluster at {mask_url(address)} refuses",
                wanted="its token, in RAY_AUTH_TOKEN or the file of RAY_AUTH_TOKEN_PATH",
                found=f"status {'403, another token' if 'Forbidden' in said else '401, no token'}",
                hint="ray get-auth-token on the cluster",
            )
        )
    return CurationError(f"the cluster at {mask_url(address)} refuses: {said.strip().splitlines()[0][:500]}")


def send(client: Any, job: Job, job_id: str | None = None) -> str:
    """Submit the job; its id. CurationError when the cluster refuses it."""
    entrypoint, held = job.entrypoint()
    environment = dict(job.runtime_env)
    if held:
        environment["env_vars"] = {**environment.get("env_vars", {}), **held}
    with tempfile.TemporaryDirectory(prefix="curation-submit-") as staged:
        if job.working_dir:  # a copy, so that what is sent is what was counted
            for name, _ in files_to_send(job.working_dir, job.exclude):
                target = Path(staged, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(job.working_dir, name), target)
            environment["working_dir"] = staged
        try:
            return client.submit_job(entrypoint=entrypoint, runtime_env=environment, submission_id=job_id)
        except _failures() as error:
            raise _refused(client.get_address(), error) from error


def follow(client: Any, job_id: str, write: Callable[[str], None]) -> int:
    """Pass the job's log on until it ends; the exit status that stands for its end. A lost connection is made anew."""
    log = _Log(write)
    failures = 0
    while True:
        before = log.shown
        try:
            asyncio.run(log.tail(client, job_id))
            found = client.get_job_info(job_id)
        except _failures() as error:
            failures = 1 if log.shown > before else failures + 1
            if failures > PATIENCE:
                raise CurationError(f"job {job_id} cannot be followed any more, but may well go on: {error}") from error
            time.sleep(min(0.2 * 2**failures, 10))
            continue
        if found.status.is_terminal():
            return _exit_status(found, job_id, write)
        time.sleep(0.5)


def _failures() -> tuple[type[Exception], ...]:
    """What Ray's client raises when a cluster refuses or is not reached."""
    from aiohttp import ClientError
    from ray.exceptions import RayError

    return RuntimeError, ValueError, OSError, ClientError, RayError


class _Log:
    """A job's log, which is told from its beginning at every connection: each character is written once."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.shown = 0
        self._write = write

    async def tail(self, client: Any, job_id: str) -> None:
        seen = 0
        async for text in client.tail_job_logs(job_id):
            new = text[max(0, self.shown - seen) :]
            seen += len(text)
            if new:
                self._write(_CONTROL.sub("", new))
                self.shown = seen


def _exit_status(found: Any, job_id: str, write: Callable[[str], None]) -> int:
    status = str(found.status.value)
    code = "" if found.driver_exit_code in (None, 0) else f", exit status {found.driver_exit_code}"
    first = (found.message or "").strip().splitlines()[:1]
    write(f"job {job_id}: {status.lower()}{code}\n" + (f"  {first[0][:300]}\n" if first and status == "FAILED" else ""))
    return {"SUCCEEDED": 0, "STOPPED": EXIT_STOPPED}.get(status, EXIT_FAILED)


# -- what a node of the cluster cannot see


def is_this_machine(client: Any) -> bool:
    """Whether every node of the cluster is this machine: a port forwarded from elsewhere looks like one of ours."""
    import ray.util

    request = urllib.request.Request(f"{client.get_address()}/api/v0/nodes", headers=_headers())
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
            nodes = json.load(answer)["data"]["result"]["result"]
        own = {"127.0.0.1", "::1", ray.util.get_node_ip_address()}
        return bool(nodes) and all(node["node_ip"] in own for node in nodes if node["state"] == "ALIVE")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def unshared(places: Sequence[str]) -> list[str]:
    """Those of the places that are paths of one machine, as far as can be told from them."""
    return [place for place in places if place and urlsplit(place).scheme in ("", "file", "local", "memory")]
