"""curation why --page and curation page: what the blocks of a page look like, of a run and of a file, and what goes wrong."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from curation import extractors
from curation.cli import app
from curation.demo.build_warc import build_crawl
from curation.errors import CurationError, InputError, RecipeError
from curation.extractors.main_content import MainContent
from curation.extractors.main_content_blocks import Block, page_text
from curation.inspect import page_view
from curation.inspect.page import PageView, document_page, file_page, page_frame, record_again
from curation.inspect.page_view import page_html, page_lines
from curation.inspect.shards import documents, dropped
from curation.recipe import load_recipe
from curation.runners.drive import run_pipeline
from curation.runners.local import LocalExecutor
from curation.sources.warc import Warc

HOSTILE = (
    "<title>\x1b[31mred \u202eevil</title><article><p>A paragraph of the page, long enough to be taken for content \x1b]0;x\x07"
    " by everyone \u202e who reads it, &lt;script&gt;alert(1)&lt;/script&gt; and more of it.</p>"
    "<p>&lt;img src=x onerror=alert(2)&gt;</p><div class='\"><script>alert(3)</script> \x1b[2J'>"
    "<p>&amp;quot; &#x202e; \x9b5m and the end.</div></article>"
)

VIEW = PageView(
    b"",
    MainContent(),
    [
        Block(10, 14, "body > nav.top", "Home", 0.004, False, "below the threshold"),
        Block(20, 25, "body > main > article.post > h1.a-long-class-name", "Bread", 0.2, True, "the headline"),
        Block(30, 90, "body > main > article.post > p", f"It is baked of flour, water\nand salt, {'and so on, ' * 20}", 0.9961,
              True, "above the threshold"),
        Block(95, 99, "body > div.comments > p", "Thank you", 0.51, False, "readers' comments"),
    ],
    {"title": "Bread & <more>", "url": "https://a.example/?a=1&b=2", "fate": "kept"},
    "the text kept is the run's",
)  # fmt: skip

LINES = """\
title     Bread & <more>
url       https://a.example/?a=1&b=2
fate      kept

