"""The product of every mixture method: `mixture.json`, the token share of each domain and what it rests on.

The file is JSON with a closed set of keys, written the same way every time (so equal mixtures are equal bytes). A file
written by hand needs only names and weights: {"format": "curation-mixture", "version": 1, "domains": [{"name": "web",
"weight": 0.7}, {"name": "code", "weight": 0.3}]}.

Source: ours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from curation.errors import MixtureError, explain_mismatch
from curation.storage import Folder, open_location

FORMAT = "curation-mixture"
VERSION = 1
FILE_NAME = "mixture.json"
SUM_TOLERANCE = 1e-6
"""How far the sum of the weights may be from one."""


@dataclass(frozen=True)
class Shard:
    """One materialised file of one domain: its `file` name relative to mixture.json, `sha256` in hexadecimal, `documents`
    (rows, repeats included) and `tokens`."""

    file: str
    sha256: str
    documents: int
    tokens: int


@dataclass(frozen=True)
class DomainShare:
    """One domain of a mixture.

    name: as in the column `domain`. weight: share of the training tokens, 0 to 1. natural: share of the available tokens,
    None when unknown. available_tokens: tokens the corpus has of it, None when unknown. epochs: how often it will be read,
    weight * token budget / available tokens; None when one of the two is unknown. capped: whether a limit on epochs, not the
    method's own optimum, set the weight. shards: empty until the mixture is materialised.
    """

    name: str
    weight: float
    natural: float | None = None
    available_tokens: int | None = None
    epochs: float | None = None
    capped: bool = False
    shards: tuple[Shard, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What the method expects of the mixture: `loss` on `target`, in the unit of the run table; `std`, its standard
    deviation, None when the method knows none."""

    target: str
    loss: float
    std: float | None = None


@dataclass(frozen=True)
class TableDigest:
    """The run table a mixture was fitted on: its `file` name, the `sha256` of its bytes, its number of `rows`."""

    file: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class Mixture:
    """Token shares of domains, and where they come from.

    domains: in the order of the method's input. method: the name of its file in curation/mixture, "manual" for a file
    written by hand. options: the method's settings as JSON values. predicted, run_table: None for methods without a fit.
    tokenizer: names what the tokens are counted with, "" when unknown. token_budget: tokens of the training run, None when
    open. seed: of whatever is drawn.

    Raises MixtureError for weights that are negative, not numbers or do not sum to one, for domains named twice, and for a
    domain with a weight but no tokens.
    """

    domains: tuple[DomainShare, ...]
    method: str = "manual"
    options: Mapping[str, Any] = field(default_factory=dict)
    predicted: Prediction | None = None
    run_table: TableDigest | None = None
    tokenizer: str = ""
    token_budget: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_budget(self.token_budget)
        _check_domains(self.domains)
        object.__setattr__(self, "domains", tuple(with_epochs(d, self.token_budget) for d in self.domains))

    @property
    def weights(self) -> dict[str, float]:
        """Domain -> token share."""
        return {d.name: d.weight for d in self.domains}

    def __getitem__(self, name: str) -> DomainShare:
        """One domain by name. Raises MixtureError when the mixture has none of that name."""
        for domain in self.domains:
            if domain.name == name:
                return domain
        raise MixtureError(unknown_domain(name, self.weights))

    def require(self, corpus: Mapping[str, int]) -> None:
        """Raise MixtureError unless every domain with a weight is in `corpus` (domain -> tokens) with tokens.

        Domains of the corpus that the mixture does not name get nothing, which is no error.
        """
        for domain in self.domains:
            if domain.weight > 0 and domain.name not in corpus:
                raise MixtureError(unknown_domain(domain.name, corpus, "the corpus"))
            if domain.weight > 0 and corpus[domain.name] <= 0:
                raise MixtureError(_no_tokens(domain))

    def to_json(self) -> str:
        """The text of mixture.json."""
        return (
            json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=1, allow_nan=False, ensure_ascii=False)
            + "\n"
        )

    def save(self, location: str) -> None:
        """Write mixture.json, whole or not at all. `location`: the file's path or fsspec URL; its folder is made."""
        folder, _, name = str(location).rpartition("/")
        home = Folder(folder or ".")
        home.make("")
        home.replace(name, self.to_json().encode())


