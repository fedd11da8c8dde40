"""A small corpus of made-up domains, and the settings of proxies that train on it in a second."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import polars as pl

from curation.mixture.proxy_data import Pool
from curation.mixture.proxy_settings import ProxySettings

SMALL = ProxySettings(
    layers=2, heads=2, width=16, ffn=24, vocabulary=300, context=16, batch=4, steps=40, warmup=4, eval_sequences=8, stack=2
)
AS_OPTIONS = [
    f"{name}={getattr(SMALL, name)}"
    for name in (
        "layers",
        "heads",
        "width",
        "ffn",
        "vocabulary",
        "context",
        "batch",
        "steps",
        "warmup",
        "eval_sequences",
        "stack",
    )
]

LETTERS = {"ants": "abcde", "bees": "fghij", "cats": "klmno"}


def write_corpus(folder: Path, documents: int = 60) -> Path:
    """Three domains whose words share no letter, a JSONL file with a column `domain`."""
    dice = random.Random(7)
    rows = []
    for name, letters in LETTERS.items():
        words = ["".join(dice.choices(letters, k=dice.randint(2, 5))) for _ in range(40)]
        rows += [{"text": " ".join(dice.choices(words, k=60)), "domain": name} for _ in range(documents)]
    dice.shuffle(rows)
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_mixtures(path: Path, rows: list[list[float]], **more: list) -> Path:
    columns = {f"weight_{name}": [float(row[j]) for row in rows] for j, name in enumerate(LETTERS)}
    pl.DataFrame({"run": [f"r{i}" for i in range(len(rows))], **columns, **more}).write_csv(path)
    return path


def make_pool(settings: ProxySettings, domains: int = 3, blocks: int = 30) -> Pool:
    """Tokens at random, of each domain from its own part of the vocabulary."""
    dice = np.random.default_rng(3)
    size, part = blocks * settings.context + 1, settings.vocabulary // domains
    tokens = [dice.integers(part, size=size).astype(np.uint16) + np.uint16(part * j) for j in range(domains)]
    held = [dice.integers(part, size=(settings.eval_sequences, settings.context + 1)) + part * j for j in range(domains)]
    return Pool(
        names=tuple("abcdefghijk"[:domains]), tokens=np.concatenate(tokens), starts=np.arange(domains) * size,
        blocks=np.full(domains, blocks), held_out=np.stack(held).astype(np.uint16), bytes_a_token=np.full(domains, 2.0),
        natural=np.full(domains, 1 / domains),
    )  # fmt: skip
