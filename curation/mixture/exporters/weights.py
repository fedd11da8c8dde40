"""Weights in the unit a trainer draws by: tokens, or rows; without zeros, rounded, and summing to exactly one.

Source: ours; the rules of the trainers' own checks (Megatron asserts weights above zero, Hugging Face and OLMo-core a sum of
one).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from curation.errors import MixtureError, explain_mismatch

DIGITS = 9
"""Decimals of a written weight."""


def token_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Shares of tokens, rounded to DIGITS decimals, for trainers that draw sequences of one length. Domains of weight 0 are
    left out, and those that round to it; what rounding leaves goes to the largest. Raises MixtureError when nothing is left."""
    whole = math.fsum(weights.values())
    if not (math.isfinite(whole) and whole > 0):
        raise MixtureError(explain_mismatch("weights", wanted="at least one above 0", found=f"a sum of {whole!r}"))
    unit = 10**DIGITS
    units = {name: round(weight / whole * unit) for name, weight in weights.items()}
    units = {name: value for name, value in units.items() if value > 0}
    largest = max(units, key=lambda name: units[name])
    units[largest] += unit - sum(units.values())
    return {name: value / unit for name, value in units.items()}


def row_weights(weights: Mapping[str, float], tokens: Mapping[str, int], rows: Mapping[str, int]) -> dict[str, float]:
    """Probabilities of rows such that tokens come in the shares `weights`: w / L over the sum of all, L = tokens a row.

    A trainer that draws documents by token shares would read long documents too often: the error is the ratio of mean
    lengths.
    """
    lengths = {name: tokens[name] / rows[name] for name, weight in weights.items() if weight > 0}
    return token_weights({name: weights[name] / length for name, length in lengths.items()})


def epochs_of(weights: Mapping[str, float], tokens: Mapping[str, int], budget: int) -> dict[str, float]:
    """How often each domain is read when the trainer draws `budget` tokens."""
    return {name: float(Fraction(weight) * budget / tokens[name]) for name, weight in weights.items()}
