"""English web text from Common Crawl archives, after FineWeb (arXiv:2406.17557): the rules that are here so far."""

from curation.dedup.exact import Exact
from curation.extractors.trafilatura import Trafilatura
from curation.filters.fineweb import FineWeb
from curation.filters.language import Language as KeepLanguage
from curation.filters.url import Url
from curation.pipeline import Pipeline
from curation.scorers.language import Language
from curation.sinks.parquet import Parquet
from curation.sources.warc import Warc

PIPELINE = Pipeline(
    name="common_crawl_english",
    description="Extract with trafilatura as FineWeb does, keep English at 0.65 and more, FineWeb's own rules, exact "
    "duplicates by content.",
    source=Warc(),
    stages=(
        Url(),
        Trafilatura(),
        Language(),
        KeepLanguage(keep={"eng_Latn": 0.65}),
        FineWeb(),
        Exact(),
    ),
    sink=Parquet(target_mb=512),
)
