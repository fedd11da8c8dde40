"""The stratified sample: shares, weights, quantiles, the same for the same documents however they are cut into files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.examples import TrainingError
from classifiers.sample import _allocate, _codes, _draws, draw_sample

LANGUAGES = ["eng_Latn"] * 700 + ["deu_Latn"] * 280 + ["isl_Latn"] * 20


def documents(count: int = 1000) -> pa.Table:
    languages = [LANGUAGES[i * 7 % 1000] for i in range(count)]
    scores = [None if i % 100 == 99 else i / count for i in range(count)]
    return pa.table(
        {
            "text": [f"text number {i} in {languages[i]}" for i in range(count)],
            "url": [f"https://www.site{i % 50}.example/{i}" for i in range(count)],
            "language": pa.array(languages).dictionary_encode(),
            "score_q": pa.array(scores, pa.float32()),
        }
    )


def stored(folder: Path, table: pa.Table, cuts: Sequence[int] = ()) -> Path:
    folder.mkdir()
    edges = [0, *cuts, table.num_rows]
    for number, (start, end) in enumerate(zip(edges, edges[1:], strict=False)):
        pq.write_table(table.slice(start, end - start), folder / f"shard-{number}.parquet", row_group_size=64)
    return folder


def test_small_strata_go_whole_and_the_rest_is_shared(tmp_path: Path) -> None:
    found = draw_sample([stored(tmp_path / "a", documents())], ["language"], 300)
    assert Counter(d.stratum for d in found) == {("isl_Latn",): 20, ("deu_Latn",): 140, ("eng_Latn",): 140}
    assert {d.stratum: d.weight for d in found} == {("isl_Latn",): 1, ("deu_Latn",): 2, ("eng_Latn",): 5}
    assert [d.content_id for d in found] == sorted({d.content_id for d in found})
    assert all(d.text.endswith(d.stratum[0]) and d.site == f"site{int(d.text.split()[2]) % 50}.example" for d in found)


def test_the_files_do_not_matter_and_a_larger_sample_keeps_the_smaller(tmp_path: Path) -> None:
    table = documents()
    one = draw_sample([stored(tmp_path / "a", table)], ["language", "score_q:4"], 100)
    backwards = table.take(list(range(999, -1, -1)))
    assert draw_sample([stored(tmp_path / "b", backwards, [1, 400, 640])], ["language", "score_q:4"], 100) == one
    larger = draw_sample([tmp_path / "a"], ["language", "score_q:4"], 200)
    assert {d.content_id for d in one} < {d.content_id for d in larger}
    other = draw_sample([tmp_path / "a"], ["language", "score_q:4"], 100, seed=1)
    assert 0 < len({d.content_id for d in one} & {d.content_id for d in other}) < 60


def test_quantiles_of_a_score_and_those_without_one(tmp_path: Path) -> None:
    found = draw_sample([stored(tmp_path / "a", documents())], ["score_q:3"], 1000)
    assert Counter(d.stratum[0] for d in found) == {"q1": 330, "q2": 330, "q3": 330, "unknown": 10}
    first = [int(d.text.split()[2]) for d in found if d.stratum == ("q1",)]
    assert max(first) < min(int(d.text.split()[2]) for d in found if d.stratum == ("q2",))


def test_equal_contents_count_once_and_texts_of_nothing_never(tmp_path: Path) -> None:
    texts = ["same", "same", "", None, " \n", "\u00e9", "e\u0301", "other"]
    data = stored(tmp_path / "a", pa.table({"text": texts}), [3])
    found = draw_sample([data], [], 100)
    assert sorted(d.text for d in found) == sorted(["same", "other", "\u00e9"]) and {d.site for d in found} == {""}
    stratum = {d.stratum for d in found}
    assert stratum == {()}


def test_a_score_added_later_lies_in_side_files(tmp_path: Path) -> None:
    table = documents(200)
    out = tmp_path / "out"
    out.mkdir()
    stored(out / "documents", table.drop_columns(["score_q"]), [90])
    side = out / "scores" / "q"
    side.mkdir(parents=True)
    for number, part in enumerate((table.slice(0, 90), table.slice(90))):
        pq.write_table(part.select(["score_q"]), side / f"shard-{number}.parquet")
    whole = stored(tmp_path / "whole", table)
    assert draw_sample([out], ["score_q:4"], 40) == draw_sample([whole], ["score_q:4"], 40)
    pq.write_table(table.select(["score_q"]), side / "shard-1.parquet")
    with pytest.raises(TrainingError, match="wanted: 110 rows, as shard-1.parquet has\n  found:  200"):
        draw_sample([out], ["score_q:4"], 40)


def test_what_the_engine_stored_is_used_and_texts_are_not_read_for_it(tmp_path: Path) -> None:
    table = documents(50)
    ids = pa.array([i.to_bytes(16, "big") for i in range(50)], pa.binary(16))
    sizes = pa.array([0 if i == 7 else 9 for i in range(50)], pa.int32())
    data = stored(tmp_path / "a", table.append_column("content_id", ids).append_column("stat_text_bytes", sizes))
    found = draw_sample([data], [], 100)
    assert [int(d.content_id, 16) for d in found] == [i for i in range(50) if i != 7]
    assert [d.text for d in found] == [table["text"][i].as_py() for i in range(50) if i != 7]


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (["nothing"], "wanted: a column nothing"),
        (["score_q:1"], "NAME:BINS with 2 to 1000"),
        (["score_q:x"], "NAME:BINS"),
        ([":4"], "NAME, or"),
        (["language:4"], "wanted: numbers"),
    ],
)
def test_columns_that_cannot_do(by: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=said):
        draw_sample([stored(tmp_path / "a", documents(20))], by, 5)


def test_files_that_cannot_do(tmp_path: Path) -> None:
    for given_ in (tmp_path, tmp_path / "none.parquet", tmp_path / "x.jsonl"):
        with pytest.raises(TrainingError, match="wanted: Parquet files, or the folder of a finished run"):
            draw_sample([given_], [], 5)
    pq.write_table(pa.table({"body": ["x"]}), tmp_path / "x.parquet")
    with pytest.raises(TrainingError, match="wanted: a column text"):
        draw_sample([tmp_path], [], 5)
    pq.write_table(pa.table({"text": ["x"], "content_id": [b"short"]}), tmp_path / "x.parquet")
    with pytest.raises(TrainingError, match="wanted: 16 bytes each"):
        draw_sample([tmp_path], [], 5)
    pq.write_table(pa.table({"text": [" "]}), tmp_path / "x.parquet")
    assert draw_sample([tmp_path], [], 5) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.integers(0, 90), st.integers(0, 3))
def test_shares_by_definition(strata: list[int], number: int, seed: int) -> None:
    stratum = np.unique(np.array(strata), return_inverse=True)[1]
    ids = np.zeros(len(strata), dtype=[("high", ">u8"), ("low", ">u8")])
    ids["high"] = np.arange(len(strata)) * 77
    draws = _draws(ids, seed)
    taken, weights = _allocate(stratum, draws, number)
    assert len(set(taken.tolist())) == len(taken) == min(number, len(strata))
    sizes, got = np.bincount(stratum), np.bincount(stratum[taken], minlength=stratum.max() + 1)
    short = got < sizes
    assert not short.any() or got[short].max() - got[short].min() <= 1 and got[~short].max(initial=0) <= got[short].min() + 1
    for row, weight in zip(taken, weights, strict=True):
        assert weight == sizes[stratum[row]] / got[stratum[row]]
        left_out = draws[(stratum == stratum[row]) & ~np.isin(np.arange(len(strata)), taken)]
        assert (left_out >= draws[row]).all()


def test_nothing_but_unknowns_makes_one_stratum() -> None:
    names, places = _codes(pa.chunked_array([pa.array([None, None], pa.float32())]), 4)
    assert [names[i] for i in places] == ["unknown", "unknown"]
