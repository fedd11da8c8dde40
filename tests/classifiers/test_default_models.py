"""The models that come with the package do on real texts what their cards say; the cards say what they do not."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest

from classifiers import metrics
from classifiers.card import Card, load_card, locate
from classifiers.linear_fasttext import LinearFastText
from classifiers.ngram_kenlm import NgramKenlm
from classifiers.train_ngram import shuffle_words

DEFAULTS = ("quality_en", "toxicity_en", "perplexity_en", "harmful_en")


def fasttext(name: str) -> LinearFastText:
    card = load_card(name)
    return LinearFastText.of(card, locate(card.location))


def ngram(name: str, min_tokens: int = 1) -> NgramKenlm:
    card = load_card(name)
    return NgramKenlm.of(card, locate(card.location), min_tokens=min_tokens)


def texts(data: Path, name: str) -> list[str]:
    with gzip.open(data / "text-domains" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
        return [json.loads(line)["text"] for line in stream]


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_default_model_is_small_and_says_its_limits(name: str) -> None:
    card: Card = load_card(name)
    assert card.substitute and len(card.limits) >= 3 and card.quality and card.size < 2_000_000
    assert card.location.startswith("package:classifiers/weights/")


def test_packed_language_models_hold_no_words() -> None:
    for name in ("perplexity_en", "harmful_en"):
        stored = locate(load_card(name).location).read_bytes()
        assert not any(word in stored for word in (b"encyclopedia", b"because", b"through", b"people"))


def test_toxicity_is_as_good_as_its_card_says(data_folder: Path) -> None:
    path = data_folder / "toxicity-wikipedia-jigsaw" / "toxicity_nonfuzzed_testset.csv.gz"
    with gzip.open(path, "rb") as stream:
        rows = list(csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8", newline="")))
    comments = [row["comment"].replace("NEWLINE_TOKEN", "\n").replace("TAB_TOKEN", " ") for row in rows]
    toxic = [row["toxic"] == "True" for row in rows]
    found = metrics.roc_auc(np.nan_to_num(fasttext("toxicity_en").score(comments)[:, 0]), toxic)
    said = next(row for row in load_card("toxicity_en").quality if row["set"].startswith("Wikipedia"))
    assert found == pytest.approx(said["roc_auc"][0], abs=0.002) and found > 0.9


def test_words_in_another_order_are_more_perplexing(data_folder: Path) -> None:
    pages = [text[:4_000] for text in texts(data_folder, "web-openwebtext")[:200]]
    model = ngram("perplexity_en", min_tokens=50)
    clean, shuffled = model.score(pages)[:, 0], model.score([shuffle_words(text, 1) for text in pages])[:, 0]
    known = ~np.isnan(clean)
    assert known.sum() > 150 and np.mean(shuffled[known] > clean[known]) >= 0.99


def test_an_encyclopaedia_is_less_perplexing_than_the_web(data_folder: Path) -> None:
    model = ngram("perplexity_en")
    web, wiki = (model.score([t[:3_000] for t in texts(data_folder, name)])[:, 0]
                 for name in ("web-openwebtext", "wiki-wikitext2-valid"))  # fmt: skip
    assert np.nanmedian(wiki) < np.nanmedian(web)


def test_harmful_text_is_less_perplexing_under_the_model_of_it() -> None:
    model = ngram("harmful_en")
    insult, thanks = model.score(["you are a stupid idiot and i hate you", "the treaty was ratified by the parliament in may"])
    assert insult[0] < thanks[0]
