"""Text by domain for proxies: read once, of large domains a sample that does not depend on the order of files.

Source: ours.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from curation.errors import InputError, explain_mismatch
from curation.parts import open_parquet, read_group

logger = logging.getLogger("curation")

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson")


@dataclass
class DomainText:
    """Texts of one domain, those kept, in the order of their hashes; `documents` and `bytes` (UTF-8) of all there were."""

    texts: list[str] = field(default_factory=list)
    documents: int = 0
    bytes: int = 0


def text_files(where: Sequence[str]) -> list[Path]:
    """The Parquet and JSONL files of paths and folders, in order. Raises InputError where a path has none."""
    found: list[Path] = []
    for name in where:
        path = Path(name)
        files = sorted(p for p in path.rglob("*") if p.name.endswith(SUFFIXES)) if path.is_dir() else [path]
        if not files or not all(p.is_file() for p in files):
            wanted = f"a folder with, or one of, {', '.join(f'*{suffix}' for suffix in SUFFIXES)}"
            raise InputError(explain_mismatch(name, wanted=wanted, found="none"))
        found += files
    return found


def read_domains(files: Sequence[Path], column: str = "domain", most_bytes: float = float("inf")) -> dict[str, DomainText]:
    """The texts of every domain, by name, in the order of names.

    `column` holds the domain, "" takes the names of the files without their endings; rows without a domain, or without
    text, are left out. Of a domain with more than `most_bytes` the documents with the smallest hashes are kept. Raises
    InputError where a column is missing or no text has a domain.
    """
    kept: dict[str, _Sample] = {}
    nameless = 0
    for path in files:
        for frame in _frames(path, column):
            nameless += frame["domain"].null_count()
            for name, text in frame.drop_nulls().iter_rows():
                if text:
                    kept.setdefault(name, _Sample(most_bytes)).add(text)
    if nameless:
        logger.warning("%d documents have no %s: left out", nameless, column)
    if not kept:
        raise InputError(explain_mismatch(f"{files[0]} …", wanted=f"texts with a {column}", found="none"))
    return {name: kept[name].finished() for name in sorted(kept)}


def _frames(path: Path, column: str) -> Iterator[pl.DataFrame]:
    """The columns `domain` and `text` of a file, a piece at a time."""
    wanted = [column, "text"] if column else ["text"]
    domain = (pl.col(column).cast(pl.String) if column else pl.lit(path.name.split(".")[0])).alias("domain")
    pair = (domain, pl.col("text").cast(pl.String).fill_null(""))
    if path.name.endswith(".parquet"):
        with path.open("rb") as stream:
            file = open_parquet(stream)
            _check(path, wanted, file.schema_arrow.names)
            for group in range(file.num_row_groups):
                yield read_group(file, group, wanted).select(pair)
    else:
        lazy = pl.scan_ndjson(path)
        _check(path, wanted, lazy.collect_schema().names())
        yield lazy.select(pair).collect()


def _check(path: Path, wanted: Sequence[str], names: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        hint = "" if missing == ["text"] else "name the column that holds the domain with --domain-column"
        raise InputError(explain_mismatch(str(path), wanted=f"a column `{missing[0]}`", found=", ".join(names), hint=hint))


class _Sample:
    """The documents with the smallest hashes, up to a number of bytes."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._held: list[tuple[bytes, int, str]] = []
        self._bytes = 0
        self._all = DomainText()

    def add(self, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self._all.documents += 1
        self._all.bytes += len(data)
        self._held.append((hashlib.blake2b(data, digest_size=16).digest(), len(data), text))
        self._bytes += len(data)
        if self._bytes > 2 * self._most and len(self._held) > 2:
            self._prune()

    def _prune(self) -> None:
        self._held.sort(key=lambda entry: entry[0])
        total, stay = 0, 0
        for _, size, _ in self._held:
            if total >= self._most and stay >= 2:  # one to train on, one to evaluate
                break
            total, stay = total + size, stay + 1
        del self._held[stay:]
        self._bytes = total

    def finished(self) -> DomainText:
        self._prune()
        self._all.texts = [text for _, _, text in self._held]
        return self._all
