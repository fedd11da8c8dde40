"""Scorers add columns and never drop: language, quality, toxicity, perplexity."""

from typing import TYPE_CHECKING

from curation.lazy import exports

if TYPE_CHECKING:
    from curation.scorers.language import Language as Language

__getattr__, __dir__ = exports(__name__, {"Language": "language"})
