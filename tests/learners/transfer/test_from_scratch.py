"""From scratch: torch's own Adam by hand, and untouched by whatever else is trained."""

import copy

import pytest
import torch
import torch.nn.functional as F
from tests.learners.transfer.classes import blobs, episode

import quickstudy as qs
from quickstudy.learners.transfer.from_scratch import FromScratch

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py


def by_hand(network, support, x, steps, optimizer=torch.optim.Adam):
    network = copy.deepcopy(network)
    descending = optimizer(network.parameters(), lr=0.01)
    for _ in range(steps):
        descending.zero_grad()
        F.cross_entropy(network(support.x), support.y).backward()
        descending.step()
    return network(x).detach()


def test_equals_training_with_torch_adam():
    task, network = episode(), qs.models.mlp(30, 3, (16,))
    got = FromScratch(network, inner_lr=0.01, inner_steps=20).adapt(task.support)(task.query.x)
    torch.testing.assert_close(got, by_hand(network, task.support, task.query.x, 20), rtol=1e-9, atol=1e-9)
    for steps, rule in ((19, torch.optim.Adam), (20, torch.optim.SGD)):
        other = by_hand(network, task.support, task.query.x, steps, rule)
        assert (got - other).abs().max() > 1e-3  # control: a step fewer, another rule


def test_targets_are_learned_too():
    x = torch.linspace(-1, 1, 8)[:, None]
    learner = FromScratch(qs.models.mlp(1, 1, (32,)), inner_lr=0.02, inner_steps=200)
    before = F.mse_loss(learner.descent.network(x), 2 * x + 1).item()
    assert F.mse_loss(learner.adapt(qs.Examples(x, 2 * x + 1))(x), 2 * x + 1).item() < 0.01 * before


def test_meta_training_leaves_it_as_it_was():
    tasks, task, network = blobs(ways=3, queries=4), episode(), qs.models.mlp(30, 3, (16,))
    scratch, maml = FromScratch(network, inner_steps=5), qs.MAML(network, inner_lr=0.01)
    answers = [learner.adapt(task.support)(task.query.x) for learner in (scratch, maml)]
    run = qs.meta_train(scratch, tasks, steps=3, tasks_per_step=2, executor="loop", progress=False)
    qs.meta_train(maml, tasks, steps=3, tasks_per_step=2, executor="loop", progress=False)
    assert run.history == []
    assert torch.equal(scratch.adapt(task.support)(task.query.x), answers[0])
    assert not torch.allclose(maml.adapt(task.support)(task.query.x), answers[1])  # control: the same module was trained
