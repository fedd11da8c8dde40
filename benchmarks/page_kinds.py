"""extractors/main_content by kind of page, with and without a model for other kinds than articles.

    python benchmarks/page_kinds.py DATA_FOLDER MODEL_FOLDER

MODEL_FOLDER holds main_content_pages.jsonl (benchmarks/train_main_content.py) and page_kinds.jsonl
(benchmarks/train_page_kinds.py): what models that have not seen a page's site say of it. Texts of the libraries are kept
there too. Writes benchmarks/page_kinds.md. Quarter of an hour on one core, most of it for the libraries.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests"), str(HERE)]

from gold_sets import GOLD_SETS, MORE_GOLD_SETS, WCXB_SPLITS, GoldPage, directly_resiliparse, wcxb  # noqa: E402
from main_content import fast_trafilatura  # noqa: E402
from main_content_pages import answered, kind_of, rows_of  # noqa: E402

from curation.extractors.main_content import Reading, chosen_text, load_models, read_page  # noqa: E402
from curation.extractors.main_content_training import mean_of_first, segment_f1, token_f1  # noqa: E402
from curation.extractors.page_kinds import OTHER, UNKNOWN, load_kinds, structure_of  # noqa: E402
from curation.text.page_declarations import declarations  # noqa: E402

KINDS = ("article", "forum", "documentation", "product", "collection", "listing", "service")
PEERS = {"trafilatura fast": fast_trafilatura, "resiliparse": directly_resiliparse}
TIMED = ("scrapinghub", "readability", "cleaneval")
SAME = 0.005
Lines = Iterator[str]


@dataclass(frozen=True)
class Answer:
    """What a page's unseen models say: its kind, what it is `taken` for, and measures of each side's text (token F1, or
    segments found, missed and strays)."""

    source: str
    kind: str
    taken: str
    values: Mapping[str, tuple[float, ...]]


def measured(page: GoldPage, text: str) -> tuple[float, ...]:
    if not page.wanted and not page.unwanted:
        return (token_f1(text, page.gold),)
    found = sum(segment in text for segment in page.wanted)
    return float(found), float(len(page.wanted) - found), float(sum(segment in text for segment in page.unwanted))


def pages_of(data: Path) -> Iterator[tuple[str, GoldPage]]:
    for split in WCXB_SPLITS:
        yield from ((f"wcxb_{split}", page) for page in wcxb(data, split))
    for source, load in {**GOLD_SETS, **MORE_GOLD_SETS}.items():
        yield from ((source, page) for page in load(data))


def answers(data: Path, folder: Path) -> Iterator[Answer]:
    """Every gold page that has text. WCXB's are answered for by the article model as it comes: it never saw them."""
    rows, articles = (rows_of(folder / name) for name in ("page_kinds.jsonl", "main_content_pages.jsonl"))
    article = load_models("article")
    texts = peer_texts(data, folder)
    for source, page in pages_of(data):
        reading = read_page(page.page.encode("utf-8", "replace"))
        if reading is None:
            continue
        row = rows[source, page.name]
        if (source, page.name) in articles:
            first = np.array(articles[source, page.name]["answers"], np.float32)
        else:
            first = article.answered(reading)[1]
        sides = {"articles": chosen_text(reading, first), "articles, comments kept": chosen_text(reading, first, comments=True)}
        sides["other"] = chosen_text(reading.without_comments(), np.array(row["answers"], np.float32))
        sides["kinds"] = chosen_text(*answered(reading, first, row))
        if page.kind:
            sides |= {peer: texts[peer].get(f"{source} {page.name}", "") for peer in PEERS}
        yield Answer(source, page.kind, kind_of(row), {side: measured(page, text) for side, text in sides.items()})


def peer_texts(data: Path, folder: Path) -> dict[str, dict[str, str]]:
    """The libraries' texts of the pages whose kind is known."""
    found = {}
    for peer, extract in PEERS.items():
        kept = folder / f"{peer.replace(' ', '_')}_kinds.json"
        if not kept.exists():
            pages = ((source, page) for source, page in pages_of(data) if page.kind)
            kept.write_text(json.dumps({f"{source} {page.name}": extract(page.page) or "" for source, page in pages}), "utf-8")
        found[peer] = json.loads(kept.read_text("utf-8"))
    return found


def f1(chosen: Sequence[Answer], side: str) -> float:
    values = [answer.values[side] for answer in chosen]
    measure = segment_f1 if len(values[0]) > 1 else mean_of_first
    return float(measure(np.column_stack([np.asarray(values), np.ones(len(values))]).sum(0)))


def own_f1(values: tuple[float, ...]) -> float:
    """Of one page."""
    return values[0] if len(values) == 1 else 2 * values[0] / max(2 * values[0] + values[1] + values[2], 1)


