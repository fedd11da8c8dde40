"""The stacked decoder: one member of a stack is the model trained alone, and that model is a plain Llama-style decoder."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from proxy_cases import SMALL, make_pool
from torch.nn import functional

from curation.mixture.proxies_group import Group, Member, clip_each
from curation.mixture.proxies_model import StackedDecoder, _HeadLoss, shapes
from curation.mixture.proxy_settings import ProxySettings

MIXTURES = ((1.0, 0.0, 0.0), (0.2, 0.3, 0.5), (0.0, 0.5, 0.5), (1 / 3, 1 / 3, 1 / 3))
MEMBERS = [Member(str(i), 11 + i, mixture) for i, mixture in enumerate(MIXTURES)]


@pytest.mark.parametrize("tied", [True, False])
def test_stacked_training_equals_separate_training(tied: bool) -> None:
    settings = replace(SMALL, steps=50, tied=tied)
    pool = make_pool(settings)
    together = Group(settings, pool, MEMBERS)
    losses = torch.stack([together.advance() for _ in range(50)])
    outcomes = together.evaluate()
    for place, member in enumerate(MEMBERS):
        alone = Group(settings, pool, [member])
        own = torch.cat([alone.advance() for _ in range(50)])
        assert (own - losses[:, place]).abs().max() < 1e-5
        np.testing.assert_allclose(alone.evaluate()[0].bits_a_byte, outcomes[place].bits_a_byte, atol=1e-5)
    assert losses[-5:].mean() < losses[:5].mean() - 0.1  # it learns, or equality would say little


def test_the_order_of_members_permutes_the_outcomes() -> None:
    pool = make_pool(SMALL)
    forward, backward = (Group(SMALL, pool, members).train() for members in (MEMBERS, MEMBERS[::-1]))
    assert forward is not None and backward is not None
    for one, other in zip(forward, backward[::-1], strict=True):
        np.testing.assert_allclose(one.bits_a_byte, other.bits_a_byte, atol=1e-6)


def plain_loss(settings: ProxySettings, weights: dict[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
    """One decoder written out: complex rotations, an explicit mask, a plain cross-entropy. `ids`: (B, T + 1)."""

    def normed(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight[0]

    def turned(x: torch.Tensor) -> torch.Tensor:  # (B, H, T, size), halves are real and imaginary parts
        half = x.shape[-1] // 2
        rates = 10_000.0 ** (-torch.arange(half) / half)
        angle = torch.outer(torch.arange(x.shape[-2]).float(), rates)
        whole = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat((whole.real, whole.imag), -1)

    given, size = ids[:, :-1], settings.width // settings.heads
    x = weights["embedding"][given]
    mask = torch.full((given.shape[1],) * 2, -math.inf).triu(1)
    for layer in range(settings.layers):
        w = {name: weights[f"{layer}.{name}"] for name in ("norm1", "qkv", "out", "norm2", "gate_up", "down")}
        heads = (normed(x, w["norm1"]) @ w["qkv"]).unflatten(-1, (3, settings.heads, size)).permute(2, 0, 3, 1, 4)
        q, k, v = turned(heads[0]), turned(heads[1]), heads[2]
        seen = (q @ k.transpose(-1, -2) / math.sqrt(size) + mask).softmax(-1) @ v
        x = x + seen.transpose(1, 2).flatten(2) @ w["out"]
        gate, up = (normed(x, w["norm2"]) @ w["gate_up"]).chunk(2, -1)
        x = x + (gate * gate.sigmoid() * up) @ w["down"]
    logits = normed(x, weights["norm"]) @ weights["embedding" if settings.tied else "output"].T
    return functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


@pytest.mark.parametrize("tied", [True, False])
def test_losses_and_gradients_are_those_of_a_plain_decoder(tied: bool) -> None:
    settings = replace(SMALL, tied=tied)
    model = StackedDecoder(settings, [5, 6])
    ids = torch.randint(settings.vocabulary, (2, 3, settings.context + 1), generator=torch.Generator().manual_seed(1))
    losses = model.losses(ids)
    losses.sum().backward()
    by_token = model.token_losses(ids)
    for member in range(2):
        own = {name: weight[member].detach().clone().requires_grad_() for name, weight in model.weights.items()}
        expected = plain_loss(settings, own, ids[member])
        expected.backward()
        assert abs(expected.item() - losses[member].item()) < 1e-5
        assert abs(expected.item() - by_token[member].mean().item()) < 1e-5
        for name, weight in own.items():
            torch.testing.assert_close(model.weights[name].grad[member], weight.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("chunk", [1, 300, 7 * 300, 1 << 30])
def test_the_fused_loss_is_cross_entropy_at_any_chunk(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.mixture.proxies_model.CPU_CHUNK", chunk)
    dice = torch.Generator().manual_seed(2)
    hidden = torch.randn(3, 20, 8, generator=dice, requires_grad=True)
    table = torch.randn(3, 300, 8, generator=dice, requires_grad=True)
    targets = torch.randint(300, (3, 20), generator=dice)
    factors = torch.tensor([1.0, 2.0, 0.5])
    (_HeadLoss.apply(hidden, table, targets) * factors).sum().backward()
    found = hidden.grad, table.grad
    hidden.grad = table.grad = None
    logits = torch.bmm(hidden, table.transpose(1, 2))
    expected = functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none").mean(1)
    (expected * factors).sum().backward()
    torch.testing.assert_close(found[0], hidden.grad, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found[1], table.grad, atol=1e-6, rtol=1e-4)


def test_gradients_are_clipped_for_each_proxy_by_itself() -> None:
    dice = torch.Generator().manual_seed(4)
    shapes_ = [(3, 4, 5), (3, 1, 7)]
    slopes = [torch.randn(*shape, generator=dice) * torch.tensor([0.01, 1.0, 50.0]).view(3, 1, 1) for shape in shapes_]
    parameters = [torch.zeros(shape, requires_grad=True) for shape in shapes_]
    for parameter, slope in zip(parameters, slopes, strict=True):
        parameter.grad = slope.clone()
    clip_each(parameters, 1.0)
    for member in range(3):
        alone = [torch.zeros(shape[1:], requires_grad=True) for shape in shapes_]
        for parameter, slope in zip(alone, slopes, strict=True):
            parameter.grad = slope[member].clone()
        torch.nn.utils.clip_grad_norm_(alone, 1.0)
        for parameter, own in zip(parameters, alone, strict=True):
            torch.testing.assert_close(parameter.grad[member], own.grad)


def test_equal_seeds_are_equal_weights_and_a_diverged_proxy_harms_no_other() -> None:
    pool = make_pool(SMALL)
    members = [Member("a", 1, MIXTURES[1]), Member("b", 1, MIXTURES[2]), Member("c", 2, MIXTURES[2])]
    group, healthy = Group(SMALL, pool, members), Group(SMALL, pool, members)
    weights = group.model.weights["0.qkv"]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    for _ in range(9):
        group.advance(), healthy.advance()
    with torch.no_grad():
        weights[1] *= math.inf
    spoiled, whole = group.train(), healthy.train()
    assert spoiled is not None and whole is not None
    assert spoiled[0] == whole[0] and spoiled[2] == whole[2]
    assert spoiled[1].diverged_at == 10 and all(math.isnan(bits) for bits in spoiled[1].bits_a_byte)
    assert math.isnan(spoiled[1].training_loss) and not whole[1].diverged_at


def test_a_proxy_learns_what_it_reads_and_not_what_it_does_not() -> None:
    settings = replace(SMALL, steps=300, learning_rate=1e-2)
    pool = make_pool(settings, blocks=2000)  # more than is read: nothing to memorise
    outcomes = Group(settings, pool, [Member(str(j), 1, tuple(map(float, np.eye(3)[j]))) for j in range(3)]).train()
    assert outcomes is not None
    bits = np.array([outcome.bits_a_byte for outcome in outcomes])
    # 100 tokens at random, two bytes each: nothing predicts them with fewer than log2(100) / 2 bits a byte
    least = math.log2(100) / 2
    assert (np.abs(np.diag(bits) - least) < 0.05).all()
    assert (bits[~np.eye(3, dtype=bool)] > least + 0.3).all()


def test_the_published_sizes() -> None:
    from curation.mixture.proxy_settings import PRESETS

    published = PRESETS["regmix-1m"]
    counted = sum(math.prod(shape) for shape in shapes(published).values())
    assert counted == published.parameters and round(counted / 1e6, 1) == 27.1
    assert round(published.inner_parameters / 1e6, 3) == 1.312
    assert round(published.flops_a_token / 1e6) == 92 and published.tokens == 1_048_576_000
    assert sum(math.prod(shape) for shape in shapes(SMALL).values()) == SMALL.parameters


def test_bf16_is_near_fp32() -> None:
    pool = make_pool(SMALL)
    exact, rough = (Group(replace(SMALL, precision=p), pool, MEMBERS).train() for p in ("fp32", "bf16"))
    assert exact is not None and rough is not None
    for one, other in zip(exact, rough, strict=True):
        np.testing.assert_allclose(other.bits_a_byte, one.bits_a_byte, rtol=0.02)
        assert other.bits_a_byte != one.bits_a_byte
