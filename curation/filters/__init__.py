"""Filters mark documents as dropped, each with a reason from a closed list."""

from typing import TYPE_CHECKING

from curation.lazy import exports

if TYPE_CHECKING:
    from curation.filters.fineweb import FineWeb as FineWeb
    from curation.filters.language import Language as Language
    from curation.filters.threshold import Threshold as Threshold
    from curation.filters.url import Url as Url

__getattr__, __dir__ = exports(__name__, {"FineWeb": "fineweb", "Language": "language", "Threshold": "threshold", "Url": "url"})
