"""Records of every file of the WARC test folders, by our source and by warcio: writes warc_counts.md beside itself.

    python benchmarks/warc_counts.py DATA_FOLDER

Every file is listed, archives or not. Each disagreement must have an explanation below, found by looking at the file;
the program fails when one is missing, or when one is no longer needed.
"""

from __future__ import annotations

import contextlib
import io
import sys
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from curation.sources.warc import Warc
from curation.stage import Input, Piece, PieceReport

FOLDERS = ("warc-commoncrawl", "warc-general", "warc-edge")
KNOWN = ("warcinfo", "response", "resource", "request", "metadata", "revisit", "conversion", "continuation")

_ONE_MEMBER = (
    "The whole file is one gzip member of several records. warcio stops after the first (non-chunked gzip); we stream on"
)
_NO_LENGTH = "A record without Content-Length has no known end: a broken range. warcio takes "
_PROSE = "Text, no archive. warcio takes lines of five words for ARC records before it gives up; we do not read it"

EXPLANATIONS: Mapping[str, str] = {
    "warc-commoncrawl/PROVENANCE.md": _PROSE,
    "warc-general/PROVENANCE.md": _PROSE,
    "warc-edge/PROVENANCE.md": _PROSE,
    "warc-edge/jwat/jwat-gzip/invalid-entries.gz": _PROSE + " (gzip of a text file, the second member damaged)",
    "warc-edge/jwat/jwat-gzip/invalid-truncated.gz": _PROSE + " (gzip of a text file, cut)",
    "warc-edge/jwat/jwat-arc/invalid-arcfile-record-then-garbage.arc": (
        "Both read the one capture. The 25 bytes after it (a bare URL) are a broken range to us, an exception to warcio"
    ),
    "warc-edge/jwat/jwat-warc/invalid-warcfile-fields-empty.warc": (
        "Content-Length is empty: a broken range. warcio assumes 0 and then reads a line of the block as the head of an "
        "ARC record (target URI `User-Agent:`) before it stops"
    ),
    "warc-edge/jwat/jwat-warc/invalid-warcfile-fields-invalidformat.warc": (
        "Content-Length is `very lengthy`: a broken range. warcio assumes 0 and then reads a line of the block as the head "
        "of an ARC record before it stops"
    ),
    "warc-edge/jwat/jwat-warc/invalid-warcfile-fields-missing.warc": (
        "All fields are empty, Content-Length too: a broken range. warcio assumes length 0 and counts a record of no type"
    ),
    "warc-edge/jwat/jwat-warc/invalid-warcfile-lonely-continuation.warc": _NO_LENGTH + "the rest of the file as its block",
    "warc-edge/jwat/jwat-warc/invalid-warcfile-lonely-monkeys.warc": _NO_LENGTH + "the rest of the file as its block",
    "warc-edge/jwat/jwat-warc/invalid-warcfile-lonely-revisit.warc": _NO_LENGTH + "the rest of the file as its block",
    "warc-edge/jwat/jwat-warc/invalid-warcfile-lonely-request-response-resource-conversion.warc": (
        _NO_LENGTH + "the rest of the file, three more such heads included, as the block of the first"
    ),
    "warc-edge/jwat/jwat-warc/invalid-warcfile-lonely-warcinfo-metadata.warc": (
        _NO_LENGTH + "the rest of the file, one more such head included, as the block of the first"
    ),
    "warc-edge/jwat/jwat-warc/invalid-warcfile-record-then-garbage.warc": (
        "One record, then 55 bytes of text. warcio reads `The monkeys are a coming!` as the head of an ARC record (target "
        "URI `The`) and then stops; to us they are a broken range"
    ),
    "warc-edge/warcio/bad.arc": (
        "Captures of length `-1`, `1` and `abc`. warcio takes those that are no number as 0. To us they are no records, and "
        "the one between them is not verified when searched for, because no record line follows it: one broken range"
    ),
    "warc-edge/warcio/example-bad-non-chunked.warc.gz": _ONE_MEMBER,
    "warc-edge/warcio/example-bad.warc.gz.bad": _ONE_MEMBER,
    "warc-edge/warcio/example-wrong-chunks.warc.gz": (
        "The response is spread over three gzip members (head, body, final line ends with the request after them). We join "
        "them and find the request; warcio takes the second member for a record and stops"
    ),
    "warc-edge/wet-2016/corrupt_starts_with_conversion.wet.gz": _ONE_MEMBER,
    "warc-edge/wet-2016/corrupt_warcconversion_1.wet.gz": _ONE_MEMBER,
    "warc-edge/wet-2016/corrupt_warcconversion_2.wet.gz": _ONE_MEMBER,
    "warc-edge/wet-2016/corrupt_warcinfo_1.wet.gz": _ONE_MEMBER,
    "warc-edge/wet-2016/file_and_wet_headers_only.wet.gz": (
        "The conversion head has no blank line after it and no block, and the warcinfo's length, counted with CRLF, reaches "
        "into it: both count the warcinfo; the rest is broken to us and an exception to warcio"
    ),
    "warc-edge/wet-2016/fragment1_asthma_incomplete_last.wet.gz": (
        _ONE_MEMBER + ". The first conversion declares 44 bytes more than it has and so swallows the start of the second "
        "head, whose cut block of 9546 bytes is noted as no record"
    ),
    "warc-edge/wet-2016/fragment1_incomplete_last.wet.gz": _ONE_MEMBER + "; the last block is cut",
    "warc-edge/wet-2016/fragment2_no_header.wet.gz": (
        "One gzip member that begins inside a text: 7429 bytes are no record, two conversions follow (the last one cut). "
        "warcio stops at the first line"
    ),
    "warc-general/aut/arc/badexample.arc.gz": (
        "One gzip member: warcio stops after its first record. Of five captures the third has the date `null`: its "
        "237 bytes are no record to us; the fourth declares 680 bytes where 477 are left, so that the fifth lies inside it"
    ),
}


