"""Loaders of the gold sets for extraction, and the measures; shared by the tests and the benchmarks.

Each loader takes the data folder and yields pages in a fixed order. Formats: PROVENANCE.md of each set's folder.
"""

from __future__ import annotations

import gzip
import html
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_META_CHARSET = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_WRAPPER = re.compile(rb"\A\s*<text [^>]*>|</text>\s*\Z")
_WRAPPER_ENCODING = re.compile(rb"\A\s*<text [^>]*\bencoding=\"([^\"]*)\"")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_MARK = re.compile(r"<[a-zA-Z]{1,2}>")
_HIDDEN_HTML = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class GoldPage:
    """One page: its decoded `page`, and either the `gold` text or segments that must (`wanted`) and must not
    (`unwanted`) be in the extracted text. `site`: the page's domain without its public suffix, or the page's own name.
    `kind`: of page, where the set says it."""

    name: str
    page: str
    gold: str = ""
    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    site: str = ""
    kind: str = ""


def site_of(url: str) -> str:
    """`example` of https://www.example.co.uk/page: sites of one name under several suffixes are one site."""
    from tld import get_tld

    found = get_tld(url, as_object=True, fail_silently=True, fix_protocol=True)
    host = url.split("://")[-1].split("/")[0].lower()
    return found.domain if found is not None and not isinstance(found, str) else host


def decode_page(raw: bytes, declared: str | None = None) -> str:
    """UTF-8 when it is that, else the charset declared or found in a <meta>, else cp1252. Lossy only in the last."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    found = _META_CHARSET.search(raw[:8192])
    for charset in (declared, found[1].decode("ascii") if found else None):
        # browsers read latin-1 and ascii as cp1252, and so do the gold texts
        name = "cp1252" if (charset or "").lower() in ("iso-8859-1", "latin1", "latin-1", "us-ascii") else charset
        try:
            if name:
                return raw.decode(name)
        except (LookupError, UnicodeDecodeError):
            continue
    return raw.decode("cp1252", "replace")


def scrapinghub(data: Path) -> Iterator[GoldPage]:
    """181 article pages with the article's text."""
    folder = data / "extract-scrapinghub"
    gold = json.loads((folder / "ground-truth.json").read_text("utf-8"))
    for name in sorted(gold):
        raw = gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes())
        yield GoldPage(name, decode_page(raw), gold[name]["articleBody"], site=site_of(gold[name]["url"]))


def readability(data: Path) -> Iterator[GoldPage]:
    """116 pages of Mozilla's Readability tests; the gold is HTML, of which the text counts."""
    for name, raw, gold in _pairs(data / "extract-readability" / "pages.zip"):
        text = html.unescape(_TAG.sub(" ", _HIDDEN_HTML.sub(" ", gold.decode("utf-8"))))
        yield GoldPage(name, decode_page(raw), text, site=name.rstrip("-0123456789"))


def cleaneval(data: Path) -> Iterator[GoldPage]:
    """681 pages of CleanEval 2007's final test with gold; wrapper, URL line and marks taken off."""
    for name, page, gold in _cleaneval_pages(data / "extract-cleaneval-final" / "pages.zip"):
        lines = gold.splitlines()
        url = lines[0].strip().removeprefix("URL:").strip() if lines and lines[0].lstrip().startswith("URL:") else None
        body = lines if url is None else lines[1:]
        yield GoldPage(name, page, _MARK.sub(" ", "\n".join(body)), site=site_of(url) if url else name)


def cleaneval_dev(data: Path) -> Iterator[GoldPage]:
    """58 pages of CleanEval 2007's development set."""
    return _with_comments_off(data / "extract-cleaneval-dev" / "pages.zip")


def cleanportaleval(data: Path) -> Iterator[GoldPage]:
    """71 pages of four news portals, marked as CleanEval's are; some hold no article."""
    return _with_comments_off(data / "extract-cleanportaleval" / "pages.zip")


def _with_comments_off(archive: Path) -> Iterator[GoldPage]:
    for name, page, gold in _cleaneval_pages(archive):
        first, _, body = gold.strip().partition("\n")
        url = first.removeprefix("URL:").strip() if first.startswith("URL:") else None
        text = html.unescape(_COMMENT.sub(" ", gold if url is None else body))
        yield GoldPage(name, page, _MARK.sub(" ", text), site=site_of(url) if url else name)


def _cleaneval_pages(archive: Path) -> Iterator[tuple[str, str, str]]:
    for name, raw, gold in _pairs(archive):
        declared = _WRAPPER_ENCODING.search(raw)
        page = decode_page(_WRAPPER.sub(b"", raw), declared[1].decode("ascii", "replace") if declared else None)
        yield name, page, decode_page(gold)


