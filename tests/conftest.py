"""Fixtures shared by all tests: where the real data lies, and skipping with a reason when it is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def find_data_folder() -> Path | None:
    """The folder of real test data: $CURATION_DATA, else `shared/data` beside the checkout; None when absent."""
    named = os.environ.get("CURATION_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Path of the real data; skips the test when it is missing."""
    folder = find_data_folder()
    if folder is None:
        pytest.skip("no real data here: set CURATION_DATA to a folder laid out like shared/data")
    return folder
