"""A page with its blocks: what extractors/main_content keeps of it and what it cuts.

Of a document the page is read again from its archive, by the source as the run had it; nothing of it is stored by the run.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import polars as pl
import yaml

from curation.document import POSITION_BITS
from curation.errors import CurationError, InputError, RecipeError, explain_mismatch
from curation.extractors.guarded import TITLE_WITHIN, page_title
from curation.extractors.main_content import MainContent
from curation.extractors.main_content_blocks import Block, page_blocks, page_kind, page_text
from curation.extractors.page_kinds import ARTICLE
from curation.fingerprint import stage_fingerprint
from curation.inspect.shards import producer_of
from curation.inspect.why import find
from curation.printable import printable
from curation.recipe import build_stage, from_value
from curation.run_log import starts
from curation.sources.charset import to_utf8
from curation.sources.warc import Warc
from curation.stage import Input, Piece, Source
from curation.storage import Folder, open_location
from curation.storage_options import locate, protocol_of, shown

NO_BLOCKS = (
    "only extractors/main_content chooses block by block\n"
    "  try:    a run of a recipe with extractors/main_content, such as common_crawl_english, or in Python\n"
    "          curation.inspect.page.document_page(DOCUMENT, OUT, stage=MainContent()): what that would keep of the page"
)


@dataclass(frozen=True)
class PageView:
    """A page (UTF-8) and what `stage` makes of its blocks. `facts`: what is known of it, in words, by name. `note`: how the
    text kept compares to the run's, empty for a page without a run."""

    page: bytes
    stage: MainContent
    blocks: Sequence[Block]
    facts: Mapping[str, str]
    note: str = ""


def page_frame(view: PageView) -> pl.DataFrame:
    """The blocks of a page as a frame: `kept`, `answer`, `reason`, `path`, `text`, `start`, `end`."""
    types = {"kept": pl.Boolean, "answer": pl.Float64, "reason": pl.String, "path": pl.String, "text": pl.String,
             "start": pl.Int64, "end": pl.Int64}  # fmt: skip
    rows = [[getattr(block, name) for name in types] for block in view.blocks]
    return pl.DataFrame(rows, schema=types, orient="row")


