"""`curation mix domains`, `tokenizer`, `apply`, `export`: between shards and mixtures. Verbs only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from curation.cli_storage import set_log, with_storage
from curation.mix_cli import mix_app, say
from curation.storage_options import of_process

Inputs = Annotated[
    list[str],
    typer.Option("--input", "-i", help="Curated shards: a run's folder, Parquet files, globs, URLs. Repeatable."),
]
MixtureFile = Annotated[str, typer.Argument(help="A mixture.json, of `curation mix solve` or written by hand.")]
DomainBy = Annotated[
    Optional[str],
    typer.Option("--domain-by", help="source, column, url, scores or table; default: the column `domain` of the shards."),
]
DomainOption = Annotated[
    Optional[list[str]],
    typer.Option("--domain-option", metavar="KEY=VALUE", help="A field of mixture/domains, e.g. column=language. Repeatable."),
]
Tokenizer = Annotated[
    str, typer.Option(help="A tokenizer.json, or bytes; default: the column `token_count`, for `export` bytes.")
]
Text = Annotated[str, typer.Option(help="The column of the text.")]


def _corpus(inputs: list[str], domain_by: str | None, options: list[str] | None, text: str) -> Any:
    import yaml

    from curation.errors import CurationError
    from curation.mixture.corpus import Corpus
    from curation.mixture.domains import Domains
    from curation.recipe import build_stage

    if options and not domain_by:
        example = "--domain-by column --domain-option column=language"
        raise CurationError(f"--domain-option belongs to --domain-by\n  try:    {example}")
    fields: dict[str, object] = {"by": domain_by} if domain_by else {}
    for option in options or []:
        key, _, value = option.partition("=")
        # workers may start in another folder
        fields[key] = str(Path(value).resolve()) if key in Domains.path_fields else yaml.safe_load(value)
    stage = build_stage(Domains, fields) if domain_by else None
    assert stage is None or isinstance(stage, Domains)
    return Corpus(inputs, stage, text, of_process())


@mix_app.command()
@with_storage
def domains(
    input_: Inputs,
    out: Annotated[Optional[str], typer.Option(help="Write the table as CSV: what `curation mix solve` takes.")] = None,
    domain_by: DomainBy = None,
    domain_option: DomainOption = None,
    tokenizer: Tokenizer = "",
    text: Text = "text",
) -> None:
    """Count the documents and tokens of every domain of a corpus: what there is to mix."""
    from curation.mixture.build import write_counts
    from curation.mixture.corpus import count_domains
    from curation.scorers.token_count import TokenCount

    counter = TokenCount(tokenizer=tokenizer) if tokenizer else None
    found = count_domains(_corpus(input_, domain_by, domain_option, text), counter)
    total = sum(one.tokens for one in found.values()) or 1
    say(f"{'domain':32}{'documents':>12}{'tokens':>16}{'share':>9}")
    for name, one in found.items():
        say(f"{name:32}{one.documents:>12}{one.tokens:>16}{one.tokens / total:>9.4f}")
    if out:
        write_counts(found, Path(out))
        say(f"\nwritten: {out}")


@mix_app.command()
@with_storage
def tokenizer(
    input_: Inputs,
    out: Annotated[str, typer.Option(help="The tokenizer.json to write.")],
    vocabulary: Annotated[int, typer.Option(help="Tokens of the vocabulary, at least 257.")] = 16_384,
    megabytes: Annotated[float, typer.Option(help="Text to train on, 10**6 bytes, chosen by hash.")] = 100.0,
    text: Text = "text",
) -> None:
    """Train a byte-level BPE tokenizer on a corpus: no download needed, and the same one for the same corpus."""
    from curation.mixture.corpus import Corpus
    from curation.mixture.domains import Domains
    from curation.mixture.tokenizer import train_tokenizer

    corpus = Corpus(input_, Domains(), text, of_process())
    say(f"{out}: {train_tokenizer(corpus, Path(out), vocabulary, int(megabytes * 10**6))} tokens")


@mix_app.command()
@with_storage
def clusters(
    input_: Annotated[list[str], typer.Option("--input", "-i", help="Parquet files with id and embeddings. Repeatable.")],
    out: Annotated[str, typer.Option(help="The table to write, for --domain-by table --domain-option table=FILE.")],
    number: Annotated[int, typer.Option("--clusters", help="How many domains.")] = 16,
    column: Annotated[str, typer.Option(help="The column of the embeddings: lists of numbers of one length.")] = "embedding",
    seed: Annotated[int, typer.Option(help="Of the first centres.")] = 0,
) -> None:
    """Make domains of embeddings by k-means: a table of documents and clusters, the same for any order of the files."""
    from curation.mixture.clusters import Embeddings, cluster_table, write_table

    table = cluster_table(Embeddings(input_, column, dict(of_process())), number, seed)
    write_table(table, Path(out))
    for name, documents in table.group_by("domain").len().sort("domain").iter_rows():
        say(f"{name:16}{documents:>12}")
    say(f"\nwritten: {out}")


@mix_app.command()
@with_storage
def apply(
    mixture: MixtureFile,
    input_: Inputs,
    out: Annotated[str, typer.Option(help="Output folder: a run like any other. The same command again resumes.")],
    token_budget: Annotated[
        Optional[float], typer.Option(help="Tokens to draw, e.g. 1e9; default: the mixture's, else the most its epochs allow.")
    ] = None,
    order: Annotated[str, typer.Option(help="document, shuffled, ascending or descending (by --quality).")] = "document",
    quality: Annotated[str, typer.Option(help="The column to order by, e.g. score_quality_en.")] = "",
    max_epochs: Annotated[float, typer.Option(help="How often a domain may be read.")] = 4.0,
    when_short: Annotated[str, typer.Option(help="stop, clip or shrink, where a domain has too few tokens.")] = "stop",
    seed: Annotated[int, typer.Option(help="Of the draw and of the shuffled order.")] = 0,
    target_mb: Annotated[float, typer.Option(help="Text of a shard, 10**6 bytes.")] = 512.0,
    workers: Annotated[Optional[int], typer.Option(min=1, help="Processes; default all cores.")] = None,
    runner: Annotated[str, typer.Option(help="local or ray.")] = "local",
    address: Annotated[Optional[str], typer.Option(help="For ray: a cluster.")] = None,
    domain_by: DomainBy = None,
    domain_option: DomainOption = None,
    tokenizer: Tokenizer = "",
    text: Text = "text",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Draw a corpus in the shares of a mixture: shards with every domain's tokens, repeats included, and what was left out."""
    from curation.mixture.apply import apply_mixture, pipeline_for
    from curation.mixture.materialise import Materialise
    from curation.mixture.ordering import check_order
    from curation.runners.choose import executor_maker
    from curation.runners.drive import run_pipeline
    from curation.storage import Folder

    set_log(log_level)
    check_order(order, quality)
    corpus = _corpus(input_, domain_by, domain_option, text)
    mixture = str(Path(mixture).resolve())
    if tokenizer and tokenizer != "bytes":
        tokenizer = str(Path(tokenizer).resolve())
    stage = Materialise(mixture=mixture, tokens=int(token_budget or 0), max_epochs=max_epochs, when_short=when_short, seed=seed)
    pipeline = pipeline_for(corpus, stage, tokenizer, target_mb)

    def drive(made):
        return run_pipeline(made, corpus.locations, out, executor_maker(runner, workers, address), storage_options=of_process())

    found = apply_mixture(pipeline, Folder(out, dict(of_process())), drive, order, quality, seed)
    say(f"{'domain':32}{'asked':>14}{'drawn':>14}{'weight':>9}{'share':>9}{'epochs':>8}")
    for name, one in found.report["domains"].items():
        said = f"{one['asked']:>14}{one['drawn']:>14}{one['weight']:>9.4f}{one['share']:>9.4f}{one['epochs']:>8.2f}"
        say(f"{name:32}{said}")
    say(f"\n{found.report['tokens']} tokens in {out}/{found.report['shards']}, mixture: {out}/mixture.json")


