"""Files of boosted trees (.npz): what an extractor's model is kept in, with the names of the numbers its trees look at.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np

from curation.errors import ModelError
from curation.text.trees import Trees, from_dump

T = TypeVar("T")
Names = Mapping[str, Sequence[str]]
"""Each forest of a file -> the names of its columns; or another list the model depends on."""


def save_forests(path: Path, columns: Names, dumps: Sequence[Mapping[str, Any]], more: Names | None = None) -> None:
    """Write dumped LightGBM models, one for each of `columns` in order, and the lists `more` that they depend on."""
    arrays = {name: np.array(values) for name, values in (more or {}).items()}
    for (forest, names), dump in zip(columns.items(), dumps, strict=True):
        arrays |= {f"{forest}_{name}": array for name, array in from_dump(dump)._asdict().items()}
        arrays[f"{forest}_names"] = np.array(names)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load_forests(path: Path, stage: str, columns: Names, made: Callable[[Trees], T], more: Names | None = None) -> list[T]:
    """What `made` makes of each forest in a file of `save_forests`. Raises ModelError, in the name of `stage`, when the file is
    none or its names are not those of `columns` and `more`."""
    wanted = {f"{forest}_names": tuple(names) for forest, names in columns.items()}
    wanted |= {name: tuple(values) for name, values in (more or {}).items()}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            forests = [made(Trees(*(arrays[f"{forest}_{name}"] for name in Trees._fields))) for forest in columns]
            known = all(tuple(arrays[name]) == values for name, values in wanted.items())
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise ModelError(f"{stage}: {path} is no model of this stage: {error}") from error
    if not known:
        raise ModelError(f"{stage}: {path} was trained with other features than this version has; train anew")
    return forests
