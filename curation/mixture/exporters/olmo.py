"""OLMo-core: per domain raw arrays of token ids (`.npy` by name, without numpy's header) and the source mixture.

uint16 where the vocabulary is below 65,500, else uint32; every document ends with its end token; a file is closed at the
document that reaches `shard_mb`. `mixture.yaml` is a `SourceMixtureList`, `dataset.py` builds the dataset from it.
`target_ratio` is a share of tokens; `max_repetition_ratio` the epochs that the budget asks for, at least 1.

Source: ai2-olmo-core 3.0.0, `data/source_mixture.py`, read by it.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import yaml

from curation.mixture.exporters.job import DomainFiles, Export, Job, file_name
from curation.mixture.exporters.weights import epochs_of

_SNIPPET = '''"""The dataset of this mixture, for OLMo-core."""

from olmo_core.data import NumpyDatasetDType, NumpyFSLDatasetConfig, TokenizerConfig
from olmo_core.data.source_mixture import SourceMixtureConfig, SourceMixtureDatasetConfig, SourceMixtureList
from yaml import safe_load

SOURCES = SourceMixtureList(
    sources=[SourceMixtureConfig(**source) for source in safe_load(open({mixture!r}))["sources"]]
)
MIXTURE = SourceMixtureDatasetConfig(
    source_list=SOURCES, requested_tokens={tokens}, global_batch_size={batch}, seed={seed}
)
DATASET = NumpyFSLDatasetConfig.from_src_mix(
    MIXTURE,
    tokenizer=TokenizerConfig(vocab_size={vocabulary}, eos_token_id={end}, pad_token_id={end}),
    sequence_length={length},
    dtype=NumpyDatasetDType.{dtype},  # of the files; a vocabulary alone does not tell
)
'''


class RawWriter:
    """Writes `name/part-00000.npy`, ..., documents whole."""

    def __init__(self, folder: Path, name: str, dtype: type, limit: int) -> None:
        self._folder, self._name, self._dtype, self._limit = folder, name, np.dtype(dtype).newbyteorder("<"), limit
        (folder / name).mkdir(parents=True, exist_ok=True)
        self._found = DomainFiles()
        self._size = limit
        self._out = None

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        stops = np.cumsum(lengths)
        first = begin = 0
        while first < len(lengths):
            if self._out is None or self._size >= self._limit:
                self._next()
            room = (self._limit - self._size) // self._dtype.itemsize
            last = min(len(lengths) - 1, int(np.searchsorted(stops, begin + room)))
            stop = int(stops[last])
            data = ids[begin:stop].astype(self._dtype).tobytes()
            assert self._out is not None
            self._out.write(data)
            self._size += len(data)
            first, begin = last + 1, stop
        self._found.documents += len(lengths)
        self._found.tokens += len(ids)

    def _next(self) -> None:
        if self._out is not None:
            self._out.close()
        file = f"{self._name}/part-{len(self._found.files):05d}.npy"
        self._found.files.append(file)
        self._out, self._size = (self._folder / file).open("wb"), 0  # type: ignore[assignment]

    def close(self) -> DomainFiles:
        if self._out is not None:
            self._out.close()
        return self._found


def export(job: Job) -> Export:
    dtype = np.uint16 if job.encoder.small else np.uint32
    limit = int(job.shard_mb * 10**6)
    found = job.write_tokens(lambda domain: RawWriter(job.out, file_name(domain), dtype, limit))
    weights = job.weights(found)
    tokens = {name: one.tokens for name, one in found.items()}
    budget = job.budget or min(math.floor(tokens[name] / weight) for name, weight in weights.items())
    epochs = epochs_of(weights, tokens, budget)
    sources = [
        {
            "source_name": name, "target_ratio": weight, "paths": [job.at(file) for file in found[name].files],
            # a hundredth more: the library cuts both sides to whole tokens
            "max_repetition_ratio": max(1.0, math.ceil(epochs[name] * 101) / 100),
        }
        for name, weight in weights.items()
    ]  # fmt: skip
    batch = 8 * job.sequence_length
    snippet = _SNIPPET.format(
        mixture=job.at("mixture.yaml"), tokens=budget, batch=batch, seed=job.seed, vocabulary=job.encoder.vocabulary,
        end=job.encoder.end_id, length=job.sequence_length, dtype=np.dtype(dtype).name,
    )  # fmt: skip
    configuration = [
        job.put("mixture.yaml", yaml.safe_dump({"sources": sources}, sort_keys=False)),
        job.put("dataset.py", snippet),
    ]
    return Export(found, weights, "tokens", configuration)
