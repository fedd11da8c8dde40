"""Proxies on real domains, from mixtures to a mixture retrained: python benchmarks/mixture_proxies.py DATA [--out F] [--write]

1. 64 mixtures of the 11 domains of DATA/text-domains (a fifth of the target's documents is set aside under another name,
   and no proxy is trained or any choice made on it), drawn as `curation mix propose` does, and 16 runs for the noise: four
   mixtures (natural, uniform, the first two drawn), each with four other seeds. All by `train_proxies`, preset `tiny`.
2. Regressions of the target's loss on the weights, cross-validated; the noise floor from the repeated mixtures.
3. The mixture that the default method finds for the target, retrained with three fresh seeds, beside the natural and the
   uniform mixture, the drawn one with the best observed loss, and the target's own text alone; all on the target's text
   that was set aside.

The folder F (a temporary one without --out) keeps the proxies: the same command again goes on. `--write` writes
mixture_proxies/runs.csv and retrained.csv (weights and losses, no text) and mixture_proxies.md; `--report` makes the latter
from the tables that are there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curation.mixture.methods import method_named
from curation.mixture.problem import Problem, problem_of
from curation.mixture.proxies import Machine, Mixtures, train_proxies
from curation.mixture.proxy_settings import PRESETS, ProxySettings
from curation.mixture.proxy_text import read_domains, text_files
from curation.mixture.regression import noise_floor, report_scores
from curation.mixture.regressors import named, select
from curation.mixture.run_table import RunTable, read
from curation.mixture.sampling import Sampling, propose

HERE = Path(__file__).parent
TABLES = HERE / "mixture_proxies"
TARGET, UNSEEN = "web-openwebtext", "web-unseen"
SETTINGS: ProxySettings = PRESETS["tiny"]
COUNT, NOISE_SEEDS, FRESH_SEEDS = 64, (1, 2, 3, 4), (101, 102, 103)
SAMPLING = Sampling(minimum=0.005)


def prepare(data: Path, folder: Path) -> Path:
    """The domains as one file each, named after their files, with a fifth of the target's documents as one more."""
    made = folder / "text"
    made.mkdir(parents=True, exist_ok=True)
    for path in text_files([str(data / "text-domains")]):
        name = path.name.split(".")[0]
        rows: dict[str, list[str]] = {name: []}
        for text in pl.read_ndjson(path)["text"]:
            aside = name == TARGET and hashlib.blake2b(text.encode(), key=b"aside").digest()[0] < 51
            rows.setdefault(UNSEEN if aside else name, []).append(text)
        for domain, texts in rows.items():
            (made / f"{domain}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return made


def natural_problem(text: Path, **rest: Any) -> Problem:
    """The trained domains with their bytes for tokens: shares are what matters here."""
    domains = read_domains(text_files([str(text)]), "")
    return problem_of({name: domain.bytes for name, domain in domains.items() if name != UNSEEN}, **rest)


def mixtures_of(rows: Sequence[tuple[str, int, np.ndarray]], domains: tuple[str, ...]) -> Mixtures:
    runs, seeds, weights = zip(*rows, strict=True)
    return Mixtures(domains, np.array(weights), tuple(runs), tuple(seeds))


def first_runs(problem: Problem) -> Mixtures:
    drawn = propose(problem.natural, COUNT, SAMPLING)
    uniform = np.full(len(problem.domains), 1 / len(problem.domains))
    repeated = {"natural": problem.natural, "uniform": uniform, "000": drawn[0], "001": drawn[1]}
    rows = [(f"{i:03d}", 0, row) for i, row in enumerate(drawn)]
    rows += [(f"{name} seed {seed}", seed, row) for name, row in repeated.items() for seed in NOISE_SEEDS]
    return mixtures_of(rows, problem.domains)


def chosen_mixtures(problem: Problem, table: RunTable) -> dict[str, np.ndarray]:
    """What is retrained, by name; choices by the losses on the target's own held-out text."""
    drawn = table.take(np.flatnonzero(table.extra["seed"] == 0))
    solved = method_named("convex").solve(Problem(problem.domains, problem.natural, table=drawn, targets={TARGET: 1.0}))
    best = int(np.argmin(drawn.target(TARGET)))
    return {
        "natural": problem.natural,
        "uniform": np.full(len(problem.domains), 1 / len(problem.domains)),
        f"best drawn ({drawn.runs[best]})": drawn.weights[best],
        "found (convex)": np.array([solved.weights[name] for name in problem.domains]),
        "target alone": np.array([float(name == TARGET) for name in problem.domains]),
    }


def train(text: Path, folder: Path, machine: Machine) -> tuple[float, float]:
    """Both sets of runs into TABLES; wall seconds of each."""
    problem = natural_problem(text)
    began = time.monotonic()
    runs = train_proxies([str(text)], first_runs(problem), str(folder / "p"), SETTINGS, machine, column="", say=note)
    first = time.monotonic() - began
    TABLES.mkdir(exist_ok=True)
    rounded(runs, TABLES / "runs.csv")
    table = read(str(TABLES / "runs.csv")).ordered(problem.domains)
    rows = [(name, seed, row) for name, row in chosen_mixtures(problem, table).items() for seed in FRESH_SEEDS]
    began = time.monotonic()
    few = replace(SETTINGS, stack=len(FRESH_SEEDS))  # a group for each mixture: there are few to share out
    again = train_proxies(
        [str(text)], mixtures_of(rows, problem.domains), str(folder / "p"), few, machine, column="",
        table="retrained.csv", say=note,
    )  # fmt: skip
    rounded(again, TABLES / "retrained.csv")
    return first, time.monotonic() - began


def rounded(source: Path, target: Path) -> None:
    """A table with six digits after the point, a tenth of a thousandth of what runs differ by."""
    pl.read_csv(source, infer_schema_length=None).with_columns(pl.col(pl.Float64).round(6)).write_csv(target)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def report() -> str:
    table = read(str(TABLES / "runs.csv"))
    drawn = table.take(np.flatnonzero(table.extra["seed"] == 0))
    repeats = table.take(np.flatnonzero(table.extra["seed"] > 0))
    choice = select(drawn.weights, drawn.target(TARGET))
    floor = noise_floor(repeats.weights, repeats.target(TARGET))
    losses = drawn.target(TARGET)
    lines = [
        "# Proxies on eleven real domains",
        "",
        "Made by `python benchmarks/mixture_proxies.py DATA --write`; its docstring says what is done. Preset `tiny`: "
        f"{SETTINGS.parameters:,} parameters, {SETTINGS.tokens:,} tokens a proxy, "
        f"{SETTINGS.tokens * SETTINGS.flops_a_token:.1e} FLOPs. Losses are bits per byte on held-out "
        f"text. {platform.machine()}, Python {platform.python_version()}, torch {version('torch')}.",
        "",
        f"## Regressions of the loss on {TARGET}, {len(drawn)} runs, ten folds",
        "",
        f"Observed: {losses.min():.4f} to {losses.max():.4f}, standard deviation {losses.std():.4f}.",
        "",
        report_scores(choice.scores, choice.score.name),
        "",
        "## Noise",
        "",
        f"The same mixture with another seed (weights, order and choice of sequences): standard deviation {floor.std:.4f} "
        f"({floor.repeats} runs of {floor.mixtures} mixtures). What seeds do to all mixtures alike taken out, which is what is "
        f"left between proxies that share a seed: {paired_noise(repeats, TARGET):.4f}. A tenth of the spread of the losses is "
        f"{losses.std() / 10:.4f}.",
        "",
        "## Every domain as the target",
        "",
        "The better of two cheap regressions, ridge and the log-linear law.",
        "",
        "| target | spread of losses | paired noise | best regression | Spearman x100 | RMSE |",
        "|---|---|---|---|---|---|",
        *(target_line(drawn, repeats, name) for name in drawn.targets),
        "",
        *retrained_lines(),
    ]
    return "\n".join(lines)


def paired_noise(repeats: RunTable, target: str) -> float:
    """Standard deviation of what mixtures (rows) and seeds (columns) do not explain together."""
    losses = repeats.target(target).reshape(-1, len(NOISE_SEEDS))
    rest = losses - losses.mean(0) - losses.mean(1, keepdims=True) + losses.mean()
    return float(np.sqrt((rest**2).sum() / ((losses.shape[0] - 1) * (losses.shape[1] - 1))))


def target_line(drawn: RunTable, repeats: RunTable, name: str) -> str:
    losses = drawn.target(name)
    score = select(drawn.weights, losses, named(("ridge", "log_linear"))).score
    return (
        f"| {name} | {losses.std():.4f} | {paired_noise(repeats, name):.4f} | {score.name} | {100 * score.spearman:.1f} "
        f"| {score.rmse:.4f} |"
    )


def retrained_lines() -> list[str]:
    table = read(str(TABLES / "retrained.csv"))
    names = list(dict.fromkeys(table.runs))
    losses = {name: table.take([i for i, run in enumerate(table.runs) if run == name]) for name in names}
    unseen = {name: rows.target(UNSEEN) for name, rows in losses.items()}
    order = sorted(names, key=lambda name: float(unseen[name].mean()))
    base = unseen["natural"]
    lines = [
        f"## Retrained with {len(FRESH_SEEDS)} fresh seeds",
        "",
        f"Judged on {UNSEEN}, documents of {TARGET} that nothing was trained or chosen on. ± is the standard deviation over "
        "seeds; the difference is taken seed by seed, since mixtures share seeds.",
        "",
        f"| mixture | {UNSEEN} | less than natural | {TARGET}, as chosen by | mean of all domains |",
        "|---|---|---|---|---|",
    ]
    for name in order:
        every = losses[name].losses.mean(1)
        columns = (spread(unseen[name]), spread(base - unseen[name]), spread(losses[name].target(TARGET)), spread(every))
        lines.append(f"| {name} | " + " | ".join(columns) + " |")
    return [*lines, "", *verdict(unseen), "", "Their weights, in percent:", "", *weight_lines(losses)]


def spread(values: np.ndarray) -> str:
    return f"{values.mean():.4f} ± {values.std(ddof=1):.4f}"


def verdict(unseen: Mapping[str, np.ndarray]) -> list[str]:
    """In words what the table says of the mixture that was found, against each of the others."""
    found = next(name for name in unseen if name.startswith("found"))
    lines = []
    for name, losses in unseen.items():
        if name == found:
            continue
        gain = losses - unseen[found]
        wins = int((gain > 0).sum())
        sure = abs(gain.mean()) > 2 * gain.std(ddof=1) / np.sqrt(len(gain))
        word = "better" if gain.mean() > 0 else "worse"
        lines.append(
            f"- {found} is {word} than {name} by {abs(gain.mean()):.4f}, in {wins} of {len(gain)} seeds"
            + ("" if sure else " (within two standard errors)")
        )
    return lines


def weight_lines(losses: Mapping[str, RunTable]) -> list[str]:
    domains = next(iter(losses.values())).domains
    lines = ["| mixture | " + " | ".join(domains) + " |", "|---" * (len(domains) + 1) + "|"]
    for name, rows in losses.items():
        lines.append(f"| {name} | " + " | ".join(f"{100 * weight:.1f}" for weight in rows.weights[0]) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=os.environ.get("CURATION_DATA"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    if not arguments.report:
        with tempfile.TemporaryDirectory() as temporary:
            folder = arguments.out or Path(temporary)
            times = train(prepare(Path(arguments.data), folder), folder, Machine(arguments.device, arguments.workers))
        note(f"wall time: {times[0]:.0f} s and {times[1]:.0f} s")
    text = report()
    print(text)
    if arguments.write or arguments.report:
        (HERE / "mixture_proxies.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
