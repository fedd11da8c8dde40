"""CCNet (arXiv:1911.00359): languages, perplexity under each language's Wikipedia, and a bucket by percentiles of the run.

The user brings the models, one a language: --set 'perplexity.weights=FOLDER/{language}.arpa.bin' and --set
'perplexity.pieces=FOLDER/{language}.sp.model', or the environment variables CURATION_WEIGHTS_CCNET and
CURATION_WEIGHTS_CCNET_PIECES (extra `pieces`). Where models of few languages are there: --set 'perplexity.languages=[en, de]'.
Differs from cc_net: text is extracted from the pages, not read from WET; exact duplicates of whole documents go, not of
paragraphs; the percentiles are those of the run itself, not of a sample made beforehand. Nothing falls by its bucket;
--set 'buckets.drop=[tail]' drops one.
"""

from curation import dedup, extractors, filters, scorers, sinks, sources
from curation.pipeline import Pipeline

PIPELINE = Pipeline(
    name="ccnet",
    description="Extract with trafilatura, documents of 300 characters or more, exact duplicates, languages at 0.5, CCNet's "
    "perplexity in its 48 languages, head, middle and tail by the percentiles 30 and 60 of each.",
    source=sources.Warc(),
    stages=(
        extractors.Trafilatura(),
        filters.CcnetLength(),
        dedup.Exact(),
        scorers.Language(label="language_id"),
        filters.Threshold(column="score_language", at_least=0.5),
        scorers.Perplexity(
            card="ccnet",
            min_tokens=1,
            languages=(
                "af", "ar", "az", "be", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi",
                "fr", "gu", "he", "hi", "hr", "hu", "hy", "id", "is", "it", "ja", "ka", "kk", "km", "kn", "ko",
                "lt", "lv", "mk", "ml", "mn", "mr", "my", "ne", "nl", "no", "pl", "pt", "ro", "ru", "uk", "zh",
            ),
        ),
        filters.Buckets(),
    ),
    sink=sinks.Parquet(target_mb=512),
)  # fmt: skip
