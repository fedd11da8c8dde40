"""Running text has stop words: drop what has too few of its own language's.

Source: Gopher, Rae et al., arXiv:2112.11446, table A1 (two stop words of English); lists by language as in FineWeb2,
Penedo et al., arXiv:2506.20920; datatrove 0.10.1 `gopher_quality_filter.py` counts different words, not occurrences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa

from curation.filters.language_settings import load_settings
from curation.filters.listed_words import count_listed
from curation.filters.rules import decide_by, flag_rule, value_rule
from curation.options import check_choice, check_flags, check_whole
from curation.stage import Filter
from curation.text.segmenters import check_languages, segmenter_of_label

_COLUMNS = {"occurrences": "stat_stop_words_occurrences", "distinct": "stat_stop_words_distinct"}


@dataclass(frozen=True)
class StopWords(Filter):
    """Drops documents with fewer than `at_least` stop words of their `language`, and counts both ways.

    - `few_stop_words`: `count` < `at_least`.
    - `not_listed`: the settings hold no stop words for the language (or it is null), with `otherwise` "drop".

    `by_language`: settings with stop words, a table of the package or a path (language_settings.py).
    `at_least`: words, a whole number >= 0; null switches the rule off. `count`: "distinct" (different words, as
    datatrove has it) or "occurrences" (as Gopher and DCLM have it). `ignore_case`: take "The" for "the"; the
    reference does not. `otherwise`: "keep" or "drop" documents whose language has no list; nothing is counted for them
    (null). Words are those of the language's tokenizer; a null text counts as empty. Raises RecipeError on options
    outside these.
    """

    by_language: str = "fineweb2_card"
    at_least: int | None = 2
    count: str = "distinct"
    ignore_case: bool = False
    otherwise: str = "keep"

    measure_fields: ClassVar[tuple[str, ...]] = ("ignore_case",)
    path_fields: ClassVar[tuple[str, ...]] = ("by_language",)
    libraries: ClassVar[tuple[str, ...]] = ("polars", "numpy")

    def __post_init__(self) -> None:
        load_settings(self.by_language)
        check_whole(self, "at_least", optional=True)
        check_choice(self, "count", _COLUMNS)
        check_flags(self, "ignore_case")
        check_choice(self, "otherwise", ("keep", "drop"))
        check_languages(load_settings(self.by_language).words)

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text", "language")

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {column: pa.int32() for column in _COLUMNS.values()}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("few_stop_words", "not_listed") if self.otherwise == "drop" else ("few_stop_words",)

    @property
    def files(self) -> tuple[Path, ...]:
        return load_settings(self.by_language).files

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Stop words of each document, int32; null where its language has no list."""
        settings = load_settings(self.by_language)
        text = pl.col("text").fill_null("")
        rows = batch.select(
            "doc", "language", text.str.to_lowercase() if self.ignore_case else text, pl.int_range(pl.len()).alias("row")
        )
        parts = [pl.DataFrame(schema={"row": pl.Int64, **dict.fromkeys(_COLUMNS.values(), pl.Int32)})]
        for (language,), part in rows.partition_by("language", as_dict=True).items():
            listed = settings.stop_words(language)
            if listed:
                found = count_listed(segmenter_of_label(str(language)).split(part["text"]), self._folded(listed))
                counts = {column: getattr(found, name) for name, column in _COLUMNS.items()}
                parts.append(part.select("row").with_columns(pl.Series(name, values) for name, values in counts.items()))
        return rows.select("doc", "row").join(pl.concat(parts), on="row", how="left", maintain_order="left").drop("row")

    def _folded(self, listed: frozenset[str]) -> frozenset[str]:
        return frozenset(word.lower() for word in listed) if self.ignore_case else listed

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        """`few_stop_words`, detail `few_stop_words=1 < 2`; `not_listed`, which names the language."""
        count, rules = pl.col(_COLUMNS[self.count]), []
        if self.at_least is not None:
            rules.append(value_rule("few_stop_words", count, "<", self.at_least))
        if self.otherwise == "drop":
            language = pl.col("language").fill_null("unknown")
            rules.append(flag_rule("not_listed", count.is_null(), pl.format("no stop words for language={}", language)))
        return decide_by(stats, rules)
