"""Texts to token ids with one end token behind every document, and in which type they are stored.

Source: ours; 65,500 as the first vocabulary that takes more than two bytes is Megatron's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from curation.errors import MixtureError, explain_mismatch
from curation.scorers.token_count import BYTES, load_tokenizer

SMALL_VOCABULARY = 65_500
END_TOKENS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]")
"""Names that end tokens go by, tried in this order."""


@dataclass(frozen=True)
class Encoder:
    """A tokenizer as exporters use it. tokenizer: a tokenizer.json, or "bytes" (ids 0 to 255, end 256). end_token: "" takes
    the first of END_TOKENS the tokenizer has. label: what configurations call it, such as a name on a hub; "": its file."""

    tokenizer: str = BYTES
    end_token: str = ""
    label: str = ""

    @cached_property
    def _library(self) -> Any:
        return None if self.tokenizer == BYTES else load_tokenizer(Path(self.tokenizer).expanduser())

    @property
    def name(self) -> str:
        return self.label or (BYTES if self.tokenizer == BYTES else self.tokenizer)

    @property
    def vocabulary(self) -> int:
        return 257 if self._library is None else int(self._library.get_vocab_size())

    @cached_property
    def end_id(self) -> int:
        """Id of the token behind every document. Raises MixtureError when the tokenizer has none of that name."""
        if self._library is None:
            return 256
        for name in (self.end_token,) if self.end_token else END_TOKENS:
            found = self._library.token_to_id(name)
            if found is not None:
                return int(found)
        wanted = self.end_token or ", ".join(END_TOKENS)
        hint = "name the token that ends a document: --end-token"
        raise MixtureError(
            explain_mismatch(f"tokenizer {self.name}", wanted=f"an end token: {wanted}", found="none", hint=hint)
        )

    @property
    def small(self) -> bool:
        """Whether two bytes hold an id."""
        return self.vocabulary < SMALL_VOCABULARY

    def facts(self) -> dict[str, object]:
        """What a manifest says of the tokenizer."""
        file = None if self.tokenizer == BYTES else Path(self.tokenizer).expanduser()
        digest = None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
        return {"name": self.name, "sha256": digest, "vocabulary": self.vocabulary, "end_id": self.end_id}

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all texts one behind the other (uint32), the end token behind each, and how many each text has (int64)."""
        if self._library is None:
            parts = [np.frombuffer(text.encode("utf-8"), np.uint8) for text in texts]
        else:
            found = self._library.encode_batch_fast(list(texts), add_special_tokens=False)
            parts = [np.array(one.ids, dtype=np.uint32) for one in found]
        end = np.array([self.end_id], np.uint32)
        lengths = np.array([len(part) + 1 for part in parts], np.int64)
        joined = [piece for part in parts for piece in (part, end)]
        return (np.concatenate(joined).astype(np.uint32) if joined else np.zeros(0, np.uint32)), lengths
