"""Pipeline x inputs -> waves of units, each with a fingerprint.

A unit is one segment over one shard (or one partition of a global step, or one output shard). Its fingerprint digests
the stages it runs, the identity of its inputs and the fingerprints of the units it builds on, so a commit record of
the same name means: this very result exists. Within a wave the units of a later segment become ready shard by shard.
Waves follow one another because some need to know what the whole of the last one found: how many documents a global stage
will see, and how much text is left for the sink to pack.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from curation.cuts import Cuts
from curation.errors import RunStopped
from curation.fingerprint import columns_fingerprint, digest, stage_fingerprint, step_fingerprints
from curation.pipeline import Pipeline, Segment
from curation.records import HeldRecords
from curation.stage import GlobalStage, Input, Piece, Step, Take, Tally

logger = logging.getLogger("curation")

FINGERPRINT_DIGITS = 20

MOST_RANGES = 1024
"""Slices of a verdict at most: beyond so many shards, several share one."""

MOST_TABLES = 16
"""Tables of a verdict that every shard may be asked to look into; more are brought together by range first."""


@dataclass(frozen=True)
class Options:
    """What a run may change besides the recipe. `limit`: documents read in all; `sample`: share of documents kept,
    chosen by a hash of `doc`. Both are part of the fingerprints."""

    limit: int | None = None
    sample: float | None = None


@dataclass(frozen=True, slots=True)
class PartRef:
    """A committed data file: its name under work/parts, its columns, rows, bytes, and the fingerprint of its unit; how many
    `slices` it is cut into, 0 for Parquet."""

    file: str
    columns: tuple[str, ...]
    rows: int
    fingerprint: str
    sha256: str
    bytes: int
    slices: int = 0


@dataclass(frozen=True, slots=True)
class VerdictRef:
    """Where the verdict of a range of shards lies: slice `number` of each of the tables."""

    tables: tuple[PartRef, ...]
    number: int


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work. `kind`: heads, read, rows, sketch, match, step or sink. `number`: shard, partition or output shard.

    `pieces`: what it reads of the inputs. `shards`: the parts of each shard it reads, text part first; a read unit's are its
    heads. `verdicts`: label of a global stage -> where the verdict lies that the unit applies. `taken`: the tables a match
    or step reads, one tuple for each of its step's takes; `listed`: names of files that hold the long ones of them.
    `step`: what a step unit does, and `bounds`, the first document of each range of shards, by which a verdict is cut.
    `documents`: how many were alive when a global stage began.
    `reuse_keys`: label -> key under which its columns may be taken over from an earlier commit; `limit`: documents it may
    still read.
    """

    kind: str
    segment: int
    number: int
    fingerprint: str
    pieces: tuple[Piece, ...] = ()
    shards: tuple[tuple[PartRef, ...], ...] = ()
    taken: tuple[tuple[PartRef, ...], ...] = ()
    listed: Mapping[int, str] = field(default_factory=dict)
    step: Step | None = None
    bounds: tuple[int, ...] = ()
    documents: int = 0
    verdicts: Mapping[str, VerdictRef] = field(default_factory=dict)
    reuse_keys: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None
    sample: float | None = None

    @property
    def name(self) -> str:
        """Name without the fingerprint: the same place in the plan, whatever the configuration."""
        if self.kind == "sink":
            return f"sink-{self.number:05d}"
        return f"s{self.segment:02d}-{self.step.name if self.step else self.kind}-{self.number:05d}"

    @property
    def record_name(self) -> str:
        """Name of its commit record."""
        return f"{self.name}.{self.fingerprint}.json"


@dataclass
class Wave:
    """Units that may run at the same time, and what they are, for people. `behind`: index and title of the segments whose
    units `Plan.follow` makes ready, one for each shard, as the shard's unit before is committed."""

    title: str
    units: list[Unit]
    sequential: bool = False
    """True under --limit: each unit is told how many documents the ones before it left."""
    behind: Mapping[int, str] = field(default_factory=dict)

    def title_of(self, unit: Unit) -> str:
        """What a unit of this wave, or of a segment behind it, is called."""
        return self.behind.get(unit.segment, self.title)


Verdict = Sequence[VerdictRef]
"""A verdict, for each range of shards."""

NO_PARTS = ("sketch", "match", "step", "sink")
"""Kinds of units that are no shard's part."""

COLLECT = "collect"
"""The engine's own step: a slice of many tables of a verdict, as one table."""


