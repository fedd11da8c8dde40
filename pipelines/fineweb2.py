"""FineWeb2 (arXiv:2506.20920): web text in other languages than English, one graph, thresholds by language.

The order is the paper's: duplicates go before the rules, so that the size of a cluster is known when its text is judged.
The table of the package has ten languages; give `by_language` the published folder of configs for all.

Near-duplicates go within each language over all crawls, with words at white space and, where a script has none, letters
(the paper splits words by language). `cluster_size` is there for rehydration: `dedup.Rehydration` with the published weights
behind the rules, and `repeat_by` at the sink. Left out: GlotLID, for whose scores the cuts were made (here they are held
against lid.176's); the precision filter for small languages (`filters.Precision`, which needs its word lists).
"""

from curation import dedup, extractors, filters, modifiers, scorers, sinks, sources
from curation.filters.language_settings import load_settings
from curation.pipeline import Pipeline

TABLE = "fineweb2_card"
SETTINGS = load_settings(TABLE)
CUTS = {code: SETTINGS.value(code, "language_score", 0.3) or 0.0 for code in SETTINGS.languages if code != "eng_Latn"}

PIPELINE = Pipeline(
    name="fineweb2",
    description="Extract with trafilatura, keep the table's languages at their least scores, near-duplicates by language, "
    "Gopher's repetition, FineWeb's and Gopher's quality rules by language, encoding repaired, addresses replaced, "
    "table residue out.",
    source=sources.Warc(),
    stages=(
        filters.Url(),
        extractors.Trafilatura(),
        scorers.Language(label="language_id"),
        filters.Language(keep=CUTS),
        dedup.Exact(scope=("language",)),
        dedup.Minhash(min_jaccard=None, keep=(), scope=("language",), extend=True),
        filters.GopherRepetition(
            dup_para_max=None, dup_para_chars_max=None, dup_line_chars_max=None, by_language=TABLE, tokenizer="language"
        ),
        filters.FineWeb(short_line_max=None, char_dup_max=0.1, by_language=TABLE, tokenizer="language"),
        filters.GopherQuality(by_language=TABLE, tokenizer="language"),
        modifiers.FixEncoding(),
        modifiers.Pii(),
        modifiers.SymbolLines(symbols=("|",), replacement="\n"),
    ),
    sink=sinks.Parquet(target_mb=512),
)
