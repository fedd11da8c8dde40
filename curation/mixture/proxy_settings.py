"""What a proxy model is and how long it trains: the settings, two presets, and what they cost before anything starts.

Source: RegMix, Liu et al., arXiv:2407.01492 and sail-sg/regmix (the decoder's shape, initialisation and optimiser of its
"1M" proxies); the count of FLOPs is ours: it includes the output layer, which is most of a small model's work.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curation.errors import RecipeError, explain_mismatch

SCHEDULES = ("constant", "linear", "cosine")
DRAWS = ("even", "independent")
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class ProxySettings:
    """One kind of proxy: every proxy of a run has the same, only mixtures and seeds differ.

    The decoder: `layers`; `heads`; `width` of the residual stream, a multiple of 2 x heads; `ffn`, width inside the
    SwiGLU; `vocabulary`, entries of the embedding, 257 to 65,536; `context`, tokens of a sequence; `tied`: the output
    layer is the embedding.
    Training: `batch` sequences a step; `steps`; `learning_rate` after `warmup` steps, then by `schedule` ("constant",
    or "linear" or "cosine" down to `final_share` of it); AdamW with `weight_decay`, `beta1`, `beta2`; `clip`, the norm
    gradients are clipped to, of each proxy by itself.
    Data: `draws`, how a sequence gets its domain: "even" (shares are met to a sequence or so) or "independent" (at
    random, as published); `held_out`, share of each domain's documents that is only evaluated on; `eval_sequences` a
    domain, the same for all proxies; `pool_mb`, 10**6 bytes of text a domain takes part with (of larger ones, the
    documents with the smallest hashes); `tokenizer`, a file of the library `tokenizers`, or "" to train a byte-level BPE
    on the text; `separator`, its token between documents.
    `seed`: of weights and order of data; a run adds a number to it for repetitions. `precision`: "fp32", or "bf16" for
    the products on a GPU. `stack`: proxies trained as one; 0 takes 64 on a GPU, and on a CPU what its caches like best.

    Raises RecipeError on a value that does not fit.
    """

    layers: int = 2
    heads: int = 4
    width: int = 64
    ffn: int = 192
    vocabulary: int = 1024
    context: int = 128
    tied: bool = True
    batch: int = 2
    steps: int = 600
    learning_rate: float = 4e-3
    warmup: int = 50
    schedule: str = "linear"
    final_share: float = 0.0
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    draws: str = "even"
    held_out: float = 0.1
    eval_sequences: int = 128
    pool_mb: float = 64.0
    tokenizer: str = ""
    separator: str = "<|endoftext|>"
    seed: int = 42
    precision: str = "fp32"
    stack: int = 0

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "width", "ffn", "context", "batch", "steps", "eval_sequences"):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        for name in ("warmup", "final_share", "weight_decay", "stack"):
            self._check(name, getattr(self, name) >= 0, "0 or more")
        for name in ("learning_rate", "clip", "pool_mb"):
            self._check(name, getattr(self, name) > 0, "more than 0")
        for name in ("beta1", "beta2"):
            self._check(name, 0 <= getattr(self, name) < 1, "from 0 to below 1")
        self._check("width", self.width % (2 * self.heads) == 0, f"a multiple of 2 x heads = {2 * self.heads}")
        self._check("vocabulary", 257 <= self.vocabulary <= 1 << 16, "257 (bytes and a separator) to 65,536")
        self._check("held_out", 0 < self.held_out <= 0.5, "above 0, at most 0.5")
        for name, among in (("schedule", SCHEDULES), ("draws", DRAWS), ("precision", PRECISIONS)):
            self._check(name, getattr(self, name) in among, " or ".join(among))

    def _check(self, name: str, fits: bool, wanted: str) -> None:
        if not fits:
            raise RecipeError(explain_mismatch(f"mixture/proxies: {name}", wanted=wanted, found=repr(getattr(self, name))))

    @property
    def inner_parameters(self) -> int:
        """Parameters but those of embedding and output layer."""
        block = 4 * self.width**2 + 3 * self.width * self.ffn + 2 * self.width
        return self.layers * block + self.width

    @property
    def parameters(self) -> int:
        """All parameters of one proxy."""
        return self.inner_parameters + (1 if self.tied else 2) * self.vocabulary * self.width

    @property
    def tokens(self) -> int:
        """Tokens one proxy is trained on."""
        return self.steps * self.batch * self.context

    @property
    def flops_a_token(self) -> int:
        """FLOPs of training on one token: 6 for every weight it is multiplied with, the output layer's included, and 6 for
        every layer, width and token of context in causal attention."""
        weights = self.inner_parameters + self.vocabulary * self.width
        return 6 * weights + 6 * self.layers * self.width * self.context

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        left = 1 - done if self.schedule == "linear" else _cosine(done)
        return self.learning_rate * (self.final_share + (1 - self.final_share) * left)


def _cosine(done: float) -> float:
    from math import cos, pi

    return 0.5 * (1 + cos(pi * done))


PRESETS: Mapping[str, ProxySettings] = {
    "tiny": ProxySettings(),
    "regmix-1m": ProxySettings(
        layers=2, heads=8, width=256, ffn=512, vocabulary=50_432, context=2048, tied=False, batch=512, steps=1000,
        learning_rate=4e-4, warmup=100, schedule="constant", draws="independent", eval_sequences=800, pool_mb=5000.0,
    ),
}  # fmt: skip
"""`tiny`: minutes for 64 proxies on two cores. `regmix-1m`: as published, but for the tokenizer, which is to be named, and
the domains' order of sequences; 4.7e19 FLOPs for 512 proxies."""


def settings_of(preset: str, changes: Sequence[str] = ()) -> ProxySettings:
    """A preset with changes written `field=value`. Raises RecipeError on an unknown preset or field or a value that does
    not fit."""
    if preset not in PRESETS:
        raise RecipeError(explain_mismatch("mixture/proxies: preset", wanted=" or ".join(PRESETS), found=repr(preset)))
    kinds = {field.name: type(field.default) for field in dataclasses.fields(ProxySettings)}
    values: dict[str, object] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if name not in kinds or not equals:
            raise RecipeError(
                explain_mismatch("mixture/proxies: --set", wanted=f"field=value, fields: {', '.join(kinds)}", found=change)
            )
        values[name] = _parsed(name, text, kinds[name])
    return dataclasses.replace(PRESETS[preset], **values)  # type: ignore[arg-type]


def _parsed(name: str, text: str, kind: type) -> object:
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return kind(text) if kind is not bool else bool(int(text))
    except ValueError:
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise RecipeError(explain_mismatch(f"mixture/proxies: {name}", wanted=wanted, found=repr(text))) from None


def cost(settings: ProxySettings, proxies: int) -> str:
    """What a run will do, in a line: parameters, tokens and FLOPs of one proxy and of all."""
    each = settings.flops_a_token * settings.tokens
    return (
        f"{proxies} proxies of {settings.parameters / 1e6:.3g}M parameters ({settings.inner_parameters / 1e6:.3g}M inside), "
        f"{settings.tokens / 1e6:,.3g}M tokens each: {each:.2e} FLOPs each, {each * proxies:.2e} in all"
    )
