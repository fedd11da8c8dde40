"""The jobs of first_light.py, each run in a process of its own: first_light_jobs.py SYSTEM EXTRACTOR WORK SIZE"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import shutil
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
# The guard's child and spawned workers must find this file too.
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])

from curation.extractors.guarded import GuardedExtractor, page_fields  # noqa: E402


def key_of(page: bytes) -> int:
    """A cheap key of a page: length and the checksum of its ends."""
    return zlib.crc32(page[:4096] + page[-4096:], len(page)) << 32 | len(page)


@dataclass(frozen=True)
class Lookup(GuardedExtractor):
    """Texts from a table instead of a parser: what is left is everything outside extraction."""

    table: str = ""

    @property
    def page_function(self) -> str:
        return "first_light_jobs:make_lookup"


def make_lookup(table: str):
    """The page function of Lookup."""
    texts = pickle.loads(Path(table).read_bytes())

    def look_up(page: memoryview):
        return page_fields(texts.get(key_of(bytes(page))), "")

    return look_up


# -- archives


def real_pages(data: Path):
    """(name, raw bytes) of every distinct page of the extraction gold sets."""
    seen: set[int] = set()
    folder = data / "extract-scrapinghub/html"
    sources = [(p.name, gzip.decompress(p.read_bytes())) for p in sorted(folder.glob("*.gz"))]
    for name in ("readability", "cleaneval-final", "cleanportaleval", "trafilatura-eval"):
        with zipfile.ZipFile(data / f"extract-{name}/pages.zip") as archive:
            for inside in sorted(archive.namelist()):
                if inside.endswith((".html", ".htm")):
                    sources.append((f"{name}/{inside}", archive.read(inside)))
    for name, raw in sources:
        if raw and hash(raw) not in seen:
            seen.add(hash(raw))
            yield name, raw


def build_archives(data: Path, work: Path, warm: int) -> int:
    """small.warc.gz (the first `warm` pages), full, and tenfold; the number of pages of full."""
    pages = list(real_pages(data))
    # Kinds of pages alternate, so that the warm-up is a sample of the whole.
    pages.sort(key=lambda item: zlib.crc32(item[0].encode()))
    for name, chosen in (("small", pages[:warm]), ("full", pages)):
        _write_archive(work / f"{name}.warc.gz", chosen)
    with (work / "tenfold.warc.gz").open("wb") as out:
        for _ in range(10):
            with (work / "full.warc.gz").open("rb") as once:
                shutil.copyfileobj(once, out)
    return len(pages)


def _write_archive(path: Path, pages) -> None:
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    with path.open("wb") as out:
        writer = WARCWriter(out, gzip=True)
        for name, raw in pages:
            http = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
            headers = {"WARC-Identified-Payload-Type": "text/html", "WARC-Date": "2026-01-01T00:00:00Z"}
            url = "https://pages.example/" + name.replace(" ", "_")
            record = writer.create_warc_record(
                url, "response", payload=io.BytesIO(raw), http_headers=http, warc_headers_dict=headers
            )
            writer.write_record(record)


# -- curation


def pipeline_of(extractor: str, work: Path, shard_mb: float = 128):
    """The first recipe, with the chosen extractor."""
    from curation.extractors.resiliparse import Resiliparse
    from curation.extractors.trafilatura import Trafilatura
    from curation.filters.fineweb import FineWeb
    from curation.filters.language import Language as KeepLanguage
    from curation.filters.url import Url
    from curation.pipeline import Pipeline
    from curation.scorers.language import Language
    from curation.sinks.parquet import Parquet
    from curation.sources.warc import Warc

    chosen = {
        "trafilatura": Trafilatura(),
        "resiliparse": Resiliparse(),
        "lookup": Lookup(table=str(work / "texts.pickle")),
    }[extractor]
    stages = (Url(), chosen, Language(), KeepLanguage(keep={"eng_Latn": 0.65}), FineWeb())
    return Pipeline("first_light", Warc(shard_mb=shard_mb), stages, Parquet(dropped_text="none"))


def run_curation(extractor: str, work: Path, size: str, workers: int = 1, shard_mb: float = 128) -> dict:
    from curation.inspect.shards import documents
    from curation.runners.drive import run_pipeline
    from curation.runners.local import LocalExecutor

    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    result = run_pipeline(
        pipeline_of(extractor, work, shard_mb),
        [str(work / f"{size}.warc.gz")],
        str(out),
        lambda p, f, o: LocalExecutor(p, f, o, workers=workers),
    )
    assert result.census is not None
    kept = documents(str(out), ["url"])["url"].to_list()
    return {"kept": len(kept), "urls": kept, "stages": result.census["stages"]}


def our_pages(work: Path, size: str):
    """Frames of live pages as our reader gives them."""
    import polars as pl

    from curation.sources.warc import Warc
    from curation.stage import Input, Piece
    from curation.storage import open_location

    path = work / f"{size}.warc.gz"
    item = Input(0, path.name, str(path), path.stat().st_size, "")
    for frame in Warc().read(Piece(item, 0, item.size), lambda i: open_location(i.location)):
        if isinstance(frame, pl.DataFrame):
            yield frame.filter(pl.col("drop_reason").is_null()).select("doc", "html")


def run_stage_alone(extractor: str, work: Path, size: str) -> dict:
    """Our reader and our extraction stage only; the reader's cost is in `bare` too."""
    stage = pipeline_of(extractor, work).stages[1]
    apply = stage.bind({})
    kept = sum(apply(frame)["text"].count() for frame in our_pages(work, size))
    stage.close(apply)
    return {"kept": kept}


