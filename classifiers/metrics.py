"""How well scores agree with labels, with intervals that know which examples belong together.

All take `scores` (float, higher says positive) and `labels` (bool or 0/1) of equal length and need both classes present;
without that the answer is NaN. Ties count half.

Source: definitions; bootstrap over groups after Davison and Hinkley 1997, section 3.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Metric = Callable[[npt.NDArray, npt.NDArray], float]


class Interval(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def roc_auc(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Probability that a positive scores above a negative, ties counted half."""
    s, y = _pair(scores, labels)
    positives = int(y.sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        return float("nan")
    return float((ranks(s)[y].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def pr_auc(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Average precision: precision at each distinct score from the top, weighted by the recall it adds."""
    s, y = _pair(scores, labels)
    if not y.any() or y.all():
        return float("nan")
    order = np.argsort(-s, kind="stable")
    s, y = s[order], y[order]
    last = np.flatnonzero(np.r_[s[1:] != s[:-1], True])
    hits = np.cumsum(y)[last]
    return float(np.sum(hits / (last + 1) * np.diff(np.r_[0, hits])) / y.sum())


def f1(scores: npt.ArrayLike, labels: npt.ArrayLike, threshold: float) -> float:
    """F1 of calling positive what scores at or above the threshold; 0 when nothing is found."""
    s, y = _pair(scores, labels)
    called = s >= threshold
    both = int((called & y).sum())
    return 2 * both / (int(called.sum()) + int(y.sum())) if both else 0.0


def macro_f1(scores: npt.ArrayLike, labels: npt.ArrayLike, threshold: float) -> float:
    """Mean of the F1 of the positives and that of the negatives, cut at the threshold (at it is positive)."""
    s, y = _pair(scores, labels)
    called = (s >= threshold).astype(float)
    return (f1(called, y, 0.5) + f1(1 - called, ~y, 0.5)) / 2


def best_macro_f1(scores: npt.ArrayLike, labels: npt.ArrayLike, candidates: int = 100) -> tuple[float, float]:
    """(threshold, macro-F1) of the best of so many cuts at even quantiles of the scores; the lowest where they tie."""
    cuts = np.unique(np.quantile(np.asarray(scores, float), np.linspace(0, 1, candidates)))
    found = [macro_f1(scores, labels, float(cut)) for cut in cuts]
    best = int(np.argmax(found))
    return float(cuts[best]), found[best]


def spearman(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Correlation of the ranks, ties sharing their mean rank; NaN when one side is constant."""
    x, y = ranks(np.asarray(a, float)), ranks(np.asarray(b, float))
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm else float("nan")


def brier(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean squared distance of probabilities from what happened: 0 is perfect, 0.25 a coin's."""
    s, y = _pair(scores, labels)
    return float(np.mean((s - y) ** 2))


def calibration_error(scores: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: |mean score - share of positives| over bins of equal width, weighted by their examples."""
    s, y = _pair(scores, labels)
    which = np.clip((s * bins).astype(int), 0, bins - 1)
    counts = np.bincount(which, minlength=bins)
    gaps = np.abs(np.bincount(which, s, bins) - np.bincount(which, y, bins))
    return float(gaps.sum() / counts.sum())


def bootstrap(
    metric: Metric,
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    groups: Sequence[object] | None = None,
    *,
    rounds: int = 500,
    seed: int = 0,
) -> Interval:
    """The metric and its 95 % percentile interval over `rounds` resamples of whole groups (each example its own by default).

    Rounds in which a class is missing are left out.
    """
    s, y = np.asarray(scores, float), np.asarray(labels)
    _, codes = np.unique(np.arange(len(s)) if groups is None else np.array([str(g) for g in groups]), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    generator = np.random.Generator(np.random.PCG64(seed))
    found = []
    for _ in range(rounds):
        rows = np.concatenate([members[i] for i in generator.integers(0, len(members), len(members))])
        value = metric(s[rows], y[rows])
        if np.isfinite(value):
            found.append(value)
    low, high = np.quantile(found, [0.025, 0.975]) if found else (float("nan"), float("nan"))
    return Interval(float(metric(s, y)), float(low), float(high))


def threshold_table(
    scores: npt.ArrayLike, labels: npt.ArrayLike, shares: Sequence[float] = (0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.01)
) -> list[dict[str, float]]:
    """For shares of the examples to keep from the top: the threshold that keeps them, what it keeps, precision, recall."""
    s, y = _pair(scores, labels)
    rows = []
    for share in shares:
        threshold = float(np.quantile(s, 1 - share, method="lower"))
        kept = s >= threshold
        hits = int((kept & y).sum())
        rows.append(
            {
                "threshold": threshold,
                "share_kept": float(kept.mean()),
                "precision": hits / int(kept.sum()),
                "recall": hits / int(y.sum()) if y.any() else float("nan"),
            }
        )
    return rows


def agreement(name: str, scores: npt.ArrayLike, labels: npt.ArrayLike, groups: Sequence[object]) -> dict[str, object]:
    """How well probabilities tell the positives from the rest, as a card's table of quality: with intervals over groups."""
    s, y = _pair(scores, labels)
    return {
        "set": name,
        "examples": len(y),
        "positives": int(y.sum()),
        "groups": len(set(groups)),
        "roc_auc": bootstrap(roc_auc, s, y, groups),
        "pr_auc": bootstrap(pr_auc, s, y, groups),
        "f1_at_half": bootstrap(lambda a, b: f1(a, b, 0.5), s, y, groups),
        "spearman": bootstrap(spearman, s, y, groups),
        "calibration_error": bootstrap(calibration_error, s, y, groups),
    }


def ranks(values: npt.NDArray) -> npt.NDArray[np.float64]:
    """Ranks from 1, equal values sharing their mean rank."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[which]


def _pair(scores: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    s, y = np.asarray(scores, np.float64), np.asarray(labels).astype(bool)
    if s.shape != y.shape or s.ndim != 1:
        raise ValueError(f"scores and labels\n  wanted: two lists of one length\n  found:  {s.shape} and {y.shape}")
    return s, y