@dataclass(frozen=True)
class Line:
    """One file: counts by kind, ours and warcio's, and our account. `refused`: why it is no input of ours."""

    path: str
    size: int
    refused: str | None
    ours: Counter[str]
    theirs: Counter[str]
    stopped: str | None
    broken: int
    accounted: bool
    rows: int

    @property
    def agrees(self) -> bool:
        """Whether both found the same records. A file we refuse agrees when warcio finds none in it."""
        return self.ours == self.theirs and (self.stopped is None or not self.theirs)


def open_file(one: Input) -> BinaryIO:
    """Opens an input of the local disk."""
    return open(one.location, "rb")


def count_ours(path: Path) -> tuple[PieceReport, int]:
    """The report of our source, and its rows."""
    size = path.stat().st_size
    one = Input(0, path.name, str(path), size, "")
    *frames, report = Warc().read(Piece(one, 0, size), open_file)
    assert isinstance(report, PieceReport)
    return report, sum(len(frame) for frame in frames if not isinstance(frame, PieceReport))


def count_theirs(path: Path) -> tuple[Counter[str], str | None]:
    """warcio's records by kind (its spelling trimmed, unheard-of kinds as `unknown`), and the error that stopped it."""
    counts: Counter[str] = Counter()
    try:
        with open(path, "rb") as file, contextlib.redirect_stderr(io.StringIO()):
            for record in ArchiveIterator(file, arc2warc=True, no_record_parse=True):
                kind = (record.rec_type or "").strip().lower()
                counts[kind if kind in KNOWN else "unknown"] += 1
    except (ArchiveLoadFailed, EOFError, OSError, ValueError, AttributeError, zlib.error) as problem:
        return counts, " ".join(f"{type(problem).__name__}: {problem}".split())
    return counts, None


def is_accounted(report: PieceReport, size: int) -> bool:
    """Whether [0, size) is covered and the broken ranges are disjoint, ascending and inside."""
    at = report.first
    for start, end, _ in report.broken:
        if not at <= start < end <= report.stop:
            return False
        at = end
    return (report.first, report.stop) == (0, size)


