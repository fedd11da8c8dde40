"""mixture/sampling: bounds, grid, difference, determinism, and what strengths do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import MixtureError
from curation.mixture.sampling import Sampling, epoch_bounds, on_grid, propose, tempered

PILE = np.array([
    .113285, .079609, .003913, .185376, .051081, .015963, .101751, .003708, .066529, .001751, .027085, .236869, .011843,
    .007930, .008033, .038826, .046447,
])  # fmt: skip
PILE /= PILE.sum()


def entropy(rows: np.ndarray) -> float:
    return float(-(rows * np.log(np.maximum(rows, 1e-300))).sum(axis=1).mean())


def test_published_settings_give_512_different_mixtures_within_bounds() -> None:
    rows = propose(PILE, 512)
    assert rows.shape == (512, 17) and len(np.unique(rows, axis=0)) == 512
    assert np.abs(rows.sum(axis=1) - 1).max() < 1e-12
    assert (rows <= np.minimum(15 * PILE, 1) + 1e-12).all()
    assert (rows[rows > 0] >= 2e-4 - 1e-12).all() and (rows == 0).any()
    units = rows / 2e-4
    assert np.abs(units - units.round()).max() < 1e-6


def test_the_same_seed_gives_the_same_rows_and_a_prefix() -> None:
    assert np.array_equal(propose(PILE, 64), propose(PILE, 64))
    assert np.array_equal(propose(PILE, 64)[:16], propose(PILE, 16))
    assert not np.array_equal(propose(PILE, 64), propose(PILE, 64, Sampling(seed=43)))


def test_entropy_rises_with_strength() -> None:
    ladder = [entropy(propose(PILE, 200, Sampling(min_strength=s, max_strength=s, strengths=1))) for s in (0.1, 0.5, 2.0, 10.0)]
    assert ladder == sorted(ladder) and ladder[-1] > ladder[0] + 1


def test_the_mean_of_strong_draws_is_the_tempered_prior() -> None:
    rows = propose(PILE, 4000, Sampling(min_strength=50, max_strength=50, strengths=1, max_usage=None))
    assert np.abs(rows.mean(axis=0) - tempered(PILE, 0.5)).max() < 0.005


def test_epoch_bounds_hold_and_a_domain_without_tokens_stays_out() -> None:
    available = np.array([1000, 100, 0, 5000])
    upper = epoch_bounds(available, 4000, 4)
    assert upper.tolist() == [1.0, 0.1, 0.0, 1.0]
    rows = propose(available / available.sum(), 100, Sampling(minimum=0.01), upper)
    assert rows[:, 1].max() <= 0.1 + 1e-12 and not rows[:, 2].any() and rows[:, 1].any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9).filter(lambda v: sum(v) > 0.01), st.sampled_from([5, 100, 5000]))
def test_rounding_keeps_the_sum_and_moves_no_share_by_more_than_a_unit(shares: list[float], units: int) -> None:
    row = np.array([shares]) / sum(shares)
    found = on_grid(row, units)
    kept = np.where(row * units < 1, 0, row)
    kept = kept if kept.any() else row
    assert found.sum() == units and (found[kept == 0] == 0).all()
    assert np.abs(found - kept / kept.sum() * units).max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: propose(PILE, 10, upper=np.full(17, 0.01)), "room for a whole run.*\n.*0.1"),
        (lambda: propose(np.array([1.0]), 2), "2 different ones\n.*1 in"),
        (lambda: propose(np.array([0.5, 0.4]), 2), "a sum of 0.9"),
        (lambda: propose(np.array([1.5, -0.5]), 2), "natural shares"),
        (lambda: Sampling(temperature=2), "temperature"),
        (lambda: Sampling(min_strength=0), "min_strength"),
        (lambda: Sampling(min_strength=6), "min_strength"),
        (lambda: Sampling(strengths=0), "strengths"),
        (lambda: Sampling(max_usage=0.5), "max_usage"),
        (lambda: Sampling(minimum=0), "minimum"),
    ],
)
def test_impossible_wishes_are_refused(call, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.mixture.sampling.MOST_BATCHES", 2)
    with pytest.raises(MixtureError, match=says):
        call()
