"""Word lists by language for filters/bad_words: finding and reading them, and a trie that finds their words in a text.

A list is a UTF-8 file of one word or phrase a line, named after its language as LDNOOBW names them (`en`, `zh`,
`fr-CA-u-sd-caqc`), in a folder or a zip archive of such files. Other files there (licence, readme) are not read.

Source: LDNOOBW, "List of Dirty, Naughty, Obscene and Otherwise Bad Words" (CC BY 4.0), not contained here; C4's use of
it in tensorflow/datasets `text/c4.py` and `c4_utils.py` (_BADWORDS_ALLOWLIST, get_badwords_filter_fn).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from curation.errors import RecipeError, explain_mismatch
from curation.filters.characters import WORD
from curation.text.buffers import point_at, sequence_size
from curation.text.compiled import kernel

LANGUAGES: Mapping[str, str] = {
    "ara": "ar", "arb": "ar", "ces": "cs", "cmn": "zh", "dan": "da", "deu": "de", "eng": "en", "epo": "eo",
    "fas": "fa", "fil": "fil", "fin": "fi", "fra": "fr", "hin": "hi", "hun": "hu", "ita": "it", "jpn": "ja",
    "kab": "kab", "kor": "ko", "nld": "nl", "nno": "no", "nob": "no", "nor": "no", "pes": "fa", "pol": "pl",
    "por": "pt", "rus": "ru", "spa": "es", "swe": "sv", "tgl": "fil", "tha": "th", "tlh": "tlh", "tur": "tr",
    "zho": "zh",
}  # fmt: skip
"""ISO 639-3 code -> name of the list."""

UNSPACED = frozenset({"ja", "th", "zh"})
"""Lists whose words are found anywhere; those of the others only between characters that are no word characters."""

ALLOWED: Mapping[str, frozenset[str]] = {"ja": frozenset({"sm", "グロ", "女の子"}), "zh": frozenset({"性"})}
"""Entries that are not used: each is part of harmless words in over a tenth of its language's documents."""


@dataclass(frozen=True)
class Trie:
    """The words of all lists, byte by byte. `roots`: list -> its first node. `words`: list -> its words, sorted.

    `steps[node, classes[byte]]` is the next node or -1; `ends[node]` the place of the word that ends there, or -1.
    """

    roots: Mapping[str, int]
    words: Mapping[str, Sequence[str]]
    steps: npt.NDArray[np.int32]
    classes: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int32]


def find_lists(location: Path) -> tuple[str, ...]:
    """Names of the lists in a folder or zip archive, sorted. Raises RecipeError when there are none."""
    if location.is_dir():
        names = [path.name for path in location.iterdir() if path.is_file()]
    elif location.is_file() and zipfile.is_zipfile(location):
        with zipfile.ZipFile(location) as archive:
            names = [PurePosixPath(name).name for name in archive.namelist()]
    else:
        names = []
    found = tuple(sorted(name for name in names if _language_of(name) in set(LANGUAGES.values())))
    if not found:
        wanted = "a folder or zip archive of word lists named en, de, zh, ..."
        hint = "LDNOOBW's lists as they lie in its repository"
        raise RecipeError(explain_mismatch("filters/bad_words: lists", wanted=wanted, found=str(location), hint=hint))
    return found


def _language_of(name: str) -> str:
    return name.partition("-")[0]


def list_files(location: Path) -> tuple[Path, ...]:
    """The files whose content decides: the lists themselves, or the archive."""
    names = find_lists(location)
    return tuple(location / name for name in names) if location.is_dir() else (location,)


def load_trie(location: Path | None, own: tuple[tuple[str, tuple[str, ...]], ...], compat: str) -> Trie:
    """The trie of the lists at `location` and of `own` words by list name. Lists are read once per process, again when a
    file changes. `compat`: see filters/bad_words."""
    files = () if location is None else list_files(location)
    stamps = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    return _load_trie(None if location is None else str(location.resolve()), stamps, own, compat)


@lru_cache(maxsize=8)
def _load_trie(
    location: str | None, stamps: tuple[tuple[int, int], ...], own: tuple[tuple[str, tuple[str, ...]], ...], compat: str
) -> Trie:
    lists: dict[str, set[str]] = {}
    for name, lines in [*(() if location is None else _read(Path(location))), *own]:
        entries = {line.strip() for line in lines} - {""}
        if compat == "datatrove":
            lists.setdefault(name, set()).update(entries - frozenset().union(*ALLOWED.values()))
        else:
            language = _language_of(name)
            lowered = {entry.lower() for entry in entries}
            lists.setdefault(language, set()).update(lowered - ALLOWED.get(language, frozenset()))
    return build_trie({name: sorted(words) for name, words in sorted(lists.items())})


def _read(location: Path) -> Iterator[tuple[str, list[str]]]:
    names = find_lists(location)
    if location.is_dir():
        for name in names:
            yield name, (location / name).read_text(encoding="utf-8-sig").splitlines()
        return
    with zipfile.ZipFile(location) as archive:
        for entry in sorted(archive.namelist()):
            if PurePosixPath(entry).name in names:
                yield PurePosixPath(entry).name, archive.read(entry).decode("utf-8-sig").splitlines()


def build_trie(words: Mapping[str, Sequence[str]]) -> Trie:
    """One trie for all lists, each under a root of its own."""
    used = sorted({byte for entries in words.values() for word in entries for byte in word.encode()})
    classes = np.zeros(256, np.uint8)
    classes[used] = np.arange(1, len(used) + 1)  # class 0: a byte of no word, which no node has a step for
    edges: list[dict[int, int]] = []
    ends: list[int] = []

    def new_node() -> int:
        edges.append({})
        ends.append(-1)
        return len(edges) - 1

    roots = {}
    for name, entries in words.items():
        roots[name] = new_node()
        for place, word in enumerate(entries):
            node = roots[name]
            for byte in word.encode():
                key = int(classes[byte])
                if key not in edges[node]:
                    edges[node][key] = new_node()
                node = edges[node][key]
            ends[node] = place
    steps = np.full((len(edges), len(used) + 1), -1, np.int32)
    for node, following in enumerate(edges):
        for key, child in following.items():
            steps[node, key] = child
    return Trie(roots, words, steps, classes, np.array(ends, np.int32))


@kernel
def find_words(data, offsets, table, roots, anywhere, steps, classes, ends, out):  # type: ignore[no-untyped-def]
    """Occurrences of listed words, left to right without overlap, the longest at each place.

    `roots[i]`: root of document i's list, -1 for none. `anywhere[i]`: whether words need no flanks. `out[i]`: number of
    occurrences, their code points, code points of the text, place of the first word found (-1 for none).
    """
    for i in range(len(roots)):
        at, end = offsets[i], offsets[i + 1]
        inside = False  # whether the code point before `at` is a word character
        out[i, 3] = -1
        while at < end:
            best, stop = -1, at
            if roots[i] >= 0 and (anywhere[i] or not inside):
                node, here = roots[i], at
                while here < end:
                    node = steps[node, classes[data[here]]]
                    if node < 0:
                        break
                    here += 1
                    if ends[node] >= 0 and (anywhere[i] or here == end or not table[point_at(data, here)] & WORD):
                        best, stop = ends[node], here
            if best >= 0:
                out[i, 0] += 1
                if out[i, 3] < 0:
                    out[i, 3] = best
            else:
                stop = at + sequence_size(data[at])
            while at < stop:
                inside = (table[point_at(data, at)] & WORD) != 0
                at += sequence_size(data[at])
                out[i, 2] += 1
                out[i, 1] += best >= 0
