"""Methods by name, with settings given as text.

Source: ours.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import yaml

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.problem import Method

METHODS = ("convex", "olmix", "regmix", "mixing_law", "natural", "temperature", "unimax", "doremi", "cpt_ratio")
"""Each is the file and, without underscores and with capitals, the class."""


def method_named(name: str, settings: Sequence[str] = ()) -> Method:
    """The method `name` with `settings` such as `pull=0.1` over its defaults. Raises MixtureError for what it has not."""
    if name not in METHODS:
        raise MixtureError(explain_mismatch("method", wanted=f"one of {', '.join(METHODS)}", found=repr(name)))
    kind = getattr(importlib.import_module(f"curation.mixture.{name}"), "".join(part.capitalize() for part in name.split("_")))
    known = [f.name for f in fields(kind) if f.name != "name" and f.type != "LogLinear"]
    given: dict[str, Any] = {}
    for setting in settings:
        key, found, value = setting.partition("=")
        if not found or key not in known:
            wanted = f"field=value with a field of {name}: {', '.join(known) or 'it has none'}"
            raise MixtureError(explain_mismatch("--set", wanted=wanted, found=repr(setting)))
        given[key] = yaml.safe_load(value)
    try:
        return kind(**given)
    except TypeError as error:
        raise MixtureError(
            explain_mismatch(f"settings of {name}", wanted="numbers where numbers belong", found=given)
        ) from error
