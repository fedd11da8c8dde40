"""A stratified sample of documents: as many of each stratum, as far as they go round, chosen by a hash of the content.

The same files, columns, number and seed give the same sample; a larger number keeps what a smaller one took. Documents of
equal content count once, as the first of them.

Source: ours; equal allocation with what small strata leave over shared among the rest.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from classifiers.examples import TrainingError

SITE = "site"
"""A column made of `url` where there is none of the name: its host without www."""


@dataclass(frozen=True)
class Drawn:
    """A document of the sample. `content_id`: hex. `stratum`: its values of the columns, as text. `weight`: how many documents
    of its stratum it stands for."""

    content_id: str
    text: str
    site: str
    stratum: tuple[str, ...]
    weight: float


@dataclass(frozen=True)
class _Column:
    """A column to stratify by; `bins` above 0: cut into so many quantiles of equal size."""

    name: str
    bins: int = 0

    @classmethod
    def parse(cls, given: str) -> _Column:
        name, colon, bins = given.partition(":")
        if not name or (colon and not (bins.isascii() and bins.isdigit() and 2 <= int(bins) <= 1000)):
            raise TrainingError(
                f"a column to sample by\n  wanted: NAME, or NAME:BINS with 2 to 1000 quantiles\n  found:  {given}"
            )
        return cls(name, int(bins) if colon else 0)


def shards_of(data: Sequence[Path]) -> list[Path]:
    """The Parquet files: those named, and those of folders; of a finished run's folder those under documents/."""
    found: list[Path] = []
    for path in data:
        if path.is_dir():
            folder = path / "documents" if (path / "documents").is_dir() else path
            found += sorted(folder.glob("*.parquet"))
        elif path.name.endswith(".parquet"):
            found.append(path)
    if not found or not all(path.is_file() for path in found):
        raise TrainingError(
            f"documents\n  wanted: Parquet files, or the folder of a finished run\n  found:  {', '.join(map(str, data))}"
        )
    return found


def draw_sample(data: Sequence[Path], by: Sequence[str], number: int, seed: int = 0) -> list[Drawn]:
    """At most `number` documents with text, by content_id. Light columns of all documents are held (about 40 bytes each and
    the columns'), texts of the sample only. Raises TrainingError for files or columns that are not there."""
    columns = [_Column.parse(given) for given in by]
    files = shards_of(data)
    tables = [_light(path, [c.name for c in columns]) for path in files]
    table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    ids = _digests(table["content_id"])
    _, first = np.unique(ids, return_index=True)
    first = first[pc.greater(table["characters"], 0).to_numpy(zero_copy_only=False)[first]]
    if not len(first):
        raise TrainingError("documents\n  wanted: some with text\n  found:  none")
    codes = [_codes(table[c.name], c.bins, first) for c in columns]
    names, stratum = _strata(codes, len(first))
    order = _draws(ids[first], seed)
    chosen, weights = _allocate(stratum, order, number)
    rows = first[chosen]
    starts = np.cumsum([0, *(t.num_rows for t in tables)])
    sites = _column_text(table[SITE].take(pa.array(rows)))
    shown = {int(row): (names[stratum[c]], float(w), site)
             for row, c, w, site in zip(rows, chosen, weights, sites, strict=True)}  # fmt: skip
    drawn = []
    for number_, path in enumerate(files):
        wanted = [row for row in sorted(shown) if starts[number_] <= row < starts[number_ + 1]]
        for row, text in zip(wanted, _texts(path, [row - int(starts[number_]) for row in wanted]), strict=True):
            values, weight, site = shown[row]
            drawn.append(Drawn(ids[row].tobytes().hex(), text, site, values, weight))
    return sorted(drawn, key=lambda d: d.content_id)


def _light(path: Path, names: Sequence[str]) -> pa.Table:
    """`content_id`, `characters`, `site` and the columns of one file."""
    file = pq.ParquetFile(path)
    known = set(file.schema_arrow.names)
    missing = [n for n in (*names, "text") if n not in known and n != SITE]
    if missing:
        raise TrainingError(f"{path.name}\n  wanted: columns {', '.join(missing)}\n  found:  {', '.join(sorted(known))}")
    plain = [n for n in dict.fromkeys((*names, "url", "content_id", SITE)) if n in known]
    parts = []
    for batch in file.iter_batches(columns=[*plain, "text"]):
        part = pa.table(batch)
        lengths = pc.fill_null(pc.utf8_length(pc.utf8_trim_whitespace(part["text"])), 0).cast(pa.int64())
        if "content_id" not in known:
            part = part.append_column(
                "content_id", pa.array([_content_id(t or "") for t in part["text"].to_pylist()], pa.binary())
            )
        if SITE not in known:
            urls = part["url"].to_pylist() if "url" in known else [None] * part.num_rows
            part = part.append_column(SITE, pa.array([_host(url) for url in urls], pa.string()))
        parts.append(
            part.append_column("characters", lengths).select([*dict.fromkeys((*names, "content_id", SITE, "characters"))])
        )
    empty = {"content_id": pa.array([], pa.binary()), SITE: pa.array([], pa.string()), "characters": pa.array([], pa.int64())}
    return pa.concat_tables(parts) if parts else pa.table(empty)


