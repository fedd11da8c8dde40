"""Duplicates by payload: of pages whose bytes, as the server sent them, are the same, one stays.

Source: ours; WARC 1.1 (ISO 28500:2017), section 5.9, WARC-Payload-Digest, and 5.8 for its form.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import ClassVar

import polars as pl

from curation.dedup.keyed import KeyedStage

_DIGEST = re.compile(r"(md5|sha-?(?:1|256|384|512)):([0-9a-z]{26,128})=*", re.IGNORECASE | re.ASCII)
_ALGORITHMS = {name: hashlib.new(name, b"", usedforsecurity=False) for name in ("md5", "sha1", "sha256", "sha384", "sha512")}


@dataclass(frozen=True)
class Payload(KeyedStage):
    """Drops (`duplicate_payload`) every document but one among those of equal `payload_digest`, in one `scope`.

    Where it stands before the extractor, what it drops is never extracted: the archives are read twice, which costs less.

    `payload_digest` is the header WARC-Payload-Digest of the page's record, taken at its word, or what the source made
    where there was none. A digest names its algorithm, md5, sha1, sha256, sha384 or sha512, with or without a hyphen; in
    hexadecimal or in base32, in upper or lower case, it is the same. Equal pages whose archives use different algorithms
    never meet, nor do those of writers that digest different bytes (before or after the chunks of the transfer were
    joined). Any other value, null, and the digest of no bytes, which some writers give to every page, are nobody's
    duplicates. Records of kind `revisit`, by which a crawler says that it met a payload again, are no documents at all.

    `keep` picks the survivor: "first", the least `doc`, or "newest" or "oldest" by `fetched_at` (a document without a time
    comes last, the least `doc` first among equals). `scope`: columns within whose values duplicates are looked for, such
    as ("source",); () means everywhere.

    Adds `stat_payload_copies` (int32): documents of that digest in the scope, 1 for a document without twins. The answer
    does not depend on the order of rows, shards or partitions, nor on their number. Raises RecipeError on senseless options.
    """

    keep: str = field(default="first", kw_only=True)

    key_column: ClassVar[str] = "payload_digest"
    reason: ClassVar[str] = "duplicate_payload"

    def keys(self, values: pl.Series) -> pl.Series:
        """The name of the algorithm and the bytes of each digest; null for what is none."""
        return pl.Series([_key(value) for value in values], dtype=pl.Binary)


def _key(value: str) -> bytes | None:
    found = _DIGEST.fullmatch(value.strip()) if len(value) < 256 else None
    if found is None:
        return None
    name, text = found[1].lower().replace("-", ""), found[2]
    empty = _ALGORITHMS[name]
    try:
        # 32 characters are an md5 in hexadecimal or a sha1 in base32: the size of the algorithm's digest tells
        if len(text) == 2 * empty.digest_size:
            digest = binascii.unhexlify(text)
        else:
            digest = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except binascii.Error:
        return None
    if len(digest) != empty.digest_size or digest == empty.digest():
        return None
    return name.encode() + digest
