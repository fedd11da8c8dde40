"""Recipes whose models a user brings, run over the embedded crawl with small models of the same architecture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_encoders import small_bert
from small_models import GOOD, small_fasttext, write_arpa

from curation.demo.build_warc import build_crawl
from curation.errors import ModelError
from curation.pipeline import Pipeline
from curation.plan import Options
from curation.recipe import load_recipe, with_settings
from curation.runners.drive import run_pipeline
from curation.runners.local import LocalExecutor


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crawl") / "crawl.warc.gz"
    build_crawl(path)
    return path


def run(pipeline: Pipeline, crawl: Path, out: Path) -> None:
    limited = Options(limit=25)  # pages further on are there to stop a parser
    run_pipeline(pipeline, [str(crawl)], str(out), lambda *given: LocalExecutor(*given, workers=1), options=limited)


def test_dclm_baseline_with_a_small_classifier(crawl: Path, tmp_path: Path) -> None:
    pytest.importorskip("fasttext_new", reason="small models are trained: the extra `train` is not installed")
    weights = small_fasttext(tmp_path / "dclm.bin", "hq", "cc")
    pipeline = load_recipe("dclm_baseline")
    with pytest.raises(ModelError, match="--set classify.weights=PATH"):
        run(pipeline, crawl, tmp_path / "none")
    run(with_settings(pipeline, [f"classify.weights={weights}", "threshold.at_least=0.5"]), crawl, tmp_path / "out")
    kept, gone = (pl.read_parquet(tmp_path / "out" / kind / "*.parquet") for kind in ("documents", "dropped"))
    below = gone.filter(pl.col("drop_stage") == "threshold")
    assert kept.height + below.height > 0
    assert (kept["score_dclm_fasttext"] >= 0.5).all() and (below["score_dclm_fasttext"] < 0.5).all()


def test_fineweb_edu_with_a_small_encoder(crawl: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra `neural` is not installed")
    small_bert(tmp_path / "edu", ["LABEL_0"], max_position_embeddings=512)
    pipeline = load_recipe("fineweb_edu")
    with pytest.raises(ModelError, match="--set classify.weights=PATH"):
        run(pipeline, crawl, tmp_path / "none")

    def sides(*settings: str) -> list[pl.DataFrame]:
        run(with_settings(pipeline, [f"classify.weights={tmp_path / 'edu'}", *settings]), crawl, tmp_path / "out")
        kept, gone = (pl.read_parquet(tmp_path / "out" / kind / "*.parquet") for kind in ("documents", "dropped"))
        return [kept, gone.filter(pl.col("drop_stage") == "threshold")]

    scored = pl.concat(part["score_fineweb_edu"] for part in sides()).sort()
    cut = float(scored[len(scored) // 2])
    kept, below = sides(f"threshold.at_least={cut!r}")
    assert kept.height > 0 and below.height > 0 and kept.height + below.height == len(scored)
    assert (kept["score_fineweb_edu"] >= cut).all() and (below["score_fineweb_edu"] < cut).all()


def test_the_cut_of_fineweb_edu_is_the_published_one() -> None:
    stages = {stage.label: stage for stage in load_recipe("fineweb_edu").stages}
    cut = stages["threshold"].at_least
    around = [np.float32(2.5), np.nextafter(np.float32(2.5), np.float32(3)), np.float32(3.5), np.float32(2.49)]
    assert [float(score) >= cut for score in around] == [round(min(max(float(score), 0), 5)) >= 3 for score in around]


def test_ccnet_with_a_small_model_of_english(crawl: Path, tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece", reason="the extra `pieces` is not installed")
    (tmp_path / "text.txt").write_text("\n".join(f"{GOOD} {i}" for i in range(50)))
    prefix = str(tmp_path / "en.sp")
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"), model_prefix=prefix, vocab_size=40, minloglevel=2
    )
    processor = sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")
    names = [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    vocabulary = {**{name: 1 / (5 + i) for i, name in enumerate(names)}, "</s>": 0.1, "<unk>": 0.01}
    write_arpa(tmp_path / "en.arpa.bin", vocabulary, {(names[0], names[1]): 0.2})
    settings = [
        f"perplexity.weights={tmp_path}/{{language}}.arpa.bin", f"perplexity.pieces={tmp_path}/{{language}}.sp.model",
        "perplexity.languages=[en]",
    ]  # fmt: skip
    run(with_settings(load_recipe("ccnet"), settings), crawl, tmp_path / "out")
    kept = pl.read_parquet(tmp_path / "out/documents/*.parquet")
    english = kept.filter(pl.col("language") == "eng_Latn")
    others = kept.filter(pl.col("language") != "eng_Latn")
    assert english.height > 3 and english["score_ccnet"].null_count() == 0
    assert others["score_ccnet"].null_count() == others.height > 0 and set(others["bucket_ccnet"]) == {"all"}
    order = english.sort("score_ccnet")["bucket_ccnet"].to_list()
    assert order == sorted(order) and set(order) == {"head", "middle", "tail"}
