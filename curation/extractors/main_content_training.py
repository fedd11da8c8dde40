"""From gold pages to a model for extractors/main_content: blocks and labels for the trainer, and how well it then does.

A gold row is a mapping: `html` (text or UTF-8 bytes), `gold` (the page's main text); optional `site` (pages of one site are
never on both sides of a split), `source` (name of the set), `weight` (of the page, 1), `wanted` and `unwanted` (segments
that are and are not main text, whatever `gold` says).

Source: ours.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class GoldReading:
    """A gold page, read: `page` is what the trainer takes, `reading` what the stage would work with."""

    source: str
    gold: str
    reading: Reading
    page: TrainingPage


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
    for i, text in enumerate(" ".join(text.split()) for text in texts):
        if any(segment in text for segment in row.get("wanted") or ()):
            labels[i] = True
        elif any(segment in text for segment in row.get("unwanted") or ()):
            labels[i] = False
    site = str(row.get("site") or "") or f"page {hash_of(page)}"
    trained = TrainingPage(site, reading.features, labels, tokens, reading.second, float(row.get("weight") or 1.0))
    return GoldReading(str(row.get("source") or "gold"), row["gold"] or "", reading, trained)


def hash_of(page: bytes) -> str:
    """Name of a page without a site."""
    from hashlib import blake2b

    return blake2b(page, digest_size=8).hexdigest()


def token_f1(text: str, gold: str) -> float:
    r"""F1 of the bags of lower-cased `\w+` tokens; 1 when both are empty."""
    ours, theirs = Counter(_WORD.findall(text.lower())), Counter(_WORD.findall(gold.lower()))
    shared = (ours & theirs).total()
    return 2 * shared / (ours.total() + theirs.total()) if ours or theirs else 1.0


def by_sites(values: Sequence[float], sites: Sequence[str], rounds: int = ROUNDS, seed: int = 0) -> Interval:
    """Mean of a value of each page, with its 95 % interval over resamples of whole sites."""
    numbers = {site: i for i, site in enumerate(dict.fromkeys(sites))}
    owner = np.array([numbers[site] for site in sites])
    sums, sizes = np.bincount(owner, np.asarray(values, float)), np.bincount(owner)
    picks = np.random.default_rng(seed).integers(0, len(sums), (rounds, len(sums)))
    means = sums[picks].sum(1) / sizes[picks].sum(1)
    return Interval(float(np.mean(values)), *(float(q) for q in np.quantile(means, (0.025, 0.975))))


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
    """Train on gold rows, measure on folds of sites when asked to, write `<name>.npz` and its card into `out`; the card."""
    pages = [found for row in rows if (found := gold_reading(row)) is not None]
    if not pages:
        raise TrainingError("pages to train with\n  wanted: at least one with text\n  found:  none")
    progress(f"{len(pages)} pages, {sum(len(p.page.labels) for p in pages)} blocks")
    quality = list(_quality(pages, settings, progress)) if measured else []
    model = train_extractor([p.page for p in pages], settings)
    out.mkdir(parents=True, exist_ok=True)
    weights = out / f"{name}.npz"
    save_model(weights, model.dumps())
    counts = Counter(page.source for page in pages)
    entries = {
        "kind": "page_blocks",
        "direction": "probability that a block of a page is of its main content; higher keeps it",
        "range": [0.0, 1.0],
        "licence": licence or "unstated",
        "training_data": training_data or ", ".join(f"{n} pages of {source}" for source, n in counts.items()),
        "limits": list(limits),
    }
    card = out / f"{name}.toml"
    write_card(card, weights, entries, {"quality": quality})
    return card


def _quality(
    pages: Sequence[GoldReading], settings: ExtractorSettings, progress: Callable[[str], None]
) -> Iterable[dict[str, Any]]:
    """A row for each source: token F1 of the extracted text, each page by a model that has not seen its site."""
    answers = cross_validated([p.page for p in pages], settings, progress=progress)
    for source in dict.fromkeys(page.source for page in pages):
        chosen = [(p, a) for p, a in zip(pages, answers, strict=True) if p.source == source]
        scores = [token_f1(chosen_text(p.reading, a), p.gold) for p, a in chosen]
        sites = [p.page.site for p, _ in chosen]
        yield {"set": source, "pages": len(chosen), "sites": len(set(sites)), "token_f1": by_sites(scores, sites)}
