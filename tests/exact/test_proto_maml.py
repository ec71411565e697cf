"""Proto-MAML: Prototypical before the first step, and a meta-gradient that passes through where the head begins."""

import pytest
import torch
import torch.nn.functional as F
from tests.exact.quadratic import assert_slopes_agree, far, finite_differences
from torch import nn
from torch.func import functional_call

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.descend.prototype_head import PrototypeHead
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.recipes.proto_maml import ProtoMAML


def an_episode(ways=3, shots=2, queries=4):
    draw = lambda n: qs.Examples(torch.randn(ways * n, 6), torch.arange(ways).repeat(n), ways)
    return qs.Episode(draw(shots), draw(queries))


def embedding():
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))


def by_hand(embed, task, a, steps, *, second_order=True, through_the_start=True):
    """The query loss and its gradient in the embedding, as a loop over plain tensors."""
    phi = {name: p.detach().requires_grad_() for name, p in embed.named_parameters()}
    z = functional_call(embed, phi, (task.support.x,))
    c = torch.stack([z[task.support.y == k].mean(0) for k in range(task.support.ways)])
    c = c if through_the_start else c.detach().requires_grad_()
    theta = {name: p.clone() for name, p in phi.items()}  # apart from the phi that c is made of
    theta |= {"w": 2 * c, "b": -(c**2).sum(1)}

    def logits(theta, x):
        body = {name: value for name, value in theta.items() if name in phi}
        return functional_call(embed, body, (x,)) @ theta["w"].T + theta["b"]

    for _ in range(steps):
        loss = F.cross_entropy(logits(theta, task.support.x), task.support.y)
        gradients = torch.autograd.grad(loss, list(theta.values()), create_graph=second_order, retain_graph=True)
        theta = {name: p - a * g for (name, p), g in zip(theta.items(), gradients, strict=True)}
    loss = F.cross_entropy(logits(theta, task.query.x), task.query.y)
    return loss.detach(), dict(zip(phi, torch.autograd.grad(loss, list(phi.values())), strict=True))


@pytest.mark.parametrize("normalisation", ["support", "transductive", "frozen"])
def test_without_steps_it_is_prototypical(normalisation):
    """w_k'z + b_k = -|z - c_k|^2 + |z|^2: the same probabilities, loss and meta-gradient. Control: one step is not it."""
    norm = nn.BatchNorm1d(5)
    norm.running_mean.normal_()
    embed, task = nn.Sequential(nn.Linear(6, 5), norm, nn.Tanh(), nn.Linear(5, 4)), an_episode()
    learner = ProtoMAML(embed, inner_steps=0, normalisation=normalisation)
    known = qs.Prototypical(embed, normalisation=normalisation)
    want = known.adapt(task.support).predict_proba(task.query.x)
    torch.testing.assert_close(learner.adapt(task.support).predict_proba(task.query.x), want, rtol=1e-10, atol=1e-12)
    if normalisation != "transductive":  # where Prototypical's loss has the batch of support and query together
        (loss, got), (want_loss, wanted) = qs.meta_gradient(learner, [task]), qs.meta_gradient(known, [task])
        torch.testing.assert_close(loss, want_loss, rtol=1e-10, atol=1e-12)
        for name, one in wanted.items():
            torch.testing.assert_close(got[f"network.{name}"], one, rtol=1e-8, atol=1e-10)
    one_step = ProtoMAML(embed, inner_lr=1.0, inner_steps=1, normalisation=normalisation)
    assert far(want, one_step.adapt(task.support).predict_proba(task.query.x), 0.01)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("second_order", [True, False])
def test_loss_and_gradient_of_a_loop_by_hand(steps, second_order):
    """Every step on embedding and head. Controls: the start of the head as a constant; the other order."""
    embed, task, a = embedding(), an_episode(), 0.1
    hypergradient = qs.Unrolled() if second_order else qs.FirstOrder()
    learner = ProtoMAML(embed, inner_lr=a, inner_steps=steps, hypergradient=hypergradient)
    loss, gradient = qs.meta_gradient(learner, [task])
    want_loss, want = by_hand(embed, task, a, steps, second_order=second_order)
    torch.testing.assert_close(loss, want_loss, rtol=1e-11, atol=1e-12)
    assert gradient.keys() == {f"network.embed.{name}" for name in want}
    wrong = by_hand(embed, task, a, steps, second_order=second_order, through_the_start=False)[1]
    other = by_hand(embed, task, a, steps, second_order=not second_order)[1]
    for name, one in want.items():
        torch.testing.assert_close(gradient[f"network.embed.{name}"], one, rtol=1e-9, atol=1e-11)
    assert far(want["0.weight"], wrong["0.weight"])
    assert far(want["0.weight"], other["0.weight"], 0.01)


def test_a_recomputed_descent_has_the_same_gradient():
    embed, task = embedding(), an_episode()
    want = qs.meta_gradient(ProtoMAML(embed, inner_lr=0.1, inner_steps=3), [task])[1]
    recomputed = ProtoMAML(embed, inner_lr=0.1, inner_steps=3, hypergradient=qs.Unrolled(recompute=True))
    for name, one in qs.meta_gradient(recomputed, [task])[1].items():
        torch.testing.assert_close(one, want[name], rtol=1e-10, atol=1e-12)


def test_learned_rates_by_finite_differences():
    """A rate for each weight of the embedding, one for w and one for b."""
    embed = embedding()
    with torch.no_grad():
        embed[2].weight.mul_(4)  # prototypes far enough apart for every rate to matter
    learner = ProtoMAML(embed, inner_lr=LearnedRates(0.1), inner_steps=2)
    assert [tuple(rate.shape) for rate in learner.rates.rate][:2] == [(1, 1), (1,)]
    assert_slopes_agree(finite_differences(learner, [an_episode()]))


def test_the_head_is_no_meta_parameter_and_ways_are_free():
    learner = ProtoMAML(embedding())
    assert not [name for name, p in learner.named_parameters() if p.requires_grad and "embed" not in name]
    for ways, shots in ((2, 1), (6, 3)):
        task = an_episode(ways, shots)
        predictor = learner.adapt(task.support)
        assert predictor(task.query.x).shape == (4 * ways, ways)
        assert predictor.state.values["theta"]["w"].shape == (ways, 4)
    assert learner.network.w.shape == (1, 1)


@pytest.mark.parametrize("hypergradient", [qs.Truncated(1), qs.Implicit()])
def test_hypergradients_that_forget_the_start_are_refused(hypergradient):
    with pytest.raises(errors.UnsupportedError) as caught:
        PrototypeHead(embedding(), hypergradient=hypergradient)
    assert "`hypergradient`: expected one that passes through every step, and so to the head's beginning" in str(caught.value)
    assert "Use Unrolled() or FirstOrder()" in str(caught.value)


def test_targets_are_refused_and_divergence_is_named():
    with pytest.raises(errors.LabelError, match=r"`support\.y`: expected class labels"):
        ProtoMAML(nn.Linear(2, 2)).adapt(qs.Examples(torch.randn(3, 2), torch.randn(3, 1)))
    task = an_episode()
    with pytest.raises(errors.NotFiniteError, match=r"`inner_lr`: .* after inner step \d of 5.*Lower inner_lr"):
        ProtoMAML(nn.Linear(6, 4), inner_lr=1e200).adapt(task.support)
