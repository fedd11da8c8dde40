"""The source: rows and tombstones, cuts, and what is an archive."""

from __future__ import annotations

import dataclasses
import gzip
import io
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import warc_diseases as wd

from curation.document import COLUMNS, polars_type
from curation.sources.warc import Warc
from curation.stage import Input, Piece

XHTML = "application/xhtml+xml"
PAGE = b"<html><body><p>A page.</p></body></html>"


def one(record: bytes, source: Warc | None = None) -> dict[str, object]:
    """The single row of an archive of one record."""
    rows, _ = wd.read_all(wd.member(record), source=source)
    assert len(rows) == 1
    return rows.row(0, named=True)


def test_a_page_has_every_column_of_its_contract_type() -> None:
    rows, _ = wd.read_all(wd.member(wd.page(7, "WARC-Payload-Digest: sha1:ABC")), "crawl/CC-MAIN-2024-22/x.warc.gz")
    assert set(rows.columns) == {*Warc().adds, "drop_reason", "drop_detail"}
    assert all(rows.schema[name] == polars_type(COLUMNS[name]) for name in rows.columns)
    row = rows.row(0, named=True)
    assert row["doc"] == 3 << 40
    assert row["id"] == "urn:uuid:00000000-0000-0000-0000-000000000007"
    assert row["source"] == "CC-MAIN-2024-22"
    assert row["url"] == "http://example.org/7"
    assert row["fetched_at"] == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert (row["http_status"], row["mime"], row["charset"]) == (200, "text/html", "utf-8;header")
    assert row["payload_digest"] == "sha1:ABC"
    assert row["html"] == wd.HTML % (7, 7)
    assert row["http_headers"].startswith("HTTP/1.1 200 OK\r\nContent-Type")
    assert row["drop_reason"] is None and row["drop_detail"] is None


DROPS = {
    "status": (wd.warc(wd.http(PAGE, status="404 Not Found")), "http_status", "404 not in [200]"),
    "status 0": (wd.warc(wd.http(PAGE, status="0 No Content")), "http_status", "0 not in [200]"),
    "image": (wd.warc(wd.http(b"GIF89a", content_type="image/gif")), "not_html", "image/gif"),
    "typeless": (wd.warc(wd.http(b"%PDF-1.7", content_type=None)), "not_html", "%PDF"),
    "empty": (wd.warc(wd.http(b"")), "empty_payload", "0 bytes"),
    "only a mark": (wd.warc(wd.http(b"\xef\xbb\xbf")), "empty_payload", "byte order mark"),
    "warc-truncated": (wd.page(1, "WARC-Truncated: length"), "truncated", "WARC-Truncated: length"),
    "short": (wd.warc(wd.http(PAGE, "Content-Length: 999")), "truncated", f"{len(PAGE)} bytes of Content-Length 999"),
    "declared": (wd.warc(wd.http(PAGE, "Content-Length: 99999999")), "too_large", "99999999 > 16777216"),
    "bomb": (wd.warc(wd.http(wd.bomb(20), "Content-Encoding: gzip")), "too_large", "more than 16777216"),
    "cut gzip": (wd.warc(wd.http(gzip.compress(PAGE * 50)[:-12], "Content-Encoding: gzip")), "undecodable", "gzip"),
    "noise": (wd.warc(wd.http(bytes(range(128, 256)) * 40)), "undecodable", "replaced"),
    "dns": (wd.warc(b"20080430204825\nexample.org 1 IN A 1.2.3.4"), "no_http", "no HTTP head"),
    "nothing": (wd.warc(b""), "no_http", "no HTTP head"),
    "10 MB of headers": (wd.warc(wd.http(b"", *["X: y"] * 1_700_000)), "no_http", "no HTTP head"),
}


@pytest.mark.parametrize("disease", DROPS)
def test_tombstones(disease: str) -> None:
    record, reason, detail = DROPS[disease]
    row = one(record)
    assert row["drop_reason"] == reason and detail in str(row["drop_detail"])
    assert row["html"] is None and row["charset"] is None
    assert reason in Warc().drops
    assert row["url"] == "http://example.org/0" or "Truncated" in detail


