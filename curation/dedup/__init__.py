"""Deduplication: stages that compare every document with every other."""

from typing import TYPE_CHECKING

from curation.lazy import exports

if TYPE_CHECKING:
    from curation.dedup.exact import Exact as Exact

__getattr__, __dir__ = exports(__name__, {"Exact": "exact"})
