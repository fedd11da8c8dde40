"""The texts from which the default models are trained and with which they are measured, out of the folder of real data.

No text is kept: everything is made anew from $CURATION_DATA. Training and test share no source; what lies on both sides
by its words (talk-page comments are in several sets) is taken out of the training side.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from classifiers.card import load_card, locate
from classifiers.linear_fasttext import LinearFastText
from classifiers.split import held_out, sketch

WEB_TRAIN = ("extract-cleaneval-final", "extract-trafilatura-eval")
WEB_TEST = ("extract-scrapinghub", "extract-readability", "extract-cleaneval-dev")
BOOKS_TEST = ("pride-and-prejudice", "dracula")
PASSAGE_WORDS = (80, 400)


class Text(NamedTuple):
    """A text, its label and the group (page, book, article, comment) it came from."""

    text: str
    label: str
    group: str


def domain(data: Path, name: str) -> list[Text]:
    """A file of text-domains: text, its domain, its source and id."""
    with gzip.open(data / "text-domains" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    clean = {"wiki-markup": without_markup, "wiki-wikitext2-valid": without_tokenising}.get(name, str)
    return [Text(clean(row["text"]), name, f"{row['source']}#{row['id']}") for row in rows]


def web_pages(data: Path, sets: Sequence[str], main_content: bool) -> list[Text]:
    """English text of the pages of extraction sets: all that is visible, or only what resiliparse takes for the content."""
    found = []
    for name in sets:
        for page, html in _html(data / name):
            html = html.decode(errors="replace") if b"\0" in html else bytes_to_str(html, detect_encoding(html))
            text = extract_plain_text(html, main_content=main_content, alt_texts=False, links=False)
            found.append(Text(text, "web", f"{name}#{page}"))
    long = [row for row in found if len(row.text.split()) >= 50]
    model = LinearFastText(locate(load_card("lid176").location), ["en"])
    english = model.score([row.text for row in long])[:, 0] >= 0.65
    return [row for row, keep in zip(long, english, strict=True) if keep]


def _html(folder: Path) -> Iterator[tuple[str, bytes]]:
    if (folder / "html").is_dir():
        for path in sorted((folder / "html").glob("*.html.gz")):
            yield path.name, gzip.decompress(path.read_bytes())
        return
    with zipfile.ZipFile(folder / "pages.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith((".html", ".htm")) and "GoldStandard" not in n):
            yield name, archive.read(name)


def passages(texts: Sequence[Text], most: int = 8) -> list[Text]:
    """Pieces of 80 to 400 words (the length by a hash), at most `most` a text, spread over it: length must not tell."""
    found = []
    for row in texts:
        words = row.text.split(" ")
        low, high = PASSAGE_WORDS
        size = low + int.from_bytes(hashlib.blake2b(row.text.encode(), digest_size=4).digest(), "big") % (high - low)
        pieces = [" ".join(words[i : i + size]) for i in range(0, len(words), size)]
        pieces = [piece for piece in pieces if len(piece.split()) >= low // 2]
        step = max(1, len(pieces) / most)
        chosen = [pieces[int(i * step)] for i in range(min(most, len(pieces)))]
        found += [row._replace(text=piece) for piece in chosen]
    return found


def sentences(texts: Sequence[Text], count: int) -> list[Text]:
    """`count` sentences of 3 to 30 words, chosen by a hash."""
    found = [
        row._replace(text=sentence)
        for row in texts
        for sentence in re.split(r"(?<=[.!?])\s+", row.text)
        if 3 <= len(sentence.split()) <= 30
    ]
    return sorted(found, key=lambda row: hashlib.blake2b(row.text.encode(), digest_size=8).digest())[:count]


def jigsaw(data: Path) -> list[Text]:
    """The balanced sample of talk-page comments."""
    with gzip.open(data / "toxicity-jigsaw-sample" / "robtest_jigsaw_test.csv.gz", "rt", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    names = {"0": "fine", "1": "toxic"}
    return [Text(text, names[label], f"jigsaw#{i}") for i, (text, label) in enumerate(rows) if label in names]


def wikipedia_comments(data: Path) -> list[Text]:
    """Talk-page comments at their natural rate."""
    return [
        Text(row["comment"].replace("NEWLINE_TOKEN", "\n").replace("TAB_TOKEN", " "), _toxic(row["toxic"]), f"wiki#{i}")
        for i, row in enumerate(_csv(data / "toxicity-wikipedia-jigsaw" / "toxicity_nonfuzzed_testset.csv.gz"))
    ]


TERMS = (
    "lesbian", "gay", "bisexual", "transgender", "trans", "queer", "lgbt", "lgbtq", "homosexual", "straight", "heterosexual",
    "male", "female", "nonbinary", "african", "african american", "black", "white", "european", "hispanic", "latino", "latina",
    "latinx", "mexican", "canadian", "american", "asian", "indian", "middle eastern", "chinese", "japanese", "christian",
    "muslim", "jewish", "buddhist", "catholic", "protestant", "sikh", "taoist", "old", "older", "young", "younger", "teenage",
    "millenial", "middle aged", "elderly", "blind", "deaf", "paralyzed",
)  # fmt: skip
"""Identity terms of the templated sentences."""


def madlibs(data: Path) -> list[Text]:
    """Templated sentences with one identity term each, which is their group."""
    found = []
    longest = sorted(TERMS, key=len, reverse=True)
    pattern = re.compile(rf"\b({'|'.join(longest)})\b")
    for row in _csv(data / "toxicity-wikipedia-jigsaw" / "bias_madlibs_77k.csv.gz"):
        terms = set(pattern.findall(row["Text"].lower()))
        if len(terms) == 1:
            found.append(Text(row["Text"], "toxic" if row["Label"] == "BAD" else "fine", terms.pop()))
    return found


def tweets(data: Path) -> list[Text]:
    """Davidson's tweets: hate and offence against the rest; names and links left out."""
    names = {"0": "toxic", "1": "toxic", "2": "fine"}
    rows = _csv(data / "toxicity-davidson" / "labeled_data.csv.gz")
    return [
        Text(re.sub(r"@\w+|https?://\S+|&#?\w+;|\bRT\b", " ", row["tweet"]), names[row["class"]], f"tweet#{i}")
        for i, row in enumerate(rows)
    ]


