"""A whole annotation: sample, replies, labels, report and, if asked for, the small model: `curation models annotate`.

Source: ours.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from classifiers.annotate import Journal, Report, Terms, annotate, train_student, write_labels
from classifiers.endpoint import Budget, Endpoint, Settings
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
    """Do what is not done yet. Raises CardError for a rubric, TrainingError for data, EndpointError for an endpoint that
    cannot do; labels are written even then, of what was answered."""
    rubric = load_rubric(run.rubric)
    budget = Budget(run.most)
    endpoint = Endpoint(run.endpoint, budget)
    sample = draw_sample(run.data, run.by, run.sample, run.seed)
    labels = run.out / "labels.parquet"
    with Journal(run.out / "journal.jsonl", rubric.prompt_version, run.endpoint.model) as journal:
        try:
            report = annotate(sample, rubric, endpoint, budget, journal, run.terms)
        finally:
            write_labels(labels, sample, journal, rubric, run.endpoint.model, run.by)
    told = {"prompt": rubric.prompt_version, "model": run.endpoint.model, "by": run.by, "seed": run.seed, **asdict(report)}
    (run.out / "report.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    card = None
    if run.student and not report.ended:
        s = run.student
        chosen = s.criterion or rubric.criteria[0].name
        card = train_student(
            labels, run.out, s.name, rubric=rubric, criterion=chosen, at_least=s.at_least, positive=s.positive,
            settings=s.settings, test_share=s.test_share, seed=s.seed, licence=s.licence,
        )  # fmt: skip
    return Annotated(report, labels, card)
