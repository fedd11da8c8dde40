"""Linear fastText models (`.bin`, `.ftz`): bags of words and character n-grams, microseconds a text.

The only importer of `fasttext`, which is the distribution fasttext-predict: inference of any fastText model, no
training. The same text gives the same score in any process and any batch.

Source: Joulin et al., Bag of Tricks for Efficient Text Classification, arXiv:1607.01759.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import fasttext
import numpy as np
import numpy.typing as npt

_PREFIX = "__label__"


class LinearFastText:
    """A loaded fastText classifier. Texts are scored whole, as one line: every newline becomes a space.

    A text with nothing but white space has no features; fastText would answer with its prior. Here it is unknown:
    a row of NaN, or index -1.
    """

    def __init__(self, path: Path) -> None:
        """Load the weights. Raises ValueError when the file is not a fastText model."""
        self._model = fasttext.load_model(str(path)).f
        # threshold -1 lists labels of probability 0 too; the prior of the end-of-line token serves to name them all
        answer = self._model.predict("\n", -1, -1.0, "strict")
        self._labels = tuple(sorted(label.removeprefix(_PREFIX) for _, label in answer))
        self._index = {_PREFIX + label: i for i, label in enumerate(self._labels)}

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels without fastText's prefix, sorted."""
        return self._labels

    def score(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Probabilities, shape [n_texts, n_labels], float32 in [0, 1.00001] (fastText rounds upwards).

        Rows sum to about 1. Labels below fastText's floor of 1e-5 read 0.
        """
        scores = np.zeros((len(texts), len(self._labels)), dtype=np.float32)
        for row, text in enumerate(texts):
            if not text or text.isspace():
                scores[row] = np.nan
                continue
            for probability, label in self._model.predict(_line(text), -1, 0.0, "strict"):
                scores[row, self._index[label]] = probability
        return scores

    def top(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """The likeliest label of each text: index into `labels` and probability, each of shape [n_texts].

        -1 and NaN where there is nothing to go by. fastText prunes its search, so this is much faster than `score`.
        """
        best = np.full(len(texts), -1, dtype=np.int32)
        scores = np.full(len(texts), np.nan, dtype=np.float32)
        # multilinePredict of this distribution drops the probabilities; one call a text loses nothing measurable
        for row, text in enumerate(texts):
            if text and not text.isspace():
                scores[row], label = self._model.predict(_line(text), 1, 0.0, "strict")[0]
                best[row] = self._index[label]
        return best, scores


def _line(text: str) -> str:
    """The text as the single line fastText wants, with its end; predict raises on any other newline."""
    return text.replace("\n", " ") + "\n"
