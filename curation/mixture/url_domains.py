"""Rules from addresses to domains, in a YAML file; the first that fits decides:

    - domain: encyclopedia
      suffixes: [wikipedia.org, wiktionary.org]     # this host and every host below it
    - domain: papers
      hosts: [arxiv.org, export.arxiv.org]          # these hosts alone, with or without `www.`
    - domain: documentation
      pattern: "^https?://[^/]+/(docs|manual)/"      # anywhere in the address: a regular expression without look-around

A rule may have several of the three: any of them suffices. Hosts are compared in lower case.

Source: ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from curation.errors import RecipeError, explain_mismatch
from curation.filters.url_keys import address_key

_KEYS = {"domain", "hosts", "suffixes", "pattern"}


@dataclass(frozen=True)
class UrlRules:
    """A table of rules. `exact` and `below`: host or suffix -> (number of its first rule); `patterns`: number -> expression;
    `names`: domain of each rule."""

    names: tuple[str, ...]
    exact: dict[str, int]
    below: dict[str, int]
    patterns: dict[int, str]

    @staticmethod
    def load(path: Path) -> UrlRules:
        """Read the file. Raises RecipeError that names the rule which is not one."""
        try:
            given = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RecipeError(explain_mismatch(f"rules {path}", wanted="a YAML list of rules", found=str(error))) from error
        return UrlRules.of(given, str(path))

    @staticmethod
    def of(given: Any, where: str) -> UrlRules:
        """The table of a parsed file."""
        if not isinstance(given, list) or not given:
            raise RecipeError(explain_mismatch(f"rules {where}", wanted="a list of rules", found=type(given).__name__))
        exact: dict[str, int] = {}
        below: dict[str, int] = {}
        patterns: dict[int, str] = {}
        for number, rule in enumerate(given):
            _check(rule, f"rules {where}: rule {number + 1}")
            for host in rule.get("hosts", ()):
                exact.setdefault(host.lower().removeprefix("www."), number)
            for suffix in rule.get("suffixes", ()):
                below.setdefault(suffix.lower().strip("."), number)
            if "pattern" in rule:
                patterns[number] = rule["pattern"]
        return UrlRules(tuple(rule["domain"] for rule in given), exact, below, patterns)

    def domains(self, urls: pl.Series) -> pl.Series:
        """The domain of each address; null where no rule fits."""
        hosts = address_key(urls, "host")
        by_host = {host: self._by_host(host) for host in hosts.unique() if host is not None}
        first = pl.col("host").replace_strict(by_host, default=None, return_dtype=pl.UInt32)
        for number, pattern in self.patterns.items():
            fits = pl.col("url").str.contains(pattern) & pl.col("host").is_not_null()
            first = pl.when(fits & (first.is_null() | (first > number))).then(pl.lit(number, dtype=pl.UInt32)).otherwise(first)
        found = pl.DataFrame({"url": urls, "host": hosts}).select(first.alias("rule"))["rule"]
        return found.replace_strict(self._numbered, default=None, return_dtype=pl.String)

    @cached_property
    def _numbered(self) -> dict[int, str]:
        return dict(enumerate(self.names))

    def _by_host(self, host: str) -> int | None:
        labels = host.lower().split(".")
        ends = (".".join(labels[i:]) for i in range(len(labels)))
        found = [self.below[end] for end in ends if end in self.below]
        return min([*found, *([self.exact[host]] if host in self.exact else [])], default=None)


def _check(rule: Any, where: str) -> None:
    wanted = "domain, and hosts, suffixes or pattern"
    if not isinstance(rule, dict) or set(rule) - _KEYS or not isinstance(rule.get("domain"), str) or len(rule) < 2:
        raise RecipeError(explain_mismatch(where, wanted=wanted, found=repr(rule)[:200]))
    for key in ("hosts", "suffixes"):
        value = rule.get(key, [])
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
            raise RecipeError(explain_mismatch(f"{where}: {key}", wanted="a list of hosts", found=repr(value)[:200]))
    if "pattern" in rule:
        _check_pattern(rule["pattern"], where)


def _check_pattern(pattern: Any, where: str) -> None:
    try:
        pl.Series(["x"]).str.contains(pattern)
    except (pl.exceptions.PolarsError, TypeError, AttributeError) as error:
        said = str(error).splitlines()[0]
        wanted = "a regular expression without look-around or back references"
        raise RecipeError(explain_mismatch(f"{where}: pattern", wanted=wanted, found=f"{pattern!r}: {said}")) from error
