"""The embedded crawl: ten languages kept, everything else answered for."""

from curation import dedup, extractors, filters, scorers, sinks, sources
from curation.pipeline import Pipeline

KEPT = ("arb_Arab", "cmn_Hani", "deu_Latn", "ell_Grek", "eng_Latn", "fra_Latn", "hin_Deva", "jpn_Jpan", "rus_Cyrl", "spa_Latn")

PIPELINE = Pipeline(
    name="demo",
    description="A small crawl in many languages: URL lists, extraction, language, FineWeb's rules, exact duplicates.",
    source=sources.Warc(crawl="DEMO-2026-01"),
    stages=(
        filters.Url(lists="package:curation/demo/blocklists"),
        extractors.MainContent(),
        scorers.Language(label="language_id"),
        filters.Language(keep=dict.fromkeys(KEPT, 0.5)),
        filters.FineWeb(tokenizer="characters"),
        dedup.Exact(),
    ),
    sink=sinks.Parquet(target_mb=64, dropped_text="all"),
)
