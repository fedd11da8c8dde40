"""DCLM-Baseline (arXiv:2406.11794): the rules of refinedweb_dclm, then the classifier that keeps the best tenth.

The user brings the classifier's weights (the card dclm_fasttext): --set classify.weights=PATH, or the environment variable
CURATION_WEIGHTS_DCLM_FASTTEXT. The threshold kept a tenth of DCLM's own pool; on another it keeps another share. Left out: what
refinedweb_dclm leaves out but this.
"""

from curation import dedup, extractors, filters, modifiers, scorers, sinks, sources
from curation.pipeline import Pipeline

PIPELINE = Pipeline(
    name="dclm_baseline",
    description="Extract with resiliparse, English, Gopher's rules, DCLM's line rules, exact duplicates, "
    "then the fastText classifier of DCLM at its published threshold; its weights are the user's to bring.",
    source=sources.Warc(),
    stages=(
        filters.Url(),
        extractors.Resiliparse(),
        modifiers.Newlines(max_run=2),
        scorers.Language(label="language_id"),
        filters.Language(keep={"eng_Latn": 0.65}),
        filters.GopherQuality(),
        filters.GopherRepetition(),
        modifiers.LineRules(variant="dclm"),
        dedup.Exact(),
        scorers.Classify(card="dclm_fasttext"),
        filters.Threshold(column="score_dclm_fasttext", at_least=0.018112),
    ),
    sink=sinks.Parquet(target_mb=512),
)
