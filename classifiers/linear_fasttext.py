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

from classifiers.card import Card, CardError
from classifiers.preprocessing import preprocessing as find_preprocessing

_PREFIX = "__label__"

FLOOR = 1e-5
"""What fastText adds to a probability before its logarithm: what it reports is the probability and this much."""


class LinearFastText:
    """A loaded fastText classifier. Texts are scored whole, as one line; by default every newline becomes a space.

    A text with nothing but white space has no features; fastText would answer with its prior. Here it is unknown:
    a row of NaN, or index -1.
    """

    def __init__(
        self, path: Path, labels: Sequence[str] = (), *, preprocessing: str = "one_line", reading: str = "all"
    ) -> None:
        """Load the weights; `labels`: those to score, in order, all when empty; `preprocessing`: see preprocessing.py.

        `reading` "all": every label's own probability. "top": the likeliest label is asked for, and a model of two labels
        says of the other one 1 minus its probability, as DCLM does; this differs by up to 2e-5. Raises ValueError when the
        file is not a fastText model, CardError when the model lacks a label or has not two for "top".
        """
        self._model = fasttext.load_model(str(path)).f
        # threshold -1 lists labels of probability 0 too; the prior of the end-of-line token serves to name them all
        answer = self._model.predict("\n", -1, -1.0, "strict")
        every = sorted(label.removeprefix(_PREFIX) for _, label in answer)
        missing = sorted(set(labels) - set(every))
        if missing or (reading == "top" and len(every) != 2):
            wanted = f"the labels {', '.join(labels)}" + (", of two in all" if reading == "top" else "")
            shown = ", ".join(every[:20]) + (f" and {len(every) - 20} more" if len(every) > 20 else "")
            raise CardError(f"weights {path}\n  wanted: {wanted}\n  found:  a model of the labels {shown}")
        self._labels = tuple(labels) or tuple(every)
        self._index = {_PREFIX + label: i for i, label in enumerate(self._labels)}
        self._lines = find_preprocessing(preprocessing)
        self._reading = reading

    @classmethod
    def of(cls, card: Card, path: Path, labels: Sequence[str] = ()) -> LinearFastText:
        """The model of a card, asked as the card says; `labels` default to the card's `scored`."""
        return cls(path, labels or card.scored, preprocessing=card.preprocessing, reading=card.reading)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels without fastText's prefix: those asked for, or all, sorted."""
        return self._labels

    def score(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Probabilities, shape [n_texts, n_labels], float32 in [0, 1.00001] (fastText rounds upwards).

        Rows sum to about 1 where all labels are scored. Labels below fastText's floor of 1e-5 read 0.
        """
        top = self._reading == "top"
        if top or len(self._labels) == 1:
            return self._one_column(texts, top)
        scores = np.zeros((len(texts), len(self._labels)), dtype=np.float32)
        index, predict = self._index, self._model.predict
        for row, text in enumerate(texts):
            line = self._line(text)
            if not line:
                scores[row] = np.nan
                continue
            for probability, label in predict(line, -1, 0.0, "strict"):
                place = index.get(label)
                if place is not None:
                    scores[row, place] = probability
        return scores

    def _one_column(self, texts: Sequence[str], top: bool) -> npt.NDArray[np.float32]:
        """One label, or the two labels of a model read by its likeliest; lists are filled faster than arrays."""
        wanted, predict, how_many = _PREFIX + self._labels[0], self._model.predict, 1 if top else -1
        found: list[float] = []
        for text in texts:
            line = self._line(text)
            if not line:
                found.append(np.nan)
                continue
            score = 0.0
            for probability, label in predict(line, how_many, 0.0, "strict"):
                if label == wanted:
                    score = probability
                elif top:
                    score = 1.0 - probability
            found.append(score)
        first = np.array(found, dtype=np.float64)
        columns = [first] if len(self._labels) == 1 else [first, 1.0 - first]
        return np.stack(columns, axis=1).astype(np.float32)

    def top(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """The likeliest label of each text: index into `labels` and probability, each of shape [n_texts].

        -1 and NaN where there is nothing to go by; -1 too where the likeliest label is not among those asked for. fastText
        prunes its search, so this is much faster than `score`.
        """
        best = np.full(len(texts), -1, dtype=np.int32)
        scores = np.full(len(texts), np.nan, dtype=np.float32)
        # multilinePredict of this distribution drops the probabilities; one call a text loses nothing measurable
        for row, text in enumerate(texts):
            line = self._line(text)
            if line:
                scores[row], label = self._model.predict(line, 1, 0.0, "strict")[0]
                best[row] = self._index.get(label, -1)
        return best, scores

    def _line(self, text: str) -> str:
        """The text as the single line fastText wants, with its end (predict raises on any other newline); "" for nothing."""
        if not text or text.isspace():
            return ""
        lines = self._lines(text)
        line = lines[0] if len(lines) == 1 else " ".join(lines)
        return f"{line}\n" if line and not line.isspace() else ""