- .00 body > nav.top             Home (below the threshold)
+ .20 h1.a-long-class-name       Bread (the headline)
+ 1.0 main > article.post > p    It is baked of flour, water and salt, and so on, and so on, and so…
- .51 body > div.comments > p    Thank you (readers' comments)

2 of 4 blocks kept, 263 of 276 bytes of text; the text kept is the run's"""


def test_the_lines_of_a_page() -> None:
    assert page_lines(VIEW, width=100) == LINES


def test_colours_are_all_that_a_terminal_adds() -> None:
    coloured = page_lines(VIEW, width=100, colour=True)
    assert "\x1b[32m+\x1b[0m .20" in coloured and "\x1b[2m- .00" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == LINES


def test_the_frame_of_a_page() -> None:
    frame = page_frame(VIEW)
    assert frame.columns == ["kept", "answer", "reason", "path", "text", "start", "end"]
    assert frame["kept"].to_list() == [False, True, True, False] and frame.row(0)[-2:] == (10, 14)
    assert page_frame(replace(VIEW, blocks=[])).schema == frame.schema


class _Reader(HTMLParser):
    """Elements and attributes of a page view, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader


def check_safe(page: str) -> _Reader:
    """Nothing in a page view runs, is fetched or leads away, and nothing of a page is markup or a control character."""
    reader = read(page)
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "dl",
        "dt",
        "dd",
        "p",
        "input",
        "label",
        "ol",
        "li",
        "small",
    }
    assert set(reader.tags) <= allowed
    for tag, name, _ in reader.attributes:
        assert name in {
            "class",
            "title",
            "dir",
            "id",
            "for",
            "type",
            "checked",
            "charset",
            "content",
            "http-equiv",
            "name",
            "lang",
        }, tag
    assert "default-src 'none'" in page and "url(" not in page and "@import" not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    return reader


def test_the_page_view() -> None:
    page = page_html(VIEW)
    reader = check_safe(page)
    assert [value for tag, name, value in reader.attributes if (tag, name) == ("li", "class")] == ["cut", "kept", "kept", "cut"]
    labels = [value for tag, name, value in reader.attributes if (tag, name) == ("li", "title")]
    assert labels[0] == "cut, .00: below the threshold; bytes 10 to 14; body > nav.top"
    assert "<title>Bread &amp; &lt;more&gt;</title>" in page and "https://a.example/?a=1&b=2" in reader.text
    assert "It is baked of flour, water\nand salt" in reader.text and "2 of 4 blocks kept" in reader.text
    assert ".20 h1.a-long-class-name · the headline" in reader.text and "prefers-color-scheme: dark" in page


def test_a_hostile_page_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(HOSTILE, encoding="utf-8")
    view = file_page(str(tmp_path / "page.html"))
    lines = page_lines(view)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", lines) and "␛[31mred ⟨202e⟩evil" in lines
    reader = check_safe(page_html(view))
    assert "<script>alert(1)</script>" in reader.text and "<img src=x onerror=alert(2)>" in reader.text
    titles = "".join(value for tag, name, value in reader.attributes if name == "title")
    assert 'div."><script>alert(3)</script>.␛[2J' in titles


def test_of_very_many_blocks_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_view, "MOST_BLOCKS", 3)
    lines, page = page_lines(VIEW, width=100), page_html(VIEW)
    assert "Thank you" not in lines and "… and 1 more blocks" in lines and "2 of 4 blocks kept" in lines
    assert check_safe(page).tags.count("li") == 3 and "… and 1 more blocks" in page


# ---- a page in a file


def invoke(*arguments: str, status: int = 0) -> str:
    result = CliRunner(env={"COLUMNS": "140"}).invoke(app, list(arguments))
    if isinstance(result.exception, CurationError):
        assert status == 1
        return str(result.exception)
    assert result.exit_code == status, result.output
    return result.output


PAGE = (
    "<title>Käse</title><nav><ul><li><a href=/>Home</a><li><a href=/b>News</a></ul></nav><article><h1>Käse</h1>"
    + "<p>A paragraph of the page, long enough to be taken for content by everyone who reads it, says so.</p>" * 3
    + "</article><footer>Imprint</footer>"
)


def test_the_page_in_a_file(tmp_path: Path) -> None:
    file, out = tmp_path / "page.html", tmp_path / "out.html"
    file.write_bytes(PAGE.encode("cp1252"))
    shown = invoke("page", str(file))
    assert "charset   windows-1252" in shown and "threshold 0.5" in shown and "\x1b" not in shown
    assert re.search(r"^\+ \S+ +body > article > p +A paragraph of the page", shown, re.M)
    assert re.search(r"^- \.\d\d body > footer +Imprint \(below the threshold\)$", shown, re.M)
    assert "4 of 7 blocks kept" in shown
    all_of_it = invoke("page", str(file), "--set", "threshold=0.0", "--html", str(out))
    assert all_of_it.splitlines()[0].startswith("7 of 7 blocks kept") and f"wrote {out}" in all_of_it
    check_safe(out.read_text("utf-8"))


def test_what_is_no_page_or_no_setting(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    assert "cannot be read" in invoke("page", str(file), status=1)
    file.write_text(PAGE)
    assert "has no field treshold" in invoke("page", str(file), "--set", "treshold=1", status=1)
    assert "wanted: field=value" in invoke("page", str(file), "--set", "threshold", status=1)
    assert "threshold" in invoke("page", str(file), "--set", "threshold=2", status=1)
    assert "not readable YAML" in invoke("page", str(file), "--set", "threshold=[", status=1)
    assert "cannot write" in invoke("page", str(file), "--html", str(tmp_path / "no" / "out.html"), status=1)
    file.write_bytes(b"")
    assert "0 of 0 blocks kept" in invoke("page", str(file))


# ---- documents of a run


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's crawl, `corpus` made of it with main_content, and `other` with another extractor."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "crawl").mkdir()
    build_crawl(folder / "crawl")
    recipe = load_recipe("demo")
    for name, extractor in (("corpus", extractors.MainContent(threshold=0.6)), ("other", extractors.Resiliparse())):
        stages = tuple(extractor if stage.name.startswith("extractors/") else stage for stage in recipe.stages)
        pipeline = replace(recipe, stages=stages)
        run_pipeline(pipeline, [str(folder / "crawl")], str(folder / name), lambda p, f, o: LocalExecutor(p, f, o, workers=1))
    return folder


def tombstone(out: Path, stage: str) -> dict:
    return dropped(str(out)).filter(pl.col("drop_stage") == stage).row(0, named=True)


def test_every_document_of_a_run_has_its_blocks(crawled: Path) -> None:
    """The text of the blocks kept is the run's, of documents kept and dropped alike."""
    out = str(crawled / "corpus")
    rows = pl.concat([documents(out, ["doc", "text"]), dropped(out, ["doc", "text"])]).filter(pl.col("text").is_not_null())
    assert rows.height > 60
    for doc in rows["doc"].gather_every(4):
        view = document_page(str(doc), out)
        assert view.stage.threshold == 0.6 and view.note == "the text kept is the run's"
        kept, cut = ([block for block in view.blocks if block.kept == wanted] for wanted in (True, False))
        assert kept and cut
        for block in view.blocks:
            assert block.text.split()[0][:3] in unescape(view.page[block.start : block.end].decode())


def test_why_shows_the_page_of_a_kept_and_of_a_dropped_document(crawled: Path, tmp_path: Path) -> None:
    out = str(crawled / "corpus")
    kept = documents(out, ["url"])["url"][0]
    shown = invoke("why", kept, out, "--page", "--html", str(tmp_path / "view.html"))
    assert shown.startswith("kept: ") and "fate      kept" in shown and "threshold 0.6" in shown
    assert re.search(r"^\+ \S+ .*\S$", shown, re.M) and re.search(r"^- \S+ .*\(below the threshold\)$", shown, re.M)
    assert "blocks kept" in shown and "the text kept is the run's" in shown and "wrote " in shown
    reader = check_safe((tmp_path / "view.html").read_text("utf-8"))
    assert kept in reader.text and "fate" in reader.text
    fell = tombstone(crawled / "corpus", "fineweb")
    shown = invoke("why", str(fell["doc"]), out, "--page")
    assert f"fate      fell at fineweb: {fell['drop_reason']}" in shown and "the text kept is the run's" in shown
    assert "blocks kept" not in invoke("why", kept, out)


def test_pages_that_were_never_extracted(crawled: Path) -> None:
    """Before the extractor nothing is known of the text, and what the source found to be no page has no blocks."""
    out = str(crawled / "corpus")
    blocked = document_page(str(tombstone(crawled / "corpus", "url")["doc"]), out)
    assert blocked.blocks and blocked.note == "the run has no text of this document to compare with"
    empty = document_page(str(tombstone(crawled / "corpus", "main_content")["doc"]), out)
    assert not any(block.kept for block in empty.blocks)
    missing = tombstone(crawled / "corpus", "warc")
    with pytest.raises(CurationError, match=f"found no page.*\n.*\n.*{missing['drop_reason']}"):
        document_page(str(missing["doc"]), out)


def test_another_extractor_keeps_no_blocks(crawled: Path) -> None:
    out = str(crawled / "other")
    url = documents(out, ["url"])["url"][0]
    with pytest.raises(CurationError, match="extractors/resiliparse: only extractors/main_content chooses block by block"):
        document_page(url, out)
    view = document_page(url, out, stage=MainContent())
    assert view.blocks and view.note == "the run's text is another: extractors/resiliparse wrote it last"
    changed = document_page(
        documents(str(crawled / "corpus"), ["url"])["url"][0], str(crawled / "corpus"), stage=MainContent(threshold=0)
    )
    assert changed.note == "the run's text is another: it was made by other code, or with other settings"


def moved(crawled: Path, place: Path) -> Path:
    """The run and its archives in another folder, without the log that knows where they were."""
    shutil.copytree(crawled, place)
    shutil.rmtree(place / "corpus" / "log")
    return place


def test_archives_are_found_where_they_are(crawled: Path, tmp_path: Path) -> None:
    doc = str(documents(str(crawled / "corpus"), ["doc"])["doc"][0])
    wanted = document_page(doc, str(crawled / "corpus")).blocks
    place = moved(crawled, tmp_path / "moved")
    out = str(place / "corpus")
    assert document_page(doc, out).blocks == wanted  # beside the run
    (place / "crawl").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"is not there\n.*crawl/demo-.*\n(.*\n)*.*--archive"):
        document_page(doc, out)
    path = documents(out, ["warc_path"])["warc_path"][0].partition("/")[2]
    for archive in (tmp_path / "elsewhere", tmp_path / "elsewhere" / path):
        assert document_page(doc, out, archive=str(archive)).blocks == wanted
    shutil.copytree(crawled / "corpus" / "log", place / "corpus" / "log")
    assert document_page(doc, out).blocks == wanted  # where the run read it


