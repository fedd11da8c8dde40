"""Where the pieces of an input meet.

A cut inside a file is a guess: its reader begins at the first record it can verify behind it, and the reader before it
reads on to the end of its last record. Where the two do not meet, the later piece is read again from where the earlier
one stopped. A piece at the start of a file is certain, so every round settles one more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from curation.stage import Piece

Pieces = tuple[Piece, ...]


class _Place(NamedTuple):
    shard: int
    piece: int


class Cuts:
    """Follows what the readers of the shards report, and tells which shards stand for good."""

    def __init__(self, shards: Sequence[Pieces]) -> None:
        self._before: dict[_Place, _Place] = {}
        self._after: dict[int, list[int]] = defaultdict(list)
        self._spans: dict[int, list[tuple[int, int]]] = {}
        self._settled: set[int] = set()
        last: dict[int, _Place] = {}
        for shard, pieces in enumerate(shards):
            for i, piece in enumerate(pieces):
                place, before = _Place(shard, i), last.get(piece.input.number)
                if before is not None:
                    self._before[place] = before
                    self._after[before.shard].append(shard)
                last[piece.input.number] = place

    def settled_by(self, shard: int, reports: Iterable[Mapping]) -> list[int]:
        """Take in what a shard's reader reports of its pieces; the shards that now stand for good, which may be it and those
        behind it that had to wait for it."""
        self._spans[shard] = [(report["first"], report["stop"]) for report in reports]
        found: list[int] = []
        left = [shard]
        while left:
            number = left.pop()
            if number not in self._settled and self._stands(number):
                self._settled.add(number)
                found.append(number)
                left += self._after[number]
        return sorted(found)

    def unmet(self, shards: Sequence[Pieces]) -> dict[int, Pieces]:
        """Shard -> its pieces, with the first of each input that does not begin where its neighbour stopped made exact. Pieces
        behind it are judged in the next round, against what the redone one reports. A shard that reports less than its
        pieces, which only a limit explains, ends the search: nothing after it was read."""
        wrong: dict[int, Pieces] = {}
        unsettled: set[int] = set()
        for shard, pieces in enumerate(shards):
            if len(self._spans[shard]) < len(pieces):
                break
            for i, piece in enumerate(pieces):
                stopped = self._stop_before(_Place(shard, i))
                if piece.input.number in unsettled or stopped is None or stopped == self._spans[shard][i][0]:
                    continue
                pieces = (*pieces[:i], replace(piece, start=stopped, exact=True), *pieces[i + 1 :])
                wrong[shard] = pieces
                unsettled.add(piece.input.number)
        return wrong

    def _stands(self, shard: int) -> bool:
        if shard not in self._spans:
            return False
        places = [_Place(shard, i) for i in range(len(self._spans[shard]))]
        earlier = {self._before[place].shard for place in places if place in self._before}
        return all(other == shard or other in self._settled for other in earlier) and all(
            self._stop_before(place) in (None, self._spans[shard][place.piece][0]) for place in places
        )

    def _stop_before(self, place: _Place) -> int | None:
        """Where the piece before one stopped; None for the first piece of its input."""
        before = self._before.get(place)
        return None if before is None else self._spans[before.shard][before.piece][1]
