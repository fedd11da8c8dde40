"""A whole annotation: sample, replies, labels, report and, if asked for, the small model: `curation models annotate`.

Source: ours.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from classifiers.annotate import Journal, Report, Terms, annotate, check_student, train_student, write_labels
from classifiers.endpoint import Budget, Endpoint, Settings
from classifiers.examples import TrainingError
from classifiers.rubric import load_rubric
from classifiers.sample import draw_sample
from classifiers.train_fasttext import FastTextSettings


@dataclass(frozen=True)
class Student:
    """The small model: its name, and what of the labels it learns (see `train_student`)."""

    name: str
    criterion: str = ""
    at_least: int = 3
    positive: str = ""
    settings: FastTextSettings = FastTextSettings()
    test_share: float = 0.2
    seed: int = 0
    licence: str = ""


@dataclass(frozen=True)
class AnnotationRun:
    """`data`: a finished run's folder or Parquet files. `out` takes journal.jsonl, labels.parquet and report.json. `rubric`: a
    name or path. `by`: columns to stratify by, NAME or NAME:BINS. `most`: calls at most, 0 for no bound."""

    data: tuple[Path, ...]
    out: Path
    rubric: str
    sample: int
    by: tuple[str, ...]
    seed: int
    most: int
    terms: Terms
    endpoint: Settings
    student: Student | None = None


@dataclass(frozen=True)
class Annotated:
    """What an annotation left: the report, the file of labels, the small model's card."""

    report: Report
    labels: Path
    card: Path | None


def run_annotation(run: AnnotationRun) -> Annotated:
    """Do what is not done yet. Raises CardError for a rubric, TrainingError for data, too many unreadable answers and an
    endpoint that cannot be used; labels and report are written even then, of what was answered."""
    rubric = load_rubric(run.rubric)
    if run.student is not None:
        student = replace(run.student, criterion=run.student.criterion or rubric.criteria[0].name)
        check_student(rubric, student.criterion, student.at_least, student.positive)
    endpoint = Endpoint(run.endpoint, Budget(run.most))
    sample = draw_sample(run.data, run.by, run.sample, run.seed)
    labels, report_file = run.out / "labels.parquet", run.out / "report.json"
    with Journal(run.out / "journal.jsonl", rubric.prompt_version, run.endpoint.model) as journal:
        report, ended = annotate(sample, rubric, endpoint, journal, run.terms)
        write_labels(labels, sample, journal, rubric, run.endpoint.model, run.by)
    told = {"prompt": rubric.prompt_version, "model": run.endpoint.model, "request": dict(run.endpoint.request),
            "by": run.by, "seed": run.seed, "invalid_share": report.invalid_share, **asdict(report)}  # fmt: skip
    report_file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if ended:
        hint = f"what was answered is kept, the same command resumes; {report_file} has the counts"
        raise TrainingError(f"{ended}\n  so far: {report.valid} of {report.documents} documents answered; {hint}") from ended
    if run.student is None or report.ended:
        return Annotated(report, labels, None)
    card = train_student(
        labels, run.out, student.name, rubric=rubric, criterion=student.criterion, at_least=student.at_least,
        positive=student.positive, settings=student.settings, test_share=student.test_share, seed=student.seed,
        licence=student.licence,
    )  # fmt: skip
    return Annotated(report, labels, card)
