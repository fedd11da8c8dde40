"""Repair text that was decoded with the wrong encoding, character references and stray control characters, by ftfy.

A document that ftfy provably leaves alone is never handed to it: one without control characters and character
references in which its own expression for wrongly decoded text finds nothing (searched here by Polars, about 80 times
as fast). ftfy repeats its repairs until nothing changes, which takes as many passes as a page nests `&amp;amp;...`;
here the passes are counted and bounded.

Source: ftfy 6.3 (Speer, doi:10.5281/zenodo.2591652) with the options of datatrove 0.10.1 `pipeline/formatters/ftfy.py`,
as FineWeb2 (arXiv:2506.20920) uses it: what repairs is on, what imposes one style (quotes, widths, line breaks) is off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import ClassVar

import ftfy
import polars as pl
import pyarrow as pa
from ftfy.badness import BADNESS_RE

from curation.modifiers.rewriting import Modifier, count_columns, count_types, rewrite_where
from curation.options import check_flags, check_whole, refuse
from curation.stage import Apply

_MAX_SEGMENT = 1_000_000
"""Code points that ftfy looks at together at most; a longer line is cut, as ftfy cuts it."""

_FIXERS = (
    "fix_c1_controls",
    "fix_latin_ligatures",
    "fix_character_width",
    "uncurl_quotes",
    "fix_line_breaks",
    "fix_surrogates",
    "remove_terminal_escapes",
    "remove_control_chars",
)
"""The repairs of single characters, in the order in which ftfy applies them."""

_STYLES = ("fix_latin_ligatures", "fix_character_width", "uncurl_quotes", "fix_line_breaks")

_MARKS = r"[\x00-\x08\x0B\x0E-\x1F\x7F-\u009F\u206A-\u206F\uFEFF\uFFF9-\uFFFC]|&#?[0-9A-Za-z]{1,24};"
"""Characters and references of which one must be there, or wrongly decoded text, for a repair to change anything."""

_FOREIGN = r"[^\t\n\x0C -~]|&#?[0-9A-Za-z]{1,24};"
"""What must be there for anything at all to change, matters of style included."""


@dataclass(frozen=True)
class FixEncoding(Modifier):
    """Repairs each line (up to and including its "\\n") by itself, until a pass changes nothing.

    On by default: `unescape_html` ("auto": references such as `&eacute;` become characters until a line with `<` is met,
    which says that the text shows HTML; true: always; false: never), `remove_terminal_escapes` (ANSI colours),
    `fix_encoding` (UTF-8 read as a one-byte encoding, with its parts `restore_byte_a0`, `replace_lossy_sequences`,
    `decode_inconsistent_utf8`), `fix_c1_controls` (U+0080-U+009F as Windows-1252), `fix_surrogates`,
    `remove_control_chars`. Off by default: `fix_latin_ligatures`, `fix_character_width` (full and half width),
    `uncurl_quotes`, `fix_line_breaks` (to "\\n").

    `max_passes`: passes over one line, 1 to 1000; only a page made to nest references needs more than a handful.

    Counts: `lines` changed and `chars`, the code points of those lines before. A null text stays null. Normal forms are
    modifiers/unicode_normal_form's. Raises RecipeError on options outside their range.
    """

    unescape_html: str | bool = "auto"
    remove_terminal_escapes: bool = True
    fix_encoding: bool = True
    restore_byte_a0: bool = True
    replace_lossy_sequences: bool = True
    decode_inconsistent_utf8: bool = True
    fix_c1_controls: bool = True
    fix_latin_ligatures: bool = False
    fix_character_width: bool = False
    uncurl_quotes: bool = False
    fix_line_breaks: bool = False
    fix_surrogates: bool = True
    remove_control_chars: bool = True
    max_passes: int = 100

    libraries: ClassVar[tuple[str, ...]] = ("ftfy",)
    counts: ClassVar[Mapping[str, pa.DataType]] = count_types("fix_encoding", ("lines", "chars"))

    def __post_init__(self) -> None:
        if self.unescape_html not in ("auto", True, False):
            refuse(self, "unescape_html", '"auto", true or false', repr(self.unescape_html))
        check_flags(self, *(f.name for f in fields(self) if f.type == "bool"))
        check_whole(self, "max_passes", least=1)
        if self.max_passes > 1000:
            refuse(self, "max_passes", "at most 1000", self.max_passes)

    def bind(self, models: Mapping[str, Path]) -> Apply:
        config = self._config()
        line_suspect = re.compile(_FOREIGN)
        styles = any(getattr(self, name) for name in _STYLES)
        text_suspect = None if styles else _suspect_by_badness()

        def rewrite(text: str) -> tuple[str, Sequence[int]]:
            return _fix(text, config, line_suspect, self.max_passes)

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            texts = batch["text"]
            selected = texts.str.contains(text_suspect or _rust(_FOREIGN))
            if text_suspect:  # a line so long is cut into parts, of which each may begin as only a line may
                selected = selected | (texts.str.len_bytes() > _MAX_SEGMENT)
            fixed, counts = rewrite_where(texts, selected, rewrite, 2)
            return batch.select("doc").with_columns(fixed.alias("text"), *count_columns(list(self.adds), counts))

        return apply

    def _config(self) -> ftfy.TextFixerConfig:
        options = {f.name: getattr(self, f.name) for f in fields(self) if f.name in ftfy.TextFixerConfig._fields}
        return ftfy.TextFixerConfig(**options, normalization=None)


def _rust(pattern: str) -> str:
    """A pattern of Python's `re` with its \\uXXXX escapes as Rust writes them."""
    return re.sub(r"\\u([0-9A-Fa-f]{4})", r"\\u{\1}", pattern)


