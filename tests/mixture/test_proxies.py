"""A run of proxies: the same table from any number of processes and after any kill, and errors that say what to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from proxy_cases import AS_OPTIONS, SMALL, write_corpus, write_mixtures
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import MixtureError, StorageError
from curation.mixture import proxies_group
from curation.mixture.artefact import mixture_of
from curation.mixture.proxies import Machine, _Meter, duration, read_mixtures, train_proxies
from curation.mixture.run_table import read

ROWS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.25, 0.25], [0.2, 0.4, 0.4]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    write_mixtures(folder / "mixtures.csv", ROWS, seed=[0, 0, 0, 0, 1])
    return folder


def train(corpus: Path, out: Path, machine: Machine = Machine(workers=1), **changes) -> Path:
    mixtures = read_mixtures(str(corpus / "mixtures.csv"))
    return train_proxies([str(corpus / "corpus.jsonl")], mixtures, str(out), replace(SMALL, **changes), machine)


@pytest.fixture(scope="module")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(corpus, tmp_path_factory.mktemp("undisturbed"))


def test_the_run_table_is_one_that_regressions_read(undisturbed: Path) -> None:
    table = read(str(undisturbed))
    assert table.domains == table.targets == ("ants", "bees", "cats") and table.runs == ("r0", "r1", "r2", "r3", "r4")
    np.testing.assert_allclose(table.weights, ROWS)
    assert (table.losses[:3].argmin(axis=0) == np.arange(3)).all()
    assert table.extra["seed"].tolist() == [0, 0, 0, 0, 1] and (table.extra["training_loss"] > 0).all()
    assert not list((undisturbed.parent / "work").glob("*.pt"))


def test_two_processes_give_the_same_bytes_and_nothing_is_done_twice(corpus: Path, undisturbed: Path, tmp_path: Path) -> None:
    written = train(corpus, tmp_path, Machine(workers=2))
    assert written.read_bytes() == undisturbed.read_bytes()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "work").iterdir() if path.name != "lock"}
    written.unlink()
    heard: list[str] = []
    mixtures = read_mixtures(str(corpus / "mixtures.csv"))
    train_proxies([str(corpus / "corpus.jsonl")], mixtures, str(tmp_path), SMALL, Machine(workers=2), say=heard.append)
    assert written.read_bytes() == undisturbed.read_bytes() and "5 are done" in heard[0] and len(heard) == 1
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "work").iterdir() if path.name != "lock"}


@pytest.mark.parametrize(("workers", "moments"), [("1", (1, 3)), ("2", (2,))])
def test_a_killed_run_goes_on_to_the_same_bytes(corpus: Path, tmp_path: Path, workers: str, moments: tuple[int, ...]) -> None:
    """Killed when so many groups have begun: the first, and a later one."""
    out, steps = tmp_path / "out", 250
    options = [part for option in AS_OPTIONS for part in ("--set", option.replace("steps=40", f"steps={steps}"))]
    command = [sys.executable, "-m", "curation.cli", "mix", "train", str(corpus / "corpus.jsonl"), "--out", str(out)]
    command += ["--mixtures", str(corpus / "mixtures.csv"), *options, "--workers", workers, "--checkpoint-s", "0.2"]
    for moment in moments:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and begun(out) < moment:
                time.sleep(0.002)
            assert process.poll() is None, "it ended before it could be killed"
            os.kill(process.pid, signal.SIGKILL)
    time.sleep(1.5)  # orphans notice within a second that nobody waits for them
    assert not (out / "runs.csv").exists() and 0 < resumed_steps(out) < steps
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (out / "runs.csv").read_bytes() == train(corpus, tmp_path / "whole", steps=steps).read_bytes()


def begun(out: Path) -> int:
    """Groups that have a checkpoint now, or are done."""
    states = list(out.glob("work/*.pt"))
    return len(states) + len(list(out.glob("work/group-*.json"))) if states else 0


def resumed_steps(out: Path) -> int:
    import torch

    return max(torch.load(path, weights_only=True)["step"] for path in out.glob("work/*.pt"))


def test_a_stopped_group_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    from proxy_cases import make_pool

    pool, members = make_pool(SMALL), [proxies_group.Member("a", 1, (0.2, 0.3, 0.5)), proxies_group.Member("b", 2, (1.0, 0, 0))]
    whole = proxies_group.Group(SMALL, pool, members).train()
    state = tmp_path / "group.pt"
    assert proxies_group.Group(SMALL, pool, members, state=state).train(1e9, lambda step: step < 38) is None
    resumed = proxies_group.Group(SMALL, pool, members, state=state)
    assert resumed.step == 38 and resumed.train() == whole


def test_more_mixtures_in_the_same_folder_keep_finished_groups(corpus: Path, tmp_path: Path) -> None:
    first = train(corpus, tmp_path).read_text().splitlines()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("group-*.json")}
    more = read_mixtures(str(write_mixtures(tmp_path / "more.csv", [*ROWS, [0, 0.5, 0.5]], seed=[0, 0, 0, 0, 1, 0])))
    second = train_proxies([str(corpus / "corpus.jsonl")], more, str(tmp_path), SMALL, Machine(workers=1))
    rows = second.read_text().splitlines()
    assert rows[:5] == first[:5] and len(rows) == 7
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("group-*.json")}
    assert len(set(before.items()) & set(after.items())) == 3 and len(after) == 4  # the incomplete one is made anew


def test_a_diverged_proxy_is_marked_and_the_others_train_on(
    corpus: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    advance = proxies_group.Group.advance

    def spoiled(self: proxies_group.Group):
        if self.step == 20 and self.members[0].run == "r2":
            with proxies_group.torch.no_grad():
                self.model.weights["0.out"][0] *= float("nan")
        return advance(self)

    monkeypatch.setattr(proxies_group.Group, "advance", spoiled)
    for name in ("runs.csv", "runs.parquet"):
        mixtures = read_mixtures(str(corpus / "mixtures.csv"))
        where = train_proxies([str(corpus / "corpus.jsonl")], mixtures, str(tmp_path), SMALL, Machine(workers=1), table=name)
        frame = pl.read_csv(where) if name.endswith("csv") else pl.read_parquet(where)
        healthy = pl.read_csv(undisturbed)
        assert frame["diverged_at"].to_list() == [None, None, 21, None, None]
        assert frame[2].select("loss_ants", "loss_bees", "training_loss").null_count().row(0) == (1, 1, 1)
        rest = [0, 1, 3, 4]
        assert frame[rest].drop("diverged_at").equals(healthy[rest].drop("diverged_at"))
        table = read(str(where))
        assert table.runs == ("r0", "r1", "r3", "r4") and "1 of 5 runs diverged and are left out" in caplog.text
    assert "1 of 5 proxies diverged" in caplog.text


def test_domains_that_no_mixture_has_are_evaluated_and_unknown_ones_are_errors(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "mixtures.csv"
    pl.DataFrame({"weight_cats": [0.5, 1.0], "weight_ants": [0.5, 0.0], "weight_dogs": [0.0, 0.0]}).write_csv(path)
    where = [str(corpus / "corpus.jsonl")]
    table = read(str(train_proxies(where, read_mixtures(str(path)), str(tmp_path / "out"), SMALL, Machine(workers=1))))
    assert table.domains == ("ants", "cats") and table.targets == ("ants", "bees", "cats")
    assert table.weights.tolist() == [[0.5, 0.5], [0.0, 1.0]]
    pl.DataFrame({"weight_cats": [0.5], "weight_dogs": [0.5]}).write_csv(path)
    with pytest.raises(MixtureError, match="unknown domain 'dogs'"):
        train_proxies(where, read_mixtures(str(path)), str(tmp_path / "out"), SMALL, Machine(workers=1))


def test_a_mixture_json_is_one_proxy(tmp_path: Path) -> None:
    mixture_of({"ants": 0.25, "bees": 0.75}).save(str(tmp_path / "mixture.json"))
    found = read_mixtures(str(tmp_path / "mixture.json"))
    assert found.domains == ("ants", "bees") and found.weights.tolist() == [[0.25, 0.75]] and found.seeds == (0,)


@pytest.mark.parametrize("rows", [[[0.5, 0.1, 0.1]], [[1.5, -0.5, 0.0]], [[0.0, 0.0, 0.0]]])
def test_impossible_mixtures(rows: list[list[float]], tmp_path: Path) -> None:
    with pytest.raises(MixtureError, match="weights"):
        read_mixtures(str(write_mixtures(tmp_path / "m.csv", rows)))


def test_a_folder_holds_proxies_of_one_kind_and_one_process(corpus: Path, tmp_path: Path) -> None:
    import fcntl

    train(corpus, tmp_path)
    with pytest.raises(StorageError, match=r"width as in its proxies: 16\n  found:  32"):
        train(corpus, tmp_path, width=32)
    with (tmp_path / "work" / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="another process trains proxies here"):
            train(corpus, tmp_path)


def test_without_torch_the_extra_is_named(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MixtureError, match=r"pip install 'curation\[neural\]'"):
        train(corpus, tmp_path)
    monkeypatch.undo()
    with pytest.raises(MixtureError, match="--device"):
        train(corpus, tmp_path, Machine("cuda:77"))


def test_torch_is_not_imported_before_it_is_needed() -> None:
    told = "import sys, curation.cli, curation.mixture.proxies; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True).stdout.strip() == "False"


def test_the_verb_says_what_it_costs_before_it_trains(corpus: Path, tmp_path: Path) -> None:
    options = [part for option in AS_OPTIONS for part in ("--set", option)]
    result = CliRunner().invoke(
        app, ["mix", "train", str(corpus / "corpus.jsonl"), "--mixtures", str(corpus / "mixtures.csv"), "--out", str(tmp_path),
              "--workers", "1", "--table", "runs.parquet", *options], catch_exceptions=False,
    )  # fmt: skip
    lines = result.output.splitlines()
    assert result.exit_code == 0 and lines[0].startswith(f"5 proxies of {SMALL.parameters / 1e6:.3g}M parameters")
    assert f"{5 * SMALL.tokens * SMALL.flops_a_token:.2e} in all" in lines[0]
    assert lines[1].startswith("about ") and "tokens/s" in lines[1] and lines[-1] == f"wrote {tmp_path / 'runs.parquet'}"
    assert len(read(str(tmp_path / "runs.parquet"))) == 5
    assert json.loads((tmp_path / "proxies.json").read_text())["settings"]["width"] == 16


def test_a_domain_read_too_often_is_a_word_of_warning(corpus: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    mixtures = read_mixtures(str(corpus / "mixtures.csv"))
    settings = replace(SMALL, steps=150, layers=1, pool_mb=0.004)
    train_proxies([str(corpus / "corpus.jsonl")], mixtures, str(tmp_path), settings, Machine(workers=1), say=heard.append)
    assert any(line.startswith("warning: a proxy reads ants ") for line in heard)


def test_real_domains(data_folder: Path, tmp_path: Path) -> None:
    """Proxies of code and of pleadings: each is best where it was trained, the mixture of both between them."""
    text = [str(data_folder / "text-domains" / f"{name}.jsonl.gz") for name in ("code", "legal-speech")]
    path = tmp_path / "mixtures.csv"
    pl.DataFrame({"weight_code": [1.0, 0.0, 0.5], "weight_legal-speech": [0.0, 1.0, 0.5]}).write_csv(path)
    settings = replace(SMALL, vocabulary=512, context=64, steps=150, learning_rate=1e-2, pool_mb=0.5)
    table = read(
        str(train_proxies(text, read_mixtures(str(path)), str(tmp_path / "out"), settings, Machine(workers=1), column=""))
    )
    code, speech = table.target("code"), table.target("legal-speech")
    assert code[0] < code[2] < code[1] and speech[1] < speech[2] < speech[0]
    assert (table.losses > 1).all() and (table.losses < 8).all()  # bits of a byte


def test_progress_counts_what_this_process_does() -> None:
    said: list[str] = []
    meter = _Meter(replace(SMALL, steps=100), {"a": 2, "b": 2}, said.append)
    meter.every_s = 0.0
    meter._begun -= 10
    meter.hear("a", 51)  # 50 of them by an earlier process
    meter.hear("a", 100)
    assert said[-1].startswith("proxies: 2 of 4 trained, 50%, 640 tokens/s, 20 s left")
    assert [duration(s) for s in (45.2, 700, 9000)] == ["45 s", "12 min", "2.5 h"]
