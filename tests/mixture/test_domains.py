"""Domains by source, column, address, scores and table; token counts; the tokenizer trained on the corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixture_cases import corpus_of, texts_of, write_corpus

from curation.errors import InputError, MixtureError, RecipeError
from curation.mixture.corpus import Corpus, DomainCount, count_domains
from curation.mixture.domains import Domains
from curation.mixture.exporters.encoding import Encoder
from curation.mixture.tokenizer import END, train_tokenizer
from curation.mixture.url_domains import UrlRules
from curation.run_stage import check_answer
from curation.scorers.token_count import TokenCount


def domains(stage: Domains, **columns) -> list[str]:
    rows = pl.DataFrame({"doc": range(len(next(iter(columns.values())))), **columns}, schema_overrides={"doc": pl.UInt64})
    return check_answer(stage, rows, stage.bind({})(rows.select("doc", *stage.reads)))["domain"].to_list()


def test_by_source_and_column() -> None:
    assert domains(Domains(), source=["a", None, "b"]) == ["a", "other", "b"]
    stage = Domains(by="column", column="language", otherwise="unknown")
    assert domains(stage, language=["eng_Latn", None]) == ["eng_Latn", "unknown"]


RULES = """
- {domain: talk, hosts: [talk.example.org]}
- {domain: example, suffixes: [example.org], hosts: [Other.NET]}
- {domain: documentation, pattern: "^https?://[^/]+/(docs|manual)/"}
- {domain: everything, suffixes: [org]}
"""


def test_by_address_the_first_rule_decides(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    stage = Domains(by="url", rules=str(tmp_path / "rules.yaml"))
    cases = {
        "https://talk.example.org/docs/x": "talk",
        "https://www.example.org/docs/x": "example",
        "http://deep.sub.example.org:8080/": "example",
        "https://notexample.org/": "everything",
        "https://notexample.org/docs/1": "documentation",
        "https://www.other.net/": "example",
        "https://sub.other.net/": "other",
        "https://x.com/manual/y": "documentation",
        "https://x.com/?u=http://y/docs/": "other",
        "": "other",
        None: "other",
        "no address": "other",
    }
    assert domains(stage, url=pl.Series(list(cases), dtype=pl.String)) == list(cases.values())


@pytest.mark.parametrize(
    "text",
    ["[]", "a: 1", "- {domain: x}", "- {domain: x, host: [y]}", "- {domain: x, hosts: y}", "- {domain: 1, hosts: [y]}",
     "- {domain: x, pattern: '(?<=a)b'}", "- {domain: x, pattern: '('}", ": :"],
)  # fmt: skip
def test_rules_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "rules.yaml").write_text(text)
    with pytest.raises(RecipeError, match="rules"):
        UrlRules.load(tmp_path / "rules.yaml")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a.b.c", "b.c", "c", "x.b.c", "www.b.c", "q.x.b.c", "d"]), min_size=1, max_size=20), st.data())
def test_hosts_are_found_as_a_plain_loop_finds_them(hosts: list[str], data) -> None:
    kinds = st.tuples(st.sampled_from(["hosts", "suffixes"]), st.sampled_from(["b.c", "c", "x.b.c", "d"]))
    rules = data.draw(st.lists(kinds, min_size=1, max_size=6))
    table = UrlRules.of([{"domain": f"r{i}", kind: [name]} for i, (kind, name) in enumerate(rules)], "here")

    def plain(host: str) -> str | None:
        bare = host.removeprefix("www.")
        for i, (kind, name) in enumerate(rules):
            if bare == name or (kind == "suffixes" and bare.endswith(f".{name}")):
                return f"r{i}"
        return None

    found = table.domains(pl.Series([f"https://{host}/p" for host in hosts]))
    assert found.to_list() == [plain(host) for host in hosts]


def test_by_scores_the_largest_wins() -> None:
    names = ("score_topic_art", "score_topic_science", "score_topic_sport_news")
    stage = Domains(by="scores", scores=names, at_least=0.4)
    nan = float("nan")
    rows = [(0.9, 0.05, 0.05), (0.1, 0.5, 0.5), (0.3, 0.3, 0.39), (None, nan, 0.6), (None, None, None)]
    columns = {name: pl.Series([row[i] for row in rows], dtype=pl.Float32) for i, name in enumerate(names)}
    assert domains(stage, **columns) == ["art", "science", "other", "sport_news", "other"]


def test_by_table(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a", "b", "a"], "domain": ["1", "2", "3"]}), tmp_path / "t.parquet")
    stage = Domains(by="table", table=str(tmp_path / "t.parquet"))
    assert domains(stage, id=["b", "a", "c"]) == ["2", "1", "other"]
    pq.write_table(pa.table({"id": [1], "domain": ["x"]}), tmp_path / "u.parquet")
    for name in ("u.parquet", "none.parquet"):
        with pytest.raises(RecipeError, match="id and domain"):
            Domains(by="table", table=str(tmp_path / name)).bind({})


@pytest.mark.parametrize(
    "options",
    [{"by": "topic"}, {"by": "column"}, {"by": "column", "column": "text"}, {"by": "url"},
     {"by": "scores", "scores": ("score_a",)},
     {"by": "scores", "scores": ("score_a_x", "score_a_x")}, {"by": "table"}, {"column": "language"}, {"otherwise": ""}],
)  # fmt: skip
def test_options_that_do_not_fit(options: dict) -> None:
    with pytest.raises(RecipeError, match="mixture/domains"):
        Domains(**options)


def test_counts_by_domain(tmp_path: Path) -> None:
    found = count_domains(corpus_of(write_corpus(tmp_path)), TokenCount())
    size = {name: sum(len(text.encode()) for text in texts_of(name, 120)) for name in found}
    assert found == {name: DomainCount(120, size[name] + 120, size[name]) for name in ("books", "code", "news", "q-a")}
    with pytest.raises(MixtureError, match="give a tokenizer"):
        count_domains(corpus_of(tmp_path), None)
    with pytest.raises(MixtureError, match="--domain-by"):
        count_domains(Corpus([str(tmp_path)]), TokenCount())
    with pytest.raises(MixtureError, match="wanted: language"):
        count_domains(Corpus([str(tmp_path)], Domains(by="column", column="language")), TokenCount())


def test_the_trained_tokenizer_gives_every_text_back(tmp_path: Path) -> None:
    corpus = corpus_of(write_corpus(tmp_path / "corpus"))
    assert train_tokenizer(corpus, tmp_path / "a.json", 400) == 400
    train_tokenizer(corpus, tmp_path / "b.json", 400)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    encoder = Encoder(str(tmp_path / "a.json"))
    texts = ["", "mass energy", " two  spaces\n\ttab ", "Ω字\U0001f600 é", END]
    ids, lengths = encoder.encode(texts)
    ends = np.cumsum(lengths)
    assert (ids[ends - 1] == encoder.end_id).all() and lengths[0] == 1
    library = encoder._library
    parts = [ids[end - length : end - 1].tolist() for end, length in zip(ends, lengths, strict=True)]
    assert [library.decode(part) for part in parts[:-1]] == texts[:-1]
    assert encoder.facts()["vocabulary"] == 400 and encoder.small
    rows = pl.DataFrame({"doc": range(5), "text": texts}, schema_overrides={"doc": pl.UInt64})
    counted = TokenCount(tokenizer=str(tmp_path / "a.json")).bind({})(rows)["token_count"].to_list()
    assert counted == lengths.tolist()


def test_tokenizers_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(RecipeError, match="tokenizer.json"):
        TokenCount(tokenizer=str(tmp_path / "x.json")).bind({})
    with pytest.raises(MixtureError, match="at least 257"):
        train_tokenizer(corpus_of(tmp_path), tmp_path / "y.json", 200)
    corpus = corpus_of(write_corpus(tmp_path / "corpus"))
    train_tokenizer(corpus, tmp_path / "a.json", 300)
    with pytest.raises(MixtureError, match="--end-token"):
        _ = Encoder(str(tmp_path / "a.json"), end_token="<stop>").end_id
    with pytest.raises(InputError, match="no input"):
        train_tokenizer(corpus_of(tmp_path / "x.json"), tmp_path / "z.json", 300)
