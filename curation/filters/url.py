"""Drop documents by their address, before anything is extracted: blocked domains, addresses and words.

No lists are built in (datatrove has its own): give a folder of them, whose layout url_lists.py describes, or entries.

Source: the rules of datatrove 0.10.1 `pipeline/filters/url_filter.py`, after RefinedWeb (arXiv:2306.01116). What
differs: a blocked domain blocks every name below it, not only the registered domain and the full host; hosts are
compared in lower case and Punycode, without user and port; a blocked address is one with or without scheme and `www.`
and blocks what lies below its path; words are compared in lower case; every drop names its entry.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl

from curation.errors import RecipeError, explain_mismatch
from curation.filters.url_lists import (
    Lists,
    address_keys,
    address_words,
    find_list_files,
    parents,
    read_lists,
    split_address,
)
from curation.stage import Apply, Stage

Verdict = tuple[str, str] | None
"""(reason, detail), or None to keep."""


@dataclass(frozen=True)
class Url(Stage):
    """Drops a document whose address is blocked; the first of these rules that fires is the reason.

    - `blocked_domain`: the host, or a name above it, is listed.
    - `blocked_url`: the address, or one whose path it lies below, is listed.
    - `blocked_word`: a word of the address is in `banned_words`.
    - `soft_words`: at least `soft_word_threshold` different words are in `soft_banned_words`.
    - `blocked_substring`: one of `banned_substrings` occurs in the address, other characters than ASCII letters and
      digits left out.
    - `no_url`: there is no address, and `no_url` is "drop" ("keep" by default).

    `lists`: a folder of lists, or `package:NAME/path`; their content is part of the fingerprint. `categories`: which of
    them, all by default (UT1 has harmless ones, such as `press` and `blog`: name those you mean). `blocked_domains`,
    `blocked_urls` and the other fields add entries. An address without a readable host is judged by its words only.
    Raises RecipeError on lists that are missing or are not lists.
    """

    lists: str | None = None
    categories: Sequence[str] | None = None
    blocked_domains: Sequence[str] = ()
    blocked_urls: Sequence[str] = ()
    banned_words: Sequence[str] = ()
    soft_banned_words: Sequence[str] = ()
    soft_word_threshold: int = 2
    banned_substrings: Sequence[str] = ()
    no_url: str = "keep"

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    path_fields: ClassVar[tuple[str, ...]] = ("lists",)

    def __post_init__(self) -> None:
        for name in ("blocked_domains", "blocked_urls", "banned_words", "soft_banned_words", "banned_substrings"):
            if isinstance(getattr(self, name), str):
                self._refuse(name, "a list of entries", repr(getattr(self, name)))
        if isinstance(self.categories, str) or (self.categories is not None and self.lists is None):
            self._refuse("categories", "a list of categories, with `lists`", repr(self.categories))
        if self.no_url not in ("keep", "drop"):
            self._refuse("no_url", '"keep" or "drop"', repr(self.no_url))
        if self.soft_word_threshold < 1:
            self._refuse("soft_word_threshold", "at least 1", self.soft_word_threshold)
        self._add_own(Lists())

    @staticmethod
    def _refuse(what: str, wanted: str, found: object) -> None:
        raise RecipeError(explain_mismatch(f"filters/url: {what}", wanted=wanted, found=found))

    def _add_own(self, lists: Lists) -> Lists:
        """Add the entries of the fields. Raises RecipeError when one is none."""
        own = {
            "domains": self.blocked_domains,
            "urls": self.blocked_urls,
            "words": self.banned_words,
            "soft_words": self.soft_banned_words,
            "substrings": self.banned_substrings,
        }
        for kind, entries in own.items():
            _, refused, example = lists.add(kind, entries, "recipe")
            if refused:
                self._refuse(f"an entry of {kind}", "a name with a dot, host/path or a word", repr(example))
        return lists

    @property
    def reads(self) -> tuple[str, ...]:
        return ("url",)

    @property
    def drops(self) -> tuple[str, ...]:
        return ("blocked_domain", "blocked_url", "blocked_word", "soft_words", "blocked_substring", "no_url")

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(path for _, _, path in self._list_files())

    def _list_files(self) -> list[tuple[str, str, Path]]:
        return [] if self.lists is None else find_list_files(_folder(self.lists), self.categories)

    def bind(self, models: Mapping[str, Path]) -> Apply:
        """Read the lists once; the result maps a batch to `doc`, `drop_reason`, `drop_detail`."""
        lists = self._add_own(read_lists(self._list_files()))

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            found = _substrings(batch["url"], lists)
            verdicts = [self._judge(url, part, lists) for url, part in zip(batch["url"], found, strict=True)]
            reasons, details = [v[0] if v else None for v in verdicts], [v[1] if v else None for v in verdicts]
            return batch.select(
                "doc",
                pl.Series("drop_reason", reasons, dtype=pl.String),
                pl.Series("drop_detail", details, dtype=pl.String),
            )

        return apply

    def _judge(self, url: str | None, substring: str | None, lists: Lists) -> Verdict:
        if url is None or not url.strip():
            return ("no_url", "the document has no address") if self.no_url == "drop" else None
        host, rest = split_address(url)
        if host is not None:
            for name in parents(host):
                if name in lists.domains:
                    return "blocked_domain", f"domain {name} in {lists.domains[name]}"
            if host.removeprefix("www.") in lists.url_hosts:
                for key in address_keys(host, rest):
                    if key in lists.urls:
                        return "blocked_url", f"address {key} in {lists.urls[key]}"
        return self._judge_words(url, lists) or _judge_substring(substring, lists)

    def _judge_words(self, url: str, lists: Lists) -> Verdict:
        if not lists.words and not lists.soft_words:
            return None
        words = address_words(url)
        if hard := words & lists.words.keys():
            return "blocked_word", f"word {min(hard)} in {lists.words[min(hard)]}"
        soft = sorted(words & lists.soft_words.keys())
        if len(soft) >= self.soft_word_threshold:
            return "soft_words", f"{len(soft)} soft words >= {self.soft_word_threshold}: {', '.join(soft[:8])}"
        return None


def _judge_substring(substring: str | None, lists: Lists) -> Verdict:
    return ("blocked_substring", f"{substring} in {lists.substrings[substring]}") if substring else None


def _substrings(urls: pl.Series, lists: Lists) -> pl.Series:
    """The first listed substring in each address, the longest where several begin there; null without one."""
    if not lists.substrings:
        return pl.Series([None] * len(urls), dtype=pl.String)
    bare = urls.str.to_lowercase().str.replace_all("[^a-z0-9]+", "")
    return bare.str.extract_many(sorted(lists.substrings), leftmost=True).list.first()


def _folder(location: str) -> Path:
    """The folder of `package:NAME/path` (lists that an installed package carries) or of a plain path."""
    if not location.startswith("package:"):
        return Path(location).expanduser()
    package, _, inside = location.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RecipeError(explain_mismatch("filters/url: lists", wanted=f"package {package}", found="not installed"))
    return Path(next(iter(spec.submodule_search_locations))) / inside
