"""mixture/simplex and the exact part of mixture/search: the minimum is one, bounds hold, and names do not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curation.errors import MixtureError
from curation.mixture.effective_data import EffectiveDataFit
from curation.mixture.log_linear import LogLinearFit
from curation.mixture.search import Objective, expand, simulate, solve
from curation.mixture.simplex import minimise, within

seeds = st.integers(0, 10**6)


def problem(seed: int) -> tuple[Objective, np.ndarray]:
    """Random laws of either kind, natural shares down to 1e-9, pulls from none to enormous, caps on half of them."""
    random = np.random.default_rng(seed)
    domains = int(random.integers(2, 25))
    laws = []
    for share in random.dirichlet(np.ones(int(random.integers(1, 8)))):
        if random.random() < 0.5:
            slopes = random.normal(size=domains) * random.choice([0.1, 1, 5])
            laws.append((float(share), LogLinearFit(float(random.normal()), slopes)))
        else:
            values = np.exp(random.normal(size=domains) * 2)
            laws.append(
                (float(share), EffectiveDataFit(2.0, float(random.uniform(0.05, 1)), float(random.uniform(0.2, 1)), values))
            )
    natural = np.maximum(random.dirichlet(np.full(domains, random.choice([0.1, 1, 10]))), 1e-9)
    natural /= natural.sum()
    upper = np.minimum(1, natural * random.choice([1.2, 4])) if random.random() < 0.5 else np.ones(domains)
    return Objective(tuple(laws), natural, float(random.choice([0, 1e-4, 0.05, 1, 1e4]))), upper


def violation(objective: Objective, upper: np.ndarray, at: np.ndarray) -> float:
    """An independent check of the conditions: the least violation over all multipliers of the sum. A share may be at a bound it
    is pulled to, else it must feel no pull."""
    _, gradient, _ = objective(at)
    size = max(1.0, float(np.abs(gradient).max()))
    low, high = np.minimum(at, 1), np.minimum(upper - at, 1)
    least = np.inf
    for level in np.concatenate([gradient, [np.median(gradient)]]):
        pull = (gradient - level) / size
        least = min(least, float(np.minimum(np.abs(pull), np.where(pull > 0, low, high)).max()))
    return least


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_the_conditions_of_a_minimum_hold_and_caps_are_kept(seed: int) -> None:
    objective, upper = problem(seed)
    found = solve(objective, upper)
    assert found.residual < 1e-6
    assert (found.at >= 0).all() and (found.at <= upper).all() and abs(found.at.sum() - 1) < 1e-12
    assert violation(objective, upper, found.at) < 1e-6


@settings(max_examples=25, deadline=None)
@example(371).via("a cap of 1e-9 on a law whose slope there is 1e5")
@example(7962)
@given(seeds)
def test_no_random_mixture_is_better(seed: int) -> None:
    objective, upper = problem(seed)
    best = objective(solve(objective, upper).at)[0]
    random = np.random.default_rng(seed)
    near = solve(objective, upper).at
    for row in within(
        np.concatenate(
            [random.dirichlet(np.ones(len(upper)), 30), 0.99 * near + 0.01 * random.dirichlet(np.ones(len(upper)), 30)]
        ),
        upper,
    ):
        assert objective(row)[0] >= best - 1e-9 * max(1, abs(best))


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_turning_the_domains_turns_the_answer(seed: int) -> None:
    objective, upper = problem(seed)
    turn = np.random.default_rng(seed + 1).permutation(len(upper))
    turned = Objective(tuple((w, turned_law(law, turn)) for w, law in objective.laws), objective.natural[turn], objective.pull)
    left, right = solve(objective, upper), solve(turned, upper[turn])
    if objective.pull:  # strictly convex: one answer
        assert np.abs(left.at[turn] - right.at).max() < 1e-5
    assert objective(left.at)[0] == pytest.approx(turned(right.at)[0], abs=1e-9)


def turned_law(law, turn):
    if isinstance(law, LogLinearFit):
        return LogLinearFit(law.floor, law.slopes[turn])
    return EffectiveDataFit(law.floor, law.decay, law.returns, law.values[turn])


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_a_domain_cut_in_two_equal_halves_keeps_its_total(seed: int) -> None:
    objective, upper = problem(seed)
    objective = Objective(objective.laws, objective.natural, max(objective.pull, 0.05))
    whole = solve(objective, upper).at

    def cut(values: np.ndarray, factor: float) -> np.ndarray:
        return np.concatenate([[values[0] * factor, values[0] * factor], values[1:]])

    laws = []
    for weight, law in objective.laws:
        if isinstance(law, LogLinearFit):
            laws.append((weight, LogLinearFit(law.floor, cut(law.slopes, 1))))
        else:  # two halves of w give 2 (w / 2) ** returns
            laws.append((weight, EffectiveDataFit(law.floor, law.decay, law.returns, cut(law.values, 2 ** (law.returns - 1)))))
    halves = solve(Objective(tuple(laws), cut(objective.natural, 0.5), objective.pull), cut(upper, 0.5)).at
    assert halves[0] == pytest.approx(halves[1], abs=1e-5)
    assert halves[0] + halves[1] == pytest.approx(whole[0], abs=1e-5)
    assert np.abs(halves[2:] - whole[1:]).max() < 1e-5


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_a_strong_pull_gives_the_natural_shares(seed: int) -> None:
    objective, _ = problem(seed)
    free = np.ones(len(objective.natural))
    off = [
        np.abs(solve(Objective(objective.laws, objective.natural, p), free).at - objective.natural).max() for p in (1e9, np.inf)
    ]
    assert off[0] < 1e-5 and off[1] < 1e-12


def test_without_a_pull_all_weight_goes_where_a_linear_exponent_is_lowest() -> None:
    law = LogLinearFit(0.0, np.array([0.0, -1.0, -3.0]))
    found = solve(Objective(((1.0, law),), np.full(3, 1 / 3)), np.ones(3))
    assert found.at == pytest.approx([0, 0, 1], abs=1e-6)
    found = solve(Objective(((1.0, law),), np.full(3, 1 / 3)), np.array([1.0, 1.0, 0.25]))
    assert found.at == pytest.approx([0, 0.75, 0.25], abs=1e-6)


def test_bounds_that_leave_one_answer_or_none() -> None:
    function = Objective(((1.0, LogLinearFit(0.0, np.array([1.0, 2.0, 3.0]))),), np.full(3, 1 / 3), 0.1)
    assert minimise(function, np.array([0.5, 0.25, 0.25])).at == pytest.approx([0.5, 0.25, 0.25])
    assert minimise(function, np.array([1.0, 0.0, 0.0])).at.tolist() == [1, 0, 0]
    with pytest.raises(MixtureError, match="room for a share of 1.*\n.*0.9"):
        minimise(function, np.array([0.5, 0.2, 0.2]))


def test_a_domain_without_natural_share_gets_nothing_under_a_pull() -> None:
    law = LogLinearFit(0.0, np.array([-5.0, 0.0, 0.0]))
    found = solve(Objective(((1.0, law),), np.array([0.0, 0.5, 0.5]), 0.05), np.ones(3))
    assert found.at[0] == 0 and found.at[1] == pytest.approx(0.5)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), seeds)
@example([1.0, 5e-324], 1)
@example([1.0, 1.0, 5e-324], 0)
def test_within_keeps_bounds_and_ratios_of_the_uncapped(shares: list[float], seed: int) -> None:
    row = np.array(shares)
    upper = np.random.default_rng(seed).uniform(0.05, 1, len(row))
    if row.sum() == 0:
        return
    row = row / row.sum()
    if upper[row > 0].sum() < 1.001:
        return
    found = within(row, upper)
    assert (found <= upper).all() and found.sum() == pytest.approx(1, abs=1e-12)
    free = (found < upper * (1 - 1e-9)) & (row > 1e-9)
    ratios = found[free] / row[free]
    assert not len(ratios) or np.ptp(ratios) < 1e-6 * ratios.max()
    assert not len(ratios) or (found[~free] <= row[~free] * ratios.max() * (1 + 1e-6) + 1e-12).all()


def test_simulation_finds_the_low_end_and_keeps_caps() -> None:
    natural, slopes = np.array([0.6, 0.3, 0.1]), np.array([1.0, 0.0, 2.0])
    free = simulate(lambda w: w @ slopes, natural, np.ones(3), simulated=5000)
    capped = simulate(lambda w: w @ slopes, natural, np.array([1, 0.4, 1]), simulated=5000)
    assert free[1] > 0.95 and capped[1] <= 0.4 and capped[1] > 0.39 and capped[2] < 0.05
    assert np.array_equal(free, simulate(lambda w: w @ slopes, natural, np.ones(3), simulated=5000))


def test_a_collapsed_domain_is_expanded_as_in_the_published_example() -> None:
    found = expand({"V": 0.4, "new": 0.6}, "V", {"a": 0.25, "b": 0.25, "c": 0.5})
    assert found == pytest.approx({"a": 0.1, "b": 0.1, "c": 0.2, "new": 0.6})
    with pytest.raises(MixtureError, match="one of V, new"):
        expand({"V": 0.4, "new": 0.6}, "W", {"a": 1.0})
    with pytest.raises(MixtureError, match="new"):
        expand({"V": 0.4, "new": 0.6}, "V", {"new": 1.0})
