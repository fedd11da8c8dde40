"""`curation mix`: from domains to the weights a trainer takes. Verbs only; the work is in curation/mixture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from curation.cli_storage import with_storage
from curation.errors import MixtureError, explain_mismatch

mix_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None,
    help="Mixture weights: propose mixtures, fit what their runs say, solve for the best, apply and export it.",
)  # fmt: skip

Domains = Annotated[str, typer.Option(help="Tokens by domain: a table with columns domain, tokens; JSON; a mixture.json.")]
Runs = Annotated[str, typer.Option(help="Run table: columns weight_<domain> and loss_<target>, CSV or Parquet.")]
Losses = Annotated[str, typer.Option(help="RegMix's form: the table of losses, where --runs is the table of mixtures.")]
Targets = Annotated[
    Optional[list[str]], typer.Option("--target", help="Target to minimise, or target=weight. Repeatable; default all alike.")
]
Budget = Annotated[Optional[float], typer.Option(help="Tokens of the training run, e.g. 1e9; with it epochs are limited.")]
Epochs = Annotated[float, typer.Option(help="Most times a domain may be read; 0 sets no limit.")]


def say(text: str) -> None:
    """Write a result to standard output."""
    typer.echo(text)


@mix_app.command()
@with_storage
def propose(
    domains: Domains,
    out: Annotated[Path, typer.Option(help="Table of mixtures to write, .csv or .parquet.")],
    count: Annotated[int, typer.Option(min=1, help="Different mixtures.")] = 64,
    natural_runs: Annotated[int, typer.Option(min=0, help="Runs of the natural shares besides; 3 tell the noise.")] = 0,
    temperature: Annotated[float, typer.Option(help="Power of the natural shares that draws centre on.")] = 0.5,
    min_strength: Annotated[float, typer.Option(help="Weakest Dirichlet: nearly one domain.")] = 0.1,
    max_strength: Annotated[float, typer.Option(help="Strongest Dirichlet: near the centre.")] = 5.0,
    max_usage: Annotated[float, typer.Option(help="No domain above so many times its natural share; 0 sets no bound.")] = 15.0,
    minimum: Annotated[float, typer.Option(help="Smallest share and grid: about 100 / sequences of a proxy run.")] = 2e-4,
    token_budget: Budget = None,
    max_epochs: Epochs = 4.0,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 42,
) -> None:
    """Propose mixtures to train proxies on: different, within bounds, from nearly pure to nearly natural."""
    from curation.mixture.problem import problem_of, read_domains
    from curation.mixture.run_table import write
    from curation.mixture.sampling import Sampling, proposals

    sampling = Sampling(temperature, min_strength, max_strength, max_usage=max_usage or None, minimum=minimum, seed=seed)
    problem = problem_of(read_domains(domains), token_budget=_whole(token_budget), max_epochs=max_epochs or None)
    table = proposals(problem.domains, problem.natural, count, sampling, problem.upper, natural_runs=natural_runs)
    write(table, out)
    say(f"wrote {len(table)} mixtures of {len(table.domains)} domains to {out}")


@mix_app.command()
@with_storage
def fit(
    runs: Runs,
    losses: Losses = "",
    target: Targets = None,
    regression: Annotated[Optional[list[str]], typer.Option(help="Only this regression. Repeatable; default all.")] = None,
) -> None:
    """Hold every regression against runs it has not seen (cross-validation), and say which one a solver would use."""
    from curation.mixture.report import fit_report
    from curation.mixture.run_table import read

    say(fit_report(read(runs, losses), _targets(target), regression or []))


@mix_app.command("solve")
@with_storage
def solve_(
    domains: Domains,
    out: Annotated[str, typer.Option(help="mixture.json to write: a path or an fsspec URL.")],
    method: Annotated[str, typer.Option(help="See docs/mixture.md; natural, temperature and unimax need no runs.")] = "convex",
    runs: Runs = "",
    losses: Losses = "",
    target: Targets = None,
    token_budget: Budget = None,
    max_epochs: Epochs = 4.0,
    set_: Annotated[Optional[list[str]], typer.Option("--set", help="A setting of the method, e.g. pull=0.1.")] = None,
    tokenizer: Annotated[str, typer.Option(help="Name of what the tokens were counted with.")] = "",
    seed: Annotated[int, typer.Option(help="Of whatever the method draws.")] = 0,
) -> None:
    """Find the weights of the domains by one method and write them as mixture.json."""
    from curation.mixture.methods import method_named
    from curation.mixture.problem import problem_of, read_domains
    from curation.mixture.report import mixture_report
    from curation.mixture.run_table import read

    problem = problem_of(
        read_domains(domains), token_budget=_whole(token_budget), max_epochs=max_epochs or None,
        table=read(runs, losses) if runs else None, targets=_targets(target), tokenizer=tokenizer, seed=seed,
    )  # fmt: skip
    mixture = method_named(method, set_ or []).solve(problem)
    mixture.save(out)
    say(mixture_report(mixture))
    say(f"wrote {out}")


@mix_app.command()
@with_storage
def rounds(
    domains: Domains,
    train: Annotated[str, typer.Option(help="Command that trains {mixtures} and writes {runs}, or runs.csv in {folder}.")],
    out: Annotated[Path, typer.Option(help="Folder of mixtures and runs; the same one again goes on where it stopped.")],
    sizes: Annotated[str, typer.Option(help="Mixtures of each round.")] = "64,32,16",
    target: Targets = None,
    minimum: Annotated[float, typer.Option(help="Smallest share and grid: about 100 / sequences of a proxy run.")] = 2e-4,
    token_budget: Budget = None,
    max_epochs: Epochs = 4.0,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 42,
) -> None:
    """Propose, train and fit in rounds, each nearer to the best mixture; the run table of all rounds is OUT/runs.csv."""
    from curation.mixture.problem import problem_of, read_domains
    from curation.mixture.rounds import Rounds, by_command, sizes_of
    from curation.mixture.run_table import write
    from curation.mixture.sampling import Sampling

    problem = problem_of(
        read_domains(domains), token_budget=_whole(token_budget), max_epochs=max_epochs or None, targets=_targets(target)
    )
    made = Rounds(sizes_of(sizes), Sampling(minimum=minimum, seed=seed))
    table = made.run(problem, by_command(train, out))
    write(table, out / "runs.csv")
    say(f"wrote {len(table)} runs to {out / 'runs.csv'}; next: curation mix solve --runs {out / 'runs.csv'}")


@mix_app.command()
@with_storage
def train(
    text: Annotated[list[str], typer.Argument(help="Parquet or JSONL files, or folders of them, with text and its domain.")],
    mixtures: Annotated[str, typer.Option(help="Mixtures to train: a table of `curation mix propose`, or a mixture.json.")],
    out: Annotated[Path, typer.Option(help="Folder of the proxies. The same one again resumes.")],
    preset: Annotated[str, typer.Option(help="tiny (minutes on two cores) or regmix-1m (as published, for GPUs).")] = "tiny",
    set_: Annotated[Optional[list[str]], typer.Option("--set", help="Change one setting, e.g. steps=2000.")] = None,
    domain_column: Annotated[str, typer.Option(help='Column of the domain; "" takes the names of the files.')] = "domain",
    table: Annotated[str, typer.Option(help="Name of the run table in --out, .csv or .parquet.")] = "runs.csv",
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    workers: Annotated[int, typer.Option(min=0, help="Processes on a CPU; 0 for all cores. Numbers do not depend on it.")] = 0,
    checkpoint_s: Annotated[float, typer.Option(min=0, help="Seconds between checkpoints.")] = 60.0,
) -> None:
    """Train a small model on every mixture and write the run table: losses in bits per byte on held-out text by domain.

    Says beforehand what it costs and takes. The same command again goes on where it stopped.
    """
    from curation.mixture.proxies import Machine, read_mixtures, train_proxies
    from curation.mixture.proxy_settings import settings_of

    written = train_proxies(
        text, read_mixtures(mixtures), str(out), settings_of(preset, set_ or []),
        Machine(device, workers, checkpoint_s), column=domain_column, table=table, say=say,
    )  # fmt: skip
    say(f"wrote {written}")


@mix_app.command()
def report(
    runs: Annotated[str, typer.Option(help="Folder of run tables, such as RegMix's release, or one table.")],
    target: Annotated[str, typer.Option(help="Target of the comparison; default pile_cc where it is, else the mean.")] = "",
    solve: Annotated[bool, typer.Option(help="Solve for the best mixture too.")] = True,
) -> None:
    """Hold the regressions against published runs: rank correlations by test table and size, and the best mixtures."""
    from curation.mixture.report import tables_report

    for part in tables_report(runs, target, solving=solve):
        say(part)


def _whole(tokens: float | None) -> int | None:
    return None if tokens is None else int(tokens)


def _targets(given: list[str] | None) -> dict[str, float]:
    """target or target=weight."""
    found: dict[str, float] = {}
    for text in given or []:
        name, _, weight = text.partition("=")
        try:
            found[name] = float(weight) if weight else 1.0
        except ValueError as error:
            raise MixtureError(explain_mismatch("--target", wanted="target or target=weight", found=repr(text))) from error
    return found
