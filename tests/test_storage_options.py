"""Storage options: which apply to which URL, where they come from, and that nothing shows a value."""

from __future__ import annotations

import importlib.util
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation import storage_options
from curation.errors import RecipeError, StorageError, StorageUnavailable
from curation.storage import Folder
from curation.storage_options import PROFILES_VARIABLE, StorageOptions, locate, options_for, shown, use
from curation.transport import is_taken, passes, patient, pause, reply_of

parse = storage_options.storage_options


@pytest.fixture(autouse=True)
def nothing_used() -> Iterator[None]:
    yield
    use(None)


def test_the_longest_place_wins() -> None:
    options = parse(
        ["anon=true", "s3.anon=false", "s3.key=007", "s3://commoncrawl.anon=true", "s3://a/b.key=x", "gs.token=t",
         "client_kwargs={region_name: eu-west-1}"]
    )  # fmt: skip
    assert options_for("s3://mine/x", options)["key"] == "007", "a key of digits is a text"
    assert options_for("s3://mine/x", options)["anon"] is False
    assert options_for("s3://commoncrawl/crawl-data", options)["anon"] is True
    assert options_for("s3://commoncrawl-other/x", options)["anon"] is False, "a bucket is not a prefix of letters"
    assert options_for("s3a://a/b/c", options)["key"] == "x"
    assert options_for("gs://bucket/x", options) == {
        "anon": True, "token": "t", "client_kwargs": {"region_name": "eu-west-1"},
    }  # fmt: skip
    assert options_for("/a/path", options) == options_for("memory://x", options) == {}
    use({"key": "process", "secret": "process"})
    assert options_for("s3://x/y", {"key": "given"}) == {"key": "given", "secret": "process"}


@pytest.mark.parametrize("text", ["key", "=x", "s3.=x", "nowhere.key=x", "s3://bucket=x", "max_paths=[hidden-value"])
def test_options_that_cannot_be_read_are_named_without_their_value(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse([text])
    assert "hidden-value" not in str(caught.value)


def test_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "storage.toml"
    monkeypatch.setenv(PROFILES_VARIABLE, str(path))
    with pytest.raises(RecipeError, match="storage.toml"):
        parse(profile="work")
    path.write_text(
        '[work]\nanon = false\n[work.s3]\nkey = "k"\nsecret = {env = "PROOF_SECRET"}\n["work"."s3://open"]\nanon = true\n'
    )
    with pytest.raises(RecipeError, match="PROOF_SECRET"):
        parse(profile="work")
    monkeypatch.setenv("PROOF_SECRET", "hush")
    path.chmod(0o600)
    caplog.clear()
    options = parse(["s3.key=other"], "work")
    assert options_for("s3://b/x", options) == {"anon": False, "key": "other", "secret": "hush"}
    assert options_for("s3://open/x", options)["anon"] is True
    assert not caplog.records
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        parse(profile="work")
    assert "can be read by others" in caplog.text and "hush" not in caplog.text
    with pytest.raises(RecipeError, match="found:  work"):
        parse(profile="home")
    path.write_text('secret = "hush\n')
    with pytest.raises(RecipeError, match="no TOML") as caught:
        parse(profile="work")
    assert "hush" not in str(caught.value)


def test_nothing_shows_a_value() -> None:
    options = StorageOptions({"secret": "hush", "s3": {"secret": "hush"}})
    folder = Folder("s3://bucket/out", {"secret": "hush"})
    for thing in (options, folder, pickle.loads(pickle.dumps(options)), pickle.loads(pickle.dumps(folder)), {"a": options}):
        assert "hush" not in f"{thing!r} {thing}"
    assert pickle.loads(pickle.dumps(folder)).options == {"secret": "hush"}
    assert Folder("s3://bucket/out") == folder, "options are no part of what a folder is"
    assert shown("https://user:hush@host/a.gz?X-Amz-Signature=hush") == "https://host/a.gz"
    assert shown("/data/a?b") == "/data/a?b"


def test_what_is_not_installed_or_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="no file system for nowhere://x"):
        locate("nowhere://x")
    if importlib.util.find_spec("s3fs"):
        with pytest.raises(RecipeError, match="no such storage option(.|\n)*sekret") as caught:
            locate("s3://bucket/x", {"sekret": "hush"})
        assert "hush" not in str(caught.value)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for url, extra in (("s3://b/x", "s3"), ("gs://b/x", "gs"), ("gcs://b/x", "gs"), ("hf://datasets/a/b", "hf")):
        with pytest.raises(StorageError, match=rf"pip install 'curation\[{extra}\]'"):
            locate(url)


def test_inputs_only() -> None:
    pytest.importorskip("huggingface_hub", reason="the extra `hf` is not installed")
    with pytest.raises(StorageError, match=r"cannot be an output folder(.|\n)*for reading inputs"):
        Folder("hf://datasets/someone/something").make("work/parts")


class ClientError(Exception):
    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


class HttpError(Exception):
    """As gcsfs has it."""

    def __init__(self, code: int) -> None:
        super().__init__(f"status {code}")
        self.code = code


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ClientError("SlowDown", 503), True), (ClientError("InternalError", 500), True),
        (ClientError("NoSuchUpload", 404), True),
        (ClientError("ConditionalRequestConflict", 409), True), (ClientError("AccessDenied", 403), False),
        (ClientError("InvalidRequest", 400), False), (HttpError(429), True), (HttpError(404), False), (TimeoutError(), True),
        (ConnectionResetError(104, "reset"), True), (FileNotFoundError("x"), False), (PermissionError("x"), False),
        (OSError(28, "full"), False), (ValueError("x"), False),
    ],
)  # fmt: skip
def test_what_passes(error: Exception, expected: bool) -> None:
    assert passes(error) is expected
    wrapped = OSError("said otherwise")
    wrapped.__cause__ = error
    if reply_of(error) != ("", 0):
        assert passes(wrapped) is expected


def test_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    failures = [ClientError("SlowDown", 503)] * 9
    assert patient(lambda: failures.pop() and _raise(ClientError("SlowDown", 503)) if failures else "done", "x") == "done"
    assert len(slept) == 9 and len(set(slept)) == 9, "jitter"
    bounds = [min(20.0, 0.25 * 2**tries) for tries in range(1, 10)]
    assert all(0 <= s <= bound for s, bound in zip(slept, bounds, strict=True)) and max(pause(20) for _ in range(99)) <= 20
    with pytest.raises(StorageUnavailable, match="after 10 tries"):
        patient(lambda: _raise(ClientError("SlowDown", 503)), "x")
    with pytest.raises(ZeroDivisionError):
        patient(lambda: 1 // 0, "a mistake of the program is no matter of the store")
    with pytest.raises(FileNotFoundError):
        patient(lambda: _raise(FileNotFoundError("x")), "an answer")
    assert is_taken(ClientError("PreconditionFailed", 412)) and is_taken(FileExistsError()) and not is_taken(HttpError(403))


def _raise(error: Exception) -> None:
    raise error
