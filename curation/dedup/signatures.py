"""MinHash signatures: texts that share shingles (runs of words) get values that agree as often as the shingles do.

    signed = Signer(Family()).sign(frame["text"])
    keys = band_keys(signed, family)     # documents that share a key are candidates
    bits = bit_sketch(signed)            # 16 bytes a document, to verify what the chain of candidates merged

Text -> simplify (lower case, numbers `0`, no punctuation or diacritics) -> words -> runs of `ngram` words -> 64-bit or
32-bit hashes -> under every permutation the least. Two texts agree on a value with probability J, the Jaccard similarity
of their sets of shingles; on all `rows` values of at least one of `bands` bands with 1 - (1 - J**rows)**bands.

`native` and `datatrove` are two families: signatures of one cannot be compared with those of the other. `datatrove` has
the values of datatrove 0.10.1, bit by bit, and their flaws: texts of fewer than `ngram` words have none, so they are
never duplicates. `native` gives such a text one shingle of all its words: it meets those of the same words, no others.
An empty text (no word left after simplification) has no signature in either.

`native` in full, modulo 2**64 unless said otherwise. A word's hash folds its UTF-8 bytes c by h = h * 0x9E3779B97F4A7C15
+ c + 1; a shingle's folds its words by s = s * 0xD1342543DE82EF95 + mix(h) and is the upper half of mix(s), with mix the
finaliser of splitmix64. Permutations are x * a + b modulo 2**32, `a` odd; the least value, combined with `a` by
exclusive or, goes through the 32-bit finaliser of MurmurHash3, which makes its low bit as good as any. Words are those of
text/spaced_words.py unless a tokenizer is named.

Source: Broder, "On the resemblance and containment of documents" (1997); bands after Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3; low bits after Li and König, "b-Bit Minwise Hashing" (WWW 2010); parameters of
the datatrove family as its 0.10.1 `pipeline/dedup/minhash.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from curation.errors import RecipeError, explain_mismatch
from curation.text.buffers import utf8
from curation.text.byte_hashes import SHA1_32, SHA1_64, XXHASH32, XXHASH64
from curation.text.minhash_kernels import (
    MERSENNE,
    NO_VALUE,
    exact_minima,
    exact_shingles,
    fold_bands,
    low_bits,
    native_minima,
    native_shingles,
)
from curation.text.simplify import simplify
from curation.text.spaced_words import NAMES, kinds_of, word_hashes
from curation.text.words import segmenter

MODES = ("native", "datatrove")
HASHES = {"xxhash64": XXHASH64, "sha1_64": SHA1_64, "xxhash32": XXHASH32, "sha1_32": SHA1_32}
NUMBERS = ("zero", "keep")

SKETCH_BITS = 128
"""Bits of a sketch; where bands * rows is less, further permutations make up the difference."""

SLICE_BYTES = 1 << 21
"""Texts are signed in slices of about this many bytes, so that what lies between two passes stays in the cache."""


@dataclass(frozen=True)
class Family:
    """What two signatures must have in common to be comparable: all of it.

    `mode`: "native" (fastest; 32-bit values) or "datatrove" (the reference's values). `hash`, in mode datatrove only:
    "xxhash64" (its default since FineWeb2), "sha1_64" (FineWeb), "xxhash32", "sha1_32"; the last two make 32-bit values.
    `bands` (1 to 1024) times `rows` (1 to 256) values; `ngram` (1 to 255) words a shingle; `seed` (0 to 2**32 - 1) of
    the permutations. `tokenizer`: what splits words, a language such as "eng_Latn" or a name of text/segmenters.py, or,
    in mode native only, "spaced": words end at white space and punctuation, and each letter of a script written without
    spaces (Han, kana, Thai, Lao, Khmer, Myanmar, Yi ...) is a word, whatever the language and the fastest of all; see
    text/spaced_words.py. None: "spaced" in mode native, "eng_Latn" in mode datatrove, which has the reference's values
    where the words are the reference's own. `normalise`: simplify texts first; False leaves them as they are.
    `numbers`: "zero" (every number becomes `0`) or "keep".

    The defaults are FineWeb's and FineWeb2's: 14 bands of 8 rows over 5 words. Raises RecipeError on values out of range
    and on an unknown tokenizer or one whose extra is not installed.
    """

    mode: str = "native"
    hash: str = "xxhash64"
    bands: int = 14
    rows: int = 8
    ngram: int = 5
    seed: int = 1
    tokenizer: str | None = None
    normalise: bool = True
    numbers: str = "zero"

    def __post_init__(self) -> None:
        for field, known in (("mode", MODES), ("hash", tuple(HASHES)), ("numbers", NUMBERS)):
            if getattr(self, field) not in known:
                raise RecipeError(_explain(field, wanted=" or ".join(known), found=repr(getattr(self, field))))
        for field, least, most in (("bands", 1, 1024), ("rows", 1, 256), ("ngram", 1, 255), ("seed", 0, 2**32 - 1)):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise RecipeError(_explain(field, wanted=f"{least} to {most}", found=repr(value)))
        if self.is_native and self.hash != "xxhash64":
            raise RecipeError(_explain("hash", wanted='no other than the default unless mode is "datatrove"', found=self.hash))
        if self.words == "spaced" and not self.is_native:
            raise RecipeError(_explain("tokenizer", wanted='"spaced" in mode native only', found=repr(self.tokenizer)))
        if self.words != "spaced":
            segmenter(self.words)

    @property
    def is_native(self) -> bool:
        return self.mode == "native"

    @property
    def words(self) -> str:
        """What splits words: the tokenizer, or the mode's own."""
        if self.tokenizer is None:
            return "spaced" if self.is_native else "eng_Latn"
        return self.tokenizer

    @property
    def bits(self) -> int:
        """Bits of a value: 32 or 64."""
        return 32 if self.is_native or self.hash.endswith("32") else 64

    @property
    def permutations(self) -> int:
        """Values of a signature."""
        return self.bands * self.rows


def _explain(field: str, *, wanted: str, found: str) -> str:
    return explain_mismatch(f"dedup/minhash: {field}", wanted=wanted, found=found)


class Signed(NamedTuple):
    """Signatures of n texts. `values` uint64 or uint32 [n, bands * rows], a text's bands one after the other;
    `further` of the same type [n, 128 - bands * rows or 0], values only the sketch needs; `shingles` int32 [n], repeats
    counted; `words` int32 [n]. A text of no shingles has no signature: its values are all ones and mean nothing, and
    whoever groups documents leaves it out."""

    values: np.ndarray
    further: np.ndarray
    shingles: np.ndarray
    words: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """Which texts have a signature, bool [n]."""
        return self.shingles > 0


class Signer:
    """Signs texts by a family. Not for use by several threads at once: its segmenter keeps a book of words."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._segmenter = None if family.is_native and family.words in NAMES else segmenter(family.words)
        self._a, self._b = permutation_parameters(family)

    def sign(self, texts: pl.Series) -> Signed:
        """Signatures of the texts, in their order; nulls count as empty. Time and memory linear in the bytes."""
        family = self.family
        parts = [self._sign_slice(part) for part in _slices(texts)]
        all_values, shingles, words = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        values, further = np.split(all_values, [family.permutations], axis=1)
        return Signed(values, further, shingles, words)

    def shingle_hashes(self, texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of all shingles (uint64, native uint32), and where each text's begin (int64 [n + 1])."""
        return self._hash(texts)[:2]

    def _sign_slice(self, texts: pl.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        hashes, begin, first_word = self._hash(texts)
        return minima(hashes, begin, self.family, self._a, self._b), _counts(begin), _counts(first_word)

    def _hash(self, texts: pl.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hashes of all shingles, where each text's begin, and where its words begin."""
        family = self.family
        if self._segmenter is None:
            hashes, first = word_hashes(*self._bytes(texts), kinds_of(family.words))
            return *native_shingles(hashes, first, family.ngram), first
        words = self._segmenter.split_buffer(*self._bytes(texts))
        if family.is_native:
            return *native_shingles(words.hash, words.first, family.ngram), words.first
        kind = HASHES[family.hash]
        return *exact_shingles(words.data, words.first, words.start, words.size, family.ngram, kind), words.first

    def _bytes(self, texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
        """The texts as they are signed: bytes, and where each begins."""
        if not self.family.normalise:
            return utf8(texts)
        simplified = simplify(texts, numbers=self.family.numbers)
        return simplified.data, simplified.start


_signers = threading.local()


def signer_of(family: Family) -> Signer:
    """This thread's signer of a family: it keeps the words it has met from batch to batch."""
    kept = getattr(_signers, "kept", None)
    if kept is None or kept.family != family:
        kept = _signers.kept = Signer(family)
    return kept


def permutation_parameters(family: Family) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers and addends of the family's permutations, those of the sketch alone last.

    Drawn from numpy's RandomState, whose stream never changes. In mode datatrove the first bands * rows are the
    reference's; `further` ones are drawn after, so that they change nothing.
    """
    random = np.random.RandomState(family.seed)
    further = max(0, SKETCH_BITS - family.permutations)
    if family.is_native:
        a = random.randint(0, 1 << 32, size=family.permutations + further, dtype=np.uint32) | np.uint32(1)
        return a, random.randint(0, 1 << 32, size=family.permutations + further, dtype=np.uint32)
    drawn = [
        (random.randint(1, MERSENNE, size=n, dtype=np.uint64), random.randint(0, MERSENNE, size=n, dtype=np.uint64))
        for n in (family.permutations, further)
    ]
    a, b = (np.concatenate(arrays) for arrays in zip(*drawn, strict=True))
    return a, b


def minima(hashes: np.ndarray, begin: np.ndarray, family: Family, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The least value of each permutation over each text's shingle hashes, [texts, len(a)]."""
    if family.is_native:
        return native_minima(hashes, begin, a, b)
    if family.bits == 64:
        return exact_minima(hashes, begin, a, b, NO_VALUE)
    return exact_minima(hashes, begin, a, b, np.uint64(0xFFFFFFFF)).astype(np.uint32)


def _slices(texts: pl.Series) -> Iterator[pl.Series]:
    """The texts in runs of about SLICE_BYTES, at least one run."""
    sizes = texts.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy()
    start = np.concatenate([[0], np.cumsum(sizes)])
    row, rows = 0, len(texts)
    while True:
        stop = max(row + 1, int(np.searchsorted(start, start[row] + SLICE_BYTES, side="right")) - 1) if rows else 0
        yield texts[row:stop]
        row = stop
        if row >= rows:
            return


def _counts(begin: np.ndarray) -> np.ndarray:
    return np.diff(begin).astype(np.int32)


def band_keys(signed: Signed, family: Family) -> np.ndarray:
    """One key for each band, uint64 [n, bands]: documents with the same key agree on all rows of that band.

    The rows are folded into 64 bits one after the other by k = (k ^ value) * odd, k ^= k >> 32, from a start that
    depends on the band's number, so that equal rows in two bands make two keys. All bits are uniform: partition by any.
    Two unequal bands share a key with probability 2**-64, about one false pair among 6 * 10**9 documents' keys of a
    band; what verifies candidates by their sketch drops it. Texts without a signature have keys that mean nothing.
    """
    return fold_bands(signed.values, family.bands, family.rows)


def bit_sketch(signed: Signed) -> np.ndarray:
    """128 bits a text, uint64 [n, 2]: bit i of the pair (from the low end of the first) is the low bit of value i.

    With fewer than 128 values the bits after them come from the permutations of `further`; of more, the first 128 count.
    So the bits of band k are k * rows to (k + 1) * rows - 1, where below 128.
    """
    return low_bits(signed.values, signed.further)


def estimated_jaccard(
    a: np.ndarray, b: np.ndarray, *, family: Family | None = None, ignore_band: np.ndarray | int | None = None
) -> np.ndarray:
    """Similarity of pairs of sketches, float64 [m], from -1 to 1: two texts agree on a bit with probability (1 + J) / 2.

    `a`, `b`: uint64 [m, 2]. `ignore_band`: the band by which a pair met, for all or for each (-1: none), whose bits say
    nothing, being equal by choice; it needs the `family`. Without bias in J; the standard deviation is
    sqrt((1 - J * J) / bits): over 120 bits 0.065 at J = 0.7 and 0.040 at J = 0.9. NaN where no bit is left.
    """
    counted = np.full(a.shape, NO_VALUE)
    if ignore_band is not None:
        if family is None:
            raise ValueError("ignore_band needs the family, whose bands it counts")
        counted = ~_band_masks(family)[np.asarray(ignore_band)] & counted
    bits = np.bitwise_count(counted).sum(axis=-1, dtype=np.int64)
    equal = np.bitwise_count(~(a ^ b) & counted).sum(axis=-1, dtype=np.int64)
    return 2 * equal / bits - 1


def _band_masks(family: Family) -> np.ndarray:
    """Which bits of a sketch belong to each band, uint64 [bands + 1, 2]; the last, which -1 finds, is empty."""
    masks = np.zeros((family.bands + 1, SKETCH_BITS), np.uint8)
    for band in range(family.bands):
        masks[band, band * family.rows : (band + 1) * family.rows] = 1
    return np.packbits(masks, axis=1, bitorder="little").view("<u8").astype(np.uint64)
