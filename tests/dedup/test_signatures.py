"""MinHash signatures: held to datatrove's own code, to plain Python, and to values that must not change."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_corpus import documents, hostile_texts, texts
from word_checks import spaced_words

from curation.dedup import signatures
from curation.dedup.signatures import HASHES, Family, Signer, band_keys, bit_sketch, minima
from curation.errors import RecipeError
from curation.text.byte_hashes import hash_byte_strings
from curation.text.minhash_kernels import native_shingles
from curation.text.simplify import simplify, simplify_text
from curation.text.words import segmenter

THEIR_HASHES = {"xxhash64": ("xxhash", 64), "sha1_64": ("sha1", 64), "xxhash32": ("xxhash", 32), "sha1_32": ("sha1", 32)}
SAMPLE = [
    "The quick brown fox jumps over the lazy dog. Café №12 costs $3,450.75 on Monday!",
    "only four words here",
    "?!",
    "渡轮早上八点出发,東京Tokyoへ。",
]

GOLD_ROWS = [0, 1, 3]
GOLD_VALUES = [[326909558, 618425278, 3015307272], [3724084468, 2310355366, 1918049348], [799939881, 1876848474, 448404717]]
GOLD_FURTHER = [[3330180490, 2079236073], [540538437, 2055112053], [247051141, 3097542813]]
GOLD_KEYS = [
    [0xC77E74875C61D3FE, 0x385D0F54D9F5779C],
    [0x6E288C6F8BDA7D4C, 0xDCE506140A52F4AA],
    [0xAB0FD9ECDA1E54B7, 0x91D8C59CF7840E26],
]
GOLD_BITS = [
    [0x22F82475BBBD01D4, 0xFE565C1218F5E7D1],
    [0x34BB8A3242E9EA0C, 0xE82D5AAF50331A35],
    [0x22B5777C941D63B9, 0x8459F7848E9B2021],
]


def sign(texts: list[str | None], **fields: Any) -> signatures.Signed:
    return signer(Family(**fields)).sign(pl.Series(texts, dtype=pl.String))


@cache
def signer(family: Family) -> Signer:
    return Signer(family)


# ------------------------------------------------------------------------------------------------- hashes


def test_byte_hashes_are_those_of_the_published_functions() -> None:
    import xxhash

    rnd = random.Random(1)
    strings = [rnd.randbytes(rnd.randrange(200)) for _ in range(100_000)] + [bytes([i]) * i for i in range(256)]
    strings += [rnd.randbytes(n) for n in (1_000, 4_095, 4_096, 100_003)]
    data = np.frombuffer(b"".join(strings), np.uint8)
    start = np.cumsum([0, *map(len, strings)])
    wanted = {
        "xxhash64": xxhash.xxh64_intdigest,
        "xxhash32": xxhash.xxh32_intdigest,
        "sha1_64": lambda s: int.from_bytes(hashlib.sha1(s).digest()[:8], "little"),
        "sha1_32": lambda s: int.from_bytes(hashlib.sha1(s).digest()[:4], "little"),
    }
    assert set(wanted) == set(HASHES)
    for name, kind in HASHES.items():
        found = hash_byte_strings(data, start, kind)
        assert np.array_equal(found, np.array([wanted[name](s) for s in strings], np.uint64)), name


# ------------------------------------------------------------------------------------- the reference's values


@cache
def their_step(name: str, language: str = "eng", **options: Any) -> Any:
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig

    function, precision = THEIR_HASHES[name]
    config = MinhashConfig(hash_config=HashConfig(precision=precision, hash_fc=function), **options)
    return MinhashDedupSignature("unused", config, language=language)


@pytest.fixture
def quick_reference(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """datatrove switches spaCy's cache of split words off for every text; in use, the words are the same, ten times faster."""
    from spacy.language import Language

    monkeypatch.setattr(Language, "memory_zone", lambda self, mem=None: contextlib.nullcontext(mem))
    yield


