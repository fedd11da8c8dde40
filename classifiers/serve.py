"""Serve encoders: texts in, scores out, in batches that keep an accelerator busy and leave scores what they are.

A window of texts is tokenised (on an accelerator: while the windows before it are scored), cut into inputs of the model's
length, and batched by a budget of tokens. On a CPU a batch holds inputs of one length, padded only where a few shorter ones
are cheaper along than alone. On an accelerator inputs are sorted by length, longest first, and padded to a few lengths.
Batches follow from the texts of the call, never from load or from the worker: the same texts give the same bytes. Alone or
in another company a text's score differs by what float arithmetic differs in another order of adding.

An accelerator that runs out of memory is given half the budget from then on. A batch the model raises on is halved down to
the text that it raises on, whose error is handed back beside the scores of all others.

Source: ours.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from classifiers.encoder_settings import EncoderSettings

logger = logging.getLogger("classifiers")

CHARACTERS_PER_TOKEN = 64
"""A text is cut where its tokens would be this long on average: a page of 50 MB is not tokenised for its first 512 tokens.
Real text has 1 to 6; only runs of white space or of one character, which many tokenizers drop or join, have more."""

BATCH_TOKENS = {"cpu": 1024, "cuda": 65_536}
"""Budget of a batch where none is given. A CPU core gains nothing from more."""

BATCH_COST = 16
"""What a batch costs a CPU core beside its tokens, in tokens, for a model of 22.7 M parameters; less for larger ones."""

WINDOW_TEXTS = {"cpu": 4096, "cuda": 512}
"""Texts a window. Many find others of their length; on an accelerator few, so that the first is soon there to work on."""

Floats = npt.NDArray[np.float32]


class OutOfMemory(Exception):
    """The device has no memory for a batch of this size."""


class DeviceLost(Exception):
    """The device answers nothing any more: no text's fault, and nothing that can be gone on with."""


