"""Serving without a model library: batches within the budget, order, policies for long texts, lack of memory, bad texts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.encoder_settings import EncoderSettings
from classifiers.serve import BATCH_COST, DeviceLost, OutOfMemory, Server, cut, plan, rounded_length

LENGTHS = st.lists(st.integers(1, 700), max_size=200).map(lambda lengths: np.array(lengths, dtype=np.int64))


class Letters:
    """A tokenizer of one token a letter; `z` has none."""

    prefix, suffix, padding = (1,), (2,), 0

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        self.seen += texts
        return [np.array([ord(c) for c in text if c != "z"], dtype=np.int32) for text in texts]


class Sums:
    """A model whose scores are the sum and the number of an input's tokens; keeps what it was given."""

    columns = 2

    def __init__(self, before: Callable[[np.ndarray], None] = lambda tokens: None, **settings: object) -> None:
        self.settings = EncoderSettings(**{"max_tokens": 12, **settings})  # type: ignore[arg-type]
        self.before = before
        self.batches: list[tuple[int, int]] = []

    def run(self, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
        self.before(tokens)
        assert not tokens[~mask].any()
        self.batches.append(tokens.shape)
        return np.stack([tokens.sum(axis=1), mask.sum(axis=1)], axis=1).astype(np.float32)

    def fetch(self, scores: np.ndarray) -> np.ndarray:
        return scores


def server(model: Sums, *, exact: bool = True, budget: int = 64, **options: object) -> Server:
    return Server([(model, Letters())], ["sum", "count"], exact=exact, budget=budget, **options)  # type: ignore[arg-type]


def expected(text: str) -> list[float]:
    return [3 + sum(map(ord, text)), 2 + len(text)] if text.strip() else [np.nan, np.nan]


@given(lengths=LENGTHS, budget=st.integers(1, 3000), exact=st.booleans())
def test_every_input_is_in_one_batch_within_the_budget(lengths: np.ndarray, budget: int, exact: bool) -> None:
    batches = plan(lengths, budget, exact=exact)
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(len(lengths)))
    widths = []
    for batch in batches:
        width = lengths[batch].max() if exact else rounded_length(int(lengths[batch].max()))
        assert len(batch) == 1 or width * len(batch) <= budget
        if exact:
            for length, count in zip(*np.unique(lengths[batch], return_counts=True), strict=True):
                whole = count == np.count_nonzero(lengths == length)
                assert length == width or (whole and count * (width - length) <= BATCH_COST)
        widths.append(width)
    assert widths == sorted(widths, reverse=True)


def test_a_few_shorter_inputs_come_along_and_many_do_not() -> None:
    lengths = np.array([40] * 3 + [39] * 8 + [38] * 9 + [30], dtype=np.int64)
    found = [sorted(set(lengths[batch].tolist())) for batch in plan(lengths, 10_000, exact=True)]
    assert found == [[39, 40], [30, 38]]
    assert plan(np.empty(0, dtype=np.int64), 10, exact=True) == plan(np.empty(0, dtype=np.int64), 10, exact=False) == []


@given(lengths=LENGTHS, budget=st.integers(1, 3000))
def test_no_two_batches_would_fit_into_one(lengths: np.ndarray, budget: int) -> None:
    batches = plan(lengths, budget, exact=False)
    for batch, after in zip(batches, batches[1:], strict=False):
        assert (len(batch) + 1) * rounded_length(int(lengths[batch].max())) > budget, (batch, after)


@given(length=st.integers(1, 10_000))
def test_a_rounded_length_is_the_least_step_above(length: int) -> None:
    rounded = rounded_length(length)
    assert length <= rounded < length + 128 and rounded % 16 == 0 and rounded_length(rounded) == rounded


@given(
    texts=st.lists(st.text("abc ", max_size=10), max_size=60), exact=st.booleans(), budget=st.integers(1, 200),
    window=st.integers(1, 70), ahead=st.booleans(),
)  # fmt: skip
def test_scores_come_back_in_order(texts: list[str], exact: bool, budget: int, window: int, ahead: bool) -> None:
    found = server(Sums(), exact=exact, budget=budget, window=window, ahead=ahead).score(texts)
    assert found.dtype == np.float32 and found.shape == (len(texts), 2)
    assert np.array_equal(found, np.array([expected(t) for t in texts]).reshape(-1, 2), equal_nan=True)


