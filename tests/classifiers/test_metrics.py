"""Metrics against their definitions, counted out pair by pair, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers import metrics

SCORED = st.lists(st.tuples(st.integers(0, 6).map(lambda i: i / 6), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(y for _, y in rows) < len(rows)
)


@settings(max_examples=200, deadline=None)
@given(rows=SCORED)
def test_roc_auc_counts_pairs(rows: list[tuple[float, bool]]) -> None:
    wins = [(a > b) + (a == b) / 2 for a, x in rows for b, y in rows if x and not y]
    assert metrics.roc_auc(*zip(*rows, strict=True)) == pytest.approx(sum(wins) / len(wins))


@settings(max_examples=200, deadline=None)
@given(rows=SCORED)
def test_pr_auc_is_average_precision(rows: list[tuple[float, bool]]) -> None:
    total, before, expected = sum(y for _, y in rows), 0, 0.0
    for threshold in sorted({s for s, _ in rows}, reverse=True):
        kept = [y for s, y in rows if s >= threshold]
        expected += (sum(kept) - before) / total * sum(kept) / len(kept)
        before = sum(kept)
    assert metrics.pr_auc(*zip(*rows, strict=True)) == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_spearman_is_scipys(rows: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats", reason="the oracle is scipy (extra: peers)")
    a, b = zip(*rows, strict=True)
    if len(set(a)) < 2 or len(set(b)) < 2:
        assert np.isnan(metrics.spearman(a, b))
    else:
        assert metrics.spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_f1_and_macro_f1_by_hand() -> None:
    scores, labels = [0.9, 0.8, 0.3, 0.1, 0.7], [1, 0, 1, 0, 1]
    assert metrics.f1(scores, labels, 0.5) == pytest.approx(2 * 2 / (3 + 3))
    assert metrics.f1(scores, labels, 0.95) == 0.0
    assert metrics.macro_f1(scores, labels, 0.5) == pytest.approx((2 / 3 + 2 * 1 / (2 + 2)) / 2)
    cut, found = metrics.best_macro_f1([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert 0.2 < cut <= 0.8 and found == 1.0


def test_calibration_by_hand() -> None:
    assert metrics.brier([1.0, 0.0, 0.5], [1, 0, 1]) == pytest.approx(0.25 / 3)
    assert metrics.calibration_error([0.05, 0.05, 0.95, 1.0], [0, 1, 1, 1]) == pytest.approx((0.9 + 0.05) / 4)
    rng = np.random.default_rng(1)
    scores = rng.random(20_000)
    assert metrics.calibration_error(scores, rng.random(20_000) < scores) < 0.02


def test_one_class_only_is_no_number() -> None:
    assert np.isnan(metrics.roc_auc([0.1, 0.2], [1, 1])) and np.isnan(metrics.pr_auc([0.1, 0.2], [0, 0]))
    with pytest.raises(ValueError, match="two lists of one length"):
        metrics.roc_auc([0.1], [1, 0])


def test_intervals_hold_the_value_and_know_groups() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat(rng.random(40) < 0.5, 25)
    scores = np.repeat(rng.normal(size=40), 25) + labels
    groups = np.repeat(np.arange(40), 25)
    alone, grouped = (metrics.bootstrap(metrics.roc_auc, scores, labels, g, rounds=200) for g in (None, list(groups)))
    assert alone.low < alone.value < alone.high and grouped.value == alone.value == metrics.roc_auc(scores, labels)
    # 40 groups of 25 equal rows know as much as 40 rows, not as 1,000
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)
    assert metrics.bootstrap(metrics.roc_auc, scores, labels, list(groups), rounds=200) == grouped


def test_thresholds_keep_the_share_they_name() -> None:
    scores, labels = np.arange(100) / 100, np.arange(100) >= 60
    rows = metrics.threshold_table(scores, labels, (0.5, 0.1))
    assert [row["share_kept"] for row in rows] == [0.51, 0.11]
    assert rows[0]["precision"] == pytest.approx(40 / 51) and rows[1]["precision"] == 1 and rows[0]["recall"] == 1
    shares = [row["share_kept"] for row in metrics.threshold_table(np.zeros(10), [1] * 5 + [0] * 5)]
    assert set(shares) == {1.0}
