"""Duplicates by address: of documents fetched from the same page, one stays.

Source: ours; RFC 3986, section 6 (the forms of an address are in dedup/url_forms.py). datatrove 0.10.1 dedups by any key
the same way, with a priority for the survivor (`exact_dedup.py`), but leaves making the key to its user.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import polars as pl

from curation.dedup.keyed import KeyedStage
from curation.dedup.url_forms import forms, normal_addresses
from curation.options import check_flags, refuse

TRACKING = (
    "utm_*", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "fbclid", "msclkid", "yclid", "ttclid", "twclid", "igshid",
    "li_fat_id", "mc_cid", "mc_eid", "_ga", "_gl", "_hsenc", "_hsmi", "mkt_tok", "oly_anon_id", "oly_enc_id", "vero_id",
    "wickedid", "phpsessid", "jsessionid", "aspsessionid*",
)  # fmt: skip
"""Parameters that name a campaign, a click or a session and not a page."""


@dataclass(frozen=True)
class UrlKey(KeyedStage):
    """Drops (`duplicate_url`) every document but one among those whose `url` has the same normal form, in one `scope`.

    Always the same: upper and lower case of scheme and host, user, the scheme's own port (80, 443), fragment,
    percent-encoding, `.` and `..` in the path, an empty path and `/`, empty parameters. Never: upper and lower case of the
    path, the order of parameters, doubled slashes. By option the same (each on by default):

    - `scheme`: http and https.
    - `www`: a host with and without `www.`.
    - `trailing_slash`: a path with and without a closing slash.
    - `ignored_parameters`: addresses that differ in these parameters only, `;jsessionid=...` in a path included. Names
      without regard to case; one that ends in `*` stands for all that begin so; () ignores none.

    `keep` picks the survivor: "newest" or "oldest" by `fetched_at` (a document without a time comes last, the least `doc`
    first among equals), or "first", the least `doc`. `scope`: columns within whose values duplicates are looked for, such
    as ("source",); () means everywhere. A document without `url` is nobody's duplicate; one without `scheme://` is
    compared as it stands. Addresses meet in a 128-bit digest.

    Adds `stat_url_key_copies` (int32): documents of that address in the scope, 1 for a document without twins. The answer
    does not depend on the order of rows, shards or partitions, nor on their number. Raises RecipeError on senseless options.
    """

    keep: str = field(default="newest", kw_only=True)
    scheme: bool = True
    www: bool = True
    trailing_slash: bool = True
    ignored_parameters: Sequence[str] = TRACKING

    key_column: ClassVar[str] = "url"
    reason: ClassVar[str] = "duplicate_url"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flags(self, "scheme", "www", "trailing_slash")
        given = self.ignored_parameters
        if isinstance(given, str) or not all(isinstance(p, str) and p.isascii() and p.removesuffix("*") for p in given):
            refuse(self, "ignored_parameters", 'ASCII names such as ("utm_*", "gclid")', repr(given))

    def keys(self, values: pl.Series) -> pl.Series:
        """blake2b-128 of the normal form of each address; null for an empty one."""
        same = forms(self.scheme, self.www, self.trailing_slash, self.ignored_parameters)
        made = [
            hashlib.blake2b(address.encode(), digest_size=16).digest() if url else None
            for url, address in zip(values, normal_addresses(values, same), strict=True)
        ]
        return pl.Series(made, dtype=pl.Binary)