def test_the_next_window_is_handed_over_before_scores_are_taken() -> None:
    events: list[str] = []

    class Recorded(Sums):
        def run(self, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
            events.append("run")
            return super().run(tokens, mask)

        def fetch(self, scores: np.ndarray) -> np.ndarray:
            events.append("fetch")
            return super().fetch(scores)

    texts = ["ab", "cd", "ef"]
    assert server(Recorded(), window=1).score(texts).tolist() == [expected(t) for t in texts]
    assert events == ["run", "run", "fetch", "run", "fetch", "fetch"]


def test_batches_follow_from_the_texts_alone() -> None:
    texts = ["abc" * (i % 4) for i in range(50)]
    models = [Sums(), Sums()]
    for model, before in zip(models, ([], ["ab"] * 9), strict=True):
        made = server(model)
        made.score(before)
        model.batches.clear()
        made.score(texts)
    assert models[0].batches == models[1].batches and len(models[0].batches) > 2


def test_a_text_without_a_token_is_unknown() -> None:
    assert np.isnan(server(Sums()).score(["", " \n", "zzz"])).all()


@given(length=st.integers(1, 200), room=st.integers(2, 30), windows=st.integers(1, 5))
def test_policies_against_their_definitions(length: int, room: int, windows: int) -> None:
    content = np.arange(length, dtype=np.int32)
    made = {
        long: [piece.tolist() for piece in cut(content, room, EncoderSettings(long=long, windows=windows))]
        for long in ("head", "head_tail", "mean")
    }
    everything = list(range(length))
    assert made["head"] == [everything[:room]]
    if length <= room:
        assert made["head_tail"] == made["mean"] == [everything]
        return
    assert made["head_tail"] == [everything[: room - room // 2] + everything[-(room // 2) :]]
    every = [everything[i : i + room] for i in range(0, length, room)]
    assert all(piece in every for piece in made["mean"]) and len(made["mean"]) == min(windows, len(every))
    assert made["mean"][0] == every[0] and (windows == 1 or made["mean"][-1] == every[-1])


def test_the_mean_is_weighted_by_tokens() -> None:
    text = "a" * 10 + "b" * 10 + "c" * 4
    parts = [(3 + 10 * 97, 12), (3 + 10 * 98, 12), (3 + 4 * 99, 6)]
    weight = sum(count for _, count in parts)
    found = server(Sums(long="mean")).score([text, "ab"])
    assert found[0].tolist() == pytest.approx([sum(s * n for s, n in parts) / weight, sum(n * n for _, n in parts) / weight])
    assert found[1].tolist() == expected("ab")


@pytest.mark.parametrize(("long", "most"), [("head", 64 * 12), ("head_tail", 2 * 64 * 12), ("mean", 8 * 64 * 12)])
def test_of_an_endless_text_only_what_can_matter_is_tokenised(long: str, most: int) -> None:
    model, letters = Sums(long=long), Letters()
    made = Server([(model, letters)], ["sum", "count"], exact=True, budget=64)
    text = "a" * 1_000_000 + "b" * 1_000_000
    found = made.score([text])
    assert sum(map(len, letters.seen)) == most
    if long == "head_tail":
        assert found[0].tolist() == [3 + 5 * 97 + 5 * 98, 12]


def test_models_of_one_tokenizer_share_its_work() -> None:
    letters = Letters()
    models = [Sums(), Sums(max_tokens=12, pooling="first_token")]
    made = Server([(m, letters) for m in models], ["a", "b", "c", "d"], exact=True, budget=64)
    found = made.score(["abc", "ab"])
    assert letters.seen == ["abc", "ab"] and found.tolist() == [expected(t) * 2 for t in ("abc", "ab")]


def test_out_of_memory_halves_the_budget_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    def small(tokens: np.ndarray) -> None:
        if tokens.size > 20:
            raise OutOfMemory("no memory")

    texts = ["abc"] * 40
    model = Sums(small)
    made = server(model, budget=64)
    with caplog.at_level(logging.WARNING, "classifiers"):
        found, failures = made.score_each(texts)
        assert not failures and found.tolist() == [expected("abc")] * 40
        assert made.budget <= 20 and made.budget >= 5
        said = len(caplog.records)
        made.score(texts)
    assert 1 <= said <= 2 and len(caplog.records) == said
    assert max(rows * width for rows, width in model.batches) <= 20


def test_a_text_too_large_for_the_device_is_reported_and_the_rest_goes_on() -> None:
    def small(tokens: np.ndarray) -> None:
        if tokens.shape[1] > 8:
            raise OutOfMemory("no memory")

    found, failures = server(Sums(small)).score_each(["abc", "abcabcabc", "ab"])
    assert set(failures) == {1} and np.isnan(found[1]).all()
    assert found[[0, 2]].tolist() == [expected("abc"), expected("ab")]


@given(bad=st.sets(st.integers(0, 29), max_size=6), exact=st.booleans())
def test_texts_the_model_raises_on_are_found_and_reported(bad: set[int], exact: bool) -> None:
    def poisoned(tokens: np.ndarray) -> None:
        if (tokens == ord("x")).any():
            raise RuntimeError("poison")

    texts = ["x" if i in bad else "abc"[: 1 + i % 3] for i in range(30)]
    made = server(Sums(poisoned), exact=exact, window=11)
    found, failures = made.score_each(texts)
    assert set(failures) == bad and {str(e) for e in failures.values()} <= {"poison"}
    for i, text in enumerate(texts):
        assert np.isnan(found[i]).all() if i in bad else found[i].tolist() == expected(text)
    if bad:
        with pytest.raises(RuntimeError, match="poison"):
            made.score(texts)


def test_a_score_that_is_no_number_is_a_failure_and_not_an_unknown() -> None:
    class Broken(Sums):
        def fetch(self, scores: np.ndarray) -> np.ndarray:
            scores[scores[:, 1] == 5, 0] = np.inf
            return scores

    found, failures = server(Broken()).score_each(["ab", "abc"])
    assert set(failures) == {1} and "finite" in str(failures[1]) and found[0].tolist() == expected("ab")


def test_a_lost_device_is_no_texts_fault() -> None:
    def lost(tokens: np.ndarray) -> None:
        raise DeviceLost("illegal access")

    with pytest.raises(DeviceLost):
        server(Sums(lost)).score_each(["a", "b"])