def assert_same_as_reference(texts: list[str], ours: signatures.Signed, step: Any) -> int:
    """Every text's number of shingles and whole signature; returns how many have one."""
    for i, text in enumerate(texts):
        shingles = step.get_shingles(text)
        assert ours.shingles[i] == shingles.size, text[:200]
        if shingles.size:
            assert ours.values[i].tolist() == sum(step.get_signature(shingles), []), text[:200]
    return int(ours.present.sum())


@pytest.mark.parametrize("name", HASHES)
def test_reference_vectors(name: str, data_folder: Path) -> None:
    vectors = json.loads((data_folder.parent / "oracles" / "minhash.json").read_text())["vectors"]
    mine = [v for v in vectors if (v["hash"], v["precision"]) == THEIR_HASHES[name]]
    assert len(mine) == 3
    for vector in mine:
        ours = signer(Family(mode="datatrove", hash=name))
        text = pl.Series([vector["text"]])
        assert ours.shingle_hashes(text)[0].tolist() == vector["shingle_hashes"]
        signed = ours.sign(text)
        assert signed.shingles.tolist() == [vector["n_shingles"]]
        if vector["signature"]:
            assert signed.values[0].tolist() == sum(vector["signature"], [])
            assert signatures.permutation_parameters(ours.family)[0][:3].tolist() == vector["a0"]


@pytest.mark.usefixtures("quick_reference")
@pytest.mark.parametrize(("name", "count"), [("xxhash64", 5500), ("sha1_64", 5500), ("xxhash32", 500), ("sha1_32", 500)])
def test_real_documents_have_the_reference_s_signatures(name: str, count: int, data_folder: Path) -> None:
    found = [d.text[:1000] for d in documents(data_folder, count)]
    assert_same_as_reference(found, sign(found, mode="datatrove", hash=name), their_step(name))


def test_whole_real_documents_have_the_signatures_of_the_reference_as_shipped(data_folder: Path) -> None:
    found = [d.text for d in documents(data_folder, 300) if len(d.text) < 20_000]
    assert assert_same_as_reference(found, sign(found, mode="datatrove"), their_step("xxhash64")) > 150


@pytest.mark.usefixtures("quick_reference")
@pytest.mark.parametrize(("language", "theirs"), [("deu_Latn", "deu"), ("fra_Latn", "fra")])
def test_other_languages_have_the_reference_s_signatures(language: str, theirs: str, data_folder: Path) -> None:
    found = [d.text[:1000] for d in documents(data_folder, 200)]
    ours = sign(found, mode="datatrove", tokenizer=language)
    assert assert_same_as_reference(found, ours, their_step("xxhash64", theirs)) > 100


@pytest.mark.parametrize("name", HASHES)
def test_hostile_texts_have_the_reference_s_signatures(name: str) -> None:
    found = list(hostile_texts().values())
    assert_same_as_reference(found, sign(found, mode="datatrove", hash=name), their_step(name))


def test_other_settings_have_the_reference_s_signatures() -> None:
    from datatrove.utils.text import TextNormConfig

    found = list(hostile_texts().values())
    step = their_step("xxhash64", n_grams=3, num_buckets=5, hashes_per_bucket=2, seed=77)
    ours = sign(found, mode="datatrove", ngram=3, bands=5, rows=2, seed=77)
    assert assert_same_as_reference(found, ours, step) > 50
    step = their_step("xxhash64")
    for options, fields in (
        ({"norm_numbers": False}, {"numbers": "keep"}),
        (dict.fromkeys(TextNormConfig.__dataclass_fields__, False), {"normalise": False}),
    ):
        step.config.norm_config = TextNormConfig(**options)
        assert_same_as_reference(found, sign(found, mode="datatrove", **fields), step)
    step.config.norm_config = TextNormConfig()


@settings(max_examples=150, deadline=None)
@given(st.lists(texts, max_size=4))
def test_any_text_has_the_reference_s_signature(found: list[str]) -> None:
    assert_same_as_reference(found, sign(found, mode="datatrove"), their_step("xxhash64"))


