"""`curation index`: what a new crawl is held against. Verbs only; the work is in curation/inspect."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from curation.cli_storage import with_storage
from curation.inspect_cli import OutFolder, say

index_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None,
    help="Indexes of near-duplicates: what a new crawl is held against without the old text being read again.",
)  # fmt: skip


@index_app.command("build")
@with_storage
def index_build(
    directory: OutFolder,
    index: Annotated[str, typer.Argument(help="Folder of the new index; one that is there is never changed.")],
    stage: Annotated[str, typer.Option(help="Label of the stage dedup/minhash, where the recipe has several.")] = "",
    name: Annotated[str, typer.Option(help="Name of the snapshot; default the only source, or the folder's name.")] = "",
) -> None:
    """Make an index of a finished run, before `curation clean`. A run against an index makes one of both."""
    from curation.inspect.index import index_text
    from curation.inspect.index_build import build

    build(directory, index, stage=stage, name=name)
    say(index_text(index))


@index_app.command("inspect")
@with_storage
def index_inspect(
    index: Annotated[str, typer.Argument(help="Folder of an index.")],
    member: Annotated[Optional[int], typer.Option(min=0, help="Tell of one member: where it came from, its twin.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read every byte and name what is damaged.")] = False,
) -> None:
    """What is in an index: snapshots, signatures, sizes; one member; or whether every file is as it was written."""
    from curation.inspect.index import index_text, member_text
    from curation.inspect.index import verify as verified

    if member is not None:
        say(member_text(index, member))
    else:
        say(index_text(index))
    if verify:
        say(verified(index))


@index_app.command("merge")
@with_storage
def index_merge(
    indexes: Annotated[list[str], typer.Argument(help="Folders of indexes; members of the first are the best.")],
    into: Annotated[str, typer.Option(help="Folder of the new index.")],
) -> None:
    """Make one index of several of the same signatures and scope."""
    from curation.inspect.index import index_text
    from curation.inspect.index_merge import merge

    merge(indexes, into)
    say(index_text(into))
