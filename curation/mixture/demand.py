"""How many tokens each domain is to give for a budget, within what it has and how often it may be read.

Source: ours; shares are rounded to whole tokens by the largest remainders (Hamilton).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from curation.errors import MixtureError, RunStopped, explain_mismatch


class Demand(NamedTuple):
    """What a domain is to give: `asked` tokens by its weight; `copies` times all it has and `rest` tokens more."""

    weight: float
    asked: int
    copies: int
    rest: int


def apportion(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers in the proportions of the weights that sum to `total`, each less than one from its exact share."""
    whole = sum(Fraction(weight) for weight in weights.values())
    exact = {name: total * Fraction(weight) / whole for name, weight in weights.items()}
    found = {name: math.floor(share) for name, share in exact.items()}
    places = {name: i for i, name in enumerate(weights)}
    left = total - sum(found.values())
    for name in sorted(weights, key=lambda n: (found[n] - exact[n], places[n]))[:left]:
        found[name] += 1
    return found


def demands(
    weights: Mapping[str, float], tokens: Mapping[str, int], budget: int | None, max_epochs: float, when_short: str
) -> dict[str, Demand]:
    """The demand on each domain with a weight. `budget` None: the most that `max_epochs` allows.

    Raises RunStopped when a domain would be read more than `max_epochs` times and `when_short` is "stop"; with "clip" it gives
    what it may, with "shrink" all give less.
    """
    wanted = {name: weight for name, weight in weights.items() if weight > 0}
    cap = Fraction(max_epochs)
    most = {name: math.floor(cap * tokens[name]) for name in wanted}
    largest = min(math.floor(most[name] / Fraction(weight)) for name, weight in wanted.items())
    total = largest if budget is None or (when_short == "shrink" and largest < budget) else budget
    if total < 1:
        short = min(wanted, key=lambda name: most[name] / Fraction(wanted[name]))
        raise MixtureError(explain_mismatch("mixture", wanted="tokens to draw", found=f"{tokens[short]} tokens of {short!r}"))
    asked = apportion(total, wanted)
    short_of = {name: asked[name] for name in wanted if asked[name] > most[name] + 1}
    if short_of and when_short == "stop":
        raise RunStopped(_short(short_of, tokens, total, max_epochs, largest))
    found = {}
    for name, weight in wanted.items():
        given = min(asked[name], most[name])
        copies, rest = divmod(given, tokens[name])
        found[name] = Demand(weight, asked[name], copies, rest)
    return found


def _short(short_of: Mapping[str, int], tokens: Mapping[str, int], total: int, max_epochs: float, largest: int) -> str:
    worst = sorted(short_of, key=lambda name: -short_of[name] / tokens[name])[:5]
    found = "; ".join(f"{n}: {short_of[n]} of {tokens[n]} tokens, {short_of[n] / tokens[n]:.2f} epochs" for n in worst)
    hint = (
        f"tokens={largest} or less, a larger max_epochs, when_short=clip (other shares) or shrink (fewer tokens), or solve the "
        "mixture anew with limits on epochs"
    )
    subject = f"a budget of {total} tokens asks more of {len(short_of)} domains than they have"
    return explain_mismatch(subject, wanted=f"at most {max_epochs:g} epochs of each", found=found, hint=hint)


def share_report(
    asked: Mapping[str, Demand], tokens: Mapping[str, int], settled: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """What was asked for and what is taken, by domain and in all: tokens, shares, rows (repeats included), epochs."""
    drawn = {name: [0, 0, 0] for name in asked}
    for facts in settled:
        for name, *sums in facts.get("drawn", ()):
            drawn[name] = [a + b for a, b in zip(drawn[name], sums, strict=True)]
    total = sum(sums[0] for sums in drawn.values())
    domains = {
        name: {
            "weight": one.weight, "asked": one.asked, "drawn": drawn[name][0],
            "share": drawn[name][0] / total if total else 0.0, "available": tokens[name],
            "epochs": drawn[name][0] / tokens[name], "documents": drawn[name][2], "rows": drawn[name][1],
        }
        for name, one in asked.items()
    }  # fmt: skip
    unnamed = {name: count for name, count in tokens.items() if name not in asked}
    return {"tokens": total, "asked": sum(one.asked for one in asked.values()), "domains": domains, "left_out": unnamed}
