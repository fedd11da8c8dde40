"""The stage contract: Source, Stage, Filter, GlobalStage, Sink.

A stage is a frozen dataclass whose fields are its whole configuration. It declares as data what the graph must
know (`reads`, `adds`, `rewrites`, `drops`, `models`, `resources`) and does its work in `bind(...)`'s result.
It never removes a row, keeps no state across documents and knows nothing of runners.

What `apply` is given: a frame of live rows with `doc` and the columns it `reads`, in document order.
What `apply` returns: `doc` unchanged, row for row, plus the columns it `adds` or `rewrites`; when it declares
`drops`, also `drop_reason` (null = keep) and `drop_detail`. run_stage.py checks every word of this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

import polars as pl
import pyarrow as pa

from curation.errors import RecipeError, explain_mismatch

Apply = Callable[[pl.DataFrame], pl.DataFrame]

ROOMS = ("sources", "extractors", "filters", "modifiers", "scorers", "dedup", "sinks", "mixture")


@dataclass(frozen=True)
class Resources:
    """What one worker of a stage needs. `memory_gb` in GiB; `gpus` may be a fraction."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_gb: float = 1.0


@dataclass(frozen=True)
class ModelRef:
    """A model a stage needs: its card's name, the sha256 of its weights (hex), and where they lie.

    `location` is a path or `package:NAME/path/inside`; it is not part of any fingerprint, the sha256 is. Both are empty
    for weights that a user has yet to bring; `hint` says how.
    """

    name: str
    sha256: str
    location: str
    hint: str = ""


@dataclass(frozen=True)
class Stage:
    """One step over documents. Subclasses are frozen dataclasses; see the module docstring for the contract."""

    label: str = field(default="", kw_only=True)

    libraries: ClassVar[tuple[str, ...]] = ()
    """Distributions whose installed versions change the result; they enter the fingerprint."""

    path_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that only say where files lie. They stay out of the fingerprint; the content of `files` is in it."""

    reusable: ClassVar[bool] = False
    """True when the added columns depend on the row alone, so that an earlier run's values may be taken over."""

    @property
    def name(self) -> str:
        """Path of the stage in a recipe: `filters/threshold`, or `package.module:Class` for a user's own."""
        parts = type(self).__module__.split(".")
        if len(parts) == 3 and parts[0] == "curation" and parts[1] in ROOMS:
            return f"{parts[1]}/{parts[2]}"
        return f"{type(self).__module__}:{type(self).__qualname__}"

    @property
    def short_name(self) -> str:
        """Last part of the name, from which the default label is made."""
        return re.split(r"[/.:]", self.name)[-1].lower()

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it is given, besides `doc`."""
        return ()

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        """Columns it returns that did not exist before."""
        return {}

    @property
    def rewrites(self) -> tuple[str, ...]:
        """Columns it replaces."""
        return ()

    @property
    def drops(self) -> tuple[str, ...]:
        """The closed list of reasons it may give."""
        return ()

    @property
    def models(self) -> tuple[ModelRef, ...]:
        """Models it needs at `bind`."""
        return ()

    @property
    def resources(self) -> Resources:
        """What one worker needs; a run may override it."""
        return Resources()

    @property
    def files(self) -> tuple[Path, ...]:
        """Files whose content is part of the configuration (word lists, blocklists); their bytes are fingerprinted."""
        return ()

    @property
    def foreign_code(self) -> tuple[str, ...]:
        """Names of code it imports that is neither ours nor a declared library's: a YAML recipe with such a stage is
        loaded only when code is allowed."""
        return ()

    @property
    def stop_shares(self) -> Mapping[str, float]:
        """Reason -> largest share of the documents it saw that may fall for it before the run is stopped."""
        return {}

    def check_models(self, models: Mapping[str, Path]) -> None:
        """Raise ModelError when the models, as they are found, cannot do what is asked. Called once, before any work."""

    def bind(self, models: Mapping[str, Path]) -> Apply:
        """Load what is needed once per worker; return `apply`. `models` maps a ModelRef's name to a verified path."""
        raise NotImplementedError(f"{type(self).__name__} must implement bind")

    def close(self, apply: Apply) -> None:
        """Release what `bind` took (child processes, handles). Called once per worker; the default does nothing."""


