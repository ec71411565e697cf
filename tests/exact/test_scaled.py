"""Learned metrics against Prototypical, which they begin as, and against the limits of TADAM's lemma."""

import pytest
import torch
import torch.nn.functional as F
from tests.exact.quadratic import assert_slopes_agree, finite_differences
from tests.exact.test_prototypical import an_episode
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.compare.learned_metric import LearnedMetric, Mahalanobis, ScaledDistance

METRICS = {"default": lambda: None, "scaled": lambda: ScaledDistance(), "Mahalanobis": lambda: Mahalanobis(4)}


def distances(embed, episode):
    """|| f(x) - c_k ||^2 by loops, with its graph."""
    z = embed(episode.support.x)
    means = [z[episode.support.y == k].mean(0) for k in range(3)]
    return torch.stack([torch.stack([((f - c) ** 2).sum() for c in means]) for f in embed(episode.query.x)])


@pytest.mark.parametrize("kind", METRICS)
def test_they_begin_as_prototypical(kind):
    """Loss, gradient and answers. Control: after a step of the metric they are not."""
    episode, embed = an_episode(), nn.Linear(6, 4)
    learner, plain = LearnedMetric(embed, METRICS[kind]()), qs.Prototypical(embed)
    (loss, gradient), (want_loss, want) = (qs.meta_gradient(one, [episode]) for one in (learner, plain))
    torch.testing.assert_close(loss, want_loss)
    for name, one in want.items():
        torch.testing.assert_close(gradient[name], one)
    torch.testing.assert_close(learner.adapt(episode.support)(episode.query.x), plain.adapt(episode.support)(episode.query.x))
    with torch.no_grad():
        for name, parameter in learner.metric.named_parameters():
            parameter.sub_(0.3 * gradient[f"metric.{name}"])
    moved = qs.meta_gradient(learner, [episode])[0]
    assert moved < loss - 1e-3


def test_mahalanobis_by_loops():
    """(a - b)' M (a - b) with M = L'L. Control: M = L."""
    metric = Mahalanobis(4, rank=3)
    with torch.no_grad():
        metric.L.normal_()
    a, b, M = torch.randn(5, 4), torch.randn(2, 4), (metric.L.T @ metric.L).detach()
    by_hand = lambda M: torch.stack([torch.stack([(x - y) @ M @ (x - y) for y in b]) for x in a])
    torch.testing.assert_close(metric(a, b).detach(), by_hand(M))
    square = Mahalanobis(4)
    with torch.no_grad():
        square.L.normal_()
    assert not torch.allclose(square(a, b), by_hand(square.L.detach()), rtol=0.1)


def test_mahalanobis_is_prototypical_behind_a_linear_layer():
    """L moved into the embedding: the same loss and the same gradient in L. Control: L transposed."""
    episode, embed, metric = an_episode(), nn.Linear(6, 4), Mahalanobis(4)
    last = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        metric.L.normal_()
        last.weight.copy_(metric.L)
    loss, gradient = qs.meta_gradient(LearnedMetric(embed, metric), [episode])
    want_loss, want = qs.meta_gradient(qs.Prototypical(nn.Sequential(embed, last)), [episode])
    torch.testing.assert_close(loss, want_loss)
    torch.testing.assert_close(gradient["metric.L"], want["embed.1.weight"])
    assert not torch.allclose(gradient["metric.L"], want["embed.1.weight"].T, rtol=0.1)


def test_slope_in_the_scale():
    """J = mean_i( alpha d_iy + log sum_k exp(-alpha d_ik) ), so dJ/dlog alpha = alpha mean_i( d_iy - sum_k p_ik d_ik ).
    Control: with the p of alpha = 1."""
    episode, embed = an_episode(), nn.Linear(6, 4)
    _, gradient = qs.meta_gradient(LearnedMetric(embed, ScaledDistance(0.3)), [episode])
    d = distances(embed, episode).detach()
    own = d.gather(1, episode.query.y[:, None])[:, 0]
    slope = lambda alpha: 0.3 * (own - ((-alpha * d).softmax(1) * d).sum(1)).mean()
    torch.testing.assert_close(gradient["metric.log_scale"], slope(0.3))
    assert not torch.allclose(gradient["metric.log_scale"], slope(1.0), rtol=0.01)


def test_limits_of_the_scale():
    """TADAM's lemma 1, written as gradients of two simpler losses:

        alpha -> 0:         1/alpha dJ/dphi  ->  d/dphi mean_i( d_iy - mean_k d_ik )      all classes alike
        alpha -> infinity:  1/alpha dJ/dphi  ->  d/dphi mean_i( d_iy - min_k d_ik )       the nearest wrong one

    since p_i is uniform in the first limit, and one-hot at the nearest class in the second. Control: each is not the other's.
    """
    episode, embed = an_episode(), nn.Linear(6, 4)
    d = distances(embed, episode)
    own = d.gather(1, episode.query.y[:, None])[:, 0]
    simple = {1e-9: (own - d.mean(1)).mean(), 1e9: (own - d.min(1).values).mean()}
    want = {alpha: torch.autograd.grad(loss, embed.weight, retain_graph=True)[0] for alpha, loss in simple.items()}
    for alpha, limit in want.items():
        _, gradient = qs.meta_gradient(LearnedMetric(embed, ScaledDistance(alpha)), [episode])
        torch.testing.assert_close(gradient["embed.weight"] / alpha, limit, rtol=1e-6, atol=1e-7)
    assert not torch.allclose(want[1e-9], want[1e9], rtol=0.1)


def test_a_metric_of_one_s_own():
    """Any module of two sets of vectors: here the sum of absolute differences."""

    class Manhattan(nn.Module):
        def forward(self, a, b):
            return (a[:, None] - b[None]).abs().sum(-1)

    episode = an_episode()
    got = LearnedMetric(nn.Identity(), Manhattan()).adapt(episode.support)(episode.query.x)
    means = torch.stack([episode.support.x[episode.support.y == k].mean(0) for k in range(3)])
    torch.testing.assert_close(got, -torch.cdist(episode.query.x, means, p=1))


@pytest.mark.parametrize("kind", METRICS)
def test_gradient_by_finite_differences(kind):
    learner = LearnedMetric(nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 4)), METRICS[kind]())
    slopes = finite_differences(learner, [an_episode()])
    slopes.pop("embed.2.bias")  # a shift of every embedding leaves the distances
    assert_slopes_agree(slopes)


@pytest.mark.parametrize("kind", ["scaled", "Mahalanobis"])
def test_derivatives_of_a_metric(kind):
    metric = METRICS[kind]()
    a, b = torch.randn(2, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    inputs = (a, b, *metric.parameters())
    function = lambda a, b, *_: F.softmax(-metric(a, b), 1)
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_refusals():
    with pytest.raises(errors.ArgumentError, match=r"`scale`: expected a number above 0, got 0\. 1 is the squared"):
        ScaledDistance(0)
    for rank in (0, 5):
        with pytest.raises(errors.ArgumentError, match=rf"`rank`: expected 1 to features=4, got {rank}\. Leave"):
            Mahalanobis(4, rank)
    with pytest.raises(errors.LabelError, match=r"`support\.y`: expected class labels"):
        LearnedMetric(nn.Identity(), ScaledDistance()).adapt(qs.Examples(torch.randn(3, 2), torch.randn(3, 1)))
