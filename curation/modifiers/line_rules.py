"""Remove lines that are menus, counters and buttons rather than prose; drop a document that loses too much by it.

RefinedWeb described the rules in words; two reimplementations put numbers to them, and they differ:

| | `dclm` | `redstone` | `refinedweb` |
|---|---|---|---|
| uppercase | capitals / characters > .5 | capitals / letters > .6 | capitals / letters > .5 |
| numeric | digits / characters > .999999 | all but separators and controls is numeric | as redstone |
| counters | number, then one of 12 nouns (`3 likes`) | number, then one word of a-z | number, then one word |
| short | fewer than 2 words | exactly 1 word | exactly 1 word |
| patterns | up to 10 words: cut out of the line | removes the line | up to 10 words: cut out of the line |
| at the start | `sign-in` | `sign in`, `sign-in`, `sign up`, `sign-up` | as redstone |
| at the end | `read more` and any 3 characters | `read more...` | also `read more…` |
| anywhere | `items in cart` | `items in cart` | `items in cart` |
| words | chunks that begin with a letter or digit | between white space | between white space |
| words lost | before - after, over the text | all of the removed lines | all of the flagged lines, edited ones too |
| drop above | .05 | .05 | .05 |

`dclm` is exact, in its order, with its stripping of the text (line_rules_dclm.py). `redstone` judges lines where the
original judges sentences, brought to NFKC and lower case as there; its patterns work (in the original only on the
first line that a process sees). `refinedweb` gives no numbers for "mainly uppercase" and no list of patterns: .5 and
the list are ours.

Source: RefinedWeb (arXiv:2306.01116) appendix G.2; DCLM (arXiv:2406.11794), mlfoundations/dclm
`baselines/mappers/modifiers.py`; RedStone (arXiv:2412.03398), microsoft/RedStone `rule_based_filters/ruleset/refinedweb.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.modifiers.line_rules_dclm import KINDS, SUSPECTS, DclmRules
from curation.modifiers.rewriting import Modifier, count_types
from curation.options import check_choice, check_flags, check_share, check_whole
from curation.stage import Apply
from curation.text.punctuation import WHITE_SPACE

VARIANTS: Mapping[str, Mapping[str, float | int | None]] = {
    "dclm": {"uppercase_max": 0.5, "pattern_max_words": 10},
    "redstone": {"uppercase_max": 0.6, "pattern_max_words": None},
    "refinedweb": {"uppercase_max": 0.5, "pattern_max_words": 10},
}
"""The values of fields that are left to the variant."""

_WORD = f"[^{WHITE_SPACE}]+"
_DCLM_WORD = r"(?:^|[ \n\r\t\x0B\x0C\x00])[\p{L}\p{N}]"
"""A chunk that begins with a letter or digit, fastText's white space between chunks."""

_COUNTER = {"redstone": r"^\p{Nd}+\s+[a-zA-Z]+$", "refinedweb": r"^\p{Nd}[\p{Nd}.,]*\s?[kmb]?\s+\p{L}+$"}
_PATTERN = {
    "redstone": r"^sign[ -](?:in|up)|read more\.{3}$|items in cart",
    "refinedweb": r"(?i)^\s*sign[ -](?:in|up)\b\s?|\s?read more(?:\.{3}|…)\s*$|\s?items in cart",
}


