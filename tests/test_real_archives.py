"""The first recipe over every real archive there is, and over pages made to break parsers."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from test_demo import outputs
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from curation.inspect.shards import documents, dropped
from curation.recipe import load_recipe, with_settings
from curation.runners.drive import run_pipeline
from curation.runners.local import LocalExecutor

FOLDERS = ("warc-commoncrawl", "warc-general", "warc-edge")


def curate(
    inputs: list[str],
    out: Path,
    workers: int,
    recipe: str = "common_crawl_english",
    *settings: str,
    without: Collection[str] = (),
):
    pipeline = with_settings(load_recipe(recipe), settings)
    pipeline = replace(pipeline, stages=tuple(stage for stage in pipeline.stages if stage.label not in without))
    return run_pipeline(pipeline, inputs, str(out), lambda p, f, o: LocalExecutor(p, f, o, workers=workers))


def test_all_archives_together(data_folder: Path, tmp_path: Path) -> None:
    inputs = [str(data_folder / name) for name in FOLDERS]
    result = curate(inputs, tmp_path / "one", 1)
    census = result.census
    assert census is not None
    files = {str(p.relative_to(data_folder)) for name in FOLDERS for p in (data_folder / name).rglob("*") if p.is_file()}
    listed = {e["path"] for e in census["input"]["per_file"]} | {e["path"] for e in census["input"]["not_inputs"]}
    assert listed == files, "every file is either read or listed with a reason"
    for entry in census["input"]["per_file"]:
        assert entry["accounted"] == entry["bytes"], entry["path"]
    assert census["input"]["records"]["response"] == census["stages"][0]["in"] > 1500
    assert census["output"]["documents"] > 30
    fewer_rules = curate(
        inputs, tmp_path / "fewer_rules", 1, without=("gopher_repetition", "gopher_quality", "c4", "minhash")
    ).census
    assert fewer_rules is not None and fewer_rules["output"]["documents"] > 50

    columns = ["doc", "id", "url", "text", "cluster_id", "charset", "warc_offset"]
    wanted = documents(str(tmp_path / "one"), columns)
    curate(inputs, tmp_path / "two", 2)
    assert outputs(tmp_path / "two") == outputs(tmp_path / "one")
    for size in (0.05, 0.7, 5):
        out = tmp_path / f"size{size}"
        curate(inputs, out, 2, "common_crawl_english", f"warc.shard_mb={size}")
        assert documents(str(out), columns).equals(wanted)
        fallen = ["doc", "drop_stage", "drop_reason"]
        assert dropped(str(out), fallen).equals(dropped(str(tmp_path / "one"), fallen))


def html(body: bytes) -> bytes:
    return b"<html><head><title>t</title></head><body>" + body + b"</body></html>"


def inner_archive() -> bytes:
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=True)
    for i in range(3):
        page = html(b"<p>inner page, which must never become a document of its own.</p>")
        headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
        writer.write_record(
            writer.create_warc_record(f"http://in.example/{i}", "response", io.BytesIO(page), http_headers=headers)
        )
    return out.getvalue()


GOOD = html(
    b"<article><h1>The weather station of a small town</h1>"
    b"<p>Every morning at seven the schoolteacher walks up the hill and writes down what the instruments say. She has done "
    b"so for twenty years, and before her it was the job of an old postman who never missed a day, even in winter.</p>"
    b"<p>The books in which they kept their numbers fill a whole shelf of the library. Anyone may read them, but hardly "
    b"anybody did until last spring, when two students came from the university to look for signs of a changing climate. "
    b"They copied each page by hand, compared it with records of the nearest airport and found only three mistakes.</p>"
    b"<p>What surprised them most was the rain. Summers had become drier, as everyone expected, yet the storms of autumn "
    b"brought more water than ever before. The river that runs below the church left its bed four times in ten years. "
    b"People who live beside it have started to build walls, and the council wants to plant trees along both banks.</p>"
    b"<p>The teacher will retire soon. A neighbour with a small garden has offered to take over, and the children already "
    b"know how to read the glass tube that measures the rain. It seems that the long row of books is going to grow.</p>"
    b"</article>"
)
"""Long and plain enough to pass every rule of the recipes."""

PATHOLOGICAL: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    "five megabytes of div": (html(b"<div>" * 1_000_000), []),
    "fifty thousand nested tags": (html(b"<b>" * 50_000 + b"x" + b"</b>" * 50_000), []),
    "quadratic attributes": (html(b"<p " + b" ".join(b"a%d=1" % i for i in range(50_000)) + b">x</p>"), []),
    "unterminated quotes": (html(b'<a href="' * 100_000), []),
    "entities": (html(b"&" * 2_000_000), []),
    "gzip bomb": (gzip.compress(bytes(64 << 20)), [("Content-Encoding", "gzip")]),
    "invalid utf-16": (b"\xff\xfe" + b"\x00\xd8" * 4001, []),
    "archive inside": (inner_archive(), []),
    "archive inside, called html": (b"<html>" + inner_archive(), []),
    "nothing but zeros": (bytes(1 << 20), []),
    "a good page": (GOOD, []),
}


def test_pathological_pages_end_within_the_bounds(tmp_path: Path) -> None:
    path = tmp_path / "bad.warc.gz"
    with path.open("wb") as out:
        writer = WARCWriter(out, gzip=True)
        for name, (body, extra) in PATHOLOGICAL.items():
            headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html"), *extra], protocol="HTTP/1.1")
            url = "http://bad.example/" + name.replace(" ", "-")
            writer.write_record(writer.create_warc_record(url, "response", io.BytesIO(body), http_headers=headers))
    for recipe, stage in (("common_crawl_english_trafilatura", "trafilatura"), ("common_crawl_english", "main_content")):
        out = tmp_path / stage
        started = time.monotonic()
        peak = peak_of_children([str(path)], out, recipe, "language.keep=[eng_Latn]", f"{stage}.timeout_s=3")
        assert time.monotonic() - started < 150
        assert peak < 2.0, f"a guard child grew to {peak:.2f} GiB"
        kept, gone = documents(str(out)), dropped(str(out))
        assert kept.height + gone.height == len(PATHOLOGICAL), "each is recorded once, and no inner page came out"
        assert "http://bad.example/a-good-page" in kept["url"].to_list()
        fates = dict(gone.select("url", pl.format("{}:{}", "drop_stage", "drop_reason")).rows())
        assert fates["http://bad.example/gzip-bomb"] == "warc:too_large"


def peak_of_children(inputs: list[str], out: Path, recipe: str, *settings: str) -> float:
    """GiB of the largest child of a run, made by a fresh process: a child's peak begins at what its parent held when it
    was forked, and a process that has run many tests holds much."""
    code = (
        "import resource, sys; from pathlib import Path; from test_real_archives import curate\n"
        "curate(sys.argv[3:4], Path(sys.argv[1]), 1, sys.argv[2], *sys.argv[4:])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
    command = [sys.executable, "-c", code, str(out), recipe, *inputs, *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": paths})
    return int(done.stdout.splitlines()[-1]) / 2**20


@pytest.mark.soak
def test_a_worker_on_real_pages_is_killed_at_random(data_folder: Path, tmp_path: Path) -> None:
    import random
    import signal

    from test_crash import committed, finish, start

    inputs = data_folder / "warc-general"
    assert finish(inputs, tmp_path / "whole", 2, recipe="common_crawl_english_trafilatura") == 0
    wanted = outputs(tmp_path / "whole")
    generator = random.Random(1)
    for moment in range(20):
        out = tmp_path / f"killed{moment}"
        process = start(inputs, out, 2, recipe="common_crawl_english_trafilatura")
        time.sleep(generator.uniform(1.0, 14.0))
        before = committed(out) if (out / "work/commits").exists() else {}
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL) if moment % 2 else process.kill()
        process.communicate()
        time.sleep(1.5)
        assert finish(inputs, out, 2, recipe="common_crawl_english_trafilatura") == 0
        after = committed(out)
        assert {name: after[name] for name in before} == before
        assert outputs(out) == wanted
