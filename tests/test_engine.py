"""The engine end to end on small stages: every row accounted for, the same bytes whatever the workers and cuts."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from engine_stages import Length, Lines, Score, Twins, Upper

from curation.errors import InputError, RecipeError, RunStopped
from curation.pipeline import Pipeline
from curation.plan import Options
from curation.progress import LineProgress
from curation.runners.drive import RunResult, run_pipeline
from curation.runners.local import LocalExecutor
from curation.runners.publish import clean
from curation.runners.waves import Slice
from curation.sinks.parquet import Parquet
from curation.stage import Filter, Open, Piece, PieceReport, Stage
from curation.storage import Folder


def make_inputs(folder: Path, files: int = 3, lines: int = 60) -> Path:
    generator = random.Random(7)
    for number in range(files):
        rows = []
        for _ in range(lines):
            word = "".join(generator.choice("abcdefgäλ한") for _ in range(generator.randint(1, 12)))
            rows.append(generator.choice(["BAD line", word, word, word, word * 3]))
        path = folder / "in" / f"file{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "in" / "readme.md").write_text("not an input")
    return folder / "in"


def pipeline(*stages: Stage, source: Lines = Lines(), target_mb: float = 0.0005) -> Pipeline:
    return Pipeline("engine", source, stages, Parquet(target_mb=target_mb, row_group_rows=16))


def run(recipe: Pipeline, inputs: Path, out: Path, workers: int = 1, **options) -> RunResult:
    return run_pipeline(recipe, [str(inputs)], str(out), lambda p, f, o: LocalExecutor(p, f, o, workers=workers), **options)


def snapshot(out: Path) -> dict[str, bytes]:
    names = sorted(p for p in out.glob("documents/*")) + sorted(p for p in out.glob("dropped/*")) + [out / "manifest.parquet"]
    return {str(p.relative_to(out)): p.read_bytes() for p in names}


def fates(out: Path) -> list[tuple]:
    kept = pl.read_parquet(out / "documents/*.parquet").select("doc", "text", pl.lit("kept").alias("fate"))
    gone = pl.read_parquet(out / "dropped/*.parquet").select("doc", "text", pl.format("{}:{}", "drop_stage", "drop_reason"))
    return sorted(kept.rows() + gone.rows(), key=lambda row: row[0])


STAGES: Sequence[Stage] = (Score(), Length(least=3), Twins(), Length(least=5, label="later"))


def test_an_output_shard_of_shards_without_a_document(tmp_path: Path) -> None:
    """Lines longer than the pieces they are cut into: most shards hold none, and one of them closes no output shard."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/long.txt").write_text(f"{'word ' * 400}\n{'other ' * 400}\n")
    recipe = Pipeline("long", Lines(100), (Twins(),), Parquet(target_mb=0.002))
    made = run(recipe, tmp_path / "in", tmp_path / "out")
    assert made.census is not None and made.census["output"]["documents"] == 2
    assert pl.read_parquet(tmp_path / "out/dropped/*.parquet").is_empty()


