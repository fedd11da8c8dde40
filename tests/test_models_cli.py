"""curation models: what there is, a model of one's own from data to score, errors without a traceback."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import polars as pl
import pytest
from small_models import BAD, GOOD
from typer.testing import CliRunner

from classifiers.card import card_names, load_card
from curation.cli import app
from curation.errors import ModelError
from curation.models import available_models
from curation.scorers.classify import Classify
from curation.scorers.perplexity import Perplexity


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["models", *map(str, arguments)], catch_exceptions=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def data(path: Path) -> Path:
    generator = random.Random(2)
    rows = [{"text": " ".join(generator.choices(words.split(), k=24)), "label": label, "site": i // 5}
            for i in range(150) for label, words in (("good", GOOD), ("bad", BAD))]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_list_and_show() -> None:
    listed = call("list")
    assert all(f"\n{name} " in f"\n{listed}" for name in card_names())
    assert "CURATION_WEIGHTS_DCLM_FASTTEXT" in listed
    assert load_card("toxicity_en").sha256 in call("show", "toxicity_en")
    with pytest.raises(ModelError, match="no card 'toxicity_xx'"):
        call("show", "toxicity_xx")


def test_a_classifier_from_data_to_score(tmp_path: Path) -> None:
    pytest.importorskip("fasttext_new", reason="the extra `train` is not installed")
    said = call("train", "fasttext", data(tmp_path / "d.jsonl"), "--out", tmp_path / "out", "--name", "mine", "--positive",
                "good", "--group", "site", "--min-count", 1, "--buckets", 500, "--dim", 4,
                "--no-quantise", "--rate", 0.5)  # fmt: skip
    assert f"card: {tmp_path / 'out/mine.toml'}" in said and "roc_auc" in said
    stage = Classify(card=str(tmp_path / "out/mine.toml"))
    batch = pl.DataFrame({"doc": [0, 1], "text": [GOOD, BAD]}, schema={"doc": pl.UInt64, "text": pl.String})
    good, bad = stage.bind(available_models(stage.models))(batch)["score_mine"]
    assert good > 0.9 > 0.1 > bad
    again = ("train", "fasttext", tmp_path / "d.jsonl", "--out", tmp_path, "--name", "m", "--positive", "good")
    with pytest.raises(ModelError, match="wanted: columns text, label, author"):
        call(*again, "--group", "author")
    with pytest.raises(ModelError, match="wanted: one of one_line"):
        call(*again, "--preprocessing", "cooking")


@pytest.mark.skipif(shutil.which("lmplz") is None, reason="KenLM's lmplz is not on the PATH: make kenlm")
def test_a_language_model_from_data_to_score(tmp_path: Path) -> None:
    call("train", "ngram", data(tmp_path / "d.jsonl"), "--out", tmp_path, "--name", "mine", "--order", 2, "--prune", 0,
         "--preprocessing", "plain_lines", "--test-share", 0.3)  # fmt: skip
    card = load_card(str(tmp_path / "mine.toml"))
    assert card.kind == "ngram_kenlm" and card.scored == ("perplexity",)
    stage = Perplexity(card=str(tmp_path / "mine.toml"))
    assert list(stage.adds) == ["score_mine"]
