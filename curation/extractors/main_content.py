"""Main text by our own model: one compiled pass over the page, numbers for each block, two small stages of trees.

Source: ours; blocks and features after Kohlschütter et al., WSDM 2010, and Readability.js, stacking after Vogels et al.,
ECIR 2018. Trained by benchmarks/train_main_content.py; card: main_content.toml beside this file; figures:
benchmarks/main_content.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from curation.document import content_id
from curation.errors import RecipeError, explain_mismatch
from curation.extractors.guarded import TITLE_WITHIN, GuardedExtractor, PageFields, PageFunction, page_title
from curation.extractors.page_kinds import ARTICLE, OTHER, UNKNOWN, KindModel, load_kinds
from curation.extractors.tree_files import load_forests, save_forests
from curation.options import place_of
from curation.text.block_choice import KEPT, expand, select
from curation.text.block_features import FEATURES, SECOND_FEATURES, features, second_features
from curation.text.block_groups import groups_of, tree_of_groups
from curation.text.block_text import render
from curation.text.html_blocks import page_array, segment
from curation.text.html_math import tex_for_math
from curation.text.html_names import COMMENT_KIND, TAG_NAMES
from curation.text.html_tree import KIND_BITS
from curation.text.trees import PackedTrees, packed, probabilities

PACKAGE_DATA = ("main_content.npz", "main_content_other.npz")
MODEL, OTHER_MODEL = (Path(__file__).with_name(name) for name in PACKAGE_DATA)
KINDS = ("auto", ARTICLE, OTHER)
MOST_BYTES = 1 << 30
"""Of a larger page only so much is read: positions are 32-bit numbers."""
BLOCKS, BLOCKS_PER_KB = 1000, 1
"""So many blocks of a page are answered for one by one; above that runs of neighbours are, which bounds the cost of a page
by its size. One page in 200 of the gold sets has more."""
ELEMENTS = 5000
"""Of more elements those without a block within are left out before numbers are made, which changes none."""


@dataclass(frozen=True)
class MainContent(GuardedExtractor):
    """The blocks of a page that a trained model takes for its main content. English, and less surely other languages.

    `threshold`: probability (0 to 1) above which a block is kept; lower keeps more. Where no block reaches it, those near the
    highest are kept. `comments`: keep readers' comments too. `headline`: keep the heading that says what the page's title
    says, when it stands right before the text. `markdown`: mark headings, lists, tables, quotations and code. `tables`:
    "data" writes the cells of a row side by side where a table holds data, and as paragraphs where it lays out a page;
    "rows" writes rows between bars for every table, as trafilatura does. `kind`: "auto" tells articles from all other pages
    (forums, questions and answers, documentation, products, lists, services), which are answered for by a model of their own
    that keeps replies, lists and tables; both answer where it is not clear. "article" or "other" takes every page for one.
    `model`: path of another model (.npz, by `curation models train extractor`), which then answers for pages of every kind;
    empty for those of the package.
    Mathematics (MathML, MathJax, KaTeX) comes as TeX between dollar signs.
    """

    timeout_s: float = 2.0
    threshold: float = 0.5
    comments: bool = False
    headline: bool = True
    markdown: bool = False
    tables: str = "data"
    kind: str = "auto"
    model: str = ""

    libraries: ClassVar[tuple[str, ...]] = ("numba",)
    path_fields: ClassVar[tuple[str, ...]] = ("model",)

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise RecipeError(
                explain_mismatch("extractors/main_content: threshold", wanted="0 to 1", found=str(self.threshold))
            )
        if self.kind not in KINDS or (self.model and self.kind != "auto"):
            wanted = "auto, as a model of one's own is for all kinds" if self.model else ", ".join(KINDS)
            raise RecipeError(explain_mismatch("extractors/main_content: kind", wanted=wanted, found=self.kind))
        if self.tables not in ("data", "rows"):
            raise RecipeError(
                explain_mismatch("extractors/main_content: tables", wanted="data or rows", found=repr(self.tables))
            )
        if self.model and not self.files[0].is_file():
            raise RecipeError(explain_mismatch("extractors/main_content: model", wanted="a file", found=self.model))

    @property
    def files(self) -> tuple[Path, ...]:
        return (place_of(self, "model", self.model),) if self.model else ()

    @property
    def page_function(self) -> str:
        return "curation.extractors.main_content:make_page_function"


class Reading(NamedTuple):
    """A page as the model sees it: see `segment` and `features`. Each of `groups` is a run of `stride` blocks; `hung` are the
    groups by the numbers of elements in `tree`, the part of a large tree that they need."""

    elements: np.ndarray
    blocks: np.ndarray
    text: np.ndarray
    groups: np.ndarray
    stride: int
    features: np.ndarray
    measures: np.ndarray
    tree: np.ndarray
    hung: np.ndarray
    wider: np.ndarray
    page: np.ndarray

    def second(self, answers: np.ndarray) -> np.ndarray:
        """Features of the second stage for the answers (float32) of the first."""
        return second_features(self.tree, self.wider, self.hung, self.measures, answers)

    def without_comments(self) -> Reading:
        """The same page with no block marked as readers' comments."""
        elements = self.elements.copy()
        elements[:, KIND_BITS] &= ~COMMENT_KIND
        return self._replace(elements=elements)


