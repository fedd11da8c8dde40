"""Axolotl: its streaming pretraining takes one dataset and no weights, so the corpus must be materialised before.

Give the shards of `curation mix apply --order shuffled`: they are written as gzipped JSON lines in their order, with all
copies, and the YAML names them. A corpus whose tokens are not in the shares of the mixture is refused.

Source: Axolotl 0.19.0's documentation; not run.
"""

from __future__ import annotations

import math

import polars as pl
import yaml

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.exporters.job import DomainFiles, Export, Job
from curation.mixture.exporters.rows import JsonLines

FOLDER = "mixed"
TOLERANCE = 0.02
"""How far a domain's share of tokens may be from its weight, beyond two documents."""


def export(job: Job) -> Export:
    found: dict[str, DomainFiles] = {}
    writer = JsonLines(job.out, FOLDER, int(job.shard_mb * 10**6))
    for frame in job.corpus.frames():
        rows = frame.filter(pl.col("text").str.len_bytes() > 0)
        if not rows.height:
            continue
        counts = pl.Series("token_count", job.encoder.encode(rows["text"].to_list())[1])
        rows = rows.with_columns(counts)
        writer.add(rows)
        for name, documents, tokens in rows.group_by("domain").agg(pl.len(), pl.sum("token_count")).iter_rows():
            one = found.setdefault(str(name), DomainFiles())
            one.documents += documents
            one.tokens += tokens
    written = writer.close()
    _check(job, found)
    for one in found.values():
        one.files = list(written.files)
    found = {name: found[name] for name in sorted(found)}
    dataset = {
        "path": "json", "data_files": [job.at(file) for file in written.files], "type": "pretrain", "text_column": "text",
        "split": "train",
    }  # fmt: skip
    steps = max(1, math.ceil(written.tokens / (job.sequence_length * 8)))
    value = {
        "pretraining_dataset": [dataset], "sequence_len": job.sequence_length, "sample_packing": True, "micro_batch_size": 8,
        "max_steps": steps,
    }  # fmt: skip
    configuration = [job.put("axolotl.yaml", yaml.safe_dump(value, sort_keys=False))]
    return Export(found, dict.fromkeys(found, 1.0), "mixed", configuration)


def _check(job: Job, found: dict[str, DomainFiles]) -> None:
    """Raise MixtureError unless the corpus is the mixture."""
    job.mixture.require({name: one.tokens for name, one in found.items()})
    total = sum(one.tokens for one in found.values())
    for name, one in found.items():
        wanted = job.mixture.weights.get(name, 0.0)
        if abs(one.tokens / total - wanted) > TOLERANCE + 2 / max(1, one.documents):
            hint = "export the shards that `curation mix apply --order shuffled` made with this mixture"
            share = f"{one.tokens / total:.4f} of the tokens"
            raise MixtureError(explain_mismatch(f"domain {name}", wanted=f"{wanted:.4f}", found=share, hint=hint))
