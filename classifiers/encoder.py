"""BERT-like encoders through transformers: classification and regression heads, NVIDIA's DeBERTa classifiers, linear heads
over a shared pass, sentence embeddings.

Torch and transformers are imported here, in encoder_folder.py and in train_head.py only. Nothing is fetched. On a CPU a
worker computes in one thread and in float32: its scores are the same bytes in any worker of one kind of processor.
On CUDA the default is bfloat16 (autocast, weights in float32), whose scores differ within a tolerance.

Source: transformers 5 (loading, heads); FineWeb-Edu (arXiv:2406.17557) and its `classification/`; NVIDIA's model cards
quality-classifier-deberta and domain-classifier; mean pooling: Sentence-BERT (arXiv:1908.10084).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from classifiers.card import Card, CardError, missing_extra
from classifiers.encoder_settings import EncoderSettings
from classifiers.preprocessing import preprocessing as find_preprocessing
from classifiers.serve import BATCH_TOKENS, WINDOW_TEXTS, DeviceLost, Floats, OutOfMemory, Server

try:
    import torch
    import transformers
    from torch import nn

    from classifiers.encoder_folder import FolderTokens, load_encoder, load_head
except ModuleNotFoundError as error:
    raise missing_extra("encoders", str(error.name)) from error


@dataclass(frozen=True)
class CardFiles:
    """A card, where its weights lie as verified, and the labels wanted of it."""

    card: Card
    folder: Path
    head: Path | None = None
    labels: tuple[str, ...] = ()
    settings: EncoderSettings | None = None


class Encoder:
    """A loaded encoder with its heads, on a device. Is a Model of serve.py."""

    def __init__(self, folder: Path, settings: EncoderSettings, *, device: str = "cpu", precision: str = "float32") -> None:
        """Load a folder. Raises CardError when it is of another architecture than `settings.head` says, or lacks weights."""
        self.settings = settings
        self.columns = 0
        self._folder, self._device = folder, torch.device(device)
        self._autocast = precision == "bfloat16"
        self._model, self._names = load_encoder(folder, settings)
        self.outputs = len(self._names)
        self._model = self._model.to(self._device).eval()
        self._heads: list[_Head] = []

    def add(self, given: CardFiles) -> tuple[str, ...]:
        """Score what a card asks for too; returns its labels, in the order of their columns. Raises CardError for labels
        that the weights have not."""
        card = given.card
        head: _Head
        if self.settings.head == "linear":
            if given.head is None:
                raise CardError(f"card {card.name!r}: wanted the file of its linear head, found none")
            weight, bias, names = load_head(given.head, self.outputs)
        else:
            weight, bias, names = None, None, self._names
        labels = given.labels or card.scored or tuple(names)
        places = _places(given.folder, labels, card.labels, names)
        reading = card.reading
        if reading == "auto":
            reading = "softmax" if len(names) > 1 else "raw"
        head = _Head(reading, places, weight, bias)
        self._heads.append(head.to(self._device))
        self.columns += len(labels)
        return tuple(labels)

    def add_embedding(self) -> int:
        """Give the pooled vector itself; returns its length."""
        self._heads.append(_Head("raw", list(range(self.outputs)), None, None))
        self.columns += self.outputs
        return self.outputs

    @torch.inference_mode()
    def run(self, tokens: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> torch.Tensor:
        """Scores of a batch, [inputs, columns], float32, still on the device."""
        try:
            ids = self._moved(tokens)
            # without padding no mask is needed, and the attention kernels are the same for any number of inputs
            attention = None if mask.all() else self._moved(mask.astype(np.int64))
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._autocast):
                outputs = self._outputs(ids, attention)
            return torch.cat([head.read(outputs.float()) for head in self._heads], dim=1)
        except torch.OutOfMemoryError as error:
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            raise OutOfMemory(str(error).splitlines()[0]) from error
        except RuntimeError as error:
            if "DefaultCPUAllocator" in str(error):  # torch has no error of its own for a processor's memory
                raise OutOfMemory(str(error).splitlines()[0]) from error
            self._check_device(error)
            raise

    def fetch(self, scores: torch.Tensor) -> Floats:
        """Scores in memory. Raises DeviceLost: what failed on the way here was no batch that could be halved."""
        try:
            return scores.cpu().numpy()
        except RuntimeError as error:
            raise DeviceLost(str(error).splitlines()[0]) from error

    def _moved(self, array: npt.NDArray[np.int64]) -> torch.Tensor:
        made = torch.from_numpy(array)
        return made.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else made

    def _outputs(self, ids: torch.Tensor, attention: torch.Tensor | None) -> torch.Tensor:
        if self.settings.head == "sequence_classification":
            return self._model(input_ids=ids, attention_mask=attention).logits
        if self.settings.head == "first_token":
            return self._model(ids, attention)
        hidden = self._model(input_ids=ids, attention_mask=attention).last_hidden_state.float()
        return _pooled(hidden, attention, self.settings)

    def _check_device(self, error: RuntimeError) -> None:
        """Raise DeviceLost where the accelerator takes no further work: then no text is to blame."""
        if self._device.type != "cuda":
            return
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            raise DeviceLost(str(error).splitlines()[0]) from error


@dataclass
class _Head:
    """How columns are read off an encoder's outputs: through a linear layer where there is one, then by `reading`."""

    reading: str
    places: list[int]
    weight: torch.Tensor | None
    bias: torch.Tensor | None

    def to(self, device: torch.device) -> _Head:
        if self.weight is not None and self.bias is not None:
            self.weight, self.bias = self.weight.to(device), self.bias.to(device)
        return self

    def read(self, outputs: torch.Tensor) -> torch.Tensor:
        if self.weight is not None and self.bias is not None:
            # a product and a sum for each output: a matrix product may add in another order for another number of inputs
            outputs = (outputs.unsqueeze(1) * self.weight).sum(dim=2) + self.bias
        if self.reading == "softmax":
            outputs = outputs.softmax(dim=1)
        elif self.reading == "sigmoid":
            outputs = outputs.sigmoid()
        return outputs[:, self.places]


