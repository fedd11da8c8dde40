"""Commit records: written last, exclusively, and the only pointers to data files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from curation.errors import StorageError
from curation.plan import PartRef
from curation.run_stage import StageCount
from curation.stage import PieceReport
from curation.storage import Folder

COMMITS = "work/commits"


@dataclass
class Result:
    """What a unit's body found, for its commit record.

    `rows`: of the data file. `rows_alive`, `text_bytes`: documents alive after it and their UTF-8 text. `skipped`: left
    out by --sample or --limit. `index`: partition -> row group of a sketch. `inputs`: archive paths behind a shard.
    """

    rows: int = 0
    counts: list[StageCount] = field(default_factory=list)
    pieces: list[PieceReport] = field(default_factory=list)
    rows_alive: int = 0
    text_bytes: int = 0
    skipped: int = 0
    index: dict[str, int] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)


def read_record(folder: Folder, name: str) -> dict:
    """A commit record. StorageError when it is not whole, which only damage from outside can cause."""
    try:
        record = json.loads(folder.read(f"{COMMITS}/{name}"))
    except ValueError as error:
        raise StorageError(f"commit record {name} is damaged: {error}\n  try:    delete that file and run again") from error
    return record


def record_of(part: PartRef) -> str:
    """Name of the commit record that points to a part."""
    return part.file.rsplit(".", 2)[0] + ".json"
