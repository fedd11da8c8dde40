"""Exporters: the files say by their formats' descriptions what went in, weights are in the trainer's unit, errors are clear."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mixture_cases import LENGTHS, SHARES, job_of, stream_of, texts_of, write_corpus

from curation.errors import CurationError, MixtureError
from curation.mixture.artefact import mixture_of
from curation.mixture.exporters import FORMATS, export
from curation.mixture.exporters.encoding import Encoder
from curation.mixture.exporters.job import MANIFEST, file_name
from curation.mixture.exporters.weights import epochs_of, row_weights, token_weights

WEIGHTED = {name: share for name, share in SHARES.items() if share}
FREE = [name for name in FORMATS if name != "axolotl"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def manifest(out: Path) -> dict:
    return json.loads((out / MANIFEST).read_text())


def read_indexed(stem: Path) -> tuple[np.ndarray, list[int]]:
    """Tokens and lengths of a .bin and .idx, by the description of the format."""
    index = (stem.parent / f"{stem.name}.idx").read_bytes()
    magic, version, code, sequences, bounds = struct.unpack_from("<9sQBQQ", index)
    assert (magic, version) == (b"MMIDIDX\0\0", 1)
    dtype = {8: np.dtype("<u2"), 4: np.dtype("<i4")}[code]
    lengths = np.frombuffer(index, "<i4", sequences, 34)
    offsets = np.frombuffer(index, "<i8", sequences, 34 + 4 * sequences)
    documents = np.frombuffer(index, "<i8", bounds, 34 + 12 * sequences)
    assert 34 + 12 * sequences + 8 * bounds == len(index)
    assert documents.tolist() == list(range(sequences + 1))
    assert offsets.tolist() == [int(o) * dtype.itemsize for o in np.cumsum([0, *lengths[:-1]])]
    return np.frombuffer((stem.parent / f"{stem.name}.bin").read_bytes(), dtype), lengths.tolist()


@pytest.mark.parametrize("format_", ["megatron", "nemo"])
def test_megatron_files_hold_the_documents(corpus: Path, tmp_path: Path, format_: str) -> None:
    export(format_, job_of(corpus, tmp_path, location="s3://bucket/mix"))
    for name in WEIGHTED:
        tokens, lengths = read_indexed(tmp_path / f"{file_name(name)}_text_document")
        assert np.array_equal(tokens, stream_of(name))
        assert lengths == [len(text.encode()) + 1 for text in texts_of(name, 120)]
    if format_ == "megatron":
        words = (tmp_path / "data_path.txt").read_text().split()
        assert words[1::2] == [f"s3://bucket/mix/{name}_text_document" for name in WEIGHTED]
        assert [float(word) for word in words[::2]] == list(WEIGHTED.values())
        assert json.loads((tmp_path / "data_path.json").read_text())["train"] == words
    else:
        first = yaml.safe_load((tmp_path / "nemo1.yaml").read_text())["model"]["data"]["data_prefix"]
        assert first[::2] == list(WEIGHTED.values())
        paths, weights = yaml.safe_load((tmp_path / "bridge.yaml").read_text())["dataset"]["blend"]
        assert (paths, weights) == (first[1::2], first[::2])


def read_mds(folder: Path, length: int) -> np.ndarray:
    """Rows of a folder of MDS shards, by the description of the format."""
    rows = []
    for shard in json.loads((folder / "index.json").read_text())["shards"]:
        data = (folder / shard["raw_data"]["basename"]).read_bytes()
        assert shard["raw_data"]["bytes"] == len(data)
        assert shard["raw_data"]["hashes"]["sha1"] == hashlib.sha1(data).hexdigest()
        assert shard["column_encodings"] == [f"ndarray:int32:{length}"] and shard["column_sizes"] == [4 * length]
        count = int(np.frombuffer(data, "<u4", 1)[0])
        offsets = np.frombuffer(data, "<u4", count + 1, 4)
        assert count == shard["samples"] and offsets[-1] == len(data) and len(data) <= shard["size_limit"]
        rows += [np.frombuffer(data[start:stop], "<i4") for start, stop in zip(offsets[:-1], offsets[1:], strict=True)]
    return np.array(rows)


def test_mds_rows_are_the_stream_of_tokens(corpus: Path, tmp_path: Path) -> None:
    found = export("mds", job_of(corpus, tmp_path, shard_mb=0.02))
    for name in WEIGHTED:
        rows = read_mds(tmp_path / name, 64)
        stream = stream_of(name)
        assert np.array_equal(rows.ravel(), stream[: len(stream) // 64 * 64])
        assert found.domains[name].rows == len(rows)
    assert len(found.domains["books"].files) > 2, "several shards"
    streams = yaml.safe_load((tmp_path / "llm_foundry.yaml").read_text())["train_loader"]["dataset"]["streams"]
    assert {name: stream["proportion"] for name, stream in streams.items()} == WEIGHTED


def test_olmo_arrays_have_no_header_and_end_with_documents(corpus: Path, tmp_path: Path) -> None:
    found = export("olmo", job_of(corpus, tmp_path, shard_mb=0.004, token_budget=100_000))
    for name in WEIGHTED:
        parts = [np.fromfile(tmp_path / file, "<u2") for file in found.domains[name].files]
        assert np.array_equal(np.concatenate(parts), stream_of(name))
        assert all(part[-1] == 256 for part in parts), "a file ends with a document"
    assert len(found.domains["books"].files) > 3
    sources = yaml.safe_load((tmp_path / "mixture.yaml").read_text())["sources"]
    assert {s["source_name"]: s["target_ratio"] for s in sources} == WEIGHTED
    for source in sources:
        asked = source["target_ratio"] * 100_000 / found.domains[source["source_name"]].tokens
        assert source["max_repetition_ratio"] >= max(1, asked)
    compile((tmp_path / "dataset.py").read_text(), "dataset.py", "exec")


def test_ds_files_index_the_ends_of_documents(corpus: Path, tmp_path: Path) -> None:
    export("nanotron", job_of(corpus, tmp_path))
    for name in WEIGHTED:
        folder = tmp_path / name
        assert np.array_equal(np.fromfile(folder / "00000_tokens.ds", "<u2"), stream_of(name))
        ends = np.fromfile(folder / "00000_tokens.ds.index", "<u8")
        assert ends.tolist() == np.cumsum([len(text.encode()) + 1 for text in texts_of(name, 120)]).tolist()
        said = (folder / "00000_tokens.ds.metadata").read_text().split("\n")
        assert said[:2] == ["bytes|2", str(ends[-1])]
    data = yaml.safe_load((tmp_path / "nanotron.yaml").read_text())["data_stages"][0]["data"]["dataset"]
    assert data["dataset_weights"] == list(WEIGHTED.values()) and data["token_size_in_bytes"] == 2
    assert [Path(folder).name for folder in data["dataset_folder"]] == list(WEIGHTED)


def test_litdata_chunks_are_blocks_of_the_stream(corpus: Path, tmp_path: Path) -> None:
    found = export("litdata", job_of(corpus, tmp_path, shard_mb=0.01))
    for name in WEIGHTED:
        index = json.loads((tmp_path / name / "index.json").read_text())
        assert index["config"]["data_format"] == ["no_header_tensor:16"] and index["config"]["item_loader"] == "TokensLoader"
        parts = []
        for chunk in index["chunks"]:
            data = (tmp_path / name / chunk["filename"]).read_bytes()
            assert np.frombuffer(data, "<u4", 1)[0] == chunk["chunk_size"]
            parts.append(np.frombuffer(data, "<i4", chunk["dim"], 4 * (chunk["chunk_size"] + 2)))
            assert 4 * (chunk["chunk_size"] + 2) + 4 * chunk["dim"] == len(data)
        stream = stream_of(name)
        assert np.array_equal(np.concatenate(parts), stream[: len(stream) // 65 * 65])
        assert len(index["chunks"]) == len(found.domains[name].files) - 1
    compile((tmp_path / "litgpt_data.py").read_text(), "litgpt_data.py", "exec")


def test_packed_files_are_full_chunks(corpus: Path, tmp_path: Path) -> None:
    found = export("packed", job_of(corpus, tmp_path, shard_mb=0.004))
    for name in WEIGHTED:
        parts = []
        for file in found.domains[name].files:
            data = (tmp_path / file).read_bytes()
            magic, version, code, tokens = struct.unpack_from("<7sQBQ", data)
            assert (magic, version, code) == (b"LITPKDS", 1, 8) and tokens % 65 == 0 and len(data) == 24 + 2 * tokens
            parts.append(np.frombuffer(data, "<u2", tokens, 24))
        joined, stream = np.concatenate(parts), stream_of(name)
        assert np.array_equal(joined[: len(stream)], stream) and (joined[len(stream) :] == 256).all()
    shares = yaml.safe_load((tmp_path / "mixture.yaml").read_text())["train"]
    assert list(shares.values()) == list(WEIGHTED.values())
    for key, name in zip(shares, WEIGHTED, strict=True):
        assert all(file.split("-")[0] == key for file in found.domains[name].files)


@pytest.mark.parametrize("format_", ["huggingface", "torchtitan"])
def test_parquet_rows_are_the_documents(corpus: Path, tmp_path: Path, format_: str) -> None:
    found = export(format_, job_of(corpus, tmp_path))
    schemas = set()
    for name in WEIGHTED:
        tables = [pq.read_table(tmp_path / file) for file in found.domains[name].files]
        assert [text for table in tables for text in table.column("text").to_pylist()] == texts_of(name, 120)
        assert sum(sum(table.column("token_count").to_pylist()) for table in tables) == len(stream_of(name))
        schemas.update(str(table.schema) for table in tables)
    assert len(schemas) == 1
    for path in tmp_path.glob("*.py"):
        compile(path.read_text(), path.name, "exec")


def read_lines(path: str | Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def test_levanter_lines_are_the_documents(corpus: Path, tmp_path: Path) -> None:
    found = export("levanter", job_of(corpus, tmp_path, shard_mb=0.005))
    data = yaml.safe_load((tmp_path / "levanter.yaml").read_text())["data"]
    assert data["train_weights"] == WEIGHTED and set(data["configs"]) == set(WEIGHTED)
    for name in WEIGHTED:
        assert [Path(url).parent.name for url in data["configs"][name]["train_urls"]] == [name] * len(found.domains[name].files)
        lines = [line for file in found.domains[name].files for line in read_lines(tmp_path / file)]
        assert [line["text"] for line in lines] == texts_of(name, 120)


def test_rows_drawn_by_the_converted_weights_give_the_token_shares(corpus: Path, tmp_path: Path) -> None:
    found = export("huggingface", job_of(corpus, tmp_path))
    rows = json.loads((tmp_path / "interleave.json").read_text())["probabilities"]
    assert math.fsum(rows.values()) == 1 and rows["q-a"] > rows["books"], "short documents are drawn more often"
    draw = np.random.default_rng(7)
    names = list(rows)
    lengths = {name: np.array([len(t.encode()) + 1 for t in texts_of(name, 120)]) for name in names}
    shares = []
    for _ in range(40):
        chosen = draw.choice(len(names), 2000, p=list(rows.values()))
        tokens = np.array([draw.choice(lengths[name], (chosen == i).sum()).sum() for i, name in enumerate(names)])
        shares.append(tokens / tokens.sum())
    mean, error = np.mean(shares, axis=0), np.std(shares, axis=0) / 40**0.5
    assert (np.abs(mean - [SHARES[name] for name in names]) <= 3 * error).all()
    assert found.unit == "rows" and found.weights == rows


def test_the_published_example_of_a_conversion() -> None:
    found = row_weights({"short": 0.5, "long": 0.5}, {"short": 100_000, "long": 1_000_000}, {"short": 1000, "long": 1000})
    assert found == {"short": 0.909090909, "long": 0.090909091}


@pytest.mark.parametrize("format_", FREE)
def test_equal_exports_are_equal_bytes_and_the_manifest_is_true(corpus: Path, tmp_path: Path, format_: str) -> None:
    for out in ("a", "b"):
        export(format_, job_of(corpus, tmp_path / out, location="/data/mix"))
    files = {p.relative_to(tmp_path / "a").as_posix() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    said = manifest(tmp_path / "a")
    assert set(said["files"]) == files - {MANIFEST}
    assert all(hashlib.sha256((tmp_path / "a" / f).read_bytes()).hexdigest() == digest for f, digest in said["files"].items())
    assert said["left_out"] == ["news"] and not any(file.startswith("news") for file in files), "weight 0 is left out"
    assert {d["name"]: d["token_share"] for d in said["domains"]} == WEIGHTED
    assert said["unit"] == ("rows" if format_ == "huggingface" else "tokens")


@pytest.mark.parametrize("format_", FREE)
def test_an_export_replaces_an_earlier_one_and_nothing_else(corpus: Path, tmp_path: Path, format_: str) -> None:
    export("levanter", job_of(corpus, tmp_path, shard_mb=0.001))
    export(format_, job_of(corpus, tmp_path))
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {*manifest(tmp_path)["files"], MANIFEST}
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(MixtureError, match="empty folder"):
        export(format_, job_of(corpus, tmp_path))


def test_too_many_epochs_are_told(corpus: Path, tmp_path: Path) -> None:
    found = export("megatron", job_of(corpus, tmp_path, token_budget=1_000_000, max_epochs=40))
    assert len(found.warnings) == 1 and found.warnings[0].startswith("q-a: ")
    assert manifest(tmp_path)["warnings"] == found.warnings
    epochs = {d["name"]: d["epochs"] for d in manifest(tmp_path)["domains"]}
    assert epochs["q-a"] == pytest.approx(200_000 / len(stream_of("q-a")))


def test_axolotl_wants_a_materialised_corpus(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(MixtureError, match="mix apply --order shuffled"):
        export("axolotl", job_of(corpus, tmp_path / "a"))
    total = sum(len(stream_of(name)) for name in LENGTHS)
    natural = mixture_of({name: len(stream_of(name)) / total for name in LENGTHS})
    export("axolotl", job_of(corpus, tmp_path / "b", natural))
    value = yaml.safe_load((tmp_path / "b/axolotl.yaml").read_text())["pretraining_dataset"][0]
    lines = [line for file in value["data_files"] for line in read_lines(file)]
    assert len(lines) == 480 and value["text_column"] == "text"


def test_what_does_not_fit_is_told(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(MixtureError, match="wanted: megatron, nemo"):
        export("deepspeed", job_of(corpus, tmp_path))
    with pytest.raises(MixtureError, match="unknown domain 'poems'"):
        export("megatron", job_of(corpus, tmp_path / "a", mixture_of({"books": 0.5, "poems": 0.5})))
    assert not (tmp_path / "a" / MANIFEST).exists()
    empty = write_corpus(tmp_path / "empty", documents=0, domains=["books"])
    write_corpus(empty, domains=["code"])
    with pytest.raises(CurationError, match="books"):
        export("olmo", job_of(empty, tmp_path / "c", mixture_of({"books": 0.5, "code": 0.5})))
    without = write_corpus(tmp_path / "plain")
    job = job_of(without, tmp_path / "d")
    job.corpus.__dict__["domains"] = None
    with pytest.raises(MixtureError, match="--domain-by"):
        export("megatron", job)


def test_any_name_of_a_domain_is_a_name_of_files(tmp_path: Path) -> None:
    names = ["0.5", "a/b c", "../up", "é字", "a%2Fb", "CON."]
    mixture = mixture_of(dict.fromkeys(names, 1 / len(names)))
    (tmp_path / "in").mkdir()
    for i, name in enumerate(names):
        table = {"text": [f"text {i} {k}" for k in range(30)], "source": [name] * 30}
        pq.write_table(pa.table(table), tmp_path / f"in/{i}.parquet")
    for format_ in FREE:
        out = tmp_path / "out" / format_
        found = export(format_, job_of(tmp_path / "in", out, mixture, sequence_length=8))
        assert list(found.domains) == names and all(one.documents == 30 for one in found.domains.values())
        written = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
        assert written == {*manifest(out)["files"], MANIFEST}, "nothing is written elsewhere"
    for i, name in enumerate(names):
        tokens, _ = read_indexed(tmp_path / "out/megatron" / f"{file_name(name)}_text_document")
        assert bytes(tokens[:6].tolist()) == f"text {i}".encode()
    words = (tmp_path / "out/megatron/data_path.txt").read_text().split()
    assert len(words) == 12 and not any(word.replace(".", "").isdigit() for word in words[1::2])


def test_a_large_vocabulary_takes_four_bytes(corpus: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Encoder, "vocabulary", property(lambda self: 65_500))
    export("megatron", job_of(corpus, tmp_path / "megatron"))
    tokens, _ = read_indexed(tmp_path / "megatron/books_text_document")
    assert tokens.dtype == np.dtype("<i4") and np.array_equal(tokens, stream_of("books"))
    export("olmo", job_of(corpus, tmp_path / "olmo"))
    assert np.array_equal(np.fromfile(tmp_path / "olmo/books/part-00000.npy", "<u4"), stream_of("books"))


@given(st.dictionaries(st.text(min_size=1, max_size=6), st.floats(0, 1), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_written_weights_sum_to_one_and_are_near(weights: dict[str, float]) -> None:
    total = math.fsum(weights.values())
    if total <= 0:
        with pytest.raises(MixtureError, match="at least one above 0"):
            token_weights(weights)
        return
    found = token_weights(weights)
    assert round(math.fsum(found.values()) * 10**9) == 10**9 and all(weight > 0 for weight in found.values())
    assert all(abs(found.get(name, 0.0) - weight / total) <= 1e-9 * len(weights) for name, weight in weights.items())


@given(st.lists(st.text(max_size=8), unique=True, max_size=30))
def test_names_of_files_tell_domains_apart(names: list[str]) -> None:
    made = [file_name(name) for name in names]
    assert len(set(made)) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=") for name in made)


def test_epochs_are_tokens_asked_by_tokens_there() -> None:
    assert epochs_of({"a": 0.25, "b": 0.75}, {"a": 100, "b": 1000}, 400) == {"a": 1.0, "b": 0.3}
