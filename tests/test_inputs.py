"""Inputs by every name they can have: URLs of any file system, globs, lists, several at once."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from curation.demo.build_warc import build_crawl, warc_from_folder
from curation.errors import InputError
from curation.inputs import find_inputs, number_inputs
from curation.inspect.shards import documents
from curation.recipe import load_recipe
from curation.runners.drive import run_pipeline
from curation.runners.local import LocalExecutor
from curation.sources.warc import Warc
from curation.storage import Folder


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs") / "crawl"
    folder.mkdir()
    build_crawl(folder)
    return folder


def curate(inputs: list[str], out: Path):
    recipe = load_recipe("common_crawl_english")
    return run_pipeline(recipe, inputs, str(out), lambda p, f, o: LocalExecutor(p, f, o, workers=1))


def test_a_file_system_that_is_not_the_disk(crawl: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in crawl.iterdir():
        memory.pipe_file(f"/input-test/crawl/{path.name}", path.read_bytes())
    curate([str(crawl)], tmp_path / "disk")
    curate(["memory://input-test/crawl"], tmp_path / "memory")
    columns = ["doc", "url", "text", "warc_path", "warc_offset"]
    assert documents(str(tmp_path / "memory"), columns).equals(documents(str(tmp_path / "disk"), columns))


def test_globs_and_several_inputs_are_numbered_by_path(crawl: Path) -> None:
    by_glob = find_inputs([str(crawl / "demo-0000[01].warc.gz")], Warc()).accepted
    assert [i.path for i in by_glob] == ["crawl/demo-00000.warc.gz", "crawl/demo-00001.warc.gz"]
    files = [str(crawl / f"demo-0000{n}.warc.gz") for n in (2, 0)]
    assert [i.path for i in find_inputs(files, Warc()).accepted] == ["demo-00000.warc.gz", "demo-00002.warc.gz"]
    twice = find_inputs([files[0], files[0]], Warc()).accepted
    assert len(twice) == 1


def test_two_files_of_one_name_are_refused(crawl: Path, tmp_path: Path) -> None:
    other = tmp_path / "demo-00000.warc.gz"
    other.write_bytes((crawl / "demo-00000.warc.gz").read_bytes())
    with pytest.raises(InputError, match="recorded under one path"):
        find_inputs([str(crawl / "demo-00000.warc.gz"), str(other)], Warc())


def test_a_broken_list_is_told(tmp_path: Path) -> None:
    (tmp_path / "warc.paths.gz").write_bytes(b"\x1f\x8b broken")
    with pytest.raises(InputError, match="broken gzip"):
        find_inputs([str(tmp_path / "warc.paths.gz")], Warc())
    (tmp_path / "some.paths").write_text("# a comment\n\nnowhere.warc.gz\n")
    with pytest.raises(InputError, match="--root"):
        find_inputs([str(tmp_path / "some.paths")], Warc(), root=str(tmp_path))


def test_only_files_that_are_no_archives(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no archive")
    with pytest.raises(InputError, match=r"no input to read(.|\n)*not an archive"):
        find_inputs([str(tmp_path)], Warc())


def test_numbers_are_kept_in_the_output_folder(crawl: Path, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.make("work")
    late = find_inputs([str(crawl / "demo-00002.warc.gz")], Warc())
    assert [i.number for i in number_inputs(late, folder).accepted] == [0]
    both = find_inputs([str(crawl / f"demo-0000{n}.warc.gz") for n in (0, 2)], Warc())
    assert {i.path: i.number for i in number_inputs(both, folder).accepted} == {
        "demo-00002.warc.gz": 0,
        "demo-00000.warc.gz": 1,
    }
    assert number_inputs(both, folder) == number_inputs(both, folder)


def test_any_folder_of_html_becomes_an_archive(tmp_path: Path) -> None:
    pages = tmp_path / "site/deep"
    pages.mkdir(parents=True)
    body = "<html><head><title>A page</title></head><body><article>" + "<p>A sentence of the page, long enough.</p>" * 9
    (pages / "a.html").write_text(body, encoding="utf-8")
    (tmp_path / "site/b.htm").write_bytes(body.replace("sentence", "Satz für Menschen").encode("cp1252"))
    assert warc_from_folder(tmp_path / "site", tmp_path / "site.warc.gz") == 2
    result = curate([str(tmp_path / "site.warc.gz")], tmp_path / "out")
    assert result.census is not None and result.census["input"]["records"]["response"] == 2
