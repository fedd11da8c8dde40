"""Where documents go."""

from typing import TYPE_CHECKING

from curation.lazy import exports

if TYPE_CHECKING:
    from curation.sinks.parquet import Parquet as Parquet

__getattr__, __dir__ = exports(__name__, {"Parquet": "parquet"})