@dataclass(frozen=True)
class LineRules(Modifier):
    """Removes or edits lines (between "\\n") by five rules, then drops a document that lost too many words.

    `variant`: "dclm", "redstone" or "refinedweb"; the module says where they differ. `uppercase_max` (share, 0 to 1),
    `pattern_max_words` (patterns apply to lines of at most so many words): "variant" for the variant's own value.
    `numeric_max`: share of numeric characters, 0 to 1. `counters`, `patterns`: whether these rules are on. `min_words`:
    lines of fewer words go; blank lines stay, but in "dclm" lines of spaces go. `removed_words_max`: share of words,
    0 to 1. None switches a rule off, and for `pattern_max_words` the limit.

    Reasons: `removed_words` (share of words lost > `removed_words_max`; never for a text without words), `empty`
    (nothing but white space is left). A dropped document keeps the text it came with.

    Counts: `uppercase`, `numeric`, `counters`, `short`, `patterns` (lines removed or edited by each rule; in "dclm"
    the first that fires, otherwise every one), `words` before and `removed_words`. A null text counts as empty.
    Raises RecipeError on options outside their range.
    """

    variant: str = "dclm"
    uppercase_max: float | str | None = "variant"
    numeric_max: float | None = 0.999999
    counters: bool = True
    min_words: int | None = 2
    patterns: bool = True
    pattern_max_words: int | str | None = "variant"
    removed_words_max: float | None = 0.05

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    counts: ClassVar[Mapping[str, pa.DataType]] = count_types("line_rules", (*KINDS, "words", "removed_words"))

    def __post_init__(self) -> None:
        check_choice(self, "variant", VARIANTS)
        check_flags(self, "counters", "patterns")
        check_share(self, "numeric_max", "removed_words_max", optional=True)
        check_whole(self, "min_words", optional=True)
        if self.uppercase_max != "variant":
            check_share(self, "uppercase_max", optional=True)
        if self.pattern_max_words != "variant":
            check_whole(self, "pattern_max_words", optional=True)

    @property
    def drops(self) -> tuple[str, ...]:
        return ("empty",) if self.removed_words_max is None else ("removed_words", "empty")

    def bind(self, models: Mapping[str, Path]) -> Apply:
        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            texts = batch["text"].fill_null("")
            done = self._dclm(texts) if self.variant == "dclm" else self._by_line(texts)
            return batch.select("doc", "text").hstack(self._decide(done)).pipe(_keep_text_of_dropped)

        return apply

    def _value(self, name: str) -> float | int | None:
        value = getattr(self, name)
        return VARIANTS[self.variant][name] if value == "variant" else value

    def _dclm(self, texts: pl.Series) -> pl.DataFrame:
        """`fresh`, `words`, `removed_words` and the counts of KINDS, a row per text."""
        limit = self._value("pattern_max_words")
        rules = DclmRules(
            self._value("uppercase_max"),
            self.numeric_max,
            self.counters,
            self.min_words,
            self.patterns,
            None if limit is None else int(limit),
        )
        fresh = [""] * len(texts)
        counts = np.zeros((len(texts), len(KINDS)), np.int32)
        for row, numbers in self._suspects(texts).iter_rows():
            fresh[row], found = rules.rewrite(texts[row], numbers)
            counts[row] = list(found.values())
        made = pl.Series("fresh", fresh, dtype=pl.String)
        before = texts.str.count_matches(_DCLM_WORD).cast(pl.Int32)
        after, touched = before.clone(), np.flatnonzero(counts.any(axis=1))  # the others are stripped at most
        after.scatter(touched, made.gather(touched).str.count_matches(_DCLM_WORD).cast(pl.Int32))
        columns = [pl.Series(kind, counts[:, i].copy()) for i, kind in enumerate(KINDS)]
        removed = (before - after).clip(lower_bound=0)  # stripping a line may make a chunk begin with a letter
        return pl.DataFrame([made, *columns, before.alias("words"), removed.alias("removed_words")])

    def _suspects(self, texts: pl.Series) -> pl.DataFrame:
        """`row` and `numbers` of the lines that a rule may fire on. The first line, and the last, which
        stripping changes, are suspect in themselves, so that every text has a row."""
        line, size = pl.col("line"), pl.col("line").str.len_chars()
        number = pl.int_range(pl.len(), dtype=pl.Int64).over("row")
        tests = [number == 0, number == pl.len().over("row") - 1]
        if (bound := self._value("uppercase_max")) is not None:
            tests.append(line.str.count_matches(r"\p{Uppercase}") > size * bound)
        if self.numeric_max is not None:
            tests.append((size > 0) & (line.str.count_matches(r"\p{N}") > size * self.numeric_max))
        if self.min_words is not None:
            tests.append((size > 0) & _fewer_words(line, self.min_words))
        tests += [line.str.contains(SUSPECTS[name]) for name in ("counters", "patterns") if getattr(self, name)]
        lines = _lines_of(texts).select("row", number.alias("number"), pl.any_horizontal(tests).alias("suspect"))
        return lines.filter("suspect").group_by("row", maintain_order=True).agg(pl.col("number").alias("numbers"))

    def _by_line(self, texts: pl.Series) -> pl.DataFrame:
        """As `_dclm`, for the variants that judge every line by itself."""
        line, low = pl.col("line"), pl.col("low")
        normal = line.str.normalize("NFKC").str.to_lowercase().str.strip_chars(WHITE_SPACE).str.replace_all(r"\p{Zs}+", " ")
        redstone = self.variant == "redstone"
        lines = _lines_of(texts).with_columns(
            (normal if redstone else line.str.to_lowercase().str.strip_chars(WHITE_SPACE)).alias("low")
        )
        lines = lines.with_columns(low.str.count_matches(_WORD).cast(pl.Int32).alias("words"))
        flags = {kind: pl.lit(False) for kind in KINDS}
        if (bound := self._value("uppercase_max")) is not None:
            letters = line.str.count_matches(r"\p{L}")
            flags["uppercase"] = (letters > 0) & (line.str.count_matches(r"\p{Lu}") / letters > bound)
        if self.numeric_max is not None:
            numeric, seen = low.str.count_matches(r"\p{N}"), low.str.count_matches(r"[^\p{Z}\p{C}]")
            flags["numeric"] = (low != "") & ((seen == 0) | (numeric / seen > self.numeric_max))
        if self.counters:
            flags["counters"] = low.str.contains(_COUNTER[self.variant])
        if self.min_words is not None:
            flags["short"] = (pl.col("words") > 0) & (pl.col("words") < self.min_words)
        if self.patterns:
            limit = self._value("pattern_max_words")
            found = low.str.contains(_PATTERN[self.variant])
            flags["patterns"] = found if limit is None else found & (pl.col("words") <= limit)
        lines = lines.with_columns(flag.alias(kind) for kind, flag in flags.items())
        return _joined(lines, edit=None if redstone else _PATTERN["refinedweb"])

    def _decide(self, done: pl.DataFrame) -> pl.DataFrame:
        """Counts under their names, `fresh`, and the reason and detail."""
        words, removed, bound = pl.col("words"), pl.col("removed_words"), self.removed_words_max
        lost = pl.lit(False) if bound is None else (words > 0) & (removed / words > bound)
        empty = pl.col("fresh").str.strip_chars(WHITE_SPACE) == ""
        shown = pl.format("removed_words={}/{}={} > {}", removed, words, (removed / words).round_sig_figs(6), pl.lit(bound))
        return done.select(
            "fresh",
            *(pl.col(name.removeprefix("stat_line_rules_")).cast(pl.Int32).alias(name) for name in self.adds),
            pl.when(lost).then(pl.lit("removed_words")).when(empty).then(pl.lit("empty")).alias("drop_reason"),
            pl.when(lost).then(shown).when(empty).then(pl.lit("no line is left")).alias("drop_detail"),
        )


