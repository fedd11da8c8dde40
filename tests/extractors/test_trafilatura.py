"""extractors/trafilatura: golden cases, hostile pages, no state across pages, the library's own text."""

from __future__ import annotations

import logging
import random
import subprocess
import sys

import pytest
import trafilatura
from extractor_cases import GOOD_PAGE, HOSTILE_PAGES, check_golden, html_frame, run_pages

from curation.document import content_id
from curation.errors import RecipeError
from curation.extractors.trafilatura import Trafilatura
from curation.guard import GuardError


def directly(page: str, **options: bool) -> str | None:
    """The library called on decoded text."""
    return trafilatura.extract(page, **{"favor_precision": True, "include_comments": False, **options})


def test_golden_cases() -> None:
    check_golden(Trafilatura, "trafilatura")


def test_hostile_pages_end_within_bounds_and_are_recorded() -> None:
    stage = Trafilatura(timeout_s=1.0)
    names = list(HOSTILE_PAGES)
    rows = run_pages(stage, [page for name in names for page in (HOSTILE_PAGES[name], GOOD_PAGE)])
    good = {row._replace(doc=0) for row in rows[1::2]}
    assert len(good) == 1 and good.pop().title == "A good page & more"
    for name, row in zip(names, rows[::2], strict=True):
        assert (row.text is None) == (row.reason is not None), name
        assert row.reason is None or row.reason in stage.drops, name
        assert row.reason not in ("extractor_error", "crashed"), (name, row.detail)
        assert row.content_id == (None if row.text is None else content_id(row.text)), name
    by_name = dict(zip(names, rows[::2], strict=True))
    assert by_name["100,000 attributes"].reason == "timeout"
    assert by_name["100,000 attributes"].detail == "used its bound of 1 CPU seconds, alone in a fresh process"


def test_a_page_that_needs_too_much_memory_is_recorded_as_that() -> None:
    """trafilatura swallows MemoryError in its parsers; without our log handler these pages would be `empty_text`."""
    large = b"<html><body>" + b"<p>hello there</p>" * 400_000 + b"</body></html>"
    rows = run_pages(Trafilatura(timeout_s=20.0, memory_gb=0.0625), [GOOD_PAGE, large, GOOD_PAGE])
    assert [row.reason for row in rows] == [None, "memory", None]
    assert rows[1].detail == "needed more than 0.0625 GiB, alone in a fresh process"


def test_too_little_memory_never_shortens_a_text() -> None:
    """Whatever allocation fails, in Python, libxml2 or a fallback that catches everything: whole text or `memory`."""
    page = GOOD_PAGE.replace(b"</article>", b"<ul>" + b"<li>One more item of this list</li>" * 4_000 + b"</ul></article>")
    whole = directly(page.decode())
    reasons = []
    for megabytes in range(4, 64, 8):
        (row,) = run_pages(Trafilatura(timeout_s=20.0, memory_gb=megabytes / 1024), [page])
        assert (row.text, row.reason) in ((whole, None), (None, "memory")), (megabytes, row.reason, row.detail)
        reasons.append(row.reason)
    assert set(reasons) == {None, "memory"}


def test_the_pages_before_do_not_change_a_text() -> None:
    """trafilatura's duplicate filter would: the same page six times gave two different texts."""
    pages = [
        GOOD_PAGE,
        b"<html><body><article>" + b"<p>The same sentence of some length, said again and again, and again.</p>" * 8,
        *(GOOD_PAGE.replace(b"Heading", b"Heading %d" % i) for i in range(4)),
    ]
    many = pages * 5
    random.Random(7).shuffle(many)
    texts: dict[bytes, set[str | None]] = {page: set() for page in pages}
    for page, row in zip(many, run_pages(Trafilatura(), many), strict=True):
        texts[page].add(row.text)
    alone = {page: run_pages(Trafilatura(), [page])[0].text for page in pages[:2]}
    assert all(len(found) == 1 for found in texts.values())
    assert all(texts[page] == {text} for page, text in alone.items())


@pytest.mark.parametrize("declared", ["iso-8859-1", "koi8-r", "utf-16", "utf-7", "nonsense"])
def test_declared_charsets_change_nothing(declared: str) -> None:
    body = "<article>" + "<p>Größe, naïve café – “quoted” Привет мир 東京タワー.</p>" * 6 + "</article>"
    plain = f"<html><head></head><body>{body}</body></html>"
    wanted = directly(plain)
    declaration = f'<?xml version="1.0" encoding="{declared}"?>'
    pages = [
        plain.replace("<head>", f'<head><meta charset="{declared}">'),
        plain.replace("<head>", f'<head><meta http-equiv="Content-Type" content="text/html; charset={declared}">'),
        declaration + plain,
        "\ufeff" + declaration + "\n<!DOCTYPE html>" + plain,
    ]
    rows = run_pages(Trafilatura(), [page.encode() for page in pages])
    assert [row.text for row in rows] == [wanted] * len(pages) == [directly(page) for page in pages]


def test_no_html_is_an_empty_text() -> None:
    rows = run_pages(Trafilatura(), [None, GOOD_PAGE, b"", None])
    assert [(row.reason, row.detail) for row in rows if row.reason] == [("empty_text", "no html")] * 3
    assert rows[1].text == directly(GOOD_PAGE.decode())


def test_no_rows_and_sliced_batches() -> None:
    stage = Trafilatura()
    apply = stage.bind({})
    try:
        assert apply(html_frame([])).height == 0
        frame = html_frame([b"", b"tiny", GOOD_PAGE, None, GOOD_PAGE, b"x"])
        sliced = apply(frame[2:5])
        assert sliced["text"].to_list() == [directly(GOOD_PAGE.decode()), None, directly(GOOD_PAGE.decode())]
        assert sliced["doc"].to_list() == [2, 3, 4]
    finally:
        stage.close(apply)


def test_contradicting_options_are_refused() -> None:
    with pytest.raises(RecipeError, match="exclude each other"):
        Trafilatura(favor_precision=True, favor_recall=True)


def test_options_of_a_wrong_kind_stop_before_any_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trafilatura, "page_function", "curation.extractors.trafilatura:no_such_function")
    with pytest.raises(GuardError, match="no_such_function"):
        Trafilatura().bind({})


def test_the_worker_does_not_import_the_library() -> None:
    program = "import sys, curation.extractors.trafilatura as t; t.Trafilatura(); print(*sorted(sys.modules))"
    paths = ":".join(sys.path)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": paths})
    assert not {"trafilatura", "lxml", "resiliparse"} & set(ran.stdout.split())


def test_deduplicate_is_not_an_option() -> None:
    assert "deduplicate" not in Trafilatura.__dataclass_fields__


def test_the_librarys_log_is_left_alone_here() -> None:
    """Only the child changes the logger."""
    run_pages(Trafilatura(), [GOOD_PAGE])
    assert logging.getLogger("trafilatura").propagate
