"""Filters mark documents as dropped, each with a reason from a closed list."""

from typing import TYPE_CHECKING

from curation.lazy import exports

if TYPE_CHECKING:
    from curation.filters.bad_words import BadWords as BadWords
    from curation.filters.buckets import Buckets as Buckets
    from curation.filters.c4_paragraph import C4Paragraph as C4Paragraph
    from curation.filters.ccnet_length import CcnetLength as CcnetLength
    from curation.filters.code import Code as Code
    from curation.filters.datatrove import Datatrove as Datatrove
    from curation.filters.domain_cap import DomainCap as DomainCap
    from curation.filters.fineweb import FineWeb as FineWeb
    from curation.filters.gopher_quality import GopherQuality as GopherQuality
    from curation.filters.gopher_repetition import GopherRepetition as GopherRepetition
    from curation.filters.hash_sample import HashSample as HashSample
    from curation.filters.language import Language as Language
    from curation.filters.madlad400 import Madlad400 as Madlad400
    from curation.filters.opt_out import OptOut as OptOut
    from curation.filters.precision import Precision as Precision
    from curation.filters.stop_words import StopWords as StopWords
    from curation.filters.threshold import Threshold as Threshold
    from curation.filters.url import Url as Url

__getattr__, __dir__ = exports(
    __name__,
    {
        "BadWords": "bad_words",
        "Buckets": "buckets",
        "C4Paragraph": "c4_paragraph",
        "CcnetLength": "ccnet_length",
        "Code": "code",
        "Datatrove": "datatrove",
        "DomainCap": "domain_cap",
        "FineWeb": "fineweb",
        "GopherQuality": "gopher_quality",
        "GopherRepetition": "gopher_repetition",
        "HashSample": "hash_sample",
        "Language": "language",
        "Madlad400": "madlad400",
        "OptOut": "opt_out",
        "Precision": "precision",
        "StopWords": "stop_words",
        "Threshold": "threshold",
        "Url": "url",
    },
)