def human_judged(data: Path) -> list[Text]:
    """Web documents on which DCLM's annotators did not agree: label good or bad by their majority."""
    with gzip.open(data / "quality-dclm-human" / "majority_minus_agreement.jsonl.gz", "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    return [Text(row["text"], "good" if row["label"] else "bad", f"human#{i}") for i, row in enumerate(rows)]


def halves(texts: Sequence[Text], test_share: float, seed: int = 0) -> tuple[list[Text], list[Text]]:
    """(training, test) by whole groups."""
    tested = held_out([row.group for row in texts], test_share, seed)
    return ([r for r, t in zip(texts, tested, strict=True) if not t], [r for r, t in zip(texts, tested, strict=True) if t])


def unlike(train: Sequence[Text], test: Sequence[Text]) -> list[Text]:
    """The training texts that share less than half of a sketch with every test text."""
    holders: dict[int, list[int]] = {}
    sketches = [sketch(row.text) for row in test]
    for number, own in enumerate(sketches):
        for value in own:
            holders.setdefault(value, []).append(number)
    kept = []
    for row in train:
        own = sketch(row.text)
        shared: dict[int, int] = {}
        for value in own:
            for number in holders.get(value, ()):
                shared[number] = shared.get(number, 0) + 1
        if not any(2 * count >= min(len(own), len(sketches[n])) for n, count in shared.items()):
            kept.append(row)
    return kept


def without_markup(text: str) -> str:
    """Wiki markup as plain text, roughly: templates, tables, references, files and headings' signs fall."""
    text = re.sub(r"<!--.*?-->|<ref[^>/]*/>|<ref[^>]*>.*?</ref>|<math.*?</math>|<gallery.*?</gallery>", " ", text, flags=re.S)
    for _ in range(4):  # templates and tables lie in one another
        text = re.sub(r"\{\{[^{}]*\}\}|\{\|[^{}]*\|\}", " ", text)
    text = re.sub(r"\[\[(?:File|Image|Category)[^\[\]]*(?:\[\[[^\[\]]*\]\][^\[\]]*)*\]\]", " ", text, flags=re.I)
    text = re.sub(r"\[\[(?:[^\[\]|]*\|)?([^\[\]]*)\]\]", r"\1", text)
    text = re.sub(r"\[https?://\S+ ?([^\]]*)\]", r"\1", text)
    text = re.sub(r"<[^>]+>|'{2,}|^[=*#:;]+|=+\s*$|&nbsp;", " ", text, flags=re.M)
    lines = [re.sub(r"\s+", " ", line).strip() for line in text.split("\n")]
    return "\n".join(line for line in lines if len(line.split()) >= 8 and "|" not in line and "{" not in line)


def without_tokenising(text: str) -> str:
    """WikiText's spaces around punctuation undone."""
    text = re.sub(r" @(.)@ ", r"\1", text)
    text = re.sub(r" ([.,;:!?)\]%'’]|n't|'s)", r"\1", text)
    return re.sub(r"([(\[]) |= +=|<unk>", r"\1", text)


def write_rows(path: Path, rows: Sequence[Text]) -> Path:
    """The rows as JSON lines: text, label, group."""
    path.write_text("".join(json.dumps(row._asdict()) + "\n" for row in rows), encoding="utf-8")
    return path


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rb") as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        yield from csv.DictReader(text)


def _toxic(value: str) -> str:
    return "toxic" if value in ("True", "1", "1.0", "true") else "fine"
