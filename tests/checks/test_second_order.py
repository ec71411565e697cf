"""What the checks leave open: the second derivative under vmap of every learner that compares, against one task after another."""

import pytest
import torch
from tests.checks.learners_compare import CASES
from tests.meta.executors.networks import assert_same
from torch.func import grad, vmap

import quickstudy as qs
from quickstudy.episode import stack
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.problem import Problem


def in_double(name):
    learner, episode = CASES[name]()
    double = lambda leaf: leaf.double() if leaf.is_floating_point() else leaf
    other = qs.Episode(*(part.map(lambda leaf: 0.7 * leaf if leaf.is_floating_point() else leaf) for part in _parts(episode)))
    return learner.double(), stack([episode.map(double), other.map(double)])


def _parts(episode):
    return episode.support, episode.query


@pytest.mark.parametrize("name", [name for name in CASES if "," not in name or "full context" in name or "support" in name])
def test_second_derivatives_under_vmap(name):
    """The gradient of the squared length of the gradient, through the loss of each of two tasks: vmapped as in a loop."""
    learner, episodes = in_double(name)
    problem = Problem(learner, Backprop())
    phi, f = problem.phi(), problem.function()
    seeds = torch.tensor([5, 6])

    def length(phi, episode, seed):
        def loss(phi):  # of phi alone: torch.func.grad would wrap the labels too, and one_hot then asks for their values
            return f(phi, {}, episode, seed).loss

        return sum((g**2).sum() for g in grad(loss)(phi).values())

    def slopes(phi, episode, seed):
        return grad(lambda phi: length(phi, episode, seed))(phi)

    phi = {key: parameter.detach() for key, parameter in phi.items()}
    mapped = vmap(slopes, (None, 0, 0))(phi, episodes, seeds)
    for t in range(2):
        assert_same({key: one[t] for key, one in mapped.items()}, slopes(phi, episodes[t], seeds[t]))
