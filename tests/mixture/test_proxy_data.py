"""What proxies read: as alike as their mixtures, shares as asked, whole epochs, text held out, errors that say what to do."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proxy_cases import SMALL, make_pool, write_corpus

from curation.errors import InputError, MixtureError, RecipeError
from curation.mixture.proxy_data import build_pool, drawn, epochs_of, load_pool, tokenizer_for
from curation.mixture.proxy_settings import PRESETS, ProxySettings, settings_of
from curation.mixture.proxy_text import DomainText, read_domains, text_files

LONG = replace(SMALL, steps=500)
POOL = make_pool(LONG)
WEIGHTS = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda w: sum(w) > 1e-3)


def domains_of(places: np.ndarray) -> np.ndarray:
    return np.searchsorted(POOL.starts, places, side="right") - 1


@settings(deadline=None)
@given(WEIGHTS, st.integers(0, 1 << 40))
def test_even_draws_meet_the_shares_nearly_exactly(weights: list[float], seed: int) -> None:
    places = drawn(POOL, LONG, weights, seed)
    counts = np.bincount(domains_of(places), minlength=3)
    expected = np.array(weights) / sum(weights) * LONG.steps * LONG.batch
    assert np.abs(counts - expected).max() < 10
    assert (counts[np.array(weights) == 0] == 0).all()
    assert ((places - POOL.starts[domains_of(places)]) % LONG.context == 0).all()


def test_independent_draws_meet_the_shares_as_chance_does() -> None:
    settings, weights = replace(LONG, draws="independent"), np.array([0.6, 0.3, 0.1])
    count = settings.steps * settings.batch
    counts = np.array([np.bincount(domains_of(drawn(POOL, settings, weights, seed)), minlength=3) for seed in range(200)])
    spread = np.sqrt(count * weights * (1 - weights))
    assert (np.abs(counts.mean(axis=0) - count * weights) < 4 * spread / np.sqrt(200)).all()
    assert (np.abs(counts.std(axis=0) / spread - 1) < 0.25).all()  # even draws would have next to none


@settings(deadline=None)
@given(WEIGHTS, WEIGHTS, st.integers(0, 1 << 40))
def test_near_mixtures_read_nearly_the_same(first: list[float], second: list[float], seed: int) -> None:
    one, other = (drawn(POOL, LONG, weights, seed) for weights in (first, second))
    for j in range(3):
        own, its = one[domains_of(one) == j], other[domains_of(other) == j]
        assert np.array_equal(own[: len(its)], its[: len(own)])  # the shorter reads a beginning of the longer
    assert np.array_equal(one, drawn(POOL, LONG, [w * 7 for w in first], seed))
    assert not np.array_equal(one, drawn(POOL, LONG, first, seed + 1))


def test_every_epoch_reads_each_block_once_in_another_order() -> None:
    places = drawn(POOL, LONG, [1.0, 0.0, 0.0], 5) // LONG.context
    epochs = places[: len(places) // 30 * 30].reshape(-1, 30)
    assert (np.sort(epochs, axis=1) == np.arange(30)).all() and not np.array_equal(epochs[0], epochs[1])
    assert epochs_of(POOL, LONG, np.array([[2.0, 2.0, 0.0]]))[0].tolist() == pytest.approx([1000 / 30, 1000 / 30, 0])


def test_a_pool_of_text_is_encoded_whole_with_documents_held_out(tmp_path: Path) -> None:
    domains = read_domains(text_files([str(write_corpus(tmp_path))]))
    assert list(domains) == ["ants", "bees", "cats"] and domains["ants"].documents == 60
    tokenizer = tokenizer_for(SMALL, domains)
    assert tokenizer.to_str() == tokenizer_for(SMALL, domains).to_str()
    pool = build_pool(SMALL, domains, tokenizer)
    separator = tokenizer.token_to_id(SMALL.separator)
    for j, name in enumerate(pool.names):
        own = pool.tokens[pool.starts[j] :][: pool.blocks[j] * SMALL.context + 1].tolist()
        texts = [tokenizer.decode(piece) for piece in split(own, separator)]
        held = domains[name].texts[: 60 - len([t for t in domains[name].texts if t in texts]) - 1]
        assert 5 <= len(held) <= 7 and not set(held) & set(texts)
        assert texts[:-1] == domains[name].texts[len(held) :][: len(texts) - 1]
        inside = {t for block in pool.held_out[j].tolist() for t in split(block, separator)[0]}
        assert inside - {separator} and pool.bytes_a_token[j] > 1
    pool.save(tmp_path)
    assert load_pool(tmp_path).digest() == pool.digest() != replace(pool, bytes_a_token=pool.bytes_a_token * 2).digest()


def split(tokens: list[int], separator: int) -> list[list[int]]:
    pieces: list[list[int]] = [[]]
    for token in tokens:
        if token == separator:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return pieces


def test_text_comes_from_any_of_the_forms_and_a_sample_does_not_depend_on_their_order(tmp_path: Path) -> None:
    frame = pl.read_ndjson(write_corpus(tmp_path))
    (tmp_path / "in").mkdir()
    halves = frame[:90], frame[90:]
    halves[0].rename({"domain": "topic"}).write_parquet(tmp_path / "in" / "a.parquet", row_group_size=7)
    with gzip.open(tmp_path / "in" / "b.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps({"text": t, "topic": d}) + "\n" for t, d in halves[1].select("text", "domain").rows())
    files = text_files([str(tmp_path / "in")])
    whole = read_domains(files, "topic")
    assert sum(domain.documents for domain in whole.values()) == 180
    sizes = {name: sum(map(len, domain.texts)) for name, domain in whole.items()}
    some = read_domains(files, "topic", sizes["ants"] / 4)
    assert some["ants"].texts == whole["ants"].texts[: len(some["ants"].texts)] and 10 < len(some["ants"].texts) < 20
    assert some["ants"].documents == whole["ants"].documents and some["ants"].bytes == whole["ants"].bytes
    assert read_domains(files[::-1], "topic", sizes["ants"] / 4)["ants"].texts == some["ants"].texts
    assert list(read_domains(files, "")) == ["a", "b"]
    with pytest.raises(InputError, match="--domain-column"):
        read_domains(files, "domain")


def test_rows_without_a_domain_or_text_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"text": ["one", None, "", "two"], "domain": ["a", "a", "b", None]}).write_parquet(path)
    assert {name: domain.texts for name, domain in read_domains([path]).items()} == {"a": ["one"]}
    assert "1 documents have no domain" in caplog.text
    pl.DataFrame({"text": ["one"], "domain": [None]}, schema={"text": pl.String, "domain": pl.String}).write_parquet(path)
    with pytest.raises(InputError, match="texts with a domain"):
        read_domains([path])
    with pytest.raises(InputError, match="a folder with, or one of"):
        text_files([str(tmp_path / "nowhere")])


@pytest.mark.parametrize(
    ("texts", "purpose", "least"),
    [
        (["a b c"], "evaluate on", 129),
        (["a b c" * 9, "d e" * 200], "evaluate on", 129),
        (["a b" * 300, "d e f"], "train on", 17),
    ],
)
def test_a_domain_with_too_few_tokens_is_an_error(texts: list[str], purpose: str, least: int, tmp_path: Path) -> None:
    domains = {**read_domains([write_corpus(tmp_path)]), "dogs": DomainText(texts, 2, 100)}
    with pytest.raises(MixtureError, match=rf"domain 'dogs': tokens to {purpose}\n  wanted: at least {least}\n") as error:
        build_pool(SMALL, domains, tokenizer_for(SMALL, domains))
    assert "more text" in str(error.value)


def test_a_tokenizer_of_ones_own(tmp_path: Path) -> None:
    domains = read_domains([write_corpus(tmp_path)])
    where = str(tmp_path / "tokenizer.json")
    tokenizer_for(SMALL, domains).save(where)
    own = replace(SMALL, tokenizer=where)
    assert (
        build_pool(own, domains, tokenizer_for(own, domains)).digest()
        == build_pool(SMALL, domains, tokenizer_for(SMALL, domains)).digest()
    )
    for wrong in (replace(own, vocabulary=257), replace(own, separator="<none>")):
        with pytest.raises(InputError, match="--set vocabulary=N, or --set separator"):
            tokenizer_for(wrong, domains)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("layers=0", "layers"), ("width=10", "multiple of 2 x heads"), ("vocabulary=256", "vocabulary"),
        ("vocabulary=70000", "65,536"), ("held_out=0.6", "held_out"), ("schedule=step", "constant or linear"),
        ("draws=odd", "even or independent"), ("precision=fp16", "fp32 or bf16"), ("learning_rate=0", "more than 0"),
        ("beta2=1", "below 1"), ("layers=two", "a whole number"), ("clip=x", "a number"), ("tied=maybe", "true or false"),
        ("depth=3", "field=value"), ("layers", "field=value"), ("stack=-1", "0 or more"), ("learning_rate=nan", "more than 0"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        settings_of("tiny", [change])


def test_settings_are_changed_and_rates_follow_the_schedule() -> None:
    changed = settings_of("regmix-1m", ["tied=true", "steps=10", "learning_rate=1e-3", "warmup=4"])
    assert changed == replace(PRESETS["regmix-1m"], tied=True, steps=10, learning_rate=1e-3, warmup=4)
    assert [changed.rate(step) for step in (0, 3, 4, 9)] == pytest.approx([2.5e-4, 1e-3, 1e-3, 1e-3])
    linear = ProxySettings(steps=10, warmup=2, learning_rate=1.0, schedule="linear", final_share=0.2)
    assert [linear.rate(step) for step in (1, 2, 6)] == pytest.approx([1.0, 1.0, 0.6])
    cosine = replace(linear, schedule="cosine")
    assert [cosine.rate(step) for step in (2, 6)] == pytest.approx([1.0, 0.6]) and cosine.rate(4) > linear.rate(4)
    with pytest.raises(RecipeError, match="tiny or regmix-1m"):
        settings_of("huge")
