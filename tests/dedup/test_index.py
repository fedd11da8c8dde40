"""Indexes of near-duplicates: a crawl held against one is what a batch over both makes of it; merged, damaged, wrong ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from dedup_steps import answer
from hypothesis import given, settings
from hypothesis import strategies as st
from index_cases import A_FIRST, clusters_of_texts, curated, fallen, recipe
from test_crash import committed, finish
from test_engine import run, snapshot
from test_minhash import articles, frame, judged_pairs, windows, words_of

from curation.dedup.bands import INDEXED, key_range
from curation.dedup.index import RECORD, Index, IndexWriter, Manifest, Snapshot, kind_of, open_index, slices_for
from curation.dedup.minhash import Minhash
from curation.dedup.signatures import Family
from curation.errors import CurationError, RecipeError, RunStopped, StorageError
from curation.inspect.index import index_text, member, member_text, verify
from curation.inspect.index_build import build
from curation.inspect.index_merge import merge
from curation.inspect.why import why

ROUNDS = 1e-9
"""GiB for labels that are too few for any: they are made in rounds."""


def indexed(folder: Path, name: str, texts: list[str], **fields) -> Path:
    """The index of a run over texts as the source `name`."""
    out = curated(folder / f"run-{name}", {name: texts}, **fields)
    build(str(out), str(folder / f"index-{name}"))
    return folder / f"index-{name}"


def ids(out: Path, source: str) -> set[str]:
    return set(fallen(out, source))


# -- as a batch


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32), clusters=st.integers(1, 40), most=st.integers(1, 7), share=st.floats(0.1, 0.9))
def test_a_crawl_against_an_index_is_a_batch_over_both(
    seed: int, clusters: int, most: int, share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("batch")
    texts = clusters_of_texts(seed, clusters, most)
    cut = max(1, int(len(texts) * share))
    older, newer = texts[:cut], texts[cut:] or texts[:1]
    index = indexed(folder, "a", older)
    out = curated(folder / "new", {"b": newer}, index=str(index))
    batch = curated(folder / "batch", {"a": older, "b": newer})
    assert ids(out, "b") == ids(batch, "b")
    assert ids(folder / "run-a/out", "a") == ids(batch, "a"), "no text of the new crawl brings two old clusters together"
    sizes = pl.concat([pl.read_parquet(batch / f"{kind}/*.parquet") for kind in ("documents", "dropped")], how="diagonal")
    wanted = dict(sizes.filter(pl.col("source") == "b").select("id", "cluster_size").rows())
    found = pl.concat([pl.read_parquet(out / f"{kind}/*.parquet") for kind in ("documents", "dropped")], how="diagonal")
    assert dict(found.select("id", "cluster_size").rows()) == wanted


def test_drift_through_old_and_new_texts(tmp_path: Path) -> None:
    """Windows over streams of words, every second one in the index. Decision 014 says why a few may differ from a batch."""
    streams = [windows(seed, count=24, step=12, size=160) for seed in range(8)]
    older = [text for stream in streams for text in stream[::2]]
    newer = [text for stream in streams for text in stream[1::2]]
    out = curated(tmp_path / "new", {"b": newer}, index=str(indexed(tmp_path, "a", older)))
    batch = curated(tmp_path / "batch", {"a": older, "b": newer})
    gone = pl.read_parquet(out / "dropped/*.parquet")
    similarity = gone["drop_detail"].str.extract(r"similarity ([\d.]+)").cast(pl.Float64)
    assert similarity.min() >= 0.55 and set(gone["drop_reason"]) == {"near_duplicate_of_index"}
    assert len(ids(out, "b") ^ ids(batch, "b")) <= 0.05 * len(newer)
    assert gone.height > 0.8 * len(newer)


@pytest.mark.parametrize("kind", ["articles", "judged"])
def test_the_pairs_of_real_texts_are_found_across_the_index(kind: str, data_folder: Path, tmp_path: Path) -> None:
    """One side of each pair in the index, the other in the crawl: the crawl's loses what it loses in a batch."""
    if kind == "articles":
        names, texts, truth = articles(data_folder)
        second = {max(pair) for pair in truth}
        older = [text for name, text in zip(names, texts, strict=True) if name not in second]
        newer = [text for name, text in zip(names, texts, strict=True) if name in second]
        assert len(newer) == 10
    else:
        pairs = judged_pairs(data_folder)
        older, newer = ([" ".join(pair[side].split()) for pair in pairs] for side in ("text_a", "text_b"))
    index = indexed(tmp_path, "a", older, piece_bytes=400_000)
    out = curated(tmp_path / "new", {"b": newer}, index=str(index), piece_bytes=400_000)
    batch = curated(tmp_path / "batch", {"a": older, "b": newer}, piece_bytes=400_000)
    assert ids(out, "b") == ids(batch, "b")
    assert len(ids(out, "b")) == 10 if kind == "articles" else len(ids(out, "b")) > 100


