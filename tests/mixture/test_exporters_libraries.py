"""Exports read by the trainers' own libraries, where they are installed: the same tokens, drawn in the shares asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from mixture_cases import SHARES, job_of, stream_of, texts_of, within_three_deviations, write_corpus

from curation.mixture.exporters import export
from curation.mixture.exporters.job import file_name

WEIGHTED = {name: share for name, share in SHARES.items() if share}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def test_megatron_reads_and_writes_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    indexed = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    export("megatron", job_of(corpus, tmp_path))
    for name in WEIGHTED:
        stem = tmp_path / f"{file_name(name)}_text_document"
        own = indexed.IndexedDataset(str(stem))
        joined = np.concatenate([own[i] for i in range(len(own))])
        assert len(own) == 120 and np.array_equal(joined, stream_of(name))
        builder = indexed.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=np.uint16)
        torch = pytest.importorskip("torch")
        for text in texts_of(name, 120):
            document = torch.tensor([*text.encode(), 256])
            builder.add_document(document, [len(document)])
        builder.finalize(str(tmp_path / "theirs.idx"))
        for end in ("bin", "idx"):
            assert (tmp_path / f"theirs.{end}").read_bytes() == Path(f"{stem}.{end}").read_bytes()


def test_megatron_parses_the_blend(corpus: Path, tmp_path: Path) -> None:
    parse = pytest.importorskip("megatron.core.datasets.utils").get_blend_from_list
    export("megatron", job_of(corpus, tmp_path))
    prefixes, weights = parse((tmp_path / "data_path.txt").read_text().split())
    assert [Path(p).name for p in prefixes] == [f"{name}_text_document" for name in WEIGHTED]
    assert weights == list(WEIGHTED.values())
    export("nemo", job_of(corpus, tmp_path))
    flat = yaml.safe_load((tmp_path / "nemo1.yaml").read_text())["model"]["data"]["data_prefix"]
    assert parse([str(word) for word in flat]) == (prefixes, weights)


def test_megatron_blends_the_shares_exactly(corpus: Path, tmp_path: Path) -> None:
    helpers = pytest.importorskip("megatron.core.datasets.helpers_cpp")
    export("megatron", job_of(corpus, tmp_path))
    weights = np.array([float(word) for word in (tmp_path / "data_path.txt").read_text().split()[::2]])
    owner, place = np.zeros(10_000, np.int16), np.zeros(10_000, np.int64)
    helpers.build_blending_indices(owner, place, weights, len(weights), len(owner), False)
    assert np.abs(np.bincount(owner) - weights * len(owner)).max() <= 1


def test_streaming_draws_the_shares(corpus: Path, tmp_path: Path) -> None:
    streaming = pytest.importorskip("streaming")
    streaming.base.util.clean_stale_shared_memory()
    export("mds", job_of(corpus, tmp_path / "out", shard_mb=0.02))
    own = streaming.StreamingDataset(local=str(tmp_path / "out/books"), shuffle=False, batch_size=1)
    rows = np.array([own[i]["tokens"] for i in range(len(own))])
    stream = stream_of("books")
    assert np.array_equal(rows.ravel(), stream[: len(stream) // 64 * 64])
    said = yaml.safe_load((tmp_path / "out/llm_foundry.yaml").read_text())["train_loader"]["dataset"]
    streams = [
        streaming.Stream(remote=one["remote"], local=str(tmp_path / "local" / name), proportion=one["proportion"])
        for name, one in said["streams"].items()
    ]
    mixed = streaming.StreamingDataset(
        streams=streams, epoch_size=3000, shuffle=True, shuffle_seed=said["shuffle_seed"], batch_size=1
    )
    first_rows = {row["tokens"].tobytes(): name for name in WEIGHTED for row in _rows(tmp_path / "out" / name, streaming)}
    drawn = Counter(first_rows[row["tokens"].tobytes()] for row in mixed)
    assert within_three_deviations(drawn, WEIGHTED)
    streaming.base.util.clean_stale_shared_memory()


def _rows(folder: Path, streaming):
    return iter(streaming.StreamingDataset(local=str(folder), shuffle=False, batch_size=1))


def test_streaming_writes_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    streaming = pytest.importorskip("streaming")
    export("mds", job_of(corpus, tmp_path / "out", shard_mb=0.02))
    columns = {"tokens": "ndarray:int32:64"}
    stream = stream_of("books")
    rows = stream[: len(stream) // 64 * 64].reshape(-1, 64).astype(np.int32)
    with streaming.MDSWriter(out=str(tmp_path / "theirs"), columns=columns, hashes=["sha1"], size_limit=20_000) as writer:
        for row in rows:
            writer.write({"tokens": row})
    names = sorted(p.name for p in (tmp_path / "theirs").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "out/books").iterdir())
    for name in names:
        assert (tmp_path / "theirs" / name).read_bytes() == (tmp_path / "out/books" / name).read_bytes(), name


def test_hugging_face_draws_the_shares_of_tokens(corpus: Path, tmp_path: Path, monkeypatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    export("huggingface", job_of(corpus, tmp_path / "out"))
    by_card = datasets.load_dataset(str(tmp_path / "out"), "books", split="train", cache_dir=str(tmp_path / "cache"))
    assert by_card["text"][:] == texts_of("books", 120)
    scope: dict = {}
    exec((tmp_path / "out/mixture.py").read_text(), scope)
    tokens: Counter = Counter()
    means = {name: len(stream_of(name)) / 120 for name in WEIGHTED}
    rows = list(scope["dataset"])
    for row in rows:
        tokens[row["domain"]] += row["token_count"]
    drawn = Counter(row["domain"] for row in rows)
    assert within_three_deviations(drawn, dict(scope["PROBABILITIES"]))
    # of tokens: a domain's share varies as its rows do, by the weight of a row
    total = sum(tokens.values())
    mean = total / len(rows)
    for name, share in WEIGHTED.items():
        p = scope["PROBABILITIES"][name]
        deviation = (p * (1 - p) / len(rows)) ** 0.5 * means[name] / mean + 0.35 * share / (p * len(rows)) ** 0.5
        assert abs(tokens[name] / total - share) <= 3 * deviation


def test_olmo_core_selects_the_shares(corpus: Path, tmp_path: Path) -> None:
    mixture = pytest.importorskip("olmo_core.data.source_mixture")
    export("olmo", job_of(corpus, tmp_path, shard_mb=0.02, token_budget=65_536))
    sources = yaml.safe_load((tmp_path / "mixture.yaml").read_text())["sources"]
    config = mixture.SourceMixtureDatasetConfig(
        source_list=mixture.SourceMixtureList(sources=[mixture.SourceMixtureConfig(**source) for source in sources]),
        requested_tokens=65_536, global_batch_size=512, quiet=True, render_tables=False,
    )  # fmt: skip
    built = config.build(npdtype=np.uint16, sequence_length=64)
    chosen = {one.name: sum(path.tokens for path in one.path_tokens) for one in built.sources}
    total = sum(chosen.values())
    assert total >= 65_536
    assert all(abs(chosen[name] / total - share) <= 64 * 3 / total for name, share in WEIGHTED.items())
    scope: dict = {}
    exec((tmp_path / "dataset.py").read_text(), scope)
    config = scope["DATASET"]
    config.work_dir = str(tmp_path / "work")
    config.source_mixture_config.render_tables = False
    dataset = config.build()
    dataset.prepare()
    rows = [np.asarray(dataset[i]["input_ids"]) for i in range(len(dataset))]
    assert sum(len(row) for row in rows) >= 65_536
    streams = {name: stream_of(name).astype(np.uint16).tobytes() for name in WEIGHTED}
    drawn = Counter()
    for row in rows:
        owners = [name for name, stream in streams.items() if row.astype(np.uint16).tobytes() in stream]
        drawn.update(owners[:1])
    assert sum(drawn.values()) > 0.95 * len(rows), "rows that cross from file to file are few"
    assert all(abs(drawn[name] / sum(drawn.values()) - share) < 0.03 for name, share in WEIGHTED.items())


def test_litdata_draws_the_shares(corpus: Path, tmp_path: Path) -> None:
    litdata = pytest.importorskip("litdata")
    export("litdata", job_of(corpus, tmp_path, shard_mb=0.01))

    def dataset(name: str, **options):
        return litdata.StreamingDataset(str(tmp_path / name), item_loader=litdata.TokensLoader(block_size=65), **options)

    owner = {}
    for name in WEIGHTED:
        blocks = [np.asarray(block) for block in dataset(name)]
        stream = stream_of(name)
        assert np.array_equal(np.concatenate(blocks), stream[: len(stream) // 65 * 65])
        owner.update({block.tobytes(): name for block in blocks})
    parts = [dataset(name, shuffle=True, seed=3) for name in WEIGHTED]
    mixed = litdata.CombinedStreamingDataset(parts, seed=42, weights=list(WEIGHTED.values()), iterate_over_all=False)
    drawn = Counter(owner[np.asarray(block).tobytes()] for block in mixed)
    assert sum(drawn.values()) > 100 and within_three_deviations(drawn, WEIGHTED)


def test_datatrove_reads_the_tokens(corpus: Path, tmp_path: Path) -> None:
    dataset = pytest.importorskip("datatrove.utils.dataset")
    pytest.importorskip("torch")
    export("nanotron", job_of(corpus, tmp_path))
    for name in WEIGHTED:
        own = dataset.DatatroveFolderDataset(
            str(tmp_path / name), seq_len=63, filename_pattern="*.ds", token_size=2, return_positions=True
        )
        rows = np.concatenate([np.asarray(own[i]["input_ids"]) for i in range(len(own))])
        stream = stream_of(name)
        assert np.array_equal(rows, stream[: len(stream) // 64 * 64])
        lengths = [len(text.encode()) + 1 for text in texts_of(name, 120)]
        positions = np.concatenate([np.arange(length) for length in lengths])[: len(rows)]
        found = np.concatenate([np.asarray(own[i]["positions"]) for i in range(len(own))])
        starts = np.arange(len(rows)) // 64 * 64  # a window begins anew
        inside = np.arange(len(rows)) - positions >= starts
        assert np.array_equal(found[inside], positions[inside])


def test_datatrove_writes_the_same_index(corpus: Path, tmp_path: Path) -> None:
    tokens = pytest.importorskip("datatrove.pipeline.tokens.tokenizer")
    data = pytest.importorskip("datatrove.io")
    export("nanotron", job_of(corpus, tmp_path / "out"))
    file = tokens.TokenizedFile(
        data.get_datafolder(str(tmp_path / "theirs")),
        "x.ds",
        upload_block_size=None,
        tokenizer_name_or_path="bytes",
        token_size=2,
    )
    for text in texts_of("code", 120):
        file.write([*text.encode(), 256], None)
    file.write_final_metadata()
    file.close()
    for end in ("", ".index"):
        assert (tmp_path / f"theirs/x.ds{end}").read_bytes() == (tmp_path / f"out/code/00000_tokens.ds{end}").read_bytes()
    theirs = (tmp_path / "theirs/x.ds.metadata").read_text().split("\n")
    assert theirs[:2] == (tmp_path / "out/code/00000_tokens.ds.metadata").read_text().split("\n")[:2]


def test_torchtitan_draws_the_shares(corpus: Path, tmp_path: Path) -> None:
    titan = pytest.importorskip("torchtitan.hf_datasets.text_datasets")
    export("torchtitan", job_of(corpus, tmp_path))
    scope: dict = {}
    exec((tmp_path / "titan_0_3.py").read_text(), scope)

    class Bytes:
        def encode(self, text: str, add_bos: bool, add_eos: bool) -> list[int]:
            return [*text.encode(), 256]

    parts = [
        titan.HuggingFaceTextDataset(s.dataset, s.dataset_path, Bytes(), seq_len=64, infinite=True) for s in scope["SOURCES"]
    ]
    owner = {}
    for name, part in zip(WEIGHTED, parts, strict=True):
        once = titan.HuggingFaceTextDataset(part.dataset_name, None, Bytes(), seq_len=64, infinite=True)
        for _, (row, _) in zip(range(4 * len(stream_of(name)) // 64), once, strict=False):
            owner[np.asarray(row["input"]).tobytes()] = name
    config = scope["LOADER"]
    mixed = titan.InterleavedDataset(parts, [s.weight for s in config.sources], config.seed, config.stopping_strategy)
    rows = [row for _, (row, _) in zip(range(600), mixed, strict=False)]
    drawn = Counter(owner[np.asarray(row["input"]).tobytes()] for row in rows)
    assert sum(drawn.values()) == 600 and within_three_deviations(drawn, WEIGHTED)
