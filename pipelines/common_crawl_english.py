"""English web text from Common Crawl archives, after FineWeb (arXiv:2406.17557): the rules that are here so far."""

from curation import dedup, extractors, filters, scorers, sinks, sources
from curation.pipeline import Pipeline

PIPELINE = Pipeline(
    name="common_crawl_english",
    description="Extract with trafilatura as FineWeb does, keep English at 0.65 and "
    "more, FineWeb's own rules, exact duplicates by content.",
    source=sources.Warc(),
    stages=(
        filters.Url(),
        extractors.Trafilatura(),
        scorers.Language(label="language_id"),
        filters.Language(keep={"eng_Latn": 0.65}),
        filters.FineWeb(),
        dedup.Exact(),
    ),
    sink=sinks.Parquet(target_mb=512),
)
