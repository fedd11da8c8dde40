"""filters/threshold: borders, unknown values, tables, and configuration that makes no sense."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import RecipeError, RunStopped
from curation.filters.threshold import Threshold


def frame(values: list[float | None], dtype: type[pl.DataType] = pl.Float32, languages: list | None = None):
    columns = {"doc": pl.Series(range(len(values)), dtype=pl.UInt64), "score_x": pl.Series(values, dtype=dtype)}
    if languages is not None:
        columns["language"] = pl.Series(languages, dtype=pl.String)
    return pl.DataFrame(columns)


@given(
    values=st.lists(st.none() | st.floats(width=32), max_size=30),
    low=st.floats(-1e6, 1e6),
    width=st.floats(0, 1e6),
    unknown=st.sampled_from(["keep", "drop"]),
)
def test_decides_as_python_does(values: list[float | None], low: float, width: float, unknown: str) -> None:
    high = low + width
    expected = []
    for value in values:
        if value is None or np.isnan(value):
            expected.append("unknown" if unknown == "drop" else None)
        else:
            expected.append("below" if value < low else "above" if value > high else None)
    answer = Threshold("score_x", at_least=low, at_most=high, unknown=unknown).decide(frame(values))
    assert answer["drop_reason"].to_list() == expected
    assert (answer["drop_detail"].is_null() == answer["drop_reason"].is_null()).all()


def test_detail_names_value_and_threshold() -> None:
    [detail] = Threshold("score_x", at_most=0.5).decide(frame([0.73]))["drop_detail"]
    assert detail == "score_x=0.73 > at_most 0.5"


def test_whole_numbers_stay_whole() -> None:
    [detail] = Threshold("score_x", at_least=50).decide(frame([49], pl.Int32))["drop_detail"]
    assert detail == "score_x=49 < at_least 50"


def test_unknown_stops_the_run() -> None:
    stage = Threshold("score_x", at_most=0.5, unknown="stop")
    assert "unknown" not in stage.drops
    with pytest.raises(RunStopped, match="unknown for doc 1"):
        stage.decide(frame([0.1, None]))


def test_unknown_of_an_unlisted_value_does_not_stop() -> None:
    stage = Threshold("score_x", at_most={"eng_Latn": 0.5}, by="language", otherwise="keep", unknown="stop")
    assert stage.decide(frame([None], languages=["fra_Latn"]))["drop_reason"].to_list() == [None]


def test_text_is_not_a_number() -> None:
    table = pl.DataFrame({"doc": [1], "score_x": ["high"]}, schema_overrides={"doc": pl.UInt64})
    with pytest.raises(RecipeError, match="wanted: numbers"):
        Threshold("score_x", at_most=1).decide(table)


def test_declares_only_what_it_can_say() -> None:
    assert Threshold("score_x", at_most=1, unknown="keep").drops == ("above",)
    assert Threshold("score_x", at_least={"a": 1}, by="language", otherwise="drop").drops == ("below", "unknown", "not_listed")
    assert Threshold("score_x", at_least={"a": 1}, by="language", otherwise="keep").reads == ("score_x", "language")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"column": ""}, "column"),
        ({"column": "text", "at_most": 1}, "column"),
        ({"column": "x"}, "bounds"),
        ({"column": "x", "at_least": 2, "at_most": 1}, "at_least <= at_most"),
        ({"column": "x", "at_least": float("nan")}, "finite"),
        ({"column": "x", "at_least": "0.5"}, "a number or a table"),
        ({"column": "x", "at_least": True}, "a number or a table"),
        ({"column": "x", "at_least": {}, "by": "language", "otherwise": "keep"}, "entries"),
        ({"column": "x", "at_least": {"a": 1}}, "by"),
        ({"column": "x", "at_least": {"a": 1}, "by": "language"}, "otherwise"),
        ({"column": "x", "at_least": 1, "by": "language", "otherwise": "keep"}, "tables by"),
        ({"column": "x", "at_least": {"a": 2}, "at_most": {"a": 1}, "by": "l", "otherwise": "keep"}, "bounds of a"),
        ({"column": "x", "at_least": 1, "otherwise": "keep"}, "otherwise"),
        ({"column": "x", "at_least": 1, "unknown": "zero"}, "unknown"),
    ],
)
def test_senseless_configuration(fields: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Threshold(**fields)
