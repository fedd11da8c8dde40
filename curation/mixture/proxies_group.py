"""Training one group of proxies as one stacked model, with a checkpoint from which it goes on as if nothing had happened.

Source: RegMix, arXiv:2407.01492, and sail-sg/regmix (AdamW, weight decay on everything, clipping, evaluation by domain).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from curation.mixture.proxies_model import StackedDecoder
from curation.mixture.proxy_data import Pool, drawn
from curation.mixture.proxy_settings import ProxySettings

FINAL_SHARE = 0.1
"""Share of the steps, the last ones, over which the training loss of a row is averaged."""


@dataclass(frozen=True)
class Member:
    """One proxy to train: the name of its run, its seed, its weights in the order of the pool's domains."""

    run: str
    seed: int
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Outcome:
    """A finished proxy: bits per byte on the held-out text of each domain, mean training loss (nats per token) of the last
    steps, and the first step, from 1, whose loss was not a number (0: none; the losses are NaN then)."""

    bits_a_byte: tuple[float, ...]
    training_loss: float
    diverged_at: int


class Group:
    """Proxies that train as one. `state`: file of the checkpoint, or None; what it holds is the state after a step."""

    def __init__(
        self, settings: ProxySettings, pool: Pool, members: Sequence[Member], device: str = "cpu", state: Path | None = None
    ) -> None:
        self.settings, self.pool, self.members, self.device, self._state = settings, pool, members, device, state
        self.model = StackedDecoder(settings, [member.seed for member in members], device)
        parameters = list(self.model.weights.values())
        self._adam = torch.optim.AdamW(
            parameters, lr=settings.learning_rate, betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay, fused=True,
        )  # fmt: skip
        self._places = np.stack([drawn(pool, settings, member.weights, member.seed) for member in members])
        self._tokens = _Tokens(pool.tokens, settings.context, device)
        self.step = 0
        self._bad = torch.zeros(len(members), dtype=torch.int64, device=device)
        self._sum = torch.zeros(len(members), device=device)
        if state is not None and state.exists():
            self._restore(torch.load(state, map_location=device, weights_only=True))

    def advance(self) -> Tensor:
        """One step of all proxies; the losses before it, (members,). A proxy whose loss is not a number is marked."""
        s = self.settings
        for group in self._adam.param_groups:
            group["lr"] = s.rate(self.step)
        begin = self.step * s.batch
        losses = self.model.losses(self._tokens.read(self._places[:, begin : begin + s.batch]))
        self._adam.zero_grad(set_to_none=True)
        losses.sum().backward()
        clip_each(list(self.model.weights.values()), s.clip)
        self._adam.step()
        self.step += 1
        found = losses.detach()
        self._bad = torch.where((self._bad == 0) & ~found.isfinite(), self.step, self._bad)
        if self.step > s.steps * (1 - FINAL_SHARE):
            self._sum += found
        return found

    def train(self, every_s: float = 60.0, tell: Callable[[int], bool] = lambda step: True) -> list[Outcome] | None:
        """Train to the end and evaluate. A checkpoint is written every so many seconds. `tell` hears of every step and
        returns whether to go on; when not, a checkpoint is written and None returned."""
        saved = time.monotonic()
        while self.step < self.settings.steps:
            self.advance()
            going = tell(self.step)
            if not going or time.monotonic() - saved >= every_s:
                self.save()
                saved = time.monotonic()
            if not going:
                return None
        return self.evaluate()

    @torch.no_grad()
    def evaluate(self) -> list[Outcome]:
        """Every proxy on the same held-out sequences of every domain."""
        s, members = self.settings, len(self.members)
        nats = torch.zeros(members, len(self.pool.names), dtype=torch.float64, device=self.device)
        for j in range(len(self.pool.names)):
            held = torch.from_numpy(self.pool.held_out[j].astype(np.int64)).to(self.device)
            for batch in held.split(s.batch):
                ids = batch.expand(members, *batch.shape)
                nats[:, j] += self.model.token_losses(ids).double().sum(1)
        predicted = s.eval_sequences * s.context
        bits = nats.cpu().numpy() / (predicted * math.log(2) * self.pool.bytes_a_token)
        last = self._sum.cpu().numpy() / sum(step > s.steps * (1 - FINAL_SHARE) for step in range(1, s.steps + 1))
        bad = [
            int(step) or (0 if np.isfinite(row).all() else s.steps) for step, row in zip(self._bad.tolist(), bits, strict=True)
        ]
        lost = (math.nan,) * len(self.pool.names)
        return [
            Outcome(lost if bad[m] else tuple(bits[m].tolist()), math.nan if bad[m] else float(last[m]), bad[m])
            for m in range(members)
        ]

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        if self._state is None:
            return
        made = self._state.with_suffix(f".{os.getpid()}.tmp")
        weights = {name: weight.detach() for name, weight in self.model.weights.items()}
        held = {"step": self.step, "weights": weights, "adam": self._adam.state_dict(), "bad": self._bad, "sum": self._sum}
        with made.open("wb") as stream:
            torch.save(held, stream)
            stream.flush()
            os.fsync(stream.fileno())
        made.replace(self._state)

    def _restore(self, held: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, weight in self.model.weights.items():
                weight.copy_(held["weights"][name])
        self._adam.load_state_dict(held["adam"])
        self.step, self._bad, self._sum = held["step"], held["bad"], held["sum"]


def clip_each(parameters: Sequence[Tensor], most: float) -> None:
    """Scale the gradients of each proxy so that their norm over all weights is at most `most`."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    squares = sum(gradient.flatten(1).square().sum(1) for gradient in gradients)
    scale = (most / (torch.as_tensor(squares).sqrt() + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))


class _Tokens:
    """The pool's tokens where the model is: mapped on a CPU, copied to a GPU once (two bytes a token)."""

    def __init__(self, tokens: np.ndarray, context: int, device: str) -> None:
        self._host, self._device = tokens, torch.device(device)
        self._window = np.arange(context + 1)
        if self._device.type != "cpu":
            # uint16 has few kernels on a GPU; the same bits as int16 have all that is needed
            self._there = torch.from_numpy(np.array(tokens).view(np.int16)).to(self._device)
            self._window_there = torch.from_numpy(self._window).to(self._device)

    def read(self, places: np.ndarray) -> Tensor:
        """The sequences that begin at `places` (M, B): int64 (M, B, context + 1)."""
        if self._device.type == "cpu":
            return torch.from_numpy(self._host[places[..., None] + self._window].astype(np.int64))
        first = torch.from_numpy(places).to(self._device, non_blocking=True)
        return self._there[first.unsqueeze(-1) + self._window_there].long() & 0xFFFF
