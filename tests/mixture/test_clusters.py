"""Clusters of embeddings: planted clusters are found, the order of rows and files changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import MixtureError
from curation.mixture.clusters import Embeddings, cluster_table, find_centres, write_table
from curation.mixture.domains import Domains


def planted(rows: int = 900, size: int = 12, seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    owner = draw.choice(3, rows, p=[0.6, 0.3, 0.1])
    vectors = np.eye(size)[owner] * 5 + draw.normal(size=(rows, size)) * 0.5
    return [f"doc-{i}" for i in range(rows)], vectors * draw.uniform(0.1, 9, (rows, 1)), owner


def write(folder: Path, ids: list[str], vectors: np.ndarray, files: int) -> Embeddings:
    folder.mkdir()
    for i in range(files):
        table = {"id": pa.array(ids[i::files]), "embedding": pa.array(vectors[i::files].astype(np.float32).tolist())}
        pq.write_table(pa.table(table), folder / f"part-{i}.parquet")
    return Embeddings([str(folder)])


def test_planted_clusters_are_found_by_size_in_any_order(tmp_path: Path) -> None:
    ids, vectors, owner = planted()
    one = cluster_table(write(tmp_path / "a", ids, vectors, 1), 3)
    assert dict(one.iter_rows()) == {i: f"cluster-0{k}" for i, k in zip(ids, owner, strict=True)}
    mixed = np.random.default_rng(1).permutation(len(ids))
    other = cluster_table(write(tmp_path / "b", [ids[i] for i in mixed], vectors[mixed], 4), 3)
    assert dict(other.iter_rows()) == dict(one.iter_rows())
    small = cluster_table(write(tmp_path / "c", ids, vectors, 2), 3, sample=60)
    assert dict(small.iter_rows()) == dict(one.iter_rows()), "centres from a sample"


def test_the_table_gives_documents_their_domain(tmp_path: Path) -> None:
    ids, vectors, owner = planted(40)
    write_table(cluster_table(write(tmp_path / "a", ids, vectors, 1), 3), tmp_path / "t.parquet")
    rows = pl.DataFrame({"doc": range(3), "id": [ids[5], "no such", ids[0]]}, schema_overrides={"doc": pl.UInt64})
    found = Domains(by="table", table=str(tmp_path / "t.parquet")).bind({})(rows)["domain"].to_list()
    assert found == [f"cluster-0{owner[5]}", "other", f"cluster-0{owner[0]}"]


def test_no_centre_stays_empty() -> None:
    rows = np.repeat(np.eye(4, dtype=np.float32), [50, 50, 1, 1], axis=0)
    for seed in range(20):
        nearest = (rows @ find_centres(rows, 4, seed).T).argmax(axis=1)
        assert len(set(nearest)) == 4


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    ids, vectors, _ = planted(30)
    same = write(tmp_path / "same", ids, np.ones((30, 4)), 1)
    with pytest.raises(MixtureError, match="1 distinct"):
        cluster_table(same, 2)
    with pytest.raises(MixtureError, match="at least 1"):
        cluster_table(same, 0)
    with pytest.raises(MixtureError, match="columns id and vector"):
        cluster_table(Embeddings(same.inputs, "vector"), 1)
    vectors[3, 0] = np.nan
    with pytest.raises(MixtureError, match="finite"):
        cluster_table(write(tmp_path / "nan", ids, vectors, 1), 2)
    pq.write_table(pa.table({"id": ["a", "b"], "embedding": [[1.0], [1.0, 2.0]]}), tmp_path / "ragged.parquet")
    with pytest.raises(MixtureError, match="one length"):
        cluster_table(Embeddings([str(tmp_path / "ragged.parquet")]), 1)
