"""Sets of short strings in one int32 array, which kernels search: a string's number, or -1.

Source: ours.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiled import leaf

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)

HEADER = 3


@leaf
def hash_points(points, start, end):
    """uint64 hash of code points [start, end)."""
    value = np.uint64(end - start)
    for i in range(start, end):
        value = (value ^ np.uint64(points[i])) * _PRIME
        value ^= value >> _SHIFT
    return value


@leaf
def find(strings, points, start, end):
    """The number in a packed set of the string points[start:end], or -1."""
    length = end - start
    if length <= 0 or length > strings[1]:
        return np.int64(-1)
    size, count = np.int64(strings[0]), np.int64(strings[2])
    first_offset = HEADER + size
    first_point = first_offset + count + 1
    slot = np.int64(hash_points(points, start, end) & np.uint64(size - 1))
    while True:
        number = np.int64(strings[HEADER + slot])
        if number < 0:
            return number
        at = np.int64(strings[first_offset + number])
        if strings[first_offset + number + 1] - at == length:
            at += first_point
            same = True
            for i in range(length):
                if strings[at + i] != points[start + i]:
                    same = False
                    break
            if same:
                return number
        slot = (slot + 1) & (size - 1)


def packed_set(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """A findable set of the strings between `offsets`, in one int32 array: number of slots (2^k), length of the longest,
    number of strings; the slots (a string's number, -1 empty); the offsets; the code points end to end."""
    n = len(offsets) - 1
    slots = np.full(1 << max(4, (4 * n).bit_length()), -1, dtype=np.int32)
    points = points.astype(np.int32)
    for number in range(n):
        slot = int(hash_points(points, int(offsets[number]), int(offsets[number + 1]))) & (slots.size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (slots.size - 1)
        slots[slot] = number
    header = np.array([slots.size, np.diff(offsets).max(initial=0), n], dtype=np.int32)
    return np.concatenate([header, slots, offsets.astype(np.int32), points])
