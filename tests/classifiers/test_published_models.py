"""Published fastText models, by small ones of their architecture: asked as their authors ask them, to the last digit."""

from __future__ import annotations

from pathlib import Path

import fasttext
import numpy as np
import pytest
from small_models import BAD, GOOD, small_fasttext

from classifiers.card import CardError, load_card
from classifiers.linear_fasttext import FLOOR, LinearFastText

pytest.importorskip("fasttext_new", reason="small models are trained: the extra `train` is not installed")

TEXTS = [GOOD, BAD, f"{GOOD[:40]}\n{BAD}", f" \r\n{BAD}\x0c{GOOD}\u2028sun ", "planets", "unheard of", "", "\n \t"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    small_fasttext(folder / "dclm.bin", "hq", "cc")
    small_fasttext(folder / "dolma.bin", "non_toxic", "toxic")
    small_fasttext(folder / "lid.bin", "eng_Latn", "deu_Latn", bigrams=False)
    return folder


def test_dclm_reads_the_likeliest_label(folder: Path) -> None:
    card, bare = load_card("dclm_fasttext"), fasttext.load_model(str(folder / "dclm.bin"))
    assert card.threshold == 0.018112 and card.scored == ("hq",)
    scores = LinearFastText.of(card, folder / "dclm.bin").score(TEXTS)
    assert scores.shape == (8, 1) and np.isnan(scores[6:]).all()
    for text, score in zip(TEXTS[:6], scores[:, 0], strict=False):
        (label,), (probability,) = bare.predict(" ".join(text.strip().splitlines()))
        expected = 1 - probability if label == "__label__cc" else probability
        assert score == pytest.approx(expected, abs=1e-6)
    both = LinearFastText.of(card, folder / "dclm.bin", ["cc", "hq"]).score(TEXTS[:6])
    assert np.allclose(both[:, 1], scores[:6, 0], atol=1e-6) and np.allclose(both.sum(axis=1), 1)
    # fastText adds its floor to what it reports: the two ways to read a label differ by it, twice
    everything = LinearFastText(folder / "dclm.bin", ["hq"], preprocessing="dclm").score(TEXTS[:6])
    assert np.abs(everything - scores[:6]).max() <= 2 * FLOOR + 1e-6


@pytest.mark.parametrize(("name", "negative"), [("dolma_hatespeech", "non_toxic")])
def test_dolma_reads_the_toxic_label_whatever_its_rank(folder: Path, name: str, negative: str) -> None:
    bare = fasttext.load_model(str(folder / "dolma.bin"))
    scores = LinearFastText.of(load_card(name), folder / "dolma.bin").score(TEXTS)
    ranks = set()
    for text, score in zip(TEXTS[:6], scores[:, 0], strict=False):
        labels, probabilities = bare.predict(text.replace("\n", " ").strip(), k=-1)
        place = 1 if "non" in labels[0] else 0
        ranks.add(place)
        assert score == pytest.approx(probabilities[place], abs=1e-6)
    assert ranks == {0, 1} and scores[0, 0] < 0.1 < 0.9 < scores[1, 0]


@pytest.mark.parametrize("name", ["glotlid", "openlid"])
def test_language_models_score_the_labels_a_recipe_names(folder: Path, name: str) -> None:
    bare = fasttext.load_model(str(folder / "lid.bin"))
    model = LinearFastText.of(load_card(name), folder / "lid.bin", ["eng_Latn"])
    for text, score in zip(TEXTS[:6], model.score(TEXTS)[:, 0], strict=False):
        labels, probabilities = bare.predict(text.replace("\n", " "), k=-1)
        assert score == pytest.approx(dict(zip(labels, probabilities, strict=True))["__label__eng_Latn"], abs=1e-6)
    with pytest.raises(CardError, match="a model of the labels deu_Latn, eng_Latn"):
        LinearFastText.of(load_card(name), folder / "lid.bin", ["swe_Latn"])


def test_reading_by_the_likeliest_label_needs_two(folder: Path) -> None:
    with pytest.raises(CardError, match="of two in all"):
        LinearFastText(Path(str(fasttext_of_three(folder))), ["a"], reading="top")


def fasttext_of_three(folder: Path) -> Path:
    import fasttext_new

    (folder / "three.txt").write_text("__label__a sun\n__label__b moon\n__label__c tide\n" * 20)
    path = folder / "three.bin"
    fasttext_new.train_supervised(input=str(folder / "three.txt"), dim=4, thread=1, verbose=0).save_model(str(path))
    return path
