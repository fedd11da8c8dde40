"""Every error this package raises on purpose, as one tree.

    CurationError
    ├── RecipeError        a recipe, a stage name, an option or a column that does not fit
    ├── InputError         an input that cannot be listed, opened or read
    ├── StorageError       the output folder refused a write, or holds something it should not
    │   └── DamagedPart    a data file is not what its unit wrote; the unit is done again
    ├── StorageUnavailable a remote store did not answer, for long, or refused; nothing is known to be damaged
    ├── ContractError      a stage broke its declared word; never retried
    ├── ModelError         a model file is missing or is not the one its card names
    ├── MixtureError       mixture weights, a run table or a method of mixing that do not fit
    ├── GuardError         a guard's child cannot be started (guard.py); infrastructure, not a document's fault
    └── RunStopped         the run was stopped by a rule (one reason above its share, a census that does not add up)

Messages say what was wanted, what was found and what to try; build them with `explain_mismatch` where that fits.
One document that fails is not an error: it becomes a tombstone with a reason.
"""

from __future__ import annotations


class CurationError(Exception):
    """Base of all errors raised on purpose; the command line prints its message without a traceback."""


class RecipeError(CurationError):
    """A recipe, stage name, option or column does not fit."""


class InputError(CurationError):
    """An input cannot be listed, opened or read."""


class StorageError(CurationError):
    """The output folder refused a write, or holds something it should not."""


class DamagedPart(StorageError):
    """A data file under work/parts cannot be read as it was written. `file` is its name, `where` what was found damaged."""

    def __init__(self, file: str, where: str) -> None:
        super().__init__(file, where)
        self.file, self.where = file, where

    def __str__(self) -> str:
        return f"{self.file} is damaged ({self.where})\n  try:    the same command: the unit that wrote it is done again"


class StorageUnavailable(CurationError):
    """A remote store did not answer, however often it was asked, or refused (rights, no such bucket). What it holds is not
    known to be damaged, so nobody may take this for a reason to do a unit again."""


class ContractError(CurationError):
    """A stage did not do what it declared. Stops the run and is never retried."""


class ModelError(CurationError):
    """A model file is missing, or its sha256 is not the one the card names."""


class MixtureError(CurationError):
    """Mixture weights, a run table or a method of mixing do not fit: weights that do not sum to one, losses that are not
    numbers, an unknown domain, too few runs."""


class RunStopped(CurationError):
    """A rule stopped the run: one drop reason above its allowed share, or a census that does not add up."""


def explain_mismatch(subject: str, *, wanted: object, found: object, hint: str = "") -> str:
    """Build the standard message: subject, what was wanted, what was found, what to try."""
    message = f"{subject}\n  wanted: {wanted}\n  found:  {found}"
    return f"{message}\n  try:    {hint}" if hint else message