@cache
def _suspect_by_badness() -> str | None:
    """`_MARKS` or ftfy's expression for wrongly decoded text, as Rust writes it; None where Rust cannot read it."""
    pattern = f"(?m){_rust(_MARKS)}|{_compact(BADNESS_RE.pattern)}"
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError:
        return None
    return pattern


def _compact(verbose: str) -> str:
    """A verbose expression without the white space and comments that verbose mode leaves out, its classes escaped as
    Rust wants them, and with Python's wider idea of a word character."""
    made: list[str] = []
    in_class = in_comment = False
    for token in re.findall(r"\\.|.", verbose, re.S):
        if in_comment:
            in_comment = token != "\n"
        elif in_class:
            made.append("\\" + token if token in "[&~" else token)
            in_class = token != "]"
        elif token == "#":
            in_comment = True
        elif token == r"\w":
            made.append(r"[\w\p{L}\p{N}]")
        elif not token.isspace():
            made.append(token)
            in_class = token == "["
    return "".join(made)


def _fix(text: str, config: ftfy.TextFixerConfig, maybe: re.Pattern[str], passes: int) -> tuple[str, tuple[int, int]]:
    """The text with every line repaired; lines changed and their code points before."""
    out: list[str] = []
    lines, chars, position = 0, 0, 0
    while position < len(text):
        end = min(text.find("\n", position) + 1 or len(text), position + _MAX_SEGMENT)
        line = text[position:end]
        if config.unescape_html == "auto" and "<" in line:
            config = config._replace(unescape_html=False)  # for the rest of the text too
        fixed = _fix_line(line, config, passes) if maybe.search(line) else line
        if fixed != line:
            lines, chars = lines + 1, chars + len(line)
        out.append(fixed)
        position = end
    return "".join(out), (lines, chars)


def _fix_line(line: str, config: ftfy.TextFixerConfig, passes: int) -> str:
    for _ in range(passes):
        before = line
        if config.unescape_html:
            line = ftfy.fixes.unescape_html(line)
        if config.fix_encoding:
            line = ftfy.fix_encoding_and_explain(line, config).text
        for name in _FIXERS:
            if getattr(config, name):
                line = getattr(ftfy.fixes, name)(line)
        if line == before:
            break
    return line
