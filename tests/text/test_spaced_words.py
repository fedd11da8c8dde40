"""Words found by white space, punctuation and script alone: held to a pattern over Unicode's properties."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference_corpus import documents, hostile_texts
from word_checks import spaced_words

from curation.text.buffers import utf8
from curation.text.chunk_book import BASE
from curation.text.simplify import simplify, simplify_text
from curation.text.spaced_words import LETTER, MARK, NAMES, ORDINARY, SEPARATOR, kinds_of, word_hashes

SCRIPTS = {
    "Latin": "naïve, don't re-enter x² ½ ß",
    "Chinese": "二〇二六年十一月,渡轮早上八点出发。𠀀𪛖𰀀々",
    "Japanese": "データを読み込むとﾃﾞｰﾀ・ゝヽが、東京Tokyoへ1月",
    "Thai": "เรือออกจากท่าน้ำตอนแปดโมงเช้า ๆ ฯลฯ ๒๕๖๙",
    "Lao": "ເຮືອອອກແປດໂມງເຊົ້າ",
    "Khmer": "ទូក\u200bចេញ\u200bដំណើរ។ ម៉ោង",
    "Myanmar": "သင်္ဘောသည် နံနက်ရှစ်နာရီတွင် ထွက်သည်။",
    "Tibetan": "བོད་སྐད་ཡིག།",
    "Yi": "ꊿꂷꃅꄿꐨꐥ，ꌅꅍ",
    "Arabic": "هل تغادر العبّارة؟ نعم، می\u200cخواهم",
    "Devanagari": "नौका सुबह आठ बजे चलती है।",
    "Hangul": "배는 아침 8시에 떠난다",
    "marks": "\u0301a\u0301 \u3099か\u3099 က\u102b\u200d\u1031x\u200b\ufe0f\u2060",
    "white space": " \t\n\x1c\x1f\x85\xa0\u1680\u2009\u2028\u3000",
    "others": "ᥐᥑᦀᨠꪀ𑜀𗀀𘬀𛅰ㄅㆠ㐀豈",
}


def hash_of(word: str) -> int:
    value = 0
    for byte in word.encode():
        value = (value * int(BASE) + byte + 1) % 2**64
    return value


def check(found: list[str]) -> None:
    """The hashes of every text's words are those of the plain words."""
    hashes, first = word_hashes(*utf8(pl.Series(found, dtype=pl.String)), kinds_of("spaced"))
    for text, begin, end in zip(found, first[:-1], first[1:], strict=True):
        assert hashes[begin:end].tolist() == list(map(hash_of, spaced_words(text))), text[:200]


def test_every_character_is_of_the_kind_its_properties_say() -> None:
    kinds = kinds_of("spaced").of_point
    wrong = []
    for char in map(chr, range(0x110000)):
        if unicodedata.category(char) not in ("Cn", "Cs", "Co"):
            words = len(spaced_words(f"a{char}a"))
            wanted = {2: SEPARATOR, 3: LETTER}.get(words, MARK if len(spaced_words(f"中{char}")) == 1 else ORDINARY)
            if kinds[ord(char)] != wanted:
                wrong.append(f"{ord(char):X}")
    assert wrong == []
    assert (kinds[[0xFADF, 0x18CFF, 0x2A6FF, 0x3FFFD]] == LETTER).all(), "ideographs to come"
    assert {name: np.bincount(kinds_of(name).of_point).tolist()[1] for name in NAMES}["whitespace"] == 29


@pytest.mark.parametrize("name", SCRIPTS)
def test_words_of_scripts(name: str) -> None:
    text = SCRIPTS[name]
    check([text, simplify_text(text), simplify_text(text, numbers="keep"), *text])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([*"".join(SCRIPTS.values()), " ", "x"]), max_size=40).map("".join)
        | st.text(st.characters(exclude_categories=("Cs", "Cn", "Co")), max_size=30),
        max_size=5,
    )
)
@example(["", "中", " 中 ", "中a", "a中", "a"])
def test_words_of_any_text(found: list[str]) -> None:
    check(found)
    check([simplify_text(text) for text in found])


def test_slices_of_a_column_have_their_own_words() -> None:
    column = pl.Series(list(SCRIPTS.values()))
    for low, high in ((0, 3), (3, 9), (9, len(column)), (4, 4)):
        data, start = utf8(column[low:high])
        hashes, first = word_hashes(data, start, kinds_of("spaced"))
        wanted = [hash_of(word) for text in column[low:high] for word in spaced_words(text)]
        assert hashes.tolist() == wanted and first[-1] == len(wanted)


def test_words_of_real_and_hostile_documents(data_folder: Path) -> None:
    found = [d.text[:3000] for d in documents(data_folder, 1500)] + list(hostile_texts().values())
    check(simplify(pl.Series(found)).to_series().to_list())


@pytest.mark.parametrize("unit", ["a", "\n", " ", "中", "\u0301", "\u200b", "က\u102b", "a中", "𠀀 "])
def test_long_texts_of_one_thing(unit: str) -> None:
    text = unit * 300_000
    hashes, first = word_hashes(*utf8(pl.Series([text, "x y"])), kinds_of("spaced"))
    assert np.diff(first).tolist() == [len(spaced_words(text)), 2] and hashes[-1] == hash_of("y")
