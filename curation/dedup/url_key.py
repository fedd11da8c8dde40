"""Duplicates by address: of documents fetched from the same page, one stays.

Source: ours; RFC 3986, section 6 (the forms of an address are in dedup/url_forms.py). datatrove 0.10.1 dedups by any key
the same way, with a priority for the survivor (`exact_dedup.py`), but leaves making the key to its user.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.dedup.scope import ScopedStage, drop_twins, partition_of, scope_values, twins
from curation.dedup.url_forms import forms, normal_addresses
from curation.document import COLUMNS, polars_type
from curation.options import check_choice, check_flags, refuse

TRACKING = (
    "utm_*", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "fbclid", "msclkid", "yclid", "ttclid", "twclid", "igshid",
    "li_fat_id", "mc_cid", "mc_eid", "_ga", "_gl", "_hsenc", "_hsmi", "mkt_tok", "oly_anon_id", "oly_enc_id", "vero_id",
    "wickedid", "phpsessid", "jsessionid", "aspsessionid*",
)  # fmt: skip
"""Parameters that name a campaign, a click or a session and not a page."""

_KEEP = ("newest", "oldest", "first")
_SKETCH: Mapping[str, Any] = {"doc": pl.UInt64, "partition": pl.UInt32, "key": pl.Binary, "scope": pl.String}
_VERDICT: Mapping[str, Any] = {"doc": pl.UInt64, "kept": pl.UInt64, "copies": pl.Int32}


@dataclass(frozen=True)
class UrlKey(ScopedStage):
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

    keep: str = "newest"
    scheme: bool = True
    www: bool = True
    trailing_slash: bool = True
    ignored_parameters: Sequence[str] = TRACKING

    verdict_schema: ClassVar[Mapping[str, Any]] = _VERDICT

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "keep", _KEEP)
        check_flags(self, "scheme", "www", "trailing_slash")
        given = self.ignored_parameters
        if isinstance(given, str) or not all(isinstance(p, str) and p.isascii() and p.removesuffix("*") for p in given):
            refuse(self, "ignored_parameters", 'ASCII names such as ("utm_*", "gclid")', repr(given))

    @property
    def sketch_reads(self) -> tuple[str, ...]:
        time = () if self.keep == "first" or "fetched_at" in self.scope else ("fetched_at",)
        return tuple(dict.fromkeys(("url", *time, *self.scope)))

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {"stat_url_key_copies": pa.int32()}

    @property
    def drops(self) -> tuple[str, ...]:
        return ("duplicate_url",)

    def sketch(self, batch: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `partition`, `key`, `scope`, and `fetched_at` where it decides; no row for a document without address."""
        rows = batch.filter(pl.col("url").is_not_null() & (pl.col("url") != ""))
        if not rows.height:
            return pl.DataFrame(schema={**_SKETCH, **self._times()})
        same = forms(self.scheme, self.www, self.trailing_slash, self.ignored_parameters)
        addresses = normal_addresses(rows["url"], same)
        keys = [hashlib.blake2b(address.encode(), digest_size=16).digest() for address in addresses]
        digests = np.frombuffer(b"".join(keys), np.uint64)[::2]
        return rows.select(
            "doc",
            partition_of(digests, self.partitions),
            pl.Series("key", keys, dtype=pl.Binary),
            scope_values(self.scope),
            *self._times(),
        )

    def _times(self) -> dict[str, pl.DataType]:
        return {} if self.keep == "first" else {"fetched_at": polars_type(COLUMNS["fetched_at"])}

    def match(self, partition: pl.DataFrame) -> pl.DataFrame:
        """`doc`, `kept`, `copies` of every document that has a twin, the kept one included, sorted by `doc`."""
        order = [*self._times(), "doc"]
        ranked = partition.sort(order, descending=[self.keep == "newest", False][-len(order) :], nulls_last=True)
        return twins(ranked, pl.col("doc").first(), "copies")

    def apply(self, batch: pl.DataFrame, verdict: pl.DataFrame) -> pl.DataFrame:
        """`stat_url_key_copies`, and `duplicate_url` with the kept twin for all but the survivor."""
        found = batch.select("doc").join(verdict, on="doc", how="left", maintain_order="left")
        return found.select(
            "doc",
            pl.col("copies").fill_null(1).alias("stat_url_key_copies"),
            *drop_twins("duplicate_url", f" ({self.keep})"),
        )
