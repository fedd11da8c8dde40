"""How good the default models are: `python benchmarks/scores_quality.py DATA_FOLDER [--models FOLDER]`.

Writes benchmarks/scores_quality.md and the cards with their measurements. `--models`: where train_default_models.py wrote new
weights; they become the package's. Nothing measured here was trained with, and shares no book, site, or comment with what was.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from score_data import (
    BOOKS_TEST,
    WEB_TEST,
    WEB_TRAIN,
    Text,
    domain,
    halves,
    human_judged,
    jigsaw,
    madlibs,
    passages,
    web_pages,
    wikipedia_comments,
)

from classifiers import metrics
from classifiers.card import sha256_of
from classifiers.card_text import toml_value
from classifiers.linear_fasttext import LinearFastText
from classifiers.metrics import Interval
from classifiers.ngram_kenlm import NgramKenlm
from classifiers.train_ngram import shuffle_words

HERE = Path(__file__).parent
WEIGHTS = HERE.parent / "classifiers" / "weights"
CARDS = HERE.parent / "classifiers" / "cards"
FILES = {
    "quality_en": "quality_en.ftz", "toxicity_en": "toxicity_en.ftz", "perplexity_en": "perplexity_en.bin",
    "harmful_en": "harmful_en.bin",
}  # fmt: skip
SUBSTITUTES = {
    "quality_en": "dclm_fasttext",
    "toxicity_en": "dolma_hatespeech",
    "perplexity_en": "ccnet (English)",
    "harmful_en": "the model of adult web pages of Perplexed by Quality (arXiv:2212.10440)",
}

Row = dict[str, Any]


class Models:
    """The four models, asked as their cards say."""

    def __init__(self) -> None:
        self.quality = LinearFastText(WEIGHTS / FILES["quality_en"], ["good"], preprocessing="words")
        self.toxicity = LinearFastText(WEIGHTS / FILES["toxicity_en"], ["toxic"], preprocessing="words")
        self.perplexity = NgramKenlm(WEIGHTS / FILES["perplexity_en"], preprocessing="word_lines", min_tokens=20)
        self.harmful = NgramKenlm(WEIGHTS / FILES["harmful_en"], preprocessing="word_lines")

    def likeness_to_harm(self, texts: Sequence[str]) -> np.ndarray:
        """The inverted use: the less perplexing under harmful text, the higher; unknown is not harmful."""
        return -np.nan_to_num(np.log(self.harmful.score(texts)[:, 0].astype(float)), nan=50.0)


def measure_toxicity(data: Path, models: Models) -> list[Row]:
    """Comments held out of training, comments at their natural rate; toxicity_en and, beside it, harmful_en inverted."""
    rows = []
    for name, examples in (
        ("Jigsaw comments held out, balanced", halves(jigsaw(data), 0.2)[1]),
        ("Wikipedia comments, natural rate", wikipedia_comments(data)),
    ):
        y = [row.label == "toxic" for row in examples]
        scores = np.nan_to_num(models.toxicity.score([row.text for row in examples])[:, 0])
        harm = models.likeness_to_harm([row.text for row in examples])
        rows.append(
            {
                "set": name,
                "examples": len(y),
                "toxic": sum(y),
                "roc_auc": metrics.bootstrap(metrics.roc_auc, scores, y),
                "pr_auc": metrics.bootstrap(metrics.pr_auc, scores, y),
                "f1_at_half": metrics.bootstrap(lambda s, t: metrics.f1(s, t, 0.5), scores, y),
                "calibration_error": metrics.bootstrap(metrics.calibration_error, scores, y),
                "roc_auc_harmful_en": metrics.bootstrap(metrics.roc_auc, harm, y),
            }
        )
    return rows


def measure_identity(data: Path, models: Models) -> tuple[Row, list[Row]]:
    """False positives of toxicity_en at 0.5 on harmless sentences, by the identity term they name."""
    examples = madlibs(data)
    scores = models.toxicity.score([row.text for row in examples])[:, 0]
    toxic = np.array([row.label == "toxic" for row in examples])
    terms = np.array([row.group for row in examples])
    by_term = [
        {
            "term": term,
            "sentences": int(((terms == term) & ~toxic).sum()),
            "false_positive_rate": float((scores[(terms == term) & ~toxic] >= 0.5).mean()),
            "roc_auc": metrics.roc_auc(scores[terms == term], toxic[terms == term]),
        }
        for term in sorted(set(terms))
    ]
    rates = [row["false_positive_rate"] for row in by_term]
    summary = {
        "set": "templated sentences with an identity term",
        "examples": len(examples),
        "terms": len(by_term),
        "roc_auc": metrics.bootstrap(metrics.roc_auc, scores, toxic, list(terms)),
        "false_positive_rate": float((scores[~toxic] >= 0.5).mean()),
        "false_positive_rate_lowest": min(rates),
        "false_positive_rate_highest": max(rates),
        "false_positive_gap": max(rates) - min(rates),
    }
    return summary, sorted(by_term, key=lambda row: -row["false_positive_rate"])


def measure_quality(data: Path, models: Models) -> list[Row]:
    """Passages of each domain, none of them trained with, against passages of web pages of other sites than trained with."""
    web = passages(web_pages(data, WEB_TEST, True), 5)
    page = passages(web_pages(data, WEB_TEST, False), 5)
    against = models.quality.score([row.text for row in web])[:, 0]
    sets = {"web pages, main content": web, "web pages, everything visible": page}
    books = [row for row in domain(data, "books") if any(name in row.group for name in BOOKS_TEST)]
    sets["books of other authors"] = passages(books)
    for name in ("textbooks", "wiki-wikitext2-valid", "biomed-pubmed", "legal-speech", "news-bbc", "web-openwebtext",
                 "qa-stackexchange"):  # fmt: skip
        sets[name] = passages(domain(data, name), 4)
    rows = []
    for name, examples in sets.items():
        scores = models.quality.score([row.text for row in examples])[:, 0]
        both = np.concatenate([scores, against])
        y = np.r_[np.ones(len(scores)), np.zeros(len(against))]
        groups = [row.group for row in (*examples, *web)]
        row = {"set": name, "passages": len(scores), "median": float(np.median(scores))}
        if name != "web pages, main content":
            row["roc_auc_against_web"] = metrics.bootstrap(metrics.roc_auc, both, y, groups)
        rows.append(row)
    human = human_judged(data)
    scores = models.quality.score([row.text for row in human])[:, 0]
    y = [row.label == "good" for row in human]
    rows.append({"set": "DCLM's annotators at odds: good against bad", "passages": len(human),
                 "median": float(np.median(scores)),
                 "roc_auc_against_web": metrics.bootstrap(metrics.roc_auc, scores, y)})  # fmt: skip
    return rows


def measure_perplexity(data: Path, models: Models) -> list[Row]:
    """Perplexity of clean, webby and broken text under perplexity_en."""
    sets = {name: passages(domain(data, name), 4) for name in
            ("wiki-wikitext2-valid", "textbooks", "books", "biomed-pubmed", "news-bbc", "legal-speech", "web-openwebtext",
             "qa-stackexchange")}  # fmt: skip
    sets["web pages, main content"] = passages(web_pages(data, WEB_TEST, True), 5)
    sets["web pages, everything visible"] = passages(web_pages(data, WEB_TEST, False), 5)
    rows = []
    for name, examples in sets.items():
        texts = [row.text for row in examples if len(row.text.split()) >= 50]
        clean = models.perplexity.score(texts)[:, 0]
        noisy = models.perplexity.score([with_noise(text) for text in texts])[:, 0]
        shuffled = models.perplexity.score([shuffle_words(text, 0) for text in texts])[:, 0]
        rows.append(
            {
                "set": name,
                "passages": len(texts),
                "median": float(np.nanmedian(clean)),
                "median_noisy": float(np.nanmedian(noisy)),
                "median_shuffled": float(np.nanmedian(shuffled)),
                "noisy_is_higher": float(np.mean(noisy > clean)),
                "shuffled_is_higher": float(np.mean(shuffled > clean)),
            }
        )
    return rows


def with_noise(text: str, share: float = 0.1) -> str:
    """A tenth of the letters replaced by others, the same for the same text."""
    generator = random.Random(len(text))
    letters = "abcdefghijklmnopqrstuvwxyz"
    return "".join(generator.choice(letters) if c.isalpha() and generator.random() < share else c for c in text)


def measure_planted(data: Path, models: Models) -> tuple[float, list[Row]]:
    """Harmful pages planted among web pages: the cut of each model is chosen on one half and measured on the other.

    A harmful page is eight held-out toxic comments. The halves share no page, no site and no comment.
    """
    toxic = [row for row in halves(jigsaw(data), 0.2)[1] if row.label == "toxic"]
    first, second = halves(toxic, 0.5, seed=1)
    clean_test = web_pages(data, WEB_TEST, True) + domain(data, "web-openwebtext")
    choose = _pages(first) + web_pages(data, WEB_TRAIN, True)
    test = _pages(second) + clean_test
    scorers = {
        "harmful_en, inverted (drop below the cut)": models.likeness_to_harm,
        "perplexity_en, plain (drop above the cut)": lambda t: np.nan_to_num(models.perplexity.score(t)[:, 0], nan=0.0),
        "toxicity_en (drop above the cut)": lambda t: np.nan_to_num(models.toxicity.score(t)[:, 0]),
    }
    rows, cut_harmful = [], 0.0
    for name, scorer in scorers.items():
        y = np.array([row.label == "toxic" for row in choose])
        cut, found = metrics.best_macro_f1(scorer([row.text for row in choose]), y)
        scores, y = scorer([row.text for row in test]), np.array([row.label == "toxic" for row in test])
        dropped = scores >= cut
        if "harmful" in name:
            cut_harmful = float(np.exp(-cut))
        rows.append(
            {
                "model": name,
                "cut": float(np.exp(-cut)) if "harmful" in name else cut,
                "macro_f1_where_chosen": found,
                "macro_f1": metrics.bootstrap(lambda s, t, c=cut: metrics.macro_f1(s, t, c), scores, y),
                "harmful_found": float(dropped[y].mean()),
                "web_pages_lost": float(dropped[~y].mean()),
            }
        )
    rows.append({"model": f"(pages: {int(y.sum())} harmful, {int((~y).sum())} web)"})
    return cut_harmful, rows


def _pages(comments: Sequence[Text], size: int = 8) -> list[Text]:
    rows = [comments[i : i + size] for i in range(0, len(comments) - size + 1, size)]
    return [Text("\n\n".join(row.text for row in page), "toxic", page[0].group) for page in rows]


def claim(planted: Sequence[Row]) -> str:
    """Whether what the paper says of the inverted model holds here, in words."""
    inverted, plain, classifier = (row["macro_f1"] for row in planted[:3])
    over_plain = "above" if inverted.low > plain.high else "not surely above" if inverted.value > plain.value else "not above"
    over_classifier = "above" if inverted.value > classifier.value else "below"
    return (
        f"The inverted model is {over_plain} the plain one and {over_classifier} the classifier. The paper's classifiers were\n"
        "trained on tweets and judged on web pages; ours is trained on comments like those planted, which favours it. The\n"
        "inverted model has 2.3 MB of comments and tweets to learn from, the paper's larger one 136 MB of adult pages."
    )


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table; columns are those of any row."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in names)} |", f"|{'---|' * len(names)}"]
    return "\n".join(lines + [f"| {' | '.join(_cell(row.get(name, '')) for name in names)} |" for row in rows])


def _cell(value: object) -> str:
    if isinstance(value, Interval):
        return f"{value.value:.3f} ({value.low:.3f}–{value.high:.3f})"
    return (f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}") if isinstance(value, float) else str(value)


def write_card(name: str, trained: Path, quality: Sequence[Row], limits: Sequence[str], threshold: float | None) -> None:
    """The card of a default model: what its training wrote, with these measurements in place of its own."""
    source = trained / f"{name}.toml" if (trained / f"{name}.toml").is_file() else CARDS / f"{name}.toml"
    value = tomllib.loads(source.read_text(encoding="utf-8"))
    plain = {k: v for k, v in value.items() if not isinstance(v, dict) and k not in ("quality", "thresholds", "limits")}
    plain |= {"substitute": SUBSTITUTES[name], **({} if threshold is None else {"threshold": threshold})}
    path = WEIGHTS / FILES[name]
    lines = ["# Written by benchmarks/scores_quality.py; trained by benchmarks/train_default_models.py."]
    lines += [f"{key} = {toml_value(item)}" for key, item in plain.items()]
    lines += ["limits = [", *(f"    {toml_value(limit)}," for limit in limits), "]", "", "[weights]"]
    lines += [f'location = "package:classifiers/weights/{path.name}"', f'sha256 = "{sha256_of(path)}"']
    lines += [f"size = {path.stat().st_size}"]
    for row in quality:
        lines += [
            "",
            "[[quality]] # benchmarks/scores_quality.md",
            *(f"{key} = {toml_value(item)}" for key, item in row.items()),
        ]
    (CARDS / f"{name}.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", type=Path)
    arguments = parser.parse_args()
    trained = arguments.models or CARDS
    if arguments.models:
        WEIGHTS.mkdir(exist_ok=True)
        for file in FILES.values():
            shutil.copyfile(arguments.models / file, WEIGHTS / file)
    models = Models()
    toxicity, (identity, terms) = measure_toxicity(arguments.data, models), measure_identity(arguments.data, models)
    quality, perplexity = measure_quality(arguments.data, models), measure_perplexity(arguments.data, models)
    cut, planted = measure_planted(arguments.data, models)
    worst = ", ".join(f"{row['term']} {row['false_positive_rate']:.2f}" for row in terms[:5])
    write_card("toxicity_en", trained, [*toxicity, identity], [
        "English comments and tweets: other languages and long pages are outside its measurements.",
        f"Says toxic of harmless sentences for the identity they name ({worst}): never a sole reason to drop.",
        "The labels are annotators' of 2016 to 2018, of talk pages and of tweets chosen by a lexicon of hate.",
        "The file holds the words of its vocabulary, offensive ones among them.",
    ], 0.5)  # fmt: skip
    write_card("quality_en", trained, quality, [
        "Knows prose of novels and of an encyclopaedia from web pages, not good from bad: see the set of DCLM's annotators.",
        "Ranks question and answer, dialogue and lists low whatever they say.",
        "Trained on 3 novels and 106 articles: a stand-in for a start, not a filter for a corpus. English only.",
    ], None)  # fmt: skip
    write_card("perplexity_en", trained, perplexity, [
        "Trained on 2.8 MB: its perplexities are far above those of CCNet's models; only their order compares.",
        "Low is encyclopaedic, not good: dialogue, code and lists are high. A route, never a sole reason to drop.",
        "Cuts are percentiles of one's own sample.",
    ], None)  # fmt: skip
    write_card("harmful_en", trained, [*planted[:-1]], [
        "Harm here is insult and hate in comments and tweets; no adult page was in its training, and none was measured.",
        "Repetitive and very common text is low under any model.",
        "The file holds hashes of its words, not the words.",
    ], round(cut, 1))  # fmt: skip
    parts = [
        "# How good the default models are", "",
        "Written by `python benchmarks/scores_quality.py $CURATION_DATA`. Brackets: 95 % intervals, groups (pages, books,",
        "articles) resampled whole. Nothing here was trained with. Numbers as they are: no setting was chosen on these sets,",
        "with two exceptions. Harmless sentences were added to the training of toxicity_en after a first look at the templated",
        "sentences (false positives then: 0.40). The n-gram models had their punctuation taken off after a first look at their",
        "tables (macro-F1 of harmful_en then: 0.806).", "",
        "## toxicity_en", "", table(toxicity), "", table([identity]), "",
        "False positives by identity term (harmless sentences at or above 0.5):", "", table(terms[:10] + terms[-5:]), "",
        "## quality_en", "", table(quality), "", "## perplexity_en", "",
        "`noisy`: a tenth of the letters replaced. `shuffled`: the words of each line in another order.", "",
        table(perplexity), "",
        "## harmful_en, inverted", "",
        "Pages of eight held-out toxic comments among real web pages; each model's cut is the best of 100 by macro-F1 on one",
        "half, measured on the other, which shares no page, site or comment with it.", "", table(planted), "",
        claim(planted), "",
    ]  # fmt: skip
    (HERE / "scores_quality.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
