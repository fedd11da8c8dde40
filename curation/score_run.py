"""Score the documents of a finished run with one more card, without touching the run: side files, one for each shard.

`scores/<card>/<shard>` holds `doc` and the score columns, row for row as its shard; `scores/<card>/manifest.json`, written
last, says which shards of which digests they belong to. A side file is written under a name of its own and then given its
place, so it is whole or absent; the same command again keeps those that belong to the shard as it is now and to the same
model.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from multiprocessing import get_context

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from classifiers.card import CardError, load_card
from curation.document import column_type
from curation.errors import RecipeError, RunStopped, StorageError, explain_mismatch
from curation.fingerprint import stage_fingerprint
from curation.models import available_models
from curation.parts import open_parquet, read_group
from curation.run_stage import StageCount, run_stage
from curation.scorers.classify import Classify
from curation.scorers.perplexity import Perplexity
from curation.stage import Apply
from curation.storage import Folder

Scorer = Classify | Perplexity

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Shard:
    """A shard of a finished run as its manifest has it: `file` under documents/, rows, bytes, sha256 (hex)."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Scored:
    """A side file: documents `known` have a score in every column, on `failed` the scorer raised; `kept` from before."""

    file: str
    rows: int
    known: int
    failed: int
    kept: bool


def scorer_of(
    card: str, labels: Sequence[str] = (), weights: str = "", pieces: str = "", head: str = "", device: str = "cpu"
) -> Scorer:
    """The stage that scores with a card. Raises RecipeError when there is no such card, or settings that are not its own."""
    try:
        kind = load_card(card).kind
    except CardError as error:
        raise RecipeError(str(error)) from error
    if kind == "ngram_kenlm":
        if head or device != "cpu":
            found = head or device
            raise RecipeError(explain_mismatch(f"card {card!r}: head, device", wanted="none: a language model", found=found))
        if labels:
            found = ", ".join(labels)
            raise RecipeError(explain_mismatch(f"card {card!r}: labels", wanted="none: a language model", found=found))
        return Perplexity(card=card, weights=weights, pieces=pieces, label="score")
    if pieces:
        raise RecipeError(explain_mismatch(f"card {card!r}: pieces", wanted="none: a classifier", found=pieces))
    return Classify(card=card, labels=tuple(labels), weights=weights, head=head, device=device, label="score")


def score_run(
    out: str, scorer: Scorer, *, workers: int = 1, options: Mapping[str, object] | None = None
) -> tuple[str, list[Scored]]:
    """Write the side files of every shard of the finished run `out`; returns their folder and what each holds.

    Raises ModelError before any work when the model is missing or another, StorageError when the run is not finished or a
    shard is not what its manifest says, RunStopped when a side file does not add up to its shard.
    """
    scorer.check_models(available_models(scorer.models))
    folder = Folder(out, dict(options or {}))
    shards = _shards(folder)
    place = f"scores/{load_card(scorer.card).name}"
    folder.make(place)
    jobs = [(scorer, folder.url, dict(folder.options), place, shard) for shard in shards]
    if workers == 1 or len(jobs) < 2:
        done = [_score(job) for job in jobs]
    else:
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
            done = list(pool.map(_score, jobs))
    stale = set(folder.names(place)) - {shard.file for shard in shards} - {MANIFEST}
    for name in sorted(stale):  # of an earlier state of the run, or of an attempt that was killed
        folder.delete(f"{place}/{name}")
    facts = {
        "card": scorer.card,
        "fingerprint": stage_fingerprint(scorer),
        "models": {model.name: model.sha256 for model in scorer.models},
        "columns": list(scorer.adds),
        "rows": sum(part.rows for part in done),
        "shards": [{"file": p.file, "rows": p.rows, "known": p.known, "failed": p.failed, "shard_sha256": s.sha256}
                   for p, s in zip(done, shards, strict=True)],
    }  # fmt: skip
    folder.replace(f"{place}/{MANIFEST}", json.dumps(facts, indent=1).encode())
    return place, done


def report(place: str, done: Sequence[Scored]) -> str:
    """What was scored, in words."""
    rows, known, failed = (sum(getattr(part, name) for part in done) for name in ("rows", "known", "failed"))
    kept = sum(part.kept for part in done)
    return (
        f"{rows} documents in {len(done)} shards: {known} scored, {rows - known - failed} unknown, {failed} failed; "
        f"{kept} side files kept from before\nside files: {place}"
    )


