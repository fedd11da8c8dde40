"""filters/language: configuration, borders and details."""

from __future__ import annotations

import polars as pl
import pytest

from curation.errors import RecipeError
from curation.filters.language import Language


def decide(stage: Language, *rows: tuple[str | None, float | None]) -> list[tuple[str | None, str | None]]:
    frame = pl.DataFrame(
        {"doc": range(len(rows)), "language": [r[0] for r in rows], "score_language": [r[1] for r in rows]},
        schema={"doc": pl.UInt64, "language": pl.String, "score_language": pl.Float32},
    )
    return stage.decide(frame).select("drop_reason", "drop_detail").rows()


def test_a_document_at_its_least_score_is_kept() -> None:
    assert decide(Language(keep={"eng_Latn": 0.5}), ("eng_Latn", 0.5)) == [(None, None)]


def test_float32_below_its_own_decimal_is_below() -> None:
    [(reason, detail)] = decide(Language(keep={"eng_Latn": 0.65}), ("eng_Latn", 0.65))
    assert reason == "low_confidence" and detail == "score_language=0.6499999761581421 < 0.65 for eng_Latn"


def test_nan_is_no_confidence() -> None:
    [(reason, _)] = decide(Language(keep={"eng_Latn": 0.0}), ("eng_Latn", float("nan")))
    assert reason == "low_confidence"


def test_many_languages_are_not_listed_in_every_detail() -> None:
    many = {f"{c}{c}{c}_Latn": 0.5 for c in "abcdefghij"}
    assert decide(Language(keep=many), ("zzz_Latn", 0.9)) == [
        ("language_not_kept", "language=zzz_Latn not in the 10 languages kept")
    ]


def test_empty_batch() -> None:
    assert decide(Language(keep=["eng_Latn"])) == []


@pytest.mark.parametrize("keep", [(), {}, "eng_Latn", ["en"], {"eng_Latn": 65}, {"english": 0.5}, {"eng_Latn": -0.1}])
def test_senseless_configuration(keep) -> None:
    with pytest.raises(RecipeError, match="filters/language"):
        Language(keep=keep)
