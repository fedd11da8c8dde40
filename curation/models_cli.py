"""The verbs `curation models …`: which models there are, and training one's own. No logic: classifiers/ does the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Optional

import typer

from curation.errors import ModelError

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None,
    help="Models that score documents: the cards there are, and training one's own.",
)  # fmt: skip
train_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None,
    help="Train a model from texts, measure it on sources it has not seen, and write its card.",
)  # fmt: skip
app.add_typer(train_app, name="train")

Data = Annotated[list[Path], typer.Argument(help="Files of examples: .parquet, .jsonl, .jsonl.gz.")]
Out = Annotated[Path, typer.Option(help="Folder for the weights and the card.")]
Name = Annotated[str, typer.Option(help="Name of the model: of its files and of its column score_NAME.")]
TextColumn = Annotated[str, typer.Option(help="Column of the text.")]
Group = Annotated[str, typer.Option(help="Column of the source (site, author): never on both sides of the split.")]
Cluster = Annotated[str, typer.Option(help="Column of near-duplicate clusters, such as cluster_id.")]
Part = Annotated[str, typer.Option(help="Column that says train or test; otherwise a hash chooses.")]
Share = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the groups to measure with.")]
Seed = Annotated[int, typer.Option(help="The same data, settings and seed give the same bytes.")]
Licence = Annotated[str, typer.Option(help="Licence of the weights, for the card.")]
TrainedOn = Annotated[str, typer.Option("--training-data", help="What it was trained with, in words, for the card.")]
Direction = Annotated[str, typer.Option(help="What a higher score means, for the card.")]


@contextmanager
def _told() -> Iterator[None]:
    """Errors of classifiers/ as errors the command line prints without a traceback."""
    from classifiers.card import CardError
    from classifiers.examples import TrainingError

    try:
        yield
    except (CardError, TrainingError, ValueError) as error:  # ValueError: JSON, Parquet, a name of pre-processing
        raise ModelError(str(error)) from error


@app.command("list")
def list_models() -> None:
    """List the cards that come with the package: what each scores, which way is better, and where its weights come from."""
    from classifiers.card import card_names, environment_variable, load_card

    for name in card_names():
        card = load_card(name)
        origin = "with the package" if card.location else f"yours: {environment_variable(name)} or the stage's weights"
        typer.echo(f"{name:18} {card.kind:16} {card.direction}")
        typer.echo(f"{'':18} labels {', '.join(card.scored[:6]) or 'named by the recipe'}; weights {origin}")


@app.command()
def show(card: Annotated[str, typer.Argument(help="Name of a card, or the path of one (.toml).")]) -> None:
    """Print a card whole: direction, range, pre-processing, weights, licence, training data, limits, measured quality."""
    from classifiers.card import card_path

    with _told():
        typer.echo(card_path(card).read_text(encoding="utf-8").rstrip())


@train_app.command()
def fasttext(
    data: Data, out: Out, name: Name,
    positive: Annotated[str, typer.Option(help="The label whose probability is the score.")],
    text: TextColumn = "text",
    label: Annotated[str, typer.Option(help="Column of the label.")] = "label",
    group: Group = "", cluster: Cluster = "", part: Part = "",
    preprocessing: Annotated[str, typer.Option(help="words, one_line, dclm, dolma (classifiers/preprocessing.py).")] = "words",
    dim: Annotated[int, typer.Option(min=1, help="Length of the vectors.")] = 16,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 10,
    rate: Annotated[float, typer.Option(help="Learning rate at the start.")] = 0.3,
    word_ngrams: Annotated[int, typer.Option(min=1, help="Longest word n-gram.")] = 2,
    min_count: Annotated[int, typer.Option(min=1, help="Rarer words are left out.")] = 3,
    buckets: Annotated[int, typer.Option(min=1, help="Slots into which n-grams are hashed.")] = 50_000,
    quantise: Annotated[bool, typer.Option(help="Store the vectors in a fifth of the space.")] = True,
    test_share: Share = 0.2, seed: Seed = 0, licence: Licence = "", training_data: TrainedOn = "", direction: Direction = "",
) -> None:  # fmt: skip
    """Train a fastText classifier (extra `train`), in one thread; scores/classify and a recipe take the card it writes."""
    from classifiers.examples import Columns
    from classifiers.train_fasttext import FastTextSettings, train_fasttext

    settings = FastTextSettings(dim, epochs, rate, word_ngrams, min_count, buckets, quantise=quantise)
    with _told():
        card = train_fasttext(
            data, out, name, positive=positive, columns=Columns(text, label, group, cluster, part), settings=settings,
            preprocessing=preprocessing, test_share=test_share, seed=seed, licence=licence, training_data=training_data,
            direction=direction,
        )  # fmt: skip
    typer.echo(card.read_text(encoding="utf-8").rstrip())
    typer.echo(f"card: {card}")


@train_app.command()
def head(
    data: Data, out: Out, name: Name,
    encoder: Annotated[str, typer.Option(help="Folder that transformers loads, or hub:OWNER/NAME, download:OWNER/NAME.")],
    positive: Annotated[str, typer.Option(help="The class whose probability is the score; without it, all are.")] = "",
    regression: Annotated[bool, typer.Option("--regression", help="Labels are numbers.")] = False,
    text: TextColumn = "text",
    label: Annotated[str, typer.Option(help="Column of the label.")] = "label",
    group: Group = "", cluster: Cluster = "", part: Part = "",
    pooling: Annotated[str, typer.Option(help="mean over tokens, or first_token.")] = "mean",
    max_tokens: Annotated[int, typer.Option(min=8, help="Longest input of the encoder.")] = 512,
    long: Annotated[str, typer.Option(help="Of longer texts: head, head_tail, mean.")] = "head",
    ridge: Annotated[float, typer.Option(help="Penalty on the squared weights, more than 0.")] = 1.0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    test_share: Share = 0.2, seed: Seed = 0, licence: Licence = "", training_data: TrainedOn = "", direction: Direction = "",
) -> None:  # fmt: skip
    """Train a linear head over a frozen encoder (extra `neural`); scores/classify and a recipe take the card it writes."""
    with _told():
        from classifiers.examples import Columns
        from classifiers.train_head import HeadSettings, train_head

        settings = HeadSettings(regression, ridge, pooling, max_tokens=max_tokens, long=long, device=device)
        card = train_head(
            data, out, name, encoder=encoder, positive=positive, columns=Columns(text, label, group, cluster, part),
            settings=settings, test_share=test_share, seed=seed, licence=licence, training_data=training_data,
            direction=direction,
        )  # fmt: skip
    typer.echo(card.read_text(encoding="utf-8").rstrip())
    typer.echo(f"card: {card}")


@train_app.command()
def ngram(
    data: Data, out: Out, name: Name,
    text: TextColumn = "text", group: Group = "", cluster: Cluster = "", part: Part = "",
    preprocessing: Annotated[str, typer.Option(help="ccnet_lines, ccnet, plain_lines.")] = "ccnet_lines",
    order: Annotated[int, typer.Option(min=2, max=6, help="Words of the longest n-gram.")] = 5,
    prune: Annotated[
        Optional[list[int]], typer.Option(help="n-grams seen so often or less are left out; one for each order, from 0.")
    ] = None,
    bits: Annotated[int, typer.Option(min=0, max=25, help="Bits of a stored probability; 0 stores them exactly.")] = 8,
    pieces: Annotated[int, typer.Option(min=0, help="Size of a SentencePiece vocabulary (extra `pieces`); 0: words.")] = 0,
    test_share: Share = 0.1, seed: Seed = 0, licence: Licence = "", training_data: TrainedOn = "", direction: Direction = "",
) -> None:  # fmt: skip
    """Train a KenLM model with lmplz (make kenlm); scores/perplexity and a recipe take the card it writes."""
    from classifiers.examples import Columns
    from classifiers.train_ngram import NgramSettings, train_ngram

    settings = NgramSettings(order, tuple(prune or (0, 0, 1)), bits, pieces)
    with _told():
        card = train_ngram(
            data, out, name, columns=Columns(text, "", group, cluster, part), settings=settings, preprocessing=preprocessing,
            test_share=test_share, seed=seed, licence=licence, training_data=training_data, direction=direction,
        )  # fmt: skip
    typer.echo(card.read_text(encoding="utf-8").rstrip())
    typer.echo(f"card: {card}")


@train_app.command()
def extractor(
    data: Data, out: Out,
    name: Annotated[str, typer.Option(help="Name of the model's files.")] = "main_content",
    trees: Annotated[int, typer.Option(min=1, help="Trees of the first stage.")] = 120,
    leaves: Annotated[int, typer.Option(min=2, max=32, help="Leaves of each.")] = 24,
    second_trees: Annotated[int, typer.Option(min=1, help="Trees of the second stage, which sees the first's answers.")] = 80,
    folds: Annotated[int, typer.Option(min=2, help="Folds of sites.")] = 3,
    measure: Annotated[bool, typer.Option(help="Measure on sites not trained with; takes five times as long.")] = True,
    threads: Annotated[int, typer.Option(min=1, help="Threads of LightGBM.")] = 1,
    seed: Seed = 0, licence: Licence = "", training_data: TrainedOn = "",
) -> None:  # fmt: skip
    """Train extractors/main_content (extra `train`) from pages: columns html, gold (its main text), site, source, weight."""
    from classifiers.examples import read_rows
    from classifiers.train_extractor import ExtractorSettings
    from curation.extractors.main_content_training import train_main_content

    settings = ExtractorSettings(trees, leaves, second_trees, folds=folds, threads=threads, seed=seed)
    with _told():
        card = train_main_content(
            read_rows(data), out, name, settings=settings, measured=measure, licence=licence, training_data=training_data,
            progress=typer.echo,
        )  # fmt: skip
    typer.echo(card.read_text(encoding="utf-8").rstrip())
    typer.echo(f"card: {card}")


@app.command()
def annotate(
    data: Annotated[list[Path], typer.Argument(help="Folder of a finished run, or Parquet files with a column text.")],
    out: Annotated[Path, typer.Option(help="Folder for the journal of replies, labels, report. The same one resumes.")],
    endpoint: Annotated[str, typer.Option(help="An OpenAI-compatible address up to /v1, e.g. http://127.0.0.1:8000/v1.")],
    model: Annotated[str, typer.Option(help="Name of the model, as the endpoint knows it.")],
    rubric: Annotated[str, typer.Option(help="education, dataman, prrc, or a .toml of one's own.")] = "education",
    sample: Annotated[int, typer.Option(min=1, help="Documents to ask about.")] = 1000,
    by: Annotated[
        Optional[list[str]],
        typer.Option(help="Stratify by this column: language, site, score_quality_en:4 (in quartiles). Repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another one draws another sample.")] = 0,
    most: Annotated[int, typer.Option(min=0, help="Calls at most, tries included; 0: as many as it takes.")] = 0,
    at_once: Annotated[int, typer.Option(min=1, max=512, help="Calls under way at a time.")] = 8,
    most_invalid: Annotated[float, typer.Option(min=0.0, max=1.0, help="More unreadable answers stop it.")] = 0.01,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds a call may stay silent.")] = 60.0,
    tries: Annotated[int, typer.Option(min=1, help="Tries of a call, with growing waits between them.")] = 6,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Tokens of the longest answer.")] = 400,
    request: Annotated[
        str, typer.Option(help='Further entries of each request, a JSON object; null takes one out: {"temperature": null}.')
    ] = "{}",
    key_variable: Annotated[
        str, typer.Option(help="Environment variable that holds the key; it is read nowhere else and never written.")
    ] = "OPENAI_API_KEY",
    price_in: Annotated[float, typer.Option(min=0.0, help="Price of a million tokens asked.")] = 0.0,
    price_out: Annotated[float, typer.Option(min=0.0, help="Price of a million tokens answered.")] = 0.0,
    train: Annotated[str, typer.Option(help="Also train a fastText classifier of this name on the labels.")] = "",
    criterion: Annotated[str, typer.Option(help="What it learns; default the rubric's first criterion.")] = "",
    at_least: Annotated[int, typer.Option(help="Ratings from here up count as high.")] = 3,
    positive: Annotated[str, typer.Option(help="For a criterion of options, the one to find.")] = "",
    min_count: Annotated[int, typer.Option(min=1, help="For the training: rarer words are left out.")] = 3,
    test_share: Share = 0.2, licence: Licence = "",
) -> None:  # fmt: skip
    """Have a large model rate a sample of documents, and train a small one on its ratings (docs/annotation.md).

    Every reply is kept the moment it comes: the same command again asks only what has no answer yet.
    """
    from classifiers.annotate import Terms
    from classifiers.annotation_run import AnnotationRun, Student, run_annotation
    from classifiers.endpoint import Settings
    from classifiers.train_fasttext import FastTextSettings

    more = _json_object(request)
    student = Student(
        train, criterion, at_least, positive, FastTextSettings(min_count=min_count), test_share, seed, licence
    ) if train else None  # fmt: skip
    with _told():
        found = run_annotation(
            AnnotationRun(
                tuple(data), out, rubric, sample, tuple(by or ()), seed, most,
                Terms(at_once, most_invalid, price_in, price_out),
                Settings(endpoint, model, key_variable, timeout, tries, answer_tokens=answer_tokens, request=more), student,
            )
        )  # fmt: skip
    typer.echo(found.report.text())
    typer.echo(f"labels: {found.labels}")
    if student and not found.card:
        typer.echo("not trained: the sample is not through; the same command goes on")
    if found.card:
        typer.echo(found.card.read_text(encoding="utf-8").rstrip())
        typer.echo(f"card: {found.card}")


def _json_object(given: str) -> dict[str, object]:
    import json

    try:
        value = json.loads(given)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ModelError(f"--request\n  wanted: a JSON object\n  found:  {given[:80]}")
    return value
