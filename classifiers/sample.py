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

_BYTES = "stat_text_bytes"


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
    """At most `number` documents with text, by content_id. Of all documents the 16 bytes of their content and the columns of
    `by` are held, texts of the sample only. A column that the documents lack is sought in the scores that were added to the
    finished run later. Raises TrainingError for files or columns that are not there."""
    columns = [_Column.parse(given) for given in by]
    files = shards_of(data)
    names = list(dict.fromkeys(c.name for c in columns))
    tables = [_light(path, names) for path in files]
    table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    ids = _digests(table["content_id"])
    first = _firsts(ids)
    first = first[table["has_text"].to_numpy()[first]]
    if not len(first):
        raise TrainingError("documents\n  wanted: some with text\n  found:  none")
    values, stratum = _strata([_codes(table[c.name].take(pa.array(first)), c.bins) for c in columns], len(first))
    chosen, weights = _allocate(stratum, _draws(ids[first], seed), number)
    weight_of = dict(zip(first[chosen].tolist(), zip(stratum[chosen].tolist(), weights.tolist(), strict=True), strict=True))
    drawn, start = [], 0
    for path, light in zip(files, tables, strict=True):
        rows = [row for row in sorted(weight_of) if start <= row < start + light.num_rows]
        for row, (text, site) in zip(rows, _texts(path, [row - start for row in rows]), strict=True):
            which, weight = weight_of[row]
            if text.strip():
                key = f"{ids['high'][row]:016x}{ids['low'][row]:016x}"
                drawn.append(Drawn(key, text, site, values[which], weight))
        start += light.num_rows
    return sorted(drawn, key=lambda d: d.content_id)


def _light(path: Path, names: Sequence[str]) -> pa.Table:
    """`content_id`, `has_text` and the columns `names` of one file, row for row. Texts are read only where their size or
    content_id is not stored."""
    file = pq.ParquetFile(path)
    known = set(file.schema_arrow.names)
    if "text" not in known:
        raise TrainingError(f"{path}\n  wanted: a column text\n  found:  {', '.join(sorted(known))}")
    own = [name for name in names if name in known]
    made = [name for name in names if name == SITE and SITE not in known]
    stored = [c for c in ("content_id", _BYTES) if c in known]
    more = ["url"] * (bool(made) and "url" in known) + ["text"] * (len(stored) < 2)
    reads = dict.fromkeys([*own, *stored, *more])
    parts = []
    for batch in file.iter_batches(columns=list(reads)):
        part = pa.table(batch)
        has = pc.greater(pc.fill_null(part[_BYTES] if _BYTES in known else pc.utf8_length(part["text"]), 0), 0)
        ids = part["content_id"] if "content_id" in known else pa.array(
            [_content_id(text or "") for text in part["text"].to_pylist()], pa.binary(16)
        )  # fmt: skip
        sites = {name: pa.array(_sites(part), pa.string()) for name in made}
        parts.append(pa.table({"content_id": ids, "has_text": has, **{n: part[n] for n in own}, **sites}))
    empty = {"content_id": pa.array([], pa.binary(16)), "has_text": pa.array([], pa.bool_())}
    table = pa.concat_tables(parts) if parts else pa.table({**empty, **{n: pa.array([], pa.null()) for n in (*own, *made)}})
    for name in names:
        if name not in table.column_names:
            table = table.append_column(name, _side_column(path, name, table.num_rows))
    return table


def _side_column(path: Path, name: str, rows: int) -> pa.ChunkedArray:
    """A column of the side files of a finished run: OUT/scores/CARD/SHARD for OUT/documents/SHARD, row for row."""
    found = sorted(path.parent.parent.glob(f"scores/*/{path.name}")) if path.parent.name == "documents" else []
    for side in found:
        file = pq.ParquetFile(side)
        if name in file.schema_arrow.names:
            if file.metadata.num_rows != rows:
                wanted = f"{rows} rows, as {path.name} has"
                raise TrainingError(f"{side}\n  wanted: {wanted}\n  found:  {file.metadata.num_rows}; score the run again")
            return file.read(columns=[name])[name]
    where = " or in scores/" if path.parent.name == "documents" else ""
    known = ", ".join(sorted(set(pq.read_schema(path).names) - {"text"}))
    raise TrainingError(f"{path.name}\n  wanted: a column {name}{where}\n  found:  {known}")


