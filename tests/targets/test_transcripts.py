"""Transcripts: the CTC loss, its first and second derivatives, against the sum over all paths; greedy reading; error rates."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
import torch.nn.functional as F
from tests.targets.test_tokens import levenshtein

import quickstudy as qs
from quickstudy.errors import ArgumentError, LabelError, ShapeError
from quickstudy.evaluation.metrics import METRICS, chosen, of_tasks
from quickstudy.targets import Transcripts

AB = Transcripts("ab")
Y = torch.tensor([[1, 2, 0], [1, 1, 0], [2, 0, 0], [0, 0, 0], [1, 2, 1]])  # ab, aa, b, the empty string, aba
FRAMES = 5


def logits(seed=0, frames=FRAMES, dtype=torch.float64):
    return torch.randn(len(Y), frames, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def collapsed(path, merges=True):
    """The string of a path, written down as the definition says; without `merges` it is another, wrong one."""
    merged = [a for a, _ in itertools.groupby(path)] if merges else path
    return [a for a in merged if a != 0]


def by_all_paths(z, y, merges=True):
    """-log p(y | x) of one example by equation (1): 3^5 = 243 paths."""
    log_p, want = z.log_softmax(-1), [token for token in y.tolist() if token]
    found = [
        torch.stack([log_p[t, a] for t, a in enumerate(path)]).sum()
        for path in itertools.product(range(3), repeat=len(z))
        if collapsed(path, merges) == want
    ]
    return -torch.stack(found).logsumexp(0)


def test_the_loss_is_that_of_all_paths():
    z = logits()
    want = torch.stack([by_all_paths(one, y) for one, y in zip(z, Y, strict=True)])
    lengths = torch.tensor([2, 2, 1, 0, 3])
    torch.testing.assert_close(AB.each(z, Y), want / lengths.clamp(min=1))
    torch.testing.assert_close(AB.loss(z, Y), want.sum() / lengths.sum())
    wrong = torch.stack([by_all_paths(one, y, merges=False) for one, y in zip(z[:3], Y[:3], strict=True)])
    assert float((wrong - want[:3]).abs().min()) > 0.1, "a path whose repeats are not merged is another one"


def test_the_first_and_second_derivative_are_those_of_all_paths():
    z, v = logits(1)[:3].requires_grad_(), logits(2)[:3]
    ours = AB.each(z, Y[:3]).sum()
    lengths = (2, 2, 1)
    all_paths = sum(by_all_paths(one, y) / n for one, y, n in zip(z, Y[:3], lengths, strict=True))
    (g,), (h,) = (torch.autograd.grad(one, z, create_graph=True) for one in (ours, all_paths))
    torch.testing.assert_close(g, h)
    (gg,), (hh,) = (torch.autograd.grad((one * v).sum(), z) for one in (g, h))
    torch.testing.assert_close(gg, hh)
    assert float(hh.abs().max()) > 1e-2
    assert torch.autograd.gradgradcheck(lambda z: AB.loss(z, Y[:3]), z)


def test_torch_computes_the_same_loss_and_no_second_derivative():
    z = logits(3, frames=30).requires_grad_()
    kept = Y[[0, 1, 2, 4]]
    lengths = (kept != 0).sum(1)
    given = (kept, torch.full((4,), 30), lengths)
    torchs = F.ctc_loss(z[[0, 1, 2, 4]].log_softmax(-1).transpose(0, 1), *given, reduction="none")
    torch.testing.assert_close(AB.each(z[[0, 1, 2, 4]], kept), torchs / lengths)
    (g,) = torch.autograd.grad(torchs.sum(), z, create_graph=True)
    with pytest.raises(RuntimeError, match=r"not implemented|does not require grad|not differentiable"):
        torch.autograd.grad(g.sum(), z)


def test_float32_and_long_recordings_stay_finite():
    z = (40 * logits(4, frames=200, dtype=torch.float32)).requires_grad_()
    loss = AB.loss(z, Y)
    (g,) = torch.autograd.grad(loss, z)
    assert bool(loss.isfinite())
    assert bool(g.isfinite().all())


def test_vmap_computes_what_the_loop_does():
    z, y = torch.stack([logits(seed) for seed in range(3)]), torch.stack([Y, Y.flip(0), Y])
    loop = torch.stack([AB.loss(*one) for one in zip(z, y, strict=True)])
    torch.testing.assert_close(torch.vmap(AB.loss)(z, y), loop)
    grads = torch.vmap(torch.func.grad(AB.loss))(z, y)
    torch.testing.assert_close(grads[1], torch.func.grad(AB.loss)(z[1], y[1]))


def test_reading_merges_repeats_and_leaves_out_blanks():
    draw = random.Random(0)
    paths = [[draw.choice((0, 1, 2)) for _ in range(9)] for _ in range(200)]
    read = AB.read(F.one_hot(torch.tensor(paths), 3).float())
    assert read.shape == (200, 9)
    assert [[a for a in row if a] for row in read.tolist()] == [collapsed(path) for path in paths]
    assert AB.named(read[:1]).tolist() == ["".join("ab"[a - 1] for a in collapsed(paths[0]))]


def test_the_error_rate_is_that_of_levenshtein():
    z, texts = logits(5, frames=8), AB.named(Y).tolist()
    wrong = sum(levenshtein(a, b) for a, b in zip(AB.named(AB.read(z)).tolist(), texts, strict=True))
    want = pytest.approx(wrong / sum(map(len, texts)))
    assert float(METRICS["character_error_rate"].function(z, Y, AB)) == want
    assert of_tasks(chosen(None, AB), z[None], Y[None], AB) == {"character_error_rate": [want]}


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="of 5 frames or more"):
        AB.loss(torch.zeros(5, 4, 3), Y)
    with pytest.raises(ShapeError):
        AB.loss(torch.zeros(5, 9, 4), Y)
    with pytest.raises(LabelError, match="tokens from 0 to 2"):
        AB.check("y", torch.tensor([[3]]))
    with pytest.raises(LabelError, match="characters of 'ab'"):
        AB.tokens(["ac"])
    with pytest.raises(ArgumentError, match="each once"):
        Transcripts("aa")


def test_second_order_maml_adapts_to_it():
    x = F.one_hot(torch.randint(3, (6, 12), generator=torch.Generator().manual_seed(0)), 3).float()
    y = AB.read(x)[:, :6]
    target = Transcripts("ba")  # the letters exchanged: what the support has to tell
    examples, network = qs.Examples(x, y, target=target), torch.nn.Linear(3, 3)
    learner = qs.MAML(network, inner_steps=10, inner_lr=2.0)
    gradients = torch.autograd.grad(learner.loss(qs.Episode(examples, examples)), list(network.parameters()))
    assert all(bool(g.isfinite().all()) for g in gradients)
    before, after = (target.loss(answer(x), y).detach() for answer in (network, learner.adapt(examples)))
    assert float(after) < 0.9 * float(before)
