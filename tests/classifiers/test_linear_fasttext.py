"""Linear fastText models: shapes, empty texts, newlines, independence from the batch, agreement with fastText itself."""

from __future__ import annotations

from functools import cache

import fasttext
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.card import load_card, locate
from classifiers.linear_fasttext import LinearFastText

CARD = load_card("lid176")
TEXTS = ["Good morning, how are you today?", "", "Guten Morgen,\nwie geht es dir?", " \n\t", "早上好，你今天怎么样？", "123 !?"]


@cache
def _shared() -> LinearFastText:
    return LinearFastText(locate(CARD.location))


@cache
def _reference():
    return fasttext.load_model(str(locate(CARD.location)))


@pytest.fixture(scope="module")
def model() -> LinearFastText:
    return _shared()


def test_labels_are_the_cards(model: LinearFastText) -> None:
    assert model.labels == CARD.labels


def test_score_shape_and_unknown_rows(model: LinearFastText) -> None:
    scores = model.score(TEXTS)
    assert scores.shape == (6, 176) and scores.dtype == np.float32
    assert np.isnan(scores[[1, 3]]).all() and not np.isnan(scores[[0, 2, 4, 5]]).any()
    assert np.allclose(scores[[0, 2, 4, 5]].sum(axis=1), 1, atol=0.02)
    assert scores[np.array([0, 2, 4, 5])].max() <= CARD.score_range[1]


def test_no_texts(model: LinearFastText) -> None:
    assert model.score([]).shape == (0, 176)
    assert [a.shape for a in model.top([])] == [(0,), (0,)]


def test_top_is_the_best_of_score(model: LinearFastText) -> None:
    best, probability = model.top(TEXTS)
    scores = model.score(TEXTS)
    known = np.array([0, 2, 4, 5])
    assert best.tolist()[1] == best.tolist()[3] == -1 and np.isnan(probability[[1, 3]]).all()
    assert (scores[known].argmax(axis=1) == best[known]).all()
    assert (scores[known].max(axis=1) == probability[known]).all()


def test_a_file_that_is_no_model(tmp_path, model: LinearFastText) -> None:
    path = tmp_path / "weights.ftz"
    path.write_bytes(b"not a model at all")
    with pytest.raises(ValueError, match="wrong file format"):
        LinearFastText(path)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=80), min_size=1, max_size=6))
def test_a_text_does_not_know_its_batch(texts: list[str]) -> None:
    model = _shared()
    texts = [t.encode("utf-8", "replace").decode() for t in texts]
    best, probability = model.top(texts)
    alone = [model.top([t]) for t in texts]
    assert best.tolist() == [int(b[0]) for b, _ in alone]
    assert np.array_equal(probability, np.concatenate([p for _, p in alone]), equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(text=st.text(min_size=1, max_size=200).filter(lambda t: not t.isspace()))
def test_the_same_as_fasttext_called_as_datatrove_calls_it(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    labels, scores = _reference().predict(text.replace("\n", " "), k=-1)
    label, score = max(zip(labels, scores, strict=True), key=lambda pair: pair[1])
    best, probability = _shared().top([text])
    assert np.float32(score) == probability[0]
    # equal probabilities may be listed in either order; then the label is one of those that share the best
    equal = {name.removeprefix("__label__") for name, s in zip(labels, scores, strict=True) if s == score}
    assert _shared().labels[best[0]] in equal
