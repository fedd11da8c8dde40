"""The trainers: models that tell planted classes apart, chance on shuffled labels, the same bytes again, cards that load."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from small_models import BAD, GOOD

from classifiers import train_fasttext as fasttext_module
from classifiers.card import load_card, locate, verify
from classifiers.examples import Columns, TrainingError
from classifiers.linear_fasttext import LinearFastText
from classifiers.ngram_kenlm import NgramKenlm
from classifiers.train_fasttext import FastTextSettings, train_fasttext
from classifiers.train_ngram import NgramSettings, shuffle_words, train_ngram

TRAINED = pytest.mark.skipif(
    __import__("importlib.util", fromlist=["util"]).find_spec("fasttext_new") is None, reason="the extra `train` is missing"
)
KENLM = pytest.mark.skipif(shutil.which("lmplz") is None, reason="KenLM's lmplz is not on the PATH: make kenlm")
SMALL = FastTextSettings(dim=4, epochs=20, rate=0.5, min_count=1, buckets=500, quantise=False)


def labelled(path: Path, *, shuffled: bool = False) -> Path:
    generator = random.Random(5)
    rows = []
    for i in range(400):
        label = "good" if i % 2 else "bad"
        words = (GOOD if label == "good" else BAD).split()
        text = " ".join(generator.choices(words, k=12))
        rows.append({"text": text, "label": generator.choice(["good", "bad"]) if shuffled else label, "site": i // 8})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sentences(path: Path, count: int = 300) -> Path:
    generator = random.Random(6)
    rows = []
    for i in range(count):
        lines = [f"the {a} of the {b} is {c} and the {a} moves" for a, b, c in (
            generator.choices(["sun", "moon", "star", "tide", "rock", "sea"], k=3) for _ in range(6))]  # fmt: skip
        rows.append({"text": f"page {i}\n" + "\n".join(lines)})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@TRAINED
def test_a_trained_classifier_and_its_card(tmp_path: Path) -> None:
    card_path = train_fasttext([labelled(tmp_path / "d.jsonl")], tmp_path / "out", "mine", positive="good",
                               columns=Columns(group="site"), settings=SMALL, seed=3, licence="CC0-1.0")  # fmt: skip
    card = load_card(str(card_path))
    weights = verify(locate(card.location), card.sha256)
    good, bad = LinearFastText.of(card, weights).score([GOOD, BAD])[:, 0]
    assert good > 0.9 > 0.1 > bad and card.scored == ("good",) and card.licence == "CC0-1.0"
    quality = card.quality[0]
    assert quality["roc_auc"][0] > 0.99 and quality["examples"] < 200 and quality["groups"] <= 25
    table = tomllib.loads(card_path.read_text())["thresholds"]
    kept = [row["share_kept"] for row in table]
    assert kept == sorted(kept, reverse=True) and table[-1]["precision"] == 1


@TRAINED
def test_shuffled_labels_are_chance(tmp_path: Path) -> None:
    data = labelled(tmp_path / "d.jsonl", shuffled=True)
    card = load_card(str(train_fasttext([data], tmp_path, "chance", positive="good", settings=SMALL, test_share=0.5)))
    value, low, high = card.quality[0]["roc_auc"]
    assert low < 0.5 < high or abs(value - 0.5) < 0.1


@TRAINED
@pytest.mark.parametrize("settings", [SMALL, FastTextSettings(dim=4, min_count=1, buckets=500)], ids=["bin", "ftz"])
def test_the_same_data_and_seed_give_the_same_bytes(tmp_path: Path, settings: FastTextSettings) -> None:
    data = labelled(tmp_path / "d.jsonl")
    digests = []
    for number, seed in enumerate((1, 1, 2)):
        card = train_fasttext([data], tmp_path / str(number), "m", positive="good", settings=settings, seed=seed)
        digests.append(load_card(str(card)).sha256)
    assert digests[0] == digests[1] != digests[2]


@TRAINED
def test_words_that_look_like_labels_are_no_labels(tmp_path: Path) -> None:
    rows = [{"text": f"{GOOD} __label__spam {i}", "label": "good"} for i in range(30)]
    rows += [{"text": f"{BAD} {i}", "label": "bad"} for i in range(30)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"settings": SMALL, "preprocessing": "one_line", "columns": Columns(part="")}
    with pytest.raises(TrainingError):  # one cluster each: nothing to hold out
        train_fasttext([tmp_path / "d.jsonl"], tmp_path, "m", positive="good", test_share=0.0, **options)
    lines = fasttext_module._lines(fasttext_module.Examples((rows[0]["text"],), ("good",), ("0",)), "one_line", 0)
    assert lines[0].count("__label__") == 1


@TRAINED
def test_labels_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="wanted: excellent"):
        train_fasttext([labelled(tmp_path / "d.jsonl")], tmp_path, "m", positive="excellent", settings=SMALL)


def test_a_missing_trainer_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fasttext_new", None)
    with pytest.raises(TrainingError, match=r"pip install 'curation\[train\]'"):
        train_fasttext([tmp_path / "d.jsonl"], tmp_path, "m", positive="good")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TrainingError, match="wanted: KenLM's lmplz"):
        train_ngram([tmp_path / "d.jsonl"], tmp_path, "m")


@KENLM
@pytest.mark.parametrize("pieces", [0, 28])
def test_a_trained_language_model_and_its_card(tmp_path: Path, pieces: int) -> None:
    if pieces:
        pytest.importorskip("sentencepiece", reason="the extra `pieces` is not installed")
    settings = NgramSettings(order=3, prune=(0,), pieces=pieces)
    digests = []
    for number in range(2):
        card_path = train_ngram([sentences(tmp_path / "d.jsonl")], tmp_path / str(number), "mine", settings=settings)
        digests.append(hashlib.sha256((tmp_path / str(number) / "mine.bin").read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    card = load_card(str(card_path))
    sp = None if card.pieces is None else verify(locate(card.pieces.location), card.pieces.sha256)
    assert (sp is not None) == bool(pieces)
    model = NgramKenlm.of(card, verify(locate(card.location), card.sha256), sp)
    like, unlike = model.score(["the moon of the sea is star and the moon moves", BAD])[:, 0]
    assert like < unlike and model.order == 3
    assert card.quality[0]["shuffled_is_higher"] > 0.95
    assert b"moon" not in (tmp_path / "0" / "mine.bin").read_bytes()


@KENLM
def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="build_binary failed"):
        train_ngram([sentences(tmp_path / "d.jsonl")], tmp_path, "m", settings=NgramSettings(order=9))


def test_shuffled_words_are_the_same_words(tmp_path: Path) -> None:
    text = "a b c d e f\n\ng h"
    assert shuffle_words(text, 1) == shuffle_words(text, 1) != text
    assert [sorted(line.split()) for line in shuffle_words(text, 1).split("\n")] == [list("abcdef"), [], list("gh")]
    assert np.array_equal(sorted(shuffle_words(text, 2).split()), sorted(text.split()))