def open_cards(
    cards: Sequence[CardFiles],
    *,
    device: str = "cpu",
    precision: str = "float32",
    budget: int = 0,
    threads: int = 1,
) -> Server:
    """A server of all these cards. Linear heads over one encoder share its pass; models of one tokenizer share its work.

    `budget` in tokens a batch, 0: BATCH_TOKENS. Labels of the server are "<card>/<label>". Raises CardError.
    """
    _prepare(device, threads)
    loaded: dict[object, Encoder] = {}
    labels: dict[int, list[str]] = {}
    for given in cards:
        settings = given.settings or given.card.encoder or EncoderSettings()
        shared = settings.head == "linear"
        key = (given.folder, str(settings)) if shared else len(loaded)
        if key not in loaded:
            loaded[key] = Encoder(given.folder, settings, device=device, precision=precision)
        encoder = loaded[key]
        labels.setdefault(id(encoder), []).extend(f"{given.card.name}/{label}" for label in encoder.add(given))
    tokenizers: dict[str, FolderTokens] = {}
    folders = {id(loaded[key]): loaded[key]._folder for key in loaded}
    models = []
    for encoder in loaded.values():
        own = FolderTokens(folders[id(encoder)])
        models.append((encoder, tokenizers.setdefault(own.key, own)))
    names = [name for encoder in loaded.values() for name in labels[id(encoder)]]
    return _server(models, names, device, budget)


def open_embedding(
    folder: Path,
    settings: EncoderSettings,
    *,
    device: str = "cpu",
    precision: str = "float32",
    budget: int = 0,
    threads: int = 1,
) -> Server:
    """A server of an encoder's pooled vectors: its scores are [n_texts, hidden size]."""
    _prepare(device, threads)
    encoder = Encoder(folder, settings, device=device, precision=precision)
    names = [f"e{i}" for i in range(encoder.add_embedding())]
    return _server([(encoder, FolderTokens(folder))], names, device, budget)


def _server(models: Sequence[tuple[Encoder, FolderTokens]], labels: Sequence[str], device: str, budget: int) -> Server:
    kind = torch.device(device).type
    on_cpu = kind == "cpu"
    return Server(
        models, labels, exact=on_cpu, budget=budget or BATCH_TOKENS[kind], ahead=not on_cpu, window=WINDOW_TEXTS[kind]
    )


class EncoderClassifier:
    """One card's encoder as a Classifier, its labels as the card names them."""

    def __init__(self, server: Server, preprocessing: str = "unchanged") -> None:
        self._server = server
        self._prepare = find_preprocessing(preprocessing)

    @classmethod
    def of(cls, given: CardFiles, *, device: str = "cpu", precision: str = "float32", budget: int = 0) -> EncoderClassifier:
        """The model of a card, asked as the card says."""
        return cls(open_cards([given], device=device, precision=precision, budget=budget), given.card.preprocessing)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of `score`, in order."""
        return tuple(label.partition("/")[2] for label in self._server.labels)

    def score(self, texts: Sequence[str]) -> Floats:
        """Scores, [n_texts, n_labels], float32; NaN: nothing to go by. Raises what the model raised on the first text."""
        return self._server.score(["\n".join(self._prepare(text)) for text in texts])


def auto_device() -> str:
    """cuda where torch sees a GPU, else cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _prepare(device: str, threads: int) -> None:
    """One thread a worker on a CPU: workers share the machine's cores, and sums keep their order."""
    if device == "cpu":
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        torch.set_num_threads(threads)
    elif not torch.cuda.is_available():
        raise CardError(
            f"device {device}\n  wanted: a GPU that torch sees\n  found:  none\n  try:    device cpu, or a node with one"
        )
    transformers.utils.logging.disable_progress_bar()


def _pooled(hidden: torch.Tensor, attention: torch.Tensor | None, settings: EncoderSettings) -> torch.Tensor:
    if settings.pooling == "first_token":
        made = hidden[:, 0]
    elif attention is None:
        made = hidden.mean(dim=1)
    else:
        seen = attention.unsqueeze(-1).to(hidden.dtype)
        made = (hidden * seen).sum(dim=1) / seen.sum(dim=1)
    return nn.functional.normalize(made, dim=1) if settings.normalise else made


def _places(folder: Path, wanted: Sequence[str], on_card: Sequence[str], names: Sequence[str]) -> list[int]:
    """The output of each label. Outputs that a folder has not named carry the card's labels, in order."""
    if len(on_card) == len(names) and all(re.fullmatch(r"LABEL_\d+", name) for name in names):
        names = on_card
    elif len(names) == 1 and len(wanted) == 1:
        names = wanted
    missing = [label for label in wanted if label not in names]
    if missing:
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        raise CardError(f"weights {folder}\n  wanted: the labels {', '.join(wanted)}\n  found:  a model of {shown}")
    return [list(names).index(label) for label in wanted]
