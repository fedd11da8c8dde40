"""scorers/perplexity: documents and lines, languages with a model each, unknowns, errors before any work."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from small_models import uniform_arpa, write_arpa, write_card

from classifiers.ngram_kenlm import NgramKenlm
from curation.errors import ModelError, RecipeError
from curation.fingerprint import stage_fingerprint
from curation.models import available_models
from curation.scorers.perplexity import Perplexity

TEXT = "the sun and the moon\nthe the\n\nrise"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("perplexity")
    unigrams = {"the": 0.3, "sun": 0.1, "and": 0.2, "moon": 0.05, "</s>": 0.25, "<unk>": 0.1}
    write_arpa(folder / "mine.arpa", unigrams, {("the", "sun"): 0.5, ("sun", "and"): 0.6})
    uniform_arpa(folder / "en.arpa", ["the", "sun"])
    uniform_arpa(folder / "de.arpa", ["die", "sonne", "und"])
    labels = {"labels": ["perplexity"], "scored": None, "range": [1.0, 3.5e38], "preprocessing": "plain_lines"}
    write_card(folder / "mine.toml", "ngram_kenlm", folder / "mine.arpa", **labels)
    return folder


def frame(texts: list[str | None], languages: list[str | None] | None = None) -> pl.DataFrame:
    found = pl.DataFrame({"doc": range(len(texts)), "text": texts}, schema={"doc": pl.UInt64, "text": pl.String})
    return found if languages is None else found.with_columns(pl.Series("language", languages, dtype=pl.String))


def answer(stage: Perplexity, batch: pl.DataFrame) -> pl.DataFrame:
    return stage.bind(available_models(stage.models))(batch)


def test_the_document_is_the_models_own_number(folder: Path) -> None:
    stage = Perplexity(card=str(folder / "mine.toml"), min_tokens=1)
    assert stage.adds == {"score_mine": pa.float32()} and stage.reads == ("text",)
    direct = NgramKenlm(folder / "mine.arpa", preprocessing="plain_lines").score([TEXT, "the"])[:, 0].tolist()
    assert answer(stage, frame([TEXT, "the", "", None, " \n"]))["score_mine"].to_list() == [*direct, None, None, None]
    assert answer(stage, frame([])).schema == {"doc": pl.UInt64, "score_mine": pl.Float32}


def test_quantiles_of_lines_are_columns(folder: Path) -> None:
    stage = Perplexity(card=str(folder / "mine.toml"), min_tokens=1, quantiles=(0.1, 0.5, 0.975))
    columns = ["score_mine", "score_mine_line_p10", "score_mine_line_p50", "score_mine_line_p97_5"]
    found = answer(stage, frame([TEXT, None]))
    assert list(stage.adds) == columns == found.columns[1:] and found.row(1)[1:] == (None,) * 4
    lines = NgramKenlm(folder / "mine.arpa", preprocessing="plain_lines").score_lines(TEXT)
    assert found["score_mine_line_p50"][0] == sorted(lines)[1]


def test_short_texts_are_unknown(folder: Path) -> None:
    stage = Perplexity(card=str(folder / "mine.toml"))
    found = answer(stage, frame(["the sun\n" * 10, "the sun\n" * 9 + "the"]))["score_mine"]
    assert found[0] is not None and found[1] is None


def test_each_language_has_its_model(folder: Path) -> None:
    stage = Perplexity(
        card=str(folder / "some.arpa"), preprocessing="plain_lines", min_tokens=1, languages=("en", "de"),
        weights=str(folder / "{language}.arpa"),
    )  # fmt: skip
    assert stage.reads == ("text", "language") and [m.name for m in stage.models] == ["some_en", "some_de"]
    languages = ["eng_Latn", "deu_Latn", "fra_Latn", "eng_Latn", None, "deu_Latn"]
    batch = frame(["the sun", "die sonne", "le soleil", "the", "x", None], languages)
    found = answer(stage, batch)["score_some"].to_list()
    assert found == [pytest.approx(4, rel=1e-5), pytest.approx(5, rel=1e-5), None, pytest.approx(4, rel=1e-5), None, None]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"card": "lid176"}, "found:  linear_fasttext"),
        ({"card": "m.arpa"}, "weights without a card do not say it"),
        ({"quantiles": (0.5, 1.5)}, "numbers in 0 to 1"),
        ({"quantiles": (0.5, 0.5)}, "different percents"),
        ({"min_tokens": 0}, "1 or more"),
        ({"languages": ("klingon",)}, "codes of lid.176"),
        ({"languages": ("en", "en")}, "each once"),
        ({"languages": ("en",), "weights": "en.bin"}, "{language} in it"),
        ({"pieces": "{language}.model"}, "only there"),
    ],
)
def test_what_cannot_work_is_said_when_the_recipe_is_made(fields: dict, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Perplexity(**{"card": "ccnet", **fields})


def test_what_is_wrong_with_the_weights_is_said_before_any_work(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m.arpa").write_text("\\data\\\nngram 1=3\n")
    broken = Perplexity(card=str(tmp_path / "m.arpa"), preprocessing="plain_lines")
    with pytest.raises(ModelError, match="wanted: a KenLM model"):
        broken.check_models(available_models(broken.models))
    (tmp_path / "m.arpa").write_text("something else")
    with pytest.raises(ModelError, match="found:  something else"):
        broken.check_models(available_models(broken.models))
    ccnet = Perplexity(card="ccnet", label="clean", weights=str(folder / "en.arpa"))
    with pytest.raises(ModelError, match=r"--set clean.pieces=PATH, or CURATION_WEIGHTS_CCNET_PIECES=PATH"):
        available_models(ccnet.models)


def test_the_fingerprint_is_of_the_weights_and_their_pieces_not_of_their_place(folder: Path, tmp_path: Path) -> None:
    def ccnet(weights: Path, pieces: Path) -> str:
        return stage_fingerprint(Perplexity(card="ccnet", weights=str(weights), pieces=str(pieces)))

    (tmp_path / "copy.bin").write_bytes((folder / "en.arpa").read_bytes())
    assert ccnet(folder / "en.arpa", folder / "de.arpa") == ccnet(tmp_path / "copy.bin", folder / "de.arpa")
    assert ccnet(folder / "en.arpa", folder / "de.arpa") != ccnet(folder / "en.arpa", folder / "en.arpa")
    assert "sentencepiece" in Perplexity(card="ccnet").libraries


def test_hostile_texts_are_scored_or_unknown() -> None:
    hostile = ["a" * 1_000_000, "\n" * 1_000_000, "a\n" * 500_000, "\u0301" * 500_000, "\0" * 100_000, "word " * 2_000_000]
    found = answer(Perplexity(min_tokens=1), frame(hostile))["score_perplexity_en"].to_list()
    assert all(value is None or value >= 1 for value in found)
    assert found[1] is None and found[4] is None and None not in (found[0], found[2], found[5])
    assert answer(Perplexity(min_tokens=1, quantiles=(0.5,)), frame(hostile[:3])).height == 3
