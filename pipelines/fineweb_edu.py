"""FineWeb-Edu (arXiv:2406.17557): the pages of FineWeb whose educational value a classifier rates 3 or more of 5.

The user brings the classifier, the folder of HuggingFaceFW/fineweb-edu-classifier (extra `neural`): --set
classify.weights=FOLDER, or the environment variable CURATION_WEIGHTS_FINEWEB_EDU; --set classify.device=cuda serves it on a
GPU. Published is a cut on the score rounded half to even: a raw score above 2.5 stays, which in float32 is one of 2.5000002
and more. It kept 8 % of FineWeb; --set threshold.at_least=1.5 is FineWeb-Edu-score-2. A model of one's own for this place:
docs/annotation.md. Differs from what was published as the recipe fineweb does.
"""

from curation import dedup, extractors, filters, modifiers, scorers, sinks, sources
from curation.pipeline import Pipeline

PIPELINE = Pipeline(
    name="fineweb_edu",
    description="FineWeb's stages, then FineWeb-Edu's classifier of educational value, kept at 3 and more; its weights are "
    "the user's to bring.",
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
        scorers.Classify(card="fineweb_edu"),
        filters.Threshold(column="score_fineweb_edu", at_least=2.5000002),
    ),
    sink=sinks.Parquet(target_mb=512),
)