@pytest.mark.parametrize("partitions", [(14, 42), (42, 28)])
def test_other_ranges_than_the_run_of_the_index(partitions: tuple[int, int], tmp_path: Path) -> None:
    texts = clusters_of_texts(3, 40, 6)
    index = indexed(tmp_path, "a", texts[:70], partitions=partitions[0])
    assert open_index(str(index)).manifest.ranges == partitions[0] // 14
    plain = curated(tmp_path / "plain", {"b": texts[70:]}, index=str(indexed(tmp_path / "other", "a", texts[:70])))
    out = curated(
        tmp_path / "new", {"b": texts[70:]}, index=str(index), partitions=partitions[1], settle_memory_gb=ROUNDS
    )  # fmt: skip
    assert fallen(out) == fallen(plain) and "near_duplicate_of_index" in fallen(out).values()
    table = [pl.read_parquet(o / "dropped/*.parquet") for o in (out, plain)]
    assert table[0].select("doc", "cluster_id", "cluster_size").equals(table[1].select("doc", "cluster_id", "cluster_size"))


def test_a_run_against_an_index_makes_the_next_one(tmp_path: Path) -> None:
    texts = clusters_of_texts(5, 50, 8)
    a, b, c = texts[:70], texts[70:140], texts[140:]
    first = indexed(tmp_path, "a", a)
    second = curated(tmp_path / "b", {"b": b}, index=str(first), partitions=28)
    made = build(str(second), str(tmp_path / "both"))
    assert [(s.name, s.first, s.documents) for s in made.snapshots] == [("a", 0, len(a)), ("b", len(a), len(b))]
    assert sum(s.survivors for s in made.snapshots) == len(a) + len(b) - len(fallen(tmp_path / "run-a/out")) - len(
        fallen(second)
    )
    out = curated(tmp_path / "c", {"c": c}, index=str(tmp_path / "both"))
    batch = curated(tmp_path / "batch", {"a": a, "b": b, "c": c})
    assert ids(out, "c") == ids(batch, "c") and ids(second, "b") == ids(batch, "b")
    sizes = pl.read_parquet(batch / "dropped/*.parquet").filter(pl.col("source") == "c").select("id", "cluster_size")
    assert dict(pl.read_parquet(out / "dropped/*.parquet").select("id", "cluster_size").rows()) == dict(sizes.rows())
    assert "b member" in "".join(pl.read_parquet(out / "dropped/*.parquet")["drop_detail"])
    assert verify(str(tmp_path / "both")).endswith(f"{14 + 2} files are as they were written")


def test_merged_indexes_find_what_a_batch_finds(tmp_path: Path) -> None:
    texts = clusters_of_texts(6, 50, 8)
    a, b, c = texts[:70], texts[70:140], texts[140:]
    paths = [str(indexed(tmp_path, name, part)) for name, part in (("a", a), ("b", b))]
    made = merge(paths, str(tmp_path / "merged"))
    assert made.documents == 140 and [s.first for s in made.snapshots] == [0, 70]
    assert [member(str(tmp_path / "merged"), 70 + i)["id"] for i in (0, 69)] == [member(paths[1], i)["id"] for i in (0, 69)]
    out = curated(tmp_path / "c", {"c": c}, index=str(tmp_path / "merged"))
    assert ids(out, "c") == ids(curated(tmp_path / "batch", {"a": a, "b": b, "c": c}), "c")
    assert verify(str(tmp_path / "merged"))
    with pytest.raises(StorageError, match="the snapshot b would be in the index twice"):
        merge([str(tmp_path / "merged"), paths[1]], str(tmp_path / "twice"))
    with pytest.raises(RecipeError, match="two indexes or more"):
        merge(paths[:1], str(tmp_path / "one"))


# -- what a member of an index is