def test_the_sketch_s_permutations_change_none_of_the_reference_s() -> None:
    few, many = (Family(mode="datatrove", bands=bands) for bands in (14, 20))
    assert sign(SAMPLE, mode="datatrove").further.shape == (4, 16)
    assert sign(SAMPLE, mode="datatrove", bands=20).further.shape == (4, 0)
    assert len(signatures.permutation_parameters(few)[0]) == 128
    assert len(signatures.permutation_parameters(many)[0]) == 160


# ------------------------------------------------------------------------------------------ the native family


def plain_native(text: str, family: Family) -> tuple[int, list[int]]:
    """Shingles and values of one text, in plain Python, from the formulas alone."""
    mask = (1 << 64) - 1

    def mixed(x: int) -> int:
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & mask
        x = (x ^ x >> 27) * 0x94D049BB133111EB & mask
        return x ^ x >> 31

    def mixed32(x: int) -> int:
        x = (x ^ x >> 16) * 0x85EBCA6B & 0xFFFFFFFF
        x = (x ^ x >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
        return x ^ x >> 16

    def word_hash(word: str) -> int:
        value = 0
        for byte in word.encode():
            value = (value * 0x9E3779B97F4A7C15 + byte + 1) & mask
        return value

    words = spaced_words(simplify_text(text, numbers=family.numbers))
    if not words:
        return 0, []
    n = min(family.ngram, len(words))
    hashes = []
    for i in range(len(words) - n + 1):
        value = 0
        for word in words[i : i + n]:
            value = (value * 0xD1342543DE82EF95 + mixed(word_hash(word))) & mask
        hashes.append(mixed(value) >> 32)
    a, b = (x.tolist() for x in signatures.permutation_parameters(family))
    least = [min((x * m + c) & 0xFFFFFFFF for x in hashes) for m, c in zip(a, b, strict=True)]
    return len(hashes), [mixed32(v ^ m) for v, m in zip(least, a, strict=True)]


@settings(max_examples=40, deadline=None)
@given(texts, st.integers(1, 7))
def test_native_signatures_follow_the_formulas(text: str, ngram: int) -> None:
    text = "".join(c for c in text if unicodedata.category(c) != "Cn")  # of which versions of Unicode differ
    family = Family(ngram=ngram, bands=3, rows=5)
    signed = signer(family).sign(pl.Series([text]))
    count, values = plain_native(text, family)
    assert signed.shingles.tolist() == [count]
    if count:
        assert [*signed.values[0].tolist(), *signed.further[0].tolist()] == values


@given(st.lists(st.one_of(texts, st.sampled_from(list(hostile_texts().values()))), max_size=4))
@settings(deadline=None)
def test_words_between_spaces_are_those_of_the_segmenter(found: list[str]) -> None:
    """White space alone has a kernel of its own; what it hashes is what the segmenter finds, simplified or not."""
    column = pl.Series(found, dtype=pl.String)
    for normalise, spelled in ((True, simplify(column).to_series()), (False, column)):
        family = Family(tokenizer="whitespace", normalise=normalise)
        wanted = segmenter("whitespace").split(spelled)
        by_hand, begin = native_shingles(wanted.hash, wanted.first, family.ngram)
        values = minima(by_hand, begin, family, *signatures.permutation_parameters(family))
        assert np.array_equal(signer(family).sign(column).values, values[:, : family.permutations])


def test_native_signatures_never_change() -> None:
    """Signatures lie on disk between runs: another value here means that old and new ones no longer meet."""
    signed = sign(SAMPLE)
    assert signed.shingles.tolist() == [12, 1, 0, 8] and signed.words.tolist() == [16, 4, 0, 12]
    assert signed.values.dtype == np.uint32 and signed.values.shape == (4, 112) and signed.further.shape == (4, 16)
    assert signed.values[GOLD_ROWS][:, [0, 1, 111]].tolist() == GOLD_VALUES
    assert signed.further[GOLD_ROWS][:, [0, 15]].tolist() == GOLD_FURTHER
    assert band_keys(signed, Family())[GOLD_ROWS][:, [0, 13]].tolist() == GOLD_KEYS
    assert bit_sketch(signed)[GOLD_ROWS].tolist() == GOLD_BITS


EDITED = {
    "Chinese": (
        "每天早上八点,渡轮从码头开往小岛,船程大约四十分钟。船上有一间小小的餐厅,卖热茶和刚烤好的面包。夏天游客很多,最好提前买票。",
        "岛上没有汽车,人们骑自行车或者步行。山顶的灯塔建于一九零四年,到现在还在使用。",
        "岛上不许开车,大家都走路去海边。山顶的灯塔建于一九零四年,到现在还在使用。",
        "面粉、清水、盐和酵母放进大碗里搅拌均匀,盖上湿布静置一个小时,然后揉成圆形,放入很热的烤箱,直到表面变成金黄色为止。",
    ),
    "Japanese": (
        "フェリーは毎朝八時に港を出て、四十分ほどで島に着きます。船の中には小さな食堂があり、温かいお茶と焼きたてのパンを売っています。",
        "島には自動車がなく、人々は自転車に乗るか歩いています。山の上の灯台は今も使われています。",
        "島では車の運転が禁じられ、観光客も歩いて海へ行きます。山の上の灯台は今も使われています。",
        "小麦粉と水と塩と酵母を大きな鉢に入れてよく混ぜ、濡れた布をかけて一時間ほど休ませてから、丸めて熱い窯で焼き上げる。",
    ),
    "Thai": (
        "เรือข้ามฟากออกจากท่าทุกเช้าเวลาแปดโมงและใช้เวลาประมาณสี่สิบนาทีกว่าจะถึงเกาะบนเรือมีร้านอาหารเล็กๆขายชาร้อนและขนมปังอบใหม่",
        "บนเกาะไม่มีรถยนต์ผู้คนขี่จักรยานหรือเดินเท้าประภาคารบนยอดเขายังใช้งานอยู่จนถึงทุกวันนี้",
        "บนเกาะห้ามขับรถทุกคนจึงเดินไปทะเลประภาคารบนยอดเขายังใช้งานอยู่จนถึงทุกวันนี้",
        "ใส่แป้งน้ำเกลือและยีสต์ลงในชามใบใหญ่คนให้เข้ากันคลุมด้วยผ้าชื้นพักไว้หนึ่งชั่วโมงแล้วปั้นเป็นก้อนกลม",
    ),
}
"""Made up: the beginning of a text, how it goes on in one edition and in another, and another text."""


@pytest.mark.parametrize("language", EDITED)
def test_scripts_without_spaces_have_shingles(language: str) -> None:
    """An edited sentence leaves two texts as alike as their shingles say; another text is alike by chance only."""

    def shingles(text: str) -> set[tuple[str, ...]]:
        words = spaced_words(simplify_text(text))
        return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}

    begin, end, edited, other = EDITED[language]
    found = [begin + end, begin + edited, other]
    one, *others = map(shingles, found)
    similarity, chance = (len(one & two) / len(one | two) for two in others)
    assert 0.5 < similarity < 0.9 and chance < 0.01 and len(one) > 60
    estimates = []
    for seed in range(20):
        values = sign(list(found), seed=seed).values
        estimates.append([(values[0] == values[k]).mean() for k in (1, 2)])
    # 20 families of 112 values: the standard deviation of an estimate's mean is below 0.011
    near, far = np.mean(estimates, axis=0)
    assert abs(near - similarity) < 0.04 and abs(far - chance) < 0.004


