"""What is done to a text before a model sees it: functions by the name a card gives them.

A model is only what it was measured to be when its texts arrive as its training texts did. Each function maps a document
to the lines the model scores, each without a newline but for `unchanged`; what is in none of them is not scored. All take
time linear in the text.

Source: DCLM `quality_prediction_enrichers_calc_fasttext.py`; Dolma `taggers/jigsaw.py`; cc_net `text_normalizer.py`,
`perplexity.py` and `mine.py` (arXiv:1911.00359); the rest ours.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

Preprocess = Callable[[str], list[str]]


def one_line(text: str) -> list[str]:
    """The whole text on one line: every newline becomes a space. As GlotLID, OpenLID and lid.176 are asked."""
    return [text.replace("\n", " ")]


def unchanged(text: str) -> list[str]:
    """The text as it is, newlines and all: for encoders, whose tokenizers take whole documents."""
    return [text]


def dclm(text: str) -> list[str]:
    """The stripped text on one line, every line boundary Unicode knows become a space. As DCLM asks its classifiers."""
    return [" ".join(text.strip().splitlines())]


def dolma(text: str) -> list[str]:
    """Every newline becomes a space, then the ends are stripped. As Dolma asks its taggers of whole documents."""
    return [text.replace("\n", " ").strip()]


def words(text: str) -> list[str]:
    """One line of lower-case words: ASCII punctuation but the apostrophe becomes a space, ASCII digits 0, control characters
    a space. For our own small models, whose vocabulary would otherwise hold `end`, `end.` and `End,`."""
    return [text.lower().translate(_WORDS)]


def ccnet(text: str) -> list[str]:
    """CCNet's normal form of the whole document, as cc_net's pipeline scores it: one sentence, since the newlines fall with
    the other control characters and the words on their two sides grow together."""
    line = normal_form(text)
    return [line] if line else []


def ccnet_lines(text: str) -> list[str]:
    """CCNet's normal form of every line by itself; empty lines are left out. What cc_net's paper describes."""
    return [normal for line in text.split("\n") if (normal := normal_form(line))]


def plain_lines(text: str) -> list[str]:
    """Every line as it is; lines of white space are left out."""
    return [line for line in text.split("\n") if line and not line.isspace()]


def word_lines(text: str) -> list[str]:
    """Every line as `words` has it; lines without a word are left out. For our own n-gram models, to which `end` and `end.`
    would be two words, one of them unknown."""
    return [line for line in text.lower().translate(_WORD_LINES).split("\n") if line and not line.isspace()]


PREPROCESSING: dict[str, Preprocess] = {
    "one_line": one_line,
    "unchanged": unchanged,
    "dclm": dclm,
    "dolma": dolma,
    "words": words,
    "ccnet": ccnet,
    "ccnet_lines": ccnet_lines,
    "word_lines": word_lines,
    "plain_lines": plain_lines,
}


def preprocessing(name: str) -> Preprocess:
    """The function of that name. Raises ValueError listing the names there are."""
    if name not in PREPROCESSING:
        raise ValueError(f"preprocessing {name!r}\n  wanted: one of {', '.join(PREPROCESSING)}\n  found:  {name!r}")
    return PREPROCESSING[name]


def normal_form(text: str) -> str:
    """CCNet's normal form: stripped, lower case, no accents, digits 0, some punctuation as ASCII, no control characters.

    Accents are nonspacing marks of the decomposed form, which is not composed again: Hangul stays in single letters, as
    there. Characters are decomposed one by one: sorting a long run of marks, which fall anyway, would take quadratic time.
    """
    return text.strip().lower().translate(_CCNET)


_PUNCTUATION = {
    **dict.fromkeys("„”“«»」「《》", '"'),
    **dict.fromkeys("´’", "'"),
    **dict.fromkeys("∶：", ":"),
    **dict.fromkeys("–━►", "-"),
    **dict.fromkeys("，、", ","),
    "。": ".", "．": ". ", "…": "...", "？": "?", "！": "!", "；": ";", "—": " - ", "～": "~", "％": "%",
    "（": "(", "）": ")", "〈": "<", "〉": ">", "【": "[", "】": "]",
}  # fmt: skip


class _Ccnet(dict[int, int | str]):
    """One lookup a character for what cc_net does in four passes; filled as characters are met, at most 1.1 million."""

    def __missing__(self, code: int) -> int | str:
        made = "".join(_normal(c) for c in unicodedata.normalize("NFD", chr(code)))
        return self.setdefault(code, code if made == chr(code) else made)


def _normal(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Mn", "Cc"):
        return ""
    return "0" if category == "Nd" else _PUNCTUATION.get(character, character)


_CCNET = _Ccnet()

_WORDS: dict[int, str] = {
    **{code: " " for code in range(128) if not chr(code).isalnum() and chr(code) != "'"},
    **{ord(digit): "0" for digit in "0123456789"},
}

_WORD_LINES = {**_WORDS, ord("\n"): "\n"}
