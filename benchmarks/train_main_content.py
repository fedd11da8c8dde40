"""Train the model of extractors/main_content anew: `python benchmarks/train_main_content.py DATA_FOLDER OUT_FOLDER`.

Trains with the gold sets whose licence allows weights to be passed on: Scrapinghub's articles (MIT), Readability's pages
(Apache-2.0) and trafilatura's evaluation pages (Apache-2.0). CleanEval and CleanPortalEval carry no licence: they are measured
with, never trained with. trafilatura's pages have no full gold text: its own precise extraction stands in, where that holds
two thirds of the segments wanted and at most a third of those not wanted, and the segments overrule it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

from gold_sets import GOLD_SETS, GoldPage, directly_trafilatura, segment_counts  # noqa: E402

from classifiers.train_extractor import ExtractorSettings  # noqa: E402
from curation.extractors.main_content_training import train_main_content  # noqa: E402

WEIGHTS = {"scrapinghub": 2.0, "readability": 1.0, "trafilatura_eval": 1.0}
LEAST_GOLD = 100
SETTINGS = ExtractorSettings()
LIMITS = (
    "Trained with news, blogs and articles, two thirds of them English or German: forums, shops and listings are rare in it.",
    "The gold of two of its sets leaves readers' comments out, and so does it by default.",
    "The labels of trafilatura_eval lean on trafilatura's own extraction.",
)


def gold_row(source: str, page: GoldPage) -> dict[str, Any] | None:
    """A page as the trainer takes it; None where there is no gold to trust."""
    row = {"html": page.page, "gold": page.gold, "site": page.site, "source": source, "weight": WEIGHTS.get(source, 1.0)}
    if not page.wanted:
        return row
    text = directly_trafilatura(page.page) or ""
    found, missed, strays, clean = segment_counts(text, page)
    if len(text) < LEAST_GOLD or found < 2 * missed or 2 * strays > clean:
        return None
    return row | {"gold": text, "wanted": page.wanted, "unwanted": page.unwanted}


def gold_rows(data: Path) -> Iterator[dict[str, Any]]:
    """The rows trained with."""
    for source in WEIGHTS:
        for page in GOLD_SETS[source](data):
            if (row := gold_row(source, page)) is not None:
                yield row


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
