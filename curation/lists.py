"""Long lists of data files travel as files.

A match reads one slice of every shard's sketches, so its unit names as many data files as there are shards. Sent along
with each of thousands of units that would be most of what a driver does; a list is written once instead, and units carry
its name.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import astuple, replace

from curation.fingerprint import digest
from curation.plan import PartRef, Unit
from curation.storage import Folder

LISTS = "work/lists"

LONGEST = 32
"""Data files that a unit names itself; more than so many go into a list."""

HELD = 4
"""Lists a worker remembers."""


class Lists:
    """The lists of one output folder: `shorten` in the driver, `whole` in a worker."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._names: dict[int, tuple[tuple[PartRef, ...], str]] = {}
        self._held: OrderedDict[str, tuple[PartRef, ...]] = OrderedDict()

    def shorten(self, unit: Unit) -> Unit:
        """The unit with long lists replaced by the names of files that hold them."""
        if all(len(parts) <= LONGEST for parts in unit.taken):
            return unit
        named = {i: self._name_of(parts) for i, parts in enumerate(unit.taken) if len(parts) > LONGEST}
        return replace(unit, taken=tuple(() if i in named else p for i, p in enumerate(unit.taken)), listed=named)

    def whole(self, unit: Unit) -> Unit:
        """The unit as it was before `shorten`."""
        if not unit.listed:
            return unit
        taken = tuple(self._read(unit.listed[i]) if i in unit.listed else p for i, p in enumerate(unit.taken))
        return replace(unit, taken=taken, listed={})

    def _name_of(self, parts: tuple[PartRef, ...]) -> str:
        """Units of a wave share one tuple, so it is known by its identity; it is kept, so that the identity stays its own."""
        if id(parts) not in self._names:
            value = [astuple(part) for part in parts]
            name = f"{digest(value)[:20]}.json"
            self._folder.make(LISTS)
            self._folder.replace(f"{LISTS}/{name}", json.dumps(value).encode())
            self._names[id(parts)] = (parts, name)
        return self._names[id(parts)][1]

    def _read(self, name: str) -> tuple[PartRef, ...]:
        if name not in self._held:
            value = json.loads(self._folder.read(f"{LISTS}/{name}"))
            self._held[name] = tuple(PartRef(file, tuple(columns), *rest) for file, columns, *rest in value)
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(name)
        return self._held[name]
