"""What every model of this package can do: texts in, one row of scores per text out.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Classifier(Protocol):
    """A loaded model. A text's row depends on that text alone: never on its batch, nor on what was scored before."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of `score`, in order."""
        ...

    def score(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Scores, shape [n_texts, n_labels], float32. Direction and range are the card's.

        A row of NaN says that the model has nothing to go by (an empty text): unknown, which is not zero.
        """
        ...
