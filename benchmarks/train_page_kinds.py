"""Train what extractors/main_content does with pages that are no articles.

    python benchmarks/train_page_kinds.py DATA_FOLDER OUT_FOLDER

Trains, with the development pages of WCXB (CC BY 4.0; the folders `dev` and `test` of its repository lie in DATA_FOLDER as
extract-wcxb): the model of blocks for other kinds of pages (main_content_other.npz; articles count a fifth in it, so that one
taken for something else loses little), and the two forests that tell articles from other pages (page_kinds.npz; the gold sets
of articles that may be passed on count half in them). page_kinds.jsonl has for every gold page what models say that have not
seen its site; WCXB's test pages are never trained with. A quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

import lightgbm  # noqa: E402
from gold_sets import GOLD_SETS, MORE_GOLD_SETS, WCXB_SPLITS, GoldPage, wcxb  # noqa: E402

from classifiers.card_text import weights_table, write_card  # noqa: E402
from classifiers.train_extractor import cross_validated, fold_of, train_extractor  # noqa: E402
from curation.extractors.main_content import chosen_text, save_model  # noqa: E402
from curation.extractors.main_content_training import GoldReading, by_sites, gold_reading, mean_of_first  # noqa: E402
from curation.extractors.page_kinds import ARTICLE, UNLIKELY, declares_other, save_kinds, structure_of  # noqa: E402
from curation.text.page_declarations import declarations  # noqa: E402

ARTICLE_WEIGHT = 0.2
GOLD_WEIGHT = 0.5
ARTICLE_SETS = ("scrapinghub", "readability", "trafilatura_eval")
TRAINED = "wcxb_dev"
FOLDS = 5
TREES = 60
FOREST = {
    "objective": "binary", "num_leaves": 8, "learning_rate": 0.08, "min_data_in_leaf": 15, "feature_fraction": 0.3,
    "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 1.0, "use_missing": False, "seed": 0, "deterministic": True,
    "force_row_wise": True, "num_threads": 1, "verbosity": -1,
}  # fmt: skip
LIMITS = (
    "The main contents of its pages were drafted by a language model and reviewed by people.",
    "English; 91 to 162 pages of each kind but articles.",
    "Of products and lists the pages' scripts often hold what the gold has: those texts are not found.",
)


@dataclass(frozen=True)
class KindPage:
    """A page of a set with its numbers: of the structure, and what it declares."""

    source: str
    kind: str
    read: GoldReading
    structure: np.ndarray
    declared: np.ndarray

    @property
    def is_other(self) -> bool:
        return self.kind not in ("", ARTICLE)

    @property
    def weight(self) -> float:
        """In the forests; 0 for pages that are measured with only."""
        return 1.0 if self.source == TRAINED else GOLD_WEIGHT if self.source in ARTICLE_SETS else 0.0


def gold_pages(data: Path) -> Iterator[tuple[str, GoldPage]]:
    """Every page of every set, with the set's name."""
    for split in WCXB_SPLITS:
        yield from ((f"wcxb_{split}", page) for page in wcxb(data, split))
    for source, load in {**GOLD_SETS, **MORE_GOLD_SETS}.items():
        yield from ((source, page) for page in load(data))


def read(source: str, page: GoldPage) -> KindPage | None:
    """A page with its blocks labelled; None when it has no text."""
    weight = 0.0 if source != TRAINED else ARTICLE_WEIGHT if page.kind == ARTICLE else 1.0
    row = {"html": page.page, "gold": page.gold, "site": page.site, "source": source, "name": page.name, "weight": weight}
    found = gold_reading(row)
    if found is None:
        return None
    return KindPage(source, page.kind, found, structure_of(found.reading), declarations(found.reading.page))


def forest(rows: np.ndarray, pages: Sequence[KindPage], chosen: Sequence[int]) -> lightgbm.Booster:
    """Trained to tell other kinds of pages from articles."""
    labels = np.array([pages[i].is_other for i in chosen], np.float32)
    weights = np.array([pages[i].weight for i in chosen], np.float32)
    return lightgbm.train(FOREST, lightgbm.Dataset(rows[chosen], label=labels, weight=weights), num_boost_round=TREES)


