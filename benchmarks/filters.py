"""The filters of FineWeb against datatrove's, side by side: python benchmarks/filters.py [DATA_FOLDER] [--only NAME ...]

The same English documents on both sides, one core, CPU time (`time.process_time`) of one process a measurement, median
of interleaved rounds. Every process first handles a few made-up texts, so that libraries are loaded and compiled code
is there, but no dictionary of words: those are learned from the measured documents, on both sides.

- curation: `run_stage`, as the engine calls it, on batches of 1,000 documents. Making the frame from Python strings,
  checking the stage's answer and the words of every drop are included; reading and writing files are not.
- datatrove as shipped: making its Document and calling `filter`, filter after filter until one drops it. Its `run`,
  which also counts and times, is left out in its favour.
- datatrove repaired: the same with the tokenizer's cache in use. As shipped, every text is split within spaCy's
  `memory_zone`, which switches its cache of split words off, and a sentence splitter runs where only words are wanted.
  The repair leaves both out and changes no word; what it costs is that spaCy's vocabulary grows without end.

Writes benchmarks/filters.md unless `--only` is given.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from beside_datatrove import HERE, ONE_CORE, measured_texts, repair_their_tokenizer

BATCH = 1000
SIDES = ("curation", "shipped", "repaired")

STEPS: Mapping[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "Gopher repetition": ("filters/gopher_repetition", {}, "GopherRepetitionFilter", {}),
    "Gopher quality": ("filters/gopher_quality", {}, "GopherQualityFilter", {}),
    "C4 as FineWeb has it": (
        "modifiers/c4",
        {"terminal_punctuation": False},
        "C4QualityFilter",
        {"filter_no_terminal_punct": False},
    ),
    "FineWeb": ("filters/fineweb", {}, "FineWebQualityFilter", {}),
    "C4": ("modifiers/c4", {}, "C4QualityFilter", {}),
}
"""Name -> our stage and its fields, datatrove's block and its options."""

CHAIN = "the chain"
JOBS: Mapping[str, tuple[str, ...]] = {
    **{name: (name,) for name in STEPS},
    CHAIN: ("Gopher repetition", "Gopher quality", "C4 as FineWeb has it", "FineWeb"),
}
"""What is measured -> its steps; the chain is FineWeb's, each step seeing what the one before it kept."""

LENGTHS = ("shortest third", "middle third", "longest third")

WARM_TEXTS = [
    "It was late when the ferry came in, and most of us had gone to bed. Nobody expected any more guests that week! "
    "The landlord, who had seen better years, lit a lamp and went down to the quay with his dog. Two women stood there "
    "beside an enormous trunk. Would he be so kind as to carry it? He looked at them for some time, shook his head, and "
    "then did what they asked of him, though \u201cheavy\u201d is not the word for such a load.",
    "",
    "- x\n- x\n- {",
]
"""Made up; the first passes every rule, so that no step is met cold."""

Judge = Callable[[Sequence[str]], list[str | None]]
"""The reason of every text, None for those kept."""


def our_judge(steps: Sequence[str]) -> Judge:
    import polars as pl

    from curation.recipe import build_stage, find_stage
    from curation.run_stage import StageCount, run_stage

    stages = [build_stage(find_stage(STEPS[name][0]), {**STEPS[name][1], "label": name}) for name in steps]
    applies = [stage.bind({}) for stage in stages]

    def judge(texts: Sequence[str]) -> list[str | None]:
        reasons: list[str | None] = [None] * len(texts)
        for first in range(0, len(texts), BATCH):
            batch = texts[first : first + BATCH]
            rows = pl.DataFrame({"doc": range(first, first + len(batch)), "text": batch}, schema_overrides={"doc": pl.UInt64})
            for stage, apply in zip(stages, applies, strict=True):
                rows, gone = run_stage(stage, apply, rows, StageCount(stage.label))
                for doc, reason in zip(gone["doc"].to_list(), gone["drop_reason"].to_list(), strict=True):
                    reasons[doc] = reason
        return reasons

    return judge


def their_judge(steps: Sequence[str]) -> Judge:
    from datatrove.data import Document
    from datatrove.pipeline import filters
    from datatrove.pipeline.filters.base_filter import get_filter_result

    blocks = [getattr(filters, STEPS[name][2])(**STEPS[name][3]) for name in steps]

    def judge_one(text: str) -> str | None:
        document = Document(text=text, id="")
        for block in blocks:
            kept, reason = get_filter_result(block.filter(document))
            if not kept:
                return reason or "dropped"
        return None

    return lambda texts: [judge_one(text) for text in texts]


def part_of(texts: list[str], part: str) -> list[str]:
    """All texts, or a third of them by length; in their order."""
    if part not in LENGTHS:
        return texts
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    third, which = len(texts) // 3, LENGTHS.index(part)
    chosen = order[third * which : third * (which + 1) if which < 2 else len(texts)]
    return [texts[i] for i in sorted(chosen)]


def run_job(data: Path, side: str, job: str, part: str, count: int) -> None:
    """Measure in this process and print JSON: seconds of both halves, number and code points of texts, kept, digest."""
    texts = part_of(measured_texts(data, count), part)
    if side == "repaired":
        repair_their_tokenizer()
    judge = our_judge(JOBS[job]) if side == "curation" else their_judge(JOBS[job])
    if judge(WARM_TEXTS)[0] is not None:
        raise SystemExit(f"{job}: no text that passes to warm up with")
    middle = len(texts) // 2 // BATCH * BATCH or len(texts) // 2
    seconds, reasons = [], []
    for half in (texts[:middle], texts[middle:]):
        started = time.process_time()
        reasons += judge(half)
        seconds.append(time.process_time() - started)
    kept = "".join("1" if reason is None else "0" for reason in reasons)
    found = {
        "seconds": seconds,
        "sizes": [middle, len(texts) - middle],
        "chars": sum(map(len, texts)),
        "kept": kept.count("1"),
        "digest": hashlib.blake2b(kept.encode(), digest_size=8).hexdigest(),
    }
    print(json.dumps(found))


