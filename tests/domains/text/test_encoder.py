"""Frozen encoders: features made once, known by the content of encoder and text; a random model stands for a trained one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

import quickstudy as qs
from quickstudy.domains.text.encoder import Encoded, TextEncoder, encoded
from quickstudy.errors import ArgumentError, CheckpointError, DataError, DataWarning, MissingPackageError, ShapeError, TaskError
from quickstudy.tasks import TransformersEncoder

WORDS = ("open", "close", "the", "a", "door", "window", "house", "car", "find", "buy")
TEXTS = [
    f"{verb} {article} {thing}" for verb in ("open", "close", "find", "buy") for article in ("the", "a") for thing in WORDS[4:8]
]
LABELS = [text.split()[0] + text.split()[2][0] for text in TEXTS]


class Counting(TextEncoder):
    """The length of a text and its number of spaces; counts the texts that it was asked for."""

    features = 2

    def __init__(self, key: str = "counting"):
        self.key, self.asked = key, list[str]()

    def encode(self, texts):
        self.asked += texts
        return torch.tensor([[float(len(text)), float(text.count(" "))] for text in texts])


def save_model(folder: Path, words=WORDS, seed: int = 0, rows: int | None = None) -> Path:
    """A random BERT of two layers, with a tokenizer of these words, as sentence-transformers would save one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {word: row for row, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    torch.manual_seed(seed)
    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    BertModel(BertConfig(vocab_size=rows or len(vocabulary), max_position_embeddings=16, **sizes)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


# ---- the cache -----------------------------------------------------------------------------------------------------------


def test_a_text_is_encoded_once_for_each_encoder(tmp_path):
    first, texts = Counting(), ["a b", "c", "a b", " c "]
    x = encoded(texts, first, tmp_path, progress=False)
    assert x.tolist() == [[3.0, 1.0], [1.0, 0.0], [3.0, 1.0], [1.0, 0.0]]
    assert first.asked == ["a b", "c"]
    again = Counting()
    assert torch.equal(encoded(["c", "d", "a b"], again, tmp_path, progress=False)[[2, 0]], x[:2])
    assert again.asked == ["d"]
    other = Counting("another")
    encoded(["c"], other, tmp_path, progress=False)
    assert other.asked == ["c"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another.safetensors", "counting.safetensors"]


def test_a_file_that_is_no_cache(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "counting.safetensors")
    with pytest.raises(CheckpointError, match=r"expected features of examples, got tensors \['x'\]\. Delete it"):
        encoded(["a"], Counting(), tmp_path, progress=False)
    (tmp_path / "counting.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="Delete it: it is made anew"):
        encoded(["a"], Counting(), tmp_path, progress=False)


def test_an_encoder_that_gives_other_rows():
    class Short(Counting):
        def encode(self, texts):
            return super().encode(texts)[:1]

    with pytest.raises(ShapeError, match=r"`encoder`: expected features of shape \(2, 2\), got \(1, 2\)"):
        encoded(["a", "b"], Short(), progress=False)
    with pytest.raises(DataError, match=r"`texts\[1\]`: expected a text, got ''"):
        encoded(["a", ""], Counting(), progress=False)


# ---- tasks on features ---------------------------------------------------------------------------------------------------


def test_tasks_on_features_say_whose_they_are(tmp_path):
    encoder = Counting()
    tasks = qs.tasks.from_texts(
        TEXTS, LABELS, encoder=encoder, cache=tmp_path, ways=2, queries=1, split=(8, 4, 4), progress=False
    )
    assert tasks.preprocessing == Encoded("counting", 2)
    learner = qs.Prototypical(torch.nn.Linear(2, 2))
    qs.meta_train(learner, tasks, steps=1, tasks_per_step=2, validation_episodes=2, out=tmp_path / "run", progress=False)
    reads = Encoded.load(tmp_path / "run")
    reads.check(encoder)
    with pytest.raises(CheckpointError, match=r"expected the encoder with the key counting, .* got one with the key other"):
        reads.check(Counting("other"))
    with pytest.raises(ShapeError, match=r"`x`: expected 2 features, got \(1, 3\)"):
        reads.apply(torch.zeros(1, 3))


def test_a_text_in_two_families_is_a_leak_whatever_its_features_are():
    """Their last digits may differ with the texts that were encoded beside them."""

    class Shaken(Counting):
        def encode(self, texts):
            return super().encode(texts) + 1e-6 * torch.rand(len(texts), 2)

    options = {"ways": 2, "queries": 1, "split": (8, 4, 4), "progress": False}
    one = qs.tasks.from_texts(TEXTS, LABELS, encoder=Shaken(), **options)
    others = [label.upper() for label in LABELS]
    other = qs.tasks.from_texts(TEXTS, others, encoder=Shaken(), **options)
    with pytest.raises(TaskError, match="expected parts that share no example"):
        qs.tasks.TaskFamily(one.train, None, other.train)


def test_what_does_not_go_together():
    with pytest.raises(ArgumentError, match=r"`length`: expected none beside an encoder, which has its own, got 8"):
        qs.tasks.from_texts(TEXTS, LABELS, encoder=Counting(), length=8)
    with pytest.raises(ArgumentError, match=r"`cache`: expected an encoder whose features are kept, got none"):
        qs.tasks.from_texts(TEXTS, LABELS, cache="x")


# ---- a model of transformers ---------------------------------------------------------------------------------------------


def test_a_model_s_features_by_hand(folder):
    """The mean of the last hidden states over the tokens, one text at a time, without padding; then of length 1."""
    encoder = TransformersEncoder(folder, batch=2)
    texts = ["open the door", "buy", "close a window house car"]
    found = encoder.encode(texts)
    for text, row in zip(texts, found, strict=True):
        tokens = encoder.tokenizer(text, return_tensors="pt")
        h = encoder.model(**tokens).last_hidden_state[0]
        torch.testing.assert_close(row, h.mean(0) / h.mean(0).norm(), rtol=1e-4, atol=1e-5)
        assert (row - h[0] / h[0].norm()).abs().max() > 1e-3
    first = TransformersEncoder(folder, pool="first", normalise=False)
    h = first.model(**first.tokenizer("buy", return_tensors="pt")).last_hidden_state[0, 0]
    torch.testing.assert_close(first.encode(["buy"])[0], h, rtol=1e-4, atol=1e-5)


def test_the_key_is_of_all_that_it_computes_with(folder, tmp_path):
    key = TransformersEncoder(folder).key
    assert TransformersEncoder(save_model(tmp_path / "same")).key == key
    others = [
        TransformersEncoder(save_model(tmp_path / "weights", seed=1)),
        TransformersEncoder(save_model(tmp_path / "words", words=WORDS[::-1])),
        TransformersEncoder(folder, pool="first"),
        TransformersEncoder(folder, length=8),
        TransformersEncoder(folder, normalise=False),
    ]
    assert len({key, *(one.key for one in others)}) == 6


def test_a_text_longer_than_the_model_reads_is_said(folder):
    encoder = TransformersEncoder(folder)
    with pytest.warns(DataWarning, match=r"1 of 2 are longer than the 16 tokens that are read, the longest of 42\. The rest"):
        found = encoder.encode(["open " * 40, "buy"])
    assert bool(torch.isfinite(found).all())
    with pytest.raises(ArgumentError, match=r"`length`: expected at most .*16 tokens.*, got 17"):
        TransformersEncoder(folder, length=17)


def test_the_tokenizer_s_limit_counts_where_it_is_smaller(tmp_path):
    """RoBERTa has two more places than it reads tokens."""
    path = save_model(tmp_path / "limited")
    config = path / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_max_length": 14}))
    assert TransformersEncoder(path).length == 14
    with pytest.raises(ArgumentError, match=r"`length`: expected at most .*14 tokens.*, got 16"):
        TransformersEncoder(path, length=16)


def test_a_tokenizer_that_does_not_fit_the_weights(tmp_path):
    path = save_model(tmp_path / "short", rows=9)
    with pytest.raises(
        CheckpointError, match=r"expected a tokenizer of at most 9 tokens, as many as the weights have, got one of 14"
    ):
        TransformersEncoder(path)


def test_a_folder_that_holds_no_safetensors(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pickled" / "pytorch_model.bin")
    for path in (tmp_path / "pickled", tmp_path / "none"):
        with pytest.raises(CheckpointError, match=r"expected a folder with config\.json, model\.safetensors and a tokenizer"):
            TransformersEncoder(path)


def test_without_transformers_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        MissingPackageError, match=r"expected the package transformers, got none installed\. pip install 'quickstudy\[text"
    ):
        TransformersEncoder("anything")


def test_an_intent_is_learned_on_its_features(folder, tmp_path):
    encoder = TransformersEncoder(folder)
    protocol = {"ways": 2, "shots": 1, "queries": 1, "split": (8, 4, 4)}
    tasks = qs.tasks.from_texts(TEXTS, LABELS, encoder=encoder, cache=tmp_path, progress=False, **protocol)
    assert qs.evaluate(qs.NearestCentroid(), tasks.test, 50).mean > 0.5
    assert next(tmp_path.iterdir()).name == f"{encoder.key}.safetensors"
