"""The end of a run: finished shards get their names, what killed attempts left is removed."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq

import curation
from curation import census, faults
from curation.errors import StorageError
from curation.fingerprint import code_digest, library_versions, stage_fingerprint
from curation.lists import LISTS
from curation.plan import Plan
from curation.recipe import to_yaml
from curation.records import COMMITS, TABLES, read_record
from curation.stage import Stage
from curation.storage import Folder


def publish(plan: Plan, folder: Folder, counted: Mapping) -> None:
    """Give finished shards their names, remove what an earlier recipe left, then write manifest, recipe and census.

    Idempotent: a run that was ended in the middle of it does it again with the same outcome.
    """
    sinks = [r for name, r in sorted(plan.final.items()) if name.startswith("sink-")]
    manifest: list[dict] = []
    for kind, key in (("documents", "part"), ("dropped", "dropped")):
        names = []
        for number, record in enumerate(sinks):
            name = f"shard-{number:05d}.parquet"
            folder.publish(f"work/parts/{record[key]['file']}", f"{kind}/{name}")
            faults.point("publish-shard")
            names.append(name)
            manifest.append(
                {"file": f"{kind}/{name}", "rows": record[key]["rows"], "bytes": record[key]["bytes"],
                 "sha256": record[key]["sha256"], "text_bytes": record["text_bytes"] if kind == "documents" else 0,
                 "inputs": record["inputs"]}
            )  # fmt: skip
        for stale in sorted(set(folder.names(kind)) - set(names)):
            folder.delete(f"{kind}/{stale}")
    folder.replace("manifest.parquet", _manifest_bytes(manifest))
    faults.point("publish-manifest")
    folder.replace(TABLES, _tables_bytes(plan))
    folder.replace("recipe.yaml", to_yaml(plan.pipeline, _run_facts(plan)).encode())
    folder.replace(census.FILE, census.to_json(counted))


def _tables_bytes(plan: Plan) -> bytes:
    """For each global stage the data files of its sketches and of its verdict, as JSON."""
    named = {
        label: {name: [asdict(part) for part in parts] for name, parts in tables.items()}
        for label, tables in plan.tables.items()
    }
    return json.dumps(named, ensure_ascii=False).encode()


def _manifest_bytes(rows: list[dict]) -> bytes:
    schema = pa.schema(
        [("file", pa.string()), ("rows", pa.int64()), ("bytes", pa.int64()), ("sha256", pa.string()),
         ("text_bytes", pa.int64()), ("inputs", pa.list_(pa.string()))]
    )  # fmt: skip
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out, compression="zstd")
    return out.getvalue()


def _run_facts(plan: Plan) -> dict[str, object]:
    """What the frozen recipe says about this run besides its configuration."""
    return {
        "fingerprint": plan.fingerprint(),
        "recipe_fingerprint": plan.pipeline.fingerprint(),
        "curation": curation.__version__,
        "limit": plan.options.limit,
        "sample": plan.options.sample,
        "stages": {s.label: _stage_facts(s) for s in plan.pipeline.everything()},
    }


def _stage_facts(stage: Stage) -> dict[str, object]:
    facts: dict[str, object] = {
        "fingerprint": stage_fingerprint(stage),
        "code": code_digest(type(stage).__module__),
    }
    if stage.libraries:
        facts["libraries"] = library_versions(stage.libraries)
    if stage.models:
        facts["models"] = {m.name: m.sha256 for m in stage.models}
    return facts


def remove_orphans(folder: Folder) -> int:
    """Remove data files that no commit record points to, what killed attempts left, and lists of files. Returns how many
    data files.

    Only for a finished run that no other driver shares: a file under way has no record yet either.
    """
    folder.delete_folder(LISTS)
    committed = folder.names(COMMITS)
    files: dict[str, list[str]] = defaultdict(list)
    for name in folder.names("work/parts"):
        unit, fingerprint, _ = name.split(".", 2)
        files[f"{unit}.{fingerprint}.json"].append(name)
    removed = 0
    for record_name, names in files.items():
        wanted: set[str] = set()
        if record_name in committed:
            if len(names) == 1:
                continue
            record = read_record(folder, record_name)
            wanted = {part["file"] for part in (record["part"], record.get("dropped")) if part}
        for name in set(names) - wanted:
            folder.delete(f"work/parts/{name}")
            removed += 1
    return removed


def clean(folder: Folder) -> int:
    """Remove the work of a finished run (parts and commit records). Returns the bytes freed.

    Raises StorageError when the run is not finished, since nothing could resume it then.
    """
    if not folder.exists(census.FILE):
        raise StorageError(
            f"{folder.url} holds no finished run, so its work is still needed\n"
            "  try:    finish it with the same `curation run`, or delete the folder"
        )
    freed = sum(size for name in ("parts", "commits") for size in folder.names(f"work/{name}").values())
    folder.delete_folder("work")
    return freed
