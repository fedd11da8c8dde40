"""A byte-level BPE tokenizer trained on the corpus itself: the one that is always to be had, without a download.

Source: ours; byte pair encoding after Sennrich et al. (arXiv:1508.07909), over bytes as GPT-2 has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.corpus import Corpus
from curation.sampling import sampled

END = "<|endoftext|>"


def train_tokenizer(corpus: Corpus, out: Path, vocabulary: int = 16_384, most_bytes: int = 10**8) -> int:
    """Train on about `most_bytes` UTF-8 bytes of the corpus, documents chosen by a hash of their number, and write a
    `tokenizer.json`; returns the size of its vocabulary, the end token and all 256 bytes included. Equal corpora give equal
    files.

    Raises MixtureError without text, or for a vocabulary below 257, or without the library.
    """
    if vocabulary < 257:
        raise MixtureError(explain_mismatch("vocabulary", wanted="at least 257: all bytes and the end token", found=vocabulary))
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    except ImportError as error:
        hint = "pip install 'curation[mixture]'"
        found = "not installed"
        raise MixtureError(explain_mismatch("tokenizer", wanted="the library tokenizers", found=found, hint=hint)) from error
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END], initial_alphabet=sorted(alphabet), show_progress=False, max_token_length=64
    )
    tokenizer.train_from_iterator(_texts(corpus, most_bytes), trainer)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(tokenizer.to_str(), encoding="utf-8")
    return int(tokenizer.get_vocab_size())


def _texts(corpus: Corpus, most_bytes: int) -> Iterator[list[str]]:
    total = sum(file.size for file in corpus.files)
    share = min(1.0, most_bytes / max(1, 2 * total))  # text is about twice its compressed size
    read = 0
    for frame in corpus.frames():
        chosen = frame.filter(pl.Series(sampled(frame["doc"].to_numpy(), share))) if share < 1 else frame
        texts = [text for text in chosen["text"] if text]
        read += sum(map(len, texts))
        if texts:
            yield texts
    if not read:
        raise MixtureError(explain_mismatch("tokenizer", wanted="text to train on", found="none"))
