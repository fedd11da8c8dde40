"""An index of earlier corpora: what a new crawl is held against without the old text being read again.

    manifest.json               written last: what the signatures are, the snapshots, sha256 and bytes of every file
    bands/0003.<sha256>.slices  the records of one band, sliced by ranges of keys (slice_format.py)
    members/002.<sha256>.parquet  the documents of one snapshot, to name them: member, doc, id, url, source, kept, size

Members are numbered through the snapshots in their order, within one in survivor order: the least is the best. A record
of a band has a member's number, its key, its sketch (`low`, `high`) and the size of its cluster; where the member was
dropped also its survivor's number and sketch (`kept`, `kept_low`, `kept_high`), so that no table of parents is looked
into. Files are named by their content; a folder without a manifest is no index.

Source: ours; that buckets of an earlier run can be kept as an index is datatrove's idea (0.10.1, `pipeline/dedup/minhash.py`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from curation.dedup.bands import key_range
from curation.dedup.signatures import Family, Signer, band_keys, bit_sketch
from curation.errors import DamagedPart, StorageError, explain_mismatch
from curation.slice_format import slice_entry, slice_frame, write_slices
from curation.storage import Folder, Written

MANIFEST = "manifest.json"
FORMAT = 1

RECORD = {
    "member": pl.UInt64(), "key": pl.UInt64(), "low": pl.UInt64(), "high": pl.UInt64(), "size": pl.UInt32(),
    "kept": pl.UInt64(), "kept_low": pl.UInt64(), "kept_high": pl.UInt64(),
}  # fmt: skip
"""Columns of a band record, as they are read."""

SLICE_RECORDS = 1 << 18
"""Records a slice holds at most, where keys are spread evenly: what is read beyond a range asked for stays small."""

_PROBES = (
    "A first text, of plain words: nineteen of them or so, with 12 numbers in 3 places, and an end.",
    "Größe und Maß: wer zählt, gewinnt; naïve façades, señor, прямая речь и ещё несколько слов.",
    "文字没有空格,所以每个字都算一个词。 คำไทยก็เช่นกัน。",
)


@dataclass(frozen=True)
class Snapshot:
    """One run in an index: its name; the number of its `first` member, how many `documents` it sketched and how many of
    them survived; its survivor policy and cut; the run's and the recipe's fingerprint, and versions of libraries."""

    name: str
    first: int
    documents: int
    survivors: int
    keep: Any
    min_jaccard: float | None
    run: str
    recipe: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class IndexFile:
    """A file of an index: its name in the folder, bytes, sha256 (hex), and how many slices it is cut into, 0 for Parquet."""

    file: str
    bytes: int
    sha256: str
    slices: int = 0


@dataclass(frozen=True)
class Kind:
    """What two indexes, or an index and a run, must have in common: the signatures' `family`, the columns of their `scope`,
    what becomes of `short_documents`, and `probe`, a digest of what the installed code makes of a few fixed texts."""

    family: Mapping[str, Any]
    scope: tuple[str, ...]
    short_documents: str
    probe: str = ""

    def differing(self, other: Kind) -> list[tuple[str, object, object]]:
        """Name and both values of every field that differs."""
        mine, theirs = ({**dict(k.family), "scope": list(k.scope), "short_documents": k.short_documents} for k in (self, other))
        found = [(name, mine.get(name), theirs.get(name)) for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
        if not found and self.probe and other.probe and self.probe != other.probe:
            found = [("probe", self.probe, other.probe)]
        return found


def kind_of(family: Family, scope: Iterable[str], short_documents: str) -> Kind:
    """The kind of index that a run's settings make, as far as they say."""
    return Kind(dataclasses.asdict(family), tuple(scope), short_documents)


@dataclass(frozen=True)
class Manifest:
    """What an index says of itself. `ranges`: slices a band is cut into."""

    kind: Kind
    ranges: int
    snapshots: tuple[Snapshot, ...]
    bands: tuple[IndexFile, ...] = ()
    members: tuple[IndexFile, ...] = ()

    @property
    def documents(self) -> int:
        return sum(snapshot.documents for snapshot in self.snapshots)

    @property
    def files(self) -> tuple[IndexFile, ...]:
        return (*self.bands, *self.members)

    def to_json(self) -> bytes:
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, ensure_ascii=False, indent=1).encode()

    @staticmethod
    def from_json(data: bytes) -> Manifest:
        """Raises ValueError, KeyError or TypeError on anything else than a manifest of this format."""
        found = json.loads(data)
        if found.pop("format") != FORMAT:
            raise ValueError(f"a manifest of format {FORMAT} is wanted")
        kind = Kind(**{**found["kind"], "scope": tuple(found["kind"]["scope"])})
        files = {name: tuple(IndexFile(**file) for file in found[name]) for name in ("bands", "members")}
        return Manifest(kind, found["ranges"], tuple(Snapshot(**s) for s in found["snapshots"]), **files)