def test_every_row_is_kept_or_dropped_with_a_reason(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    result = run(pipeline(Score(), Length(least=3), Twins()), inputs, tmp_path / "out")
    assert result.census is not None
    total = result.census["stages"][0]["in"]
    assert total == 180 == len(fates(tmp_path / "out"))
    assert result.census["output"]["documents"] + result.census["output"]["dropped"] == total
    assert result.census["input"]["bytes_accounted"] == result.census["input"]["bytes"]
    assert [r["path"] for r in result.census["input"]["not_inputs"]] == ["in/readme.md"]
    assert json.loads((tmp_path / "out/census.json").read_text()) == result.census


@pytest.mark.parametrize("phantom", [False, True])
def test_workers_and_cuts_do_not_change_the_result(tmp_path: Path, phantom: bool) -> None:
    inputs = make_inputs(tmp_path)
    stages = (Score(), Length(least=3), Twins())
    run(pipeline(*stages, source=Lines(10**6)), inputs, tmp_path / "whole")
    for size in (37, 200, 1000):
        recipe = pipeline(*stages, source=Lines(size, phantom))
        run(recipe, inputs, tmp_path / f"one{size}")
        assert fates(tmp_path / f"one{size}") == fates(tmp_path / "whole")
    run(pipeline(*stages, source=Lines(200, phantom)), inputs, tmp_path / "two", workers=2)
    assert snapshot(tmp_path / "two") == snapshot(tmp_path / "one200")


def test_the_same_command_again_does_nothing(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    recipe = pipeline(Score(), Twins())
    run(recipe, inputs, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    again = run(recipe, inputs, tmp_path / "out")
    assert sum(w.ran for w in again.waves) == 0
    assert snapshot(tmp_path / "out") == before


def test_a_changed_threshold_recomputes_one_side_part_and_the_sink(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    log = tmp_path / "log"
    first = pipeline(Score(), Twins(), Length(least=3, log=str(log)))
    run(first, inputs, tmp_path / "out")
    measured = log.read_text()
    changed = run(pipeline(Score(), Twins(), Length(least=6, log=str(log))), inputs, tmp_path / "out")
    ran = {w.title: w.ran for w in changed.waves if w.ran}
    assert set(ran) == {"twins > length", "parquet"}
    assert log.read_text() == measured, "measures were taken over, not made again"
    run(pipeline(Score(), Twins(), Length(least=6)), inputs, tmp_path / "fresh")
    assert fates(tmp_path / "out") == fates(tmp_path / "fresh")


def test_a_looser_threshold_measures_only_the_newly_admitted(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    log = tmp_path / "log"

    def recipe(least: int) -> Pipeline:
        return pipeline(Length(least=least), Score(), Length2(least=2, log=str(log)))

    run(recipe(9), inputs, tmp_path / "out")
    first = sum(map(int, log.read_text().split()))
    result = run(recipe(3), inputs, tmp_path / "out")
    assert result.census is not None
    entered = next(s for s in result.census["stages"] if s["label"] == "length2")["in"]
    assert sum(map(int, log.read_text().split())) == entered > first


def test_a_stage_that_reads_a_changed_neighbours_column_is_not_taken_over(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    for scale in (1, 10):
        run(pipeline(Scaled(scale), Doubled()), inputs, tmp_path / "out")
    kept = pl.read_parquet(tmp_path / "out/documents/*.parquet")
    assert (kept["stat_doubled"] == 2 * kept["stat_scaled"]).all()
    again = run(pipeline(Scaled(10), Doubled(), Length(least=2)), inputs, tmp_path / "out")
    assert next(w for w in again.waves if w.title == "scaled > doubled > length").reused > 0


@dataclass(frozen=True)
class Scaled(Filter):
    scale: int = 1
    measure_fields = ("scale",)

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self):
        return {"stat_scaled": pa.int32()}

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        return batch.select("doc", (pl.col("text").str.len_chars() * self.scale).cast(pl.Int32).alias("stat_scaled"))

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        return stats.select("doc")


@dataclass(frozen=True)
class Doubled(Scaled):
    @property
    def reads(self) -> tuple[str, ...]:
        return ("stat_scaled",)

    @property
    def adds(self):
        return {"stat_doubled": pa.int32()}

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        return batch.select("doc", (pl.col("stat_scaled") * 2).alias("stat_doubled"))


def test_a_document_measured_once_is_never_measured_again(tmp_path: Path) -> None:
    """Not even when the last run had dropped it earlier: columns are taken over from all earlier runs together."""
    inputs = make_inputs(tmp_path)
    log = tmp_path / "log"
    measured = []
    for least in (3, 9, 4, 3, 6):
        run(pipeline(Length(least=least), Score(), Length2(least=2, log=str(log))), inputs, tmp_path / "out")
        measured.append(sum(map(int, log.read_text().split())))
    assert len(set(measured)) == 1


class Length2(Length):
    """The same under another column, since a column is added once."""

    @property
    def adds(self):
        return {"stat_length_2": Length().adds["stat_length"]}

    @property
    def short_name(self) -> str:
        return "length2"

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        return super().measure(batch).rename({"stat_length": "stat_length_2"})

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        return super().decide(stats.rename({"stat_length_2": "stat_length"}))


def test_one_poisoned_document_falls_alone(tmp_path: Path) -> None:
    folder = make_inputs(tmp_path)
    (folder / "file0.txt").write_text("one\nPOISON two\nthree\n")
    run(pipeline(Score()), folder, tmp_path / "out")
    gone = pl.read_parquet(tmp_path / "out/dropped/*.parquet").filter(pl.col("drop_stage") == "score")
    assert gone.select("text", "drop_reason", "drop_detail").rows() == [
        ("POISON two", "stage_error", "ValueError: poisoned text")
    ]


def test_too_many_errors_stop_the_run(tmp_path: Path) -> None:
    folder = make_inputs(tmp_path)
    (folder / "file0.txt").write_text("POISON\n" * 200)
    with pytest.raises(RunStopped, match="at most 5.0%"):
        run(pipeline(Score()), folder, tmp_path / "out")


def test_rewritten_text_reaches_the_shards_and_tombstones_keep_theirs(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    run(pipeline(Length(least=4), Upper(), Score(), target_mb=1), inputs, tmp_path / "out")
    kept = pl.read_parquet(tmp_path / "out/documents/*.parquet")
    assert (kept["text"] == kept["text"].str.to_uppercase()).all()
    from curation.document import content_id

    assert kept["content_id"].to_list() == [content_id(t) for t in kept["text"]]
    gone = pl.read_parquet(tmp_path / "out/dropped/*.parquet").filter(pl.col("drop_reason") == "too_short")
    assert gone["text"].null_count() == 0


def test_columns_measured_on_the_old_text_are_refused_after_a_rewrite() -> None:
    class Reads(Upper):
        @property
        def reads(self) -> tuple[str, ...]:
            return ("stat_length",)

        @property
        def rewrites(self) -> tuple[str, ...]:
            return ()

    with pytest.raises(RecipeError, match="measured on the text before 'upper' rewrote it"):
        pipeline(Length(), Upper(), Reads(label="late"))


def test_limit_and_sample(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    recipe = pipeline(Length(least=3))
    run(recipe, inputs, tmp_path / "all")
    run(recipe, inputs, tmp_path / "ten", options=Options(limit=25), workers=2)
    assert fates(tmp_path / "ten") == fates(tmp_path / "all")[:25]
    half = run(recipe, inputs, tmp_path / "half", options=Options(sample=0.5))
    assert set(fates(tmp_path / "half")) < set(fates(tmp_path / "all"))
    assert half.census is not None and half.census["input"]["not_sampled"] + len(fates(tmp_path / "half")) == 180
    run(recipe, inputs, tmp_path / "fifth", options=Options(sample=0.2))
    assert set(fates(tmp_path / "fifth")) < set(fates(tmp_path / "half"))


def test_slices_share_a_folder(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    recipe = pipeline(Score(), Twins(), Length(least=3))
    run(recipe, inputs, tmp_path / "whole")
    unfinished = [True, True]
    for _ in range(20):
        for i in (0, 1):
            result = run(recipe, inputs, tmp_path / "sliced", slice_=Slice(i + 1, 2))
            unfinished[i] = not result.finished
    assert unfinished == [False, False]
    assert snapshot(tmp_path / "sliced") == snapshot(tmp_path / "whole")


def test_new_inputs_keep_the_numbers_of_the_old(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    recipe = pipeline(Length(least=3))
    run(recipe, inputs, tmp_path / "out")
    before = fates(tmp_path / "out")
    (inputs / "a_new_first.txt").write_text("newcomer\n")
    result = run(recipe, inputs, tmp_path / "out")
    assert fates(tmp_path / "out")[: len(before)] == before
    assert fates(tmp_path / "out")[-1][1] == "newcomer"
    assert result.waves[0].ran == 1


def test_clean_and_memory(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    recipe = pipeline(Score())
    run(recipe, inputs, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    assert clean(Folder(str(tmp_path / "out"))) > 0
    assert snapshot(tmp_path / "out") == before and not (tmp_path / "out/work").exists()
    result = run_pipeline(recipe, [str(inputs)], "memory://engine-test", lambda p, f, o: LocalExecutor(p, f, o, workers=1))
    assert result.folder.read("manifest.parquet") == before["manifest.parquet"]


def test_inputs_that_lead_nowhere(tmp_path: Path) -> None:
    for wanted in (str(tmp_path / "nothing.txt"), str(tmp_path / "*.txt"), str(tmp_path / "list.paths")):
        with pytest.raises(InputError, match="wanted"):
            run_pipeline(pipeline(), [wanted], str(tmp_path / "out"), lambda p, f, o: LocalExecutor(p, f, o, workers=1))


def test_a_damaged_record_is_done_again(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    recipe = pipeline(Score())
    run(recipe, inputs, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    records = sorted((tmp_path / "out/work/commits").glob("s00-*"))
    records[0].write_text("{")
    part = json.loads(records[1].read_text())["part"]["file"]
    (tmp_path / "out/work/parts" / part).unlink()
    result = run(recipe, inputs, tmp_path / "out")
    assert result.waves[0].ran == 2
    assert snapshot(tmp_path / "out") == before


@pytest.mark.parametrize(("policy", "texts"), [("none", 0), ("sample:3", 3), ("all", None)])
def test_which_tombstones_keep_their_text(policy: str, texts: int | None, tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    recipe = Pipeline("engine", Lines(10**6), (Length(least=6),), Parquet(dropped_text=policy))
    run(recipe, inputs, tmp_path / "out")
    gone = pl.read_parquet(tmp_path / "out/dropped/*.parquet").filter(pl.col("drop_reason") == "too_short")
    assert gone.height > 10
    assert gone["text"].count() == (gone.height if texts is None else texts)


def test_a_sink_refuses_senseless_settings() -> None:
    for settings in ({"dropped_text": "sample:many"}, {"dropped_text": "some"}, {"target_mb": 0}):
        with pytest.raises(RecipeError, match="wanted"):
            Parquet(**settings)


@pytest.mark.parametrize("part", ["s00-read-00001", "s02-rows-00001"])
def test_damaged_parts_are_written_again(part: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever a bit of a part is flipped, what is read of it is what was written, or the unit that wrote it runs again."""
    inputs = make_inputs(tmp_path)
    recipe = pipeline(Twins(), Length(least=3), Score())
    out = tmp_path / "out"
    run(recipe, inputs, out)
    wanted = snapshot(out)
    content = next((out / "work/parts").glob(f"{part}.*")).read_bytes()
    mended = 0
    places = range(4, len(content), max(1, len(content) // 16))
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 4
        next((out / "work/parts").glob(f"{part}.*")).write_bytes(bytes(damaged))
        for record in (*(out / "work/commits").glob("s02-*"), *(out / "work/commits").glob("sink-*")):
            if part not in record.name:
                record.unlink()
        caplog.clear()
        run(recipe, inputs, out)
        assert snapshot(out) == wanted, f"byte {place} of {len(content)}"
        mended += any("its unit is done again" in message for message in caplog.messages)
    assert mended > len(places) // 2


@dataclass(frozen=True)
class SlowFirst(Lines):
    """Reads the first shard late."""

    def read(self, piece: Piece, open_input: Open) -> Iterator[pl.DataFrame | PieceReport]:
        if piece.start == 0 and piece.input.number == 0:
            time.sleep(3)
        return super().read(piece, open_input)


class Seen(LineProgress):
    """Notes which unit ended when."""

    def __init__(self) -> None:
        super().__init__()
        self.units: list[str] = []

    def unit(self, title: str, record: Mapping) -> None:
        super().unit(title, record)
        self.units.append(record["unit"])


def test_a_shard_goes_on_while_another_is_read(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    seen = Seen()
    recipe = pipeline(Upper(), Length(least=3), source=SlowFirst(200))
    run(recipe, inputs, tmp_path / "out", workers=2, progress=seen)
    slow = seen.units.index("s00-read-00000")
    assert any(unit.startswith("s02-rows") for unit in seen.units[:slow])
    assert not {"s01-rows-00000", "s01-rows-00001"} & set(seen.units[:slow])  # where the second begins was not known
    run(recipe, inputs, tmp_path / "one", workers=1)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "one")
