"""Documents for the benchmarks of encoders: English words drawn by a fixed seed, since only their lengths matter to speed."""

from __future__ import annotations

import random

TEXT = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you "
    "were her all she there would their we him been has when who will more no if out so said what up its about into than them "
    "can only other new some could time these two may then do first any my now such like our over man me even most made after "
    "also did many before must through years where much your way well down should because each just those people mister how "
    "gravity planet river engine history theory energy market language teacher mountain bridge kitchen window garden forest"
)
WORDS = TEXT.split()

LENGTHS = {"short": (5, 40), "mixed": (5, 900), "long": (700, 1500)}
"""Kind -> fewest and most words."""


def documents(kind: str, count: int) -> list[str]:
    """The same texts for the same kind and count."""
    fewest, most = LENGTHS[kind]
    chance = random.Random(7)
    return [" ".join(chance.choices(WORDS, k=chance.randint(fewest, most))) for _ in range(count)]
