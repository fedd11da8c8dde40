"""Find benchmark questions in documents, and drop the documents or cut the questions out, by a published rule.

Common to the rules: both sides are simplified alike (text/simplify.py: case, punctuation, white space and diacritics do
not count, digits only under `datatrove`), words stand between spaces unless `words` names a tokenizer, every hit is
verified on the bytes. How the rules differ from their papers and codes:

- `gpt3`: punctuation separates words, it is not deleted; n-grams are taken from question and answer as one text; the
  pieces that remain stay one document, a blank line between them; hits that overlap are merged before pieces are
  counted (`count` "hits" counts as lm-evaluation-harness does). N-grams found in more than 10 documents are not spared,
  for that needs counts of the whole corpus: `curation contamination` lists them, `allow` takes them.
- `datatrove`: hashes are verified; with `words` "eng_Latn" tokens are those of the reference. Answers are texts,
  where some of its benchmarks give letters. Numbers being `0`, the reference drops pages with a row of twelve numbers
  for one formula in an answer; `min_distinct` 1 does so too.
- `dclm`: the places cut are the question's and, of each option, the first after it (else the first); a word is the
  smallest unit, where DCLM compares strings; questions of fewer than 4 words (a last sentence can be "is") are left out.
- `dolma`: an exact set, no Bloom filter; words of a paragraph stand between white space.
- `starcoder`: strings shorter than `min_words` words are not looked for.
- `decon`: see benchmark_decon.py.
- `davinci`: words, not tokens. `gopher`: n-grams of a document against one item, an item's repeated ones counted as
  often as they occur. `coverage`: Llama 3's measure, turned to documents, with PaLM's bound.

Source: see benchmark_index.py and benchmark_strings.py; Brown et al., arXiv:2005.14165, appendix C, for cutting.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from curation.document import polars_type
from curation.modifiers.benchmark_decon import DeconIndex
from curation.modifiers.benchmark_index import RULES, Found, NgramIndex, Rule
from curation.modifiers.benchmark_items import Benchmark, Item, parse_benchmarks, read_items
from curation.modifiers.benchmark_strings import StringIndex
from curation.options import check_choice, check_whole, place_of, refuse
from curation.stage import Apply, Resources, Stage
from curation.text.simplify import simplify

LOG = logging.getLogger(__name__)

NAMED_ITEMS = 16
"""So many items of a document are named in `contamination`; `stat_decontaminate_items` counts all."""

_WITNESS_CHARACTERS = 200

_COUNTS = ("hits", "items", "cuts", "chars")


@dataclass(frozen=True)
class Decontaminate(Stage):
    """Drops or cuts documents that hold benchmark items, by `rule`: "gpt3", "datatrove", "davinci", "dclm", "dolma",
    "starcoder", "gopher", "decon" or "coverage" (see the module on each).

    `benchmarks`: name -> file, or a mapping (see benchmark_items.py), the files lying in `folder` (or
    `package:NAME/path`); their content is part of the fingerprint. Fields that are None take the rule's own value (RULES
    in benchmark_index.py):

    - `n`: words of an n-gram. `min_words`: an item, or its question, of fewer than n words is looked for whole when it
      has so many; what is shorter is named in the log as too short (for dolma and starcoder: words of a string).
    - `min_distinct`: phrases of fewer different words are not looked for (not dolma, starcoder; datatrove itself: 1).
    - `share`: an item counts when more than this share of it is found (gopher, coverage), or its score reaches
      this (decon).
    - `action`: "drop", "cut" (not for dolma, starcoder and decon) or "mark", which changes nothing but the columns.
    - `window_chars`: characters cut on each side of a hit; pieces of at most `min_piece_chars` characters are left out;
      a document that falls into more than `max_pieces` is dropped (0: never).

    `count`: "pieces", or "hits": more than `max_pieces` hits, overlapping ones each counted, drop the document.
    `question_ngrams`: datatrove also looks for n-grams of the question alone. `words`: "whitespace", or a language whose
    tokenizer splits words, such as "eng_Latn". `allow`: a file of phrases, one a line (`#` begins a comment), with the
    n-grams that never count (not for decon, which weighs common ones down itself).

    Adds `stat_decontaminate_hits`, `_items`, `_cuts` and `_chars` (cut places, characters removed), `_share` (float32,
    share of words in a hit) and `contamination`, null without a hit, else JSON: a list of {"item", "hits"} by falling
    hits, at most 16, the first one with a "witness". Reasons: `contaminated`; when cutting `too_many_pieces` and
    `nothing_left`. Raises RecipeError on options that do not fit and on files that are missing or not as described.
    """

    rule: str = "gpt3"
    folder: str = "."
    benchmarks: Mapping[str, object] = field(default_factory=dict)
    n: int | None = None
    min_words: int | None = None
    min_distinct: int | None = None
    share: float | None = None
    action: str | None = None
    window_chars: int | None = None
    min_piece_chars: int | None = None
    max_pieces: int | None = None
    count: str = "pieces"
    question_ngrams: bool = False
    words: str = "whitespace"
    allow: str | None = None

    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    path_fields: ClassVar[tuple[str, ...]] = ("folder", "allow")

    def __post_init__(self) -> None:
        check_choice(self, "rule", RULES)
        if not isinstance(self.benchmarks, Mapping) or not self.benchmarks:
            refuse(self, "benchmarks", "a mapping of name to file, such as {gsm8k: gsm8k_test.jsonl.gz}", repr(self.benchmarks))
        check_whole(self, "n", "min_words", least=1, optional=True)
        check_whole(self, "min_distinct", "window_chars", "min_piece_chars", "max_pieces", optional=True)
        if self.share is not None and not 0 <= self.share < 1:
            refuse(self, "share", "at least 0 and less than 1", repr(self.share))
        if self.share is not None and not RULES[self.rule].compare:
            refuse(self, "share", f"nothing, as {self.rule} counts every hit", repr(self.share))
        if self.action is not None:
            check_choice(self, "action", ("drop", "cut", "mark"))
        if self.action == "cut" and RULES[self.rule].unit in ("paragraph", "string", "cluster"):
            refuse(self, "action", f'"drop" or "mark" for {self.rule}', '"cut"')
        if self.allow is not None and RULES[self.rule].unit == "cluster":
            refuse(self, "allow", f"nothing for {self.rule}", repr(self.allow))
        check_choice(self, "count", ("pieces", "hits"))
        self._parsed()

    def _parsed(self) -> tuple[Benchmark, ...]:
        return parse_benchmarks(self.benchmarks)

    def effective_rule(self) -> Rule:
        """The rule with the fields that are given."""
        own = {"window": "window_chars", "min_piece": "min_piece_chars"}
        names = ("n", "min_words", "min_distinct", "share", "action", "window", "min_piece", "max_pieces")
        given = {name: getattr(self, own.get(name, name)) for name in names}
        rule = replace(RULES[self.rule], **{k: v for k, v in given.items() if v is not None})
        # a rule of one n keeps to it: what is shorter than its own n was never looked for
        bound_together = RULES[self.rule].min_words == RULES[self.rule].n and self.n is not None and self.min_words is None
        return replace(rule, min_words=rule.n) if bound_together else rule

    @property
    def reads(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def rewrites(self) -> tuple[str, ...]:
        return ("text",) if self.effective_rule().action == "cut" else ()

    @property
    def adds(self) -> Mapping[str, pa.DataType]:
        counts = {f"stat_decontaminate_{name}": pa.int32() for name in _COUNTS}
        return {**counts, "stat_decontaminate_share": pa.float32(), "contamination": pa.string()}

    @property
    def drops(self) -> tuple[str, ...]:
        reasons = {"drop": ("contaminated",), "cut": ("too_many_pieces", "nothing_left"), "mark": ()}
        return reasons[self.effective_rule().action]

    @property
    def resources(self) -> Resources:
        return Resources(memory_gb=2.0)

    @property
    def files(self) -> tuple[Path, ...]:
        found = [path for benchmark in self._parsed() for path in benchmark.files(self._folder())]
        return (*found, self._allow_file()) if self.allow is not None else tuple(found)

    def _folder(self) -> Path:
        """The folder of the benchmarks."""
        return place_of(self, "folder", self.folder)

    def _allow_file(self) -> Path:
        path = Path(str(self.allow)).expanduser()
        if not path.is_file():
            refuse(self, "allow", "a file of phrases, one a line", str(path))
        return path

    def items(self) -> list[Item]:
        """Every item of the benchmarks, read from their files."""
        return read_items(self._parsed(), self._folder())

    def index(self) -> NgramIndex | StringIndex | DeconIndex:
        """The benchmarks made searchable."""
        allowed = []
        if self.allow is not None:
            lines = self._allow_file().read_text(encoding="utf-8").splitlines()
            allowed = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        rule = self.effective_rule()
        if rule.unit == "cluster":
            return DeconIndex(self.items(), rule, self.words)
        if rule.unit in ("paragraph", "string"):
            return StringIndex(self.items(), rule, allowed)
        return NgramIndex(self.items(), rule, self.words, allowed, self.question_ngrams)

    def bind(self, models: Mapping[str, Path]) -> Apply:
        """Read the benchmarks once; the result maps a batch to the columns, and to text and reasons as the rule has it."""
        index = self.index()
        rule = self.effective_rule()
        if index.too_short:
            examples = ", ".join(index.too_short[:5])
            LOG.info("%s: %d of %d items too short, such as %s", self.name, len(index.too_short), len(index.items), examples)
        answered = ["doc", *self.adds, *self.rewrites, *(("drop_reason", "drop_detail") if self.drops else ())]

        def apply(batch: pl.DataFrame) -> pl.DataFrame:
            texts = batch["text"]
            rows = [self._judge(found, texts, rule, index.items) for found in index.find(texts)]
            return self._answer(batch, rows).select(answered)

        return apply

    def _answer(self, batch: pl.DataFrame, rows: list[dict[str, object]]) -> pl.DataFrame:
        """The batch with the columns of the rows that have hits, and zeros in the others."""
        schema: dict[str, pl.DataType] = {
            "row": pl.UInt32(),
            **{c: pl.String() for c in ("new_text", "drop_reason", "drop_detail")},
        }
        schema |= {name: polars_type(kind) for name, kind in self.adds.items()}
        found = pl.DataFrame(rows, schema=schema)
        counts = pl.col(f"^{'|'.join(n for n in self.adds if n.startswith('stat_'))}$")
        joined = batch.with_row_index("row").join(found, on="row", how="left", maintain_order="left")
        return joined.with_columns(counts.fill_null(0), pl.coalesce("new_text", "text").alias("text"))

    def _judge(self, found: Found, texts: pl.Series, rule: Rule, items: Sequence[Item]) -> dict[str, object]:
        """One document with hits: its columns, its new text, its reason."""
        named = [{"item": items[i.item].name, "hits": i.hits} for i in found.items[:NAMED_ITEMS]]
        witness = found.witness[:_WITNESS_CHARACTERS]
        marked = [{**named[0], "witness": witness}, *named[1:]]
        row: dict[str, object] = {
            "row": found.row,
            "stat_decontaminate_hits": found.hits,
            "stat_decontaminate_items": len(found.items),
            "stat_decontaminate_share": found.covered / max(1, found.words),
            "contamination": json.dumps(marked, ensure_ascii=False, separators=(",", ":")),
        }
        where = f"{found.hits} hits of {named[0]['item']}" + (f" and {len(found.items) - 1} more" if found.items[1:] else "")
        detail = f"{where}: {witness}"
        if rule.action == "drop":
            row |= {"drop_reason": "contaminated", "drop_detail": detail}
        elif rule.action == "cut":
            row |= self._cut(texts[found.row], found, rule, detail)
        return row

    def _cut(self, text: str, found: Found, rule: Rule, detail: str) -> dict[str, object]:
        """The text without its hits, or the reason to drop it."""
        spans = cut_spans(text, found, rule)
        pieces = [text[a:b] for a, b in _between(spans, len(text))]
        kept = [piece for piece in pieces if len(piece) > rule.min_piece]
        number = found.hits if self.count == "hits" else len(pieces)
        if rule.max_pieces and number > rule.max_pieces:
            return {"drop_reason": "too_many_pieces", "drop_detail": f"{self.count}={number} > {rule.max_pieces}; {detail}"}
        left = ("\n\n" if rule.window else "").join(kept)
        if not left.strip():
            return {"drop_reason": "nothing_left", "drop_detail": f"no piece > {rule.min_piece} characters; {detail}"}
        removed = len(text) - sum(map(len, kept))
        return {"new_text": left, "stat_decontaminate_cuts": len(spans), "stat_decontaminate_chars": removed}


def cut_spans(text: str, found: Found, rule: Rule) -> list[tuple[int, int]]:
    """Where to cut, in characters of the text: the hits with their windows, those that touch merged."""
    mapped = simplify(pl.Series([text]), numbers=rule.numbers, source=True)
    ends = np.append(mapped.source, mapped.source_end[0])
    raw = np.frombuffer(text.encode(), np.uint8)
    characters = np.append(0, np.cumsum((raw & 0xC0) != 0x80))
    begin = np.maximum(0, characters[mapped.source[found.begin]] - rule.window)
    end = np.minimum(len(text), characters[ends[found.end]] + rule.window)
    spans: list[tuple[int, int]] = []
    for a, b in sorted(zip(begin.tolist(), end.tolist(), strict=True)):
        if spans and a <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(b, spans[-1][1]))
        else:
            spans.append((a, b))
    return spans


def _between(spans: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """What lies before, between and after spans, empty stretches left out."""
    edges = [0, *(edge for span in spans for edge in span), length]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]
