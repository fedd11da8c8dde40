"""QuaDMix: what the sampling function promises, ranks by token mass, copies by hash, and the search on a planted problem."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import MixtureError
from curation.mixture.quadmix import Parameters, Quadmix, copies, criterion_ranks, scaled_to, token_ranks

random = np.random.default_rng(0)
COUNT = 5000
SCORES = random.normal(size=(COUNT, 3))
DOMAINS = random.integers(0, 4, COUNT)
TOKENS = random.integers(1, 2000, COUNT)


def parameters(**changed: float) -> Parameters:
    given = {"steepness": 50.0, "kept": 0.3, "scaling": 1.0, "leak": 0.001, **changed}
    return Parameters(np.full((4, 3), 1 / 3), *(np.full(4, given[k]) for k in ("steepness", "kept", "scaling", "leak")))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["exponent", "factor"]), st.sampled_from(["logarithmic", "linear"]))
def test_a_better_rank_is_never_read_less(seed: int, scaling_as: str, scale: str) -> None:
    method = Quadmix(scaling_as=scaling_as, steepness_scale=scale, kept_most=1.0)
    drawn = method.draw(1, 4, 3, seed)[0]
    ranks = np.linspace(0, 1, 500)
    for domain in range(4):
        rates = method.rate(ranks, np.full(500, domain), drawn)
        assert (np.diff(rates) <= 1e-12).all() and (rates >= 0).all() and np.isfinite(rates).all()


def test_the_rate_is_one_at_the_quantile_two_to_the_scaling_at_the_top_and_the_leak_beyond() -> None:
    method = Quadmix()
    at = np.array([0.0, 0.3, 0.31])
    assert method.rate(at, np.zeros(3, int), parameters(steepness=1000.0, scaling=0.5, leak=0.0)) == pytest.approx(
        [2**0.5, 1, 0]
    )
    assert method.rate(at, np.zeros(3, int), parameters(leak=0.01))[2] == pytest.approx(0.01)
    factor = Quadmix(scaling_as="factor").rate(at, np.zeros(3, int), parameters(steepness=1000.0, scaling=0.5, leak=0.0))
    assert factor == pytest.approx([1.0, 0.5, 0])
    assert Quadmix(numerator=1.0).rate(at, np.zeros(3, int), parameters(steepness=1000.0, leak=0.0))[0] == pytest.approx(1)


def test_without_scaling_a_domain_keeps_its_quantile_of_tokens() -> None:
    rates = Quadmix().rates(SCORES, DOMAINS, TOKENS, parameters(scaling=0.0, leak=0.0))
    assert set(np.unique(rates)) == {0.0, 1.0}
    for domain in range(4):
        inside = domain == DOMAINS
        assert (rates[inside] @ TOKENS[inside]) / TOKENS[inside].sum() == pytest.approx(0.3, abs=0.005)


def test_token_ranks_by_hand_with_ties_and_domains() -> None:
    merged = np.array([0.1, 0.5, 0.5, 0.9, 0.2])
    domains = np.array([0, 0, 0, 0, 1])
    tokens = np.array([10, 20, 30, 40, 7])
    assert token_ranks(merged, domains, tokens) == pytest.approx([0.05, 0.35, 0.35, 0.8, 0.5])
    turn = np.array([3, 1, 4, 0, 2])
    assert np.array_equal(token_ranks(merged[turn], domains[turn], tokens[turn]), token_ranks(merged, domains, tokens)[turn])


def test_ranks_of_criteria_follow_their_order_alone() -> None:
    assert criterion_ranks(np.array([[3.0], [1.0], [2.0], [2.0]]))[:, 0] == pytest.approx([0, 1, 0.5, 0.5])
    bent = SCORES.copy()
    bent[:, 0] = np.exp(3 * bent[:, 0]) + 5
    assert np.array_equal(criterion_ranks(bent), criterion_ranks(SCORES))
    assert np.array_equal(
        Quadmix().rates(bent, DOMAINS, TOKENS, parameters()), Quadmix().rates(SCORES, DOMAINS, TOKENS, parameters())
    )


def test_higher_scores_are_read_more() -> None:
    rates = Quadmix().rates(SCORES, DOMAINS, TOKENS, parameters(leak=0.0))
    assert SCORES[rates > 0].mean() > SCORES[rates == 0].mean() + 0.3


def test_copies_have_the_rate_as_their_mean_and_hang_on_nothing_else() -> None:
    docs = np.arange(200_000, dtype=np.uint64) << np.uint64(3)
    for rate in (0.03, 0.5, 1.25, 2.0):
        found = copies(np.full(len(docs), rate), docs, seed=7)
        part = rate % 1
        assert set(np.unique(found)) <= {int(rate), int(rate) + 1}
        assert abs(found.mean() - rate) <= 4 * np.sqrt(part * (1 - part) / len(docs))
    rates = np.linspace(0, 2, len(docs))
    whole = copies(rates, docs, seed=7)
    assert np.array_equal(copies(rates[::-1], docs[::-1], seed=7), whole[::-1])
    assert not np.array_equal(copies(rates, docs, seed=8), whole)
    assert (copies(rates + 0.1, docs, seed=7) >= whole).all()


def test_rates_are_scaled_to_a_budget_and_imply_shares() -> None:
    rates = scaled_to(Quadmix().rates(SCORES, DOMAINS, TOKENS, parameters()), TOKENS, 500_000)
    assert rates @ TOKENS == pytest.approx(500_000)
    mixture = Quadmix().mixture(("a", "b", "c", "d"), rates, DOMAINS, TOKENS, 500_000)
    assert mixture.method == "quadmix" and sum(mixture.weights.values()) == pytest.approx(1)
    assert mixture["b"].weight == pytest.approx((rates * TOKENS)[DOMAINS == 1].sum() / 500_000)
    with pytest.raises(MixtureError, match="rates above 0"):
        scaled_to(np.zeros(3), np.ones(3), 5)


def test_draws_are_those_of_algorithm_1() -> None:
    drawn = Quadmix(kept_most=0.1).draw(2000, 5, 3)
    criteria = np.stack([p.criteria for p in drawn])
    assert np.allclose(criteria.sum(axis=2), 1)
    assert np.stack([p.kept for p in drawn]).max() <= 0.1 and np.stack([p.leak for p in drawn]).max() <= 1e-3
    assert np.median(np.stack([p.steepness for p in drawn])) == pytest.approx(10**1.5, rel=0.1)
    assert np.median(np.stack([p.steepness for p in Quadmix(steepness_scale="linear").draw(2000, 5, 3)])) == pytest.approx(
        500, rel=0.05
    )
    common = criteria.mean(axis=1)  # one criterion can lead everywhere: domains of a draw agree more than draws do
    assert common.std(axis=0).mean() > 0.1
    assert len(drawn[0].vector()) == 5 * (3 + 4)


def test_the_search_recovers_a_planted_order_of_domains() -> None:
    method = Quadmix(simulated=3000, kept_most=0.5, seed=1)
    tried = method.draw(400, 3, 2)
    worth = np.array([0.2, 1.0, 3.0])
    losses = np.array([2.0 / (0.1 + (worth * p.kept).sum()) for p in tried])
    best = method.search(tried, losses)
    assert best.kept[2] > best.kept[0] and best.kept[2] > 0.35 and best.criteria.sum(axis=1) == pytest.approx([1, 1, 1])
    with pytest.raises(MixtureError, match="a loss for each"):
        method.search(tried[:5], losses[:5])


@pytest.mark.parametrize("wrong", [{"kept_most": 0}, {"scaling_as": "x"}, {"steepness_scale": "x"}])
def test_options_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(MixtureError, match="quadmix"):
        Quadmix(**wrong)
