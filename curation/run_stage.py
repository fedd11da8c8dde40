"""The only place where a stage meets a batch: it is given what it declared it reads, its answer is checked, and
rows are either alive or dropped afterwards, never gone.

A batch on which a stage raises is bisected down to the document that makes it raise; that document becomes a
tombstone with reason `stage_error` and the exception as its detail. A broken promise is a ContractError.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from curation.document import COLUMNS, DROP_COLUMNS, HEAVY, empty_frame, polars_type
from curation.errors import ContractError, CurationError, explain_mismatch
from curation.stage import Apply, Filter, Source, Stage

STAGE_ERROR = "stage_error"
"""The one reason the engine itself may give: the stage raised an exception on this very document."""

DROP_ANSWER = ("drop_reason", "drop_detail")


@dataclass
class StageCount:
    """What one stage did to one unit: documents in and out, reason -> [documents, text bytes], wall seconds.

    `reused` counts documents whose added columns were taken over from an earlier run; `retried` those that broke a
    guard's bound once and passed alone: another run might tell them otherwise.
    """

    label: str
    rows_in: int = 0
    rows_out: int = 0
    reused: int = 0
    retried: int = 0
    seconds: float = 0.0
    reasons: dict[str, list[int]] = field(default_factory=dict)

    def drop(self, reason: str, documents: int, size: int) -> None:
        entry = self.reasons.setdefault(reason, [0, 0])
        entry[0] += documents
        entry[1] += size


def run_stage(
    stage: Stage, apply: Apply, alive: pl.DataFrame, count: StageCount, known: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Run one stage over live rows; return (rows still alive, rows dropped here), both with the stage's columns.

    `known` holds `doc` and the columns of `adds` from an earlier run for some of the documents. Adds to `count`.
    Raises ContractError when the answer is not what the stage declared.
    """
    started = time.perf_counter()
    retried = getattr(apply, "retried", 0)
    given = alive.select("doc", *dict.fromkeys((*stage.reads, *stage.rewrites)))
    answer = _answer(stage, apply, given, known, count)
    merged = alive.drop([c for c in answer.columns if c != "doc" and c in alive.columns]).hstack(answer.drop("doc"))
    if stage.drops or merged["drop_reason"].null_count() < merged.height:
        kept, gone = _split(stage, merged)
    else:
        kept, gone = merged.drop(DROP_ANSWER), with_no_drops(merged.drop(DROP_ANSWER).clear())
    count.rows_in += alive.height
    count.rows_out += kept.height
    count_drops(count, gone)
    count.seconds += time.perf_counter() - started
    count.retried += getattr(apply, "retried", 0) - retried
    return kept, gone


def count_drops(count: StageCount, gone: pl.DataFrame) -> None:
    """Add dropped rows to a count, by reason, with their text bytes where the text is known."""
    if not gone.height:
        return
    size = pl.col("stat_text_bytes").fill_null(0).sum() if "stat_text_bytes" in gone.columns else pl.lit(0)
    for reason, documents, total in (
        gone.group_by("drop_reason").agg(pl.len(), size.cast(pl.Int64).alias("s")).sort("drop_reason").iter_rows()
    ):
        count.drop(reason, documents, total)


