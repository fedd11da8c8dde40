"""Real text of eleven domains: a tokenizer of its own, shares to half a document, files that decode to the same text."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.mixture.apply import apply_mixture, pipeline_for
from curation.mixture.artefact import mixture_of
from curation.mixture.corpus import Corpus, count_domains
from curation.mixture.domains import Domains
from curation.mixture.exporters import export
from curation.mixture.exporters.encoding import Encoder
from curation.mixture.exporters.job import Job, file_name
from curation.mixture.materialise import Materialise
from curation.mixture.tokenizer import train_tokenizer
from curation.runners.drive import run_pipeline
from curation.runners.local import LocalExecutor
from curation.scorers.token_count import TokenCount
from curation.storage import Folder

MOST_BYTES = 8_000


@pytest.fixture(scope="module")
def texts(data_folder: Path) -> dict[str, list[str]]:
    found = {}
    for path in sorted((data_folder / "text-domains").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            rows = [json.loads(line)["text"] for line in islice(stream, 30)]
        found[path.name.split(".")[0]] = [text[:MOST_BYTES] for text in rows if text]
    return found


@pytest.fixture(scope="module")
def corpus(texts: dict[str, list[str]], tmp_path_factory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    for name, own in texts.items():
        pq.write_table(pa.table({"text": own, "source": [name] * len(own)}), folder / f"{name}.parquet", row_group_size=16)
    return Corpus([str(folder)], Domains())


@pytest.fixture(scope="module")
def encoder(corpus: Corpus, tmp_path_factory) -> Encoder:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    train_tokenizer(corpus, path, 1500)
    return Encoder(str(path))


def test_exported_tokens_decode_to_the_texts(texts, corpus: Corpus, encoder: Encoder, tmp_path: Path) -> None:
    counts = count_domains(corpus, TokenCount(tokenizer=encoder.tokenizer))
    assert len(counts) == 11
    mixture = mixture_of(dict.fromkeys(counts, 1 / 11))
    found = export("megatron", Job(corpus, mixture, tmp_path, encoder))
    for name, own in texts.items():
        assert (found.domains[name].documents, found.domains[name].tokens) == (counts[name].documents, counts[name].tokens)
        tokens = np.fromfile(tmp_path / f"{file_name(name)}_text_document.bin", "<u2")
        ends = np.flatnonzero(tokens == encoder.end_id)
        starts = np.r_[0, ends[:-1] + 1]
        decoded = [encoder._library.decode(tokens[a:b].tolist()) for a, b in zip(starts, ends, strict=True)]
        assert decoded == own, name


def test_drawn_shares_are_met_to_half_a_document(texts, corpus: Corpus, encoder: Encoder, tmp_path: Path) -> None:
    counts = count_domains(corpus, TokenCount(tokenizer=encoder.tokenizer))
    raw = {name: (i + 1) ** 1.5 for i, name in enumerate(counts)}
    mixture_of({name: weight / sum(raw.values()) for name, weight in raw.items()}).save(str(tmp_path / "mixture.json"))
    stage = Materialise(mixture=str(tmp_path / "mixture.json"), max_epochs=3)
    pipeline = pipeline_for(corpus, stage, encoder.tokenizer, target_mb=0.5, shard_mb=0.2)
    out = str(tmp_path / "out")

    def drive(made):
        return run_pipeline(made, corpus.locations, out, lambda p, f, o: LocalExecutor(p, f, o, workers=1))

    report = apply_mixture(pipeline, Folder(out), drive, "shuffled").report
    for name, one in report["domains"].items():
        longest = int(encoder.encode(texts[name])[1].max())
        assert abs(one["drawn"] - one["asked"]) <= longest / 2 and one["epochs"] <= 3 + longest / counts[name].tokens
    assert max(one["epochs"] for one in report["domains"].values()) > 2.9, "as much as the epochs allow"