def load(location: str) -> Mixture:
    """Read mixture.json from a path or fsspec URL. Raises InputError (cannot be read), MixtureError (is no mixture)."""
    with open_location(str(location)) as stream:
        data = stream.read()
    try:
        found = json.loads(data)
    except ValueError as error:
        raise MixtureError(explain_mismatch(str(location), wanted="the JSON of a mixture", found=str(error))) from error
    return from_dict(found, str(location))


def from_dict(found: Any, where: str = FILE_NAME) -> Mixture:
    """The mixture of a parsed mixture.json; `where` names it in errors. Raises MixtureError."""
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        wanted = f'an object with "format": "{FORMAT}"'
        raise MixtureError(explain_mismatch(where, wanted=wanted, found=_shown(found), hint="write it by `curation mix solve`"))
    if found.get("version") != VERSION:
        hint = "a newer version of curation reads newer files"
        raise MixtureError(explain_mismatch(f"{where}: version", wanted=VERSION, found=found.get("version"), hint=hint))
    rest = {k: v for k, v in found.items() if k not in ("format", "version")}
    rest["domains"] = tuple(_domain(d, where) for d in _list(rest.get("domains"), f"{where}: domains"))
    for key, kind in (("predicted", Prediction), ("run_table", TableDigest)):
        if rest.get(key) is not None:
            rest[key] = _record(kind, rest[key], f"{where}: {key}")
    return _record(Mixture, rest, where)


def mixture_of(
    weights: Mapping[str, float],
    *,
    natural: Mapping[str, float] | None = None,
    available: Mapping[str, int] | None = None,
    capped: Iterable[str] = (),
    **rest: Any,
) -> Mixture:
    """A mixture of plain tables by domain; what is missing in a table is unknown. `rest` goes to Mixture.

    Raises MixtureError for a domain of `natural`, `available` or `capped` that has no weight.
    """
    hit = set(capped)
    for name in [*(natural or {}), *(available or {}), *hit]:
        if name not in weights:
            raise MixtureError(unknown_domain(name, weights, "the weights"))
    shares = [
        DomainShare(
            name, float(weight),
            natural=None if natural is None or name not in natural else float(natural[name]),
            available_tokens=None if available is None or name not in available else int(available[name]),
            capped=name in hit,
        )
        for name, weight in weights.items()
    ]  # fmt: skip
    return Mixture(tuple(shares), **rest)


def with_shards(mixture: Mixture, shards: Mapping[str, Sequence[Shard]]) -> Mixture:
    """The mixture with the files it was materialised in, by domain. Raises MixtureError for unknown domains."""
    for name in shards:
        mixture[name]
    return replace(mixture, domains=tuple(replace(d, shards=tuple(shards.get(d.name, ()))) for d in mixture.domains))


def with_epochs(domain: DomainShare, token_budget: int | None) -> DomainShare:
    """The domain with the epochs that its weight implies."""
    known = token_budget is not None and domain.available_tokens
    epochs = (
        domain.weight * token_budget / domain.available_tokens if known and token_budget and domain.available_tokens else None
    )
    return replace(domain, epochs=epochs)


def unknown_domain(name: str, known: Iterable[str], where: str = "the mixture") -> str:
    """The message for a domain that `where` does not have."""
    names = sorted(known)
    shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
    return explain_mismatch(
        f"unknown domain {name!r}", wanted=f"a domain of {where}: {shown or 'it has none'}", found=repr(name),
        hint="correct the name, give the domain weight 0, or assign documents to it first",
    )  # fmt: skip


