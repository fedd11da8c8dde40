"""Commit records: written last, exclusively, and the only pointers to data files."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from curation.errors import StorageError
from curation.run_stage import StageCount
from curation.stage import PieceReport
from curation.storage import Folder

COMMITS = "work/commits"

TABLES = "work/tables.json"
"""Where the sketches and verdicts of a finished run's global stages lie."""


@dataclass
class Result:
    """What a unit's body found, for its commit record.

    `rows`: of the data file. `rows_alive`, `text_bytes`: documents alive after it and their UTF-8 text. `skipped`: left
    out by --sample or --limit. `slices`: of the data file, 0 for Parquet. `facts`: a global stage's, for the plan. `docs`:
    first and last document of a shard. `inputs`: archive paths behind a shard.
    """

    rows: int = 0
    counts: list[StageCount] = field(default_factory=list)
    pieces: list[PieceReport] = field(default_factory=list)
    rows_alive: int = 0
    text_bytes: int = 0
    skipped: int = 0
    slices: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    docs: tuple[int, int] | None = None
    inputs: list[str] = field(default_factory=list)


def read_record(folder: Folder, name: str) -> dict:
    """A commit record. StorageError when it is not whole, which only damage from outside can cause."""
    try:
        record = json.loads(folder.read(f"{COMMITS}/{name}"))
    except ValueError as error:
        raise StorageError(f"commit record {name} is damaged: {error}\n  try:    delete that file and run again") from error
    return record


def record_of(file: str) -> str:
    """Name of the commit record that points to a data file."""
    return file.rsplit(".", 2)[0] + ".json"


class HeldRecords(MutableMapping[str, Mapping]):
    """Commit records by the name of their unit, as a driver holds them: compressed, since there may be 10**5 and each is
    looked at two or three times. About 300 bytes each instead of 5,000; a look takes some 30 microseconds."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}
        self._like = b""

    def __setitem__(self, name: str, record: Mapping) -> None:
        data = json.dumps(record, ensure_ascii=False).encode()
        if not self._like:
            self._like = data  # what the others resemble
        packer = zlib.compressobj(1, zdict=self._like)
        self._held[name] = packer.compress(data) + packer.flush()

    def __getitem__(self, name: str) -> Mapping:
        return json.loads(zlib.decompressobj(zdict=self._like).decompress(self._held[name]))

    def __delitem__(self, name: str) -> None:
        del self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, name: object) -> bool:
        return name in self._held
