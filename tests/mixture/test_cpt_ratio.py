"""Continued pre-training: the published ratios from their constants, fits that recover what was planted, clear errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curation.errors import MixtureError
from curation.mixture.cpt_laws import (
    DcptLaw,
    RatioCurve,
    best_ratio,
    critical_ratios,
    fit_change,
    fit_curve,
    fit_dcpt,
    largest_ratio,
)
from curation.mixture.cpt_ratio import CptRatio
from curation.mixture.problem import Problem
from curation.mixture.published import CMR
from curation.mixture.run_table import RunTable

LAW = DcptLaw(1.5, 0.9 * 1e9**0.3, 0.3, 0.45 * 1e9**0.2, 0.5, 0.2, 0.4, 0.1, 0.7)
RATIOS = (0.1, 0.2, 0.35, 0.5, 0.7)


@pytest.mark.parametrize("size", CMR)
def test_the_published_ratios_follow_from_the_published_constants(size: str) -> None:
    constants, published = CMR[size]
    found = RatioCurve(*constants).ratio(100)  # 20B tokens in units of 0.2B
    assert found is not None and 100 * found == pytest.approx(100 * published, abs=0.05)


def test_a_curve_below_zero_gives_no_ratio() -> None:
    assert RatioCurve(*CMR["460M"][0]).ratio(15) is None
    assert RatioCurve(1.0, 1.0, 0.0).ratio(5) == 1.0


@pytest.mark.parametrize(
    "losses",
    [
        (1.4628, 1.4844, 1.5122, 1.5387, 1.5561), (1.3723, 1.3910, 1.4155, 1.4385, 1.4538),
        (1.3242, 1.3416, 1.3643, 1.3854, 1.3994), (1.2585, 1.2750, 1.2965, 1.3170, 1.3305),
    ],
)  # fmt: skip
def test_the_loss_at_a_quarter_follows_from_four_ratios_within_a_thousandth(losses: tuple[float, ...]) -> None:
    curve = fit_curve(np.array([1, 0.75, 0.5, 1 / 3]), np.array(losses[:4]))
    assert float(curve(0.25)) == pytest.approx(losses[4], rel=1e-3)


@pytest.mark.parametrize("truth", [RatioCurve(0.2, 0.3, -0.4), RatioCurve(-2.0, -0.4, 0.9), RatioCurve(3.0, -0.05, -2.0)])
def test_a_curve_is_recovered(truth: RatioCurve) -> None:
    x = np.geomspace(5, 100, 12)
    assert fit_curve(x, truth(x))(np.array([3.0, 200.0])) == pytest.approx(truth(np.array([3.0, 200.0])), abs=1e-3)


def test_a_loss_that_rises_and_falls_is_followed() -> None:
    tokens = np.linspace(1, 100, 30)
    change = 0.3 * (tokens / 100) ** 0.2 - 0.2 * (tokens / 100) ** 0.5 + 0.01
    assert fit_change(tokens, change)(tokens) == pytest.approx(change, abs=2e-3)


def test_the_published_trade_off_is_met_by_interpolation() -> None:
    ratio = np.array([0, 0.90, 0.91, 0.92, 0.924, 0.93, 0.94, 1.0])
    general = np.array([2.8602, 2.9052, 2.9193, 2.9376, 2.9445, 2.9644, 2.9848, 3.4667])
    found = largest_ratio(lambda r: np.interp(r, ratio, general), 2.9460)
    assert found == pytest.approx(0.924, abs=1e-3)
    assert (
        largest_ratio(lambda r: r + 1, 0.5) is None
        and largest_ratio(lambda r: -r, -0.5) is None
        and largest_ratio(lambda r: r, 2.0) == 1.0
    )


def test_the_dcpt_law_is_recovered_from_noisy_losses() -> None:
    random = np.random.default_rng(0)
    grid = np.meshgrid([0.5e9, 1.8e9, 4e9], np.linspace(1e9, 1e10, 6), [0, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0])
    n, d, r = (g.ravel() for g in grid)
    truth = LAW.predict(n, d, r)
    fit = fit_dcpt(n, d, r, truth + random.normal(0, 1e-3, len(n)))
    assert 1 - ((fit.predict(n, d, r) - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum() > 0.999
    found = [best_ratio(fit, 1.8e9, tokens) for tokens in (1e9, 1.5e9, 2e9)]
    assert found == pytest.approx([best_ratio(LAW, 1.8e9, tokens) for tokens in (1e9, 1.5e9, 2e9)], abs=0.01)
    assert found == sorted(found) and found[0] > 0.02 and found[-1] < 0.98


def test_one_size_leaves_the_term_of_sizes_out() -> None:
    d, r = (g.ravel() for g in np.meshgrid(np.linspace(1e9, 1e10, 8), np.linspace(0, 1, 9)))
    losses = LAW.predict(1e9, d, r)
    fit = fit_dcpt(np.full(len(d), 1e9), d, r, losses)
    assert fit.size_factor == 0 and np.abs(fit.predict(1e9, d, r) - losses).max() < 5e-3
    with pytest.raises(MixtureError, match="at least 30 losses"):
        fit_dcpt(np.ones(5), np.ones(5), np.ones(5), np.ones(5))


def test_critical_ratios_are_interpolated_and_unknown_where_not_enclosed() -> None:
    changes = np.array([[0.0, 0.06, 0.0], [0.1, 0.2, 0.02]])
    assert critical_ratios(np.array([0.2, 0.4]), changes, 0.05)[0] == pytest.approx(0.3)
    assert np.isnan(critical_ratios(np.array([0.2, 0.4]), changes, 0.05)[1:]).all()


def checkpoints(noise: float = 0.0) -> Problem:
    """A general loss that rises with the ratio and falls slowly with tokens, so that more tokens allow more of the domain."""
    random = np.random.default_rng(1)
    tokens = np.concatenate([[0.0], np.geomspace(1e9, 2e10, 12)])
    rows = [(ratio, t) for ratio in RATIOS for t in tokens]
    general = [
        2.0 + (0.3 * r - 0.02 * np.log(1 + t / 1e9) if t else 0.0) + (random.normal(0, noise) if t else 0) for r, t in rows
    ]
    domain = [1.8 - (0.4 * r**0.3 * (1 - (1e9 / t) ** 0.3) if t else 0.0) for r, t in rows]
    weights = np.array([[1 - r, r] for r, _ in rows])
    table = RunTable(
        "cpt", ("general", "law"), ("general", "law"), weights, np.array([general, domain]).T,
        extra={"tokens": np.array([t for _, t in rows])},
    )  # fmt: skip
    return Problem(("general", "law"), np.array([0.9, 0.1]), token_budget=10**10, table=table)


def test_the_critical_ratio_of_planted_runs_is_found_with_its_interval() -> None:
    truth = (0.05 + 0.02 * np.log(11)) / 0.3
    mixture = CptRatio().solve(checkpoints())
    assert mixture.weights["law"] == pytest.approx(truth, abs=0.01)
    assert mixture.predicted is not None and mixture.predicted.loss == pytest.approx(2.05)
    noisy = checkpoints(0.003)
    low, high = CptRatio().interval(noisy.runs, 1e10)
    assert low < truth < high and high - low < 0.15
    assert CptRatio(tolerance=0.08).solve(checkpoints()).weights["law"] > mixture.weights["law"]


def test_the_dcpt_law_solves_the_same_question() -> None:
    given = checkpoints()
    table = given.runs
    tokens, share = table.extra["tokens"], table.weights[:, 0]
    losses = table.losses.copy()
    losses[:, 0] = np.where(tokens > 0, LAW.predict(1e9, np.maximum(tokens, 1.0), share), 3.0)
    given = replace(given, table=replace(table, losses=losses))
    limit = float(LAW.predict(1e9, 1e10, 0.55))
    found = CptRatio(law="dcpt", tolerance=limit / 3.0 - 1).solve(given).weights["law"]
    assert found == pytest.approx(0.45, abs=0.01)
    with pytest.raises(MixtureError, match="one that rises"):
        rising = np.where(tokens > 0, 2.0 + share, 3.0)
        CptRatio(law="dcpt").solve(replace(given, table=replace(table, losses=np.stack([rising, rising], axis=1))))


def test_a_limit_on_epochs_limits_the_ratio() -> None:
    given = replace(checkpoints(), available=np.array([10**11, 10**9]), max_epochs=2.0)
    mixture = CptRatio().solve(given)
    assert mixture.weights["law"] == pytest.approx(0.2) and mixture["law"].capped


@pytest.mark.parametrize(
    ("change", "method", "says"),
    [
        ({"token_budget": None}, CptRatio(), "two domains, one of them 'general', and a token budget"),
        ({}, CptRatio(general="web"), "one of them 'web'"),
        ({}, CptRatio(tolerance=5.0), "ratios below and above"),
        ({"rows": "later"}, CptRatio(), "the general loss at 0 tokens"),
        ({"rows": "three"}, CptRatio(), "4 ratios at least"),
        ({"extra": {}}, CptRatio(), "tokens"),
    ],
)
def test_what_is_missing_is_said(change: dict, method: CptRatio, says: str) -> None:
    given = checkpoints()
    table = given.runs
    if change.get("rows") == "later":
        given = replace(given, table=table.take(np.flatnonzero(table.extra["tokens"] > 0)))
    elif change.get("rows") == "three":
        given = replace(given, table=table.take(np.flatnonzero(table.weights[:, 1] < 0.4)))
    elif "extra" in change:
        given = replace(given, table=replace(table, extra={}))
    else:
        given = replace(given, **change)
    with pytest.raises(MixtureError, match=says):
        method.solve(given)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(MixtureError, match="cmr or dcpt"):
        CptRatio(law="x")
    with pytest.raises(MixtureError, match="above 0"):
        CptRatio(tolerance=0)
