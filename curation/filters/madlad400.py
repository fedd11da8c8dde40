"""Drop documents with too many questionable sentences: MADLAD-400's rules, two of which OLMo 3 uses.

    rule  a sentence is questionable when                                                     numbers
    1     it is in another language than the document                                         not here, see below
    2     over half of its words begin with a capital, and it has at least 12 (list case)     verified
    3     it has fewer than 20 or more than 500 characters (abnormal lengths)                 verified
    4     over a fifth of its characters are one of 0-9 { } + / ( ) > (technical characters)  verified
    5     one of 32 expressions matches it (cursed regexes)                                   verified
    all   drop below 5 sentences, and at 20 % of questionable sentences                       verified

Verified: against the code that made OLMo 3, which cites the paper's section 2.3 and carries the 32 expressions; the
paper itself could not be read here. Rule 1 needs a language model on every sentence and is left out. Rule 3 counts
characters of any script alike, so Chinese and Japanese sentences are often too short; leave it out for them. OLMo 3
uses `rules=(2, 5)`.

The paper does not define a sentence. Here it is a line, or a part of one that ends in `. ! ? …` and closing quotes or
brackets before white space, or in a full-width terminal; abbreviations end one, too. It is stripped; blank ones do not
count. Words are those of UAX #29 in outline: letters, digits, marks and underscores, joined over one apostrophe, full
stop, middle dot or colon between letters and over one apostrophe, full stop, comma or semicolon between digits;
ideographs, kana and the letters of South East Asian scripts are words each.

`compat="datamap"` decides as OLMo 3's code does, faults included: text is split at `[.!?]+` before white space only,
so that line breaks end nothing and sentences lose their stops; lengths are bytes; and all but the last four expressions
are taken literally, which disables seven.

Source: Kudugunta et al., MADLAD-400, arXiv:2309.04662, section 2.3; allenai/datamap-rs at f7717942, `src/map_fxn.rs`
(Madlad400SentenceAnnotator, Madlad400RuleFilter), `banlists/madlad400_cursed.txt.gz`, `configs/all_dressed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.filters.characters import spans
from curation.filters.madlad400_sentences import split_sentences
from curation.filters.rules import Rule, decide_by, value_rule
from curation.options import check_choice, check_share, refuse
from curation.stage import Filter
from curation.text.buffers import utf8

RULES: Mapping[int, str] = {2: "list_case", 3: "lengths", 4: "technical", 5: "cursed"}

CURSED: tuple[str, ...] = (
    " №", "\ufffd\ufffd\ufffd", r"\|\s*$", r" nr\.$", "aute irure dolor ", " sunt in culpa qui ", "orem ipsum ",
    " quis nostrud ", " adipisicing ", " dolore eu ", " cupidatat ", "autem vel eum", "wisi enim ad", " sex ", " porn ",
    "黄色电影", "mp3", "ownload", r"Vol\.", r" Ep\.", "Episode", r" г\.\s*$", r" кг\.\s*$", r" шт\.", "Develop",
    "Facebook", " crusher ", " xxx ", " ..." * 9, " ...." * 9, " [^ ]" * 9, ", ..,,?" + " ..,,?" * 3,
)  # fmt: skip
"""The published expressions: scraps of lists, catalogues, filler text, downloads, spam and letter-spaced words."""

_LITERAL_IN_DATAMAP = len(CURSED) - 4


@dataclass(frozen=True)
class Madlad400(Filter):
    """Drops documents with too few sentences (`few_sentences`) or too many questionable ones (`questionable`).

    `rules`: which of 2, 3, 4, 5 make a sentence questionable. `min_sentences`: fewest sentences (None: off).
    `max_questionable`: share of questionable sentences, in [0, 1], at which a document is dropped (None: off).
    `capital_share` and `capital_words`: rule 2, share of capitalised words above which, and fewest words with which, a
    sentence is in list case. `min_chars`, `max_chars`: rule 3, in code points. `technical_share`: rule 4, share of
    technical characters above which. `cursed`: rule 5, expressions in the syntax of Rust's regex crate, searched in
    each sentence, case and all. `compat`: "" or "datamap", see the module.

    Measures: `stat_madlad400_sentences`, `stat_madlad400_questionable` (by any of `rules`), and for each of `rules` the
    sentences that it finds. Raises RecipeError on other rules, shares outside [0, 1], negative or crossing lengths, and
    an expression that cannot be compiled.
    """

    rules: Sequence[int] = (2, 3, 4, 5)
    min_sentences: int | None = 5
    max_questionable: float | None = 0.2
    capital_share: float = 0.5
    capital_words: int = 12
    min_chars: int = 20
    max_chars: int = 500
    technical_share: float = 0.2
    cursed: Sequence[str] = CURSED
    compat: str = ""

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    measure_fields: ClassVar[tuple[str, ...]] = (
        "rules", "capital_share", "capital_words", "min_chars", "max_chars", "technical_share", "cursed", "compat",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if not self.rules or len(set(self.rules)) != len(self.rules) or not set(self.rules) <= set(RULES):
            refuse(self, "rules", f"some of {', '.join(map(str, RULES))}, each once (1 is left out)", repr(self.rules))
        check_choice(self, "compat", ("", "datamap"))
        check_share(self, "capital_share", "technical_share")
        check_share(self, "max_questionable", optional=True)
        if self.min_sentences is not None and self.min_sentences < 0 or self.capital_words < 0:
            refuse(self, "min_sentences, capital_words", "0 or more", f"{self.min_sentences}, {self.capital_words}")
        if not 0 <= self.min_chars <= self.max_chars:
            refuse(self, "min_chars, max_chars", "0 <= min_chars <= max_chars", f"{self.min_chars}, {self.max_chars}")
        if isinstance(self.cursed, str) or not self.cursed:
            refuse(self, "cursed", "a list of expressions", repr(self.cursed))
        try:
            for pattern in self.cursed:
                pl.select(pl.lit("").str.contains(pattern))
        except pl.exceptions.ComputeError as error:
            refuse(self, "cursed", "expressions of Rust's regex crate", f"{pattern!r}: {str(error).splitlines()[0]}")

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        names = ["sentences", "questionable", *(RULES[rule] for rule in sorted(self.rules))]
        return {f"stat_madlad400_{name}": pa.int32() for name in names}

    @property
    def drops(self) -> tuple[str, ...]:
        bounds = {"few_sentences": self.min_sentences, "questionable": self.max_questionable}
        return tuple(reason for reason, bound in bounds.items() if bound is not None) or ("questionable",)

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        data, offsets = utf8(batch["text"])
        datamap = self.compat == "datamap"
        first, sentences = split_sentences(data, offsets, datamap)
        found = self._questionable(data, sentences)
        columns = {"sentences": np.diff(first)}
        any_rule = np.zeros(len(sentences), np.bool_)
        for flags in found.values():
            any_rule |= flags
        for name, flags in {"questionable": any_rule, **found}.items():
            total = np.concatenate([[0], np.cumsum(flags)])
            columns[name] = total[first[1:]] - total[first[:-1]]
        return batch.select(
            "doc", *(pl.Series(f"stat_madlad400_{name}", column.astype(np.int32)) for name, column in columns.items())
        )

    def _questionable(self, data: np.ndarray, sentences: np.ndarray) -> dict[str, np.ndarray]:
        """Rule name -> whether it finds each sentence."""
        start, end, chars, technical, words, capitals = sentences.T
        length = end - start if self.compat == "datamap" else chars
        found = {
            2: (words >= self.capital_words) & (capitals > words * self.capital_share),
            3: (length < self.min_chars) | (length > self.max_chars),
            4: technical > length * self.technical_share,
        }
        if 5 in self.rules:
            found[5] = self._is_cursed(spans(data, sentences[:, :2])).to_numpy()
        return {RULES[rule]: found[rule] for rule in sorted(self.rules)}

    def _is_cursed(self, sentences: pl.Series) -> pl.Series:
        """Whether an expression matches. Those without special characters are searched all at once."""
        literal = set("\\.^$|?*+()[]{}")
        as_literals = _LITERAL_IN_DATAMAP if self.compat == "datamap" and tuple(self.cursed) == CURSED else 0
        plain = [p for i, p in enumerate(self.cursed) if i < as_literals or not literal & set(p)]
        others = [p for i, p in enumerate(self.cursed) if i >= as_literals and literal & set(p)]
        text = pl.col("text")
        checks = [text.str.contains_any(plain)] if plain else []
        checks += [text.str.contains("|".join(f"(?:{p})" for p in others))] if others else []
        return sentences.to_frame("text").select(pl.any_horizontal(checks)).to_series()

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        """Details read `few_sentences=3 < 5`, `questionable=4/20=0.2 >= 0.2`."""
        sentences, questionable = pl.col("stat_madlad400_sentences"), pl.col("stat_madlad400_questionable")
        rules: list[Rule] = []
        if self.min_sentences is not None:
            rules.append(value_rule("few_sentences", sentences, "<", self.min_sentences))
        if self.max_questionable is not None:
            bound, share = self.max_questionable, questionable / sentences
            shown = pl.format("questionable={}/{}={} >= {}", questionable, sentences, share.round_sig_figs(6), bound)
            rules.append(Rule("questionable", (sentences > 0) & (share >= bound), shown))
        return decide_by(stats, rules)
