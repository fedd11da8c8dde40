"""The census: what came in, what each stage did to it, what went out, and the proof that it adds up.

It is a sum over commit records, so it costs no reading of data and says the same on one worker and on a thousand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from curation.errors import RunStopped, StorageError, explain_mismatch
from curation.inputs import Inputs
from curation.pipeline import Pipeline
from curation.storage import Folder

FILE = "census.json"


def take_census(
    pipeline: Pipeline, inputs: Inputs, records: Mapping[str, Mapping], reports: Mapping[str, Mapping] | None = None
) -> dict:
    """The census of a finished run as a plain value (the content of census.json).

    Bytes of documents are UTF-8 bytes of text; bytes of inputs are file bytes. Raises RunStopped when it does not add
    up: rows, bytes of an input, or the sink against the last stage. `reports`: what global stages tell of the whole, by
    label.
    """
    reading = [r for name, r in sorted(records.items()) if "-read-" in name]
    sinks = [r for name, r in sorted(records.items()) if name.startswith("sink-")]
    census = {
        "recipe": pipeline.name,
        "fingerprint": pipeline.fingerprint(),
        "input": _input_account(inputs, reading),
        "stages": stage_account(((s.label, s.name) for s in (pipeline.source, *pipeline.stages)), records),
        "output": {
            "documents": sum(r["rows_alive"] for r in sinks),
            "rows": sum(r["part"]["rows"] for r in sinks),
            "text_bytes": sum(r["text_bytes"] for r in sinks),
            "file_bytes": sum(r["part"]["bytes"] for r in sinks),
            "dropped": sum(r["dropped"]["rows"] for r in sinks),
            "shards": len(sinks),
        },
        "reports": {label: dict(report) for label, report in (reports or {}).items() if report},
    }
    _check(census)
    return census


def _input_account(inputs: Inputs, reading: Sequence[Mapping]) -> dict:
    files: dict[str, dict] = {}
    kinds: dict[str, int] = {}
    for record in reading:
        for piece in record["pieces"]:
            entry = files.setdefault(
                piece["path"],
                {"path": piece["path"], "bytes": piece["size"], "accounted": 0, "records": {}, "broken": []},
            )
            entry["accounted"] += piece["stop"] - piece["first"]
            entry["broken"] += piece["broken"]
            for kind, number in piece["records"].items():
                entry["records"][kind] = entry["records"].get(kind, 0) + number
                kinds[kind] = kinds.get(kind, 0) + number
    broken = sum(end - start for entry in files.values() for start, end, _ in entry["broken"])
    return {
        "files": len(inputs.accepted),
        "bytes": sum(i.size for i in inputs.accepted),
        "bytes_accounted": sum(entry["accounted"] for entry in files.values()),
        "bytes_broken": broken,
        "records": dict(sorted(kinds.items())),
        "not_sampled": sum(record["skipped"] for record in reading),
        "unread": sorted(i.path for i in inputs.accepted if i.path not in files),
        "per_file": [{**files[path], "records": dict(sorted(files[path]["records"].items()))} for path in sorted(files)],
        "not_inputs": [{"path": r.path, "bytes": r.size, "why": r.why} for r in inputs.refused],
    }


def stage_account(stages: Iterable[tuple[str, str]], records: Mapping[str, Mapping]) -> list[dict]:
    """What each stage did, from its label and name and the records by unit. What was done for the heads is done again
    where the archive is read for good, so that of those only the seconds count."""
    found: dict[str, dict] = {
        label: {"label": label, "stage": name, "in": 0, "out": 0, "dropped": {}, "seconds": 0.0, "reused": 0, "retried": 0}
        for label, name in stages
    }
    for name, record in records.items():
        for count in record.get("counts", ()):
            entry = found[count["label"]]
            entry["seconds"] = round(entry["seconds"] + count["seconds"], 3)
            if "-heads-" in name:
                continue
            entry["in"] += count["rows_in"]
            entry["out"] += count["rows_out"]
            entry["reused"] += count["reused"]
            entry["retried"] += count["retried"]
            for reason, (documents, size) in count["reasons"].items():
                sums = entry["dropped"].setdefault(reason, {"documents": 0, "text_bytes": 0})
                sums["documents"] += documents
                sums["text_bytes"] += size
    for entry in found.values():
        entry["dropped"] = dict(sorted(entry["dropped"].items(), key=lambda item: (-item[1]["documents"], item[0])))
    return list(found.values())


def _check(census: Mapping) -> None:
    """Raise RunStopped for the first sum that does not hold."""
    problems: list[str] = []
    flowing: int | None = None
    for entry in census["stages"]:
        gone = sum(d["documents"] for d in entry["dropped"].values())
        if entry["in"] != entry["out"] + gone:
            problems.append(f"stage {entry['label']}: {entry['in']} in, {entry['out']} out + {gone} dropped")
        if flowing is not None and entry["in"] != flowing:
            problems.append(f"stage {entry['label']}: {entry['in']} in, but {flowing} came out of the stage before it")
        flowing = entry["out"]
    output = census["output"]
    entered = census["stages"][0]["in"]
    if output["documents"] != flowing:
        problems.append(f"shards hold {output['documents']} documents, but {flowing} came out of the last stage")
    if output["documents"] + output["dropped"] != entered:
        problems.append(f"{entered} documents read, but {output['documents']} kept + {output['dropped']} tombstones")
    cut_short = census["input"]["unread"] or census["input"]["not_sampled"]
    if not cut_short:
        problems += [
            f"{entry['path']}: {entry['accounted']} of {entry['bytes']} bytes accounted for"
            for entry in census["input"]["per_file"]
            if entry["accounted"] != entry["bytes"]
        ]
    if problems:
        raise RunStopped(
            explain_mismatch("the census does not add up", wanted="every document and byte once", found="; ".join(problems))
        )


def read_census(folder: Folder) -> dict:
    """The census of a finished run. StorageError when there is none."""
    try:
        return json.loads(folder.read(FILE))
    except FileNotFoundError as error:
        raise StorageError(
            explain_mismatch(
                "no census here",
                wanted=f"{folder.url}/{FILE}",
                found="no such file",
                hint="give the --out folder of a run; a run that is not finished is finished by the same `curation run`",
            )  # fmt: skip
        ) from error
    except ValueError as error:
        raise StorageError(f"{folder.url}/{FILE} is damaged: {error}\n  try:    run the same `curation run` again") from error


def to_json(census: Mapping) -> bytes:
    """The census as readable JSON."""
    return json.dumps(census, indent=1, ensure_ascii=False).encode() + b"\n"
