"""scorers/classify: columns, unknowns, errors before any work, scores kept over threshold changes, cards of one's own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from engine_stages import Lines
from small_models import BAD, GOOD, small_fasttext, uniform_arpa, write_card

from classifiers.linear_fasttext import LinearFastText
from curation.errors import ModelError, RecipeError
from curation.filters.threshold import Threshold
from curation.fingerprint import stage_fingerprint
from curation.models import available_models
from curation.pipeline import Pipeline
from curation.recipe import from_yaml, load_recipe, to_yaml
from curation.runners.drive import run_pipeline
from curation.runners.local import LocalExecutor
from curation.scorers.classify import Classify
from curation.sinks.parquet import Parquet

pytest.importorskip("fasttext_new", reason="small models are trained: the extra `train` is not installed")

TEXTS = [GOOD, BAD, f"{GOOD} {BAD}", "planets", None, " \n"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classify")
    small_fasttext(folder / "mine.bin", "hq", "cc")
    write_card(folder / "mine.toml", "linear_fasttext", folder / "mine.bin")
    return folder


def frame(texts: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame({"doc": range(len(texts)), "text": texts}, schema={"doc": pl.UInt64, "text": pl.String})


def scores(stage: Classify, texts: list[str | None]) -> pl.DataFrame:
    return stage.bind(available_models(stage.models))(frame(texts))


def test_one_label_is_one_column(folder: Path) -> None:
    stage = Classify(card=str(folder / "mine.toml"))
    assert stage.adds == {"score_mine": pa.float32()} and stage.reads == ("text",)
    found = scores(stage, TEXTS)["score_mine"]
    assert found.dtype == pl.Float32 and found[0] > 0.9 > 0.1 > found[1] and found[4:].to_list() == [None, None]
    direct = LinearFastText(folder / "mine.bin", ["hq"]).score([t or "" for t in TEXTS])[:, 0]
    assert found.to_list()[:4] == direct.tolist()[:4]


def test_several_labels_are_columns_of_their_names(folder: Path) -> None:
    stage = Classify(card=str(folder / "mine.toml"), labels=("cc", "hq"))
    found = scores(stage, [GOOD, BAD])
    assert found.columns == ["doc", "score_mine_cc", "score_mine_hq"] == ["doc", *stage.adds]
    assert found["score_mine_cc"][0] < 0.1 and found["score_mine_hq"][0] > 0.9


def test_weights_without_a_card(folder: Path) -> None:
    stage = Classify(card=str(folder / "mine.bin"), labels=("hq",), preprocessing="one_line")
    with_card = Classify(card=str(folder / "mine.toml"))
    assert scores(stage, TEXTS).equals(scores(with_card, TEXTS))


def test_the_batch_does_not_matter(folder: Path) -> None:
    stage = Classify(card=str(folder / "mine.toml"))
    whole = scores(stage, TEXTS)["score_mine"]
    assert whole.to_list() == [scores(stage, [text])["score_mine"][0] for text in TEXTS]
    assert scores(stage, []).schema == {"doc": pl.UInt64, "score_mine": pl.Float32}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"card": "no_such_card"}, "wanted: a .toml file, or one of"),
        ({"card": "nowhere.toml"}, "no card 'nowhere.toml'"),
        ({"card": "ccnet"}, "found:  ngram_kenlm"),
        ({"card": "lid176", "labels": ("en", "klingon")}, "found:  klingon"),
        ({"card": "glotlid"}, "leaves the choice to the recipe"),
        ({"card": "weights.bin", "labels": ("hq",)}, "weights without a card do not say it"),
        ({"card": "weights.bin", "preprocessing": "words"}, "wanted: labels of the model"),
        ({"card": "weights.bin", "labels": ("hq",), "preprocessing": "cooking"}, "found:  cooking"),
        ({"card": "lid176", "preprocessing": "words"}, "the card says it"),
        ({"card": "glotlid", "labels": ("a-b", "a_b")}, "one column each"),
    ],
)
def test_what_cannot_work_is_said_when_the_recipe_is_made(fields: dict, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Classify(**fields)


def test_what_is_wrong_with_the_weights_is_said_before_any_work(folder: Path, tmp_path: Path) -> None:
    uniform_arpa(tmp_path / "other.bin", ["a"])
    shutil.copy(folder / "mine.bin", tmp_path / "changed.bin")
    for name, entries in (("other", {}), ("changed", {"labels": ["hq", "unknown"], "scored": ["unknown"]}), ("absent", {})):
        write_card(tmp_path / f"{name}.toml", "linear_fasttext", tmp_path / f"{name}.bin", **entries)
    cases = (
        (Classify(card=str(tmp_path / "other.toml")), "wanted: a model of kind linear_fasttext"),
        (Classify(card=str(tmp_path / "changed.toml")), "wanted: the labels unknown"),
        (Classify(card=str(tmp_path / "absent.toml")), "no such file"),
        (Classify(card="dclm_fasttext", label="quality"), "--set quality.weights=PATH, or CURATION_WEIGHTS_DCLM_FASTTEXT"),
    )
    documents(tmp_path / "in.txt", [GOOD])
    for stage, said in cases:
        with pytest.raises(ModelError, match=said):
            run(stage, tmp_path / "in.txt", tmp_path / "out", at_least=0.5)
        assert not list((tmp_path / "out/work/commits").glob("*"))


def test_a_recipe_whose_weights_are_still_to_come_can_be_read() -> None:
    stage = Classify(card="dclm_fasttext")
    assert stage.models[0].sha256 == "" and stage_fingerprint(stage) and stage.adds == {"score_dclm_fasttext": pa.float32()}


def test_other_weights_are_another_fingerprint_and_another_place_is_not(folder: Path, tmp_path: Path) -> None:
    for name in ("mine.bin", "mine.toml"):
        (tmp_path / folder.name).mkdir(exist_ok=True)
        shutil.copy(folder / name, tmp_path / folder.name / name)
    here, there = (Classify(card=str(place / "mine.toml")) for place in (folder, tmp_path / folder.name))
    assert stage_fingerprint(here) == stage_fingerprint(there)
    small_fasttext(tmp_path / folder.name / "mine.bin", "hq", "cc", dim=4)
    assert stage_fingerprint(here) != stage_fingerprint(there)
    by_weights = [Classify(card="dclm_fasttext", weights=str(place / "mine.bin")) for place in (folder, tmp_path / folder.name)]
    assert stage_fingerprint(by_weights[0]) != stage_fingerprint(by_weights[1])


def documents(path: Path, texts: list[str]) -> None:
    path.write_text("".join(f"{text}\n" for text in texts))


def recipe(stage: Classify, at_least: float) -> Pipeline:
    column = next(iter(stage.adds))
    return Pipeline("scored", Lines(piece_bytes=10_000), (stage, Threshold(column=column, at_least=at_least)), Parquet())


def run(stage: Classify, source: Path, out: Path, at_least: float):
    return run_pipeline(recipe(stage, at_least), [str(source)], str(out), lambda *given: LocalExecutor(*given, workers=1))


def test_a_changed_threshold_runs_no_model(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents(tmp_path / "in.txt", [GOOD, BAD, "planets move", "click here"])
    stage = Classify(card=str(folder / "mine.toml"))
    scored: list[str] = []
    score = LinearFastText.score
    monkeypatch.setattr(LinearFastText, "score", lambda self, texts: scored.extend(texts) or score(self, texts))
    run(stage, tmp_path / "in.txt", tmp_path / "out", at_least=0.5)
    assert len(scored) == 4
    run(stage, tmp_path / "in.txt", tmp_path / "out", at_least=0.0)
    assert len(scored) == 4
    kept = pl.read_parquet(tmp_path / "out/documents/*.parquet")
    assert kept.height == 4 and kept["score_mine"].null_count() == 0


def test_a_classifier_of_ones_own_in_a_yaml_recipe(folder: Path, tmp_path: Path) -> None:
    for name in ("mine.bin", "mine.toml"):
        shutil.copy(folder / name, tmp_path / name)
    text = to_yaml(recipe(Classify(card=str(folder / "mine.toml")), 0.5))
    (tmp_path / "recipe.yaml").write_text(text.replace(str(folder / "mine.toml"), str(tmp_path / "mine.toml")))
    documents(tmp_path / "in.txt", [GOOD, BAD])
    pipeline = load_recipe(str(tmp_path / "recipe.yaml"), allow_code=True)
    run_pipeline(pipeline, [str(tmp_path / "in.txt")], str(tmp_path / "out"), lambda *given: LocalExecutor(*given, workers=1))
    assert pl.read_parquet(tmp_path / "out/documents/*.parquet")["text"].to_list() == [GOOD]
    assert from_yaml(to_yaml(pipeline), allow_code=True).fingerprint() == pipeline.fingerprint()


def test_a_card_beside_its_recipe_is_found(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine.bin", "mine.toml"):
        shutil.copy(folder / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    text = to_yaml(recipe(Classify(card="mine.toml"), 0.5))
    monkeypatch.undo()
    (tmp_path / "recipe.yaml").write_text(text)
    monkeypatch.chdir(tmp_path.parent)
    stage = load_recipe(str(tmp_path / "recipe.yaml"), allow_code=True).stages[0]
    assert isinstance(stage, Classify) and stage.card == str(tmp_path / "mine.toml")
    assert replace(stage, label="again").adds == stage.adds


HOSTILE = [
    "a" * 1_000_000,
    "\n" * 1_000_000,
    "a\n" * 500_000,
    "\u0301" * 500_000,
    "\0" * 100_000,
    "__label__hq " * 50_000,
    "\u2028",
]


@pytest.mark.parametrize("card", ["quality_en", "toxicity_en", "lid176"])
def test_hostile_texts_are_scored_or_unknown(card: str) -> None:
    stage = Classify(card=card, labels=("en",) if card == "lid176" else ())
    found = scores(stage, HOSTILE)[next(iter(stage.adds))]
    assert all(value is None or 0 <= value <= 1.0001 for value in found)
    assert found[1] is None and found[6] is None and found[2] is not None
