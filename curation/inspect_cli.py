"""Verbs that look at a run: census, slow, why, page, peek, contamination. The work is in curation/inspect."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from curation.cli_storage import with_storage

OutFolder = Annotated[str, typer.Argument(help="The --out folder of a run.")]
PageFile = Annotated[Optional[Path], typer.Option("--html", help="Write the page view: one HTML file with the blocks.")]


def say(text: str) -> None:
    """Write a result to standard output."""
    typer.echo(text)


def _terminal() -> dict[str, Any]:
    from curation.inspect.page_view import WIDTH

    width = shutil.get_terminal_size((WIDTH, 0)).columns
    return {"width": width, "colour": sys.stdout.isatty() and not os.environ.get("NO_COLOR")}


@with_storage
def census(
    directory: OutFolder,
    json: Annotated[bool, typer.Option("--json", help="Print census.json as it is, or the state as JSON.")] = False,
    watch: Annotated[
        Optional[float], typer.Option(min=0.1, help="Again every so many seconds until the run is finished.")
    ] = None,
    finished: Annotated[bool, typer.Option("--finished", help="The last census, even while a newer run goes on.")] = False,
) -> None:
    """The funnel of a run: what came in, what each stage dropped and why, what went out.

    While a run goes on, and after one that failed or was killed: headed "unfinished", of the units that are done.
    """
    from curation.inspect.unfinished import follow

    for text in follow(directory, as_json=json, finished=finished, every_s=watch):
        say(text)


@with_storage
def slow(directory: OutFolder) -> None:
    """The slowest units of the newest run, wave by wave: how uneven they were, what they read, and why as far as is known."""
    from curation.inspect.slow import slow as report

    say(report(directory))


@with_storage
def why(
    document: Annotated[str, typer.Argument(help="Its id, URL or doc number.")],
    directory: OutFolder,
    page: Annotated[bool, typer.Option("--page", help="Also the blocks of its page, kept and cut, with the reasons.")] = False,
    html: PageFile = None,
    archive: Annotated[
        str, typer.Option(help="For its page: the archive, or the folder or URL that was given as --input, if it was moved.")
    ] = "",
) -> None:
    """One document's life: measures, scores, where and why it fell, its kept twin, its place in the archive, its page.

    The page is read again from the archive. Only extractors/main_content chooses block by block and can say why.
    """
    from curation.inspect.why import why as tell

    say(tell(document, directory))
    if page or html or archive:
        from curation.inspect.page import document_page
        from curation.inspect.page_view import present

        say("")
        say(present(document_page(document, directory, archive=archive), html, lines=page or not html, **_terminal()))


@with_storage
def page(
    file: Annotated[str, typer.Argument(help="HTML file: a path or an fsspec URL.")],
    html: PageFile = None,
    set_: Annotated[
        Optional[list[str]], typer.Option("--set", help="Change one field of the extractor: threshold=0.3. Repeatable.")
    ] = None,
) -> None:
    """What extractors/main_content makes of a page: a line for each block, kept (+) or cut (-), its probability and the reason.

    `curation why DOCUMENT DIRECTORY --page` shows the same of a document of a run.
    """
    from curation.inspect.page import file_page
    from curation.inspect.page_view import present

    say(present(file_page(file, set_ or []), html, lines=not html, **_terminal()))


@with_storage
def peek(
    directory: OutFolder,
    number: Annotated[int, typer.Option("-n", min=1, help="How many documents.")] = 5,
    dropped: Annotated[bool, typer.Option("--dropped", help="Tombstones instead of kept documents.")] = False,
    reason: Annotated[Optional[str], typer.Option(help="Only tombstones of this reason, e.g. fineweb:line_punct.")] = None,
    language: Annotated[Optional[str], typer.Option(help="Only this language, e.g. eng_Latn.")] = None,
    characters: Annotated[int, typer.Option(min=1, help="Characters of text to show.")] = 400,
) -> None:
    """A few documents of a run, chosen evenly; the same every time."""
    from curation.inspect.peek import peek as show

    say(show(directory, number=number, fallen=dropped, reason=reason, language=language, characters=characters))


@with_storage
def contamination(
    directory: OutFolder,
    json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
    most: Annotated[int, typer.Option(min=0, help="How many items to show.")] = 20,
) -> None:
    """Benchmark items a run met: how many of each benchmark, in which documents, and by which words."""
    from json import dumps

    from curation.inspect.contamination import contamination as report
    from curation.inspect.contamination import contamination_text

    found = report(directory)
    say(dumps(found, ensure_ascii=False, indent=1) if json else contamination_text(found, most))
