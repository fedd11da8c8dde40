"""How a card says an encoder is to be loaded and asked: its head, its longest input, and what is done with longer texts.

Knows no model library, so that a card can be read where none is installed.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

HEADS = ("sequence_classification", "first_token", "linear")
POOLINGS = ("mean", "first_token")
LONG = ("head", "head_tail", "mean")


@dataclass(frozen=True)
class EncoderSettings:
    """The table `[encoder]` of a card.

    `head`: "sequence_classification", as transformers saves one; "first_token", a dropout and a linear layer `fc` over the
    last hidden state of the first token of `model`, as NVIDIA's DeBERTa classifiers; "linear", a file of its own over the
    pooled encoder (`pooling`: "mean" over tokens or "first_token"; `normalise`: divided by its length), as our trainer
    writes. `max_tokens`: longest input of the model, its special tokens counted.

    `long`: what is scored of a longer text. "head": its beginning. "head_tail": the first and the last half of max_tokens in
    one input. "mean": windows of max_tokens side by side, at most `windows` of them, spread evenly from first to last; the
    score is their mean, weighted by their tokens.

    `characters`: only so many are given to the tokenizer, 0: as many as can matter (see serve.py). `base`: configuration of
    the encoder where the folder's own only names it (transformers' entries, `model_type` among them).
    """

    head: str = "sequence_classification"
    pooling: str = "mean"
    normalise: bool = False
    max_tokens: int = 512
    long: str = "head"
    windows: int = 8
    characters: int = 0
    base: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry, right, wanted in (
            ("head", self.head in HEADS, ", ".join(HEADS)),
            ("pooling", self.pooling in POOLINGS, ", ".join(POOLINGS)),
            ("long", self.long in LONG, ", ".join(LONG)),
            ("max_tokens", self.max_tokens >= 8, "8 or more"),
            ("windows", self.windows >= 1, "1 or more"),
            ("characters", self.characters >= 0, "0 or more"),
        ):
            if not right:
                raise ValueError(f"encoder.{entry}: wanted {wanted}, found {getattr(self, entry)!r}")

    @classmethod
    def of(cls, entries: Mapping[str, Any]) -> EncoderSettings:
        """Settings from a card's table. Raises ValueError for an entry there is not, and for one with a wrong value."""
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(entries) - set(known))
        if unknown:
            raise ValueError(f"encoder.{unknown[0]}: wanted one of {', '.join(known)}")
        return cls(**entries)
