"""What the benchmarks beside datatrove share: the documents, one core, and the repair of its tokenizer."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

ONE_CORE = {
    **dict.fromkeys(
        ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
    ),
    "PYTHONHASHSEED": "0",
}
"""Environment of a process that measures."""


def measured_texts(data: Path, count: int) -> list[str]:
    """`count` English documents in an order that is random and always the same."""
    from reference_corpus import english_documents

    found = english_documents(data)
    found.sort(key=lambda d: hashlib.blake2b(f"{d.group} {d.name}".encode(), digest_size=8).digest())
    return [document.text for document in found[:count]]


def repair_their_tokenizer() -> None:
    """Split words and sentences as datatrove does, without spaCy's memory zone, and words without the sentencizer.

    As shipped, every text is split within spaCy's `memory_zone`, which switches its cache of split words off, and a
    sentence splitter runs where only words are wanted. No word changes; spaCy's vocabulary grows without end.
    """
    from datatrove.utils.word_tokenizers import SpaCyTokenizer, strip_strings
    from spacy.language import Language

    def word_tokenize(self: Any, text: str) -> list[str]:
        self.tokenizer.max_length = len(text) + 10
        return strip_strings([token.text for token in self.tokenizer.make_doc(text)])

    Language.memory_zone = lambda self, mem=None: contextlib.nullcontext(mem)
    SpaCyTokenizer.word_tokenize = word_tokenize
