"""The blocks of a page as extractors/main_content sees them: where each lies, what it says, why it is kept or cut.

Nothing of this is stored by a run: the choice depends on the page and the stage's fields alone, so it is made again.

Source: ours.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curation.extractors.guarded import PageFunction
from curation.extractors.main_content import MainContent, choice, load_models, make_page_function, read_page
from curation.text.block_choice import KEPT, REASONS
from curation.text.html_blocks import ELEMENT, END, PAGE_END, PAGE_START, START
from curation.text.html_math import formula_places, tex_for_math
from curation.text.html_names import TAG_NAMES, UNKNOWN_BLOCK
from curation.text.html_tree import PARENT, PLACE, TAG_ID

MOST_PATH = 12
"""Elements of a path; of a longer one those between the outermost and the innermost are left out."""
MOST_CLASSES, MOST_NAME = 3, 40
"""Class names of an element, and characters of a name, that a path shows."""
TAG_BYTES = 2048
"""Of a start tag only so much is looked at."""

_TAG = re.compile(rb"<([^\s/>]{1,200})((?:[^>\"']|\"[^\"]*\"|'[^']*')*)")
_ATTRIBUTE = re.compile(rb"([^\s=/>\"']+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]*)))?")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page. `start`, `end`: its bytes in the page (UTF-8), from its first to its last of text, with the tags and
    comments between. `path`: the block elements around it, outermost first, with class names. `answer`: the model's
    probability (0 to 1) that it is main content, which in a page of very many blocks it shares with its neighbours.
    `reason`: why it is kept or cut, in words."""

    start: int
    end: int
    path: str
    text: str
    answer: float
    kept: bool
    reason: str


def page_blocks(page: bytes, stage: MainContent) -> list[Block]:
    """The blocks of a page (UTF-8) in its order; none where it has no text. The text of those kept is what the stage gives.

    Raises ModelError when the stage's model cannot be read.
    """
    reading = read_page(page)
    if reading is None:
        return []
    marked, answers = load_models(stage.kind, stage.model).answered(reading, stage.comments)
    why = choice(marked, answers, stage.threshold, stage.comments, stage.headline)
    shares = np.repeat(answers, reading.stride)[: len(why)]
    paths = _Paths(bytes(tex_for_math(page)), reading.elements)
    places = _Places(page)
    text = reading.text.tobytes()
    columns = reading.blocks[:, (PAGE_START, PAGE_END, ELEMENT, START, END)].tolist()
    return [
        Block(
            places.start(page_start),
            places.end(page_end),
            paths.of(element),
            text[start:end].decode("utf-8", "replace"),
            answer,
            code >= KEPT,
            REASONS[code],
        )
        for (page_start, page_end, element, start, end), answer, code in zip(
            columns, shares.tolist(), why.tolist(), strict=True
        )
    ]


def page_kind(page: bytes, stage: MainContent) -> str:
    """What the stage takes a page (UTF-8) for: article, other or unknown; empty where it has no text, or where a model of
    one's own answers for every kind."""
    reading = None if stage.model else read_page(page)
    return load_models(stage.kind).kind_of(reading) if reading else ""


def page_text(page: bytes, stage: MainContent) -> str:
    """The text the stage gives for a page (UTF-8); empty where it drops it."""
    extract: Callable[..., PageFunction] = make_page_function
    text = extract(**stage.page_options)(memoryview(page))[0]
    return "" if text is None else text.decode()


class _Places:
    """From bytes of the page whose formulas are TeX to bytes of the page as it was. A place within a formula is the whole."""

    def __init__(self, page: bytes) -> None:
        self._starts, self._ends = [0], [0]  # of formulas in the page that was read; the first entry stands for none
        self._from, self._to = [0], [0]  # and in the page as it was
        shift = 0
        for start, end, size in formula_places(page):
            self._starts.append(start + shift)
            self._ends.append(start + shift + size)
            self._from.append(start)
            self._to.append(end)
            shift += size - (end - start)

    def start(self, place: int) -> int:
        """Of the first byte of something."""
        i = bisect_right(self._starts, place) - 1
        return self._from[i] if place < self._ends[i] else self._to[i] + place - self._ends[i]

    def end(self, place: int) -> int:
        """Of the byte behind something."""
        i = bisect_right(self._starts, place - 1) - 1
        return self._to[i] if place <= self._ends[i] else self._to[i] + place - self._ends[i]


class _Paths:
    """Paths of elements, each made once."""

    def __init__(self, page: bytes, elements: np.ndarray) -> None:
        self._page = page
        self._parents, self._tags, self._places = (elements[:, column].tolist() for column in (PARENT, TAG_ID, PLACE))
        self._names: dict[int, str] = {}
        self._paths: dict[int, str] = {}

    def of(self, element: int) -> str:
        if element not in self._paths:
            inner: list[str] = []
            e = element
            while e > 0 and len(inner) < MOST_PATH - 1:
                inner.append(self._name(e))
                e = self._parents[e]
            self._paths[element] = " > ".join(["body", *(["…"] if e > 0 else []), *reversed(inner)])
        return self._paths[element]

    def _name(self, element: int) -> str:
        """The tag of an element with its class names, such as `div.post.wide`."""
        if element not in self._names:
            place = self._places[element]
            tag = _TAG.match(self._page[place : place + TAG_BYTES])
            name = TAG_NAMES[self._tags[element]]
            if tag and self._tags[element] == UNKNOWN_BLOCK:
                name = _shown(tag[1].lower())
            self._names[element] = ".".join([name, *map(_shown, _classes(tag[2]) if tag else ())])
        return self._names[element]


def _classes(attributes: bytes) -> list[bytes]:
    """The first class names among the attributes of a start tag."""
    for found in _ATTRIBUTE.finditer(attributes):
        if found[1].lower() == b"class":
            return (found[2] or found[3] or found[4] or b"").split()[:MOST_CLASSES]
    return []


def _shown(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return text if len(text) <= MOST_NAME else text[: MOST_NAME - 1] + "…"
