"""Choosing documents by a hash of their number: the same ones on every machine, in every run."""

from __future__ import annotations

import numpy as np


def hash_documents(docs: np.ndarray) -> np.ndarray:
    """splitmix64 of each `doc`: uint64 [n], the same on every machine and version."""
    with np.errstate(over="ignore"):
        x = docs.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def sampled(docs: np.ndarray, share: float) -> np.ndarray:
    """Which documents a sample of `share` (0..1) holds: bool [n], by hash, so samples of larger shares contain it."""
    return hash_documents(docs) < np.uint64(min(share * 2.0**64, 2.0**64 - 2048))
