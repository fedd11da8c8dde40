"""The census as text: what came in, what each stage took away, what went out."""

from __future__ import annotations

from collections.abc import Mapping


def funnel(census: Mapping) -> str:
    """The funnel of a census as lines of plain text."""
    source = census["input"]
    records = ", ".join(f"{number} {kind}" for kind, number in source["records"].items()) or "none"
    lines = [
        f"recipe {census['recipe']} ({census['fingerprint'][:12]})",
        f"input: {source['files']} files, {source['bytes'] / 1e6:.2f} MB; records: {records}",
    ]
    if source["bytes_broken"]:
        lines.append(f"  {source['bytes_broken']} bytes hold no readable record (see census.json, per_file)")
    if source["not_inputs"]:
        lines.append(f"  {len(source['not_inputs'])} files are no inputs (see census.json, not_inputs)")
    if source["not_sampled"] or source["unread"]:
        lines.append(f"  {source['not_sampled']} documents not in the sample or limit; {len(source['unread'])} files unread")
    first = census["stages"][0]["in"]
    lines.append(f"{'':20}{'documents':>10}{'share':>9}")
    lines.append(f"{'read':20}{first:>10}{_share(first, first)}")
    for entry in census["stages"]:
        for reason, sums in entry["dropped"].items():
            lines.append(f"  - {entry['label'] + ': ' + reason:34}{-sums['documents']:>7}")
        if entry["dropped"]:
            lines.append(f"{'after ' + entry['label']:20}{entry['out']:>10}{_share(entry['out'], first)}")
    output = census["output"]
    lines.append(
        f"kept {output['documents']} documents, {output['text_bytes'] / 1e6:.2f} MB of text in {output['shards']} shards; "
        f"{output['dropped']} tombstones; {output['documents']} + {output['dropped']} = {first}"
    )
    if output.get("rows", output["documents"]) != output["documents"]:
        lines.append(f"written as {output['rows']} rows: some documents are repeated")
    for label, report in census.get("reports", {}).items():
        lines += _report(label, report)
    return "\n".join(lines)


def _report(label: str, report: Mapping) -> list[str]:
    """What a global stage tells of the whole: its numbers in one line, its lists by their first few entries."""
    numbers = [f"{value} {name.replace('_', ' ')}" for name, value in report.items() if not isinstance(value, list)]
    lines = [f"{label}: {', '.join(numbers)}"]
    for name, rows in report.items():
        if isinstance(rows, list) and rows:
            told = ("; ".join(f"{key} {value}" for key, value in row.items()) for row in rows[:3])
            lines.append(f"  {name.replace('_', ' ')}: {' | '.join(told)}")
    return lines


def _share(part: int, whole: int) -> str:
    return f"{part / whole:>8.1%}" if whole else ""
