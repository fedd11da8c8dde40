"""slices: what is written is read back, slice by slice, and every damaged byte is noticed."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import DamagedPart
from curation.parts import PARTS
from curation.plan import PartRef
from curation.slices import cut_by_partition, read_columns, read_slice, read_slices, slice_rows, write_slices
from curation.storage import Folder

TYPES = {"doc": pl.UInt64, "key": pl.Binary, "name": pl.String, "tos": pl.List(pl.UInt64), "partition": pl.UInt32}
ROWS = st.lists(
    st.tuples(
        st.integers(0, 2**64 - 1), st.none() | st.binary(max_size=9), st.none() | st.text(max_size=5),
        st.none() | st.lists(st.integers(0, 2**64 - 1), max_size=3), st.integers(0, 6),
    ),
    max_size=40,
)  # fmt: skip


def stored(folder: Folder, rows: pl.DataFrame, count: int) -> PartRef:
    folder.make(PARTS)
    out = io.BytesIO()
    assert (
        write_slices(out, rows.clear().drop("partition"), cut_by_partition(rows) if rows.height else (), count) == rows.height
    )
    written = folder.write(f"{PARTS}/some.parquet", lambda stream: stream.write(out.getvalue()))
    return PartRef("some.parquet", tuple(rows.columns), rows.height, "", written.sha256, written.bytes, count)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, more=st.integers(0, 3))
def test_slices_are_read_as_they_were_written(rows: list[tuple], more: int) -> None:
    frame = pl.DataFrame(rows, schema=TYPES, orient="row")
    folder, count = Folder("memory://slices"), 7 + more
    part = stored(folder, frame, count)
    for number in range(count):
        expected = frame.filter(pl.col("partition") == number).drop("partition")
        found = read_slice(folder, part, number)
        assert slice_rows(folder, part, number) == expected.height
        assert (found is None and expected.is_empty()) or (found is not None and found.equals(expected))
    whole = frame.sort("partition", maintain_order=True).drop("partition")
    assert pl.concat([read_columns(folder, part), *read_slices(folder, part)]).equals(whole)
    assert read_columns(folder, part).schema == whole.schema
    with pytest.raises(IndexError):
        read_slice(folder, part, count + 1)


def test_every_damaged_byte_is_noticed(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"doc": range(30), "key": [b"k"] * 30, "name": ["n"] * 30, "tos": [[1]] * 30, "partition": [0, 2, 4] * 10}, schema=TYPES
    )
    folder = Folder(str(tmp_path))
    part = stored(folder, frame, 5)
    file = tmp_path / PARTS / part.file
    content = file.read_bytes()
    undamaged = [read_slice(folder, part, number) for number in range(5)]
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        noticed = 0
        for number in range(6):
            try:
                found = read_slice(folder, part, number) if number < 5 else read_columns(folder, part)
            except DamagedPart as damage:
                assert damage.file == part.file
                noticed += 1
            else:
                assert number == 5 or (found is None) == (undamaged[number] is None)
                assert found is None or number == 5 or found.equals(undamaged[number])
        # the last four bytes of an entry say nothing
        unused = place >= len(content) - 6 * 32 and (place - len(content)) % 32 >= 28
        assert noticed == (0 if unused else 1), place
    file.write_bytes(content[:-40])
    with pytest.raises(DamagedPart):
        read_slice(folder, part, 4)
