"""A page with its blocks, kept and cut, as lines for a terminal and as one HTML file for a browser.

What pages hold is made visible, never obeyed: control characters and bidirectional controls are spelled out, markup is
escaped, and the file has no script, no link and nothing to fetch, which its content policy also forbids.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from curation.extractors.main_content_blocks import Block
from curation.inspect.page import PageView
from curation.printable import printable, shorten
from curation.storage import Folder
from curation.text.block_choice import BY_MODEL, REASONS

WIDTH = 140
"""Columns of a line, where no terminal says."""

MOST_BLOCKS = 20_000
"""Blocks of a page that are shown; of a page made to have millions the rest is counted."""

PATH_WIDTH = 26
"""Columns of a line that its path takes: the innermost elements that fit."""

_PLAIN = REASONS[BY_MODEL]
_GREEN, _DIM, _OFF = "\x1b[32m", "\x1b[2m", "\x1b[0m"


def page_lines(view: PageView, width: int = WIDTH, colour: bool = False) -> str:
    """What is known of the page, a line of `width` columns for each block, and totals. `colour`: with ANSI escapes."""
    lines = [f"{name:10}{shorten(value, 400)}" for name, value in view.facts.items()]
    lines += ["", *(_line(block, width, colour) for block in view.blocks[:MOST_BLOCKS]), *_more(view), "", totals(view)]
    return "\n".join(line.rstrip() for line in lines)


def present(view: PageView, html: Path | None = None, lines: bool = True, width: int = WIDTH, colour: bool = False) -> str:
    """What to show of a page: its lines, or the totals alone; and the page view in the file `html`. Raises StorageError when
    that cannot be written."""
    said = page_lines(view, width, colour) if lines else totals(view)
    if html is None:
        return said
    Folder(str(html.parent)).replace(html.name, page_html(view).encode())
    return f"{said}\nwrote {html}"


def _more(view: PageView) -> list[str]:
    left = len(view.blocks) - MOST_BLOCKS
    return [f"… and {left} more blocks"] if left > 0 else []


def totals(view: PageView) -> str:
    """How much is kept, and how that compares to the run."""
    kept = [block for block in view.blocks if block.kept]
    sizes = [sum(len(block.text.encode()) for block in blocks) for blocks in (kept, view.blocks)]
    said = f"{len(kept)} of {len(view.blocks)} blocks kept, {sizes[0]} of {sizes[1]} bytes of text"
    return f"{said}; {view.note}" if view.note else said


def _line(block: Block, width: int, colour: bool) -> str:
    sign, why = "+" if block.kept else "-", "" if block.reason == _PLAIN else f" ({block.reason})"
    head = f"{sign} {_number(block.answer)} {_innermost(block.path):{PATH_WIDTH}} "
    text = shorten(block.text[: 20 * width], max(width - len(head) - len(why), 20))
    if not colour:
        return f"{head}{text}{why}"
    return f"{_GREEN}{sign}{_OFF}{head[1:]}{text}{_DIM}{why}{_OFF}" if block.kept else f"{_DIM}{head}{text}{why}{_OFF}"


def _number(answer: float) -> str:
    """A probability in three columns."""
    return f"{answer:.2f}".removeprefix("0") if answer < 0.995 else "1.0"


def _innermost(path: str) -> str:
    """The innermost elements of a path, as many as fit."""
    shown = ""
    for name in reversed(path.split(" > ")):
        longer = f"{name} > {shown}" if shown else name
        if len(longer) > PATH_WIDTH and shown:
            break
        shown = longer
    return shorten(shown, PATH_WIDTH)


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1c1d1f; --paper: #fbfaf8; --cut: #f1efeb;
  --faint: #62646a; --line: #dedbd5; --kept: #2f7d4f }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e4e0; --paper: #17181a; --cut: #1f2023; --faint: #94969c; --line: #34363a; --kept: #6fbf8f }}
}}
body {{ margin: 2rem auto; max-width: 52rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif }}
h1 {{ font-size: 1.4rem; line-height: 1.3; margin: 0 0 .8rem }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0; font-size: .85rem }}
dt {{ color: var(--faint) }}
dd {{ margin: 0; overflow-wrap: anywhere }}
.totals {{ margin: 1rem 0; padding: .6rem 0; border: solid var(--line); border-width: 1px 0; font-size: .9rem }}
label {{ color: var(--faint); font-size: .85rem }}
ol {{ list-style: none; margin: 0; padding: 0 }}
li {{ margin: .35rem 0; padding: .15rem .8rem; border-left: 3px solid var(--kept) }}
li.cut {{ border-left-color: var(--line); background: var(--cut); color: var(--faint); font-size: .85rem }}
li p {{ margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }}
small {{ display: block; color: var(--faint); font: .7rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere }}
#cuts:not(:checked) ~ ol .cut {{ display: none }}
</style></head><body>
"""


def page_html(view: PageView) -> str:
    """The page view: a whole HTML file, blocks in their order, those cut greyed and with the reason."""
    return "\n".join(_html(view)) + "\n"


def _html(view: PageView) -> Iterator[str]:
    title = _escaped(view.facts.get("title") or view.facts.get("url") or view.facts.get("file", "a page"))
    yield _HEAD.format(title=title)
    yield f'<h1 dir="auto">{title}</h1>'
    yield "<dl>"
    for name, value in view.facts.items():
        if name != "title":
            yield f'<dt>{_escaped(name)}</dt><dd dir="auto">{_escaped(value)}</dd>'
    yield "</dl>"
    yield f'<p class="totals">{_escaped(totals(view))}</p>'
    yield '<input type="checkbox" id="cuts" checked> <label for="cuts">show what was cut</label>'
    yield "<ol>"
    for block in view.blocks[:MOST_BLOCKS]:
        yield _item(block)
    yield "</ol>"
    yield from (f"<p>{more}</p>" for more in _more(view))
    yield "</body></html>"


def _item(block: Block) -> str:
    state = "kept" if block.kept else "cut"
    told = _escaped(f"{state}, {_number(block.answer)}: {block.reason}; bytes {block.start} to {block.end}; {block.path}")
    why = "" if block.reason == _PLAIN else f" · {block.reason}"
    label = _escaped(f"{_number(block.answer)} {_innermost(block.path)}{why}")
    return f'<li class="{state}" title="{told}"><small>{label}</small><p dir="auto">{_escaped(block.text)}</p></li>'


def _escaped(text: str) -> str:
    return escape(printable(text), quote=True)