@mix_app.command()
@with_storage
def export(
    mixture: MixtureFile,
    to: Annotated[str, typer.Option(help="A trainer's format, see docs/mixture_formats.md; several with commas between.")],
    input_: Inputs,
    out: Annotated[str, typer.Option(help="A local folder; several formats get one each below it.")],
    domain_by: DomainBy = None,
    domain_option: DomainOption = None,
    tokenizer: Tokenizer = "",
    end_token: Annotated[str, typer.Option(help="The token behind every document; default: the tokenizer's own.")] = "",
    tokenizer_name: Annotated[str, typer.Option(help="What configurations call the tokenizer; default: its file.")] = "",
    location: Annotated[str, typer.Option(help="Where the trainer finds the folder; default: where it is.")] = "",
    sequence_length: Annotated[int, typer.Option(help="Tokens of a packed row.")] = 2048,
    token_budget: Annotated[Optional[float], typer.Option(help="Tokens of the training run; default: the mixture's.")] = None,
    max_epochs: Annotated[float, typer.Option(help="Warn of domains read more often.")] = 4.0,
    shard_mb: Annotated[float, typer.Option(help="Size of a file, 10**6 bytes, where a format has several.")] = 64.0,
    seed: Annotated[int, typer.Option(help="For what configurations say of shuffling.")] = 0,
    text: Text = "text",
) -> None:
    """Write the files and the configuration that a trainer reads a mixture with, weights in its own unit."""
    from curation.mixture.artefact import load
    from curation.mixture.exporters import export as export_mixture
    from curation.mixture.exporters.encoding import Encoder
    from curation.mixture.exporters.job import Job

    formats = [name.strip() for name in to.split(",")]
    corpus = _corpus(input_, domain_by, domain_option, text)
    encoder = Encoder(tokenizer or "bytes", end_token, tokenizer_name)
    for name in formats:
        alone = len(formats) == 1
        job = Job(
            corpus, load(mixture), Path(out) if alone else Path(out) / name, encoder,
            location if alone or not location else f"{location.rstrip('/')}/{name}", sequence_length,
            int(token_budget) if token_budget else None, max_epochs,
            shard_mb, seed,
        )  # fmt: skip
        _say_export(name, export_mixture(name, job), job.out)