@dataclass(frozen=True)
class Filter(Stage):
    """A stage in two steps, fingerprinted apart: measure (dear, once) and decide (cheap, as often as you like).

    `measure_fields` names the fields that change what is measured. All other fields are thresholds: changing them
    recomputes decisions over the stored `stat_*` columns and nothing else.
    """

    measure_fields: ClassVar[tuple[str, ...]] = ()
    reusable: ClassVar[bool] = True

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        """`doc` and the columns of `adds`, row for row. Filters that add nothing need not implement it."""
        return batch.select("doc")

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `drop_reason` (null = keep) and `drop_detail` (value and threshold) from the light columns of
        `reads` and the measures."""
        raise NotImplementedError(f"{type(self).__name__} must implement decide")

    def bind(self, models: Mapping[str, Path]) -> Apply:
        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            measured = self.measure(batch)
            decided = self.decide(batch.hstack(measured.drop("doc")))
            return measured.hstack(decided.drop("doc"))

        return apply


@dataclass(frozen=True)
class Take:
    """What each unit of a step is given of an earlier step's tables. `how`: "slice": from every table the slice of the
    unit's own number; "own": the whole table of the unit of the same number; "all": every table whole."""

    step: str
    how: str = "slice"


@dataclass(frozen=True)
class Step:
    """One step of settling: `units` units, each given what it `takes`; their tables are cut into `slices` by a column
    `partition`. The rows of a step without slices are the verdict, in any order, each document's in one table."""

    name: str
    takes: tuple[Take, ...]
    units: int = 1
    slices: int = 0


class Found(NamedTuple):
    """What a unit of a global stage found: its rows, and a few facts (JSON) for the plan, kept in its commit record."""

    rows: pl.DataFrame
    facts: Mapping[str, Any] = {}


class Tally(NamedTuple):
    """What the plan knows of a finished unit: how many rows its table has, and its facts."""

    rows: int
    facts: Mapping[str, Any]


Settling = Generator[Step, list[Tally], Mapping[str, Any] | None]
"""Yields steps, is sent the tallies of each one's units in their order, and may return a report (JSON) of the whole."""


@dataclass(frozen=True)
class GlobalStage(Stage):
    """A stage that must see every document, in steps the runner knows and one it shares with other stages.

    sketch(batch)          -> rows with `partition` (uint32 < partitions); all that leaves a shard, never text
    match(partition)       -> one table per partition, from every shard's rows of it, in document order
    settle(matches)        -> the verdict, once: one row or more per affected document, with `doc`
    apply(batch, verdict)  -> like any stage's apply; `verdict` holds the rows of this shard only, sorted by `doc`

    A stage whose verdict does not fit into one place overrides `settling` and `step` instead of `settle`.
    """

    partitions: int = field(default=16, kw_only=True)

    sketch_fields: ClassVar[tuple[str, ...] | None] = None
    """Fields that change the sketches; None: all. A change of another field keeps them."""

    match_fields: ClassVar[tuple[str, ...] | None] = None
    """Fields that change the matches, those of the sketches left out; None: all."""

    sketches_files: ClassVar[bool] = True
    """False when `files` change what is matched, never what is sketched: others keep the sketches."""

    needs_text: ClassVar[bool] = False
    """True when its sketches hold text, which otherwise never leaves a shard."""

    settles_apart: ClassVar[bool] = False
    """True when a document's verdict needs the matches of one partition only: each is settled alone."""

    @property
    def partition_count(self) -> int:
        """How many partitions sketches are cut into: `partitions`, unless the stage finds the number by itself."""
        return self.partitions

    def sized(self, documents: int) -> GlobalStage:
        """The stage for so many documents, which the plan has counted; one whose partitions follow from them returns a copy."""
        return self

    @property
    def sketch_reads(self) -> tuple[str, ...]:
        """Columns `sketch` is given, besides `doc`."""
        return self.reads

    @property
    def match_slices(self) -> int:
        """Into how many slices a match is cut by its column `partition`; 1 needs no such column."""
        return 1

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        raise NotImplementedError(f"{type(self).__name__} must implement sketch")

    def check_memory(self, step: str, number: int, rows: int) -> None:
        """Raise RunStopped when unit `number` of a step ("match" or one of `settling` that takes slices) is to read more
        rows than it has memory for; called before they are read."""

    def known(self, number: int) -> pl.DataFrame | None:
        """Rows of a partition known from elsewhere, such as an index of earlier corpora; they come first. A column that only
        they or only the sketches have is null in the others."""
        return None

    def match(self, partition: pl.DataFrame) -> pl.DataFrame | Found:
        raise NotImplementedError(f"{type(self).__name__} must implement match")

    def settling(self, sketched: int, matched: list[Tally]) -> Settling:
        """The steps from matches to the verdict; `sketched` rows in all sketches, `matched` in each partition. Called again
        with the same tallies it must yield the same steps."""
        if self.settles_apart:
            yield Step("settle", (Take("match", "own"),), units=self.partition_count)
        else:
            yield Step("settle", (Take("match", "all"),))
        return None

    def step(self, step: Step, number: int, taken: Sequence[Iterator[pl.DataFrame]]) -> pl.DataFrame | Found:
        """One unit of a step: the tables it takes, in the order of `takes`, one after the other as they are asked for."""
        return self.settle(taken[0])

    def settle(self, matches: Iterable[pl.DataFrame]) -> pl.DataFrame:
        raise NotImplementedError(f"{type(self).__name__} must implement settle")

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        raise NotImplementedError(f"{type(self).__name__} must implement apply")