def test_short_and_empty_texts() -> None:
    found = ["a b c d", "A, b; c d!", "a b c", "", None, " \n\t", "...", "a b c d e"]
    native = sign(found)
    assert native.shingles.tolist() == [1, 1, 1, 0, 0, 0, 0, 1]
    assert native.words.tolist() == [4, 4, 3, 0, 0, 0, 0, 5]
    assert native.present.tolist() == [True, True, True, False, False, False, False, True]
    assert np.array_equal(native.values[0], native.values[1])
    for other in (2, 7):  # short texts meet those of the same words and no others
        assert not (native.values[0] == native.values[other]).any()
    reference = sign(found, mode="datatrove")
    assert reference.shingles.tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    assert reference.words.tolist() == [4, 4, 3, 0, 0, 0, 0, 5]


@pytest.mark.parametrize("mode", signatures.MODES)
def test_no_texts(mode: str) -> None:
    signed = sign([], mode=mode)
    assert signed.values.shape == (0, 112) and signed.further.shape == (0, 16) and len(signed.shingles) == 0
    assert band_keys(signed, Family(mode=mode)).shape == (0, 14) and bit_sketch(signed).shape == (0, 2)


@pytest.mark.parametrize(
    "fields", [{}, {"mode": "datatrove"}, {"tokenizer": "fra_Latn"}, {"tokenizer": "whitespace"}, {"normalise": False}]
)
def test_a_signature_depends_on_its_text_alone(fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str | None] = [*list(hostile_texts().values())[:: 8 if fields.get("tokenizer") == "fra_Latn" else 2], None]
    alone = [sign([text], **fields) for text in found]
    for slice_bytes in (1, 700, 1 << 30):
        monkeypatch.setattr(signatures, "SLICE_BYTES", slice_bytes)
        together = sign(found, **fields)
        for i, one in enumerate(alone):
            assert all(np.array_equal(whole[i], part[0]) for whole, part in zip(together, one, strict=True))


