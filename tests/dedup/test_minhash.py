"""dedup/minhash: the reference's clusters, gold sets, drift, and one answer whatever the shards, workers and order."""

from __future__ import annotations

import gzip
import json
import random
import re
import struct
from collections import defaultdict
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from dedup_steps import settled, verdict_of
from engine_stages import Lines
from test_crash import committed, finish
from test_engine import run, snapshot

from curation import unit_global
from curation.dedup.exact import Exact
from curation.dedup.minhash import Minhash
from curation.errors import DamagedPart, RecipeError, RunStopped, StorageError
from curation.pipeline import Pipeline
from curation.sinks.parquet import Parquet
from curation.stage import Stage


def frame(texts: list[str | None], docs: list[int] | None = None) -> pl.DataFrame:
    schema = {"doc": pl.UInt64, "text": pl.String}
    rows = pl.DataFrame({"doc": docs or list(range(len(texts))), "text": texts}, schema=schema)
    return rows.with_columns(pl.lit("here").alias("source"))


def groups(verdict: pl.DataFrame) -> set[frozenset[int]]:
    return {frozenset(docs) for docs in verdict.group_by("kept").agg("doc")["doc"].to_list()}


def shingles(text: str, n: int = 5) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}


def jaccard(a: str, b: str) -> float:
    left, right = shingles(a), shingles(b)
    return len(left & right) / len(left | right)


def words_of(seed: int, n: int) -> list[str]:
    generator = random.Random(seed)
    return ["".join(generator.choices("abcdefghijklmnop", k=6)) for _ in range(n)]


def windows(seed: int, count: int, step: int, size: int = 200) -> list[str]:
    """Texts that drift: each shares all but `step` of its words with the next."""
    words = words_of(seed, count * step + size)
    return [" ".join(words[i * step : i * step + size]) for i in range(count)]


# -- real documents


def articles(data: Path) -> tuple[list[str], list[str], set[frozenset[str]]]:
    """Names, texts and the pairs planted among them."""
    lines = gzip.decompress((data / "neardup-articles/articles_1000.train.gz").read_bytes()).decode().splitlines()
    names, texts = zip(*(line.split(" ", 1) for line in lines if line), strict=True)
    truth = gzip.decompress((data / "neardup-articles/articles_1000.truth.gz").read_bytes()).decode().split("\n")
    return list(names), list(texts), {frozenset(line.split()) for line in truth if line.strip()}


