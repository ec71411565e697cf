"""Tokens: the loss and the scores against their formulas, the end of an answer, what does not fit, and batches of episodes."""

from __future__ import annotations

import math
import random

import pytest
import torch

import quickstudy as qs
from quickstudy.episode import stack
from quickstudy.errors import ArgumentError, LabelError, ShapeError, UnsupportedError
from quickstudy.evaluation.metrics import METRICS, chosen, of_tasks
from quickstudy.targets import Tokens
from quickstudy.targets.tokens import counted, edit_distance, ended

Y = torch.tensor([[3, 1, 0, 0], [2, 0, 0, 0], [1, 1, 2, 3], [0, 0, 0, 0]])
COUNTED = [3, 2, 4, 1]  # tokens and the end; one as long as the row has none; an empty answer is its end


def logits(seed=0):
    return torch.randn(4, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_an_answer_counts_up_to_its_end():
    assert counted(Y).sum(1).tolist() == COUNTED
    assert counted(torch.tensor([[1, 0, 2, 0, 3]])).tolist() == [[True, True, False, False, False]]
    assert ended(torch.tensor([[1, 0, 2, 0, 3]])).tolist() == [[1, 0, 0, 0, 0]]


def test_the_loss_and_its_gradient_are_those_of_the_formula():
    z = logits().requires_grad_()
    terms = [[-z[i, t].log_softmax(0)[Y[i, t]] for t in range(count)] for i, count in enumerate(COUNTED)]
    want = sum(sum(row) for row in terms) / sum(COUNTED)
    got = Tokens(5).loss(z, Y)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(Tokens(5).each(z, Y), torch.stack([sum(row) / len(row) for row in terms]))
    (g,), (h,) = torch.autograd.grad(got, z), torch.autograd.grad(want, z)
    torch.testing.assert_close(g, h)
    assert float(g[0, 3].abs().max()) == 0, "what is behind the end does not count"
    assert float(g[0, 2].abs().max()) > 1e-3, "the end does"


def levenshtein(one, other):
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        after = [i]
        for j, b in enumerate(other, 1):
            after.append(min(row[j] + 1, after[-1] + 1, row[j - 1] + (a != b)))
        row = after
    return row[-1]


def test_the_edit_distance_is_levenshteins():
    draw = random.Random(0)
    texts = [["".join(draw.choice("abc") for _ in range(draw.randint(0, 7))) for _ in range(300)] for _ in range(2)]
    one, other = (torch.tensor([list(text.encode().ljust(7, b"\0")) for text in side]) for side in texts)
    got = edit_distance(one, other).tolist()
    assert got == [levenshtein(a, b) for a, b in zip(*texts, strict=True)]
    assert 0 in got
    assert max(got) > 4
    assert torch.equal(torch.vmap(edit_distance)(one[:, None], other[:, None])[:, 0], edit_distance(one, other))


def test_the_scores_are_exact_match_and_edit_distance():
    """Two of four right; a wrong token behind the end is none."""
    answers = torch.tensor([[3, 1, 0, 4], [2, 2, 0, 0], [1, 1, 2, 3], [1, 2, 0, 0]])
    z = torch.nn.functional.one_hot(answers, 5).double()
    metrics = chosen(None, Tokens(5))
    assert [metric.name for metric in metrics] == ["exact_match", "edit_distance"]
    scores = of_tasks(metrics, z[None], Y[None], Tokens(5))
    assert scores == {"exact_match": [0.5], "edit_distance": [0.75]}
    with pytest.raises(UnsupportedError, match="`metrics`: expected metrics of Tokens"):
        chosen(["accuracy"], Tokens(5))
    with pytest.raises(UnsupportedError, match="`metrics`: expected metrics of Labels"):
        chosen(["exact_match"], qs.targets.Labels(3))
    assert METRICS["exact_match"].percent
    assert not METRICS["edit_distance"].higher_is_better


def test_reading_is_greedy_up_to_the_end_and_text_is_named():
    target = Tokens(256, text=True)
    y = torch.tensor([[195, 169, 33, 0], [0, 66, 66, 66], [195, 0, 0, 0], [65, 66, 67, 68]])
    z = torch.nn.functional.one_hot(y, 256).double()
    assert target.read(z).tolist() == [[195, 169, 33, 0], [0, 0, 0, 0], [195, 0, 0, 0], [65, 66, 67, 68]]
    assert target.named(target.read(z)).tolist() == ["é!", "", "�", "ABCD"]
    assert torch.equal(Tokens(5).named(Y), Y)
    torch.testing.assert_close(target.probabilities(z).sum(-1), torch.ones(4, 4, dtype=torch.float64))


def test_the_uncertainty_is_the_mean_entropy_up_to_the_end():
    z = torch.zeros(2, 3, 4)
    z[0, 0, 0] = 50.0  # sure that there is nothing
    z[1, :, 1] = torch.tensor([50.0, 1e-3, 1e-3])  # sure of the first token only
    got = Tokens(4).uncertainty(z)
    torch.testing.assert_close(got, torch.tensor([0.0, 2 / 3 * math.log(4)]), rtol=1e-5, atol=1e-6)


def test_episodes_of_tokens_may_have_other_numbers_of_support_and_query():
    part = lambda rows: qs.Examples(torch.zeros(rows, 3), torch.zeros(rows, 4, dtype=torch.int64), target=Tokens(5))
    episode = qs.Episode(part(2), part(7))
    batch = stack([episode, episode])
    assert batch.support.y.shape == (2, 2, 4)
    again = qs.Episode(
        qs.Examples(batch.support.x, batch.support.y, target=Tokens(5)),
        qs.Examples(batch.query.x, batch.query.y, target=Tokens(5)),
    )
    assert len(again) == 2
    with pytest.raises(ShapeError, match="support and query of one task, or of the same tasks"):
        qs.Episode(again.support, again[:1].query)
    wider = qs.Examples(torch.zeros(2, 2, 9), batch.support.y, target=Tokens(5))
    with pytest.raises(ShapeError, match=r"support\.x and query\.x of the same feature shape"):
        qs.Episode(wider, again.query)


WRONG = {
    "one axis": (
        torch.zeros(2, dtype=torch.int64),
        r"int64 \(examples, length\), .*, got y of dtype torch.int64 and shape \(2,\)",
    ),
    "floats": (torch.zeros(2, 3), "got y of dtype torch.float32"),
    "too large": (torch.full((2, 3), 5), "expected tokens from 0 to 4, .*, from 5 to 5"),
    "negative": (torch.full((2, 3), -1), "expected tokens from 0 to 4, .*, from -1 to -1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_y_that_is_not_of_tokens(name):
    y, text = WRONG[name]
    with pytest.raises(LabelError, match=text):
        qs.Examples(torch.zeros(2, 3), y, target=Tokens(5))


def test_no_examples_and_bad_arguments():
    assert len(qs.Examples(torch.zeros(0, 3), torch.zeros(0, 4, dtype=torch.int64), target=Tokens(5))) == 0
    with pytest.raises(ArgumentError, match=r"`Tokens\(vocabulary\)`: expected 2 or more, got 1"):
        Tokens(1)
    with pytest.raises(ArgumentError, match=r"`Tokens\(text\)`: expected a vocabulary of 256 bytes, got vocabulary=300"):
        Tokens(300, text=True)
    with pytest.raises(ShapeError, match="a row of 5 logits for each token"):
        Tokens(5).loss(torch.zeros(4, 4, 6), Y)