def with_no_drops(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with null drop columns."""
    return frame.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in DROP_COLUMNS)


def _split(stage: Stage, merged: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    fell = pl.col("drop_reason").is_not_null()
    kept = merged.filter(~fell).drop(DROP_ANSWER)
    gone = merged.filter(fell).with_columns(pl.lit(stage.label).alias("drop_stage"))
    return kept, gone


def _answer(stage: Stage, apply: Apply, given: pl.DataFrame, known: pl.DataFrame | None, count: StageCount) -> pl.DataFrame:
    """The stage's checked answer for every given row, always with drop_reason and drop_detail."""
    if not given.height:
        return _empty_answer(stage)
    if known is None or not stage.adds or not known.height:
        return _bisect(stage, given, lambda rows: check_answer(stage, rows, apply(rows)))
    new = given.join(known, on="doc", how="anti", maintain_order="left")
    count.reused += given.height - new.height
    if isinstance(stage, Filter):
        measured = pl.concat([known.join(given.select("doc"), on="doc", how="semi"), _measure(stage, new)]).sort("doc")
        return _bisect(stage, given, lambda rows: _decide(stage, rows, measured))
    if stage.drops:
        return _bisect(stage, given, lambda rows: check_answer(stage, rows, apply(rows)))
    parts = [with_no_reason(known.join(given.select("doc"), on="doc", how="semi"))]
    if new.height:
        parts.append(_bisect(stage, new, lambda rows: check_answer(stage, rows, apply(rows))))
    return pl.concat([p.select(parts[0].columns) for p in parts]).sort("doc")


def _measure(stage: Filter, rows: pl.DataFrame) -> pl.DataFrame:
    """Measures of the rows; a row whose measuring fails is left out, so that `decide` meets and reports it."""
    if not rows.height:
        return empty_frame({"doc": pa.uint64(), **stage.adds})
    try:
        return _check_columns(stage, rows, stage.measure(rows), {"doc": pa.uint64(), **stage.adds})
    except CurationError:
        raise
    except Exception:  # noqa: BLE001 - the named border of bisecting: the failing document is found below, or raises in decide
        if rows.height == 1:
            return empty_frame({"doc": pa.uint64(), **stage.adds})
        middle = rows.height // 2
        return pl.concat([_measure(stage, rows[:middle]), _measure(stage, rows[middle:])])


def _decide(stage: Filter, rows: pl.DataFrame, measured: pl.DataFrame) -> pl.DataFrame:
    own = rows.select("doc").join(measured, on="doc", how="inner", maintain_order="left")
    if own.height != rows.height:  # a document without measures: let the stage raise on it, under the bisecting
        own = _check_columns(stage, rows, stage.measure(rows), {"doc": pa.uint64(), **stage.adds})
    light = rows.drop([c for c in rows.columns if c in HEAVY])
    return check_answer(stage, rows, own.hstack(stage.decide(light.hstack(own.drop("doc"))).drop("doc")))


def _bisect(stage: Stage, rows: pl.DataFrame, run: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    try:
        return run(rows)
    except CurationError:
        raise
    except Exception as error:  # noqa: BLE001 - the named border: one bad document must not take its batch along
        if rows.height == 1:
            lines = str(error).splitlines()
            detail = f"{type(error).__name__}: {lines[0] if lines else ''}"[:500]
            return _failed(stage, rows, detail)
        middle = rows.height // 2
        parts = [_bisect(stage, rows[:middle], run), _bisect(stage, rows[middle:], run)]
        return pl.concat([p.select(parts[0].columns) for p in parts])


def _failed(stage: Stage, row: pl.DataFrame, detail: str) -> pl.DataFrame:
    columns = [pl.lit(None, dtype=polars_type(t)).alias(name) for name, t in stage.adds.items()]
    columns += [pl.col(name) for name in stage.rewrites]
    base = row.select("doc", *columns)
    return base.with_columns(pl.lit(STAGE_ERROR).alias("drop_reason"), pl.lit(detail).alias("drop_detail"))


def with_no_reason(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with a null drop_reason and drop_detail."""
    return frame.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in DROP_ANSWER)


def _empty_answer(stage: Stage) -> pl.DataFrame:
    types: dict[str, pa.DataType] = {"doc": pa.uint64(), **stage.adds}
    frame = empty_frame({**types, "drop_reason": pa.string(), "drop_detail": pa.string()})
    return frame


def check_answer(stage: Stage, given: pl.DataFrame, answer: pl.DataFrame) -> pl.DataFrame:
    """Check a stage's answer against its declaration; return it with null drop columns where it declares no drops.

    Raises ContractError naming the stage, what was declared and what came back.
    """
    types: dict[str, pa.DataType] = {"doc": pa.uint64(), **stage.adds}
    for name in stage.rewrites:
        types.setdefault(name, _rewritten_type(name))
    if stage.drops:
        types.update({"drop_reason": pa.string(), "drop_detail": pa.string()})
    checked = _check_columns(stage, given, answer, types)
    if not stage.drops:
        return with_no_reason(checked)
    given_reasons = set(checked["drop_reason"].drop_nulls().unique().to_list())
    undeclared = sorted(given_reasons - set(stage.drops))
    if undeclared:
        raise ContractError(
            explain_mismatch(
                f"stage {stage.label!r} ({stage.name}) gave a reason it does not declare",
                wanted=", ".join(stage.drops),
                found=", ".join(undeclared),
                hint="add the reason to the stage's `drops`",
            )
        )
    return checked


def _rewritten_type(name: str) -> pa.DataType:
    return COLUMNS[name]


def _check_columns(stage: Stage, given: pl.DataFrame, answer: object, types: Mapping[str, pa.DataType]) -> pl.DataFrame:
    subject = f"stage {stage.label!r} ({stage.name}) broke its contract"
    if not isinstance(answer, pl.DataFrame):
        raise ContractError(explain_mismatch(subject, wanted="a polars DataFrame", found=type(answer).__name__))
    if set(answer.columns) != set(types):
        raise ContractError(
            explain_mismatch(
                f"{subject}: other columns than it declares",
                wanted=", ".join(sorted(types)),
                found=", ".join(sorted(answer.columns)),
                hint="return `doc`, the columns of `adds` and `rewrites`, and drop_reason, drop_detail if it `drops`",
            )
        )
    for name, data_type in types.items():
        if answer.schema[name] != polars_type(data_type):
            raise ContractError(
                explain_mismatch(
                    f"{subject}: column {name!r} has another type",
                    wanted=polars_type(data_type),
                    found=answer.schema[name],
                )
            )
    if answer.height != given.height:
        raise ContractError(
            explain_mismatch(
                f"{subject}: it lost, duplicated or invented rows",
                wanted=f"{given.height} rows, as given",
                found=f"{answer.height} rows",
                hint="mark a document with drop_reason instead of removing its row",
            )
        )
    if not answer["doc"].equals(given["doc"]):
        moved = given["doc"].to_frame("g").with_columns(answer["doc"].alias("a")).filter(pl.col("g") != pl.col("a"))
        pairs = f"{moved.height} of {given.height} rows differ, first: doc {moved['a'][0]} where {moved['g'][0]} was given"
        raise ContractError(
            explain_mismatch(f"{subject}: other documents came back", wanted="the given rows in order", found=pairs)
        )
    return answer.select(list(types))


def check_source(source: Source, frame: pl.DataFrame, last: int) -> int:
    """Check a source's frame: columns, reasons, `doc` strictly increasing after `last`. Returns its last `doc`."""
    subject = f"source {source.label!r} ({source.name}) broke its contract"
    types = {"doc": pa.uint64(), **source.adds, "drop_reason": pa.string(), "drop_detail": pa.string()}
    wanted = {name: polars_type(data_type) for name, data_type in types.items()}
    if dict(frame.schema) != {name: wanted.get(name) for name in frame.columns} or len(frame.columns) != len(wanted):
        differing = [f"{n}: {t}" for n, t in frame.schema.items() if wanted.get(n) != t]
        missing = [f"no {n}" for n in wanted if n not in frame.columns]
        raise ContractError(
            explain_mismatch(
                subject, wanted=", ".join(f"{n}: {t}" for n, t in wanted.items()), found=", ".join(differing + missing)
            )
        )
    undeclared = set(frame["drop_reason"].drop_nulls().unique().to_list()) - set(source.drops)
    if undeclared:
        raise ContractError(explain_mismatch(subject, wanted=", ".join(source.drops), found=", ".join(undeclared)))
    docs = frame["doc"].to_numpy()
    if len(docs) and (int(docs[0]) <= last or bool((docs[1:] <= docs[:-1]).any())):
        raise ContractError(explain_mismatch(subject, wanted="doc strictly increasing", found=f"doc {docs[0]} after {last}"))
    return int(docs[-1]) if len(docs) else last
