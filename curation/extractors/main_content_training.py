"""From gold pages to a model for extractors/main_content: blocks and labels for the trainer, and how well it then does.

A gold row is a mapping: `html` (text or UTF-8 bytes), `gold` (the page's main text); optional `site` (pages of one site are
never on both sides of a split), `source` (name of the set), `name` and `language` (for the report), `weight` (1; 0 for a page
that is measured with and never trained with), `wanted` and `unwanted` (segments that are and are not main text, whatever
`gold` says; a page that has some is measured by them alone).

Source: ours.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.align import gold_shares
from classifiers.card_text import write_card
from classifiers.examples import TrainingError
from classifiers.metrics import Interval
from classifiers.train_extractor import ExtractorSettings, TrainingPage, cross_validated, train_extractor
from curation.extractors.main_content import Reading, chosen_text, read_page, save_model
from curation.text.html_blocks import END, START

_WORD = re.compile(r"\w+")
ROUNDS = 1000
LEAST_PAGES = 20
"""A language of fewer pages is not reported."""


@dataclass(frozen=True)
class GoldReading:
    """A gold page, read: `page` is what the trainer takes, `reading` what the stage would work with."""

    source: str
    name: str
    language: str
    gold: str
    wanted: Sequence[str]
    unwanted: Sequence[str]
    reading: Reading
    page: TrainingPage

    def measured(self, text: str) -> tuple[float, ...]:
        """Of the page's extracted text: token F1, or segments found, missed and strays where it has segments."""
        if not self.wanted and not self.unwanted:
            return (token_f1(text, self.gold),)
        found = sum(segment in text for segment in self.wanted)
        return float(found), float(len(self.wanted) - found), float(sum(segment in text for segment in self.unwanted))


def gold_reading(row: Mapping[str, Any]) -> GoldReading | None:
    """Read and label a gold row; None when its page has no text. Raises TrainingError when it lacks an entry."""
    missing = [name for name in ("html", "gold") if name not in row]
    if missing:
        raise TrainingError(f"the data\n  wanted: columns html, gold\n  found:  {', '.join(row)}")
    page = row["html"].encode("utf-8", "replace") if isinstance(row["html"], str) else row["html"] or b""
    reading = read_page(page)
    if reading is None:
        return None
    texts = [bytes(reading.text[a:b]).decode("utf-8", "replace") for a, b in reading.groups[:, (START, END)]]
    shares, tokens = gold_shares(texts, row["gold"] or "")
    labels = shares > 0.5
    wanted, unwanted = tuple(row.get("wanted") or ()), tuple(row.get("unwanted") or ())
    for i, text in enumerate(" ".join(text.split()) for text in texts):
        if any(segment in text for segment in wanted):
            labels[i] = True
        elif any(segment in text for segment in unwanted):
            labels[i] = False
    weight = 1.0 if row.get("weight") is None else float(row["weight"])
    return GoldReading(
        source=str(row.get("source") or "gold"),
        name=str(row.get("name") or ""),
        language=str(row.get("language") or ""),
        gold=row["gold"] or "",
        wanted=wanted,
        unwanted=unwanted,
        reading=reading,
        page=TrainingPage(
            str(row.get("site") or "") or f"page {hash_of(page)}", reading.features, labels, tokens, reading.second, weight
        ),
    )


def hash_of(page: bytes) -> str:
    """Name of a page without a site."""
    return blake2b(page, digest_size=8).hexdigest()


def token_f1(text: str, gold: str) -> float:
    r"""F1 of the bags of lower-cased `\w+` tokens; 1 when both are empty."""
    ours, theirs = Counter(_WORD.findall(text.lower())), Counter(_WORD.findall(gold.lower()))
    shared = (ours & theirs).total()
    return 2 * shared / (ours.total() + theirs.total()) if ours or theirs else 1.0