def _fewer_words(line: pl.Expr, count: int) -> pl.Expr:
    """Whether a line has fewer words than `count`; a search that ends at the last of them is fast for the usual 2."""
    if not 2 <= count <= 20:
        return line.str.count_matches(_WORD) < count
    return ~line.str.contains(f"{_WORD}(?:[{WHITE_SPACE}]+{_WORD}){{{count - 1}}}")


def _lines_of(texts: pl.Series) -> pl.DataFrame:
    """`row` and `line`, a row per line."""
    rows = pl.int_range(pl.len(), dtype=pl.Int64).alias("row")
    return texts.alias("line").to_frame().select(rows, pl.col("line").str.split("\n")).explode("line")


def _joined(lines: pl.DataFrame, edit: str | None) -> pl.DataFrame:
    """Texts of the lines that no rule removes. With `edit`, a pattern is cut out of its line, which goes only when
    nothing but white space is left or another rule fires."""
    removing = [pl.col(kind) for kind in KINDS if kind != "patterns" or edit is None]
    lines = lines.with_columns(pl.any_horizontal(removing).alias("gone"), pl.any_horizontal(KINDS).alias("flagged"))
    if edit is not None:
        cut = pl.when("patterns").then(pl.col("line").str.replace_all(edit, "")).otherwise("line")
        lines = lines.with_columns(cut.alias("line"))
        lines = lines.with_columns(pl.col("gone") | (pl.col("patterns") & (pl.col("line").str.strip_chars(WHITE_SPACE) == "")))
    return lines.group_by("row", maintain_order=True).agg(
        pl.col("line").filter(~pl.col("gone")).str.join("\n").alias("fresh"),
        *(pl.col(kind).sum() for kind in KINDS),
        pl.col("words").sum(),
        pl.col("words").filter("flagged").sum().alias("removed_words"),
    )


def _keep_text_of_dropped(answer: pl.DataFrame) -> pl.DataFrame:
    """`fresh` as the text where the document is kept and had one."""
    rewritten = pl.col("drop_reason").is_null() & pl.col("text").is_not_null()
    return answer.with_columns(pl.when(rewritten).then("fresh").otherwise("text").alias("text")).drop("fresh")
