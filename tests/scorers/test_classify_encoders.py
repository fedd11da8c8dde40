"""scorers/classify with cards of encoders: columns, several cards, one refused document, errors before any work, reuse."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import polars as pl
import pytest
from engine_stages import Lines
from small_encoders import encoder_card, small_backbone, small_bert, small_head
from small_models import BAD, GOOD

pytest.importorskip("transformers", reason="the extra `neural` is not installed")

from classifiers.card import size_of
from classifiers.encoder import Encoder
from classifiers.serve import DeviceLost
from curation.errors import ModelError, RecipeError
from curation.extractors.resiliparse import Resiliparse
from curation.filters.threshold import Threshold
from curation.fingerprint import columns_fingerprint, stage_fingerprint
from curation.models import available_models
from curation.pipeline import Pipeline
from curation.recipe import from_yaml, to_yaml
from curation.run_stage import StageCount, run_stage
from curation.runners.drive import run_pipeline
from curation.runners.local import LocalExecutor
from curation.score_run import score_run, scorer_of
from curation.scorers.classify import Classify
from curation.sinks.parquet import Parquet
from curation.sources.warc import Warc

TEXTS = [GOOD, BAD, "planets move", None, "", "  \n", "click here", GOOD + " " + BAD]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cards of one's own beside their weights: three classes, a regression, two linear heads over one encoder."""
    root = tmp_path_factory.mktemp("cards")
    small_bert(root / "classes", ["a", "b", "c"])
    small_bert(root / "regression", ["LABEL_0"], seed=1)
    small_backbone(root / "backbone")
    encoder_card(root, "classes", "classes", ["a", "b", "c"])
    encoder_card(root, "edu", "regression", ["score"])
    for name, labels in (("one", ["edu"]), ("two", ["clean", "noisy"])):
        small_head(root / f"{name}.safetensors", labels)
        encoder_card(root, name, "backbone", labels, head=f"{name}.safetensors")
    return root


def frame(texts: list[str | None]) -> pl.DataFrame:
    docs = pl.Series("doc", range(len(texts)), dtype=pl.UInt64)
    return pl.DataFrame([docs, pl.Series("text", texts, dtype=pl.String)])


def scores(stage: Classify, texts: list[str | None]) -> pl.DataFrame:
    return stage.bind(available_models(stage.models))(frame(texts))


def test_columns_unknowns_and_types(folder: Path) -> None:
    stage = Classify(card=str(folder / "classes.toml"))
    found = scores(stage, TEXTS)
    assert found.columns == ["doc", *stage.adds] == ["doc", "score_classes_a", "score_classes_b", "score_classes_c"]
    assert set(found.dtypes[1:]) == {pl.Float32} and found["score_classes_a"].is_null().to_list() == [
        t is None or not t.strip() for t in TEXTS
    ]
    sums = found.select(pl.sum_horizontal(pl.exclude("doc"))).drop_nulls().to_series()
    assert ((sums - 1).abs() < 1e-6).sum() == 5 and found["score_classes_a"].n_unique() == 6
    assert scores(stage, []).columns == found.columns and stage.resources.gpus == 0


def test_several_cards_in_one_stage_are_what_they_are_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [str(folder / f"{name}.toml") for name in ("one", "edu", "two")]
    stage = Classify(card=cards[0], also=(cards[1], cards[2]))
    passes: list[str] = []
    run = Encoder.run
    monkeypatch.setattr(Encoder, "run", lambda self, t, m: passes.append(self._folder.name) or run(self, t, m))
    found = scores(stage, TEXTS)
    together = list(passes)
    assert list(stage.adds) == ["score_one", "score_edu", "score_two_clean", "score_two_noisy"]
    for card in cards:
        alone = scores(Classify(card=card), TEXTS)
        assert found.select(alone.columns).equals(alone)
    assert together.count("backbone") * 3 == passes.count("backbone")


