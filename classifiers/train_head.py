"""Train a linear head over a frozen encoder from labelled texts, measure it on texts it has not seen, and write its card.

In order: read and split the examples (whole sources and near-duplicate clusters on one side), embed them with the very code
that serves, solve for the head (ridge regression in closed form, or logistic regression by L-BFGS from zero: no chance in
either), write `<name>.safetensors` and `<name>.toml`, score what was held out through the card.

The encoder's folder is named by the card, with its digest, and is not changed or copied.

Source: frozen encoder and regression head: FineWeb-Edu (arXiv:2406.17557, section 4); linear probes: arXiv:1610.01644.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classifiers import metrics
from classifiers.card import load_card, locate, missing_extra
from classifiers.card_text import toml_value, weights_table, write_card
from classifiers.encoder_settings import EncoderSettings
from classifiers.examples import Columns, Examples, TrainingError, read_examples

try:
    import torch
    from safetensors.numpy import save_file

    from classifiers.encoder import CardFiles, EncoderClassifier, open_embedding
except ModuleNotFoundError as error:
    raise missing_extra("training a head", str(error.name)) from error

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HeadSettings:
    """`regression`: labels are numbers, otherwise names of classes; `ridge`: penalty on the squared weights, per sum over the
    examples, more than 0; `pooling`, `normalise`, `max_tokens`, `long`, `windows`: as in a card's table `[encoder]`;
    `preprocessing`: a name of preprocessing.py; `device` the texts are embedded on."""

    regression: bool = False
    ridge: float = 1.0
    pooling: str = "mean"
    normalise: bool = False
    max_tokens: int = 512
    long: str = "head"
    windows: int = 8
    preprocessing: str = "unchanged"
    device: str = "cpu"


def train_head(
    data: Sequence[Path],
    out: Path,
    name: str,
    *,
    encoder: str,
    positive: str = "",
    columns: Columns = Columns(),
    settings: HeadSettings = HeadSettings(),
    test_share: float = 0.2,
    seed: int = 0,
    licence: str = "",
    training_data: str = "",
    direction: str = "",
) -> Path:
    """Train, measure, write head and card into the folder `out`; returns the card's path.

    `encoder`: a folder that transformers loads, or one of the hub (hub:, download:). `positive`: the class whose probability
    becomes the score; without it every class is a column. Raises TrainingError when the labels are not what the settings
    need, CardError when the encoder cannot be loaded.
    """
    asked = EncoderSettings(
        "linear", settings.pooling, settings.normalise, settings.max_tokens, settings.long, settings.windows
    )
    folder = locate(encoder)
    train, test = read_examples(data, columns, test_share=test_share, seed=seed)
    classes = [] if settings.regression else _classes(train, positive)
    targets = _numbers(train) if settings.regression else np.array([classes.index(label) for label in train.labels])

    server = open_embedding(folder, asked, device=settings.device)
    embedded = EncoderClassifier(server, settings.preprocessing).score(train.texts).astype(np.float64)
    known = np.isfinite(embedded).all(axis=1)
    if settings.regression:
        weight, bias = ridge_regression(embedded[known], targets[known], settings.ridge)
    else:
        weight, bias = logistic_regression(embedded[known], targets[known].astype(np.int64), len(classes), settings.ridge)

    out.mkdir(parents=True, exist_ok=True)
    labels = classes or ["score"]
    head = out / f"{name}.safetensors"
    tensors = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
    save_file(tensors, head, metadata={"labels": json.dumps(labels)})

    entries = {
        "kind": "encoder",
        "direction": direction or _direction(settings.regression, positive),
        "range": _range(settings.regression, targets),
        "labels": labels,
        "scored": [positive] if positive else labels,
        "reading": "raw" if settings.regression else "softmax",
        "preprocessing": settings.preprocessing,
        "licence": licence or "unstated",
        "training_data": training_data or f"{len(train.texts)} texts",
    }
    place = encoder if encoder.startswith(("hub:", "download:")) else os.path.relpath(folder.resolve(), out.resolve())
    table = ["", "[encoder]", *(f"{key} = {toml_value(value)}" for key, value in _table(asked).items())]
    more = ["", *weights_table("head", head), *table]
    card = out / f"{name}.toml"
    write_card(card, folder, entries, {}, location=place, more=more)
    write_card(card, folder, entries, measure(card, test, positive, settings.regression), location=place, more=more)
    return card


def measure(card: Path, test: Examples, positive: str, regression: bool) -> dict[str, list[Any]]:
    """The card's tables of quality and thresholds, from its scores of the held-out texts."""
    loaded = load_card(str(card))
    head = locate(loaded.head.location) if loaded.head else None
    given = CardFiles(loaded, locate(loaded.location), head)
    found = EncoderClassifier.of(given).score(test.texts).astype(np.float64)
    known = np.asarray(np.isfinite(found).all(axis=1))
    scores, groups = found[known], [group for group, k in zip(test.groups, known, strict=True) if k]
    if regression:
        return {"quality": [_regression_quality(scores[:, 0], _numbers(test)[known], groups)]}
    truth = np.array(test.labels)[known]
    tables = [
        metrics.agreement(f"held out, {label}", scores[:, i], truth == label, groups) for i, label in enumerate(loaded.scored)
    ]
    thresholds = metrics.threshold_table(scores[:, 0], truth == positive) if positive else []
    return {"quality": tables, "thresholds": thresholds}


