"""What is read from an encoder's folder: configuration, weights, tokenizer; and the file of a linear head.

Imported by encoder.py alone, which says it when torch or transformers are missing.

Source: transformers 5 (loading); NVIDIA's model cards quality-classifier-deberta and domain-classifier (FirstToken).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from classifiers.card import CardError
from classifiers.encoder_settings import EncoderSettings

TOKENISED_TEXTS = 256
"""Texts the tokenizer is given at once: its own records of a token are a hundred times a token's four bytes."""


class FirstToken(nn.Module):
    """A linear layer `fc` over the last hidden state of the first token of `model`: NVIDIA's classifiers. Their dropout does
    nothing once trained."""

    def __init__(self, model: nn.Module, hidden: int, outputs: int) -> None:
        super().__init__()
        self.model = model
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """Logits, [inputs, outputs]."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.fc(hidden[:, 0, :])


class FolderTokens:
    """The tokenizer of a folder, as transformers loads it."""

    def __init__(self, folder: Path) -> None:
        try:
            loaded = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, use_fast=True)
            self._backend = loaded.backend_tokenizer
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise _unusable(folder, "a tokenizer of the tokenizers library", error) from error
        self._backend.no_truncation()
        self._backend.no_padding()
        bare = self._backend.encode("a", add_special_tokens=False).ids
        whole = self._backend.encode("a", add_special_tokens=True).ids
        start = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
        self.prefix, self.suffix = tuple(whole[:start]), tuple(whole[start + len(bare) :])
        self.padding = int(loaded.pad_token_id or 0)
        self.key = self._backend.to_str()

    def encode(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """Tokens of each text, without special ones."""
        made: list[npt.NDArray[np.int32]] = []
        for start in range(0, len(texts), TOKENISED_TEXTS):
            encodings = self._backend.encode_batch_fast(texts[start : start + TOKENISED_TEXTS], add_special_tokens=False)
            made += [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]
        return made


def load_encoder(folder: Path, settings: EncoderSettings) -> tuple[nn.Module, list[str]]:
    """The model of a folder in float32, and the names of its outputs. Raises CardError when it is of another architecture than
    `settings.head` says, lacks weights, or has no positions for inputs so long."""
    config = _read_config(folder)
    if settings.head == "sequence_classification":
        model, loaded = _sequence_classification(folder, config)
        outputs = int(loaded.num_labels)
    elif settings.head == "first_token":
        model, loaded = _first_token(folder, config, settings)
        outputs = len(config["id2label"])
    else:
        model, loaded = _bare(folder)
        outputs = int(loaded.hidden_size)
    _check_length(folder, loaded, settings.max_tokens)
    names = config.get("id2label") or {}
    return model, [str(names.get(str(i), f"LABEL_{i}")) for i in range(outputs)]


def load_head(path: Path, hidden: int) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Weight [outputs, hidden], bias [outputs] and labels of a linear head. Raises CardError for another file."""
    try:
        with safe_open(str(path), "pt") as stream:
            labels = json.loads((stream.metadata() or {})["labels"])
            weight, bias = stream.get_tensor("weight").float(), stream.get_tensor("bias").float()
    except Exception as error:  # safetensors raises an error type of its own
        raise _unusable(path, "a linear head: weight, bias and labels", error) from error
    if weight.shape != (len(labels), hidden) or bias.shape != (len(labels),):
        raise _unusable(path, f"a weight of {len(labels)} x {hidden}", ValueError(f"one of {tuple(weight.shape)}"))
    return weight, bias, [str(label) for label in labels]


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(folder, "a folder of a transformers model, with its config.json", error) from error


def _sequence_classification(folder: Path, config: dict[str, Any]) -> tuple[nn.Module, Any]:
    """transformers makes up weights that a folder lacks, with a warning: here it is an error."""
    kinds = config.get("architectures") or ["none"]
    if not any("SequenceClassification" in str(kind) for kind in kinds):
        raise _unusable(folder, "an architecture for sequence classification", ValueError(", ".join(map(str, kinds))))
    model = _loaded(folder, transformers.AutoModelForSequenceClassification)
    return model, model.config


def _bare(folder: Path) -> tuple[nn.Module, Any]:
    model = _loaded(folder, transformers.AutoModel)
    return model, model.config


def _loaded(folder: Path, kind: Any) -> Any:
    try:
        model, facts = kind.from_pretrained(str(folder), local_files_only=True, dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unusable(folder, "a model that transformers loads", error) from error
    # a pooler that no head of ours reads may be missing
    missing = sorted(key for key in facts["missing_keys"] if kind is not transformers.AutoModel or "pooler" not in key)
    if missing:
        raise _unusable(folder, "all weights of the architecture", ValueError(f"none for {', '.join(missing[:3])}"))
    return model


def _first_token(folder: Path, config: dict[str, Any], settings: EncoderSettings) -> tuple[nn.Module, Any]:
    if "id2label" not in config or "base_model" not in config:
        raise _unusable(folder, "a config.json with base_model and id2label", ValueError(", ".join(config)))
    base = dict(settings.base)
    try:
        if base:
            made = transformers.AutoConfig.for_model(base.pop("model_type"), **base)
        else:
            beside = folder / str(config["base_model"])
            named = str(beside) if beside.is_dir() else str(config["base_model"])
            made = transformers.AutoConfig.from_pretrained(named, local_files_only=True)
        model = FirstToken(transformers.AutoModel.from_config(made), int(made.hidden_size), len(config["id2label"]))
        model.load_state_dict(load_file(str(folder / "model.safetensors")), strict=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unusable(folder, f"weights `model.*` of {config['base_model']} and `fc.*`", error) from error
    return model.float(), made


def _check_length(folder: Path, config: Any, wanted: int) -> None:
    """Raise CardError where the model has no position for its last token. Relative positions have no end."""
    if not getattr(config, "position_biased_input", True) or not hasattr(config, "max_position_embeddings"):
        return
    offset = (config.pad_token_id or 0) + 1 if "roberta" in str(config.model_type) else 0
    most = int(config.max_position_embeddings) - offset
    if wanted > most:
        raise CardError(f"weights {folder}\n  wanted: inputs of {wanted} tokens, as the card says\n  found:  a model of {most}")


def _unusable(path: Path, wanted: str, error: Exception) -> CardError:
    said = (str(error).splitlines() or [""])[0][:300]
    return CardError(f"weights {path}\n  wanted: {wanted}\n  found:  {type(error).__name__}: {said}")
