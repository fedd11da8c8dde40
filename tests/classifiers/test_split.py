"""The split: what belongs together stays together, near copies too, and the sides are chosen by a hash."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.examples import Columns, TrainingError, read_examples
from classifiers.split import groups_of, held_out, near_duplicates, sketch

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen"
OTHER = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon"


def test_copies_and_near_copies_are_one_cluster() -> None:
    texts = [LONG, OTHER, LONG.upper() + "!", LONG.replace("eighteen", "end"), "short", "Short.", "other"]
    assert near_duplicates(texts) == [0, 1, 0, 0, 4, 4, 6]


def test_groups_join_clusters_and_columns() -> None:
    texts = [LONG, OTHER, LONG + " more", "lone"]
    assert groups_of(texts, ["a", "b", "c", "b"], [None, None, None, None]) == [0, 1, 0, 1]
    assert groups_of(["x", "y", "z"], [1, None, 1], [None, 7, 7]) == [0, 0, 0]


@settings(max_examples=50, deadline=None)
@given(names=st.lists(st.integers(0, 30), min_size=1, max_size=200), seed=st.integers(0, 5))
def test_a_group_is_on_one_side_whatever_stands_around_it(names: list[int], seed: int) -> None:
    sides = held_out(names, 0.4, seed)
    assert all(held_out([name], 0.4, seed) == [side] for name, side in zip(names, sides, strict=True))


def test_the_share_is_kept() -> None:
    assert 0.27 < sum(held_out(range(10_000), 0.3, 1)) / 10_000 < 0.33
    assert held_out(range(50), 0.3, 1) != held_out(range(50), 0.3, 2)
    assert not any(held_out(range(50), 0.0, 1)) and all(held_out(range(50), 1.0, 1))


def test_a_boilerplate_of_many_pages_takes_linear_time() -> None:
    assert len(set(near_duplicates([LONG] * 20_000))) == 1
    assert sketch("") == frozenset() and len(sketch("word " * 1_000_000)) == 1


def rows() -> list[dict]:
    return [
        {"body": f"{w} {i} text of its own number {i * 7}", "y": i % 2, "site": f"s{i % 10}"} for i in range(60) for w in "ab"
    ]


def test_parquet_and_json_lines_are_read_alike(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows()), tmp_path / "d.parquet")
    (tmp_path / "d.jsonl").write_text("\n".join(json.dumps(row) for row in rows()) + "\n")
    columns = Columns(text="body", label="y", group="site")
    sides = [read_examples([tmp_path / f"d.{kind}"], columns, test_share=0.5, seed=1) for kind in ("parquet", "jsonl")]
    assert sides[0] == sides[1]
    train, test = sides[0]
    assert len(train.texts) + len(test.texts) == 120 and not set(train.groups) & set(test.groups)
    assert set(train.counts()) == {"0", "1"}


def test_parts_chosen_by_hand_never_share_a_group(tmp_path: Path) -> None:
    given = [{"text": LONG, "label": "a", "part": "train"}, {"text": LONG + " !", "label": "a", "part": "test"},
             {"text": OTHER, "label": "b", "part": "train"}, {"text": " ", "label": "b", "part": "train"}]  # fmt: skip
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in given))
    train, test = read_examples([path], Columns(part="part"), test_share=0.0, seed=0)
    assert train.texts == (OTHER,) and test.texts == (LONG, LONG + " !")
    path.write_text(json.dumps({**given[0], "part": "dev"}))
    with pytest.raises(TrainingError, match="found:  dev"):
        read_examples([path], Columns(part="part"), test_share=0.0, seed=0)


def test_what_cannot_be_split_is_said(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"text": LONG, "label": "a"}))
    with pytest.raises(TrainingError, match="examples on both sides"):
        read_examples([path], Columns(), test_share=0.5, seed=0)
    with pytest.raises(TrainingError, match="wanted: columns text, label, site"):
        read_examples([path], Columns(group="site"), test_share=0.5, seed=0)
    with pytest.raises(TrainingError, match="wanted: .parquet"):
        read_examples([tmp_path / "d.csv"], Columns(), test_share=0.5, seed=0)
