"""Drop documents by their address, before anything is extracted: blocked domains, addresses and words.

No lists are built in (datatrove has its own): give a folder of them, whose layout url_lists.py describes, or entries.
The size of the lists does not matter to the speed: compiled code looks up the hashes of hosts and words (url_scan.py),
and only what it reports is judged entry by entry.

Source: the rules of datatrove 0.10.1 `pipeline/filters/url_filter.py`, after RefinedWeb (arXiv:2306.01116). What
differs: a blocked domain blocks every name below it, not only the registered domain and the full host; hosts are
compared in lower case and Punycode, without user and port; a blocked address is one with or without scheme and `www.`
and blocks what lies below its path; words are compared in lower case; every drop names its entry.
`compat="datatrove"` decides as datatrove does. Rules of ad blockers (url_rules.py) are ours.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl

from curation.filters.url_compat import DatatroveLists, datatrove_verdicts, read_datatrove_lists
from curation.filters.url_lists import (
    Lists,
    address_keys,
    address_words,
    bare_word,
    find_list_files,
    parents,
    read_lists,
    split_address,
)
from curation.filters.url_rules import AddressRules, read_rules
from curation.filters.url_scan import Scan
from curation.options import check_choice, place_of, refuse
from curation.stage import Apply, Stage

Verdict = tuple[str, str] | None
"""(reason, detail), or None to keep."""

_ENTRY_FIELDS = {
    "blocked_domains": "domains",
    "blocked_urls": "urls",
    "banned_words": "words",
    "soft_banned_words": "soft_words",
    "banned_substrings": "substrings",
    "adblock_rules": "rules",
}
"""Field -> what kind of list its entries are of."""


@dataclass(frozen=True)
class Url(Stage):
    """Drops a document whose address is blocked; the first of these rules that fires is the reason.

    - `blocked_domain`: the host, or a name above it, is listed.
    - `blocked_url`: the address, or one whose path it lies below, is listed.
    - `blocked_rule`: a rule of an ad blocker that concerns pages blocks it; url_rules.py says which do.
    - `blocked_word`: a word of the address is in `banned_words`.
    - `soft_words`: at least `soft_word_threshold` different words are in `soft_banned_words`.
    - `blocked_substring`: one of `banned_substrings` occurs in the address, other characters than ASCII letters and
      digits left out.
    - `no_url`: there is no address, and `no_url` is "drop" ("keep" by default).

    `lists`: a folder of lists, or `package:NAME/path`; their content is part of the fingerprint. `categories`: which of
    them, all by default (UT1 has harmless ones, such as `press` and `blog`: name those you mean). `blocked_domains`,
    `blocked_urls`, `adblock_rules` and the other fields add entries. An address without a readable host is judged by its
    words only.

    `compat`: "" (as above) or "datatrove": the decisions of datatrove 0.10.1, which compares entries and words as they
    are written (`/CASINO/` passes), addresses whole, and of the names above a host only the registered domain, with the
    list of public suffixes that the installed tldextract carries. It needs tldextract (the extra `peers`), reads
    neither rules nor hosts files, and costs what datatrove costs. Raises RecipeError on lists that are missing or are
    not lists, and on `compat` with rules or without tldextract.
    """

    lists: str | None = None
    categories: Sequence[str] | None = None
    blocked_domains: Sequence[str] = ()
    blocked_urls: Sequence[str] = ()
    banned_words: Sequence[str] = ()
    soft_banned_words: Sequence[str] = ()
    soft_word_threshold: int = 2
    banned_substrings: Sequence[str] = ()
    adblock_rules: Sequence[str] = ()
    no_url: str = "keep"
    compat: str = ""

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    path_fields: ClassVar[tuple[str, ...]] = ("lists",)

    def __post_init__(self) -> None:
        for name in _ENTRY_FIELDS:
            if isinstance(getattr(self, name), str):
                refuse(self, name, "a list of entries", repr(getattr(self, name)))
        if isinstance(self.categories, str) or (self.categories is not None and self.lists is None):
            refuse(self, "categories", "a list of categories, with `lists`", repr(self.categories))
        check_choice(self, "no_url", ("keep", "drop"))
        if self.soft_word_threshold < 1:
            refuse(self, "soft_word_threshold", "at least 1", self.soft_word_threshold)
        check_choice(self, "compat", ("", "datatrove"))
        if self.compat and self.adblock_rules:
            refuse(self, "adblock_rules", 'none with compat="datatrove"', repr(self.adblock_rules))
        if self.compat and importlib.util.find_spec("tldextract") is None:
            refuse(self, 'compat="datatrove"', "tldextract, of the extra `peers`", "not installed")
        self._add_own(Lists())

    def _add_own(self, lists: Lists) -> Lists:
        """Add the entries of the fields. Raises RecipeError when one is none."""
        own = {kind: getattr(self, name) for name, kind in _ENTRY_FIELDS.items() if kind != "rules"}
        for kind, entries in own.items():
            _, refused, example = lists.add(kind, entries, "recipe")
            if refused:
                refuse(self, f"an entry of {kind}", "a name with a dot, host/path or a word", repr(example))
        return lists

    @property
    def reads(self) -> tuple[str, ...]:
        return ("url",)

    @property
    def drops(self) -> tuple[str, ...]:
        rules = ("blocked_domain", "blocked_url", "blocked_rule", "blocked_word", "soft_words", "blocked_substring", "no_url")
        return tuple(reason for reason in rules if not (self.compat and reason == "blocked_rule"))

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(path for _, _, path in self._list_files())

    def _list_files(self) -> list[tuple[str, str, Path]]:
        return [] if self.lists is None else find_list_files(place_of(self, "lists", self.lists), self.categories)

    def bind(self, models: Mapping[str, Path]) -> Apply:
        """Read the lists once; the result maps a batch to `doc`, `drop_reason`, `drop_detail`."""
        files = self._list_files()
        judge = self._as_datatrove(files) if self.compat else self._as_ours(files)

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            return pl.DataFrame([batch["doc"], *judge(batch["url"])])

        return apply

    def _as_ours(self, files: list[tuple[str, str, Path]]) -> Callable[[pl.Series], list[pl.Series]]:
        lists = self._add_own(read_lists(files))
        rules = read_rules(files, self.adblock_rules)
        scan = Scan(
            lists.domains,
            lists.urls,
            rules.hosts,
            lists.words,
            lists.soft_words,
            rules.by_token,
            lists.substrings,
            self.soft_word_threshold,
        )
        said = pl.Series([f"domain {name} in {category}" for name, category in lists.domains.items()], dtype=pl.String)

        def judge(urls: pl.Series) -> list[pl.Series]:
            named, report = scan.look(urls)
            if rules.loose:
                bare = urls.fill_null("").str.to_lowercase() + "/"
                report |= bare.str.contains_any(list(rules.loose)).to_numpy()
            suspects = np.flatnonzero((report != 0) & (named < 0))
            some = urls.gather(suspects) if len(suspects) else urls.clear()
            parts = _substrings(some, lists)
            verdicts = [self._judge(url, part, lists, rules) for url, part in zip(some, parts, strict=True)]
            return verdict_columns(len(urls), suspects, verdicts, np.flatnonzero(named >= 0), named, said)

        return judge

    def _as_datatrove(self, files: list[tuple[str, str, Path]]) -> Callable[[pl.Series], list[pl.Series]]:
        if any(kind in ("rules", "mixed") for _, kind, _ in files):
            refuse(self, "lists", 'files of domains, urls and words alone with compat="datatrove"', "rules or mixed lists")
        own = {kind: getattr(self, name) for name, kind in _ENTRY_FIELDS.items() if kind != "rules"}
        lists: DatatroveLists = read_datatrove_lists(files, own)

        def judge(urls: pl.Series) -> list[pl.Series]:
            empty = ("no_url", "the document has no address") if self.no_url == "drop" else None
            verdicts = datatrove_verdicts(urls, lists, self.soft_word_threshold, empty)
            return verdict_columns(len(urls), np.arange(len(urls)), verdicts, np.zeros(0, int), np.zeros(0, int), pl.Series())

        return judge

    def _judge(self, url: str | None, substring: str | None, lists: Lists, rules: AddressRules) -> Verdict:
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
            if found := rules.find(url):
                return "blocked_rule", f"rule {found[0]} in {found[1]}"
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


def verdict_columns(
    rows: int, at: np.ndarray, verdicts: Sequence[Verdict], blocked: np.ndarray, named: np.ndarray, said: pl.Series
) -> list[pl.Series]:
    """`drop_reason` and `drop_detail` of `rows` rows: `verdicts` on the rows `at`, and `blocked_domain` on the rows
    `blocked`, with what is `said` of the entry `named` there."""
    fell = [(row, *verdict) for row, verdict in zip(at.tolist(), verdicts, strict=True) if verdict is not None]
    nothing = pl.Series([None], dtype=pl.String)
    reasons, details = nothing.new_from_index(0, rows), nothing.new_from_index(0, rows)  # scatter writes in place
    if len(blocked):
        reasons = reasons.scatter(blocked, "blocked_domain")
        details = details.scatter(blocked, said.gather(named[blocked]))
    if fell:
        places = [row for row, _, _ in fell]
        reasons = reasons.scatter(places, pl.Series([reason for _, reason, _ in fell]))
        details = details.scatter(places, pl.Series([detail for _, _, detail in fell]))
    return [reasons.alias("drop_reason"), details.alias("drop_detail")]


def _substrings(urls: pl.Series, lists: Lists) -> Sequence[str | None]:
    """The first listed substring in each address, the longest where several begin there; None without one."""
    if not lists.substrings:
        return [None] * len(urls)
    bare = [bare_word((url or "").lower()) for url in urls]
    wanted = sorted(lists.substrings)
    found = (
        pl.Series(bare, dtype=pl.String)
        .to_frame("bare")
        .select(pl.col("bare").str.extract_many(wanted, leftmost=True).list.first())
    )
    return found.to_series().to_list() if len(bare) else []
