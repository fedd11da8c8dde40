"""Mixture weights: how much of each domain a training run should read, from run tables to files any trainer takes."""

from typing import TYPE_CHECKING

from curation.lazy import exports

if TYPE_CHECKING:
    from curation.mixture.domains import Domains as Domains
    from curation.mixture.materialise import Materialise as Materialise

__getattr__, __dir__ = exports(__name__, {"Domains": "domains", "Materialise": "materialise"})
