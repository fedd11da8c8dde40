"""A card as TOML text: what the trainers write and `load_card` reads.

Source: ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from classifiers.card import sha256_of, size_of
from classifiers.metrics import Interval


def write_card(
    path: Path,
    weights: Path,
    entries: Mapping[str, object],
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    location: str = "",
    more: Sequence[str] = (),
) -> None:
    """Write the card of a trained model beside its weights: plain `entries`, the weights' digest (and their `location`, when
    it is not beside the card), the lines `more`, then lists of tables."""
    lines = [f"{key} = {toml_value(value)}" for key, value in entries.items() if value is not None]
    lines += ["", *weights_table("weights", weights, location), *more]
    for name, rows in tables.items():
        for row in rows:
            lines += ["", f"[[{name}]]", *(f"{key} = {toml_value(value)}" for key, value in row.items())]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def weights_table(name: str, path: Path, location: str = "") -> list[str]:
    """The lines that say where a file or folder of weights lies (beside the card by default), and its digest and size."""
    facts = {"location": location or path.name, "sha256": sha256_of(path), "size": size_of(path)}
    return [f"[{name}]", *(f"{key} = {toml_value(value)}" for key, value in facts.items())]


def toml_value(value: object) -> str:
    """A number, text, list or Interval as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Interval):
        return f"[{value.value:.4f}, {value.low:.4f}, {value.high:.4f}] # value, 95 % interval"
    if isinstance(value, float):
        return f"{value:.6g}" if value == value else "nan"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)
