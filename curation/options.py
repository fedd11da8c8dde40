"""Checks of a stage's options, one message for all, and where the files that an option names lie."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from curation.errors import RecipeError, explain_mismatch
from curation.stage import Stage


def refuse(stage: Stage | str, what: str, wanted: object, found: object, hint: str = "") -> NoReturn:
    """Raise the RecipeError of a bad option of a stage, or of the stage of that name."""
    name = stage if isinstance(stage, str) else stage.name
    raise RecipeError(explain_mismatch(f"{name}: {what}", wanted=wanted, found=found, hint=hint))


def check_flags(stage: Stage, *names: str) -> None:
    """Raise RecipeError unless each of the options is true or false."""
    for name in names:
        if not isinstance(value := getattr(stage, name), bool):
            refuse(stage, name, "true or false", repr(value))


def check_choice(stage: Stage, name: str, choices: Iterable[str]) -> None:
    """Raise RecipeError unless the option is one of the choices."""
    if (value := getattr(stage, name)) not in (known := list(choices)):
        refuse(stage, name, " or ".join(f'"{choice}"' for choice in known), repr(value))


def check_whole(stage: Stage, *names: str, least: int = 0, optional: bool = False) -> None:
    """Raise RecipeError unless each of the options is a whole number of at least `least`, or None where `optional`."""
    for name in names:
        value = getattr(stage, name)
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not whole and not (optional and value is None):
            refuse(stage, name, f"a whole number of at least {least}" + _or_none(optional), repr(value))


def check_number(stage: Stage, *names: str, optional: bool = False) -> None:
    """Raise RecipeError unless each of the options is a finite number, or None where `optional`."""
    for name in names:
        value = getattr(stage, name)
        if not (_is_number(value) and math.isfinite(value)) and not (optional and value is None):
            refuse(stage, name, "a finite number" + _or_none(optional), repr(value))


def check_share(stage: Stage, *names: str, optional: bool = False) -> None:
    """Raise RecipeError unless each of the options is a number from 0 to 1, or None where `optional`."""
    for name in names:
        value = getattr(stage, name)
        if not (_is_number(value) and 0 <= value <= 1) and not (optional and value is None):
            refuse(stage, name, "a share from 0 to 1" + _or_none(optional), repr(value))


def check_texts(stage: Stage, name: str) -> tuple[str, ...]:
    """The option, one text or a list of texts, as a tuple. Raises RecipeError when it is neither."""
    value = getattr(stage, name)
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, (tuple, list)) or not all(isinstance(text, str) for text in texts):
        refuse(stage, name, "a text or a list of texts", repr(value))
    return tuple(texts)


def place_of(stage: Stage | str, option: str, location: str) -> Path:
    """The plain path of an option, or the one that `package:NAME/path` means within an installed package."""
    if not location.startswith("package:"):
        return Path(location).expanduser()
    package, _, inside = location.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        refuse(stage, option, f"package {package}", "not installed")
    return Path(next(iter(spec.submodule_search_locations))) / inside


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _or_none(optional: bool) -> str:
    return ", or None" if optional else ""
