"""An estimate as text: a line a wave of units, what does not fit, and what all of it rests on."""

from __future__ import annotations

from curation.inspect.estimate import RATES, SHAPES, Estimate, Scale
from curation.inspect.explain import TEXT_SHARE


def report(found: Estimate) -> str:
    """An estimate as lines of text."""
    scale = found.scale
    lines = [
        f"{scale.documents:.3g} documents of {scale.text_bytes:g} bytes of text, {found.shards} shards, {scale.cores} cores",
        f"{'phase':34}{'units':>9}{'read':>10}{'written':>10}{'slices':>10}{'a unit':>12}{'CPU h':>10}{'wall':>10}",
    ]
    for phase in found.phases:
        name = phase.name if len(phase.name) <= 33 else phase.name[:32] + "…"
        slices = f"{phase.slices:.1e}" if phase.slices else ""
        lines.append(
            f"{name:34}{phase.units:>9}{_size(phase.read):>10}{_size(phase.written):>10}{slices:>10}"
            f"{_gib(phase.memory):>12}{phase.cpu / 3600:>10.1f}{_time(phase.wall(scale)):>10}"
        )
    total = sum(phase.cpu for phase in found.phases) / 3600
    wall = sum(phase.wall(scale) for phase in found.phases)
    written = sum(phase.written for phase in found.phases)
    files = sum(2 * phase.units for phase in found.phases)
    lines.append(f"in all: {_size(written)} written, {files} files and records, {total:.0f} CPU hours, {_time(wall)}")
    lines += found.notes
    lines += ["does not fit:", *(f"  {problem}" for problem in found.problems)] if found.problems else ["everything fits"]
    return "\n".join([*lines, *assumptions(scale)])


def assumptions(scale: Scale) -> list[str]:
    """What the figures rest on, with where it comes from."""
    lines = [
        "assumed:",
        f"  {scale.touched:g} of the documents have a like one (--touched); every document reaches every stage",
        f"  {scale.mb_s:g} MB/s a core to and from storage (--mb-s), {scale.read_ms:g} ms a ranged read (--read-ms)",
        f"  {TEXT_SHARE:g} bytes of text a byte of archive; archives of 1 GB; every wave waits for its last unit",
    ]
    lines += [f"  {name}: {value:g} {source}" for name, (value, source) in (SHAPES | RATES).items()]
    return lines


def _size(size: float) -> str:
    for unit, factor in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.0f} kB" if size else ""


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB" if size else ""


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