def _content_id(text: str) -> bytes:
    return hashlib.blake2b(unicodedata.normalize("NFC", text).encode("utf-8", "replace"), digest_size=16).digest()


def _host(url: str | None) -> str | None:
    try:
        host = urlsplit(url or "").hostname
    except ValueError:
        return None
    return host.removeprefix("www.") if host else None


def _digests(column: pa.ChunkedArray) -> np.ndarray:
    """Two big-endian uint64 of each 16-byte content_id, as one sortable record."""
    values = column.cast(pa.binary()).fill_null(b"\0" * 16).to_pylist()
    if any(len(v) != 16 for v in values):
        raise TrainingError("content_id\n  wanted: 16 bytes each\n  found:  other lengths")
    return np.frombuffer(b"".join(values), dtype=[("high", ">u8"), ("low", ">u8")])


def _column_text(column: pa.ChunkedArray | pa.Array) -> list[str]:
    return ["" if value is None else str(value) for value in column.to_pylist()]


def _codes(column: pa.ChunkedArray, bins: int, rows: np.ndarray) -> list[str]:
    """The value of each row as text: the column's own, or `q1` (least) to `qN`; `unknown` for null and NaN."""
    taken = column.take(pa.array(rows))
    if not bins:
        return [value or "unknown" for value in _column_text(taken)]
    try:
        numbers = taken.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise TrainingError(f"a column to cut into quantiles\n  wanted: numbers\n  found:  {column.type}") from error
    known = ~np.isnan(numbers)
    ranked = np.sort(numbers[known])
    edges = ranked[[len(ranked) * i // bins for i in range(1, bins)]] if len(ranked) else np.zeros(0)
    return [f"q{np.searchsorted(edges, n, side='right') + 1}" if k else "unknown" for n, k in zip(numbers, known, strict=True)]


def _strata(codes: Sequence[list[str]], rows: int) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """The strata there are, sorted, and the number of each row's."""
    values = list(zip(*codes, strict=True)) if codes else [()] * rows
    names = sorted(set(values))
    numbers = {name: i for i, name in enumerate(names)}
    return names, np.array([numbers[v] for v in values], dtype=np.int64)


def _draws(ids: np.ndarray, seed: int) -> np.ndarray:
    """uint64 [n]: digests of contents, mixed with the seed so that another one draws others."""
    salt = int.from_bytes(hashlib.blake2b(f"sample {seed}".encode(), digest_size=8).digest(), "little")
    with np.errstate(over="ignore"):
        mixed = (ids["high"].astype(np.uint64) ^ np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(29))


def _allocate(stratum: np.ndarray, draws: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows taken, and how many documents each stands for."""
    sizes = np.bincount(stratum)
    quota = np.zeros(len(sizes), dtype=np.int64)
    # the least stratum is dealt first: what it cannot take is left for those after it; a rest goes to the largest
    left = min(number, int(sizes.sum()))
    for place, which in enumerate(np.argsort(sizes, kind="stable")):
        quota[which] = min(int(sizes[which]), left // (len(sizes) - place))
        left -= int(quota[which])
    order = np.lexsort((draws, stratum))
    starts = np.cumsum(sizes) - sizes
    taken = np.concatenate([order[s : s + q] for s, q in zip(starts, quota, strict=True)])
    return taken, sizes[stratum[taken]] / quota[stratum[taken]]


def _texts(path: Path, rows: Sequence[int]) -> Iterator[str]:
    """Texts of these rows of a file, in rising order."""
    wanted, start = np.array(rows, dtype=np.int64), 0
    if not len(wanted):
        return
    for batch in pq.ParquetFile(path).iter_batches(columns=["text"]):
        inside = wanted[(wanted >= start) & (wanted < start + batch.num_rows)] - start
        yield from batch.column(0).take(pa.array(inside)).to_pylist()
        start += batch.num_rows
