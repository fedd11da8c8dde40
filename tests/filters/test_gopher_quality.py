"""filters/gopher_quality: every variant against a plain statement of its rules, and datatrove's against datatrove."""

from __future__ import annotations

import re
import statistics
import unicodedata
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from gopher_cases import HUGE, VARIANTS, answers, any_texts, frame, marked_texts, prime_datatrove, reasons_of_datatrove
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference_corpus import documents, hostile_texts, long_text

from curation.errors import RecipeError
from curation.filters.gopher_quality import STOP_WORDS, GopherQuality

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:numpy")  # the block's mean over no words

REASONS = {
    "gopher_short_doc": "short_doc",
    "gopher_long_doc": "long_doc",
    "gopher_below_avg_threshold": "below_avg_word_length",
    "gopher_above_avg_threshold": "above_avg_word_length",
    "gopher_too_many_hashes": "too_many_hashes",
    "gopher_too_many_ellipsis": "too_many_ellipsis",
    "gopher_too_many_bullets": "too_many_bullets",
    "gopher_too_many_end_ellipsis": "too_many_end_ellipsis",
    "gopher_below_alpha_threshold": "below_alpha",
    "gopher_enough_stop_words": "too_few_stop_words",
}
"""datatrove's reason -> ours."""

MARKS = {
    "dolma": (("*", "-"), ("\u2026",)),
    "dclm": (("\u25cf", "\u2022", "*", "-"), ("...", ". . .", "\u2026")),
    "redstone": (tuple("\u2022\u2023\u25b6\u25c0\u25e6\u25a0\u25a1\u25aa\u25ab\u2013"), ("...",)),
}
"""Variant -> what a bullet line begins with, what an ellipsis line ends in."""


def counts_of(variant: str, text: str) -> dict[str, float]:
    """The measures of a variant in plain Python."""
    if variant == "redstone":
        text = re.sub("[\u2028\u2029]+", "\n", unicodedata.normalize("NFKC", text).lower())
    words = text.split()
    symbols = {
        "dolma": sum("#" in word or "\u2026" in word for word in words),
        "dclm": sum(text.count(symbol) for symbol in ("#", "...", ". . .", "\u2026")),
        "redstone": text.count("#") + text.count("..."),
    }
    tokens = [token for token in re.split("[ \n\r\t\v\f\0]+", text) if token]
    lines = text.split("\n")
    if variant != "dolma":
        lines = [line.strip() for line in lines if line.strip()]
    bullets, ellipses = MARKS[variant]
    return {
        "words": len(words),
        "counted_words": sum(token[0].isalnum() for token in tokens) if variant == "dclm" else len(words),
        "word_chars": sum(map(len, words)),
        "double_median": 2 * statistics.median([len(word) for word in words] or [0]),
        "symbols": symbols[variant],
        "alpha_words": sum(any(map(str.isalpha, word)) for word in words),
        "stop_words": sum((word.lower() if variant == "dclm" else word) in STOP_WORDS for word in words),
        "lines": len(lines),
        "bullet_lines": sum(line.startswith(bullets) for line in lines),
        "ellipsis_lines": sum(line.endswith(ellipses) for line in lines),
    }


def fired(variant: str, n: dict[str, float]) -> list[str]:
    """The rules that fire by the published bounds."""
    words, lines = max(n["words"], 1), max(n["lines"], 1)
    length = n["double_median"] / 2 if variant == "dolma" else n["word_chars"] / words
    rules = {
        "short_doc": n["counted_words"] < 50,
        "long_doc": n["counted_words"] > 100_000,
        "below_avg_word_length": length < 3,
        "above_avg_word_length": length > 10,
        "too_many_symbols": n["symbols"] / words > 0.1,
        "too_many_bullets": n["bullet_lines"] / lines > 0.9,
        "too_many_end_ellipsis": n["ellipsis_lines"] / lines > 0.3,
        "below_alpha": n["alpha_words"] / words < 0.8,
        "too_few_stop_words": n["stop_words"] < 2,
    }
    return [reason for reason, fires in rules.items() if fires]


def check(variant: str, given_texts: list[str]) -> set[str]:
    """Compares measures, reason and detail; returns the reasons seen."""
    seen: set[str] = set()
    for text, row in zip(given_texts, answers(GopherQuality(variant=variant), given_texts), strict=True):
        wanted = counts_of(variant, text)
        assert {name: row[name] for name in wanted} == wanted, text[:200]
        reasons = fired(variant, wanted)
        assert row["drop_reason"] == (reasons[0] if reasons else None), text[:200]
        assert [part.split("=")[0] for part in (row["drop_detail"] or "").split("; ") if part] == reasons
        seen.update(reasons)
    return seen