def forests(pages: Sequence[KindPage]) -> tuple[list[lightgbm.Booster], np.ndarray]:
    """The two forests, and their answers (float [n, 2]) for each page by forests that have not seen its site."""
    structure = np.array([page.structure for page in pages])
    tables = [structure, np.hstack([structure, np.array([page.declared for page in pages])])]
    folds = np.array([fold_of(page.read.page.site, FOLDS, 1) for page in pages])
    used = [i for i, page in enumerate(pages) if page.weight > 0]
    answers = np.zeros((len(pages), 2))
    for fold in range(FOLDS):
        known = [i for i in used if folds[i] != fold]
        for column, rows in enumerate(tables):
            answers[folds == fold, column] = forest(rows, pages, known).predict(rows[folds == fold])
    return [forest(rows, pages, used) for rows in tables], answers


def report(pages: Sequence[KindPage], answers: np.ndarray, others: Sequence[np.ndarray], path: Path) -> None:
    """A line for each page."""
    with path.open("w", encoding="utf-8") as stream:
        for page, (structure, both), other in zip(pages, answers, others, strict=True):
            line: dict[str, Any] = {"source": page.source, "name": page.read.name, "site": page.read.page.site}
            line |= {"kind": page.kind, "structure": round(float(structure), 4), "both": round(float(both), 4)}
            line |= {"declares_other": declares_other(page.declared), "answers": [round(float(a), 4) for a in other]}
            stream.write(json.dumps(line) + "\n")


def quality(pages: Sequence[KindPage], others: Sequence[np.ndarray]) -> Iterator[dict[str, Any]]:
    """A row for each kind of page of each split: texts by models that have not seen the page's site, the kind being known."""
    for source, kind in dict.fromkeys((page.source, page.kind) for page in pages if page.kind):
        chosen = [pair for pair in zip(pages, others, strict=True) if (pair[0].source, pair[0].kind) == (source, kind)]
        sites = [page.read.page.site for page, _ in chosen]
        texts = [chosen_text(page.read.reading.without_comments(), answers) for page, answers in chosen]
        values = [page.read.measured(text) for (page, _), text in zip(chosen, texts, strict=True)]
        yield {
            "set": source,
            "page_kind": kind,
            "pages": len(chosen),
            "sites": len(set(sites)),
            "trained_with": sum(page.read.page.weight > 0 for page, _ in chosen),
            "token_f1": by_sites(values, sites, mean_of_first),
        }


def train(data: Path, out: Path, progress: Callable[[str], None]) -> Path:
    """Everything; the card."""
    pages = [found for source, page in gold_pages(data) if (found := read(source, page)) is not None]
    progress(f"{len(pages)} pages")
    out.mkdir(parents=True, exist_ok=True)
    trees, answers = forests(pages)
    kinds = out / "page_kinds.npz"
    save_kinds(kinds, (trees[0].dump_model(), trees[1].dump_model()))
    unsure = np.mean([a > UNLIKELY for a, page in zip(answers[:, 0], pages, strict=True) if page.source in ARTICLE_SETS])
    progress(f"kinds of pages: {unsure:.2f} of the articles are looked at twice")
    blocks = [page.read.page for page in pages]
    used = [page.weight > 0 for page in blocks]
    others = cross_validated(blocks, use=used, progress=progress)
    report(pages, answers, others, out / "page_kinds.jsonl")
    weights = out / "main_content_other.npz"
    save_model(weights, train_extractor([page for page, use in zip(blocks, used, strict=True) if use]).dumps())
    counts = {kind: sum(p.kind == kind for p in pages if p.source == TRAINED) for kind in dict.fromkeys(p.kind for p in pages)}
    entries = {
        "kind": "page_blocks",
        "direction": "probability that a block of a page that is no article is of its main content; higher keeps it",
        "range": [0.0, 1.0],
        "licence": "Apache-2.0",
        "training_data": "WCXB: Web Content Extraction Benchmark 1.0, development pages (Murrough Foley 2026, CC BY 4.0; made "
        "into labels of blocks); page_kinds.npz also with the pages main_content.npz was trained with",
        "training_pages": [f"{kind}: {n}" for kind, n in counts.items() if kind],
        "limits": list(LIMITS),
    }
    card = out / "main_content_other.toml"
    write_card(card, weights, entries, {"quality": list(quality(pages, others))}, more=["", *weights_table("kinds", kinds)])
    return card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    print(train(arguments.data, arguments.out, lambda line: print(line, file=sys.stderr, flush=True)))


if __name__ == "__main__":
    main()
