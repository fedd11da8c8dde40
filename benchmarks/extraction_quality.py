"""Quality and cost of the extractors through their stages, against the bare libraries, as a committed table.

    python benchmarks/extraction_quality.py DATA_FOLDER

writes benchmarks/extraction_quality.md. Takes about five minutes on one core. Linux: reads /proc.
"""

from __future__ import annotations

import gc
import logging
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

from extractor_cases import html_frame, run_pages  # noqa: E402
from gold_sets import DIRECTLY, GOLD_SETS, GoldPage, set_scores  # noqa: E402

from curation.document import content_id  # noqa: E402
from curation.extractors.guarded import Extraction, GuardedExtractor, page_title  # noqa: E402
from curation.extractors.resiliparse import Resiliparse  # noqa: E402
from curation.extractors.trafilatura import Trafilatura  # noqa: E402

STAGES: dict[str, type[GuardedExtractor]] = {"trafilatura": Trafilatura, "resiliparse": Resiliparse}
LIBRARIES = ("trafilatura", "lxml", "justext", "resiliparse", "polars", "pyarrow")
TIMED_SETS = ("scrapinghub", "readability", "cleaneval")
ROUNDS = {"trafilatura": 3, "resiliparse": 9}
BATCH_ROWS = 256


def main() -> None:
    """Measure everything and write the table."""
    logging.disable()  # the bare library would write its warnings to the terminal
    if len(sys.argv) == 4 and sys.argv[2] == "bare":
        print(_measure_bare(Path(sys.argv[1]), sys.argv[3]))
        return
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sets = {name: list(load(Path(sys.argv[1]))) for name, load in GOLD_SETS.items()}
    timed = [page for name in TIMED_SETS for page in sets[name]]
    lines = [*_head(), *_quality_table(sets), "", *_cost_table(timed)]
    (HERE / "extraction_quality.md").write_text("\n".join(lines) + "\n", "utf-8")


def _head() -> list[str]:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return [
        "# Extraction: quality and cost through the stage",
        "",
        "Written by `benchmarks/extraction_quality.py`; floors: `tests/golden/extraction_quality.json`.",
        f"{versions}; Python {platform.python_version()}, {platform.system()}.",
        "",
    ]


def _quality_table(sets: dict[str, list[GoldPage]]) -> list[str]:
    lines = [
        "## Quality",
        "",
        r"Gold texts: precision, recall and F1 of lower-cased `\w+` token bags, means over pages. trafilatura_eval: pooled",
        "counts of segments that must and must not be there (trafilatura is tuned on that set). `same`: pages whose text is",
        "the very one of the library called directly on the decoded page; `bounded`: pages stopped by time or memory.",
        "",
        "| extractor | set | pages | precision | recall | F1 | same | bounded |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for extractor, stage in STAGES.items():
        for name, pages in sets.items():
            rows = run_pages(stage(), [page.page.encode() for page in pages])
            texts = [row.text for row in rows]
            direct = [DIRECTLY[extractor](page.page) for page in pages]
            same = sum(
                ours == (text if text and not text.isspace() else None) for ours, text in zip(texts, direct, strict=True)
            )
            bounded = sum(row.reason not in (None, "empty_text") for row in rows)
            p, r, f = set_scores(pages, texts).values()
            lines.append(f"| {extractor} | {name} | {len(pages)} | {p:.4f} | {r:.4f} | {f:.4f} | {same} | {bounded} |")
    return lines


def _cost_table(pages: Sequence[GoldPage]) -> list[str]:
    size = sum(len(page.page.encode()) for page in pages) / len(pages) / 1000
    lines = [
        "## Cost",
        "",
        f"CPU time per page over {len(pages)} pages ({', '.join(TIMED_SETS)}; mean {size:.0f} kB), lowest of several rounds,",
        "turn by turn. bare: UTF-8 bytes decoded, library called, in a process of its own with its modules frozen (gc).",
        "stage: worker and guarded child together, from the `html` column to text, title and content_id.",
        "ratio: rate of the stage over rate of the bare library.",
        "",
        "| extractor | bare µs | stage µs | of it worker | guard and columns | title | content_id | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for extractor, stage in STAGES.items():
        lines.append(f"| {extractor} | {' | '.join(_cost(extractor, stage(), pages))} |")
    return lines


def _cost(extractor: str, stage: GuardedExtractor, pages: Sequence[GoldPage]) -> Iterator[str]:
    raw = [page.page.encode() for page in pages]
    batches = [html_frame(raw[i : i + BATCH_ROWS]) for i in range(0, len(raw), BATCH_ROWS)]
    apply = stage.bind({})
    assert isinstance(apply, Extraction)
    texts = [text for batch in batches for text in apply(batch)["text"]]
    bare, ours = [], []
    for _ in range(ROUNDS[extractor]):
        bare.append(_bare_cpu(extractor))
        child = _child_cpu(apply)
        worker = _cpu(lambda: [apply(batch) for batch in batches])
        ours.append((worker + _child_cpu(apply) - child, worker))
    stage.close(apply)
    title = min(_cpu(lambda: [page_title(page.page) for page in pages]) for _ in range(5))
    identity = min(_cpu(lambda: [content_id(text) for text in texts if text]) for _ in range(5))
    total, worker = min(ours)
    each = 1e6 / len(pages)
    rest = total - min(bare) - title - identity
    yield from (f"{seconds * each:.0f}" for seconds in (min(bare), total, worker, rest, title, identity))
    yield f"{min(bare) / total:.3f}"


def _bare_cpu(extractor: str) -> float:
    """CPU seconds of the bare library over the timed pages, in a process of its own: in this one its collections
    would walk over the gold sets, which costs it 9 %."""
    command = [sys.executable, __file__, sys.argv[1], "bare", extractor]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def _measure_bare(data: Path, extractor: str) -> float:
    raw = [page.page.encode() for name in TIMED_SETS for page in GOLD_SETS[name](data)]
    DIRECTLY[extractor](raw[0].decode())
    gc.collect()
    gc.freeze()
    return _cpu(lambda: [DIRECTLY[extractor](page.decode()) for page in raw])


def _cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _child_cpu(apply: Extraction) -> float:
    """CPU seconds of the guard's child so far, to the nanosecond."""
    pid = apply.guard.child_pid
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


if __name__ == "__main__":
    main()