def test_a_folder_without_a_card(folder: Path) -> None:
    stage = Classify(card=str(folder / "classes"), labels=("b",))
    with_card = Classify(card=str(folder / "classes.toml"), labels=("b",), long="mean")
    assert list(stage.adds) == ["score_classes"]
    with pytest.raises(ModelError, match="inputs of 512 tokens"):
        stage.check_models(available_models(stage.models))
    assert scores(with_card, [GOOD]).columns == ["doc", "score_classes"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"labels": ("klingon",)}, "found:  klingon"),
        ({"device": "tpu"}, "auto, cpu, cuda"),
        ({"precision": "int8"}, "bfloat16 or nothing"),
        ({"long": "tail"}, "head, head_tail, mean"),
        ({"batch_tokens": -1}, "0 \\(by device\\) or more"),
        ({"gpus": 0}, "more than 0"),
        ({"also": ("fineweb_edu", "fineweb_edu")}, "each card once"),
        ({"also": ("quality_en",)}, "a card of kind encoder"),
        ({"card": "quality_en", "device": "cuda"}, "nothing beside a card of kind linear_fasttext"),
        ({"card": "quality_en", "also": ("fineweb_edu",)}, "nothing beside a card of kind linear_fasttext"),
    ],
)
def test_what_cannot_work_is_said_when_the_recipe_is_made(folder: Path, fields: dict, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Classify(**{"card": str(folder / "classes.toml"), **fields})


def test_what_is_wrong_is_said_before_any_work(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text(f"{GOOD}\n")
    changed = encoder_card(folder, "changed", "classes", ["a", "klingon", "d"])
    cases = (
        (Classify(card="fineweb_edu", label="edu"), "--set edu.weights=PATH, or CURATION_WEIGHTS_FINEWEB_EDU"),
        (Classify(card="fineweb_edu", weights=str(folder / "backbone")), "wanted: an architecture for sequence"),
        (Classify(card="fineweb_edu", weights=str(folder / "one.safetensors")), "wanted: a folder of a transformers model"),
        (Classify(card=str(changed)), "wanted: the labels a, klingon, d"),
        (Classify(card="fineweb_edu", weights="hub:nobody/nothing"), "nothing in the local cache"),
    )
    for stage, said in cases:
        with pytest.raises(ModelError, match=said):
            run(stage, tmp_path / "in.txt", tmp_path / "out", at_least=0.5)
        assert not list((tmp_path / "out/work/commits").glob("*"))


def test_a_missing_extra_names_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Classify(card=str(folder / "classes.toml"))
    monkeypatch.delitem(sys.modules, "classifiers.encoder")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"wanted: the package torch\n.*not installed\n.*curation\[neural\]"):
        stage.check_models(available_models(stage.models))
    assert Classify(card=str(folder / "classes.toml"), device="auto").device == "cpu"


def test_the_device_is_part_of_the_recipe_and_gpus_are_asked_for(folder: Path) -> None:
    import torch

    cpu = Classify(card=str(folder / "classes.toml"))
    cuda = dataclasses.replace(cpu, device="cuda")
    assert columns_fingerprint(cpu) != columns_fingerprint(cuda)
    assert columns_fingerprint(cuda) == columns_fingerprint(dataclasses.replace(cuda, gpus=0.25))
    assert cuda.resources.gpus == 1 and dataclasses.replace(cuda, gpus=0.25).resources.gpus == 0.25
    seen = "cuda" if torch.cuda.is_available() else "cpu"
    assert dataclasses.replace(cpu, device="auto").device == seen
    if seen == "cpu":
        cuda.check_models(available_models(cuda.models))  # the machine that plans need not be one with a GPU
        with pytest.raises(ModelError, match="a GPU that torch sees"):
            cuda.bind(available_models(cuda.models))


def test_other_weights_are_another_fingerprint(folder: Path, tmp_path: Path) -> None:
    small_bert(tmp_path / "here/w", ["a", "b", "c"])
    small_bert(tmp_path / "there/w", ["a", "b", "c"])
    small_bert(tmp_path / "other/w", ["a", "b", "c"], seed=9)
    card = str(folder / "classes.toml")
    here, there, other = (
        stage_fingerprint(Classify(card="fineweb_edu", weights=str(tmp_path / n / "w"))) for n in ("here", "there", "other")
    )
    assert here == there != other and stage_fingerprint(Classify(card=card)) == stage_fingerprint(Classify(card=card))


def poisoned(monkeypatch: pytest.MonkeyPatch, stage: Classify, text: str) -> list[int]:
    """Make the encoder raise on that text; returns the sizes of the batches it went through with."""
    import numpy as np

    from classifiers.encoder import FolderTokens

    bad = FolderTokens(available_models(stage.models)["classes"]).encode([text])[0]
    sizes: list[int] = []
    run = Encoder.run

    def guarded(self: Encoder, tokens: np.ndarray, mask: np.ndarray) -> object:
        if any(np.array_equal(row[m][1:-1], bad) for row, m in zip(tokens, mask, strict=True)):
            raise RuntimeError("a kernel does not like this")
        sizes.append(len(tokens))
        return run(self, tokens, mask)

    monkeypatch.setattr(Encoder, "run", guarded)
    return sizes


def test_a_document_the_model_fails_on_is_recorded_and_no_other_is_scored_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = dataclasses.replace(Classify(card=str(folder / "classes.toml")), label="classify")
    texts = [f"{GOOD} {' '.join(['planets'] * (i % 5))}" for i in range(20)] + ["click here buy now"]
    expected = scores(stage, texts[:-1])
    sizes = poisoned(monkeypatch, stage, texts[-1])
    count = StageCount("classify")
    kept, gone = run_stage(stage, stage.bind(available_models(stage.models)), frame(texts), count)
    assert kept.height == 20 and kept.select(expected.columns).equals(expected)
    assert gone["doc"].to_list() == [20] and gone["drop_reason"].to_list() == ["stage_error"]
    assert gone["drop_detail"].to_list() == ["RuntimeError: a kernel does not like this"] and gone["score_classes_a"][0] is None
    assert sum(sizes) == 20 and count.rows_in == 21


def test_a_lost_device_stops_the_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Classify(card=str(folder / "classes.toml"))
    apply = stage.bind(available_models(stage.models))

    def lost(*given: object) -> None:
        raise DeviceLost("illegal access")

    monkeypatch.setattr(Encoder, "run", lost)
    with pytest.raises(ModelError, match="answers nothing any more"):
        run_stage(stage, apply, frame([GOOD, BAD]), StageCount("x"))


def recipe(stage: Classify, at_least: float) -> Pipeline:
    column = next(iter(stage.adds))
    return Pipeline("scored", Lines(piece_bytes=200), (stage, Threshold(column=column, at_least=at_least)), Parquet())


def run(stage: Classify, source: Path, out: Path, at_least: float, workers: int = 1) -> object:
    return run_pipeline(recipe(stage, at_least), [str(source)], str(out), lambda *given: LocalExecutor(*given, workers=workers))


def test_one_and_two_workers_give_the_same_bytes_and_a_threshold_runs_no_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.txt").write_text("".join(f"{GOOD} {w}\n{BAD} {w}\n{w}\n" for w in GOOD.split()))
    stage = Classify(card=str(folder / "classes.toml"))
    for workers in (1, 2):
        run(stage, tmp_path / "in.txt", tmp_path / f"out{workers}", at_least=0.0, workers=workers)
    documents = [
        [p.read_bytes() for p in sorted((tmp_path / f"out{workers}/documents").glob("*.parquet"))] for workers in (1, 2)
    ]
    assert documents[0] == documents[1] and documents[0]

    def never(*given: object) -> None:
        raise AssertionError("the model ran again")

    monkeypatch.setattr(Encoder, "run", never)
    run(stage, tmp_path / "in.txt", tmp_path / "out1", at_least=0.3)
    kept = pl.read_parquet(tmp_path / "out1/documents/*.parquet")
    assert 0 < kept.height < 3 * len(GOOD.split()) and kept["score_classes_a"].min() >= 0.3


def test_a_recipe_in_yaml(folder: Path) -> None:
    stage = Classify(card=str(folder / "one.toml"), also=(str(folder / "two.toml"),))
    pipeline = recipe(stage, 0.5)
    assert from_yaml(to_yaml(pipeline), allow_code=True).fingerprint() == pipeline.fingerprint()


def test_a_finished_run_is_given_one_more_score(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"{GOOD} {w}\n{BAD} {w}\n" for w in GOOD.split()))
    run(Classify(card=str(folder / "classes.toml")), tmp_path / "in.txt", tmp_path / "out", at_least=0.0)
    card = str(folder / "edu.toml")
    place, done = score_run(str(tmp_path / "out"), scorer_of(card, device="auto"))
    shards = sorted((tmp_path / "out/documents").glob("*.parquet"))
    assert len(done) == len(shards) and sum(part.known for part in done) == 2 * len(GOOD.split())
    for shard in shards:
        side, texts = pl.read_parquet(tmp_path / "out" / place / shard.name), pl.read_parquet(shard)["text"].to_list()
        alone = scores(Classify(card=card), texts)["score_edu"]
        assert side.columns == ["doc", "score_edu"] and (side["score_edu"] - alone).abs().max() <= 1e-6 and alone.std() > 0
    with pytest.raises(RecipeError, match="head, device"):
        scorer_of("perplexity_en", device="cuda")
    with pytest.raises(RecipeError, match="nothing beside a card of kind linear_fasttext"):
        scorer_of("quality_en", device="cuda")


def test_an_estimate_counts_the_weights(folder: Path) -> None:
    from curation.inspect.estimate import Scale, estimate

    def cpu(*stages: Classify) -> float:
        made = estimate(Pipeline("planned", Warc(), (Resiliparse(), *stages), Parquet()), Scale(1e6))
        return sum(phase.cpu for phase in made.phases)

    encoder = Classify(card=str(folder / "classes.toml"), also=(str(folder / "edu.toml"),))
    sizes = [size_of(folder / name) for name in ("classes", "regression")]
    assert encoder.encoder_bytes == sum(sizes) and Classify(card="quality_en").encoder_bytes == 0
    assert cpu(encoder) - cpu() == pytest.approx(1.9e-9 * sum(sizes) * 1e6)
    assert dataclasses.replace(encoder, device="cuda").encoder_bytes == 0
