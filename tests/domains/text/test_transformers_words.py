"""A model of transformers word by word: features of words, and the model itself with LoRA as the part that adapts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.domains.text.test_encoder import Counting, save_model
from tests.exact.quadratic import far

import quickstudy as qs
from quickstudy.domains.text.encoder import Encoded, encoded_words
from quickstudy.domains.text.pieces import Pieces
from quickstudy.errors import ArgumentError, CheckpointError, DataWarning, ShapeError, UnsupportedError
from quickstudy.targets import NONE, TokenLabels
from quickstudy.tasks import TransformersEncoder, from_texts, from_tokens

VERBS, THINGS, LANGUAGES = ("open", "close", "find"), ("door", "window", "house", "car"), "abcdef"
TOKENS = [[language, verb, thing] for language in LANGUAGES for verb in VERBS for thing in THINGS]
TAGS = [["O", "O", "B-thing"] for _ in TOKENS]
GROUP = [words[0] for words in TOKENS]
SMALL = {"shots": 2, "queries": 3, "progress": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny", words=(*VERBS, *THINGS, *LANGUAGES, "do", "n't"))


# ---- features of words ---------------------------------------------------------------------------------------------------


def test_a_word_is_the_mean_of_its_pieces_or_the_first(folder):
    """By hand: one sentence at a time, its words tokenised by themselves. "open-door" has three pieces."""
    sentences = [["find", "open-door"], ["a"], ["close", "the", "window", "car"]]
    pieces = [[["find"], ["open", "-", "door"]], [["a"]], [["close"], ["the"], ["window"], ["car"]]]
    mean, first = TransformersEncoder(folder, normalise=False, batch=2), TransformersEncoder(folder, pool="first")
    found, firsts = mean.encode_words(sentences), first.encode_words(sentences)
    for words, z, z1 in zip(pieces, found, firsts, strict=True):
        flat = [piece for word in words for piece in word]
        ids = torch.tensor([[2, *mean.tokenizer.convert_tokens_to_ids(flat), 3]])
        h = mean.model(input_ids=ids).last_hidden_state[0, 1:-1]
        start = 0
        for word, row, row1 in zip(words, z, z1, strict=True):
            own = h[start : start + len(word)]
            torch.testing.assert_close(row, own.mean(0), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(row1, own[0] / own[0].norm(), rtol=1e-4, atol=1e-5)
            start += len(word)


def test_words_are_kept_beside_texts(folder, tmp_path):
    class Words(Counting):
        def encode_words(self, sentences):
            self.asked += [" ".join(words) for words in sentences]
            return [torch.tensor([[float(len(word)), float(place)] for place, word in enumerate(words)]) for words in sentences]

    first = Words()
    rows = encoded_words([["ab", "c"], ["d"], ["ab", "c"]], first, tmp_path, progress=False)
    assert [one.tolist() for one in rows] == [[[2, 0], [1, 1]], [[1, 0]], [[2, 0], [1, 1]]]
    assert first.asked == ["ab c", "d"]
    again = Words()
    assert encoded_words([["d"], ["e"]], again, tmp_path, progress=False)[0].tolist() == [[1, 0]]
    assert again.asked == ["e"]
    with pytest.raises(UnsupportedError, match="`encoder`: expected an encoder with features of words, got Counting"):
        encoded_words([["x"]], Counting(), tmp_path, progress=False)

    class Short(Words):
        def encode_words(self, sentences):
            return [one[:1] for one in super().encode_words(sentences)]

    with pytest.raises(ShapeError, match=r"`encoder`: expected features of shapes \[\(2, 2\)\], got \[\(1, 2\)\]"):
        encoded_words([["x", "y"]], Short(), progress=False)


def test_tasks_on_the_features_of_words(folder, tmp_path):
    encoder = TransformersEncoder(folder)
    tokens = [*TOKENS, ["a", *["find"] * 18]]  # of which the model reads 13 words
    with pytest.warns(DataWarning, match="5 of 235 words are not read, so they have no label: nothing is scored there"):
        family = from_tokens(
            tokens, [*TAGS, ["O"] * 19], [*GROUP, "a"], encoder=encoder, cache=tmp_path, split=(3, 1, 2), part=None, **SMALL
        )
    assert family.preprocessing == Encoded(encoder.key, 12)
    row = next(row for part in family.parts.values() for row in zip(part.x, part.y, strict=True) if len(row[1].unique()) < 3)
    assert bool((row[0].abs().sum(1) > 0).equal(row[1] != NONE))
    episode = family.train.sample(2)
    assert episode.support.x.shape == (2, 2, 19, 12)
    assert episode.support.target == TokenLabels(2, names=("O", "B-thing"))
    learner = qs.MAML(torch.nn.Linear(12, 2), inner_lr=4.0, inner_steps=50)
    before, after = (qs.evaluate(learner, family.test, 20, steps=steps, executor="loop").mean for steps in (0, 50))
    assert after > before + 0.3


# ---- the model itself ----------------------------------------------------------------------------------------------------


def adapted(folder, executor_options=None, **options):
    """A tagger whose LoRA factors and head adapt, and a batch of tasks."""
    encoder = TransformersEncoder(folder)
    network = encoder.network(2, tokens=True)
    torch.manual_seed(0)
    lora = qs.models.LoRA(network, rank=2, targets=["*query.weight", "*value.weight"])
    for factor in lora.lora_b:
        torch.nn.init.normal_(factor, std=0.1)
    learner = qs.MAML(lora.double(), inner_lr=0.1, inner_steps=2, adapts=["lora_*", "*head.*"], **options)
    family = from_tokens(TOKENS, TAGS, GROUP, encoder=encoder, trainable=True, **SMALL)
    return learner, family


def test_pieces_and_their_labels(folder):
    encoder = TransformersEncoder(folder)
    ids, words = encoder.pieces([["find", "open-door"], ["a"]])
    assert ids.tolist()[1][3:] == [-1] * (ids.shape[1] - 3)
    assert words == [[[1], [2, 3, 4]], [[1]]]
    assert encoder.tokenizer.convert_ids_to_tokens(ids[0].tolist())[1:3] == ["find", "open"]
    _, family = adapted(folder)
    assert family.preprocessing == Pieces(encoder.key, 16)
    examples = family.test.examples()
    assert examples.y.tolist() == [[NONE, 0, 0, 1, NONE]] * len(examples)
    family.preprocessing.check(encoder.key)
    with pytest.raises(CheckpointError, match=r"expected the encoder with the key .* got one with the key other"):
        family.preprocessing.check("other")
    with pytest.raises(ShapeError, match=r"`x`: expected at most 16 pieces, got \(1, 17\)"):
        family.preprocessing.apply(torch.zeros(1, 17))


def test_a_model_adapts_to_labelled_texts(folder):
    """The pieces of whole texts, and LoRA factors that descend on them; what is cut is said."""
    encoder = TransformersEncoder(folder)
    texts, labels = [f"{verb} a door" + " a" * n for n in range(3) for verb in ("find", "open", "door")], ["x", "y", "z"] * 3
    given = {"encoder": encoder, "trainable": True, "ways": 3, "shots": 2, "queries": 1, "part": "test"}
    tasks = from_texts(texts, labels, **given).test
    assert tasks.preprocessing == Pieces(encoder.key, 16)
    assert tasks.examples().x["ids"].shape == tasks.examples().x["mask"].shape
    torch.testing.assert_close(tasks.x[: len(texts)].sort(0)[0], encoder.pieces([[text] for text in texts])[0].sort(0)[0])
    lora = qs.models.LoRA(encoder.network(3), rank=2, targets="*query.weight")
    learner = qs.MAML(lora, inner_lr=0.5, inner_steps=3, adapts=["lora_*", "*head.*"])
    tasks.sample(1)
    before, after = (qs.evaluate(learner, tasks, 3, steps=steps, metrics=["nll"]).mean for steps in (0, 3))
    assert before != after
    with pytest.warns(DataWarning, match="1 of 10 are longer than the 16 tokens that are read"):
        from_texts([*texts, "a " * 40], [*labels, "x"], **given)
    with pytest.raises(ArgumentError, match=r"`trainable`: expected an encoder to train, got none"):
        from_texts(texts, labels, trainable=True)


def test_a_network_answers_as_its_model(folder):
    encoder = TransformersEncoder(folder, normalise=False)
    ids, _ = encoder.pieces([["find", "a", "door"], ["b"]])
    x = Pieces(encoder.key, 16).apply(ids)
    h = encoder.encode(["find a door", "b"])
    text, tokens = encoder.network(3), encoder.network(3, tokens=True)
    torch.testing.assert_close(text(**x), text.head(h), rtol=1e-4, atol=1e-5)
    assert tokens(**x).shape == (2, 5, 3)
    torch.testing.assert_close(
        tokens(**{name: one[1:, :3] for name, one in x.items()}), tokens(**x)[1:, :3], rtol=1e-4, atol=1e-5
    )
    assert [name for name, one in tokens.named_parameters() if one.requires_grad] == ["head.weight", "head.bias"]
    assert all(not one.requires_grad for one in encoder.model.parameters())


@pytest.mark.parametrize("order", [qs.Unrolled(), qs.FirstOrder()], ids=repr)
def test_executors_agree_on_the_adapted_factors(folder, order):
    """In float64, by loop, threads and vmap; only factors and head have gradients. Control: the orders differ."""
    learner, family = adapted(folder, hypergradient=order)
    episodes = family.train.sample(2, generator=torch.Generator().manual_seed(0))
    loss, gradient = qs.meta_gradient(learner, episodes, executor="loop")
    assert {name.split(".")[1] for name in gradient} == {"lora_a", "lora_b", "network"}
    assert [name for name in gradient if name.startswith("network.network")] == [
        "network.network.head.weight",
        "network.network.head.bias",
    ]
    assert all(float(one.abs().max()) > 1e-9 for one in gradient.values())
    for executor in ("threads", "vmap"):
        other_loss, other = qs.meta_gradient(learner, episodes, executor=executor)
        torch.testing.assert_close(other_loss, loss, rtol=1e-9, atol=1e-11)
        for name, one in gradient.items():
            torch.testing.assert_close(other[name], one, rtol=1e-7, atol=1e-10)
    another = qs.FirstOrder() if order == qs.Unrolled() else qs.Unrolled()
    _, other = qs.meta_gradient(adapted(folder, hypergradient=another)[0], episodes, executor="loop")
    assert far(gradient["network.lora_a.0"], other["network.lora_a.0"], 0.001)


def test_the_second_order_gradient_by_finite_differences(folder):
    learner, family = adapted(folder)
    episodes = family.train.sample(1, generator=torch.Generator().manual_seed(1))
    _, gradient = qs.meta_gradient(learner, episodes, executor="loop")
    for name in ("network.lora_a.1", "network.lora_b.2", "network.network.head.weight"):
        parameter = dict(learner.named_parameters())[name]
        direction, step = torch.randn_like(parameter), 1e-5
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(sign * step * direction)
            losses.append(float(qs.meta_gradient(learner, episodes, executor="loop")[0]))  # the same dropout each time
            with torch.no_grad():
                parameter.sub_(sign * step * direction)
        slope = (losses[0] - losses[1]) / (2 * step)
        assert float((gradient[name] * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_a_model_that_looks_into_its_mask_is_refused_inside_a_transform(folder):
    learner, family = adapted(folder)
    learner.network.network.takes_pairs = False
    episodes = family.train.sample(2, generator=torch.Generator().manual_seed(0))
    loss, _ = qs.meta_gradient(learner, episodes, executor="loop")
    whole, _ = qs.meta_gradient(adapted(folder)[0], episodes, executor="loop")
    torch.testing.assert_close(loss, whole, rtol=1e-9, atol=1e-11)
    with pytest.raises(UnsupportedError, match="`executor`: expected 'loop' or 'threads' for a model that reads"):
        qs.meta_gradient(learner, episodes, executor="vmap")


def test_meta_training_the_factors_finds_the_slot(folder, tmp_path):
    learner, family = adapted(folder)
    learner.float()
    before = {name: one.clone() for name, one in learner.named_parameters()}
    qs.meta_train(learner, family, steps=100, tasks_per_step=2, validation_episodes=2, executor="loop", progress=False)
    moved = {name for name, one in learner.named_parameters() if not torch.equal(one, before[name])}
    assert all("lora" in name or "head" in name for name in moved)
    assert any("lora" in name for name in moved)
    assert qs.evaluate(learner, family.test, 10, executor="loop").mean > 0.8
    learner.save(tmp_path)
    again = adapted(folder)[0].network.float()
    support = family.test.sample(1).support
    support = support.like({name: one[0] for name, one in support.x.items()}, support.y[0])
    loaded = qs.load(tmp_path, network=again)
    assert torch.equal(loaded.adapt(support)(support.x), learner.adapt(support)(support.x))


# ---- what does not go together -------------------------------------------------------------------------------------------


def test_what_is_refused(folder):
    given = {"tokens": TOKENS, "tags": TAGS, "group": GROUP}
    with pytest.raises(ArgumentError, match=r"`length`: expected none beside an encoder, which has its own, got 8"):
        from_tokens(**given, encoder=TransformersEncoder(folder), length=8)
    with pytest.raises(ArgumentError, match=r"`trainable`: expected an encoder to train, got none"):
        from_tokens(**given, trainable=True)
    with pytest.raises(ArgumentError, match=r"`cache`: expected an encoder whose features are kept, got none"):
        from_tokens(**given, cache="x")
    with pytest.raises(UnsupportedError, match=r"`trainable`: expected an encoder whose network can be trained, got Counting"):
        from_tokens(**given, encoder=Counting(), trainable=True)


def test_a_slow_tokenizer_is_refused(folder):
    from transformers import ByT5Tokenizer

    encoder = TransformersEncoder(folder)
    encoder.tokenizer = ByT5Tokenizer()
    with pytest.raises(UnsupportedError, match=r"a fast one, with a tokenizer\.json, got ByT5Tokenizer\. Save the"):
        encoder.pieces([["a"]])
