"""What benchmarks/main_content.py measures with beside the gold sets: pages of formulas, slow pages, the recipe's filters."""

from __future__ import annotations

import html
import json
import re
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.extractors.page_kinds import ARTICLE, OTHER, UNKNOWN, UNLIKELY, kind_for
from curation.text.html_math import tex_for_math

if TYPE_CHECKING:
    from main_content import Gold

    from curation.extractors.main_content import Reading

SLOW_BYTES = 2_000_000
_CNXML_TAGS = (("para", "p"), ("title", "h2"), ("note", "div"), ("section", "section"), ("equation", "div"), ("item", "li"),
               ("list", "ul"), ("example", "div"), ("exercise", "div"), ("problem", "div"), ("solution", "div"))  # fmt: skip
LOST = "a letter or digit is lost"
_DOLLARS = re.compile(r"\$\$[^$]{1,2000}\$\$|\$[^$\n]{1,2000}\$")

NOTES: dict[str, list[str]] = {
    "quality": [
        "Gold texts: token F1, mean over pages; trafilatura_eval: F1 of pooled segments (trafilatura is tuned on that set). "
        "main_content: each page by a model trained on other sites (three folds); CleanEval and CleanPortalEval are never "
        "trained with. Differences with 95 % intervals over resamples of whole sites. trafilatura is its precise mode, "
        "resiliparse its main content.",
        "CleanEval's gold keeps readers' comments and much of the frame, the others' does not; main_content leaves both out.",
    ],
    "cost": ["Warm, one core."],
    "decisions": [
        "The filters of common_crawl_english (English at 0.65, Gopher repetition and quality, C4, FineWeb) on the texts "
        "of every side: shares of pages with the same decision as trafilatura's. `all filters`, and `up to Gopher`: "
        "without C4's and FineWeb's. `tables as rows`: MainContent(tables=\"rows\"), which writes every table as "
        "trafilatura does. `as the gold text is decided`: the same filters on the gold texts of scrapinghub, both "
        "CleanEvals and CleanPortalEval, which have the lines of their pages.",
        "With tables written alike the decisions agree. Otherwise they part on CleanEval, whose pages are laid out with "
        "tables: trafilatura writes those as rows between bars, a page in a few lines, none of which ends in punctuation, "
        "and FineWeb's rule of line ends (`line_punct`) and Gopher's of letters (`below_alpha`) drop them. main_content "
        "keeps their paragraphs, and the filters keep them as they keep the gold.",
        "The beginnings of some forty were read. Rows between bars: the frame of the page in the first rows, the article "
        "in one line below (each of a dozen). The same words in other lines: texts near a threshold, where a table of "
        "contents, a line of figures or a heading more makes the difference, and line breaks that trafilatura takes from "
        "the source. Other words, nearer to the gold with main_content: trafilatura finds nothing or a part, comments, "
        "code of scripts, lists of related pages. Nearer with trafilatura: leads of other articles behind a short one, a "
        "list of items that repeats the article's, a thread of a forum of which only the longest posts are kept.",
    ],
    "structure": [
        "A formula survives when its TeX stands between dollar signs in the text (OpenStax and MathMLben: the TeX made of its "
        "MathML, with every letter and digit of it; lilianweng: as it stands in the page, white space aside)."
    ],
    "worst": [
        "Pages made to be slow, some by hand and some by tests/extractors/slow_page_search.py. Above {BLOCKS} blocks and one a "
        "kilobyte, runs of neighbours are answered for together, so that the model's share is bounded.",
        "The bar is 20 ms a megabyte. Above it: texts that are all combining marks, whose time goes into the NFC form that "
        "every text is identified by, whatever extracted it; and formulas of one fence each, by a little. In slow moments of "
        "the machine all take half as long again. "
        "Mutated pages (tests/extractors/test_main_content.py, 100,000): none above 20 ms and 20 ms a megabyte once warm.",
    ],
}


