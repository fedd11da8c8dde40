"""Train the four default models anew: `python benchmarks/train_default_models.py DATA_FOLDER OUT_FOLDER [NAME ...]`.

Needs the extra `train` and KenLM's programs (make kenlm). The same data gives the same bytes. Only weights are kept; no text
of the data is. Text whose licence forbids commercial use (the textbooks, the news) is measured with, never trained with.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from score_data import (
    BOOKS_TEST,
    WEB_TRAIN,
    Text,
    domain,
    halves,
    jigsaw,
    passages,
    sentences,
    tweets,
    unlike,
    web_pages,
    wikipedia_comments,
    write_rows,
)

from classifiers.examples import Columns
from classifiers.train_fasttext import FastTextSettings, train_fasttext
from classifiers.train_ngram import NgramSettings, train_ngram

GROUPED = Columns(group="group")


def quality_rows(data: Path) -> list[Text]:
    """Books and encyclopaedia against web pages, as passages; abstracts of medicine besides, which are neither."""
    books = [row for row in domain(data, "books") if not any(name in row.group for name in BOOKS_TEST)]
    good = passages(books, 12) + passages(domain(data, "wiki-markup"), 40)
    web = passages(web_pages(data, WEB_TRAIN, True), 5) + passages(web_pages(data, WEB_TRAIN, False), 5)
    return [row._replace(label="good") for row in good] + web


def toxicity_rows(data: Path) -> list[Text]:
    """Comments and tweets; passages and sentences of books and encyclopaedia, so that words are not judged by insults alone."""
    comments, held_out = halves(jigsaw(data), 0.2)
    comments = unlike(comments, held_out + wikipedia_comments(data))
    known = domain(data, "wiki-markup") + domain(data, "books")
    plain = passages(known, 8) + sentences(known, 15_000)  # short ones too: a lone sentence is no insult (Dixon et al. 2018)
    return comments + tweets(data) + [row._replace(label="fine") for row in plain]


def train_quality(data: Path, out: Path, work: Path) -> None:
    train_fasttext(
        [write_rows(work / "quality.jsonl", quality_rows(data))], out, "quality_en", positive="good", columns=GROUPED,
        settings=FastTextSettings(dim=8, epochs=5, rate=0.2, min_count=5, buckets=20_000), test_share=0.1,
        licence="CC-BY-SA-3.0", direction="probability of prose as books and an encyclopaedia have it; higher is better",
        training_data="passages of 3 books (CC0) and of English Wikipedia (CC BY-SA 3.0) against passages of 900 web pages",
    )  # fmt: skip


def train_toxicity(data: Path, out: Path, work: Path) -> None:
    train_fasttext(
        [write_rows(work / "toxicity.jsonl", toxicity_rows(data))], out, "toxicity_en", positive="toxic", columns=GROUPED,
        settings=FastTextSettings(dim=8, epochs=5, rate=0.2, buckets=20_000), test_share=0.1,
        licence="CC-BY-SA-3.0", direction="probability of insult, hate or obscenity; higher is worse",
        training_data="Wikipedia talk-page comments (Jigsaw labels CC0, text CC BY-SA 3.0), tweets (MIT), text of Wikipedia "
        "and of books as harmless text",
    )  # fmt: skip


def train_perplexity(data: Path, out: Path, work: Path) -> None:
    train_ngram(
        [write_rows(work / "encyclopaedia.jsonl", domain(data, "wiki-markup"))], out, "perplexity_en", columns=GROUPED,
        preprocessing="word_lines", settings=NgramSettings(order=4, prune=(0, 1, 1)), licence="CC-BY-SA-3.0",
        direction="perplexity under encyclopaedic English; lower is cleaner",
        training_data="106 long articles of English Wikipedia (CC BY-SA 3.0), 2.8 MB of text",
    )  # fmt: skip


def train_harmful(data: Path, out: Path, work: Path) -> None:
    toxic = [row for row in toxicity_rows(data) if row.label == "toxic"]
    train_ngram(
        [write_rows(work / "harmful.jsonl", toxic)], out, "harmful_en", columns=GROUPED,
        preprocessing="word_lines", settings=NgramSettings(order=3, prune=(0, 1, 1)), licence="CC-BY-SA-3.0",
        direction="perplexity under harmful English; lower is more harmful, keep above",
        training_data="the toxic ones of Wikipedia talk-page comments (Jigsaw labels CC0, text CC BY-SA 3.0) and tweets (MIT)",
    )  # fmt: skip


MODELS: dict[str, Callable[[Path, Path, Path], None]] = {
    "quality_en": train_quality,
    "toxicity_en": train_toxicity,
    "perplexity_en": train_perplexity,
    "harmful_en": train_harmful,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", default=list(MODELS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        for name in arguments.names:
            MODELS[name](arguments.data, arguments.out, Path(work))
            sizes = ", ".join(f"{p.name} {p.stat().st_size / 1e6:.2f} MB" for p in sorted(arguments.out.glob(f"{name}.*")))
            print(sizes, file=sys.stderr)


if __name__ == "__main__":
    main()
