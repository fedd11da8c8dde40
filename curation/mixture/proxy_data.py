"""Tokens for proxies: a tokenizer, a pool of tokens by domain, the sequences held out, and who reads what when.

Every draw is a function of (seed, domain, how many sequences of that domain came before), and which domain the i-th
sequence comes from is decided by the i-th of one row of numbers for all proxies. So proxies differ by their mixtures as
little as possible: equal mixtures read equal sequences, near ones nearly equal ones.

Source: RegMix, arXiv:2407.01492, and sail-sg/regmix (a domain is drawn for each sequence; a domain that runs out begins
again); even draws by the golden ratio, reshuffling at every epoch and the pairing are ours.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import InputError, MixtureError, explain_mismatch
from curation.mixture.proxy_settings import ProxySettings
from curation.mixture.proxy_text import DomainText

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SAMPLE_BYTES = 1 << 20
"""Text of each domain the tokenizer is trained on: the same of all, so that small domains get tokens of their own."""

ENCODED_AT_ONCE = 256


@dataclass(frozen=True)
class Pool:
    """Tokens of all domains in one uint16 array.

    `names`, sorted; domain j's training tokens are `tokens[starts[j]:starts[j] + (blocks[j] * context + 1)]`, read in
    blocks of context + 1 tokens that overlap by one. `held_out`: (domains, eval_sequences, context + 1).
    `bytes_a_token`: UTF-8 bytes of the held-out text over its tokens. `natural`: shares of all text in bytes.
    """

    names: tuple[str, ...]
    tokens: NDArray[np.uint16]
    starts: NDArray[np.int64]
    blocks: NDArray[np.int64]
    held_out: NDArray[np.uint16]
    bytes_a_token: NDArray[np.float64]
    natural: NDArray[np.float64]

    def digest(self) -> str:
        """Of everything a proxy reads, in hexadecimal."""
        state = hashlib.blake2b(json.dumps([self.names, self.bytes_a_token.tolist()]).encode(), digest_size=16)
        for array in (self.tokens, self.starts, self.blocks, self.held_out):
            state.update(np.ascontiguousarray(array).data)
        return state.hexdigest()

    def save(self, folder: Path) -> None:
        """Write the pool as files of which the large ones are mapped, not read: all workers share tokens.npy."""
        np.save(folder / "tokens.npy", self.tokens)
        np.save(folder / "held_out.npy", self.held_out)
        facts = {name: getattr(self, name).tolist() for name in (*_WHOLE, *_SHARES)}
        text = json.dumps({"names": self.names, **facts}, indent=1, ensure_ascii=False)
        (folder / "pool.json").write_text(text + "\n", encoding="utf-8")


_WHOLE, _SHARES = ("starts", "blocks"), ("bytes_a_token", "natural")


def load_pool(folder: Path) -> Pool:
    """A pool as `save` wrote it, its tokens mapped."""
    facts = json.loads((folder / "pool.json").read_text(encoding="utf-8"))
    starts, blocks = (np.array(facts[name], dtype=np.int64) for name in _WHOLE)
    ratios, natural = (np.array(facts[name], dtype=np.float64) for name in _SHARES)
    tokens, held_out = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("tokens", "held_out"))
    return Pool(tuple(facts["names"]), tokens, starts, blocks, held_out, ratios, natural)


def tokenizer_for(settings: ProxySettings, domains: Mapping[str, DomainText]) -> Tokenizer:
    """The tokenizer named in the settings, or a byte-level BPE trained on an equal amount of text of every domain.

    Raises InputError where the file has more entries than the vocabulary, or no such separator.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MixtureError(missing_extra("tokenizers")) from None
    if not settings.tokenizer:
        return _trained(settings, domains)
    found = Tokenizer.from_file(settings.tokenizer)
    if found.get_vocab_size() > settings.vocabulary or found.token_to_id(settings.separator) is None:
        wanted = f"at most {settings.vocabulary:,} entries, {settings.separator!r} among them"
        hint = "--set vocabulary=N, or --set separator=TOKEN"
        raise InputError(explain_mismatch(settings.tokenizer, wanted=wanted, found=f"{found.get_vocab_size():,}", hint=hint))
    return found


def missing_extra(module: str) -> str:
    """The message for a library of the extra `neural` that is not there."""
    return f"proxies need {module}, which is not installed\n  try:    pip install 'curation[neural]'"


def _trained(settings: ProxySettings, domains: Mapping[str, DomainText]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary, special_tokens=[settings.separator], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), max_token_length=64,
    )  # fmt: skip
    made.train_from_iterator(_sample(domains), trainer)
    return made


def _sample(domains: Mapping[str, DomainText]) -> list[str]:
    found = []
    for domain in domains.values():
        left = SAMPLE_BYTES
        for text in domain.texts:
            found.append(text[:left])
            left -= len(text)
            if left <= 0:
                break
    return found


