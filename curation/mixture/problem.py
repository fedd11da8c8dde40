"""What every method is given (Problem) and what every method is (Method).

Source: ours.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
import polars as pl

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.artefact import FORMAT, Mixture, Prediction, from_dict, mixture_of
from curation.mixture.run_table import RunTable
from curation.mixture.sampling import epoch_bounds
from curation.storage import open_location

AT_CAP = 1e-6
"""Relative distance to its cap at which a weight counts as capped."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Domains to weigh.

    domains: names. natural: their shares [domains], summing to one. available: their tokens [domains], None when unknown.
    token_budget: tokens of the training run, None when open. max_epochs: most times a domain may be read, for all or
    [domains]; None sets no limit, and without tokens and budget there is none. table: runs, brought into this order of
    domains. targets: weight of each target in what is minimised; empty means all targets of the table alike. tokenizer: what
    tokens are counted with. seed: of whatever a method draws.

    Raises MixtureError when the parts do not fit each other, or the limits leave no room for the budget.
    """

    domains: tuple[str, ...]
    natural: np.ndarray
    available: np.ndarray | None = None
    token_budget: int | None = None
    max_epochs: float | np.ndarray | None = 4.0
    table: RunTable | None = None
    targets: Mapping[str, float] = field(default_factory=dict)
    tokenizer: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        natural = np.asarray(self.natural, dtype=np.float64)
        object.__setattr__(self, "natural", natural)
        if natural.shape != (len(self.domains),) or not (natural >= 0).all() or abs(natural.sum() - 1) > 1e-6:
            found = f"{natural.shape[0] if natural.ndim else 0} shares with a sum of {natural.sum():.6g}"
            wanted = f"{len(self.domains)} shares that sum to 1"
            raise MixtureError(explain_mismatch("natural shares", wanted=wanted, found=found))
        if self.table is not None and self.table.domains != self.domains:
            object.__setattr__(self, "table", self.table.ordered(self.domains))
        if self.table is not None:
            for name in self.targets:
                self.table.target(name)
        if self.upper.sum() < 1 - 1e-12:
            lasts = self.upper.sum() * (self.token_budget or 0)
            hint = f"raise the epochs, lower the budget to {lasts:.3g} tokens, or add documents"
            wanted = f"{self.token_budget:,} tokens"
            raise MixtureError(explain_mismatch("tokens at this many epochs", wanted=wanted, found=f"{lasts:.4g}", hint=hint))

    @property
    def upper(self) -> np.ndarray:
        """Largest share [domains] that the limit on epochs allows; 0 for a domain without tokens."""
        if self.available is None:
            return np.ones(len(self.domains))
        present = (np.asarray(self.available) > 0).astype(np.float64)
        if self.token_budget is None or self.max_epochs is None:
            return present
        return np.minimum(present, epoch_bounds(self.available, self.token_budget, self.max_epochs))

    @property
    def runs(self) -> RunTable:
        """The run table. Raises MixtureError when the problem has none."""
        if self.table is None:
            hint = "give --runs, a table that `curation mix train` writes"
            raise MixtureError(explain_mismatch("this method", wanted="a run table", found="none", hint=hint))
        return self.table

    @property
    def target_weights(self) -> dict[str, float]:
        """Target -> its weight in the objective; the weights sum to one."""
        given = dict(self.targets) or dict.fromkeys(self.runs.targets, 1.0)
        total = sum(given.values())
        if not total > 0 or min(given.values()) < 0:
            raise MixtureError(explain_mismatch("weights of the targets", wanted="numbers above 0", found=given))
        return {name: weight / total for name, weight in given.items()}

    def objective(self) -> np.ndarray:
        """What is minimised, observed: the weighted mean over the targets [runs]."""
        return np.sum([weight * self.runs.target(name) for name, weight in self.target_weights.items()], axis=0)

    def mixture(self, method: Any, weights: np.ndarray, loss: float | None = None, std: float | None = None) -> Mixture:
        """The artefact of a method's weights [domains]. `method`: the frozen value that found them."""
        upper = self.upper
        capped = [d for d, w, u in zip(self.domains, weights, upper, strict=True) if 0 < u < 1 and w >= u * (1 - AT_CAP)]
        target = "+".join(self.target_weights) if self.table is not None else ""
        return mixture_of(
            dict(zip(self.domains, map(float, weights), strict=True)),
            natural=dict(zip(self.domains, map(float, self.natural), strict=True)),
            available=None if self.available is None else dict(zip(self.domains, map(int, self.available), strict=True)),
            capped=capped, method=method.name, options=options_of(method), tokenizer=self.tokenizer,
            token_budget=self.token_budget, seed=self.seed,
            predicted=None if loss is None else Prediction(target, float(loss), None if std is None else float(std)),
            run_table=self.table.digest if self.table is not None and loss is not None else None,
        )  # fmt: skip


class Method(Protocol):
    """A way to find weights: a frozen dataclass, one file, its fields the settings."""

    @property
    def name(self) -> str:
        """As in mixture.json and on the command line: the stem of its file."""
        ...

    def solve(self, problem: Problem) -> Mixture:
        """Weights for a problem. Raises MixtureError when the problem lacks what the method needs."""
        ...


def options_of(method: Any) -> dict[str, Any]:
    """The settings of a method that JSON can hold; nested settings are objects, the rest their text."""
    found = {f.name: getattr(method, f.name) for f in fields(method) if f.name != "name"}
    return {key: _plain(value) for key, value in found.items()}


def problem_of(tokens: Mapping[str, int], **rest: Any) -> Problem:
    """The problem of a corpus: domain -> tokens. Raises MixtureError when it has none."""
    total = sum(tokens.values())
    if total <= 0:
        hint = "count them first: `curation mix domains`, or write a table with the columns domain and tokens"
        raise MixtureError(explain_mismatch("tokens by domain", wanted="at least one token", found=dict(tokens), hint=hint))
    sizes = np.array(list(tokens.values()), dtype=np.int64)
    return Problem(tuple(tokens), sizes / total, available=sizes, **rest)


def read_domains(location: str) -> dict[str, int]:
    """Domain -> tokens, of a CSV or Parquet table with the columns `domain` and `tokens`, a JSON object, or a mixture.json.

    Raises InputError when the file cannot be read, MixtureError when it holds no such table.
    """
    with open_location(location) as stream:
        data = stream.read()
    name = PurePosixPath(location).name
    wanted = "the columns domain and tokens, or a JSON object of domain -> tokens"
    try:
        if location.endswith(".json"):
            found = json.loads(data)
            if found.get("format") == FORMAT:
                found = {d.name: d.available_tokens for d in from_dict(found, name).domains}
        else:
            read = pl.read_parquet if data[:4] == b"PAR1" else pl.read_csv
            frame = read(io.BytesIO(data))
            if frame["domain"].n_unique() < len(frame):
                raise MixtureError(explain_mismatch(f"{name}: domain", wanted="each name once", found="one twice"))
            found = dict(zip(frame["domain"].to_list(), frame["tokens"].to_list(), strict=True))
        if all(isinstance(t, int) and not isinstance(t, bool) and t >= 0 for t in found.values()):
            return found
        raise MixtureError(explain_mismatch(name, wanted="whole numbers of tokens", found=found))
    except (ValueError, AttributeError, pl.exceptions.PolarsError) as error:
        raise MixtureError(explain_mismatch(name, wanted=wanted, found=str(error).splitlines()[0])) from error


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, bool)) or (isinstance(value, float) and np.isfinite(value)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return {"name": value.name, **options_of(value)} if hasattr(value, "name") else str(value)
