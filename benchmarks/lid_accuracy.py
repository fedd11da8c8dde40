"""Accuracy of scorers/language on two public sets: `python benchmarks/lid_accuracy.py DATA_FOLDER`.

Writes benchmarks/lid_accuracy.md. A prediction is right when its ISO 639-3 part is exactly the set's language
(Serbian for Croatian is wrong). Languages outside lid.176 are left out and counted.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import polars as pl

from classifiers.card import load_card, locate, verify
from curation.scorers.language import CARD, Language
from curation.scorers.language_codes import CODES

Example = tuple[str, str]
"""(language the set names, text)."""


def lingua(folder: Path, kind: str) -> Iterator[Example]:
    """Lingua's test files `kind`/<ISO 639-1>.txt, one example a line; the code is lid.176's first for that label."""
    with zipfile.ZipFile(folder / "lid-lingua" / "sentences.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.startswith(f"{kind}/") and n.endswith(".txt")):
            label = "no" if (stem := Path(name).stem) == "nb" else stem
            language = CODES[label][0][:3] if label in CODES else label
            for line in io.TextIOWrapper(archive.open(name), encoding="utf-8"):
                if line.strip():
                    yield language, line.strip()


def udhr(folder: Path, whole: bool) -> Iterator[Example]:
    """Paragraphs of the Universal Declaration of Human Rights (or each translation whole), by ISO 639-3 code."""
    with zipfile.ZipFile(folder / "lid-udhr" / "udhr-xml.zip") as archive:
        for name in sorted(n for n in archive.namelist() if Path(n).name.startswith("udhr_")):
            root = ElementTree.fromstring(archive.read(name))
            paragraphs = ["".join(e.itertext()).strip() for e in root.iter() if e.tag.endswith("}para")]
            for text in ["\n".join(paragraphs)] if whole else paragraphs:
                if text:
                    yield root.attrib["iso639-3"], text


def measure(examples: Iterator[Example]) -> dict[str, object]:
    """Counts and accuracies over the examples whose language lid.176 knows."""
    known = {code[:3] for codes in CODES.values() for code in codes}
    apply = Language().bind({CARD: verify(locate(load_card(CARD).location), load_card(CARD).sha256)})
    wanted, texts, foreign = [], [], set()
    for language, text in examples:
        if language in known:
            wanted.append(language)
            texts.append(text)
        else:
            foreign.add(language)
    frame = pl.DataFrame({"doc": range(len(texts)), "text": texts}, schema_overrides={"doc": pl.UInt64})
    answer = apply(frame)
    hits: dict[str, list[int]] = defaultdict(list)
    sure: list[int] = []
    for want, got, score in zip(wanted, answer["language"], answer["score_language"], strict=True):
        right = int(got is not None and got[:3] == want)
        hits[want].append(right)
        if score is not None and score >= 0.65:
            sure.append(right)
    total = sum(map(len, hits.values()))
    return {
        "examples": total,
        "languages": len(hits),
        "left out": len(foreign),
        "accuracy": sum(map(sum, hits.values())) / total,
        "macro": sum(sum(h) / len(h) for h in hits.values()) / len(hits),
        "share": len(sure) / total,
        "sure": sum(sure) / max(1, len(sure)),
        "worst": sorted((sum(h) / len(h), language) for language, h in hits.items())[:6],
    }


def table(folder: Path) -> str:
    """The Markdown report."""
    card = load_card(CARD)
    sets = {
        "Lingua sentences": lingua(folder, "sentences"),
        "Lingua word pairs": lingua(folder, "word-pairs"),
        "Lingua single words": lingua(folder, "single-words"),
        "UDHR paragraphs": udhr(folder, whole=False),
        "UDHR whole": udhr(folder, whole=True),
    }
    rows = {name: measure(examples) for name, examples in sets.items()}
    lines = [
        "# Accuracy of scorers/language",
        "",
        f"Made by `python benchmarks/lid_accuracy.py DATA_FOLDER`; weights sha256 `{card.sha256[:16]}`. Right: the",
        "ISO 639-3 part. Only languages lid.176 knows are counted. Macro: mean over languages. Sure: examples with",
        "score_language >= 0.65, their share and the accuracy among them.",
        "",
        "| set | examples | languages | not in lid.176 | accuracy | macro | sure: share | sure: accuracy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, r in rows.items():
        shares = [f"{r[key]:.3f}" for key in ("accuracy", "macro", "share", "sure")]
        lines.append(f"| {name} | {r['examples']} | {r['languages']} | {r['left out']} | " + " | ".join(shares) + " |")
    lines += ["", "Worst languages:", ""]
    for name, r in rows.items():
        lines.append(f"- {name}: " + ", ".join(f"{language} {share:.2f}" for share, language in r["worst"]))  # type: ignore[attr-defined]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the table beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_folder", type=Path)
    arguments = parser.parse_args()
    target = Path(__file__).with_suffix(".md")
    target.write_text(table(arguments.data_folder), encoding="utf-8")
    sys.stdout.write(f"wrote {target}\n")


if __name__ == "__main__":
    main()
