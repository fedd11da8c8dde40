"""Kernels of MinHash: hashes of shingles (runs of words), and the least value of each permutation over them.

Two families. The exact one hashes the bytes of a shingle, its words joined by one space, with xxHash or SHA-1, and
permutes by (x * a + b) modulo 2**64 modulo 2**61 - 1, as the reference does. The native one makes a shingle's hash from
hashes of its words, rolling, and permutes 32 bits by x * a + b modulo 2**32 with odd a: twice as many values in a vector
register, and no 64-bit multiplication, which processors without AVX-512 do in pieces.

All loops over permutations run over contiguous arrays without a branch, so that LLVM makes vector code of them.

Source: permutations of the exact family as datatrove 0.10.1 `pipeline/dedup/minhash.py`; multiply-add hashing after
Dietzfelbinger et al. (J. Algorithms 25(1), 1997); rolling hash after Karp and Rabin (IBM J. Res. Dev. 31(2), 1987).
"""

from __future__ import annotations

import numpy as np

from curation.text.byte_hashes import hash_spans
from curation.text.compiled import inlined, kernel, leaf

MERSENNE = np.uint64((1 << 61) - 1)
NO_VALUE = np.uint64(0xFFFFFFFFFFFFFFFF)

_SHINGLE_BASE = np.uint64(0xD1342543DE82EF95)
"""Odd base of the rolling hash over words, modulo 2**64."""