def by_kind(found: Sequence[Answer]) -> Lines:
    sides = ("articles", "articles, comments kept", "kinds", "other", *PEERS)
    for split in WCXB_SPLITS:
        yield f"| WCXB {split} | pages | other | unknown | {' | '.join(sides)} |"
        yield "|---|---|---|---|" + "---|" * len(sides)
        for kind in (*KINDS, ""):
            chosen = [a for a in found if a.source == f"wcxb_{split}" and kind in ("", a.kind)]
            shares = (f"{statistics.mean(a.taken == taken for a in chosen):.2f}" for taken in (OTHER, UNKNOWN))
            cells = (f"{f1(chosen, side):.3f}" for side in sides)
            yield f"| {kind or 'all'} | {' | '.join([str(len(chosen)), *shares, *cells])} |"
        yield ""


def by_set(found: Sequence[Answer]) -> Lines:
    yield "| set | pages | articles | kinds | taken for | of these | articles | kinds | better | same | worse |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for source in (*GOLD_SETS, *MORE_GOLD_SETS, "wcxb_test"):
        chosen = [a for a in found if a.source == source]
        whole = [source, str(len(chosen)), *(f"{f1(chosen, side):.4f}" for side in ("articles", "kinds"))]
        for kind in (OTHER, UNKNOWN):
            taken = [a for a in chosen if a.taken == kind]
            gains = [own_f1(a.values["kinds"]) - own_f1(a.values["articles"]) for a in taken]
            counts = [sum(g > SAME for g in gains), sum(abs(g) <= SAME for g in gains), sum(g < -SAME for g in gains)]
            parts = [f"{f1(taken, side):.4f}" if taken else "" for side in ("articles", "kinds")]
            yield f"| {' | '.join([*whole, kind, str(len(taken)), *parts, *map(str, counts)])} |"
            whole = ["", "", "", ""]


def cost(data: Path) -> Lines:
    """CPU microseconds a page for the decision, and milliseconds for the whole stage, over the sets that are timed."""
    pages = [page.page.encode() for name in TIMED for page in GOLD_SETS[name](data)]
    readings = [reading for page in pages if (reading := read_page(page)) is not None]
    model, models = load_kinds(), {kind: load_models(kind) for kind in ("auto", "article")}

    def whole(kind: str, reading: Reading) -> str:
        return chosen_text(*models[kind].answered(reading))

    works = {
        "numbers of the structure": structure_of,
        "search for declarations": lambda reading: declarations(reading.page),
        "decision": model.kind,
        "answers and text, articles": lambda reading: whole("article", reading),
        "answers and text, kinds": lambda reading: whole("auto", reading),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(5):
        for name, work in works.items():
            started = time.process_time()
            for reading in readings:
                work(reading)
            times[name].append((time.process_time() - started) / len(readings) * 1e6)
    kinds = [model.kind(reading) for reading in readings]
    taken = f"{len(readings)} pages ({', '.join(TIMED)}), of them {kinds.count(OTHER)} taken for other kinds and "
    yield f"{taken}{kinds.count(UNKNOWN)} for unknown ones. The search is made where the structure leaves the kind open."
    yield ""
    yield "| what | CPU µs a page, lowest of five rounds |"
    yield "|---|---|"
    for name, rounds in times.items():
        yield f"| {name} | {min(rounds):.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    logging.disable()
    found = list(answers(arguments.data, arguments.folder))
    libraries = ", ".join(f"{name} {version(name)}" for name in ("trafilatura", "resiliparse", "lightgbm", "numba"))
    lines = [
        "# Kinds of pages",
        "",
        f"Written by `benchmarks/page_kinds.py`. {libraries}; Python {platform.python_version()}, {platform.system()}.",
        "",
        '`articles`: the model of articles answers for every page (`kind="article"`); `other`: the model of other kinds '
        'does; `kinds`: the page\'s own kind decides (`kind="auto"`, the default). All by models that have not seen the '
        "page's site. Token F1, mean over pages; trafilatura_eval: F1 of pooled segments.",
        "",
        "## By kind",
        "",
        "WCXB 1.0 (CC BY 4.0): pages of 2025 with their main content, drafted by a language model and reviewed by people. "
        "Kinds as WCXB names them; a collection is a shop's list of products. `dev` is trained with in folds, `test` never.",
        "",
        *by_kind(found),
        "## The gold sets of articles",
        "",
        f"Pages taken for no article, and how many of them are better and worse for it by more than {SAME} of F1.",
        "",
        *by_set(found),
        "",
        "## Cost",
        "",
        *cost(arguments.data),
    ]
    (HERE / "page_kinds.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
