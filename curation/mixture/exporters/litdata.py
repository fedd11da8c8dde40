"""LitGPT and litdata: per domain a folder of chunks and an `index.json`, and a data module that draws from all of them.

A chunk holds blocks of `sequence_length` + 1 tokens (int32): their number, offsets (uint32), then the tokens. Read by
`StreamingDataset(folder, item_loader=TokensLoader(block_size))`; `litgpt_data.py` combines the folders. LitGPT's own data
modules take one folder. Weights are shares of blocks: of tokens.

Source: litdata 0.2.76, `streaming/writer.py` and `item_loader.py`, read by it; LitGPT 0.5.13 (not run).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from curation.mixture.exporters.job import DomainFiles, Export, Job, file_name
from curation.mixture.exporters.packing import Packer

_LEAF = '[1, {"type": null, "context": null, "num_nodes": 1, "num_leaves": 1, "num_children": 0, "children_spec": []}]'

_MODULE = '''"""The mixture as a data module for LitGPT: litgpt pretrain ... --data litgpt_data.Mixture"""

from dataclasses import dataclass

from litdata import CombinedStreamingDataset, StreamingDataLoader, StreamingDataset, TokensLoader
from litgpt.data import DataModule

FOLDERS = {folders}
WEIGHTS = {weights}


@dataclass
class Mixture(DataModule):
    seed: int = {seed}
    num_workers: int = 8
    batch_size: int = 1
    seq_length: int = {block}

    def connect(self, tokenizer=None, batch_size=1, max_seq_length={length}):
        self.batch_size, self.seq_length = batch_size, max_seq_length + 1

    def train_dataloader(self):
        loader = lambda: TokensLoader(block_size=self.seq_length)
        parts = [StreamingDataset(folder, item_loader=loader(), shuffle=True, drop_last=True) for folder in FOLDERS]
        mixed = CombinedStreamingDataset(datasets=parts, seed=self.seed, weights=WEIGHTS, iterate_over_all=False)
        return StreamingDataLoader(mixed, batch_size=self.batch_size, num_workers=self.num_workers, drop_last=True)

    def val_dataloader(self):
        return []
'''


class ChunkWriter:
    """Writes the chunks of a folder and their index."""

    def __init__(self, folder: Path, name: str, block: int, limit: int) -> None:
        self._folder, self._name = folder / name, name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._packer = Packer(block)
        self._most = max(1, limit // (4 * block))
        self._held: list[np.ndarray] = []
        self._blocks_held = self._blocks = 0
        self._chunks: list[dict[str, object]] = []

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        for rows in self._packer.add(ids, lengths):
            while len(rows):
                taken = rows[: self._most - self._blocks_held]
                self._held.append(taken.astype("<i4"))
                self._blocks_held += len(taken)
                rows = rows[len(taken) :]
                if self._blocks_held == self._most:
                    self._flush()

    def _flush(self) -> None:
        rows = np.concatenate(self._held)
        first = 4 * (len(rows) + 2)
        offsets = first + 4 * rows.shape[1] * np.arange(len(rows) + 1)
        data = np.uint32(len(rows)).tobytes() + offsets.astype("<u4").tobytes() + rows.tobytes()
        name = f"chunk-0-{len(self._chunks)}.bin"
        (self._folder / name).write_bytes(data)
        self._chunks.append({"chunk_bytes": rows.nbytes, "chunk_size": len(rows), "dim": rows.size, "filename": name})
        self._blocks += len(rows)
        self._held, self._blocks_held = [], 0

    def close(self) -> DomainFiles:
        if self._blocks_held:
            self._flush()
        config = {
            "chunk_bytes": None, "chunk_size": self._most * self._packer.length, "compression": None,
            "data_format": ["no_header_tensor:16"], "data_spec": _LEAF, "encryption": None, "item_loader": "TokensLoader",
        }  # fmt: skip
        index = {"chunks": self._chunks, "config": config}
        (self._folder / "index.json").write_text(json.dumps(index, sort_keys=True), encoding="utf-8")
        files = [f"{self._name}/{chunk['filename']}" for chunk in self._chunks]
        tokens = self._packer.tokens - self._packer.left
        return DomainFiles(self._packer.documents, tokens, [*files, f"{self._name}/index.json"], self._blocks)


def export(job: Job) -> Export:
    limit = int(job.shard_mb * 10**6)
    block = job.sequence_length + 1
    found = job.write_tokens(lambda domain: ChunkWriter(job.out, file_name(domain), block, limit))
    weights = job.weights(found)
    module = _MODULE.format(
        folders=[job.at(file_name(name)) for name in weights], weights=list(weights.values()), seed=job.seed, block=block,
        length=job.sequence_length,
    )  # fmt: skip
    return Export(found, weights, "tokens", [job.put("litgpt_data.py", module)])