def rows_of(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What unseen models say of each gold page, by set and name: a file of one of the trainers."""
    return {(row["source"], row["name"]): row for row in map(json.loads, path.open("rb"))}


def kind_of(row: dict[str, Any]) -> str:
    """What the stage takes the page of a row of page_kinds.jsonl for."""
    if row["structure"] <= UNLIKELY:
        return ARTICLE
    return OTHER if row["declares_other"] else kind_for(row["both"])


def answered(reading: Reading, article: np.ndarray, row: dict[str, Any]) -> tuple[Reading, np.ndarray]:
    """As PageModels.answered, by unseen models: the answers of the one for articles, and a row of page_kinds.jsonl."""
    kind, other = kind_of(row), np.array(row["answers"], np.float32)
    if kind == OTHER:
        return reading.without_comments(), other
    return reading, (article + other) / 2 if kind == UNKNOWN else article


def keep_reasons(gold: Gold, side: str) -> list[tuple[str, str] | None]:
    """Stage and reason that drop each page's text, None for those kept; `empty` where there is no text."""
    import polars as pl

    from curation import filters, modifiers, scorers
    from curation.models import available_models
    from curation.run_stage import StageCount, run_stage

    stages = (
        scorers.Language(), filters.Language(keep={"eng_Latn": 0.65}), filters.GopherRepetition(), filters.GopherQuality(),
        modifiers.C4(terminal_punctuation=False), filters.FineWeb(),
    )  # fmt: skip
    texts = [gold.text(side, source, page) for source, pages in gold.pages.items() for page in pages]
    reasons: list[tuple[str, str] | None] = [None if text.strip() else ("empty", "empty") for text in texts]
    alive = pl.DataFrame({"doc": range(len(texts)), "text": texts}, schema_overrides={"doc": pl.UInt64})
    alive = alive.filter(pl.col("text").str.strip_chars() != "")
    for stage in stages:
        alive, gone = run_stage(stage, stage.bind(available_models(stage.models)), alive, StageCount(stage.label or "stage"))
        for doc, reason in zip(gone["doc"].to_list(), gone["drop_reason"].to_list(), strict=True):
            reasons[doc] = (stage.short_name, reason)
    return reasons


def math_pages(data: Path) -> dict[str, list[tuple[str, list[str]]]]:
    """Name -> pages with the formulas on them: letters and digits in order, or the TeX of the page."""
    folder = data / "math-html"
    return {
        "OpenStax calculus, MathML": list(_openstax(folder / "openstax-calculus-cnxml.zip")),
        "MathMLben, ten formulas a page": list(_mathmlben(folder / "mathmlben.zip")),
        "lilianweng, TeX in dollar signs": list(_lilianweng(folder / "lilianweng.zip")),
    }


def _members(archive: Path, ending: str) -> list[str]:
    with zipfile.ZipFile(archive) as files:
        return [files.read(name).decode("utf-8", "replace") for name in sorted(files.namelist()) if name.endswith(ending)]


def _openstax(archive: Path) -> list[tuple[str, list[str]]]:
    """CNXML as the HTML a site would show: paragraphs, headings, lists; MathML without its prefix."""
    pages = []
    for source in _members(archive, ".cnxml"):
        body = source[source.find("<content") :].replace("<m:", "<").replace("</m:", "</")
        body = re.sub(r"<metadata.*?</metadata>|<\?.*?\?>|<(?:link|label|newline)[^>]*/>", "", body, flags=re.DOTALL)
        for name, tag in _CNXML_TAGS:
            body = re.sub(rf"<{name}(?=[\s>])", f"<{tag}", body).replace(f"</{name}>", f"</{tag}>")
        formulas = [tex_expected(element) for element in re.findall(r"<math\b.*?</math>", body, re.DOTALL)]
        pages.append((f"<html><head><title>Calculus</title></head><body><article>{body}</article></body></html>", formulas))
    return pages


def _mathmlben(archive: Path) -> list[tuple[str, list[str]]]:
    entries = [json.loads(text)["correct_mml"] for text in _members(archive, ".json")]
    elements = [re.sub(r"<annotation.*?</annotation[^>]*>|\balttext=\"[^\"]*\"", "", e, flags=re.DOTALL) for e in entries]
    pages = []
    for first in range(0, len(elements), 10):
        chosen = elements[first : first + 10]
        body = "".join(f"<p>It follows from what was said above that {e} holds for all values of interest.</p>" for e in chosen)
        pages.append(
            (f"<html><body><article><h1>Formulas</h1>{body}</article></body></html>", [tex_expected(e) for e in chosen])
        )
    return pages


def _lilianweng(archive: Path) -> list[tuple[str, list[str]]]:
    """Formulas of the post itself, which is its one element of class post-content."""
    pages = []
    for page in _members(archive, ".html"):
        start = page.find("post-content")
        body = re.sub(r"<pre.*?</pre>|<script.*?</script>", " ", page[start : page.find("<footer", start)], flags=re.DOTALL)
        text = html.unescape(re.sub(r"<[^>]*>", "", body))
        pages.append((page, ["".join(tex.split()).strip("$") for tex in _DOLLARS.findall(text)]))
    return pages


def tex_expected(element: str) -> str:
    """The TeX our conversion makes of a MathML element, white space aside; nothing findable where a letter or digit of its
    identifiers and numbers is lost."""
    tex = html.unescape(bytes(tex_for_math(element.encode())).decode()).strip().strip("$")
    leaves = re.findall(r"<m[in](?:\s[^>]*)?>([^<]*)</m[in]>", element)
    symbols = Counter(c for leaf in leaves for c in html.unescape(leaf) if c.isascii() and c.isalnum())
    return LOST if symbols - Counter(tex) else "".join(tex.split())


def survived(text: str, formulas: list[str]) -> int:
    """How many of the formulas stand between dollar signs in the text, each as often as it is wanted at most."""
    spans = Counter("".join(span.split()).strip("$") for span in _DOLLARS.findall(text))
    return (spans & Counter(formulas)).total()


def slow_pages() -> dict[str, bytes]:
    """Name -> a page of about two megabytes."""
    units = {
        "one character": b"x", "line breaks": b"\n", "paragraphs of a letter": b"<p>x</p>", "div never closed": b"<div>",
        "div and a letter": b"<div>x ", "list items and links": b"<li><a href=x>y</a>", "br br": b"x<br><br>",
        "cells": b"<td>a", "tables in tables": b"<table><tr><td>a", "lists in lists": b"<ul><li>a", "entities": b"&amp",
        "numbers": b"&#65;", "comments never closed": b"<!--", "scripts never closed": b"<script>",
        "quotes never closed": b"<a href='x",
        "attributes": b"<p a=1 b=2 class='c d-e'>x", "end tags": b"</div></p></td>", "inline tags": b"<b>x</b>",
        "tags that begin": b"<", "titles": b"<title>", "svg": b"<svg>", "pre": b"<pre>x", "invalid UTF-8": b"\xff\xc3",
        "empty paragraphs": b"<p>", "paragraphs, ends left out": b"<p>x", "paragraphs and entities": b"&nGt;<p>x<li/>",
        "definitions": b"<dt>a<dd>b", "headings": b"<h1>a</h1>", "dollars": b"$x <p>", "tags and no body": b"<b>",
        "combining marks": "e\u0301".encode(), "Hangul in parts": "\u1100\u1161".encode(),
        "formulas": b"<math><mi>x</mi></math>", "formulas never closed": b"<math>", "fences": b"<math><mfenced>\xce\xb5</math>",
        "formulas of many leaves": b"<math>" + b"%<mi/>" * 10_000 + b"</math>",
        "formulas that would swell": b"<math><mtext>" + b"\\" * 60_000 + b"</math>",
    }  # fmt: skip
    pages = {name: b"<html><body>" + unit * (SLOW_BYTES // len(unit)) for name, unit in units.items()}
    pages["tags and no body"] = pages["tags and no body"].replace(b"<body>", b"")
    pages["a row, interrupted"] = b"<html><body><table><tr>" + b"<td>" * 64 + b"</td>x<td>y" * (SLOW_BYTES // 11)
    pages["few words and empty paragraphs"] = b"<html><body>" + b"1 " * (SLOW_BYTES // 20) + b"<p>" * (SLOW_BYTES * 3 // 10)
    return pages


if __name__ == "__main__":
    sys.exit("this is a part of benchmarks/main_content.py")
