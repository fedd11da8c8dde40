"""NeMo and Megatron-Bridge: Megatron's `.bin` and `.idx`, with the blend as NeMo 1 (`nemo1.yaml`: `data_prefix`), NeMo 2
(`nemo2.yaml`: `paths` of the data module) and Megatron-Bridge (`bridge.yaml`: `blend`) take it. Shares of tokens.

Source: the projects' documentation; megatron-core 0.16.1 reads the files. NeMo itself was not run.
"""

from __future__ import annotations

import yaml

from curation.mixture.exporters.job import Export, Job
from curation.mixture.exporters.megatron import blend, write_indexed


def export(job: Job) -> Export:
    found = write_indexed(job)
    weights = job.weights(found)
    pairs = blend(job, weights)
    flat: list[object] = [word for pair in pairs for word in pair]
    length = job.sequence_length
    first = {"model": {"data": {"data_prefix": flat, "splits_string": "99,1,0", "seq_length": length}}}
    second = {"data": {"paths": flat, "split": "99,1,0", "seq_length": length}}
    bridge = {"dataset": {"blend": [[prefix for _, prefix in pairs], [weight for weight, _ in pairs]], "split": "99,1,0"}}
    files = {"nemo1.yaml": first, "nemo2.yaml": second, "bridge.yaml": bridge}
    configuration = [job.put(name, yaml.safe_dump(value, sort_keys=False)) for name, value in files.items()]
    return Export(found, weights, "tokens", configuration)
