"""extractors/main_content beside trafilatura and resiliparse: quality, cost, keep decisions, structure, worst pages.

    python benchmarks/main_content.py DATA_FOLDER MODEL_FOLDER [--only PART ...]

MODEL_FOLDER is where benchmarks/train_main_content.py and train_page_kinds.py wrote: main_content_pages.jsonl and
page_kinds.jsonl hold, for every gold page, the answers of models that have not seen the page's site. Texts of the libraries
are kept there too, so that a second run is quick.
Writes benchmarks/main_content.md unless `--only` is given. Quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import platform
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests"), str(HERE)]

import main_content_pages as made  # noqa: E402
from gold_sets import GOLD_SETS, MORE_GOLD_SETS, GoldPage, directly_resiliparse, directly_trafilatura  # noqa: E402

from classifiers.metrics import Interval  # noqa: E402
from curation.extractors.main_content import BLOCKS, chosen_text, make_page_function, read_page  # noqa: E402
from curation.extractors.main_content_training import mean_of_first, segment_f1, token_f1  # noqa: E402
from curation.sources.charset import to_utf8  # noqa: E402

SETS = {**GOLD_SETS, **MORE_GOLD_SETS}
TIMED = ("scrapinghub", "readability", "cleaneval")
ROUNDS, COUNTED = 7, 2000
LIBRARIES = ("trafilatura", "resiliparse", "lxml", "lightgbm", "numba", "polars")
OPTIONS = {"threshold": 0.5, "comments": False, "headline": True, "markdown": False, "tables": "data", "model": ""}
ROWS = "main_content, tables as rows"
WITH_LINES = ("scrapinghub", "cleaneval", "cleaneval_dev", "cleanportaleval")
"""Sets whose gold texts have the lines of their pages, so that filters can be asked about them."""
Lines = Iterator[str]


def fast_trafilatura(page: str) -> str | None:
    """The library without its comparison with two others."""
    import trafilatura

    return trafilatura.extract(page, fast=True, include_comments=False)


PEERS: Mapping[str, Callable[[str], str | None]] = {
    "trafilatura fast": fast_trafilatura,
    "trafilatura": directly_trafilatura,
    "resiliparse": directly_resiliparse,
}


class Gold:
    """All gold pages with the texts of every side: ours by models that have not seen the site."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.pages: dict[str, list[GoldPage]] = {name: list(load(data)) for name, load in SETS.items()}
        rows, kinds = (made.rows_of(folder / name) for name in ("main_content_pages.jsonl", "page_kinds.jsonl"))
        ours, rows_of_all = {}, {}
        for name, pages in self.pages.items():
            for page in pages:
                reading = read_page(page.page.encode("utf-8", "replace"))
                if reading is not None:
                    article = np.array(rows[name, page.name]["answers"], np.float32)
                    chosen = made.answered(reading, article, kinds[name, page.name])
                    ours[name, page.name] = chosen_text(*chosen)
                    rows_of_all[name, page.name] = chosen_text(*chosen, tables="rows")
        self.languages = {key: row["language"] for key, row in rows.items()}
        self.texts = {"main_content": ours, ROWS: rows_of_all}
        for peer, extract in PEERS.items():
            kept = folder / f"{peer.replace(' ', '_')}.json"
            if not kept.exists():
                texts = [[name, page.name, extract(page.page)] for name, pages in self.pages.items() for page in pages]
                kept.write_text(json.dumps(texts), "utf-8")
            self.texts[peer] = {(name, page): text or "" for name, page, text in json.loads(kept.read_text("utf-8"))}

    def text(self, side: str, source: str, page: GoldPage) -> str:
        return self.texts[side].get((source, page.name), "")

    def values(self, side: str, source: str, page: GoldPage) -> tuple[float, ...]:
        """Token F1, or segments found, missed and strays."""
        text = self.text(side, source, page)
        if not page.wanted and not page.unwanted:
            return (token_f1(text, page.gold),)
        found = sum(segment in text for segment in page.wanted)
        return float(found), float(len(page.wanted) - found), float(sum(segment in text for segment in page.unwanted))


def difference(ours: Sequence[Any], theirs: Sequence[Any], sites: Sequence[str], measure: Callable[..., Any]) -> Interval:
    """Of two sides on the same pages, with its 95 % interval over resamples of whole sites."""
    numbers = {site: i for i, site in enumerate(dict.fromkeys(sites))}
    sums = []
    for side in (ours, theirs):
        table = np.zeros((len(numbers), len(side[0]) + 1))
        np.add.at(table, [numbers[site] for site in sites], np.column_stack([np.asarray(side, float), np.ones(len(side))]))
        sums.append(table)
    picks = np.random.default_rng(0).integers(0, len(numbers), (1000, len(numbers)))
    spread = measure(sums[0][picks].sum(1)) - measure(sums[1][picks].sum(1))
    return Interval(float(measure(sums[0].sum(0)) - measure(sums[1].sum(0))), *map(float, np.quantile(spread, (0.025, 0.975))))


