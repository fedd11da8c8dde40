"""The steps of a global stage, run over frames as a runner does, in any order of rows and partitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from curation.run_stage import check_answer
from curation.stage import Found, GlobalStage, Step, Tally

Table = dict[int, pl.DataFrame]
"""A table cut into slices: those that have rows."""


def verdict_of(stage: GlobalStage, *shards: pl.DataFrame, seed: int | None = None) -> pl.DataFrame:
    """The verdict over shards, sorted by `doc`."""
    return settled(stage, *shards, seed=seed)[0]


def settled(
    stage: GlobalStage, *shards: pl.DataFrame, seed: int | None = None
) -> tuple[pl.DataFrame, Mapping[str, Any], list[str]]:
    """The verdict over shards, sorted by `doc`, the report, and the names of the steps; with a seed, rows of a partition
    and the tables come in an order drawn from it."""

    def drawn(rows: pl.DataFrame) -> pl.DataFrame:
        return rows if seed is None else rows.sample(fraction=1, shuffle=True, seed=seed)

    sketches = pl.concat([stage.sketch(shard.select("doc", *stage.sketch_reads)) for shard in shards])
    assert (
        sketches.schema["partition"] == pl.UInt32 and sketches.filter(pl.col("partition") >= stage.partition_count).is_empty()
    )
    partitions = {int(part["partition"][0]): drawn(part) for part in sketches.partition_by("partition", maintain_order=True)}
    tables: dict[str, list[Table]] = {"match": []}
    tallies = []
    for number in range(stage.partition_count):
        rows = partitions.get(number)
        if rows is not None:
            known = stage.known(number)
            if known is not None:
                rows = pl.concat([drawn(known), rows], how="diagonal").with_columns(
                    pl.lit(number, pl.UInt32).alias("partition")
                )
            stage.check_memory("match", number, rows.height)
        table, tally = cut(stage.match(rows) if rows is not None else pl.DataFrame(), stage.match_slices)
        tables["match"].append(table)
        tallies.append(tally)
    settling = stage.settling(sketches.height, tallies)
    step, names = next(settling), []
    while True:
        units = [run_unit(stage, step, n, tables) for n in range(step.units)]
        tables[step.name] = [table for table, _ in units]
        names.append(step.name)
        try:
            step = settling.send([tally for _, tally in units])
        except StopIteration as end:
            frames = [frame for table in tables[names[-1]] for frame in table.values()]
            return pl.concat(frames).sort("doc", maintain_order=True), end.value or {}, names


def run_unit(stage: GlobalStage, step: Step, number: int, tables: Mapping[str, list[Table]]) -> tuple[Table, Tally]:
    def taken(how: str, made: list[Table]) -> Iterator[pl.DataFrame]:
        if how == "slice":
            return (table[number] for table in made if number in table)
        return (frame for table in (made[number : number + 1] if how == "own" else made) for frame in table.values())

    return cut(stage.step(step, number, [taken(take.how, tables[take.step]) for take in step.takes]), step.slices)


def cut(found: pl.DataFrame | Found, slices: int) -> tuple[Table, Tally]:
    rows, facts = found if isinstance(found, Found) else (found, {})
    tally = Tally(rows.height, facts)
    if slices <= 1:  # a verdict or a match in one piece: kept without rows too, for its columns
        return ({0: rows.drop("partition", strict=False)} if rows.columns else {}), tally
    if rows.is_empty():
        return {}, tally
    assert rows.schema["partition"] == pl.UInt32 and rows.filter(pl.col("partition") >= slices).is_empty()
    parts = rows.partition_by("partition", maintain_order=True)
    return {int(part["partition"][0]): part.drop("partition") for part in parts}, tally


def answer(stage: GlobalStage, shards: Sequence[pl.DataFrame], seed: int | None = None) -> pl.DataFrame:
    """The stage's checked answers for the rows of all shards, sorted by `doc`; for the seed see `settled`."""
    verdict = verdict_of(stage, *shards, seed=seed)
    answers = []
    for shard in shards:
        rows = shard.sort("doc").select("doc", *stage.reads, *(c for c in stage.rewrites if c not in stage.reads))
        own = verdict.filter(pl.col("doc").is_between(rows["doc"].min(), rows["doc"].max()))
        answers.append(check_answer(stage, rows, stage.apply(rows, own)))
    return pl.concat(answers).sort("doc")
