"""classifiers/align and train_extractor: labels by alignment, two stages by folds of sites, the verb that trains them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from classifiers import align
from classifiers.align import gold_shares, tokens
from classifiers.examples import TrainingError
from classifiers.train_extractor import ExtractorSettings, TrainingPage, cross_validated, fold_of, row_weights, train_extractor
from curation.cli import app
from curation.extractors.main_content import load_model, make_page_function
from curation.extractors.main_content_training import by_sites, gold_reading, mean_of_first, segment_f1, token_f1

_TOKENS = st.lists(st.integers(0, 4), max_size=12)


@settings(max_examples=200, deadline=None)
@given(_TOKENS, _TOKENS)
def test_aligned_tokens_are_a_subsequence_of_the_gold(page: list[int], gold: list[int]) -> None:
    shares, _ = gold_shares([str(token) for token in page], " ".join(map(str, gold)))
    rest = iter(gold)
    assert all(any(token == other for other in rest) for token, share in zip(page, shares, strict=True) if share)
    if page == gold:
        assert shares.all()


def test_a_run_is_preferred_to_scattered_tokens() -> None:
    blocks = ["harbour news of the day", "the ferry", "was late", "the day of a ferry which was late"]
    assert gold_shares(blocks, "The ferry was late!")[0].round(2).tolist() == [0, 1, 1, 0]
    assert gold_shares(["a b", "a b c"], "a b c")[0].tolist() == [0, 1]


def test_large_pages_are_aligned_by_shared_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(align, "MOST_CELLS", 0)
    shares, sizes = gold_shares(["one two three four", "five one", ""], "zero one two three four")
    assert shares.tolist() == [1, 0, 0] and sizes.tolist() == [4, 2, 0]


def test_tokens_of_scripts_without_spaces_are_characters() -> None:
    assert tokens("Eine Fähre, 東京 3") == ["eine", "fähre", "東", "京", "3"]


def _pages(count: int) -> list[TrainingPage]:
    random_ = np.random.default_rng(0)
    pages = []
    for i in range(count):
        rows = random_.random((30, 4), np.float32)
        labels = rows[:, 0] + rows[:, 1] > 1

        def second(answers: np.ndarray, rows: np.ndarray = rows) -> np.ndarray:
            return np.column_stack([answers, rows[:, 2]]).astype(np.float32)

        pages.append(TrainingPage(f"site{i}", rows, labels, np.full(30, 5), second))
    return pages


SMALL = ExtractorSettings(trees=20, leaves=8, second_trees=10, second_leaves=4, least_rows=5)


def test_both_stages_learn_and_no_answer_comes_from_a_seen_site() -> None:
    pytest.importorskip("lightgbm")
    pages = _pages(40)
    answers = cross_validated(pages, SMALL)
    right = np.concatenate([(a > 0.5) == p.labels for a, p in zip(answers, pages, strict=True)])
    assert right.mean() > 0.9
    turned = [
        TrainingPage(p.site, p.features, ~p.labels if i == 7 else p.labels, p.tokens, p.second) for i, p in enumerate(pages)
    ]
    again = cross_validated(turned, SMALL)
    fold = fold_of(pages[7].site, SMALL.folds, SMALL.seed + 1)
    for i, page in enumerate(pages):
        if fold_of(page.site, SMALL.folds, SMALL.seed + 1) == fold:
            assert (answers[i] == again[i]).all(), "its fold was trained without it"


def test_pages_not_to_be_used_change_nothing() -> None:
    pytest.importorskip("lightgbm")
    pages = _pages(30)
    wrong = [TrainingPage(f"other{i}", p.features, ~p.labels, p.tokens, p.second) for i, p in enumerate(pages[:10])]
    alone = cross_validated(pages, SMALL)
    beside = cross_validated([*pages, *wrong], SMALL, [True] * 30 + [False] * 10)
    assert all((a == b).all() for a, b in zip(alone, beside, strict=False))


def test_the_same_pages_give_the_same_trees() -> None:
    pytest.importorskip("lightgbm")
    first, second = (train_extractor(_pages(20), SMALL).dumps() for _ in range(2))
    assert first == second


def test_one_fold_of_sites_is_too_few() -> None:
    pytest.importorskip("lightgbm")
    with pytest.raises(TrainingError, match="two folds of sites"):
        train_extractor(_pages(1), SMALL)


def test_weights_of_a_page_sum_to_its_own() -> None:
    page = _pages(1)[0]
    assert row_weights(page, 0.7).sum() == pytest.approx(1)
    assert row_weights(TrainingPage("s", page.features, page.labels, page.tokens * 0, page.second, 0.5), 1.0).sum() == 0


def test_segments_overrule_the_gold() -> None:
    row = {"html": "<p>one two<p>three four<p>five", "gold": "one two", "wanted": ["three"], "unwanted": ["one"], "site": "s"}
    found = gold_reading(row)
    assert found is not None and found.page.labels.tolist() == [False, True, False]
    assert found.measured("three one") == (1, 0, 1)
    assert gold_reading({"html": "", "gold": "x"}) is None
    with pytest.raises(TrainingError, match="columns html, gold"):
        gold_reading({"html": "x"})


def test_measures() -> None:
    assert token_f1("a b b", "B b c") == pytest.approx(2 * 2 / 6) and token_f1("", "") == 1 and token_f1("a", "") == 0
    found = by_sites([[1.0], [0.0], [0.5]], ["a", "a", "b"], mean_of_first)
    assert found.value == 0.5 and found.low <= 0.5 <= found.high
    assert float(segment_f1(np.array([2.0, 1.0, 1.0, 1.0]))) == pytest.approx(2 / 3)


def _article(i: int, rng: random.Random) -> dict[str, object]:
    words = ["ferry", "harbour", "captain", "morning", "people", "ticket", "pier", "water", "island", "storm"]
    paragraphs = [" ".join(rng.choices(words, k=rng.randint(15, 40))).capitalize() + "." for _ in range(6)]
    links = "".join(f"<li><a href=/{w}>{w.title()}</a>" for w in rng.sample(words, 6))
    html = f"<title>Page {i}</title><nav><ul>{links}</ul></nav><div class=story>{''.join(f'<p>{p}' for p in paragraphs)}</div>"
    footer = "<div class=footer><a href=/a>About</a> <a href=/b>Terms</a></div>"
    return {"html": html + footer, "gold": "\n".join(paragraphs), "site": f"site{i}", "source": "made up"}


def test_the_verb_trains_a_model_the_stage_takes(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    rng = random.Random(3)
    rows = [_article(i, rng) for i in range(40)]
    data = tmp_path / "pages.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    command = ["models", "train", "extractor", str(data), "--trees", "20", "--second-trees", "10", "--leaves", "8"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out"), "--licence", "CC0-1.0"])
    assert done.exit_code == 0, done.output
    assert 'licence = "CC0-1.0"' in done.output and 'set = "made up"' in done.output
    model = tmp_path / "out" / "main_content.npz"
    load_model(model)
    extract = make_page_function(0.5, False, False, False, "data", str(model))
    unseen = _article(99, rng)
    assert extract(memoryview(str(unseen["html"]).encode()))[0] == str(unseen["gold"]).encode()
    lines = (tmp_path / "out" / "main_content_pages.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["site"] for line in lines] == [row["site"] for row in rows]
    again = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "again"), "--no-measure"])
    assert again.exit_code == 0 and (tmp_path / "again" / "main_content.npz").read_bytes() == model.read_bytes()


def test_the_verb_says_what_is_wrong_with_the_data(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "x"}\n', "utf-8")
    done = CliRunner().invoke(app, ["models", "train", "extractor", str(tmp_path / "x.jsonl"), "--out", str(tmp_path)])
    assert done.exit_code != 0 and "columns html, gold" in str(done.output) + str(done.exception)
