"""`curation plan`: estimates against files of a real small run and the committed benchmark, growth, what does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchmarks.engine_steps import Steps
from curation import dedup, extractors, sinks, sources
from curation.cli import app
from curation.dedup.bands import band_records
from curation.errors import CurationError, RecipeError
from curation.inspect.estimate import Estimate, Scale, estimate, slice_overhead, table
from curation.inspect.estimate_report import report
from curation.pipeline import Pipeline
from curation.sampling import hash_documents
from curation.stage import GlobalStage

MIB = 1 << 20
WRITTEN = {"sketch": 4822, "match": 1146, "label": 30.1, "gather": 180.9, "cluster": 55.9}
"""MiB at 10**7 documents, 70 partitions, 100 shards: benchmarks/minhash_clustering.md."""

GROWTH = {"label": 238, "gather": 62, "cluster": 30}
"""MiB a unit adds to the memory, in that run. What a match takes is reserved for the worst case, and held against that."""

WORST = {"match": 191, "gather": 127}
"""MiB at 10**6 documents of which each is in a bucket of every band (there, gather has 14 stars a document, not 8.8)."""


def pipeline(*stages: GlobalStage, shard_mb: float = 128.0) -> Pipeline:
    return Pipeline("planned", sources.Warc(shard_mb=shard_mb), (extractors.Resiliparse(), *stages), sinks.Parquet())


def planned(stage: GlobalStage, documents: float, shards: int | None = None, **scale: float) -> Estimate:
    return estimate(pipeline(stage), Scale(documents, **scale), shards)


def near(found: float, expected: float, factor: float = 1.5) -> bool:
    return expected / factor <= found <= expected * factor


def test_the_benchmark_at_ten_million() -> None:
    stage = dedup.Minhash(partitions=70, memory_gb=0.5)
    found = planned(stage, 1e7, 100)
    for name, mib in WRITTEN.items():
        assert near(found.phase(f"minhash: {name}").written / MIB, mib), name
    for name, mib in GROWTH.items():
        assert near(found.phase(f"minhash: {name}").memory / MIB, mib), name


def test_memory_where_every_document_is_in_a_bucket() -> None:
    found = planned(dedup.Minhash(partitions=14), 1e6, 10, touched=1.0)
    for name, mib in WORST.items():
        assert near(found.phase(f"minhash: {name}").memory / MIB, mib), name


@pytest.mark.parametrize(("shards", "partitions"), [(2, 14), (40, 140)])
def test_bytes_of_real_sketches(tmp_path: Path, shards: int, partitions: int) -> None:
    n = 20_000
    stage = dedup.Minhash(partitions=partitions)
    docs = np.arange(n, dtype=np.uint64) * np.uint64(20_011)
    steps, written = Steps(tmp_path, stage, [0]), 0
    for number in range(shards):
        some = docs[n * number // shards : n * (number + 1) // shards]
        keys = hash_documents(some[:, None] + np.arange(14, dtype=np.uint64))
        carried = {"rank_0": hash_documents(some + np.uint64(99)), "origin": np.zeros(len(some), np.uint64)}
        records = band_records(some, keys, hash_documents(keys[:, :2]), carried, stage.ranges)
        written += steps.store(f"sketch-{number}", records).bytes
    assert near(planned(stage, n, shards).phase("minhash: sketch").written, written, 1.25)


def test_slices_without_rows_are_not_written() -> None:
    few, filled = table(10, 1000, 100, 8, 2)
    assert filled < 100 and few < 100 * (8 + slice_overhead(2)) + 10 * 1001 * 32 + 1
    assert table(10, 1000, 10**7, 8, 2)[1] == pytest.approx(10_000)


@settings(max_examples=40, deadline=None)
@given(n=st.floats(1, 1e11), more=st.floats(1.1, 1e3), touched=st.floats(0, 1), shards=st.integers(1, 10**6))
def test_more_documents_never_take_less(n: float, more: float, touched: float, shards: int) -> None:
    stages = (dedup.Lines(), dedup.UrlKey(), dedup.Exact(), dedup.Minhash(settle_memory_gb=1e9, extend=True, partitions=14))
    planned_ = pipeline(*stages)
    less = estimate(planned_, Scale(n, touched=touched), shards)
    later = estimate(planned_, Scale(n * more, touched=touched), shards)
    assert [p.name for p in less.phases] == [p.name for p in later.phases]
    for one, other in zip(less.phases, later.phases, strict=True):
        for field in ("units", "cpu", "read", "written", "slices", "memory"):
            assert getattr(other, field) >= getattr(one, field) * (1 - 1e-9), (one.name, field)
    fast = replace(less.scale, cores=64)
    assert all(p.wall(fast) <= p.wall(less.scale) for p in less.phases)


def test_labels_go_in_rounds_where_one_place_is_too_small() -> None:
    small, large = (planned(dedup.Minhash(settle_memory_gb=gb), 1e9) for gb in (8, 100))
    assert "minhash: label" in [p.name for p in large.phases] and "minhash: edges" in [p.name for p in small.phases]
    assert small.notes == ("minhash: components in rounds: one place would take 33.5 GiB, settle_memory_gb=8",)
    assert "in one place" in large.notes[0]


def test_what_it_advises_fits() -> None:
    found = planned(dedup.Minhash(memory_gb=4, partitions=14), 1e9, 20_000)
    (advice,) = [p for p in found.problems if "partitions=" in p]
    partitions = int(advice.split("partitions=")[1].split(",")[0])
    again = planned(dedup.Minhash(memory_gb=4, partitions=partitions), 1e9, 20_000)
    assert not [p for p in again.problems if "partitions=" in p]
    assert again.phase("minhash: match").memory <= 4 * 2**30


def test_more_partitions_than_there_can_be() -> None:
    found = planned(dedup.Minhash(), 1e13, 20_000)
    assert any("1048576 are possible: memory_gb=" in problem for problem in found.problems)


def test_many_shards_are_told_of() -> None:
    told = " ".join(planned(dedup.Minhash(partitions=1400), 1e10).problems)
    assert "larger shards" in told and "the driver keeps commit records" in told


@pytest.mark.parametrize(
    "wrong", [{"documents": 0}, {"documents": float("nan")}, {"cores": 0}, {"touched": 1.5}, {"text_bytes": 0}, {"mb_s": -1}]
)
def test_senseless_scales(wrong: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match="--"):
        Scale(**{"documents": 1.0, **wrong})


def test_archives_are_read_twice_where_a_stage_stands_before_the_extractor() -> None:
    stages = (dedup.UrlKey(), extractors.Resiliparse())
    found = estimate(Pipeline("early", sources.Warc(), stages, sinks.Parquet()), Scale(1e6))
    reading = [phase for phase in found.phases if phase.name.startswith("warc")]
    assert len(reading) == 2 and reading[0].read == reading[1].read > 1e10
    assert reading[0].written < reading[1].written / 10 and reading[0].cpu < reading[1].cpu


def test_a_stage_it_does_not_know_is_named() -> None:
    assert any("substring: not estimated" in p for p in planned(dedup.Substring(), 1e6).problems)


def test_the_verb(tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["plan", "common_crawl_english", "--documents", "1e8", "--cores", "100"])
    assert done.exit_code == 0 and "1e+08 documents" in done.output and "exact: match" in done.output
    (tmp_path / "crawl.warc.gz").write_bytes(bytes(1_000_000))
    known = runner.invoke(app, ["plan", "common_crawl_english", "--input", str(tmp_path)])
    assert known.exit_code == 0 and known.output.startswith("11.2 documents of 5000 bytes of text, 1 shards")
    neither = runner.invoke(app, ["plan", "common_crawl_english"])
    assert isinstance(neither.exception, CurationError) and "--documents or --input" in str(neither.exception)


def test_the_report_names_every_phase_and_assumption() -> None:
    found = planned(dedup.Minhash(), 1e6)
    text = report(found)
    assert all(phase.name[:30] in text for phase in found.phases)
    assert "minhash_clustering.md" in text and "everything fits" in text


def test_partitions_follow_from_the_documents() -> None:
    found = planned(dedup.Minhash(), 1e9, 10_000)
    match = found.phase("minhash: match")
    assert match.units == 14 * 90 and match.memory <= 2.5 * 2**30
    assert not [problem for problem in found.problems if problem.startswith("minhash: match takes")]
