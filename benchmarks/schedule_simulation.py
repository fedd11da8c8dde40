"""A crawl of 90,000 archives on 1,000 cores, simulated: the real plan, driver loop and scheduler; only the cluster is made up.

    PYTHONPATH=.:tests python benchmarks/schedule_simulation.py [--archives 90000]    # writes schedule_simulation.md

`Plan`, `WaveRun` and `Schedule` are those of every run; `tests/simulated_cluster.py` stands for Ray, with a clock of its own,
and commit records are made up in the size and shape of real ones. What a unit takes is what `curation plan` says: CPU by
rates measured in this folder, the bytes it reads and writes at the pace of one core, each read of a slice at the time of a
ranged request (16 at a time). Units of one kind differ: log-normal around the mean, half as long to twice as long for most.

Assumptions: recipe `fineweb` (trafilatura, near-duplicates); archives of 10**9 bytes, a shard each; documents by the share of
text that `curation plan` assumes; 250 nodes of 4 cores; 50 MB/s a core, 30 ms a ranged read; a like one for 40 % of the
documents. Slow nodes take three times as long. A failure costs the whole time of its unit.
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import time
from collections import Counter, defaultdict
from pathlib import Path

from simulated_cluster import Node, SimulatedCluster

from curation.inspect.estimate import Scale, estimate, scale_of_inputs
from curation.pipeline import Pipeline
from curation.plan import Plan, Unit
from curation.recipe import load_recipe, with_settings
from curation.runners.ray import needs_of
from curation.runners.ready import Ready
from curation.runners.schedule import Schedule
from curation.runners.waves import WaveReport, WaveRun
from curation.stage import GlobalStage, Input
from curation.storage import Folder

HERE = Path(__file__).parent
READERS = 16
CASES: dict[str, dict[str, float]] = {
    "as it is": {},
    "1 % of nodes slow": {"slow": 0.01},
    "0.1 % of units fail": {"losses": 0.001},
}


class Quiet:
    """Shows nothing."""

    def wave(self, title: str, units: int, done: int) -> None: ...
    def kept(self, title: str, records) -> None: ...
    def unit(self, title: str, record) -> None: ...
    def lost(self, title: str, name: str, why: str) -> None: ...
    def close(self) -> None: ...


class Costs:
    """Seconds and requests of a unit, from the phases of an estimate."""

    def __init__(self, pipeline: Pipeline, plan: Plan, scale: Scale, seed: int = 0) -> None:
        self._segments, self._sink = pipeline.segments(), pipeline.sink.label
        self._phases = {phase.name: phase for phase in estimate(pipeline, scale, len(plan.shards)).phases}
        self._scale, self._seed = scale, seed
        self.spent: dict[str, float] = defaultdict(float)
        self.units: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()

    def phase(self, unit: Unit):
        """The phase of a unit, and in how many waves its units are run."""
        if unit.kind == "sink":
            return self._phases[self._sink], 1
        segment = self._segments[unit.segment]
        if unit.kind not in ("sketch", "match", "step"):
            return self._phases[segment.labels], 1
        label = segment.stages[0].label
        step = unit.step.name if unit.step else unit.kind
        if step.startswith(("large", "small")):
            rounds = next(phase for name, phase in self._phases.items() if name.endswith("rounds"))
            return rounds, 2 * int(rounds.name.rsplit(" ", 2)[1])
        return self._phases[f"{label}: {step}"], 1

    def seconds(self, unit: Unit) -> float:
        phase, times = self.phase(unit)
        share = 1 / (phase.units * times)
        slices = phase.slices * share
        took = phase.cpu * share + (phase.read + phase.written) * share / (self._scale.mb_s * 1e6)
        took += 3 * slices * self._scale.read_ms / 1e3 / READERS
        took *= math.exp(random.Random(f"{self._seed} {unit.name}").gauss(0, 0.35) - 0.35**2 / 2)
        self.spent[phase.name] += took
        self.units[phase.name] += 1
        self.requests[phase.name] += round(3 * slices + (phase.read + phase.written) * share / 8e6 + 3)
        return took


class Records:
    """Commit records as the units of a run would leave them."""

    def __init__(self, pipeline: Pipeline, plan: Plan, scale: Scale) -> None:
        self._pipeline, self._segments = pipeline, pipeline.segments()
        self._documents = int(scale.documents / len(plan.shards))
        self._touched = scale.documents * scale.touched

    def of(self, unit: Unit) -> dict:
        n = self._rows(unit)
        stages = self._segments[unit.segment].stages if unit.segment < len(self._segments) else ()
        reasons = {f"reason_{i}": [n // 100, n * 30] for i in range(3)}
        counts = [
            {"label": s.label, "rows_in": n, "rows_out": n - 3 * (n // 100), "reasons": reasons, "seconds": 1.25, "reused": 0,
             "retried": 0} for s in stages if unit.kind in ("read", "rows") and not isinstance(s, GlobalStage)
        ]  # fmt: skip
        part = {
            "file": f"{unit.name}.{unit.fingerprint}.0a1b2c3d.parquet", "bytes": 10**8 + unit.number, "rows": n,
            "sha256": f"{unit.number:064x}", "columns": self._columns(unit),
            "slices": 1 if unit.kind in ("sketch", "match", "step") else 0,
        }  # fmt: skip
        pieces = [
            {"input": p.input.number, "path": p.input.path, "size": p.input.size, "first": 0, "stop": p.input.size,
             "records": {"response": n, "request": n}, "broken": []} for p in unit.pieces
        ]  # fmt: skip
        return {
            "unit": unit.name, "fingerprint": unit.fingerprint, "part": part, "counts": counts, "pieces": pieces,
            "rows_alive": n, "text_bytes": n * 5000, "skipped": 0, "facts": self._facts(unit), "inputs": [],
            "docs": (unit.number << 40, (unit.number << 40) + n) if unit.kind == "read" else None, "reuse_keys": {},
        }  # fmt: skip

    def _rows(self, unit: Unit) -> int:
        """Documents of a shard; of a match, its share of those that have a like one, by which labels go in one place or not."""
        if unit.kind != "match":
            return self._documents
        stage = self._segments[unit.segment].stages[0]
        assert isinstance(stage, GlobalStage)
        return int(self._touched / stage.sized(unit.documents).partition_count)

    def _columns(self, unit: Unit) -> list[str]:
        if unit.segment == len(self._segments):
            return ["doc"]
        stages = self._segments[unit.segment].stages
        return ["doc", "stat_text_bytes", *(name for s in stages for name in (*s.adds, *s.rewrites))]

    def _facts(self, unit: Unit) -> dict:
        name = unit.step.name if unit.step else ""
        if unit.kind == "match":
            return {"seen": {"0": self._rows(unit)}}
        return {"digest": 1 if name in ("small5", "small6") else unit.number} if name.startswith(("edges", "small")) else {}


class OnPaper:
    """An executor whose cluster is simulated."""

    observers = ()

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.cluster = cluster
        self.peak = 0

    def execute(self, ready: Ready):
        schedule = Schedule(self.cluster, ready)
        yield from schedule.records()
        self.peak = max(self.peak, schedule.peak)

    def close(self, abandon: bool = False) -> None: ...


def simulate(pipeline: Pipeline, archives: int, nodes: int, slow: float = 0.0, losses: float = 0.0) -> dict:
    """One run; returns what it took."""
    inputs = [Input(n, f"crawl/archive-{n:05d}.warc.gz", "", 10**9, "etag") for n in range(archives)]
    plan = Plan(pipeline, inputs)
    scale = scale_of_inputs(plan, Scale(1.0, nodes * 4, memory_gb=4, read_ms=30))
    costs, records = Costs(pipeline, plan, scale), Records(pipeline, plan, scale)
    several = random.Random(1).sample(range(nodes), round(nodes * slow))
    machines = [Node({"CPU": 4.0, "memory": 16.0 * 2**30}, slowness=3 if i in several else 1) for i in range(nodes)]
    segments = pipeline.segments()
    stages = [(s.stages if s.kind != "global" else (s.stages[0],)) for s in segments] + [(pipeline.sink,)]
    needs = [needs_of(some) for some in stages]
    modelled = [any(stage.models for stage in some) for some in stages]
    cluster = SimulatedCluster(
        machines, costs.seconds, lambda unit: needs[unit.segment], lambda unit: unit.kind == "rows" and modelled[unit.segment],
        losses, start_seconds=10, record_of=records.of,
    )  # fmt: skip
    executor = OnPaper(cluster)
    reports: list[WaveReport] = []
    folder = Folder(f"memory://simulated-{time.monotonic_ns()}")
    started, cpu = time.monotonic(), time.process_time()
    waves = WaveRun(plan, folder, executor, None, Quiet(), reports)
    ended: list[tuple[str, float]] = []
    for wave in plan.waves():
        assert waves.run(wave)
        ended.append((wave.title, cluster.now))
    units = sum(report.ran for report in reports)
    return {
        "hours": cluster.now / 3600, "busy": cluster.busy / (cluster.now * nodes * 4), "units": units, "lost": cluster.lost,
        "opened": cluster.opened, "stalls": cluster.stalls, "handles": executor.peak, "running": cluster.most_running,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "real": time.monotonic() - started,
        "driver_us": (time.process_time() - cpu) / units * 1e6, "costs": costs, "ended": ended, "scale": scale,
    }  # fmt: skip


def report(archives: int, nodes: int, found: dict[str, dict]) -> str:
    base = next(iter(found.values()))
    lines = [
        "# A crawl on a thousand cores, simulated", "", (__doc__ or "").strip(), "",
        f"{archives:,} archives, {nodes * 4:,} cores, {base['scale'].documents:.2e} documents with text.", "",
        "| case | hours | cores busy | units | of them lost | handles at most | units at a time | driver's CPU us a unit "
        "| MiB of driver and simulation |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for name, r in found.items():
        lines.append(
            f"| {name} | {r['hours']:.1f} | {r['busy']:.1%} | {r['units']:,} | {r['lost']:,} | {r['handles']:,} "
            f"| {r['running']:,} | {r['driver_us']:.0f} | {r['mib']:.0f} |"
        )
    lines += [
        "", "The driver's CPU includes the simulation's own. Memory is the resident set of one process that ran the cases one "
        "after the other, so only the first line is of one run.", "",
        "By phase, as it is. A unit has one request under way at a time, and 16 while it reads slices; requests a second are "
        "what all cores make together in that phase.", "",
        "| phase | units | core hours | s a unit | requests | requests a second |", "|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    costs = base["costs"]
    cores = nodes * 4
    for name, spent in costs.spent.items():
        count, requests = costs.units[name], costs.requests[name]
        rate = requests / (spent / min(cores, count))
        lines.append(f"| {name} | {count:,} | {spent / 3600:,.0f} | {spent / count:,.0f} | {requests:.1e} | {rate:,.0f} |")
    most = max(costs.spent, key=costs.spent.__getitem__)
    lines += ["", f"Bottleneck: `{most}`, {costs.spent[most] / sum(costs.spent.values()):.0%} of all core hours.", "",
              "| wave | ends after hours |", "|---|---:|"]  # fmt: skip
    lines += [f"| {title} | {seconds / 3600:.2f} |" for title, seconds in base["ended"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", type=int, default=90_000)
    parser.add_argument("--nodes", type=int, default=250)
    parser.add_argument("--write", action="store_true", help="write the table beside this file")
    given = parser.parse_args()
    pipeline = with_settings(load_recipe("fineweb"), ["warc.shard_mb=1000"])
    found = {}
    for name, options in CASES.items():
        found[name] = simulate(pipeline, given.archives, given.nodes, **options)
        r = found[name]
        print(name, {k: v for k, v in r.items() if k not in ("costs", "ended", "scale")}, flush=True)
    text = report(given.archives, given.nodes, found)
    print(text)
    if given.write:
        (HERE / "schedule_simulation.md").write_text(text)


if __name__ == "__main__":
    main()