def compare(path: Path, name: str) -> Line:
    """Both counts of one file."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        refused = Warc().accepts(name, file.read(512))
    theirs, stopped = count_theirs(path)
    if refused:
        return Line(name, size, refused, Counter(), theirs, stopped, 0, True, 0)
    report, rows = count_ours(path)
    broken = sum(end - start for start, end, _ in report.broken)
    ours = Counter(dict(report.records))
    return Line(name, size, None, ours, theirs, stopped, broken, is_accounted(report, size), rows)


def in_words(counts: Mapping[str, int]) -> str:
    """`response 3, request 2`, in the order of KNOWN."""
    kinds = [*KNOWN, "unknown"]
    return ", ".join(f"{kind} {counts[kind]}" for kind in kinds if counts.get(kind)) or "none"


def table(lines: list[Line]) -> str:
    """The report as Markdown."""
    archives = [line for line in lines if line.refused is None]
    differ = [line for line in lines if not line.agrees]
    text = [
        "# Records counted by our WARC source and by warcio 1.8.1",
        "",
        "Written by `python benchmarks/warc_counts.py DATA_FOLDER`; do not edit. `rows` are response records, alive or",
        "tombstones. `broken` are bytes in broken ranges; a file is accounted for when records and broken ranges cover it.",
        "",
        f"{len(lines)} files: {len(archives)} archives ({sum(line.accounted for line in archives)} accounted for), "
        f"{len(lines) - len(archives)} not accepted. Records in archives: ours "
        f"{sum(sum(line.ours.values()) for line in archives)}, warcio {sum(sum(line.theirs.values()) for line in archives)}; "
        f"responses: ours {sum(line.ours['response'] for line in archives)}, "
        f"warcio {sum(line.theirs['response'] for line in archives)}. Files that differ: {len(differ)}.",
        "",
        "| file | bytes | ours | warcio | rows | broken | accounted | why they differ |",
        "|---|--:|---|---|--:|--:|---|---|",
    ]
    for line in lines:
        ours = in_words(line.ours) if line.refused is None else _cell(line.refused)
        theirs = "the same" if line.ours == line.theirs and not line.refused else in_words(line.theirs)
        theirs += f", then {line.stopped.split(':')[0]}" if line.stopped else ""
        accounted = "not read" if line.refused else "yes" if line.accounted else "NO"
        why = "" if line.agrees else EXPLANATIONS.get(line.path, "UNEXPLAINED")
        text.append(
            f"| {line.path} | {line.size} | {ours} | {theirs} | {line.rows} | {line.broken} | {accounted} | {_cell(why)} |"
        )
    return "\n".join(text) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def files_of(folder: Path) -> list[Path]:
    """Every file of the three folders, in order."""
    return sorted(path for name in FOLDERS for path in (folder / name).rglob("*") if path.is_file())


def problems(lines: list[Line]) -> list[str]:
    """What must not be: unexplained or outdated explanations, files not accounted for, responses that are no rows."""
    differ = {line.path for line in lines if not line.agrees}
    found = [f"unexplained: {path}" for path in sorted(differ - set(EXPLANATIONS))]
    found += [f"explained but the same: {path}" for path in sorted(set(EXPLANATIONS) - differ)]
    found += [f"not accounted for: {line.path}" for line in lines if not line.accounted]
    found += [f"not a row for every response: {line.path}" for line in lines if line.rows != line.ours["response"]]
    return found


def main(folder: Path) -> int:
    """Write the table; 1 when something is unexplained or not accounted for."""
    lines = [compare(path, path.relative_to(folder).as_posix()) for path in files_of(folder)]
    Path(__file__).with_suffix(".md").write_text(table(lines), encoding="utf-8")
    found = problems(lines)
    print("\n".join(found) or f"{len(lines)} files, {len(EXPLANATIONS)} disagreements, all explained")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
