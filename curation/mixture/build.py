"""From curated shards to a trainer's files in one go: count the domains, solve for weights, export.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curation.mixture.artefact import FILE_NAME, Mixture
from curation.mixture.corpus import Corpus, DomainCount, count_domains
from curation.mixture.exporters import export
from curation.mixture.exporters.encoding import Encoder
from curation.mixture.exporters.job import Export, Job
from curation.mixture.problem import Method, problem_of
from curation.mixture.run_table import RunTable
from curation.scorers.token_count import TokenCount

TABLE = "domains.csv"


@dataclass(frozen=True)
class Built:
    """What `build` made: the counts, the mixture, and the exports by format."""

    counts: Mapping[str, DomainCount]
    mixture: Mixture
    exports: Mapping[str, Export]


def write_counts(counts: Mapping[str, DomainCount], path: Path) -> None:
    """The table that solvers take: domain, documents, tokens, bytes."""
    rows = [(name, one.documents, one.tokens, one.bytes) for name, one in counts.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, schema=["domain", "documents", "tokens", "bytes"], orient="row").write_csv(path)


def build(
    corpus: Corpus, out: Path, method: Method, formats: Sequence[str], encoder: Encoder = Encoder(), *,
    table: RunTable | None = None, token_budget: int | None = None, max_epochs: float | None = 4.0, seed: int = 0,
    sequence_length: int = 2048,
) -> Built:  # fmt: skip
    """Write `domains.csv`, `mixture.json` and a folder for each format into `out`."""
    counts = count_domains(corpus, TokenCount(tokenizer=encoder.tokenizer))
    write_counts(counts, out / TABLE)
    tokens = {name: one.tokens for name, one in counts.items()}
    problem = problem_of(
        tokens, token_budget=token_budget, max_epochs=max_epochs, table=table, tokenizer=encoder.name, seed=seed
    )
    mixture = method.solve(problem)
    mixture.save(str(out / FILE_NAME))
    exports = {}
    for name in formats:
        job = Job(
            corpus, mixture, out / name, encoder, sequence_length=sequence_length, max_epochs=max_epochs or 4.0, seed=seed
        )
        exports[name] = export(name, job)
    return Built(counts, mixture, exports)
