"""A stage that breaks its word stops the run, and the message names the stage, what was wanted and what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from engine_stages import Length, Lines, Twins
from test_engine import make_inputs, pipeline, run

from curation.errors import ContractError
from curation.run_stage import StageCount, run_stage
from curation.stage import Apply, Stage

BREAKS: dict[str, tuple[Callable[[pl.DataFrame], object], str]] = {
    "loses a row": (lambda good: good[1:], "lost, duplicated or invented rows"),
    "duplicates a row": (lambda good: pl.concat([good, good[:1]]), "lost, duplicated or invented rows"),
    "invents a row": (
        lambda good: pl.concat([good[1:], good[:1].with_columns(pl.lit(99, pl.UInt64).alias("doc"))]),
        "other documents came back",
    ),
    "loses one and duplicates another": (lambda good: pl.concat([good[1:], good[-1:]]), "other documents came back"),
    "changes the order": (lambda good: good.reverse(), "other documents came back"),
    "changes a type": (lambda good: good.with_columns(pl.col("score_toy").cast(pl.Float64)), "wanted: Float32"),
    "forgets a column": (lambda good: good.drop("score_toy"), "other columns than it declares"),
    "adds a column": (lambda good: good.with_columns(pl.lit(1).alias("more")), "other columns than it declares"),
    "gives an undeclared reason": (
        lambda good: good.with_columns(pl.lit("because").alias("drop_reason")),
        "wanted: too_bad\n  found:  because",
    ),
    "returns no frame": (lambda good: [1, 2], "wanted: a polars DataFrame"),
}


@dataclass(frozen=True)
class Breaker(Stage):
    how: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self):
        return {"score_toy": pa.float32()}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("too_bad",)

    def bind(self, models) -> Apply:
        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            null = pl.lit(None, pl.String)
            good = batch.select(
                "doc", pl.lit(0.5, pl.Float32).alias("score_toy"), null.alias("drop_reason"), null.alias("drop_detail")
            )
            return BREAKS[self.how][0](good) if self.how else good  # type: ignore[return-value]

        return apply


def frame(rows: int = 5) -> pl.DataFrame:
    return pl.DataFrame(
        {"doc": range(rows), "text": [f"t{i}" for i in range(rows)], "stat_text_bytes": [2] * rows},
        schema={"doc": pl.UInt64, "text": pl.String, "stat_text_bytes": pl.Int32},
    )


@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_word_is_a_contract_error(how: str) -> None:
    stage = Breaker(how, label="culprit")
    with pytest.raises(ContractError) as caught:
        run_stage(stage, stage.bind({}), frame(), StageCount("culprit"))
    message = str(caught.value)
    assert "'culprit'" in message and "wanted:" in message and "found:" in message and BREAKS[how][1] in message


def test_a_contract_error_stops_the_run_and_is_not_retried(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    for workers in (1, 2):
        with pytest.raises(ContractError, match="lost, duplicated or invented rows"):
            run(pipeline(Breaker("loses a row")), inputs, tmp_path / f"out{workers}", workers=workers)
        assert not (tmp_path / f"out{workers}/manifest.parquet").exists()


def test_a_stage_is_given_only_what_it_reads() -> None:
    seen: list[list[str]] = []

    def apply(batch: pl.DataFrame) -> pl.DataFrame:
        seen.append(batch.columns)
        return Breaker().bind({})(batch)

    run_stage(Breaker(label="b"), apply, frame(), StageCount("b"))
    assert seen == [["doc", "text"]]


def test_known_columns_are_taken_over_and_the_rest_measured() -> None:
    stage = Length(least=2, label="length")
    known = pl.DataFrame({"doc": [1, 3], "stat_length": [1, 7]}, schema={"doc": pl.UInt64, "stat_length": pl.Int32})
    count = StageCount("length")
    kept, gone = run_stage(stage, stage.bind({}), frame(), count, known)
    assert gone["doc"].to_list() == [1] and kept["stat_length"].to_list() == [2, 2, 7, 2]
    assert (count.reused, count.rows_in, count.rows_out) == (2, 5, 4)
    assert count.reasons == {"too_short": [1, 2]}


def test_a_sketch_without_partition_or_with_text_is_refused(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class NoPartition(Twins):
        def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
            return super().sketch(batch).drop("partition")

    @dataclass(frozen=True)
    class WithText(Twins):
        def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
            return super().sketch(batch).with_columns(batch["text"])

    inputs = make_inputs(tmp_path)
    for stage, wanted in ((NoPartition(), "a column partition"), (WithText(), "no text, unless it declares needs_text")):
        with pytest.raises(ContractError, match=wanted):
            run(pipeline(stage), inputs, tmp_path / type(stage).__name__)


def test_documents_that_passed_on_a_retry_are_counted() -> None:
    class Retrying:
        retried = 2

        def __call__(self, batch: pl.DataFrame) -> pl.DataFrame:
            self.retried += 3
            return Breaker().bind({})(batch)

    count = StageCount("b")
    run_stage(Breaker(label="b"), Retrying(), frame(), count)
    assert count.retried == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop("url"), "no url"),
        (lambda f: f.with_columns(pl.lit(1).alias("more")), "more: Int32"),
        (lambda f: f.with_columns(pl.col("doc").cast(pl.Int64)), "doc: Int64"),
        (lambda f: f.reverse(), "doc strictly increasing"),
        (lambda f: f.with_columns(pl.lit("unheard of").alias("drop_reason")), "wanted: bad_line"),
    ],
)
def test_a_source_that_breaks_its_word_stops_the_run(change, said: str, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Broken(Lines):
        def read(self, piece, open_input):
            for item in super().read(piece, open_input):
                yield change(item) if isinstance(item, pl.DataFrame) else item

    with pytest.raises(ContractError, match=said):
        run(pipeline(source=Broken()), make_inputs(tmp_path), tmp_path / "out")
