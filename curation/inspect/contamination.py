"""Which benchmark items a run met, in which documents: the report over what modifiers/decontaminate wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping

import polars as pl
import yaml

from curation.errors import CurationError, StorageError, explain_mismatch
from curation.inspect.shards import documents, dropped
from curation.modifiers.decontaminate import NAMED_ITEMS, Decontaminate
from curation.printable import printable, shorten
from curation.recipe import build_stage
from curation.storage import Folder

COMMON_DOCUMENTS = 10
"""GPT-3's bound: a phrase in more documents than this is common language, no leak."""

_STAGE = "modifiers/decontaminate"

_COLUMNS = ("contamination", "url", "drop_reason", "stat_decontaminate_items")

Report = dict[str, object]


def contamination(out: str, options: Mapping[str, object] | None = None) -> Report:
    """What a run's documents and tombstones hold of benchmarks.

    `documents` seen by the stage, `hit` of them, `truncated` that name only the first of their items; `benchmarks`:
    name, items (null where the files are gone), items hit, share, documents; `items`, by falling documents: name, hits,
    documents (doc, url, hits, fate), witness; `common`: witnesses in more than 10 documents, which an allow-list may
    take. Raises StorageError when the run had no such stage.
    """
    frames = [
        _rows(documents(out, ["doc", *_COLUMNS], options), "kept"),
        _rows(dropped(out, ["doc", *_COLUMNS], options), "dropped"),
    ]
    found = [frame for frame in frames if frame is not None]
    if not found:
        hint = "put modifiers/decontaminate into the recipe"
        raise StorageError(
            explain_mismatch("this run did not look for benchmarks", wanted="a column contamination", found=out, hint=hint)
        )
    seen = pl.concat(found).filter(pl.col("stat_decontaminate_items").is_not_null()).sort("doc")
    hit = seen.filter(pl.col("contamination").is_not_null())
    items = _items(hit)
    return {
        "documents": seen.height,
        "hit": hit.height,
        "dropped": hit.filter(pl.col("fate") == "dropped").height,
        "truncated": hit.filter(pl.col("stat_decontaminate_items") > NAMED_ITEMS).height,
        "benchmarks": _benchmarks(items, _item_counts(out, options)),
        "items": sorted(items.values(), key=lambda i: (-len(i["documents"]), i["item"])),
        "common": _common(hit),
    }


def _rows(frame: pl.DataFrame, fate: str) -> pl.DataFrame | None:
    if "contamination" not in frame.columns or "stat_decontaminate_items" not in frame.columns:
        return None
    missing = [pl.lit(None, dtype=pl.String).alias(c) for c in _COLUMNS if c not in frame.columns]
    return frame.with_columns(*missing, pl.lit(fate).alias("fate")).select("doc", *_COLUMNS, "fate")


def _items(hit: pl.DataFrame) -> dict[str, dict]:
    items: dict[str, dict] = {}
    for row in hit.iter_rows(named=True):
        for place, entry in enumerate(json.loads(row["contamination"])):
            item = items.setdefault(entry["item"], {"item": entry["item"], "hits": 0, "documents": [], "witness": None})
            item["hits"] += entry["hits"]
            item["documents"].append({"doc": row["doc"], "url": row["url"], "hits": entry["hits"], "fate": row["fate"]})
            if place == 0 and item["witness"] is None:
                item["witness"] = entry["witness"]
    return items


def _benchmarks(items: Mapping[str, dict], counts: Mapping[str, int]) -> list[dict]:
    names = {name.partition("/")[0] for name in items} | set(counts)
    rows = []
    for name in sorted(names):
        hit = [item for key, item in items.items() if key.partition("/")[0] == name]
        total = counts.get(name)
        share = len(hit) / total if total else None
        docs = len({d["doc"] for item in hit for d in item["documents"]})
        rows.append({"name": name, "items": total, "items_hit": len(hit), "share": share, "documents": docs})
    return rows


def _item_counts(out: str, options: Mapping[str, object] | None) -> dict[str, int]:
    """Items of each benchmark, by the run's own recipe; empty when its files are not there any more. Only this stage of
    the recipe is built: the others may need code that the reader of a report does not have."""
    try:
        recipe = yaml.safe_load(Folder(out, dict(options or {})).read("recipe.yaml"))
        entries = [dict(entry) for entry in recipe["stages"] if entry["stage"] == _STAGE]
        stages = [build_stage(Decontaminate, {k: v for k, v in entry.items() if k != "stage"}) for entry in entries]
        items = [item for stage in stages if isinstance(stage, Decontaminate) for item in stage.items()]
    except (CurationError, OSError):
        return {}
    counts: dict[str, int] = {}
    for item in items:
        counts[item.benchmark] = counts.get(item.benchmark, 0) + 1
    return counts


def _common(hit: pl.DataFrame) -> list[dict]:
    witnesses = pl.Series("witness", [json.loads(c)[0]["witness"] for c in hit["contamination"]], dtype=pl.String)
    counted = (
        witnesses.value_counts().filter(pl.col("count") > COMMON_DOCUMENTS).sort(["count", "witness"], descending=[True, False])
    )
    return [{"witness": w, "documents": n} for w, n in counted.iter_rows()]


def contamination_text(report: Mapping, most: int = 20) -> str:
    """The report as lines of plain text, with at most `most` items."""
    lines = [f"{report['hit']} of {report['documents']} documents hold benchmark items; {report['dropped']} of them fell"]
    if report["truncated"]:
        lines.append(
            f"{report['truncated']} of them hold more than {NAMED_ITEMS} items and name the first only: counts are lower bounds"
        )
    lines.append(f"{'benchmark':24}{'items':>8}{'hit':>8}{'share':>9}{'documents':>11}")
    for row in report["benchmarks"]:
        items = "?" if row["items"] is None else row["items"]
        share = "" if row["share"] is None else f"{row['share']:.2%}"
        lines.append(f"{shorten(row['name'], 23):24}{items:>8}{row['items_hit']:>8}{share:>9}{row['documents']:>11}")
    for item in report["items"][:most]:
        lines += ["", f"{printable(item['item'])}: {item['hits']} hits in {len(item['documents'])} documents"]
        if item["witness"]:
            lines.append(f"  {shorten(item['witness'], 110)}")
        lines += [f"  doc {d['doc']} {d['fate']} {shorten(str(d['url'] or ''), 90)}".rstrip() for d in item["documents"][:5]]
        if len(item["documents"]) > 5:
            lines.append(f"  and {len(item['documents']) - 5} more")
    if len(report["items"]) > most:
        lines += ["", f"and {len(report['items']) - most} items more (--json has them all)"]
    if report["common"]:
        lines += ["", f"in more than {COMMON_DOCUMENTS} documents, so perhaps common language (see `allow`):"]
        lines += [f"  {row['documents']:>6}  {shorten(row['witness'], 110)}" for row in report["common"][:most]]
    return "\n".join(lines)
