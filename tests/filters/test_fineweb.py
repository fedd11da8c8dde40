"""filters/fineweb: against a plain restatement of the reference, and against the reference itself on real documents."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import RecipeError
from curation.filters.fineweb import STOP_CHARACTERS, FineWeb
from curation.stage import Filter

REASONS = {"line_punct_ratio": "line_punct", "short_line_ratio": "short_lines", "char_dup_ratio": "char_dup"}
"""What the reference calls the reasons that have another name here."""

LINE = st.one_of(
    st.sampled_from(["", " ", "\u3000\x1c", "A line that ends.", "no stop", "終わり。", "x" * 30, "y" * 31 + "?", "\ufeff"]),
    st.text(alphabet="ab .!\u00a0\u0301é漢😀\r\t\x0b\x85\u2028", max_size=40),
)
TEXT = st.lists(LINE, max_size=12).map("\n".join)


def frame(texts: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame({"doc": range(len(texts)), "text": texts}, schema={"doc": pl.UInt64, "text": pl.String})


def counts_as_the_reference_has_them(text: str, stop: str, short: int) -> dict[str, int]:
    """The measures in plain Python: lines split at "\\n", blank ones left out, repeats after the first counted."""
    lines = [line for line in text.split("\n") if line.strip() != ""]
    seen: set[str] = set()
    repeated = 0
    for line in lines:
        repeated += len(line) if line in seen else 0
        seen.add(line)
    return {
        "stat_fineweb_lines": len(lines),
        "stat_fineweb_punct_lines": sum(line.endswith(tuple(stop)) for line in lines),
        "stat_fineweb_short_lines": sum(len(line) <= short for line in lines),
        "stat_fineweb_dup_chars": repeated,
        "stat_fineweb_chars": len(text.replace("\n", "")),
        "stat_fineweb_newlines": text.count("\n"),
    }


def reason_as_the_reference_gives_it(n: dict[str, int], stage: FineWeb, words: int) -> str | None:
    lines = n["stat_fineweb_lines"]
    if lines == 0:
        return "empty"
    if n["stat_fineweb_punct_lines"] / lines < stage.line_punct_min:
        return "line_punct"
    if n["stat_fineweb_short_lines"] / lines > stage.short_line_max:
        return "short_lines"
    if n["stat_fineweb_dup_chars"] / n["stat_fineweb_chars"] > stage.char_dup_max:
        return "char_dup"
    return "list_ratio" if n["stat_fineweb_newlines"] / words > stage.new_line_max else None


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=5), stop=st.sampled_from(list(STOP_CHARACTERS)), short=st.integers(0, 40))
def test_counts_and_reasons_are_the_references(texts: list[str], stop: str, short: int) -> None:
    stage = FineWeb(stop_chars=stop, short_line_length=short)
    answer = stage.bind({})(frame(texts))
    for text, row in zip(texts, answer.iter_rows(named=True), strict=True):
        expected = counts_as_the_reference_has_them(text, STOP_CHARACTERS[stop], short)
        assert {name: row[name] for name in expected} == expected
        assert row["stat_fineweb_words"] >= len(text.split())
        reason = reason_as_the_reference_gives_it(expected, stage, row["stat_fineweb_words"])
        assert row["drop_reason"] == reason
        assert (row["drop_detail"] is None) == (reason is None)


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=120))
def test_words_are_never_fewer_than_chunks(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    [words] = FineWeb().measure(frame([text]))["stat_fineweb_words"]
    assert words >= len(text.split())


@pytest.mark.parametrize(("part", "whole", "bound"), [(3, 25, 0.12), (67, 100, 0.67), (1, 100, 0.01), (3, 10, 0.3)])
def test_a_ratio_at_its_bound_keeps(part: int, whole: int, bound: float) -> None:
    """Integer counts over float64: no rounding of a stored ratio can push a document over."""
    stats = {"lines": 100, "punct_lines": 100, "short_lines": 0, "dup_chars": 0, "chars": 100, "newlines": 0, "words": 100}
    names = {0.12: ("punct_lines", "lines"), 0.67: ("short_lines", "lines"), 0.01: ("dup_chars", "chars")}
    above, below = names.get(bound, ("newlines", "words"))
    stats |= {above: part, below: whole}
    if below == "lines" and above != "punct_lines":
        stats["punct_lines"] = whole
    table = pl.DataFrame({"doc": [0], **{f"stat_fineweb_{k}": [v] for k, v in stats.items()}}).with_columns(
        pl.col("^stat_.*$").cast(pl.Int32)
    )
    assert FineWeb().decide(table)["drop_reason"].to_list() == [None]


def test_thresholds_are_decided_without_the_text() -> None:
    stage = FineWeb()
    assert isinstance(stage, Filter) and stage.measure_fields == ("short_line_length", "stop_chars", "tokenizer")
    measured = stage.measure(frame(["a line\nanother line"]))
    assert FineWeb(line_punct_min=0, short_line_max=1).decide(measured)["drop_reason"].to_list() == [None]


def test_a_bound_of_none_is_no_rule() -> None:
    off = FineWeb(line_punct_min=None, short_line_max=None, char_dup_max=None, new_line_max=None)
    assert off.bind({})(frame(["one\none\ntwo\nthree", ""]))["drop_reason"].to_list() == [None, "empty"]


def test_bounds_by_language() -> None:
    """French in the table of card 01: a tenth of the lines, 0.185 newlines a word."""
    text = "\n".join(["une ligne sans point final ici"] * 8 + ["Et une ligne avec un point."])
    rows = frame([text, text]).with_columns(language=pl.Series(["fra_Latn", "xho_Latn"]))
    free = {"char_dup_max": None, "short_line_max": None}
    answer = FineWeb(by_language="fineweb2_card", **free).bind({})(rows)
    assert answer["drop_reason"].to_list() == [None, "line_punct"]
    answer = FineWeb(by_language="fineweb2_card", otherwise="drop", **free).bind({})(rows)
    assert answer["drop_reason"].to_list() == [None, "unknown_language"]
    assert answer["drop_detail"][1].startswith("language=xho_Latn has no settings; line_punct=")
    answer = FineWeb(by_language="fineweb2_card", otherwise="keep", **free).bind({})(rows)
    assert answer["drop_reason"].to_list() == [None, None]


def test_detail_names_all_rules_that_fired_with_value_and_threshold() -> None:
    [detail] = FineWeb().bind({})(frame(["one\none\ntwo\nthree"]))["drop_detail"]
    assert detail.split("; ") == [
        "line_punct=0/4=0.0 < 0.12", "short_lines=4/4=1.0 > 0.67", "char_dup=3/14=0.214286 > 0.01", "list_ratio=3/4=0.75 > 0.3",
    ]  # fmt: skip


def test_empty_batch() -> None:
    answer = FineWeb().bind({})(frame([]))
    assert answer.height == 0 and set(FineWeb().adds) < set(answer.columns)


def test_answers_do_not_depend_on_the_batch() -> None:
    texts = ["one line.\none line.", "", "another\n\n\ntext", "one line.", None]
    apply = FineWeb().bind({})
    assert apply(frame(texts)).drop("doc").equals(pl.concat([apply(frame([t])) for t in texts]).drop("doc"))


@pytest.mark.parametrize("text", ["(" * 200_000, "a\n" * 100_000, "a" * 1_000_000, "\n" * 500_000, "x-y'" * 100_000])
def test_hostile_texts_take_linear_time(text: str) -> None:
    answer = FineWeb().bind({})(frame([text]))
    assert answer["stat_fineweb_chars"][0] == len(text.replace("\n", ""))


SENSELESS = [
    {"stop_chars": "c4"},
    {"short_line_length": 2.5},
    {"new_line_max": float("nan")},
    {"char_dup_max": "0.1"},
    {"otherwise": "perhaps"},
    {"compat": "perhaps"},
    {"by_language": "no_such_table"},
    {"tokenizer": "xyz_Latn"},
]


@pytest.mark.parametrize("fields", SENSELESS)
def test_senseless_configuration(fields: dict) -> None:
    with pytest.raises(RecipeError, match="filters/fineweb|no_such_table|xyz_Latn"):
        FineWeb(**fields)


@pytest.fixture(scope="module")
def reference():
    pytest.importorskip("spacy", reason="the oracle tokenises with spaCy (extra: peers)")
    return pytest.importorskip("datatrove.pipeline.filters", reason="the oracle is datatrove (extra: peers)")


def test_table_of_terminals_is_the_references(reference) -> None:
    from datatrove.utils.text import TERMINAL_PUNCTUATION

    assert set(STOP_CHARACTERS["datatrove"]) == TERMINAL_PUNCTUATION


@pytest.mark.parametrize("stop_chars", list(STOP_CHARACTERS))
def test_same_decision_and_reason_as_datatrove(reference, data_folder: Path, stop_chars: str) -> None:
    from datatrove.data import Document

    texts = sample(data_folder)
    assert len(texts) > 500
    theirs = reference.FineWebQualityFilter(stop_chars=tuple(STOP_CHARACTERS[stop_chars]))
    answer = FineWeb(stop_chars=stop_chars).bind({})(frame(list(texts)))
    for text, ours in zip(texts, answer["drop_reason"], strict=True):
        result = theirs.filter(Document(text=text, id="0"))
        expected = None if result is True else REASONS.get(result[1], result[1])
        assert ours == expected, f"{expected} by datatrove, {ours} here: {text[:200]!r}"


def sample(data_folder: Path) -> list[str]:
    """Every 20th document of the domains and all gold texts of the news pages: about 650 documents."""
    texts = []
    for path in sorted((data_folder / "text-domains").glob("*.jsonl.gz")):
        with gzip.open(path, "rt") as stream:
            texts += [json.loads(line)["text"] for i, line in enumerate(stream) if i % 20 == 0]
    gold = json.loads((data_folder / "extract-scrapinghub" / "ground-truth.json").read_text())
    return [text.encode("utf-8", "replace").decode() for text in [*texts, *(page["articleBody"] for page in gold.values())]]
