"""What dedup/minhash tells of the whole: the largest clusters and buckets, and a stop where one takes too much of a source.

Source: ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from curation.dedup.components import Members
from curation.errors import RunStopped, explain_mismatch
from curation.stage import Tally

REPORTED = 20
"""Buckets and clusters a report names at most, the largest first."""


class Report(NamedTuple):
    """What is `told` in the census; and for the shares: documents `seen` by origin, the `largest` clusters (documents of one
    origin, the origin, the survivor, all documents) and the `hottest` buckets (documents, the best of them), largest first."""

    told: Mapping[str, Any]
    seen: Counter[str]
    largest: list[list]
    hottest: list[list]


def gather_report(seen: Counter[str], matched: Sequence[Tally], clustered: Sequence[Tally]) -> Report:
    """The facts of all matches and clusterings as one report."""
    facts = [tally.facts for tally in clustered if tally.facts]
    largest = sorted((row for fact in facts for row in fact["largest"]), key=lambda row: (-row[0], row[2], row[1]))
    hottest = sorted((b for tally in matched for b in tally.facts.get("hottest", ())), key=lambda b: (-b[0], b[1]))
    sizes = sorted({(row[2], row[3]) for row in largest}, key=lambda cluster: (-cluster[1], cluster[0]))
    told = {
        "documents": seen.total(),
        "clustered": sum(fact["clustered"] for fact in facts),
        "clusters": sum(fact["clusters"] for fact in facts),
        "refused": sum(tally.facts.get("refused", 0) for tally in matched),
        "largest_clusters": [{"kept": kept, "documents": size} for kept, size in sizes[:REPORTED]],
        "hottest_buckets": [{"best": best, "documents": size} for size, best in hottest[:REPORTED]],
    }
    return Report(told, seen, largest, hottest)


def check_shares(found: Report, most: float, share_from: int, share_of: Sequence[str]) -> None:
    """Raise RunStopped when a cluster of `share_from` documents of one origin or more is a larger share of it than `most`."""
    for size, origin, kept, whole in found.largest:
        share = size / found.seen[origin]
        if size >= share_from and share > most:
            named = ", ".join(share_of) or "run"
            bucket, best = found.hottest[0]
            raise RunStopped(
                explain_mismatch(
                    f"dedup/minhash: the cluster of doc={kept} holds {whole} documents: a template, or a broken extractor?",
                    wanted=f"at most {most:.1%} of the {found.seen[origin]} documents of one {named}",
                    found=f"{share:.1%} ({size}); the largest bucket, of doc={best}, holds {bucket}",
                    hint="look at that document; put dedup/exact before it, raise min_jaccard or max_cluster_share",
                )
            )


def per_origin(rows: pl.DataFrame) -> dict[str, int]:
    """How many rows have each `origin`, as a decimal number; all under "0" where there is no such column."""
    if "origin" not in rows.columns:
        return {"0": rows.height}
    return {str(origin): count for origin, count in rows.group_by("origin").len().sort("origin").iter_rows()}


def largest_clusters(found: Members, centre: np.ndarray) -> list[list]:
    """Of the REPORTED clusters that hold most of one origin: documents of it, the origin, the survivor, all documents."""
    rows, centre = found.rows[found.indexed :], centre[found.indexed :]
    origin = rows["origin"] if "origin" in rows.columns else pl.Series([0] * len(centre), dtype=pl.UInt64)
    counted = (
        pl.DataFrame({"kept": found.doc[centre], "origin": origin})
        .group_by("kept", "origin")
        .len("size")
        .with_columns(pl.col("size").sum().over("kept").alias("whole"))
        .filter(pl.col("whole") > 1)
        .sort("size", "kept", "origin", descending=(True, False, False))
        .head(REPORTED)
    )
    return [[size, str(origin), kept, whole] for kept, origin, size, whole in counted.iter_rows()]