def without_the_unassigned(text: str) -> str:
    """Without characters that this Python does not know: Polars has a newer Unicode, whose NFKC form they may have."""
    return "".join(c for c in text if unicodedata.category(c) != "Cn")


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(given_texts=st.lists(any_texts.map(without_the_unassigned), min_size=1, max_size=5))
def test_variant_is_its_plain_statement(variant: str, given_texts: list[str]) -> None:
    check(variant, given_texts)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_on_real_and_hostile_texts(data_folder: Path, variant: str) -> None:
    real = [document.text for document in documents(data_folder, 500)]
    bullet, ellipsis = MARKS[variant][0][0], MARKS[variant][1][0]
    marked = [f"{bullet} the tower of stone and wood\n" * 20, f"the tower of stone and wood{ellipsis}\n" * 20]
    seen = check(variant, [*real, *hostile_texts().values(), long_text(), *marked])
    assert seen == set(GopherQuality(variant=variant).drops)


def test_variants_differ_where_they_say() -> None:
    text = "The tower of stone\u2026 is OLD #1 . . .\n\u25cf that hill..."
    found = {variant: answers(GopherQuality(variant=variant), [text])[0] for variant in VARIANTS}
    assert {v: n["symbols"] for v, n in found.items()} == {"dolma": 2, "dclm": 4, "redstone": 3}
    assert {v: n["stop_words"] for v, n in found.items()} == {"dolma": 2, "dclm": 3, "redstone": 3}
    assert {v: n["counted_words"] for v, n in found.items()} == {"dolma": 13, "dclm": 8, "redstone": 13}
    assert {v: n["bullet_lines"] for v, n in found.items()} == {"dolma": 0, "dclm": 1, "redstone": 0}
    assert {v: n["ellipsis_lines"] for v, n in found.items()} == {"dolma": 0, "dclm": 2, "redstone": 1}


def blocks(**options: Any) -> Any:
    from datatrove.pipeline.filters import GopherQualityFilter

    return GopherQualityFilter(**options)


def same_as_datatrove(stage: GopherQuality, options: dict[str, Any], given_texts: list[str]) -> set[str | None]:
    wanted = [reason and REASONS[reason] for reason in reasons_of_datatrove(blocks(**options), given_texts)]
    assert [row["drop_reason"] for row in answers(stage, given_texts)] == wanted
    return set(wanted)


def test_datatrove_on_real_and_hostile_texts(data_folder: Path) -> None:
    real = [document.text for document in documents(data_folder, 1700)]
    assert len(real) >= 1500
    seen = same_as_datatrove(GopherQuality(), {}, [*real, *hostile_texts().values(), long_text()])
    assert seen == {None, *GopherQuality().drops}


ZEROS = {
    "min_words": "min_doc_words",
    "max_words": "max_doc_words",
    "min_avg_word_length": "min_avg_word_length",
    "max_avg_word_length": "max_avg_word_length",
    "max_bullet_lines": "max_bullet_lines_ratio",
    "max_ellipsis_lines": "max_ellipsis_lines_ratio",
    "min_alpha_words": "max_non_alpha_words_ratio",
    "min_stop_words": "min_stop_words",
}
"""Our field -> datatrove's."""


@pytest.mark.parametrize("name", [*ZEROS, "max_symbol_word_ratio"])
def test_zero_is_a_bound_here_and_off_in_datatrove(name: str) -> None:
    texts = [text for text in hostile_texts().values() if text.split()]
    ours = {name: 0} if name in ZEROS else {"max_hash_ratio": 0, "max_ellipsis_ratio": 0}
    options = {ZEROS.get(name, name): 0}
    same_as_datatrove(GopherQuality(compat="datatrove", **ours), options, texts)
    off = GopherQuality(**dict.fromkeys(ours))
    assert [row["drop_reason"] for row in answers(GopherQuality(compat="datatrove", **ours), texts)] == [
        row["drop_reason"] for row in answers(off, texts)
    ]
    if name.startswith("max"):
        default = [row["drop_detail"] or "" for row in answers(GopherQuality(**ours), texts)]
        assert default != [row["drop_detail"] or "" for row in answers(off, texts)]


NAMED = [
    "the (IS_ALPHA) of xIS_ALPHA and " * 12,
    "IS_ALPHA " * 49 + "the of",
    "the of IS_ALPHA/IS_ALPHA's stone tower hill " * 10,
    "the of xIS_ALPHA stone tower " * 12,
    "# IS_ALPHA the of\n" * 30,
    "IS_ALPHA",
    "- IS_ALPHA... the of and that tower\n" * 30,
]