def _content_id(text: str) -> bytes:
    return hashlib.blake2b(unicodedata.normalize("NFC", text).encode("utf-8", "replace"), digest_size=16).digest()


def _sites(part: pa.Table) -> list[str | None]:
    if SITE in part.column_names:
        return [None if value is None else str(value) for value in part[SITE].to_pylist()]
    return [_host(url) for url in part["url"].to_pylist()] if "url" in part.column_names else [None] * part.num_rows


def _host(url: str | None) -> str | None:
    try:
        host = urlsplit(url or "").hostname
    except ValueError:
        return None
    return host.removeprefix("www.") if host else None


def _digests(column: pa.ChunkedArray) -> np.ndarray:
    """Each 16-byte content_id as two uint64."""
    kind = np.dtype([("high", ">u8"), ("low", ">u8")])
    try:
        whole = column.cast(pa.binary(16)).fill_null(b"\0" * 16)
    except pa.ArrowInvalid as error:
        raise TrainingError(f"content_id\n  wanted: 16 bytes each\n  found:  {error}") from error
    pieces = [np.frombuffer(c.buffers()[1], dtype=kind)[c.offset : c.offset + len(c)] for c in whole.chunks if len(c)]
    return np.concatenate([np.zeros(0, dtype=kind), *pieces])


def _firsts(ids: np.ndarray) -> np.ndarray:
    """The first row of each content, by content."""
    high, low = ids["high"].astype(np.uint64), ids["low"].astype(np.uint64)
    order = np.lexsort((low, high))
    same = (high[order[1:]] == high[order[:-1]]) & (low[order[1:]] == low[order[:-1]])
    return order[np.concatenate([np.ones(min(len(order), 1), dtype=bool), ~same])]


def _codes(column: pa.ChunkedArray, bins: int) -> tuple[list[str], np.ndarray]:
    """Values as text and the number of each row's: the column's own, or `q1` (least) to `qN`; `unknown` for null and NaN."""
    if not bins:
        coded = column.cast(pa.string()).fill_null("unknown").combine_chunks().dictionary_encode()
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        return [value or "unknown" for value in coded.dictionary.to_pylist()], coded.indices.to_numpy().astype(np.int64)
    try:
        numbers = column.cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TrainingError(f"a column to cut into quantiles\n  wanted: numbers\n  found:  {column.type}") from error
    known = ~np.isnan(numbers)
    ranked = np.sort(numbers[known])
    edges = ranked[[len(ranked) * i // bins for i in range(1, bins)]] if len(ranked) else np.zeros(0)
    places = np.where(known, np.searchsorted(edges, numbers, side="right"), bins)
    return [*(f"q{i + 1}" for i in range(bins)), "unknown"], places.astype(np.int64)


def _strata(codes: Sequence[tuple[list[str], np.ndarray]], rows: int) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """The strata there are, sorted, and the number of each row's."""
    if not codes:
        return [()], np.zeros(rows, dtype=np.int64)
    combined, places = np.unique(np.stack([numbers for _, numbers in codes]), axis=1, return_inverse=True)
    found = [tuple(values[i] for (values, _), i in zip(codes, column, strict=True)) for column in combined.T.tolist()]
    names = sorted(set(found))
    numbers = {name: i for i, name in enumerate(names)}
    return names, np.array([numbers[name] for name in found], dtype=np.int64)[places.ravel()]


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


def _texts(path: Path, rows: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Text and site of these rows of a file, in rising order; row groups without one of them are not read."""
    wanted, start = np.array(rows, dtype=np.int64), 0
    if not len(wanted):
        return
    file = pq.ParquetFile(path)
    columns = [name for name in ("text", SITE, "url") if name in file.schema_arrow.names]
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        inside = wanted[(wanted >= start) & (wanted < start + count)] - start
        start += count
        if len(inside):
            part = file.read_row_group(group, columns=columns).take(pa.array(inside))
            yield from zip((t or "" for t in part["text"].to_pylist()), (s or "" for s in _sites(part)), strict=True)
