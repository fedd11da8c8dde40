"""Encoders on a GPU: this package's serving beside transformers' own text-classification pipeline on the same device.

One command, nothing downloaded: the model has the published shape and random weights, which decide no speed, and a tokenizer
trained on the documents' words; `--model FOLDER` takes a real one. The pipeline sorts nothing and pads each batch to its
longest text. Tokens are those of the inputs, without padding. Busy: time in kernels and copies over wall time, by torch's
profiler in a pass of its own. Share of peak: arithmetic of the layers over the chip's dense bfloat16 figure.

    PYTHONPATH=. python benchmarks/serve_gpu.py [--shape bert-base] [--model FOLDER] [--write]
    PYTHONPATH=. python benchmarks/serve_gpu.py --device cpu --shape small --documents 24    # does it run?
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.encoder_texts import LENGTHS, WORDS, documents
from classifiers.card import bare_card
from classifiers.encoder import CardFiles, FolderTokens, open_cards
from classifiers.encoder_settings import EncoderSettings

SHAPES: dict[str, dict[str, Any]] = {
    "bert-base": {"model_type": "bert"},  # FineWeb-Edu's classifier
    "minilm": {"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536},
    "deberta-v3-base": {
        "model_type": "deberta-v2", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm",
        "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "max_relative_positions": -1, "position_biased_input": False,
        "type_vocab_size": 0, "max_position_embeddings": 512,
    },
    "small": {
        "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    },
}  # fmt: skip

PEAK_TFLOPS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "L4": 121, "A10": 125}
"""Dense bfloat16, by NVIDIA's data sheets (SXM where there are several)."""

MAX_TOKENS = 512
PIPELINE_BATCH = 64

Score = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Row:
    """What one way of serving did to one kind of documents: a second of wall time, and the device meanwhile."""

    name: str
    documents: float
    tokens: float
    busy: float | None
    peak_share: float | None


def made_model(shape: str, folder: Path) -> Path:
    """A classifier of one output with random weights, and its tokenizer."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(WORDS, trainers.WordPieceTrainer(vocab_size=2000, special_tokens=special, show_progress=False))
    ends = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=MAX_TOKENS, **names).save_pretrained(folder)
    torch.manual_seed(0)
    entries = dict(SHAPES[shape])
    config = transformers.AutoConfig.for_model(entries.pop("model_type"), num_labels=1, initializer_range=0.05, **entries)
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def ours(folder: Path, device: str, precision: str) -> Score:
    card = replace(bare_card(str(folder), "encoder", "unchanged"), reading="raw")
    given = CardFiles(card, folder, settings=EncoderSettings(max_tokens=MAX_TOKENS))
    return open_cards([given], device=device, precision=precision).score


def pipeline(folder: Path, device: str, precision: str) -> Score:
    """The pipeline as its documentation shows it, with batches."""
    served = transformers.pipeline(
        "text-classification", model=str(folder), device=device, dtype=getattr(torch, precision), batch_size=PIPELINE_BATCH
    )

    def score(texts: Sequence[str]) -> np.ndarray:
        options = {"truncation": True, "max_length": MAX_TOKENS, "top_k": None, "function_to_apply": "none"}
        return np.array([[label["score"] for label in found] for found in served(list(texts), **options)])

    return score


def lengths(folder: Path, texts: Sequence[str]) -> np.ndarray:
    """Tokens of each text's input."""
    tokenizer = FolderTokens(folder)
    ends = len(tokenizer.prefix) + len(tokenizer.suffix)
    return np.array([min(MAX_TOKENS, len(tokens) + ends) for tokens in tokenizer.encode(texts)])


def arithmetic(folder: Path, tokens: np.ndarray) -> float:
    """Floating-point operations of the layers for inputs of these lengths: products with weights, and attention."""
    config = transformers.AutoConfig.from_pretrained(folder)
    hidden, layers = config.hidden_size, config.num_hidden_layers
    weights = layers * (4 * hidden**2 + 2 * hidden * config.intermediate_size)
    return float((2 * weights * tokens + 4 * layers * hidden * tokens.astype(np.float64) ** 2).sum())


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(score: Score, texts: Sequence[str], device: str, rounds: int) -> float:
    """Best wall time of the rounds, after a warm-up over the same shapes."""
    score(texts)
    taken = []
    for _ in range(rounds):
        wait(device)
        started = time.perf_counter()
        score(texts)
        wait(device)
        taken.append(time.perf_counter() - started)
    return min(taken)


