"""Weights are found where the card says and used only when they are the ones it names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine_stages import Score
from test_engine import make_inputs, pipeline, run

from curation.errors import ModelError
from curation.models import available_models
from curation.scorers.language import Language
from curation.stage import ModelRef


def test_the_shipped_model_is_found_and_verified() -> None:
    path = available_models(Language().models)["lid176"]
    assert path.name == "lid.176.ftz" and path.is_file()


def test_other_weights_and_missing_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    good = hashlib.sha256(b"weights").hexdigest()
    assert available_models([ModelRef("m", good, str(path))]) == {"m": path}
    for ref, said in (
        (ModelRef("m", "0" * 64, str(path)), "found:  sha256 " + good),
        (ModelRef("m", good, str(tmp_path / "none")), "no such file"),
        (ModelRef("m", good, "package:no_such_package/weights"), "not installed"),
    ):
        with pytest.raises(ModelError, match=said):
            available_models([ref])


def test_a_missing_model_is_told_before_any_work(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class NeedsModel(Score):
        @property
        def models(self) -> tuple[ModelRef, ...]:
            return (ModelRef("absent", "0" * 64, str(tmp_path / "absent.bin")),)

    with pytest.raises(ModelError, match="'absent'"):
        run(pipeline(NeedsModel()), make_inputs(tmp_path), tmp_path / "out")
    assert list((tmp_path / "out/work/commits").iterdir()) == []
