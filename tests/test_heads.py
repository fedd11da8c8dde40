"""Stages that see all documents and stand before the extractor: the same survivors, extracted alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
import pytest
from engine_stages import Length, Lines, Score, Twins
from heads_stages import Extract, NotLetter, Pages, crash_pipeline, pages_pipeline
from test_engine import make_inputs, run, snapshot

from curation.dedup.exact import Exact
from curation.dedup.payload import Payload
from curation.dedup.url_key import UrlKey
from curation.errors import ContractError, InputError, RecipeError
from curation.inspect.explain import explain
from curation.pipeline import Pipeline
from curation.plan import Options
from curation.runners.drive import RunResult
from curation.runners.waves import Slice
from curation.sinks.parquet import Parquet
from curation.stage import Apply, Open, Piece, PieceReport, Stage

EARLY = (NotLetter("b"), Payload(partitions=3), NotLetter("c", label="between"), UrlKey(partitions=2, keep="first"))
LATE = (*EARLY[:1], Extract(), *EARLY[1:])


def fates(out: Path) -> list[tuple]:
    """Every document and what became of it, but for its text."""
    columns = ["doc", "url", "stat_payload_copies", "stat_url_key_copies"]
    kept = pl.read_parquet(out / "documents/*.parquet").with_columns(pl.lit("kept").alias("fate"))
    gone = pl.read_parquet(out / "dropped/*.parquet").with_columns(
        pl.format("{}:{}:{}", "drop_stage", "drop_reason", "drop_detail").alias("fate")
    )
    wanted = [c for c in (*columns, "fate") if c in kept.columns or c == "fate"]
    return sorted(kept.select(wanted).rows() + gone.select(wanted).rows())


def entered(result: RunResult, label: str) -> int:
    assert result.census is not None
    return next(s["in"] for s in result.census["stages"] if s["label"] == label)


def ran(result: RunResult) -> dict[str, int]:
    return {wave.title: wave.ran for wave in result.waves if wave.ran}


# -- what is planned


def test_segments() -> None:
    kinds = [(s.kind, s.labels) for s in pages_pipeline(*EARLY, Extract(), Twins(), Length()).segments()]
    assert kinds == [
        ("heads", "pages > notletter"),
        ("global", "payload"),
        ("heads", "payload > between"),
        ("global", "url_key"),
        ("read", "pages > notletter > payload > between > url_key > extract"),
        ("global", "twins"),
        ("rows", "twins > length"),
    ]
    assert [s.kind for s in pages_pipeline(Extract(), UrlKey()).segments()] == ["read", "global", "rows"]
    text = explain(pages_pipeline(*EARLY, Extract()))
    assert "segment 0 (heads): reads archives, keeps what is known without the text" in text
    assert "segment 2 (heads): applies the verdict, keeps what is known without the text" in text
    assert "payload            dedup/payload (verdict)" in text


@dataclass(frozen=True)
class SeesPages(Twins):
    """A global stage that looks at a page, in its sketch or its answer."""

    sketched: str = "html"
    applied: str = "url"
    partitions: int = field(default=4, kw_only=True)

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.applied,)

    @property
    def sketch_reads(self) -> tuple[str, ...]:
        return (self.sketched,)


class NeedsText(SeesPages):
    needs_text = True


@pytest.mark.parametrize(
    ("stage", "needs"), [(SeesPages(), "html"), (SeesPages("url", "html"), "html"), (NeedsText("url"), "text")]
)
def test_what_needs_the_page_is_refused_before_the_extractor(stage: Stage, needs: str) -> None:
    with pytest.raises(RecipeError, match=f"stands before the text is extracted, but needs {needs}\n"):
        pages_pipeline(stage, Extract())
    with pytest.raises(RecipeError, match="reads columns that nothing before it adds"):
        pages_pipeline(Exact(), Extract())


def test_pages_are_read_before_or_behind_all_early_stages_only() -> None:
    looks = NotLetter("a", "html")
    for stages in (
        (looks, Payload(), UrlKey(), Extract()),
        (Payload(), UrlKey(), looks, Extract()),
        (Payload(), looks, Extract()),
    ):
        pages_pipeline(*stages)
    with pytest.raises(RecipeError, match=r"reads html between two.*\n.*before 'payload' or behind 'url_key'"):
        pages_pipeline(Payload(), looks, UrlKey(), Extract())


# -- what is kept


@pytest.mark.parametrize("keep", ["first", "newest"])
def test_the_survivors_are_those_of_the_same_stages_behind_the_extractor(keep: str, tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    log = tmp_path / "log"
    early = UrlKey(partitions=2, keep=keep)
    before = run(pages_pipeline(*EARLY[:3], early, Extract(str(log)), Length(least=3)), inputs, tmp_path / "before")
    behind = run(pages_pipeline(*LATE[:4], early, Length(least=3)), inputs, tmp_path / "behind")
    assert fates(tmp_path / "before") == fates(tmp_path / "behind")
    assert before.census is not None and behind.census is not None
    assert sum(map(int, log.read_text().split())) == entered(before, "extract") < entered(behind, "extract") / 3
    assert before.census["input"] == behind.census["input"]
    assert before.census["output"]["documents"] == behind.census["output"]["documents"] > 3
    told = {
        s["label"]: (s["in"], s["out"], {r: d["documents"] for r, d in s["dropped"].items()}) for s in before.census["stages"]
    }
    for stage in behind.census["stages"]:
        if stage["label"] != "extract":
            counts = {reason: d["documents"] for reason, d in stage["dropped"].items()}
            assert told[stage["label"]] == (stage["in"], stage["out"], counts)


def test_columns_reach_kept_and_dropped_documents(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    run(pages_pipeline(Payload(), Extract()), inputs, tmp_path / "out")
    kept, gone = (pl.read_parquet(tmp_path / f"out/{kind}/*.parquet") for kind in ("documents", "dropped"))
    assert kept["stat_payload_copies"].min() == 1 and kept["stat_payload_copies"].max() == 2  # type: ignore[operator]
    twins = gone.filter(pl.col("drop_reason") == "duplicate_payload")
    assert twins["stat_payload_copies"].min() >= 2 and twins["text"].null_count() == twins.height  # type: ignore[operator]
    assert kept["stat_payload_copies"].sum() == kept.height + twins.height
    assert kept["text"].n_unique() == kept.height and "html" not in kept.columns


@pytest.mark.parametrize("phantom", [False, True])
def test_workers_and_cuts_do_not_change_the_result(tmp_path: Path, phantom: bool) -> None:
    inputs = make_inputs(tmp_path, files=2, lines=40)

    def recipe(size: int) -> Pipeline:
        return pages_pipeline(*EARLY, Extract(), Score(), Twins(), source=Pages(size, phantom))

    run(pages_pipeline(*EARLY, Extract(), Score(), Twins(), source=Pages(10**6)), inputs, tmp_path / "whole")
    for size in (80, 200):
        run(recipe(size), inputs, tmp_path / f"one{size}")
        assert fates(tmp_path / f"one{size}") == fates(tmp_path / "whole")
    if not phantom:
        run(recipe(200), inputs, tmp_path / "two", workers=2)
        assert snapshot(tmp_path / "two") == snapshot(tmp_path / "one200")


@pytest.mark.parametrize("phantom", [False, True])
@pytest.mark.parametrize("options", [Options(limit=70), Options(sample=0.5), Options(limit=40, sample=0.6)])
def test_limit_and_sample_choose_the_same_documents_twice(options: Options, phantom: bool, tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    source = Pages(150, phantom)
    one = run(pages_pipeline(*EARLY, Extract(), source=source), inputs, tmp_path / "one", options=options)
    run(pages_pipeline(*LATE, source=source), inputs, tmp_path / "behind", options=options)
    assert fates(tmp_path / "one") == fates(tmp_path / "behind")
    found = len(fates(tmp_path / "one"))
    assert found == options.limit if options.limit else 60 < found < 120
    if phantom and options.limit and options.sample:
        run(pages_pipeline(*EARLY, Extract(), source=source), inputs, tmp_path / "two", options=options, workers=2)
        assert snapshot(tmp_path / "two") == snapshot(tmp_path / "one")
    again = run(pages_pipeline(*EARLY, Extract(), source=source), inputs, tmp_path / "one", options=options)
    assert one.census == again.census and not ran(again)


@dataclass(frozen=True)
class Late(Lines):
    """A cut piece loses its first line unless it is exact."""

    def read(self, piece: Piece, open_input: Open) -> Iterator[pl.DataFrame | PieceReport]:
        if piece.start and not piece.exact:
            with open_input(piece.input) as stream:
                data = stream.read()
            first = data.find(b"\n", piece.start - 1) + 1
            piece = replace(piece, start=data.find(b"\n", first) + 1, exact=True)
        return super().read(piece, open_input)


def test_a_limit_holds_where_cuts_are_redone(tmp_path: Path) -> None:
    """Also without any early stage: a redone shard is told what is left, and so are those behind it."""
    inputs = make_inputs(tmp_path)
    recipe = Pipeline("engine", Late(100), (Length(),), Parquet())
    result = run(recipe, inputs, tmp_path / "out", options=Options(limit=70))
    assert any("cuts redone" in wave.title for wave in result.waves)
    assert entered(result, "late") == 70
    assert not ran(run(recipe, inputs, tmp_path / "out", options=Options(limit=70)))


# -- what is done again


def test_nothing_is_done_twice(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    recipe = pages_pipeline(*EARLY, Extract())
    run(recipe, inputs, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    assert not ran(run(recipe, inputs, tmp_path / "out")) and snapshot(tmp_path / "out") == before
    other = ran(run(pages_pipeline(*EARLY, Extract(str(tmp_path / "log"))), inputs, tmp_path / "out"))
    assert set(other) == {"pages > notletter > payload > between > url_key > extract", "parquet"}
    other = ran(run(pages_pipeline(*EARLY[:3], UrlKey(keep="newest"), Extract()), inputs, tmp_path / "out"))
    assert not {"pages > notletter", "payload: sketch", "payload > between"} & set(other)


def test_another_input_has_only_those_extracted_again_whose_verdict_it_changes(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path, files=4)
    (inputs / "apart.txt").write_text("one\ntwo\nthree\n")
    recipe = pages_pipeline(Payload(partitions=3), Extract(), source=Pages(10**6))
    run(recipe, inputs, tmp_path / "out")
    reading = "pages > payload > extract"
    (inputs / "new.txt").write_text("four\nfive\n")
    assert ran(run(recipe, inputs, tmp_path / "out"))[reading] == 1
    (inputs / "twin.txt").write_text("two\nsix\n")
    assert ran(run(recipe, inputs, tmp_path / "out"))[reading] == 2
    shutil.rmtree(inputs)
    inputs.mkdir()
    (inputs / "apart.txt").write_text("one\n2\nthree\n")
    fewer = run(recipe, inputs, tmp_path / "out")
    assert ran(fewer)["pages"] == ran(fewer)[reading] == 1
    assert pl.read_parquet(tmp_path / "out/documents/*.parquet")["text"].to_list() == ["one", "2", "three"]


def test_slices_share_a_folder(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path, files=2, lines=30)
    run(crash_pipeline(), inputs, tmp_path / "whole")
    unfinished = [True, True]
    for _ in range(20):
        for i in (0, 1):
            result = run(crash_pipeline(), inputs, tmp_path / "sliced", slice_=Slice(i + 1, 2))
            unfinished[i] = not result.finished
    assert unfinished == [False, False]
    assert snapshot(tmp_path / "sliced") == snapshot(tmp_path / "whole")


_calls: list[int] = []


@dataclass(frozen=True)
class Fickle(Stage):
    """Drops everything but at its first two calls."""

    @property
    def reads(self) -> tuple[str, ...]:
        return ("url",)

    @property
    def drops(self) -> tuple[str, ...]:
        return ("fickle",)

    def bind(self, models: Mapping[str, Path]) -> Apply:
        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            _calls.append(batch.height)
            reason = pl.lit("fickle" if len(_calls) > 2 else None, dtype=pl.String)
            return batch.select("doc", reason.alias("drop_reason"), reason.alias("drop_detail"))

        return apply


@dataclass(frozen=True)
class Forgetful(Pages):
    """Reads less at every call."""

    def read(self, piece, open_input):
        _calls.append(1)
        items = list(super().read(piece, open_input))
        yield from items[len(_calls) - 1 :]


def test_a_second_reading_that_differs_stops_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "one.txt").write_text("".join(f"{number}\n" for number in range(14)))
    _calls.clear()
    with pytest.raises(ContractError, match="a stage before 'payload' dropped other documents at the second reading of"):
        run(pages_pipeline(Fickle(), Payload(), Extract()), folder, tmp_path / "fickle")
    _calls.clear()
    with pytest.raises(InputError, match="changed between its first and its second reading"):
        run(pages_pipeline(Payload(), Extract(), source=Forgetful()), folder, tmp_path / "forgetful")
