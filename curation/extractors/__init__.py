"""From a page's HTML to its main text: one extractor per file, each run under a guard."""

from typing import TYPE_CHECKING

from curation.lazy import exports

if TYPE_CHECKING:
    from curation.extractors.main_content import MainContent as MainContent
    from curation.extractors.resiliparse import Resiliparse as Resiliparse
    from curation.extractors.trafilatura import Trafilatura as Trafilatura

__getattr__, __dir__ = exports(
    __name__,
    {
        "MainContent": "main_content",
        "Resiliparse": "resiliparse",
        "Trafilatura": "trafilatura",
    },
)
