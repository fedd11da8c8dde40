"""Annotation propagation: a large model rates a sample, a small model learns the ratings and can rate everything.

In order: draw the sample, ask about every document that has no answer yet, append each reply to a journal the moment it
comes, read and check it, write the labels, and train a fastText classifier on them. The journal is the cache: its key is
prompt version, model and content, so the same command again goes on where it stopped, and a changed rubric or another model
never takes an old answer for its own.

Source: FineWeb-Edu (arXiv:2406.17557) for the plan; DataMan (arXiv:2502.19363) for unreadable answers, which are never low
ratings and stop the job when they are many; the rest ours.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from classifiers.endpoint import BudgetSpent, CallFailed, Endpoint, EndpointError
from classifiers.examples import Columns, TrainingError
from classifiers.rubric import InvalidAnswer, Rubric
from classifiers.sample import Drawn
from classifiers.train_fasttext import FastTextSettings, train_fasttext, trainer

ASKED = 2
"""Replies to one document at most: a second is asked for when the first cannot be read."""

FAILED_IN_A_ROW = 20
"""Calls that fail for good one after the other before the endpoint is given up."""

JUDGED_FROM = 200
"""Answered documents from which on the share of unreadable ones may stop the job."""

KEPT_ANSWER = 2_000
"""Characters of an answer that the journal keeps, for audits."""

_AGAIN = "That could not be read: {why}. Answer again with the one JSON object that was asked for, and nothing else."


class Journal:
    """Replies as JSON lines, one object a reply, only ever appended to; each is on the disk before the next call for its
    document. One process at a time: a lock says so. A torn last line, left by a kill, is skipped."""

    def __init__(self, path: Path, prompt: str, model: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._prompt, self._model, self._lock = prompt, model, threading.Lock()
        self.values: dict[str, Mapping[str, Any]] = {}
        self.invalid: Counter[str] = Counter()
        self.why: Counter[str] = Counter()
        self.unreadable: set[str] = set()
        """Documents whose every reply was unreadable."""
        self.prompt_tokens = self.answer_tokens = self.replies = 0
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise TrainingError(f"{path}\n  wanted: a journal to write to\n  found:  another process writes it") from error
        with path.open("rb") as stream:
            for line in stream:
                self._take(line)
        size = os.fstat(self._file).st_size
        self._torn = size > 0 and os.pread(self._file, 1, size - 1) != b"\n"

    def _take(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            if (record["prompt"], record["model"]) != (self._prompt, self._model):
                return
            self._count(record)
        except (ValueError, KeyError, TypeError):
            return

    def _count(self, record: Mapping[str, Any]) -> None:
        self.replies += 1
        self.prompt_tokens += record["prompt_tokens"]
        self.answer_tokens += record["answer_tokens"]
        key = record["content_id"]
        if record["values"] is not None:
            self.values[key] = record["values"]
            self.unreadable.discard(key)
            return
        self.invalid[key] += 1
        self.why[record["why"]] += 1
        if self.invalid[key] >= ASKED and key not in self.values:
            self.unreadable.add(key)

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a reply and wait until it is on the disk. Raises TrainingError when the disk does not take it."""
        whole = {"prompt": self._prompt, "model": self._model, **record}
        line = json.dumps(whole, ensure_ascii=True).encode() + b"\n"
        with self._lock:
            line = b"\n" + line if self._torn else line
            self._torn = True
            try:
                if os.write(self._file, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(self._file)
            except OSError as error:
                raise TrainingError(f"the journal\n  wanted: to keep a reply\n  found:  {error.strerror}") from error
            self._torn = False
            self._count(whole)

    def is_open(self, content_id: str) -> bool:
        """True while a document has neither a valid answer nor as many unreadable ones as are asked for."""
        return content_id not in self.values and self.invalid[content_id] < ASKED

    def close(self) -> None:
        """Release the lock."""
        os.close(self._file)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


@dataclass
class Report:
    """What came of the asking. Tokens and replies are those of the whole journal (this prompt and model), `calls` and what
    was `retried` those of this run; `ended` says why it stopped before the sample was through, or is empty."""

    documents: int
    known: int
    valid: int = 0
    unreadable: int = 0
    failed: int = 0
    left: int = 0
    calls: int = 0
    replies: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost: float = 0.0
    ended: str = ""
    why: dict[str, int] = field(default_factory=dict)
    retried: dict[str, int] = field(default_factory=dict)
    ratings: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def invalid_share(self) -> float:
        """Share of the answered documents that could not be read."""
        return self.unreadable / max(self.valid + self.unreadable, 1)

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.documents} documents: {self.known} answered before, {self.valid} have a valid answer, "
            f"{self.unreadable} an unreadable one ({self.invalid_share:.1%}), {self.failed} failed, {self.left} are left",
            f"{self.calls} calls now, {self.replies} replies in all; "
            f"tokens: {self.prompt_tokens} in, {self.answer_tokens} out; cost {self.cost:.4f}",
        ]
        for title, counts in (("unreadable", self.why), ("tried again", self.retried)):
            if counts:
                lines.append(
                    f"{title}: " + ", ".join(f"{name} ({n})" for name, n in sorted(counts.items(), key=lambda c: -c[1])[:8])
                )
        lines += [f"{name}: " + ", ".join(f"{v} x{n}" for v, n in counts.items()) for name, counts in self.ratings.items()]
        return "\n".join([*lines, *([f"stopped: {self.ended}"] if self.ended else [])])