def one_word_off(words: list[str], *places: int) -> str:
    return " ".join("other" if i in places else word for i, word in enumerate(words))


def test_a_dropped_member_leads_to_its_survivor(tmp_path: Path) -> None:
    """The new text shares a band with the dropped one, none with the survivor; the survivor is like it all the same."""
    words = words_of(9, 200)
    survivor = " ".join([*words, "longer"])
    dropped = one_word_off(words, 60)
    index = indexed(tmp_path, "a", [survivor, dropped, " ".join(words_of(10, 150))])
    found = open_index(str(index))
    at = next(i for i in range(3) if member(str(index), i)["size"] == 2 and member(str(index), i)["kept"] != i)
    kept = member(str(index), at)["kept"]
    records = pl.concat(found.read(band, 0, 1) for band in range(14))
    assert records.filter(pl.col("member") == at)["kept"].to_list() == [kept] * 14
    own = records.filter(pl.col("member") == kept).select("low", "high").row(0)
    assert records.filter(pl.col("member") == at).select("kept_low", "kept_high").unique().rows() == [own]
    stage = Minhash(share_of=(), index=str(index))
    shared = set(records.filter(pl.col("member") == at)["key"]) - set(records.filter(pl.col("member") == kept)["key"])
    for places in ((60,), (60, 20), (60, 150), (60, 61, 62)):
        table = frame([one_word_off(words, *places)])
        keys = set(stage.sketch(table)["key"])
        rows = answer(stage, [table])
        assert rows["cluster_id"].to_list() == [INDEXED + kept] and rows["cluster_size"].to_list() == [3]
        if places == (60,):
            assert keys & shared, "it meets the dropped one where the survivor is not"


def test_nothing_changes_about_members(tmp_path: Path) -> None:
    """Two members that are alike, from indexes merged: what comes between them makes neither the other's."""
    text = " ".join(words_of(11, 150))
    paths = [str(indexed(tmp_path, name, [text, " ".join(words_of(seed, 99))])) for name, seed in (("a", 1), ("b", 2))]
    merge(paths, str(tmp_path / "merged"))
    for fields in ({}, {"min_jaccard": None}, {"settle_memory_gb": ROUNDS}):
        stage = Minhash(share_of=(), index=str(tmp_path / "merged"), **fields)
        rows = answer(stage, [frame([text, text + " more"])])
        assert rows["drop_reason"].to_list() == ["near_duplicate_of_index"] * 2
        assert set(rows["drop_detail"].str.extract(r"in the index: (\w) member")) == {"a"}
        assert rows["cluster_size"].to_list() == [3, 3], "one member and two documents"


def test_members_are_better_than_any_document_and_count_in_no_share(tmp_path: Path) -> None:
    text = " ".join(words_of(12, 150))
    index = indexed(tmp_path, "a", [text] * 30 + [" ".join(words_of(i, 60)) for i in range(100, 130)])
    newer = [f"{text} and longer"] + [" ".join(words_of(i, 60)) for i in range(200, 209)]
    for keep in ((), A_FIRST, (("text_bytes", "largest"),)):
        fields = {"index": str(index), "keep": keep, "max_cluster_share": 0.1, "share_from": 1}
        rows = answer(Minhash(**fields), [frame(newer)])
        assert rows["drop_reason"].to_list() == ["near_duplicate_of_index", *[None] * 9]
        assert rows["cluster_size"].to_list() == [31, *[1] * 9]
        with pytest.raises(RunStopped, match="holds 3 documents"):
            answer(Minhash(**fields), [frame([newer[0]] * 3 + newer[1:])])


def test_scopes_and_short_documents(tmp_path: Path) -> None:
    text = " ".join(words_of(13, 80))
    index = indexed(tmp_path, "a", [text, "two words"], scope=("source",))
    table = frame([text, text, "two words", "two words", "other words"])
    table = table.with_columns(source=pl.Series(["a", "b", "a", "b", "a"]))
    rows = answer(Minhash(share_of=(), index=str(index), scope=("source",)), [table])
    of_index = "near_duplicate_of_index"
    assert rows["drop_reason"].to_list() == [of_index, None, of_index, None, None]


def test_a_run_of_too_many_inputs_is_told() -> None:
    with pytest.raises(RunStopped, match="too many inputs"):
        from curation.dedup.index_match import split

        split(pl.DataFrame({"doc": [INDEXED], "key": [1]}, schema={"doc": pl.UInt64, "key": pl.UInt64}))


