"""Bring text into a Unicode normal form; optionally remove invisible characters and unify line ends.

ASCII texts are in every normal form and pass untouched. Normalising takes linear time also on a long run of combining
marks, on which Python's own function takes quadratic time.

Source: Unicode Standard Annex 15 (normal forms); the sets of invisible characters are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa

from curation.modifiers.rewriting import Modifier, count_types
from curation.options import check_choice, check_flags
from curation.stage import Apply

FORMS = ("NFC", "NFKC", "NFD", "NFKD")

_ZERO_WIDTH = r"[\u{200B}\u{2060}\u{FEFF}\u{180E}]"
"""Zero-width space, word joiner, byte order mark, Mongolian vowel separator. Not the joiner and non-joiner (U+200C-D):
they spell words in Persian and Indic scripts and make emoji."""

_CONTROLS = r"[\x00-\x08\x0B\x0E-\x1F\x7F-\x84\x86-\x9F]"
"""Control characters but tab, newline, form feed, carriage return and next line (U+0085)."""

_LINE_ENDS = r"\r\n|[\r\x{85}\x{2028}\x{2029}]"


@dataclass(frozen=True)
class UnicodeNormalForm(Modifier):
    """Rewrites the text in this order: `line_ends`, `controls`, `zero_width`, then `form`.

    `form`: "NFC" (composed; changes no meaning), "NFD" (decomposed), "NFKC" or "NFKD" (also compatibility characters:
    `ﬁ` to `fi`, full width to half width, and `10³` to `103`), or none to leave that out.
    `zero_width`: remove zero-width space, word joiner, byte order mark and Mongolian vowel separator; joiners stay.
    `controls`: remove control characters other than tab, newline, form feed, carriage return and next line.
    `line_ends`: carriage return (with or without newline), next line, line and paragraph separator become "\\n".

    Counts: `normalized` (1 when the form changed the text), `zero_width`, `controls` and `line_ends` (occurrences). A
    null text stays null. Raises RecipeError on other forms.
    """

    form: str | None = "NFC"
    zero_width: bool = False
    controls: bool = False
    line_ends: bool = False

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    counts: ClassVar[Mapping[str, pa.DataType]] = count_types(
        "unicode_normal_form", ("normalized", "zero_width", "controls", "line_ends")
    )

    def __post_init__(self) -> None:
        if self.form is not None:
            check_choice(self, "form", FORMS)
        check_flags(self, "zero_width", "controls", "line_ends")

    def bind(self, models: Mapping[str, Path]) -> Apply:
        steps = (
            ("line_ends", self.line_ends, _LINE_ENDS, "\n"),
            ("controls", self.controls, _CONTROLS, ""),
            ("zero_width", self.zero_width, _ZERO_WIDTH, ""),
        )

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            work, text = batch.select("doc", "text"), pl.col("text")
            for name, wanted, pattern, replacement in steps:
                count = text.str.count_matches(pattern).fill_null(0) if wanted else pl.lit(0)
                work = work.with_columns(count.cast(pl.Int32).alias(f"stat_unicode_normal_form_{name}"))
                work = work.with_columns(text.str.replace_all(pattern, replacement)) if wanted else work
            formed = _in_form(work["text"], self.form)
            changed = (formed != work["text"]).fill_null(False).cast(pl.Int32).alias("stat_unicode_normal_form_normalized")
            return work.with_columns(formed, changed)

        return apply


def _in_form(texts: pl.Series, form: str | None) -> pl.Series:
    if form is None:
        return texts
    foreign = (texts.str.len_bytes() != texts.str.len_chars()).fill_null(False).arg_true()
    if not len(foreign):
        return texts
    formed = texts.gather(foreign).str.normalize(form)  # type: ignore[arg-type]
    return texts.clone().scatter(foreign, formed)