class Model(Protocol):
    """A model on its device, with every head that is read off it."""

    @property
    def settings(self) -> EncoderSettings: ...

    @property
    def columns(self) -> int: ...

    def run(self, tokens: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> Any:
        """Scores of a batch, [inputs, columns], still on the device. Raises OutOfMemory, DeviceLost, or anything on a text
        it cannot take."""
        ...

    def fetch(self, scores: Any) -> Floats:
        """What `run` returned, in memory."""
        ...


class Tokens(Protocol):
    """A tokenizer: a text's own tokens, and the special ones around them."""

    @property
    def prefix(self) -> Sequence[int]: ...

    @property
    def suffix(self) -> Sequence[int]: ...

    @property
    def padding(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """Tokens of each text, without special ones."""
        ...


class Inputs(NamedTuple):
    """What a model is given, ragged: input i is tokens[offsets[i]:offsets[i + 1]], special tokens among them, of text
    `texts[i]`."""

    tokens: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    texts: npt.NDArray[np.int64]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each input."""
        return np.diff(self.offsets)

    def padded(
        self, rows: npt.NDArray[np.int64], width: int, padding: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Inputs `rows` as one array [rows, width] and the mask of what is not padding."""
        mask = np.arange(width) < (self.offsets[rows + 1] - self.offsets[rows])[:, None]
        made = np.full((len(rows), width), padding, dtype=np.int64)
        made[mask] = np.concatenate([self.tokens[self.offsets[i] : self.offsets[i + 1]] for i in rows])
        return made, mask


def rounded_length(length: int) -> int:
    """The width an input of that length is padded to on an accelerator, which sees few shapes then: multiples of 16 up to
    128 tokens, of 64 up to 512, of 128 beyond."""
    step = 16 if length <= 128 else 64 if length <= 512 else 128
    return -(-length // step) * step


def plan(lengths: npt.NDArray[np.int64], budget: int, *, exact: bool) -> list[npt.NDArray[np.int64]]:
    """Batches of inputs, each in order of its place in `lengths` within a length, longest first: at most `budget` tokens with
    the padding, or a single input. `exact`: inputs of one length, and with them all of a shorter length whose padding costs
    less than a batch of their own; otherwise all that fit, in rounded lengths."""
    widths = lengths if exact else np.array([rounded_length(int(n)) for n in lengths], dtype=np.int64)
    order = np.lexsort((np.arange(len(lengths)), -widths))
    ordered = widths[order]
    ends = np.searchsorted(-ordered, -ordered, side="right")
    batches, start = [], 0
    while start < len(order):
        width = int(ordered[start])
        most = start + max(1, budget // width)
        stop = min(len(order), most)
        if exact:
            stop = min(int(ends[start]), most)
            while stop < len(order) and ends[stop] <= most and (width - ordered[stop]) * (ends[stop] - stop) <= BATCH_COST:
                stop = int(ends[stop])
        batches.append(order[start:stop])
        start = stop
    return batches


def cut(content: npt.NDArray[np.int32], room: int, settings: EncoderSettings) -> list[npt.NDArray[np.int32]]:
    """The inputs a text of these tokens becomes, without special tokens, each of at most `room`."""
    if len(content) <= room or settings.long == "head":
        return [content[:room]]
    if settings.long == "head_tail":
        tail = room // 2
        return [np.concatenate([content[: room - tail], content[len(content) - tail :]])]
    starts = np.arange(0, len(content), room)
    if len(starts) > settings.windows:
        chosen = np.linspace(0, len(starts) - 1, settings.windows).round().astype(np.int64)
        starts = starts[chosen]
    return [content[s : s + room] for s in starts]


def character_limit(settings: EncoderSettings) -> int:
    """So many characters of a text (of each end for head_tail) are tokenised."""
    windows = settings.windows if settings.long == "mean" else 1
    return settings.characters or CHARACTERS_PER_TOKEN * settings.max_tokens * windows


Waiting = list[tuple[npt.NDArray[np.int64], Any]]
"""Inputs of a batch, and what the model's `run` returned for them."""


@dataclass
class _Served:
    model: Model
    tokens: Tokens
    first: int


@dataclass
class _Launched:
    """A window that a model works on. `first`: its first text."""

    served: _Served
    inputs: Inputs
    first: int
    waiting: Waiting

    def collect(self, scores: Floats, failures: dict[int, Exception]) -> None:
        """Write the window's scores in their place; a score that is no number is a failure."""
        found = np.full((len(self.inputs.texts), self.served.model.columns), np.nan, dtype=np.float32)
        for rows, made in self.waiting:
            found[rows] = self.served.model.fetch(made)
        for text in np.unique(self.inputs.texts[~np.isfinite(found).all(axis=1)]):
            failures.setdefault(self.first + int(text), ValueError("the model's score is not a finite number"))
        rows = np.unique(self.inputs.texts)
        columns = slice(self.served.first, self.served.first + self.served.model.columns)
        scores[self.first + rows, columns] = _means(self.inputs, found, rows)


class Server:
    """Models that score the same texts. Those of one tokenizer share its work. Is a Classifier."""

    def __init__(
        self,
        models: Sequence[tuple[Model, Tokens]],
        labels: Sequence[str],
        *,
        exact: bool,
        budget: int,
        ahead: bool = False,
        window: int = WINDOW_TEXTS["cpu"],
    ) -> None:
        """`labels` of all models' columns, in order; `exact`: next to nothing is padded; `budget` in tokens a batch; `ahead`:
        tokenise in a thread while the model works; `window` in texts."""
        self._labels = tuple(labels)
        firsts = np.cumsum([0, *(model.columns for model, _ in models)])
        self._served = [_Served(model, tokens, int(first)) for (model, tokens), first in zip(models, firsts, strict=False)]
        if int(firsts[-1]) != len(self._labels):
            raise ValueError(f"{len(self._labels)} labels for {firsts[-1]} columns")
        self._exact, self._budget, self._ahead, self._window = exact, budget, ahead, window

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of `score`, in order."""
        return self._labels

    @property
    def budget(self) -> int:
        """Tokens a batch may have now."""
        return self._budget

    def score(self, texts: Sequence[str]) -> Floats:
        """Scores, [n_texts, n_labels]; NaN: nothing to go by. Raises what the model raised on the first text it failed on."""
        scores, failures = self.score_each(texts)
        if failures:
            raise failures[min(failures)]
        return scores

    def score_each(self, texts: Sequence[str]) -> tuple[Floats, dict[int, Exception]]:
        """Scores, and text -> error for those the model failed on, whose rows are NaN."""
        scores = np.full((len(texts), len(self._labels)), np.nan, dtype=np.float32)
        failures: dict[int, Exception] = {}
        under_way: list[_Launched] = []
        for first, made in self._windows(texts):
            before = under_way
            under_way = [
                _Launched(served, inputs, first, self._launch(served, inputs, first, failures))
                for served, inputs in zip(self._served, made, strict=True)
            ]
            # only now, with the next work handed over, so that an accelerator does not wait for its scores to be taken
            for launched in before:
                launched.collect(scores, failures)
        for launched in under_way:
            launched.collect(scores, failures)
        scores[list(failures)] = np.nan
        return scores, failures

    def _windows(self, texts: Sequence[str]) -> Iterator[tuple[int, list[Inputs]]]:
        starts = range(0, len(texts), self._window)
        parts = ((first, texts[first : first + self._window]) for first in starts)
        if not self._ahead or len(starts) < 2:
            yield from ((first, self._inputs(part)) for first, part in parts)
            return
        with ThreadPoolExecutor(1) as pool:
            coming = [(first, pool.submit(self._inputs, part)) for first, part in (next(parts),)]
            for first, part in parts:
                coming.append((first, pool.submit(self._inputs, part)))
                done, future = coming.pop(0)
                yield done, future.result()
            yield coming[0][0], coming[0][1].result()

    def _inputs(self, texts: Sequence[str]) -> list[Inputs]:
        """What each model is given; a text's tokens are made once for all models of a tokenizer that see as much of it."""
        made: dict[tuple[int, int, bool], list[npt.NDArray[np.int32]]] = {}
        found = []
        for served in self._served:
            settings = served.model.settings
            key = (id(served.tokens), character_limit(settings), settings.long == "head_tail")
            if key not in made:
                made[key] = _encode(served.tokens, texts, *key[1:])
            found.append(_pack(made[key], served.tokens, settings))
        return found

    def _launch(self, served: _Served, inputs: Inputs, first: int, failures: dict[int, Exception]) -> Waiting:
        """Hand all inputs to the model, in batches."""
        waiting: Waiting = []
        for batch in plan(inputs.lengths, self._budget, exact=self._exact):
            self._run(served, inputs, batch, waiting, first, failures)
        return waiting

    def _run(
        self,
        served: _Served,
        inputs: Inputs,
        rows: npt.NDArray[np.int64],
        waiting: Waiting,
        first: int,
        failures: dict[int, Exception],
    ) -> None:
        """Run one batch, in halves where it is more than the budget has become, or where the model raises."""
        longest = int((inputs.offsets[rows + 1] - inputs.offsets[rows]).max())
        width = longest if self._exact else rounded_length(longest)
        if len(rows) == 1 or width * len(rows) <= self._budget:
            try:
                waiting.append((rows, served.model.run(*inputs.padded(rows, width, served.tokens.padding))))
                return
            except DeviceLost:
                raise
            except OutOfMemory as error:
                if len(rows) == 1:
                    failures.setdefault(first + int(inputs.texts[rows[0]]), error)
                    return
                self._halve(width * len(rows))
            except Exception as error:  # noqa: BLE001 - a text the model cannot take must not take its batch along
                if len(rows) == 1:
                    failures.setdefault(first + int(inputs.texts[rows[0]]), error)
                    return
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]):
            self._run(served, inputs, half, waiting, first, failures)

    def _halve(self, tokens: int) -> None:
        self._budget = max(1, min(self._budget, tokens) // 2)
        logger.warning("out of memory on a batch of %d tokens: batches are of %d from here on", tokens, self._budget)


def _encode(tokens: Tokens, texts: Sequence[str], limit: int, both_ends: bool) -> list[npt.NDArray[np.int32]]:
    """Tokens of each text, none for one without anything to score."""
    live = [i for i, text in enumerate(texts) if text and not text.isspace()]
    starts = [texts[i] if both_ends and len(texts[i]) <= 2 * limit else texts[i][:limit] for i in live]
    found = [np.empty(0, dtype=np.int32)] * len(texts)
    for i, made in zip(live, tokens.encode(starts), strict=True):
        found[i] = made
    if both_ends:
        far = [i for i in live if len(texts[i]) > 2 * limit]
        for i, made in zip(far, tokens.encode([texts[i][-limit:] for i in far]), strict=True):
            found[i] = np.concatenate([found[i], made])
    return found


def _pack(content: Sequence[npt.NDArray[np.int32]], tokens: Tokens, settings: EncoderSettings) -> Inputs:
    prefix, suffix = np.array(tokens.prefix, dtype=np.int32), np.array(tokens.suffix, dtype=np.int32)
    room = settings.max_tokens - len(prefix) - len(suffix)
    pieces: list[npt.NDArray[np.int32]] = []
    owners: list[int] = []
    lengths: list[int] = [0]
    for text, own in enumerate(content):
        for piece in cut(own, room, settings) if len(own) else ():
            pieces += [prefix, piece, suffix]
            owners.append(text)
            lengths.append(len(prefix) + len(piece) + len(suffix))
    flat = np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int32)
    return Inputs(flat, np.cumsum(lengths), np.array(owners, dtype=np.int64))


def _means(inputs: Inputs, scores: Floats, rows: npt.NDArray[np.int64]) -> Floats:
    """Score of each text of `rows`: the mean over its inputs, weighted by their tokens."""
    place = np.searchsorted(rows, inputs.texts)
    weights = inputs.lengths.astype(np.float64)
    total = np.zeros((len(rows), scores.shape[1]))
    np.add.at(total, place, scores.astype(np.float64) * weights[:, None])
    return (total / np.bincount(place, weights, len(rows))[:, None]).astype(np.float32)
