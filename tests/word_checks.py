"""What words are checked against: spaCy itself, made-up strings to differ on, and what Words says of its arrays."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

from curation.text.chunk_book import AFTER_GAP, BASE, HAS_LETTER, NOT_SYMBOL
from curation.text.punctuation import PUNCTUATION
from curation.text.words import Words

SIGNS = "aZé中9٣.,'’\"-–—~()[]{}:;/=<>+*^%$€°…@#&_!?¿¦☃😀\u0301|`´sSkmFCЖя"
PIECES_TEXT = (
    "... .. 's ’S -- --- —— https:// www. ab.com 10.0.0.1 8.8.8.8 a@b.co 5km km² US$ C$ 5 1 m/s °C. n't Mr. a.m. … …… :80 "
    "/x?y 172.20.1.1 192.168.0.1 224.1.1.1 x_y-z.org ÀB. e.g. тб % A.B. x@10.1.1.1:8080/a ftp://u:p@h.de :) (: '' ((*_*)) "
    "IS_ALPHA 中文。 नमस्ते। 1,5 1.5 a,b a.B"
)
PIECES = PIECES_TEXT.split(" ")


@cache
def tokenizer(code: str) -> Any:
    import spacy

    return spacy.blank(code).tokenizer


def spacy_words(code: str, texts: list[str]) -> list[list[str]]:
    """spaCy's words of texts without line breaks: a line break is a token of its own and touches nothing."""
    found: list[list[str]] = [[]]
    for token in tokenizer(code)("\n".join(texts)):
        if token.text == "\n":
            found.append([])
        elif word := token.text.strip():
            found[-1].append(word)
    return found


def fuzz(code: str, n: int, seed: int = 1) -> list[str]:
    """Strings of affixes, special cases, addresses, units and signs of several scripts, some with blanks."""
    choose = random.Random(seed)
    specials = sorted(special for special in tokenizer(code).rules if special.strip())

    def glued(most: int) -> str:
        pools: list[Any] = choose.choice([[SIGNS], [PIECES, SIGNS], [specials], [PIECES, specials, SIGNS]])
        return "".join(choose.choice(choose.choice(pools)) for _ in range(choose.randint(1, most)))

    return [" ".join(glued(6) for _ in range(choose.choice([1, 1, 1, 2, 3, 5]))) for _ in range(n)]


def check_arrays(words: Words, texts: Sequence[str | None], blanks: bool = False) -> None:
    """What Words promises about its arrays. `blanks`: words may hold blanks."""
    for i, text in enumerate(texts):
        raw, place = (text or "").encode(), 0
        assert words.data[words.text_start[i] : words.text_start[i + 1]].tobytes() == raw
        for k, word in zip(range(words.first[i], words.first[i + 1]), words.strings(i), strict=True):
            at = int(words.start[k] - words.text_start[i])
            between = raw[place:at].decode()
            assert (
                between.strip() == "" and (blanks or word.split() == [word]) and raw[at : at + words.size[k]].decode() == word
            )
            gap = between not in ("", " ") or (between == " " and place == 0)
            assert words.chars[k] == len(word) and bool(words.flags[k] & AFTER_GAP) == gap
            assert bool(words.flags[k] & HAS_LETTER) == any(map(str.isalpha, word))
            assert bool(words.flags[k] & NOT_SYMBOL) == any(c not in PUNCTUATION for c in word)
            value = 0
            for byte in word.encode():
                value = (value * int(BASE) + byte + 1) % 2**64
            assert words.hash[k] == value
            place = at + int(words.size[k])
        assert raw[place:].decode().strip() == ""


@cache
def _spaced_pattern() -> Any:
    import regex

    scripts = "".join(rf"\p{{{name}}}" for name in ("Han", "Hiragana", "Katakana", "Bopomofo", "Yi", "Tangut", "Nushu"))
    # letters that several scripts share: closing and Masu mark, prolonged sound mark, half-width sound marks
    common = r"\u3006\u303c\u30fc\uff70\uff9e\uff9f"
    letter = rf"(?:(?=[\p{{L}}\u3007])(?:\p{{lb=SA}}|[{scripts}\p{{Khitan_Small_Script}}{common}]))"
    return regex.compile(rf"{letter}[\p{{M}}\p{{Cf}}--\u200b]*|(?:(?!{letter})[^\p{{P}}\s\x1c-\x1f\u200b])+", regex.V1)


def spaced_words(text: str) -> list[str]:
    """The words of tokenizer "spaced", by a pattern over Unicode's own properties."""
    return _spaced_pattern().findall(text)
