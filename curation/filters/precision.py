"""Clean a small language's documents of others that the classifier took for it: words that are its own, or an address.

A document is kept when it holds a word of its language's list (words that occur there and hardly elsewhere), or when
its address speaks for the language: its code, its name, its region, its country's domain.

Source: FineWeb2, Penedo et al., arXiv:2506.20920, precision filtering; huggingface/fineweb-2 (d0defb24)
`misc/precision_filtering`, whose word lists and URL white list load here as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa

from curation.errors import RecipeError, explain_mismatch
from curation.filters.listed_words import count_different, count_listed
from curation.filters.rules import decide_by, flag_rule
from curation.options import check_choice, check_share, check_whole, place_of, refuse
from curation.stage import Filter
from curation.text.punctuation import PUNCTUATION
from curation.text.segmenters import check_languages, segmenter_of_label

_NAME = "filters/precision"
_COLUMNS = ("hits", "words", "url_hit")
_PUNCTUATION_RUN = "[" + "".join(rf"\x{{{ord(mark):x}}}" for mark in sorted(PUNCTUATION)) + r"\s]+"
_HOST = r"^(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//(?:[^/?#@]*@)?([^/?#:]*)"
_NOT_ADDRESS = r"[^a-zA-Z0-9/.]+"


def without_punctuation(text: pl.Expr) -> pl.Expr:
    """Texts as the word lists were counted over: punctuation to spaces, spaces squeezed, case as it is."""
    return text.str.replace_all(_PUNCTUATION_RUN, " ").str.strip_chars(" ")


@dataclass(frozen=True)
class Precision(Filter):
    """Drops documents that hold no word of their language's list and whose address does not speak for it.

    - `no_own_word`: fewer than `least_hits` different listed words, or a share of them among the different words not
      above `least_share`; and no hit in the address.
    - `not_listed`: the language has no word list (or is null), with `otherwise` "drop".

    `word_lists`: a folder of `<language>.txt`, one word a line; like the next two a path, or `package:NAME/path`.
    `url_words`: a JSON file {ISO 639-3 code: [names, regions, ".ccTLD"]}; "" = the code alone. `contamination`: a JSON
    file {language: share of its documents without a listed word}; languages at or below `least_contamination` (default
    0.1) are kept whole, and those it does not list too; "" = every language with a list is filtered. `least_hits`:
    words, >= 1. `least_share`: in [0, 1]; null = off; the reference has 1e-7, which says the same as one hit.
    `otherwise`: "keep" or "drop" languages without a list.

    The address counts when its host ends in the ccTLD, when it holds the code between other than letters and digits,
    in either case, or when one of the names stands in it (both without signs, lower case).
    `compat="fineweb2"` does as the published script does: a ccTLD never counts, nor does a name with a sign in it; an
    upper-case code counts anywhere; where a code has no names every address counts.

    Words are those of the language's tokenizer, without punctuation, case as it is. Null texts and addresses count as
    empty. Raises RecipeError on files that are missing or of another form, and on options outside these.
    """

    word_lists: str = ""
    url_words: str = ""
    contamination: str = ""
    least_contamination: float = 0.1
    least_hits: int = 1
    least_share: float | None = None
    otherwise: str = "keep"
    compat: str = ""

    measure_fields: ClassVar[tuple[str, ...]] = ("compat",)
    path_fields: ClassVar[tuple[str, ...]] = ("word_lists", "url_words", "contamination")
    libraries: ClassVar[tuple[str, ...]] = ("polars", "numpy")

    def __post_init__(self) -> None:
        if not self.word_lists or not self._lists():
            refuse(self, "word_lists", "a folder of <language>.txt, one word a line", repr(self.word_lists))
        _url_words(self.url_words)
        _contamination(self.contamination)
        check_whole(self, "least_hits", least=1)
        check_share(self, "least_contamination")
        check_share(self, "least_share", optional=True)
        check_choice(self, "otherwise", ("keep", "drop"))
        check_choice(self, "compat", ("", "fineweb2"))
        check_languages(self._lists())

    def _lists(self) -> dict[str, Path]:
        return {path.stem: path for path in sorted(place_of(self, "word_lists", self.word_lists).glob("*.txt"))}

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text", "url", "language")

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {f"stat_precision_{name}": pa.int32() for name in _COLUMNS}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("no_own_word", "not_listed") if self.otherwise == "drop" else ("no_own_word",)

    @property
    def files(self) -> tuple[Path, ...]:
        tables = {name: getattr(self, name) for name in ("url_words", "contamination")}
        return (*self._lists().values(), *(place_of(self, name, where) for name, where in tables.items() if where))

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        """int32: different listed words, different words, 1 where the address speaks for the language; null without a
        list."""
        lists, names = self._lists(), _url_words(self.url_words)
        rows = batch.select(
            "doc", "language", pl.col("url").fill_null(""), pl.col("text").fill_null(""), pl.int_range(pl.len()).alias("row")
        )
        parts = [pl.DataFrame(schema={"row": pl.Int64, **dict.fromkeys(self.adds, pl.Int32)})]
        for (language,), part in rows.partition_by("language", as_dict=True).items():
            if language not in lists:
                continue
            texts = part.select(without_punctuation(pl.col("text")))["text"]
            words = segmenter_of_label(str(language)).split(texts)
            code = str(language).partition("_")[0]
            counts: tuple[pl.Series | pl.Expr, ...] = (
                pl.Series(count_listed(words, _words(lists[str(language)])).distinct),
                pl.Series(count_different(words)),
                address_speaks_for(code, names.get(code, ()), self.compat).cast(pl.Int32),
            )
            named = [count.alias(name) for count, name in zip(counts, self.adds, strict=True)]
            parts.append(part.select("row", *named))
        return rows.select("doc", "row").join(pl.concat(parts), on="row", how="left", maintain_order="left").drop("row")

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        """Details name hits and words: `no_own_word: 0 of 120 words`."""
        hits, words, url_hit = (pl.col(f"stat_precision_{name}") for name in _COLUMNS)
        few = hits < self.least_hits
        if self.least_share is not None:
            few = few | ((words > 0) & (hits / words <= self.least_share))
        shown = pl.format("no_own_word: {} of {} words, none in the address", hits, words)
        rules = [flag_rule("no_own_word", few & (url_hit == 0) & self._contaminated(), shown)]
        if self.otherwise == "drop":
            language = pl.col("language").fill_null("unknown")
            rules.append(flag_rule("not_listed", hits.is_null(), pl.format("no word list for language={}", language)))
        return decide_by(stats, rules)

    def _contaminated(self) -> pl.Expr:
        """Rows of languages that the filter is for."""
        if not self.contamination:
            return pl.lit(True)
        shares = _contamination(self.contamination)
        high = [language for language, share in shares.items() if share > self.least_contamination]
        return pl.col("language").is_in(high).fill_null(False)


def address_speaks_for(code: str, names: Sequence[str], compat: str = "", url: str = "url") -> pl.Expr:
    """True where an address hints at the language: its code, its country's domain or one of its names."""
    address = pl.col(url)
    signless = address.str.replace_all(_NOT_ADDRESS, "").str.to_lowercase()
    domains = [name for name in names if name.startswith(".")]
    words = [name for name in names if not name.startswith(".")]
    boundary = "[^a-zA-Z0-9]"
    delimited = f"(?:^|{boundary}){re.escape(code)}(?:{boundary}|$)"
    if compat == "fineweb2":
        by_code = address.str.contains(delimited) | address.str.contains(code.upper(), literal=True)
        return by_code | (signless.str.contains_any(words) if words else pl.lit(True))
    speaks = address.str.contains(f"(?i){delimited}")
    host = address.str.extract(_HOST).str.strip_chars_end(".").str.to_lowercase().fill_null("")
    for domain in domains:
        speaks = speaks | host.str.ends_with(domain.lower())
    plain = sorted({re.sub(_NOT_ADDRESS, "", word).lower() for word in words} - {""})
    return speaks | signless.str.contains_any(plain) if plain else speaks


