"""Prototypical networks against the linear classifier that they are."""

import pytest
import torch
import torch.nn.functional as F
from tests.exact.quadratic import assert_slopes_agree, finite_differences
from torch import nn

import quickstudy as qs
from quickstudy import errors


def an_episode(ways=3, shots=4, queries=5, features=6):
    y, asked = torch.arange(ways).repeat(shots), torch.arange(ways).repeat(queries)
    return qs.Episode(qs.Examples(torch.randn(len(y), features), y), qs.Examples(torch.randn(len(asked), features), asked))


def test_logits_are_those_of_a_linear_classifier():
    """-||z - mu||^2 = 2 mu'z - mu'mu - z'z, and z'z is the same for every class: weights 2 mu, bias -mu'mu.

    Control: cosine similarity, a common mistake for "nearest prototype", orders otherwise.
    """
    episode, embed = an_episode(), nn.Linear(6, 4)
    predictor = qs.Prototypical(embed).adapt(episode.support)
    z, own = embed(episode.query.x).detach(), embed(episode.support.x).detach()
    mu = torch.stack([own[episode.support.y == k].mean(0) for k in range(3)])
    linear = 2 * z @ mu.T - (mu * mu).sum(1)
    torch.testing.assert_close(predictor(episode.query.x), linear - (z * z).sum(1, keepdim=True))
    torch.testing.assert_close(predictor.predict_proba(episode.query.x), linear.softmax(-1))
    cosine = F.cosine_similarity(z[:, None], mu[None], dim=-1)
    assert not torch.equal(cosine.argmax(-1), linear.argmax(-1))


def test_prototypes_are_the_means_of_unequal_classes():
    """Classes of 1 and 3 examples: each its own mean. Control: the sum over the largest class's size is something else."""
    x, y = torch.randn(4, 2), torch.tensor([1, 0, 1, 1])
    prototypes = qs.Prototypical(nn.Identity()).adapt(qs.Examples(x, y)).state.values["prototypes"]
    torch.testing.assert_close(prototypes, torch.stack([x[1], x[[0, 2, 3]].mean(0)]))


@pytest.mark.parametrize("normalisation", ["support", "running", "transductive", "frozen"])
def test_policies_against_hand_written_mathematics(normalisation):
    """One linear layer and a batch norm. In training: "support" normalises by the support's statistics; "running" and
    "transductive" by those of support and query in one batch; "frozen" by the running averages."""
    episode = an_episode()
    norm = nn.BatchNorm1d(4)
    nn.init.normal_(norm.weight)
    norm.running_mean.normal_()
    embed = nn.Sequential(nn.Linear(6, 4), norm)
    loss, gradient = qs.meta_gradient(qs.Prototypical(embed, normalisation=normalisation), [episode])

    both = torch.cat([episode.support.x, episode.query.x])
    z, n = embed[0](both), len(episode.support)
    batch = {"support": z[:n], "running": z, "transductive": z}.get(normalisation)
    mean = norm.running_mean if batch is None else batch.mean(0)
    variance = norm.running_var if batch is None else batch.var(0, correction=0)
    z = (z - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias
    mu = torch.stack([z[:n][episode.support.y == k].mean(0) for k in range(3)])
    want = F.cross_entropy(-((z[n:, None] - mu[None]) ** 2).sum(-1), episode.query.y)
    torch.testing.assert_close(loss, want.detach(), rtol=1e-9, atol=1e-9)
    for name, one in zip(dict(embed.named_parameters()), torch.autograd.grad(want, list(embed.parameters())), strict=True):
        torch.testing.assert_close(gradient[f"embed.{name}"], one, rtol=1e-8, atol=1e-9)


def test_gradient_by_finite_differences():
    learner = qs.Prototypical(nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)))
    slopes = finite_differences(learner, [an_episode()])
    slopes.pop("embed.2.bias")  # a shift of every embedding leaves the distances
    assert_slopes_agree(slopes)


def test_targets_are_refused():
    with pytest.raises(errors.LabelError, match=r"`support\.y`: expected class labels.*got y of dtype torch\.float64.*y\.long"):
        qs.Prototypical(nn.Identity()).adapt(qs.Examples(torch.randn(3, 2), torch.randn(3, 1)))


def test_loss_outside_an_executor_keeps_the_policy_and_writes_nothing():
    """learner.loss(episode) embeds by the learner's own policy ("running": the averages), in train() and in eval()."""
    episode = an_episode()
    norm = nn.BatchNorm1d(4)
    norm.running_mean.normal_()
    embed = nn.Sequential(nn.Linear(6, 4), norm)
    before = {name: value.clone() for name, value in embed.state_dict().items()}
    losses = []
    for mode in (True, False):
        learner = qs.Prototypical(embed.train(mode))
        losses.append(learner.loss(episode))
        torch.testing.assert_close(losses[-1], F.cross_entropy(learner(episode.support, episode.query.x), episode.query.y))
    torch.testing.assert_close(losses[0], losses[1])
    assert all(torch.equal(before[name], value) for name, value in embed.state_dict().items())
