"""Run tables: what was trained on (weights of domains) and what came out (losses by target), one row per run.

Our own file is Parquet or CSV with the columns `run` (optional), `weight_<domain>` and `loss_<target>`; other columns of
numbers (seconds, tokens, steps) are kept beside them. RegMix publishes pairs of CSV files, a mixture table and a loss table
joined on `index`; both forms are read here.

Source: RegMix, Liu et al., arXiv:2407.01492, file layout of its release.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl

from curation.errors import MixtureError, explain_mismatch
from curation.mixture.artefact import TableDigest, unknown_domain
from curation.parts import open_parquet, read_group
from curation.storage import open_location

logger = logging.getLogger("curation")

WEIGHT, LOSS = "weight_", "loss_"
SUM_TOLERANCE = 5e-3
"""How far a row may be from one: published tables are rounded to three decimals, their rows sum to 0.996 to 1.003."""


@dataclass(frozen=True, eq=False)
class RunTable:
    """Runs with their mixtures and losses.

    name: of the file, for messages. domains, targets, runs: names. weights: float64 [runs, domains], as stored (a published
    row may sum to 0.997). losses: float64 [runs, targets], lower is better. sha256: of the file's bytes (of a pair: of both,
    mixtures first; of a table made in memory: of its CSV). extra: other columns of numbers, float64 [runs] each. Proposed
    mixtures are a table without targets.

    Raises MixtureError for losses that are not finite, weights that are negative or do not sum to one, and names twice.
    """

    name: str
    domains: tuple[str, ...]
    targets: tuple[str, ...]
    weights: np.ndarray
    losses: np.ndarray
    runs: tuple[str, ...] = ()
    sha256: str = ""
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "weights", _read_only(self.weights))
        put(self, "losses", _read_only(self.losses))
        put(self, "runs", self.runs or tuple(str(i) for i in range(len(self.weights))))
        _check(self)
        put(self, "sha256", self.sha256 or hashlib.sha256(to_frame(self).write_csv().encode()).hexdigest())

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def digest(self) -> TableDigest:
        """What mixture.json says of the table."""
        return TableDigest(self.name, self.sha256, len(self))

    def target(self, name: str = "") -> np.ndarray:
        """Losses [runs] of one target, or their mean over all without a name. Raises MixtureError for an unknown target."""
        if not name and self.targets:
            return self.losses.mean(axis=1)
        if name not in self.targets:
            wanted = ", ".join(self.targets)
            raise MixtureError(explain_mismatch(f"{self.name}: target", wanted=f"one of {wanted}", found=repr(name)))
        return self.losses[:, self.targets.index(name)]

    def take(self, rows: Sequence[int] | np.ndarray) -> RunTable:
        """The table of some rows, by position."""
        chosen = np.asarray(rows)
        runs = tuple(self.runs[i] for i in chosen)
        extra = {name: values[chosen] for name, values in self.extra.items()}
        return RunTable(self.name, self.domains, self.targets, self.weights[chosen], self.losses[chosen], runs, extra=extra)

    def column(self, name: str) -> np.ndarray:
        """A column of `extra` [runs]. Raises MixtureError when the table has none of that name."""
        if name not in self.extra:
            found = ", ".join(self.extra) or "no further columns"
            raise MixtureError(explain_mismatch(f"{self.name}: columns", wanted=name, found=found))
        return self.extra[name]

    def ordered(self, domains: Sequence[str]) -> RunTable:
        """The table with its weights in another order of domains. Raises MixtureError when the two do not name the same."""
        for name in domains:
            if name not in self.domains:
                raise MixtureError(unknown_domain(name, self.domains, f"the run table {self.name}"))
        for name in self.domains:
            if name not in domains:
                raise MixtureError(unknown_domain(name, domains, "the problem"))
        columns = [self.domains.index(name) for name in domains]
        return replace(self, domains=tuple(domains), weights=self.weights[:, columns])

    def require(self, least: int, what: str) -> None:
        """Raise MixtureError when the table has fewer than `least` runs, which `what` (a method) needs."""
        if len(self) < least:
            hint = f"train {least - len(self)} more mixtures (`curation mix propose`), or use a method that needs fewer"
            found = f"{len(self)} in {self.name}"
            raise MixtureError(explain_mismatch(what, wanted=f"at least {least} runs", found=found, hint=hint))


def to_frame(table: RunTable) -> pl.DataFrame:
    """The table in our own columns."""
    columns: dict[str, object] = {"run": list(table.runs)}
    columns |= {WEIGHT + name: table.weights[:, i] for i, name in enumerate(table.domains)}
    columns |= {LOSS + name: table.losses[:, i] for i, name in enumerate(table.targets)}
    return pl.DataFrame({**columns, **table.extra})


def from_frame(frame: pl.DataFrame, name: str, sha256: str = "", *, trained: bool = True) -> RunTable:
    """The table of a frame in our own columns; `trained`: with losses. Raises MixtureError when it has none.

    Runs that `diverged_at` marks as failed are left out, with a warning.
    """
    if "diverged_at" in frame.columns and frame["diverged_at"].count():
        logger.warning("%s: %d of %d runs diverged and are left out", name, frame["diverged_at"].count(), frame.height)
        frame = frame.filter(pl.col("diverged_at").is_null())
    domains = tuple(c.removeprefix(WEIGHT) for c in frame.columns if c.startswith(WEIGHT))
    targets = tuple(c.removeprefix(LOSS) for c in frame.columns if c.startswith(LOSS))
    if not domains or (trained and not targets):
        found = f"the columns {', '.join(frame.columns[:12])}"
        wanted = f"columns {WEIGHT}<domain>" + (f" and {LOSS}<target>" if trained else "")
        raise MixtureError(explain_mismatch(name, wanted=wanted, found=found))
    runs = tuple(frame["run"].cast(pl.String).to_list()) if "run" in frame.columns else ()
    weights = _matrix(frame, [WEIGHT + d for d in domains], name)
    losses = _matrix(frame, [LOSS + t for t in targets], name)
    others = [c for c in frame.columns if c != "run" and not c.startswith((WEIGHT, LOSS)) and frame.schema[c].is_numeric()]
    extra = {c: _matrix(frame, [c], name)[:, 0] for c in others}
    return RunTable(name, domains, targets, weights, losses, runs, sha256, extra)


def read(location: str, losses: str = "", *, trained: bool = True) -> RunTable:
    """Read a run table: our own Parquet or CSV, or with `losses` RegMix's pair of CSV files (mixtures, losses).

    trained=False reads mixtures that were proposed and have no losses yet (`targets` is empty).

    Raises InputError when a file cannot be read, MixtureError when it holds no run table.
    """
    data = _bytes(location)
    name = PurePosixPath(location).name
    if losses:
        more = _bytes(losses)
        return _from_pair(_csv(data, name), _csv(more, losses), name, hashlib.sha256(data + more).hexdigest())
    frame = _parquet(data) if data[:4] == b"PAR1" else _csv(data, name)
    return from_frame(frame, name, hashlib.sha256(data).hexdigest(), trained=trained)


def read_folder(folder: str | Path) -> dict[str, RunTable]:
    """Run tables of a folder (or of its `data`) by name: `train_1m` for train_mixture_1m.csv beside its losses, else the stem.

    Raises MixtureError when there is none.
    """
    home = Path(folder)
    home = home / "data" if (home / "data").is_dir() else home
    found: dict[str, RunTable] = {}
    for path in sorted(home.glob("*.csv")) + sorted(home.glob("*.parquet")):
        if "_mixture_" in path.name:
            start, end = path.name.split("_mixture_", 1)
            pairs = sorted(home.glob(f"{start}_*loss_{end}"))
            if not pairs:
                hint = f"put {start}_<name>_loss_{end} beside it"
                raise MixtureError(explain_mismatch(str(path.name), wanted="a table of losses too", found="none", hint=hint))
            found[f"{start}_{path.stem.split('_mixture_', 1)[1]}"] = read(str(path), str(pairs[0]))
        elif "_loss_" not in path.name:
            found[path.stem] = read(str(path))
    if not found:
        hint = "RegMix's release has them in data/; `curation mix train` writes one"
        raise MixtureError(
            explain_mismatch("run tables", wanted="CSV or Parquet files", found=f"none in {home.name}", hint=hint)
        )
    return found


def write(table: RunTable, path: str | Path, extra: Mapping[str, Sequence[object]] | None = None) -> None:
    """Write a table as Parquet or CSV, by the path's ending; `extra`: further columns such as seconds or seeds."""
    frame = to_frame(table).with_columns([pl.Series(name, list(values)) for name, values in (extra or {}).items()])
    if str(path).endswith(".parquet"):
        frame.write_parquet(path)
    else:
        frame.write_csv(path)