def busy(score: Score, texts: Sequence[str], device: str) -> float | None:
    """Share of the wall time in which the device worked."""
    if device != "cuda":
        return None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        started = time.perf_counter()
        score(texts)
        wait(device)
        taken = time.perf_counter() - started
    return sum(event.self_device_time_total for event in seen.key_averages()) * 1e-6 / taken


def measure(name: str, score: Score, folder: Path, texts: Sequence[str], given: argparse.Namespace) -> Row:
    tokens = lengths(folder, texts)
    taken = seconds(score, texts, given.device, given.rounds)
    share = None if given.peak_tflops is None else arithmetic(folder, tokens) / taken / (given.peak_tflops * 1e12)
    return Row(name, len(texts) / taken, float(tokens.sum()) / taken, busy(score, texts, given.device), share)


def report(folder: Path, given: argparse.Namespace) -> str:
    cuda = given.device == "cuda"
    ways: dict[str, tuple[Callable[[Path, str, str], Score], str]] = {
        "curation, bfloat16": (ours, "bfloat16"), "curation, float32": (ours, "float32"),
        "pipeline, bfloat16": (pipeline, "bfloat16"), "pipeline, float32": (pipeline, "float32"),
    }  # fmt: skip
    # a processor may have no arithmetic in bfloat16
    chosen = {name: make(folder, given.device, kind) for name, (make, kind) in ways.items() if cuda or kind == "float32"}
    device = torch.cuda.get_device_name() if cuda else "a processor, one thread: this only shows that it runs"
    lines = [
        "# Encoders on a GPU",
        "",
        *(__doc__ or "").split("\n\n    PYTHONPATH")[0].split("\n\n", 1)[1].splitlines(),
        "",
        f"{given.shape if not given.model else Path(given.model).name} on {device}; torch {torch.__version__}, transformers "
        f"{transformers.__version__}; best of {given.rounds} rounds.",
    ]
    scores: dict[str, np.ndarray] = {}
    for kind in LENGTHS:
        texts = documents(kind, given.documents)
        rows = [measure(name, score, folder, texts, given) for name, score in chosen.items()]
        base = rows[-1].documents
        lines += ["", f"## {kind}: {len(texts)} documents", ""]
        lines += ["| | documents/s | against the pipeline, float32 | tokens/s | busy | share of peak |"]
        lines += ["|---|---:|---:|---:|---:|---:|"]
        for row in rows:
            rate = f"{row.documents:,.0f} | {row.documents / base:.2f} | {row.tokens:,.0f}"
            lines.append(f"| {row.name} | {rate} | {percent(row.busy)} | {percent(row.peak_share)} |")
        if kind == "mixed":
            scores = {name: score(texts) for name, score in chosen.items()}
    lines += ["", "## Largest difference from the pipeline in float32, mixed documents", ""]
    exact = scores["pipeline, float32"]
    spread = f"scores spread by {exact.std():.1e}"
    lines += [f"- {name}: {np.abs(found - exact).max():.1e}, {spread}" for name, found in scores.items()]
    return "\n".join([*lines, ""])


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="bert-base")
    parser.add_argument("--model", default="", help="folder of a classifier, instead of one of that shape")
    parser.add_argument("--documents", type=int, default=20_000, help="of each kind")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak-tflops", type=float, help="of the chip, dense bfloat16; default by its name")
    parser.add_argument("--write", action="store_true", help="write benchmarks/serve_gpu.md")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no GPU; --device cpu --shape small --documents 24 shows that the benchmark runs")
    if given.device == "cuda" and given.peak_tflops is None:
        name = torch.cuda.get_device_name()
        given.peak_tflops = next((peak for chip, peak in PEAK_TFLOPS.items() if chip in name), None)
    logging.disable(logging.WARNING)
    transformers.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as made:
        text = report(Path(given.model) if given.model else made_model(given.shape, Path(made)), given)
    print(text)
    if given.write:
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
