"""How many tokens a document is, by a tokenizer that is named.

Source: ours; the library tokenizers reads its own `tokenizer.json` files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa

from curation.errors import RecipeError, explain_mismatch
from curation.options import check_flags
from curation.stage import Apply, Stage

BYTES = "bytes"
"""The tokenizer that needs no file: every UTF-8 byte is a token."""


@dataclass(frozen=True)
class TokenCount(Stage):
    """Adds `token_count` (int32).

    tokenizer: path of a `tokenizer.json` (which the extra `mixture` reads), or "bytes": every UTF-8 byte counts as a token.
    with_end: count one more for the token that trainers put behind every document. Special tokens that the tokenizer itself
    would add around a text do not count. A null text counts as empty. Raises RecipeError when the file or the library is
    missing.
    """

    tokenizer: str = BYTES
    with_end: bool = True

    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    path_fields: ClassVar[tuple[str, ...]] = ("tokenizer",)
    reusable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_flags(self, "with_end")
        if not self.tokenizer or not isinstance(self.tokenizer, str):
            raise RecipeError(
                explain_mismatch(f"{self.name}: tokenizer", wanted='a file or "bytes"', found=repr(self.tokenizer))
            )

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        return {"token_count": pa.int32()}

    @property
    def files(self) -> tuple[Path, ...]:
        return () if self.tokenizer == BYTES else (Path(self.tokenizer).expanduser(),)

    def bind(self, models: Mapping[str, Path]) -> Apply:
        """Read the tokenizer once; the result maps a batch to `doc` and `token_count`."""
        more = int(self.with_end)
        if self.tokenizer == BYTES:
            count = pl.col("text").str.len_bytes().fill_null(0).cast(pl.Int32) + more
            return lambda batch: batch.select("doc", count.alias("token_count"))
        tokenizer = load_tokenizer(self.files[0])

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            found = tokenizer.encode_batch_fast(batch["text"].fill_null("").to_list(), add_special_tokens=False)
            counts = pl.Series("token_count", [len(one.ids) + more for one in found], dtype=pl.Int32)
            return batch.select("doc").with_columns(counts)

        return apply


def load_tokenizer(path: Path):
    """The tokenizer of a `tokenizer.json`, which neither pads nor cuts. Raises RecipeError when there is none to be had."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        hint = "pip install 'curation[mixture]', or use the tokenizer \"bytes\""
        raise RecipeError(
            explain_mismatch("tokenizer", wanted="the library tokenizers", found="not installed", hint=hint)
        ) from error
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:
        said = str(error).splitlines()[0]
        raise RecipeError(explain_mismatch(f"tokenizer {path}", wanted="a tokenizer.json", found=said)) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
