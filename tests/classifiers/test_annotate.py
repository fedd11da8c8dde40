"""Annotation against an endpoint that misbehaves: every document answered once, nothing lost to a kill, bounds that hold."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference_corpus
from chat_server import Act, Seen, chat_server
from small_models import BAD, GOOD

from classifiers.annotate import Journal, Terms, train_student
from classifiers.annotation_run import Annotated, AnnotationRun, Student, run_annotation
from classifiers.card import load_card
from classifiers.endpoint import Settings
from classifiers.examples import TrainingError
from classifiers.rubric import load_rubric
from classifiers.train_fasttext import FastTextSettings

REPOSITORY = Path(__file__).parent.parent.parent


def rating(text: str) -> int:
    """What the endpoint thinks of a document."""
    return hashlib.blake2b(text.encode(), digest_size=1).digest()[0] % 6


def good(text: str) -> Act:
    return ("say", json.dumps({"reason": "so it is", "education": rating(text)}))


def stored(path: Path, count: int) -> Path:
    rows = {
        "text": [f"page {i} of the book" for i in range(count)],
        "url": [f"https://s{i % 7}.example/{i}" for i in range(count)],
    }
    pq.write_table(pa.table(rows), path)
    return path


def annotated(
    tmp_path: Path, act: Callable[[str, int], Act], *, count: int = 60, at_once: int = 4, most: int = 0, out: str = "out",
    most_invalid: float = 0.01, tries: int = 6, model: str = "big", student: Student | None = None, delay_s: float = 0.0,
) -> tuple[Annotated, Seen]:  # fmt: skip
    data = tmp_path / "data.parquet"
    if not data.exists():
        stored(data, count)
    with chat_server(act, delay_s) as (url, seen):
        settings = Settings(url, model, timeout_s=0.5, tries=tries, first_wait_s=0.001)
        terms = Terms(at_once, most_invalid, price_in=2.0, price_out=10.0)
        return run_annotation(
            AnnotationRun((data,), tmp_path / out, "education", count, (), 0, most, terms, settings, student)
        ), seen


def labels_of(path: Path) -> dict[str, int]:
    table = pq.read_table(path)
    return dict(zip(table["text"].to_pylist(), table["label_education"].to_pylist(), strict=True))


def misbehaving(text: str, n: int) -> Act:
    """Up to four faults that pass, for many documents an unreadable answer among them, then an answer with prose round it."""
    generator = random.Random(text)
    faults: list[Act] = ["drop", "half", "html", "no_choices", ("status", 500), ("wait", 0)]
    script = [generator.choice(faults) for _ in range(max(0, generator.randrange(-4, 5)))]
    if generator.random() < 0.3:
        unreadable = generator.choice(["I would say 3.", '{"education": 7}', '{"education": null}'])
        script.insert(generator.randrange(len(script) + 1), ("say", unreadable))
    said = json.dumps({"education": rating(text), "reason": "plain"})
    answer = generator.choice([said, f"Let me think.\n```json\n{said}\n```\nI hope this helps!"])
    return script[n] if n < len(script) else ("say", answer)


def test_every_document_is_answered_whatever_the_endpoint_does(tmp_path: Path) -> None:
    found, seen = annotated(tmp_path, misbehaving)
    table = pq.read_table(found.labels)
    assert labels_of(found.labels) == {f"page {i} of the book": rating(f"page {i} of the book") for i in range(60)}
    report = found.report
    assert (report.documents, report.valid, report.unreadable, report.failed, report.left) == (60, 60, 0, 0, 0)
    assert report.calls == len(seen.requests) > 80 and sum(report.retried.values()) > 10
    assert {"status 500", "status 429", "reply of another form"} <= set(report.retried)
    assert sum(report.why.values()) > 3 and any("wanted whole number from 0 to 5, found '7'" in why for why in report.why)
    assert report.replies == 60 + sum(report.why.values()) == report.calls - sum(report.retried.values())
    assert (report.prompt_tokens, report.answer_tokens) == (100 * report.replies, 10 * report.replies)
    assert report.cost == pytest.approx(report.replies * (100 * 2 + 10 * 10) / 1e6)
    assert sum(report.ratings["education"].values()) == 60
    written = json.loads((tmp_path / "out/report.json").read_text())
    assert (written["valid"], written["calls"], written["invalid_share"]) == (60, report.calls, 0)
    assert set(table["prompt"].to_pylist()) == {load_rubric("education").prompt_version}
    assert table["content_id"].to_pylist() == sorted(table["content_id"].to_pylist()) and set(table["site"].to_pylist()) == {
        f"s{i}.example" for i in range(7)
    }


def test_the_same_command_again_asks_nothing_and_another_model_everything(tmp_path: Path) -> None:
    first, _ = annotated(tmp_path, lambda text, n: good(text))
    before = first.labels.read_bytes()
    again, seen = annotated(tmp_path, lambda text, n: ("status", 500))
    assert not seen.requests and again.report.known == 60 and again.labels.read_bytes() == before
    other, seen = annotated(tmp_path, lambda text, n: good(text), model="other")
    assert len(seen.requests) == 60 and other.report.known == 0 and other.report.replies == 60


def test_order_and_number_at_once_change_no_byte_of_the_labels(tmp_path: Path) -> None:
    one, seen = annotated(tmp_path, lambda text, n: good(text), at_once=1, out="one")
    assert seen.most_under_way == 1
    many, seen = annotated(tmp_path, lambda text, n: good(text), at_once=5, out="many", delay_s=0.02)
    assert 2 <= seen.most_under_way <= 5
    assert one.labels.read_bytes() == many.labels.read_bytes()


def test_unreadable_twice_is_unreadable_and_never_a_low_rating(tmp_path: Path) -> None:
    found, seen = annotated(tmp_path, lambda text, n: ("say", "0") if "page 5 " in text else good(text))
    assert found.report.unreadable == 1 and found.report.valid == 59 and found.report.invalid_share == pytest.approx(1 / 60)
    assert seen.per_document["page 5 of the book"] == 2 and "page 5 of the book" not in labels_of(found.labels)
    told = [r["messages"] for r in seen.requests if "page 5 of" in r["messages"][1]["content"]][1]
    assert [m["role"] for m in told] == ["system", "user", "assistant", "user"] and told[2]["content"] == "0"
    assert "no JSON object" in told[3]["content"]
    again, seen = annotated(tmp_path, lambda text, n: good(text))
    assert not seen.requests and again.report.unreadable == 1, "not asked a third time"


def test_too_many_unreadable_answers_stop_it(tmp_path: Path) -> None:
    def some(text: str, n: int) -> Act:
        return ("say", "no") if int(text.split()[1]) % 20 == 0 else good(text)

    with pytest.raises(TrainingError, match="wanted: at most 1.0% unreadable answers") as caught:
        annotated(tmp_path, some, count=600)
    assert "no JSON object with every criterion" in str(caught.value) and "so far:" in str(caught.value)
    written = json.loads((tmp_path / "out/report.json").read_text())
    assert 150 < written["valid"] < 400 and written["left"] > 100 and written["ended"]
    assert len(labels_of(tmp_path / "out/labels.parquet")) == written["valid"]
    found, _ = annotated(tmp_path, some, count=600, most_invalid=0.06)
    assert found.report.unreadable == 30 and found.report.valid == 570


def test_the_budget_is_kept_and_a_further_one_goes_on(tmp_path: Path) -> None:
    found, seen = annotated(tmp_path, misbehaving, most=30)
    assert len(seen.requests) == found.report.calls == 30 and "30 calls made" in found.report.ended
    assert found.report.valid + found.report.left == 60 and 0 < found.report.valid < 30 and found.card is None
    answered = set(labels_of(found.labels))
    more, seen = annotated(tmp_path, lambda text, n: good(text))
    assert more.report.valid == 60 and set(seen.per_document) == set(labels_of(more.labels)) - answered


def test_an_endpoint_that_is_down_is_given_up_and_what_it_answered_is_kept(tmp_path: Path) -> None:
    answered: list[str] = []

    def dying(text: str, n: int) -> Act:
        answered.append(text)
        return good(text) if len(answered) <= 10 else "drop"

    with pytest.raises(TrainingError, match="20 calls failed one after the other") as caught:
        annotated(tmp_path, dying, tries=2)
    assert "so far: 10 of 60 documents answered" in str(caught.value)
    assert len(labels_of(tmp_path / "out/labels.parquet")) == 10
    assert annotated(tmp_path, lambda text, n: good(text))[0].report.known == 10


def test_one_document_that_is_refused_does_not_stop_the_others(tmp_path: Path) -> None:
    found, seen = annotated(tmp_path, lambda text, n: ("status", 400) if "page 5 " in text else good(text))
    assert (found.report.valid, found.report.failed, found.report.left) == (59, 1, 0)
    assert seen.per_document["page 5 of the book"] == 1


def test_a_wrong_key_ends_it_at_once_and_is_told_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(TrainingError, match="401: the key is not taken") as caught:
        annotated(tmp_path, lambda text, n: ("status", 401))
    assert "sk-secret" not in str(caught.value)
    annotated(tmp_path, misbehaving)
    for path in (tmp_path / "out").iterdir():
        assert b"sk-secret" not in path.read_bytes()


def journal(path: Path, model: str = "m") -> Journal:
    return Journal(path, "p", model)


def reply(key: str, **values: object) -> dict:
    return {"content_id": key, "values": values or None, "why": "" if values else "no", "answer": "", "prompt_tokens": 3,
            "answer_tokens": 2}  # fmt: skip


def test_the_journal_outlives_torn_lines_and_foreign_ones(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with journal(path) as first:
        first.add(reply("a", education=1))
        first.add(reply("b", education=2))
        with pytest.raises(TrainingError, match="another process writes it"):
            journal(path)
    whole = path.read_bytes()
    for cut in (2, 20, len(whole.splitlines()[1]) - 1):
        path.write_bytes(whole[:-cut])
        with journal(path) as second:
            assert second.values == {"a": {"education": 1}} and second.is_open("b")
            second.add(reply("c", education=3))
        with journal(path) as third:
            assert sorted(third.values) == ["a", "c"] and third.prompt_tokens == 6
    path.write_bytes(whole[:-1])
    with journal(path) as fourth:
        assert sorted(fourth.values) == ["a", "b"], "a line without its end may be whole"
    path.write_bytes(b'\xff\xfe\n[]\n{"prompt": "p", "model": "m"}\n7\n' + whole)
    with journal(path) as fifth, journal(tmp_path / "k.jsonl", "n") as other:
        assert sorted(fifth.values) == ["a", "b"] and not other.values
    with journal(path, "another") as sixth:
        assert not sixth.values


def test_the_journal_after_a_disk_that_was_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "j.jsonl", os.write
    with journal(path) as full:
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:30]))
        with pytest.raises(TrainingError, match="wanted: to keep a reply"):
            full.add(reply("a", education=1))
        assert not full.values
        monkeypatch.setattr(os, "write", write)
        full.add(reply("b", education=2))
    with journal(path) as again:
        assert again.values == {"b": {"education": 2}}


def test_unreadable_replies_are_counted_by_document(tmp_path: Path) -> None:
    with journal(tmp_path / "j.jsonl") as book:
        book.add(reply("a"))
        assert book.is_open("a") and not book.unreadable
        book.add(reply("b"))
        book.add(reply("b"))
        assert book.unreadable == {"b"} and not book.is_open("b")
        book.add(reply("a", education=1))
        assert not book.is_open("a") and book.unreadable == {"b"} and book.why == {"no": 3}


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    data = stored(tmp_path / "data.parquet", 80)
    out = tmp_path / "out"
    with chat_server(lambda text, n: good(text), delay_s=0.02) as (url, seen):
        command = [sys.executable, "-m", "curation.cli", "models", "annotate", str(data), "--out", str(out), "--endpoint", url,
                   "--model", "big", "--sample", "80", "--at-once", "4"]  # fmt: skip
        for times in (15, 20, 0):
            before = len(seen.requests)
            process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if times:
                while len(seen.requests) < before + times and process.poll() is None:
                    time.sleep(0.002)
                process.send_signal(signal.SIGKILL)
            said, _ = process.communicate(timeout=60)
        lines = (out / "journal.jsonl").read_bytes().splitlines()
        kept = [json.loads(line)["content_id"] for line in lines if line.endswith(b"}")]
        assert len(kept) == len(set(kept)) == 80 and len(labels_of(out / "labels.parquet")) == 80
        # a document may be asked about again only where the kill came between its request and its line
        assert 80 <= len(seen.requests) <= 80 + 2 * 4 and max(seen.per_document.values()) <= 3
        assert re.search(r"80 documents: \d\d answered before, 80 have a valid answer", said), said


def taught(generator: random.Random, count: int) -> tuple[list[str], list[int]]:
    """Texts with a share of teaching words, and the rating that this share is."""
    texts, ratings = [], []
    for _ in range(count):
        share = generator.random()
        texts.append(" ".join(generator.choice((GOOD if generator.random() < share else BAD).split()) for _ in range(40)))
        ratings.append(min(int(share * 6), 5))
    return texts, ratings


def labels_file(path: Path, texts: list[str], ratings: list[int]) -> Path:
    sites = [f"s{i % 40}.example" for i in range(len(texts))]
    models = ["big"] * len(texts)
    pq.write_table(pa.table({"text": texts, "site": sites, "label_education": ratings, "model": models}), path)
    return path


def test_the_student_learns_the_ratings_and_nothing_from_shuffled_ones(tmp_path: Path) -> None:
    pytest.importorskip("fasttext_new", reason="the extra `train` is not installed")
    generator = random.Random(5)
    texts, ratings = taught(generator, 400)
    options = {"rubric": load_rubric("education"), "criterion": "education", "at_least": 3,
               "settings": FastTextSettings(dim=8, min_count=1, buckets=500, quantise=False), "test_share": 0.3}  # fmt: skip
    card = train_student(labels_file(tmp_path / "l.parquet", texts, ratings), tmp_path / "out", "edu", **options)  # type: ignore[arg-type]
    quality = tomllib.loads(card.read_text())["quality"][0]
    assert quality["roc_auc"][0] > 0.93
    card_ = load_card(str(card))
    assert card_.scored == ("high",) and "education is rated 3 or more" in card_.direction
    assert "400 documents rated by big (prompt education-1-" in card.read_text() and not list(tmp_path.glob("out/*.parquet"))
    generator.shuffle(ratings)
    shuffled = train_student(labels_file(tmp_path / "s.parquet", texts, ratings), tmp_path / "out", "none", **options)  # type: ignore[arg-type]
    assert abs(tomllib.loads(shuffled.read_text())["quality"][0]["roc_auc"][0] - 0.5) < 0.2


def test_annotated_and_trained_in_one_command(tmp_path: Path) -> None:
    pytest.importorskip("fasttext_new", reason="the extra `train` is not installed")
    texts, ratings = taught(random.Random(6), 200)
    urls = [f"https://s{i % 30}.example/{i}" for i in range(200)]
    pq.write_table(pa.table({"text": texts, "url": urls}), tmp_path / "data.parquet")
    known = dict(zip(texts, ratings, strict=True))
    student = Student("edu", settings=FastTextSettings(dim=8, min_count=1, buckets=500, quantise=False))
    act = lambda text, n: ("say", json.dumps({"education": known[text]}))  # noqa: E731
    cut_short, _ = annotated(tmp_path, act, count=200, most=90, student=student)
    assert cut_short.card is None and cut_short.report.ended
    found, seen = annotated(tmp_path, act, count=200, student=student)
    assert found.card is not None and load_card(str(found.card)).kind == "linear_fasttext" and len(seen.requests) == 110


@pytest.mark.parametrize(
    ("rubric", "changed", "said"),
    [
        ("education", {"criterion": "beauty"}, "wanted: one of education"),
        ("education", {"criterion": "education", "at_least": 0}, "wanted: 1 to 5\n  found:  0"),
        ("education", {"criterion": "education", "at_least": 6}, "found:  6"),
        ("education", {"criterion": "education"}, "found:  None"),
        ("dataman", {"criterion": "domain"}, "wanted: one of medicine.*found:  none"),
        ("dataman", {"criterion": "domain", "positive": "cooking"}, "found:  cooking"),
    ],
)
def test_students_that_cannot_be(rubric: str, changed: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=re.compile(said, re.S)):
        train_student(tmp_path / "none.parquet", tmp_path, "x", rubric=load_rubric(rubric), **changed)


def test_a_changed_rubric_asks_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    annotated(tmp_path, lambda text, n: good(text))
    changed = replace(load_rubric("education"), instructions="Judge otherwise.")
    monkeypatch.setattr("classifiers.annotation_run.load_rubric", lambda name: changed)
    found, seen = annotated(tmp_path, lambda text, n: good(text))
    assert len(seen.requests) == 60 and found.report.known == 0
    assert set(pq.read_table(found.labels)["prompt"].to_pylist()) == {changed.prompt_version}


def test_real_and_hostile_documents_are_shown_as_they_are(tmp_path: Path, data_folder: Path) -> None:
    real = reference_corpus.documents(data_folder)
    hostile = reference_corpus.hostile_texts()
    groups = [d.group for d in real] + ["hostile"] * len(hostile)
    texts = [d.text for d in real] + list(hostile.values())
    data = tmp_path / "data.parquet"
    pq.write_table(pa.table({"text": pa.array(texts, pa.large_string()), "group": groups}), data, row_group_size=500)
    shown: list[str] = []
    with chat_server(lambda text, n: shown.append(text) or good(text)) as (url, _):  # type: ignore[func-returns-value]
        found = run_annotation(
            AnnotationRun((data,), tmp_path / "out", "education", 400, ("group",), 0, 0, Terms(), Settings(url, "big"))
        )
    table = pq.read_table(found.labels)
    sampled = table["text"].to_pylist()
    assert found.report.valid == len(sampled) == len(set(sampled)) and 350 < len(sampled) <= 400 and set(sampled) <= set(texts)
    assert sorted(text[:8000] for text in sampled) == sorted(shown)
    assert table["label_education"].to_pylist() == [rating(text[:8000]) for text in sampled]
    assert set(table["stratum"].to_pylist()) == {f"group={g}" for g in set(groups)}
