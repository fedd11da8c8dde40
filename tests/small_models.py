"""Models of a few words, made in a moment: fastText by its trainer, n-gram models written down as ARPA."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

GOOD = "the theory of gravity explains how planets move around the sun and why the tides rise and fall"
BAD = "click here buy now cheap offer subscribe login cart free shipping deal menu cookies accept share tweet"


def small_fasttext(path: Path, positive: str, negative: str, *, dim: int = 8, bigrams: bool = True) -> Path:
    """A classifier of two labels that tells GOOD's words from BAD's, trained in a fraction of a second."""
    import fasttext_new

    good, bad = GOOD.split(), BAD.split()
    lines = []
    for i in range(120):
        for label, words in ((positive, good), (negative, bad)):
            chosen = [words[(i * 7 + k * 3) % len(words)] for k in range(6 + i % 5)]
            lines.append(f"__label__{label} {' '.join(chosen)}")
    text = path.with_suffix(".txt")
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = {"dim": dim, "epoch": 20, "lr": 0.5, "wordNgrams": 2 if bigrams else 1, "bucket": 1000, "thread": 1, "verbose": 0}
    fasttext_new.train_supervised(input=str(text), **options).save_model(str(path))
    return path


def write_arpa(path: Path, unigrams: Mapping[str, float], bigrams: Mapping[tuple[str, str], float]) -> Path:
    """An n-gram model with these probabilities; </s> and <unk> are among the unigrams. Back-off weights are 1."""
    lines = ["\\data\\", f"ngram 1={len(unigrams) + 1}", f"ngram 2={len(bigrams)}", "", "\\1-grams:", "-99\t<s>\t0"]
    lines += [f"{math.log10(p):.7f}\t{word}\t0" for word, p in unigrams.items()]
    lines += ["", "\\2-grams:", *(f"{math.log10(p):.7f}\t{a} {b}" for (a, b), p in bigrams.items())]
    path.write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8")
    return path


def uniform_arpa(path: Path, words: Sequence[str]) -> Path:
    """Every word, the sentence's end and the unknown word equally likely: perplexity is their number."""
    names = [*words, "</s>", "<unk>"]
    return write_arpa(path, dict.fromkeys(names, 1 / len(names)), {(words[0], words[0]): 1 / len(names)})


def write_card(path: Path, kind: str, weights: Path, **entries: object) -> Path:
    """A card of one's own beside its weights."""
    values = {
        "kind": kind, "direction": "higher is better", "range": [0.0, 1.0001], "labels": ["hq", "cc"], "scored": ["hq"],
        "preprocessing": "one_line", "licence": "CC0-1.0", "training_data": "made up", **entries,
    }  # fmt: skip
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    path.write_text("\n".join([*lines, "[weights]", f"location = {_toml(weights.name)}", ""]), encoding="utf-8")
    return path


def _toml(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(v) for v in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
