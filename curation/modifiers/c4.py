"""C4's clean-up: lines that read like prose stay, pages that are code or filler go.

Text, decision and reason are datatrove 0.10.1's. What that means where the paper leaves room: a line is one of
str.splitlines, stripped; its words are counted before citations are cut out; it is not stripped again after; `lorem
ipsum` and `{` end a document only in lines that every rule before let pass; sentences are those of spaCy's sentencizer.

Source: Raffel et al., Exploring the Limits of Transfer Learning (T5), arXiv:1910.10683, section 2.2; datatrove 0.10.1
`pipeline/filters/c4_filters.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.modifiers.boilerplate_phrases import POLICY_PHRASES
from curation.modifiers.c4_lines import CURLY, LOREM, Settings, assemble, count_sentences, judge, lines_of, sentences_of
from curation.modifiers.rewriting import Modifier, count_columns, count_types
from curation.options import check_whole
from curation.stage import Apply
from curation.text.buffers import strings, utf8
from curation.text.tables import flags_of
from curation.text.words import Segmenter, segmenter

PHRASES = ("lorem ipsum", "javascript", *POLICY_PHRASES)
"""The filler, the script, then the policies: a line that names one is judged by the rule of that name."""

_COUNTS = ("lines", "kept_lines", "long_word_lines", "unfinished_lines", "short_lines", "javascript_lines", "policy_lines")
_ADDED = (*_COUNTS, "citations", "sentences")


def _packed_phrases() -> tuple[np.ndarray, np.ndarray]:
    encoded = [phrase.encode() for phrase in PHRASES]
    return np.frombuffer(b"".join(encoded), dtype=np.uint8).copy(), np.cumsum([0, *map(len, encoded)]).astype(np.int64)


@dataclass(frozen=True)
class C4(Modifier):
    """Keeps the lines of a document that pass, and drops the document for filler, code, or too little prose.

    A line goes when a word between blanks is longer than `max_word_length` code points, when it does not end in one of
    `. ? ! " '` or ends in `...` (`terminal_punctuation`), when it has fewer than `min_words_per_line` words, when it
    speaks of "javascript" (`javascript`) or of policies and cookies (`policy`). Citation marks such as `[12]`, `[edit]`
    are cut out of it (`remove_citations`). The document goes for

    - `lorem_ipsum`: a line that passed so far says "lorem ipsum" (`lorem_ipsum`);
    - `curly_bracket`: a line that passed so far holds a `{` (`curly_bracket`);
    - `too_few_sentences`: the kept lines have fewer than `min_sentences` sentences.

    `by_sentence` judges sentences instead of lines and joins them by a blank. None switches a bound off. FineWeb runs it
    with `terminal_punctuation=False`. `tokenizer`: the language (`eng_Latn`) whose words divide sentences. The text of a
    document that goes is left as it was. Counts are int32: lines, those kept and those that went by rule, citations cut
    out, sentences kept. Raises RecipeError on a bound that is no whole number or a tokenizer that is not known.
    """

    terminal_punctuation: bool = True
    remove_citations: bool = True
    min_sentences: int | None = 5
    min_words_per_line: int | None = 3
    max_word_length: int | None = 1000
    lorem_ipsum: bool = True
    javascript: bool = True
    curly_bracket: bool = True
    policy: bool = True
    by_sentence: bool = False
    tokenizer: str = "eng_Latn"

    counts: ClassVar[Mapping[str, pa.DataType]] = count_types("c4", _ADDED)

    def __post_init__(self) -> None:
        check_whole(self, "min_sentences", "min_words_per_line", "max_word_length", optional=True)
        segmenter(self.tokenizer)

    @property
    def drops(self) -> tuple[str, ...]:
        return ("lorem_ipsum", "curly_bracket", "too_few_sentences")

    def bind(self, models: Mapping[str, Path]) -> Apply:
        split, flags, phrases = segmenter(self.tokenizer), flags_of("spacy_en"), _packed_phrases()

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            return batch.select("doc").hstack(self._clean(batch["text"], split, flags, phrases))

        return apply

    def _settings(self) -> Settings:
        return Settings(
            self.remove_citations,
            self.terminal_punctuation,
            0 if self.min_words_per_line is None else self.min_words_per_line,
            -1 if self.max_word_length is None else self.max_word_length,
            self.lorem_ipsum,
            self.javascript,
            self.curly_bracket,
            self.policy,
        )

    def _clean(
        self, texts: pl.Series, split: Segmenter, flags: np.ndarray, phrases: tuple[np.ndarray, np.ndarray]
    ) -> pl.DataFrame:
        """`text`, the counts, drop_reason and drop_detail of every text."""
        if self.by_sentence:
            words = split.split(texts)
            data, text_start = words.data, words.text_start
            lines = sentences_of(words)
        else:
            data, text_start = utf8(texts)
            lines = lines_of(data, text_start)
        separator = 32 if self.by_sentence else 10
        out, out_lines, first_line, ended, ended_line, counts = judge(
            data, text_start, *lines, self._settings(), flags, *phrases, separator
        )
        kept = np.diff(first_line)
        if self.by_sentence:
            sentences = kept
        else:
            per_line = np.concatenate([[0], np.cumsum(count_sentences(split.split_buffer(out, out_lines)))])
            sentences = per_line[first_line[1:]] - per_line[first_line[:-1]]
        counts[:, 8] = sentences
        few = (ended == 0) & (sentences < (0 if self.min_sentences is None else self.min_sentences))
        new = strings(*assemble(data, text_start, out, out_lines, first_line, (ended > 0) | few))
        answer = pl.DataFrame([new.alias("text"), *count_columns(list(self.adds), counts)])
        return answer.hstack(self._verdict(ended, ended_line, few, sentences))

    def _verdict(self, ended: np.ndarray, ended_line: np.ndarray, few: np.ndarray, sentences: np.ndarray) -> pl.DataFrame:
        """drop_reason and drop_detail."""
        facts = pl.DataFrame({"ended": ended, "line": ended_line, "few": few, "sentences": sentences})
        when = pl.when(pl.col("ended") == LOREM).then(pl.lit("lorem_ipsum"))
        reason = when.when(pl.col("ended") == CURLY).then(pl.lit("curly_bracket"))
        reason = reason.when(pl.col("few")).then(pl.lit("too_few_sentences"))
        detail = pl.when(pl.col("ended") > 0).then(pl.format("in line {}", pl.col("line")))
        fewer = pl.format("too_few_sentences={} < {}", pl.col("sentences"), pl.lit(self.min_sentences))
        return facts.select(reason.alias("drop_reason"), detail.when(pl.col("few")).then(fewer).alias("drop_detail"))
