"""Materialising a mixture: shares to half a document, whole epochs, any partitions and workers, all accounted for."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from dedup_steps import answer, settled
from hypothesis import given, settings
from hypothesis import strategies as st
from mixture_cases import SHARES, corpus_of, stream_of, write_corpus

from curation.document import content_id
from curation.errors import MixtureError, RecipeError, RunStopped
from curation.mixture.apply import Applied, apply_mixture, pipeline_for
from curation.mixture.artefact import load, mixture_of
from curation.mixture.corpus import Corpus
from curation.mixture.demand import apportion, demands
from curation.mixture.materialise import REPEATS, Materialise, draws_of
from curation.mixture.ordering import _Keys
from curation.recipe import from_yaml, to_yaml
from curation.runners.drive import run_pipeline
from curation.runners.local import LocalExecutor
from curation.storage import Folder

ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "zero", "unnamed", None]), st.integers(1, 50)), min_size=8, max_size=60
)


def frame(rows: list[tuple[str | None, int]]) -> pl.DataFrame:
    found = [(i, content_id(str(i)) if i % 5 else None, name, tokens) for i, (name, tokens) in enumerate(rows)]
    schema = {"doc": pl.UInt64, "content_id": pl.Binary, "domain": pl.String, "token_count": pl.Int32}
    return pl.DataFrame(found, schema=schema, orient="row")


def stage_of(folder: Path, weights: dict[str, float], **options) -> Materialise:
    mixture_of(weights).save(str(folder / "mixture.json"))
    return Materialise(mixture=str(folder / "mixture.json"), **options)


def plain_repeats(rows: pl.DataFrame, weights: dict[str, float], budget: int, seed: int) -> dict[int, int]:
    """How often each document is taken, by a loop over its domain in the order of draws."""
    found = {}
    draws = draws_of(rows["doc"], rows["content_id"], seed)
    asked = apportion(budget, {name: weight for name, weight in weights.items() if weight})
    table = rows.with_columns(pl.Series("draw", draws)).sort("draw", "doc")
    for name, wanted in asked.items():
        own = [
            (doc, tokens) for doc, domain, tokens in table.select("doc", "domain", "token_count").iter_rows() if domain == name
        ]
        copies, rest = divmod(wanted, sum(tokens for _, tokens in own))
        passed = 0
        for doc, tokens in own:
            found[doc] = copies + (rest > 0 and passed + tokens / 2 <= rest)
            passed += tokens
    return {doc: times for doc, times in found.items() if times}


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, budget=st.integers(1, 6000), partitions=st.integers(1, 9), cut=st.integers(0, 60), seed=st.integers(0, 3))
def test_takes_what_a_plain_loop_takes(tmp_path_factory, rows, budget: int, partitions: int, cut: int, seed: int) -> None:
    rows = [*rows, ("a", 7), ("b", 11), ("c", 13)]
    weights = {"a": 0.6, "b": 0.25, "c": 0.15, "zero": 0.0}
    table = frame(rows)
    folder = tmp_path_factory.mktemp("mixture")
    stage = stage_of(folder, weights, tokens=budget, max_epochs=10**6, partitions=partitions, seed=seed)
    shards = [part for part in (table[:cut], table[cut:]) if part.height]
    found = answer(stage, shards, seed=seed)
    expected = plain_repeats(table, weights, budget, seed)
    assert dict(found.filter(pl.col(REPEATS) > 0).select("doc", REPEATS).iter_rows()) == expected
    names = dict(enumerate(name for name, _ in rows))
    for doc, repeats, reason in found.select("doc", REPEATS, "drop_reason").iter_rows():
        said = "unknown_domain" if names[doc] in ("unnamed", None) else "zero_weight" if names[doc] == "zero" else "not_sampled"
        assert reason == (None if repeats else said)
    _, report, _ = settled(stage, *shards, seed=seed)
    for name, weight in weights.items():
        if weight:
            one = report["domains"][name]
            longest = max(tokens for domain, tokens in rows if domain == name)
            assert abs(one["drawn"] - one["asked"]) <= longest / 2
            own = [(doc, times) for doc, times in expected.items() if names[doc] == name]
            assert one["drawn"] == sum(rows[doc][1] * times for doc, times in own)
            assert (one["documents"], one["rows"]) == (len(own), sum(times for _, times in own))


def test_a_larger_budget_keeps_what_a_smaller_one_takes(tmp_path: Path) -> None:
    rows = frame([(name, 3 + i % 17) for i, name in enumerate("abcab" * 40)])
    weights = {"a": 0.5, "b": 0.3, "c": 0.2}
    before: dict[int, int] = {}
    for tokens in (10, 200, 700, 1500, 6000):
        stage = stage_of(tmp_path, weights, tokens=tokens, max_epochs=100)
        now = dict(answer(stage, [rows]).filter(pl.col(REPEATS) > 0).select("doc", REPEATS).iter_rows())
        assert all(now.get(doc, 0) >= times for doc, times in before.items())
        before = now


def test_equal_texts_have_equal_draws_and_seeds_differ() -> None:
    docs = pl.Series(range(4000), dtype=pl.UInt64)
    identities = pl.Series([content_id(str(i // 2)) for i in range(4000)], dtype=pl.Binary)
    draws = draws_of(docs, identities, 1)
    assert (draws[::2] == draws[1::2]).all() and len(set(draws)) == 2000
    assert not (draws == draws_of(docs, identities, 2)).any()
    shares = draws[::2] / 2.0**64
    assert abs(shares.mean() - 0.5) < 3 * (1 / 12 / 2000) ** 0.5
    assert len(set(draws_of(docs, pl.Series([None] * 4000, dtype=pl.Binary), 1))) == 4000


@given(st.dictionaries(st.text(max_size=3), st.floats(1e-6, 1), min_size=1, max_size=20), st.integers(1, 10**12))
@settings(max_examples=100, deadline=None)
def test_apportioned_tokens_sum_to_the_budget(weights: dict[str, float], total: int) -> None:
    found = apportion(total, weights)
    whole = sum(Fraction(w) for w in weights.values())
    assert sum(found.values()) == total
    assert all(abs(found[name] - total * Fraction(weight) / whole) < 1 for name, weight in weights.items())


def test_a_domain_that_is_short() -> None:
    weights, tokens = {"a": 0.5, "b": 0.5}, {"a": 1000, "b": 100}
    with pytest.raises(RunStopped, match=r"b: 1000 of 100 tokens, 10.00 epochs") as stopped:
        demands(weights, tokens, 2000, 4.0, "stop")
    assert "tokens=800 or less" in str(stopped.value)
    clipped = demands(weights, tokens, 2000, 4.0, "clip")
    assert [(d.asked, d.copies, d.rest) for d in clipped.values()] == [(1000, 1, 0), (1000, 4, 0)]
    shrunk = demands(weights, tokens, 2000, 4.0, "shrink")
    assert [(d.copies, d.rest) for d in shrunk.values()] == [(0, 400), (4, 0)]
    assert demands(weights, tokens, None, 4.0, "stop") == shrunk, "without a budget: what the epochs allow"
    assert demands(weights, tokens, 800, 4.0, "stop") == shrunk


@pytest.mark.parametrize(
    "options", [{"tokens": -1}, {"max_epochs": 0}, {"when_short": "guess"}, {"seed": -1}, {"partitions": 0}, {"tokens": 1.5}]
)
def test_options_that_do_not_fit(options: dict) -> None:
    with pytest.raises(RecipeError, match="mixture/materialise"):
        Materialise(**options)


# -- in the engine


def materialise(
    corpus: Path, out: Path, weights: dict[str, float], workers: int = 1, order="document", quality="", **options
) -> Applied:
    stage = stage_of(out.parent, weights, **options)
    made = corpus_of(corpus)
    pipeline = pipeline_for(made, stage, "bytes", target_mb=0.01, shard_mb=0.005)

    def drive(pipeline):
        return run_pipeline(pipeline, [str(corpus)], str(out), lambda p, f, o: LocalExecutor(p, f, o, workers=workers))

    return apply_mixture(pipeline, Folder(str(out)), drive, order, quality, seed=5)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def rows_of(out: Path, folder: str = "documents") -> pl.DataFrame:
    return pl.concat(pl.read_parquet(path) for path in sorted((out / folder).glob("shard-*.parquet")))


def test_shards_hold_the_shares_and_the_file_says_so(corpus: Path, tmp_path: Path) -> None:
    found = materialise(corpus, tmp_path / "out", SHARES, tokens=40_000)
    rows = rows_of(tmp_path / "out")
    drawn = Counter()
    for name, tokens in rows.select("domain", "token_count").iter_rows():
        drawn[name] += tokens
    total = sum(drawn.values())
    assert all(abs(drawn[name] / total - share) < 0.01 for name, share in SHARES.items())
    assert found.report["tokens"] == total
    times = rows.group_by("id", "domain", REPEATS).len()
    assert (times["len"] == times[REPEATS]).all(), "written as often as its column says"
    assert times.filter(pl.col("domain") == "q-a")["len"].min() == 8000 // len(stream_of("q-a")) >= 1
    census = json.loads((tmp_path / "out/census.json").read_text())
    assert census["output"]["documents"] + census["output"]["dropped"] == 480
    assert census["stages"][-1]["dropped"]["zero_weight"]["documents"] == 120
    written = load(str(tmp_path / "out/mixture.json"))
    for domain in written.domains:
        assert sum(shard.tokens for shard in domain.shards) == drawn[domain.name]
        for shard in domain.shards:
            assert hashlib.sha256((tmp_path / "out" / shard.file).read_bytes()).hexdigest() == shard.sha256
    assert len({shard.file for domain in written.domains for shard in domain.shards}) > 2


def files(out: Path, *folders: str) -> dict[str, bytes]:
    return {f"{folder}/{p.name}": p.read_bytes() for folder in folders for p in sorted((out / folder).glob("*.parquet"))}


def test_the_pipeline_survives_yaml(corpus: Path, tmp_path: Path) -> None:
    pipeline = pipeline_for(corpus_of(corpus), stage_of(tmp_path, SHARES), "bytes")
    again = from_yaml(to_yaml(pipeline))
    assert again.fingerprint() == pipeline.fingerprint() and to_yaml(again) == to_yaml(pipeline)


def test_one_worker_and_two_leave_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        materialise(corpus, tmp_path / f"out{workers}", SHARES, workers, "shuffled", tokens=30_000)
    one, two = (files(tmp_path / f"out{w}", "documents", "dropped", "ordered") for w in (1, 2))
    assert one == two and len(one) > 6


def test_a_changed_weight_sketches_nothing_again(corpus: Path, tmp_path: Path) -> None:
    materialise(corpus, tmp_path / "out", SHARES, tokens=20_000)
    again = materialise(corpus, tmp_path / "out", {"books": 0.2, "code": 0.8}, tokens=20_000)
    ran = {wave.title: wave.ran for wave in again.run.waves}
    assert ran["materialise: sketch"] == 0 and ran["materialise: settle"] > 0
    assert set(rows_of(tmp_path / "out")["domain"]) == {"books", "code"}


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_orders(corpus: Path, tmp_path: Path, order: str, monkeypatch) -> None:
    monkeypatch.setattr("curation.mixture.ordering.SAMPLED_KEYS", 50)
    monkeypatch.setattr("curation.mixture.ordering.OPEN_BUCKETS", 2)
    quality = "" if order == "shuffled" else "score_quality"
    found = materialise(corpus, tmp_path / "out", SHARES, order=order, quality=quality, tokens=40_000)
    plain, ordered = rows_of(tmp_path / "out"), rows_of(tmp_path / "out", "ordered")
    assert ordered.sort("doc").equals(plain.sort("doc")), "the same rows, copies included"
    assert found.report["shards"] == "ordered"
    assert found.report["loader"] == ("must not shuffle" if quality else "may shuffle")
    tenths, drawn = found.report["tenths"], found.report["domains"]
    assert {name: sum(tenth.get(name, 0) for tenth in tenths) for name in drawn} == {n: d["drawn"] for n, d in drawn.items()}
    first = ordered[: -(-ordered.height // 10)].group_by("domain").agg(pl.sum("token_count"))
    assert tenths[0] == dict(first.iter_rows())
    shards = sorted((tmp_path / "out/ordered").glob("shard-*.parquet"))
    assert len(shards) > 3
    place = np.arange(ordered.height)
    if quality:
        values = ordered[quality].to_numpy()
        steps = np.diff(values)
        assert (steps >= 0).all() if order == "ascending" else (steps <= 0).all()
        manifest = pl.read_parquet(tmp_path / "out/ordered-manifest.parquet")
        assert manifest["least_quality"].to_list() == [pl.read_parquet(p)[quality].min() for p in shards]
    else:
        correlation = np.corrcoef(place, ordered["doc"].rank("dense").to_numpy())[0, 1]
        assert abs(correlation) < 3 / ordered.height**0.5
        copies = ordered.with_columns(place=place).filter(pl.col(REPEATS) > 1).group_by("doc").agg(pl.col("place"))
        gaps = np.array([np.diff(sorted(p)).min() for p in copies["place"].to_list()])
        assert gaps.mean() > ordered.height / 12, "copies are spread over the whole"
    written = load(str(tmp_path / "out/mixture.json"))
    assert {shard.file.split("/")[0] for domain in written.domains for shard in domain.shards} == {"ordered"}


def test_what_does_not_fit_is_told(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(RunStopped, match="when_short=clip"):
        materialise(corpus, tmp_path / "a", SHARES, tokens=10**6)
    with pytest.raises(MixtureError, match="unknown domain 'poems'"):
        materialise(corpus, tmp_path / "b", {"books": 0.5, "poems": 0.5}, tokens=100)
    with pytest.raises(MixtureError, match="for ascending and descending"):
        materialise(corpus, tmp_path / "c", SHARES, tokens=1000, order="ascending")
    with pytest.raises(MixtureError, match="a column of numbers"):
        materialise(corpus, tmp_path / "d", SHARES, tokens=1000, order="ascending", quality="language")
    with pytest.raises(MixtureError, match="give a tokenizer"):
        pipeline_for(corpus_of(corpus), stage_of(tmp_path, SHARES))


def test_a_runs_folder_stands_for_its_shards(corpus: Path, tmp_path: Path) -> None:
    materialise(corpus, tmp_path / "out", SHARES, tokens=20_000)
    plain = Corpus([str(tmp_path / "out")])
    assert plain.locations == [f"{tmp_path}/out/documents"]
    documents = rows_of(tmp_path / "out")
    assert pl.concat(plain.frames())["id"].to_list() == documents["id"].to_list()
    materialise(corpus, tmp_path / "out", SHARES, order="shuffled", tokens=20_000)
    shuffled = Corpus([f"{tmp_path}/out/"])
    assert shuffled.locations == [f"{tmp_path}/out/ordered"]
    found = pl.concat(shuffled.frames())["id"].to_list()
    assert found != documents["id"].to_list() and sorted(found) == sorted(documents["id"])


def test_unknown_quality_is_the_least(tmp_path: Path) -> None:
    values = [None, float("nan"), float("-inf"), -1.5, 0.0, 2.0, float("inf")]
    rows = pl.DataFrame({"doc": range(7), "stat_text_bytes": [1] * 7, "q": values}, schema_overrides={"doc": pl.UInt64})
    up = _Keys("ascending", "q", 0).of(rows)["major"].to_list()
    down = _Keys("descending", "q", 0).of(rows)["major"].to_list()
    assert up[0] == up[1] == 0 and up[1:] == sorted(up[1:]) and len(set(up)) == 6
    assert down[0] == down[1] == max(down) and down[2:] == sorted(down[2:], reverse=True) and len(set(down)) == 6
