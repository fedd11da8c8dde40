"""MinHash signatures against datatrove, datasketch and rensa: python benchmarks/minhash_signatures.py [DATA] [--write]

English documents, 14 bands of 8 values over shingles of 5 words; CPU time (`time.process_time`) of one process a
measurement on one core, median of interleaved rounds. Every process first signs a few made-up texts, so that libraries
are loaded and compiled code is there, but no dictionary of words.

From raw text:
- curation: `Signer.sign` over a column of texts, both families, the native one with its own words and with spaCy's rules
  for English; with the 16 further values of the sketch, which no peer makes. *First pass*: the dictionary of words, where
  there is one, is empty; *second*: the same documents again.
- datatrove: `get_shingles` and `get_signature` of its stage 1. Its `run`, which also packs, writes, sorts, reads back and
  verifies, is left out in its favour. *Repaired*: with spaCy's cache of split words in use and no sentence splitter.
- datasketch and rensa make signatures of lists of strings; here of `text.lower().split()` in runs of five, joined. That
  is less work than ours: no normalisation, no tokenizer. 112 permutations; rensa in bulk, by both of its algorithms.

From ready shingles, hashed to numbers: `minima` against `get_signature`; also as compiled for a processor without
AVX-512. The signatures of mode datatrove are compared with datatrove's for every document measured.

`--write` writes minhash_signatures.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from beside_datatrove import HERE, ONE_CORE, measured_texts, repair_their_tokenizer

WARM_TEXTS = ["It was late when the ferry came in, and most of us had gone to bed; the year was 1904.", "", "two words"]

RAW = {
    "datatrove": "datatrove, shipped",
    "repaired": "datatrove, repaired",
    "exact": "curation, mode datatrove, xxhash64",
    "sha1": "curation, mode datatrove, sha1_64",
    "native": "curation, mode native",
    "rules": "curation, mode native, tokenizer eng_Latn",
    "datasketch": "datasketch",
    "rensa_r": "rensa RMinHash",
    "rensa_c": "rensa CMinHash",
}
OURS = ("exact", "native", "rules")
READY = {
    "ready_theirs": "datatrove get_signature",
    "ready_exact": "curation, mode datatrove",
    "ready_native": "curation, mode native",
    "ready_exact haswell": "curation, mode datatrove, without AVX-512",
    "ready_native haswell": "curation, mode native, without AVX-512",
}

Sign = Callable[[Sequence[str]], Any]
"""Signs texts; where it matters, returns one list of values a text, None for those without."""


def digest(signatures: Sequence[Sequence[int] | None]) -> str:
    return hashlib.blake2b(json.dumps(list(signatures)).encode(), digest_size=8).hexdigest()


def our_sign(**fields: Any) -> Sign:
    import polars as pl

    from curation.dedup.signatures import Family, Signer

    signer = Signer(Family(**fields))
    return lambda texts: signer.sign(pl.Series(texts, dtype=pl.String))


def their_step() -> Any:
    from datatrove.pipeline.dedup.minhash import MinhashDedupSignature

    return MinhashDedupSignature("unused")


def their_sign() -> Sign:
    step = their_step()

    def sign(texts: Sequence[str]) -> list[list[int] | None]:
        found = []
        for text in texts:
            shingles = step.get_shingles(text)
            found.append(sum(step.get_signature(shingles), []) if shingles.size else None)
        return found

    return sign


def shingles_of(text: str) -> list[str]:
    words = text.lower().split()
    return [" ".join(words[i : i + 5]) for i in range(len(words) - 4)]


def datasketch_sign() -> Sign:
    from datasketch import MinHash

    def sign(texts: Sequence[str]) -> None:
        for text in texts:
            made = MinHash(num_perm=112)
            made.update_batch([s.encode() for s in shingles_of(text)])
            made.digest()

    return sign


def rensa_sign(name: str) -> Sign:
    import rensa

    kind = getattr(rensa, name)
    bulk = getattr(kind, "digests_from_token_sets", None) or getattr(kind, "from_token_sets", None)

    def one_by_one(texts: Sequence[str]) -> None:
        for text in texts:
            made = kind(num_perm=112, seed=1)
            made.update(shingles_of(text))
            made.digest()

    return (lambda texts: bulk([shingles_of(text) for text in texts], 112, 1)) if bulk else one_by_one


def ready_sign(side: str, texts: list[str]) -> Sign:
    """Signs what `texts` hashes to; the argument of what is returned says only whether to warm up."""
    import numpy as np
    import polars as pl

    from curation.dedup.signatures import Family, Signer, minima, permutation_parameters

    family = Family(mode="native" if side == "ready_native" else "datatrove")
    hashes, begin = Signer(family).shingle_hashes(pl.Series(texts))
    if side != "ready_theirs":
        # as many permutations as the reference has, without those of the sketch
        a, b = (array[: family.permutations] for array in permutation_parameters(family))
        return lambda chosen: minima(hashes, begin[: len(chosen) + 1], family, a, b)
    step = their_step()
    columns = [np.ascontiguousarray(hashes[i:j]).reshape(-1, 1) for i, j in zip(begin[:-1], begin[1:], strict=True)]
    return lambda chosen: [step.get_signature(column) for column in columns[: len(chosen)] if column.size]


def sign_of(side: str, texts: list[str]) -> Sign:
    if side.startswith("ready"):
        return ready_sign(side, texts)
    if side == "repaired":
        repair_their_tokenizer()
    makers: dict[str, Callable[[], Sign]] = {
        "datatrove": their_sign,
        "repaired": their_sign,
        "exact": lambda: our_sign(mode="datatrove"),
        "sha1": lambda: our_sign(mode="datatrove", hash="sha1_64"),
        "native": our_sign,
        "rules": lambda: our_sign(tokenizer="eng_Latn"),
        "datasketch": datasketch_sign,
        "rensa_r": lambda: rensa_sign("RMinHash"),
        "rensa_c": lambda: rensa_sign("CMinHash"),
    }
    return makers[side]()


def run_job(side: str, texts: list[str]) -> None:
    """Measure in this process and print JSON: seconds of two passes, digest of signatures."""
    sign = sign_of(side, texts)
    sign(WARM_TEXTS)
    seconds = []
    for _ in range(1 if side in ("datatrove", "repaired") else 2):
        started = time.process_time()
        signed = sign(texts)
        seconds.append(time.process_time() - started)
    made = ""
    if side in ("datatrove", "repaired"):
        made = digest(signed)
    elif side == "exact":
        made = digest([v if n else None for v, n in zip(signed.values.tolist(), signed.shingles.tolist(), strict=True)])
    print(json.dumps({"seconds": seconds, "digest": made}))


def measure(side: str, folder: Path) -> dict[str, Any]:
    """One measurement in a process of its own."""
    job, _, processor = side.partition(" ")
    environment = {**os.environ, **ONE_CORE}
    if processor:
        environment |= {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(folder)}
    command = [sys.executable, __file__, str(folder / "texts.json"), "--job", job]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(arguments: argparse.Namespace) -> str:
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in (*RAW, *READY)}
    texts = measured_texts(arguments.data, arguments.documents)
    documents, chars = len(texts), sum(map(len, texts))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "texts.json").write_text(json.dumps(texts))
        for turn in range(arguments.rounds):
            for side, results in found.items():
                results.append(measure(side, Path(folder)))
                print(f"round {turn + 1}: {side}: {results[-1]['seconds']}", file=sys.stderr)
            if len({found[side][-1]["digest"] for side in ("datatrove", "repaired", "exact")}) > 1:
                raise SystemExit("mode datatrove: not the reference's signatures")

    def cost(side: str, which: int) -> float:
        return statistics.median(1e6 * r["seconds"][min(which, len(r["seconds"]) - 1)] / documents for r in found[side])

    peers = ("datatrove", "repaired", "datasketch", "rensa_r", "rensa_c")
    lines = [
        "# MinHash signatures against datatrove, datasketch and rensa",
        "",
        "Made by `python benchmarks/minhash_signatures.py DATA --write`; its docstring says what is measured and how. "
        f"{documents:,} English documents of {chars / documents:,.0f} code points on average. {platform.machine()}, Python "
        f"{platform.python_version()}, {arguments.rounds} interleaved rounds, median CPU time, one core. Absolute times vary "
        "between machines; ratios are what counts. The signatures of mode datatrove are datatrove's for every document.",
        "",
        "Versions: "
        + ", ".join(f"{n} {version(n)}" for n in ("datatrove", "spacy", "xxhash", "datasketch", "rensa", "numba", "numpy"))
        + ".",
        "",
        "## From raw text",
        "",
        "How many times faster curation is, first pass:",
        "",
        "| | µs a document | mode datatrove | native | native, eng_Latn |",
        "|---|---|---|---|---|",
        *(f"| {RAW[s]} | {cost(s, 0):,.0f} | " + " | ".join(f"**{cost(s, 0) / cost(ours, 0):.1f}**" for ours in OURS) + " |"
          for s in peers),
        "",
        "| curation | µs a document, first pass | second pass |",
        "|---|---|---|",
        *(f"| {RAW[side]} | {cost(side, 0):,.1f} | {cost(side, 1):,.1f} |" for side in (*OURS, "sha1")),
        "",
        "## From ready shingles, 112 permutations",
        "",
        "| | µs a document | faster than get_signature by |",
        "|---|---|---|",
        *(f"| {name} | {cost(s, 1):,.1f} | **{cost('ready_theirs', 1) / cost(s, 1):.1f}** |" for s, name in READY.items()),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--documents", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("BENCH_ROUNDS", "3")))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.data is None:
        from conftest import find_data_folder

        arguments.data = find_data_folder() or sys.exit("no data: name the folder")
    if arguments.job:
        run_job(arguments.job, json.loads(arguments.data.read_text()))
        return
    text = report(arguments)
    print(text)
    if arguments.write:
        (HERE / "minhash_signatures.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
