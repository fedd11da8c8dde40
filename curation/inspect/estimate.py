"""What a run will need, before it runs and without reading any data: bytes, memory, files and hours of every step."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import polars as pl

from curation.dedup.bands import PEAK_BYTES
from curation.dedup.components import GATHER_BYTES, MEMBER_BYTES
from curation.dedup.exact import Exact
from curation.dedup.keyed import KeyedStage
from curation.dedup.labels import LABEL_BYTES, ROUND_BYTES
from curation.dedup.lines import Lines
from curation.dedup.minhash import Minhash
from curation.dedup.survivors import rank_columns
from curation.errors import RecipeError, explain_mismatch
from curation.inspect.explain import TEXT_SHARE
from curation.pipeline import Pipeline, Segment
from curation.plan import MOST_RANGES, MOST_TABLES, Plan
from curation.scorers.classify import Classify
from curation.stage import GlobalStage, Input, Source, Stage

RATES: dict[str, tuple[float, str]] = {
    "read": (320e-6, "CPU s a page: first_light.md, warc, 0.69 s for 2136 pages"),
    "trafilatura": (15.9e-3, "CPU s a page: first_light.md"),
    "resiliparse": (1.5e-3, "CPU s a page: first_light.md"),
    "main_content": (1.0e-3, "CPU s a page: main_content.md"),
    "language": (1.0e-3, "CPU s a page: first_light.md, 2.23 s for 2089 pages"),
    "classify": (0.25e-3, "CPU s a document, a fastText model: scores_speed.md"),
    "encoder": (1.9e-9, "CPU s a document of 512 tokens and a byte of weights: serve_cpu.md, long documents"),
    "perplexity": (0.27e-3, "CPU s a document, a KenLM model: scores_speed.md"),
    "stage": (0.15e-3, "CPU s a page of any other stage: first_light.md, filters/fineweb"),
    "sign native": (8.3e-9, "CPU s a byte of text: minhash_signatures.md, second pass"),
    "sign native words": (15.3e-9, "CPU s a byte of text, with a language's tokenizer: minhash_signatures.md, second pass"),
    "sign datatrove": (25.3e-9, "CPU s a byte of text: minhash_signatures.md, second pass"),
    "match": (0.38e-6, "CPU s a band record: minhash_clustering.md, 10**7 documents"),
    "label": (0.27e-6, "CPU s a star: minhash_clustering.md"),
    "round": (0.7e-6, "CPU s an edge and step of a round: minhash_clustering.md, rounds"),
    "gather": (0.38e-6, "CPU s a star: minhash_clustering.md"),
    "cluster": (1.8e-6, "CPU s a document that has a like one: minhash_clustering.md"),
    "apply": (0.6e-6, "CPU s a document: minhash_stages.md"),
    "key": (1.5e-6, "CPU s a document: sketch and match of dedup/exact and dedup/url_key, 3 * 10**5 rows"),
    "line": (0.7e-6, "CPU s a line: sketch, match and settle of dedup/lines, 6 * 10**5 lines"),
    "slice": (0.2e-3, "CPU s a slice that is read or written: minhash_stages.md, 5,000 documents"),
}
"""CPU rates on one core, and the committed benchmark (or measurement) each comes from."""

SHAPES: dict[str, tuple[float, str]] = {
    "stars": (8.8, "stars of a document that has a like one, of 14 bands: minhash_clustering.md"),
    "edges": (13.9, "edges of such a document, both ways, before the first round: minhash_clustering.md, rounds"),
    "rounds": (6, "rounds of stars (3 at 10**6 documents; more where chains are long)"),
    "text_part": (0.45, "bytes of a text part a byte of text (zstd)"),
    "line_bytes": (100, "bytes of text a line"),
    "number_bytes": (5, "bytes of a stored document number; other columns are hashes, 8 bytes each, and do not compress"),
    "list_bytes": (17, "bytes of a document's list of edges"),
    "verdict_bytes": (15, "bytes of a document in a verdict"),
    "key_bytes": (25, "bytes of a sketch of dedup/exact and dedup/url_key"),
    "key_memory": (350, "bytes of memory a row of dedup/exact and dedup/url_key"),
    "line_memory": (60, "bytes of memory a line of dedup/lines"),
    "record": (1500, "bytes of a unit and its commit record in the memory of the driver: many_units.md"),
}
"""What the estimate assumes about sizes."""

SMALL_SLICE = 16 << 10
"""Bytes of a slice below which reading is ruled by the number of slices: reported when there are many."""
MANY_SLICES = 10**7
LARGE_DRIVER = 16 << 30
MOST_PARTITIONS = 1 << 20


@dataclass(frozen=True)
class Scale:
    """How much comes in and what it meets. `documents` reach the first global stage, `text_bytes` each; `touched`: share
    that has a like one; `memory_gb` (GiB) a worker has; `mb_s` (10**6 bytes a second) and `read_ms` a ranged read takes, for
    each core. Raises RecipeError on senseless values."""

    documents: float
    cores: int = 1
    text_bytes: float = 5000.0
    memory_gb: float = 4.0
    touched: float = 0.4
    mb_s: float = 50.0
    read_ms: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 1 if field.name in ("documents", "cores") else 0
            most = 1.0 if field.name == "touched" else 1e15
            if not (math.isfinite(value) and least <= value <= most and (value > 0 or field.name in ("touched", "read_ms"))):
                wanted = f"a number from {least} to {most:g}"
                raise RecipeError(explain_mismatch(f"--{field.name.replace('_', '-')}", wanted=wanted, found=value))


@dataclass(frozen=True)
class Phase:
    """One wave of units. `read`, `written`: bytes in all; `slices`: read in all; `memory`: bytes a unit takes at most, by the
    constants by which the engine refuses one (every document in a bucket of every band)."""

    name: str
    units: int
    cpu: float
    read: float
    written: float
    slices: float = 0.0
    memory: float = 0.0

    def wall(self, scale: Scale) -> float:
        """Seconds on so many cores, each unit waiting for its own reads and writes."""
        transfer = (self.read + self.written) / (scale.mb_s * 1e6) + 3 * self.slices * scale.read_ms / 1e3
        return math.ceil(self.units / scale.cores) * (self.cpu + transfer) / self.units


@dataclass(frozen=True)
class Estimate:
    """The phases of a run, how components are labelled, and what does not fit."""

    scale: Scale
    shards: int
    phases: tuple[Phase, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]

    def phase(self, name: str) -> Phase:
        return next(phase for phase in self.phases if phase.name == name)


def estimate(pipeline: Pipeline, scale: Scale, shards: int | None = None) -> Estimate:
    """What a run of the pipeline over so many documents needs; `shards` where the inputs are known."""
    shards = shards or _shards(pipeline, scale)
    phases: list[Phase] = []
    problems: list[str] = []
    for segment in pipeline.segments():
        if segment.kind == "global":
            stage = segment.stages[0]
            made, wrong = _global_phases(stage, scale, shards)
            phases += made
            problems += wrong
        else:
            phases.append(_rows_phase(segment, scale, shards))
    text = scale.documents * scale.text_bytes * _shape("text_part")
    outputs = math.ceil(scale.documents * scale.text_bytes / (pipeline.sink.target_mb * 1e6))
    phases.append(Phase(pipeline.sink.label, outputs, scale.documents * _rate("stage"), text, text))
    records = sum(phase.units for phase in phases) * _shape("record")
    if records > LARGE_DRIVER:
        problems.append(f"the driver keeps commit records of about {records / 2**30:.0f} GiB: fewer, larger shards")
    notes = tuple(_labels_note(stage, scale) for stage in pipeline.stages if isinstance(stage, Minhash))
    return Estimate(scale, shards, tuple(phases), notes, tuple(problems))


def _rate(name: str) -> float:
    return RATES[name][0]


def _shape(name: str) -> float:
    return SHAPES[name][0]


def _shards(pipeline: Pipeline, scale: Scale) -> int:
    """Shards by the source's own rule, over archives of 10**9 bytes."""
    size = scale.documents * scale.text_bytes / TEXT_SHARE
    archives = max(1, round(size / 1e9))
    some = min(archives, 100)
    each = max(1, int(size / archives))
    cut = pipeline.source.cut([Input(n, f"archive-{n}.warc.gz", "", each, "") for n in range(some)])
    return math.ceil(len(cut) * archives / some)


