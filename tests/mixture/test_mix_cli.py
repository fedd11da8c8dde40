"""`curation mix`: propose, fit, solve, rounds and report end to end on planted losses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import CurationError
from curation.mixture import artefact, run_table
from curation.mixture.effective_data import EffectiveDataFit

TRUTH = EffectiveDataFit(2.0, 0.3, 0.7, np.array([0.05, 0.5, 1.0]))


def mix(*words: object) -> str:
    result = CliRunner().invoke(app, ["mix", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "domains.csv").write_text("domain,tokens\nweb,900000\ncode,70000\nbooks,30000\n")
    return tmp_path


def train(folder: Path, name: str = "runs.csv") -> Path:
    """Losses for proposed mixtures."""
    proposed = run_table.read(str(folder / "mixtures.csv"), trained=False)
    noise = np.random.default_rng(0).normal(0, 0.002, len(proposed))
    losses = (TRUTH.predict(proposed.weights) + noise)[:, None]
    table = run_table.RunTable(name, proposed.domains, ("books",), proposed.weights, losses, proposed.runs)
    run_table.write(table, folder / name)
    return folder / name


def test_from_domains_to_weights(folder: Path) -> None:
    domains = ("--domains", folder / "domains.csv")
    said = mix("propose", *domains, "--out", folder / "mixtures.csv", "--count", 40, "--natural-runs", 3, "--minimum", 0.001)
    assert "wrote 43 mixtures of 3 domains" in said
    runs = train(folder)
    said = mix("fit", "--runs", runs)
    assert "effective_data" in said and "noise floor" in said and "(chosen)" in said and "books (1)" in said
    out = folder / "out" / "mixture.json"
    budget = ("--token-budget", "1e6", "--max-epochs", 4)
    said = mix("solve", *domains, "--runs", runs, "--out", out, *budget, "--set", "pull=0.01", "--tokenizer", "bpe-4096")
    mixture = artefact.load(str(out))
    assert mixture.method == "convex" and mixture.tokenizer == "bpe-4096" and mixture.token_budget == 10**6
    assert (
        mixture["books"].capped
        and mixture["books"].weight == pytest.approx(0.12)
        and mixture["books"].epochs == pytest.approx(4)
    )
    assert (
        mixture.predicted is not None
        and mixture.predicted.std is not None
        and "at its cap" in said
        and "predicted loss" in said
    )
    assert mixture.run_table is not None and mixture.run_table.file == "runs.csv"
    mix("solve", *domains, "--method", "unimax", "--out", out, *budget)
    assert artefact.load(str(out)).method == "unimax"


def test_the_same_command_writes_the_same_bytes(folder: Path) -> None:
    for name in ("one", "two"):
        mix("propose", "--domains", folder / "domains.csv", "--out", folder / f"{name}.csv", "--count", 20)
    assert (folder / "one.csv").read_bytes() == (folder / "two.csv").read_bytes()


def test_rounds_by_command(folder: Path) -> None:
    script = folder / "train.py"
    script.write_text(
        "import sys, numpy as np, polars as pl\n"
        "frame = pl.read_csv(sys.argv[1])\n"
        "weights = frame.select(pl.col('^weight_.*$')).to_numpy()\n"
        "frame.with_columns(loss_books=pl.Series(2 + np.exp(-weights @ np.arange(3.0)))).write_csv(sys.argv[2])\n"
    )
    command = f"{sys.executable} {script} {{mixtures}} {{runs}}"
    said = mix(
        "rounds", "--domains", folder / "domains.csv", "--train", command, "--out", folder / "rounds", "--sizes", "12,6",
        "--minimum", 0.001,
    )  # fmt: skip
    assert "wrote 18 runs" in said and len(run_table.read(str(folder / "rounds" / "runs.csv"))) == 18


def test_a_report_of_one_table_and_of_a_folder(folder: Path) -> None:
    mix("propose", "--domains", folder / "domains.csv", "--out", folder / "mixtures.csv", "--count", 60, "--minimum", 0.001)
    runs = train(folder)
    assert "(chosen)" in mix("report", "--runs", runs)
    home = folder / "tables"
    home.mkdir()
    train(folder, "tables/train_a.csv")
    mix("propose", "--domains", folder / "domains.csv", "--out", folder / "mixtures.csv", "--minimum", 0.001, "--seed", 7)
    train(folder, "tables/test_b.csv")
    said = mix("report", "--runs", home)
    assert "## Spearman x100 on other tables" in said and "| test_b |" in said and "## Best mixtures" in said
    assert "Best mixtures" not in mix("report", "--runs", home, "--no-solve")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["solve", "--out", "x.json"], "a run table"),
        (["solve", "--out", "x.json", "--method", "magic"], "one of convex"),
        (["solve", "--out", "x.json", "--method", "natural", "--token-budget", "1e9"], "tokens at this many epochs"),
        (["solve", "--out", "x.json", "--runs", "{bad}"], "unknown domain 'books'"),
        (["solve", "--out", "x.json", "--runs", "{nan}"], "diverged proxy"),
        (["propose", "--out", "x.csv", "--max-usage", "0.5"], "max_usage"),
        (["fit", "--runs", "{few}"], "at least 4 runs"),
        (["fit", "--runs", "{some}", "--regression", "lightgbm"], "none of lightgbm"),
        (["solve", "--out", "x.json", "--runs", "{some}", "--target", "books=x"], "target=weight"),
    ],
)
def test_errors_say_what_to_do(folder: Path, words: list[str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    head = "weight_web,weight_code,weight_books,loss_books\n"
    row = "0.5,0.25,0.25,3.5\n"
    texts = {
        "bad": "weight_web,weight_code,loss_t\n" + "0.5,0.5,3.0\n" * 20, "nan": head + row + "0.5,0.25,0.25,nan\n",
        "few": head + row * 3, "some": head + "".join(f"{i / 10},{0.9 - i / 10:.1f},0.1,{3 + i / 9}\n" for i in range(9)),
    }  # fmt: skip
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    given = [w.format(**{name: folder / f"{name}.csv" for name in texts}) for w in words]
    given += ["--domains", "domains.csv"] if words[0] != "fit" else []
    with pytest.raises(CurationError, match=says):
        mix(*given)
