"""Documents cut into rows of one length: the stream of a domain's tokens, of which the last incomplete row is left out.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


class Packer:
    """Collects tokens and hands out whole rows. `documents` and `tokens` count what went in, `left` what no row holds."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.documents = self.tokens = 0
        self._held: list[np.ndarray] = []
        self._size = 0

    @property
    def left(self) -> int:
        return self._size

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
        """Rows that are complete: uint32 [n, length], at most one array."""
        self.documents += len(lengths)
        self.tokens += len(ids)
        self._held.append(ids)
        self._size += len(ids)
        rows = self._size // self.length
        if rows:
            joined = np.concatenate(self._held)
            self._held = [joined[rows * self.length :].copy()]
            self._size -= rows * self.length
            yield joined[: rows * self.length].reshape(rows, self.length)
