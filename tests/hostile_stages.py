"""Every stage that reads text, configured, and texts of one repeated thing: what tests and benchmarks of bounds share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import yaml

from curation.document import COLUMNS, polars_type
from curation.errors import RecipeError
from curation.recipe import build_stage, find_stage, stage_names
from curation.stage import GlobalStage, Stage

GOLDEN = Path(__file__).parent / "golden"

LEFT_OUT = ("filters/datatrove", "modifiers/datatrove", "filters/language", "filters/threshold", "scorers/language")
"""Blocks of others, and stages that read no text by themselves (the language scorer is a library's, in its own tests)."""

CLASSES = {
    "letter": "a",
    "capital": "A",
    "digit": "9",
    "blank": " ",
    "tab": "\t",
    "newline": "\n",
    "no-break space": "\u00a0",
    "parenthesis": "(",
    "closing parenthesis": ")",
    "bracket": "[",
    "curly bracket": "{",
    "full stop": ".",
    "ellipsis": "…",
    "comma": ",",
    "colon": ":",
    "apostrophe": "'",
    "quotation mark": '"',
    "hyphen": "-",
    "em dash": "—",
    "slash": "/",
    "at": "@",
    "ampersand": "&",
    "hash": "#",
    "dollar": "$",
    "percent": "%",
    "pipe": "|",
    "less than": "<",
    "underscore": "_",
    "backslash": "\\",
    "accented letter": "é",
    "combining mark": "\u0301",
    "Cyrillic": "ж",
    "Arabic": "ع",
    "Devanagari": "क",
    "Han": "中",
    "Thai": "ก",
    "emoji": "😀",
    "variation selector": "\ufe0f",
    "zero-width joiner": "\u200d",
    "right-to-left override": "\u202e",
    "control": "\x01",
    "replacement": "\ufffd",
    "words": "word ",
    "lines": "A line of text.\n",
    "address-like": "a.a@a.",
    "numbers": "1.1.1.1 ",
    "Zalgo": "Z\u0301\u0327\u0300\u0330a",
}
"""Name -> what is repeated."""


def _configured(name: str) -> Stage:
    """The stage with its defaults, or as its first golden case has it where it has none."""
    try:
        return build_stage(find_stage(name), {})
    except RecipeError:
        cases = yaml.safe_load((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8"))
        return build_stage(find_stage(name), cases[0]["config"])


def text_stages() -> Iterator[tuple[str, Stage]]:
    """Stages of the rooms that filter and repair, with their defaults where they have them."""
    for name in stage_names():
        if name.split("/")[0] in ("filters", "modifiers") and name not in LEFT_OUT:
            stage = _configured(name)
            if "text" in stage.reads and not isinstance(stage, GlobalStage):
                yield name, stage


def global_text_stages() -> Iterator[tuple[str, GlobalStage]]:
    """Stages that see every document and read its text."""
    for name in stage_names():
        if name.startswith("dedup/"):
            stage = _configured(name)
            if isinstance(stage, GlobalStage) and "text" in stage.sketch_reads:
                yield name, stage


def frame_for(stage: Stage, text: str, copies: int = 1) -> pl.DataFrame:
    """Rows of one text with what the stage reads."""
    light = {"language": "eng_Latn", "score_language": 0.9, "url": "https://a.example/b.py", "source": "here", "cluster_id": 0}
    light |= {"cluster_size": 1000, "stat_cluster_similarity": 0.9}
    sketched = stage.sketch_reads if isinstance(stage, GlobalStage) else ()
    names = dict.fromkeys((*stage.reads, *sketched))
    columns = {name: [text if name == "text" else light[name]] * copies for name in names}
    types = {name: polars_type(COLUMNS[name]) for name in names if name in COLUMNS}
    return pl.DataFrame({"doc": range(copies), **columns}, schema_overrides={"doc": pl.UInt64, **types})
