"""The demo: build the embedded crawl, curate it, say what happened and what to try next."""

from __future__ import annotations

import sys
from pathlib import Path

from curation.demo.build_warc import build_crawl
from curation.inspect.funnel import funnel
from curation.inspect.peek import peek
from curation.progress import make_progress
from curation.recipe import load_recipe
from curation.runners.drive import run_pipeline
from curation.runners.local import LocalExecutor


def run_demo(out: Path, workers: int | None = None) -> str:
    """Run the demo into `out` (crawl under `crawl/`, results under `corpus/`); return what to show."""
    crawl = out / "crawl"
    crawl.mkdir(parents=True, exist_ok=True)
    if not sorted(crawl.glob("*.warc.gz")):
        build_crawl(crawl)
    corpus = out / "corpus"
    result = run_pipeline(
        load_recipe("demo"),
        [str(crawl)],
        str(corpus),
        lambda p, f, o: LocalExecutor(p, f, o, workers=workers),
        progress=make_progress(),
    )
    assert result.census is not None
    command = sys.argv[0] if Path(sys.argv[0]).name == "curation" else "curation"
    return "\n".join(
        [
            funnel(result.census),
            "",
            "three kept: " + peek(str(corpus), number=3, characters=160),
            "",
            "three dropped: " + peek(str(corpus), number=3, fallen=True, characters=160),
            "",
            f"output: {corpus}/documents (Parquet), {corpus}/dropped (tombstones), {corpus}/census.json",
            "try next:",
            f"  {command} census {corpus}",
            f"  {command} peek {corpus} --reason fineweb:line_punct",
            f"  {command} why URL {corpus} --page  (its blocks, kept and cut)",
            f"  {command} run demo --input {crawl} --out {corpus} --set fineweb.line_punct_min=0.5  (extracts nothing)",
            f"  {command} explain common_crawl_english",
        ]
    )
