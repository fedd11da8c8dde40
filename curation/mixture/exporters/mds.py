"""MosaicML Streaming and LLM Foundry: per domain a folder of MDS shards with rows of packed tokens, and a `train_loader`.

Column `tokens`, `ndarray:int32:LENGTH`; rows are documents one behind the other, each with its end token, cut to
`sequence_length`; what is left at the end of a domain is left out. `proportion` is a share of rows of one length: of tokens.

Source: mosaicml-streaming 0.13.0, `base/format/mds` (format), read by it; llm-foundry 0.22.0 `data/text_data.py` (YAML).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import yaml

from curation.mixture.exporters.job import DomainFiles, Export, Job, file_name
from curation.mixture.exporters.packing import Packer


class MdsWriter:
    """Writes the shards of a folder and their index, as the library's own writer does with sha1 hashes and no compression."""

    def __init__(self, folder: Path, name: str, length: int, size_limit: int) -> None:
        self._folder, self._name, self._limit = folder / name, name, size_limit
        self._folder.mkdir(parents=True, exist_ok=True)
        self._packer = Packer(length)
        self._config: dict[str, object] = {
            "column_encodings": [f"ndarray:int32:{length}"], "column_names": ["tokens"], "column_sizes": [4 * length],
            "compression": None, "format": "mds", "hashes": ["sha1"], "size_limit": size_limit, "version": 2,
        }  # fmt: skip
        self._said = json.dumps(self._config, sort_keys=True).encode()
        self._held: list[np.ndarray] = []
        self._shards: list[dict[str, object]] = []
        self._rows_held = self._rows = 0
        self._most = max(1, (size_limit - 8 - len(self._said)) // (4 * length + 4))

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        for rows in self._packer.add(ids, lengths):
            while len(rows):
                taken = rows[: self._most - self._rows_held]
                self._held.append(taken.astype("<i4"))
                self._rows_held += len(taken)
                rows = rows[len(taken) :]
                if self._rows_held == self._most:
                    self._flush()

    def _flush(self) -> None:
        rows = np.concatenate(self._held)
        first = 4 + 4 * (len(rows) + 1) + len(self._said)
        offsets = first + 4 * rows.shape[1] * np.arange(len(rows) + 1)
        data = np.uint32(len(rows)).tobytes() + offsets.astype("<u4").tobytes() + self._said + rows.tobytes()
        name = f"shard.{len(self._shards):05d}.mds"
        (self._folder / name).write_bytes(data)
        raw = {"basename": name, "bytes": len(data), "hashes": {"sha1": hashlib.sha1(data, usedforsecurity=False).hexdigest()}}
        self._shards.append({"samples": len(rows), "raw_data": raw, "zip_data": None, **self._config})
        self._rows += len(rows)
        self._held, self._rows_held = [], 0

    def close(self) -> DomainFiles:
        if self._rows_held:
            self._flush()
        index = {"version": 2, "shards": self._shards}
        (self._folder / "index.json").write_text(json.dumps(index, sort_keys=True), encoding="utf-8")
        names = [f"{self._name}/{shard['raw_data']['basename']}" for shard in self._shards]  # type: ignore[index]
        tokens = self._packer.tokens - self._packer.left
        return DomainFiles(self._packer.documents, tokens, [*names, f"{self._name}/index.json"], self._rows)


def export(job: Job) -> Export:
    limit = int(job.shard_mb * 10**6)
    found = job.write_tokens(lambda domain: MdsWriter(job.out, file_name(domain), job.sequence_length, limit))
    weights = job.weights(found)
    streams = {
        file_name(name): {"remote": job.at(file_name(name)), "local": f"/tmp/mds/{file_name(name)}", "proportion": weight}
        for name, weight in weights.items()
    }
    dataset = {"streams": streams, "max_seq_len": job.sequence_length, "shuffle": True, "shuffle_seed": job.seed}
    loader = {"train_loader": {"name": "text", "dataset": dataset, "drop_last": True, "num_workers": 8}}
    return Export(found, weights, "tokens", [job.put("llm_foundry.yaml", yaml.safe_dump(loader, sort_keys=False))])
