"""What scorers/classify does for cards of encoders: which files they need, and a batch's scores from a server of them all.

Source: ours; serving and models as classifiers/serve.py and classifiers/encoder.py say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from classifiers.card import Card, CardError, find_weights
from classifiers.preprocessing import preprocessing as find_preprocessing
from classifiers.serve import DeviceLost
from curation.errors import ModelError, RecipeError, explain_mismatch
from curation.scorers.model_files import model_ref
from curation.stage import ModelRef, Resources

if TYPE_CHECKING:
    from classifiers.serve import Server

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("", "float32", "bfloat16")
LONG = ("", "head", "head_tail", "mean")

TORCH_GB = 0.8
"""Resident memory of a worker that has loaded torch and transformers and no model."""


def resolved_device(device: str) -> str:
    """`auto` is cuda where torch sees a GPU on the machine that makes the stage, else cpu; the recipe keeps what it became."""
    if device != "auto":
        return device
    try:
        from classifiers.encoder import auto_device
    except CardError:
        return "cpu"
    return auto_device()


def check_encoders(stage: str, cards: Sequence[Card], fields: Mapping[str, object]) -> None:
    """Raise RecipeError for what can never work: another device, precision or policy, cards with one name or of more than one
    pre-processing."""
    names = [card.name for card in cards]
    prepared = {card.preprocessing for card in cards}
    budget, gpus = fields["batch_tokens"], fields["gpus"]
    for name, right, wanted, found in (
        ("device", fields["device"] in DEVICES, ", ".join(DEVICES), fields["device"]),
        ("precision", fields["precision"] in PRECISIONS, "float32, bfloat16 or nothing", fields["precision"]),
        ("long", fields["long"] in LONG, "head, head_tail, mean or nothing", fields["long"]),
        ("batch_tokens", isinstance(budget, int) and budget >= 0, "0 (by device) or more", budget),
        ("gpus", isinstance(gpus, (int, float)) and gpus > 0, "more than 0", gpus),
        ("also", len(set(names)) == len(names), "each card once", ", ".join(names)),
        ("also", len(prepared) == 1, "cards of one pre-processing", ", ".join(sorted(prepared))),
    ):
        if not right:
            raise RecipeError(explain_mismatch(f"{stage}: {name}", wanted=wanted, found=found))


def encoder_refs(cards: Sequence[Card], label: str, weights: str, head: str) -> tuple[ModelRef, ...]:
    """Folders and heads of the cards; `weights` and `head` are the first card's."""
    made = []
    for i, card in enumerate(cards):
        made.append(model_ref(card, label, weights if i == 0 else ""))
        if card.head is not None:
            made.append(model_ref(card, label, head if i == 0 else "", "head"))
    return tuple(made)


def encoder_resources(cards: Sequence[Card], weights: str, device: str, gpus: float) -> Resources:
    """Memory for torch, all weights twice while they are loaded, and a batch; one core, whatever the device."""
    sizes = [find_weights(card, weights if i == 0 else "").size for i, card in enumerate(cards)]
    return Resources(gpus=gpus if device == "cuda" else 0.0, memory_gb=round(TORCH_GB + 2 * sum(sizes) / 2**30 + 0.4, 1))


def open_server(
    stage: str,
    cards: Sequence[Card],
    labels: Sequence[Sequence[str]],
    models: Mapping[str, Path],
    *,
    long: str,
    device: str,
    precision: str,
    budget: int,
) -> Server:
    """Load the encoders. Raises ModelError when the extra is missing, and for weights of another architecture or label."""
    try:
        from classifiers.encoder import CardFiles, open_cards

        given = []
        for card, wanted in zip(cards, labels, strict=True):
            settings = replace(card.encoder, long=long) if card.encoder and long else card.encoder
            head = models.get(f"{card.name}_head")
            given.append(CardFiles(card, models[card.name], head, tuple(wanted), settings))
        chosen = precision or ("bfloat16" if device == "cuda" else "float32")
        return open_cards(given, device=device, precision=chosen, budget=budget)
    except CardError as error:
        raise ModelError(f"{stage}: {error}") from error


class EncoderScores:
    """Maps a batch to `doc` and the score columns. A document the model fails on is raised alone: the engine asks again in
    halves until it is, and what was scored meanwhile is remembered, so that no text is scored twice for it."""

    def __init__(self, server: Server, preprocessing: str, columns: Mapping[str, str]) -> None:
        """`columns`: name of the column -> "<card>/<label>" of the server."""
        self._server = server
        self._prepare = find_preprocessing(preprocessing)
        self._names = list(columns)
        self._places = [server.labels.index(label) for label in columns.values()]
        self._known: dict[str, np.ndarray] = {}
        self._failed: dict[str, Exception] = {}

    def __call__(self, batch: pl.DataFrame) -> pl.DataFrame:
        texts = batch["text"].fill_null("").to_list()
        if self._failed and all(text in self._known for text in texts):
            failed = next((text for text in texts if text in self._failed), None)
            if failed is not None:
                raise self._failed[failed]
            scores = np.array([self._known[text] for text in texts], dtype=np.float32)
        else:
            scores = self._score(texts)
        found = [pl.Series(name, scores[:, i]).fill_nan(None) for i, name in enumerate(self._names)]
        return batch.select("doc").with_columns(found)

    def _score(self, texts: Sequence[str]) -> np.ndarray:
        self._known, self._failed = {}, {}
        try:
            scores, failures = self._server.score_each(["\n".join(self._prepare(text)) if text else "" for text in texts])
        except DeviceLost as error:
            raise ModelError(f"the device answers nothing any more: {error}") from error
        scores = scores[:, self._places]
        if failures:
            self._known = dict(zip(texts, scores, strict=True))
            self._failed = {texts[row]: error for row, error in failures.items()}
            raise failures[min(failures)]
        return scores
