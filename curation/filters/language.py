"""Keep the wanted languages, each from its own least score.

Source: ours; the usual thresholds are 0.65 for lid.176 on English (FineWeb, arXiv:2406.17557; DCLM, arXiv:2406.11794)
and the per-language table of FineWeb2 (arXiv:2506.20920) for GlotLID.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from curation.options import refuse
from curation.stage import Filter

_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


@dataclass(frozen=True)
class Language(Filter):
    """Drops documents of other languages, and of wanted ones below their least score.

    `keep`: codes (`eng_Latn`), or code -> least `score_language`, in [0, 1]; a document at the least score is kept,
    one without a score is below any. Scores are compared as float64, so 0.65 stored as float32 (0.64999998) is below
    0.65, as in datatrove. Raises RecipeError on an empty `keep`, a code of another form, or a score outside [0, 1].
    """

    keep: Mapping[str, float] | Sequence[str] = ()

    def __post_init__(self) -> None:
        wanted = 'codes such as ("eng_Latn",) or least scores such as {"eng_Latn": 0.65}'
        if isinstance(self.keep, str) or not self.keep:
            refuse(self, "keep", wanted, repr(self.keep))
        for code, least in self._least().items():
            if not _CODE.fullmatch(code):
                refuse(self, "a code in keep", wanted, repr(code))
            if least is not None and not 0 <= least <= 1:
                refuse(self, f"least score of {code}", "0 <= score <= 1", least)

    def _least(self) -> dict[str, float | None]:
        if isinstance(self.keep, Mapping):
            return {str(code): float(least) for code, least in self.keep.items()}
        return {str(code): None for code in self.keep}

    @property
    def reads(self) -> tuple[str, ...]:
        return ("language", "score_language")

    @property
    def drops(self) -> tuple[str, ...]:
        return ("language_not_kept", "low_confidence", "no_language")

    def decide(self, stats: pl.DataFrame) -> pl.DataFrame:
        """Reasons: `no_language` (null language), `language_not_kept`, `low_confidence`."""
        least = self._least()
        language, score = pl.col("language"), pl.col("score_language").cast(pl.Float64)
        bound = language.replace_strict(list(least), list(least.values()), default=None, return_dtype=pl.Float64)
        kept = ", ".join(sorted(least)) if len(least) <= 8 else f"the {len(least)} languages kept"
        short, exact = pl.col("score_language").cast(pl.String), score.cast(pl.String)
        # float32's 0.65 is 0.6499999761581421: show it in full where the short form reads like the bound it missed
        shown = pl.when(short == bound.cast(pl.String)).then(exact).otherwise(short).fill_null("unknown")
        unsure = bound.is_not_null() & ~(score.fill_null(-1.0).fill_nan(-1.0) >= bound)
        reason = (
            pl.when(language.is_null()).then(pl.lit("no_language"))
            .when(~language.is_in(list(least))).then(pl.lit("language_not_kept"))
            .when(unsure).then(pl.lit("low_confidence"))
        )  # fmt: skip
        detail = (
            pl.when(language.is_null()).then(pl.lit("language unknown"))
            .when(~language.is_in(list(least))).then(pl.format("language={} not in {}", language, pl.lit(kept)))
            .when(unsure).then(pl.format("score_language={} < {} for {}", shown, bound, language))
        )  # fmt: skip
        return stats.select("doc", reason.alias("drop_reason"), detail.alias("drop_detail"))
