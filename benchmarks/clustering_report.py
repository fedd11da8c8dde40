"""The table and the plot of minhash_clustering.py."""

from __future__ import annotations

import math
import platform
from typing import Any

import numpy as np
import polars as pl

STEPS = {"match": "#1b6ca8", "label": "#c8553d", "gather": "#3a7d44", "cluster": "#7b4b94"}
MIB = 1 << 20


def report(rows: list[dict[str, Any]], constants: dict[str, int]) -> str:
    plain = [row for row in rows if not row["kind"]]
    lines = [
        "# Band records: matching and clustering",
        "",
        "Made by `python benchmarks/minhash_clustering.py` (its docstring says how it is measured). "
        f"{platform.machine()}, Python {platform.python_version()}, polars {pl.__version__}, numpy {np.__version__}, one core. "
        "Absolute times vary between machines; what counts is that a document costs the same at every size.",
        "",
        "![time and memory against documents](minhash_clustering.svg)",
        "",
        "| documents | partitions | " + " | ".join(f"{step}, µs a document" for step in STEPS) + " | all, CPU s "
        "| largest peak, MiB | sketches, MiB | written by the steps, MiB |",
        "|---" * 9 + "|",
    ]
    for row in plain:
        steps = row["steps"]
        cost = " | ".join(f"{1e6 * steps[s]['cpu'] / row['n']:.2f}" for s in STEPS)
        lines.append(
            f"| {row['n']:,} | {row['partitions']} | {cost} | {sum(s['cpu'] for s in steps.values()):.1f} "
            f"| {max(s['peak'] for s in steps.values()) / MIB:.0f} | {row['sketches'] / MIB:.0f} "
            f"| {sum(s['bytes'] for s in steps.values()) / MIB:.0f} |"
        )
    lines += ["", "## Each step", "",
              "What a step adds to the memory resident before it (an interpreter with its libraries and compiled code, 250 to "
              "290 MiB), against the rows of its largest unit (of label: documents with a like one), and the constant by which "
              "the stage plans and refuses. Small units are all fixed buffers.", "",
              "| documents | step | CPU s | rows written | MiB written | peak, MiB | rows of the largest unit | bytes a row "
              "| constant |", "|---" * 9 + "|"]  # fmt: skip
    for row in rows:
        for name, step in row["steps"].items():
            most = row["touched"] if name == "label" else step["most_rows"]
            constant = constants.get(name.rstrip("0123456789"), "")
            named = f"{row['n']:,} {row['kind']}".strip()
            lines.append(
                f"| {named} | {name} | {step['cpu']:.2f} | {step['rows']:,} | {step['bytes'] / MIB:.1f} "
                f"| {step['peak'] / MIB:.0f} | {most:,} | {(step['peak'] - step['base']) / most:.0f} | {constant} |"
            )
    lines += ["", "## In one place and in rounds", "",
              "| documents | label, CPU s | rounds, CPU s | label, MiB written | rounds, MiB written |",
              "|---" * 5 + "|"]  # fmt: skip
    for row in (row for row in rows if row["kind"] == "rounds"):
        one = next(r["steps"]["label"] for r in plain if r["n"] == row["n"])
        many = [step for name, step in row["steps"].items() if name not in STEPS]
        lines.append(
            f"| {row['n']:,} | {one['cpu']:.2f} | {sum(s['cpu'] for s in many):.2f} | {one['bytes'] / MIB:.1f} "
            f"| {sum(s['bytes'] for s in many) / MIB:.1f} |"
        )
    lines += ["", "## What was dropped", "",
              "| documents | planted duplicates | dropped | of them with a survivor of another cluster |",
              "|---" * 4 + "|"]  # fmt: skip
    lines += [f"| {r['n']:,} {r['kind']} | {r['planted']:,} | {r['gone']:,} | {r['false']:,} |" for r in rows]
    return "\n".join(lines) + "\n"


def plot(rows: list[dict[str, Any]]) -> str:
    """CPU seconds and peak memory of each step against documents, both axes logarithmic, as SVG."""
    plain = [row for row in rows if not row["kind"]]
    panels = [
        ("CPU seconds", 0.01, 100.0, lambda s: s["cpu"]),
        ("peak memory, MiB", 100.0, 10_000.0, lambda s: s["peak"] / MIB),
    ]
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="860" height="380" font-family="sans-serif" font-size="12">',
           '<rect width="860" height="380" fill="white"/>']  # fmt: skip
    for number, (title, low, high, value) in enumerate(panels):
        left, top, width, height = 60 + 420 * number, 40, 320, 280

        def x(n: float, left: float = left, width: float = width) -> float:
            return left + width * (math.log10(n) - 5) / 2

        def y(v: float, low: float = low, high: float = high, top: float = top, height: float = height) -> float:
            return top + height * (1 - math.log10(v / low) / math.log10(high / low))

        out.append(f'<text x="{left}" y="{top - 15}" font-weight="bold">{title}</text>')
        for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
            at = y(10.0**power)
            out.append(f'<line x1="{left}" x2="{left + width}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
            out.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
        for power in (5, 6, 7):
            out.append(f'<text x="{x(10**power):.1f}" y="{top + height + 18}" text-anchor="middle">1e{power}</text>')
        out.append(f'<text x="{left + width / 2}" y="{top + height + 38}" text-anchor="middle">documents</text>')
        for place, (step, colour) in enumerate(STEPS.items()):
            points = [(x(row["n"]), y(value(row["steps"][step]))) for row in plain]
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
            out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
            out.append(f'<text x="{left + 10 + 75 * place}" y="{top + 14}" fill="{colour}">{step}</text>')
        if number:
            at = y(8192.0)
            out.append(
                f'<line x1="{left}" x2="{left + width}" y1="{at:.1f}" y2="{at:.1f}" stroke="#999" stroke-dasharray="4"/>'
            )
            out.append(f'<text x="{left + width}" y="{at - 4:.1f}" text-anchor="end" fill="#777">8 GiB</text>')
    return "\n".join([*out, "</svg>"]) + "\n"
