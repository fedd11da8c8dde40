"""n-gram language models of KenLM (`.bin`, `.arpa`), with SentencePiece where the model was trained on pieces.

The only importer of `kenlm` (the distribution kenlm-ex) and, with its extra installed, of `sentencepiece`. Perplexity is
10 ** -(sum of log10 P(line) / sum of (tokens of the line + 1)): every line is a sentence, its end a token of it. The
same text gives the same score in any process and any batch.

Source: Heafield, KenLM, WMT 2011; perplexity after cc_net `perplexity.py` (Wenzek et al., arXiv:1911.00359).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kenlm
import numpy as np
import numpy.typing as npt

from classifiers.card import Card, CardError
from classifiers.preprocessing import preprocessing as find_preprocessing

LABEL = "perplexity"

LARGEST = float(np.finfo(np.float32).max)
"""A perplexity beyond this is given as this: float32 holds no more."""


class NgramKenlm:
    """A loaded KenLM model. Lower perplexity: more like its training text. A text without a token is unknown: NaN."""

    def __init__(
        self, path: Path, *, preprocessing: str = "ccnet_lines", pieces: Path | None = None, min_tokens: int = 1
    ) -> None:
        """Load (map) the weights, and `pieces`, the SentencePiece model the training text was cut with.

        A text of fewer than `min_tokens` tokens (sentence ends not counted) is unknown too. Raises CardError when a file is
        not a model, or when sentencepiece is not installed but needed.
        """
        config = kenlm.Config()
        config.show_progress = False
        config.arpa_complain = kenlm.ARPALoadComplain.NONE
        try:
            self._model = kenlm.Model(str(path), config)
        except (OSError, RuntimeError) as error:
            raise CardError(f"weights {path}\n  wanted: a KenLM model\n  found:  {str(error).splitlines()[0]}") from error
        self._pieces = None if pieces is None else _open_pieces(pieces)
        self._lines = find_preprocessing(preprocessing)
        self._min_tokens = max(min_tokens, 1)

    @classmethod
    def of(cls, card: Card, path: Path, pieces: Path | None = None, min_tokens: int = 1) -> NgramKenlm:
        """The model of a card, asked as the card says."""
        return cls(path, preprocessing=card.preprocessing, pieces=pieces, min_tokens=min_tokens)

    @property
    def labels(self) -> tuple[str, ...]:
        """The one column of `score`."""
        return (LABEL,)

    @property
    def order(self) -> int:
        """How many words an n-gram has at most."""
        return int(self._model.order)

    def score(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Perplexity of each document, shape [n_texts, 1], float32 >= 1 up to rounding; NaN: unknown."""
        sums, tokens, ends = [], [], []
        for text in texts:
            logs, lengths = self._logs(text)
            sums.append(sum(logs))
            tokens.append(sum(lengths))
            ends.append(len(lengths))
        found = _perplexity(np.array(sums, np.float64), np.array(tokens, np.float64), np.array(ends, np.float64))
        found[np.array(tokens, np.int64) < self._min_tokens] = np.nan
        return found.astype(np.float32)[:, None]

    def score_lines(self, text: str) -> npt.NDArray[np.float32]:
        """Perplexity of each line of one document that has a token, in order; none for a text without a token."""
        logs, lengths = self._logs(text)
        return _perplexity(np.array(logs), np.array(lengths, np.float64), np.ones(len(logs))).astype(np.float32)

    def with_lines(self, texts: Sequence[str], quantiles: Sequence[float]) -> npt.NDArray[np.float32]:
        """Perplexity of each document and the quantiles over its lines, shape [n_texts, 1 + n_quantiles], float32.

        Quantiles in 0 to 1, interpolated linearly between lines; each line counts once, whatever its length.
        """
        found = np.full((len(texts), 1 + len(quantiles)), np.nan, dtype=np.float32)
        for row, text in enumerate(texts):
            logs, lengths = self._logs(text)
            if sum(lengths) < self._min_tokens:
                continue
            total = _perplexity(np.array([sum(logs)]), np.array([float(sum(lengths))]), np.array([float(len(lengths))]))
            lines = _perplexity(np.array(logs), np.array(lengths, np.float64), np.ones(len(logs)))
            found[row] = [total[0], *np.quantile(lines, quantiles)]
        return found

    def _logs(self, text: str) -> tuple[list[float], list[int]]:
        """log10 probability and number of tokens of each line that has one."""
        if not text or text.isspace():
            return [], []
        score, cut = self._model.score, self._pieces
        logs: list[float] = []
        lengths: list[int] = []
        for line in self._lines(text):
            if cut is not None:
                line = " ".join(cut.encode_as_pieces(line))
            length = len(line.split())
            if length:
                logs.append(score(line))
                lengths.append(length)
        return logs, lengths


def _perplexity(logs: np.ndarray, tokens: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """10 ** -(log / length), where the length counts the sentence ends; no length: NaN."""
    length = tokens + ends
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.minimum(10.0 ** -(logs / length), LARGEST)


def _open_pieces(path: Path) -> Any:
    try:
        import sentencepiece
    except ModuleNotFoundError as error:
        hint = "pip install 'curation[pieces]'"
        message = f"pieces {path}\n  wanted: the package sentencepiece\n  found:  not installed\n  try:    {hint}"
        raise CardError(message) from error
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.Load(str(path))
    except (OSError, RuntimeError) as error:
        raise CardError(f"pieces {path}\n  wanted: a SentencePiece model\n  found:  {str(error).splitlines()[0]}") from error
    return processor
