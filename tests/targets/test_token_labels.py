"""Labels of tokens: spans as conlleval counts them, against the package seqeval, and what an evaluation makes of them."""

from __future__ import annotations

import math
import random
import warnings

import numpy as np
import pytest
import torch
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities

import quickstudy as qs
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.evaluation.metrics import chosen, span_f1
from quickstudy.targets import NONE, Labels, TokenLabels
from quickstudy.targets.spans import Span, is_bio, spans

NAMES = ("O", "B-date", "I-date", "B-place", "I-place", "B-weather/attribute", "I-weather/attribute", "B-re-x", "I-re-x")
TARGET = TokenLabels(len(NAMES), names=NAMES)


def tags(generator: random.Random, most: int = 12) -> list[str]:
    """Any tags in any order, so that most sentences are ill-formed."""
    return [generator.choice(NAMES) for _ in range(generator.randint(1, most))]


def well_formed(generator: random.Random) -> list[str]:
    found = []
    for _ in range(generator.randint(1, 4)):
        kind, length = generator.choice(["date", "place"]), generator.randint(1, 3)
        found += ["O"] * generator.randint(0, 2) + [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
    return found


@pytest.mark.parametrize("make", [tags, well_formed])
def test_spans_are_those_of_seqeval(make):
    generator = random.Random(0)
    ill = 0
    for _ in range(2000):
        one = make(generator)
        assert spans(one) == {Span(*entity) for entity in get_entities(one)}, one
        ill += any(tag[0] == "I" and (not place or one[place - 1][2:] != tag[2:]) for place, tag in enumerate(one))
    assert (ill > 1000) == (make is tags)


@pytest.mark.parametrize(
    ("tags", "want"),
    [
        (["O", "I-a"], {("a", 1, 1)}),  # I- behind O
        (["I-a", "I-a"], {("a", 0, 1)}),
        (["B-a", "I-b"], {("a", 0, 0), ("b", 1, 1)}),  # I- behind another type
        (["B-a", "B-a"], {("a", 0, 0), ("a", 1, 1)}),
        (["B-a", "I-a", "O", "I-a"], {("a", 0, 1), ("a", 3, 3)}),
        (["B", "I", "O"], {("", 0, 1)}),  # tags of one type, which is not named
        (["O"], set()),
        ([], set()),
    ],
)
def test_spans_by_hand(tags, want):
    assert spans(tags) == want


def test_micro_f1_is_that_of_seqeval_and_leaves_tokens_without_a_label_out():
    generator = random.Random(1)
    for _ in range(200):
        truth = [tags(generator) for _ in range(5)]
        guess = [[tag if generator.random() < 0.6 else generator.choice(NAMES) for tag in one] for one in truth]
        y, z = torch.full((5, 30), NONE), torch.randn(5, 30, len(NAMES))
        for row, (right, said) in enumerate(zip(truth, guess, strict=True)):
            places = sorted(generator.sample(range(30), len(right)))  # words between which other bytes stand
            y[row, places] = torch.tensor([NAMES.index(tag) for tag in right])
            z[row, places, [NAMES.index(tag) for tag in said]] += 100.0
        assert float(span_f1(z, y, TARGET)) == pytest.approx(f1_score(truth, guess, zero_division=0), rel=1e-6)


def logits(tags: list[list[str]]) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels(tags), len(NAMES)).float()


def labels(tags: list[list[str]]) -> torch.Tensor:
    return torch.tensor([[NAMES.index(tag) for tag in one] for one in tags])


def test_without_spans_it_is_undefined_and_wrong_ones_are_zero():
    nothing, date = [["O", "O"]], [["B-date", "I-date"]]
    assert math.isnan(span_f1(logits(nothing), labels(nothing), TARGET))
    assert float(span_f1(logits(date), labels(nothing), TARGET)) == 0
    assert float(span_f1(logits(nothing), labels(date), TARGET)) == 0
    assert float(span_f1(logits(date), labels(date), TARGET)) == 1


def test_the_score_of_an_evaluation_is_the_mean_over_episodes():
    """Not the F1 of all spans together; the episode without spans is left out, and said."""

    class Said(qs.Learner):
        def learn(self, support):
            return {"nothing": support.x.sum()}

        def predict(self, values, x):
            return x

    guessed = [[["B-date", "O", "O"]], [["B-date", "B-date", "O"]], [["O", "O", "O"]]]
    true = [[["B-date", "O", "O"]], [["B-date", "I-date", "O"]], [["O", "O", "O"]]]
    x, y = torch.stack([logits(one) for one in guessed]), torch.stack([labels(one) for one in true])

    class Three(qs.tasks.TaskDistribution):
        ways, shots, queries, target = None, 1, 1, TARGET

        def sample(self, n, *, generator=None):
            part = qs.Examples(x, y, target=TARGET)
            return qs.Episode(part, part)

        def examples(self):
            raise AssertionError

        def to(self, device):
            return self

        def check_protocol(self):
            pass

    found = qs.evaluate(Said(), Three(), 3)
    assert found.metric.name == "span_f1"
    assert found.per_episode[:2] == [1.0, 0.0]
    assert math.isnan(found.per_episode[2])
    assert found.mean == 0.5
    assert "span F1 50.00" in str(found)
    assert "(undefined in 1 tasks)" in str(found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        together = f1_score([one[0] for one in true], [one[0] for one in guessed])
    assert together == pytest.approx(0.4)
    assert found.others["token_accuracy"].per_episode == pytest.approx([1.0, 2 / 3, 1.0])


def test_which_names_are_tags():
    assert TARGET.scores == ("span_f1", "token_accuracy")
    for names in (None, ("O", "NOUN", "B-x"), ("O",), ("a", "b")):
        kind = TokenLabels(3 if names is None else len(names), names=names)
        assert kind.scores == ("token_accuracy",)
        with pytest.raises(UnsupportedError, match=r"`metrics`: expected metrics of .*'token_accuracy'\], got 'span_f1'"):
            chosen(["span_f1"], kind)
    with pytest.raises(UnsupportedError, match="got 'span_f1'"):
        chosen(["span_f1"], Labels(3))
    assert is_bio(["B-x", "I-x"])
    assert not is_bio(["B-x", "E-x"])


def test_an_answer_is_in_tags():
    named = TARGET.named(torch.tensor([[0, 1, NONE], [2, NONE, NONE]]))
    assert np.array_equal(named, [["O", "B-date", ""], ["I-date", "", ""]])
    assert torch.equal(TokenLabels(2).named(torch.tensor([[1]])), torch.tensor([[1]]))
    with pytest.raises(ArgumentError, match=r"`names`: expected a name of its own for every class, got 'O' twice"):
        TokenLabels(2, names=["O", "O"])
