"""FEAT against Prototypical, which it is without attention, and against its equations by loops."""

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
from quickstudy.learners.compare.feat import FEAT, SetToSet
from quickstudy.learners.learner import Learner
from quickstudy.meta.executors import Compiled

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py


def attend(adapts, rows, scale=2.0):
    """psi of a list of 4-vectors, member by member: dot products divided by `scale` = sqrt(4)."""
    q, k, v = ([layer.weight @ z for z in rows] for layer in (adapts.query, adapts.key, adapts.value))
    psi = []
    for i, z in enumerate(rows):
        a = torch.stack([q[i] @ k[j] / scale for j in range(len(rows))]).softmax(0)
        psi.append(z + adapts.output.weight @ sum(a[j] * v[j] for j in range(len(rows))))
    return torch.stack(psi)


def test_set_to_set_by_loops():
    """Control: scores that are not divided by sqrt(features)."""
    adapts, z = SetToSet(4), torch.randn(5, 4)
    torch.testing.assert_close(adapts(z), attend(adapts, list(z)))
    assert not torch.allclose(adapts(z), attend(adapts, list(z), 1.0), rtol=1e-3)


def test_set_to_set_is_torch_s_attention():
    """F.scaled_dot_product_attention, masked too. Control: the mask inverted."""
    adapts, z = SetToSet(4), torch.randn(5, 4)
    within = torch.eye(5, dtype=torch.bool) | torch.eye(5, dtype=torch.bool).roll(1, 0)
    q, k, v = (layer(z)[None, None] for layer in (adapts.query, adapts.key, adapts.value))
    theirs = lambda mask: z + adapts.output(F.scaled_dot_product_attention(q, k, v, mask)[0, 0])
    torch.testing.assert_close(adapts(z), theirs(None))
    torch.testing.assert_close(adapts(z, within), theirs(within))
    assert not torch.allclose(adapts(z, within), theirs(~within), rtol=1e-3)


def test_set_to_set_is_a_function_of_sets():
    """Another order of the set gives psi in that order; the control, in the old order, does not."""
    adapts, z, order = SetToSet(4), torch.randn(5, 4), torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(adapts(z[order]), adapts(z)[order])
    assert not torch.allclose(adapts(z[order]), adapts(z))


def test_without_attention_it_is_prototypical():
    """W_O = 0 and lambda = 0: loss and gradient. Control: W_O as drawn."""
    episode, embed = an_episode(), nn.Linear(6, 4)
    learner, plain = FEAT(embed, SetToSet(4), contrast=0.0), qs.Prototypical(embed)
    want_loss, want = qs.meta_gradient(plain, [episode])
    with torch.no_grad():
        learner.adapts.output.weight.mul_(10)
    assert abs(float(qs.meta_gradient(learner, [episode])[0] - want_loss)) > 1e-2
    with torch.no_grad():
        learner.adapts.output.weight.zero_()
    loss, gradient = qs.meta_gradient(learner, [episode])
    torch.testing.assert_close(loss, want_loss)
    for name, one in want.items():
        torch.testing.assert_close(gradient[name], one)
    torch.testing.assert_close(learner.adapt(episode.support)(episode.query.x), plain.adapt(episode.support)(episode.query.x))


def contrast_by_hand(embed, adapts, episode, classwise=True, tau=2.0):
    """The second term, class by class, example by example."""
    z = torch.cat([embed(episode.support.x), embed(episode.query.x)])
    y = torch.cat([episode.support.y, episode.query.y])
    members = [[i for i in range(len(y)) if y[i] == k] for k in range(3)]
    psi = [None] * len(y)
    for group in members if classwise else [list(range(len(y)))]:
        for i, one in zip(group, attend(adapts, [z[i] for i in group]), strict=True):
            psi[i] = one
    centres = [sum(psi[i] for i in group) / len(group) for group in members]
    losses = []
    for i in range(len(episode.support), len(y)):
        scores = torch.stack([-((psi[i] - c) ** 2).sum() / tau for c in centres])
        losses.append(-scores.log_softmax(0)[y[i]])
    return sum(losses) / len(losses)


def test_contrastive_loss_by_loops():
    """The loss is the query's plus lambda times the contrast, gradients too; classes of different sizes.
    Control: T over all examples at once, and not within each class."""
    x, y = torch.randn(6, 6), torch.tensor([0, 2, 1, 1, 2, 1])
    asked = torch.tensor([2, 0, 0, 1, 2])
    episode = qs.Episode(qs.Examples(x, y), qs.Examples(torch.randn(5, 6), asked))
    embed, adapts = nn.Linear(6, 4), SetToSet(4)
    main, own = qs.meta_gradient(FEAT(embed, adapts, contrast=0.0, temperature=2.0), [episode])
    loss, gradient = qs.meta_gradient(FEAT(embed, adapts, contrast=0.7, temperature=2.0), [episode])
    want = contrast_by_hand(embed, adapts, episode)
    torch.testing.assert_close(loss, main + 0.7 * want.detach())
    parameters = {**{f"embed.{n}": p for n, p in embed.named_parameters()}}
    parameters |= {f"adapts.{n}": p for n, p in adapts.named_parameters()}
    for name, one in zip(parameters, torch.autograd.grad(want, list(parameters.values())), strict=True):
        torch.testing.assert_close(gradient[name], own[name] + 0.7 * one)
    assert abs(float(contrast_by_hand(embed, adapts, episode, classwise=False).detach() - want.detach())) > 1e-3


