"""Count words of a list of bad words, and drop documents that have any: what C4 and mC4 did with LDNOOBW's lists.

The lists are given, never downloaded. A known harm comes with dropping: by an audit of C4 (Dodge et al.,
arXiv:2104.08758) it removes texts in African-American English (42 %) and Hispanic-aligned English (32 %) far more often
than White-aligned ones (6.2 %), and much that is about sexuality, medicine and law. `max_count=None` measures only: the
columns then serve as features, with filters/threshold to decide.

What differs from the references, each a fault of theirs (`compat="datatrove"` brings them back, decision for decision):
entries with capitals never match there, since only the text is made lower-case; datatrove takes entries allowed in
Japanese or Chinese out of every language's list; it knows no regional lists, where C4 adds them to their language's.
Which documents are spared is drawn from a generator there and from a hash of `doc` here. A text is made lower-case by
Unicode's rules, as theirs.

A tombstone names the first word found: without it nobody can tell a slur from a street name. It is written in ASCII
escapes outside ASCII, so that no reader's terminal, table or log is upset by it.

Source: Raffel et al., C4, arXiv:1910.10683; mC4, arXiv:2010.11934; tensorflow/datasets `c4_utils.py`
(get_badwords_filter_fn); datatrove 0.10.1 `pipeline/filters/c4_filters.py` C4BadWordsFilter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.errors import RunStopped
from curation.filters.bad_words_lists import LANGUAGES, UNSPACED, Trie, find_words, list_files, load_trie
from curation.filters.characters import classes
from curation.filters.rules import Rule, decide_by, flag_rule, share_rule, value_rule
from curation.options import check_choice, check_share, place_of, refuse
from curation.stage import Filter
from curation.text.buffers import utf8

_COUNTS = ("count", "matched_chars", "chars", "first")


@dataclass(frozen=True)
class BadWords(Filter):
    """Drops documents in which words of their language's list occur more than `max_count` times.

    A word of the list occurs where it stands between characters that are neither letters, digits nor underscores;
    in Japanese, Thai and Chinese it occurs anywhere. Occurrences do not overlap; the longest word at a place counts.

    - `bad_words`: occurrences > `max_count` (0: any occurrence; None: off).
    - `bad_word_share`: code points of occurrences / code points of the text > `max_share`, in [0, 1] (None: off).
    - `no_list`: the document's language has no list, or is unknown, and `unlisted` is "drop". By default ("keep") such
      a document is kept with null measures, which say unknown; "stop" stops the run, as datatrove does.

    `lists`: a folder or zip archive of lists named by language (`en`, `zh`), or `package:NAME/path`; their content is part
    of the fingerprint. `words`: list name -> more words, as in {"en": ["fnord"]}. `language`: code of every document
    (`eng_Latn`, or a list's own name); None = the column `language`, by whose part before the underscore the list is
    found. `languages`: such part -> list name, beside the built-in ones, as in {"arz": "ar"}. `keep_share`: in [0, 1], the
    share of documents with a reason that is kept all the same, by a hash of `doc` and `seed` (C4 kept none).
    `compat`: "" or "datatrove", see the module. Raises RecipeError on neither lists nor words, a share outside [0, 1] or a
    negative count, and, when it is used, on lists that are missing and a `language` without a list.

    Measures: `stat_bad_words_count`, `stat_bad_words_matched_chars`, `stat_bad_words_chars`, and
    `stat_bad_words_first`, the place of the first word found in its sorted list (-1: none).
    """

    lists: str | None = None
    words: Mapping[str, Sequence[str]] | None = None
    language: str | None = None
    languages: Mapping[str, str] | None = None
    max_count: int | None = 0
    max_share: float | None = None
    unlisted: str = "keep"
    keep_share: float = 0.0
    seed: int = 0
    compat: str = ""

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    path_fields: ClassVar[tuple[str, ...]] = ("lists",)
    measure_fields: ClassVar[tuple[str, ...]] = ("words", "language", "languages", "compat")

    def __post_init__(self) -> None:
        check_choice(self, "compat", ("", "datatrove"))
        check_choice(self, "unlisted", ("keep", "drop", "stop"))
        if self.max_count is not None and (isinstance(self.max_count, bool) or self.max_count < 0):
            refuse(self, "max_count", "0 or more, or None", repr(self.max_count))
        check_share(self, "max_share", "keep_share", optional=True)
        if self.lists is None and not self.words:
            refuse(self, "lists", "a folder or zip archive of word lists, or `words`", "neither")
        if any(isinstance(entries, str) for entries in (self.words or {}).values()):
            refuse(self, "words", "list name -> list of words", repr(self.words))

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",) if self.language is not None else ("text", "language")

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {f"stat_bad_words_{name}": pa.int32() for name in _COUNTS}

    @property
    def drops(self) -> tuple[str, ...]:
        possible = {
            "no_list": self.unlisted == "drop",
            "bad_words": self.max_count is not None,
            "bad_word_share": self.max_share is not None,
        }
        return tuple(reason for reason, is_possible in possible.items() if is_possible) or ("bad_words",)

    @property
    def files(self) -> tuple[Path, ...]:
        return () if self.lists is None else list_files(place_of(self, "lists", self.lists))

    def _trie(self) -> Trie:
        own = tuple((name, tuple(entries)) for name, entries in (self.words or {}).items())
        return load_trie(None if self.lists is None else place_of(self, "lists", self.lists), own, self.compat)

    def _names(self, rows: pl.DataFrame, trie: Trie) -> list[str | None]:
        """The list of each row, or None."""
        table = {name: name for name in trie.roots}
        table |= {code: name for code, name in {**LANGUAGES, **(self.languages or {})}.items() if name in trie.roots}
        if self.language is not None:
            found = table.get(self.language.partition("_")[0])
            if found is None:
                refuse(self, "language", f"one with a list: {', '.join(trie.roots)}", self.language)
            return [found] * rows.height
        codes = rows["language"].str.split("_").list.first()
        return codes.replace_strict(list(table), list(table.values()), default=None, return_dtype=pl.String).to_list()

    def measure(self, batch: pl.DataFrame) -> pl.DataFrame:
        trie = self._trie()
        names = self._names(batch, trie)
        data, offsets = utf8(batch["text"].str.to_lowercase())
        roots = np.array([-1 if name is None else trie.roots[name] for name in names], np.int32)
        anywhere = np.array([name in UNSPACED for name in names], np.bool_)
        out = np.zeros((batch.height, len(_COUNTS)), np.int32)
        find_words(data, offsets, classes(), roots, anywhere, trie.steps, trie.classes, trie.ends, out)
        listed = pl.Series(roots >= 0)
        columns = [pl.when(listed).then(pl.Series(out[:, i])).alias(f"stat_bad_words_{name}") for i, name in enumerate(_COUNTS)]
        return batch.select("doc", *columns)

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        """Details read `bad_words=2 > 0, first 'fnord' of en`. Raises RunStopped on a document without a list when
        `unlisted` is "stop"."""
        n = {name: pl.col(f"stat_bad_words_{name}") for name in _COUNTS}
        unlisted = stats.select(n["count"].is_null()).to_series()
        code = pl.lit(self.language) if self.language is not None else pl.col("language")
        if self.unlisted == "stop" and unlisted.any():
            row = stats.filter(unlisted).select("doc", code.alias("code")).row(0)
            raise RunStopped(f"doc {row[0]} has language {row[1]}, which has no list; filters/bad_words has unlisted='stop'")
        rules: list[Rule] = []
        if self.unlisted == "drop":
            shown = pl.format("no_list: language={}", code.fill_null("unknown"))
            rules.append(flag_rule("no_list", n["count"].is_null(), shown))
        if self.max_count is not None:
            rules.append(value_rule("bad_words", n["count"], ">", self.max_count))
        if self.max_share is not None:
            rules.append(share_rule("bad_word_share", n["matched_chars"], n["chars"], ">", self.max_share))
        decided = decide_by(stats, rules)
        fired = decided["drop_reason"].is_not_null() & ~unlisted
        return self._spare(self._name_words(decided, stats, fired), fired)

    def _name_words(self, decided: pl.DataFrame, stats: pl.DataFrame, fired: pl.Series) -> pl.DataFrame:
        """The first word found and its list, after the detail of every document that has one."""
        if not fired.any():
            return decided
        rows = stats.filter(fired)
        trie = self._trie()
        firsts = zip(self._names(rows, trie), rows["stat_bad_words_first"].to_list(), strict=True)
        words = [f", first {ascii(trie.words[name][place])} of {name}" if name and place >= 0 else "" for name, place in firsts]
        named = pl.DataFrame({"doc": rows["doc"], "word": pl.Series(words, dtype=pl.String)})
        joined = decided.join(named, on="doc", how="left", maintain_order="left")
        return joined.select("doc", "drop_reason", pl.col("drop_detail") + pl.col("word").fill_null("").alias("drop_detail"))

    def _spare(self, decided: pl.DataFrame, fired: pl.Series) -> pl.DataFrame:
        """Without the reason for `keep_share` of the documents in which words were found."""
        if not self.keep_share:
            return decided
        below = int(self.keep_share * 2**64)
        spared = [doc for doc in decided.filter(fired)["doc"] if _draw(doc, self.seed) < below]
        kept = pl.col("doc").is_in(pl.Series(spared, dtype=pl.UInt64).implode())
        columns = [pl.when(~kept).then(pl.col(name)).alias(name) for name in ("drop_reason", "drop_detail")]
        return decided.select("doc", *columns)


def _draw(doc: int, seed: int) -> int:
    """A number below 2**64, the same for the same document and seed everywhere."""
    digest = hashlib.blake2b(f"{doc}".encode(), digest_size=8, key=f"bad_words {seed}".encode())
    return int.from_bytes(digest.digest(), "little")
