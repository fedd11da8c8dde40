"""The digest of a payload: the header's word, else that of the bytes the server sent."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from pathlib import Path

import polars as pl
import pytest
import warc_diseases as wd

from curation.sources import heads
from curation.sources.warc import Warc
from curation.stage import Input, Piece, PieceReport

PAGE = b"<html><body><p>A page.</p></body></html>"


def sha1(body: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(body).digest()).decode()


def digest_of(record: bytes) -> str | None:
    rows, _ = wd.read_all(wd.member(record))
    assert rows.height == 1
    return rows["payload_digest"][0]


def test_without_a_header_it_is_made_of_what_was_sent() -> None:
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(PAGE), PAGE)
    zipped = gzip.compress(PAGE)
    assert digest_of(wd.warc(wd.http(PAGE))) == sha1(PAGE)
    assert digest_of(wd.warc(wd.http(chunks, "Transfer-Encoding: chunked"))) == sha1(PAGE)
    assert digest_of(wd.warc(wd.http(zipped, "Content-Encoding: gzip"))) == sha1(zipped)
    assert digest_of(wd.warc(wd.http(PAGE, status="404 Not Found"))) is None, "a tombstone is nobody's twin"


def test_a_header_is_taken_at_its_word() -> None:
    assert digest_of(wd.page(1, "WARC-Payload-Digest: md5:abc")) == "md5:abc"


def read(path: Path) -> pl.DataFrame:
    source, item = Warc(), Input(0, path.name, str(path), path.stat().st_size, "")
    items = list(source.read(Piece(item, 0, item.size), lambda one: path.open("rb")))
    return pl.concat([i for i in items if not isinstance(i, PieceReport)])


@pytest.mark.parametrize("name", ["warc-commoncrawl/resiliparse/warcfile.warc.gz", "warc-general/aut/warc/example.warc.gz"])
def test_real_headers_say_what_would_be_made(name: str, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stated = read(data_folder / name).filter(pl.col("drop_reason").is_null())["payload_digest"]
    monkeypatch.setattr("curation.sources.heads._FIELD", _without_digest())
    made = read(data_folder / name).filter(pl.col("drop_reason").is_null())["payload_digest"]
    assert len(made) > 10 and made.null_count() == 0
    assert made.equals(stated)


def _without_digest() -> re.Pattern[bytes]:
    pattern = heads._FIELD.pattern.replace(b"warc-payload-digest|", b"")
    assert pattern != heads._FIELD.pattern
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE)


def test_an_arc_file_has_digests_too(data_folder: Path) -> None:
    pages = read(data_folder / "warc-general/aut/arc/example.arc.gz").filter(pl.col("drop_reason").is_null())
    assert pages.height > 50 and pages["payload_digest"].str.starts_with("sha1:").all()
