"""The documents of curated shards with their domains, read in order: for counting, training a tokenizer, and exporting.

Source: ours.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.census import FILE as CENSUS
from curation.document import DROP_COLUMNS, HEAVY, allowed_type
from curation.errors import MixtureError, explain_mismatch
from curation.inputs import find_inputs
from curation.mixture.domains import Domains
from curation.sources.parquet import Parquet
from curation.stage import Apply, Input, Stage
from curation.storage import Folder, open_location

REPORT = "mixture_report.json"
"""What `curation mix apply` tells of what it drew."""

_MADE_HERE = frozenset({"doc", "id", "source", "text", "content_id", "stat_text_bytes", "stat_materialise_repeats"})


@dataclass(frozen=True)
class Corpus:
    """Shards and how their documents get a domain.

    inputs: files, folders, globs or URLs of Parquet files; the --out folder of a finished run stands for its documents, that of
    `curation mix apply` for its shards in their order. domains: None takes the column
    `domain` of the files. text: the column of the text. storage_options: for fsspec.

    Raises InputError for inputs that cannot be read, MixtureError when there is no column `domain` and no `domains`.
    """

    inputs: Sequence[str]
    domains: Domains | None = None
    text: str = "text"
    storage_options: Mapping[str, object] = field(default_factory=dict, repr=False)

    @cached_property
    def locations(self) -> list[str]:
        """The inputs, with the folder of its shards in place of a run's."""
        return [_shards_of(one, self.storage_options) for one in self.inputs]

    @cached_property
    def files(self) -> list[Input]:
        """The files, by path."""
        return find_inputs(self.locations, Parquet(), options=self.storage_options).accepted

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the first file."""
        with open_location(self.files[0].location, self.storage_options) as stream:
            return pq.ParquetFile(stream, pre_buffer=False).schema_arrow

    def source(self, wanted: Sequence[str] | None = None) -> Parquet:
        """A source for the files that takes over all their columns, or of these the `wanted`."""
        taken = []
        for column in self.schema:
            floats = column.name.startswith("stat_") and column.type == pa.float32()
            known = column.name not in _MADE_HERE | set(DROP_COLUMNS) | (HEAVY - {"title"})
            if known and (wanted is None or column.name in wanted) and allowed_type(column.name, column.type) is None:
                taken.append(f"{column.name}:float32" if floats else column.name)
        return Parquet(text=self.text, columns=tuple(taken))

    @property
    def has_domain(self) -> bool:
        return "domain" in self.schema.names

    @property
    def has_token_count(self) -> bool:
        return "token_count" in self.schema.names

    def frames(self, columns: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """`doc`, `id`, `text`, `domain` and the asked `columns` of the documents, in the order of the files and their rows."""
        assign = self._assign()
        reads = self.domains.reads if self.domains is not None else ("domain",)
        source = self.source([*reads, *columns])
        missing = [name for name in dict.fromkeys([*reads, *columns]) if name not in source.adds]
        if missing:
            hint = "count the tokens first, or give a tokenizer" if "token_count" in missing else ""
            found = ", ".join(self.schema.names)
            raise MixtureError(explain_mismatch(self.files[0].path, wanted=", ".join(missing), found=found, hint=hint))
        for pieces in source.cut(self.files):
            for piece in pieces:
                for frame in source.read(piece, partial(_open, self.storage_options)):
                    if isinstance(frame, pl.DataFrame):
                        alive = frame.filter(pl.col("drop_reason").is_null())
                        yield assign(alive).select("doc", "id", "text", "domain", *columns)

    def _assign(self) -> Callable[[pl.DataFrame], pl.DataFrame]:
        if self.domains is None:
            self.check_domain()
            return lambda frame: frame
        apply = self.domains.bind({})
        return lambda frame: frame.drop("domain", strict=False).with_columns(apply(frame)["domain"])

    def check_domain(self) -> None:
        """Raise MixtureError unless the documents have a domain."""
        if self.domains is None and not self.has_domain:
            hint = "say how domains are assigned: --domain-by source, column, url, scores or table"
            found = ", ".join(self.schema.names[:20])
            raise MixtureError(explain_mismatch(self.files[0].path, wanted="a column domain", found=found, hint=hint))


def _shards_of(location: str, options: Mapping[str, object]) -> str:
    """A run's folder holds tombstones and parts besides its documents: they are no corpus."""
    folder = Folder(location, dict(options))
    if glob.has_magic(location) or not folder.exists(CENSUS):
        return location
    report = json.loads(folder.read(REPORT)) if folder.exists(REPORT) else {}
    return f"{location.rstrip('/')}/{report.get('shards', 'documents')}"


def _open(options: Mapping[str, object], item: Input):
    return open_location(item.location, options)


@dataclass(frozen=True)
class DomainCount:
    """What a corpus has of a domain."""

    documents: int = 0
    tokens: int = 0
    bytes: int = 0


def count_domains(corpus: Corpus, counter: Stage | None) -> dict[str, DomainCount]:
    """Domain -> documents, tokens, UTF-8 bytes, by name. `counter` adds `token_count`; None: the files have it."""
    apply: Apply | None = counter.bind({}) if counter is not None else None
    found: dict[str, list[int]] = {}
    for frame in corpus.frames(() if apply else ("token_count",)):
        counted = frame if apply is None else frame.hstack(apply(frame).drop("doc"))
        sums = counted.group_by("domain").agg(
            pl.len(), pl.col("token_count").cast(pl.Int64).sum(), pl.col("text").str.len_bytes().cast(pl.Int64).sum()
        )  # fmt: skip
        for name, *numbers in sums.iter_rows():
            found[name] = [a + b for a, b in zip(found.get(name, [0, 0, 0]), numbers, strict=True)]
    return {name: DomainCount(*found[name]) for name in sorted(found, key=str)}
