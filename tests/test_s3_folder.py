"""Folders on an S3-compatible store, one fault at a time: what a retry may do twice, and what may be done once only."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from faulty_proxy import KINDS, FaultyProxy, Request
from s3_cases import SECRET, Store, serve

from curation import transport
from curation.errors import InputError, StorageError, StorageUnavailable
from curation.storage import Folder, open_location

backend = pytest.fixture(scope="module")(serve)


@pytest.fixture
def store(backend: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(transport, "FIRST_PAUSE_S", 0.001)
    proxy = FaultyProxy(int(backend.rpartition(":")[2]))
    yield Store(proxy, backend)
    proxy.close()


def folder_of(store: Store, **options: object) -> Folder:
    return Folder(f"{store.url}/out", {**store.options, **options})


def is_put(request: Request) -> bool:
    return request.method == "PUT"


def test_a_folder_keeps_its_promises(store: Store) -> None:
    folder = folder_of(store)
    folder.make("work/parts")
    assert folder.names("work") == {}, "what tried the store is gone"
    assert folder.create("work/record", b"first") and not folder.create("work/record", b"second")
    assert folder.read("work/record") == b"first"
    folder.replace("census.json", b"{}")
    folder.replace("census.json", b"{1}")
    assert folder.names("") == {"census.json": 3} and folder.size("census.json") == 3
    assert folder.exists("census.json") and not folder.exists("census") and folder.size("none") is None
    assert folder.names("nowhere") == {}
    folder.publish("census.json", "documents/copy")
    assert folder.read("documents/copy") == b"{1}"
    folder.delete("documents/copy")
    folder.delete("documents/copy")
    assert folder.names("documents") == {}
    folder.delete_folder("work")
    folder.delete_folder("work")
    assert folder.names("work") == {}
    assert folder.fs.retries == 1 and pickle.loads(pickle.dumps(folder)).size("census.json") == 3


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "cut_answer"])
def test_one_create_wins_whatever_happens_to_its_answer(store: Store, kind: str) -> None:
    """The answer to a create that succeeded may be lost: the file it meets when tried again is its own."""
    folder = folder_of(store)
    times = 1 if kind == "slow" else 2
    store.proxy.order(kind, is_put, times)
    assert folder.create("record", b"ours")
    assert store.proxy.counts[kind] == times
    store.proxy.order(kind, is_put)
    assert not folder.create("record", b"theirs")
    assert folder.read("record") == b"ours"


@pytest.mark.parametrize("attempts", [1, 4])
def test_many_create_one_file(store: Store, attempts: int) -> None:
    store.proxy.period = 3
    retries = {"config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": attempts}}}
    folders = [folder_of(store, **retries) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for turn in range(5):
            made = list(pool.map(lambda i, turn=turn: folders[i].create(f"record{turn}", b"%d" % i), range(8)))
            assert sum(made) == 1, made
            assert folders[0].read(f"record{turn}") == b"%d" % made.index(True)
    assert store.proxy.counts["lost_answer"] and store.proxy.counts["slow_down"]


def test_every_operation_survives_every_fault(store: Store) -> None:
    folder = folder_of(store)
    big = os.urandom(1_600_000)
    store.proxy.period = 3
    for turn in range(8):
        assert folder.create(f"c/{turn}", b"%d" % turn)
        written = folder.write(f"p/{turn}", lambda out: [out.write(big[i : i + 70_001]) for i in range(0, len(big), 70_001)][0])
        assert written.bytes == len(big)
        folder.publish(f"p/{turn}", f"d/{turn}")
        with folder.open(f"d/{turn}") as stream:
            stream.seek(-1000, 2)
            assert stream.read() == big[-1000:]
            stream.seek(500_000)
            assert stream.read(1_000_000) == big[500_000:1_500_000]
        assert folder.read(f"c/{turn}") == b"%d" % turn
        folder.delete(f"p/{turn}")
        assert folder.names("d") == {str(i): len(big) for i in range(turn + 1)}
    assert folder.names("p") == {}
    folder.delete_folder("d")
    assert folder.names("d") == {}
    assert all(store.proxy.counts[kind] >= 3 for kind in KINDS), store.proxy.counts


def test_an_upload_in_parts_is_done_again_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that fail, and an end whose answer is lost: tried again, the upload is said to be unknown."""
    from s3fs import core

    monkeypatch.setattr(core, "calculate_chunksize", lambda size, **options: 5 << 20)
    folder = folder_of(store)
    data = os.urandom(1 << 20)

    def fill(out) -> None:
        for _ in range(18):
            out.write(data)

    store.proxy.order("slow_down", lambda r: "partNumber=2" in r.path)
    store.proxy.order("lost_answer", lambda r: r.method == "POST" and "uploadId=" in r.path)
    written = folder.write("big", fill)
    assert written.bytes == folder.size("big") == 18 << 20
    assert store.proxy.counts["slow_down"] == store.proxy.counts["lost_answer"] == 1
    with folder.open("big") as stream:
        stream.seek(17 << 20)
        assert stream.read() == data
    assert not store.files.list_multipart_uploads(store.bucket)
    store.proxy.order("cut_answer", lambda r: r.method == "GET" and "range" in {h.lower() for h in r.headers})
    with open_location(f"{store.url}/out/big", store.options) as stream:
        assert stream.read(1 << 20) == data
    assert store.proxy.counts["cut_answer"] == 1


