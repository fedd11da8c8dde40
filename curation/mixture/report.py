"""What the command line says of run tables, regressions and mixtures.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.mixture import published
from curation.mixture.artefact import Mixture
from curation.mixture.boosted_trees import BoostedTrees
from curation.mixture.convex import Convex
from curation.mixture.natural import Natural
from curation.mixture.olmix import Olmix
from curation.mixture.problem import Method, Problem
from curation.mixture.regmix import Regmix
from curation.mixture.regression import Regressor, noise_floor, report_scores, spearman
from curation.mixture.regressors import Choice, named, select
from curation.mixture.run_table import RunTable, read, read_folder
from curation.mixture.search import simulate


def fit_report(table: RunTable, targets: Mapping[str, float], regressions: Sequence[str]) -> str:
    """Cross-validated scores of regressions on the weighted mean of targets, and the noise floor."""
    problem = Problem(
        table.domains, table.weights.mean(axis=0) / table.weights.mean(axis=0).sum(), table=table, targets=targets
    )
    losses = problem.objective()
    choice = select(table.weights, losses, named(regressions))
    head = f"{len(table)} runs of {len(table.domains)} domains; loss {losses.min():.4f} to {losses.max():.4f}, mean of "
    head += ", ".join(f"{name} ({weight:.3g})" for name, weight in problem.target_weights.items())
    return f"{head}\n\n{report_scores(choice.scores, choice.score.name, noise_floor(table.weights, losses))}"


def mixture_report(mixture: Mixture) -> str:
    """A mixture as a table, largest weights first, and what is predicted of it."""
    lines = ["| domain | weight | natural | epochs | |", "|---|---|---|---|---|"]
    for d in sorted(mixture.domains, key=lambda d: (-d.weight, d.name)):
        natural = "" if d.natural is None else f"{d.natural:.4f}"
        epochs = "" if d.epochs is None else f"{d.epochs:.2f}"
        lines.append(f"| {d.name} | {d.weight:.4f} | {natural} | {epochs} | {'at its cap' if d.capped else ''} |")
    if mixture.predicted:
        spread = "" if mixture.predicted.std is None else f" +- {mixture.predicted.std:.4f}"
        lines.append(f"\npredicted loss on {mixture.predicted.target}: {mixture.predicted.loss:.4f}{spread}")
    return "\n".join(lines)


def tables_report(where: str, target: str = "", *, solving: bool = True) -> Iterator[str]:
    """The report of a folder of run tables, part by part as it is done: `train_*` is fitted, the others are predicted.

    A single table is cross-validated only. Raises MixtureError when there is no table.
    """
    if not Path(where).is_dir():
        yield fit_report(read(where), {target: 1.0} if target else {}, [])
        return
    tables = read_folder(where)
    trains = [name for name in tables if name.startswith("train")] or list(tables)
    if len(trains) > 1:
        hint = "name the one to fit train_..., or give one file"
        raise MixtureError(explain_mismatch(where, wanted="one table to fit", found=", ".join(trains), hint=hint))
    train = tables.pop(trains[0])
    if not target and published.PILE_TARGET in train.targets:
        target = published.PILE_TARGET
    yield f"## {target or 'the mean of all targets'}: {len(train)} runs, cross-validated\n"
    choice = select(train.weights, train.target(target))
    yield report_scores(choice.scores, choice.score.name, noise_floor(train.weights, train.target(target)))
    if tables:
        yield f"\n## Spearman x100 on other tables\n\n{ranks_report(train, tables, target)}"
        yield f"\n## LightGBM by target, published settings\n\n{targets_report(train, tables)}"
    if solving:
        yield f"\n## Best mixtures\n\n{weights_report(train, target, choice, tables.get('test_1m'))}"


def ranks_report(train: RunTable, tests: Mapping[str, RunTable], target: str) -> str:
    """Rank correlations of every regression fitted on `train`, by test table; published ones beside them."""
    known = published.shares_of(train.domains) is not None and target == published.PILE_TARGET
    names = list(tests) if not known else [n for n in ("test_1m", "test_60m", "test_1B") if n in tests]
    lines = [f"| regression | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for regressor in [*named([]), _published_trees(tests[names[0]], target)]:
        ranks = [f"{100 * r:.2f}" for r in ranks_on(train, [tests[n] for n in names], regressor, target)]
        lines.append(f"| {regressor.name} | {' | '.join(ranks)} |")
    if known and len(names) == 3:
        lines += [f"| {name}, as published | {' | '.join(map(str, ranks))} |" for name, ranks in published.RANKS.items()]
    lines.append(f"\nlightgbm early: stops on {names[0]} itself, as the release does; its figures there are flattered.")
    return "\n".join(lines)


def ranks_on(train: RunTable, tests: Sequence[RunTable], regressor: Regressor, target: str) -> list[float]:
    """Rank correlations (-1 to 1) of one regression fitted on `train` with the losses of each test table."""
    fitted = regressor.fit(train.weights, train.target(target))
    return [spearman(fitted.predict(t.ordered(train.domains).weights), t.target(target)) for t in tests]


def targets_report(train: RunTable, tests: Mapping[str, RunTable]) -> str:
    """Rank correlations of LightGBM as published, for every target, on the first test table in name of the smallest size."""
    name = "test_1m" if "test_1m" in tests else next(iter(tests))
    lines = [f"| target | {name} |", "|---|---|"]
    for target in train.targets:
        rank = ranks_on(train, [tests[name]], _published_trees(tests[name], target), target)[0]
        lines.append(f"| {target} | {100 * rank:.2f} |")
    return "\n".join(lines)


def weights_report(train: RunTable, target: str, choice: Choice, stop_on: RunTable | None = None) -> str:
    """Weights of several methods, side by side, and the loss that the chosen regression expects of each. `stop_on`: the table
    on which LightGBM stops in the column "as released"."""
    natural = published.shares_of(train.domains)
    natural = train.weights.mean(axis=0) / train.weights.mean(axis=0).sum() if natural is None else natural
    problem = Problem(train.domains, natural, table=train, targets={target: 1.0} if target else {}, max_epochs=None, seed=42)
    methods: dict[str, Method] = {
        "natural": Natural(), "regmix": Regmix(), f"regmix, {choice.score.name}": Regmix(regressor=choice.score.name),
        "olmix": Olmix(), "convex": Convex(), "convex, no pull": Convex(pull=0.0),
    }  # fmt: skip
    found = {label: method.solve(problem).weights for label, method in methods.items()}
    weights = {label: np.array([shares[d] for d in train.domains]) for label, shares in found.items()}
    if stop_on is not None:
        trees = _published_trees(stop_on, target).fit(train.weights, train.target(target))
        weights["regmix, as released"] = simulate(trees.predict, natural, problem.upper, seed=42)
    if target in train.domains:
        weights[f"only {target}"] = (np.array(train.domains) == target).astype(np.float64)
    lines = [f"| domain | {' | '.join(weights)} |", "|---" * (len(weights) + 1) + "|"]
    for i in np.argsort(-np.max(list(weights.values()), axis=0), kind="stable"):
        lines.append(f"| {train.domains[i]} | {' | '.join(f'{w[i]:.4f}' for w in weights.values())} |")
    losses = choice.fitted.predict(np.stack(list(weights.values())))
    lines.append(f"| loss, by {choice.score.name} | {' | '.join(f'{loss:.4f}' for loss in losses)} |")
    return "\n".join(lines)


def _published_trees(test: RunTable, target: str) -> BoostedTrees:
    return replace(BoostedTrees(), stop_on=(test.weights, test.target(target)), name="lightgbm early")
