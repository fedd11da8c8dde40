"""TinyLlama's packed files, which RegMix's proxies read: per domain `train_DOMAIN-00000_0000000000.bin`, ..., and their YAML.

A file: `LITPKDS`, version 1 (uint64), code of the type (8: uint16, 4: int32), tokens a file (uint64), then exactly so many
tokens; the last file of a domain is filled with end tokens. Tokens a file: as many whole blocks of `sequence_length` + 1 as
`shard_mb` holds. Keys of the YAML are the file names before the first `-`. Shares of tokens.

Source: TinyLlama `lit_gpt/packed_dataset.py` (format) and RegMix's model_training configurations (YAML), by their
description; not run.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import yaml

from curation.mixture.exporters.job import DomainFiles, Export, Job, file_name
from curation.mixture.exporters.packing import Packer

_HEADER = struct.Struct("<7sQBQ")
_CODES = {2: 8, 4: 4}


class PackedWriter:
    """Writes the files of a domain."""

    def __init__(self, folder: Path, prefix: str, dtype: type, chunk: int, end_id: int) -> None:
        self._folder, self._prefix, self._end = folder, prefix, end_id
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._packer = Packer(chunk)
        self._files: list[str] = []
        self._tail: list[np.ndarray] = []

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        for rows in self._packer.add(ids, lengths):
            for row in rows:
                self._write(row)

    def _write(self, row: np.ndarray) -> None:
        name = f"{self._prefix}-{len(self._files):05d}_{0:010d}.bin"
        header = _HEADER.pack(b"LITPKDS", 1, _CODES[self._dtype.itemsize], self._packer.length)
        (self._folder / name).write_bytes(header + row.astype(self._dtype).tobytes())
        self._files.append(name)

    def close(self) -> DomainFiles:
        documents, tokens, left = self._packer.documents, self._packer.tokens, self._packer.left
        if left:
            filled = np.full(self._packer.length - left, self._end, np.uint32)
            for rows in self._packer.add(filled, np.zeros(0, np.int64)):
                self._write(rows[0])
        return DomainFiles(documents, tokens, self._files)


def export(job: Job) -> Export:
    dtype = np.uint16 if job.encoder.small else np.int32
    block = job.sequence_length + 1
    chunk = block * max(1, int(job.shard_mb * 10**6) // (np.dtype(dtype).itemsize * block))
    found = job.write_tokens(lambda domain: PackedWriter(job.out, f"train_{_key(domain)}", dtype, chunk, job.encoder.end_id))
    weights = job.weights(found)
    shares = {f"train_{_key(name)}": weight for name, weight in weights.items()}
    return Export(found, weights, "tokens", [job.put("mixture.yaml", yaml.safe_dump({"train": shares}, sort_keys=False))])


def _key(domain: str) -> str:
    """The domain without `-`, at which trainers cut the name."""
    return file_name(domain).replace("-", "=2D")
