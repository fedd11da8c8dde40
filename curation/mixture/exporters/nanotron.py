"""datatrove and Nanotron: per domain a folder with `00000_tokens.ds`, `.ds.index` and `.ds.metadata`, and the YAML of a stage.

`.ds`: ids of two bytes where the vocabulary is below 65,500, else four; `.ds.index`: where each document ends, in tokens
(uint64); `.ds.metadata`: tokenizer and bytes a token, number of tokens, the same for people. Weights are shares of sequences
of one length: of tokens.

Source: datatrove 0.10.1, `utils/dataset.py` and `pipeline/tokens/tokenizer.py`, read by it; nanotron 2411b022,
`config/config.py` (two lists) and `data/nanoset.py`, which drew the shares.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from curation.mixture.exporters.job import DomainFiles, Export, Job, file_name

STEM = "00000_tokens.ds"


class DsWriter:
    """Writes the three files of a folder."""

    def __init__(self, folder: Path, name: str, dtype: type, tokenizer: str) -> None:
        self._folder, self._name, self._tokenizer = folder / name, name, tokenizer
        self._folder.mkdir(parents=True, exist_ok=True)
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._data = (self._folder / STEM).open("wb")
        self._index = (self._folder / f"{STEM}.index").open("wb")
        self._found = DomainFiles(files=[f"{name}/{STEM}{end}" for end in ("", ".index", ".metadata")])

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        self._data.write(ids.astype(self._dtype).tobytes())
        self._index.write((self._found.tokens + np.cumsum(lengths)).astype("<u8").tobytes())
        self._found.documents += len(lengths)
        self._found.tokens += len(ids)

    def close(self) -> DomainFiles:
        self._data.close()
        self._index.close()
        tokens = self._found.tokens
        lines = (f"{self._tokenizer}|{self._dtype.itemsize}", str(tokens), _for_people(tokens))
        (self._folder / f"{STEM}.metadata").write_text("\n".join(lines), encoding="utf-8")
        return self._found


def _for_people(tokens: int) -> str:
    power = max(0, min(4, (len(str(tokens)) - 1) // 3))
    return f"{tokens / 1000**power:.2f}{' KMBT'[power].strip()}"


def export(job: Job) -> Export:
    dtype = np.uint16 if job.encoder.small else np.uint32
    found = job.write_tokens(lambda domain: DsWriter(job.out, file_name(domain), dtype, job.encoder.name))
    weights = job.weights(found)
    dataset = {
        "dataset_folder": [job.at(file_name(name)) for name in weights],
        "dataset_weights": list(weights.values()),
        "tokenizer_name": job.encoder.name,
        "token_size_in_bytes": np.dtype(dtype).itemsize,
        "vocab_size": job.encoder.vocabulary,
        "return_positions": True,
    }
    stage = {
        "name": "stable", "start_training_step": 1, "data": {"dataset": dataset, "num_loading_workers": 1, "seed": job.seed},
    }  # fmt: skip
    configuration = [job.put("nanotron.yaml", yaml.safe_dump({"data_stages": [stage]}, sort_keys=False))]
    return Export(found, weights, "tokens", configuration)
