"""Framing: every byte of an archive is a record's or in a broken range, and cuts change nothing."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import polars as pl
import pytest
import warc_diseases as wd
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from curation.sources.warc import Warc

ALL = {"warcinfo": 1, "request": 6, "response": 6}
SHAPES = {
    "gz": (wd.healthy_gz, "x.warc.gz"),
    "plain": (wd.healthy_plain, "x.warc"),
    "one member": (wd.whole_file_one_member, "x.warc.gz"),
    "members of three": (wd.members_of_three, "x.warc.gz"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_healthy_archives_lose_nothing(shape: str) -> None:
    build, path = SHAPES[shape]
    rows, report = wd.read_all(build(), path)
    assert report.records == ALL
    assert report.broken == ()
    assert rows["html"].to_list() == [wd.HTML % (n, n) for n in range(6)]
    assert rows["doc"].is_sorted() and rows["doc"].n_unique() == 6


@pytest.mark.parametrize("shape", SHAPES)
def test_every_cut_gives_the_same_rows(shape: str) -> None:
    build, path = SHAPES[shape]
    data = build(2)
    whole, _ = wd.read_all(data, path)
    for cut in range(1, len(data), 1 if len(data) < 1500 else 3):
        rows, _, redone = wd.read_in_pieces(data, [cut], path)
        assert_frame_equal(rows, whole)
        assert redone == 0


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (wd.captured_warc_gz(0), "x.warc.gz"),
        (wd.captured_warc_gz(6), "x.warc.gz"),
        (wd.captured_warc_plain(), "x.warc"),
        (wd.record_over_two_members(), "x.warc.gz"),
    ],
    ids=["captured gz, stored", "captured gz, deflated", "captured plain", "over two members"],
)
def test_every_cut_through_a_captured_archive_gives_the_same_rows(data: bytes, path: str) -> None:
    whole, _ = wd.read_all(data, path)
    for cut in range(1, len(data), 1 if len(data) < 2500 else 5):
        rows, _, _ = wd.read_in_pieces(data, [cut], path)
        assert_frame_equal(rows, whole)


def test_phantoms_are_not_records() -> None:
    # The first member header at or after a cut inside the captured archive is a phantom; the next true one is page 3.
    data = wd.captured_warc_gz(0)
    starts = [i for i in range(len(data)) if data.startswith(b"\x1f\x8b\x08", i)]
    assert len(starts) > 4
    for start in starts:
        _, report = wd.read_piece(Warc(), data, "x.warc.gz", start, len(data))
        assert report.records.get("warcinfo", 0) == 0


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(SHAPES)), st.data())
def test_damage_is_accounted_for_and_cuts_do_not_matter(shape: str, draw: st.DataObject) -> None:
    build, path = SHAPES[shape]
    data = build(4)
    for at in draw.draw(st.lists(st.integers(0, len(data) - 1), max_size=3)):
        data = wd.damaged(data, at, draw.draw(st.integers(1, 255)))
    data = data[: draw.draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))]
    data += draw.draw(st.sampled_from([b"", b"\0" * 700, b"trailing garbage", b"\r\n\r\n"]))
    whole, _ = wd.read_all(data, path)
    cuts = draw.draw(st.lists(st.integers(1, max(1, len(data) - 1)), max_size=3, unique=True))
    rows, _, _ = wd.read_in_pieces(data, [cut for cut in cuts if cut < len(data)], path)
    assert_frame_equal(rows, whole)


def test_damage_in_one_member_costs_one_member() -> None:
    records = wd.healthy_records()
    starts = wd.member_starts(records)
    data = wd.damaged(wd.healthy_gz(), starts[6] + 120)  # the third page
    rows, report = wd.read_all(data)
    assert report.broken == ((starts[6], starts[7], "damaged gzip data"),)
    assert report.records["request"] == 6
    alive = rows.filter(pl.col("drop_reason").is_null())
    assert alive["html"].to_list() == [wd.HTML % (n, n) for n in range(6) if n != 2]
    assert rows.filter(pl.col("drop_reason").is_not_null())["drop_reason"].to_list() in ([], ["truncated"])


def test_a_wrong_crc_is_damage() -> None:
    records = wd.healthy_records()
    starts = wd.member_starts(records)
    rows, report = wd.read_all(wd.damaged(wd.healthy_gz(), starts[3] - 6))
    assert report.broken == ((starts[2], starts[3], "damaged gzip data"),)
    assert rows["drop_reason"].to_list() == ["truncated", *[None] * 5]
    assert rows["drop_detail"][0].startswith("record block: ")


@pytest.mark.parametrize(("tail", "why"), [(b"\0" * 1000, "zero bytes"), (b"junk" * 9, "no gzip member begins here")])
def test_trailing_bytes_are_a_broken_range(tail: bytes, why: str) -> None:
    data = wd.healthy_gz()
    rows, report = wd.read_all(data + tail)
    assert report.records == ALL
    assert report.broken == ((len(data), len(data) + len(tail), why),)


def test_a_member_that_is_no_record_is_a_broken_range() -> None:
    first, odd, last = wd.member(wd.page(1)), wd.member(b"just some text\n"), wd.member(wd.page(2))
    rows, report = wd.read_all(first + odd + last)
    assert report.broken == ((len(first), len(first + odd), "a gzip member that holds no record"),)
    assert rows["html"].null_count() == 0 and len(rows) == 2


def test_text_between_the_records_of_a_member_is_noted() -> None:
    rows, report = wd.read_all(wd.member(wd.page(1) + b"not a record\n" + wd.page(2)))
    assert len(rows) == 2
    assert len(report.broken) == 1 and report.broken[0][2].startswith("13 inflated bytes")


def test_a_cut_file_ends_in_a_tombstone() -> None:
    data = wd.healthy_gz()
    rows, report = wd.read_all(data[:-20])
    assert report.broken[-1][2] == "the file ends inside a gzip member"
    assert rows["drop_reason"].to_list()[-1] == "truncated"
    data = wd.healthy_plain()
    rows, report = wd.read_all(data[:-30], "x.warc")
    assert rows["drop_reason"].to_list()[-1] == "truncated"
    assert report.broken[-1][1] == len(data) - 30


@pytest.mark.parametrize(("claimed", "reason"), [(100_000, "truncated"), (450, "truncated"), (60, "truncated")])
def test_a_wrong_content_length_costs_its_record_only(claimed: int, reason: str) -> None:
    wrong = wd.warc(wd.http(wd.HTML % (7, 7)), "response", 7, claimed)
    rows, _ = wd.read_all(wd.page(1) + wrong + wd.page(2) + wd.page(3), "x.warc")
    assert rows["drop_reason"].to_list() == [None, reason, None, None]
    rows, _ = wd.read_all(b"".join(map(wd.member, (wd.page(1), wrong, wd.page(2), wd.page(3)))))
    assert rows["drop_reason"].to_list() == [None, reason, None, None]


@pytest.mark.parametrize("length", ["-5", "abc", "", "9" * 30])
def test_a_content_length_that_is_no_length_is_no_record(length: str) -> None:
    odd = wd.warc(wd.http(b"<html>"), "response", 7, length)
    rows, report = wd.read_all(wd.page(1) + odd + wd.page(2), "x.warc")
    assert len(rows) == 2
    assert report.broken == ((len(wd.page(1)), len(wd.page(1) + odd), "no record begins here"),)
    rows, report = wd.read_all(b"".join(map(wd.member, (wd.page(1), odd, wd.page(2)))))
    assert len(rows) == 2 and len(report.broken) == 1


@pytest.mark.parametrize("data", [b"", b"\0", b"\x1f", b"\x1f\x8b", b"W", bytes(100_000), b"WARC/1.0\r\n" * 300])
@pytest.mark.parametrize("path", ["x.warc", "x.warc.gz", "x.arc", "x.arc.gz"])
def test_files_of_nothing(data: bytes, path: str) -> None:
    rows, report = wd.read_all(data, path)
    assert len(rows) == 0
    assert sum(end - start for start, end, _ in report.broken) == len(data)


def test_a_record_over_two_members_is_one_record() -> None:
    rows, report = wd.read_all(wd.record_over_two_members())
    assert rows["drop_reason"].null_count() == 2 and report.broken == ()
    assert rows["warc_length"][0] == rows["warc_offset"][1]


def test_offsets_and_lengths_find_the_record_again() -> None:
    for data, path in ((wd.healthy_gz(), "x.warc.gz"), (wd.healthy_plain(), "x.warc")):
        rows, _ = wd.read_all(data, path)
        for row in rows.iter_rows(named=True):
            raw = data[row["warc_offset"] : row["warc_offset"] + row["warc_length"]]
            raw = zlib.decompress(raw, 31) if path.endswith("gz") else raw
            assert raw.startswith(b"WARC/1.0") and row["html"] in raw


def test_a_huge_record_is_read_in_bounded_memory() -> None:
    squeezer = zlib.compressobj(1, zlib.DEFLATED, 31)
    head = wd.http(b"")
    parts = [squeezer.compress(wd.warc(b"", "response", 5, len(head) + (300 << 20))[:-4] + head)]
    parts += [squeezer.compress(bytes(1 << 20)) for _ in range(300)]
    data = wd.member(wd.page(1)) + b"".join(parts)
    data += squeezer.compress(b"\r\n\r\n") + squeezer.flush() + wd.member(wd.page(2))
    tracemalloc.start()
    rows, report = wd.read_all(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows["drop_reason"].to_list() == [None, "too_large", None]
    assert peak < 90 << 20
    assert report.broken == ()


def test_a_piece_in_which_no_record_begins_is_empty() -> None:
    data = wd.whole_file_one_member(200)
    _, report = wd.read_piece(Warc(), data, "x.warc.gz", len(data) // 2, len(data))
    assert report.first == report.stop == len(data) and not report.records


def test_an_exact_piece_that_starts_past_its_end_is_empty() -> None:
    data = wd.healthy_gz()
    _, report = wd.read_piece(Warc(), data, "x.warc.gz", 700, 600, exact=True)
    assert (report.first, report.stop, dict(report.records)) == (700, 700, {})


def test_random_cuts_of_a_larger_archive() -> None:
    data = wd.healthy_gz(120)
    whole, _ = wd.read_all(data)
    rng = random.Random(5)
    for _ in range(20):
        rows, _, redone = wd.read_in_pieces(data, rng.sample(range(1, len(data)), 4))
        assert redone == 0
        assert_frame_equal(rows, whole)
