"""FineWeb (arXiv:2406.17557): English web text from Common Crawl, every rule in the paper's order.

Near-duplicates go within each crawl, by the reference's signatures (sha1, 14 bands of 8) and its belief in every bucket;
`min_jaccard=0.55` would hold each document against the one that stays. Exact duplicates go first, which changes nothing
but the cost. Left out: the URL lists that datatrove brings along (give `filters.Url` a folder of lists). The published
FineWeb was made with the stop characters of version 1 and with NLTK's words; words here are those of today's reference.
"""

from curation import dedup, extractors, filters, modifiers, scorers, sinks, sources
from curation.pipeline import Pipeline

PIPELINE = Pipeline(
    name="fineweb",
    description="Extract with trafilatura, keep English at 0.65 and more, Gopher's repetition and quality rules, C4's "
    "rules without the one on line ends, FineWeb's own rules, near-duplicates within a crawl, addresses of people "
    "and machines replaced.",
    source=sources.Warc(),
    stages=(
        filters.Url(),
        extractors.Trafilatura(),
        scorers.Language(label="language_id"),
        filters.Language(keep={"eng_Latn": 0.65}),
        filters.GopherRepetition(),
        filters.GopherQuality(),
        modifiers.C4(terminal_punctuation=False),
        filters.FineWeb(stop_chars="fineweb_v1"),
        dedup.Exact(scope=("source",)),
        dedup.Minhash(mode="datatrove", hash="sha1_64", min_jaccard=None, keep=(), scope=("source",), extend=True),
        modifiers.Pii(),
    ),
    sink=sinks.Parquet(target_mb=512),
)
