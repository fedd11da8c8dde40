"""Pipeline = source + stages + sink: a value that does nothing when it is made, except to check that it fits together.

The check walks the columns: what a stage reads must exist by then, nothing is added twice, raw pages are read only
before the text is extracted, and numbers measured on a text are not used after that text was rewritten.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from curation.document import COLUMNS, DROP_COLUMNS, HEAVY, VOLATILE, allowed_type
from curation.errors import RecipeError, explain_mismatch
from curation.fingerprint import digest, stage_fingerprint
from curation.stage import GlobalStage, Sink, Source, Stage

ENGINE_COLUMNS: Mapping[str, pa.DataType] = {"stat_text_bytes": COLUMNS["stat_text_bytes"]}
"""Columns the engine itself adds where `text` is written: its UTF-8 length in bytes."""

TEXT_COLUMNS = frozenset({"text", "content_id", "stat_text_bytes"})


@dataclass(frozen=True)
class Pipeline:
    """One recipe. `stages` run in order. Labels are made unique: the stage's short name, numbered when repeated.

    Raises RecipeError when the columns do not fit.
    """

    name: str
    source: Source
    stages: tuple[Stage, ...]
    sink: Sink
    description: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(_labelled(self.stages)))
        object.__setattr__(self, "source", _with_label(self.source, self.source.label or self.source.short_name))
        object.__setattr__(self, "sink", _with_label(self.sink, self.sink.label or self.sink.short_name))
        labels = [s.label for s in self.everything()]
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            raise RecipeError(f"recipe {self.name!r}: labels must be unique; repeated: {', '.join(repeated)}")
        check_columns(self)

    def everything(self) -> tuple[Stage, ...]:
        """Source, stages and sink, in order."""
        return (self.source, *self.stages, self.sink)

    def stage(self, label: str) -> Stage:
        """The stage with this label; RecipeError lists the labels there are."""
        for stage in self.everything():
            if stage.label == label:
                return stage
        raise RecipeError(
            explain_mismatch(
                f"recipe {self.name!r} has no stage labelled {label!r}",
                wanted="one of " + ", ".join(s.label for s in self.everything()),
                found=label,
            )
        )

    def segments(self) -> list[Segment]:
        """The stages cut into segments; see `Segment`."""
        return list(cut_segments(self))

    def column_types(self) -> dict[str, pa.DataType]:
        """Arrow type of every column that leaves the pipeline."""
        types: dict[str, pa.DataType] = {"doc": COLUMNS["doc"], **self.source.adds}
        for stage in self.stages:
            types.update(stage.adds)
        types.update(ENGINE_COLUMNS)
        for name in DROP_COLUMNS:
            types[name] = COLUMNS[name]
        return {name: t for name, t in types.items() if name not in VOLATILE}

    def fingerprint(self) -> str:
        """Digest of the recipe: every stage in order with configuration, code, libraries, models, lists."""
        return digest([[s.label, stage_fingerprint(s)] for s in self.everything()])


@dataclass(frozen=True)
class Segment:
    """Stages that one unit runs over one shard without a file between them.

    kind `read`: source up to the extractor, writes the text part. kind `rows`: writes a side part. kind `global`: sketches,
    matches and settles; the next segment applies the verdict as its first stage. kind `heads`, before a global stage that
    stands before the extractor: the source and the stages up to it (a second one: the verdict of the first, and the stages
    after that), writes what is known without the text; all of it is done again by `read`, which applies the verdicts in
    their places.
    """

    index: int
    kind: str
    stages: tuple[Stage, ...]

    @property
    def labels(self) -> str:
        return " > ".join(stage.label for stage in self.stages)


def cut_segments(pipeline: Pipeline) -> Iterator[Segment]:
    """Cut after the stage that makes the text, around every global stage and, from there on, every stage with models, after
    every stage that rewrites the text."""
    index = 0
    stages = list(pipeline.stages)
    reading = next((i + 1 for i, s in enumerate(stages) if "text" in s.adds), 0)
    begun: list[Stage] = [pipeline.source]
    for stage in stages[:reading]:
        if isinstance(stage, GlobalStage):
            yield Segment(index, "heads", tuple(begun))
            yield Segment(index + 1, "global", (stage,))
            index += 2
            begun = []
        begun.append(stage)
    yield Segment(index, "read", (pipeline.source, *stages[:reading]))
    pending: list[Stage] = []

    def flush() -> Iterator[Segment]:
        nonlocal index, pending
        if pending:
            index += 1
            yield Segment(index, "rows", tuple(pending))
            pending = []

    for stage in stages[reading:]:
        if isinstance(stage, GlobalStage):
            yield from flush()
            index += 1
            yield Segment(index, "global", (stage,))
            pending = [stage]
        elif stage.models:
            yield from flush()
            pending = [stage]
            yield from flush()
        else:
            pending.append(stage)
        if "text" in stage.rewrites:
            yield from flush()
    yield from flush()


def check_columns(pipeline: Pipeline) -> None:
    """Raise RecipeError unless every column is there when read, typed as the contract says, and measured on the text
    it is used with."""
    known: dict[str, str] = {}
    measured_on_text: set[str] = set()
    stale: dict[str, str] = {}
    _add(pipeline, pipeline.source, known)
    has_text = "text" in known
    for stage in pipeline.stages:
        reads = set(stage.reads) | set(stage.rewrites)
        if isinstance(stage, GlobalStage):
            reads |= set(stage.sketch_reads)
        missing = sorted(reads - set(known))
        if missing:
            raise RecipeError(
                explain_mismatch(
                    f"stage {stage.label!r} ({stage.name}) reads columns that nothing before it adds",
                    wanted=", ".join(missing),
                    found=", ".join(sorted(known)),
                    hint="put the stage that adds them before it",
                )
            )
        late = sorted(reads & VOLATILE) if has_text else []
        if late:
            raise RecipeError(
                f"stage {stage.label!r} ({stage.name}) reads {', '.join(late)} after the text was extracted\n"
                "  try:    put it before the extractor: raw pages are not stored"
            )
        for name in sorted(reads & set(stale)):
            raise RecipeError(
                f"stage {stage.label!r} ({stage.name}) reads {name!r}, which was measured on the text before "
                f"{stale[name]!r} rewrote it\n  try:    measure after the rewriting stage"
            )
        _add(pipeline, stage, known)
        if reads & TEXT_COLUMNS or reads & measured_on_text:
            measured_on_text.update(set(stage.adds) - TEXT_COLUMNS)
        if "text" in stage.rewrites:
            stale.update(dict.fromkeys(measured_on_text, stage.label))
        if "text" in stage.adds:
            has_text = True
            known.update(dict.fromkeys(ENGINE_COLUMNS, "engine"))
    if "text" not in known:
        raise RecipeError(f"recipe {pipeline.name!r}: no stage adds `text`\n  try:    add an extractor")
    _check_repeats(pipeline)
    if "text" not in pipeline.source.adds:
        _check_heads(pipeline.stages[: next(i + 1 for i, s in enumerate(pipeline.stages) if "text" in s.adds)])


def _check_repeats(pipeline: Pipeline) -> None:
    """Raise RecipeError unless the sink repeats documents by whole numbers, or not at all."""
    repeat_by = pipeline.sink.repeat_by
    if repeat_by and not pa.types.is_integer(pipeline.column_types().get(repeat_by, pa.null())):
        raise RecipeError(
            explain_mismatch(
                f"sink {pipeline.sink.label!r} ({pipeline.sink.name}): repeat_by",
                wanted="a column of whole numbers that a stage adds, or nothing",
                found=repeat_by,
                hint="dedup/rehydration adds stat_rehydration_repeats",
            )
        )


def _check_heads(reading: Sequence[Stage]) -> None:
    """Raise RecipeError unless each global stage up to the extractor does with what is known without the page, and so does
    every stage between two of them."""
    early = [i for i, stage in enumerate(reading) if isinstance(stage, GlobalStage)]
    for place in early:
        stage = reading[place]
        assert isinstance(stage, GlobalStage)
        heavy = sorted(HEAVY & {*stage.reads, *stage.sketch_reads, *stage.rewrites, *stage.adds})
        if heavy or stage.needs_text:
            raise RecipeError(
                f"stage {stage.label!r} ({stage.name}) stands before the text is extracted, but needs "
                f"{', '.join(heavy) or 'text'}\n"
                "  try:    put it behind the extractor: before it, a stage that sees all documents is given only what is "
                "known without the page"
            )
    for stage in reading[early[0] + 1 : early[-1]] if early else ():
        pages = sorted(VOLATILE & {*stage.reads, *stage.rewrites})
        if pages:
            raise RecipeError(
                f"stage {stage.label!r} ({stage.name}) reads {', '.join(pages)} between two stages that see all documents\n"
                f"  try:    put it before {reading[early[0]].label!r} or behind {reading[early[-1]].label!r}"
            )


def _add(pipeline: Pipeline, stage: Stage, known: dict[str, str]) -> None:
    for name, data_type in stage.adds.items():
        if name in known or name in DROP_COLUMNS or name in ENGINE_COLUMNS:
            raise RecipeError(
                f"stage {stage.label!r} ({stage.name}) adds {name!r}, which {known.get(name, 'the engine')} adds already"
            )
        wanted = allowed_type(name, data_type)
        if wanted:
            raise RecipeError(
                explain_mismatch(
                    f"stage {stage.label!r} ({stage.name}) declares column {name!r}",
                    wanted=wanted,
                    found=str(data_type),
                )
            )
        known[name] = stage.label


def _with_label(stage, label: str):
    return stage if stage.label == label else dataclasses.replace(stage, label=label)


def _labelled(stages: tuple[Stage, ...]) -> Iterator[Stage]:
    taken = {s.label for s in stages if s.label}
    seen: dict[str, int] = {}
    for stage in stages:
        if stage.label:
            yield stage
            continue
        base = stage.short_name
        seen[base] = seen.get(base, 0) + 1
        label = base if seen[base] == 1 else f"{base}_{seen[base]}"
        while label in taken:
            seen[base] += 1
            label = f"{base}_{seen[base]}"
        taken.add(label)
        yield _with_label(stage, label)
