"""First light against datatrove, side by side in one run: python benchmarks/first_light.py [DATA_FOLDER]

Every figure is CPU time (user + system, children included) of whole processes, as the difference between the full
archive and its first pages divided by the pages between: start-up and warm-up cancel, for both sides alike. One core
each, median of interleaved rounds. Writes benchmarks/first_light.md.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests"), str(HERE)]

WARM_PAGES = 150
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))


def measure(arguments: list[str], program: Path = HERE / "first_light_jobs.py") -> tuple[float, float, dict]:
    """CPU seconds, peak MiB of the process tree (sum of resident sets, sampled), and the JSON the program printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen([sys.executable, str(program), *arguments], stdout=subprocess.PIPE)
    peak = [0.0]
    thread = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
    thread.start()
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{arguments} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, peak[0], json.loads(out.splitlines()[-1])


def _watch(pid: int, peak: list[float]) -> None:
    while Path(f"/proc/{pid}").exists():
        peak[0] = max(peak[0], sum(_resident(p) for p in _tree(pid)))
        time.sleep(0.05)


def _tree(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [p for child in task.read_text().split() for p in _tree(int(child))]
        except OSError:
            pass
    return found


def _resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return 0.0


JOBS = {
    "curation, trafilatura": ["curation", "trafilatura"],
    "curation, extraction looked up": ["curation", "lookup"],
    "curation, resiliparse": ["curation", "resiliparse"],
    "datatrove, trafilatura": ["datatrove", "trafilatura"],
    "datatrove, extraction looked up": ["datatrove", "lookup"],
    "bare trafilatura, no pipeline": ["bare", "trafilatura"],
    "curation's extractor stage alone": ["stage", "trafilatura"],
    "bare resiliparse, no pipeline": ["bare", "resiliparse"],
    "curation's resiliparse stage alone": ["stage", "resiliparse"],
}


def main() -> None:
    from first_light_jobs import build_archives

    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CURATION_DATA", HERE.parent.parent / "shared/data"))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pages = build_archives(data, work, WARM_PAGES)
        lost = measure(["prepare", str(work)])[2]["lost"]
        costs: dict[str, list[float]] = {name: [] for name in JOBS}
        facts: dict[str, dict] = {}
        for _ in range(ROUNDS):
            for name, job in JOBS.items():
                small, _, _ = measure([*job, str(work), "small"])
                full, _, facts[name] = measure([*job, str(work), "full"])
                costs[name].append((full - small) / (pages - WARM_PAGES) * 1000)
        extra = {
            "two workers": _marginal(["workers2", "trafilatura", str(work)], pages),
            "one worker": _marginal(["workers1", "trafilatura", str(work)], pages),
        }
        memory = {size: measure(["curation", "resiliparse", str(work), size])[1] for size in ("small", "full", "tenfold")}
        memory_t = {size: measure(["curation", "trafilatura", str(work), size])[1] for size in ("small", "full")}
        where = facts["curation, trafilatura"]["stages"]
    report(pages, {n: statistics.median(c) for n, c in costs.items()}, costs, facts, extra, memory, memory_t, where, lost)


def _marginal(job: list[str], pages: int) -> float:
    runs = []
    for _ in range(ROUNDS):
        small, _, _ = measure([*job, "small"])
        full, _, _ = measure([*job, "full"])
        runs.append((full - small) / (pages - WARM_PAGES) * 1000)
    return statistics.median(runs)


def report(pages, cost, runs, facts, extra, memory, memory_t, where, lost) -> None:
    mine, other = (set(facts[f"{who}, extraction looked up"]["urls"]) for who in ("curation", "datatrove"))
    ours, theirs = cost["curation, extraction looked up"], cost["datatrove, extraction looked up"]
    names = ("trafilatura", "lxml", "resiliparse", "datatrove", "spacy", "isal", "warcio", "polars", "pyarrow")
    quality = json.loads((HERE.parent / "tests/golden/extraction_quality.json").read_text())
    lines = [
        "# First light: the first recipe against datatrove",
        "",
        "Made by `make bench` (benchmarks/first_light.py; its docstring says how it is measured). "
        f"{pages} distinct real pages of the extraction gold sets in one WARC.gz; the first {WARM_PAGES} are the warm-up. "
        f"{platform.machine()}, Python {platform.python_version()}, {ROUNDS} interleaved rounds, median. "
        "Absolute times vary between machines; ratios are what counts.",
        "",
        "Versions: " + ", ".join(f"{n} {version(n)}" for n in names) + ".",
        "",
        "Both pipelines: WARC reader, URL filter, trafilatura (favour precision, no comments, no state across documents), "
        "lid.176 (the same .ftz file), English at 0.65, FineWeb's rules, zstd Parquet. *Looked up* runs the same pipeline "
        "with extraction replaced by a table of the same texts, in the same child process.",
        "",
        "| | CPU ms a page | least | most | documents kept |",
        "|---|---|---|---|---|",
    ]
    for name, value in cost.items():
        kept = facts[name].get("kept", "")
        lines.append(f"| {name} | {value:.3f} | {min(runs[name]):.3f} | {max(runs[name]):.3f} | {kept} |")
    ratio = cost["bare trafilatura, no pipeline"] / cost["curation's extractor stage alone"]
    speedup = cost["datatrove, trafilatura"] / cost["curation, resiliparse"]
    whole = cost["datatrove, trafilatura"] / cost["curation, trafilatura"]
    lines += [
        "",
        "| ratio | measured | wanted |",
        "|---|---|---|",
        f"| our extraction stage, rate against bare trafilatura | {ratio:.2f} | 0.9 or more |",
        f"| everything outside extraction, datatrove's cost over ours | {theirs / ours:.1f} | 5 or more |",
        f"| resiliparse recipe, documents/s over datatrove's | {speedup:.1f} | 4 or more |",
        f"| trafilatura recipe, documents/s over datatrove's | {whole:.2f} | |",
        f"| CPU at 2 workers over CPU at 1 | {extra['two workers'] / extra['one worker']:.2f} | 1.1 or less |",
        "",
        "Token F1 of the two extractors, mean over pages (see extraction_quality.md): "
        + "; ".join(f"{k} {v['f1']:.3f} and {quality['resiliparse'][k]['f1']:.3f}" for k, v in quality["trafilatura"].items())
        + " (trafilatura and resiliparse).",
        "",
        "Peak memory of a worker, guard child and driver included (MiB, sum of resident sets, one worker): "
        + "resiliparse "
        + ", ".join(f"{size} {peak:.0f}" for size, peak in memory.items())
        + "; trafilatura "
        + ", ".join(f"{size} {peak:.0f}" for size, peak in memory_t.items())
        + f". `tenfold` is the full archive ten times over ({10 * pages} records).",
        "",
        "## The same documents",
        "",
        f"With the same texts looked up, datatrove keeps {len(other)} documents and we keep {len(mine)}: {len(other - mine)} "
        f"are kept by datatrove only, {len(mine - other)} by us only. datatrove's reader returns nothing, without a count, for "
        f"{len(lost)} of the {pages} records (pages whose charset its detector does not find); "
        f"{len((mine - other) & set(lost))} of our {len(mine - other)} are among them.",
        "",
        "## Where the time goes",
        "",
        "Wall seconds by stage of one run with the trafilatura recipe over the full archive, one worker.",
        "",
        "| stage | documents in | seconds | share |",
        "|---|---|---|---|",
    ]
    total = sum(s["seconds"] for s in where)
    lines += [f"| {s['label']} | {s['in']} | {s['seconds']:.2f} | {s['seconds'] / total:.1%} |" for s in where]
    (HERE / "first_light.md").write_text("\n".join(lines) + "\n")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