def _from_pair(mixtures: pl.DataFrame, losses: pl.DataFrame, name: str, sha256: str) -> RunTable:
    for frame in (mixtures, losses):
        if "index" not in frame.columns:
            raise MixtureError(
                explain_mismatch(name, wanted="a column index in both files", found=", ".join(frame.columns[:5]))
            )
    if mixtures["index"].to_list() != losses["index"].to_list():
        hint = "sort both by index and keep only runs that have losses"
        raise MixtureError(
            explain_mismatch(name, wanted="the same index in the same order in both files", found="others", hint=hint)
        )
    weights, values = mixtures.drop("index"), losses.drop("index")
    domains = tuple(c.removeprefix("train_") for c in weights.columns)
    targets = tuple(c.removeprefix("metric/").removesuffix("_val_loss") for c in values.columns)
    runs = tuple(mixtures["index"].cast(pl.String).to_list())
    return RunTable(
        name, domains, targets, _matrix(weights, weights.columns, name), _matrix(values, values.columns, name), runs, sha256
    )


def _check(table: RunTable) -> None:
    for what, names in (("domain", table.domains), ("target", table.targets)):
        if len(set(names)) != len(names):
            raise MixtureError(explain_mismatch(f"{table.name}: {what}s", wanted="each name once", found=", ".join(names)))
    for what, matrix, width in (("weights", table.weights, len(table.domains)), ("losses", table.losses, len(table.targets))):
        if matrix.shape != (len(table.runs), width):
            wanted = f"{len(table.runs)} x {width}"
            raise MixtureError(explain_mismatch(f"{table.name}: shape of the {what}", wanted=wanted, found=matrix.shape))
    bad = np.argwhere(~np.isfinite(table.losses))
    if len(bad):
        run, target = bad[0]
        hint = "train that run again or remove its row; a diverged proxy says nothing about its mixture"
        found = f"{table.losses[run, target]} for target {table.targets[target]!r} of run {table.runs[run]} ({len(bad)} in all)"
        raise MixtureError(explain_mismatch(f"{table.name}: losses", wanted="finite numbers", found=found, hint=hint))
    bad = np.argwhere(table.losses <= 0)
    if len(bad):
        run, target = bad[0]
        hint = "losses are nats or bits, above 0; turn an accuracy into an error rate"
        found = f"{table.losses[run, target]} for target {table.targets[target]!r} of run {table.runs[run]}"
        raise MixtureError(explain_mismatch(f"{table.name}: losses", wanted="numbers above 0", found=found, hint=hint))
    bad = np.argwhere(~np.isfinite(table.weights) | (table.weights < 0))
    if len(bad):
        run, domain = bad[0]
        found = f"{table.weights[run, domain]} for domain {table.domains[domain]!r} of run {table.runs[run]}"
        raise MixtureError(explain_mismatch(f"{table.name}: weights", wanted="numbers from 0 to 1", found=found))
    sums = table.weights.sum(axis=1)
    off = np.flatnonzero(np.abs(sums - 1) > SUM_TOLERANCE)
    if len(off):
        found = f"{sums[off[0]]:.6g} for run {table.runs[off[0]]} ({len(off)} rows in all)"
        hint = "weights are shares of all training tokens: name every domain, divide each row by its sum"
        raise MixtureError(explain_mismatch(f"{table.name}: weights", wanted="rows that sum to 1", found=found, hint=hint))


