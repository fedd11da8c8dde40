"""English web text from Common Crawl archives: FineWeb's rules (arXiv:2406.17557) with today's table of stop characters, on
the text of our own extractor. `common_crawl_english_trafilatura` is the same with FineWeb's extractor."""

from curation import dedup, extractors, filters, modifiers, scorers, sinks, sources
from curation.pipeline import Pipeline

PIPELINE = Pipeline(
    name="common_crawl_english",
    description="Extract with our own model, keep English at 0.65 and more, Gopher's, C4's and FineWeb's rules, "
    "exact and near-duplicates; score quality, toxicity and perplexity of what is kept.",
    source=sources.Warc(),
    stages=(
        filters.Url(),
        extractors.MainContent(),
        scorers.Language(label="language_id"),
        filters.Language(keep={"eng_Latn": 0.65}),
        filters.GopherRepetition(),
        filters.GopherQuality(),
        modifiers.C4(terminal_punctuation=False),
        filters.FineWeb(),
        dedup.Exact(),
        dedup.Minhash(extend=True),
        scorers.Classify(card="quality_en", label="quality"),
        scorers.Classify(card="toxicity_en", label="toxicity"),
        scorers.Perplexity(card="perplexity_en"),
    ),
    sink=sinks.Parquet(target_mb=512),
)
