"""Materialise a mixture: curated shards in, shards that hold every domain in its share out, by a run of the engine.

The run is a pipeline like any other (`pipeline_for` makes it): resumed, on any runner, every document accounted for.

Source: ours.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.artefact import FILE_NAME, Mixture, Shard, load, with_shards
from curation.mixture.corpus import REPORT, Corpus
from curation.mixture.materialise import REPEATS, Materialise
from curation.mixture.ordering import MANIFEST, ORDERED, arrange
from curation.parts import open_parquet, to_frame
from curation.pipeline import Pipeline
from curation.runners.drive import RunResult
from curation.scorers.token_count import TokenCount
from curation.sinks.parquet import Parquet as ParquetSink
from curation.stage import Stage
from curation.storage import Folder

logger = logging.getLogger("curation")

Drive = Callable[[Pipeline], RunResult]
"""Runs a pipeline over the corpus into the output folder."""


@dataclass(frozen=True)
class Applied:
    """A materialised mixture, and its report: what was asked of each domain and what was taken."""

    mixture: Mixture
    report: Mapping
    run: RunResult


def pipeline_for(
    corpus: Corpus, stage: Materialise, tokenizer: str = "", target_mb: float = 512.0, shard_mb: float = 256.0
) -> Pipeline:
    """The pipeline that materialises. `tokenizer`: as of scorers/token_count; "" takes the files' own `token_count`.
    `target_mb`: text of a shard; `shard_mb`: bytes of the files that a unit reads, both 10**6."""
    mixture = load(stage.mixture)  # one that cannot be read is told before any work
    corpus.check_domain()
    if tokenizer and mixture.tokenizer and mixture.tokenizer != tokenizer:
        logger.warning("the weights are of tokens of %s, the budget is counted in %s", mixture.tokenizer, tokenizer)
    taken_anew = {*(["domain"] if corpus.domains else []), *(["token_count"] if tokenizer else [])}
    wanted = [name for name in corpus.schema.names if name not in taken_anew]
    source = replace(corpus.source(wanted), shard_mb=shard_mb)
    stages: list[Stage] = [corpus.domains] if corpus.domains else []
    if tokenizer:
        stages.append(TokenCount(tokenizer=tokenizer))
    elif not corpus.has_token_count:
        hint = "give a tokenizer: a tokenizer.json, or bytes"
        found = ", ".join(corpus.schema.names[:20])
        raise MixtureError(explain_mismatch(corpus.files[0].path, wanted="a column token_count", found=found, hint=hint))
    return Pipeline(
        "mixture", source, (*stages, stage), ParquetSink(target_mb=target_mb, dropped_text="none", repeat_by=REPEATS)
    )


def apply_mixture(
    pipeline: Pipeline, folder: Folder, drive: Drive, order: str = "document", quality: str = "", seed: int = 0
) -> Applied:
    """Run the pipeline into `folder`, put the documents in order, and write the mixture.json with its shards there.

    `order`: "document" (as the corpus has them), "shuffled", or "ascending" and "descending" by the column `quality`; other
    orders than the first go to the folder `ordered`.
    """
    stage = next(s for s in pipeline.stages if isinstance(s, Materialise))
    folder.delete(REPORT)  # until this is done, what lies in `ordered` is not to be taken for the shards
    result = drive(pipeline)
    if result.census is None:
        raise MixtureError("other slices of this run are not finished\n  try:    the same command when they are")
    target = pipeline.sink.target_mb
    home = "documents" if order == "document" else arrange(folder, order, quality, seed, target)
    report = result.census["reports"].get(stage.label, {})
    if home == "documents":
        folder.delete_folder(ORDERED)
        folder.delete(MANIFEST)
    shards, tenths = _contents(folder, home)
    mixture = with_shards(load(stage.mixture), shards)
    folder.replace(FILE_NAME, mixture.to_json().encode())
    loader = "must not shuffle" if quality else "may shuffle"
    facts = {
        **report,
        "order": order,
        "quality": quality,
        "seed": stage.seed,
        "shards": home,
        "loader": loader,
        "tenths": tenths,
    }
    folder.replace(REPORT, json.dumps(facts, indent=1, ensure_ascii=False).encode() + b"\n")
    return Applied(mixture, facts, result)


def _contents(folder: Folder, home: str) -> tuple[dict[str, list[Shard]], list[dict[str, int]]]:
    """Domain -> what each file holds of it, rows and tokens with repeats; and tokens by domain of each tenth of the rows, in
    their order, so that a drift of the domains is seen."""
    shards: dict[str, list[Shard]] = {}
    tenths: list[dict[str, int]] = [{} for _ in range(10)]
    files = _files(folder, home)
    all_rows = sum(rows for _, _, rows in files)
    passed = 0
    for file, digest, count in files:
        with folder.open(file) as stream:
            rows = to_frame(open_parquet(stream).read(columns=["domain", "token_count"], use_threads=False))
        place = pl.int_range(passed, passed + count, dtype=pl.Int64) * 10 // max(1, all_rows)
        passed += count
        tokens = pl.col("token_count").cast(pl.Int64).sum()
        sums = rows.group_by(place.alias("tenth"), "domain").agg(pl.len().alias("documents"), tokens).sort("tenth", "domain")
        for tenth, name, _, total in sums.iter_rows():
            tenths[tenth][name] = tenths[tenth].get(name, 0) + total
        for name, documents, total in sums.group_by("domain").agg(pl.sum("documents"), pl.sum("token_count")).iter_rows():
            shards.setdefault(name, []).append(Shard(file, digest, documents, total))
    return shards, tenths


def _files(folder: Folder, home: str) -> list[tuple[str, str, int]]:
    """Name, sha256 and rows of the shards, in order."""
    name = "manifest.parquet" if home == "documents" else MANIFEST
    with folder.open(name) as stream:
        rows = to_frame(open_parquet(stream).read(columns=["file", "sha256", "rows"], use_threads=False))
    return [row for row in rows.sort("file").iter_rows() if row[0].startswith(f"{home}/")]
