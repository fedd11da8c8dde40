"""Labelled examples read from Parquet and JSON lines, split so that what is measured was not seen.

Source: ours.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from classifiers.split import groups_of, held_out


class TrainingError(Exception):
    """The data or the tools for a training are not what it needs."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns: `text`; `label` (its values become text); `group`, a source that must not lie on both sides;
    `cluster`, of an earlier near-duplicate search; `part`, "train" or "test", which settles the split by hand. Columns
    named "" are not used."""

    text: str = "text"
    label: str = "label"
    group: str = ""
    cluster: str = ""
    part: str = ""


@dataclass(frozen=True)
class Examples:
    """Texts with their label and their group: what belongs together and was split together."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]

    def only(self, wanted: Sequence[bool]) -> Examples:
        """The examples where `wanted` is true."""
        rows = [i for i, keep in enumerate(wanted) if keep]
        pick = tuple(tuple(column[i] for i in rows) for column in (self.texts, self.labels, self.groups))
        return Examples(*pick)

    def counts(self) -> dict[str, int]:
        """Label -> examples, by label."""
        return {label: self.labels.count(label) for label in sorted(set(self.labels))}


def read_rows(paths: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    """Rows of .parquet, .jsonl and .jsonl.gz files, in order. Raises TrainingError for any other file."""
    for path in paths:
        if path.name.endswith(".parquet"):
            for batch in pq.ParquetFile(path).iter_batches():
                yield from batch.to_pylist()
        elif path.name.endswith((".jsonl", ".json", ".jsonl.gz", ".json.gz")):
            with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as stream:
                yield from (json.loads(line) for line in stream if line.strip())
        else:
            raise TrainingError(f"{path}\n  wanted: .parquet, .jsonl or .jsonl.gz\n  found:  {path.name}")


def read_examples(
    paths: Sequence[Path], columns: Columns, *, test_share: float, seed: int, labelled: bool = True
) -> tuple[Examples, Examples]:
    """(to train with, to measure with). Rows without text are left out. Raises TrainingError when a column is missing, or
    when one side is empty."""
    texts, labels, sides = [], [], []
    together: list[list[object]] = [[], []]
    for row in read_rows(paths):
        wanted = [name for name in (columns.text, columns.label if labelled else "", columns.group, columns.part) if name]
        missing = [name for name in wanted if name not in row]
        if missing:
            raise TrainingError(f"the data\n  wanted: columns {', '.join(wanted)}\n  found:  {', '.join(row)}")
        if not row[columns.text] or not str(row[columns.text]).strip():
            continue
        texts.append(str(row[columns.text]))
        labels.append(str(row[columns.label]) if labelled else "")
        sides.append(str(row[columns.part]) if columns.part else "")
        for values, name in zip(together, (columns.group, columns.cluster), strict=True):
            values.append(row.get(name) if name else None)
    groups = groups_of(texts, *together)
    tested = _sides(groups, sides) if columns.part else held_out(groups, test_share, seed)
    every = Examples(tuple(texts), tuple(labels), tuple(map(str, groups)))
    train, test = every.only([not t for t in tested]), every.only(tested)
    if not train.texts or not test.texts:
        found = f"{len(train.texts)} to train with, {len(test.texts)} to measure with, {len(set(groups))} groups in all"
        raise TrainingError(f"the split\n  wanted: examples on both sides\n  found:  {found}")
    return train, test


def _sides(groups: Sequence[int], sides: Sequence[str]) -> list[bool]:
    """Where the data says "test"; a group of both sides is measured with only: it must not be seen."""
    wrong = sorted(set(sides) - {"train", "test"})
    if wrong:
        raise TrainingError(f"the column of parts\n  wanted: train or test\n  found:  {', '.join(wrong)}")
    tested = {group for group, side in zip(groups, sides, strict=True) if side == "test"}
    return [group in tested for group in groups]
