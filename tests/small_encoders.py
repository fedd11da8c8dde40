"""Encoders of a few thousand weights, made at random from a configuration, with a tokenizer of a few words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from small_models import BAD, GOOD, write_card

BERT = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 64, "vocab_size": 120,
}  # fmt: skip

DEBERTA = {
    "model_type": "deberta-v2", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 32, "relative_attention": True, "position_buckets": 16, "norm_rel_ebd": "layer_norm",
    "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "layer_norm_eps": 1e-7, "max_relative_positions": -1,
    "position_biased_input": False, "type_vocab_size": 0, "vocab_size": 120,
}  # fmt: skip


@cache
def word_piece_tokenizer() -> str:
    """A WordPiece tokenizer with BERT's special tokens, as JSON: the words of GOOD and BAD, and letters for all others. It is
    not trained, since training breaks ties at random."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*sorted(set((GOOD + " " + BAD).split())), *letters[1:], *(f"##{letter}" for letter in letters)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", *(word for word in words if word != "a")]
    made = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return made.to_str()


def small_tokenizer(folder: Path) -> Any:
    """A tokenizer saved into the folder, as transformers saves one."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(word_piece_tokenizer()), model_max_length=64, **names)
    fast.save_pretrained(folder)
    return fast


def small_bert(folder: Path, labels: Sequence[str], *, seed: int = 0, **entries: Any) -> Path:
    """A BERT with a classification head, as transformers saves one; `num_labels` 1 is a regression."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    names = dict(enumerate(labels))
    model = BertForSequenceClassification(BertConfig(**{**BERT, **entries}, id2label=names, initializer_range=0.3))
    model.save_pretrained(folder)
    small_tokenizer(folder)
    return folder


def small_backbone(folder: Path, *, seed: int = 0) -> Path:
    """A BERT without a head."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    BertModel(BertConfig(**BERT, initializer_range=0.3)).save_pretrained(folder)
    small_tokenizer(folder)
    return folder


def small_deberta(folder: Path, labels: Sequence[str], *, seed: int = 0) -> Path:
    """What NVIDIA publishes: `model.*`, `fc.*` and a config.json that only names its base model."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    entries = {**DEBERTA, "initializer_range": 0.3}
    model = AutoModel.from_config(AutoConfig.for_model(entries.pop("model_type"), **entries))
    weights = {f"model.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    weights |= {"fc.weight": torch.randn(len(labels), 32), "fc.bias": torch.randn(len(labels))}
    save_file(weights, folder / "model.safetensors")
    config = {"base_model": "microsoft/deberta-v3-base", "fc_dropout": 0.2, "id2label": dict(enumerate(labels))}
    (folder / "config.json").write_text(json.dumps(config))
    small_tokenizer(folder)
    return folder


def small_head(path: Path, labels: Sequence[str], *, hidden: int = 32, seed: int = 0) -> Path:
    """A linear head over an encoder, as the trainer writes one."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    tensors = {"weight": torch.randn(len(labels), hidden), "bias": torch.randn(len(labels))}
    save_file(tensors, path, metadata={"labels": json.dumps(list(labels))})
    return path


def encoder_card(root: Path, name: str, weights: str, labels: list[str], head: str = "") -> Path:
    """A card of one's own beside its encoder; `head`: file of a linear head over it."""
    path = root / f"{name}.toml"
    entries = {"labels": labels, "scored": labels, "preprocessing": "unchanged", "range": [-9.0, 9.0]}
    write_card(path, "encoder", root / weights, **entries)
    table = f'[encoder]\nmax_tokens = 64\nhead = "{"linear" if head else "sequence_classification"}"\n'
    tail = f'\n[head]\nlocation = "{head}"\n' if head else ""
    path.write_text(path.read_text() + table + tail)
    return path