def check_weights(names: Sequence[str], weights: Sequence[float], tolerance: float = SUM_TOLERANCE) -> None:
    """Raise MixtureError unless the weights are numbers, none negative, that sum to one."""
    for name, weight in zip(names, weights, strict=True):
        if not _is_number(weight) or not math.isfinite(weight) or weight < 0:
            found = f"{weight!r} for {name!r}"
            hint = "weights are shares of tokens: set it to a number, 0 leaves the domain out"
            raise MixtureError(explain_mismatch("a weight", wanted="a number from 0 to 1", found=found, hint=hint))
    total = math.fsum(weights)
    if abs(total - 1) > tolerance:
        hint = f"divide every weight by {total:.9g}" if total > 0 else "give at least one domain a weight above 0"
        raise MixtureError(explain_mismatch("weights", wanted="a sum of 1", found=f"a sum of {total:.9g}", hint=hint))


def _check_budget(budget: object) -> None:
    if budget is not None and (not isinstance(budget, int) or isinstance(budget, bool) or budget <= 0):
        raise MixtureError(
            explain_mismatch("token_budget", wanted="a whole number of tokens above 0, or null", found=repr(budget))
        )


def _check_domains(domains: Sequence[DomainShare]) -> None:
    if not domains:
        raise MixtureError(explain_mismatch("domains", wanted="at least one domain", found="none"))
    seen: set[str] = set()
    for domain in domains:
        if not isinstance(domain.name, str) or not domain.name or not domain.name.isprintable():
            raise MixtureError(explain_mismatch("a domain's name", wanted="printable text", found=repr(domain.name)))
        if domain.name in seen:
            hint = "add its weights up in one entry"
            raise MixtureError(explain_mismatch("domains", wanted="each name once", found=f"{domain.name!r} twice", hint=hint))
        seen.add(domain.name)
        tokens = domain.available_tokens
        if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0):
            wanted = "a whole number of tokens, or null"
            raise MixtureError(explain_mismatch(f"available_tokens of {domain.name!r}", wanted=wanted, found=repr(tokens)))
    check_weights([d.name for d in domains], [d.weight for d in domains])
    for domain in domains:
        if domain.available_tokens == 0 and domain.weight > 0:
            raise MixtureError(_no_tokens(domain))


def _no_tokens(domain: DomainShare) -> str:
    return explain_mismatch(
        f"domain {domain.name!r} has weight {domain.weight:.6g} and no tokens", wanted="tokens, or weight 0", found="0 tokens",
        hint="give it weight 0 and divide the others by their sum, or add documents to the domain",
    )  # fmt: skip


def _domain(found: Any, where: str) -> DomainShare:
    if isinstance(found, dict) and found.get("shards"):
        place = f"{where}: shards of {found.get('name')!r}"
        found = {**found, "shards": tuple(_record(Shard, s, place) for s in _list(found["shards"], place))}
    elif isinstance(found, dict):
        found = {**found, "shards": ()}
    return _record(DomainShare, found, f"{where}: a domain")


def _record(kind: type, found: Any, where: str) -> Any:
    """An instance of the dataclass `kind` from a JSON object; unknown and missing keys are errors."""
    names = [f.name for f in fields(kind)]
    if not isinstance(found, dict) or set(found) - set(names):
        what = f"{', '.join(sorted(set(found) - set(names)))}" if isinstance(found, dict) else _shown(found)
        raise MixtureError(explain_mismatch(where, wanted=f"an object with the keys {', '.join(names)}", found=what))
    try:
        return kind(**found)
    except TypeError as error:
        missing = [n for n in names if n not in found]
        raise MixtureError(explain_mismatch(where, wanted=", ".join(names), found=f"without {', '.join(missing)}")) from error


def _list(found: Any, where: str) -> list:
    if not isinstance(found, (list, tuple)):
        raise MixtureError(explain_mismatch(where, wanted="a list", found=_shown(found)))
    return list(found)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
