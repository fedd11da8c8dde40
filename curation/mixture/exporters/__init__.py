"""Files and configurations of trainers, one module a format: each has `export(job)`, and a docstring that says what it writes.

    export("megatron", job)

docs/mixture_formats.md says which of them were read by the trainers' own libraries.
"""

from __future__ import annotations

import importlib

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.exporters.job import Export, Job

FORMATS = (
    "megatron", "nemo", "mds", "huggingface", "olmo", "litdata", "packed", "nanotron", "levanter", "torchtitan", "axolotl",
)  # fmt: skip


def export(format_: str, job: Job) -> Export:
    """Write a mixture for a trainer. Raises MixtureError for an unknown format and for what does not fit the corpus."""
    if format_ not in FORMATS:
        raise MixtureError(explain_mismatch("export: format", wanted=", ".join(FORMATS), found=format_))
    job.prepare()
    found: Export = importlib.import_module(f"{__name__}.{format_}").export(job)
    job.finish(format_, found)
    return found