@dataclass(frozen=True)
class Terms:
    """How the asking goes. `at_once`: calls under way at most. `most_invalid` (0 to 1): a larger share of unreadable answers
    stops the job once there are JUDGED_FROM. `price_in`, `price_out`: of a million tokens, in any currency."""

    at_once: int = 8
    most_invalid: float = 0.01
    price_in: float = 0.0
    price_out: float = 0.0


def annotate(
    sample: Sequence[Drawn], rubric: Rubric, endpoint: Endpoint, journal: Journal, terms: Terms = Terms()
) -> tuple[Report, TrainingError | None]:
    """Ask about every document of the sample that the journal has no answer to. The error is what ended it early: an endpoint
    that cannot be used, too many unreadable answers, a full disk; what was answered by then is in the journal."""
    texts = {drawn.content_id: drawn.text for drawn in sample}
    todo = [key for key in sorted(texts) if journal.is_open(key)]
    report = Report(len(texts), len(texts) - len(todo))
    ended = None
    try:
        _drive(_Asking(texts, rubric, endpoint, journal), iter(todo), terms, report)
    except TrainingError as error:
        ended = error
        report.ended = str(error)
    _fill(report, journal, texts, rubric, terms)
    report.calls, report.retried = endpoint.budget.made, dict(endpoint.retried)
    return report, ended


@dataclass
class _Asking:
    texts: Mapping[str, str]
    rubric: Rubric
    endpoint: Endpoint
    journal: Journal

    def __call__(self, key: str) -> None:
        """Ask about one document until an answer can be read, ASKED times in all."""
        asked = messages = self.rubric.messages(self.texts[key], key)
        while self.journal.is_open(key):
            reply = self.endpoint.ask(messages)
            answer = reply.text[:KEPT_ANSWER]
            record: dict[str, Any] = {
                "content_id": key, "values": None, "why": "", "answer": answer,
                "prompt_tokens": reply.prompt_tokens, "answer_tokens": reply.answer_tokens,
            }  # fmt: skip
            try:
                record["values"] = self.rubric.read(reply.text)
            except InvalidAnswer as error:
                record["why"] = str(error)
                told = _AGAIN.format(why=error)
                messages = [*asked, {"role": "assistant", "content": answer}, {"role": "user", "content": told}]
            self.journal.add(record)


def _drive(asking: _Asking, todo: Iterator[str], terms: Terms, report: Report) -> None:
    """Keep `at_once` calls under way; stop at a spent budget, an endpoint given up, or too many unreadable answers."""
    in_a_row = 0
    pool = ThreadPoolExecutor(terms.at_once)
    try:
        under_way: set[Future[None]] = {pool.submit(asking, key) for key in islice(todo, terms.at_once)}
        while under_way:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                error = future.exception()
                if isinstance(error, CallFailed):
                    report.failed += 1
                    in_a_row += 1
                    if in_a_row >= FAILED_IN_A_ROW:
                        raise EndpointError(f"{in_a_row} calls failed one after the other, the last: {error}") from error
                elif isinstance(error, BudgetSpent):
                    report.ended = str(error)
                elif error is not None:
                    raise error
                else:
                    in_a_row = 0
            _judge(asking.journal, terms)
            if not report.ended:
                under_way |= {pool.submit(asking, key) for key in islice(todo, terms.at_once - len(under_way))}
    finally:
        # replies that are under way are paid for: they are waited for and kept
        asking.endpoint.stop()
        pool.shutdown(wait=True, cancel_futures=True)


def _judge(journal: Journal, terms: Terms) -> None:
    unreadable = len(journal.unreadable)
    answered = len(journal.values) + unreadable
    if answered >= JUDGED_FROM and unreadable > terms.most_invalid * answered:
        said = ", ".join(f"{why} ({n})" for why, n in journal.why.most_common(3))
        wanted = f"at most {terms.most_invalid:.1%} unreadable answers (--most-invalid)"
        raise TrainingError(f"answers\n  wanted: {wanted}\n  found:  {unreadable} of {answered}: {said}")