@pytest.mark.parametrize("normalisation", ["support", "running", "transductive", "frozen"])
def test_loss_embeds_by_the_policy(normalisation):
    """Without the contrast, on a batch norm: under "support" and "frozen" the loss is that of predict after learn; under the
    other two support and query are one batch, as Prototypical's are (W_O = 0). Control: Prototypical of the other policy."""
    episode = an_episode()
    norm = nn.BatchNorm1d(4)
    norm.running_mean.normal_()
    embed = nn.Sequential(nn.Linear(6, 4), norm)
    learner = FEAT(embed, SetToSet(4), contrast=0.0, normalisation=normalisation)
    if normalisation in ("support", "frozen"):
        torch.testing.assert_close(learner.loss(episode), Learner.loss(learner, episode))
    with torch.no_grad():
        learner.adapts.output.weight.zero_()
    loss, gradient = qs.meta_gradient(learner, [episode])
    want_loss, want = qs.meta_gradient(qs.Prototypical(embed, normalisation=normalisation), [episode])
    torch.testing.assert_close(loss, want_loss)
    for name, one in want.items():
        torch.testing.assert_close(gradient[name], one, rtol=1e-9, atol=1e-12)
    other = "frozen" if normalisation != "frozen" else "support"
    assert abs(float(qs.meta_gradient(qs.Prototypical(embed, normalisation=other), [episode])[0] - loss)) > 1e-3


def test_second_derivatives():
    adapts, z = SetToSet(2), torch.randn(3, 2, requires_grad=True)
    within = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    for mask in (None, within):
        function = lambda z, *_: adapts(z, mask)  # noqa: B023
        inputs = (z, *adapts.parameters())
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)
    tasks = torch.randn(4, 3, 2)
    torch.testing.assert_close(vmap(adapts)(tasks), torch.stack([adapts(one) for one in tasks]))


def test_gradient_by_finite_differences():
    embed = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    adapts = SetToSet(3)
    with torch.no_grad():
        for parameter in adapts.parameters():
            parameter.mul_(3)
    assert_slopes_agree(finite_differences(FEAT(embed, adapts, contrast=0.5), [an_episode()]))


def test_dropout_is_counted_and_off_where_it_answers():
    """One seed draws one mask, another seed another; an adapted predictor has none."""
    episode, embed = an_episode(), nn.Linear(6, 4)
    adapts = SetToSet(4, dropout=0.5)
    learner = FEAT(embed, adapts)
    losses = [float(qs.meta_gradient(learner, [episode], seed=seed)[0]) for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    without = SetToSet(4)
    without.load_state_dict(adapts.state_dict())
    answers = [FEAT(embed, one).adapt(episode.support)(episode.query.x) for one in (adapts, without)]
    torch.testing.assert_close(*answers, rtol=0, atol=0)


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")
def test_compiled(monkeypatch):
    """Traced to the code generator, with the contrast; the gradient is the loop's."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    learner = FEAT(nn.Linear(6, 2), SetToSet(2, dropout=0.2), contrast=0.5)
    episodes = [an_episode(ways=2, shots=2), an_episode(ways=2, shots=2)]
    loss, want = qs.meta_gradient(learner, episodes)
    compiled = Compiled()
    got_loss, got = qs.meta_gradient(learner, episodes, executor=compiled)
    assert compiled.overflow == 0
    torch.testing.assert_close(got_loss, loss)
    for name, one in want.items():
        torch.testing.assert_close(got[name], one, rtol=1e-9, atol=1e-12)


def test_the_transformer_of_our_own_networks_is_built():
    assert FEAT(qs.models.conv4()).adapts.features == 64
    assert FEAT(qs.models.mlp(6, 5)).adapts.features == 5
    assert FEAT(qs.models.resnet12(channels=(2, 2, 2, 3))).adapts.features == 3


def test_refusals():
    with pytest.raises(errors.ArgumentError, match=r"`adapts`: expected one built for the number of features .* got none\."):
        FEAT(nn.Linear(6, 4))
    with pytest.raises(errors.ArgumentError, match=r"`contrast`: expected 0 or more, got -0\.1\. 0 leaves"):
        FEAT(nn.Linear(6, 4), SetToSet(4), contrast=-0.1)
    with pytest.raises(errors.ArgumentError, match=r"`temperature`: expected a number above 0, got 0\.0"):
        FEAT(nn.Linear(6, 4), SetToSet(4), temperature=0.0)
    with pytest.raises(errors.ArgumentError, match=r"`dropout`: expected 0 or more, below 1, got 1\.0"):
        SetToSet(4, dropout=1.0)
    with pytest.raises(errors.LabelError, match=r"`support\.y`: expected class labels"):
        FEAT(nn.Identity(), SetToSet(2)).adapt(qs.Examples(torch.randn(3, 2), torch.randn(3, 1)))
