"""Kinds of pages: what decides them, the models of extractors/main_content for each, and what they keep."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from extractor_cases import GOOD_PAGE, HOSTILE_PAGES, golden_cases, run_pages
from gold_sets import GOLD_SETS, WCXB_SPLITS, wcxb

from classifiers.card import sha256_of
from curation import fingerprint
from curation.errors import ModelError, RecipeError
from curation.extractors import page_kinds
from curation.extractors.main_content import (
    MODEL,
    OTHER_MODEL,
    MainContent,
    chosen_text,
    load_model,
    load_models,
    make_page_function,
    read_page,
)
from curation.extractors.main_content_training import token_f1
from curation.extractors.page_kinds import (
    ARTICLE,
    OTHER,
    UNKNOWN,
    declares_other,
    kind_for,
    load_kinds,
    save_kinds,
    structure_of,
)
from curation.fingerprint import stage_fingerprint
from curation.text.block_features import FEATURES, SECOND_FEATURES
from curation.text.html_blocks import page_array
from curation.text.html_names import COMMENT_KIND
from curation.text.html_tree import KIND_BITS
from curation.text.page_declarations import DECLARATIONS, declarations
from curation.text.page_features import PAGE_FEATURES
from curation.text.trees import probability

PLAIN = {"threshold": 0.5, "comments": False, "headline": True, "markdown": False, "tables": "data", "model": ""}
MADE = {case["name"]: case["html"].encode() for case in golden_cases("main_content") if "kind:" in case["name"]}


def text_of(page: bytes, **options: object) -> str:
    text = make_page_function(**{**PLAIN, **options})(memoryview(page))[0]  # type: ignore[arg-type]
    return (text or b"").decode()


def kind_of(page: bytes) -> str:
    reading = read_page(page)
    assert reading is not None
    return load_kinds().kind(reading)


# ---- the decision


@pytest.mark.parametrize(
    ("told", "other"),
    [
        ('<div itemtype="http://schema.org/DiscussionForumPosting">', True),
        ('<script>{"@type": "QAPage"}</script>', True),
        ('<script>{"@type": "TechArticle"}</script>', True),
        ('<meta property="og:type" content="product">', True),
        ('<script>{"@type": "Product", "offers": {"@type": "Offer"}}</script>', True),
        ('<script>{"@type": "Product"}</script>', False),
        ('<script>{"@type": "NewsArticle"}{"@type": "Product", "offers": {"@type": "Offer"}}</script>', False),
        ('<a href="https://www.discourse.org">powered by it</a>', False),
        ('<meta name="generator" content="Discourse 2.9"><a href="https://discourse.org">', True),
        ('<div class="sphinxsidebar"><a href=https://x.readthedocs.io>', True),
        ('<meta property="og:type" content="profile">', False),
        ("", False),
    ],
)
def test_what_a_page_declares(told: str, other: bool) -> None:
    assert declares_other(declarations(page_array(f"<html>{told}<p>x</p>".encode()))) is other


def test_an_article_is_one_whatever_it_declares_when_its_structure_makes_it_sure(data_folder: Path) -> None:
    """The bytes are searched for declarations only where the structure leaves it open."""
    pages = [page.page.encode() for page in GOLD_SETS["scrapinghub"](data_folder)][:60]
    told = b'<meta property="og:type" content="product">'
    sure = sum(kind_of(told + page) == ARTICLE for page in pages)
    assert sure >= 0.7 * len(pages)
    assert sum(kind_of(page) == ARTICLE for page in pages) >= 0.95 * len(pages)


def test_kinds_by_answers() -> None:
    assert [kind_for(a) for a in (0.0, 0.3, 0.31, 0.7, 0.71)] == [ARTICLE, ARTICLE, UNKNOWN, UNKNOWN, OTHER]


def test_made_pages_of_other_kinds() -> None:
    found = {name: kind_of(page) for name, page in MADE.items()}
    assert len(found) >= 11
    assert {name for name, kind in found.items() if kind == OTHER} >= {
        f"kind: {name}" for name in (
            "forum thread, as phpBB writes it", "question and answers, with comments below",
            "forum thread, as Discourse writes it for crawlers", "documentation, as Sphinx writes it", "product in a shop",
            "a shop's list of products",
        )
    }  # fmt: skip


def test_hostile_pages_have_a_kind() -> None:
    for name, page in (HOSTILE_PAGES | {"good": GOOD_PAGE}).items():
        reading = read_page(page)
        assert reading is None or load_kinds().kind(reading) in (ARTICLE, UNKNOWN, OTHER), name


# ---- what it does


def test_articles_are_as_they_were(data_folder: Path) -> None:
    """A page taken for an article has the text the model of articles gives alone; so have nearly all of a set of articles."""
    pages = [page.page.encode() for page in GOLD_SETS["scrapinghub"](data_folder)][:80]
    same = 0
    for page in pages:
        alone, auto = text_of(page, kind=ARTICLE), text_of(page)
        assert auto == alone or kind_of(page) != ARTICLE
        same += auto == alone
    assert same >= 0.95 * len(pages)


def test_every_post_of_made_threads_is_kept() -> None:
    wanted = ("1998 tiller will not start", "Check the carburettor first", "What oldgreaser said", "the small jet was green",
              "Hunting at idle is an air leak", "Gasket it was")  # fmt: skip
    threads = [page for name, page in MADE.items() if "forum thread" in name]
    assert len(threads) == 2
    for page in threads:
        text = text_of(page)
        assert [post for post in wanted if post not in text] == []
        assert not any(frame in text for frame in ("Board index", "Powered by", "Privacy Policy", "Who is online"))
    assert any(post not in text_of(threads[0], kind=ARTICLE) for post in wanted)


def test_comments_are_marked_for_articles_alone() -> None:
    comment = b"<div class=comment><p>I have read this twice and still do not know what the ferry was late for, pity.</p></div>"
    page = GOOD_PAGE.replace(b"</body>", comment * 3 + b"</body>")
    reading = read_page(page)
    assert reading is not None
    as_article, as_other = load_models(ARTICLE), load_models(OTHER)
    assert as_article.answered(reading)[0] is reading
    told = as_other.answered(reading)[0]
    assert not (told.elements[:, KIND_BITS] & COMMENT_KIND).any() and (reading.elements[:, KIND_BITS] & COMMENT_KIND).any()
    assert as_other.answered(reading, comments=True)[0] is reading
    assert "read this twice" in text_of(page, kind=OTHER, comments=True)


def test_forced_kinds_are_those_of_their_model() -> None:
    for page in MADE.values():
        reading = read_page(page)
        assert reading is not None
        other = chosen_text(reading.without_comments(), load_model(OTHER_MODEL).answers(reading))
        article = chosen_text(reading, load_model(MODEL).answers(reading))
        assert text_of(page, kind=OTHER) == other and text_of(page, kind=ARTICLE) == article
        mean = (load_model(MODEL).answers(reading) + load_model(OTHER_MODEL).answers(reading)) / 2
        assert text_of(page) == {OTHER: other, ARTICLE: article, UNKNOWN: chosen_text(reading, mean)}[kind_of(page)]


def test_a_model_of_ones_own_answers_for_every_kind(tmp_path: Path) -> None:
    own = tmp_path / "own.npz"
    own.write_bytes(MODEL.read_bytes())
    pages = list(MADE.values())
    texts = [row.text for row in run_pages(MainContent(model=str(own)), pages)]
    assert texts == [row.text for row in run_pages(MainContent(kind=ARTICLE), pages)]


def test_options_that_are_no_kinds(tmp_path: Path) -> None:
    own = tmp_path / "own.npz"
    own.write_bytes(MODEL.read_bytes())
    with pytest.raises(RecipeError, match="kind"):
        MainContent(kind="forum")
    with pytest.raises(RecipeError, match="model of one's own"):
        MainContent(model=str(own), kind=OTHER)


@pytest.mark.parametrize("split", WCXB_SPLITS)
def test_pages_of_other_kinds_gain(split: str, data_folder: Path) -> None:
    """Of the test split the models have seen no page: benchmarks/page_kinds.md has figures of unseen sites for both."""
    if not (data_folder / "extract-wcxb").is_dir():
        pytest.skip("WCXB is not in the data folder")
    gains: dict[bool, list[float]] = {True: [], False: []}
    auto, alone = (make_page_function(**PLAIN, kind=kind) for kind in ("auto", ARTICLE))  # type: ignore[arg-type]
    for i, page in enumerate(wcxb(data_folder, split)):
        if i % 8 == 0:
            html = memoryview(page.page.encode("utf-8", "replace"))
            texts = ((function(html)[0] or b"").decode() for function in (auto, alone))
            ours, before = (token_f1(text, page.gold) for text in texts)
            gains[page.kind == ARTICLE].append(ours - before)
    assert np.mean(gains[False]) > 0.08 and np.mean(gains[True]) > -0.01


# ---- the files


def test_the_card_is_of_these_files() -> None:
    card = tomllib.loads(OTHER_MODEL.with_suffix(".toml").read_text("utf-8"))
    assert card["weights"]["sha256"] == sha256_of(OTHER_MODEL) and card["kinds"]["sha256"] == sha256_of(page_kinds.MODEL)
    assert card["licence"] == "Apache-2.0" and "CC BY 4.0" in card["training_data"] and card["limits"]
    measured = {row["page_kind"]: row for row in card["quality"] if not row["trained_with"]}
    assert set(measured) == {*(line.partition(":")[0] for line in card["training_pages"])}
    assert all(low < value < high for value, low, high in (row["token_f1"] for row in measured.values()))
    assert OTHER_MODEL.stat().st_size + page_kinds.MODEL.stat().st_size < 200_000


def test_the_models_are_of_these_features() -> None:
    kinds, other = load_kinds(), load_model(OTHER_MODEL)
    assert kinds.structure.columns.max() < len(PAGE_FEATURES)
    assert kinds.declared.columns.max() < len(PAGE_FEATURES) + len(DECLARATIONS)
    assert other.first.columns.max() < len(FEATURES) and other.second.columns.max() < len(SECOND_FEATURES)


@pytest.mark.parametrize("broken", [b"", b"no zip", None])
def test_a_file_that_is_no_model_of_kinds(broken: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "kinds.npz"
    if broken is not None:
        path.write_bytes(broken)
    with pytest.raises(ModelError, match="kinds.npz is no model of this stage"):
        load_kinds(path)


def test_forests_answer_as_the_library_does_and_other_numbers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    random_ = np.random.default_rng(0)
    boosters = []
    for columns in (len(PAGE_FEATURES), len(PAGE_FEATURES) + len(DECLARATIONS)):
        rows = random_.random((400, columns), np.float32)
        data = lightgbm.Dataset(rows, label=rows[:, 0] > rows[:, 1])
        boosters.append(lightgbm.train({"objective": "binary", "verbosity": -1, "num_leaves": 4}, data, 5))
    save_kinds(tmp_path / "kinds.npz", (boosters[0].dump_model(), boosters[1].dump_model()))
    model = load_kinds(tmp_path / "kinds.npz")
    reading = read_page(GOOD_PAGE)
    assert reading is not None
    row = structure_of(reading)
    both = np.concatenate([row, declarations(reading.page)])
    first, second = (float(b.predict(r[None])[0]) for b, r in zip(boosters, (row, both), strict=True))
    assert model.kind(reading) == (kind_for(second) if first > page_kinds.UNLIKELY else ARTICLE)
    for booster, forest, many in zip(boosters, model, (row, both), strict=True):
        rows = random_.random((200, len(many)), np.float32)
        assert np.allclose([probability(r, *forest) for r in rows], booster.predict(rows), atol=1e-6)
    monkeypatch.setattr(page_kinds, "_COLUMNS", {"structure": PAGE_FEATURES[1:], "declared": PAGE_FEATURES})
    load_kinds.cache_clear()
    with pytest.raises(ModelError, match="other features"):
        load_kinds(tmp_path / "kinds.npz")
    load_kinds.cache_clear()


def test_kinds_and_their_models_are_part_of_the_configuration() -> None:
    assert stage_fingerprint(MainContent()) != stage_fingerprint(MainContent(kind=ARTICLE))
    sources: dict[str, str] = {}
    fingerprint._collect("curation.extractors.main_content", sources)
    for name in ("main_content: main_content.npz", "main_content: main_content_other.npz", "page_kinds: page_kinds.npz"):
        assert f"curation.extractors.{name}" in sources
