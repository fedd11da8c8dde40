"""How inputs become shards: by sizes alone, so that a plan reads nothing.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from curation.stage import Input, Piece


def shards_by_size(
    inputs: Sequence[Input], shard_mb: float, whole: Callable[[Input], bool] = lambda _: False
) -> list[tuple[Piece, ...]]:
    """Shards of about `shard_mb` (10**6 bytes): large files in pieces, small ones together, in input order. `whole`: files
    that cannot be read from their middle are a shard each, however large."""
    most = max(1, int(shard_mb * 10**6))
    shards: list[tuple[Piece, ...]] = []
    group: list[Piece] = []
    held = 0
    for one in inputs:
        large = one.size > most
        if group and (large or held + one.size > most):
            shards.append(tuple(group))
            group, held = [], 0
        if not large:
            group.append(Piece(one, 0, one.size))
            held += one.size
        else:
            step = one.size if whole(one) else most
            shards += [(Piece(one, start, min(start + step, one.size)),) for start in range(0, one.size, step)]
    if group:
        shards.append(tuple(group))
    return shards
