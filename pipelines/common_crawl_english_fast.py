"""English web text from Common Crawl archives by the fast extractor: several times the pages per hour, see benchmarks."""

from curation.dedup.exact import Exact
from curation.extractors.resiliparse import Resiliparse
from curation.filters.fineweb import FineWeb
from curation.filters.language import Language as KeepLanguage
from curation.filters.url import Url
from curation.pipeline import Pipeline
from curation.scorers.language import Language
from curation.sinks.parquet import Parquet
from curation.sources.warc import Warc

PIPELINE = Pipeline(
    name="common_crawl_english_fast",
    description="Extract with resiliparse, keep English at 0.65 and more, FineWeb's own rules, exact "
    "duplicates by content.",
    source=Warc(),
    stages=(
        Url(),
        Resiliparse(),
        Language(),
        KeepLanguage(keep={"eng_Latn": 0.65}),
        FineWeb(),
        Exact(),
    ),
    sink=Parquet(target_mb=512),
)
