"""Encoders against transformers called directly, on small models made here of the published architectures."""

from __future__ import annotations

import dataclasses
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_encoders import BERT, DEBERTA, small_backbone, small_bert, small_deberta, small_head
from small_models import BAD, GOOD

torch = pytest.importorskip("torch", reason="the extra `neural` is not installed")
transformers = pytest.importorskip("transformers", reason="the extra `neural` is not installed")

from classifiers.card import Card, CardError, bare_card, load_card, locate, sha256_of  # noqa: E402
from classifiers.encoder import CardFiles, EncoderClassifier, open_cards, open_embedding  # noqa: E402
from classifiers.encoder_settings import EncoderSettings  # noqa: E402

WORDS = (GOOD + " " + BAD).split()


def texts(count: int = 60, longest: int = 100) -> list[str]:
    chance = random.Random(0)
    return [" ".join(chance.choices(WORDS, k=chance.randint(1, longest))) for _ in range(count)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("encoders")
    small_bert(root / "classes", ["a", "b", "c"])
    small_bert(root / "regression", ["LABEL_0"], seed=1)
    small_deberta(root / "deberta", ["High", "Low", "Medium"])
    small_backbone(root / "backbone")
    small_head(root / "one.safetensors", ["edu"])
    small_head(root / "two.safetensors", ["clean", "noisy"], seed=5)
    return root


def card(name: str = "mine", reading: str = "auto", **settings: object) -> Card:
    made = EncoderSettings(**{"max_tokens": 64, **settings})  # type: ignore[arg-type]
    return dataclasses.replace(bare_card(name, "encoder", "unchanged"), reading=reading, encoder=made)


def score(given: CardFiles, documents: list[str]) -> np.ndarray:
    return EncoderClassifier.of(given).score(documents)


def direct(folder: Path, documents: list[str], batch: int) -> np.ndarray:
    """Logits as anyone would get them: padded batches in the order of the texts."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    found = []
    with torch.inference_mode():
        for i in range(0, len(documents), batch):
            given = tokenizer(documents[i : i + batch], return_tensors="pt", padding=True, truncation=True, max_length=64)
            found.append(model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).logits)
    return torch.cat(found).numpy()


@pytest.mark.parametrize(("batch", "tolerance"), [(1, 1e-6), (16, 1e-5)])
def test_a_regression_is_transformers_logit(folders: Path, batch: int, tolerance: float) -> None:
    given = CardFiles(
        dataclasses.replace(load_card("fineweb_edu"), encoder=EncoderSettings(max_tokens=64)), folders / "regression"
    )
    documents = texts()
    one_by_one = np.concatenate([score(given, [text]) for text in documents]) if batch == 1 else score(given, documents)
    expected = direct(folders / "regression", documents, batch)
    assert one_by_one.shape == expected.shape == (60, 1) and expected.std() > 0.01
    assert np.abs(one_by_one - expected).max() <= tolerance


@pytest.mark.parametrize("reading", ["softmax", "sigmoid", "raw", "auto"])
def test_classes_are_read_as_the_card_says(folders: Path, reading: str) -> None:
    documents = texts(30)
    logits = torch.from_numpy(direct(folders / "classes", documents, 8))
    expected = {"sigmoid": logits.sigmoid(), "raw": logits}.get(reading, logits.softmax(dim=1)).numpy()
    found = score(CardFiles(card(reading=reading), folders / "classes", labels=("c", "a")), documents)
    assert np.abs(found - expected[:, [2, 0]]).max() <= 1e-5


def test_scores_do_not_depend_on_company_beyond_rounding_nor_on_when(folders: Path) -> None:
    given = CardFiles(card(), folders / "classes")
    model, other = EncoderClassifier.of(given), EncoderClassifier.of(given)
    documents = [*texts(80), "", "  \n"]
    whole = model.score(documents)
    alone = np.concatenate([model.score([text]) for text in documents])
    assert np.nanmax(np.abs(whole - alone)) <= 1e-6 and np.isnan(whole[-2:]).all() and np.isnan(alone[-2:]).all()
    assert whole.tobytes() == model.score(documents).tobytes() == other.score(documents).tobytes()


def test_nvidias_architecture_to_the_letter(folders: Path) -> None:
    """The published forward pass, written again: softmax of a linear layer over the first token's last hidden state."""
    from safetensors.torch import load_file

    settings = dataclasses.replace(load_card("nvidia_quality").encoder or EncoderSettings(), base=DEBERTA, max_tokens=64)
    given = CardFiles(dataclasses.replace(load_card("nvidia_quality"), encoder=settings), folders / "deberta")
    documents = texts(40)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders / "deberta")
    weights = load_file(folders / "deberta/model.safetensors")
    entries = dict(DEBERTA)
    base = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(entries.pop("model_type"), **entries)).eval()
    base.load_state_dict({k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.")})
    cut = [text[:6000] for text in documents]
    tokens = tokenizer(cut, return_tensors="pt", padding="longest", truncation=True, max_length=64)
    with torch.inference_mode():
        hidden = base(tokens["input_ids"], tokens["attention_mask"]).last_hidden_state
        logits = torch.nn.functional.linear(hidden, weights["fc.weight"], weights["fc.bias"])
        expected = torch.softmax(logits[:, 0, :], dim=1).numpy()
    found = score(given, documents)  # High, Medium, Low on the card; High, Low, Medium in the folder
    assert np.abs(found - expected[:, [0, 2, 1]]).max() <= 1e-5 and expected.std() > 0.05


def test_the_card_of_characters_cuts_before_the_tokenizer(folders: Path) -> None:
    long = " ".join(WORDS * 3)
    cut = card(head="first_token", base=DEBERTA, characters=40)
    whole = card(head="first_token", base=DEBERTA)
    given = [CardFiles(c, folders / "deberta") for c in (cut, whole)]
    assert np.array_equal(score(given[0], [long]), score(given[1], [long[:40]]))
    assert not np.array_equal(score(given[0], [long]), score(given[1], [long]))


def embedded(folder: Path, documents: list[str]) -> np.ndarray:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    made = []
    with torch.inference_mode():
        for text in documents:
            given = tokenizer([text], return_tensors="pt", truncation=True, max_length=64)
            made.append(model(input_ids=given["input_ids"]).last_hidden_state.mean(dim=1))
    return torch.cat(made).numpy()


@pytest.mark.parametrize("normalise", [False, True])
def test_embeddings_are_means_over_tokens(folders: Path, normalise: bool) -> None:
    documents = texts(20)
    expected = embedded(folders / "backbone", documents)
    if normalise:
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    settings = EncoderSettings(head="linear", max_tokens=64, normalise=normalise)
    for exact in (True, False):
        served = open_embedding(folders / "backbone", settings)
        served._exact = exact  # padded as on an accelerator, the padding must not count
        assert np.abs(served.score(documents) - expected).max() <= 2e-6


def test_linear_heads_over_one_encoder_share_its_pass(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from classifiers.encoder import Encoder

    one = CardFiles(card("one", reading="raw", head="linear"), folders / "backbone", folders / "one.safetensors")
    two = CardFiles(card("two", head="linear"), folders / "backbone", folders / "two.safetensors", ("noisy",))
    passes: list[int] = []
    run = Encoder.run
    monkeypatch.setattr(Encoder, "run", lambda self, tokens, mask: passes.append(len(tokens)) or run(self, tokens, mask))
    documents = texts(30)
    served = open_cards([one, two])
    found = served.score(documents)
    assert served.labels == ("one/edu", "two/noisy") and sum(passes) == 30
    assert np.array_equal(found[:, :1], score(one, documents)) and np.array_equal(found[:, 1:], score(two, documents))
    from safetensors.torch import load_file

    weights = load_file(folders / "one.safetensors")
    expected = embedded(folders / "backbone", documents) @ weights["weight"].numpy().T + weights["bias"].numpy()
    assert np.abs(found[:, :1] - expected).max() <= 1e-5


def test_models_of_one_tokenizer_tokenise_once(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from classifiers.encoder import FolderTokens

    calls: list[int] = []
    encode = FolderTokens.encode
    monkeypatch.setattr(FolderTokens, "encode", lambda self, given: calls.append(len(given)) or encode(self, given))
    both = [CardFiles(card("x"), folders / "classes"), CardFiles(card("y", reading="raw"), folders / "regression")]
    found = open_cards(both).score(texts(10))
    assert calls == [10] and found.shape == (10, 4)


@pytest.mark.parametrize(
    ("folder", "settings", "labels", "said"),
    [
        ("backbone", {}, (), "wanted: an architecture for sequence classification"),
        ("classes", {"head": "first_token"}, (), "wanted: a config.json with base_model"),
        ("deberta", {}, (), "wanted: an architecture for sequence classification"),
        ("deberta", {"head": "first_token", "base": {**DEBERTA, "hidden_size": 64}}, (), "wanted: weights `model"),
        ("classes", {"max_tokens": 65}, (), "found:  a model of 64"),
        ("classes", {}, ("a", "klingon"), "wanted: the labels a, klingon"),
        ("nowhere", {}, (), "with its config.json"),
        ("backbone", {"head": "linear"}, (), "the file of its linear head"),
    ],
)
def test_another_architecture_is_said_when_it_is_loaded(
    folders: Path, folder: str, settings: dict, labels: tuple, said: str
) -> None:
    with pytest.raises(CardError, match=said):
        open_cards([CardFiles(card(**settings), folders / folder, labels=labels)])


def test_weights_that_a_folder_lacks_are_not_made_up(folders: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folders / "classes", tmp_path / "classes")
    weights = load_file(tmp_path / "classes/model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("classifier")}
    save_file(kept, tmp_path / "classes/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CardError, match="none for classifier"):
        open_cards([CardFiles(card(), tmp_path / "classes")])


def test_bfloat16_is_near_and_is_not_float32(folders: Path) -> None:
    documents = texts(30)
    given = CardFiles(card(reading="softmax"), folders / "classes")
    exact = score(given, documents)
    rounded = EncoderClassifier.of(given, precision="bfloat16").score(documents)
    assert rounded.dtype == np.float32 and 1e-5 < np.abs(rounded - exact).max() < 0.05


def test_a_processor_without_memory_is_asked_for_less(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from classifiers.encoder import Encoder

    outputs = Encoder._outputs

    def full(self: Encoder, ids: torch.Tensor, attention: torch.Tensor | None) -> torch.Tensor:
        if ids.numel() > 100:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried")
        return outputs(self, ids, attention)

    documents = ["planets move"] * 50 + ["planets"] * 3
    expected = score(CardFiles(card(), folders / "classes"), documents)
    served = open_cards([CardFiles(card(), folders / "classes")])
    monkeypatch.setattr(Encoder, "_outputs", full)
    assert np.abs(served.score(documents) - expected).max() <= 1e-6 and served.budget <= 100


def test_what_fails_on_the_way_back_is_the_devices_fault(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from classifiers.serve import DeviceLost

    served = open_cards([CardFiles(card(), folders / "classes")])

    def lost(tensor: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

    monkeypatch.setattr(torch.Tensor, "cpu", lost)
    with pytest.raises(DeviceLost, match="illegal memory access was encountered$"):
        served.score([GOOD, BAD])


def test_the_tokenizer_is_given_a_few_texts_at_once(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from classifiers import encoder_folder

    tokenizer = encoder_folder.FolderTokens(folders / "classes")
    documents = texts(11)
    whole = tokenizer.encode(documents)
    monkeypatch.setattr(encoder_folder, "TOKENISED_TEXTS", 4)
    assert [list(t) for t in tokenizer.encode(documents)] == [list(t) for t in whole] and len(whole) == 11


def test_a_head_of_another_encoder_is_refused(folders: Path, tmp_path: Path) -> None:
    small_head(tmp_path / "other.safetensors", ["x"], hidden=16)
    given = CardFiles(card(head="linear"), folders / "backbone", tmp_path / "other.safetensors")
    with pytest.raises(CardError, match="wanted: a weight of 1 x 32"):
        open_cards([given])


def test_the_digest_of_a_folder_is_that_of_what_is_read(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "classes", tmp_path / "copy")
    (tmp_path / "copy/README.md").write_text("not read")
    assert sha256_of(tmp_path / "copy") == sha256_of(folders / "classes") != sha256_of(folders / "regression")
    (tmp_path / "copy/config.json").write_text("{}")
    assert sha256_of(tmp_path / "copy") != sha256_of(folders / "classes")


def test_nothing_is_fetched_unless_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    asked: list[tuple] = []

    def download(name: str, **options: object) -> str:
        asked.append((name, options["revision"], options["local_files_only"]))
        if options["local_files_only"]:
            raise FileNotFoundError("not in the cache")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(CardError, match="nothing in the local cache\n.*download:owner/name"):
        locate("hub:owner/name@v1")
    assert locate("download:owner/name") == tmp_path
    assert asked == [("owner/name", "v1", True), ("owner/name", None, False)]


@pytest.mark.parametrize("long", ["head", "head_tail", "mean"])
@pytest.mark.parametrize(
    ("hostile", "known"),
    [("a" * 1_000_000, True), ("\n" * 1_000_000, False), ("\U0001f642" * 300_000, True), ("a " * 500_000, True),
     ("\u0301" * 300_000, False)],
    ids=["one letter", "newlines", "smileys", "words", "accents, which the tokenizer strips"],
)  # fmt: skip
def test_hostile_texts_are_scored_or_unknown(folders: Path, hostile: str, known: bool, long: str) -> None:
    found = np.isfinite(score(CardFiles(card(long=long), folders / "classes"), [hostile, GOOD]))
    assert found.tolist() == [[known] * 3, [True] * 3]


def test_cards_of_published_encoders_can_be_read_without_torch() -> None:
    for name, outputs in (("fineweb_edu", 1), ("nvidia_quality", 3), ("nvidia_domain", 26)):
        published = load_card(name)
        assert published.kind == "encoder" and len(published.scored) == outputs and published.encoder is not None
        assert not published.location and published.licence
    assert BERT["max_position_embeddings"] == 64
