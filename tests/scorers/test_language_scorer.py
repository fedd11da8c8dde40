"""scorers/language: codes of all labels, scripts, and agreement with datatrove's own class on real text."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import fasttext
import numpy as np
import polars as pl
import pytest

from classifiers.card import load_card, locate
from curation.scorers.language import CARD, Language
from curation.scorers.language_codes import CODES, SCRIPT_LETTERS, script_of
from curation.stage import Apply

OUTSIDE_FINEWEB2 = {
    "eng_Latn", "hbs_Cyrl", "hbs_Latn", "kaz_Arab", "kaz_Latn", "khk_Mong", "kir_Arab", "tgk_Arab", "tgk_Latn",
}  # fmt: skip


@pytest.fixture(scope="module")
def apply() -> Apply:
    return Language().bind({CARD: locate(load_card(CARD).location)})


def frame(texts: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame({"doc": range(len(texts)), "text": texts}, schema={"doc": pl.UInt64, "text": pl.String})


def languages(apply: Apply, *texts: str | None) -> list[str | None]:
    return apply(frame(list(texts)))["language"].to_list()


def test_every_label_has_a_code() -> None:
    assert tuple(sorted(CODES)) == load_card(CARD).labels
    for codes in CODES.values():
        assert len({script_of(code) for code in codes}) == len(codes)
        if len(codes) > 1:
            assert {script_of(code) for code in codes} <= set(SCRIPT_LETTERS)


def test_codes_are_those_of_fineweb2(data_folder: Path) -> None:
    with gzip.open(data_folder / "fineweb2-tables" / "configs.json.gz", "rt") as stream:
        published = set(json.load(stream))
    assert {code for codes in CODES.values() for code in codes} - published == OUTSIDE_FINEWEB2


def test_alemannic_is_not_albanian() -> None:
    assert CODES["als"] == ("gsw_Latn",) and CODES["sq"] == ("als_Latn",)


def test_script_is_counted_not_guessed(apply: Apply) -> None:
    cyrillic = "Сва људска бића рађају се слободна и једнака у достојанству и правима. "
    assert languages(apply, cyrillic, cyrillic + "OK") == ["srp_Cyrl", "srp_Cyrl"]


def test_script_is_told_by_the_start_of_a_text(apply: Apply) -> None:
    long = "Сва људска бића рађају се слободна и једнака у достојанству и правима. " * 200
    assert languages(apply, long) == ["srp_Cyrl"]


def test_nothing_to_go_by_is_null_not_zero(apply: Apply) -> None:
    answer = apply(frame(["", None, " \n\u3000", "Good morning to all of you."]))
    assert answer["language"].to_list() == [None, None, None, "eng_Latn"]
    assert answer["score_language"].null_count() == 3 and answer["score_language"].dtype == pl.Float32


def test_empty_batch(apply: Apply) -> None:
    answer = apply(frame([]))
    assert answer.schema == {"doc": pl.UInt64, "language": pl.String, "score_language": pl.Float32}


def test_answers_do_not_depend_on_the_batch(apply: Apply) -> None:
    texts = ["Good morning, everyone.", "Добро јутро свима, како сте?", "", "Dobro jutro svima, kako ste?", "おはよう"]
    whole = apply(frame(texts))
    alone = pl.concat([apply(frame([text])) for text in texts])
    assert whole.drop("doc").equals(alone.drop("doc"))


class AsDatatroveWants:
    """fasttext-predict answers with plain floats; datatrove calls `.item()` on them."""

    def __init__(self, path: Path) -> None:
        self.model = fasttext.load_model(str(path))

    def predict(self, text: str, k: int) -> tuple[tuple[str, ...], np.ndarray]:
        labels, scores = self.model.predict(text, k=k)
        return labels, np.array(scores)


def test_same_label_and_score_as_datatrove(apply: Apply, data_folder: Path) -> None:
    lid = pytest.importorskip("datatrove.utils.lid", reason="the oracle is datatrove (extra: peers)")
    from datatrove.data import Document

    oracle = lid.FT176LID()
    oracle._model = AsDatatroveWants(locate(load_card(CARD).location))  # instead of a download
    texts = sample(data_folder)
    answer = apply(frame(list(texts)))
    for text, code, score in zip(texts, answer["language"], answer["score_language"], strict=True):
        (label, expected), _ = oracle.predict(Document(text=text, id="0"))
        assert code in CODES[label] and np.float32(expected) == np.float32(score), text[:80]


def sample(data_folder: Path) -> list[str]:
    """Every 50th sentence of 75 languages, every 100th document of the domains, joined to have newlines."""
    texts = []
    with zipfile.ZipFile(data_folder / "lid-lingua" / "sentences.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.startswith("sentences/") and n.endswith(".txt")):
            texts += archive.read(name).decode().splitlines()[::50]
    for path in sorted((data_folder / "text-domains").glob("*.jsonl.gz")):
        with gzip.open(path, "rt") as stream:
            texts += [json.loads(line)["text"] for i, line in enumerate(stream) if i % 100 == 0]
    return [text for text in texts if text.strip()]
