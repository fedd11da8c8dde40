"""Deduplication: stages that compare every document with every other."""

from typing import TYPE_CHECKING

from curation.lazy import exports

if TYPE_CHECKING:
    from curation.dedup.confirm import Confirm as Confirm
    from curation.dedup.exact import Exact as Exact
    from curation.dedup.lines import Lines as Lines
    from curation.dedup.minhash import Minhash as Minhash
    from curation.dedup.payload import Payload as Payload
    from curation.dedup.rehydration import Rehydration as Rehydration
    from curation.dedup.substring import Substring as Substring
    from curation.dedup.url_key import UrlKey as UrlKey

__getattr__, __dir__ = exports(
    __name__,
    {
        "Confirm": "confirm",
        "Exact": "exact",
        "Lines": "lines",
        "Minhash": "minhash",
        "Payload": "payload",
        "Rehydration": "rehydration",
        "Substring": "substring",
        "UrlKey": "url_key",
    },
)
