"""The laws on the learners that compare; and what the law of executors leaves open: that vmap and threads serve them all."""

import pytest
import torch
from tests.executors.networks import assert_same
from tests.laws.learners_compare import CASES, OWN, OWN_MODELS
from torch.func import functional_call, grad, vmap

import quickstudy as qs
from quickstudy import testing
from quickstudy.episode import stack
from quickstudy.meta.estimator import Backprop
from quickstudy.meta.executors import Threads
from quickstudy.meta.problem import Problem


@pytest.fixture(autouse=True)
def _storable(monkeypatch):
    """What a saved learner may name, whether or not the package exports it yet."""
    for space, names in ((qs, OWN), (qs.models, OWN_MODELS)):
        for one in names:
            monkeypatch.setattr(space, one.__name__, one, raising=False)


def in_double(name):
    learner, episode = CASES[name]()
    double = lambda leaf: leaf.double() if leaf.is_floating_point() else leaf
    other = qs.Episode(*(part.map(lambda leaf: 0.7 * leaf if leaf.is_floating_point() else leaf) for part in _parts(episode)))
    return learner.double(), stack([episode.map(double), other.map(double)])


def _parts(episode):
    return episode.support, episode.query


@pytest.mark.parametrize("law", testing.LAWS, ids=lambda law: law.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", CASES)
def test_law(name, law):
    learner, episode = CASES[name]()
    law(learner, episode)


@pytest.mark.parametrize("name", CASES)
def test_executors_serve_and_equal_the_loop(name):
    learner, episodes = in_double(name)
    loss, want = qs.meta_gradient(learner, episodes, seed=3)
    for executor in (Threads(2), "vmap"):
        other_loss, got = qs.meta_gradient(learner, episodes, executor=executor, seed=3)
        torch.testing.assert_close(other_loss, loss, rtol=1e-11, atol=1e-12)
        assert_same(got, want)


@pytest.mark.parametrize("name", [name for name in CASES if "," not in name or "full context" in name or "support" in name])
def test_second_derivatives_under_vmap(name):
    """The gradient of the squared length of the gradient, through the loss of each of two tasks: vmapped as in a loop."""
    learner, episodes = in_double(name)
    problem = Problem(learner, Backprop())
    phi, buffers = problem.phi(), problem.buffers_by_name()
    seeds = torch.tensor([5, 6])

    def length(phi, episode, seed):
        def loss(phi):  # of phi alone: torch.func.grad would wrap the labels too, and one_hot then asks for their values
            own = {key: buffer.clone() for key, buffer in buffers.items()}
            return functional_call(problem, {**phi, **own}, (episode, seed))[0]

        return sum((g**2).sum() for g in grad(loss)(phi).values())

    def slopes(phi, episode, seed):
        return grad(lambda phi: length(phi, episode, seed))(phi)

    phi = {key: parameter.detach() for key, parameter in phi.items()}
    mapped = vmap(slopes, (None, 0, 0))(phi, episodes, seeds)
    for t in range(2):
        assert_same({key: one[t] for key, one in mapped.items()}, slopes(phi, episodes[t], seeds[t]))