def by_sites(
    values: Sequence[Sequence[float]],
    sites: Sequence[str],
    measure: Callable[[np.ndarray], np.ndarray],
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Interval:
    """`measure` of the sums of the pages' values (float [..., k], the last column counts pages), with its 95 % interval over
    resamples of whole sites."""
    numbers = {site: i for i, site in enumerate(dict.fromkeys(sites))}
    owner = np.array([numbers[site] for site in sites])
    table = np.column_stack([np.asarray(values, float), np.ones(len(sites))])
    sums = np.zeros((len(numbers), table.shape[1]))
    np.add.at(sums, owner, table)
    picks = np.random.default_rng(seed).integers(0, len(sums), (rounds, len(sums)))
    low, high = np.quantile(measure(sums[picks].sum(1)), (0.025, 0.975))
    return Interval(float(measure(sums.sum(0))), float(low), float(high))


def mean_of_first(sums: np.ndarray) -> np.ndarray:
    """Mean over pages of the first value."""
    return sums[..., 0] / sums[..., -1]


def segment_f1(sums: np.ndarray) -> np.ndarray:
    """F1 of pooled counts: found, missed, strays."""
    found, missed, strays = sums[..., 0], sums[..., 1], sums[..., 2]
    return 2 * found / np.maximum(2 * found + missed + strays, 1)


def train_main_content(
    rows: Iterable[Mapping[str, Any]],
    out: Path,
    name: str = "main_content",
    *,
    settings: ExtractorSettings = ExtractorSettings(),
    measured: bool = True,
    licence: str = "",
    training_data: str = "",
    limits: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train on gold rows, measure on folds of sites when asked to, write `<name>.npz` and its card into `out`; the card.

    What was measured with goes, page by page with the answers for its blocks, to `<name>_pages.jsonl`.
    """
    pages = [found for row in rows if (found := gold_reading(row)) is not None]
    used = [page for page in pages if page.page.weight > 0]
    if not used:
        raise TrainingError("pages to train with\n  wanted: at least one with text\n  found:  none")
    progress(f"{len(used)} pages to train with, {len(pages)} in all, {sum(len(p.page.labels) for p in pages)} blocks")
    out.mkdir(parents=True, exist_ok=True)
    quality = list(_quality(pages, settings, out / f"{name}_pages.jsonl", progress)) if measured else []
    model = train_extractor([p.page for p in used], settings)
    weights = out / f"{name}.npz"
    save_model(weights, model.dumps())
    counts = Counter(page.source for page in used)
    entries = {
        "kind": "page_blocks",
        "direction": "probability that a block of a page is of its main content; higher keeps it",
        "range": [0.0, 1.0],
        "licence": licence or "unstated",
        "training_data": training_data or "pages and their main text",
        "training_pages": [f"{source}: {n}" for source, n in counts.items()],
        "limits": list(limits),
    }
    card = out / f"{name}.toml"
    write_card(card, weights, entries, {"quality": quality})
    return card


def _quality(
    pages: Sequence[GoldReading], settings: ExtractorSettings, found: Path, progress: Callable[[str], None]
) -> Iterable[dict[str, Any]]:
    """A row for each source, and for each language of one: each page's text by a model that has not seen its site."""
    answers = cross_validated([p.page for p in pages], settings, [p.page.weight > 0 for p in pages], progress)
    texts = [chosen_text(p.reading, a) for p, a in zip(pages, answers, strict=True)]
    with found.open("w", encoding="utf-8") as stream:
        for page, found_answers in zip(pages, answers, strict=True):
            line = {"source": page.source, "name": page.name, "site": page.page.site, "language": page.language}
            stream.write(json.dumps(line | {"answers": [round(float(a), 4) for a in found_answers]}) + "\n")
    groups = dict.fromkeys((page.source, "") for page in pages)
    groups |= dict.fromkeys(sorted((page.source, page.language) for page in pages if page.language))
    for source, language in groups:
        chosen = [
            (page, text)
            for page, text in zip(pages, texts, strict=True)
            if page.source == source and language in ("", page.language)
        ]
        if language and len(chosen) < LEAST_PAGES:
            continue
        sites = [page.page.site for page, _ in chosen]
        values = [page.measured(text) for page, text in chosen]
        by_segments = len(values[0]) > 1
        row: dict[str, Any] = {"set": source, "language": language or None, "pages": len(chosen), "sites": len(set(sites))}
        row["trained_with"] = sum(page.page.weight > 0 for page, _ in chosen)
        row["segment_f1" if by_segments else "token_f1"] = by_sites(values, sites, segment_f1 if by_segments else mean_of_first)
        yield {key: value for key, value in row.items() if value is not None}