def file_page(path: str, settings: Sequence[str] = (), options: Mapping[str, object] | None = None) -> PageView:
    """The page in a file, or at a URL that fsspec knows, decoded as a source decodes one without HTTP headers. `settings`:
    `field=value` of extractors/main_content. Raises InputError when it cannot be read, RecipeError for a bad setting."""
    fields: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise RecipeError(explain_mismatch("--set", wanted="field=value, such as threshold=0.3", found=setting))
        try:
            fields[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {setting}: the value is not readable YAML") from error
    stage = build_stage(MainContent, fields)
    assert isinstance(stage, MainContent)
    with open_location(path, options) as stream:
        decoded = to_utf8(stream.read(), None)
    if isinstance(decoded, str):
        raise InputError(explain_mismatch(f"{shown(path)} is no page", wanted="text in a known charset", found=decoded))
    page, charset = decoded
    return _view(page, stage, {"file": shown(path), "charset": charset})


def document_page(
    wanted: str,
    out: str,
    *,
    archive: str = "",
    stage: MainContent | None = None,
    options: Mapping[str, object] | None = None,
) -> PageView:
    """The page of the document of a run whose `id`, `url` or `doc` is `wanted`.

    archive: where the archive is now, if it was moved: the file, or the folder that was given as --input; stage: instead of the
    run's. Raises CurationError when there is no such document, when there are several, or when the run's extractor is another;
    InputError when the archive is gone or is not the one that was read.
    """
    found = find(wanted, out, options)
    if len(found) > 1:
        numbers = ", ".join(str(row["doc"]) for _, row in found)
        raise CurationError(explain_mismatch("several documents of that name", wanted="a doc number", found=numbers))
    (_, row), folder = found[0], Folder(out, dict(options or {}))
    source, used = _stages(folder, stage)
    record = record_again(source, _archive(folder, str(row["warc_path"]), archive), row, options)
    if record["html"] is None:
        fell = f"{record['drop_reason']} ({printable(str(record['drop_detail']))})"
        raise CurationError(explain_mismatch("the source found no page in this record", wanted="HTML", found=fell))
    fate = "kept"
    if row.get("drop_stage"):
        fate = f"fell at {row['drop_stage']}: {row['drop_reason']}" + (f" ({row['drop_detail']})" if row["drop_detail"] else "")
    facts = {"url": row.get("url"), "doc": row["doc"], "fate": fate, "charset": row.get("charset"),
             "archive": f"bytes {row['warc_offset']}+{row['warc_length']} of {row['warc_path']}"}  # fmt: skip
    view = _view(record["html"], used, {name: str(value) for name, value in facts.items() if value is not None})
    return dataclasses.replace(view, note=_compared(view, row, folder, options))


def _view(page: bytes, stage: MainContent, facts: Mapping[str, str]) -> PageView:
    title = page_title(page[:TITLE_WITHIN].decode("utf-8", "replace"))
    settings = ", ".join(f"{name} {_word(value)}" for name, value in stage.page_options.items() if value != "")
    kind = page_kind(page, stage)
    known = {**({"title": title} if title else {}), **facts, "extractor": f"{stage.name}: {settings}"}
    known |= {"taken for": f"a page of {kind} kind" if kind != ARTICLE else "an article"} if kind else {}
    return PageView(page, stage, page_blocks(page, stage), known)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _stages(folder: Folder, stage: MainContent | None) -> tuple[Source, MainContent]:
    """The source and the extractor of a run. No other stage is made: that may need files and code which are not here."""
    try:
        recipe = yaml.safe_load(folder.read("recipe.yaml"))
    except FileNotFoundError as error:
        wanted = f"{shown(folder.url)}/recipe.yaml"
        raise CurationError(explain_mismatch("no finished run here", wanted=wanted, found="no such file")) from error
    entries = [entry for entry in recipe["stages"] if str(entry["stage"]).startswith("extractors/")]
    names = ", ".join(str(entry["stage"]) for entry in entries) or "none"
    if stage is None and names != "extractors/main_content":
        raise CurationError(
            explain_mismatch("this run's extractor", wanted="extractors/main_content", found=f"{names}: {NO_BLOCKS}")
        )
    stages = [{"stage": "extractors/main_content"}] if stage else entries
    at = Path(folder.path("")) if folder.is_local else None
    pipeline = from_value({**recipe, "stages": stages, "sink": {"stage": "sinks/parquet"}}, folder=at)
    used = stage or pipeline.stages[0]
    assert isinstance(used, MainContent)
    if not isinstance(pipeline.source, Warc):
        raise CurationError(explain_mismatch("this run's source", wanted="sources/warc", found=pipeline.source.name))
    return pipeline.source, used


def _archive(folder: Folder, path: str, given: str) -> str:
    """Where the archive is that the run recorded as `path`. Raises InputError naming the places looked at."""
    looked: list[str] = []
    for place in _places(folder, path, given):
        if place in looked:
            continue
        looked.append(place)
        fs, inside = locate(place, folder.options)
        if fs.isfile(inside):
            return place
    raise InputError(
        explain_mismatch(
            "the archive of this document is not there",
            wanted=printable(path),
            found="nothing at " + ", ".join(printable(shown(place)) for place in looked),
            hint="--archive: the file, or the folder or URL that was given as --input",
        )
    )


def _places(folder: Folder, path: str, given: str) -> Iterator[str]:
    """Places an archive may be at: those under the one given, else where the run read it, beside the run, or here."""
    if given:
        yield given
        for inner in (path, path.partition("/")[2], path.rpartition("/")[2]):
            yield _join(given, inner)
        return
    for start in starts(folder):
        yield from (_join(root, path) for root in start["inputs"].get("roots", ()))
    if protocol_of(folder.url) in ("file", "local"):
        yield _join(os.path.dirname(os.path.abspath(folder.path(""))), path)
    yield path


def _join(root: str, path: str) -> str:
    return f"{root.rstrip('/')}/{path}" if path else root


def record_again(source: Source, place: str, row: Mapping[str, Any], options: Mapping[str, object] | None) -> dict[str, Any]:
    """The row that the source makes of the document's record now. Raises InputError when that is another record."""
    fs, inside = locate(place, options)
    number, offset = int(row["doc"]) >> POSITION_BITS, int(row["warc_offset"])
    archive = Input(number, str(row["warc_path"]), place, int(fs.info(inside)["size"] or 0), "")
    found: dict[str, Any] = {}
    piece = Piece(archive, offset, offset + 1, exact=True)
    for frame in source.read(piece, lambda one: cast(BinaryIO, open_location(one.location, options))):
        if isinstance(frame, pl.DataFrame) and (hit := frame.filter(pl.col("doc") == pl.lit(row["doc"], pl.UInt64))).height:
            found = hit.row(0, named=True)
            break
    same = ("id", "url", "payload_digest")
    differing = [name for name in same if found.get(name) != row.get(name)] if found else ["no record begins there"]
    if differing:
        raise InputError(
            explain_mismatch(
                f"{printable(shown(place))} is not the archive that this run read",
                wanted=f"the record of {printable(str(row.get('url') or row['id']))} at byte {offset}",
                found=", ".join(differing) if not found else f"another {' and '.join(differing)}",
                hint="--archive: the file as it was",
            )
        )
    return found


def _compared(view: PageView, row: Mapping[str, Any], folder: Folder, options: Mapping[str, object] | None) -> str:
    """How the text kept compares to the one the run has."""
    if row.get("text") is None:
        return "the run has no text of this document to compare with"
    if row["text"] == page_text(view.page, view.stage):
        return "the text kept is the run's"
    kind = "dropped" if row.get("drop_stage") else "documents"
    name, _, digest = producer_of(folder.url, kind, "text", options).partition("@")
    if name != view.stage.name:
        return f"the run's text is another: {name} wrote it last"
    if digest[:12] != stage_fingerprint(view.stage)[:12]:
        return "the run's text is another: it was made by other code, or with other settings"
    return "the run's text is another"