def run_bare(extractor: str, work: Path, size: str) -> dict:
    """The library called in a loop on the same decoded pages, in this process."""
    if extractor == "trafilatura":
        from trafilatura import extract

        def call(page: str) -> str | None:
            return extract(page, favor_precision=True, include_comments=False, deduplicate=False)
    else:
        from resiliparse.extract.html2text import extract_plain_text

        from curation.extractors.resiliparse import Resiliparse

        options = Resiliparse()

        def call(page: str) -> str | None:
            return extract_plain_text(page, main_content=True, alt_texts=options.alt_texts, links=options.links)

    kept = 0
    for frame in our_pages(work, size):
        for page in frame["html"]:
            kept += bool(call(page.decode()))
    return {"kept": kept}


# -- datatrove


def their_first_steps(work: Path, size: str) -> list:
    """datatrove's WarcReader, URLFilter, Trafilatura and LanguageFilter, as they ship.

    Three things are set, none of which slows it: the language model is the same .ftz file ours uses (through the same C++
    predictor, whose distribution name datatrove's import check does not know), the list of public suffixes is the one
    tldextract carries, and its URL lists are off, as ours are.
    """
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.filters import LanguageFilter, URLFilter
    from datatrove.pipeline.readers import WarcReader
    from datatrove.utils.lid import FT176LID
    from tldextract import TLDExtract

    import curation.scorers.language as ours
    from curation.models import available_models

    model = str(next(iter(available_models(ours.Language().models).values())))
    from fasttext.FastText import _FastText

    LanguageFilter._requires_dependencies = ["fasteners"]

    class Predictor(_FastText):
        """Scores as an array, which datatrove expects and this build of the predictor does not give."""

        def predict(self, text, k=1):
            labels, scores = super().predict(text, k=k)
            return labels, np.asarray(scores)

    FT176LID.model = property(lambda self: self.__dict__.setdefault("loaded", Predictor(model)))
    urls = URLFilter(use_integrated_lists=False)
    urls.tldextractor = TLDExtract(suffix_list_urls=())
    return [
        WarcReader(str(work), glob_pattern=f"{size}.warc.gz"),
        urls,
        Trafilatura(favour_precision=True, deduplicate=False, timeout=5),
        LanguageFilter("en", language_threshold=0.65),
    ]


def run_datatrove(extractor: str, work: Path, size: str) -> dict:
    """WarcReader -> URLFilter -> Trafilatura -> LanguageFilter -> FineWebQualityFilter -> ParquetWriter."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters import FineWebQualityFilter
    from datatrove.pipeline.writers import ParquetWriter

    first = their_first_steps(work, size)
    if extractor == "lookup":
        texts = pickle.loads((work / "texts.pickle").read_bytes())
        first[2].extract = lambda page: texts.get(key_of(page.encode("utf-8", "replace")), "")
    out = work / "datatrove"
    shutil.rmtree(out, ignore_errors=True)
    steps = [*first, FineWebQualityFilter(), ParquetWriter(str(out / "documents"), compression="zstd")]
    executor = LocalPipelineExecutor(pipeline=steps, tasks=1, workers=1, logging_dir=str(out / "logs"))
    executor.run()
    import pyarrow.parquet as pq

    kept = [m["url"] for p in (out / "documents").glob("*.parquet") for m in pq.read_table(p)["metadata"].to_pylist()]
    return {"kept": len(kept), "urls": kept}


def prepare(work: Path) -> dict:
    """Extract every page once, as either reader decodes it, into the table that `lookup` reads."""
    from datatrove.pipeline.readers.warc import process_record
    from trafilatura import extract
    from warcio.archiveiterator import ArchiveIterator

    pages = {page for frame in our_pages(work, "full") for page in frame["html"]}
    lost: list[str] = []
    with (work / "full.warc.gz").open("rb") as stream:
        for record in ArchiveIterator(stream):
            found = process_record(record)
            if found is None:
                lost.append(record.rec_headers.get("WARC-Target-URI"))
            else:
                pages.add(found["text"].encode("utf-8", "replace"))
    texts = {
        key_of(page): extract(page.decode(), favor_precision=True, include_comments=False, deduplicate=False) or ""
        for page in sorted(pages)
    }
    (work / "texts.pickle").write_bytes(pickle.dumps(texts))
    return {"pages": len(pages), "lost": lost}


def main() -> None:
    system, *rest = sys.argv[1:]
    if system == "prepare":
        found = prepare(Path(rest[0]))
    else:
        extractor, work, size = rest[0], Path(rest[1]), rest[2]
        jobs = {
            "curation": lambda: run_curation(extractor, work, size),
            "datatrove": lambda: run_datatrove(extractor, work, size),
            "bare": lambda: run_bare(extractor, work, size),
            "stage": lambda: run_stage_alone(extractor, work, size),
            # Small shards, so that both counts of workers have the same twenty units to do.
            "workers1": lambda: run_curation(extractor, work, size, workers=1, shard_mb=2),
            "workers2": lambda: run_curation(extractor, work, size, workers=2, shard_mb=2),
        }
        found = jobs[system]()
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
