"""Training speed of proxies, stacked and in processes, against a plain loop: python benchmarks/proxy_speed.py [--write]

Full steps (data, forward, backward, clipping, AdamW) on tokens at random, preset `tiny` and a narrower
model, on a GPU wider ones too.

- plain loop: one process, one thread, model after model, written as usual with torch: nn.Linear, scaled_dot_product_attention,
  F.cross_entropy, fused AdamW, clip_grad_norm_. Also with one thread for every core, and on a GPU as it is.
- stack of N: our stacked model in one process of one thread.
- what `curation mix train` does on a CPU: a process of one thread for each core, stacks of 8 each.

Interleaved rounds, median. Each measurement is a process of its own; those that belong together run at the same time. Tokens
per second of wall time, and of CPU time summed over processes that each use one core: the latter is what they would do with
the cores to themselves, should other work share the machine, and is what ratios are taken of. `--device cuda` measures
wall time on a GPU, with and without bf16; `--peak-tflops` gives the share of peak (989: H100 and H200, dense bf16). `--write`
writes proxy_speed.md (proxy_speed_gpu.md on a GPU).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from curation.mixture.proxies_group import Group, Member
from curation.mixture.proxy_data import Pool
from curation.mixture.proxy_settings import PRESETS, ProxySettings

HERE = Path(__file__).parent
MODELS = {
    "tiny: width 64, vocabulary 1,024": PRESETS["tiny"],
    "width 32, vocabulary 512": replace(PRESETS["tiny"], width=32, heads=2, ffn=96, vocabulary=512),
}
GPU_MODELS = {
    **MODELS,
    "width 128, vocabulary 2,048": replace(PRESETS["tiny"], width=128, ffn=384, vocabulary=2048, batch=8),
    "width 256, vocabulary 4,096, context 512": replace(
        PRESETS["tiny"], width=256, heads=8, ffn=512, vocabulary=4096, context=512, batch=16
    ),
}
DOMAINS = 4


class Attention(nn.Module):
    def __init__(self, s: ProxySettings) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = (
            s.heads,
            nn.Linear(s.width, 3 * s.width, bias=False),
            nn.Linear(s.width, s.width, bias=False),
        )

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = turned(q, cos, sin), turned(k, cos, sin)
        return self.out(functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    one, other = x.chunk(2, -1)
    return x * cos + torch.cat((-other, one), -1) * sin


class Block(nn.Module):
    def __init__(self, s: ProxySettings) -> None:
        super().__init__()
        self.norm1, self.norm2, self.attention = nn.RMSNorm(s.width, 1e-5), nn.RMSNorm(s.width, 1e-5), Attention(s)
        self.gate, self.up = (nn.Linear(s.width, s.ffn, bias=False) for _ in range(2))
        self.down = nn.Linear(s.ffn, s.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x), cos, sin)
        y = self.norm2(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class Plain(nn.Module):
    """The decoder as one would write it for one model."""

    def __init__(self, s: ProxySettings) -> None:
        super().__init__()
        self.embedding = nn.Embedding(s.vocabulary, s.width)
        self.blocks, self.norm = nn.ModuleList(Block(s) for _ in range(s.layers)), nn.RMSNorm(s.width, 1e-5)
        size = s.width // s.heads
        angles = torch.outer(torch.arange(s.context), 1e4 ** (-torch.arange(0, size, 2) / size)).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids[:, :-1])
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = functional.linear(self.norm(x), self.embedding.weight)
        return functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


def random_pool(settings: ProxySettings) -> Pool:
    blocks = 500
    size = blocks * settings.context + 1
    tokens = np.random.default_rng(1).integers(settings.vocabulary, size=DOMAINS * size).astype(np.uint16)
    held = np.zeros((DOMAINS, settings.eval_sequences, settings.context + 1), np.uint16)
    return Pool(
        tuple("abcd"),
        tokens,
        np.arange(DOMAINS) * size,
        np.full(DOMAINS, blocks),
        held,
        np.ones(DOMAINS),
        np.full(DOMAINS, 0.25),
    )


def plain_step(settings: ProxySettings, pool: Pool, device: str) -> Any:
    model = Plain(settings).to(device)
    adam = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    dice, window = np.random.default_rng(2), np.arange(settings.context + 1)

    def step() -> None:
        places = dice.integers(len(pool.tokens) - settings.context - 1, size=settings.batch)
        ids = torch.from_numpy(pool.tokens[places[:, None] + window].astype(np.int64)).to(device)
        adam.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=settings.precision == "bf16"):
            loss = model(ids)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()

    return step


def run_job(job: dict[str, Any]) -> dict[str, float]:
    """Steps for so many seconds in this process: tokens per second of wall and of CPU time."""
    torch.set_num_threads(job["threads"])
    models = MODELS if job["device"] == "cpu" else GPU_MODELS
    settings = replace(models[job["model"]], precision=job.get("precision", "fp32"), steps=4000)
    pool, stack = random_pool(settings), job["stack"]
    if stack:
        step = Group(settings, pool, [Member(str(i), 1, (0.25,) * 4) for i in range(stack)], job["device"]).advance
    else:
        step = plain_step(settings, pool, job["device"])

    def settled() -> None:
        if job["device"] != "cpu":
            torch.cuda.synchronize()

    for _ in range(3):
        step()
    settled()
    wall, cpu, steps = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < job["seconds"]:
        step()
        steps += 1
        if steps % 16 == 0:
            settled()
    settled()
    tokens = steps * max(stack, 1) * settings.batch * settings.context
    return {"wall": tokens / (time.perf_counter() - wall), "cpu": tokens / (time.process_time() - cpu)}


def measure(job: dict[str, Any], processes: int) -> dict[str, float]:
    """Speeds summed over so many processes at the same time."""
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(job["threads"])}
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(processes)]
    found = [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]
    # CPU time of several threads counts every one: speed with all of them is that times their number
    return {"wall": sum(f["wall"] for f in found), "cpu": sum(f["cpu"] for f in found) * job["threads"]}


def sides(device: str, cores: int) -> dict[str, tuple[dict[str, Any], int]]:
    """Name -> job, processes."""
    if device != "cpu":
        return {
            f"{name}, {precision}": ({"stack": stack, "threads": 1, "precision": precision}, 1)
            for precision in ("fp32", "bf16")
            for name, stack in (("plain loop", 0), ("stack of 8", 8), ("stack of 64", 64), ("stack of 256", 256))
        }
    found = {
        "plain loop, one thread": ({"stack": 0, "threads": 1}, 1),
        f"plain loop, {cores} threads": ({"stack": 0, "threads": cores}, 1),
        **{f"stack of {n}, one thread": ({"stack": n, "threads": 1}, 1) for n in (1, 8, 64)},
    }
    for n in (1, 8):
        found[f"{cores} processes, stacks of {n}"] = ({"stack": n, "threads": 1}, cores)
    return found


def report(arguments: argparse.Namespace) -> str:
    device, cores = arguments.device, len(os.sched_getaffinity(0))
    kind = "wall" if device != "cpu" else "cpu"
    models = MODELS if device == "cpu" else GPU_MODELS
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for turn in range(arguments.rounds):
        for model in models:
            for side, (job, processes) in sides(device, cores).items():
                given = {**job, "model": model, "device": device, "seconds": arguments.seconds}
                found.setdefault((model, side), []).append(measure(given, processes))
                print(f"round {turn + 1}: {model}: {side}: {found[model, side][-1]}", file=sys.stderr, flush=True)
    hardware = f"{cores} cores, {platform.machine()}" if device == "cpu" else torch.cuda.get_device_name(device)
    lines = [
        "# Training speed of proxies",
        "",
        "Made by `python benchmarks/proxy_speed.py --write`; its docstring says what is measured and how. "
        f"{hardware}, torch {version('torch')}, {arguments.rounds} interleaved rounds of {arguments.seconds:g} s, median. "
        "Absolute speeds vary between machines; ratios are what counts.",
        "",
    ]
    if device == "cpu":
        lines += [f"Load of the machine as it began: {arguments.load:.1f} processes on {cores} cores.", ""]
    for model, settings in models.items():
        base = max(
            statistics.median(r[kind] for r in results)
            for (name, side), results in found.items()
            if name == model and side.startswith(("plain loop, one", "plain loop, fp32", "plain loop, bf16"))
        )
        lines += [f"## {model[0].upper()}{model[1:]}", "", f"{settings.flops_a_token / 1e6:.2f} MFLOP a token.", ""]
        lines += ["| | tokens/s, CPU time | tokens/s, wall | GFLOP/s | against the plain loop |", "|---|---|---|---|---|"]
        for (name, side), results in found.items():
            if name == model:
                speed = {k: statistics.median(r[k] for r in results) for k in ("cpu", "wall")}
                rate = speed[kind] * settings.flops_a_token
                peak = f" ({rate / 1e12 / arguments.peak_tflops:.1%} of peak)" if arguments.peak_tflops else ""
                times = f"{speed[kind] / base:.2f}"
                lines.append(f"| {side} | {speed['cpu']:,.0f} | {speed['wall']:,.0f} | {rate / 1e9:,.1f}{peak} | {times} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--peak-tflops", type=float, default=0.0)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(run_job(json.loads(arguments.job))))
        return
    arguments.load = os.getloadavg()[0]
    text = report(arguments)
    print(text)
    if arguments.write:
        name = "proxy_speed.md" if arguments.device == "cpu" else "proxy_speed_gpu.md"
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
