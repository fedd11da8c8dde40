"""Hugging Face datasets: per domain a folder of Parquet files, a dataset card, and the call that interleaves them.

`interleave_datasets` draws rows, so shares of tokens become probabilities of rows: w / L over the sum, L the mean tokens of a
document, by the tokenizer that was named. `README.md` makes `load_dataset(folder, DOMAIN)` work; `mixture.py` holds the
interleaved, streaming dataset.

Source: datasets 5.2.0, read by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import yaml

from curation.mixture.exporters.job import DomainFiles, Export, Job, file_name
from curation.mixture.exporters.rows import ParquetRows
from curation.mixture.exporters.weights import row_weights

_MIXTURE = '''"""The mixture as one streaming dataset: rows are drawn so that tokens come in the shares asked for."""

from datasets import interleave_datasets, load_dataset

FOLDER = {folder!r}
PROBABILITIES = {probabilities}  # of rows

parts = [
    load_dataset("parquet", data_files={{"train": f"{{FOLDER}}/{{name}}/*.parquet"}}, split="train", streaming=True)
    for name in PROBABILITIES
]
dataset = interleave_datasets(
    parts, probabilities=list(PROBABILITIES.values()), seed={seed}, stopping_strategy="all_exhausted"
)
'''


def write_parquet(job: Job) -> tuple[dict[str, DomainFiles], dict[str, float]]:
    """The Parquet files of every domain, and the probabilities of their rows."""
    limit = int(job.shard_mb * 10**6)
    found = job.write_texts(lambda domain: ParquetRows(job.out, file_name(domain), domain, limit))
    return found, probabilities(job, found)


def probabilities(job: Job, found: Mapping[str, DomainFiles]) -> dict[str, float]:
    """Probabilities of rows for the token shares of a job."""
    tokens = {name: one.tokens for name, one in found.items()}
    return row_weights(job.weights(found), tokens, {name: one.documents for name, one in found.items()})


def card(job: Job, found: Mapping[str, DomainFiles], rows: Mapping[str, float]) -> str:
    """The dataset card."""
    configs = [
        {"config_name": file_name(name), "data_files": [{"split": "train", "path": f"{file_name(name)}/*.parquet"}]}
        for name in found
    ]
    front = yaml.safe_dump({"configs": configs}, sort_keys=False)
    lines = [
        f"| {name} | {one.documents} | {one.tokens} | {job.mixture[name].weight:.6f} | {rows[name]:.6f} |"
        for name, one in found.items()
    ]
    table = "\n".join(
        ["| domain | documents | tokens | share of tokens | probability of a row |", "|---|---|---|---|---|", *lines]
    )
    said = f"Method of the weights: {job.mixture.method}. Tokens of {job.encoder.name}, one end token a document."
    return f"---\n{front}---\n\n# Mixture of {len(found)} domains\n\n{said}\n\n{table}\n"


def export(job: Job) -> Export:
    found, rows = write_parquet(job)
    named = {file_name(name): probability for name, probability in rows.items()}
    configuration = [
        job.put("README.md", card(job, found, rows)),
        job.put("interleave.json", json.dumps({"unit": "rows", "probabilities": named}, indent=1) + "\n"),
        job.put("mixture.py", _MIXTURE.format(folder=job.at(""), probabilities=named, seed=job.seed)),
    ]
    return Export(found, rows, "rows", configuration)
