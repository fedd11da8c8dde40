"""Sources: where documents come from. One file, one public class."""

from typing import TYPE_CHECKING

from curation.lazy import exports

if TYPE_CHECKING:
    from curation.sources.parquet import Parquet as Parquet
    from curation.sources.warc import Warc as Warc

__getattr__, __dir__ = exports(__name__, {"Parquet": "parquet", "Warc": "warc"})
