"""modifiers/line_rules: DCLM's modifiers restated one after another, the other variants rule by rule."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from modifier_cases import applied, documents

from curation.errors import RecipeError
from curation.modifiers.line_rules import VARIANTS, LineRules

NOUNS = "likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers"

LINE = st.one_of(
    st.sampled_from(
        ["", " ", "MENU", "3 likes", "  1,5K Shares!", "42", " 42 ", "ONE two", "word", "a b c", "１２ ３", "\x1c\x85x"]
    ),
    st.sampled_from(
        ["5 items in cart", "Sign-in to see it all", "sign in", "Read more...", "the rest. Read more!!!", "Sign-in"]
    ),
    st.text(alphabet="aAÄ1² \t\u00a0-.,!k漢ⅣİK\x00", max_size=14),
    st.just("a line of prose that holds quite a few words and says something about the weather, items in cart"),
)
TEXT = st.lists(LINE, max_size=8).map("\n".join)


def dclm(
    text: str, upper: float | None = 0.5, digits: float | None = 0.999999, shortest: int = 2, longest: int | None = 10
) -> str:
    """DCLM's seven modifiers, each over the whole text, as its baseline configures them."""

    def keep(text: str, test) -> str:
        return "\n".join(line for line in text.split("\n") if test(line))

    if upper is not None:
        text = keep(text, lambda x: not x or sum(c.isupper() for c in x) / len(x) <= upper).strip()
    if digits is not None:
        text = keep(text, lambda x: not x or sum(c.isdigit() for c in x) / len(x) <= digits).strip()
    counter = re.compile(r"^\W*\d(?:,|\.|\d)*(?:K|k|M|m|B|b)?\s+(?:" + NOUNS + r")\W*$")
    text = keep(text, lambda x: not counter.search(x.lower())).strip()
    text = keep(text, lambda x: not x or len(x.split()) >= shortest)
    for pattern in (r"\s?(?:items in cart)", r"\s?(?:read more...)$", r"^(?:sign-in)\s?"):
        lines = []
        for line in text.split("\n"):
            if longest is None or len(line.split()) <= longest:
                cut = re.sub(pattern, "", line, flags=re.I)
                if line and (not cut or cut.isspace()):
                    continue
                line = cut
            lines.append(line)
        text = "\n".join(lines).strip()
    return text


def dclm_words(text: str) -> int:
    return sum(chunk[0].isalnum() for chunk in re.split("[ \n\r\t\x0b\x0c\0]+", text) if chunk)


def check_dclm(texts: list[str], fields: dict, **options) -> None:
    keeping = applied(LineRules(removed_words_max=None, **fields), texts)
    dropping = applied(LineRules(**fields), texts)
    for text, kept, row in zip(texts, keeping.iter_rows(named=True), dropping.iter_rows(named=True), strict=True):
        fresh = dclm(text, **options)
        assert kept["text"] == (fresh or text)
        before, after = dclm_words(text), dclm_words(fresh)
        removed = max(before - after, 0)  # a line stripped of odd white space can have one word more
        assert (row["stat_line_rules_words"], row["stat_line_rules_removed_words"]) == (before, removed)
        reason = "removed_words" if before and (before - after) / before > 0.05 else None if fresh else "empty"
        assert row["drop_reason"] == reason
        assert row["text"] == (fresh if reason is None else text)


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=6))
@example(texts=[".\n\u00a01 1"])
def test_dclm_is_its_modifiers_in_order(texts: list[str]) -> None:
    check_dclm(texts, {})


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=6), upper=st.sampled_from([None, 0.0, 0.2, 1.0]), least=st.integers(0, 4))
def test_dclm_with_other_bounds(texts: list[str], upper: float | None, least: int) -> None:
    fields = {"uppercase_max": upper, "numeric_max": 0.25, "min_words": least, "pattern_max_words": None}
    check_dclm(texts, fields, upper=upper, digits=0.25, shortest=least, longest=None)


def test_dclm_on_real_documents(data_folder: Path) -> None:
    check_dclm(documents(data_folder)[::3], {})


def lines_left(text: str, **fields) -> list[str]:
    return applied(LineRules(removed_words_max=None, **fields), [text])["text"][0].split("\n")


KEPT = "a line of prose"
LONG = "one two three four five six seven eight nine ten items in cart"


