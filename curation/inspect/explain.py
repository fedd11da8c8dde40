"""A pipeline before it runs: stages, columns, reasons, cuts, units."""

from __future__ import annotations

from curation.fingerprint import stage_fingerprint
from curation.inputs import Inputs
from curation.pipeline import Pipeline, Segment
from curation.plan import Plan
from curation.stage import GlobalStage, Source

TEXT_SHARE = 0.056
"""Text bytes per byte of WARC.gz in English crawls: about 56 GB per TB. An estimate, for planning only."""


def explain(pipeline: Pipeline) -> str:
    """What the recipe does, segment by segment, as lines of text."""
    lines = [f"{pipeline.name}  {pipeline.fingerprint()[:12]}"]
    lines += [f"  {line}" for line in pipeline.description.splitlines() if line.strip()]
    for segment in pipeline.segments():
        lines.append(f"segment {segment.index} ({segment.kind}): {_outcome(segment)}")
        for stage in segment.stages:
            global_verdict = isinstance(stage, GlobalStage) and segment.kind != "global"
            lines.append(f"  {stage.label:18} {stage.name}{' (verdict)' if global_verdict else ''}")
            if stage.reads:
                lines.append(f"    reads  {', '.join(stage.reads)}")
            if stage.adds:
                lines.append(f"    adds   {', '.join(stage.adds)}")
            if stage.rewrites:
                lines.append(f"    writes {', '.join(stage.rewrites)}")
            if stage.drops:
                lines.append(f"    drops  {', '.join(stage.drops)}")
            for model in stage.models:
                lines.append(f"    model  {model.name} sha256 {model.sha256[:12]}")
            lines.append(f"    fingerprint {stage_fingerprint(stage)[:12]}")
    lines.append(f"sink: {pipeline.sink.name}, shards of {pipeline.sink.target_mb:g} MB of text")
    return "\n".join(lines)


def explain_run(plan: Plan, inputs: Inputs) -> str:
    """What a run over these inputs would do: units per segment and sizes to expect."""
    size = sum(i.size for i in inputs.accepted)
    lines = [f"inputs: {len(inputs.accepted)} files, {size / 1e6:.1f} MB; {len(inputs.refused)} files are no inputs"]
    lines += [f"  not an input: {r.path} ({r.why})" for r in inputs.refused[:10]]
    lines.append(f"shards: {len(plan.shards)}")
    for segment in plan.segments:
        if segment.kind == "global":
            stage = segment.stages[0]
            assert isinstance(stage, GlobalStage)
            lines.append(
                f"  segment {segment.index}: {len(plan.shards)} sketches, {stage.partition_count} matches, settled  "
                f"({stage.label})"
            )
        else:
            lines.append(f"  segment {segment.index}: {len(plan.shards)} units  ({segment.labels})")
    text = size * TEXT_SHARE
    lines.append(f"text to expect: about {text / 1e6:.1f} MB for compressed archives (5.6 % of their size; an estimate)")
    return "\n".join(lines)


def _outcome(segment: Segment) -> str:
    if segment.kind == "heads":
        first = isinstance(segment.stages[0], Source)
        return ("reads archives" if first else "applies the verdict") + ", keeps what is known without the text"
    return {
        "read": "reads archives, writes the text part of each shard",
        "rows": "writes a side part of new columns and drops",
        "global": "sketches every shard, matches partitions, settles a verdict",
    }[segment.kind]
