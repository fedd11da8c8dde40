"""Heads over a frozen encoder: solutions against their definitions, the same bytes by seed, a card that serves."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from small_encoders import small_backbone
from small_models import BAD, GOOD

pytest.importorskip("transformers", reason="the extra `neural` is not installed")

from classifiers.card import CardError, load_card, sha256_of
from classifiers.examples import Columns, TrainingError
from classifiers.train_head import HeadSettings, logistic_regression, ridge_regression, train_head
from curation.models import available_models
from curation.scorers.classify import Classify

SETTINGS = {"max_tokens": 64}


def examples(path: Path, count: int = 300, *, shuffled: bool = False) -> Path:
    """Texts with a share of teaching words, which is the label of a regression; above a half they are `good`."""
    chance = random.Random(1)
    rows = []
    for i in range(count):
        share = chance.random()
        words = [chance.choice((GOOD if chance.random() < share else BAD).split()) for _ in range(chance.randint(20, 50))]
        rows.append({"text": " ".join(words), "kind": "good" if share > 0.5 else "bad", "score": 5 * share, "site": i % 40})
    if shuffled:
        kinds = [row["kind"] for row in rows]
        chance.shuffle(kinds)
        rows = [{**row, "kind": kind} for row, kind in zip(rows, kinds, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_backbone(tmp_path_factory.mktemp("encoder") / "backbone")


def trained(tmp_path: Path, backbone: Path, name: str, **options: object) -> Path:
    columns = Columns("text", "score" if options.get("regression") else "kind", "site")
    shuffled = bool(options.pop("shuffled", False))
    positive = str(options.pop("positive", "good"))
    data = examples(tmp_path / "data.jsonl", shuffled=shuffled)
    settings = HeadSettings(**{**SETTINGS, **options})  # type: ignore[arg-type]
    positive = "" if settings.regression else positive
    return train_head(
        [data], tmp_path / "out", name, encoder=str(backbone), positive=positive, columns=columns, settings=settings
    )


def test_a_ridge_regression_has_no_gradient_left() -> None:
    generator = np.random.Generator(np.random.PCG64(0))
    x, y = generator.normal(size=(50, 6)) + 3, generator.normal(size=50)
    weight, bias = ridge_regression(x, y, 2.5)
    rest = x @ weight[0] + bias[0] - y
    assert np.abs(x.T @ rest + 2.5 * weight[0]).max() < 1e-9 and abs(rest.sum()) < 1e-9


def test_a_logistic_regression_has_no_gradient_left() -> None:
    generator = np.random.Generator(np.random.PCG64(0))
    x, y = generator.normal(size=(120, 5)) * 4 + 2, generator.integers(0, 3, 120)
    weight, bias = logistic_regression(x, y, 3, 0.7)
    logits = x @ weight.T + bias
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rest = chances - np.eye(3)[y]
    assert np.abs(rest.T @ x + 0.7 * weight).max() < 1e-3 and np.abs(rest.sum(axis=0)).max() < 1e-3


def test_classes(tmp_path: Path, backbone: Path) -> None:
    before = sha256_of(backbone)
    card = load_card(str(trained(tmp_path, backbone, "mine")))
    quality = card.quality[0]
    assert sha256_of(backbone) == before == card.sha256 and card.labels == ("bad", "good") and card.scored == ("good",)
    assert quality["roc_auc"][0] > 0.85 and quality["examples"] > 30 and quality["roc_auc"][1] < quality["roc_auc"][0]
    stage = Classify(card=str(tmp_path / "out/mine.toml"))
    import polars as pl

    frame = pl.DataFrame({"doc": pl.Series([0, 1], dtype=pl.UInt64), "text": [GOOD, BAD]})
    found = stage.bind(available_models(stage.models))(frame)["score_mine"]
    assert found[0] > 0.7 > 0.3 > found[1]


def test_shuffled_labels_teach_nothing(tmp_path: Path, backbone: Path) -> None:
    card = load_card(str(trained(tmp_path, backbone, "noise", shuffled=True)))
    low, high = card.quality[0]["roc_auc"][1:]
    assert low < 0.6 and high > 0.4 and card.quality[0]["roc_auc"][0] < 0.75


def test_a_regression(tmp_path: Path, backbone: Path) -> None:
    card = load_card(str(trained(tmp_path, backbone, "edu", regression=True)))
    quality = card.quality[0]
    assert card.labels == ("score",) and card.reading == "raw" and card.score_range[0] < 0 < 5 < card.score_range[1]
    assert (
        quality["spearman"][0] > 0.7 and quality["root_mean_squared_error"][0] < 0.7 * quality["standard_deviation_of_labels"]
    )


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, backbone: Path) -> None:
    made = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        trained(tmp_path / place, backbone, "mine", positive="")
        made.append([(tmp_path / place / f"out/mine.{end}").read_bytes() for end in ("safetensors", "toml")])
    assert made[0] == made[1]


def test_what_cannot_be_trained_is_said(tmp_path: Path, backbone: Path) -> None:
    with pytest.raises(TrainingError, match="wanted: klingon and at least one other"):
        trained(tmp_path, backbone, "mine", positive="klingon")
    data = examples(tmp_path / "data.jsonl")
    with pytest.raises(TrainingError, match="wanted: numbers"):
        settings = HeadSettings(regression=True, max_tokens=64)
        columns = Columns("text", "kind", "site")
        train_head([data], tmp_path / "out", "mine", encoder=str(backbone), columns=columns, settings=settings)
    with pytest.raises(CardError, match="with its config.json"):
        trained(tmp_path, tmp_path, "mine")