def _read_only(values: np.ndarray) -> np.ndarray:
    copy = np.array(values, dtype=np.float64, order="C")
    copy.setflags(write=False)
    return copy


def _bytes(location: str) -> bytes:
    with open_location(location) as stream:
        return stream.read()


def _csv(data: bytes, name: str) -> pl.DataFrame:
    try:
        return pl.read_csv(io.BytesIO(data), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        found = str(error).splitlines()[0]
        raise MixtureError(explain_mismatch(name, wanted="a CSV or Parquet run table", found=found)) from error


def _parquet(data: bytes) -> pl.DataFrame:
    file = open_parquet(io.BytesIO(data))
    return pl.concat([read_group(file, group) for group in range(file.num_row_groups)])


def _matrix(frame: pl.DataFrame, columns: Sequence[str], name: str) -> np.ndarray:
    if not columns:
        return np.zeros((frame.height, 0))
    chosen = frame.select(columns)
    for column in columns:
        kind = chosen.schema[column]
        # Diverged runs are written nan, NaN or inf by different programs, and one such word makes its column text.
        numbers = chosen[column].cast(pl.Float64, strict=False) if kind == pl.String else chosen[column]
        if not numbers.dtype.is_numeric() or numbers.null_count() > chosen[column].null_count():
            raise MixtureError(explain_mismatch(f"{name}: column {column}", wanted="numbers", found=kind))
        chosen = chosen.with_columns(numbers.cast(pl.Float64).alias(column))
    return chosen.fill_null(np.nan).to_numpy() if columns else np.zeros((len(frame), 0))