@dataclass(frozen=True)
class Input:
    """One input file. `path` is relative to the input root and is what documents record; `location` opens it.

    `number` is append-only per output folder; `identity` is the etag or mtime, with `size` part of fingerprints.
    """

    number: int
    path: str
    location: str
    size: int
    identity: str


@dataclass(frozen=True)
class Piece:
    """A byte range of one input. A record belongs to the piece in which its first byte lies.

    `start` 0 is certain. Another start is a cut: the reader resynchronises at the first verified record at or after
    it, unless `exact`, which says that a record is known to begin there.
    """

    input: Input
    start: int
    end: int
    exact: bool = False


@dataclass(frozen=True)
class PieceReport:
    """What a source found in one piece: the account that must cover it.

    `first` and `stop`: byte offsets of the first record and of the end of the last thing read. Adjacent pieces of an
    input must meet (`stop` of one == `first` of the next). `records`: record kind -> count (every kind, response
    included). `broken`: (start, end, why) byte ranges that held no readable record.
    """

    piece: Piece
    first: int
    stop: int
    records: Mapping[str, int]
    broken: Sequence[tuple[int, int, str]] = ()


Open = Callable[[Input], BinaryIO]
"""Opens an input as a seekable binary stream; the caller closes it."""


@dataclass(frozen=True)
class Source(Stage):
    """Where documents come from. `reads` is empty; `adds` are the columns of every row it yields.

    Rows it cannot use are tombstones: it yields them with `drop_reason` from `drops`.
    """

    def accepts(self, path: str, head: bytes) -> str | None:
        """None when the file is an input (judged by name and first 512 bytes), otherwise why it is not."""
        raise NotImplementedError(f"{type(self).__name__} must implement accepts")

    def cut(self, inputs: Sequence[Input]) -> list[tuple[Piece, ...]]:
        """Shards: each a tuple of pieces, in input order, sized by the configuration and never by the machine."""
        raise NotImplementedError(f"{type(self).__name__} must implement cut")

    def read(self, piece: Piece, open_input: Open) -> Iterator[pl.DataFrame | PieceReport]:
        """Frames of rows in position order, bounded in bytes, with `drop_reason` and `drop_detail`; the last item is
        the PieceReport."""
        raise NotImplementedError(f"{type(self).__name__} must implement read")


@dataclass(frozen=True)
class Sink(Stage):
    """Where documents go. `target_mb` (10**6 bytes of text) closes a shard. `dropped_text` says which tombstones keep
    their text: `none`, `sample:N` (N per reason and shard, chosen by a hash of `doc`) or `all`. `repeat_by`: a column of
    whole numbers that says how often a document is written, such as stat_rehydration_repeats; "" or a null: once."""

    target_mb: float = 512.0
    dropped_text: str = "sample:100"
    repeat_by: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"none|all|sample:\d+", str(self.dropped_text)):
            wanted = "none, all or sample:N"
            raise RecipeError(explain_mismatch(f"{self.name}: dropped_text", wanted=wanted, found=self.dropped_text))
        if not self.target_mb > 0:
            raise RecipeError(explain_mismatch(f"{self.name}: target_mb", wanted="more than 0", found=self.target_mb))

    def write(self, tables: Iterable[pa.Table], destination: BinaryIO, metadata: Mapping[str, str]) -> None:
        """Write one shard to `destination`; `metadata` becomes the file's own metadata."""
        raise NotImplementedError(f"{type(self).__name__} must implement write")


def frozen_fields(stage: Stage) -> dict[str, object]:
    """Every field of a stage but its label, in order: its configuration."""
    return {f.name: getattr(stage, f.name) for f in fields(stage) if f.name != "label"}