def _say_export(name: str, found: Any, folder: Path) -> None:
    say(f"{name}: weights of {found.unit}, {json.dumps(found.weights, ensure_ascii=False)}")
    say("  " + ", ".join(str(folder / file) for file in found.configuration))
    for warning in found.warnings:
        say(f"  warning: {warning}")


@mix_app.command()
@with_storage
def build(
    input_: Inputs,
    out: Annotated[str, typer.Option(help="A local folder: domains.csv, mixture.json, and a folder a format.")],
    method: Annotated[
        str, typer.Option(help="See docs/mixture.md; natural, temperature and unimax need no runs.")
    ] = "temperature",
    to: Annotated[
        str, typer.Option(help="Trainers' formats with commas between, see docs/mixture_formats.md; none: no export.")
    ] = "",
    runs: Annotated[str, typer.Option(help="Run table, for methods that fit one.")] = "",
    token_budget: Annotated[Optional[float], typer.Option(help="Tokens of the training run, e.g. 1e9.")] = None,
    max_epochs: Annotated[float, typer.Option(help="Most times a domain may be read; 0 sets no limit.")] = 4.0,
    set_: Annotated[Optional[list[str]], typer.Option("--set", help="A setting of the method. Repeatable.")] = None,
    domain_by: DomainBy = None,
    domain_option: DomainOption = None,
    tokenizer: Tokenizer = "",
    sequence_length: Annotated[int, typer.Option(help="Tokens of a packed row.")] = 2048,
    seed: Annotated[int, typer.Option(help="Of whatever is drawn.")] = 0,
    text: Text = "text",
) -> None:
    """From curated shards to weights and a trainer's files: count the domains, solve, export."""
    from curation.mixture.build import build as build_mixture
    from curation.mixture.exporters.encoding import Encoder
    from curation.mixture.methods import method_named
    from curation.mixture.report import mixture_report
    from curation.mixture.run_table import read

    found = build_mixture(
        _corpus(input_, domain_by, domain_option, text), Path(out), method_named(method, set_ or []),
        [name.strip() for name in to.split(",") if name.strip()], Encoder(tokenizer or "bytes"),
        table=read(runs, "") if runs else None, token_budget=int(token_budget) if token_budget else None,
        max_epochs=max_epochs or None, seed=seed, sequence_length=sequence_length,
    )  # fmt: skip
    say(mixture_report(found.mixture))
    say(f"wrote {out}/domains.csv, {out}/mixture.json")
    for name, one in found.exports.items():
        _say_export(name, one, Path(out) / name)
