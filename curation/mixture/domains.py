"""Which domain a document belongs to: the bucket that is given a share of the training tokens.

Source: ours. Domains by source are RegMix's and DoReMi's on the Pile (arXiv:2407.01492, 2305.10429); by topic, WebOrganizer's
(arXiv:2502.10341); by clusters of embeddings, CLIMB's (arXiv:2504.13161).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa

from curation.document import HEAVY
from curation.mixture.url_domains import UrlRules
from curation.options import check_choice, check_number, check_texts, refuse
from curation.parts import open_parquet, to_frame
from curation.stage import Apply, Stage

_WAYS = ("source", "column", "url", "scores", "table")
_Assign = Callable[[pl.DataFrame], pl.Series]


@dataclass(frozen=True)
class Domains(Stage):
    """Adds `domain` (string, never null).

    by: how. "source": the column `source`. "column": the values of a `column`, such as `language` or `licence`. "url": the
    first of the `rules` that fits the address. "scores": the label with the largest score of the columns `scores`, which a
    topic classifier has added. "table": looked up by `id` in the file `table`.
    column: a light column of strings, for "column".
    rules: a YAML file of rules, for "url"; mixture/url_domains.py has the form.
    scores: at least two columns `score_CARD_LABEL`; the domain is LABEL, which is what follows the longest beginning that
    all share up to a `_`. at_least: a document whose largest score is less goes to `otherwise`. Among equals the first wins.
    table: a Parquet file with the columns `id` and `domain` (both strings), such as mixture/clusters.py makes of embeddings;
    it is held in memory. An `id` twice in it counts the first time.
    otherwise: domain of a document for which there is none: a null, no rule, no score, no line in the table.

    Raises RecipeError for options that do not fit, and for a file that is not of its form.
    """

    by: str = "source"
    column: str = ""
    rules: str = ""
    scores: tuple[str, ...] = ()
    at_least: float = 0.0
    table: str = ""
    otherwise: str = "other"

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    path_fields: ClassVar[tuple[str, ...]] = ("rules", "table")
    reusable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice(self, "by", _WAYS)
        check_number(self, "at_least")
        object.__setattr__(self, "scores", check_texts(self, "scores"))
        needed = {"column": self.column, "url": self.rules, "scores": self.scores, "table": self.table}
        for way, value in needed.items():
            option = "rules" if way == "url" else way
            if (way == self.by) != bool(value):
                refuse(self, option, f'a value with by="{way}", and none without', repr(value))
        if self.column in HEAVY:
            refuse(self, "column", "a light column of strings", self.column)
        if self.by == "scores" and (len(set(self.scores)) < max(2, len(self.scores)) or not all(self._labels())):
            refuse(self, "scores", "at least two columns score_CARD_LABEL, each once", ", ".join(self.scores))
        if not isinstance(self.otherwise, str) or not self.otherwise:
            refuse(self, "otherwise", "the name of a domain", repr(self.otherwise))

    def _labels(self) -> list[str]:
        """What follows the beginning that all score columns share."""
        common = 0
        for letters in zip(*self.scores, strict=False):
            if len(set(letters)) > 1:
                break
            common += 1
        shared = self.scores[0][:common].rfind("_") + 1
        return [name[shared:] for name in self.scores]

    @property
    def reads(self) -> tuple[str, ...]:
        single = {"source": "source", "column": self.column, "url": "url", "table": "id"}
        return self.scores if self.by == "scores" else (single[self.by],)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {"domain": pa.string()}

    @property
    def files(self) -> tuple[Path, ...]:
        location = self.rules if self.by == "url" else self.table
        return (Path(location).expanduser(),) if location else ()

    def bind(self, models: Mapping[str, Path]) -> Apply:
        """Read the rules or the table once; the result maps a batch to `doc` and `domain`."""
        assign = self._assign()
        return lambda batch: batch.select("doc", assign(batch).fill_null(self.otherwise).alias("domain"))

    def _assign(self) -> _Assign:
        if self.by == "url":
            rules = UrlRules.load(self.files[0])
            return lambda batch: rules.domains(batch["url"])
        if self.by == "scores":
            return self._best_label
        if self.by == "table":
            table = self._read_table()
            return lambda batch: batch.select("id").join(table, on="id", how="left", maintain_order="left")["domain"]
        return lambda batch: batch[self.reads[0]].cast(pl.String)

    def _best_label(self, batch: pl.DataFrame) -> pl.Series:
        numbers = [pl.col(name).cast(pl.Float64).fill_nan(None) for name in self.scores]
        best = pl.max_horizontal(numbers)
        choice = pl.lit(None, dtype=pl.String)
        for number, label in reversed(list(zip(numbers, self._labels(), strict=True))):
            choice = pl.when(number == best).then(pl.lit(label)).otherwise(choice)
        return batch.select(pl.when(best >= self.at_least).then(choice).alias("domain"))["domain"]

    def _read_table(self) -> pl.DataFrame:
        try:
            with self.files[0].open("rb") as stream:
                table = to_frame(open_parquet(stream).read(columns=["id", "domain"], use_threads=False))
        except (OSError, pa.ArrowException) as error:
            refuse(self, f"table {self.table}", "a Parquet file with the columns id and domain", str(error).splitlines()[0])
        if table.columns != ["id", "domain"] or table.dtypes != [pl.String, pl.String]:
            found = ", ".join(f"{name}: {kind}" for name, kind in table.schema.items()) or "neither"
            refuse(self, f"table {self.table}", "the columns id and domain, both strings", found)
        return table.unique("id", keep="first", maintain_order=True)
