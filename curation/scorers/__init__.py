"""Scorers add columns and never drop: language, quality, toxicity, perplexity."""

from typing import TYPE_CHECKING

from curation.lazy import exports

if TYPE_CHECKING:
    from curation.scorers.classify import Classify as Classify
    from curation.scorers.language import Language as Language
    from curation.scorers.licence import Licence as Licence
    from curation.scorers.opt_out_signals import OptOutSignals as OptOutSignals
    from curation.scorers.perplexity import Perplexity as Perplexity
    from curation.scorers.token_count import TokenCount as TokenCount

__getattr__, __dir__ = exports(
    __name__,
    {
        "Classify": "classify",
        "Language": "language",
        "Licence": "licence",
        "OptOutSignals": "opt_out_signals",
        "Perplexity": "perplexity",
        "TokenCount": "token_count",
    },
)