ALIVE = {
    "html without an HTTP head": (wd.warc(PAGE), None, "text/html"),
    "no media type": (wd.warc(wd.http(PAGE, content_type=None)), 200, "text/html"),
    "identified by the crawler": (
        wd.warc(wd.http(b"o", content_type="unk"), "response", 0, None, f"WARC-Identified-Payload-Type: {XHTML}"),
        200,
        XHTML,
    ),
    "gzip named, plain stored": (wd.warc(wd.http(PAGE, "Content-Encoding: gzip")), 200, "text/html"),
    "chunked": (wd.warc(wd.http(b"5\r\n<p>ab\r\n0\r\n\r\n", "Transfer-Encoding: chunked")), 200, "text/html"),
    "wrong chunks": (wd.warc(wd.http(b"3\r\n<p>\r\nab", "Transfer-Encoding: chunked")), 200, "text/html"),
    "line feeds only": (wd.warc(b"HTTP/1.1 200 OK\nContent-Type: text/html\n\n" + PAGE), 200, "text/html"),
}


@pytest.mark.parametrize("case", ALIVE)
def test_pages_that_are_saved(case: str) -> None:
    record, status, mime = ALIVE[case]
    row = one(record)
    assert row["drop_reason"] is None and row["html"]
    assert (row["http_status"], row["mime"]) == (status, mime)


def test_options() -> None:
    row = one(DROPS["status"][0], Warc(statuses=(200, 404), crawl="mine"))
    assert row["drop_reason"] is None and row["source"] == "mine"
    assert one(wd.page(1), Warc(max_page_mb=0.00001))["drop_reason"] == "too_large"
    assert one(DROPS["image"][0], Warc(mimes=("image/gif",)))["html"] == b"GIF89a"


def test_a_missing_record_id_is_the_place() -> None:
    record = wd.page(1).replace(b"WARC-Record-ID", b"X-Record-ID")
    rows, _ = wd.read_all(wd.member(wd.page(0)) + wd.member(record), "a/b.warc.gz")
    assert rows["id"][1] == f"a/b.warc.gz#{len(wd.member(wd.page(0)))}"


def test_records_of_one_member_have_their_own_positions() -> None:
    rows, _ = wd.read_all(wd.members_of_three(4))
    assert rows["doc"].n_unique() == 4 and rows["warc_offset"].n_unique() < 4
    assert rows["warc_length"].null_count() == 4


def test_other_kinds_are_counted() -> None:
    records = [wd.warc(b"x", kind) for kind in ("resource", "revisit", "conversion", "monkeys", "RESPONSE")]
    rows, report = wd.read_all(b"".join(map(wd.member, records)))
    assert report.records == {"resource": 1, "revisit": 1, "conversion": 1, "unknown": 1, "response": 1}
    assert len(rows) == 1


def test_frames_are_bounded() -> None:
    data = wd.healthy_gz(1100)
    piece = Piece(Input(0, "x.warc.gz", "", len(data), ""), 0, len(data))
    frames = [item for item in Warc().read(piece, lambda _: io.BytesIO(data)) if isinstance(item, pl.DataFrame)]
    assert [len(frame) for frame in frames] == [512, 512, 76]
    small = Warc(batch_mb=0.001).read(piece, lambda _: io.BytesIO(data))
    frames = [item for item in small if isinstance(item, pl.DataFrame)]
    sizes = [frame["html"].bin.size().sum() for frame in frames]
    assert all(1000 <= size < 1200 for size in sizes[:-1])


