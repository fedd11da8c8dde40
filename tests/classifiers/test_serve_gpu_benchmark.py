"""The benchmark of a GPU, where there is none: it runs, counts tokens as the tokenizer does, and both ways agree."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers", reason="the extra `neural` is not installed")

from benchmarks import serve_gpu
from benchmarks.encoder_texts import documents


def test_it_runs_on_a_processor_and_both_ways_score_alike(tmp_path: Path) -> None:
    given = argparse.Namespace(device="cpu", shape="small", model="", documents=6, rounds=1, peak_tflops=0.05)
    text = serve_gpu.report(serve_gpu.made_model("small", tmp_path), given)
    assert len(re.findall(r"^\| curation, float32 \| [\d,]+ \| [\d.]+ \| [\d,]+ \|  \| \d+% \|$", text, re.M)) == 3
    difference, spread = re.findall(r"- curation, float32: (\S+), scores spread by (\S+)", text)[0]
    assert 100 * float(difference) <= float(spread) and "only shows that it runs" in text


def test_tokens_and_arithmetic(tmp_path: Path) -> None:
    import transformers

    folder = serve_gpu.made_model("small", tmp_path)
    texts = documents("mixed", 12)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    expected = [len(ids) for ids in tokenizer(texts, truncation=True, max_length=512)["input_ids"]]
    assert serve_gpu.lengths(folder, texts).tolist() == expected and 512 in expected and min(expected) < 400
    # two layers of 4 x 32 x 32 and 2 x 32 x 64 weights, twice a token; attention 4 x 2 x 32 for each pair
    assert serve_gpu.arithmetic(folder, np.array([10])) == 2 * 2 * (4096 + 4096) * 10 + 4 * 2 * 32 * 100
