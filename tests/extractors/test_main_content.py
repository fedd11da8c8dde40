"""extractors/main_content: golden cases, hostile and mutated pages, its model, and that trees answer as they were trained."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import numpy as np
import pytest
from extractor_cases import GOOD_PAGE, HOSTILE_PAGES, check_golden, golden_cases, run_pages
from gold_sets import GOLD_SETS

from curation.document import content_id
from curation.errors import ModelError, RecipeError
from curation.extractors import main_content
from curation.extractors.main_content import (
    BLOCKS,
    MODEL,
    MainContent,
    chosen_text,
    load_model,
    make_page_function,
    read_page,
    save_model,
)
from curation.fingerprint import stage_fingerprint
from curation.text.block_features import FEATURES, SECOND_FEATURES
from curation.text.html_blocks import END, START
from curation.text.trees import Trees, float32_below, from_dump, packed, probabilities

PLAIN = {"threshold": 0.5, "comments": False, "headline": True, "markdown": False, "tables": "data", "model": ""}


def text_of(page: bytes, **options: object) -> str | None:
    """The text the page function gives, without a guard."""
    text = make_page_function(**{**PLAIN, **options})(memoryview(page))[0]  # type: ignore[arg-type]
    return None if text is None else text.decode()


def test_golden_cases() -> None:
    check_golden(MainContent, "main_content")


def test_hostile_pages_end_within_bounds_and_are_recorded() -> None:
    names = list(HOSTILE_PAGES)
    rows = run_pages(MainContent(), [page for name in names for page in (HOSTILE_PAGES[name], GOOD_PAGE)])
    good = {row._replace(doc=0) for row in rows[1::2]}
    assert len(good) == 1 and good.pop().title == "A good page & more"
    for name, row in zip(names, rows[::2], strict=True):
        assert (row.text is None) == (row.reason is not None), name
        assert row.reason in (None, "empty_text"), (name, row.reason, row.detail)
        assert row.content_id == (None if row.text is None else content_id(row.text)), name


def test_a_page_that_needs_too_much_memory_is_recorded_as_that() -> None:
    large = b"<html><body>" + b"<p>hello there</p>" * 1_500_000 + b"</body></html>"
    rows = run_pages(MainContent(timeout_s=20.0, memory_gb=0.0625), [GOOD_PAGE, large, GOOD_PAGE])
    assert [row.reason for row in rows] == [None, "memory", None]


def test_the_pages_before_do_not_change_a_text() -> None:
    pages = [GOOD_PAGE.replace(b"Heading", b"Heading %d" % i) for i in range(20)]
    alone = {page: text_of(page) for page in pages}
    many = pages * 10
    random.Random(7).shuffle(many)
    assert [row.text for row in run_pages(MainContent(), many)] == [alone[page] for page in many]


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_that_is_no_probability(threshold: float) -> None:
    with pytest.raises(RecipeError, match="threshold"):
        MainContent(threshold=threshold)


def test_tables_that_are_written_in_no_known_way() -> None:
    with pytest.raises(RecipeError, match="tables"):
        MainContent(tables="cells")


def test_lower_thresholds_keep_more() -> None:
    for case in golden_cases("main_content"):
        texts = [text_of(case["html"].encode(), threshold=t, headline=False) or "" for t in (0.1, 0.5)]
        more, kept = (set(re.split(r" \| |^\| | \|$|\n", text, flags=re.MULTILINE)) for text in texts)
        assert kept <= more | {""}, case["name"]


def test_lone_continuation_bytes_become_replacement_characters() -> None:
    text = text_of(GOOD_PAGE.replace(b"long enough", b"l\xff\xc3ng \xed\xa0\x80"))
    assert text is not None and "l\ufffd\ufffdng \ufffd" in text


def test_pages_of_many_blocks_are_answered_in_runs() -> None:
    """Above the bound runs of neighbours share an answer, and each block is still there or not as a whole."""
    page = b"<title>x</title><article>" + b"<p>One of very many sentences, all alike, that a page may hold.</p>" * (3 * BLOCKS)
    reading = read_page(page)
    assert reading is not None and reading.stride == 3 and len(reading.groups) == BLOCKS
    assert (reading.groups[:, END] - reading.groups[:, START]).sum() == len(reading.text)
    text = chosen_text(reading, np.ones(BLOCKS, np.float32))
    assert text == "\n".join(["One of very many sentences, all alike, that a page may hold."] * (3 * BLOCKS))
    assert chosen_text(reading, (np.arange(BLOCKS) == 1).astype(np.float32)).count("\n") == 2


# ---- the model


def test_the_model_is_small_and_of_these_features() -> None:
    model = load_model()
    assert MODEL.stat().st_size < 2_000_000
    assert model.first.columns.max() < len(FEATURES) and model.second.columns.max() < len(SECOND_FEATURES)


def test_the_card_is_of_this_model() -> None:
    import tomllib

    from classifiers.card import sha256_of

    card = tomllib.loads(MODEL.with_suffix(".toml").read_text("utf-8"))
    assert card["weights"]["sha256"] == sha256_of(MODEL)
    assert card["licence"] == "Apache-2.0" and card["limits"] and len(card["quality"]) >= 3


@pytest.mark.parametrize("broken", [b"", b"no zip", b"PK\x03\x04 cut", None])
def test_a_file_that_is_no_model(broken: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    if broken is not None:
        path.write_bytes(broken)
    with pytest.raises(ModelError, match="is no model of this stage"):
        load_model(path)


def test_the_bytes_of_a_model_of_ones_own_are_part_of_the_configuration(tmp_path: Path) -> None:
    path, moved = tmp_path / "model.npz", tmp_path / "moved.npz"
    path.write_bytes(MODEL.read_bytes())
    own = stage_fingerprint(MainContent(model=str(path)))
    assert run_pages(MainContent(model=str(path)), [GOOD_PAGE]) == run_pages(MainContent(), [GOOD_PAGE])
    path.write_bytes(MODEL.read_bytes() + b" ")
    assert stage_fingerprint(MainContent(model=str(path))) != own != stage_fingerprint(MainContent())
    with pytest.raises(RecipeError, match="model"):
        MainContent(model=str(moved))


def test_a_model_of_other_features_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lightgbm")
    dump = _boosted(np.random.default_rng(0).random((500, 3), np.float32), trees=2).dump_model()
    save_model(tmp_path / "model.npz", (dump, dump))
    load_model(tmp_path / "model.npz")
    monkeypatch.setattr(main_content, "_COLUMNS", {"first": FEATURES[1:], "second": SECOND_FEATURES})
    load_model.cache_clear()
    with pytest.raises(ModelError, match="other features"):
        load_model(tmp_path / "model.npz")


def _boosted(rows: np.ndarray, trees: int):  # type: ignore[no-untyped-def]
    import lightgbm

    labels = (np.sin(5 * rows[:, 0]) + rows[:, 1] ** 2 - rows[:, 2] > 0.3).astype(np.float32)
    settings = {"objective": "binary", "num_leaves": 31, "verbosity": -1, "num_threads": 1, "seed": 1, "deterministic": True}
    return lightgbm.train(settings, lightgbm.Dataset(rows, label=labels), num_boost_round=trees)


def test_trees_answer_as_the_library_does_on_100_000_rows() -> None:
    pytest.importorskip("lightgbm")
    random_ = np.random.default_rng(3)
    scale = np.array([1, 1, 1, 1000, 1e-6, 1], np.float32)
    rows = (random_.random((100_000, 6), np.float32) - 0.5) * 2 * scale
    rows[:, 5] = np.round(rows[:, 5] * 4)  # ties on thresholds, and zeros of both signs
    model = _boosted(rows[:20_000], trees=60)
    ours = probabilities(rows, *packed(from_dump(model.dump_model())))
    assert np.abs(ours - model.predict(rows)).max() < 1e-6


def test_thresholds_are_rounded_down() -> None:
    for value in (0.1, -0.1, 1e-40, 0.5, 16777217.0, 1.0000000180025095e-35):
        below = float32_below(value)
        assert below.dtype == np.float32 and float(below) <= value < float(np.nextafter(below, np.float32(np.inf)))


@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 64, 65, 96, 97, 200])
def test_every_number_of_rows_is_answered_row_by_row(rows: int) -> None:
    """Rows are answered in batches: each answer is that of the row alone, by a walk from the root."""
    model = load_model().second
    with np.load(MODEL) as arrays:
        trees = Trees(*(arrays[f"second_{name}"] for name in Trees._fields))
    random_ = np.random.default_rng(rows)
    table = random_.choice(trees.thresholds, (rows, len(SECOND_FEATURES))) + random_.integers(0, 2, (rows, 1))
    wanted = []
    for row in table.astype(np.float32):
        total = 0.0
        for node in trees.roots:
            while node >= 0:
                node = trees.children[node, int(row[trees.columns[node]] > trees.thresholds[node])]
            total += trees.leaves[-1 - node]
        wanted.append(1 / (1 + np.exp(-total)))
    assert np.allclose(probabilities(table.astype(np.float32), *model), wanted, rtol=1e-6, atol=0)


def _chain(leaves: int) -> dict[str, object]:
    """A tree that is a chain: leaf i for a value of i, the last for all above."""
    node: dict[str, object] = {"leaf_value": float(leaves - 1)}
    for i in range(leaves - 2, -1, -1):
        split = {"split_feature": 0, "decision_type": "<=", "threshold": float(i)}
        node = {**split, "left_child": {"leaf_value": float(i)}, "right_child": node}
    return {"tree_structure": node}


def test_trees_have_one_to_32_leaves() -> None:
    for leaves in (1, 2, 31, 32):
        trees = packed(from_dump({"tree_info": [_chain(1), _chain(leaves), _chain(1)]}))
        found = probabilities(np.arange(40, dtype=np.float32)[:, None], *trees)
        assert np.allclose(found, 1 / (1 + np.exp(-np.minimum(np.arange(40), leaves - 1))))
    with pytest.raises(ValueError, match="33 leaves"):
        packed(from_dump({"tree_info": [_chain(33)]}))


def test_a_split_on_categories_is_refused() -> None:
    tree = {"split_feature": 0, "decision_type": "==", "threshold": "1||2", "left_child": {}, "right_child": {}}
    with pytest.raises(ValueError, match="wanted: <="):
        from_dump({"tree_info": [{"tree_structure": tree}]})


# ---- mutated pages


def _mutated(pages: list[bytes], rng: random.Random) -> bytes:
    """A page after some of: cut, bytes flipped, pieces repeated, moved or taken from another page."""
    page = bytearray(rng.choice(pages))
    for _ in range(rng.randint(1, 6)):
        if not page:
            break
        a, b = sorted(rng.randrange(len(page) + 1) for _ in range(2))
        kind = rng.randrange(6)
        if kind == 0:
            page = page[:a]
        elif kind == 1:
            for _ in range(rng.randint(1, 50)):
                page[rng.randrange(len(page))] = rng.choice(b"<>\"'&;/=!- \n\0\xff\xc3aA")
        elif kind == 2:
            page = page[:a] + page[a : a + 60] * rng.randint(2, 300) + page[a:]
        elif kind == 3:
            del page[a : min(b, a + 5_000)]
        elif kind == 4:
            other = rng.choice(pages)
            c = rng.randrange(len(other) + 1)
            page = page[:a] + other[c : c + 3_000] + page[a:]
        else:
            page = (
                page[:a]
                + rng.choice((b"<!--", b"<script>", b"<title>", b'<a href="', b"<math>", b"<table><td>", b"<svg>"))
                + page[a:]
            )
    return bytes(page)


def _run_mutated(data: Path, count: int, seed: int) -> float:
    """Run mutated pages; the most CPU seconds any took beyond 20 ms and 20 ms a megabyte."""
    pages = [page.page.encode("utf-8", "replace") for name in ("readability", "scrapinghub") for page in GOLD_SETS[name](data)]
    pages = [page for page in pages if len(page) < 200_000]
    rng = random.Random(seed)
    extract = make_page_function(**PLAIN)  # type: ignore[arg-type]
    over = 0.0
    for _ in range(count):
        page = _mutated(pages, rng)
        started = time.process_time()
        text, _, identity = extract(memoryview(page))
        over = max(over, time.process_time() - started - 0.02 - 2e-8 * len(page))
        assert (text is None) == (identity is None)
    return over


def test_mutated_pages(data_folder: Path) -> None:
    _run_mutated(data_folder, 3_000, seed=1)


@pytest.mark.soak
def test_100_000_mutated_pages(data_folder: Path) -> None:
    assert _run_mutated(data_folder, 100_000, seed=2) < 0.5
