"""Train an n-gram language model from texts, measure it on texts it has not seen, and write its card.

In order: read and split the texts (whole sources and near-duplicate clusters on one side), normalise them as the card will
say, cut them into pieces where asked, leave out repeated lines (they break the discounts), let KenLM's `lmplz` estimate and
`build_binary` pack, score what was held out with the very code that serves, write `<name>.bin` and `<name>.toml`.

The packed model holds hashes of its words, not the words. The same data and settings give the same bytes.

Source: Heafield et al. 2013 (lmplz); CCNet (arXiv:1911.00359) for the normal form and the pieces; shuffled words as a control
after Perplexed by Quality (arXiv:2212.10440).
"""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.card_text import weights_table, write_card
from classifiers.examples import Columns, Examples, TrainingError, read_examples
from classifiers.ngram_kenlm import NgramKenlm
from classifiers.preprocessing import preprocessing as find_preprocessing

MIN_TOKENS = 20
"""Shorter texts are not measured with: their perplexity scatters."""


@dataclass(frozen=True)
class NgramSettings:
    """`order`: words of the longest n-gram; `prune`: n-grams seen so often or less are left out, one number an order (the
    last holds for longer ones; the first must be 0); `bits`: of a stored probability, 2 to 25, 0 for exact; `pieces`: size of
    a SentencePiece vocabulary to train and cut with, 0 for words."""

    order: int = 5
    prune: tuple[int, ...] = (0, 0, 1)
    bits: int = 8
    pieces: int = 0


def train_ngram(
    data: Sequence[Path],
    out: Path,
    name: str,
    *,
    columns: Columns = Columns(),
    settings: NgramSettings = NgramSettings(),
    preprocessing: str = "ccnet_lines",
    test_share: float = 0.1,
    seed: int = 0,
    licence: str = "",
    training_data: str = "",
    direction: str = "",
) -> Path:
    """Train, measure, write the model and its card into the folder `out`; returns the card's path.

    Raises TrainingError when the data or KenLM's programs are not there, or when they fail.
    """
    estimate, pack = _program("lmplz"), _program("build_binary")
    train, test = read_examples(data, columns, test_share=test_share, seed=seed, labelled=False)

    out.mkdir(parents=True, exist_ok=True)
    weights, pieces = out / f"{name}.bin", None
    with tempfile.TemporaryDirectory() as folder:
        text, arpa = Path(folder) / "train.txt", Path(folder) / "model.arpa"
        text.write_text("".join(f"{line}\n" for line in _new_lines(train, preprocessing)), encoding="utf-8")
        if settings.pieces:
            pieces = _train_pieces(text, out / f"{name}.sp.model", settings.pieces)
        prune = ["--prune", *map(str, settings.prune)] if any(settings.prune) else []
        _run([estimate, "-o", str(settings.order), *prune, "--discount_fallback", "-S", "1G", "-T", folder,
              "--text", str(text), "--arpa", str(arpa)])  # fmt: skip
        bits = ["-q", str(settings.bits), "-b", str(settings.bits)] if settings.bits else []
        _run([pack, "-v", "-a", "22", *bits, "-T", folder, "trie", str(arpa), str(weights)])

    entries = {
        "kind": "ngram_kenlm",
        "direction": direction or "perplexity; lower is more like the training text",
        "range": [1.0, 3.5e38],
        "labels": ["perplexity"],
        "preprocessing": preprocessing,
        "licence": licence or "unstated",
        "training_data": training_data or f"{len(train.texts)} texts",
    }
    card = out / f"{name}.toml"
    write_card(card, weights, entries, {"quality": [measure(weights, pieces, test, preprocessing, seed)]})
    if pieces is not None:
        with card.open("a", encoding="utf-8") as stream:
            stream.write("\n".join(["", *weights_table("pieces", pieces), ""]))
    return card


def measure(
    weights: Path, pieces: Path | None, test: Examples, preprocessing: str, seed: int, name: str = "held out"
) -> dict[str, Any]:
    """Perplexity of held-out texts, and the share of them whose words in another order are more perplexing."""
    model = NgramKenlm(weights, preprocessing=preprocessing, pieces=pieces, min_tokens=MIN_TOKENS)
    scores = model.score(test.texts)[:, 0]
    known = np.flatnonzero(~np.isnan(scores))
    if not len(known):
        raise TrainingError(f"texts to measure with\n  wanted: texts of {MIN_TOKENS} tokens or more\n  found:  none")
    shuffled = model.score([shuffle_words(test.texts[i], seed) for i in known])[:, 0]
    low, middle, high = np.quantile(scores[known], [0.05, 0.5, 0.95])
    return {
        "set": name,
        "examples": len(known),
        "groups": len({test.groups[i] for i in known}),
        "perplexity_p5": float(low),
        "perplexity_median": float(middle),
        "perplexity_p95": float(high),
        "shuffled_is_higher": float(np.mean(shuffled > scores[known])),
    }


def shuffle_words(text: str, seed: int) -> str:
    """The words of every line in another order, the same for the same text and seed."""
    generator = random.Random(hashlib.blake2b(f"{seed}\x1f{text}".encode(), digest_size=8).digest())
    lines = [line.split() for line in text.split("\n")]
    return "\n".join(" ".join(generator.sample(words, len(words))) for words in lines)


def _new_lines(examples: Examples, preprocessing: str) -> Iterator[str]:
    """Every line of the pre-processed texts the first time it is met; KenLM's own marks are no words."""
    prepare = find_preprocessing(preprocessing)
    seen: set[bytes] = set()
    for text in examples.texts:
        for line in prepare(text):
            line = " ".join(word for word in line.split() if word not in ("<s>", "</s>", "<unk>"))
            key = hashlib.blake2b(line.encode(), digest_size=12).digest()
            if line and key not in seen:
                seen.add(key)
                yield line


def _train_pieces(text: Path, model: Path, size: int) -> Path:
    """Train a SentencePiece model on the text, and cut the text with it in place."""
    try:
        import sentencepiece
    except ModuleNotFoundError as error:
        hint = "pip install 'curation[pieces]'"
        raise TrainingError(f"pieces\n  wanted: sentencepiece\n  found:  not installed\n  try:    {hint}") from error
    prefix = str(model.with_suffix(""))
    try:
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=prefix, vocab_size=size, num_threads=1, minloglevel=2
        )
    except RuntimeError as error:
        raise TrainingError(f"sentencepiece failed\n  found:  {str(error).splitlines()[0]}") from error
    Path(f"{prefix}.vocab").unlink()
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    lines = text.read_text(encoding="utf-8").split("\n")
    text.write_text("\n".join(" ".join(processor.encode_as_pieces(line)) for line in lines), encoding="utf-8")
    return model


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise TrainingError(f"training n-grams\n  wanted: KenLM's {name} on the PATH\n  found:  none\n  try:    make kenlm")
    return found


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = " / ".join(done.stderr.strip().splitlines()[-3:])
        raise TrainingError(f"{Path(command[0]).name} failed (exit {done.returncode})\n  found:  {said[-500:]}")
