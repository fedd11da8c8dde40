"""Whole recipes against datatrove's FineWeb pipeline, from one archive to deduplicated documents.

    python benchmarks/whole_recipe.py [DATA_FOLDER]

The archive and the measure are those of first_light.py: CPU time of whole processes (user and system, children included), the
full archive less its first pages, one core each, median of interleaved rounds. datatrove 0.10.1 as its FineWeb example puts it
together: URL filter, trafilatura, language, Gopher's repetition and quality rules, C4's, FineWeb's, JSON lines; then the four
MinHash stages (sha1, 14 bands of 8), addresses replaced, JSON lines. Writes benchmarks/whole_recipe.md.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests"), str(HERE)]

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
PEER = "datatrove, FineWeb"
SIDES = {
    "common_crawl_english": "curation, common_crawl_english",
    "unscored": "curation, the same without its three scores",
    "common_crawl_english_trafilatura": "curation, common_crawl_english_trafilatura",
    "fineweb": "curation, fineweb",
    "datatrove": PEER,
}


def run_ours(recipe: str, work: Path, size: str) -> dict[str, Any]:
    """A recipe as it comes, one worker."""
    from curation import scorers
    from curation.inspect.shards import documents
    from curation.recipe import load_recipe
    from curation.runners.drive import run_pipeline
    from curation.runners.local import LocalExecutor

    pipeline = load_recipe("common_crawl_english" if recipe == "unscored" else recipe)
    if recipe == "unscored":
        scores = (scorers.Classify, scorers.Perplexity)
        pipeline = replace(pipeline, stages=tuple(stage for stage in pipeline.stages if not isinstance(stage, scores)))
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    archive = [str(work / f"{size}.warc.gz")]
    result = run_pipeline(pipeline, archive, str(out), lambda p, f, o: LocalExecutor(p, f, o, workers=1))
    assert result.census is not None
    urls = documents(str(out), ["url"])["url"].to_list()
    return {"urls": urls, "stages": result.census["stages"]}


def run_theirs(work: Path, size: str) -> dict[str, Any]:
    """datatrove's FineWeb example, one task."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter
    from datatrove.utils.hashing import HashConfig
    from first_light_jobs import their_first_steps

    out = work / "datatrove"
    shutil.rmtree(out, ignore_errors=True)
    base, signatures, buckets, removed = (str(out / name) for name in ("base", "signatures", "buckets", "removed"))
    config = MinhashConfig(hash_config=HashConfig(hash_fc="sha1", precision=64), num_buckets=14, hashes_per_bucket=8, n_grams=5)
    filters = [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]
    phases: list[tuple[list[Any], int]] = [
        ([*their_first_steps(work, size), *filters, JsonlWriter(base)], 1),
        ([JsonlReader(base), MinhashDedupSignature(signatures, config)], 1),
        ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        ([MinhashDedupCluster(buckets, removed, config=config)], 1),
        ([JsonlReader(base), MinhashDedupFilter(removed), PIIFormatter(), JsonlWriter(str(out / "documents"))], 1),
    ]
    for number, (steps, tasks) in enumerate(phases):
        LocalPipelineExecutor(pipeline=steps, tasks=tasks, workers=1, logging_dir=str(out / f"logs{number}")).run()
    lines = [line for path in (out / "documents").glob("*.gz") for line in gzip.decompress(path.read_bytes()).splitlines()]
    return {"urls": [json.loads(line)["metadata"]["url"] for line in lines]}


def report(pages: int, runs: dict[str, list[float]], facts: dict[str, dict[str, Any]]) -> str:
    """The table, the documents in common, and where our time goes."""
    names = ("trafilatura", "datatrove", "spacy", "lxml", "numba", "polars", "pyarrow")
    slow = statistics.median(runs[PEER])
    lines = [
        "# Whole recipes against datatrove's FineWeb pipeline",
        "",
        "Made by `make bench` (benchmarks/whole_recipe.py; its docstring says how it is measured). "
        f"{pages} distinct real pages of the extraction gold sets in one WARC.gz. {platform.machine()}, Python "
        f"{platform.python_version()}, one core each, {ROUNDS} interleaved rounds, median; ratios are what counts.",
        "",
        "Versions: " + ", ".join(f"{name} {version(name)}" for name in names) + ".",
        "",
        "| | CPU ms a page | least | most | documents/s over datatrove's | documents kept | kept by datatrove too |",
        "|---|---|---|---|---|---|---|",
    ]
    theirs = set(facts[PEER]["urls"])
    for name, costs in runs.items():
        kept = set(facts[name]["urls"])
        cost = statistics.median(costs)
        spread = f"{min(costs):.2f} | {max(costs):.2f}"
        lines.append(f"| {name} | {cost:.2f} | {spread} | {slow / cost:.1f} | {len(kept)} | {len(kept & theirs)} |")
    stages = facts[SIDES["common_crawl_english"]]["stages"]
    total = sum(stage["seconds"] for stage in stages)
    lines += [
        "",
        "## Where the time goes",
        "",
        "Wall seconds by stage of one run of common_crawl_english over the full archive, one worker, start-up included.",
        "",
        "| stage | documents in | seconds | share |",
        "|---|---|---|---|",
        *(f"| {s['label']} | {s['in']} | {s['seconds']:.2f} | {s['seconds'] / total:.1%} |" for s in stages),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    from first_light import WARM_PAGES, measure
    from first_light_jobs import build_archives

    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CURATION_DATA", HERE.parent.parent / "shared/data"))
    runs: dict[str, list[float]] = {name: [] for name in SIDES.values()}
    facts: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        pages = build_archives(data, Path(folder), WARM_PAGES)
        for _ in range(ROUNDS):
            for side, name in SIDES.items():
                job = ["--job", side, folder]
                small, _, _ = measure([*job, "small"], HERE / "whole_recipe.py")
                full, _, facts[name] = measure([*job, "full"], HERE / "whole_recipe.py")
                runs[name].append((full - small) / (pages - WARM_PAGES) * 1000)
    text = report(pages, runs, facts)
    (HERE / "whole_recipe.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        side, work, size = sys.argv[2], Path(sys.argv[3]), sys.argv[4]
        found = run_theirs(work, size) if side == "datatrove" else run_ours(side, work, size)
        sys.stdout.write("\n" + json.dumps(found) + "\n")
    else:
        main()