def trafilatura_eval(data: Path) -> Iterator[GoldPage]:
    """990 pages in many languages with segments that must and must not be extracted."""
    folder = data / "extract-trafilatura-eval"
    entries = json.loads(gzip.decompress((folder / "evaldata.json.gz").read_bytes()))
    with zipfile.ZipFile(folder / "pages.zip") as pages:
        for url in sorted(entries):
            entry = entries[url]
            page = decode_page(pages.read(entry["file"]))
            yield GoldPage(url, page, "", tuple(entry["with"]), tuple(entry["without"]), site_of(url))


WCXB_SPLITS = ("dev", "test")


def wcxb(data: Path, split: str) -> Iterator[GoldPage]:
    """Pages of seven kinds with their main content (WCXB 1.0: 1,497 of `dev`, 511 of `test`); those without one left out."""
    folder = data / "extract-wcxb" / split
    for path in sorted((folder / "ground-truth").glob("*.json")):
        entry = json.loads(path.read_text("utf-8"))
        gold = entry["ground_truth"].get("main_content")
        if gold:
            raw = gzip.decompress((folder / "html" / f"{path.stem}.html.gz").read_bytes())
            site = site_of(entry["url"]) if "url" in entry else path.stem
            yield GoldPage(path.stem, decode_page(raw), gold, site=site, kind=entry["_internal"]["page_type"]["primary"])


GOLD_SETS: Mapping[str, Callable[[Path], Iterator[GoldPage]]] = {
    "scrapinghub": scrapinghub,
    "readability": readability,
    "cleaneval": cleaneval,
    "trafilatura_eval": trafilatura_eval,
}

MORE_GOLD_SETS: Mapping[str, Callable[[Path], Iterator[GoldPage]]] = {
    "cleaneval_dev": cleaneval_dev,
    "cleanportaleval": cleanportaleval,
}
"""Small sets beside those of the quality gate."""


def _pairs(archive: Path) -> Iterator[tuple[str, bytes, bytes]]:
    with zipfile.ZipFile(archive) as pages:
        names = set(pages.namelist())
        for name in sorted(n for n in names if n.startswith("input/") and n.endswith(".html")):
            base = name.removeprefix("input/").removesuffix(".html")
            if f"GoldStandard/{base}.txt" in names:
                yield base, pages.read(name), pages.read(f"GoldStandard/{base}.txt")


def token_scores(text: str, gold: str) -> tuple[float, float, float]:
    r"""Precision, recall and F1 of the bags of lower-cased `\w+` tokens; 1 each when both are empty."""
    ours, theirs = Counter(_WORD.findall(text.lower())), Counter(_WORD.findall(gold.lower()))
    if not ours and not theirs:
        return 1.0, 1.0, 1.0
    shared = (ours & theirs).total()
    if not shared:
        return 0.0, 0.0, 0.0
    precision, recall = shared / ours.total(), shared / theirs.total()
    return precision, recall, 2 * precision * recall / (precision + recall)


def directly_trafilatura(page: str) -> str | None:
    """The library called on decoded text with the options our stage has by default."""
    import trafilatura

    return trafilatura.extract(page, favor_precision=True, include_comments=False)


def directly_resiliparse(page: str) -> str | None:
    """The library called on decoded text with the options our stage has by default."""
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(
        page, main_content=True, preserve_formatting=True, alt_texts=False, comments=False, post_meta=False
    )


DIRECTLY: Mapping[str, Callable[[str], str | None]] = {
    "trafilatura": directly_trafilatura,
    "resiliparse": directly_resiliparse,
}


def set_scores(pages: Sequence[GoldPage], texts: Sequence[str | None]) -> dict[str, float]:
    """Precision, recall and F1 of a set: means over pages for gold texts, pooled counts for segments."""
    if pages[0].wanted or pages[0].unwanted:
        counts = [segment_counts(text or "", page) for page, text in zip(pages, texts, strict=True)]
        found, missed, strays, _ = (sum(column) for column in zip(*counts, strict=True))
        precision, recall = found / (found + strays), found / (found + missed)
        return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / (precision + recall)}
    scores = [token_scores(text or "", page.gold) for page, text in zip(pages, texts, strict=True)]
    means = [sum(column) / len(pages) for column in zip(*scores, strict=True)]
    return dict(zip(("precision", "recall", "f1"), means, strict=True))


def segment_counts(text: str, page: GoldPage) -> tuple[int, int, int, int]:
    """True positives, false negatives, false positives and true negatives: wanted and unwanted segments found."""
    found = sum(segment in text for segment in page.wanted)
    strays = sum(segment in text for segment in page.unwanted)
    return found, len(page.wanted) - found, strays, len(page.unwanted) - strays
