"""Many small Llama-style decoders as one stacked model: every weight has the proxy as its first axis.

Products are batched over proxies, so a step of M proxies costs as many calls as a step of one. No proxy sees another: the
loss is the sum of the proxies' mean losses, gradients are clipped for each by itself, and AdamW is elementwise. One that
overflows spoils its own slices only.

Source: RegMix, arXiv:2407.01492, and sail-sg/regmix for the block (RMSNorm eps 1e-5, RoPE over whole heads, SwiGLU, no bias,
sequential residual) and the initialisation; the stacking and the fused loss are ours.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from curation.mixture.proxy_settings import ProxySettings

EPSILON = 1e-5
ROPE_BASE = 10_000.0

CPU_CHUNK = 1 << 18
"""Logits held at once on a CPU, in values: a MiB stays in the cache while softmax passes over it."""

GPU_CHUNK = 1 << 28


class StackedDecoder:
    """`len(seeds)` decoders of the same settings. Weights are float32 and have the proxy as their first axis.

    `seeds`: one for each proxy; equal seeds give equal weights, whatever they are stacked with.
    """

    def __init__(self, settings: ProxySettings, seeds: Sequence[int], device: str = "cpu") -> None:
        self.settings, self.members, self.device = settings, len(seeds), torch.device(device)
        self.weights = {name: self._made(name, shape, seeds) for name, shape in shapes(settings).items()}
        self._cos, self._sin = _rotations(settings, self.device)
        self._product = torch.bfloat16 if settings.precision == "bf16" else torch.float32

    def _made(self, name: str, shape: tuple[int, ...], seeds: Sequence[int]) -> Tensor:
        made = torch.ones(self.members, *shape)
        deviation = _deviation(self.settings, name)
        if deviation:
            for member, seed in enumerate(seeds):
                digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
                generator = torch.Generator().manual_seed(int.from_bytes(digest) >> 1)
                made[member].normal_(0.0, deviation, generator=generator)
        return made.to(self.device).requires_grad_()

    def losses(self, ids: Tensor) -> Tensor:
        """Mean cross-entropy in nats of each proxy: float32 (M,), from int64 (M, B, T + 1) tokens."""
        return _HeadLoss.apply(*self._head(ids))

    @torch.no_grad()
    def token_losses(self, ids: Tensor) -> Tensor:
        """Cross-entropy in nats of every predicted token: float32 (M, B * T)."""
        hidden, table, targets = self._head(ids)
        found = torch.empty(targets.shape, device=self.device)
        for some, piece in _pieces(hidden, table):
            logits = torch.bmm(hidden[some, piece], table[some].transpose(1, 2)).float()
            found[some, piece] = functional.cross_entropy(logits.transpose(1, 2), targets[some, piece], reduction="none")
        return found

    def _head(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self._hidden(ids[:, :, :-1]).to(self._product)
        table = self.weights["embedding" if self.settings.tied else "output"].to(self._product)
        return hidden, table, ids[:, :, 1:].reshape(self.members, -1)

    def _hidden(self, ids: Tensor) -> Tensor:
        """Normalised output of the last block, (M, B * T, width)."""
        w, s = self.weights, self.settings
        first = torch.arange(self.members, device=self.device).view(-1, 1) * s.vocabulary
        x = functional.embedding(ids.reshape(self.members, -1) + first, w["embedding"].view(-1, s.width))
        for layer in range(s.layers):
            x = x + self._attended(_normed(x, w[f"{layer}.norm1"]), layer, ids.shape[1])
            gate, up = self._times(_normed(x, w[f"{layer}.norm2"]), f"{layer}.gate_up").chunk(2, -1)
            x = x + self._times(functional.silu(gate) * up, f"{layer}.down")
        return _normed(x, w["norm"])

    def _times(self, x: Tensor, name: str) -> Tensor:
        return torch.bmm(x.to(self._product), self.weights[name].to(self._product))

    def _attended(self, x: Tensor, layer: int, batch: int) -> Tensor:
        s = self.settings
        size = s.width // s.heads
        mixed = self._times(x, f"{layer}.qkv").view(self.members * batch, -1, 3, s.heads, size)
        q, k, v = mixed.permute(2, 0, 3, 1, 4)
        length = q.shape[2]
        q, k = self._rotated(q, length), self._rotated(k, length)
        # proxies are folded into the batch: under vmap this would fall back to the slow kernel
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self._times(seen.transpose(1, 2).reshape(self.members, -1, s.width), f"{layer}.out")

    def _rotated(self, x: Tensor, length: int) -> Tensor:
        half = x.shape[-1] // 2
        cos, sin = self._cos[:length].to(x.dtype), self._sin[:length].to(x.dtype)
        return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def shapes(settings: ProxySettings) -> dict[str, tuple[int, ...]]:
    """The weights of one proxy: name -> shape. Matrices are (in, out), tables (vocabulary, width)."""
    d, f = settings.width, settings.ffn
    found: dict[str, tuple[int, ...]] = {"embedding": (settings.vocabulary, d)}
    for layer in range(settings.layers):
        block = {"norm1": (1, d), "qkv": (d, 3 * d), "out": (d, d), "norm2": (1, d), "gate_up": (d, 2 * f), "down": (f, d)}
        found |= {f"{layer}.{name}": shape for name, shape in block.items()}
    found["norm"] = (1, d)
    return found if settings.tied else {**found, "output": (settings.vocabulary, d)}


def _deviation(settings: ProxySettings, name: str) -> float:
    """Standard deviation a weight is drawn with; 0 for those of norms, which begin at 1."""
    if "norm" in name:
        return 0.0
    if name.endswith("down"):
        return 1 / (math.sqrt(settings.ffn) * settings.layers)
    return math.sqrt(2 / (5 * settings.width))


def _rotations(settings: ProxySettings, device: torch.device) -> tuple[Tensor, Tensor]:
    size = settings.width // settings.heads
    rates = ROPE_BASE ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.outer(torch.arange(settings.context, dtype=torch.float64), rates).repeat(1, 2)
    return angles.cos().float().to(device), angles.sin().float().to(device)


def _normed(x: Tensor, weight: Tensor) -> Tensor:
    return functional.rms_norm(x.float(), x.shape[-1:], eps=EPSILON) * weight


def _pieces(hidden: Tensor, table: Tensor) -> Iterator[tuple[slice, slice]]:
    """Ranges of proxies and of their tokens whose logits fit a chunk together."""
    members, tokens, _ = hidden.shape
    most = (CPU_CHUNK if hidden.device.type == "cpu" else GPU_CHUNK) // table.shape[1]
    some, rows = max(1, most // tokens), max(1, min(tokens, most))
    for member in range(0, members, some):
        for row in range(0, tokens, rows):
            yield slice(member, member + some), slice(row, row + rows)


class _HeadLoss(torch.autograd.Function):
    """Output layer and cross-entropy in one: logits live a chunk at a time, and their gradient is made where they lie."""

    @staticmethod
    def forward(ctx, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:  # type: ignore[override]
        members, count = targets.shape
        to_hidden, to_table = torch.empty_like(hidden), torch.zeros_like(table, dtype=torch.float32)
        total = torch.zeros(members, device=hidden.device)
        for some, piece in _pieces(hidden, table):
            rows, weights, wanted = hidden[some, piece], table[some], targets[some, piece, None]
            logits = torch.bmm(rows, weights.transpose(1, 2)).float()
            logits -= logits.amax(-1, keepdim=True)
            chosen = logits.gather(-1, wanted)
            sums = logits.exp_().sum(-1, keepdim=True)
            total[some] += (sums.log() - chosen).sum((1, 2))
            logits /= sums * count
            logits.scatter_add_(-1, wanted, torch.full_like(chosen, -1 / count))
            slope = logits.to(hidden.dtype)
            to_hidden[some, piece] = torch.bmm(slope, weights)
            if slope.dtype == to_table.dtype:
                to_table[some].baddbmm_(slope.transpose(1, 2), rows)
            else:
                to_table[some] += torch.bmm(slope.transpose(1, 2), rows)
        ctx.save_for_backward(to_hidden, to_table)
        return total / count

    @staticmethod
    def backward(ctx, slope: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        to_hidden, to_table = ctx.saved_tensors
        scale = slope.view(-1, 1, 1)
        return to_hidden * scale.to(to_hidden.dtype), to_table * scale, None
