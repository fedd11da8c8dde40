"""Main text by resiliparse: a fast walk over the tree with light rules.

Source: Bevendorff et al., ECIR 2018, the library resiliparse; used by DCLM (arXiv:2406.11794).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from curation.extractors.guarded import GuardedExtractor, PageFields, PageFunction, page_fields


@dataclass(frozen=True)
class Resiliparse(GuardedExtractor):
    """The text `resiliparse.extract.html2text.extract_plain_text` gives for the decoded page; its options by name.

    `main_content`: leave out navigation, footers and the like. `preserve_formatting`: keep paragraphs, line breaks
    and lists apart instead of one line. `list_bullets`: mark list items. `alt_texts`: texts of pictures. `links`:
    link targets. `form_fields`: values of forms. `noscript`: what is shown without scripts. `comments`: readers'
    comments. `post_meta`: author, date and the like. `hidden_elements`: elements with class names of hidden ones.
    `skip_elements`: CSS selectors of elements to leave out.
    """

    timeout_s: float = 2.0
    main_content: bool = True
    preserve_formatting: bool = True
    list_bullets: bool = True
    alt_texts: bool = False
    links: bool = False
    form_fields: bool = False
    noscript: bool = False
    comments: bool = False
    post_meta: bool = False
    hidden_elements: bool = False
    skip_elements: tuple[str, ...] = ()

    libraries: ClassVar[tuple[str, ...]] = ("resiliparse",)

    @property
    def page_function(self) -> str:
        return "curation.extractors.resiliparse:make_page_function"


def make_page_function(**options: Any) -> PageFunction:
    """The function the guard's child calls with each page (UTF-8): text, title, content_id."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLParserException

    options["skip_elements"] = options["skip_elements"] or None
    extract_plain_text("<p>", **options)  # a selector that cannot be parsed fails here, not on every page

    def extract_page(page: memoryview) -> PageFields:
        decoded = str(page, "utf-8", "replace")
        try:
            text = extract_plain_text(decoded, **options)
        except HTMLParserException as error:
            # its parser, lexbor, accepts whatever it is given and fails only for want of memory
            raise MemoryError from error
        return page_fields(text, decoded)

    return extract_page