@dataclass(frozen=True)
class Index:
    """An index on any file system; `open_index` opens one."""

    folder: Folder
    manifest: Manifest
    sha256: str

    @cached_property
    def _firsts(self) -> np.ndarray:
        return np.array([snapshot.first for snapshot in self.manifest.snapshots], dtype=np.uint64)

    def snapshots_of(self, members: np.ndarray) -> list[str]:
        """Name of the snapshot of each member."""
        names = [snapshot.name for snapshot in self.manifest.snapshots]
        return [names[i - 1] for i in np.searchsorted(self._firsts, members, side="right")]

    def read(self, band: int, number: int, ranges: int) -> pl.DataFrame:
        """Records (RECORD) of range `number` of `ranges` of a band, whatever number of slices the index has. Raises
        StorageError naming the file and slice that are damaged."""
        file, own = self.manifest.bands[band], self.manifest.ranges
        first, last = (-(-(n << 32) // ranges) for n in (number, number + 1))
        frames = [pl.DataFrame(schema=RECORD)]
        try:
            with self.folder.open(file.file) as stream:
                for slice_ in range(first * own >> 32, ((last - 1) * own >> 32) + 1):
                    entry = slice_entry(stream, file, slice_)
                    if entry.rows:
                        rows = slice_frame(stream, file, slice_, entry).cast(RECORD)  # type: ignore[arg-type]
                        inside = key_range(rows["key"].to_numpy(), ranges) == number
                        frames.append(rows.filter(pl.Series(inside)))
        except DamagedPart as damage:
            raise _damaged(self.folder, damage.file, damage.where) from damage
        except OSError as error:
            raise _damaged(self.folder, file.file, error.strerror or str(error)) from error
        return pl.concat(frames)

    def damaged(self) -> list[str]:
        """Name of and reason for every file that is not the one the manifest names; all bytes are read."""
        found = []
        for file in self.manifest.files:
            try:
                with self.folder.open(file.file) as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
            except OSError as error:
                found.append(f"{file.file}: {error.strerror or error}")
                continue
            if digest != file.sha256:
                found.append(f"{file.file}: its sha256 is {digest}, not {file.sha256}")
        return found


def open_index(path: str, options: Mapping[str, object] | None = None) -> Index:
    """The index of a folder. Raises StorageError when there is none, or its manifest is damaged."""
    folder = Folder(path, dict(options or {}))
    try:
        data = folder.read(MANIFEST)
    except OSError as error:
        raise StorageError(
            explain_mismatch(
                "no index of near-duplicates here",
                wanted=f"{path}/{MANIFEST}",
                found="no such file",
                hint="curation index build OUT INDEX makes one of a finished run",
            )
        ) from error
    try:
        return Index(folder, Manifest.from_json(data), hashlib.sha256(data).hexdigest())
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, MANIFEST, str(error)) from error


def _damaged(folder: Folder, file: str, why: str) -> StorageError:
    return StorageError(
        explain_mismatch(
            f"the index {folder.url} is damaged",
            wanted=f"{file} as it was written",
            found=why,
            hint=f"curation index inspect {folder.url} --verify names every damaged file; build the index again",
        )
    )


@cache
def probe(family: Family) -> str:
    """A digest of the keys and sketches that the installed code makes of a few texts: equal, or not comparable."""
    signed = Signer(family).sign(pl.Series(_PROBES))
    made = band_keys(signed, family)[signed.present].astype("<u8").tobytes() + bit_sketch(signed).astype("<u8").tobytes()
    return hashlib.blake2b(made, digest_size=16).hexdigest()


def slices_for(documents: int, multiple_of: int = 1) -> int:
    """Slices a band of so many documents is cut into."""
    return multiple_of * max(1, -(-documents // (multiple_of * SLICE_RECORDS)))


# -- writing


@dataclass
class IndexWriter:
    """Writes the files of an index, then its manifest. Raises StorageError where an index is already."""

    target: str
    options: Mapping[str, object] = field(default_factory=dict)
    _bands: list[IndexFile] = field(default_factory=list)
    _members: list[IndexFile] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = Folder(self.target, dict(self.options))
        if self.folder.exists(MANIFEST):
            raise self._taken()
        self.folder.make("bands", "members")

    def _taken(self) -> StorageError:
        hint = "give another folder: an index is never changed, its readers rely on that"
        wanted = "a folder without an index"
        return StorageError(explain_mismatch("this index exists", wanted=wanted, found=self.target, hint=hint))

    def band(self, slices: Iterable[pl.DataFrame], ranges: int, small: bool) -> None:
        """Write the next band: a frame of RECORD for each range, in order. `small`: numbers of members fit into 32 bits."""
        narrow = {"member": pl.UInt32(), "kept": pl.UInt32()} if small else {}
        columns = pl.DataFrame(schema={**RECORD, **narrow})

        def frames() -> Iterator[tuple[int, pl.DataFrame]]:
            for number, rows in enumerate(slices):
                # The dropped together: where there is no survivor to name, zeros compress to nothing.
                ordered = rows.sort(pl.col("kept").is_not_null(), "key", "member")
                if rows.height:
                    yield number, ordered.cast(columns.schema)  # type: ignore[arg-type]

        name = f"bands/{len(self._bands):04d}.{{}}.slices"
        file = self._write(name, lambda out: write_slices(out, columns, frames(), ranges))
        self._bands.append(dataclasses.replace(file, slices=ranges))

    def members(self, fill: Callable[[BinaryIO], object]) -> None:
        """Write the members of the next snapshot."""
        self._members.append(self._write(f"members/{len(self._members):03d}.{{}}.parquet", fill))

    def _write(self, name: str, fill: Callable[[BinaryIO], object]) -> IndexFile:
        temporary = name.format(f"{uuid.uuid4().hex[:12]}.tmp")

        def filled(out: BinaryIO) -> None:
            fill(out)

        written: Written = self.folder.write(temporary, filled)
        final = name.format(written.sha256[:16])
        self.folder.publish(temporary, final)
        self.folder.delete(temporary)
        return IndexFile(final, written.bytes, written.sha256)

    def commit(self, manifest: Manifest) -> Manifest:
        """Write the manifest with the files, and remove what ended attempts left."""
        made = dataclasses.replace(manifest, bands=tuple(self._bands), members=tuple(self._members))
        if not self.folder.create(MANIFEST, made.to_json()):
            raise self._taken()
        named = {file.file for file in made.files}
        for part in ("bands", "members"):
            for name in self.folder.names(part):
                if f"{part}/{name}" not in named:
                    self.folder.delete(f"{part}/{name}")
        return made
