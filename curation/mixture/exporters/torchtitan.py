"""torchtitan: per domain a folder of Parquet files, and a Python module for each of its two interfaces.

`titan_0_3.py`: `LOADER`, a configuration of `InterleavedHuggingFaceTextDataLoader` of release 0.3.0; importing it registers the
domains as datasets. `titan_main.py`: `MIXTURE`, a `DatasetMixConfig` of its main branch of August 2026, every domain packed
before it is mixed: without packing that interface would draw documents. Both draw packed rows: shares of tokens.

Source: torchtitan 0.3.0 `hf_datasets/text_datasets.py`, read by it; b5bcd76c `components/data/{dataset,packing,sources}.py`,
not run.
"""

from __future__ import annotations

from curation.mixture.exporters.huggingface import write_parquet
from curation.mixture.exporters.job import Export, Job, file_name

_RELEASE = '''"""The mixture for torchtitan 0.3.0: LOADER is the configuration of its data loader."""

from datasets import load_dataset
from torchtitan.hf_datasets import DatasetConfig
from torchtitan.hf_datasets.text_datasets import DATASETS, HFDataSource, InterleavedHuggingFaceTextDataLoader

PARTS = {parts}


def _load(folder):
    return load_dataset("parquet", data_files=f"{{folder}}/*.parquet", split="train", streaming=True)


def _text(row):
    return row["text"]


SOURCES = []
for number, (folder, weight) in enumerate(PARTS):
    name = f"mixture_{{number}}"
    DATASETS[name] = DatasetConfig(path=folder, loader=_load, sample_processor=_text)
    SOURCES.append(HFDataSource(dataset=name, weight=weight, infinite=True))

LOADER = InterleavedHuggingFaceTextDataLoader.Config(sources=SOURCES, seed={seed})
'''

_MAIN = '''"""The mixture for torchtitan's main branch (August 2026): MIXTURE is the dataset's configuration."""

from torchtitan.components.data.dataset import DatasetMixConfig, SingleDatasetConfig, WeightedDataset
from torchtitan.components.data.packing import ConcatThenSplitPackingConfig
from torchtitan.components.data.sources import HuggingFaceStreamingSource
from torchtitan.hf_datasets.text_datasets import TextProcessor

PARTS = {parts}


def _part(folder, weight):
    files = {{"data_files": f"{{folder}}/*.parquet"}}
    source = HuggingFaceStreamingSource.Config(path="parquet", split="train", load_dataset_kwargs=files)
    rows = SingleDatasetConfig(source=source, processor=TextProcessor.Config())
    return WeightedDataset(dataset=ConcatThenSplitPackingConfig(dataset=rows), weight=weight)


MIXTURE = DatasetMixConfig(datasets=tuple(_part(*part) for part in PARTS))
'''


def export(job: Job) -> Export:
    found, _ = write_parquet(job)
    weights = job.weights(found)
    parts = [(job.at(file_name(name)), weight) for name, weight in weights.items()]
    configuration = [
        job.put("titan_0_3.py", _RELEASE.format(parts=parts, seed=job.seed)),
        job.put("titan_main.py", _MAIN.format(parts=parts)),
    ]
    return Export(found, weights, "tokens", configuration)
