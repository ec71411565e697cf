"""Joint training: the query gradient at phi itself, whatever the executor, and then descent."""

import pytest
import torch
import torch.nn.functional as F
from tests.learners.transfer.classes import blobs

import quickstudy as qs
from quickstudy.errors import UnsupportedError
from quickstudy.learners.transfer.nearest_centroid import NearestCentroid
from quickstudy.meta.estimators.pretraining import Joint
from quickstudy.recipes.joint_training import JointTraining


@pytest.mark.parametrize("executor", ["loop", "vmap", "threads"])
def test_gradient_is_that_of_the_queries_at_phi(executor):
    if executor == "threads":
        torch.set_num_threads(2)
    network = qs.models.mlp(30, 5, (8,))
    learner = JointTraining(network, inner_lr=0.1, inner_steps=3)
    episodes = blobs().sample(4, generator=torch.Generator().manual_seed(1))
    loss, gradient = qs.meta_gradient(learner, episodes, estimator=learner.outer.estimator, executor=executor)
    x, y = episodes.query.x.flatten(0, 1), episodes.query.y.flatten()  # tasks of one size: the mean of means is the mean
    want = F.cross_entropy(network(x), y)
    torch.testing.assert_close(loss, want.detach())
    found = torch.autograd.grad(want, list(network.parameters()))
    for (name, _), one in zip(network.named_parameters(), found, strict=True):
        torch.testing.assert_close(gradient[f"network.{name}"], one)
    _, adapted = qs.meta_gradient(learner, episodes)
    assert (adapted["network.head.weight"] - gradient["network.head.weight"]).abs().max() > 1e-3  # control: after the descent


def test_learns_what_tasks_share_and_descends_from_it():
    """Lines y = 2 x + c, c = +-1: joint training finds the common slope and the mean offset 0, the descent finds c."""
    network = torch.nn.Linear(1, 1)
    learner = JointTraining(network, inner_lr=0.2, inner_steps=10, adapts="bias")
    qs.meta_train(learner, Lines(), steps=60, tasks_per_step=8, executor="vmap", progress=False, outer=sgd())
    assert network.weight.item() == pytest.approx(2, abs=0.1)
    assert network.bias.item() == pytest.approx(0, abs=0.4)
    before, after = (qs.evaluate(learner, Lines(), 20, steps=steps, executor="vmap").mean for steps in (0, 10))
    assert after < 0.05 * before


def test_refuses_a_learner_without_steps():
    with pytest.raises(UnsupportedError, match=r"`estimator`: expected one that serves NearestCentroid.*Use Backprop\(\)"):
        Joint().check(NearestCentroid())


def sgd():
    return qs.Gradient(Joint(), lambda parameters: torch.optim.SGD(parameters, lr=0.2))


class Lines(qs.tasks.TaskDistribution):
    protocol = {"ways": None, "shots": 10, "queries": 10}

    def sample(self, n, *, generator=None):
        offset = torch.where(torch.rand(n, 1, 1, generator=generator) < 0.5, -1.0, 1.0).double()

        def part():
            x = 2 * torch.rand(n, 10, 1, generator=generator) - 1
            return qs.Examples(x, 2 * x + offset)

        return qs.Episode(part(), part())

    def examples(self):
        raise AssertionError("joint training draws tasks")

    def check_protocol(self):
        pass

    def to(self, _):
        return self
