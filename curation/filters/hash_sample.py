"""Keep a share of the documents, chosen by a hash: the same ones in every run, whatever the shards.

Source: ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl

from curation.filters.url_keys import KEYS, address_key, suffix_file
from curation.options import check_choice, refuse
from curation.stage import Filter

_COLUMNS = ("content_id", "id", "url")
_BY_ADDRESS = {f"url_{key}": key for key in KEYS}


@dataclass(frozen=True)
class HashSample(Filter):
    """Drops (`not_sampled`) a document whose hash is not below `share`.

    `share`: expected share of documents kept, above 0 and up to 1; the number itself varies as that of coin throws
    does. Samples of one `seed` and `by` are nested: a smaller share is part of a larger one; other seeds give
    independent samples. `by`: what is hashed. "content_id" (documents of the same text fall together), "id", "url", or
    "url_host", "url_domain", "url_site" (all pages of a host, registered domain or site fall together, so the share is
    one of these and not of documents). A document without that value is hashed by its `doc`.

    The hash is blake2b of the value, in [0, 1) to 64 bits. Raises RecipeError on a share outside its range and an
    unknown `by`.
    """

    share: float = 0.1
    by: str = "content_id"
    seed: int = 0

    libraries: ClassVar[tuple[str, ...]] = ("polars",)

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not isinstance(self.share, (int, float)) or not 0 < self.share <= 1:
            refuse(self, "share", "above 0, at most 1", repr(self.share))
        check_choice(self, "by", (*_COLUMNS, *_BY_ADDRESS))
        if not -(1 << 63) <= self.seed < 1 << 63:
            refuse(self, "seed", "a 64-bit number", repr(self.seed))

    @property
    def reads(self) -> tuple[str, ...]:
        return ("url",) if self.by in _BY_ADDRESS else (self.by,)

    @property
    def drops(self) -> tuple[str, ...]:
        return ("not_sampled",)

    @property
    def files(self) -> tuple[Path, ...]:
        return (suffix_file(),) if self.by in ("url_domain", "url_site") else ()

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        """The detail reads `content_id hash 0.734512 >= 0.1`."""
        draws = np.fromiter(self._draws(stats), np.uint64, stats.height)
        bound = int(self.share * 2.0**64)
        out = pl.Series(draws >= np.uint64(bound) if bound < 1 << 64 else np.zeros(stats.height, bool))
        shown = pl.Series(draws / 2.0**64).round_sig_figs(6).cast(pl.String)
        detail = pl.format("{} hash {} >= {}", pl.lit(self.by), shown, pl.lit(self.share))
        return stats.select(
            "doc",
            pl.when(out).then(pl.lit("not_sampled")).alias("drop_reason"),
            pl.when(out).then(detail).alias("drop_detail"),
        )

    def _draws(self, stats: pl.DataFrame) -> Iterator[int]:
        """The 64-bit hash of each row."""
        values = address_key(stats["url"], _BY_ADDRESS[self.by]) if self.by in _BY_ADDRESS else stats[self.by]
        salt = self.seed.to_bytes(8, "little", signed=True)
        known: dict[str | bytes, int] = {}
        for doc, value in zip(stats["doc"], values, strict=True):
            if value is None:
                yield _hash(doc.to_bytes(8, "little"), salt)
                continue
            if value not in known:
                known[value] = _hash(value if isinstance(value, bytes) else value.encode(), salt)
            yield known[value]


def _hash(value: bytes, salt: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(value, digest_size=8, salt=salt, person=b"hash_sample").digest(), "big")
