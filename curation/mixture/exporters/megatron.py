"""Megatron-LM and megatron-core: per domain `NAME_text_document.bin` and `.idx`, and the list for `--data-path`.

    --data-args-path .../data_path.txt --split 99,1,0          (or the words of that file behind --data-path)
    --per-split-data-args-path .../data_path.json              (all of it for training)

Weights are shares of sequences of one length, which is shares of tokens. The `.bin` holds the ids one behind the other,
uint16 where the vocabulary is below 65,500, else int32; the `.idx` lengths, byte offsets and document bounds.

Source: megatron-core 0.16.1, `core/datasets/indexed_dataset.py` (format) and `training/arguments.py` (options); files are
byte-identical to those of its IndexedDatasetBuilder.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from curation.mixture.exporters.job import DomainFiles, Export, Job, file_name

_HEADER = struct.Struct("<9sQBQQ")
_MAGIC = b"MMIDIDX\x00\x00"
_CODES = {np.dtype(np.uint16): 8, np.dtype(np.int32): 4}
SUFFIX = "_text_document"


class IndexedWriter:
    """Writes `stem.bin` and `stem.idx`, a sequence a document."""

    def __init__(self, folder: Path, stem: str, dtype: type) -> None:
        self._names = [f"{stem}.bin", f"{stem}.idx"]
        self._index = folder / self._names[1]
        self._dtype = np.dtype(dtype).newbyteorder("<")
        (folder / self._names[0]).parent.mkdir(parents=True, exist_ok=True)
        self._data = (folder / self._names[0]).open("wb")
        self._lengths: list[np.ndarray] = []

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        self._data.write(ids.astype(self._dtype).tobytes())
        self._lengths.append(lengths.astype("<i4"))

    def close(self) -> DomainFiles:
        self._data.close()
        lengths = np.concatenate(self._lengths) if self._lengths else np.zeros(0, "<i4")
        offsets = np.zeros(len(lengths), "<i8")
        np.cumsum(lengths[:-1], out=offsets[1:], dtype=np.int64)
        with self._index.open("wb") as out:
            out.write(_HEADER.pack(_MAGIC, 1, _CODES[self._dtype.newbyteorder("=")], len(lengths), len(lengths) + 1))
            out.write(lengths.tobytes())
            out.write((offsets * self._dtype.itemsize).astype("<i8").tobytes())
            out.write(np.arange(len(lengths) + 1, dtype="<i8").tobytes())
        return DomainFiles(len(lengths), int(lengths.sum(dtype=np.int64)), list(self._names))


def write_indexed(job: Job) -> dict[str, DomainFiles]:
    """The `.bin` and `.idx` of every domain."""
    dtype = np.uint16 if job.encoder.small else np.int32
    return job.write_tokens(lambda domain: IndexedWriter(job.out, file_name(domain) + SUFFIX, dtype))


def blend(job: Job, weights: dict[str, float]) -> list[tuple[float, str]]:
    """Weights and prefixes, as the trainer finds them."""
    return [(weight, job.at(file_name(name) + SUFFIX)) for name, weight in weights.items()]


def export(job: Job) -> Export:
    found = write_indexed(job)
    weights = job.weights(found)
    words = [word for weight, prefix in blend(job, weights) for word in (f"{weight:.9f}", prefix)]
    configuration = [
        job.put("data_path.txt", " ".join(words) + "\n"),
        job.put("data_path.json", json.dumps({"train": words, "valid": None, "test": None}, indent=1) + "\n"),
    ]
    return Export(found, weights, "tokens", configuration)