def test_an_archive_that_changed(crawled: Path, tmp_path: Path) -> None:
    row = documents(str(crawled / "corpus")).row(-1, named=True)
    place = moved(crawled, tmp_path / "moved")
    archive = place / row["warc_path"]
    data = archive.read_bytes()
    shown = {
        b"": "no record begins there",
        data[: row["warc_offset"]]: "no record begins there",
        data[1:]: "no record begins there",
        data[: row["warc_offset"]] + data[: row["warc_length"]]: "no record begins there",
    }
    other = documents(str(crawled / "corpus")).filter(pl.col("warc_path") == row["warc_path"]).row(0, named=True)
    assert other["doc"] != row["doc"]
    swapped = data[other["warc_offset"] : other["warc_offset"] + other["warc_length"]]
    shown[data[: row["warc_offset"]] + swapped] = "another id and url and payload_digest"
    for changed, found in shown.items():
        archive.write_bytes(changed)
        with pytest.raises(InputError, match="is not the archive that this run read") as error:
            document_page(str(row["doc"]), str(place / "corpus"), archive=str(archive))
        assert found in str(error.value)


def test_a_run_that_is_not_finished_or_has_code_of_its_own(crawled: Path, tmp_path: Path) -> None:
    place = moved(crawled, tmp_path / "moved") / "corpus"
    doc = str(documents(str(place), ["doc"])["doc"][0])
    recipe = yaml.safe_load((place / "recipe.yaml").read_text())
    recipe["stages"].append({"stage": "./gone.py:Gone", "label": "gone"})
    (place / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert document_page(doc, str(place)).blocks
    recipe["source"] = {"stage": "sources/parquet", "label": "parquet"}
    (place / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises((CurationError, RecipeError)):
        document_page(doc, str(place))
    (place / "recipe.yaml").unlink()
    with pytest.raises(CurationError, match="no finished run"):
        document_page(doc, str(place))


def test_documents_of_one_name_are_told_apart_by_number(crawled: Path, tmp_path: Path) -> None:
    """Two archives with the same pages: a url names two documents."""
    crawl = tmp_path / "crawl"
    for name in ("a", "b"):
        (crawl / name).mkdir(parents=True)
        shutil.copy(next(iter(sorted((crawled / "crawl").iterdir()))), crawl / name / "x.warc.gz")
    pipeline = load_recipe("demo")
    pipeline = replace(pipeline, stages=(MainContent(),))
    run_pipeline(pipeline, [str(crawl)], str(tmp_path / "out"), lambda p, f, o: LocalExecutor(p, f, o, workers=1))
    rows = documents(str(tmp_path / "out"))
    url = rows["url"][0]
    numbers = rows.filter(pl.col("url") == url)["doc"].to_list()
    with pytest.raises(CurationError, match=f"several documents.*\n.*doc number\n.*{numbers[0]}, {numbers[1]}"):
        document_page(url, str(tmp_path / "out"))
    first, second = (document_page(str(number), str(tmp_path / "out")) for number in numbers)
    assert first.blocks == second.blocks and first.facts["archive"] != second.facts["archive"]


def test_records_of_every_real_archive_are_found_again(data_folder: Path, tmp_path: Path) -> None:
    """Gzipped and plain, WARC and ARC, several records in a member, damaged ones: the record is read alone as it was read in
    its place."""
    folders = [str(data_folder / name) for name in ("warc-commoncrawl", "warc-general", "warc-edge")]
    recipe = load_recipe("demo")
    pipeline = replace(recipe, stages=(MainContent(),))
    out = str(tmp_path / "out")
    run_pipeline(pipeline, folders, out, lambda p, f, o: LocalExecutor(p, f, o, workers=1))
    rows = pl.concat([documents(out).with_columns(drop_stage=pl.lit(None, pl.String)), dropped(out)], how="diagonal")
    assert rows.height > 1500 and rows["warc_length"].null_count() > 0
    kept = 0
    for row in rows.iter_rows(named=True):
        record = record_again(Warc(), str(data_folder / row["warc_path"]), row, None)
        assert (record["html"] is None) == (row["drop_stage"] == "warc")
        if record["html"] is None:
            assert (record["drop_reason"], record["drop_detail"]) == (row["drop_reason"], row["drop_detail"])
        if row["drop_stage"] is None:
            kept += 1
            assert page_text(record["html"], MainContent()) == row["text"]
    assert kept > 300
