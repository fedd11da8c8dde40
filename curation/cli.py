"""The command line: verbs only. Every verb calls a function that notebooks can call too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

import curation
from curation.cli_storage import set_log, with_storage
from curation.errors import CurationError
from curation.index_cli import index_app
from curation.inspect_cli import OutFolder, census, contamination, page, peek, say, slow, why
from curation.mix_files_cli import mix_app
from curation.models_cli import app as models_app
from curation.storage_options import of_process, shown

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Curate pretraining corpora: web archives in, Parquet shards out, every document accounted for.\n\n"
    "Start with: curation demo",
)  # fmt: skip

app.add_typer(index_app, name="index")
app.add_typer(mix_app, name="mix")
app.add_typer(models_app, name="models")

Recipe = Annotated[str, typer.Argument(help="A name (common_crawl_english), a .py file with PIPELINE, or a frozen .yaml.")]
InputPaths = Annotated[
    list[str],
    typer.Option("--input", "-i", help="Archive, folder, glob, fsspec URL, or a list file (.paths, .paths.gz). Repeatable."),
]
OptionalInputs = Annotated[
    Optional[list[str]], typer.Option("--input", "-i", help="Also plan a run over these inputs. Repeatable.")
]
Root = Annotated[str, typer.Option(help="Goes before every line of a list file, e.g. s3://commoncrawl or a local folder.")]
Settings = Annotated[
    Optional[list[str]],
    typer.Option("--set", help="Change one field: label.field=value, e.g. language.keep={eng_Latn: 0.8}"),
]
AllowCode = Annotated[bool, typer.Option("--allow-code", help="Let a YAML recipe load stages from its own Python files.")]
LogLevel = Annotated[str, typer.Option(help="debug, info, warning or error.")]


def _version(wanted: bool) -> None:
    if wanted:
        say(f"curation {curation.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


@app.command()
@with_storage
def run(
    recipe: Recipe,
    input_: InputPaths,
    out: Annotated[str, typer.Option(help="Output folder: a path or an fsspec URL. The same one again resumes.")],
    workers: Annotated[Optional[int], typer.Option(min=1, help="Processes; default all cores. 1 runs in this process.")] = None,
    root: Root = "",
    limit: Annotated[Optional[int], typer.Option(min=1, help="Read only the first N documents.")] = None,
    sample: Annotated[Optional[float], typer.Option(min=0.0, max=1.0, help="Keep this share, by a hash of doc.")] = None,
    set_: Settings = None,
    slice_: Annotated[
        Optional[str], typer.Option("--slice", help="Do share i of n of the units: 3/40. Share a folder.")
    ] = None,
    runner: Annotated[str, typer.Option(help="local (processes of this machine) or ray (the extra `ray`).")] = "local",
    address: Annotated[
        Optional[str],
        typer.Option(help="For ray: a cluster; default RAY_ADDRESS, one running here, or its own."),
    ] = None,
    wait_minutes: Annotated[float, typer.Option(help="How long a slice waits for its neighbours' units.")] = 60.0,
    allow_code: AllowCode = False,
    log_level: LogLevel = "info",
) -> None:
    """Run a recipe over web archives. The same command again resumes where it stopped, or finds everything done."""
    from curation.inspect.funnel import funnel
    from curation.plan import Options
    from curation.progress import make_progress
    from curation.recipe import load_recipe, with_settings
    from curation.runners.choose import executor_maker
    from curation.runners.drive import run_pipeline, wait_for_slices
    from curation.runners.waves import Slice

    set_log(log_level)
    pipeline = with_settings(load_recipe(recipe, allow_code=allow_code), set_ or [])
    part = Slice.parse(slice_) if slice_ else None

    def once():
        return run_pipeline(
            pipeline, input_, out, executor_maker(runner, workers, address), root=root,
            options=Options(limit=limit, sample=sample), slice_=part, storage_options=of_process(),
            progress=make_progress(),
        )  # fmt: skip

    result = wait_for_slices(once, wait_minutes * 60) if part else once()
    say(result.report())
    if result.times.worth_a_word():
        say(result.times.report(only_slow=True))
    if result.census:
        say(funnel(result.census))
    say(f"output: {shown(out)}")


@app.command()
@with_storage
def score(
    out: OutFolder,
    card: Annotated[str, typer.Option(help="Name of a card (curation models list), or the path of one of your own (.toml).")],
    label: Annotated[Optional[list[str]], typer.Option(help="A label to score; default the card's. Repeatable.")] = None,
    weights: Annotated[str, typer.Option(help="Where the weights lie that the card leaves to you.")] = "",
    pieces: Annotated[str, typer.Option(help="Where its SentencePiece model lies, if it has one.")] = "",
    head: Annotated[str, typer.Option(help="Where the linear head over an encoder lies that the card leaves to you.")] = "",
    device: Annotated[str, typer.Option(help="Of encoders: cpu, cuda, or auto: cuda where there is a GPU.")] = "cpu",
    workers: Annotated[int, typer.Option(min=1, help="Processes; on a GPU each has the model once.")] = 1,
) -> None:
    """Score the documents of a finished run with one more card: a side file for each shard, row for row; the run stays so.

    The same command again keeps the side files that still belong to their shards and to the same model.
    """
    from curation.score_run import report, score_run, scorer_of

    place, done = score_run(out, scorer_of(card, label or (), weights, pieces, head, device), workers=workers)
    say(report(f"{out}/{place}", done))


@app.command()
@with_storage
def scores(
    out: OutFolder,
    by: Annotated[
        list[str],
        typer.Option(help="Groups: a column, year, crawl_year, site, or a number's quantiles: score_quality_en:4. Repeatable."),
    ] = ["source", "year"],  # noqa: B006
    column: Annotated[Optional[list[str]], typer.Option(help="A number to describe; default every score. Repeatable.")] = None,
    dropped: Annotated[bool, typer.Option("--dropped", help="Tombstones instead of kept documents.")] = False,
    most: Annotated[int, typer.Option(min=1, help="Groups to show, those of most documents.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="Every group, as JSON.")] = False,
) -> None:
    """How the scores of a finished run lie, group by group: documents, text, mean and percentiles by source, domain, year.

    year: the one in a dated address (/2019/05/) that is not after the crawl, else the crawl's; crawl_year: the crawl's alone.
    """
    from curation.inspect.scores import score_table, scores_text

    table = score_table(out, by, column or (), fallen=dropped)
    say(table.write_json() if json else scores_text(table, most))


@app.command()
def submit(
    recipe: Recipe,
    address: Annotated[str, typer.Option(help="The cluster's dashboard, http://HOST:8265; elsewhere only with a token.")],
    arguments: Annotated[
        Optional[list[str]], typer.Argument(help="After --, the options of `curation run`: -- --input URL --out URL")
    ] = None,
    working_dir: Annotated[
        Optional[str], typer.Option(help="Folder to send along, 50 MB at most; default a recipe file's own folder.")
    ] = None,
    exclude: Annotated[
        Optional[list[str]], typer.Option(help="Names not to send, besides hidden ones, data, venv; *.txt. Repeatable.")
    ] = None,
    env: Annotated[
        Optional[list[str]], typer.Option(help="KEY=VALUE for the job, or KEY as it is set here. Repeatable.")
    ] = None,
    pip: Annotated[Optional[list[str]], typer.Option(help="A package every node installs for the job. Repeatable.")] = None,
    runtime_env: Annotated[Optional[Path], typer.Option(help="YAML file of Ray's runtime environment.")] = None,
    follow: Annotated[bool, typer.Option(help="Show the job's log until it ends.")] = True,
    job_id: Annotated[Optional[str], typer.Option(help="Name of the job; default one that Ray makes.")] = None,
    shared_paths: Annotated[bool, typer.Option("--shared-paths", help="Paths are the same on every node: no warning.")] = False,
) -> None:
    """Send a run to a Ray cluster as a job, and follow it. The same command again resumes.

    Exit status: 0 the job succeeded (or was sent, with --no-follow), 1 it failed or was refused, 2 wrong options, 3 it was
    stopped, 130 Ctrl-C: the job goes on.
    """
    from curation.recipe import load_recipe, with_settings
    from curation.runners import submit as jobs

    command: Any = typer.main.get_command(app)
    given = command.commands["run"].make_context("curation run", [recipe, *(arguments or [])]).params
    if given["runner"] != "local" or given["address"]:
        raise CurationError("submit: --runner and --address after -- are set by submit itself")
    with_settings(load_recipe(recipe, allow_code=given["allow_code"]), given["set_"] or [])
    job = jobs.make_job(
        recipe, arguments or [], working_dir=working_dir, exclude=exclude or [], env=env or [], pip=pip or [],
        runtime_env=runtime_env,
    )  # fmt: skip
    places = [] if shared_paths else [*given["input_"], given["out"], given["root"]]
    status = jobs.submit(job, address, lambda text: typer.echo(text, nl=False), places=places, job_id=job_id, following=follow)
    raise typer.Exit(status)


@app.command()
@with_storage
def explain(
    recipe: Recipe,
    input_: OptionalInputs = None,
    root: Root = "",
    set_: Settings = None,
    allow_code: AllowCode = False,
    yaml: Annotated[bool, typer.Option("--yaml", help="Print the frozen recipe, every default written out.")] = False,
) -> None:
    """Show what a recipe does, segment by segment, without running it; with --input, what a run would do."""
    from curation.inspect.explain import explain as explain_recipe
    from curation.inspect.explain import explain_run
    from curation.inspect.runner_advice import runner_advice
    from curation.recipe import load_recipe, to_yaml, with_settings
    from curation.runners.drive import plan_only

    pipeline = with_settings(load_recipe(recipe, allow_code=allow_code), set_ or [])
    say(to_yaml(pipeline).rstrip() if yaml else explain_recipe(pipeline))
    if input_:
        planned, inputs = plan_only(pipeline, input_, root=root, storage_options=of_process())
        say(explain_run(planned, inputs))
        say(runner_advice(pipeline, planned))


@app.command()
@with_storage
def plan(
    recipe: Recipe,
    documents: Annotated[Optional[float], typer.Option(help="Documents with text, e.g. 1e10; or give --input.")] = None,
    input_: OptionalInputs = None,
    root: Root = "",
    set_: Settings = None,
    allow_code: AllowCode = False,
    cores: Annotated[int, typer.Option(help="Cores in all.")] = 1,
    text_bytes: Annotated[float, typer.Option(help="Bytes of text a document.")] = 5000.0,
    memory_gb: Annotated[float, typer.Option(help="GiB of memory a worker has.")] = 4.0,
    touched: Annotated[float, typer.Option(help="Share of documents that have a like one.")] = 0.4,
    mb_s: Annotated[float, typer.Option(help="10**6 bytes a second to and from storage, a core.")] = 50.0,
    read_ms: Annotated[float, typer.Option(help="Milliseconds a ranged read takes; 20 to 50 on object stores.")] = 1.0,
) -> None:
    """Estimate what a run will need, without reading data: bytes, memory, units, hours of each step; and what does not fit."""
    from curation.inspect.estimate import Scale, estimate, scale_of_inputs
    from curation.inspect.estimate_report import report
    from curation.recipe import load_recipe, with_settings
    from curation.runners.drive import plan_only

    pipeline = with_settings(load_recipe(recipe, allow_code=allow_code), set_ or [])
    if (documents is None) == (not input_):
        raise CurationError("plan: wanted --documents or --input, found both or neither")
    scale = Scale(documents or 1.0, cores, text_bytes, memory_gb, touched, mb_s, read_ms)
    shards = None
    if input_:
        planned, _ = plan_only(pipeline, input_, root=root, storage_options=of_process())
        scale, shards = scale_of_inputs(planned, scale), len(planned.shards)
    say(report(estimate(pipeline, scale, shards)))


for _verb in (census, slow, why, page, peek, contamination):
    app.command()(_verb)


@app.command()
def stages(
    name: Annotated[str, typer.Argument(help="A stage, such as filters/gopher_quality. All of them without.")] = "",
) -> None:
    """List the stages a recipe can use, or print one whole: rules, reasons, fields, defaults, source.

    The names are what recipes in YAML call them; in Python filters/gopher_quality is filters.GopherQuality.
    """
    from curation.inspect.stages import render_catalogue, render_stage

    say(render_stage(name) if name else render_catalogue())


@app.command()
def demo(
    out: Annotated[str, typer.Option(help="Output folder.")] = "demo-run",
    workers: Annotated[Optional[int], typer.Option(min=1, help="Processes; default all cores.")] = None,
) -> None:
    """Build the embedded crawl as real WARC files, curate it, and show what happened to its pages."""
    from curation.demo.show import run_demo

    set_log("warning")
    say(run_demo(Path(out), workers))


@app.command()
def derive_thresholds(
    language: Annotated[str, typer.Option(help="ISO 639-3 code and script, e.g. fra_Latn.")],
    reference: Annotated[str, typer.Option(help="Clean texts of the language: Parquet or JSONL, a file or a folder.")],
    out: Annotated[Path, typer.Option(help="Settings file (.yaml) to write; its other languages are kept.")],
    web_reference: Annotated[str, typer.Option(help="Texts of the web; sets repetition and the cut on scores.")] = "",
    english: Annotated[str, typer.Option(help="Clean English texts; every method but 10tail needs them.")] = "",
    english_web: Annotated[str, typer.Option(help="English texts of the web.")] = "",
    method: Annotated[
        Optional[list[str]],
        typer.Option(help="10tail, quantile, meanstd or medianratio; for one group: gor=quantile. Repeatable."),
    ] = None,
    score_column: Annotated[str, typer.Option(help="Column of language scores in the web texts.")] = "score_language",
    center: Annotated[str, typer.Option(help="The cut on scores: median or mean, less one deviation.")] = "median",
    lengths_of: Annotated[str, typer.Option(help="Word length from the means of texts, or from all words.")] = "texts",
    limit: Annotated[Optional[int], typer.Option(min=1, help="Use only the first N texts of each reference.")] = None,
) -> None:
    """Derive one language's thresholds and stop words from reference texts, as FineWeb2 does."""
    from curation.derive.thresholds import derive_settings, methods_of, report, write_settings

    derived = derive_settings(
        language, reference=reference, web_reference=web_reference, english=english, english_web=english_web,
        methods=methods_of(method or []), score_column=score_column, center=center, limit=limit, lengths_of=lengths_of,
    )  # fmt: skip
    write_settings(derived, out)
    say(report(derived))
    say(f"wrote {out}")


@app.command()
def lint_settings(
    where: Annotated[str, typer.Argument(help="A table of the package (fineweb2_card), a folder or a file.")],
    language: Annotated[Optional[str], typer.Option(help="Every finding of one language.")] = None,
) -> None:
    """Explain rules of a settings table that can never fire, always fire, or mean something else than they seem."""
    from curation.inspect.lint_settings import report

    say(report(where, language))


@app.command()
@with_storage
def clean(directory: OutFolder) -> None:
    """Remove the work of a finished run (parts and commit records); shards, tombstones and census stay."""
    from curation.runners.publish import clean as remove
    from curation.storage import Folder

    say(f"freed {remove(Folder(directory)) / 1e6:.1f} MB; the next run of this recipe starts from the archives")


def main() -> None:
    """Entry point: errors raised on purpose are shown as their message, exit status 1; interrupts say how to go on."""
    try:
        app()
    except CurationError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: finished units are kept, the same command resumes\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
