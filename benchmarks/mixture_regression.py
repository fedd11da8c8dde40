"""Regressions of losses on mixture weights, held against published runs: python benchmarks/mixture_regression.py DATA

DATA holds `regmix-tables` (RegMix's release) and `mixinglaws-tables` (losses of the Data Mixing Laws authors). Writes
mixture_regression.md beside this file. Takes about ten minutes on one core; `--subsets 2` is a quick look.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from curation.mixture import published
from curation.mixture.mixing_law import fit_power_laws
from curation.mixture.regression import Linear, Regressor, choose, cross_validate, spearman
from curation.mixture.regressors import CONVEX, REGRESSORS, named, select
from curation.mixture.report import ranks_report, targets_report, weights_report
from curation.mixture.run_table import RunTable, read_folder

FOLDS = 8
NOTE = """Made by `python benchmarks/mixture_regression.py DATA`; its docstring says how. Subsets are random parts
of RegMix's 512 training runs at 1M parameters; tests are its 256 mixtures at 1M and 60M and 64 at 1B parameters. What
cross-validation chose, it chose on the subset alone."""
TESTS = ("test_1m", "test_60m", "test_1B")
HEAD = "| regression | 1M | 60M | 1B | mean | worst subset |\n|---|---|---|---|---|---|"


def subset_ranks(tables: dict[str, RunTable], runs: int, subsets: int, chosen: bool) -> Iterator[tuple[str, list[float], str]]:
    """(regression, Spearman x100 by test table, what cross-validation chose) for random subsets of the training runs."""
    train, target = tables["train_1m"], published.PILE_TARGET
    for seed in range(subsets):
        part = train.take(np.sort(np.random.default_rng(1000 + seed).permutation(len(train))[:runs]))
        losses = part.target(target)
        usable = [r for r in REGRESSORS if runs >= r.least_runs(len(part.domains))]
        ranks = {}
        for regressor in usable:
            fitted = regressor.fit(part.weights, losses)
            ranks[regressor.name] = [100 * spearman(fitted.predict(tables[t].weights), tables[t].target(target)) for t in TESTS]
            yield regressor.name, ranks[regressor.name], ""
        if chosen:  # by cross-validation on these runs alone; the test tables have no part in it
            scores = cross_validate(part.weights, losses, usable, seed=seed)
            best = choose(scores).name
            yield "**chosen among all**", ranks[best], best
            best = choose([s for s in scores if s.name in CONVEX]).name
            yield "**chosen among convex laws (default of solve)**", ranks[best], f"{best} (convex)"


def subset_table(tables: dict[str, RunTable], runs: int, subsets: int, chosen: bool) -> str:
    """Means and standard deviations over subsets."""
    found: dict[str, list[list[float]]] = {}
    choices: list[str] = []
    for name, ranks, choice in subset_ranks(tables, runs, subsets, chosen):
        found.setdefault(name, []).append(ranks)
        choices += [choice] if choice else []
    lines = [HEAD]
    for name, rows in found.items():
        ranks = np.array(rows)
        failed = int(np.isnan(ranks).any(axis=1).sum())
        ranks = ranks[~np.isnan(ranks).any(axis=1)]
        if not len(ranks):
            lines.append(f"| {name} | constant | | | | |")
            continue
        cells = [f"{m:.1f} ± {s:.1f}" for m, s in zip(ranks.mean(axis=0), ranks.std(axis=0), strict=True)]
        means = ranks.mean(axis=1)
        note = f" ({failed} constant)" if failed else ""
        lines.append(f"| {name}{note} | {' | '.join(cells)} | {means.mean():.1f} ± {means.std():.1f} | {means.min():.1f} |")
    if choices:
        counts = {c: choices.count(c) for c in dict.fromkeys(choices)}
        lines.append("\nchosen: " + ", ".join(f"{c} {n} times" for c, n in counts.items()))
    return "\n".join(lines)


def all_targets(tables: dict[str, RunTable], runs: int, subsets: int) -> str:
    """Mean over the 13 targets of the rank correlation on each test table."""
    train = tables["train_1m"]
    found: dict[str, list[list[float]]] = {}
    for seed in range(subsets):
        part = train.take(np.sort(np.random.default_rng(1000 + seed).permutation(len(train))[:runs]))
        for regressor in named(["ridge", "effective_data", "gaussian_process", "lightgbm"]):
            fits = [(t, regressor.fit(part.weights, part.target(t))) for t in train.targets]
            ranks = [
                float(np.mean([100 * spearman(f.predict(tables[name].weights), tables[name].target(t)) for t, f in fits]))
                for name in TESTS
            ]
            found.setdefault(regressor.name, []).append(ranks)
    lines = ["| regression | 1M | 60M | 1B |", "|---|---|---|---|"]
    for name, rows in found.items():
        cells = zip(np.nanmean(rows, axis=0), np.nanstd(rows, axis=0), strict=True)
        lines.append(f"| {name} | {' | '.join(f'{m:.1f} ± {s:.1f}' for m, s in cells)} |")
    return "\n".join(lines)


class Nearest:
    """The loss of the nearest mixture: the naive baseline."""

    name = "nearest mixture"

    def least_runs(self, domains: int) -> int:
        return 1

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Nearest:
        self.weights, self.losses = weights, losses
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        distances = np.abs(weights[:, None] - self.weights).sum(axis=2)
        return self.losses[distances.argmin(axis=1)]

    def spread(self, weights: np.ndarray) -> None:
        return None


def mixing_table(path: Path, step: int) -> RunTable:
    """Losses at one step of one file of the mixing-laws tables."""
    frame = pl.read_csv(path).filter((pl.col("step") == step) & (pl.col("run") != "last"))
    frame = frame.unique(["run", "eval_set"]).pivot("eval_set", index="run", values="loss").sort("run").drop_nulls()
    weights = np.array([[float(x) for x in run.split("-")[1:]] for run in frame["run"]])
    targets = tuple(c for c in frame.columns if c != "run")
    domains = tuple(f"domain {i}" for i in range(weights.shape[1]))
    return RunTable(path.parent.name, domains, targets, weights, frame.select(targets).to_numpy(), tuple(frame["run"]))


def mixing_laws(folder: Path) -> str:
    """Errors on held-out mixtures of laws and naive baselines, averaged over evaluation sets."""
    forms: list[Regressor] = [Nearest(), Linear(), *named(["ridge", "log_linear", "effective_data", "gaussian_process"])]
    lines = [
        "| table | mixtures | evaluation sets | " + " | ".join(r.name for r in forms) + " |",
        "|---" * (len(forms) + 3) + "|",
    ]
    for file, step in (
        ("3Mix/410M", 60000),
        ("5Mix/70M", 30000),
        ("5Mix/160M", 30000),
        ("5Mix/305M", 30000),
        ("5Mix/410M", 30000),
    ):
        table = mixing_table(folder / f"{file}.csv.gz", step)
        errors: dict[str, list[tuple[float, float]]] = {r.name: [] for r in forms}
        for target in table.targets:
            for s in cross_validate(table.weights, table.target(target), forms, folds=FOLDS):
                errors[s.name].append((100 * s.mae / float(table.target(target).mean()), 100 * s.spearman))
        cells = [
            f"{np.mean([e[0] for e in errors[r.name]]):.2f} % ({np.mean([e[1] for e in errors[r.name]]):.1f})" for r in forms
        ]
        lines.append(f"| {file}, step {step} | {len(table)} | {len(table.targets)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def step_laws(folder: Path) -> str:
    """Losses at the last step predicted from the first steps by power laws with one power, per evaluation set."""
    lines = ["| table | seen up to | predicted at | error of the law | error of the last loss seen |", "|---|---|---|---|---|"]
    for file, seen, goal in (("5Mix/70M", 30000, 100000), ("5Mix/160M", 30000, 100000), ("5Mix/410M", 20000, 30000)):
        frame = pl.read_csv(folder / f"{file}.csv.gz").filter(pl.col("run") != "last").unique(["run", "eval_set", "step"])
        law, naive = [], []
        for _, group in frame.group_by("eval_set"):
            wide = group.pivot("step", index="run", values="loss")
            steps = sorted(int(c) for c in wide.columns if c != "run")
            early = [s for s in steps if 5000 <= s <= seen and wide[str(s)].null_count() < len(wide) / 2]
            if goal not in steps:
                continue
            wide = wide.drop_nulls([*map(str, early), str(goal)])
            if len(wide) == 0:
                continue
            fits = fit_power_laws(np.array(early), wide.select(map(str, early)).to_numpy())
            truth = wide[str(goal)].to_numpy()
            law.append(np.abs(np.array([float(f.predict(np.array(goal))) for f in fits]) / truth - 1).mean())
            naive.append(np.abs(wide[str(early[-1])].to_numpy() / truth - 1).mean())
        lines.append(f"| {file} | {seen:,} | {goal:,} | {100 * np.mean(law):.2f} % | {100 * np.mean(naive):.2f} % |")
    return "\n".join(lines)


def sections(data: Path, subsets: int) -> list[tuple[str, Callable[[], str]]]:
    """Title and maker of every section."""
    tables, laws = read_folder(data / "regmix-tables"), data / "mixinglaws-tables"
    train, target = tables["train_1m"], published.PILE_TARGET
    tests = {name: tables[name] for name in TESTS}

    def best_mixtures() -> str:
        choice = select(train.weights, train.target(target), named(["effective_data"]))
        return weights_report(train, target, choice, tests["test_1m"])

    def of_subsets(runs: int, count: int) -> tuple[str, Callable[[], str]]:
        title = f"{runs} runs, {count} random subsets, Spearman x100 on Pile-CC (mean ± standard deviation over subsets)"
        return title, lambda: subset_table(tables, runs, count, chosen=runs == 64)

    some = max(2, subsets // 4)
    return [
        ("All 512 runs, Spearman x100 on Pile-CC", lambda: ranks_report(train, tests, target)),
        ("LightGBM by target, published settings, Spearman x100 on 1M", lambda: targets_report(train, tests)),
        of_subsets(64, subsets),
        of_subsets(32, subsets),
        of_subsets(128, max(2, subsets // 2)),
        (f"64 runs, mean over all 13 targets, {some} subsets", lambda: all_targets(tables, 64, some)),
        ("Best mixtures for Pile-CC", best_mixtures),
        (
            f"Mixing laws: mixtures held out ({FOLDS} folds), mean relative error (mean Spearman x100)",
            lambda: mixing_laws(laws),
        ),
        ("Step laws: the end of training from its beginning, mean relative error", lambda: step_laws(laws)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--subsets", type=int, default=20)
    parser.add_argument("--cache", type=Path, help="JSON that keeps sections between calls; remove it to measure anew")
    given = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    done: dict[str, str] = json.loads(given.cache.read_text()) if given.cache and given.cache.exists() else {}
    report = ["# Regressions of losses on mixture weights", "", NOTE, ""]
    for title, make in sections(given.data, given.subsets):
        print(title, flush=True)
        if title not in done:
            done[title] = make()
        if given.cache:
            given.cache.write_text(json.dumps(done))
        report += [f"## {title}", "", done[title], ""]
    Path(__file__).with_suffix(".md").write_text("\n".join(report))


if __name__ == "__main__":
    main()
