"""What the tests of every extractor share: running pages through a stage, golden cases, hostile pages.

tests/golden/extractors/<stage>.yaml is a list of cases: `name`, `config` (fields of the stage), `html`, and either
`text` and `title` or `reason` and `detail`. `CURATION_GOLDEN=write` rewrites the answers: read the diff.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import yaml

from curation.document import polars_type
from curation.extractors.guarded import GuardedExtractor

GOLDEN = Path(__file__).parent / "golden" / "extractors"
WRITE = os.environ.get("CURATION_GOLDEN") == "write"


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as one double-quoted line: a blank line in a golden would be hard to see."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if "\n" in value else None)


_Dumper.add_representer(str, _text)


class Row(NamedTuple):
    """One row of a stage's answer."""

    doc: int
    text: str | None
    title: str | None
    content_id: bytes | None
    reason: str | None
    detail: str | None


def html_frame(pages: Sequence[bytes | None]) -> pl.DataFrame:
    """Rows as an extractor is given them."""
    docs = pl.Series("doc", range(len(pages)), dtype=pl.UInt64)
    return pl.DataFrame([docs, pl.Series("html", pages, dtype=pl.Binary)])


def run_pages(stage: GuardedExtractor, pages: Sequence[bytes | None]) -> list[Row]:
    """The stage's answer for every page, with its types checked."""
    apply = stage.bind({})
    try:
        answer = apply(html_frame(pages))
    finally:
        stage.close(apply)
    names = ("doc", *stage.adds, "drop_reason", "drop_detail")
    assert tuple(answer.columns) == names
    assert answer.dtypes == [pl.UInt64, *(polars_type(kind) for kind in stage.adds.values()), pl.String, pl.String]
    return [Row(*row) for row in answer.iter_rows()]


def golden_cases(stage_name: str) -> list[dict[str, Any]]:
    """The cases of one extractor."""
    return yaml.safe_load((GOLDEN / f"{stage_name}.yaml").read_text("utf-8"))


def check_golden(stage: type[GuardedExtractor], stage_name: str) -> None:
    """Run every case; compare, or rewrite the file when asked to."""
    cases = golden_cases(stage_name)
    answers = []
    for config in {str(case.get("config")): case.get("config") or {} for case in cases}.values():
        chosen = [case for case in cases if (case.get("config") or {}) == config]
        rows = run_pages(stage(**config), [case["html"].encode() for case in chosen])
        answers += list(zip(chosen, rows, strict=True))
    for case, row in answers:
        got = {"title": row.title, "text": row.text} if row.reason is None else {"reason": row.reason, "detail": row.detail}
        wanted = {k: v for k, v in case.items() if k not in ("name", "config", "html")}
        if not WRITE:
            assert got == wanted, f"{stage_name}: {case['name']}"
        for key in wanted:
            del case[key]
        case.update(got)
    if WRITE:
        body = yaml.dump(cases, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
        (GOLDEN / f"{stage_name}.yaml").write_text(f"# Golden cases: tests/extractor_cases.py says how.\n{body}", "utf-8")


_PARAGRAPH = b"<p>A paragraph of the page, long enough to be taken for content by everyone who reads it.</p>"

HOSTILE_PAGES: dict[str, bytes] = {
    "5 MB of <div>": b"<div>" * (1 << 20),
    "5 MB of <div> with text": b"<html><body>" + b"<div>x " * 700_000,
    "50,000 nested tags": b"<html><body>" + b"<b>" * 50_000 + b"text" + b"</b>" * 50_000,
    "50,000 nested spans with text": b"<html><body>" + b"<span>a" * 50_000,
    "50,000 nested lists": b"<html><body>" + b"<ul><li>a" * 50_000,
    "20,000 nested tables": b"<html><body>" + b"<table><tr><td>a" * 20_000,
    "100,000 attributes": b"<html><body><p " + b" ".join(b"a%d=1" % i for i in range(100_000)) + b">hello</p>",
    "entity bomb": b"<!DOCTYPE html [<!ENTITY a 'aaaaaaaaaa'>"
    + b"".join(b"<!ENTITY %c '%s'>" % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(15))
    + b"]><html><body><p>&o; "
    + b"hello " * 50
    + b"</p></body></html>",
    "NULs": b"<html><body>" + _PARAGRAPH.replace(b"a", b"a\0") * 5 + b"\0\0</body></html>",
    "only NULs": b"\0" * 100_000,
    "invalid markup": b"<html><<<>><p/<p></div></html></p><a href='>" * 2_000,
    "unclosed comments": b"<!--" * 60_000,
    "unclosed titles": b"<title>" * 30_000,
    "unclosed scripts": b"<script>" * 30_000,
    "no markup": b"word " * 200_000,
    "one long word": b"<html><body><p>" + b"a" * 2_000_000,
    "invalid UTF-8": b"<html><body>" + _PARAGRAPH * 3 + b"<p>\xff\xfe\xed\xa0\x80 broken \xc3</p></body></html>",
    "a gzip file": b"\x1f\x8b\x08\x00" + bytes(range(256)) * 100,
}
GOOD_PAGE = (
    b"<html><head><title> A  good\npage &amp; more </title></head><body><article><h1>Heading</h1>"
    + _PARAGRAPH * 6
    + b"</article></body></html>"
)