# -- the folder


def plain_index(folder: Path, keys: np.ndarray, ranges: int) -> Index:
    """An index of one band with these keys, and no members to name."""
    rows = pl.DataFrame(schema=RECORD).clear(len(keys)).with_columns(
        pl.Series("key", keys), pl.int_range(len(keys), dtype=pl.UInt64).alias("member")
    )  # fmt: skip
    place = key_range(keys, ranges)
    writer = IndexWriter(str(folder))
    writer.band([rows.filter(pl.Series(place == n, dtype=pl.Boolean)) for n in range(ranges)], ranges, small=True)
    one = Snapshot("one", 0, len(keys), 0, [], None, "run", "recipe", {})
    writer.commit(Manifest(kind_of(Family(), (), "exact"), ranges, (one,)))
    return open_index(str(folder))


@settings(max_examples=40, deadline=None)
@given(
    keys=st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 2**32 - 1, 2**32, 2**63, 2**64 - 1]), max_size=60),
    own=st.integers(1, 40),
    asked=st.integers(1, 90),
)
def test_every_record_is_read_once_in_any_ranges(
    keys: list[int], own: int, asked: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    index = plain_index(tmp_path_factory.mktemp("ranges") / "index", np.array(keys, dtype=np.uint64), own)
    read = [index.read(0, number, asked) for number in range(asked)]
    assert sorted(pl.concat(read)["member"].to_list()) == list(range(len(keys)))
    for number, rows in enumerate(read):
        assert rows.schema == pl.Schema(RECORD) and set(key_range(rows["key"].to_numpy(), asked)) <= {number}


def test_slices_follow_from_the_documents() -> None:
    assert slices_for(0) == slices_for(1 << 18) == 1 and slices_for((1 << 18) + 1) == 2
    assert slices_for(10**7, multiple_of=5) % 5 == 0 and slices_for(10, multiple_of=5) == 5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of the source a, and its index."""
    folder = tmp_path_factory.mktemp("made")
    indexed(folder, "a", clusters_of_texts(7, 30, 5))
    return folder


def test_the_same_run_makes_the_same_index(made: Path, tmp_path: Path) -> None:
    build(str(made / "run-a/out"), str(tmp_path / "again"))
    assert (tmp_path / "again/manifest.json").read_bytes() == (made / "index-a/manifest.json").read_bytes()
    names = sorted(str(p.relative_to(tmp_path / "again")) for p in (tmp_path / "again").rglob("*.*"))
    assert names == sorted([f.file for f in open_index(str(made / "index-a")).manifest.files] + ["manifest.json"])


def test_an_index_is_never_changed_and_ended_attempts_are_removed(made: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="this index exists"):
        build(str(made / "run-a/out"), str(made / "index-a"))
    (tmp_path / "next/bands").mkdir(parents=True)
    (tmp_path / "next/bands/0003.ended.tmp.slices").write_bytes(b"half")
    with pytest.raises(StorageError, match="no index of near-duplicates here"):
        open_index(str(tmp_path / "next"))
    build(str(made / "run-a/out"), str(tmp_path / "next"))
    assert not (tmp_path / "next/bands/0003.ended.tmp.slices").exists() and verify(str(tmp_path / "next"))


def test_members_can_be_named(made: Path) -> None:
    path = str(made / "index-a")
    documents = open_index(path).manifest.documents
    rows = [member(path, number) for number in range(documents)]
    inside = pl.concat(
        [pl.read_parquet(made / f"run-a/out/{kind}/*.parquet") for kind in ("documents", "dropped")], how="diagonal"
    )
    assert {r["doc"]: (r["id"], r["url"], r["size"]) for r in rows} == {
        doc: tuple(rest) for doc, *rest in inside.select("doc", "id", "url", "cluster_size").rows()
    }
    kept = dict(inside.select("doc", "cluster_id").rows())
    assert all(rows[r["kept"]]["doc"] == kept[r["doc"]] for r in rows)
    assert rows[3]["url"] in member_text(path, 3)
    with pytest.raises(CurationError, match=f"a member below {documents}"):
        member(path, documents)


def copied(made: Path, folder: Path) -> Path:
    subprocess.run(["cp", "-r", str(made / "index-a"), str(folder / "copy")], check=True)
    return folder / "copy"


@pytest.mark.parametrize("place", [0.5, 40, -50])
def test_damage_is_named(place: float, made: Path, tmp_path: Path) -> None:
    copy = copied(made, tmp_path)
    file = open_index(str(copy)).manifest.bands[5].file
    content = bytearray((copy / file).read_bytes())
    content[int(len(content) * place) if place == 0.5 else int(place)] ^= 1
    (copy / file).write_bytes(content)
    with pytest.raises(StorageError, match=f"is damaged(.|\n)*{file}: its sha256"):
        verify(str(copy))
    with pytest.raises(StorageError, match=f"index (.|\n)*{file} as it was written(.|\n)*slice 0"):
        curated(tmp_path / "new", {"b": clusters_of_texts(8, 5, 2)}, index=str(copy))


def test_missing_files_and_manifests(made: Path, tmp_path: Path) -> None:
    copy = copied(made, tmp_path)
    file = open_index(str(copy)).manifest.members[0].file
    (copy / file).unlink()
    with pytest.raises(StorageError, match=f"{file}: No such file"):
        verify(str(copy))
    (copy / "manifest.json").write_text("{}")
    with pytest.raises(StorageError, match="is damaged(.|\n)*manifest.json"):
        Minhash(index=str(copy))
    (copy / "manifest.json").unlink()
    with pytest.raises(StorageError, match="no index of near-duplicates here"):
        Minhash(index=str(copy))


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"seed": 2}, "seed"), ({"rows": 9}, "rows"), ({"ngram": 4}, "ngram"), ({"mode": "datatrove"}, "mode"),
     ({"scope": ("source",)}, "scope"), ({"short_documents": "keep"}, "short_documents"), ({"drop": False}, "drop")],
)  # fmt: skip
def test_an_index_of_another_kind(fields: dict, named: str, made: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=f"dedup/minhash: {named}"):
        Minhash(index=str(made / "index-a"), **fields)
    if named != "drop":
        other = indexed(tmp_path, "b", clusters_of_texts(1, 2, 2), **fields)
        with pytest.raises(RecipeError, match=f"different kinds cannot be merged: {named}"):
            merge([str(made / "index-a"), str(other)], str(tmp_path / "merged"))


def test_signatures_of_other_code_are_refused(made: Path, tmp_path: Path) -> None:
    copy = copied(made, tmp_path)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["kind"]["probe"] = "0" * 32
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RecipeError, match="signatures of its probe texts"):
        curated(tmp_path / "new", {"b": ["some words of a text that are enough"]}, index=str(copy))
    with pytest.raises(RecipeError, match="cannot be merged: probe"):
        merge([str(made / "index-a"), str(copy)], str(tmp_path / "merged"))


def test_runs_that_no_index_can_be_made_of(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no index can be made of"):
        build(str(tmp_path / "nowhere"), str(tmp_path / "index"))
    out = curated(tmp_path / "a", {"a": clusters_of_texts(1, 3, 3)}, drop=False)
    with pytest.raises(StorageError, match="drops nothing"):
        build(str(out), str(tmp_path / "index"))
    out = curated(tmp_path / "b", {"b": clusters_of_texts(1, 3, 3)})
    with pytest.raises(StorageError, match="which stage"):
        build(str(out), str(tmp_path / "index"), stage="other")
    part = next((out / "work/parts").glob("s01-sketch-*"))
    part.unlink()
    with pytest.raises(StorageError, match=f"{part.name} as written"):
        build(str(out), str(tmp_path / "index"))
    assert not (tmp_path / "index/manifest.json").exists()


def test_the_index_of_the_run_must_be_that_one(made: Path, tmp_path: Path) -> None:
    index = copied(made, tmp_path)
    out = curated(tmp_path / "b", {"b": clusters_of_texts(7, 30, 5)}, index=str(index))
    manifest = (index / "manifest.json").read_text()
    (index / "manifest.json").write_text(manifest + "\n")
    with pytest.raises(StorageError, match="is not the one the run was held against"):
        build(str(out), str(tmp_path / "next"))


# -- the engine


def test_workers_order_and_another_index(made: Path, tmp_path: Path) -> None:
    texts = clusters_of_texts(7, 30, 5)[::2] + clusters_of_texts(9, 20, 4)
    texts = [text + " " + "x" * (i + 1) for i, text in enumerate(texts)]  # no two of a length
    fields = {"index": str(made / "index-a")}
    one = curated(tmp_path / "one", {"b": texts}, **fields)
    two = curated(tmp_path / "two", {"b": texts}, workers=2, **fields)
    assert snapshot(one) == snapshot(two)
    turned = curated(tmp_path / "turned", {"b": texts[::-1]}, **fields)
    kept = [sorted(pl.read_parquet(out / "documents/*.parquet")["text"].to_list()) for out in (one, turned)]
    assert kept[0] == kept[1] and len(fallen(one)) > 30
    sketches = {name for name in committed(one) if "-sketch-" in name}
    matches = {name for name in committed(one) if "-match-" in name}
    other = indexed(tmp_path, "c", texts[:9])
    run(recipe(index=str(other)), tmp_path / "one/in", one)
    assert {name for name in committed(one) if "-sketch-" in name} == sketches, "another index keeps the sketches"
    assert len({name for name in committed(one) if "-match-" in name} - matches) == 14
    assert json.loads((one / "census.json").read_text())["reports"]["minhash"]["index"] == open_index(str(other)).sha256


PROGRAM = """
from index_cases import recipe
PIPELINE = recipe(index="INDEX")
"""


def test_killed_and_resumed(made: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.py").write_text(PROGRAM.replace("INDEX", str(made / "index-a")))
    texts = clusters_of_texts(7, 30, 5)[::2] + clusters_of_texts(9, 20, 4)
    whole = curated(tmp_path, {"b": texts}, index=str(made / "index-a"))
    units = sorted((whole / "work/commits").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    for step in ("match", "cluster"):
        nth = next(i for i, unit in enumerate(units) if f"-{step}-" in unit.name) + 3
        out = tmp_path / f"out-{step}"
        name = str(tmp_path / "recipe.py")
        assert finish(tmp_path / "in", out, workers=1, fault=f"part-written:{nth}", recipe=name) != 0
        assert finish(tmp_path / "in", out, workers=1, recipe=name) == 0
        assert snapshot(out) == snapshot(whole)


def test_the_command_line(made: Path, tmp_path: Path) -> None:
    def curation(*words: str) -> str:
        path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "curation.cli", *words]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "a.py").write_text("from index_cases import recipe\nPIPELINE = recipe()\n")
    (tmp_path / "b.py").write_text(PROGRAM.replace("INDEX", "index"))
    for name, lines in (("a", clusters_of_texts(7, 9, 5)), ("b", clusters_of_texts(7, 9, 5)[::2])):
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n")
    place = str(tmp_path / "index")
    curation("run", str(tmp_path / "a.py"), "-i", str(tmp_path / "a.txt"), "--out", str(tmp_path / "A"), "--workers", "1")
    told = curation("index", "build", str(tmp_path / "A"), place, "--name", "CC-MAIN-2024-10")
    assert "CC-MAIN-2024-10" in told and "1 snapshots" in told
    (tmp_path / "b.py").write_text(PROGRAM.replace("INDEX", place))
    curation("run", str(tmp_path / "b.py"), "-i", str(tmp_path / "b.txt"), "--out", str(tmp_path / "B"), "--workers", "1")
    gone = pl.read_parquet(tmp_path / "B/dropped/*.parquet")
    assert gone.height == len(clusters_of_texts(7, 9, 5)[::2])
    number = gone["drop_detail"][0].split(" member ")[1].split(",")[0]
    assert "in the index: CC-MAIN-2024-10 member" in gone["drop_detail"][0]
    assert "http://a.txt/" in curation("index", "inspect", place, "--member", number)
    assert "files are as they were written" in curation("index", "inspect", place, "--verify")
    assert "curation index inspect INDEX --member" in why(str(gone["id"][0]), str(tmp_path / "B"))
    merged = str(tmp_path / "merged")
    assert "2 snapshots" in curation("index", "merge", place, str(made / "index-a"), "--into", merged)
    assert index_text(merged).startswith(f"index of near-duplicates {merged}")
    assert "2 snapshots" in curation("index", "build", str(tmp_path / "B"), str(tmp_path / "next"))


def test_the_recipe_of_a_run_against_an_index_is_whole() -> None:
    assert [stage.index for stage in recipe().stages if isinstance(stage, Minhash)] == [None]
    assert Minhash().drops == ("near_duplicate",) and Minhash().files == ()
