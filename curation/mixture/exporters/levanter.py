"""Levanter: per domain gzipped JSON lines with `text`, and the `data` block of its configuration. Weights are shares of
sequences of one length, exact within a block of 2,048: of tokens.

Source: levanter 9263f81e, `data/text.py` (configuration; not run).
"""

from __future__ import annotations

import yaml

from curation.mixture.exporters.job import Export, Job, file_name
from curation.mixture.exporters.rows import JsonLines


def export(job: Job) -> Export:
    limit = int(job.shard_mb * 10**6)
    found = job.write_texts(lambda domain: JsonLines(job.out, file_name(domain), limit))
    weights = job.weights(found)
    data = {
        "tokenizer": job.encoder.name,
        "cache_dir": job.at("cache"),
        "configs": {file_name(name): {"train_urls": [job.at(file) for file in found[name].files]} for name in weights},
        "train_weights": {file_name(name): weight for name, weight in weights.items()},
        "stop_strategy": "restart",
        "mixture_block_size": 2048,
        "shuffle": True,
    }
    return Export(found, weights, "tokens", [job.put("levanter.yaml", yaml.safe_dump({"data": data}, sort_keys=False))])