class Plan:
    """Makes the waves of a run. Iterate `waves()`; give every commit record to `follow`, whose units belong to the wave
    too."""

    def __init__(self, pipeline: Pipeline, inputs: Sequence[Input], options: Options = Options()) -> None:
        self.pipeline = pipeline
        self.inputs = list(inputs)
        self.options = options
        self.segments = pipeline.segments()
        self.shards = pipeline.source.cut(self.inputs)
        self.parts: list[list[PartRef]] = [[] for _ in self.shards]
        self.final = HeldRecords()
        self.reports: dict[str, Mapping] = {}
        self.tables: dict[str, dict[str, tuple[PartRef, ...]]] = {}
        self._verdicts: dict[str, Verdict] = {}
        reading = [segment for segment in self.segments if segment.kind in ("heads", "read")]
        self._reading = {segment.index: digest([stage_fingerprint(s) for s in segment.stages]) for segment in reading}
        self._cuts = Cuts(self.shards)
        self._behind: Mapping[int, str] = {}

    def fingerprint(self) -> str:
        """Digest of the whole run: recipe, inputs and options."""
        return run_fingerprint(self.pipeline, self.inputs, self.options)

    def follow(self, unit: Unit, record: Mapping) -> list[Unit]:
        """Take in a unit's commit record; return the units that it makes ready in the segments behind."""
        self.final[unit.name] = record
        if unit.kind in NO_PARTS:
            return []
        ready = [unit.number]
        if unit.segment == 0:
            settled = self._cuts.settled_by(unit.number, record["pieces"])
            ready = settled if self.options.limit is None else ready  # with a limit no segment follows in the same wave
        return [after for shard in ready if (after := self._advance(unit.segment, shard)) is not None]

    def waves(self) -> Iterator[Wave]:
        """Yield each wave once all units of the one before it were followed."""
        index = 0
        while index < len(self.segments):
            segment = self.segments[index]
            index += 1
            if segment.kind == "global":
                self._verdicts[segment.labels] = yield from self._global_waves(segment)
                continue
            limited = self.options.limit is not None and segment.kind != "rows"
            self._behind = {}
            while not limited and index < len(self.segments) and self.segments[index].kind == "rows":
                self._behind = {**self._behind, index: self.segments[index].labels}
                index += 1
            if segment.index == 0:
                yield from self._first_waves(segment)
                continue
            units = [self._shard_unit(segment, shard) for shard in range(len(self.shards))]
            yield Wave(segment.labels, units, limited and segment.kind == "read", self._behind)
        yield Wave(self.pipeline.sink.label, self._sink_units())

    def _advance(self, index: int, shard: int) -> Unit | None:
        """A shard's unit of a segment is committed for good: its part counts. The unit that follows, if any does."""
        made = part_of(self.final[f"s{index:02d}-{self.segments[index].kind}-{shard:05d}"])
        begins = self.segments[index].kind == "read"  # the text part takes the place of the heads
        self.parts[shard] = [made] if begins else [*self.parts[shard], made]
        return self._shard_unit(self.segments[index + 1], shard) if index + 1 in self._behind else None

    def _shard_unit(self, segment: Segment, shard: int) -> Unit:
        return self._read_unit(segment, shard) if segment.kind == "read" else self._rows_unit(segment, shard)

    # -- reading

    def _first_waves(self, segment: Segment) -> Iterator[Wave]:
        """The inputs are read for the first time, by a segment `heads` or `read`."""
        limited = self.options.limit is not None
        units = [self._read_unit(segment, shard) for shard in range(len(self.shards))]
        yield Wave(segment.labels, units, limited, self._behind)
        # A cut inside a file is a guess until its neighbour has arrived there: where two do not meet, the later one is
        # redone from where the earlier one stopped. The first piece is certain, so each round settles one more.
        for _ in range(sum(len(pieces) for pieces in self.shards) + 1):
            wrong = self._cuts.unmet(self.shards)
            if not wrong:
                return
            for number, pieces in wrong.items():
                self.shards[number] = pieces
            # Under a limit, those behind a redone shard change with it.
            redone = range(min(wrong), len(units)) if limited else sorted(wrong)
            for number in range(len(units)) if limited else redone:
                self.parts[number] = []  # all of them are followed again
            for number in redone:
                units[number] = self._read_unit(segment, number)
            again = units if limited else [units[number] for number in redone]
            yield Wave(f"{segment.labels} (cuts redone)", again, limited, self._behind)
        raise RunStopped("the pieces of an input never met: its reader reports other offsets on every read")

    def _read_unit(self, segment: Segment, number: int) -> Unit:
        limit, pieces = self.options.limit, self.shards[number]
        # Under a limit, what a shard yields depends on how many documents the shards before it held.
        given = [p for shard in self.shards[:number] for p in shard] if limit is not None else []
        identity = [
            [p.input.number, p.input.path, p.input.size, p.input.identity, p.start, p.end, p.exact] for p in (*given, *pieces)
        ]
        verdicts = self._verdicts_of(segment, number)
        # By the bytes of this very range: what another input changes elsewhere must not have this one extracted again.
        applied = [[p.sha256 for p in verdict.tables] for verdict in verdicts.values()]
        reading = self._reading[segment.index]
        fingerprint = short([segment.kind, reading, identity, limit, self.options.sample, *applied])
        return Unit(
            segment.kind, segment.index, number, fingerprint, pieces=pieces, shards=(tuple(self.parts[number]),),
            verdicts=verdicts, limit=limit, sample=self.options.sample,
        )  # fmt: skip

    def _verdicts_of(self, segment: Segment, shard: int) -> dict[str, VerdictRef]:
        """Where the verdicts lie that a segment applies to a shard, by label."""
        given = [s.label for s in segment.stages if s.label in self._verdicts]
        return {label: self._verdicts[label][shard // self._range_shards()] for label in given}

    def _first_record(self, shard: int) -> Mapping:
        return self.final[f"s00-{self.segments[0].kind}-{shard:05d}"]

    # -- rows

    def _rows_unit(self, segment: Segment, shard: int) -> Unit:
        parts = tuple(self.parts[shard])
        stages = [[s.label, stage_fingerprint(s)] for s in segment.stages]
        verdicts = self._verdicts_of(segment, shard)
        above = [p.fingerprint for p in (*parts, *(p for verdict in verdicts.values() for p in verdict.tables))]
        keys = self._reuse_keys(segment, parts, verdicts)
        return Unit(
            segment.kind, segment.index, shard, short(["rows", stages, above]), shards=(parts,), verdicts=verdicts,
            reuse_keys=keys,
        )  # fmt: skip

    def _reuse_keys(self, segment: Segment, parts: Sequence[PartRef], verdicts: Mapping[str, VerdictRef]) -> dict[str, str]:
        """Label -> digest of what decides a stage's columns for these very rows: itself and what it reads, back to the
        parts that provide it."""
        made: dict[str, str] = {}
        keys: dict[str, str] = {}
        for stage in segment.stages:
            own = columns_fingerprint(stage) if stage.reusable else stage_fingerprint(stage)
            above = {c: made.get(c) or _provider(parts, c) for c in stage.reads}
            if stage.label in verdicts:
                above["verdict"] = digest(_prints(verdicts[stage.label].tables))
            key = short(["columns", own, above])
            made.update(dict.fromkeys((*stage.adds, *stage.rewrites), key))
            if stage.reusable and stage.adds:
                keys[stage.label] = key
        return keys

    # -- global stages

    def _global_waves(self, segment: Segment) -> Generator[Wave, None, Verdict]:
        """The waves of a global stage; returns where its verdict lies."""
        stage = segment.stages[0]
        assert isinstance(stage, GlobalStage)
        documents = self._alive(segment)
        stage = stage.sized(documents)
        planned = (stage.label, documents, stage.partition_count, stage.resources.memory_gb)
        logger.info("%s: %d documents in %d partitions, at most %g GiB a unit", *planned)
        of_sketch, of_match, of_steps = step_fingerprints(stage)
        sketches = [
            Unit(
                "sketch",
                segment.index,
                n,
                short(["sketch", of_sketch, _prints(parts)]),
                shards=(tuple(parts),),
                documents=documents,
            )
            for n, parts in enumerate(self.parts)
        ]
        yield Wave(f"{stage.label}: sketch", sketches)
        made = self._made(sketches)
        above = digest(_prints(made))  # once: there may be as many sketches as shards, and as many matches again
        matches = [
            Unit("match", segment.index, n, short(["match", of_match, n, above]), taken=(made,), documents=documents)
            for n in range(stage.partition_count)
        ]
        yield Wave(f"{stage.label}: match", matches)
        tables = {"match": self._made(matches)}
        prints = {"match": digest(_prints(tables["match"]))}
        settling = stage.settling(sum(p.rows for p in made), self._tallies(matches))
        step = next(settling)
        while True:
            made_of = (self._step_unit(segment, step, n, tables, prints, of_steps) for n in range(step.units))
            units = [replace(unit, documents=documents) for unit in made_of]
            yield Wave(f"{stage.label}: {step.name}", units)
            tables[step.name] = self._made(units)
            prints[step.name] = digest(_prints(tables[step.name]))
            try:
                step = settling.send(self._tallies(units))
            except StopIteration as end:
                self.reports[stage.label] = end.value or {}
                break
        verdict = tables[step.name]
        self.tables[stage.label] = {"sketch": made, "verdict": verdict}
        ranges = range(len(self._bounds) + 1)
        early = any(later.kind == "read" for later in self.segments[segment.index :])
        if len(verdict) <= MOST_TABLES and not early:
            return [VerdictRef(verdict, n) for n in ranges]
        collect = Step(COLLECT, (Take("verdict"),))
        prints = {"verdict": prints[step.name]}
        units = [self._step_unit(segment, collect, n, {"verdict": verdict}, prints, "") for n in ranges]
        yield Wave(f"{stage.label}: {COLLECT}", units)
        return [VerdictRef((part,), 0) for part in self._made(units)]

    def _alive(self, segment: Segment) -> int:
        """Documents alive before a segment."""
        before = self.segments[segment.index - 1]
        names = (f"s{before.index:02d}-{before.kind}-{shard:05d}" for shard in range(len(self.shards)))
        return sum(self.final[name]["rows_alive"] for name in names)

    def _step_unit(
        self,
        segment: Segment,
        step: Step,
        number: int,
        tables: Mapping[str, tuple[PartRef, ...]],
        prints: Mapping[str, str],
        own: str,
    ) -> Unit:
        taken = tuple(tables[t.step][number : number + 1] if t.how == "own" else tables[t.step] for t in step.takes)
        bounds = () if step.slices else self._bounds
        how = [[t.step, t.how] for t in step.takes]
        above = [_prints(parts) if t.how == "own" else prints[t.step] for t, parts in zip(step.takes, taken, strict=True)]
        fingerprint = short(["step", step.name, own, how, number, step.slices, above, bounds])
        return Unit("step", segment.index, number, fingerprint, taken=taken, step=step, bounds=bounds)

    def _made(self, units: Sequence[Unit]) -> tuple[PartRef, ...]:
        return tuple(part_of(self.final[u.name]) for u in units)

    def _tallies(self, units: Sequence[Unit]) -> list[Tally]:
        records = [self.final[u.name] for u in units]
        return [Tally(r["part"]["rows"], r["facts"]) for r in records]

    def _range_shards(self) -> int:
        """How many shards share a slice of a verdict: so many that its slices are at most MOST_RANGES."""
        return -(-len(self.shards) // MOST_RANGES) or 1

    @cached_property
    def _bounds(self) -> tuple[int, ...]:
        """Once the inputs were read: the first document of each range of shards but the first; a range without documents
        begins where the next does."""
        firsts: list[int] = []
        following = (1 << 64) - 1
        for shard in reversed(range(len(self.shards))):
            docs = self._first_record(shard)["docs"]
            following = docs[0] if docs else following
            if shard % self._range_shards() == 0:
                firsts.append(following)
        return tuple(reversed(firsts))[1:]

    # -- sink

    def _sink_units(self) -> list[Unit]:
        last = self.segments[-1]
        kind = "read" if last.kind == "read" else "rows"
        target = self.pipeline.sink.target_mb * 1e6
        units: list[Unit] = []
        held: list[int] = []
        size = 0.0
        for shard in range(len(self.shards)):
            held.append(shard)
            size += self.final[f"s{last.index:02d}-{kind}-{shard:05d}"]["text_bytes"]
            if size >= target:
                units.append(self._sink_unit(len(units), held))
                held, size = [], 0.0
        if held:
            units.append(self._sink_unit(len(units), held))
        return units

    def _sink_unit(self, number: int, shards: Sequence[int]) -> Unit:
        parts = tuple(tuple(self.parts[s]) for s in shards)
        above = [[p.fingerprint for p in shard] for shard in parts]
        fingerprint = short(["sink", self.pipeline.fingerprint(), above])
        return Unit("sink", len(self.segments), number, fingerprint, shards=parts)


def run_fingerprint(pipeline: Pipeline, inputs: Sequence[Input], options: Options) -> str:
    """Digest of a whole run: recipe, inputs and options."""
    given = [[i.number, i.path, i.size, i.identity] for i in inputs]
    return digest([pipeline.fingerprint(), given, options.limit, options.sample])


def _provider(parts: Sequence[PartRef], column: str) -> str:
    """Fingerprint of the last part that has a column."""
    return next(p.fingerprint for p in reversed(parts) if column in p.columns)


def _prints(parts: Sequence[PartRef]) -> list[str]:
    return [p.fingerprint for p in parts]


def part_of(record: Mapping) -> PartRef:
    """The data file a commit record points to."""
    part = record["part"]
    return PartRef(
        part["file"],
        tuple(part["columns"]),
        part["rows"],
        record["fingerprint"],
        part["sha256"],
        part["bytes"],
        part.get("slices", 0),
    )


def short(value: object) -> str:
    """A digest cut to the length used in names: 80 bits."""
    return digest(value)[:FINGERPRINT_DIGITS]