@leaf
def mixed(value):
    """A bijection of 64 bits after which every bit depends on every bit (the finaliser of splitmix64)."""
    value = (value ^ value >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ value >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return value ^ value >> np.uint64(31)


@leaf
def _mixed32(value):
    """A bijection of 32 bits after which every bit depends on every bit (the finaliser of MurmurHash3)."""
    value = np.uint32((value ^ value >> np.uint32(16)) * np.uint32(0x85EBCA6B))
    value = np.uint32((value ^ value >> np.uint32(13)) * np.uint32(0xC2B2AE35))
    return np.uint32(value ^ value >> np.uint32(16))


@leaf
def _join(data, start, size, begin, end, joined, at, stop):
    """Copies the words begin to end into `joined`, one space between them; `at` and `stop` are where each lies."""
    o = 0
    for word in range(begin, end):
        at[word - begin] = o
        source = start[word]
        for i in range(size[word]):
            joined[o + i] = data[source + i]
        o += size[word]
        stop[word - begin] = o
        joined[o] = 32
        o += 1


@kernel
def exact_shingles(data, first, start, size, ngram, kind):
    """Hashes (uint64) of all runs of `ngram` words of each text, joined by one space, and where each text's begin
    (int64 [texts + 1]). The arguments are those of words.Words. A text of fewer words has none."""
    texts = first.size - 1
    begin = np.zeros(texts + 1, np.int64)
    most_words, most_bytes = np.int64(0), np.int64(0)
    for t in range(texts):
        words = first[t + 1] - first[t]
        begin[t + 1] = begin[t] + max(0, words - ngram + 1)
        most_words = max(most_words, words)
        if words > 0:
            last = first[t + 1] - 1
            most_bytes = max(most_bytes, start[last] + size[last] - start[first[t]] + words)
    hashes = np.empty(begin[texts], np.uint64)
    joined = np.empty(most_bytes, np.uint8)
    at, stop = np.empty(most_words, np.int64), np.empty(most_words, np.int64)
    w, state = np.empty(80, np.uint32), np.empty(5, np.uint32)
    for t in range(texts):
        n = begin[t + 1] - begin[t]
        if n > 0:
            _join(data, start, size, first[t], first[t + 1], joined, at, stop)
            hash_spans(joined, at[:n], stop[ngram - 1 : ngram - 1 + n], kind, hashes[begin[t] : begin[t + 1]], w, state)
    return hashes, begin


@leaf
def _roll(words, ngram, power, hashes):
    """Rolling hash over each run of `ngram` word hashes, and its upper 32 bits after mixing. `power` is the base to the
    power of ngram."""
    value = np.uint64(0)
    for i in range(ngram):
        value = value * _SHINGLE_BASE + mixed(words[i])
    hashes[0] = np.uint32(mixed(value) >> np.uint64(32))
    for i in range(ngram, words.size):
        value = value * _SHINGLE_BASE + mixed(words[i]) - power * mixed(words[i - ngram])
        hashes[i - ngram + 1] = np.uint32(mixed(value) >> np.uint64(32))


@kernel
def native_shingles(word_hashes, first, ngram):
    """Hashes (uint32) of all runs of `ngram` words of each text, and where each text's begin (int64 [texts + 1]).
    A text of fewer words has one, of all its words; a text without words none."""
    texts = first.size - 1
    begin = np.zeros(texts + 1, np.int64)
    for t in range(texts):
        words = first[t + 1] - first[t]
        begin[t + 1] = begin[t] + (max(1, words - ngram + 1) if words > 0 else 0)
    hashes = np.empty(begin[texts], np.uint32)
    power = np.uint64(1)
    for _ in range(ngram):
        power *= _SHINGLE_BASE
    for t in range(texts):
        if begin[t + 1] > begin[t]:
            words = word_hashes[first[t] : first[t + 1]]
            _roll(words, min(ngram, words.size), power, hashes[begin[t] : begin[t + 1]])
    return hashes, begin


@leaf
def _exact_value(x, a, b):
    """(x * a + b) modulo 2**64, modulo 2**61 - 1."""
    value = x * a + b
    value = (value & MERSENNE) + (value >> np.uint64(61))
    return min(value, value - MERSENNE)


@leaf
def _least_exact(shingles, a, b, mask, least):
    """least[p] = the least of all permuted shingles under permutation p, of which the bits of `mask` count."""
    n, i = shingles.size, 0
    while i + 4 <= n:
        w, x, y, z = shingles[i], shingles[i + 1], shingles[i + 2], shingles[i + 3]
        for p in range(least.size):
            one = min(_exact_value(w, a[p], b[p]) & mask, _exact_value(x, a[p], b[p]) & mask)
            two = min(_exact_value(y, a[p], b[p]) & mask, _exact_value(z, a[p], b[p]) & mask)
            least[p] = min(least[p], min(one, two))
        i += 4
    while i < n:
        w = shingles[i]
        for p in range(least.size):
            least[p] = min(least[p], _exact_value(w, a[p], b[p]) & mask)
        i += 1


@kernel
def exact_minima(shingles, begin, a, b, mask):
    """The least value of every permutation over each text's shingles, uint64 [texts, permutations]; all ones where a
    text has none. `shingles`, `a`, `b` uint64; text t has shingles[begin[t]:begin[t + 1]]."""
    least = np.full((begin.size - 1, a.size), NO_VALUE)
    for t in range(begin.size - 1):
        _least_exact(shingles[begin[t] : begin[t + 1]], a, b, mask, least[t])
    return least


@leaf
def _native_value(x, a, b):
    """x * a + b modulo 2**32."""
    return np.uint32(np.uint32(x * a) + b)


@leaf
def _least_native(shingles, a, b, least):
    """least[p] = the least of all permuted shingles under permutation p."""
    n, i = shingles.size, 0
    while i + 4 <= n:
        w, x, y, z = shingles[i], shingles[i + 1], shingles[i + 2], shingles[i + 3]
        for p in range(least.size):
            one = min(_native_value(w, a[p], b[p]), _native_value(x, a[p], b[p]))
            two = min(_native_value(y, a[p], b[p]), _native_value(z, a[p], b[p]))
            least[p] = min(least[p], min(one, two))
        i += 4
    while i < n:
        w = shingles[i]
        for p in range(least.size):
            least[p] = min(least[p], _native_value(w, a[p], b[p]))
        i += 1


@kernel
def native_minima(shingles, begin, a, b):
    """As exact_minima over 32 bits. Each least value is then mixed by a bijection, so that all bits of a value are
    uniform and its low bit says nothing about other permutations; equal stays equal."""
    least = np.full((begin.size - 1, a.size), np.uint32(0xFFFFFFFF))
    for t in range(begin.size - 1):
        if begin[t + 1] > begin[t]:
            _least_native(shingles[begin[t] : begin[t + 1]], a, b, least[t])
            for p in range(a.size):
                least[t, p] = _mixed32(least[t, p] ^ a[p])
    return least


@inlined
def _fold(key, value):
    """A 64-bit key with one more value taken in."""
    key = (key ^ value) * np.uint64(0xFF51AFD7ED558CCD)
    return key ^ key >> np.uint64(32)


@kernel
def fold_bands(values, bands, rows):
    """One key (uint64 [texts, bands]) for each run of `rows` values; the number of the band is mixed in."""
    keys = np.empty((values.shape[0], bands), np.uint64)
    for t in range(values.shape[0]):
        for band in range(bands):
            key = mixed(np.uint64(band + 1))
            for row in range(band * rows, (band + 1) * rows):
                key = _fold(key, np.uint64(values[t, row]))
            keys[t, band] = mixed(key)
    return keys


@kernel
def low_bits(values, further):
    """128 bits (uint64 [texts, 2]): bit i is the low bit of value i, those of `further` after those of `values`."""
    bits = np.zeros((values.shape[0], 2), np.uint64)
    own = min(values.shape[1], 128)
    for t in range(values.shape[0]):
        for i in range(own):
            bits[t, i >> 6] |= np.uint64(values[t, i] & 1) << np.uint64(i & 63)
        for i in range(own, 128):
            bits[t, i >> 6] |= np.uint64(further[t, i - own] & 1) << np.uint64(i & 63)
    return bits