def build_pool(settings: ProxySettings, domains: Mapping[str, DomainText], tokenizer: Tokenizer) -> Pool:
    """Encode every domain, with documents held out. Raises MixtureError where a domain has too few tokens."""
    separator: int = tokenizer.token_to_id(settings.separator)  # type: ignore[assignment]
    total = sum(domain.bytes for domain in domains.values())
    trained, held, ratios, natural = [], [], [], []
    for name, domain in domains.items():
        cut = _cut(domain.texts, settings.held_out)
        kept_back = _encoded(tokenizer, domain.texts[:cut], separator)
        held.append(_evaluated(name, kept_back, settings))
        ratios.append(sum(len(text.encode("utf-8", "surrogatepass")) for text in domain.texts[:cut]) / len(kept_back))
        tokens = _encoded(tokenizer, domain.texts[cut:], separator)
        blocks = (len(tokens) - 1) // settings.context
        if blocks < 1:
            raise MixtureError(_too_few(name, "train on", settings.context + 1, len(tokens)))
        trained.append(tokens[: blocks * settings.context + 1])
        natural.append(domain.bytes / total)
    sizes = np.array([len(tokens) for tokens in trained], dtype=np.int64)
    return Pool(
        names=tuple(domains), tokens=np.concatenate(trained), starts=np.cumsum(sizes) - sizes,
        blocks=(sizes - 1) // settings.context, held_out=np.stack(held), bytes_a_token=np.array(ratios),
        natural=np.array(natural),
    )  # fmt: skip


def _cut(texts: Sequence[str], share: float) -> int:
    """How many of the first texts are held out: enough for a share of the characters, and one is left to train on."""
    sizes = np.cumsum([len(text) for text in texts])
    return int(min(np.searchsorted(sizes, share * sizes[-1]) + 1, max(len(texts) - 1, 0)))


def _encoded(tokenizer: Tokenizer, texts: Sequence[str], separator: int) -> NDArray[np.uint16]:
    """Token ids of the texts, the separator after each."""
    found: list[NDArray[np.uint16]] = []
    for start in range(0, len(texts), ENCODED_AT_ONCE):
        for encoding in tokenizer.encode_batch_fast(list(texts[start : start + ENCODED_AT_ONCE]), add_special_tokens=False):
            found.append(np.array([*encoding.ids, separator], dtype=np.uint16))
    return np.concatenate(found) if found else np.empty(0, np.uint16)


def _evaluated(name: str, tokens: NDArray[np.uint16], settings: ProxySettings) -> NDArray[np.uint16]:
    """Sequences spread evenly over the held-out tokens, (eval_sequences, context + 1)."""
    blocks = (len(tokens) - 1) // settings.context
    if blocks < settings.eval_sequences:
        raise MixtureError(_too_few(name, "evaluate on", settings.eval_sequences * settings.context + 1, len(tokens)))
    chosen = np.arange(settings.eval_sequences) * blocks // settings.eval_sequences
    return tokens[chosen[:, None] * settings.context + np.arange(settings.context + 1)]


def _too_few(name: str, purpose: str, wanted: int, found: int) -> str:
    hint = "give the domain more text, or lower eval_sequences or context, or raise held_out with --set"
    return explain_mismatch(
        f"domain {name!r}: tokens to {purpose}", wanted=f"at least {wanted:,}", found=f"{found:,}", hint=hint
    )


def drawn(pool: Pool, settings: ProxySettings, weights: Sequence[float], seed: int) -> NDArray[np.int64]:
    """First token of every sequence a proxy reads, (steps * batch,). `weights`: one for each domain of the pool."""
    count = settings.steps * settings.batch
    chosen = _domains_of(np.asarray(weights, dtype=np.float64), _numbers(settings.draws, seed, count))
    found = np.empty(count, dtype=np.int64)
    for j, name in enumerate(pool.names):
        places = np.flatnonzero(chosen == j)
        order = _order(int(pool.blocks[j]), len(places), seed, name)
        found[places] = pool.starts[j] + order * settings.context
    return found


def _numbers(draws: str, seed: int, count: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) that decide on domains. "even": steps of the golden ratio, of which every interval gets its share
    of any stretch to within a few."""
    if draws == "independent":
        return _generator(seed, "domains").random(count)
    ratio = (math.sqrt(5) - 1) / 2
    return np.mod(_generator(seed, "domains").random() + ratio * np.arange(count), 1.0)


def _domains_of(weights: NDArray[np.float64], numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """The domain of each sequence: the interval of the running sum of weights its number falls in."""
    ends = np.cumsum(weights / weights.sum())
    ends[np.flatnonzero(weights)[-1] :] = 1.0  # rounding must not give the last piece to a domain of weight 0
    return np.searchsorted(ends, numbers, side="right")


def _order(blocks: int, count: int, seed: int, name: str) -> NDArray[np.int64]:
    """Which blocks of a domain are read, in order: all of them, shuffled anew for every epoch."""
    epochs = [_generator(seed, f"order/{name}/{epoch}").permutation(blocks) for epoch in range(-(-count // blocks))]
    return np.concatenate(epochs)[:count] if epochs else np.empty(0, np.int64)


def _generator(seed: int, purpose: str) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest)))


def epochs_of(pool: Pool, settings: ProxySettings, weights: NDArray[np.float64]) -> NDArray[Any]:
    """How often a proxy reads each domain's text; `weights`: (proxies, domains)."""
    return weights / weights.sum(1, keepdims=True) * settings.steps * settings.batch / pool.blocks
