"""Matching networks against attention written by loops, and their context against torch's own LSTM."""

import functools

import pytest
import torch
import torch.nn.functional as F
from tests.exact.quadratic import assert_slopes_agree, finite_differences
from tests.exact.test_prototypical import an_episode
from torch import nn
from torch.func import vmap

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.compare.learned_metric import LearnedMetric, ScaledDistance
from quickstudy.learners.compare.matching import FullContext, MatchingNetwork
from quickstudy.learners.functional import unit
from quickstudy.meta.executors import Compiled
from quickstudy.models.lstm_cell import LSTMCell


class Unit(nn.Module):
    def forward(self, x):
        return unit(x)


def test_attention_by_loops():
    """p(k) = sum over the class of softmax_i cos / tau. Control: dot products in the place of cosines."""
    episode, embed = an_episode(), nn.Linear(6, 4)
    got = MatchingNetwork(embed, temperature=0.3).adapt(episode.support).predict_proba(episode.query.x)
    length = {"cosine": lambda a: a.norm(), "dot": lambda a: 1.0}
    want = {}
    for name, norm in length.items():
        rows = []
        for x in episode.query.x:
            f = embed(x).detach()
            scores = []
            for one in episode.support.x:
                g = embed(one).detach()
                scores.append(float(f @ g / (norm(f) * norm(g)) / 0.3))
            a = torch.tensor(scores).softmax(0)
            rows.append(torch.stack([sum(a[i] for i in range(len(a)) if episode.support.y[i] == k) for k in range(3)]))
        want[name] = torch.stack(rows)
    torch.testing.assert_close(got, want["cosine"])
    assert not torch.allclose(got, want["dot"], rtol=0.1)


def test_one_shot_is_a_softmax_over_similarities_and_a_duplicate_doubles_the_mass():
    """Control: Prototypical's means do not see a duplicate."""
    episode, embed = an_episode(shots=1), nn.Linear(6, 4)
    support, x = episode.support, episode.query.x
    twice = qs.Examples(torch.cat([support.x, support.x[:1]]), torch.cat([support.y, support.y[:1]]), 3)
    learner = MatchingNetwork(embed, temperature=0.5)
    once, double = learner.adapt(support).predict_proba(x), learner.adapt(twice).predict_proba(x)
    similarity = F.cosine_similarity(embed(x)[:, None], embed(support.x)[None], dim=-1).detach()
    torch.testing.assert_close(once, (similarity / 0.5).softmax(1))
    torch.testing.assert_close(double[:, 0] / double[:, 1], 2 * once[:, 0] / once[:, 1])
    means = qs.Prototypical(embed)
    torch.testing.assert_close(means.adapt(twice)(x), means.adapt(support)(x))


def test_one_shot_on_unit_vectors_is_prototypical():
    """cos = 1 - ||u - v||^2 / 2, so tau is a scale of 1 / (2 tau). Control: with two shots a vote is no mean."""
    for shots, same in ((1, True), (2, False)):
        episode = an_episode(shots=shots)
        match = MatchingNetwork(Unit(), temperature=0.2).adapt(episode.support).predict_proba(episode.query.x)
        means = LearnedMetric(Unit(), ScaledDistance(1 / 0.4)).adapt(episode.support).predict_proba(episode.query.x)
        assert torch.allclose(match, means, rtol=1e-9) == same


def test_cold_attention_is_the_nearest_neighbour():
    """As tau goes to 0. Control: the nearest class mean is another class for some query."""
    episode = an_episode(shots=4, queries=40)
    got = MatchingNetwork(nn.Identity(), temperature=1e-4).adapt(episode.support).predict(episode.query.x)
    nearest = F.cosine_similarity(episode.query.x[:, None], episode.support.x[None], dim=-1).argmax(1)
    assert torch.equal(got, episode.support.y[nearest])
    assert not torch.equal(got, qs.Prototypical(Unit()).adapt(episode.support).predict(episode.query.x))


def test_gradient_stays_finite_where_the_attention_of_a_class_underflows():
    """log p is taken by logsumexp: at tau = 1e-3 a class has the mass e^-1000, and its log is still right."""
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.01]], requires_grad=True)
    learner = MatchingNetwork(nn.Identity(), temperature=1e-3)
    logits = learner(qs.Examples(x, torch.tensor([0, 1])), torch.tensor([[1.0, 0.0]]))
    assert float(logits.detach()[0, 1]) == pytest.approx(-2000, rel=1e-3)
    (gradient,) = torch.autograd.grad(-logits[0, 1], x)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


# ---- the LSTM and the context ------------------------------------------------------------------------------------------


def test_cell_is_torch_s_own():
    """Values and gradients, with torch's weights. Control: gates in another order."""
    own, theirs = LSTMCell(3, 4), nn.LSTMCell(3, 4)
    own.load_state_dict(theirs.state_dict())
    x, h, c = torch.randn(5, 3, requires_grad=True), torch.randn(5, 4), torch.randn(5, 4)
    got, want = own(x, h, c), theirs(x, (h, c))
    torch.testing.assert_close(got, want)
    gradients = [torch.autograd.grad(one[0].sin().sum(), x)[0] for one in (got, want)]
    torch.testing.assert_close(*gradients)
    with torch.no_grad():
        own.weight_ih.copy_(theirs.weight_ih[torch.randperm(16)])
    assert not torch.allclose(own(x, h, c)[0], want[0])


