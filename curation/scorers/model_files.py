"""What the stages that score with a card share: the card, its weights as the engine is to verify them, columns' names.

Source: ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from classifiers.card import Card, CardError, bare_card, card_path, environment_variable, find_weights, load_card
from classifiers.preprocessing import PREPROCESSING
from curation.errors import RecipeError, explain_mismatch
from curation.stage import ModelRef

WEIGHTS_SUFFIXES = (".bin", ".ftz", ".arpa")


def is_weights(card: str) -> bool:
    """True when a stage names weights where it could name a card."""
    return card.endswith(WEIGHTS_SUFFIXES) or is_encoder(card)


def is_encoder(card: str) -> bool:
    """True when a stage names an encoder where it could name a card: a folder, or a model of the Hugging Face hub."""
    return card.startswith(("hub:", "download:")) or (Path(card).expanduser() / "config.json").is_file()


def card_of(stage: str, card: str, kinds: str | Sequence[str], preprocessing: str) -> Card:
    """The card a stage names, or what stands for one. Raises RecipeError when there is none, or one of another kind than
    `kinds`, of which weights without a card are the first."""
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if preprocessing and preprocessing not in PREPROCESSING:
        raise RecipeError(explain_mismatch(f"{stage}: preprocessing", wanted=", ".join(PREPROCESSING), found=preprocessing))
    if is_weights(card):
        if is_encoder(card) and "encoder" in kinds:
            return bare_card(card, "encoder", preprocessing or "unchanged")
        if not preprocessing:
            found = "nothing, and weights without a card do not say it"
            raise RecipeError(explain_mismatch(f"{stage}: preprocessing", wanted=", ".join(PREPROCESSING), found=found))
        return bare_card(card, kinds[0], preprocessing)
    if preprocessing:
        found = f"{preprocessing!r} beside the card {card!r}"
        raise RecipeError(explain_mismatch(f"{stage}: preprocessing", wanted="nothing: the card says it", found=found))
    try:
        loaded = load_card(card)
    except CardError as error:
        raise RecipeError(f"{stage}: {error}") from error
    if loaded.kind not in kinds:
        wanted = f"a card of kind {' or '.join(kinds)}"
        raise RecipeError(explain_mismatch(f"{stage}: card {card!r}", wanted=wanted, found=loaded.kind))
    return loaded


def card_files(card: str) -> tuple[Path, ...]:
    """The card's own file: what it says of pre-processing and labels is part of the configuration."""
    return () if is_weights(card) else (card_path(card),)


def model_ref(card: Card, label: str, given: str, part: str = "", language: str = "") -> ModelRef:
    """The weights of a card, or its SentencePiece model (`part` "pieces"), as the engine verifies them before any work."""
    weights = find_weights(card, given, part, language)
    name = "_".join(piece for piece in (card.name, language, part) if piece)
    variable = environment_variable(f"{card.name}_{part}" if part else card.name)
    field = part or "weights"
    hint = f"--set {label or 'LABEL'}.{field}=PATH, or {variable}=PATH in the environment"
    return ModelRef(name, weights.sha256, weights.location, hint)


def column_names(card: Card, labels: Sequence[str]) -> list[str]:
    """One score column a label: `score_<card>` for a single one, else `score_<card>_<label>`, in ASCII letters and digits."""
    names = [f"score_{card.name}" if len(labels) == 1 else f"score_{card.name}_{label}" for label in labels]
    return [re.sub(r"[^0-9A-Za-z_]+", "_", name) for name in names]
