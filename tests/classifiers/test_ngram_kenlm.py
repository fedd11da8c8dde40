"""n-gram models: perplexity by its formula, lines and documents, pieces, agreement with kenlm and datatrove called directly."""

from __future__ import annotations

from pathlib import Path

import kenlm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import GOOD, uniform_arpa, write_arpa

from classifiers.card import CardError
from classifiers.ngram_kenlm import LARGEST, NgramKenlm

WORDS = ["the", "sun", "and", "moon", "rise"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ngram")
    unigrams = {"the": 0.3, "sun": 0.1, "and": 0.2, "moon": 0.05, "rise": 0.05, "</s>": 0.25, "<unk>": 0.05}
    bigrams = {("the", "sun"): 0.5, ("sun", "and"): 0.6, ("and", "the"): 0.7, ("rise", "</s>"): 0.9}
    write_arpa(folder / "skewed.arpa", unigrams, bigrams)
    uniform_arpa(folder / "uniform.arpa", WORDS)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> NgramKenlm:
    return NgramKenlm(folder / "skewed.arpa", preprocessing="plain_lines")


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(folder: Path) -> None:
    model = NgramKenlm(folder / "uniform.arpa", preprocessing="plain_lines")
    scores = model.score(["the sun", "the\n\nmoon and something unknown", "rise " * 500])
    # kenlm adds a line up in float32
    assert np.allclose(scores, 7, rtol=1e-5) and scores.shape == (3, 1) and scores.dtype == np.float32


def test_a_document_twice_is_as_perplexing_as_once(model: NgramKenlm) -> None:
    text = "the sun and the moon rise\nmoon sun"
    once, twice = model.score([text, f"{text}\n{text}"])[:, 0]
    assert once == pytest.approx(twice, rel=1e-6)


def test_shuffled_words_are_more_perplexing(model: NgramKenlm) -> None:
    ordered, shuffled = model.score(["the sun and the moon rise", "rise moon the the and sun"])[:, 0]
    assert shuffled > ordered


def test_nothing_to_go_by_is_unknown(model: NgramKenlm) -> None:
    scores = model.score(["", " \n\t", "\n", "the"])
    assert np.isnan(scores[:3]).all() and scores[3] > 1 and model.score([]).shape == (0, 1)
    assert model.score_lines(" \n").shape == (0,)


def test_short_texts_are_unknown_where_asked(folder: Path) -> None:
    model = NgramKenlm(folder / "skewed.arpa", preprocessing="plain_lines", min_tokens=4)
    scores = model.score(["the sun and", "the sun\nand the"])
    assert np.isnan(scores[0, 0]) and scores[1, 0] > 1
    assert np.isnan(model.with_lines(["the sun and"], [0.5])).all()


def test_quantiles_are_over_lines(model: NgramKenlm) -> None:
    text = "the sun\nand\nmoon moon\n\nrise"
    lines = model.score_lines(text)
    found = model.with_lines([text, ""], [0.0, 0.25, 1.0])
    assert len(lines) == 4 and found.shape == (2, 4) and np.isnan(found[1]).all()
    assert found[0, 0] == model.score([text])[0, 0]
    assert found[0, 1:] == pytest.approx([lines.min(), np.quantile(lines, 0.25), lines.max()], rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from([*WORDS, "zebra", "\n", "\u00a0", "é"]), max_size=20).map(" ".join), max_size=4))
def test_the_same_as_kenlm_called_directly(folder: Path, texts: list[str]) -> None:
    bare = kenlm.Model(str(folder / "skewed.arpa"))
    ours = NgramKenlm(folder / "skewed.arpa", preprocessing="plain_lines").score(texts)[:, 0]
    for text, found in zip(texts, ours, strict=True):
        lines = [line for line in text.split("\n") if line.strip()]
        log, length = sum(bare.score(line) for line in lines), sum(len(line.split()) + 1 for line in lines)
        if not lines:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(10 ** (-log / length), rel=1e-6)


def test_a_text_does_not_know_its_batch(model: NgramKenlm) -> None:
    texts = ["the sun", "", "moon rise and", "the sun"]
    assert np.array_equal(model.score(texts), np.concatenate([model.score([t]) for t in texts]), equal_nan=True)


def test_perplexity_beyond_float32_is_its_largest(tmp_path: Path) -> None:
    write_arpa(tmp_path / "m.arpa", {"a": 1e-90, "</s>": 1e-90, "<unk>": 1e-90}, {("a", "a"): 1e-90})
    assert NgramKenlm(tmp_path / "m.arpa").score(["a a a"])[0, 0] == np.float32(LARGEST)


def test_files_that_are_no_models(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"nothing of the kind")
    with pytest.raises(CardError, match="wanted: a KenLM model"):
        NgramKenlm(tmp_path / "weights.bin")
    with pytest.raises(CardError, match="wanted: a SentencePiece model"):
        NgramKenlm(folder / "skewed.arpa", pieces=tmp_path / "weights.bin")


def test_missing_sentencepiece_says_how_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentencepiece", None)
    with pytest.raises(CardError, match=r"pip install 'curation\[pieces\]'"):
        NgramKenlm(folder / "skewed.arpa", pieces=folder / "skewed.arpa")


@pytest.fixture(scope="module")
def pieces(folder: Path) -> Path:
    sentencepiece = pytest.importorskip("sentencepiece", reason="the extra `pieces` is not installed")
    text = folder / "text.txt"
    text.write_text("\n".join(f"{GOOD} {i}" for i in range(50)), encoding="utf-8")
    where = str(folder / "small")
    sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=where, vocab_size=40, minloglevel=2)
    return folder / "small.model"


def test_ccnet_as_datatrove_and_cc_net_score_it(folder: Path, pieces: Path) -> None:
    """A document of one line, as cc_net makes of any: the same number as datatrove's, which rounds to one decimal."""
    import sentencepiece
    from datatrove.utils.perplexity import KenlmModel

    processor = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
    vocabulary = {processor.id_to_piece(i): 1 / (2 + i) ** 2 for i in range(processor.get_piece_size())}
    vocabulary = {p: v for p, v in vocabulary.items() if p not in ("<s>", "</s>", "<unk>")}
    first, second = list(vocabulary)[:2]
    model_file = write_arpa(folder / "pieces.arpa", {**vocabulary, "</s>": 0.1, "<unk>": 0.01}, {(first, second): 0.3})
    ours = NgramKenlm(model_file, preprocessing="ccnet", pieces=pieces)
    oracle = KenlmModel("none", "en")
    oracle._model = kenlm.Model(str(model_file))
    oracle.tokenizer._model = processor
    for text in (GOOD, "The Sun — rises,\nand SETS.", f"Élan of gravity 7\n\n{GOOD}", "ab\ncd"):
        assert ours.score([text])[0, 0] == pytest.approx(oracle.get_perplexity(text.strip()), abs=0.051)
        lines = NgramKenlm(model_file, preprocessing="ccnet_lines", pieces=pieces).score_lines(text)
        assert len(lines) == len([line for line in text.split("\n") if line])