@pytest.mark.parametrize("mode", signatures.MODES)
@pytest.mark.parametrize("text", ["a" * 1_000_000, "\n" * 1_000_000, "a " * 500_000, "\u0301" * 300_000, "中文" * 99_999])
def test_long_hostile_texts(mode: str, text: str) -> None:
    signed = sign([text, "one two three four five six"], mode=mode)
    simplified = simplify_text(text)
    words = len(spaced_words(simplified) if mode == "native" else segmenter("eng_Latn").split(pl.Series([simplified])).size)
    assert signed.words.tolist() == [words, 6]
    assert signed.shingles[0] == (max(0, words - 4) or (words > 0 and mode == "native"))
    assert signed.shingles[1] == 2


def test_the_kernels_are_the_permutations_written_down() -> None:
    rng = np.random.default_rng(7)
    begin = np.array([0, 1, 1, 4, 9, 120])
    for fields in ({}, {"mode": "datatrove"}, {"mode": "datatrove", "hash": "sha1_32"}):
        family = Family(bands=3, rows=3, **fields)
        a, b = signatures.permutation_parameters(family)
        x = rng.integers(0, 2**64, begin[-1], dtype=np.uint64).astype(a.dtype)
        found = minima(x, begin, family, a, b)
        if not family.is_native:
            edges = x.copy()
            edges[:3] = 0, 2**64 - 1, 2**61 - 1
            found = minima(edges, begin, family, a, b)
            values = (edges[:, None] * a + b) % np.uint64(2**61 - 1) & np.uint64(2**family.bits - 1)
            for t in (0, 2, 3, 4):
                assert np.array_equal(found[t], values[begin[t] : begin[t + 1]].min(axis=0).astype(found.dtype))
        assert (found[1] == np.iinfo(found.dtype).max).all()


# ---------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "fast"},
        {"hash": "md5", "mode": "datatrove"},
        {"hash": "sha1_64"},
        {"bands": 0},
        {"bands": 1025},
        {"bands": True},
        {"rows": 0},
        {"rows": 2.0},
        {"ngram": 0},
        {"seed": -1},
        {"seed": 2**32},
        {"numbers": "drop"},
        {"tokenizer": "klingon"},
        {"tokenizer": "spaced", "mode": "datatrove"},
    ],
)
def test_options_that_do_not_fit_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        Family(**fields)