def read_page(page: bytes | memoryview) -> Reading | None:
    """Blocks and numbers of a page (UTF-8); None when it has no text."""
    data = page_array(tex_for_math(page)[:MOST_BYTES])
    elements, signatures, blocks, text, title_start, title_end = segment(data)
    if not len(blocks):
        return None
    stride = -(-len(blocks) // (BLOCKS + BLOCKS_PER_KB * len(data) // 1000))
    groups = groups_of(blocks, stride) if stride > 1 else blocks
    tree, hung = elements, groups
    if len(elements) > ELEMENTS:
        tree, signatures, hung = tree_of_groups(elements, signatures, groups)
    found, measures, wider = features(data, tree, signatures, hung, text, title_start, title_end)
    return Reading(elements, blocks, text, groups, stride, found, measures, tree, hung, wider, data)


class BlockModel(NamedTuple):
    """The two stages."""

    first: PackedTrees
    second: PackedTrees

    def answers(self, reading: Reading) -> np.ndarray:
        """Probability of main content (float32) for each group of blocks."""
        return probabilities(reading.second(probabilities(reading.features, *self.first)), *self.second)


class PageModels(NamedTuple):
    """The models of a stage: for articles, for pages of other kinds, and what tells them apart; or one of the first two, which
    then answers for all pages."""

    article: BlockModel | None = None
    other: BlockModel | None = None
    kinds: KindModel | None = None

    def kind_of(self, reading: Reading) -> str:
        """ARTICLE, UNKNOWN or OTHER."""
        return self.kinds.kind(reading) if self.kinds else ARTICLE if self.article else OTHER

    def answered(self, reading: Reading, comments: bool = False) -> tuple[Reading, np.ndarray]:
        """What the text is chosen from: the page, and the probability of main content for each group of blocks.

        Of a page of unknown kind it is the mean of what both say. Comments are marked, to be left out, but where the page is
        sure to be no article: there they are no less than other text, unless `comments` are wanted whatever they are.
        """
        kind = self.kind_of(reading)
        asked = {ARTICLE: (self.article,), OTHER: (self.other,), UNKNOWN: (self.article, self.other)}[kind]
        found = [model.answers(reading) for model in asked if model]
        answers = found[0] if len(found) == 1 else (found[0] + found[1]) / 2
        return reading.without_comments() if kind == OTHER and not comments else reading, answers


_COLUMNS = {"first": FEATURES, "second": SECOND_FEATURES}
_TAGS = {"tag_names": TAG_NAMES}


def save_model(path: Path, dumps: tuple[Mapping[str, Any], Mapping[str, Any]]) -> None:
    """Write the trees of two dumped LightGBM models, the first stage's and the second's."""
    save_forests(path, _COLUMNS, dumps, _TAGS)


@cache
def load_model(path: Path = MODEL) -> BlockModel:
    """The model in a file of `save_model`. Raises ModelError when it is none or was trained with other features."""
    return BlockModel(*load_forests(path, "extractors/main_content", _COLUMNS, packed, _TAGS))


def load_models(kind: str = "auto", model: str = "") -> PageModels:
    """The models for the stage's options `kind` and `model`."""
    if model:
        return PageModels(load_model(place_of("extractors/main_content", "model", model)))
    if kind == ARTICLE:
        return PageModels(load_model(MODEL))
    if kind == OTHER:
        return PageModels(other=load_model(OTHER_MODEL))
    return PageModels(load_model(MODEL), load_model(OTHER_MODEL), load_kinds())


def chosen_text(
    reading: Reading,
    answers: np.ndarray,
    threshold: float = 0.5,
    comments: bool = False,
    headline: bool = True,
    markdown: bool = False,
    tables: str = "data",
) -> str:
    """The text of the blocks that the `answers` (float32) and the options keep."""
    keep = choice(reading, answers, threshold, comments, headline) >= KEPT
    text = render(reading.elements, reading.blocks, reading.text, keep, markdown, tables == "rows")
    return text.tobytes().decode("utf-8", "replace")


def choice(
    reading: Reading, answers: np.ndarray, threshold: float = 0.5, comments: bool = False, headline: bool = True
) -> np.ndarray:
    """What the `answers` (float32) and the options make of each block (uint8): see `select`."""
    bound = np.float32(threshold)
    why = select(reading.elements, reading.groups, reading.measures, reading.text, answers, bound, comments, headline)
    return expand(why, reading.stride, len(reading.blocks)) if reading.stride > 1 else why


def make_page_function(
    threshold: float, comments: bool, headline: bool, markdown: bool, tables: str, model: str, kind: str = "auto"
) -> PageFunction:
    """The function the guard's child calls with each page (UTF-8): text, title, content_id."""
    models = load_models(kind, model)

    def extract_page(page: memoryview) -> PageFields:
        reading = read_page(page)
        if reading is None:
            return None, None, None
        text = chosen_text(*models.answered(reading, comments), threshold, comments, headline, markdown, tables)
        if not text or text.isspace():
            return None, None, None
        return text.encode(), page_title(str(page[:TITLE_WITHIN], "utf-8", "replace")), content_id(text)

    warm = b"<p>Every kernel is compiled before the first page is timed: <math><mi>x</mi></math>. " + b"<li>x" * 2 * BLOCKS
    extract_page(memoryview(warm))
    return extract_page
