"""Whether a page is an article or of another kind: forum, questions and answers, documentation, product, list, service.

Two small forests: one looks at numbers of the page's structure; where that does not make an article sure, the page's bytes
are searched for what it declares, which decides alone or with the other forest.

Source: ours. Trained by benchmarks/train_page_kinds.py; card: main_content_other.toml beside this file; figures:
benchmarks/page_kinds.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from curation.extractors.tree_files import load_forests, save_forests
from curation.text.page_declarations import DECLARATIONS, declarations
from curation.text.page_features import PAGE_FEATURES, page_features
from curation.text.trees import Trees, probability

PACKAGE_DATA = ("page_kinds.npz",)
MODEL = Path(__file__).with_name("page_kinds.npz")
ARTICLE, UNKNOWN, OTHER = "article", "unknown", "other"
UNLIKELY = 0.25
"""Up to this answer of the first forest a page is an article: five in six pages of the gold sets of articles."""
UNSURE, LIKELY = 0.3, 0.7
"""Answers of the second above which a page is of unknown and of another kind. News taken for another kind loses more than the
reverse gains."""
_COLUMNS = {"structure": PAGE_FEATURES, "declared": (*PAGE_FEATURES, *DECLARATIONS)}
_NAMED = [DECLARATIONS.index(name) for name in ("forum_posting", "qa_page", "technical", "og_product")]
_SOFTWARE = [DECLARATIONS.index(name) for name in ("forum_software", "documentation_software")]
LEAST_SOFTWARE = 2
"""Times the names of forum or documentation software must be there to tell: once may be a link."""
_PRODUCT, _OFFER = DECLARATIONS.index("product"), DECLARATIONS.index("offer")
_WRITTEN = [DECLARATIONS.index(name) for name in ("article", "news")]


class PageNumbers(Protocol):
    """A page as blocks: see `segment` and `features`."""

    @property
    def page(self) -> np.ndarray: ...
    @property
    def elements(self) -> np.ndarray: ...
    @property
    def groups(self) -> np.ndarray: ...
    @property
    def measures(self) -> np.ndarray: ...
    @property
    def features(self) -> np.ndarray: ...
    @property
    def text(self) -> np.ndarray: ...


def structure_of(reading: PageNumbers) -> np.ndarray:
    """float32 [len(PAGE_FEATURES)]."""
    return page_features(reading.elements, reading.groups, reading.measures, reading.features, reading.text)


def declares_other(declared: np.ndarray) -> bool:
    """Whether what a page declares makes it another kind without more: a thread, questions and answers, a reference, one
    product, the software of forums or of documentation."""
    if declared[_NAMED].any() or (declared[_SOFTWARE] >= LEAST_SOFTWARE).any():
        return True
    return bool(declared[_PRODUCT] and declared[_OFFER] and not declared[_WRITTEN].any())


def kind_for(answer: float) -> str:
    """The kind by an answer of the second forest."""
    return OTHER if answer > LIKELY else UNKNOWN if answer > UNSURE else ARTICLE


class KindModel(NamedTuple):
    """The two forests."""

    structure: Trees
    declared: Trees

    def kind(self, reading: PageNumbers) -> str:
        """ARTICLE, UNKNOWN or OTHER."""
        structure = structure_of(reading)
        if probability(structure, *self.structure) <= UNLIKELY:
            return ARTICLE
        declared = declarations(reading.page)
        if declares_other(declared):
            return OTHER
        return kind_for(probability(np.concatenate([structure, declared]), *self.declared))


def save_kinds(path: Path, dumps: tuple[Mapping[str, Any], Mapping[str, Any]]) -> None:
    """Write the trees of two dumped LightGBM models: of the structure, and of that and what is declared."""
    save_forests(path, _COLUMNS, dumps)


@cache
def load_kinds(path: Path = MODEL) -> KindModel:
    """The model in a file of `save_kinds`. Raises ModelError when it is none or was trained with other numbers."""
    return KindModel(*load_forests(path, "extractors/main_content", _COLUMNS, lambda trees: trees))
