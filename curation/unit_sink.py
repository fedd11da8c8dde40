"""The sink as a unit: zip the parts of shards into one file of documents and one of tombstones."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from functools import cached_property
from typing import BinaryIO

import polars as pl
import pyarrow as pa

from curation.document import COLUMNS, DROP_COLUMNS, column_type, empty_frame, in_contract_order
from curation.errors import ContractError
from curation.fingerprint import stage_fingerprint
from curation.parts import PARTS, ShardReader, coalesce_nulls, to_table
from curation.pipeline import ENGINE_COLUMNS, Pipeline
from curation.plan import Unit
from curation.records import Result, read_record, record_of
from curation.sampling import hash_documents
from curation.storage import Folder

_TYPES_ALWAYS = {"doc": COLUMNS["doc"], **ENGINE_COLUMNS, **{name: COLUMNS[name] for name in DROP_COLUMNS}}


class ShardMaker:
    """Makes one output shard: its documents, then its tombstones."""

    def __init__(self, pipeline: Pipeline, folder: Folder, unit: Unit) -> None:
        self.pipeline = pipeline
        self.folder = folder
        self.unit = unit
        self._with_tombstones: set[int] = set()

    def documents(self, out: BinaryIO, result: Result) -> dict[str, pa.DataType]:
        """Write the live documents."""
        types = self._shard_types(dropped=False)
        repeat_by = self.pipeline.sink.repeat_by

        def tables() -> Iterator[pa.Table]:
            for number, frame in self._shard_frames(list(types)):
                alive = frame.filter(pl.col("drop_stage").is_null())
                if alive.height < frame.height:
                    self._with_tombstones.add(number)
                result.rows_alive += alive.height
                result.text_bytes += int(alive["stat_text_bytes"].sum() or 0)
                written = alive.select(*types) if not repeat_by else _repeated(alive, repeat_by)
                result.rows += written.height
                yield self._described(to_table(written, types))

        self.pipeline.sink.write(_never_empty(tables(), self._described(_no_rows(types))), out, self._metadata())
        result.inputs = self._input_paths()
        return types

    def dropped(self, file: str) -> dict:
        """Write the tombstones, after the documents; return what its commit record says of the file."""
        types = self._shard_types(dropped=True)
        with_text = self._tombstones_with_text()
        rows = 0

        def tables() -> Iterator[pa.Table]:
            nonlocal rows
            for _, frame in self._shard_frames(list(types), self._with_tombstones):
                gone = frame.filter(pl.col("drop_stage").is_not_null())
                if with_text is not None:
                    keeps = pl.col("doc").is_in(with_text.implode())
                    heavy = [c for c in ("text", "title") if c in gone.columns]
                    gone = gone.with_columns(pl.when(keeps).then(pl.col(c)).otherwise(None).alias(c) for c in heavy)
                rows += gone.height
                yield self._described(to_table(gone, types))

        def fill(out: BinaryIO) -> None:
            self.pipeline.sink.write(_never_empty(tables(), self._described(_no_rows(types))), out, self._metadata())

        written = self.folder.write(f"{PARTS}/{file}", fill)
        return {"file": file, "bytes": written.bytes, "sha256": written.sha256, "rows": rows}

    def _shard_frames(self, columns: Sequence[str], only: Container[int] | None = None) -> Iterator[tuple[int, pl.DataFrame]]:
        """Frames of the shards, or `only` of those of these places, each with the place."""
        known = self.pipeline.column_types()
        types = {name: column_type(name, known) for name in columns} | _TYPES_ALWAYS
        for place, parts in enumerate(self.unit.shards):
            if only is not None and place not in only:
                continue
            with ShardReader(self.folder, parts) as reader:
                for frame in reader.frames([*columns, "stat_text_bytes"]):
                    yield place, coalesce_nulls(frame, types)

    def _shard_types(self, *, dropped: bool) -> dict[str, pa.DataType]:
        types = self.pipeline.column_types()
        names = in_contract_order(set(types) - (set() if dropped else set(DROP_COLUMNS)))
        return {name: types[name] for name in names}

    def _described(self, table: pa.Table) -> pa.Table:
        """The table with the producer of each column in its field's metadata."""
        fields = [f.with_metadata({"producer": self._producers.get(f.name, "engine")}) for f in table.schema]
        return table.cast(pa.schema(fields))

    @cached_property
    def _producers(self) -> dict[str, str]:
        made: dict[str, str] = {}
        for stage in (self.pipeline.source, *self.pipeline.stages):
            models = "".join(f" card={m.name} sha256={m.sha256}" for m in stage.models)
            for name in (*stage.adds, *stage.rewrites):
                made[name] = f"{stage.name}@{stage_fingerprint(stage)[:12]}{models}"
        return made

    def _metadata(self) -> dict[str, str]:
        return {"curation.recipe": self.pipeline.name, "curation.fingerprint": self.pipeline.fingerprint()}

    def _input_paths(self) -> list[str]:
        paths: set[str] = set()
        for parts in self.unit.shards:
            record = read_record(self.folder, record_of(parts[0].file))
            paths.update(piece["path"] for piece in record["pieces"])
        return sorted(paths)

    def _tombstones_with_text(self) -> pl.Series | None:
        """`doc` of the tombstones that keep their text; None when all do."""
        policy = self.pipeline.sink.dropped_text
        if policy == "all":
            return None
        wanted = int(policy.partition(":")[2] or 0)
        if not wanted:
            return pl.Series("doc", [], dtype=pl.UInt64)
        names = ("doc", "drop_stage", "drop_reason")
        frames = self._shard_frames(list(names[1:]), self._with_tombstones)
        fallen = (frame.filter(pl.col("drop_stage").is_not_null()).select(names) for _, frame in frames)
        gone = pl.concat(
            [empty_frame({name: COLUMNS[name] for name in names}), *fallen]
        )  # shards of one long record may hold no document at all
        ranked = gone.with_columns(pl.Series("rank", hash_documents(gone["doc"].to_numpy())))
        chosen = ranked.sort("rank", "doc").group_by("drop_stage", "drop_reason", maintain_order=True).head(wanted)
        return chosen["doc"].sort()


def _repeated(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Every row as often as its column says, all rows once before any comes again: copies of a text side by side would
    meet in one training batch."""
    times = rows[column].fill_null(1)
    if (times < 1).any():
        raise ContractError(f"column {column} says to write some documents less than once: that would lose them")
    turns = rows.with_columns(pl.int_ranges(times).alias("turn")).explode("turn")
    return turns.sort("turn", "doc").drop("turn")


def _no_rows(types: Mapping[str, pa.DataType]) -> pa.Table:
    return pa.schema(list(types.items())).empty_table()


def _never_empty(tables: Iterator[pa.Table], empty: pa.Table) -> Iterator[pa.Table]:
    """The tables, with an empty one first, so that a sink always learns the schema."""
    yield empty
    yield from tables
