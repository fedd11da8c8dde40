"""HTTP heads, chunks and content codings, healthy and hostile."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import brotli
import pyarrow as pa
import pytest
import warc_diseases as wd
from hypothesis import given
from hypothesis import strategies as st

from curation.sources.payload import Broken, dechunk, decode_body, parse_http, split_content_type

TEXT = b"<html><body>" + b"some words of a page " * 400 + b"</body></html>"
CAP = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    squeezer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return squeezer.compress(data) + squeezer.flush()


CODED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT[:500]) + gzip.compress(TEXT[500:]),
    "deflate": zlib.compress(TEXT),
    "br": brotli.compress(TEXT),
    "zstd": pa.compress(TEXT, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("coding", CODED)
def test_each_coding_is_undone(coding: str) -> None:
    assert decode_body(CODED[coding], (coding,), CAP) == TEXT


def test_raw_deflate_and_nested_codings() -> None:
    assert decode_body(raw_deflate(TEXT), ("deflate",), CAP) == TEXT
    assert decode_body(brotli.compress(gzip.compress(TEXT)), ("gzip", "br"), CAP) == TEXT
    three = decode_body(TEXT, ("gzip", "gzip", "gzip"), CAP)
    assert isinstance(three, Broken) and three.reason == "undecodable" and "3 nested" in three.detail


@pytest.mark.parametrize("coding", CODED)
def test_a_body_that_is_not_coded_is_taken_as_it_is(coding: str) -> None:
    assert decode_body(TEXT, (coding,), CAP) == TEXT
    assert decode_body(b"", (coding,), CAP) == b""


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_cut_body_is_undecodable(coding: str) -> None:
    coded = decode_body(CODED[coding][:-9], (coding,), CAP)
    assert isinstance(coded, Broken) and coded.reason == "undecodable"
    assert coding in coded.detail and "decoded bytes" in coded.detail


def test_an_unknown_coding_is_undecodable_unless_the_body_is_plain() -> None:
    assert decode_body(TEXT, ("sdch",), CAP) == TEXT
    assert isinstance(decode_body(b"\x00\x01", ("sdch",), CAP), Broken)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_bombs_stop_at_the_cap(coding: str) -> None:
    zeros = bytes(64 << 20)
    coded = {
        "gzip": lambda: wd.bomb(64),
        "deflate": lambda: zlib.compress(zeros),
        "br": lambda: brotli.compress(zeros, quality=1),
        "zstd": lambda: pa.compress(zeros, codec="zstd", asbytes=True),
    }[coding]()
    tracemalloc.start()
    decoded = decode_body(coded, (coding,), CAP)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(decoded, Broken) and decoded.reason == "too_large"
    assert peak < 8 << 20


def test_chunks() -> None:
    assert dechunk(b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n") == b"hello world"
    assert dechunk(b"5\nhello\n0\n\n") == b"hello"
    assert dechunk(b"<html>not chunked at all") == b"<html>not chunked at all"


def test_from_a_wrong_chunk_length_on_the_rest_is_taken_as_it_is() -> None:
    assert dechunk(b"5\r\nhello\r\nzz\r\n world") == b"hellozz\r\n world"
    assert dechunk(b"ff\r\nhello") == b"hello"


@given(st.binary(max_size=300))
def test_hostile_bodies_never_raise(body: bytes) -> None:
    dechunk(body)
    parse_http(body)
    parse_http(b"HTTP/1.1 200 OK\r\n" + body)
    for coding in CODED:
        for prefix in (b"", CODED[coding][:12]):
            assert isinstance(decode_body(prefix + body, (coding,), CAP), bytes | Broken)


def test_heads() -> None:
    head = parse_http(wd.http(b"x", "Content-Encoding: gzip, BR", "content-length: 12", "Transfer-Encoding:\r\n chunked"))
    assert head is not None
    assert (head.status, head.content_type, head.charset, head.length) == (200, "text/html", "utf-8", 12)
    assert head.codings == ("gzip", "br") and head.chunked
    lines = parse_http(b"HTTP/1.0 404 Not Found\nContent-Type: TEXT/HTML\n\nbody")
    assert lines is not None and (lines.status, lines.content_type, lines.size) == (404, "text/html", 48)
    twice = parse_http(b"HTTP/1.1 200\r\nContent-Type: text/plain\r\nContent-Type: text/html\r\nContent-Length: -4\r\n\r\n")
    assert twice is not None and (twice.content_type, twice.length) == ("text/html", None)
    assert parse_http(b"com,example)/ 2011") is None


def test_a_head_of_ten_megabytes_is_no_head() -> None:
    assert parse_http(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2_000_000 + b"\r\n") is None


def test_content_types() -> None:
    assert split_content_type('Text/HTML; Charset="UTF-8"') == ("text/html", "UTF-8")
    assert split_content_type("; charset=latin1") == ("", "latin1")
    assert split_content_type("text/html, text/plain") == ("text/html", None)