def _rows_phase(segment: Segment, scale: Scale, shards: int) -> Phase:
    stages, text = segment.stages, scale.documents * scale.text_bytes
    each = sum(_stage_cost(stage) for stage in stages)
    memory = max(1.0 if isinstance(stage, GlobalStage) else stage.resources.memory_gb for stage in stages) * 2**30
    writes_text = segment.kind == "read" or any("text" in stage.rewrites for stage in stages)
    side = scale.documents * 8 * sum(len(stage.adds) for stage in stages)
    stored = text * _shape("text_part") if writes_text else side
    seen = any("text" in stage.reads for stage in stages)
    source = scale.documents * 8 * sum(len(stage.reads) + 1 for stage in stages) + seen * text * _shape("text_part")
    if any(isinstance(stage, Source) for stage in stages):
        source = text / TEXT_SHARE
    return Phase(segment.labels, shards, scale.documents * each, source, stored, memory=memory)


def _stage_cost(stage: Stage) -> float:
    if isinstance(stage, Source):
        return _rate("read")
    if isinstance(stage, GlobalStage):
        return _rate("apply")
    if isinstance(stage, Classify) and stage.encoder_bytes:
        return stage.encoder_bytes * _rate("encoder")
    return RATES.get(stage.short_name, RATES["stage"])[0]