def measure(arguments: argparse.Namespace, side: str, job: str, part: str) -> dict[str, Any]:
    """One measurement in a process of its own."""
    command = [sys.executable, str(HERE / "filters.py"), str(arguments.data), "--documents", str(arguments.documents)]
    done = subprocess.run(
        [*command, "--job", side, job, part],
        stdout=subprocess.PIPE,
        env={**os.environ, **ONE_CORE},
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def measurements(arguments: argparse.Namespace, plan: Sequence[tuple[str, str]]) -> dict[tuple[str, str, str], list[dict]]:
    """(side, job, part) -> one result a round. Raises SystemExit when the sides keep different documents."""
    found: dict[tuple[str, str, str], list[dict]] = {}
    for turn in range(arguments.rounds):
        for job, part in plan:
            for side in SIDES:
                result = measure(arguments, side, job, part)
                found.setdefault((side, job, part), []).append(result)
                print(f"round {turn + 1}: {job}, {part or 'all'}, {side}: {sum(result['seconds']):.2f} s", file=sys.stderr)
            digests = {found[side, job, part][-1]["digest"] for side in SIDES}
            if len(digests) > 1:
                raise SystemExit(f"{job}: the sides do not keep the same documents")
    return found


def per_document(results: Sequence[dict], half: int | None = None) -> float:
    """Milliseconds a document, median of the rounds: over all, or over one half."""
    halves = (0, 1) if half is None else (half,)
    return statistics.median(
        1000 * sum(r["seconds"][h] for h in halves) / max(1, sum(r["sizes"][h] for h in halves)) for r in results
    )


def table(found: Mapping[tuple[str, str, str], list[dict]], plan: Sequence[tuple[str, str]], half: int | None) -> Iterator[str]:
    yield "| ms a document | documents | size | kept | curation | shipped | repaired | ratio | ratio to repaired |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for job, part in plan:
        ours, shipped, repaired = (per_document(found[side, job, part], half) for side in SIDES)
        first = found["curation", job, part][0]
        size = sum(first["sizes"]) if half is None else first["sizes"][half]
        mean = first["chars"] / max(1, sum(first["sizes"]))
        yield (
            f"| {job}{', ' + part if part else ''} | {size:,} | {mean:,.0f} | {first['kept']:,} | {ours:.3f} | {shipped:.2f} "
            f"| {repaired:.2f} | **{shipped / ours:.1f}** | **{repaired / ours:.1f}** |"
        )


def hostile_table() -> Iterator[str]:
    """Quality on runs of brackets, which spaCy's rules take a time for that grows with the square of the length."""
    yield "| text | curation, s | shipped, s |"
    yield "|---|---|---|"
    ours, theirs = our_judge(["Gopher quality"]), their_judge(["Gopher quality"])
    ours(WARM_TEXTS), theirs(WARM_TEXTS)
    for size in (1000, 2000, 4000, 1_000_000):
        seconds = []
        for judge in (ours, theirs) if size < 10_000 else (ours,):
            started = time.process_time()
            judge(["(" * size])
            seconds.append(f"{time.process_time() - started:.3f}")
        yield f"| {size:,} times `(` | {' | '.join([*seconds, 'not tried'][:2])} |"


def versions() -> str:
    names = ("datatrove", "spacy", "polars", "pyarrow", "numpy", "numba")
    return ", ".join(f"{name} {version(name)}" for name in names)


def report(arguments: argparse.Namespace) -> str:
    jobs = [(job, "") for job in JOBS if not arguments.only or job in arguments.only]
    thirds = [(CHAIN, part) for part in LENGTHS] if not arguments.only or CHAIN in arguments.only else []
    found = measurements(arguments, [*jobs, *thirds])
    lines = [
        "# The filters of FineWeb against datatrove",
        "",
        "Made by benchmarks/filters.py; its docstring says what is measured and how. English documents of books, textbooks, "
        "news, questions and answers, web pages, abstracts and speech. "
        f"{platform.machine()}, Python {platform.python_version()}, {arguments.rounds} interleaved rounds, median, one core. "
        "Absolute times vary between machines; ratios are what counts. All sides keep the same documents.",
        "",
        f"Versions: {versions()}.",
        "",
        "*Shipped*: datatrove as it is. *Repaired*: with spaCy's cache of split words in use and no sentence splitter where "
        "words are wanted.",
        "",
        "## From an empty dictionary",
        "",
        *table(found, jobs, None),
        "",
        "## The second half of the same documents: steady state",
        "",
        *table(found, jobs, 1),
        "",
    ]
    if thirds:
        lines += ["## By length of the documents", "", *table(found, thirds, None), ""]
    if not arguments.only or "Gopher quality" in arguments.only:
        lines += ["## Runs of brackets (Gopher quality)", "", *hostile_table(), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("BENCH_ROUNDS", "3")))
    parser.add_argument("--only", nargs="*", choices=list(JOBS))
    parser.add_argument("--job", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.data is None:
        from conftest import find_data_folder

        arguments.data = find_data_folder() or sys.exit("no data: name the folder")
    if arguments.job:
        run_job(arguments.data, *arguments.job, arguments.documents)
        return
    text = report(arguments)
    print(text)
    if not arguments.only:
        (HERE / "filters.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