@pytest.mark.parametrize(
    ("line", "redstone", "refinedweb"),
    [
        ("ABC def g", "ABC def g", "ABC def g"),  # capitals 3 of 7 letters is neither
        ("ABCD ef g", "ABCD ef g", None),  # 4 of 7 = .571
        ("ABCDE f g!!!!", None, None),
        ("ABCDE 12345678", None, None),  # of letters, not of characters
        ("12 ３ ²", None, None),
        ("12, 3", "12, 3", "12, 3"),
        ("3 likes", None, None),
        ("3 étoiles", "3 étoiles", None),
        ("1,5 k views", "1,5 k views", None),
        ("3 likes today", "3 likes today", "3 likes today"),
        ("word", None, None),
        ("", "", ""),
        ("  ", "  ", "  "),
        ("Sign up for the news", None, "for the news"),
        ("and then sign up for the news", "and then sign up for the news", "and then sign up for the news"),
        ("the rest of it Read More...", None, "the rest of it"),
        ("the rest of it Read more…", None, "the rest of it"),
        ("5 Items in cart now", None, "5 now"),
        (LONG, None, LONG),
    ],
)
def test_variants_that_judge_lines_alone(line: str, redstone: str | None, refinedweb: str | None) -> None:
    for variant, left in (("redstone", redstone), ("refinedweb", refinedweb)):
        expected = [KEPT, *([] if left is None else [left]), KEPT]
        assert lines_left(f"{KEPT}\n{line}\n{KEPT}", variant=variant) == expected, variant


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_share_at_its_bound_keeps_and_above_it_drops(variant: str) -> None:
    """Twenty words: losing one is .05, two is more."""
    prose = " ".join(f"w{i}" for i in range(19))
    answer = applied(LineRules(variant), [f"{prose}\nmenu", f"{prose}\nmenu\nhome", f"{prose} w19\nmenu"])
    assert answer["drop_reason"].to_list() == [None, "removed_words", None]
    assert answer["drop_detail"][1] == "removed_words=2/21=0.0952381 > 0.05"
    assert answer["text"].to_list() == [prose, f"{prose}\nmenu\nhome", f"{prose} w19"]


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_rules_can_be_switched_off_and_zero_is_a_bound(variant: str) -> None:
    text = "MENU here\n12 34\n3 likes\nword\nitems in cart"
    off = LineRules(variant, None, None, False, None, False)
    assert applied(off, [text])["text"].to_list() == [text]
    only = LineRules(variant, 0.0, None, False, None, False, removed_words_max=None)
    assert applied(only, [f"no capital\nOne capital\n{KEPT}"])["text"].to_list() == [f"no capital\n{KEPT}"]


@pytest.mark.parametrize("variant", list(VARIANTS))
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXT, min_size=2, max_size=5))
def test_answers_do_not_depend_on_the_batch(variant: str, texts: list[str]) -> None:
    together = applied(LineRules(variant), texts).drop("doc")
    assert together.rows() == [applied(LineRules(variant), [t]).drop("doc").row(0) for t in texts]


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_null_and_empty_texts(variant: str) -> None:
    answer = applied(LineRules(variant), [None, "", KEPT])
    assert answer["drop_reason"].to_list() == ["empty", "empty", None]
    assert answer["text"].to_list() == [None, "", KEPT]
    assert applied(LineRules(variant), []).height == 0


@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize(
    "text",
    [
        "a" * 10**6,
        "\n" * 10**6,
        "3 likes\n" * 10**5,
        "1," * 400_000 + " likes x",
        "-" * 500_000 + "1" + " " * 500_000 + "likes x",
    ],
    ids=["a", "newlines", "counters", "number", "spaces"],
)
def test_hostile_texts(variant: str, text: str) -> None:
    [row] = applied(LineRules(variant), [text]).iter_rows(named=True)
    assert row["drop_reason"] == {"\n": "empty", "1": None, "-": None}.get(text[0], "removed_words")


@pytest.mark.parametrize(
    "fields",
    [
        {"variant": "c4"},
        {"uppercase_max": 2},
        {"uppercase_max": "off"},
        {"min_words": -1},
        {"numeric_max": True},
        {"counters": 1},
    ],
)
def test_senseless_options(fields: dict) -> None:
    with pytest.raises(RecipeError, match="modifiers/line_rules"):
        LineRules(**fields)