def test_arc_records_are_rows() -> None:
    version = b"1 0 Us\nURL IP-address Archive-date Content-type Archive-length\n"
    head = b"filedesc://x.arc 0.0.0.0 20080430204825 text/plain %d\n" % len(version)
    block = wd.http(PAGE)
    record = b"http://example.org/a b 1.2.3.4 20080430204826 text/html %d\n" % len(block) + block + b"\n"
    zipped = wd.member(head + version) + wd.member(record)
    for data, path in ((head + version + b"\n" + record, "x.arc"), (zipped, "x.arc.gz")):
        rows, report = wd.read_all(data, path)
        assert report.records == {"warcinfo": 1, "response": 1} and report.broken == ()
        row = rows.row(0, named=True)
        assert row["url"] == "http://example.org/a b" and row["html"] == PAGE
        assert row["fetched_at"] == datetime(2008, 4, 30, 20, 48, 26, tzinfo=UTC)
    rows, report = wd.read_all(head + version + b"\n" + b"no line of an arc\n" + record + record, "x.arc")
    assert len(rows) == 2 and len(report.broken) == 1


@pytest.mark.parametrize(
    ("path", "head", "accepted"),
    [
        ("a.warc.gz", wd.healthy_gz()[:512], True),
        ("a.bin", wd.healthy_gz()[:512], True),
        ("a.bin", wd.healthy_plain()[:512], True),
        ("a.bin", b"\r\n\r\n" + wd.healthy_plain()[:500], True),
        ("a.bin", b"leading junk\n" + wd.healthy_plain()[:400], True),
        ("a", b"filedesc://x.arc", True),
        ("a.warc.gz", b"not gzip at all", True),
        ("a.warc.wat.gz", b"\x1f\x8b", True),
        ("a.warc", b"", True),
        ("PROVENANCE.md", b"# About WARC/1.0 files", False),
        ("a.html.gz", wd.member(b"<html>")[:512], False),
        ("a.txt", b"", False),
        ("a.warc.lz4", b"\x04\x22\x4d\x18", False),
        ("a.warc.zst", b"\x28\xb5\x2f\xfd", False),
        ("a.warc.zst", b"", False),
        ("a.warc.gz", b"PK\x03\x04", False),
    ],
)
def test_what_is_an_archive(path: str, head: bytes, accepted: bool) -> None:
    why = Warc().accepts(path, head)
    assert (why is None) is accepted
    assert why is None or why.startswith("not a")


def test_shards() -> None:
    source = Warc(shard_mb=100)
    sizes = [10, 20, 80, 250, 5, 5, 300]
    inputs = [Input(n, f"{n}.{'arc' if n == 6 else 'warc'}.gz", "", size * 10**6, "") for n, size in enumerate(sizes)]
    shards = source.cut(inputs)
    shape = [[(p.input.number, p.start // 10**6, p.end // 10**6) for p in shard] for shard in shards]
    assert shape == [
        [(0, 0, 10), (1, 0, 20)],
        [(2, 0, 80)],
        [(3, 0, 100)],
        [(3, 100, 200)],
        [(3, 200, 250)],
        [(4, 0, 5), (5, 0, 5)],
        [(6, 0, 300)],
    ]
    assert source.cut([]) == []


def test_the_name_of_the_stage() -> None:
    assert Warc().name == "sources/warc" and Warc().short_name == "warc"
    assert dataclasses.is_dataclass(Warc) and Warc() == Warc()


def test_no_archive_of_the_data_folder_loses_a_byte(data_folder: Path) -> None:
    seen = 0
    for path in sorted(data_folder.glob("warc-*/**/*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if Warc().accepts(path.name, data[:512]) is None:
            wd.read_all(data, path.name)
            seen += 1
    assert seen > 80


def test_cuts_of_real_archives_give_the_same_rows(data_folder: Path) -> None:
    names = ("dolma/sample-0000.warc.gz", "aut/warc/issue-493.warc", "warc2zim/data/single-page-test.warc")
    for name in names:
        data = (data_folder / "warc-general" / name).read_bytes()
        whole, _ = wd.read_all(data, name)
        for step in (7, 31):
            rows, _, redone = wd.read_in_pieces(data, [len(data) * k // step for k in range(1, step)], name)
            assert rows.equals(whole)
            assert redone == 0
