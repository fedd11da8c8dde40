"""`curation mix domains`, `tokenizer`, `clusters`, `apply`, `export` and `build`, as they are typed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mixture_cases import SHARES, stream_of, write_corpus
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import CurationError
from curation.mixture.artefact import load, mixture_of


def mix(*words: object) -> str:
    """What a verb prints; its error is raised."""
    found = CliRunner().invoke(app, ["mix", *map(str, words)], catch_exceptions=True)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code == 0, found.output
    return found.output


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def test_from_shards_to_files_verb_by_verb(corpus: Path, tmp_path: Path) -> None:
    by_source = ("--domain-by", "source")
    tokenizer = tmp_path / "tokenizer.json"
    assert "400 tokens" in mix("tokenizer", "-i", corpus, "--out", tokenizer, "--vocabulary", 400)
    table = tmp_path / "domains.csv"
    assert "books" in mix("domains", "-i", corpus, *by_source, "--tokenizer", tokenizer, "--out", table)
    with table.open() as stream:
        counts = {row["domain"]: int(row["tokens"]) for row in csv.DictReader(stream)}
    mixture = tmp_path / "mixture.json"
    mix("solve", "--domains", table, "--method", "temperature", "--out", mixture)
    solved = load(str(mixture))
    assert {d.name: d.available_tokens for d in solved.domains} == counts
    out = tmp_path / "mixed"
    said = mix(
        "apply", mixture, "-i", corpus, *by_source, "--tokenizer", tokenizer, "--token-budget", 6e3, "--out", out, "--order",
        "ascending", "--quality", "score_quality", "--workers", 1, "--log-level", "warning",
    )  # fmt: skip
    assert f"{out}/ordered" in said
    rows = pl.concat(pl.read_parquet(p) for p in sorted((out / "ordered").glob("*.parquet")))
    assert rows["score_quality"].is_sorted() and abs(rows["token_count"].sum() - 6000) < 300
    mix("export", out / "mixture.json", "--to", "megatron,axolotl", "-i", out, "--tokenizer", tokenizer,
        "--out", tmp_path / "files",
        "--location", "s3://bucket/x", "--token-budget", 5e3)  # fmt: skip
    words = (tmp_path / "files/megatron/data_path.txt").read_text().split()
    assert words[1].startswith("s3://bucket/x/megatron/")
    assert [float(word) for word in words[::2]] == pytest.approx([d.weight for d in solved.domains], abs=1e-9)
    manifest = json.loads((tmp_path / "files/megatron/curation_export.json").read_text())
    assert manifest["token_budget"] == 5000 and manifest["tokenizer"]["vocabulary"] == 400


def test_build_does_it_in_one_go(corpus: Path, tmp_path: Path) -> None:
    said = mix(
        "build", "-i", corpus, "--domain-by", "source", "--method", "natural", "--to", "megatron,olmo", "--out", tmp_path / "b"
    )
    assert "megatron: weights of tokens" in said
    mixture = load(str(tmp_path / "b/mixture.json"))
    sizes = {name: len(stream_of(name)) for name in SHARES}
    assert mixture.weights == pytest.approx({name: size / sum(sizes.values()) for name, size in sizes.items()})
    assert mixture.tokenizer == "bytes"
    assert (tmp_path / "b/olmo/mixture.yaml").is_file() and (tmp_path / "b/domains.csv").is_file()
    again = tmp_path / "c"
    mix("build", "-i", corpus, "--domain-by", "source", "--method", "natural", "--out", again)
    assert (again / "mixture.json").read_bytes() == (tmp_path / "b/mixture.json").read_bytes()


def test_clusters_become_domains(corpus: Path, tmp_path: Path) -> None:
    ids = [f"books-{i}" for i in range(120)]
    vectors = np.eye(4)[np.arange(120) % 3 % 2].tolist()
    pq.write_table(pa.table({"id": ids, "embedding": vectors}), tmp_path / "e.parquet")
    table = tmp_path / "t.parquet"
    assert "cluster-01" in mix("clusters", "-i", tmp_path / "e.parquet", "--clusters", 2, "--out", table)
    said = mix("domains", "-i", corpus, "--domain-by", "table", "--domain-option", f"table={table}", "--tokenizer", "bytes")
    found = {line.split()[0]: int(line.split()[1]) for line in said.splitlines()[1:] if line}
    assert found == {"cluster-00": 80, "cluster-01": 40, "other": 360}


def test_errors_say_what_to_do(corpus: Path, tmp_path: Path) -> None:
    mixture_of(SHARES).save(str(tmp_path / "m.json"))
    for words, wanted in (
        (("domains", "-i", corpus, "--tokenizer", "bytes"), "--domain-by source, column"),
        (("domains", "-i", corpus, "--domain-by", "source"), "give a tokenizer"),
        (("domains", "-i", corpus, "--domain-option", "column=x"), "--domain-by column"),
        (("domains", "-i", corpus, "--domain-by", "source", "--domain-option", "columm=x"), "no field columm"),
        (("export", tmp_path / "m.json", "--to", "gpt", "-i", corpus, "--out", tmp_path / "o"), "megatron, nemo"),
        (("apply", tmp_path / "m.json", "-i", corpus, "--out", tmp_path / "o", "--order", "random"), "shuffled"),
        (("apply", tmp_path / "none.json", "-i", corpus, "--domain-by", "source", "--tokenizer", "bytes", "--out",
          tmp_path / "o"), "none.json"),
    ):  # fmt: skip
        with pytest.raises(CurationError, match=wanted):
            mix(*words)


def test_the_readme_goes_from_the_demo_corpus_to_files(tmp_path: Path, monkeypatch) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    demo, build = readme.partition("## Mixtures")[2].partition("```\n")[2].partition("```")[0].splitlines()
    monkeypatch.chdir(tmp_path)
    for line in (demo, build):
        found = CliRunner().invoke(app, line.split()[1:])
        assert found.exit_code == 0, found.output
    weights = load("mix/mixture.json").weights
    assert len(weights) > 5 and weights["eng_Latn"] < 0.5
    words = Path("mix/megatron/data_path.txt").read_text().split()
    assert sum(float(word) for word in words[::2]) == pytest.approx(1)
    assert all(Path(f"{prefix}.bin").is_file() for prefix in words[1::2])
