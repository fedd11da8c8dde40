"""`curation submit` against a cluster with a token on loopback: ends, logs, secrets, refusals before anything is sent."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_demo import outputs
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import CurationError
from curation.recipe import load_recipe
from curation.runners import submit as jobs
from curation.runners.choose import executor_maker
from curation.runners.drive import run_pipeline

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

TOKEN = "0123456789abcdef0123456789abcdef"
SECRET = "wJalrXUtnFEMI-secret"
TESTS = Path(__file__).parent


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a head of two cores that asks for a token; it and what it started end with the tests."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets need short paths
    (Path(folder) / "token").write_text(TOKEN)
    port, dashboard, agent, client, metrics = free_ports(5)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": f"{folder}/token",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")]),
    }
    head = subprocess.Popen(
        [
            sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2", "--disable-usage-stats",
            "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--temp-dir={folder}/t", f"--port={port}",
            f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}",
            f"--ray-client-server-port={client}", f"--metrics-export-port={metrics}", "--object-store-memory=100000000",
        ],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{dashboard}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN_PATH", f"{folder}/token")
        try:
            await_job_api(address, head)
            yield address
        finally:
            head.send_signal(signal.SIGTERM)
            head.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


def await_job_api(address: str, head: subprocess.Popen) -> None:
    """Until the head takes jobs and its node has registered, which is some seconds later."""
    deadline = time.monotonic() + 120
    while True:
        assert head.poll() is None, "the head ended"
        try:
            if jobs.is_this_machine(jobs.connect(address)):
                return
        except CurationError:
            pass
        assert time.monotonic() < deadline, "the job API did not come up"
        time.sleep(0.5)


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["submit", *arguments])


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from curation.demo.build_warc import build_crawl

    folder = tmp_path_factory.mktemp("submit") / "crawl"
    folder.mkdir()
    build_crawl(folder)
    return folder


def test_a_run_as_a_job_leaves_what_a_local_one_leaves(cluster: str, crawl: Path, tmp_path: Path) -> None:
    """With a recipe in a file, which goes along; a variable of --env arrives and is nowhere shown."""
    (tmp_path / "mine").mkdir()
    recipe = (Path(__file__).parent.parent / "pipelines/demo.py").read_text()
    check = f"import os\nassert os.environ['WORD'] == {SECRET[::-1]!r}[::-1]\n"
    (tmp_path / "mine/recipe.py").write_text(recipe.replace("\nfrom curation", f"\n{check}\nfrom curation", 1))
    os.environ["WORD"] = SECRET
    try:
        found = invoke(
            str(tmp_path / "mine/recipe.py"), "--address", cluster, "--env", "WORD", "--job-id", "demo-1",
            "--", "--input", str(crawl), "--out", str(tmp_path / "out"), "--set", "warc.shard_mb=0.05",
        )  # fmt: skip
    finally:
        del os.environ["WORD"]
    assert found.exit_code == 0, found.output
    line = f"runs there: curation run recipe.py --runner ray --address auto --input {crawl} --out {tmp_path}/out"
    assert line in found.output and "job demo-1: succeeded" in found.output
    assert "output: " in found.output, "the log of the run is shown"
    assert "warning" not in found.output, "a cluster of this machine sees its paths"
    assert SECRET not in found.output
    from curation.recipe import with_settings

    local = with_settings(load_recipe("demo"), ["warc.shard_mb=0.05"])
    run_pipeline(local, [str(crawl)], str(tmp_path / "local"), executor_maker("local", workers=1))
    assert outputs(tmp_path / "out").keys() == outputs(tmp_path / "local").keys()
    assert outputs(tmp_path / "out") == outputs(tmp_path / "local")


def test_a_job_that_fails(cluster: str, tmp_path: Path) -> None:
    found = invoke("demo", "--address", cluster, "--", "--input", str(tmp_path / "nothing"), "--out", str(tmp_path / "out"))
    assert found.exit_code == jobs.EXIT_FAILED
    assert "an input cannot be read" in found.output and "failed, exit status 1" in found.output


def test_a_job_that_is_stopped_and_one_that_is_not_followed(cluster: str) -> None:
    client = jobs.connect(cluster)
    number = client.submit_job(entrypoint="echo be''gun; sleep 600")
    shown: list[str] = []

    def write(text: str) -> None:
        shown.append(text)
        if "begun" in text:
            threading.Thread(target=client.stop_job, args=(number,)).start()

    assert jobs.follow(client, number, write) == jobs.EXIT_STOPPED
    assert "stopped" in shown[-1] and "".join(shown).count("begun") == 1
    job = jobs.Job("demo", ("--help",), {})
    assert jobs.submit(job, cluster, shown.append, following=False, job_id="unfollowed") == 0
    assert f"ray job stop --address {cluster} unfollowed" in shown[-1]
    assert jobs.follow(client, "unfollowed", shown.append) == 0


def test_an_interrupt_leaves_the_job_running(cluster: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.py").write_text("import time\ntime.sleep(600)\n")
    program = (
        "import signal, sys\n"
        "from curation.runners import submit\n"
        # what is started in the background of a shell ignores it, and so do its children
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "job = submit.Job('recipe.py', ('--input', 'i', '--out', 'o'), {}, sys.argv[1])\n"
        "sys.exit(submit.submit(job, sys.argv[2], lambda t: print(t, end='', flush=True), job_id='interrupted'))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), cluster], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    client = jobs.connect(cluster)
    deadline = time.monotonic() + 60
    while not any(j.submission_id == "interrupted" and j.status.value == "RUNNING" for j in client.list_jobs()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.3)
    time.sleep(2)  # by now it follows
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == jobs.EXIT_INTERRUPTED, said
    assert "job interrupted goes on" in said and "ray job stop" in said
    assert client.get_job_info("interrupted").status.value == "RUNNING"
    client.stop_job("interrupted")


def test_secrets_stand_in_no_command_line(cluster: str, tmp_path: Path) -> None:
    arguments = ("--input", f"s3://key:{SECRET}@bucket/in", "--storage-option", f"s3.secret={SECRET}", "--out", str(tmp_path))
    shown: list[str] = []
    job = jobs.Job("no_such_recipe", arguments, {})
    assert jobs.submit(job, cluster, shown.append, job_id="secrets", places=[str(tmp_path)]) == jobs.EXIT_FAILED
    assert SECRET not in "".join(shown) and "s3.secret=***" in shown[0] and "s3://***@bucket/in" in shown[0]
    found = jobs.connect(cluster).get_job_info("secrets")
    assert SECRET not in found.entrypoint and SECRET not in (found.message or "")
    assert set((found.runtime_env or {})["env_vars"].values()) == {arguments[1], arguments[3]}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["--storage-option", "key=abc"], ["--storage-option", "key=***"]),
        (["--storage-option=key=abc"], ["--storage-option=key=***"]),
        (["--storage-option", "abc", "--out", "x=y"], ["--storage-option", "***", "--out", "x=y"]),
        (["--input", "https://host/a?sig=abc"], ["--input", "https://host/a?***"]),
        (["--input=s3://k:abc@b/c"], ["--input=s3://***@b/c"]),
        (["--set", "language.keep={eng_Latn: 0.8}"], ["--set", "language.keep={eng_Latn: 0.8}"]),
    ],
)
def test_what_is_masked(given: list[str], shown: list[str]) -> None:
    assert jobs.masked(given) == shown
    entrypoint, held = jobs.Job("demo", tuple(given), {}).entrypoint()
    assert "abc" not in entrypoint
    words = subprocess.run(
        ["bash", "-c", entrypoint.replace("python -m curation.cli", "printf '%s\\n'", 1)],
        env={**os.environ, **held}, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert words == ["run", "demo", "--runner", "ray", "--address", "auto", *given], "the shell makes the arguments of it"


# -- refused before anything is sent: no address below is ever spoken to

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--", "--out", "o"], "--input"),
        (["demo", "--", "--input", "i", "--out", "o", "--limit", "none"], "--limit"),
        (["demo", "--", "--input", "i", "--out", "o", "--nonsense"], "--nonsense"),
    ],
)
def test_options_are_read_as_run_reads_them(arguments: list[str], said: str) -> None:
    found = invoke(arguments[0], "--address", NOWHERE, *arguments[1:])
    assert found.exit_code == 2 and said in found.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["demo"], "no job API"),
        (["no_such_recipe"], "no recipe"),
        (["demo", "--env", "POLARS_MAX_THREADS=2"], "set by the run itself"),
        (["demo", "--env", "NOT_SET_ANYWHERE"], "not set here"),
        (["demo", "--runtime-env", "{tmp}/broken.yaml"], "cannot be read"),
        (["demo", "--runtime-env", "{tmp}/list.yaml"], "wanted a mapping"),
        (["demo", "--runtime-env", "{tmp}/pip.yaml", "--pip", "x"], "in one of them"),
        (["{tmp}/recipe.py", "--runtime-env", "{tmp}/dir.yaml"], "names a working_dir"),
        (["{tmp}/recipe.py", "--working-dir", "{tmp}/other"], "inside the working directory"),
        (["{tmp}/recipe.py", "--exclude", "*.py"], "not sent"),
        (["demo", "--working-dir", "{tmp}/none"], "wanted: a folder"),
    ],
)
def test_refused_here(options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    source = (Path(__file__).parent.parent / "pipelines/demo.py").read_text()
    (tmp_path / "recipe.py").write_text(source)
    (tmp_path / "other").mkdir()
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "list.yaml").write_text("[1]")
    (tmp_path / "pip.yaml").write_text("pip: [y]")
    (tmp_path / "dir.yaml").write_text("working_dir: .")
    given = [option.replace("{tmp}", str(tmp_path)) for option in options]
    with pytest.raises(CurationError, match=said):
        CliRunner().invoke(
            app, ["submit", *given, "--address", NOWHERE, "--", "--input", "i", "--out", "o"], catch_exceptions=False
        )


def test_a_cluster_elsewhere_needs_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from curation.runners import ray as runner

    for name in runner.TOKEN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(runner, "TOKEN_FILE", tmp_path / "none")
    with pytest.raises(CurationError, match="another machine"):
        jobs.connect("http://192.0.2.7:8265")
    with pytest.raises(CurationError, match="http://HOST:8265"):
        jobs.connect("192.0.2.7:8265")


def test_a_wrong_token_is_told_as_such(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN[::-1])
    with pytest.raises(CurationError, match="another token"):
        jobs.send(jobs.connect(cluster), jobs.Job("demo", (), {}))


def test_what_is_sent_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("recipe.py", "lists/words.txt", ".env", ".git/config", "data/crawl.warc.gz", "__pycache__/r.pyc", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"x" * 100)
    (tmp_path / "loop").symlink_to(tmp_path)
    sent = jobs.files_to_send(str(tmp_path), (*jobs.NOT_SENT, "*.md"))
    assert sorted(sent) == [("lists/words.txt", 100), ("recipe.py", 100)]
    monkeypatch.setattr(jobs, "MOST_BYTES", 150)
    with pytest.raises(CurationError, match=r"too large(.|\n)*recipe.py \(0.0 MB\)(.|\n)*--exclude"):
        jobs.files_to_send(str(tmp_path), jobs.NOT_SENT)


def test_the_runtime_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "env.yaml").write_text(yaml.safe_dump({"env_vars": {"A": "1"}, "config": {"setup_timeout_seconds": 60}}))
    monkeypatch.setenv("C", "3")
    job = jobs.make_job("demo", ["--out", "o"], env=["B=2=2", "C"], pip=["x==1"], runtime_env=tmp_path / "env.yaml")
    wanted = {"env_vars": {"A": "1", "B": "2=2", "C": "3"}, "config": {"setup_timeout_seconds": 60}, "pip": ["x==1"]}
    assert job.runtime_env == wanted and job.working_dir == "" and job.recipe == "demo"


def test_paths_of_one_machine() -> None:
    places = ["s3://b/c", "crawl/", "/data/x", "file:///x", "", "gs://b", "memory://m"]
    assert jobs.unshared(places) == ["crawl/", "/data/x", "file:///x", "memory://m"]


class _Flaky:
    """A client whose connection breaks in the middle of the log, `times` times."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def tail_job_logs(self, job_id: str):
        yield "one\n"
        if self.times:
            self.times -= 1
            raise RuntimeError("closed unexpectedly")
        yield "two \x1b[31m\n"

    def get_job_info(self, job_id: str) -> Any:
        from ray.job_submission import JobStatus

        return type("Info", (), {"status": JobStatus.SUCCEEDED, "message": "", "driver_exit_code": 0})


def test_a_lost_connection_is_made_anew_and_nothing_is_shown_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.time, "sleep", lambda seconds: None)
    shown: list[str] = []
    assert jobs.follow(_Flaky(3), "j", shown.append) == 0
    assert "".join(shown) == "one\ntwo [31m\njob j: succeeded\n"
    with pytest.raises(CurationError, match="cannot be followed"):
        jobs.follow(_Flaky(1000), "j", shown.append)