def _fill(report: Report, journal: Journal, texts: Mapping[str, str], rubric: Rubric, terms: Terms) -> None:
    report.valid = sum(key in journal.values for key in texts)
    report.unreadable = sum(key in journal.unreadable for key in texts)
    report.left = sum(journal.is_open(key) for key in texts) - report.failed
    report.replies, report.why = journal.replies, dict(journal.why)
    report.prompt_tokens, report.answer_tokens = journal.prompt_tokens, journal.answer_tokens
    report.cost = (journal.prompt_tokens * terms.price_in + journal.answer_tokens * terms.price_out) / 1e6
    for criterion in rubric.criteria:
        found = Counter(journal.values[key][criterion.name] for key in texts if key in journal.values)
        report.ratings[criterion.name] = {str(value): found[value] for value in sorted(found)}


def write_labels(path: Path, sample: Sequence[Drawn], journal: Journal, rubric: Rubric, model: str, by: Sequence[str]) -> int:
    """The documents with a valid answer as Parquet, by content_id: text, site, stratum, weight, a column for each criterion,
    prompt and model. Returns how many; the same journal gives the same rows in whatever order they were answered."""
    rows = [drawn for drawn in sample if drawn.content_id in journal.values]
    answers = [journal.values[drawn.content_id] for drawn in rows]
    columns: dict[str, Any] = {
        "content_id": pa.array([d.content_id for d in rows], pa.string()),
        "text": pa.array([d.text for d in rows], pa.large_string()),
        "site": pa.array([d.site or None for d in rows], pa.string()),
        "stratum": pa.array([" ".join(f"{n}={v}" for n, v in zip(by, d.stratum, strict=True)) for d in rows], pa.string()),
        "weight": pa.array([d.weight for d in rows], pa.float64()),
    }
    for criterion in rubric.criteria:
        kind = pa.string() if criterion.options else pa.int32()
        columns[f"label_{criterion.name}"] = pa.array([a[criterion.name] for a in answers], kind)
    columns["prompt"] = pa.array([rubric.prompt_version] * len(rows), pa.string())
    columns["model"] = pa.array([model] * len(rows), pa.string())
    fresh = path.with_suffix(".writing")
    pq.write_table(pa.table(columns), fresh)
    fresh.replace(path)
    return len(rows)


def check_student(rubric: Rubric, criterion: str, at_least: int | None, positive: str) -> None:
    """Raise TrainingError for what a small model cannot learn from the rubric's answers, and when fasttext-new is missing."""
    known = {c.name: c for c in rubric.criteria}
    if criterion not in known:
        raise TrainingError(f"the criterion\n  wanted: one of {', '.join(known)}\n  found:  {criterion or 'none'}")
    asked = known[criterion]
    if asked.options and positive not in asked.options:
        raise TrainingError(f"the option to find\n  wanted: one of {', '.join(asked.options)}\n  found:  {positive or 'none'}")
    if not asked.options and (at_least is None or not asked.low < at_least <= asked.high):
        wanted = f"{asked.low + 1} to {asked.high}"
        raise TrainingError(f"the rating that counts as high\n  wanted: {wanted}\n  found:  {at_least}")
    trainer()


def train_student(
    labels: Path, out: Path, name: str, *, rubric: Rubric, criterion: str, at_least: int | None = None, positive: str = "",
    settings: FastTextSettings = FastTextSettings(), test_share: float = 0.2, seed: int = 0, licence: str = "",
) -> Path:  # fmt: skip
    """Train a fastText classifier on one criterion of the labels: on ratings of `at_least` against the rest, or on an option,
    `positive`, against the others. Whole sites and near-duplicates lie on one side of the split. Returns the card's path."""
    check_student(rubric, criterion, at_least, positive)
    options = {c.name: c.options for c in rubric.criteria}[criterion]
    table = pq.read_table(labels)
    values = table[f"label_{criterion}"].to_pylist()
    high = positive if options else "high"
    told = [v if options else ("high" if v >= (at_least or 0) else "low") for v in values]
    model = table["model"][0].as_py() if table.num_rows else "a large model"
    what = f"{criterion} is {positive}" if options else f"{criterion} is rated {at_least} or more"
    counts = ", ".join(f"{n} {label}" for label, n in sorted(Counter(told).items()))
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "examples.parquet"
        pq.write_table(pa.table({"text": table["text"], "label": pa.array(told, pa.string()), "site": table["site"]}), data)
        return train_fasttext(
            [data], out, name, positive=high, columns=Columns(group="site"), settings=settings, test_share=test_share,
            seed=seed, licence=licence, direction=f"probability that {what}; higher is more of it",
            training_data=f"{table.num_rows} documents rated by {model} (prompt {rubric.prompt_version}): {counts}",
        )  # fmt: skip
