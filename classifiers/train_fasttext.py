"""Train a linear fastText classifier from labelled texts, measure it on texts it has not seen, and write its card.

In order: read and split the examples (whole sources and near-duplicate clusters on one side), pre-process them as the card
will say, train in one thread (the same data, settings and seed give the same bytes), quantise, score what was held out with
the very code that serves, write `<name>.ftz` (or .bin) and `<name>.toml`.

The only importer of `fasttext_new` (the distribution fasttext-new, extra `train`).

Source: Joulin et al., arXiv:1607.01759 (classifier) and arXiv:1612.03651 (quantisation); held-out sources after Perplexed by
Quality (arXiv:2212.10440), whose validation shared domains with its training.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifiers import metrics
from classifiers.card_text import write_card
from classifiers.examples import Columns, Examples, TrainingError, read_examples
from classifiers.linear_fasttext import LinearFastText
from classifiers.preprocessing import preprocessing as find_preprocessing


@dataclass(frozen=True)
class FastTextSettings:
    """`dim`: length of the vectors; `epochs` over the data at a learning rate that falls from `rate`; `word_ngrams`: longest
    word n-gram, hashed into `buckets`; `min_count`: rarer words are left out; `min_chars`, `max_chars`: lengths of character
    n-grams, 0 for none; `quantise`: store the vectors in a fifth of the space; `keep_rows`: then keep only so many words and
    n-grams, 0 for all."""

    dim: int = 16
    epochs: int = 10
    rate: float = 0.3
    word_ngrams: int = 2
    min_count: int = 3
    buckets: int = 50_000
    min_chars: int = 0
    max_chars: int = 0
    quantise: bool = True
    keep_rows: int = 0


def train_fasttext(
    data: Sequence[Path],
    out: Path,
    name: str,
    *,
    positive: str,
    columns: Columns = Columns(),
    settings: FastTextSettings = FastTextSettings(),
    preprocessing: str = "words",
    test_share: float = 0.2,
    seed: int = 0,
    licence: str = "",
    training_data: str = "",
    direction: str = "",
) -> Path:
    """Train, measure, write the model and its card into the folder `out`; returns the card's path.

    `positive` is the label whose probability becomes the score. Raises TrainingError when the data or fasttext-new is not
    there, or the data has fewer than two labels.
    """
    fasttext_new = trainer()
    train, test = read_examples(data, columns, test_share=test_share, seed=seed)
    labels = sorted(train.counts())
    if len(labels) < 2 or positive not in labels:
        found = ", ".join(f"{label} ({count})" for label, count in train.counts().items())
        raise TrainingError(f"the labels to train with\n  wanted: {positive} and at least one other\n  found:  {found}")

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "train.txt"
        text.write_text("".join(_lines(train, preprocessing, seed)), encoding="utf-8")
        model = fasttext_new.train_supervised(
            input=str(text), dim=settings.dim, epoch=settings.epochs, lr=settings.rate, wordNgrams=settings.word_ngrams,
            minCount=settings.min_count, bucket=settings.buckets, minn=settings.min_chars, maxn=settings.max_chars,
            loss="softmax", thread=1, seed=seed, verbose=0,
        )  # fmt: skip
        if settings.quantise:
            model.quantize(input=str(text), qnorm=True, cutoff=settings.keep_rows, retrain=bool(settings.keep_rows), thread=1)
        weights = out / f"{name}.{'ftz' if settings.quantise else 'bin'}"
        model.save_model(str(weights))

    entries = {
        "kind": "linear_fasttext",
        "direction": direction or f"probability of {positive}; higher is more of it",
        "range": [0.0, 1.0001],
        "labels": labels,
        "scored": [positive],
        "preprocessing": preprocessing,
        "licence": licence or "unstated",
        "training_data": training_data or f"{len(train.texts)} texts: {_counts(train)}",
    }
    quality, thresholds = measure(weights, test, positive, preprocessing)
    card = out / f"{name}.toml"
    write_card(card, weights, entries, {"quality": [quality], "thresholds": thresholds})
    return card


def measure(
    weights: Path, test: Examples, positive: str, preprocessing: str, name: str = "held out"
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """How well the stored model tells `positive` from the rest, with intervals over groups, and a table of thresholds."""
    scores = LinearFastText(weights, [positive], preprocessing=preprocessing).score(test.texts)[:, 0]
    known = ~(scores != scores)
    y = [label == positive for label, k in zip(test.labels, known, strict=True) if k]
    groups = [group for group, k in zip(test.groups, known, strict=True) if k]
    scores = scores[known]
    quality = metrics.agreement(name, scores, y, groups)
    return quality, metrics.threshold_table(scores, y)


def trainer() -> Any:
    """The module that trains. Raises TrainingError when it is not installed."""
    try:
        import fasttext_new
    except ModuleNotFoundError as error:
        hint = "pip install 'curation[train]'"
        raise TrainingError(f"training\n  wanted: fasttext-new\n  found:  not installed\n  try:    {hint}") from error
    return fasttext_new


def _lines(examples: Examples, preprocessing: str, seed: int) -> list[str]:
    """fastText's training lines, in the order of a hash: the trainer walks the file from end to end, so labels must mix."""
    prepare = find_preprocessing(preprocessing)
    lines = []
    for text, label in zip(examples.texts, examples.labels, strict=True):
        words = " ".join(prepare(text)).replace("\n", " ").replace("__label__", " ")
        lines.append(f"__label__{label} {words}\n")
    return sorted(lines, key=lambda line: hashlib.blake2b(f"{seed}\x1f{line}".encode(), digest_size=8).digest())


def _counts(examples: Examples) -> str:
    return ", ".join(f"{count} {label}" for label, count in examples.counts().items())