def _words(path: Path) -> frozenset[str]:
    facts = path.stat()
    return _read_words(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=256)
def _read_words(path: Path, changed_ns: int, size: int) -> frozenset[str]:
    return frozenset(filter(None, (line.strip() for line in path.read_text(encoding="utf-8").split("\n"))))


def _url_words(where: str) -> Mapping[str, Sequence[str]]:
    found = _read_json("url_words", where)
    for code, names in found.items():
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            refuse(_NAME, f"url_words of {code}", "a list of names", repr(names))
    return found


def _contamination(where: str) -> Mapping[str, float]:
    found = _read_json("contamination", where)
    for language, share in found.items():
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            refuse(_NAME, f"contamination of {language}", "a share in [0, 1]", repr(share))
    return found


def _read_json(what: str, where: str) -> dict:
    if not where:
        return {}
    try:
        path = place_of(_NAME, what, where)
        facts = path.stat()
        found = _json_of(path, facts.st_mtime_ns, facts.st_size)
    except (OSError, ValueError) as error:
        raise RecipeError(explain_mismatch(f"filters/precision: {what}", wanted="a JSON file", found=error)) from error
    if not isinstance(found, dict):
        refuse(_NAME, what, "a JSON object", type(found).__name__)
    return found


@lru_cache(maxsize=16)
def _json_of(path: Path, changed_ns: int, size: int) -> object:
    return json.loads(path.read_text(encoding="utf-8"))
