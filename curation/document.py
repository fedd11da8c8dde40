"""The data contract: the columns a document may have, their Arrow types, and what a tombstone is.

A document is a row. Columns are flat; the prefix says what kind of value it is (`stat_`, `score_`, `bucket_`, `drop_`).
Rows are never removed by a stage: a dropped document carries `drop_stage`, `drop_reason` and `drop_detail`
(all three null while it is alive) and ends in `dropped/` as a tombstone. docs/data_contract.md is the long form.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache

import polars as pl
import pyarrow as pa

POSITION_BITS = 40
"""`doc` = input number << 40 | position: 16.7 million inputs of up to 1 TiB each."""

COLUMNS: Mapping[str, pa.DataType] = {
    "doc": pa.uint64(),
    "id": pa.string(),
    "source": pa.string(),
    "url": pa.string(),
    "fetched_at": pa.timestamp("us", tz="UTC"),
    "warc_path": pa.string(),
    "warc_offset": pa.int64(),
    "warc_length": pa.int64(),
    "http_status": pa.int16(),
    "mime": pa.string(),
    "charset": pa.string(),
    "payload_digest": pa.string(),
    "html": pa.large_binary(),
    "http_headers": pa.string(),
    "text": pa.large_string(),
    "title": pa.large_string(),
    "content_id": pa.binary(16),
    "language": pa.string(),
    "score_language": pa.float32(),
    "token_count": pa.int32(),
    "cluster_id": pa.uint64(),
    "cluster_size": pa.int32(),
    "domain": pa.string(),
    "contamination": pa.string(),
    "licence": pa.string(),
    "stat_text_bytes": pa.int32(),
    "drop_stage": pa.string(),
    "drop_reason": pa.string(),
    "drop_detail": pa.string(),
}
"""Named columns in output order. `stat_*`, `score_*` and `bucket_*` columns are declared by the stage that adds them."""

HEAVY = frozenset({"html", "http_headers", "text", "title"})
"""Columns that side parts never carry; `html` and `http_headers` never leave the first segment."""

VOLATILE = frozenset({"html", "http_headers"})
"""Columns that exist only inside the segment that reads them."""

DROP_COLUMNS = ("drop_stage", "drop_reason", "drop_detail")

_OPEN_PREFIXES = ("stat_", "score_")
_OPEN_TYPES = (pa.int32(), pa.float32())
_BUCKET_PREFIX = "bucket_"


def doc_number(input_number: int, position: int) -> int:
    """The `doc` of the record at `position` (bytes, row or ordinal) of input `input_number`.

    Raises ValueError outside 0 <= input_number < 2**24 and 0 <= position < 2**40.
    """
    if not 0 <= input_number < 1 << (64 - POSITION_BITS) or not 0 <= position < 1 << POSITION_BITS:
        raise ValueError(f"no doc number for input {input_number}, position {position}: wanted < 2**24 and < 2**40")
    return input_number << POSITION_BITS | position


def content_id(text: str) -> bytes:
    """Identity of a text: blake2b with 16 bytes of digest over the UTF-8 bytes of its NFC form.

    Normalised by polars where it has to be: unicodedata sorts a run of combining marks in quadratic time.
    """
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        text = pl.Series([text]).str.normalize("NFC")[0]
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest()


def storable(text: str) -> str:
    """`text` with every lone surrogate replaced by U+FFFD, since Arrow strings must be valid UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def allowed_type(column: str, data_type: pa.DataType) -> str | None:
    """None when `column` may have `data_type`, otherwise what it should be, in words."""
    if column in COLUMNS:
        return None if COLUMNS[column] == data_type else str(COLUMNS[column])
    if column.startswith(_OPEN_PREFIXES):
        return None if data_type in _OPEN_TYPES else "int32 or float32"
    if column.startswith(_BUCKET_PREFIX):
        return None if data_type == pa.string() else str(pa.string())
    return "a column of the data contract, or one that begins with stat_, score_ or bucket_"


@cache
def polars_type(data_type: pa.DataType) -> pl.DataType:
    """The Polars type that holds an Arrow type of the contract (fixed-size binary becomes Binary)."""
    frame = pl.from_arrow(pa.table({"c": pa.array([], type=_polars_compatible(data_type))}))
    assert isinstance(frame, pl.DataFrame)
    return frame.dtypes[0]


def _polars_compatible(data_type: pa.DataType) -> pa.DataType:
    return pa.large_binary() if pa.types.is_fixed_size_binary(data_type) else data_type


def column_type(column: str, declared: Mapping[str, pa.DataType]) -> pa.DataType:
    """Arrow type of a column: from the contract, else from what its stage declared."""
    return COLUMNS[column] if column in COLUMNS else declared[column]


def in_contract_order(columns: Iterable[str]) -> list[str]:
    """Columns in output order: the contract's first, then `bucket_*`, `score_*` and `stat_*` by name, drop columns last."""
    order = {name: i for i, name in enumerate(COLUMNS)}
    last = len(order)

    def key(name: str) -> tuple[int, str]:
        if name in DROP_COLUMNS:
            return last + 1 + DROP_COLUMNS.index(name), name
        return order.get(name, last), name

    return sorted(columns, key=key)


def empty_frame(types: Mapping[str, pa.DataType]) -> pl.DataFrame:
    """A frame of no rows with the given columns."""
    return pl.DataFrame(schema={name: polars_type(t) for name, t in types.items()})