def test_a_failed_fill_sends_nothing(store: Store) -> None:
    def fill(out) -> None:
        out.write(b"some")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        folder_of(store).write("data", fill)
    assert not [r for r in store.proxy.requests if r.method in ("PUT", "POST")]


def test_a_listing_of_many_pages(store: Store) -> None:
    forward = store.proxy.forward

    def short_pages(request: Request):
        more = "&max-keys=10" if "list-type=2" in request.path and "max-keys" not in request.path else ""
        return forward(replace(request, path=request.path + more))

    store.proxy.forward = short_pages  # type: ignore[method-assign]
    for number in range(35):
        store.files.pipe_file(f"{store.bucket}/out/many/{number:05d}", b"x")
    store.proxy.order("cut_answer", lambda r: "continuation-token" in r.path)
    store.proxy.order("slow_down", lambda r: "continuation-token" in r.path)
    folder = folder_of(store)
    assert len(folder.names("many")) == 35
    assert store.proxy.counts["cut_answer"] == store.proxy.counts["slow_down"] == 1
    assert sum("continuation-token" in request.path for request in store.proxy.requests) > 3
    folder.delete_folder("many")
    assert folder.names("many") == {}


def test_a_store_that_is_down_is_not_a_missing_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it taken for one, a unit that is done would be done again and its record deleted."""
    monkeypatch.setattr(transport, "TRIES", 3)
    folder = folder_of(store)
    folder.create("record", b"{}")
    for call in (lambda: folder.size("record"), lambda: folder.exists("record"), lambda: folder.names(""),
                 lambda: folder.read("record"), lambda: folder.delete("record"), lambda: folder.open("record")):  # fmt: skip
        store.proxy.order("slow_down", lambda r: True, times=3)
        with pytest.raises(StorageUnavailable, match=r"503(.|\n)*after 3 tries(.|\n)*same command"):
            call()
    assert not issubclass(StorageUnavailable, StorageError)
    assert folder.read("record") == b"{}"


def test_what_lasts_is_told_at_once(store: Store) -> None:
    missing = Folder("s3://no-such-bucket-here/out", store.options)
    with pytest.raises(StorageUnavailable, match=r"no-such-bucket-here(.|\n)*NoSuchBucket(.|\n)*buckets are not made here"):
        missing.make("work")
    with pytest.raises(StorageUnavailable, match="NoSuchBucket"):
        missing.names("work")
    before = len(store.proxy.requests)
    store.proxy.answer = lambda r: (403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
    for call in (lambda: folder_of(store).read("x"), lambda: folder_of(store).create("x", b"")):
        with pytest.raises(StorageUnavailable, match=r"AccessDenied(.|\n)*rights") as caught:
            call()
        assert SECRET not in str(caught.value)
    assert len(store.proxy.requests) == before + 2
    with pytest.raises(InputError, match="cannot be read"):
        open_location(f"{store.url}/in", store.options)
    closed = {**store.options, "endpoint_url": "http://127.0.0.1:9"}
    assert transport.passes(ConnectionRefusedError(111, "refused"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "TRIES", 2)
        with pytest.raises(StorageUnavailable, match="after 2 tries"):
            Folder(f"{store.url}/out", closed).read("x")


def test_a_store_that_overwrites_is_refused(store: Store) -> None:
    """Without the condition two attempts could both believe that they committed."""
    forward = store.proxy.forward

    def deaf(request: Request):
        kept = {name: value for name, value in request.headers.items() if name.lower() != "if-none-match"}
        return forward(Request(request.method, request.path, kept, request.body))

    store.proxy.forward = deaf  # type: ignore[method-assign]
    with pytest.raises(StorageError, match=r"cannot be an output folder(.|\n)*overwrote"):
        folder_of(store).make("work/parts", "documents")
    store.proxy.forward = forward  # type: ignore[method-assign]
    said = b"<Error><Code>NotImplemented</Code><Message>A header you provided is not implemented</Message></Error>"
    store.proxy.answer = lambda r: (501, said) if "If-None-Match" in r.headers else None
    with pytest.raises(StorageError, match="does not know such a condition"):
        folder_of(store).make("work/parts")
    store.proxy.answer = lambda r: None
    assert folder_of(store).names("work") == {}


def test_stores_that_say_it_differently(store: Store) -> None:
    """Some do not name the condition that failed; AWS answers 409 to two creates at the same time."""
    folder = folder_of(store)
    said = b"<Error><Code>PreconditionFailed</Code><Message>At least one of the pre-conditions did not hold</Message></Error>"
    folder.create("record", b"first")
    store.proxy.answer = lambda r: (412, said) if r.method == "PUT" else None
    assert not folder.create("record", b"second")
    busy = [(409, b"<Error><Code>ConditionalRequestConflict</Code><Message>Conflicting</Message></Error>")]
    store.proxy.answer = lambda r: busy.pop() if r.method == "PUT" and busy else None
    assert folder.create("other", b"x") and not busy


def test_an_input_that_breaks_in_the_middle(store: Store) -> None:
    data = os.urandom(40_000_000)
    store.files.pipe_file(f"{store.bucket}/in.bin", data)
    ranged = "range"
    for kind in ("cut_answer", "refused", "slow_down", "cut_answer"):
        store.proxy.order(kind, lambda r: ranged in {h.lower() for h in r.headers})
    with open_location(f"{store.url}/in.bin", store.options) as stream:
        read = b"".join(iter(lambda: stream.read(1_000_003), b""))
    assert read == data and store.proxy.counts["cut_answer"] == 2
    with open_location(f"{store.url}/in.bin", store.options) as stream:
        assert isinstance(stream, io.RawIOBase) and stream.read(10) == data[:10]
        store.files.pipe_file(f"{store.bucket}/in.bin", os.urandom(40_000_000))
        stream.seek(30_000_000)
        with pytest.raises(InputError, match="it changed while it was read") as caught:
            stream.read(10)
        assert stream.failure is caught.value
    with open_location(f"{store.url}/in.bin", store.options) as stream:
        stream.read(10)
        store.proxy.order("slow_down", lambda r: True, times=50)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transport, "TRIES", 3)
            stream.seek(30_000_000)
            with pytest.raises(InputError, match=r"reading s3://(.|\n)*same command"):
                stream.read(10)


def test_requester_pays_is_said_with_every_request(store: Store) -> None:
    folder = folder_of(store, requester_pays=True)
    folder.create("a", b"x")
    folder.write("b", lambda out: out.write(b"y") and None)
    folder.publish("b", "c")
    assert folder.read("a") == b"x" and folder.names("") and folder.size("c") == 1
    with open_location(f"{store.url}/out/c", folder.options) as stream:
        assert stream.read() == b"y"
    folder.delete("a")
    silent = {
        f"{r.method} {r.path}" for r in store.proxy.requests if "x-amz-request-payer" not in {h.lower() for h in r.headers}
    }
    assert silent == set()
