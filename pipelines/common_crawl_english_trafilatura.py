"""common_crawl_english with trafilatura in place of our own extractor: slower, for comparisons with corpora made so."""

from dataclasses import replace

from curation import extractors
from curation.recipe import load_recipe

_OURS = load_recipe("common_crawl_english")

PIPELINE = replace(
    _OURS,
    name="common_crawl_english_trafilatura",
    description=_OURS.description.replace("our own model", "trafilatura"),
    stages=tuple(extractors.Trafilatura() if isinstance(s, extractors.MainContent) else s for s in _OURS.stages),
)
