"""Small corpora for the tests of mixtures: Parquet files of documents in domains of very different lengths."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.document import content_id
from curation.mixture.artefact import Mixture, mixture_of
from curation.mixture.corpus import Corpus
from curation.mixture.domains import Domains
from curation.mixture.exporters.encoding import Encoder
from curation.mixture.exporters.job import Job

SHARES = {"books": 0.5, "code": 0.3, "q-a": 0.2, "news": 0.0}
LENGTHS = {"books": 400, "code": 120, "q-a": 30, "news": 60}
WORDS = ["mass", "energy", "field", "wave", "spin", "charge", "phase", "orbit", "lens", "flux"]


def texts_of(domain: str, documents: int, seed: int = 1) -> list[str]:
    """Documents of about LENGTHS bytes; every one begins with its domain and number."""
    draw = random.Random(f"{domain}{seed}")
    found = []
    for number in range(documents):
        text = f"{domain} {number}"
        while len(text) < LENGTHS[domain] * draw.uniform(0.5, 1.5):
            text += f" {draw.choice(WORDS)}é"
        found.append(text)
    return found


def write_corpus(folder: Path, documents: int = 120, domains: Iterable[str] = tuple(SHARES), **columns: Sequence) -> Path:
    """One file a domain, which is its `source`; documents of all kinds of quality."""
    folder.mkdir(parents=True, exist_ok=True)
    for domain in domains:
        texts = texts_of(domain, documents)
        table = {
            "id": pa.array([f"{domain}-{i}" for i in range(len(texts))]),
            "source": pa.array([domain] * len(texts)),
            "text": pa.array(texts, pa.large_string()),
            "content_id": pa.array([content_id(text) for text in texts], pa.binary(16)),
            "score_quality": pa.array([(i * 37 % 101) / 101 for i in range(len(texts))], pa.float32()),
        }
        pq.write_table(pa.table({**table, **columns}), folder / f"{domain}.parquet", row_group_size=32)
    return folder


def corpus_of(folder: Path) -> Corpus:
    return Corpus([str(folder)], Domains())


def job_of(folder: Path, out: Path, mixture: Mixture | None = None, **options) -> Job:
    """An export of a corpus of `write_corpus`."""
    options.setdefault("sequence_length", 64)
    return Job(corpus_of(folder), mixture or mixture_of(SHARES), out, **options)


def stream_of(domain: str, documents: int = 120, encoder: Encoder = Encoder()) -> np.ndarray:
    """The tokens of a domain: what every format must give back."""
    return encoder.encode(texts_of(domain, documents))[0]


def within_three_deviations(drawn: dict[str, int], shares: dict[str, float]) -> bool:
    """Whether counts of equal draws are what the shares lead to expect."""
    total = sum(drawn.values())
    bound = {name: 3 * (share * (1 - share) / total) ** 0.5 for name, share in shares.items()}
    return all(abs(drawn.get(name, 0) / total - share) <= bound[name] for name, share in shares.items())
