"""A hypernetwork against the network that it writes, taken out and run by itself."""

import pytest
import torch
import torch.nn.functional as F
from tests.checks.learners import stirred
from tests.exact.quadratic import assert_slopes_agree, finite_differences
from tests.meta.executors.networks import assert_same
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError, LabelError, ShapeError
from quickstudy.learners.read.hypernetwork import Hypernetwork

WAYS, FEATURES = 3, 5


def a_learner(embed=None, **arguments):
    return stirred(Hypernetwork(embed or nn.Identity(), FEATURES, **{"hidden": 4, "rank": 2, "width": 6, **arguments}), 0.3)


def an_episode(shots=(3, 1, 2), queries=7):
    y = torch.arange(WAYS).repeat_interleave(torch.tensor(shots))[torch.randperm(sum(shots))]
    draw = lambda y: qs.Examples(torch.randn(len(y), FEATURES), y, WAYS)
    return qs.Episode(draw(y), draw(torch.arange(queries) % WAYS))


def written(learner, support, mistake=False):
    """A plain network whose every weight has been written: (1)-(3), A as a whole. `mistake`: without what classes share."""
    e_k = torch.stack([support.x[support.y == k].mean(0) for k in range(WAYS)])
    e = e_k.mean(0)
    rows = torch.stack([learner.g_class(torch.cat([one, 0 * e if mistake else e])[None])[0] for one in e_k])
    A = None
    if learner.hidden:
        A = learner.P.weight @ torch.diag(learner.g(e[None])[0]) @ learner.R.weight

    def network(x):
        h = [F.relu(x @ A.T + learner.P.bias), x] if A is not None else [x]
        return F.linear(torch.cat(h, 1), rows[:, :-1], rows[:, -1])

    return network


@pytest.mark.parametrize("arguments", [{}, {"hidden": 0}, {"rank": 5}])
def test_it_is_the_network_that_it_writes(arguments):
    """Answers and every gradient, with classes of unequal size. Control: weights written without the task."""
    learner, episode = a_learner(**arguments), an_episode()
    x, y = episode.query.x, episode.query.y
    got = learner(episode.support, x)
    torch.testing.assert_close(got, written(learner, episode.support)(x), rtol=1e-10, atol=1e-11)
    _, gradient = qs.meta_gradient(learner, [episode])
    phi = dict(learner.named_parameters())
    of = lambda answer: dict(zip(phi, torch.autograd.grad(F.cross_entropy(answer, y), list(phi.values())), strict=True))
    assert_same(gradient, of(written(learner, episode.support)(x)))
    assert not torch.allclose(got, written(learner, episode.support, mistake=True)(x), rtol=1e-3)


def test_a_linear_one_can_be_prototypical():
    """-||z - c||^2 = 2 c'z - c'c - z'z: g' that writes w = 2 e_k, b = -e_k'e_k gives its answers. Control: b = 0."""
    episode = an_episode()

    class Written(nn.Module):
        def __init__(self, bias):
            super().__init__()
            self.bias = bias

        def forward(self, e):
            e_k = e[:, :FEATURES]
            return torch.cat([2 * e_k, -self.bias * (e_k * e_k).sum(1, keepdim=True)], 1)

    want = qs.Prototypical(nn.Identity())(episode.support, episode.query.x).softmax(1)
    learner = a_learner(hidden=0)
    learner.g_class = Written(1.0)
    torch.testing.assert_close(learner(episode.support, episode.query.x).softmax(1), want)
    learner.g_class = Written(0.0)
    assert not torch.allclose(learner(episode.support, episode.query.x).softmax(1), want, rtol=1e-2)


def test_what_is_written_of_a_class_depends_on_it_and_on_all():
    learner, episode = a_learner(), an_episode((2, 2, 2))
    x, y = episode.support.x, episode.support.y
    weights = lambda x: (
        torch.cat([state["w"], state["b"][:, None]], 1) if (state := learner.learn(qs.Examples(x, y, WAYS))) else 0
    )
    other = x + (y == 0).to(x.dtype)[:, None]
    moved_by = (weights(other) - weights(x)).norm(dim=1)
    assert (moved_by > 1e-6).all()
    within = x.clone()  # class 0's examples apart, its mean as it was: nothing but the mean is read
    rows = (y == 0).nonzero()[:, 0]
    within[rows[0]] += 1.0
    within[rows[1]] -= 1.0
    torch.testing.assert_close(weights(within), weights(x))


@pytest.mark.parametrize("hidden", [0, 4])
def test_gradient_by_finite_differences(hidden):
    learner = a_learner(nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.Tanh()), hidden=hidden)
    slopes = finite_differences(learner, [an_episode()])
    slopes.pop("g_class.head.bias")  # what it writes into every class alike leaves the softmax
    assert_slopes_agree(slopes)


def test_any_number_of_classes_is_served_and_the_state_is_the_weights():
    learner = a_learner()
    for ways in (1, 2, 7):
        support = qs.Examples(torch.randn(ways, FEATURES), torch.arange(ways))
        predictor = learner.adapt(support)
        shapes = {name: tuple(one.shape) for name, one in predictor.state.values.items()}
        assert shapes == {"w": (ways, 4 + FEATURES), "b": (ways,), "scale": (2,)}
        assert predictor(torch.randn(2, FEATURES)).shape == (2, ways)


def test_errors():
    for arguments, text in (
        ({"hidden": -1}, r"`hidden`: expected 0 or more, got -1\. 0 is a linear classifier"),
        ({"rank": 0}, r"`rank`: expected 1 or more, got 0"),
    ):
        with pytest.raises(ArgumentError, match=text):
            a_learner(**arguments)
    with pytest.raises(LabelError, match=r"`support\.y`: expected class labels"):
        a_learner().adapt(qs.Examples(torch.randn(4, FEATURES), torch.randn(4, 1)))
    with pytest.raises(ShapeError, match=r"`features`: expected an embedding of shape \(examples, 5\), got \(2, 7\)"):
        a_learner().adapt(qs.Examples(torch.randn(2, 7), torch.arange(2)))
