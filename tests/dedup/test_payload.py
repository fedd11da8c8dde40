"""Duplicates by the digest of their bytes: what a digest is, and who stays."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from dedup_steps import answer
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup.payload import Payload
from curation.errors import RecipeError

NAMES = ("md5", "sha1", "sha256", "sha384", "sha512")
START = datetime(2025, 1, 1, tzinfo=UTC)


def spellings(name: str, payload: bytes) -> list[str]:
    """Every way to write one digest."""
    digest = hashlib.new(name, payload).digest()
    values = [digest.hex(), base64.b32encode(digest).decode(), base64.b32encode(digest).decode().rstrip("=")]
    names = [name, name.replace("sha", "sha-"), name.upper()]
    return [
        f" {n}:{value} " if n == name else f"{n}:{value}" for n in names for v in values for value in (v, v.upper(), v.lower())
    ]


def table(digests: list[str | None], times: list[int | None] | None = None) -> pl.DataFrame:
    days = times or [0] * len(digests)
    return pl.DataFrame(
        {
            "doc": range(len(digests)),
            "payload_digest": digests,
            "fetched_at": [None if day is None else START + timedelta(days=day) for day in days],
            "source": ["x" if i % 3 else "y" for i in range(len(digests))],
        },
        schema={"doc": pl.UInt64, "payload_digest": pl.String, "fetched_at": pl.Datetime("us", "UTC"), "source": pl.String},
    )


def copies(digests: list[str | None]) -> list[int]:
    return answer(Payload(), [table(digests)])["stat_payload_copies"].to_list()


@pytest.mark.parametrize("name", NAMES)
def test_one_digest_however_it_is_written(name: str) -> None:
    same = spellings(name, b"page")
    assert copies([*same, *spellings(name, b"other")]) == [len(same)] * 2 * len(same)


def test_algorithms_never_meet() -> None:
    # the same 32 characters are an md5 in hexadecimal and a sha1 in base32
    digits = "a2" * 16
    assert copies([f"md5:{digits}", f"sha1:{digits}", *(spellings(name, b"page")[1] for name in NAMES)]) == [1] * 7


@pytest.mark.parametrize(
    "value",
    ["", ":", "sha1", "sha1:", "sha1:abc", "sha1:" + "a" * 31, "sha1:" + "a" * 41, "sha1:" + "1" * 32, "sha1:" + "g" * 40,
     "sha3:" + "a" * 64, "crc32:" + "a" * 32, "a" * 40, "-", "monkey!", "sha1:" + "é" * 32, "ſha1:" + "a" * 40,
     "sha1:" + "a" * 10**6, "sha1:" * 10**5, "\x00" * 300, "sha1:" + hashlib.sha1(b"").hexdigest(),
     "sha256:" + base64.b32encode(hashlib.sha256(b"").digest()).decode()],
)  # fmt: skip
def test_what_is_no_digest_is_nobodys_duplicate(value: str) -> None:
    assert copies([value, value, None, None]) == [1, 1, 1, 1]


ROWS = st.lists(st.tuples(st.integers(0, 3) | st.none(), st.integers(0, 3) | st.none()), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, keep=st.sampled_from(["first", "newest", "oldest"]), scoped=st.booleans(), partitions=st.integers(1, 9),
       cut=st.integers(0, 30), seed=st.integers(0, 9))  # fmt: skip
def test_survivors(rows, keep: str, scoped: bool, partitions: int, cut: int, seed: int) -> None:
    digests = [None if page is None else spellings("sha1", str(page).encode())[i % 6] for i, (page, _) in enumerate(rows)]
    times = [day for _, day in rows]
    given = table(digests, times)
    stage = Payload(keep=keep, scope=("source",) if scoped else (), partitions=partitions)
    shards = [part for part in (given[:cut], given[cut:]) if part.height]
    sign = {"newest": -1, "oldest": 1, "first": 0}[keep]
    groups = [doc if page is None else (str(page), scoped and given["source"][doc]) for doc, (page, _) in enumerate(rows)]
    for doc, number, reason, detail in answer(stage, shards, seed).iter_rows():
        twins = [other for other in range(len(rows)) if groups[other] == groups[doc]]
        best = min(twins, key=lambda d: (sign != 0 and times[d] is None, sign * (times[d] or 0), d))
        told = (None, None) if doc == best else ("duplicate_payload", f"kept twin doc={best} ({keep})")
        assert (number, reason, detail) == (len(twins), *told)


def test_no_documents_at_all() -> None:
    stage = Payload(keep="newest")
    assert stage.sketch(table([])).is_empty() and stage.sketch(table([None])).is_empty()
    assert stage.apply(table([]).select("doc"), stage.settle([])).is_empty()
    assert set(Payload().sketch_reads) == {"payload_digest"} and set(stage.sketch_reads) == {"payload_digest", "fetched_at"}


@pytest.mark.parametrize("fields", [{"keep": "best"}, {"scope": "source"}, {"scope": ("text",)}, {"partitions": 0}])
def test_senseless_configuration(fields: dict) -> None:
    with pytest.raises(RecipeError, match="dedup/payload"):
        Payload(**fields)