def quality(gold: Gold) -> Lines:
    """F1 of every side by set, then by language."""
    yield "| set | pages | main_content | trafilatura fast | trafilatura | resiliparse | against trafilatura fast |"
    yield "|---|---|---|---|---|---|---|"
    means: dict[str, list[float]] = {side: [] for side in gold.texts}
    for source, pages in gold.pages.items():
        yield _row(gold, f"{source}", source, pages, means)
    sides = [f"{statistics.mean(means[side]):.4f}" for side in ("main_content", *PEERS)]
    gap = statistics.mean(means["main_content"]) - statistics.mean(means["trafilatura fast"])
    yield f"| mean of sets | | {' | '.join(sides)} | {gap:+.4f} |"
    yield ""
    yield "trafilatura_eval by language (lid.176 of the segments), languages of 10 pages and more:"
    yield ""
    yield "| language | pages | main_content | trafilatura fast | trafilatura | resiliparse | against trafilatura fast |"
    yield "|---|---|---|---|---|---|---|"
    source = "trafilatura_eval"
    by_language: dict[str, list[GoldPage]] = {}
    for page in gold.pages[source]:
        by_language.setdefault(gold.languages.get((source, page.name), ""), []).append(page)
    other = [page for language, pages in by_language.items() if language != "en" for page in pages]
    yield _row(gold, "all but English", source, other)
    for language, pages in sorted(by_language.items(), key=lambda item: -len(item[1])):
        if len(pages) >= 10:
            yield _row(gold, language or "unknown", source, pages)


def _row(gold: Gold, name: str, source: str, pages: list[GoldPage], means: dict[str, list[float]] | None = None) -> str:
    measure = segment_f1 if any(page.wanted for page in pages) else mean_of_first
    values = {side: [gold.values(side, source, page) for page in pages] for side in ("main_content", *PEERS)}
    cells = []
    for side, rows in values.items():
        value = float(measure(np.column_stack([np.asarray(rows), np.ones(len(rows))]).sum(0)))
        cells.append(f"{value:.4f}")
        if means is not None:
            means[side].append(value)
    gap = difference(values["main_content"], values["trafilatura fast"], [page.site for page in pages], measure)
    return f"| {name} | {len(pages)} | {' | '.join(cells)} | {gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}] |"


def cost(gold: Gold) -> Lines:
    """CPU milliseconds a page, side after side within each round."""
    raw = [page.page.encode() for name in TIMED for page in gold.pages[name]][:COUNTED]
    extract = make_page_function(**OPTIONS)  # type: ignore[arg-type]

    def ours(page: bytes) -> object:
        return extract(memoryview(page))

    def ours_from_raw(page: bytes) -> object:
        return extract(memoryview(to_utf8(page, None)[0]))  # type: ignore[arg-type]

    sides: dict[str, Callable[[bytes], object]] = {
        "main_content, from UTF-8": ours,
        "main_content, encoding found and decoded": ours_from_raw,
        "resiliparse main content": lambda page: directly_resiliparse(page.decode()),
        "trafilatura fast": lambda page: fast_trafilatura(page.decode()),
    }
    gc.collect()
    gc.freeze()
    times: dict[str, list[float]] = {side: [] for side in sides}
    for round_ in range(ROUNDS):
        for side, work in sides.items():
            if side == "trafilatura fast" and round_ >= 3:
                continue
            started = time.process_time()
            for page in raw:
                work(page)
            times[side].append((time.process_time() - started) / len(raw) * 1e3)
    size = statistics.mean(map(len, raw)) / 1e3
    sets = ", ".join(TIMED)
    yield f"CPU ms a page over {len(raw)} pages ({sets}; mean {size:.0f} kB): lowest and median of rounds, turn by turn."
    yield ""
    yield "| side | lowest | median | trafilatura fast is slower by |"
    yield "|---|---|---|---|"
    slow = min(times["trafilatura fast"])
    for side, found in times.items():
        yield f"| {side} | {min(found):.3f} | {statistics.median(found):.3f} | {slow / min(found):.1f} |"


