"""mixture/artefact: what a mixture may be, and that its file says it the same way every time."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import InputError, MixtureError
from curation.mixture import artefact
from curation.mixture.artefact import DomainShare, Mixture, Prediction, Shard, TableDigest, mixture_of

WEIGHTS = {"web": 0.5, "code": 0.3, "books": 0.2}


def whole() -> Mixture:
    return mixture_of(
        WEIGHTS, natural={"web": 0.9, "code": 0.06, "books": 0.04}, available={"web": 9_000, "code": 600, "books": 400},
        capped=["books"], method="olmix", options={"kl": 0.05, "caps": None}, predicted=Prediction("web", 2.5, 0.01),
        run_table=TableDigest("runs.parquet", "ab" * 32, 64), tokenizer="gpt-neox", token_budget=8_000, seed=3,
    )  # fmt: skip


def test_a_mixture_survives_its_file_and_its_bytes_are_stable(tmp_path: Path) -> None:
    mixture = artefact.with_shards(whole(), {"code": [Shard("code-00000.parquet", "cd" * 32, 10, 2_400)]})
    path = tmp_path / "out" / artefact.FILE_NAME
    mixture.save(str(path))
    again = artefact.load(str(path))
    assert again == mixture and again.to_json() == path.read_text()
    assert json.loads(path.read_text())["version"] == 1
    assert again["code"].shards[0].tokens == 2_400 and again["web"].shards == ()


def test_epochs_follow_from_weight_budget_and_tokens() -> None:
    mixture = whole()
    assert mixture["books"].epochs == pytest.approx(0.2 * 8_000 / 400) and mixture["books"].capped
    assert replace(mixture, token_budget=None)["books"].epochs is None
    assert mixture_of(WEIGHTS, token_budget=10)["web"].epochs is None


def test_a_file_written_by_hand_needs_names_and_weights_only(tmp_path: Path) -> None:
    path = tmp_path / "mixture.json"
    path.write_text('{"format": "curation-mixture", "version": 1, "domains": [{"name": "a", "weight": 1}]}')
    assert artefact.load(str(path)).weights == {"a": 1} and artefact.load(str(path)).method == "manual"


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12))
def test_any_shares_that_sum_to_one_are_kept_to_the_bit(sizes: list[float]) -> None:
    total = math.fsum(sizes)
    mixture = mixture_of({f"d{i}": size / total for i, size in enumerate(sizes)})
    assert artefact.from_dict(json.loads(mixture.to_json())) == mixture


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({"a": 0.5, "b": 0.4}, "divide every weight by 0.9"),
        ({"a": 0.0, "b": 0.0}, "give at least one domain a weight"),
        ({"a": 1.2, "b": -0.2}, "-0.2 for 'b'"),
        ({"a": math.nan, "b": 1.0}, "nan for 'a'"),
        ({"a": math.inf}, "inf for 'a'"),
        ({}, "at least one domain"),
        ({"": 1.0}, "printable text"),
        ({"a\nb": 1.0}, "printable text"),
    ],
)
def test_weights_that_are_no_shares_are_refused_with_what_to_do(weights: dict[str, float], says: str) -> None:
    with pytest.raises(MixtureError, match=says):
        mixture_of(weights)


def test_domains_twice_unknown_or_without_tokens_are_refused() -> None:
    with pytest.raises(MixtureError, match="'a' twice"):
        Mixture((DomainShare("a", 0.5), DomainShare("a", 0.5)))
    with pytest.raises(MixtureError, match="unknown domain 'maths'.*\n.*code"):
        mixture_of(WEIGHTS, available={"maths": 10})
    with pytest.raises(MixtureError, match="'code' has weight 0.3 and no tokens"):
        mixture_of(WEIGHTS, available={"code": 0})
    with pytest.raises(MixtureError, match="unknown domain 'maths'"):
        artefact.with_shards(whole(), {"maths": []})
    with pytest.raises(MixtureError, match="token_budget"):
        mixture_of(WEIGHTS, token_budget=0)
    assert mixture_of({"a": 1.0, "b": 0.0}, available={"b": 0})["b"].epochs is None


def test_a_mixture_is_held_against_a_corpus() -> None:
    mixture = mixture_of({"web": 0.7, "code": 0.3, "old": 0.0})
    mixture.require({"web": 10, "code": 5, "more": 1})
    with pytest.raises(MixtureError, match="unknown domain 'code'.*\n.*a domain of the corpus: web"):
        mixture.require({"web": 10})
    with pytest.raises(MixtureError, match="'code' has weight 0.3 and no tokens"):
        mixture.require({"web": 10, "code": 0})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "the JSON of a mixture"),
        ("[]", '"format": "curation-mixture"'),
        ('{"format": "curation-mixture", "version": 2}', "newer"),
        ('{"format": "curation-mixture", "version": 1}', "domains"),
        ('{"format": "curation-mixture", "version": 1, "domains": [{"name": "a", "weight": 1, "wight": 1}]}', "wight"),
        ('{"format": "curation-mixture", "version": 1, "domains": [{"name": "a"}]}', "without weight"),
        ('{"format": "curation-mixture", "version": 1, "domains": [{"name": "a", "weight": NaN}]}', "nan for 'a'"),
        ('{"format": "curation-mixture", "version": 1, "domains": [{"name": "a", "weight": "1"}]}', "'1' for 'a'"),
        ('{"format": "curation-mixture", "version": 1, "domains": [{"name": "a", "weight": 1}], "predicted": 3}', "predicted"),
    ],
)
def test_a_file_that_is_no_mixture_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mixture.json"
    path.write_text(text)
    with pytest.raises(MixtureError, match=says):
        artefact.load(str(path))


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        artefact.load(str(tmp_path / "none.json"))
