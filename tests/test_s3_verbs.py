"""Every verb on an S3-compatible server: with a profile, with options, and without a secret in anything it leaves."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_stages import Lines
from faulty_proxy import FaultyProxy
from s3_cases import KEY_ID, SECRET, Store, serve
from test_engine import pipeline
from typer.testing import CliRunner

from curation.cli import app
from curation.dedup.minhash import Minhash
from curation.demo.build_warc import build_crawl, load_catalogue
from curation.runners.choose import executor_maker
from curation.runners.drive import run_pipeline
from curation.storage_options import PROFILES_VARIABLE, use

backend = pytest.fixture(scope="module")(serve)


@pytest.fixture
def store(backend: str) -> Iterator[Store]:
    proxy = FaultyProxy(int(backend.rpartition(":")[2]))
    yield Store(proxy, backend)
    proxy.close()
    use(None)


def test_no_verb_leaves_a_secret_anywhere(store: Store, tmp_path: Path) -> None:
    """Keys of a profile open everything and are written nowhere, at the most talkative level of the log."""
    build_crawl(tmp_path / "crawl")
    crawl, out = store.put(tmp_path / "crawl", "crawl"), f"{store.url}/out"
    kept = next(page.url for page in load_catalogue() if page.fate == "kept")
    environment = {**os.environ, PROFILES_VARIABLE: str(store.profile(tmp_path / "storage.toml"))}
    told = ""
    for verb, expected in (
        (["run", "demo", "--input", crawl, "--out", out, "--workers", "2", "--log-level", "debug"], "kept "),
        (["explain", "demo", "--input", crawl], "segment 0"),
        (["plan", "demo", "--input", crawl], "documents"),
        (["census", out, "--json"], "bytes_accounted"),
        (["peek", out], " of "),
        (["why", "https://no.example/", out], "no such document"),
        (["why", kept, out, "--page"], "the text kept is the run's"),
        (["page", f"{crawl}/no.html"], "cannot be read"),
        (["contamination", out], ""),
        (["run", "demo", "--input", f"s3://no-such-bucket-{store.bucket}", "--out", out], "cannot be read"),
        (["run", "demo", "--input", crawl, "--out", f"s3://no-such-{store.bucket}/out"], "buckets are not made here"),
        (["clean", out], "freed"),
    ):
        command = [sys.executable, "-m", "curation.cli", *verb, "--profile", "proof"]
        made = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert expected in made.stdout + made.stderr and "Traceback" not in made.stderr, (verb, made.stdout, made.stderr)
        told += made.stdout + made.stderr
    stored = b"".join(store.files.cat_file(name) for name in store.files.find(store.bucket))
    assert store.bucket in told and len(stored) > 10_000
    for secret in (SECRET, KEY_ID):
        assert secret not in told and secret.encode() not in stored
    wrong = [f"--storage-option={key}={value}" for key, value in {**store.options, "secret": "wrong"}.items()]
    assert all("wrong" not in CliRunner().invoke(app, ["peek", out, option, "--profile", "none"]).output for option in wrong)


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_an_index_on_a_store(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = random.Random(3)
    lines = [" ".join(generator.choice("abcdefgh") * generator.randint(2, 9) for _ in range(60)) for _ in range(12)]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("\n".join(lines) + "\n")
    recipe = pipeline(Minhash(share_of=(), partitions=28), source=Lines(10**6))
    run_pipeline(recipe, [str(tmp_path / "in")], str(tmp_path / "out"), executor_maker("local", workers=1))
    monkeypatch.setenv(PROFILES_VARIABLE, str(store.profile(tmp_path / "storage.toml")))
    index = f"{store.url}/index"
    given = [f"--storage-option={key}={json.dumps(value)}" for key, value in store.options.items() if isinstance(value, dict)]
    given += [f"--storage-option=s3.{key}={value}" for key, value in store.options.items() if isinstance(value, str)]
    store.proxy.period = 20
    assert "index of near-duplicates" in invoke("index", "build", str(tmp_path / "out"), index, *given)
    assert "as they were written" in invoke("index", "inspect", index, "--verify", "--profile", "proof")
    assert "member" in invoke("index", "inspect", index, "--member", "3", "--profile", "proof")
    taken = CliRunner().invoke(app, ["index", "build", str(tmp_path / "out"), index, "--profile", "proof"])
    assert "this index exists" in str(taken.exception)