def _global_phases(stage: Stage, scale: Scale, shards: int) -> tuple[list[Phase], list[str]]:
    if isinstance(stage, Minhash):
        try:
            sized = stage.sized(math.ceil(scale.documents))
        except RecipeError:  # more partitions than there may be
            sized = replace(stage, partitions=MOST_PARTITIONS // stage.bands * stage.bands)
        return _minhash(sized, scale, shards)
    if isinstance(stage, Exact | KeyedStage | Lines):
        return _keyed(stage, scale, shards)
    return [], [f"{stage.label}: not estimated; only dedup/minhash, exact, url_key, payload and lines are"]


# -- tables of slices


def slice_overhead(columns: int) -> int:
    """Bytes of a slice that no row accounts for: those of one row of numbers, less the numbers."""
    out = io.BytesIO()
    frame = pl.DataFrame({f"column_{i}": pl.Series([i], dtype=pl.UInt64) for i in range(columns)})
    frame.write_ipc_stream(out, compression="lz4", compat_level=pl.CompatLevel.oldest())
    return len(out.getvalue()) - 8 * columns


def table(files: float, slices: float, rows: float, row_bytes: float, columns: int) -> tuple[float, float]:
    """Bytes of files cut into slices, rows evenly spread; and how many slices have rows."""
    filled = files * slices * -math.expm1(-rows / (files * slices))
    return rows * row_bytes + filled * slice_overhead(columns) + files * (slices + 1) * 32, filled


# -- near-duplicates


def _minhash(stage: Minhash, scale: Scale, shards: int) -> tuple[list[Phase], list[str]]:
    n, units, cuts = scale.documents, stage.partition_count, stage.match_slices
    hashes = 3 + len(rank_columns(stage.keep))
    records, carried = n * stage.bands, hashes + stage.extend + bool(stage.share_of)  # what repeats takes next to nothing
    touched = max(n * scale.touched, 1)
    stars = touched * _shape("stars") * stage.bands / 14
    number, text = _shape("number_bytes"), n * scale.text_bytes
    sketch, sketches = table(shards, units, records, 8 * hashes + number, carried + 1)
    match, matches = table(units, cuts, stars, 8 * (hashes - 1) + 2 * number, carried + 1)
    gathered, gathers = table(cuts, cuts, touched, 8 * (hashes - 1) + 2 * number + _shape("list_bytes"), carried + 2)
    ranges = min(shards, MOST_RANGES)
    verdict, verdicts = table(cuts, ranges, touched, _shape("verdict_bytes"), 4)
    slice_ = _rate("slice")
    made = [
        Phase("sketch", shards, text * _rate(_signing(stage)) + sketches * slice_, text * _shape("text_part"), sketch,
              memory=2 * 2**30),
        Phase("match", units, records * _rate("match") + (sketches + matches) * slice_, sketch, match, shards * units,
              n / stage.ranges * PEAK_BYTES),
    ]  # fmt: skip
    labelling, labels, labelled = _labelling(stage, touched, stars, match, matches)
    made += labelling
    made += [
        Phase("gather", cuts, stars * _rate("gather") + (matches + labelled + gathers) * slice_, match + labels, gathered,
              units * cuts + labelled, stars / cuts * GATHER_BYTES),
        Phase("cluster", cuts, touched * _rate("cluster") + (gathers + verdicts) * slice_, gathered, verdict, cuts * cuts,
              touched / cuts * MEMBER_BYTES),
    ]  # fmt: skip
    if cuts > MOST_TABLES:
        made.append(Phase("collect", ranges, 2 * verdicts * slice_, verdict, verdict, cuts * ranges, verdict / ranges * 3))
    named = [replace(phase, name=f"{stage.label}: {phase.name}") for phase in made]
    return named, [f"{stage.label}: {problem}" for problem in _minhash_problems(stage, scale, shards, made)]


def _signing(stage: Minhash) -> str:
    words = stage.mode == "native" and stage.tokenizer not in (None, "whitespace", "spaced")
    return f"sign {stage.mode}{' words' if words else ''}"


def _labelling(stage: Minhash, touched: float, stars: float, match: float, matches: float) -> tuple[list[Phase], float, float]:
    """The phases that label components; the bytes of labels, and their slices."""
    cuts, slice_ = stage.match_slices, _rate("slice")
    if not goes_in_rounds(stage, touched):
        labels, labelled = table(1, cuts, 0.84 * touched, 2 * _shape("number_bytes"), 2)
        cpu = stars * _rate("label") + (matches + labelled) * slice_
        one = Phase("label", 1, cpu, match, labels, stage.partition_count * cuts, touched * LABEL_BYTES)
        return [one], labels, labelled
    edge_bytes = 2 * _shape("number_bytes")
    edges = touched * _shape("edges") * stage.bands / 14
    size, filled = table(cuts, cuts, edges, edge_bytes, 2)
    first = Phase("edges", cuts, edges * _rate("round") + (matches + filled) * slice_, match, size, cuts * cuts,
                  stars / cuts * PEAK_BYTES)  # fmt: skip
    later, kept = table(cuts, cuts, 1.8 * touched, edge_bytes, 2)
    rounds = int(_shape("rounds"))
    cpu = 1.8 * touched * _rate("round") + 2 * kept * slice_
    others = Phase(f"{rounds} rounds", cuts, 2 * rounds * cpu + edges * _rate("round"), size + (2 * rounds - 1) * later,
                   2 * rounds * later, 2 * rounds * cuts * cuts, edges / cuts * ROUND_BYTES)  # fmt: skip
    return [first, others], later, cuts * cuts


def _labels_note(stage: Minhash, scale: Scale) -> str:
    touched = scale.documents * scale.touched
    how = "in rounds" if goes_in_rounds(stage, touched) else "in one place"
    need = touched * LABEL_BYTES / 2**30
    return f"{stage.label}: components {how}: one place would take {need:.1f} GiB, settle_memory_gb={stage.settle_memory_gb:g}"


def goes_in_rounds(stage: Minhash, touched: float) -> bool:
    """Whether labels take more than one place has."""
    return touched * LABEL_BYTES > stage.settle_memory_gb * 2**30


def _minhash_problems(stage: Minhash, scale: Scale, shards: int, phases: list[Phase]) -> Iterator[str]:
    allowed = min(stage.memory_gb, scale.memory_gb) * 2**30
    over = max((p for p in phases if p.name not in ("label", "sketch")), key=lambda p: p.memory)
    if over.memory > allowed:
        enough = stage.bands * math.ceil(1.1 * stage.ranges * over.memory / allowed)
        if enough > MOST_PARTITIONS:
            need = over.memory * stage.partition_count / MOST_PARTITIONS / 2**30
            yield f"{over.name} needs {enough} partitions, {MOST_PARTITIONS} are possible: memory_gb={math.ceil(need)} a worker"
        else:
            yield (
                f"{over.name} takes {over.memory / 2**30:.1f} GiB a unit, {allowed / 2**30:g} are there: "
                f"partitions={enough}, or more memory_gb (in the recipe and a worker)"
            )
    if stage.memory_gb > scale.memory_gb:
        yield f"memory_gb={stage.memory_gb:g} in the recipe is more than a worker's {scale.memory_gb:g}"
    touched = scale.documents * scale.touched
    if not goes_in_rounds(stage, touched) and touched * LABEL_BYTES > scale.memory_gb * 2**30:
        yield f"the one unit of label takes {touched * LABEL_BYTES / 2**30:.1f} GiB: a larger worker for it"
    yield from _slice_problems(phases)


def _slice_problems(phases: list[Phase]) -> Iterator[str]:
    for phase in phases:
        if phase.slices > MANY_SLICES and phase.read / phase.slices < SMALL_SLICE:
            cure = "larger shards, fewer partitions" if phase.name == "match" else "fewer partitions"
            each = phase.read / phase.slices / 1024
            yield f"{phase.name} reads {phase.slices:.1e} slices of {each:.1f} KiB: {cure} (a larger memory_gb)"


# -- equal keys


def _keyed(stage: Exact | KeyedStage | Lines, scale: Scale, shards: int) -> tuple[list[Phase], list[str]]:
    lines = isinstance(stage, Lines)
    rows = scale.documents * (scale.text_bytes / _shape("line_bytes") if lines else 1)
    row_bytes = 8 + _shape("number_bytes") if lines else _shape("key_bytes")
    sketch, filled = table(shards, stage.partition_count, rows, row_bytes, 4)
    gone, units = rows * scale.touched, stage.partition_count
    found, _ = table(units, 1, gone, 2 * _shape("number_bytes"), 3)
    memory = rows / units * _shape("line_memory" if lines else "key_memory")
    cpu = rows * _rate("line" if lines else "key") / 2
    ranges = min(shards, MOST_RANGES)
    text = scale.documents * scale.text_bytes * _shape("text_part") if lines else scale.documents * _shape("key_bytes")
    settling = 1 if not stage.settles_apart else units
    made = [
        Phase("sketch", shards, cpu + filled * _rate("slice"), text, sketch, memory=2**30),
        Phase("match", units, cpu + filled * _rate("slice"), sketch, found, shards * units, memory),
        Phase("settle", settling, gone * 0.15e-6 + units * _rate("slice"), found, found, units, gone / settling * 40),
    ]
    if settling > MOST_TABLES:
        made.append(Phase("collect", ranges, 2 * ranges * units * _rate("slice"), found, found, ranges * units))
    problems = []
    if memory > scale.memory_gb * 2**30:
        enough = math.ceil(1.1 * units * memory / (scale.memory_gb * 2**30))
        problems.append(f"match takes {memory / 2**30:.1f} GiB a unit, {scale.memory_gb:g} are there: partitions={enough}")
    if made[2].memory > scale.memory_gb * 2**30:
        cure = "more partitions" if settling > 1 else "a larger worker for it"
        problems.append(f"settle takes {made[2].memory / 2**30:.1f} GiB a unit: {cure}")
    problems += _slice_problems(made)
    named = [replace(phase, name=f"{stage.label}: {phase.name}") for phase in made]
    return named, [f"{stage.label}: {problem}" for problem in problems]


def scale_of_inputs(plan: Plan, scale: Scale) -> Scale:
    """The scale of known inputs: documents from their size."""
    size = sum(one.size for one in plan.inputs)
    return replace(scale, documents=max(1.0, size * TEXT_SHARE / scale.text_bytes))
