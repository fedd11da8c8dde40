"""Checks of options: what each lets pass, and that a refusal names the stage, the option and what was wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import curation
from curation.errors import RecipeError
from curation.options import (
    check_choice,
    check_flags,
    check_number,
    check_share,
    check_texts,
    check_whole,
    place_of,
    refuse,
)
from curation.stage import Stage


@dataclass(frozen=True)
class Holder(Stage):
    """A stage of one option."""

    value: object = None


CHECKS: dict[str, tuple[Callable[[Holder], object], list[object], list[object]]] = {
    "flags": (lambda s: check_flags(s, "value"), [True, False], [0, 1, None, "true"]),
    "choice": (lambda s: check_choice(s, "value", ("", "a")), ["", "a"], ["b", None, ["a"], {}]),
    "whole": (lambda s: check_whole(s, "value", least=2), [2, 10**9], [1, True, 2.0, None, "2", float("nan")]),
    "whole or none": (lambda s: check_whole(s, "value", optional=True), [0, None], [-1, False, 0.0]),
    "number": (lambda s: check_number(s, "value"), [-1, 0, 0.5], [True, None, float("nan"), float("inf"), "1"]),
    "number or none": (lambda s: check_number(s, "value", optional=True), [None, 1], [False, float("-inf")]),
    "share": (lambda s: check_share(s, "value"), [0, 0.5, 1], [True, None, -0.1, 1.1, float("nan"), "0.5"]),
    "share or none": (lambda s: check_share(s, "value", optional=True), [None, 1.0], [2, False]),
    "texts": (lambda s: check_texts(s, "value"), ["a", ["a", "b"], ("a",), []], [None, 1, [1], {"a"}]),
}


@pytest.mark.parametrize("name", CHECKS)
def test_what_passes_and_what_does_not(name: str) -> None:
    check, good, bad = CHECKS[name]
    for value in good:
        check(Holder(value))
    for value in bad:
        with pytest.raises(RecipeError, match=r":Holder: value\n  wanted: .+\n  found:  "):
            check(Holder(value))


def test_one_text_is_a_list_of_one() -> None:
    assert check_texts(Holder("ab"), "value") == ("ab",)


def test_a_refusal_may_name_a_stage_by_its_path() -> None:
    with pytest.raises(RecipeError, match=r"^filters/x: y\n  wanted: a\n  found:  b\n  try:    c$"):
        refuse("filters/x", "y", "a", "b", "c")


def test_places() -> None:
    assert place_of("s", "lists", "a/b") == Path("a/b")
    assert place_of("s", "lists", "~/b") == Path.home() / "b"
    assert place_of("s", "lists", "package:curation/demo") == Path(str(curation.__file__)).parent / "demo"
    with pytest.raises(RecipeError, match=r"s: lists\n  wanted: package no_such_package\n  found:  not installed"):
        place_of("s", "lists", "package:no_such_package/x")
