"""Make a stage's models available: find the weights its card names, verify their sha256 once per process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from classifiers.card import CardError, locate, verify
from curation.errors import ModelError, explain_mismatch
from curation.stage import ModelRef


def available_models(refs: Sequence[ModelRef]) -> dict[str, Path]:
    """Model name -> verified path. Raises ModelError when weights are missing or are not those of the card."""
    return {ref.name: _verified(ref) for ref in refs}


@cache
def _verified(ref: ModelRef) -> Path:
    if not ref.location:
        found = "no path, with the stage or in the environment"
        raise ModelError(explain_mismatch(f"model {ref.name!r}", wanted="weights, which you bring", found=found, hint=ref.hint))
    try:
        return verify(locate(ref.location), ref.sha256)
    except CardError as error:
        raise ModelError(f"model {ref.name!r}: {error}") from error