def decisions(gold: Gold) -> Lines:
    """Whether common_crawl_english keeps a page, by the text of each side."""
    base, late = "trafilatura", ("c4", "fineweb")
    pages = [(source, page) for source, found in gold.pages.items() for page in found]
    gold.texts["gold"] = {(source, page.name): page.gold for source, page in pages}
    found = {side: made.keep_reasons(gold, side) for side in gold.texts}
    sets = np.array([source for source, _ in pages])
    lined = np.isin(sets, WITH_LINES)
    kept = {side: np.array([r is None for r in reasons]) for side, reasons in found.items()}
    early = {side: np.array([r is None or r[0] in late for r in reasons]) for side, reasons in found.items()}
    yield "| side | kept | all filters | up to Gopher | as the gold text is decided |"
    yield "|---|---|---|---|---|"
    for side in (*gold.texts,):
        if side == "gold":
            continue
        same = [kept[side] == kept[base], early[side] == early[base], (kept[side] == kept["gold"])[lined]]
        yield f"| {side} | {kept[side].mean():.3f} | {' | '.join(f'{s.mean():.4f}' for s in same)} |"
    yield ""
    yield "Against trafilatura, all filters, by set; and which text is decided as the gold is:"
    yield ""
    yield f"| set | main_content | {ROWS} | gold: main_content | gold: {ROWS} | gold: trafilatura |"
    yield "|---|---|---|---|---|---|"
    for source in gold.pages:
        of = sets == source
        same = [(kept[side] == kept[base])[of] for side in ("main_content", ROWS)]
        if source in WITH_LINES:
            same += [(kept[side] == kept["gold"])[of] for side in ("main_content", ROWS, base)]
        yield f"| {source} | {' | '.join(f'{s.mean():.4f}' for s in same)} |{' | | |' if source not in WITH_LINES else ''}"
    yield ""
    for side in ("main_content", ROWS):
        pairs = list(zip(found[side], found[base], strict=True))
        theirs = Counter(a[1] for a, b in pairs if b is None and a is not None)
        ours = Counter(b[1] for a, b in pairs if a is None and b is not None)
        yield f"Kept with trafilatura alone, and why not with {side}: {_reasons(theirs)}. The other way: {_reasons(ours)}."
        yield ""
        split = [key for key, (a, b) in zip(pages, pairs, strict=True) if (a is None) != (b is None)]
        kinds = Counter(_disagreement(gold, side, base, source, page) for source, page in split)
        yield f"The {len(split)} pages: {_reasons(kinds)}."
        yield ""


def _disagreement(gold: Gold, side: str, base: str, source: str, page: GoldPage) -> str:
    """How the texts of two sides that are decided differently differ."""
    ours, theirs = gold.text(side, source, page), gold.text(base, source, page)
    barred = sum(len(line) for line in theirs.splitlines() if "|" in line)
    if side != ROWS and 2 * barred > len(theirs) > 0:
        return f"where more than half of {base}'s text is rows between bars"
    if token_f1(ours, theirs) >= 0.9:
        return "the same words (F1 0.9 or more) in other lines"
    if not page.gold:
        return "other words, without a gold text"
    nearer = token_f1(ours, page.gold) > token_f1(theirs, page.gold)
    return f"other words, nearer to the gold with {side if nearer else base}"


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))) or "none"


def structure(data: Path) -> Lines:
    """Shares of formulas that come out as TeX."""
    extract = make_page_function(**OPTIONS)  # type: ignore[arg-type]

    def ours(page: str) -> str:
        return (extract(memoryview(page.encode()))[0] or b"").decode()

    sides = {"main_content": ours, "trafilatura fast": fast_trafilatura, "resiliparse": directly_resiliparse}
    yield "| pages | formulas | main_content | trafilatura fast | resiliparse |"
    yield "|---|---|---|---|---|"
    for name, pages in made.math_pages(data).items():
        cells = []
        for side in sides.values():
            found = [made.survived(side(page) or "", formulas) for page, formulas in pages]
            cells.append(f"{sum(found) / sum(len(formulas) for _, formulas in pages):.4f}")
        yield f"| {name} ({len(pages)}) | {sum(len(f) for _, f in pages)} | {' | '.join(cells)} |"


def worst() -> Lines:
    """CPU milliseconds a megabyte on pages made to be slow."""
    extract = make_page_function(**OPTIONS)  # type: ignore[arg-type]
    yield "| page of 2 MB | ms a MB |"
    yield "|---|---|"
    for name, page in made.slow_pages().items():
        best = min(_seconds(partial(extract, memoryview(page))) for _ in range(3))
        yield f"| {name} | {best * 1e9 / len(page):.1f} |"


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=[], choices=("quality", "cost", "decisions", "structure", "worst"))
    arguments = parser.parse_args()
    logging.disable()
    gold = cache(lambda: Gold(arguments.data, arguments.folder))
    parts: dict[str, Callable[[], Lines]] = {
        "quality": lambda: quality(gold()),
        "cost": lambda: cost(gold()),
        "decisions": lambda: decisions(gold()),
        "structure": lambda: structure(arguments.data),
        "worst": worst,
    }
    if arguments.only:
        for part in arguments.only:
            print(f"## {part}", *parts[part](), sep="\n", flush=True)
        return
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    lines = ["# Main content: our model beside trafilatura and resiliparse", ""]
    lines += [
        f"Written by `benchmarks/main_content.py`. {libraries}; Python {platform.python_version()}, {platform.system()}.",
        "",
    ]
    for part, notes in made.NOTES.items():
        lines += [f"## {part.capitalize()}", "", notes[0].replace("{BLOCKS}", f"{BLOCKS:,}"), "", *parts[part](), ""]
        lines += [line for note in notes[1:] for line in (note, "")]
    (HERE / "main_content.md").write_text("\n".join(lines).rstrip() + "\n", "utf-8")


if __name__ == "__main__":
    main()
