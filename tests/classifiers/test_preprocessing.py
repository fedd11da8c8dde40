"""Pre-processing: what each published model was shown, character for character."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.preprocessing import PREPROCESSING, normal_form, preprocessing

MARKS = "，。„”“«»１」「《》´∶：？！（）；–—．～’…━〈〉【】％►"
TEXTS = st.text(alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from(MARKS + "\n\t\r éÅ0123456789")), max_size=60)


def test_newlines_become_what_each_model_saw() -> None:
    text = " One\r\ntwo\n\nthree\x0cfour\u2028five \n"
    assert preprocessing("one_line")(text) == [" One\r two  three\x0cfour\u2028five  "]
    assert preprocessing("dolma")(text) == ["One\r two  three\x0cfour\u2028five"]
    assert preprocessing("dclm")(text) == ["One two  three four five"]
    assert preprocessing("ccnet")(text) == ["onetwothreefour\u2028five"]
    assert preprocessing("ccnet_lines")(text) == ["one", "two", "threefour\u2028five"]
    assert preprocessing("word_lines")("It's 2024:\n \n...\nThe END.") == ["it's 0000 ", "the end "]
    assert preprocessing("plain_lines")(text) == [" One\r", "two", "three\x0cfour\u2028five "]


def test_words_of_our_own_models() -> None:
    assert preprocessing("words")("It's 2024: END.\n(end), __label__hq é") == ["it's 0000  end   end     label  hq é"]


def test_an_unknown_name_lists_the_names() -> None:
    with pytest.raises(ValueError, match="one_line, unchanged, dclm"):
        preprocessing("one-line")


def test_nothing_is_no_line() -> None:
    for name in ("ccnet", "ccnet_lines", "word_lines", "plain_lines"):
        assert preprocessing(name)(" \n\x07\n ") in ([], ["\x07"])
    assert preprocessing("ccnet")("\x07\u0301") == []


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_ccnet_is_four_passes_in_one(text: str) -> None:
    """cc_net's passes, one after the other, on the composed and the decomposed text."""
    line = unicodedata.normalize("NFD", text.strip().lower())
    line = "".join(c for c in line if unicodedata.category(c) != "Mn")
    line = re.sub(r"\d", "0", line)
    table = dict(zip("，。„”“«»」「《》´∶：？！（）；", ",." + '"' * 9 + "'::?!();", strict=True))
    table |= {"–": "-", "—": " - ", "．": ". ", "～": "~", "’": "'", "…": "...", "━": "-", "〈": "<", "〉": ">"}
    table |= {"【": "[", "】": "]", "％": "%", "►": "-", "、": ",", "，": ","}
    line = "".join(table.get(c, c) for c in line)
    line = "".join(c for c in line if not (ord(c) < 32 or 127 <= ord(c) < 160))
    assert normal_form(text) == line


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_ccnet_is_datatroves_normal_form(text: str) -> None:
    """datatrove writes a whole number as one 0, cc_net every digit of it: compared without digits."""
    from datatrove.utils.perplexity import KenlmModel

    text = re.sub(r"\d", "d", text)
    oracle = KenlmModel("wikipedia", "en").normalize(text.strip())
    # datatrove composes what it does not strip, and strips again at the end; marks fall in both
    assert unicodedata.normalize("NFD", oracle).strip() == unicodedata.normalize("NFD", normal_form(text)).strip()


@pytest.mark.parametrize("name", PREPROCESSING)
@pytest.mark.parametrize("hostile", ["a" * 1_000_000, "\n" * 1_000_000, "\u0301\u0323" * 500_000, "é—" * 300_000])
def test_hostile_texts_take_linear_time(name: str, hostile: str) -> None:
    lines = preprocessing(name)(hostile)
    assert sum(map(len, lines)) <= 3 * len(hostile)
    assert name == "unchanged" or not any("\n" in line for line in lines)
