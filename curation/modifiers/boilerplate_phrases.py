"""Remove lines that are boilerplate by what they say: notices of policies and cookies, buttons to share, to sign in.

Source: the six policy phrases are those of C4 (Raffel et al., arXiv:1910.10683; `c4_utils.py` of TensorFlow Datasets, also
datatrove 0.10.1 `pipeline/filters/c4_filters.py`). The lines that must match as a whole are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa

from curation.errors import RecipeError
from curation.modifiers.rewriting import Modifier, count_types
from curation.options import check_flags, check_texts, check_whole, refuse
from curation.stage import Apply
from curation.text.punctuation import WHITE_SPACE

POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
"""C4 removes every line that holds one of these."""

WHOLE_LINES = (
    "accept",
    "accept all",
    "accept all cookies",
    "accept cookies",
    "add to basket",
    "add to cart",
    "advertisement",
    "all rights reserved",
    "back to top",
    "click here",
    "close",
    "continue reading",
    "cookie settings",
    "copy link",
    "email this",
    "follow us",
    "forgot password?",
    "home",
    "leave a comment",
    "leave a reply",
    "load more",
    "log in",
    "login",
    "manage cookies",
    "menu",
    "next",
    "newsletter",
    "password",
    "pin it",
    "powered by wordpress",
    "previous",
    "print",
    "read more",
    "read more...",
    "register",
    "reply",
    "report this ad",
    "scroll to top",
    "search",
    "share",
    "share on facebook",
    "share on linkedin",
    "share on twitter",
    "share on whatsapp",
    "share this",
    "share this:",
    "share via email",
    "show less",
    "show more",
    "sign in",
    "sign up",
    "skip to content",
    "skip to main content",
    "submit",
    "subscribe",
    "tweet",
    "view all",
)
"""Lines that are nothing but one of these are buttons and links, in English."""


@dataclass(frozen=True)
class BoilerplatePhrases(Modifier):
    """Removes a line (between "\\n") that contains a phrase of `contains` or is, but for white space around it, one of
    `equals`. Case does not matter; white space within a line does.

    `contains`: by default the six policy phrases of C4. `equals`: by default about 60 English buttons and links.
    `list_file`: a file of further phrases, UTF-8, one a line (`#` begins a comment line; a phrase after `=` must match as
    a whole, the others may stand anywhere); its content is part of the fingerprint. White space around a phrase of any
    list is ignored.
    `max_words`: remove a line for what it contains only up to this many words between white space; none = any length,
    as in C4. `only_edges`: remove only lines before the first and after the last line that stays, so that the body of
    the text is left alone; false as in C4.

    Counts: lines removed as `contained` and `equal` (a line that is both counts as equal). A null text stays null; a
    text without such lines stays byte for byte. Raises RecipeError on an empty phrase or a list that cannot be read.
    """

    contains: Sequence[str] = POLICY_PHRASES
    equals: Sequence[str] = WHOLE_LINES
    list_file: str | None = None
    max_words: int | None = None
    only_edges: bool = False

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    counts: ClassVar[Mapping[str, pa.DataType]] = count_types("boilerplate_phrases", ("contained", "equal"))
    path_fields: ClassVar[tuple[str, ...]] = ("list_file",)

    def __post_init__(self) -> None:
        for name in ("contains", "equals"):
            if any(not text.strip() or "\n" in text for text in check_texts(self, name)):
                refuse(self, name, "texts of one line", "an empty one or several lines")
        if self.list_file is not None and not isinstance(self.list_file, str):
            refuse(self, "list_file", "the path of a file", repr(self.list_file))
        check_whole(self, "max_words", optional=True)
        check_flags(self, "only_edges")

    @property
    def files(self) -> tuple[Path, ...]:
        return () if self.list_file is None else (Path(self.list_file),)

    def bind(self, models: Mapping[str, Path]) -> Apply:
        """Read the list once."""
        contains, equals = self._phrases()

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            judged = self._judge_lines(batch["text"], contains, equals)
            rows = judged.group_by("row", maintain_order=True).agg(
                pl.col("line").filter(~pl.col("gone")).str.join("\n").alias("fresh"),
                (pl.col("gone") & ~pl.col("equal")).sum().cast(pl.Int32).alias("stat_boilerplate_phrases_contained"),
                (pl.col("gone") & pl.col("equal")).sum().cast(pl.Int32).alias("stat_boilerplate_phrases_equal"),
            )
            numbered = batch.select("doc", "text", pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"))
            joined = numbered.join(rows, on="row", how="left", maintain_order="left")
            counts = [pl.col(name).fill_null(0) for name in self.adds]
            return joined.select("doc", pl.coalesce("fresh", "text").alias("text"), *counts)

        return apply

    def _phrases(self) -> tuple[list[str], list[str]]:
        """Lower-cased phrases that a line may contain and that it may equal. Raises RecipeError on an unreadable list."""
        contains, equals = set(check_texts(self, "contains")), set(check_texts(self, "equals"))
        for path in self.files:
            try:
                lines = path.read_text(encoding="utf-8").split("\n")
            except (OSError, UnicodeDecodeError) as error:
                raise RecipeError(f"modifiers/boilerplate_phrases: the list {path} cannot be read: {error}") from error
            phrases = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
            equals |= {phrase[1:] for phrase in phrases if phrase.startswith("=")}
            contains |= {phrase for phrase in phrases if not phrase.startswith("=")}
        lower = [sorted({t.strip().lower() for t in texts} - {""}) for texts in (contains, equals)]
        return lower[0], lower[1]

    def _judge_lines(self, texts: pl.Series, contains: list[str], equals: list[str]) -> pl.DataFrame:
        """Lines of the texts that have one to remove: `row`, `line`, `equal`, `gone`."""
        lines = (
            texts.alias("line")
            .to_frame()
            .select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), pl.col("line").str.split("\n"))
            .explode("line")
            .drop_nulls()
        )
        low = pl.col("line").str.to_lowercase()
        contained = low.str.contains_any(contains) if contains else pl.lit(False)
        if self.max_words is not None:
            words = pl.col("line").str.count_matches(f"[^{WHITE_SPACE}]+")
            contained = contained & (words <= self.max_words)
        equal = low.str.strip_chars(WHITE_SPACE).is_in(equals)
        judged = lines.with_columns(equal.alias("equal"), (contained | equal).alias("gone"))
        judged = judged.filter(pl.col("gone").any().over("row"))
        if not self.only_edges:
            return judged
        stays = (~pl.col("gone") & (pl.col("line").str.strip_chars(WHITE_SPACE) != "")).cast(pl.Int32)
        inside = (stays.cum_sum().over("row") > 0) & (stays.cum_sum(reverse=True).over("row") > 0)
        return judged.with_columns(pl.col("gone") & ~inside)
