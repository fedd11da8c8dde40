"""extractors/main_content on pages made to be slow: a search for them, and that what it tries is what it says."""

from __future__ import annotations

import random

import pytest
from slow_page_search import PAGE_BYTES, mutated, page_of, slowest

from curation.extractors.main_content import read_page

BOUND = 40.0
"""CPU milliseconds a megabyte that no page found may take: twice what is promised, for a machine that does other work."""


def test_pages_of_the_search_are_of_the_size_it_divides_by() -> None:
    rng = random.Random(5)
    found = slowest(0.5, seed=2)
    assert found
    kinds = [kind for _, kind in found]
    for _ in range(200):
        kinds.append(mutated(rng.choice(kinds), rng, True))
    sizes = [len(page_of(kind, 5000)) for kind in kinds]
    assert all(size < 5000 + 600 * 24 for size in sizes) and sum(size > 4000 for size in sizes) > 150
    for kind in kinds[:50]:
        read_page(page_of(kind, 5000))


@pytest.mark.soak
def test_no_page_a_search_of_ten_minutes_finds_is_slow() -> None:
    """Pages of repeated pieces of a megabyte, the slowest changed again and again."""
    found = slowest(600, seed=1)
    assert len(page_of(found[0][1])) > PAGE_BYTES // 2
    assert found[0][0] < BOUND, found[0]
