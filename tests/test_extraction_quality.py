"""The quality gate of the extractors, on gold sets of real pages (tests/gold_sets.py).

Two promises of the libraries' stages: our stage gives, page by page, the very text the library gives for the correctly
decoded page; and the mean scores stay at or above tests/golden/extraction_quality.json.
`CURATION_FLOORS=raise` writes higher floors; it refuses lower ones: edit the file by hand and say why in the commit.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from extractor_cases import run_pages
from gold_sets import DIRECTLY, GOLD_SETS, MORE_GOLD_SETS, set_scores

from curation.document import storable
from curation.extractors.guarded import GuardedExtractor
from curation.extractors.main_content import MainContent
from curation.extractors.resiliparse import Resiliparse
from curation.extractors.trafilatura import Trafilatura

FLOORS = Path(__file__).parent / "golden" / "extraction_quality.json"
STAGES: dict[str, type[GuardedExtractor]] = {"trafilatura": Trafilatura, "resiliparse": Resiliparse}

AT_BOUNDS: dict[tuple[str, str], set[str]] = {}
"""(extractor, set) -> pages of the set that end with timeout, memory or crashed. None does."""


@pytest.mark.parametrize("set_name", GOLD_SETS)
@pytest.mark.parametrize("extractor", STAGES)
def test_quality(extractor: str, set_name: str, data_folder: Path) -> None:
    pages = list(GOLD_SETS[set_name](data_folder))
    rows = run_pages(STAGES[extractor](), [page.page.encode() for page in pages])

    bounded = {page.name for page, row in zip(pages, rows, strict=True) if row.reason not in (None, "empty_text")}
    assert bounded == AT_BOUNDS.get((extractor, set_name), set())

    for page, row in zip(pages, rows, strict=True):
        if page.name not in bounded:
            text = DIRECTLY[extractor](page.page)
            assert row.text == (storable(text) if text and not text.isspace() else None), page.name

    _check_floors(extractor, set_name, set_scores(pages, [row.text for row in rows]))


@pytest.mark.parametrize("set_name", [*GOLD_SETS, *MORE_GOLD_SETS])
def test_quality_of_our_own_model(set_name: str, data_folder: Path) -> None:
    """Of the model as it comes, which has seen three of the sets: benchmarks/main_content.md has what it does on sites it has
    not seen. CleanEval's and CleanPortalEval's pages it was never trained with."""
    pages = list({**GOLD_SETS, **MORE_GOLD_SETS}[set_name](data_folder))
    rows = run_pages(MainContent(), [page.page.encode() for page in pages])
    assert {row.reason for row in rows} <= {None, "empty_text"}
    _check_floors("main_content", set_name, set_scores(pages, [row.text for row in rows]))


def _check_floors(extractor: str, set_name: str, scores: dict[str, float]) -> None:
    """Four digits, rounded down, so that a floor is never above what was measured."""
    floors = json.loads(FLOORS.read_text("utf-8")) if FLOORS.exists() else {}
    floor = floors.setdefault(extractor, {}).get(set_name, {})
    low = {name: (score, floor[name]) for name, score in scores.items() if score < floor.get(name, 0.0)}
    assert not low, f"{extractor} on {set_name}: (measured, floor) {low}"
    if os.environ.get("CURATION_FLOORS") == "raise":
        floors[extractor][set_name] = {name: math.floor(score * 10_000) / 10_000 for name, score in scores.items()}
        FLOORS.write_text(json.dumps(floors, indent=1, sort_keys=True) + "\n", "utf-8")
    else:
        assert set(floor) == set(scores), f"no floor for {extractor} on {set_name}: CURATION_FLOORS=raise writes it"