def judged_pairs(data: Path) -> list[dict]:
    raw = gzip.decompress((data / "neardup-copycat-human/pairs.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in raw.splitlines()]


def editions(data: Path) -> list[list[str]]:
    """The paragraphs of 20 words or more of each edition of one book."""
    found = []
    for path in sorted((data / "neardup-editions").rglob("*.txt.gz")):
        text = gzip.decompress(path.read_bytes()).decode("utf-8", "replace").replace("\r", "")
        paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
        found.append([p for p in paragraphs if len(p.split()) >= 20])
    return found


def datatrove_clusters(texts: list[str], folder: Path) -> tuple[set[frozenset[int]], int]:
    """Clusters of two or more by the reference's four stages over two tasks, and how many documents its filter keeps."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    config = MinhashConfig()
    signatures, buckets, removed = (str(folder / name) for name in ("signatures", "buckets", "removed"))
    half = len(texts) // 2
    tasks = [[Document(text, str(i)) for i, text in enumerate(part)] for part in (texts[:half], texts[half:])]
    signer = MinhashDedupSignature(signatures, config)
    for rank, task in enumerate(tasks):
        signer.run(iter(task), rank, 2)
    for bucket in range(config.num_buckets):
        MinhashDedupBuckets(signatures, buckets, config=config).run(None, bucket, config.num_buckets)
    MinhashDedupCluster(buckets, removed, config=config, save_cluster_id=True).run(None, 0, 1)
    kept = sum(len(list(MinhashDedupFilter(removed).run(iter(task), rank, 2))) for rank, task in enumerate(tasks))
    clusters: dict[int, set[int]] = defaultdict(set)
    for rank in range(2):
        raw = (folder / f"removed/{rank:06d}.clusters").read_bytes()
        for row, cluster in struct.iter_unpack("<2I", raw):
            clusters[cluster].add(row + rank * half)
    return {frozenset(docs) for docs in clusters.values()}, kept


def test_the_same_clusters_as_datatrove(data_folder: Path, tmp_path: Path) -> None:
    texts = [text for edition in editions(data_folder) for text in edition[:720]]
    texts += [side for pair in judged_pairs(data_folder) for side in (pair["text_a"], pair["text_b"])]
    texts += articles(data_folder)[1]
    texts += ["too short", "too short", "", ""]
    assert len(texts) >= 5000
    expected, kept = datatrove_clusters(texts, tmp_path)
    stage = Minhash(mode="datatrove", min_jaccard=None, short_documents="keep", partitions=42, max_cluster_share=None)
    found = verdict_of(stage, frame(texts)[:1700], frame(texts)[1700:])
    assert len(expected) > 500
    assert groups(found) == expected
    assert len(texts) - int((found["doc"] != found["kept"]).sum()) == kept


def test_all_planted_pairs_and_no_other(data_folder: Path) -> None:
    names, texts, truth = articles(data_folder)
    for mode in ("native", "datatrove"):
        found = {frozenset(names[doc] for doc in group) for group in groups(verdict_of(Minhash(mode=mode), frame(texts)))}
        assert found == truth and len(truth) == 10


def test_recall_follows_the_grades_of_people(data_folder: Path) -> None:
    """Grade 3 is near identical, 0.5 the same template around other content."""
    pairs = judged_pairs(data_folder)
    texts = [side for pair in pairs for side in (pair["text_a"], pair["text_b"])]
    verdict = verdict_of(Minhash(), frame(texts))
    kept = dict(verdict.select("doc", "kept").rows())
    joined: dict[str, list[bool]] = defaultdict(list)
    for i, pair in enumerate(pairs):
        joined[str(pair["label"])].append(kept.get(2 * i, -1) == kept.get(2 * i + 1, -2))
    share = {grade: sum(hits) / len(hits) for grade, hits in joined.items()}
    assert share["3"] >= 0.95 and share["2"] >= 0.7 and share["1"] >= 0.5
    assert share["0.5"] <= 0.25
    for doc, other in verdict.select("doc", "kept").rows():
        assert jaccard(texts[doc], texts[other]) >= 0.3


def test_editions_of_a_book_fall_together(data_folder: Path) -> None:
    books = editions(data_folder)
    texts = [text for book in books for text in book]
    verdict = verdict_of(Minhash(), frame(texts))
    left = len(texts) - int((verdict["doc"] != verdict["kept"]).sum())
    similar = [jaccard(texts[doc], texts[kept]) for doc, kept in verdict.select("doc", "kept").rows() if doc != kept]
    assert np.mean(np.array(similar) >= 0.5) > 0.995 and min(similar) > 0.3
    assert len(books) == 5 and max(map(len, books)) <= left <= 1.1 * max(map(len, books))


# -- drift


def test_a_chain_of_neighbours_does_not_fall_for_one() -> None:
    """Windows over one stream of words: neighbours are 0.85 alike, those 12 steps apart share nothing."""
    texts = windows(1, count=60, step=16)
    assert jaccard(texts[0], texts[1]) > 0.84 and jaccard(texts[0], texts[13]) == 0
    plain = verdict_of(Minhash(min_jaccard=None, keep=()), frame(texts))
    assert len(groups(plain)) < 8, "the drift is real: plain components join most of the chain"
    strict = verdict_of(Minhash(keep=()), frame(texts))
    for doc, kept in strict.select("doc", "kept").rows():
        assert jaccard(texts[doc], texts[kept]) >= 0.35
    assert len(groups(strict)) >= 10
    for group in groups(strict):
        assert max(group) - min(group) <= 8


def test_planted_clusters_survive_the_second_look() -> None:
    """40 copies of each of 30 texts, one word in 250 changed: verified and plain clusters lose the same documents."""
    generator = random.Random(5)
    texts = []
    for seed in range(30):
        original = words_of(seed, 300)
        texts += [" ".join("change" if generator.random() < 0.004 else w for w in original) for _ in range(40)]
    plain = groups(verdict_of(Minhash(min_jaccard=None), frame(texts)))
    strict = groups(verdict_of(Minhash(), frame(texts)))
    assert strict == plain == {frozenset(range(40 * i, 40 * i + 40)) for i in range(30)}


# -- one answer


@pytest.mark.parametrize("seed", range(4))
def test_shards_partitions_and_order_change_nothing(seed: int) -> None:
    generator = random.Random(seed)
    texts: list[str | None] = [t for s in range(20) for t in windows(s, count=8, step=generator.choice([2, 10, 30]), size=120)]
    texts += ["two words", "two words", None, "", "...", "Two words"]
    table = frame(texts, sorted(generator.sample(range(1 << 40), len(texts))))
    expected = verdict_of(Minhash(), table)
    assert len(groups(expected)) >= 10
    cut = generator.randrange(len(texts))
    shards = [part for part in (table[:cut], table[cut:]) if part.height]
    for partitions in (14, 28, 14 * 50):
        for settle_memory_gb in (8.0, 1e-9):  # in one place; in rounds
            stage = Minhash(partitions=partitions, settle_memory_gb=settle_memory_gb)
            found, _, steps = settled(stage, *shards, seed=seed)
            assert found.equals(expected)
            assert ("label" in steps) == (settle_memory_gb == 8.0) and ("small1" in steps) == (settle_memory_gb < 1)


def test_nothing_to_do() -> None:
    stage = Minhash()
    empty = frame([])
    verdict = verdict_of(stage, empty)
    assert verdict.is_empty() and stage.apply(empty.select("doc"), verdict).is_empty()
    alone = frame(["one text of a few plain words here"])
    answer = stage.apply(alone.select("doc"), verdict_of(stage, alone))
    assert answer.rows() == [(0, 0, 1, None, None)]


def lines_of(texts: list[str], folder: Path, reverse: bool = False) -> Path:
    """Three files of lines; reversed, the files and the lines in them come the other way round."""
    inputs = folder / "in"
    inputs.mkdir(parents=True)
    for number in range(3):
        part = texts[number::3]
        name = f"file{2 - number if reverse else number}.txt"
        (inputs / name).write_text("\n".join(part[::-1] if reverse else part) + "\n")
    return inputs


def drifting_lines() -> list[str]:
    """Near-duplicates of all distances, every line of another length."""
    texts = [t for s in range(12) for t in windows(s, count=6, step=12, size=100)]
    return [text + " " + "x" * (i + 1) for i, text in enumerate(texts)]


def recipe(*stages: Stage) -> Pipeline:
    return Pipeline("engine", Lines(3000), stages, Parquet(target_mb=0.005, row_group_rows=16))


def kept_texts(out: Path) -> list[str]:
    return sorted(pl.read_parquet(out / "documents/*.parquet")["text"].to_list())


def test_workers_and_order_of_inputs_keep_the_same_documents(tmp_path: Path) -> None:
    texts = drifting_lines()
    inputs = lines_of(texts, tmp_path)
    run(recipe(Minhash(share_of=())), inputs, tmp_path / "one")
    run(recipe(Minhash(share_of=())), inputs, tmp_path / "two", workers=2)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")
    run(recipe(Minhash(share_of=())), lines_of(texts, tmp_path / "reversed", reverse=True), tmp_path / "three")
    kept = kept_texts(tmp_path / "one")
    assert kept_texts(tmp_path / "three") == kept
    assert 12 <= len(kept) < len(texts)
    gone = pl.read_parquet(tmp_path / "one/dropped/*.parquet")
    assert gone.height == len(texts) - len(kept) and gone["drop_reason"].unique().to_list() == ["near_duplicate"]


PROGRAM = """
from engine_stages import Lines
from curation.dedup.minhash import Minhash
from curation.pipeline import Pipeline
from curation.sinks.parquet import Parquet

STAGE = Minhash(share_of=(), settle_memory_gb=MEMORY)
PIPELINE = Pipeline("engine", Lines(3000), (STAGE,), Parquet(target_mb=0.005, row_group_rows=16))
"""


@pytest.mark.parametrize("memory", [8.0, 1e-9])
def test_killed_in_every_step(memory: float, tmp_path: Path) -> None:
    """The same command again gives the same bytes and repeats no finished unit, wherever it was killed."""
    (tmp_path / "recipe.py").write_text(PROGRAM.replace("MEMORY", str(memory)))
    inputs = lines_of(drifting_lines(), tmp_path)
    name = str(tmp_path / "recipe.py")
    assert finish(inputs, tmp_path / "whole", workers=1, recipe=name) == 0
    wanted = snapshot(tmp_path / "whole")
    whole = tmp_path / "whole/work/commits"
    units = sorted(whole.glob("s01-*"), key=lambda path: path.stat().st_mtime_ns)
    steps = list(dict.fromkeys(unit.name.split("-")[1] for unit in units))
    assert steps[:2] == ["sketch", "match"] and steps[-2:] == ["gather", "cluster"]
    assert len(steps) == 5 if memory > 1 else "small2" in steps
    before = len(list(whole.glob("s00-*")))
    for step in dict.fromkeys(("sketch", "match", steps[2], steps[-3], "gather", "cluster")):
        nth = before + next(i for i, unit in enumerate(units) if unit.name.split("-")[1] == step) + 1
        out = tmp_path / f"out-{step}"
        assert finish(inputs, out, workers=1, fault=f"part-written:{nth}", recipe=name) != 0
        done = committed(out)
        assert len(done) == nth - 1 and not any(f"-{step}-" in unit for unit in done)
        assert finish(inputs, out, workers=1, recipe=name) == 0
        assert snapshot(out) == wanted
        after = committed(out)
        assert {unit: after[unit] for unit in done} == done


@pytest.mark.parametrize("step", ["sketch", "match", "label", "gather", "cluster"])
def test_damaged_band_files_are_written_again(step: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes anywhere in a file of slices: what reads them sees that they are not what was written, and has them made anew."""
    inputs = lines_of(drifting_lines(), tmp_path)
    out = tmp_path / "out"
    run(recipe(Minhash(share_of=())), inputs, out)
    wanted = snapshot(out)
    after = {"sketch": "match", "match": "gather", "label": "gather", "gather": "cluster", "cluster": "rows"}[step]
    commits = out / "work/commits"
    largest = max((out / "work/parts").glob(f"s01-{step}-*"), key=lambda path: path.stat().st_size)
    content = largest.read_bytes()
    made = largest.name.rsplit(".", 2)[0]
    for place in (len(content) // 2, 40, len(content) - 50):
        damaged = bytearray(content)
        damaged[place] ^= 1
        file = next((out / "work/parts").glob(f"{made}.*"))
        file.write_bytes(bytes(damaged))
        for record in (*commits.glob(f"*-{after}-*"), *commits.glob("sink-*")):
            record.unlink()
        caplog.clear()
        run(recipe(Minhash(share_of=())), inputs, out)
        assert snapshot(out) == wanted
        assert any("its unit is done again" in message and made in message for message in caplog.messages)


def test_a_disk_that_damages_everything_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = lines_of(drifting_lines()[:6], tmp_path)

    def damaged(*_: object, number: int) -> int:
        raise DamagedPart("s01-sketch-00000.0.0.parquet", "slice 0")

    monkeypatch.setattr(unit_global, "slice_rows", damaged)
    with pytest.raises(StorageError, match="look at that disk"):
        run(recipe(Minhash(share_of=())), inputs, tmp_path / "out")


def test_another_cut_keeps_the_sketches(tmp_path: Path) -> None:
    inputs = lines_of(drifting_lines(), tmp_path)
    run(recipe(Minhash(share_of=())), inputs, tmp_path / "out")
    again = run(recipe(Minhash(share_of=(), min_jaccard=0.8)), inputs, tmp_path / "out")
    ran = {wave.title.rpartition(": ")[2]: wave.ran for wave in again.waves}
    assert ran["sketch"] == 0 and ran["match"] == 14 and ran["cluster"] == 14
    third = run(recipe(Minhash(share_of=(), min_jaccard=0.8, max_cluster_share=0.9)), inputs, tmp_path / "out")
    ran = {wave.title.rpartition(": ")[2]: wave.ran for wave in third.waves}
    assert ran["sketch"] == ran["match"] == 0


def test_partitions_follow_from_the_documents_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What the plan counts decides, and is said before the work; more documents than that change no answer."""
    inputs = lines_of(drifting_lines(), tmp_path)
    run(recipe(Minhash(share_of=())), inputs, tmp_path / "plain")
    with caplog.at_level("INFO", "curation"):
        made = run(recipe(Minhash(share_of=(), memory_gb=1.3e-5)), inputs, tmp_path / "small")
    assert "minhash: 72 documents in 28 partitions, at most 1.3e-05 GiB a unit" in caplog.messages
    assert next(wave.units for wave in made.waves if wave.title == "minhash: match") == 28
    assert kept_texts(tmp_path / "small") == kept_texts(tmp_path / "plain")


def test_after_exact_duplicates_their_clusters_are_joined(tmp_path: Path) -> None:
    """Sizes count every document, the ones that fell for their exact twin included."""
    texts = [" ".join(words_of(1, 80)), " ".join(words_of(2, 80)), " ".join([*words_of(1, 80), "more"])]
    inputs = tmp_path / "in"
    inputs.mkdir()
    (inputs / "a.txt").write_text("\n".join([texts[0]] * 3 + [texts[1]] * 2 + [texts[2]] * 2) + "\n")
    run(recipe(Exact(), Minhash(share_of=(), extend=True)), inputs, tmp_path / "out")
    kept = pl.read_parquet(tmp_path / "out/documents/*.parquet").sort("cluster_size")
    assert kept["text"].to_list() == [texts[1], texts[2]] and kept["cluster_size"].to_list() == [2, 5]
    assert kept["cluster_id"].to_list() == kept["doc"].to_list()
    gone = pl.read_parquet(tmp_path / "out/dropped/*.parquet")
    assert gone["drop_reason"].to_list() == ["near_duplicate", "duplicate", "duplicate", "duplicate", "duplicate"]
    assert gone["cluster_id"][0] == kept["doc"][1], "the survivor of the exact twins fell for the longer text"


def test_nothing_dropped_but_told(tmp_path: Path) -> None:
    inputs = lines_of(drifting_lines(), tmp_path)
    made = run(recipe(Minhash(share_of=(), drop=False)), inputs, tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out/documents/*.parquet")
    assert rows.height == 72 and rows["cluster_id"].n_unique() < 40
    alone = rows.filter(pl.col("cluster_size") == 1)
    assert alone["stat_cluster_similarity"].null_count() == alone.height
    assert rows.filter(pl.col("cluster_size") > 1)["stat_cluster_similarity"].min() >= 0.55
    report = made.census["reports"]["minhash"]
    assert report["documents"] == 72 and report["clustered"] == rows.height - alone.height
    assert report["largest_clusters"][0]["documents"] == rows["cluster_size"].max()
    assert report["hottest_buckets"][0]["documents"] >= report["hottest_buckets"][-1]["documents"] >= 2


# -- bounds and settings


def test_a_cluster_of_most_of_a_source_stops_the_run() -> None:
    template = " ".join(words_of(1, 200))
    texts = [f"{template} {i}" for i in range(60)] + [" ".join(words_of(i + 2, 50)) for i in range(140)]
    whole = frame(texts)
    with pytest.raises(RunStopped, match=r"holds 60 documents(.|\n)*200 documents of one source(.|\n)*30.0%(.|\n)*max_cluster"):
        verdict_of(Minhash(share_from=50, max_cluster_share=0.25), whole)
    parted = whole.with_columns(source=pl.Series(["a"] * 59 + ["b"] * 141))
    with pytest.raises(RunStopped, match=r"of the 59 documents of one source(.|\n)*100.0% \(59\)"):
        verdict_of(Minhash(share_from=50, max_cluster_share=0.9), parted)
    for allowed in (
        {"share_from": 61, "max_cluster_share": 0.2}, {"max_cluster_share": None, "share_from": 1}, {},
        {"share_from": 50, "max_cluster_share": 0.35, "share_of": ()},
    ):  # fmt: skip
        assert len(verdict_of(Minhash(**allowed), whole)) == 60


def test_a_partition_beyond_its_memory_stops_before_it_is_matched() -> None:
    stage = Minhash(memory_gb=1e-5, partitions=14)
    with pytest.raises(RunStopped, match=r"partition 0 of match holds 100 documents(.|\n)*partitions=\d+"):
        verdict_of(stage, frame([" ".join(words_of(i, 30)) for i in range(100)]))


def test_partitions_follow_from_the_documents_expected() -> None:
    assert Minhash().partition_count == 14
    assert replace(Minhash(), documents=10**9).partition_count == Minhash(documents=10**9).partition_count > 14
    assert Minhash(documents=10**9).ranges == Minhash().ranges_for(10**9) > 50
    assert Minhash(bands=20, rows=20).partition_count == 20


@pytest.mark.parametrize("size", [1, 1_000_000])
def test_texts_of_one_thing_are_signed_and_join_nothing_else(size: int) -> None:
    texts = [unit * size for unit in ("a", "\n", "b ", "é", "中", "...")] + ["a perfectly usual text of a few words"]
    for mode in ("native", "datatrove"):
        assert verdict_of(Minhash(mode=mode), frame(texts)).is_empty()


@pytest.mark.parametrize(
    "fields",
    [{"scope": "source"}, {"scope": ("text",)}, {"scope": ("a", "a")}, {"partitions": 13}, {"min_jaccard": 1.5},
     {"keep": "longest"}, {"short_documents": "drop"}, {"max_cluster_share": 0}, {"documents": 0}, {"memory_gb": 0},
     {"settle_memory_gb": 0}, {"share_from": 0}, {"bands": 0}, {"mode": "fast"}],
)  # fmt: skip
def test_senseless_configuration(fields: dict) -> None:
    with pytest.raises(RecipeError, match="dedup/minhash"):
        Minhash(**fields)


def test_scopes_keep_apart() -> None:
    text = " ".join(words_of(1, 40))
    table = frame([text] * 6).with_columns(source=pl.Series(["a", "a", "b", None, None, "b"]), language=pl.lit("eng_Latn"))
    found = verdict_of(Minhash(scope=("source", "language")), table)
    assert groups(found) == {frozenset(pair) for pair in ((0, 1), (2, 5), (3, 4))}
    assert all(len(pair) == 2 for pair in combinations(groups(found), 2))
