"""Main text by trafilatura: rules over the tree, compared with readability and justext.

Source: Barbaresi, ACL 2021 (aclanthology 2021.acl-demo.15), the library trafilatura; defaults after arXiv:2406.17557.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

from curation.errors import RecipeError
from curation.extractors.guarded import GuardedExtractor, PageFields, PageFunction, page_fields


@dataclass(frozen=True)
class Trafilatura(GuardedExtractor):
    """The text `trafilatura.extract` gives for the decoded page. Defaults after FineWeb (arXiv:2406.17557, 3.2).

    `favor_precision`, `favor_recall`: less text but surer, or more; not both. `include_comments`: readers' comments.
    `include_tables`: text in tables. `fast`: skip the comparison with the two other algorithms (about 0.7 of the time).
    trafilatura's `deduplicate` is not offered: it remembers earlier pages, so that a page's text would depend on them.
    """

    favor_precision: bool = True
    favor_recall: bool = False
    include_comments: bool = False
    include_tables: bool = True
    fast: bool = False

    libraries: ClassVar[tuple[str, ...]] = ("trafilatura", "lxml", "justext")

    def __post_init__(self) -> None:
        if self.favor_precision and self.favor_recall:
            raise RecipeError("extractors/trafilatura: favor_precision and favor_recall exclude each other; choose one")

    @property
    def page_function(self) -> str:
        return "curation.extractors.trafilatura:make_page_function"


_ERR_NO_MEMORY = 2
"""libxml2's xmlParserErrors.XML_ERR_NO_MEMORY, which lxml reports as `code` of an XMLSyntaxError: unknown error."""


def make_page_function(
    favor_precision: bool, favor_recall: bool, include_comments: bool, include_tables: bool, fast: bool
) -> PageFunction:
    """The function the guard's child calls with each page (UTF-8): text, title, content_id."""
    from trafilatura import extract
    from trafilatura.settings import Extractor

    _raise_swallowed_memory_errors()
    options = Extractor(
        precision=favor_precision,
        recall=favor_recall,
        comments=include_comments,
        tables=include_tables,
        fast=fast,
        dedup=False,
    )

    def extract_page(page: memoryview) -> PageFields:
        # str, never bytes: trafilatura would try to decompress bytes and to guess their encoding
        decoded = str(page, "utf-8", "replace")
        return page_fields(extract(decoded, options=options), decoded)

    return extract_page


class _RaiseMemoryError(logging.Handler):
    """Raises the want of memory a log message reports, as Python or libxml2 says it."""

    def emit(self, record: logging.LogRecord) -> None:
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, Exception) and (
                isinstance(argument, MemoryError)
                or getattr(argument, "code", None) == _ERR_NO_MEMORY
                or "memory allocation failed" in str(argument).lower()
            ):
                raise MemoryError


def _raise_swallowed_memory_errors() -> None:
    """trafilatura catches every exception around its parsers, logs it and goes on with less: a page that met the
    memory bound would come back empty or shortened instead of being recorded. Its log is where they surface."""
    log = logging.getLogger("trafilatura")
    log.addHandler(_RaiseMemoryError())
    log.setLevel(logging.WARNING)
    log.propagate = False
