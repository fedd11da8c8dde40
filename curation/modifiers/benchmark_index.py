"""Benchmarks made searchable: which phrases of which items stand in which texts, by the published rules' units.

Source: ours; units and parameters of the rules after GPT-3 (arXiv:2005.14165, appendix C), datatrove 0.10.1
`pipeline/decont/n_grams.py`, Dolma (arXiv:2402.00159), DCLM (arXiv:2406.11794), code-davinci and StarCoder
(arXiv:2305.06161), Gopher (arXiv:2112.11446), PaLM (arXiv:2204.02311) and Llama 3 (arXiv:2407.21783).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from curation.modifiers.benchmark_items import Item
from curation.options import refuse
from curation.text.ngrams import PhraseSet, SpacedWords, ngram_places, split_at_spaces, varied
from curation.text.simplify import Simplified, simplify
from curation.text.words import segmenter

LONGEST_ANCHOR = 8
"""Phrases of different lengths are found by their first words, at most so many."""


@dataclass(frozen=True)
class Rule:
    """What a published rule looks for and does.

    `unit`: "text" (n-grams of question, answer and solution together), "answer" (n-grams of the answer and those that
    straddle question and answer), "question" (the whole question as asked, with one of its options in the document),
    "paragraph" (whole lines), "string" (docstring or question, and answer, as substrings), "cluster" (n-grams of the
    question near each other, see benchmark_decon.py; shorter items are left out). `n` words; an item with
    fewer is looked for whole when it has `min_words`; phrases of fewer than `min_distinct` different words are not
    looked for (formulas become `0 0 0 ...`, and so do tables of numbers). `compare`: "" (any hit counts), "coverage"
    (words of the item that lie in a hit / its words) or "jaccard" (n-grams shared / n-grams of both), which must exceed
    `share`, or "score" (decon's, which must reach it). `action`: "drop" or "cut"; `window` characters are cut on each
    side of a hit, pieces of at most `min_piece` characters are left out, more than `max_pieces` drop the document.
    `numbers`: see text/simplify.py.
    """

    unit: str
    n: int
    min_words: int
    action: str
    min_distinct: int = 4
    compare: str = ""
    share: float = 0.0
    window: int = 0
    min_piece: int = 0
    max_pieces: int | None = None
    numbers: str = "keep"


RULES: dict[str, Rule] = {
    "gpt3": Rule("text", 13, 8, "cut", window=200, min_piece=200, max_pieces=10),
    "datatrove": Rule("answer", 12, 12, "drop", numbers="zero"),
    "davinci": Rule("text", 20, 20, "drop"),
    "dclm": Rule("question", 4, 4, "cut"),
    "dolma": Rule("paragraph", 13, 13, "drop"),
    "starcoder": Rule("string", 8, 8, "drop"),
    "gopher": Rule("text", 13, 13, "drop", compare="jaccard", share=0.8),
    "decon": Rule("cluster", 5, 20, "drop", compare="score", share=0.8),
    "coverage": Rule("text", 8, 8, "drop", compare="coverage", share=0.7),
}
"""Published rules by name; `coverage` is Llama 3's measure (words of an item that lie in an 8-gram of the document) with
PaLM's bound, as Llama 3's own bounds were not published."""


class ItemHits(NamedTuple):
    """Hits of one item (its number) in one document, and the share that the rule compares (1 without one)."""

    item: int
    hits: int
    share: float = 1.0


class Found(NamedTuple):
    """What was found in one document. `row` of the batch; `items` by falling share and hits; `begin` and `end`: where
    each hit begins and ends, in bytes of the simplified text (empty where a rule has no spans); `covered` of `words`
    words lie in a hit; `witness`: the words of the longest."""

    row: int
    items: list[ItemHits]
    hits: int
    covered: int
    words: int
    witness: str
    begin: np.ndarray
    end: np.ndarray


class Tokens(NamedTuple):
    """Texts simplified and split: `start[t]` is where text t begins in `words.data`."""

    words: SpacedWords
    start: np.ndarray


def tokens_of(texts: pl.Series, rule: Rule, words: str, simplified: Simplified | None = None) -> Tokens:
    """The words of texts under a rule's normalisation. `words`: "whitespace", or a language whose tokenizer splits."""
    made = simplified or simplify(texts, numbers=rule.numbers)
    if words == "whitespace":
        return Tokens(split_at_spaces(made.data, made.start), made.start)
    split = segmenter(words).split(made.to_series())
    return Tokens(SpacedWords(split.data, split.first, split.start, split.size, split.hash), split.text_start)


class _Phrases(NamedTuple):
    """A set of phrases and the items they come from: those of phrase p are `item[at[p]:at[p + 1]]`, at the word numbers
    `place[at[p]:at[p + 1]]` of the index."""

    set: PhraseSet
    item: np.ndarray
    place: np.ndarray
    at: np.ndarray


def _gather(words: SpacedWords, first: np.ndarray, count: np.ndarray, item: np.ndarray, anchor: int) -> _Phrases:
    phrases = PhraseSet(words, first, count, anchor)
    order = np.argsort(phrases.phrase_of, kind="stable")
    at = np.searchsorted(phrases.phrase_of[order], np.arange(len(phrases) + 1))
    return _Phrases(phrases, item[order], first[order], at)


class _DocumentHits(NamedTuple):
    """Hits of one group of phrases in one document: word numbers and phrases."""

    group: _Phrases
    word: np.ndarray
    phrase: np.ndarray

    def size(self) -> np.ndarray:
        return self.group.set.size[self.phrase]


class NgramIndex:
    """Items by their n-grams, for rules whose unit is "text", "answer" or "question".

    `words`: how words are split (tokens_of); phrases that stand in one of `allowed` are left out; `question_ngrams` adds
    the question's own to unit "answer". `too_short` names the items of which nothing can be looked for.
    """

    def __init__(self, items: Sequence[Item], rule: Rule, words: str, allowed: Sequence[str], question_ngrams: bool) -> None:
        self.items, self.rule, self.words = items, rule, words
        self._question_ngrams = question_ngrams
        parts = [part for item in items for part in _parts(item, rule)]
        self._own = tokens_of(pl.Series(parts, dtype=pl.String), rule, words).words
        places = [self._places(i) for i in range(len(items))]
        first = np.array([p for found in places for p, _ in found], np.int64)
        count = np.array([c for found in places for _, c in found], np.int64)
        item = np.array([i for i, found in enumerate(places) for _ in found], np.int64)
        rich = varied(self._own, first, count, rule.min_distinct)
        first, count, item = first[rich], count[rich], item[rich]
        self.too_short = tuple(items[i].name for i in np.setdiff1d(np.arange(len(items)), item))
        keep = self._not_allowed(first, count, allowed)
        self._group(first[keep], count[keep], item[keep])
        self._options = _options(items, rule) if rule.unit == "question" else []

    def _group(self, first: np.ndarray, count: np.ndarray, item: np.ndarray) -> None:
        """One set of phrases for the n-grams, and one for each length of what shorter ones are found by."""
        anchors = np.where(count == self.rule.n, count, np.minimum(count, LONGEST_ANCHOR))
        self._groups = []
        for anchor in np.unique(anchors).tolist():
            here = anchors == anchor
            self._groups.append(_gather(self._own, first[here], count[here], item[here], anchor))
        lengths = np.diff(self._own.first)
        self._item_words = lengths[0::2] + lengths[1::2]

    def _places(self, item: int) -> list[tuple[int, int]]:
        """(first word, words) of every phrase of an item. Its two parts lie one behind the other in the words."""
        begin, middle, end = (int(self._own.first[2 * item + k]) for k in range(3))
        n, least = self.rule.n, self.rule.min_words
        if self.rule.unit == "question":
            return [(begin, middle - begin)] if middle - begin >= max(1, least) else []
        if self.rule.unit == "answer" and not self._question_ngrams:
            # an n-gram of the answer, or one that begins in the question and ends in the answer
            begin = max(begin, middle - n + 1) if end > middle else end
        found = [(int(p), n) for p in ngram_places(begin, end - begin, n)]
        if self.rule.unit == "text" and least <= middle - begin < n:
            found.append((begin, middle - begin))
        if not found and least <= end - begin < n:
            found.append((begin, end - begin))
        return found

    def _not_allowed(self, first: np.ndarray, count: np.ndarray, allowed: Sequence[str]) -> np.ndarray:
        """Which phrases do not stand in an allowed one. RecipeError on a line too short to allow anything."""
        keep = np.ones(len(first), np.bool_)
        if not allowed or not len(first):
            return keep
        theirs = tokens_of(pl.Series(allowed, dtype=pl.String), self.rule, self.words).words
        shortest = int(count.min())
        for line, words in zip(allowed, np.diff(theirs.first).tolist(), strict=True):
            if words < shortest:
                wanted = f"phrases of at least {shortest} words, the shortest looked for"
                found = f"{words} words: {line[:80]!r}"
                refuse("modifiers/decontaminate", "allow", wanted, found)
        for length in np.unique(count).tolist():
            here = np.flatnonzero(count == length)
            phrases = PhraseSet(self._own, first[here], count[here], length)
            keep[here] = ~np.isin(phrases.phrase_of, phrases.find(theirs).phrase)
        return keep

    def find(self, texts: pl.Series) -> Iterator[Found]:
        """What the texts hold, in order; texts without a hit are left out."""
        tokens = tokens_of(texts, self.rule, self.words)
        hits = [(group, group.set.find(tokens.words)) for group in self._groups]
        first = tokens.words.first
        rows = [np.searchsorted(first, h.word, side="right") - 1 for _, h in hits]
        for row in np.unique(np.concatenate(rows)).tolist() if rows else []:
            chosen = []
            for group, h in hits:
                low, high = np.searchsorted(h.word, first[row : row + 2])
                if high > low:
                    chosen.append(_DocumentHits(group, h.word[low:high], h.phrase[low:high]))
            found = self._found(row, tokens, chosen)
            if found is not None:
                yield found

    def _found(self, row: int, tokens: Tokens, chosen: Sequence[_DocumentHits]) -> Found | None:
        items = self._items(row, tokens.words, chosen)
        if not items:
            return None
        words = tokens.words
        word = np.concatenate([c.word for c in chosen])
        size = np.concatenate([c.size() for c in chosen])
        order = np.argsort(word, kind="stable")
        word, size = word[order], size[order]
        last = word + size - 1
        begin = words.start[word] - tokens.start[row]
        end = words.start[last] + words.size[last] - tokens.start[row]
        best = int(np.argmax(size))
        witness = words.text(int(word[best]), int(size[best]))
        total = int(words.first[row + 1] - words.first[row])
        covered = _covered(word - words.first[row], size, total)
        if self.rule.unit != "question":
            return Found(row, items, len(word), covered, total, witness, begin, end)
        text = words.data[tokens.start[row] : tokens.start[row + 1]].tobytes()
        asked = {item: begin[_of_item(chosen, order, item)] for item, _, _ in items}
        return self._with_options(Found(row, items, len(word), covered, total, witness, begin, end), text, asked)

    def _items(self, row: int, words: SpacedWords, chosen: Sequence[_DocumentHits]) -> list[ItemHits]:
        """Items whose hits count under the rule."""
        counts: dict[int, int] = {}
        places: dict[int, list[tuple[int, int]]] = {}
        for group, _, phrase in chosen:
            distinct, times = np.unique(phrase, return_counts=True)
            for p, number in zip(distinct.tolist(), times.tolist(), strict=True):
                for k in range(group.at[p], group.at[p + 1]):
                    item = int(group.item[k])
                    counts[item] = counts.get(item, 0) + number
                    places.setdefault(item, []).append((int(group.place[k]), int(group.set.size[p])))
        if not self.rule.compare:
            found = [ItemHits(item, hits) for item, hits in counts.items()]
        else:
            own = self._distinct_ngrams(row, words) if self.rule.compare == "jaccard" else 0
            found = [ItemHits(item, hits, self._share(item, places[item], own)) for item, hits in counts.items()]
            found = [f for f in found if f.share > self.rule.share]
        return sorted(found, key=lambda f: (-f.share, -f.hits, f.item))

    def _share(self, item: int, places: list[tuple[int, int]], of_document: int) -> float:
        """How much of an item its hits make up. `of_document`: distinct n-grams of the document (jaccard)."""
        if self.rule.compare == "jaccard":
            # an item's repeated n-grams are few: its places are taken for distinct
            shared, of_item = len(places), max(1, int(self._item_words[item]) - self.rule.n + 1)
            return shared / (of_item + of_document - shared)
        covered: set[int] = set()
        for first, size in places:
            covered.update(range(first, first + size))
        return len(covered) / int(self._item_words[item])

    def _distinct_ngrams(self, row: int, words: SpacedWords) -> int:
        first, end = int(words.first[row]), int(words.first[row + 1])
        places = ngram_places(first, end - first, self.rule.n)
        return len(PhraseSet(words, places, np.full(len(places), self.rule.n, np.int64), self.rule.n))

    def _with_options(self, found: Found, text: bytes, asked: dict[int, np.ndarray]) -> Found | None:
        """The questions of which an option stands in the document too, with the spans of both.

        Of every option the first place after the question is taken, or the first of all. `asked`: item -> where its
        question begins, in bytes of `text`.
        """
        spans: set[tuple[int, int]] = set()
        items = []
        padded = b" " + text + b" "
        sizes = dict(zip(found.begin.tolist(), found.end.tolist(), strict=True))
        for hit in found.items:
            there = [o for o in self._options[hit.item] if b" " + o + b" " in padded]
            if not there:
                continue
            items.append(hit)
            for begin in asked[hit.item].tolist():
                end = sizes[begin]
                spans.add((begin, end))
                for option in there:
                    at = padded.find(b" " + option + b" ", end)
                    at = at if at >= 0 else padded.find(b" " + option + b" ")
                    spans.add((at, at + len(option)))
        if not items:
            return None
        ordered = np.array(sorted(spans), np.int64)
        return found._replace(items=items, hits=len(ordered), begin=ordered[:, 0], end=ordered[:, 1])


def _parts(item: Item, rule: Rule) -> tuple[str, str]:
    """The two runs of words of an item: its question, and what answers it."""
    if rule.unit == "question":
        return item.asked, ""
    return item.question, "\n".join(part for part in (item.answer, item.solution) if part)


def _options(items: Sequence[Item], rule: Rule) -> list[list[bytes]]:
    """The simplified options of every item; its answer where it has none."""
    options = [[option for option in item.choices if option] or [item.answer] for item in items]
    flat = simplify(pl.Series([o for listed in options for o in listed], dtype=pl.String), numbers=rule.numbers)
    made = [flat.data[a:b].tobytes() for a, b in zip(flat.start[:-1].tolist(), flat.start[1:].tolist(), strict=True)]
    found, at = [], 0
    for listed in options:
        found.append(sorted({o for o in made[at : at + len(listed)] if o}))
        at += len(listed)
    return found


def _covered(word: np.ndarray, size: np.ndarray, total: int) -> int:
    """How many of `total` words lie in a hit."""
    marks = np.zeros(total + 1, np.int64)
    np.add.at(marks, word, 1)
    np.add.at(marks, word + size, -1)
    return int(np.count_nonzero(np.cumsum(marks)[:-1] > 0))


def _of_item(chosen: Sequence[_DocumentHits], order: np.ndarray, item: int) -> np.ndarray:
    """Which hits, in the given order, are of an item."""
    of = [[item in group.item[group.at[p] : group.at[p + 1]] for p in phrase.tolist()] for group, _, phrase in chosen]
    return np.array([hit for listed in of for hit in listed], np.bool_)[order]
