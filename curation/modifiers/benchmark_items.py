"""Benchmark questions read from files: JSON lines, Parquet and CSV, plain, gzipped or many in one zip.

A benchmark is an entry of `benchmarks`: name -> file, for one of the formats below, or name -> mapping with

    file       path (or glob) in the folder of benchmarks
    like       a format below whose other entries hold unless given
    question   column, or list of columns that are joined by line breaks
    choices    column that holds a list, or list of columns; `separator` splits a column of text
    answer     column. `answer_is: choice` says that it holds a choice's letter, or its number from 0, not a text
    solution   column of a worked answer
    id         column; the row number from 0 without it. Items of a zip are named <member>/<id>
    columns    names of the columns of a CSV without a header line (a first line that repeats the question's is skipped)
    last_sentence   true when only the last sentence of a question asks, the rest being its setting (MMLU)

A letter or number as answer stands for the choice it names: its text is what is looked for, never the letter.

Source: ours; formats of openai/grade-school-math, openai/human-eval, sylinrl/TruthfulQA and hendrycks/test.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from curation.errors import RecipeError
from curation.options import refuse

FORMATS: Mapping[str, Mapping[str, object]] = {
    "gsm8k": {"question": "question", "answer": "answer"},
    "humaneval": {"question": "prompt", "answer": "canonical_solution", "id": "task_id"},
    "truthfulqa": {
        "question": "Question",
        "choices": ["Correct Answers", "Incorrect Answers"],
        "separator": ";",
        "answer": "Best Answer",
    },
    "mmlu": {
        "columns": ["question", "choice0", "choice1", "choice2", "choice3", "answer"],
        "question": "question",
        "choices": ["choice0", "choice1", "choice2", "choice3"],
        "answer": "answer",
        "answer_is": "choice",
        "last_sentence": True,
    },
}
"""Benchmarks whose files are known: `gsm8k: gsm8k_test.jsonl.gz` needs no more."""

_KEYS = (
    "file",
    "like",
    "question",
    "choices",
    "separator",
    "answer",
    "solution",
    "id",
    "columns",
    "answer_is",
    "last_sentence",
)
_FORMS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")

Row = Mapping[str, object]


class Item(NamedTuple):
    """One question. `benchmark` and `id` name it; texts are empty where there is none. `asked`: the part of the
    question that asks (its last sentence where the benchmark says so, else all of it)."""

    benchmark: str
    id: str
    question: str
    asked: str
    choices: tuple[str, ...]
    answer: str
    solution: str

    @property
    def name(self) -> str:
        """`benchmark/id`."""
        return f"{self.benchmark}/{self.id}"


_refuse = partial(refuse, "modifiers/decontaminate")


class Benchmark(NamedTuple):
    """An entry of `benchmarks` with everything filled in."""

    name: str
    file: str
    mapping: Mapping[str, object]

    def files(self, folder: Path) -> list[Path]:
        """The files there are. RecipeError when there is none."""
        found = (
            sorted(p for p in folder.glob(self.file) if p.is_file()) if not Path(self.file).is_absolute() else [Path(self.file)]
        )
        if not found or not found[0].is_file():
            there = ", ".join(sorted(p.name for p in folder.iterdir())[:20]) if folder.is_dir() else "no such folder"
            _refuse(f"benchmark {self.name} in {folder}", f"a file {self.file}", there or "nothing", "give `folder` and `file`")
        return found


def parse_benchmarks(given: Mapping[str, object]) -> tuple[Benchmark, ...]:
    """The entries of `benchmarks`, checked. RecipeError on one that is neither a file of a known format nor a mapping."""
    found = []
    for name, entry in given.items():
        mapping: dict[str, object] = {"like": name, "file": entry} if isinstance(entry, str) else {}
        if isinstance(entry, Mapping):
            mapping = dict(entry)
        unknown = sorted(set(mapping) - set(_KEYS))
        if not mapping or unknown:
            _refuse(f"benchmark {name}", "a file name, or a mapping of " + ", ".join(_KEYS), ", ".join(unknown) or repr(entry))
        like = mapping.pop("like", None)
        if like is not None and like not in FORMATS:
            hint = "name the columns: {file: ..., question: ..., answer: ...}"
            _refuse(f"benchmark {name}", "a format of " + ", ".join(FORMATS), repr(like), hint)
        mapping = {**FORMATS[str(like)], **mapping} if like is not None else mapping
        file = mapping.pop("file", None)
        if not isinstance(file, str) or not file or not mapping.get("question"):
            _refuse(f"benchmark {name}", "a `file` and the column of its `question`", repr(dict(mapping, file=file)))
        if "/" in name or not name:
            _refuse("benchmark's name", "a name without /", repr(name))
        if mapping.get("answer_is", "text") not in ("text", "choice"):
            _refuse(f"benchmark {name}: answer_is", '"text" or "choice"', repr(mapping["answer_is"]))
        found.append(Benchmark(name, str(file), mapping))
    return tuple(found)


def read_items(benchmarks: Sequence[Benchmark], folder: Path) -> list[Item]:
    """Every item of the benchmarks. RecipeError names the file, line and column of what cannot be read."""
    found: list[Item] = []
    for benchmark in benchmarks:
        before = len(found)
        paths = benchmark.files(folder)
        for path in paths:
            for member, rows in _tables(path, benchmark):
                prefix = member or (_stem(path.name) if len(paths) > 1 else "")
                found += list(_items(benchmark, rows, prefix, path))
        if len(found) == before:
            _refuse(f"benchmark {benchmark.name}", "at least one item", f"none in {benchmark.file}")
    return found


def _stem(name: str) -> str:
    for end in (".gz", *_FORMS):
        name = name.removesuffix(end)
    return name.removesuffix("_test")


def _tables(path: Path, benchmark: Benchmark) -> Iterator[tuple[str, Iterator[Row]]]:
    """(name of the member, rows) of every table in a file; the name is empty outside a zip."""
    if path.suffix != ".zip":
        data = path.read_bytes()
        yield "", _rows(path.name, gzip.decompress(data) if path.suffix == ".gz" else data, benchmark)
        return
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.removesuffix(".gz").endswith(_FORMS):
                data = archive.read(name)
                yield (
                    _stem(Path(name).name),
                    _rows(Path(name).name, gzip.decompress(data) if name.endswith(".gz") else data, benchmark),
                )


def _rows(name: str, data: bytes, benchmark: Benchmark) -> Iterator[Row]:
    kind = Path(name.removesuffix(".gz")).suffix
    if kind == ".parquet":
        yield from pl.read_parquet(data).iter_rows(named=True)
    elif kind in (".csv", ".tsv"):
        yield from _csv_rows(data.decode("utf-8-sig"), "\t" if kind == ".tsv" else ",", benchmark)
    elif kind in (".jsonl", ".ndjson"):
        for number, line in enumerate(io.StringIO(data.decode("utf-8-sig"), newline="\n"), 1):
            if line.strip():
                yield _json_row(line, f"{benchmark.name}: {name} line {number}")
    else:
        _refuse(f"benchmark {benchmark.name}", " or ".join(_FORMS) + ", also .gz, or a .zip of them", name)


def _json_row(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise RecipeError(f"modifiers/decontaminate: benchmark {where} is not JSON: {error}") from error
    if not isinstance(row, dict):
        _refuse(f"benchmark {where}", "an object", type(row).__name__)
    return row


def _csv_rows(text: str, delimiter: str, benchmark: Benchmark) -> Iterator[Row]:
    columns = benchmark.mapping.get("columns")
    if columns is None:
        yield from csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        return
    names = [str(c) for c in columns]  # type: ignore[attr-defined]
    for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 1):
        if not cells or (number == 1 and cells[0].strip().lower() == names[0].lower()):
            continue
        if len(cells) != len(names):
            _refuse(
                f"benchmark {benchmark.name} row {number}", f"{len(names)} cells: {', '.join(names)}", f"{len(cells)} cells"
            )
        yield dict(zip(names, cells, strict=True))


def _items(benchmark: Benchmark, rows: Iterator[Row], prefix: str, path: Path) -> Iterator[Item]:
    mapping = benchmark.mapping
    for number, row in enumerate(rows):
        where = f"benchmark {benchmark.name}: {path.name} item {number}"
        question = "\n".join(_text(row, column, where) for column in _listed(mapping["question"]))
        choices = _choices(row, mapping, where)
        answer = _text(row, str(mapping["answer"]), where) if mapping.get("answer") else ""
        solution = _text(row, str(mapping["solution"]), where) if mapping.get("solution") else ""
        own = _text(row, str(mapping["id"]), where) if mapping.get("id") else str(number)
        own = own.removeprefix(prefix + "/")
        yield Item(
            benchmark.name,
            f"{prefix}/{own}" if prefix else own,
            question,
            _last_sentence(question) if mapping.get("last_sentence") else question,
            choices,
            _choice(answer, choices, where) if mapping.get("answer_is") == "choice" else answer,
            solution,
        )


def _listed(columns: object) -> list[str]:
    return [columns] if isinstance(columns, str) else [str(c) for c in columns]  # type: ignore[attr-defined]


def _cell(row: Row, column: str, where: str) -> object:
    if column not in row:
        _refuse(where, f"a column {column}", ", ".join(map(str, row)) or "no columns", "name the columns in `benchmarks`")
    return row[column]


def _text(row: Row, column: str, where: str) -> str:
    value = _cell(row, column, where)
    if isinstance(value, (list, tuple)):
        return "\n".join(str(v) for v in value)
    return "" if value is None else str(value)


def _choices(row: Row, mapping: Mapping[str, object], where: str) -> tuple[str, ...]:
    found: list[str] = []
    separator = mapping.get("separator")
    for column in _listed(mapping["choices"]) if mapping.get("choices") else []:
        value = _cell(row, column, where)
        if isinstance(value, (list, tuple)):
            found += [str(v) for v in value]
        elif value is not None:
            found += [v.strip() for v in str(value).split(str(separator))] if separator else [str(value)]
    # an empty choice keeps its place, by which answers name it
    return tuple(found)


def _choice(answer: str, choices: tuple[str, ...], where: str) -> str:
    """The text of the choice that a letter or number names. RecipeError when there is none."""
    mark = answer.strip()
    number = -1
    if len(mark) == 1 and mark.isalpha() and mark.isascii():
        number = ord(mark.upper()) - ord("A")
    elif mark.isdecimal() and len(mark) < 4:
        number = int(mark)
    if not 0 <= number < len(choices):
        _refuse(where, f"an answer that names one of {len(choices)} choices", repr(answer), "leave out answer_is for texts")
    return choices[number]


def _last_sentence(text: str) -> str:
    """The text after the last full stop, question or exclamation mark that ends a sentence, the closing one aside."""
    stripped = text.rstrip()
    ends = [i for i in range(1, len(stripped) - 1) if stripped[i - 1] in ".?!" and stripped[i].isspace()]
    for end in reversed(ends):
        if any(c.isalnum() for c in stripped[end:]):
            return stripped[end:].strip()
    return stripped
