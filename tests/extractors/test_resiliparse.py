"""extractors/resiliparse: golden cases, hostile pages, no state across pages, the library's own text, titles."""

from __future__ import annotations

import random
import time

import pytest
from extractor_cases import GOOD_PAGE, HOSTILE_PAGES, check_golden, run_pages
from resiliparse.extract.html2text import extract_plain_text

from curation.document import content_id
from curation.extractors.guarded import TITLE_WITHIN, page_fields, page_title
from curation.extractors.resiliparse import Resiliparse
from curation.guard import GuardError


def directly(page: str) -> str:
    """The library called on decoded text with the stage's default options."""
    return extract_plain_text(
        page, main_content=True, preserve_formatting=True, alt_texts=False, comments=False, post_meta=False
    )


def test_golden_cases() -> None:
    check_golden(Resiliparse, "resiliparse")


def test_hostile_pages_end_within_bounds_and_are_recorded() -> None:
    stage = Resiliparse(timeout_s=1.0)
    names = list(HOSTILE_PAGES)
    rows = run_pages(stage, [page for name in names for page in (HOSTILE_PAGES[name], GOOD_PAGE)])
    good = {row._replace(doc=0) for row in rows[1::2]}
    assert len(good) == 1 and good.pop().text == directly(GOOD_PAGE.decode())
    for name, row in zip(names, rows[::2], strict=True):
        assert (row.text is None) == (row.reason is not None), name
        assert row.reason in (None, "empty_text", "timeout", "memory"), (name, row.reason, row.detail)
        assert row.content_id == (None if row.text is None else content_id(row.text)), name
    assert dict(zip(names, rows[::2], strict=True))["100,000 attributes"].reason == "timeout"


def test_a_page_that_needs_too_much_memory_is_recorded_as_that() -> None:
    large = b"<html><body>" + b"<p>hello there</p>" * 400_000 + b"</body></html>"
    rows = run_pages(Resiliparse(timeout_s=20.0, memory_gb=0.0625), [GOOD_PAGE, large, GOOD_PAGE])
    assert [row.reason for row in rows] == [None, "memory", None]


def test_the_pages_before_do_not_change_a_text() -> None:
    pages = [GOOD_PAGE.replace(b"Heading", b"Heading %d" % i) for i in range(20)]
    many = pages * 10
    random.Random(7).shuffle(many)
    rows = run_pages(Resiliparse(), many)
    assert [row.text for row in rows] == [directly(page.decode()) for page in many]


def test_a_selector_that_cannot_be_parsed_stops_before_any_page() -> None:
    with pytest.raises(GuardError, match="CSSParserException|selector"):
        Resiliparse(skip_elements=("p[[",)).bind({})


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title>One</title><title>Two</title>", "One"),
        ("<TITLE lang=en\n>Upper\n case</TITLE >", "Upper case"),
        ("<title>Fish &amp; &#x201c;chips&rdquo; &nbsp; &lt;b&gt;</title>", "Fish & “chips” <b>"),
        ("<title/>Text</title>", "Text"),
        ("<title></title>", None),
        ("<title> \u00a0\n </title>", None),
        ("<title>never closed", None),
        ("<title", None),
        ("<titles>no</titles>", None),
        ("no markup", None),
        ("", None),
        ("<!-- <title>no</title> --><title>yes</title>", "yes"),
        ("<!-- <title>no</title>", None),
        ("<script>'<title>no</title>'</script><title>yes</title>", "yes"),
        ("<script src=x><title>no</title>", None),
        ("<svg><title>no</title></svg><title>yes</title>", "yes"),
        ("<style></style><style/></style><title>İstanbul ǅ</title>", "İstanbul ǅ"),
        ("<body><title>too late</title>", None),
        ("<bodyguard><title>in time</title>", "in time"),
        (" " * TITLE_WITHIN + "<title>too far</title>", None),
    ],
)
def test_title(page: str, title: str | None) -> None:
    assert page_title(page) == title


@pytest.mark.parametrize("unit", ["<!--", "<title>", "<script>", "<svg>", "<", "<style><title>", "<title></titl"])
def test_looking_for_a_title_is_linear(unit: str) -> None:
    started = time.process_time()
    page_title(unit * (TITLE_WITHIN // len(unit)))
    assert time.process_time() - started < 1.0


def test_lone_surrogates_are_replaced() -> None:
    text, title, identity = page_fields("a \ud800 b", "<title>t \udfff</title>")
    assert text == "a \ufffd b".encode()
    assert title == "t \ufffd"
    assert identity == content_id("a \ufffd b")
    assert page_fields(" \n\t\u00a0", "<title>x</title>") == (None, None, None)
