"""Speed of scoring beside the bare libraries' loops: `python benchmarks/scores_speed.py DATA_FOLDER`.

Writes benchmarks/scores_speed.md. Bare: the same pre-processing and one call of the library's own predict or score a text, in
a Python loop, in the same process, on the same texts, taking turns. Scorer: the stage as the engine calls it, from a batch of
documents to its columns. CPU seconds, best of five.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import fasttext
import kenlm
import polars as pl
from score_data import domain, jigsaw, web_pages

from classifiers.card import load_card, locate
from classifiers.preprocessing import preprocessing
from curation.models import available_models
from curation.scorers.classify import Classify
from curation.scorers.perplexity import Perplexity
from curation.stage import Stage

HERE = Path(__file__).parent
ROUNDS = 7
STAGES: dict[str, Stage] = {
    "quality_en": Classify(card="quality_en"),
    "toxicity_en": Classify(card="toxicity_en"),
    "lid176, one label": Classify(card="lid176", labels=("en",)),
    "perplexity_en": Perplexity(card="perplexity_en", min_tokens=1),
    "harmful_en": Perplexity(card="harmful_en", min_tokens=1),
}


def texts(data: Path) -> list[str]:
    """Web pages, encyclopaedia and comments, about 9 MB."""
    pages = [row.text for row in web_pages(data, ("extract-cleaneval-final",), True)]
    return pages + [row.text for row in domain(data, "web-openwebtext")] + [row.text for row in jigsaw(data)[:3000]]


def bare(stage: Stage) -> Callable[[Sequence[str]], list[float]]:
    """The library's own loop over texts."""
    card = load_card(stage.models[0].name)
    prepare, path = preprocessing(card.preprocessing), str(locate(card.location))
    if card.kind == "ngram_kenlm":
        language_model = kenlm.Model(path)

        def perplexities(batch: Sequence[str]) -> list[float]:
            found = []
            for text in batch:
                log, length = 0.0, 0
                for line in prepare(text):
                    log += language_model.score(line)
                    length += len(line.split()) + 1
                found.append(10 ** -(log / length) if length else float("nan"))
            return found

        return perplexities
    model = fasttext.load_model(path)
    return lambda batch: [model.predict(prepare(text)[0], k=-1)[1][0] for text in batch]


def served(stage: Stage) -> Callable[[pl.DataFrame], object]:
    """The stage as a worker holds it."""
    return stage.bind(available_models(stage.models))


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def in_turns(stage: Stage, batch: list[str]) -> tuple[float, float]:
    """(bare, served): best CPU seconds of rounds that take turns."""
    loop, apply = bare(stage), served(stage)
    frame = pl.DataFrame({"doc": range(len(batch)), "text": batch}, schema={"doc": pl.UInt64, "text": pl.String})
    pairs = [(cpu(lambda: loop(batch)), cpu(lambda: apply(frame))) for _ in range(ROUNDS)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def workers_in_turns(name: str, batch: list[str], workers: int) -> tuple[float, float]:
    """(bare, served): documents a CPU second, summed over processes at work at the same time on a share each."""
    shares = [batch[i::workers] for i in range(workers)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_worker, [name] * workers, shares))
    rates = [(len(share) / loop, len(share) / scorer) for share, (loop, scorer) in zip(shares, found, strict=True)]
    return sum(rate[0] for rate in rates), sum(rate[1] for rate in rates)


def _worker(name: str, share: list[str]) -> tuple[float, float]:
    return in_turns(STAGES[name], share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    batch = texts(parser.parse_args().data)
    size = sum(len(text.encode()) for text in batch) / 1e6
    lines = [
        "# Speed of scoring", "",
        f"Written by `python benchmarks/scores_speed.py $CURATION_DATA`: {len(batch):,} documents, {size:.1f} MB, 2 cores.",
        "Bare: the library's own call in a Python loop with the same pre-processing. Served: the stage from batch to columns.",
        "Documents a CPU second, best of seven rounds taken in turns in the same process; two workers: two processes at once,",
        "each with half of the documents, added up.", "",
        "| model | bare, 1 worker | served, 1 | ratio | MB/s | bare, 2 workers | served, 2 | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name in STAGES:
        (bare_1, served_1), (bare_2, served_2) = (workers_in_turns(name, batch, workers) for workers in (1, 2))
        lines.append(
            f"| {name} | {bare_1:,.0f} | {served_1:,.0f} | {served_1 / bare_1:.2f} | {served_1 * size / len(batch):.1f} "
            f"| {bare_2:,.0f} | {served_2:,.0f} | {served_2 / bare_2:.2f} |"
        )
        print(lines[-1])
    (HERE / "scores_speed.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
