"""mixture/run_table: our own files and RegMix's, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curation.errors import MixtureError
from curation.mixture import run_table
from curation.mixture.run_table import RunTable


def small(**changed: object) -> RunTable:
    given = {
        "name": "runs.csv", "domains": ("a", "b"), "targets": ("t", "u"), "weights": np.array([[0.25, 0.75], [1.0, 0.0]]),
        "losses": np.array([[1.0, 2.0], [3.0, 4.0]]),
    }  # fmt: skip
    return RunTable(**{**given, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_survives_its_file_with_the_digest_of_its_bytes(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"runs.{ending}"
    run_table.write(small(), path, {"seconds": [1.5, 2.5]})
    again = run_table.read(str(path))
    assert (again.domains, again.targets, again.runs) == (("a", "b"), ("t", "u"), ("0", "1"))
    assert np.array_equal(again.weights, small().weights) and np.array_equal(again.losses, small().losses)
    assert again.digest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and again.digest.rows == 2


def test_the_digest_in_memory_is_that_of_the_csv(tmp_path: Path) -> None:
    run_table.write(small(), tmp_path / "runs.csv")
    assert run_table.read(str(tmp_path / "runs.csv")).sha256 == small().sha256 != small(losses=np.ones((2, 2))).sha256


def test_targets_are_found_by_name_and_averaged_without_one() -> None:
    assert small().target("u").tolist() == [2.0, 4.0] and small().target().tolist() == [1.5, 3.5]
    with pytest.raises(MixtureError, match="one of t, u"):
        small().target("v")


def test_domains_are_brought_into_another_order() -> None:
    turned = small().ordered(["b", "a"])
    assert turned.weights.tolist() == [[0.75, 0.25], [0.0, 1.0]] and turned.sha256 == small().sha256
    with pytest.raises(MixtureError, match="unknown domain 'c'"):
        small().ordered(["a", "b", "c"])
    with pytest.raises(MixtureError, match="unknown domain 'b'.*\n.*the problem"):
        small().ordered(["a"])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"losses": np.array([[1.0, np.nan], [3.0, 4.0]])}, "nan for target 'u' of run 0"),
        ({"losses": np.array([[1.0, 2.0], [np.inf, 4.0]])}, "inf for target 't' of run 1"),
        ({"losses": np.array([[1.0, 2.0], [0.0, 4.0]])}, "0.0 for target 't' of run 1\n.*error rate"),
        ({"weights": np.array([[0.25, 0.75], [0.5, 0.4]])}, "0.9 for run 1"),
        ({"weights": np.array([[-0.25, 1.25], [0.5, 0.5]])}, "-0.25 for domain 'a'"),
        ({"weights": np.array([[np.nan, 1.0], [0.5, 0.5]])}, "nan for domain 'a'"),
        ({"domains": ("a", "a")}, "each name once"),
        ({"losses": np.ones((3, 2))}, "shape of the losses"),
    ],
)
def test_tables_that_say_nothing_are_refused(changed: dict, says: str) -> None:
    with pytest.raises(MixtureError, match=says):
        small(**changed)


def test_too_few_runs_are_named_with_the_number_missing() -> None:
    small().require(2, "ridge")
    with pytest.raises(MixtureError, match="at least 20 runs\n.*2 in runs.csv\n.*18 more"):
        small().require(20, "LightGBM")


def test_files_without_a_table_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for text, says in (("a,b\n1,2\n", "weight_<domain>"), ("weight_a,loss_t\n1,none\n", "numbers"), ("", "run table")):
        path.write_text(text)
        with pytest.raises(MixtureError, match=says):
            run_table.read(str(path))
    with pytest.raises(MixtureError, match="none in"):
        run_table.read_folder(tmp_path / "empty")


def test_a_pair_of_files_must_be_of_the_same_runs(tmp_path: Path) -> None:
    pl.DataFrame({"index": [1, 2], "train_a": [0.5, 1.0], "train_b": [0.5, 0.0]}).write_csv(tmp_path / "train_mixture_x.csv")
    with pytest.raises(MixtureError, match="a table of losses too"):
        run_table.read_folder(tmp_path)
    losses = pl.DataFrame({"index": [1, 3], "metric/t_val_loss": [1.0, 2.0]})
    losses.write_csv(tmp_path / "train_my_loss_x.csv")
    with pytest.raises(MixtureError, match="the same index"):
        run_table.read_folder(tmp_path)
    losses.with_columns(index=pl.Series([1, 2])).write_csv(tmp_path / "train_my_loss_x.csv")
    table = run_table.read_folder(tmp_path)["train_x"]
    assert table.domains == ("a", "b") and table.targets == ("t",) and table.runs == ("1", "2")


def test_the_published_tables_are_read_whole(data_folder: Path) -> None:
    folder = data_folder / "regmix-tables"
    if not folder.is_dir():
        pytest.skip("no RegMix tables here")
    tables = run_table.read_folder(folder)
    assert {name: len(t) for name, t in tables.items()} == {"train_1m": 512, "test_1m": 256, "test_60m": 256, "test_1B": 64}
    for table in tables.values():
        assert len(table.domains) == 17 and len(table.targets) == 13
        assert table.domains[11] == table.targets[8] == "the_pile_pile_cc"
