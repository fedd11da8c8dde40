"""torchtitan: per domain a folder of Parquet files, and a Python snippet for each of its two interfaces.

`titan_0_3.py`: `InterleavedDataset` of release 0.3.0. `titan_main.py`: `DatasetMixConfig` of its main branch of August 2026.
Both draw a packed row by weight: shares of tokens.

Source: torchtitan 0.3.0 and b5bcd76c, `components/data/dataset.py`, `sources.py`, `hf_datasets/text_datasets.py`; not run.
"""

from __future__ import annotations

from curation.mixture.exporters.huggingface import write_parquet
from curation.mixture.exporters.job import Export, Job, file_name

_RELEASE = '''"""The mixture for torchtitan 0.3.0: give `datasets`, packed by its text dataset, to InterleavedDataset."""

FOLDERS = {folders}
WEIGHTS = {weights}


def interleaved(pack, seed={seed}):
    """`pack` makes a packed torchtitan dataset of a streaming dataset of rows with `text`."""
    from datasets import load_dataset
    from torchtitan.datasets import InterleavedDataset

    rows = [load_dataset("parquet", data_files=f"{{f}}/*.parquet", split="train", streaming=True) for f in FOLDERS]
    return InterleavedDataset([pack(one) for one in rows], WEIGHTS, seed=seed, stopping_strategy="all_exhausted")
'''

_MAIN = '''"""The mixture for torchtitan's main branch (August 2026)."""

from torchtitan.components.data.dataset import DatasetMixConfig, SingleDatasetConfig, WeightedDataset
from torchtitan.components.data.sources import HuggingFaceStreamingSource
from torchtitan.hf_datasets.text_datasets import TextProcessor


def _part(folder, weight):
    files = {{"data_files": f"{{folder}}/*.parquet"}}
    source = HuggingFaceStreamingSource.Config(path="parquet", split="train", load_dataset_kwargs=files)
    return WeightedDataset(dataset=SingleDatasetConfig(source=source, processor=TextProcessor.Config()), weight=weight)


MIXTURE = DatasetMixConfig(datasets=tuple(_part(*pair) for pair in {pairs}))
'''


def export(job: Job) -> Export:
    found, _ = write_parquet(job)
    weights = job.weights(found)
    folders = [job.at(file_name(name)) for name in weights]
    shares = list(weights.values())
    configuration = [
        job.put("titan_0_3.py", _RELEASE.format(folders=folders, weights=shares, seed=job.seed)),
        job.put("titan_main.py", _MAIN.format(pairs=list(zip(folders, shares, strict=True)))),
    ]
    return Export(found, weights, "tokens", configuration)