def ridge_regression(features: Doubles, targets: Doubles, ridge: float) -> tuple[Doubles, Doubles]:
    """Weight [1, features] and bias [1] that minimise the squared error and `ridge` times the squared weights; the bias is
    free."""
    mean, level = features.mean(axis=0), targets.mean()
    centred = features - mean
    weight = np.linalg.solve(centred.T @ centred + ridge * np.eye(features.shape[1]), centred.T @ (targets - level))
    return weight[None, :], np.array([level - weight @ mean])


def logistic_regression(
    features: Doubles, targets: npt.NDArray[np.int64], classes: int, ridge: float
) -> tuple[Doubles, Doubles]:
    """Weight [classes, features] and bias [classes] that minimise the summed cross-entropy and half of `ridge` times the
    squared weights; biases are free."""
    mean, spread = features.mean(axis=0), features.std() or 1.0
    x, y = torch.from_numpy((features - mean) / spread), torch.from_numpy(targets)
    weight = torch.zeros(classes, features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=500, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        solver.zero_grad()
        entropy = torch.nn.functional.cross_entropy(x @ weight.T + bias, y, reduction="sum")
        # the penalty is on weights of the features as they are: scaled ones only make the search well conditioned
        total = (entropy + ridge / 2 * (weight / spread).square().sum()) / len(y)
        total.backward()
        return total

    solver.step(loss)
    made = weight.detach().numpy() / spread
    return made, bias.detach().numpy() - made @ mean


def _classes(train: Examples, positive: str) -> list[str]:
    labels = sorted(train.counts())
    if len(labels) < 2 or (positive and positive not in labels):
        found = ", ".join(f"{label} ({count})" for label, count in train.counts().items())
        raise TrainingError(
            f"the labels to train with\n  wanted: {positive or 'one'} and at least one other\n  found:  {found}"
        )
    return labels


def _numbers(examples: Examples) -> Doubles:
    try:
        return np.array([float(label) for label in examples.labels])
    except ValueError as error:
        raise TrainingError(f"the labels of a regression\n  wanted: numbers\n  found:  {error}") from error


def _direction(regression: bool, positive: str) -> str:
    if regression:
        return "the label's own direction, a number"
    return f"probability of {positive}; higher is more of it" if positive else "probability of the class the label names"


def _range(regression: bool, targets: npt.NDArray) -> list[float]:
    """What scores can be; of a regression, the labels' range and as much again on both sides."""
    if not regression:
        return [0.0, 1.0]
    low, high = float(targets.min()), float(targets.max())
    return [2 * low - high - 1, 2 * high - low + 1]


def _table(settings: EncoderSettings) -> dict[str, object]:
    names = ("head", "pooling", "normalise", "max_tokens", "long", "windows")
    return {name: getattr(settings, name) for name in names}


def _regression_quality(scores: Doubles, truth: Doubles, groups: Sequence[object]) -> dict[str, object]:
    def error(a: npt.NDArray, b: npt.NDArray) -> float:
        return math.sqrt(float(np.mean((a - b) ** 2)))

    return {
        "set": "held out",
        "examples": len(truth),
        "groups": len(set(groups)),
        "spearman": metrics.bootstrap(metrics.spearman, scores, truth, groups),
        "root_mean_squared_error": metrics.bootstrap(error, scores, truth, groups),
        "standard_deviation_of_labels": float(truth.std()),
    }