def lstm_of(context):
    """torch's bidirectional LSTM with the weights of a context."""
    lstm = nn.LSTM(context.features, context.features, bidirectional=True)
    for suffix, cell in (("", context.onward), ("_reverse", context.backward)):
        for name, value in cell.named_parameters():
            getattr(lstm, f"{name}_l0{suffix}").data.copy_(value.data)
    return lstm


def test_support_context_is_a_bidirectional_lstm_plus_the_embedding():
    """Control: the backward pass not turned round again."""
    context, z = FullContext(4), torch.randn(7, 4)
    onward, backward = lstm_of(context)(z)[0].detach().split(4, 1)
    got = context.support(z).detach()
    torch.testing.assert_close(got, onward + backward + z)
    assert not torch.allclose(got, onward + backward.flip(0) + z)


def test_query_context_by_loops():
    """Each query alone, with torch's cell on [f', r] and h: linear gates do not tell [h, r] as recurrent input from it.
    Controls: a step less; attention by cosines."""
    context, z, g = FullContext(4, steps=3), torch.randn(5, 4), torch.randn(6, 4)
    cell = nn.LSTMCell(8, 4)
    cell.load_state_dict(context.attending.state_dict())

    def by_hand(steps, similarity):
        rows = []
        for x in z:
            h = c = torch.zeros(4)
            for _ in range(steps):
                a = torch.stack([similarity(h, one) for one in g]).softmax(0)
                r = sum(a[i] * g[i] for i in range(6))
                u, c = (part[0] for part in cell(torch.cat([x, r])[None], (h[None], c[None])))
                h = u + x
            rows.append(h)
        return torch.stack(rows)

    got = context.query(z, g)
    torch.testing.assert_close(got, by_hand(3, torch.dot))
    assert not torch.allclose(got, by_hand(2, torch.dot), rtol=1e-3)
    assert not torch.allclose(got, by_hand(3, lambda a, b: F.cosine_similarity(a, b, dim=0)), rtol=1e-3)


def test_context_without_weights_leaves_matching_as_it_is():
    """All LSTM weights 0: its outputs are 0, g = g' and f = f'. Control: weights as drawn."""
    episode, context = an_episode(), FullContext(6)
    plain = MatchingNetwork(nn.Identity()).adapt(episode.support)(episode.query.x)
    learner = MatchingNetwork(nn.Identity(), context)
    assert not torch.allclose(learner.adapt(episode.support)(episode.query.x), plain, rtol=0.01)
    with torch.no_grad():
        for parameter in context.parameters():
            parameter.zero_()
    torch.testing.assert_close(learner.adapt(episode.support)(episode.query.x), plain)


def test_order_matters_with_a_context_alone():
    episode = an_episode()
    order = torch.arange(len(episode.support)).flip(0)
    turned = qs.Examples(episode.support.x[order], episode.support.y[order], 3)
    for context in (None, FullContext(6)):
        learner = MatchingNetwork(nn.Identity(), context)
        same = torch.allclose(learner.adapt(turned)(episode.query.x), learner.adapt(episode.support)(episode.query.x))
        assert same == learner.order_invariant == (context is None)


def test_second_derivatives_of_the_context():
    """Against finite differences, and under vmap, where torch's own cell is refused."""
    context = FullContext(2, steps=2)

    def through(z, x):
        return context.query(x, context.support(z))

    z, x = torch.randn(3, 2, requires_grad=True), torch.randn(2, 2, requires_grad=True)
    assert torch.autograd.gradcheck(through, (z, x))
    assert torch.autograd.gradgradcheck(through, (z, x))
    tasks = torch.randn(4, 3, 2)
    torch.testing.assert_close(vmap(through, (0, None))(tasks, x), torch.stack([through(one, x) for one in tasks]))
    with pytest.raises(RuntimeError, match="Batching rule not implemented"):
        vmap(nn.LSTM(2, 2))(tasks)


@pytest.mark.parametrize("context", [False, True])
def test_gradient_by_finite_differences(context):
    embed = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    learner = MatchingNetwork(embed, FullContext(3, steps=2) if context else None, temperature=0.3)
    assert_slopes_agree(finite_differences(learner, [an_episode(shots=2)]))


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")
def test_compiled(monkeypatch):
    """Traced to the code generator, LSTM and all; the gradient is the loop's."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    learner = MatchingNetwork(nn.Linear(6, 2), FullContext(2, steps=1))
    episodes = [an_episode(ways=2, shots=1), an_episode(ways=2, shots=1)]
    loss, want = qs.meta_gradient(learner, episodes)
    compiled = Compiled()
    got_loss, got = qs.meta_gradient(learner, episodes, executor=compiled)
    assert compiled.overflow == 0
    torch.testing.assert_close(got_loss, loss)
    for name, one in want.items():
        torch.testing.assert_close(got[name], one, rtol=1e-9, atol=1e-12)


def test_refusals():
    with pytest.raises(errors.ArgumentError, match=r"`temperature`: expected a number above 0, got 0\.0\. 1 leaves"):
        MatchingNetwork(nn.Identity(), temperature=0.0)
    with pytest.raises(errors.ArgumentError, match=r"`steps`: expected 1 or more, got 0\. Without a context"):
        FullContext(4, steps=0)
    with pytest.raises(errors.LabelError, match=r"`support\.y`: expected class labels"):
        MatchingNetwork(nn.Identity()).adapt(qs.Examples(torch.randn(3, 2), torch.randn(3, 1)))
