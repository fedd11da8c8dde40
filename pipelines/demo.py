"""The embedded crawl: ten languages kept, everything else answered for."""

from curation.dedup.exact import Exact
from curation.extractors.trafilatura import Trafilatura
from curation.filters.fineweb import FineWeb
from curation.filters.language import Language as KeepLanguage
from curation.filters.url import Url
from curation.pipeline import Pipeline
from curation.scorers.language import Language
from curation.sinks.parquet import Parquet
from curation.sources.warc import Warc

KEPT = (
    "eng_Latn", "deu_Latn", "fra_Latn", "spa_Latn", "rus_Cyrl", "cmn_Hani", "jpn_Jpan", "arb_Arab", "hin_Deva", "ell_Grek",
)  # fmt: skip

PIPELINE = Pipeline(
    name="demo",
    description="A small crawl in many languages: URL lists, extraction, language, FineWeb's rules, exact duplicates.",
    source=Warc(crawl="DEMO-2026-01"),
    stages=(
        Url(lists="package:curation/demo/blocklists"),
        Trafilatura(),
        Language(),
        KeepLanguage(keep={code: 0.5 for code in KEPT}),
        FineWeb(),
        Exact(),
    ),
    sink=Parquet(target_mb=64, dropped_text="all"),
)
