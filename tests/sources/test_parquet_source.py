"""sources/parquet: any cut of the files gives the same documents, and the pieces cover every byte."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.document import content_id, doc_number
from curation.errors import InputError, RecipeError
from curation.inputs import find_inputs
from curation.sources.parquet import Parquet
from curation.stage import Input, PieceReport


def shard(folder: Path, name: str, rows: int, group: int, **columns) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table = {"text": pa.array([f"{name} {i} é" if i % 7 else None for i in range(rows)], pa.large_string()), **columns}
    pq.write_table(pa.table(table), folder / f"{name}.parquet", row_group_size=group)
    return folder


def read_all(source: Parquet, folder: Path) -> tuple[pl.DataFrame, list[PieceReport]]:
    """All rows in order, and the reports, piece after piece."""
    found = find_inputs([str(folder)], source).accepted
    frames, reports = [], []
    for pieces in source.cut(found):
        for piece in pieces:
            for item in source.read(piece, lambda i: io.BytesIO(Path(i.location.removeprefix("file://")).read_bytes())):
                (frames if isinstance(item, pl.DataFrame) else reports).append(item)
    return pl.concat(frames), reports


@pytest.mark.parametrize("shard_bytes", [1, 300, 1500, 10**9])
def test_any_cut_gives_the_same_documents_and_covers_the_files(tmp_path: Path, shard_bytes: int) -> None:
    for name, rows, group in (("a", 1000, 64), ("b", 3, 1), ("c", 0, 10), ("d", 700, 700)):
        shard(tmp_path / "in", name, rows, group)
    rows, reports = read_all(Parquet(shard_mb=shard_bytes / 10**6), tmp_path / "in")
    whole, _ = read_all(Parquet(), tmp_path / "in")
    assert rows.equals(whole) and rows.height == 1703
    assert rows["doc"].to_list() == [doc_number(n, i) for n, count in ((0, 1000), (1, 3), (3, 700)) for i in range(count)]
    ends: dict[int, int] = {}
    for report in reports:
        number = report.piece.input.number
        assert report.first == ends.get(number, 0), "adjacent pieces meet"
        ends[number] = report.stop
    assert all(ends[n] == (tmp_path / f"in/{name}.parquet").stat().st_size for n, name in enumerate("abcd"))
    assert sum(report.records["row"] for report in reports) == 1703


def test_columns_take_the_types_of_the_contract(tmp_path: Path) -> None:
    given = {
        "id": pa.array(["x", None] * 5), "content_id": pa.array([b"0" * 16] * 10, pa.binary(16)),
        "source": pa.array(["s", None] * 5),
        "token_count": pa.array(range(10), pa.int64()), "score_q": pa.array([0.5] * 10, pa.float64()),
        "stat_share": pa.array([0.25] * 10, pa.float32()), "language": pa.array(["eng_Latn"] * 10).dictionary_encode(),
    }  # fmt: skip
    shard(tmp_path, "a", 10, 4, **given)
    columns = ("token_count", "score_q", "stat_share:float32", "language", "url")
    rows, _ = read_all(Parquet(columns=columns, corpus="mine"), tmp_path)
    path = f"{tmp_path.name}/a.parquet"
    assert rows["id"].to_list()[:2] == ["x", f"{path}#1"] and rows["source"].to_list()[:2] == ["s", "mine"]
    assert rows.schema["token_count"] == pl.Int32 and rows.schema["score_q"] == pl.Float32
    assert rows.schema["language"] == pl.String and rows["url"].null_count() == 10
    assert rows["drop_reason"].to_list() == ["no_text" if i % 7 == 0 else None for i in range(10)]
    # a null text with an identity is no identity of that text: made anew
    assert rows["content_id"].to_list()[1] == content_id("a 1 é") and rows["content_id"][0] is None


def test_the_files_own_identities_are_kept(tmp_path: Path) -> None:
    table = {"text": pa.array(["a", "b"], pa.large_string()), "content_id": pa.array([b"1" * 16, b"2" * 16], pa.binary(16))}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    rows, _ = read_all(Parquet(), tmp_path)
    assert rows["content_id"].to_list() == [b"1" * 16, b"2" * 16]
    pq.write_table(pa.table({"body": ["a", "b"], "content_id": table["content_id"]}), tmp_path / "a.parquet")
    rows, _ = read_all(Parquet(text="body"), tmp_path)
    assert rows["content_id"].to_list() == [content_id("a"), content_id("b")]


def test_what_it_cannot_read_is_told(tmp_path: Path) -> None:
    source = Parquet()
    assert source.accepts("x.parquet", b"PAR1....") is None and "not Parquet" in str(source.accepts("x", b"PK"))
    shard(tmp_path, "a", 10, 4)
    with pytest.raises(InputError, match="text=NAME"):
        read_all(Parquet(text="body"), tmp_path)
    data = (tmp_path / "a.parquet").read_bytes()
    for broken in (data[: len(data) // 2], b"PAR1" + b"\0" * 100, data[:20] + b"\xff" * 40 + data[60:]):
        one = Input(0, "a.parquet", "", len(broken), "")
        with pytest.raises(InputError, match=r"a\.parquet"):
            for pieces in source.cut([one]):
                list(source.read(pieces[0], lambda _, broken=broken: io.BytesIO(broken)))
    for columns in (("html",), ("doc",), ("drop_reason",), ("nonsense",), ("text",), ("stat_x:string",)):
        with pytest.raises(RecipeError, match="columns"):
            Parquet(columns=columns)
    with pytest.raises(RecipeError, match="shard_mb"):
        Parquet(shard_mb=0)


def test_frames_of_large_texts_are_small(tmp_path: Path) -> None:
    texts = ["x" * 3_000_000 + str(i) for i in range(40)]
    pq.write_table(pa.table({"text": pa.array(texts, pa.large_string())}), tmp_path / "a.parquet", use_dictionary=False)
    source = Parquet()
    one = find_inputs([str(tmp_path)], source).accepted[0]
    with open(tmp_path / "a.parquet", "rb") as stream:
        frames = [f for f in source.read(source.cut([one])[0][0], lambda _: stream) if isinstance(f, pl.DataFrame)]
    assert max(frame.height for frame in frames) <= 6
    assert pl.concat(frames)["text"].to_list() == texts