def test_the_word_that_datatrove_deletes() -> None:
    prime_datatrove()
    same_as_datatrove(GopherQuality(compat="datatrove"), {}, NAMED)
    loose = {"min_words": None, "min_avg_word_length": 4.5, "min_alpha_words": 0.9}
    options = {"min_doc_words": None, "min_avg_word_length": 4.5, "max_non_alpha_words_ratio": 0.9}
    same_as_datatrove(GopherQuality(compat="datatrove", **loose), options, [text for text in NAMED if text != "IS_ALPHA"])


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(st.one_of(st.sampled_from(["IS_ALPHA", " IS_ALPHA ", "the ", "-", "'s "]), marked_texts), max_size=12))
def test_by_default_it_is_a_word_like_others(parts: list[str]) -> None:
    text = "".join(parts)
    assert answers(GopherQuality(), [text]) == answers(GopherQuality(), [text.replace("IS_ALPHA", "IS_ALPHB")])


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(st.sampled_from(["IS_ALPHA", " IS_ALPHA ", "the of and ", "-", "'s ", "tower ", "#", "\n"]), max_size=80))
def test_the_word_that_datatrove_deletes_anywhere(parts: list[str]) -> None:
    prime_datatrove()
    same_as_datatrove(GopherQuality(compat="datatrove", min_words=5), {"min_doc_words": 5}, ["".join(parts)])


@pytest.mark.parametrize("variant", ["datatrove", *VARIANTS])
@pytest.mark.parametrize("name", list(HUGE))
def test_hostile_texts_take_linear_time(variant: str, name: str) -> None:
    [row] = answers(GopherQuality(variant=variant), [HUGE[name]])
    assert row["drop_reason"] is not None
    if variant != "datatrove":
        assert row["words"] == len(HUGE[name].split())


@pytest.mark.parametrize("variant", ["datatrove", *VARIANTS])
def test_a_document_is_measured_by_itself(variant: str) -> None:
    given_texts = ["the tower of stone", "", None, "- one\n\n... two #", "the tower of stone", "\u0130 and IS_ALPHA"]
    stage = GopherQuality(variant=variant, compat="datatrove" if variant == "datatrove" else "")
    together = answers(stage, given_texts)
    assert [dict(row, doc=0) for row in together] == [answers(stage, [text])[0] for text in given_texts]
    assert dict(together[1], doc=0) == dict(together[2], doc=0)
    assert stage.bind({})(frame([])).columns == ["doc", *stage.adds, "drop_reason", "drop_detail"]


def test_bounds_and_stop_words_by_language(tmp_path: Path) -> None:
    table = tmp_path / "table.yaml"
    table.write_text("fra_Latn: {stopwords: [le, de], min_avg_word_length: 2, max_non_alpha_words_ratio: 0.1}")
    stage = GopherQuality(variant="dolma", min_words=None, by_language=str(table), otherwise="drop")
    text = "le de 1 22 33 44 55"
    rows = pl.concat([frame([text], "fra_Latn"), frame([text], "deu_Latn")])
    answer = stage.bind({})(rows)
    assert answer["stat_gopher_quality_stop_words"].to_list() == [2, 0]
    assert answer["drop_reason"].to_list() == [None, "unknown_language"]


def test_bounds_are_decided_without_the_text() -> None:
    for variant in ("datatrove", *VARIANTS):
        measured = GopherQuality(variant=variant).measure(frame(["the tower of stone and hill"]))
        loose = GopherQuality(variant=variant, min_words=6)
        assert loose.decide(measured)["drop_reason"].to_list() == [None]
        assert "variant" in loose.measure_fields and "min_words" not in loose.measure_fields


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"variant": "gopher"}, "variant"),
        ({"variant": "dolma", "compat": "datatrove"}, "compat"),
        ({"compat": "uniseg-0.8"}, "compat"),
        ({"variant": "dclm", "tokenizer": "fra_Latn"}, "tokenizer"),
        ({"variant": "dclm", "max_hash_ratio": 0.2}, "max_hash_ratio"),
        ({"max_symbol_ratio": 0.2}, "max_symbol_ratio"),
        ({"min_words": float("nan")}, "min_words"),
        ({"max_bullet_lines": "0.9"}, "max_bullet_lines"),
        ({"min_stop_words": True}, "min_stop_words"),
    ],
)
def test_senseless_configuration(fields: dict[str, Any], what: str) -> None:
    with pytest.raises(RecipeError, match=f"filters/gopher_quality: {what}"):
        GopherQuality(**fields)
