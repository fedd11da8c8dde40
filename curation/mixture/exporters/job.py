"""What every exporter is given, and what it answers: documents by domain through a writer each, weights, one manifest.

Source: ours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

import numpy as np
import polars as pl

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.artefact import Mixture
from curation.mixture.corpus import Corpus
from curation.mixture.exporters.encoding import Encoder
from curation.mixture.exporters.weights import epochs_of, token_weights

MANIFEST = "curation_export.json"


@dataclass
class DomainFiles:
    """What was written of a domain: documents, tokens (end tokens included), its files relative to the export's folder, and
    `rows` where the trainer's unit is another than documents."""

    documents: int = 0
    tokens: int = 0
    files: list[str] = field(default_factory=list)
    rows: int | None = None


@dataclass
class Export:
    """An export: each domain's files, the weights as the trainer takes them, the unit these are in, its configuration files,
    and what the user should know."""

    domains: dict[str, DomainFiles]
    weights: dict[str, float]
    unit: str
    configuration: list[str]
    warnings: list[str] = field(default_factory=list)


class TokenWriter(Protocol):
    """Writes the tokens of one domain."""

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Documents one behind the other: ids (uint32), and how many each has."""

    def close(self) -> DomainFiles:
        """Finish the files."""


class TextWriter(Protocol):
    """Writes the documents of one domain as text."""

    def add(self, rows: pl.DataFrame) -> None:
        """Documents: id, text, token_count."""

    def close(self) -> DomainFiles:
        """Finish the files."""


_W = TypeVar("_W", TokenWriter, TextWriter)


@dataclass(frozen=True)
class Job:
    """One export. out: its folder, empty or an earlier export's, which is replaced. location: where the trainer will find that
    folder, a path or URL; "": where it is. sequence_length: tokens of a packed row. token_budget: tokens of the training run,
    for epochs; None: the mixture's. max_epochs: more are warned of. shard_mb: 10**6 bytes of a file, where a format has
    several. seed: for what configurations say of shuffling."""

    corpus: Corpus
    mixture: Mixture
    out: Path
    encoder: Encoder = Encoder()
    location: str = ""
    sequence_length: int = 2048
    token_budget: int | None = None
    max_epochs: float = 4.0
    shard_mb: float = 64.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sequence_length < 1 or not self.shard_mb > 0:
            found = f"{self.sequence_length} and {self.shard_mb:g}"
            raise MixtureError(explain_mismatch("sequence length and shard_mb", wanted="numbers above 0", found=found))

    @property
    def budget(self) -> int | None:
        return self.token_budget or self.mixture.token_budget

    def at(self, name: str) -> str:
        """Where the trainer finds a file or folder of the export."""
        return (
            f"{(self.location or str(self.out.resolve())).rstrip('/')}/{name}"
            if name
            else self.location or str(self.out.resolve())
        )

    def prepare(self) -> None:
        """Make the folder; remove an earlier export from it. Raises MixtureError when it holds something else."""
        self.corpus.check_domain()
        found = {path.relative_to(self.out).as_posix() for path in self.out.rglob("*") if path.is_file()}
        if found and MANIFEST not in found:
            hint = "give an empty folder"
            raise MixtureError(
                explain_mismatch(f"export to {self.out}", wanted="an empty folder", found=f"{len(found)} files", hint=hint)
            )
        if found:
            earlier = json.loads((self.out / MANIFEST).read_text(encoding="utf-8"))
            for name in (*earlier["files"], MANIFEST):
                (self.out / name).unlink(missing_ok=True)
        self.out.mkdir(parents=True, exist_ok=True)

    def wanted(self) -> list[str]:
        """Domains with a weight."""
        return list(token_weights(self.mixture.weights))

    def write_tokens(self, open_writer: Callable[[str], TokenWriter]) -> dict[str, DomainFiles]:
        """Tokenise the documents of every domain with a weight through its writer. Documents without text are left out."""
        return self._write(open_writer, (), self._add_tokens)

    def write_texts(self, open_writer: Callable[[str], TextWriter]) -> dict[str, DomainFiles]:
        """The documents of every domain with a weight, with `token_count`: of the tokenizer, end token included."""
        return self._write(open_writer, (), self._add_texts)

    def _add_tokens(self, writer: TokenWriter, rows: pl.DataFrame) -> None:
        writer.add(*self.encoder.encode(rows["text"].to_list()))

    def _add_texts(self, writer: TextWriter, rows: pl.DataFrame) -> None:
        counts = self.encoder.encode(rows["text"].to_list())[1]
        writer.add(rows.select("id", "text", pl.Series("token_count", counts)))

    def _write(
        self, open_writer: Callable[[str], _W], columns: Iterable[str], add: Callable[[_W, pl.DataFrame], None]
    ) -> dict[str, DomainFiles]:
        writers: dict[str, _W] = {}
        wanted = self.wanted()
        for frame in self.corpus.frames(tuple(columns)):
            rows = frame.filter(pl.col("domain").is_in(wanted) & (pl.col("text").str.len_bytes() > 0))
            for (name,), own in rows.group_by("domain", maintain_order=True):
                domain = str(name)
                if domain not in writers:
                    writers[domain] = open_writer(domain)
                add(writers[domain], own)
        found = {name: writers[name].close() for name in wanted if name in writers}
        self.mixture.require({name: one.tokens for name, one in found.items()})
        return found

    def weights(self, found: Mapping[str, DomainFiles]) -> dict[str, float]:
        """Token shares of the domains that were written, as they are to be put into a configuration."""
        return token_weights({name: self.mixture[name].weight for name in found})

    def warnings(self, found: Mapping[str, DomainFiles]) -> list[str]:
        """Domains that the training run would read too often, and weights that were found for another tokenizer's tokens."""
        others = []
        if self.mixture.tokenizer and self.mixture.tokenizer != self.encoder.name:
            others.append(f"the weights are of tokens of {self.mixture.tokenizer}, the files of {self.encoder.name}")
        if self.budget is None:
            return others
        epochs = epochs_of(self.weights(found), {name: one.tokens for name, one in found.items()}, self.budget)
        return others + [
            f"{name}: {times:.2f} epochs in {self.budget} tokens, more than {self.max_epochs:g}"
            for name, times in epochs.items()
            if times > self.max_epochs
        ]

    def put(self, name: str, text: str) -> str:
        """Write a configuration file; its name."""
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return name

    def finish(self, format_: str, export: Export) -> None:
        """Write the manifest of an export."""
        export.warnings[:0] = self.warnings(export.domains)
        dropped = [d.name for d in self.mixture.domains if d.name not in export.weights]
        tokens = {name: one.tokens for name, one in export.domains.items()}
        epochs = epochs_of(self.weights(export.domains), tokens, self.budget) if self.budget else {}
        domains = [
            {
                "name": name, "token_share": self.mixture[name].weight, "weight": export.weights.get(name),
                "documents": one.documents, "tokens": one.tokens, "rows": one.rows, "epochs": epochs.get(name),
                "files": one.files,
            }
            for name, one in export.domains.items()
        ]  # fmt: skip
        names = [*(file for one in export.domains.values() for file in one.files), *export.configuration]
        facts = {
            "format": format_, "unit": export.unit, "tokenizer": self.encoder.facts(), "sequence_length": self.sequence_length,
            "token_budget": self.budget, "mixture_sha256": hashlib.sha256(self.mixture.to_json().encode()).hexdigest(),
            "domains": domains, "left_out": dropped, "warnings": export.warnings,
            "files": {name: _sha256(self.out / name) for name in dict.fromkeys(names)},
        }  # fmt: skip
        self.put(MANIFEST, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def file_name(domain: str) -> str:
    """A domain's name as part of a file's: letters, digits, `-`, `_`; other bytes as `=` and two digits. Injective."""
    return quote(domain, safe="").replace(".", "%2E").replace("~", "%7E").replace("%", "=")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
