"""A crawl against an index of near-duplicates beside doing all again: seconds, and bytes a document of the index.

    PYTHONPATH=.:tests python benchmarks/incremental_dedup.py --old 100000 --new 10000

Texts are of 100 to 300 random words of six letters; 30 % of the old ones and half of the new ones are an old one with a few
words changed. One process; wall and CPU seconds of whole runs, reading, signing and writing of shards included.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from index_cases import fallen, recipe
from test_engine import run

from curation.dedup.index import open_index
from curation.inspect.index_build import build


def texts(generator: random.Random, count: int, alike: float, older: list[str]) -> Iterator[str]:
    for _ in range(count):
        if older and generator.random() < alike:
            words = generator.choice(older).split()
            for place in generator.sample(range(len(words)), 2):
                words[place] = "changed"
        else:
            words = ["".join(generator.choices("abcdefghijklmnop", k=6)) for _ in range(generator.randint(100, 300))]
        yield " ".join(words)


def timed(work: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return {"wall": round(time.monotonic() - wall, 1), "cpu": round(time.process_time() - cpu, 1)}


def written(folder: Path, name: str, lines: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=int, default=100_000)
    parser.add_argument("--new", type=int, default=10_000)
    wanted = parser.parse_args()
    generator = random.Random(1)
    older: list[str] = []
    for text in texts(generator, wanted.old, 0.3, older):
        older.append(text)
    newer = list(texts(generator, wanted.new, 0.5, older))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, parts in (
            ("warm", {"a": older[:50]}),
            ("A", {"a": older}),
            ("B", {"b": newer}),
            ("AB", {"a": older, "b": newer}),
        ):
            for part, lines in parts.items():
                written(folder / name / "in", part, lines)
        run(recipe(8 << 20), folder / "warm/in", folder / "warm/out")
        found: dict[str, object] = {"old": wanted.old, "new": wanted.new}
        found["old alone"] = timed(lambda: run(recipe(8 << 20), folder / "A/in", folder / "A/out"))
        found["index build"] = timed(lambda: build(str(folder / "A/out"), str(folder / "index")))
        against = recipe(8 << 20, index=str(folder / "index"))
        found["new against the index"] = timed(lambda: run(against, folder / "B/in", folder / "B/out"))
        found["next index build"] = timed(lambda: build(str(folder / "B/out"), str(folder / "next")))
        found["all again"] = timed(lambda: run(recipe(8 << 20), folder / "AB/in", folder / "AB/out"))
        manifest = open_index(str(folder / "index")).manifest
        found["band bytes a document"] = round(sum(f.bytes for f in manifest.bands) / wanted.old, 1)
        found["member bytes a document"] = round(sum(f.bytes for f in manifest.members) / wanted.old, 1)
        found["dropped of the old"] = len(fallen(folder / "A/out"))
        against_index, batch = (set(fallen(folder / name / "out", "b")) for name in ("B", "AB"))
        found["dropped of the new"] = {
            "index": len(against_index),
            "batch": len(batch),
            "differing": len(against_index ^ batch),
        }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
