"""Which charset a page is in, and who said so."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.sources.charset import declared, to_utf8

RUSSIAN = "<p>Широкая электрификация южных губерний даст мощный толчок подъёму сельского хозяйства.</p>"
JAPANESE = "<p>吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。①㈱</p>"
BASIC = JAPANESE.replace("①㈱", "")
LONG = "<html>" + "x" * 200
CZECH = "<p>Příliš žluťoučký kůň úpěl ďábelské ódy. Nechť již hříšné saxofony rozezvučí síň úděsnými tóny.</p>"
ENGLISH = "<p>It’s “plain English” with the young people’s café, El Niño and a ™ in " + "many words of it " * 30
META = '<html><head><meta charset="%s"></head>'


@pytest.mark.parametrize(
    ("page", "header", "text", "label"),
    [
        (RUSSIAN.encode("cp1251"), "windows-1251", RUSSIAN, "windows-1251;header"),
        (RUSSIAN.encode("cp1251"), "CP1251", RUSSIAN, "windows-1251;header"),
        (RUSSIAN.encode(), None, RUSSIAN, "utf-8;detected"),
        (b"<p>plain", None, "<p>plain", "utf-8;detected"),
        (b"<p>plain", "latin1", "<p>plain", "windows-1252;header"),
        (codecs.BOM_UTF8 + RUSSIAN.encode(), "latin1", RUSSIAN, "utf-8;bom"),
        (codecs.BOM_UTF16_LE + JAPANESE.encode("utf-16-le"), "utf-8", JAPANESE, "utf-16le;bom"),
        (codecs.BOM_UTF16_BE + JAPANESE.encode("utf-16-be"), None, JAPANESE, "utf-16be;bom"),
        ((LONG + JAPANESE).encode("utf-16-le"), None, LONG + JAPANESE, "utf-16le;detected"),
        ((META % "Shift_JIS" + JAPANESE).encode("cp932"), None, META % "Shift_JIS" + JAPANESE, "shift_jis;meta"),
        ((META % "gb2312" + "中文").encode("gbk"), None, META % "gb2312" + "中文", "gbk;meta"),
        ((META % "utf-16" + RUSSIAN).encode(), None, META % "utf-16" + RUSSIAN, "utf-8;meta"),
        ((RUSSIAN * 20).encode("cp1251"), None, RUSSIAN * 20, "windows-1251;detected"),
        ((RUSSIAN * 20).encode("cp1251"), "utf-8", RUSSIAN * 20, "windows-1251;detected"),
        ((BASIC * 5).encode("iso2022_jp"), None, BASIC * 5, "iso-2022-jp;detected"),
        ((CZECH * 5).encode("cp1250"), None, CZECH * 5, "windows-1250;detected"),
        (ENGLISH.encode("cp1252"), None, ENGLISH, "windows-1252;detected"),
        (RUSSIAN.encode(), "no-such-charset", RUSSIAN, "utf-8;detected"),
    ],
)
def test_witnesses_in_order(page: bytes, header: str | None, text: str, label: str) -> None:
    assert to_utf8(page, header) == (text.encode(), label)


def test_a_few_wrong_bytes_are_forgiven() -> None:
    page = RUSSIAN.encode() * 3 + b"\xff\xfe" + b"tail"
    assert to_utf8(page, "utf-8") == (RUSSIAN.encode() * 3 + "\ufffd\ufffdtail".encode(), "utf-8;header")


def test_noise_is_undecodable() -> None:
    noise = bytes(range(128, 256)) * 40
    found = to_utf8(noise, "utf-8")
    assert isinstance(found, str) and "replaced" in found


def test_a_lone_surrogate_is_replaced() -> None:
    page = codecs.BOM_UTF16_LE + "ab".encode("utf-16-le") + b"\x00\xd8" + "c".encode("utf-16-le")
    assert to_utf8(page, None) == ("ab\ufffdc".encode(), "utf-16le;bom")


def test_zero_bytes_are_text() -> None:
    assert to_utf8(b"<p>a\0b\0", None) == (b"<p>a\0b\0", "utf-8;detected")


def test_declarations() -> None:
    assert declared(b'<?xml version="1.0" encoding="ISO-8859-2"?><html>') == "ISO-8859-2"
    assert declared(b'<META http-equiv=Content-Type content="text/html; charset=koi8-r">') == "koi8-r"
    assert declared(b'<!-- <meta charset="latin1"> --><meta charset=utf-8>') == "utf-8"
    assert declared(b"<p>charset=latin1") is None
    assert declared(b" " * 5000 + b"<meta charset=utf-8>") is None


@given(st.binary(max_size=400), st.sampled_from([None, "utf-8", "utf-16", "shift_jis", "euc-kr", "big5", "hz-gb-2312"]))
def test_whatever_comes_back_is_utf8_or_words(page: bytes, header: str | None) -> None:
    found = to_utf8(page, header)
    if isinstance(found, tuple):
        found[0].decode("utf-8")
        assert found[1].partition(";")[2] in ("bom", "header", "meta", "detected")
    else:
        assert found
