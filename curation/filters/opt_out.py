"""Drop pages that opted out, by the signals that scorers/opt_out_signals read.

Source: ours; the signals and their sources are those of scorers/opt_out_signals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from curation.filters.rules import decide_by, flag_rule
from curation.options import refuse
from curation.stage import Filter

SIGNALS = ("noai", "noimageai", "noindex", "none", "tdm_reservation")
"""What scorers/opt_out_signals has columns for."""

_PLACES = {1: "in the page", 2: "in an HTTP header", 3: "in the page and an HTTP header"}


@dataclass(frozen=True)
class OptOut(Filter):
    """Drops a document that carries one of `signals`; the reason is the signal, and the detail says where it stood.

    `signals`: any of noai, noimageai, noindex, none, tdm_reservation, in order of precedence. By default the two that
    speak of text: `noai` (no training) and `tdm_reservation` (the reservation of Article 4 of the EU's Directive
    2019/790). `noimageai` speaks of images; `noindex` and `none` speak of search results. Needs the columns of
    scorers/opt_out_signals. Raises RecipeError on other signals, none, or one given twice.
    """

    signals: Sequence[str] = ("noai", "tdm_reservation")

    def __post_init__(self) -> None:
        given = () if isinstance(self.signals, str) else tuple(self.signals)
        if not given or len(set(given)) != len(given) or not set(given) <= set(SIGNALS):
            wanted = f"some of {', '.join(SIGNALS)}, each once"
            refuse(self, "signals", wanted, repr(self.signals))

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(f"stat_opt_out_signals_{signal}" for signal in self.signals)

    @property
    def drops(self) -> tuple[str, ...]:
        return tuple(self.signals)

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        """Details read `noai in the page; tdm_reservation in an HTTP header`."""
        rules = []
        for signal in self.signals:
            where = pl.col(f"stat_opt_out_signals_{signal}")
            place = where.replace_strict(list(_PLACES), list(_PLACES.values()), default="somewhere", return_dtype=pl.String)
            rules.append(flag_rule(signal, where > 0, pl.format("{} {}", pl.lit(signal), place)))
        return decide_by(stats, rules)