def _shards(folder: Folder) -> list[Shard]:
    if not folder.exists("manifest.parquet"):
        hint = "let the run finish: the command that began it"
        raise StorageError(explain_mismatch(folder.url, wanted="a finished run", found="no manifest.parquet", hint=hint))
    file = open_parquet(BytesIO(folder.read("manifest.parquet")))
    table = file.read(columns=["file", "rows", "bytes", "sha256"], use_threads=False)
    named = [(str(row["file"]).partition("/"), row) for row in table.to_pylist()]
    return [Shard(name, row["rows"], row["bytes"], row["sha256"]) for (kind, _, name), row in named if kind == "documents"]


def _score(job: tuple[Scorer, str, dict[str, object], str, Shard]) -> Scored:
    scorer, url, options, place, shard = job
    folder = Folder(url, options)
    target = f"{place}/{shard.file}"
    identity = {"shard_sha256": shard.sha256, "fingerprint": stage_fingerprint(scorer)}
    before = _before(folder, target, identity, shard)
    if before is not None:
        return before
    if folder.size(f"documents/{shard.file}") != shard.bytes:
        found = f"{folder.size(f'documents/{shard.file}')} bytes"
        raise StorageError(explain_mismatch(f"documents/{shard.file}", wanted=f"{shard.bytes} bytes", found=found))
    table, failed = _scores(folder, scorer, shard)
    known = len(table.drop_null())
    if table.num_rows != shard.rows:
        raise RunStopped(f"{target}: {table.num_rows} rows scored where the shard has {shard.rows}")
    facts = {**identity, "known": str(known), "failed": str(failed)}
    stored = table.replace_schema_metadata({f"curation_{key}": value for key, value in facts.items()})
    attempt = f"{target}.{uuid.uuid4().hex[:8]}.attempt"
    folder.write(attempt, lambda stream: pq.write_table(stored, stream, compression="zstd"))
    folder.publish(attempt, target)
    folder.delete(attempt)
    return Scored(shard.file, shard.rows, known, failed, kept=False)


def _before(folder: Folder, target: str, identity: Mapping[str, str], shard: Shard) -> Scored | None:
    """What an earlier call left for this very shard and model; None where it is absent, of something else, or damaged."""
    if not folder.exists(target):
        return None
    try:
        with folder.open(target) as stream:
            file = open_parquet(stream)
            facts = {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items()}
            rows = file.metadata.num_rows
    except (OSError, pa.ArrowInvalid):
        return None
    if rows != shard.rows or any(facts.get(f"curation_{key}") != value for key, value in identity.items()):
        return None
    return Scored(shard.file, rows, int(facts["curation_known"]), int(facts["curation_failed"]), kept=True)


def _scores(folder: Folder, scorer: Scorer, shard: Shard) -> tuple[pa.Table, int]:
    """`doc` and the score columns of every row of a shard, batch by row group, and how many rows the scorer failed on."""
    names = ["doc", *scorer.adds]
    schema = pa.schema([(name, column_type(name, scorer.adds)) for name in names])
    apply, count = _bound(scorer), StageCount("score")
    found = [schema.empty_table()]
    with folder.open(f"documents/{shard.file}") as stream:
        file = open_parquet(stream)
        for group in range(file.num_row_groups):
            batch = read_group(file, group, ["doc", *scorer.reads])
            once = batch.unique("doc", maintain_order=True)  # a sink may have written a document more than once
            kept, gone = run_stage(scorer, apply, once, count)
            scored = pl.concat([kept.select(names), gone.select(names)])
            if scored.height != once.height:
                raise RunStopped(f"documents/{shard.file}: {once.height} documents given, {scored.height} scored")
            aligned = batch.select("doc").join(scored, on="doc", how="left", maintain_order="left")
            found.append(aligned.to_arrow().cast(schema))
    return pa.concat_tables(found), sum(documents for documents, _ in count.reasons.values())


@cache
def _bound(scorer: Scorer) -> Apply:
    """The scorer with its model loaded: once a process."""
    return scorer.bind(available_models(scorer.models))
