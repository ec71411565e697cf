"""Nothing of the user's module is written to, and graphs are kept where they are asked for and nowhere else."""

import copy

import pytest
import torch
from tests.meta.executors.networks import episodes, network_named
from torch import nn

import quickstudy as qs
from quickstudy.meta.executors import Threads


def snapshot(module):
    return (
        {name: tensor.clone() for name, tensor in module.state_dict().items()},
        [(name, part.training) for name, part in module.named_modules()],
        {name: id(parameter) for name, parameter in module.named_parameters()},
        {name: id(buffer) for name, buffer in module.named_buffers()},
    )


def assert_untouched(module, before):
    after = snapshot(module)
    assert all(torch.equal(before[0][name], tensor) for name, tensor in after[0].items())
    assert after[1:] == before[1:]
    assert all(parameter.grad is None for parameter in module.parameters())


LEARNERS = {
    "MAML": lambda network, policy: qs.MAML(network, inner_lr=0.3, inner_steps=2, normalisation=policy),
    "iMAML": lambda network, policy: qs.IMAML(network, inner_lr=0.05, inner_steps=2, proximal_weight=20.0, normalisation=policy),
    "Prototypical": lambda network, policy: qs.Prototypical(network, normalisation=policy),
}


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("policy", ["support", "running", "transductive", "frozen"])
@pytest.mark.parametrize("name", LEARNERS)
def test_the_users_module(name, policy, mode):
    """adapt, predict, forward, loss, save's state and every executor: weights, running averages, num_batches_tracked, flags."""
    network = network_named("conv, batch norm").train(mode)
    before, batch = snapshot(network), episodes()
    learner = LEARNERS[name](network, policy)
    episode = batch[0]
    learner.adapt(episode.support).predict(episode.query.x)
    learner(episode.support, episode.query.x)
    learner.loss(episode)
    for executor in ("loop", Threads(2), "vmap"):
        qs.meta_gradient(learner, batch, executor=executor)
    assert_untouched(network, before)


def test_the_control_of_it():
    """Control: a plain training forward does move num_batches_tracked and the averages."""
    network = network_named("conv, batch norm").train()
    before = snapshot(network)
    network(episodes()[0].support.x)
    with pytest.raises(AssertionError):
        assert_untouched(network, before)


class Sees(nn.Module):
    """A linear layer that notes the settings of cuDNN in whose reach it runs; beside it a recurrent one, where asked for."""

    seen = []  # of the class: what a copy notes on itself is gone with it

    def __init__(self, recurrent=False):
        super().__init__()
        self.head, self.beside = nn.Linear(8, 3), nn.GRU(8, 3) if recurrent else nn.Identity()
        self.seen.clear()

    def forward(self, x):
        cudnn = torch.backends.cudnn
        self.seen.append((cudnn.enabled, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark))
        return self.head(x)


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_users_settings_of_cudnn(recurrent, monkeypatch):
    """An executor keeps them: tf32 stays off where it was put off. It takes cuDNN itself away from recurrent networks alone."""
    cudnn = torch.backends.cudnn
    for name, value in (("allow_tf32", False), ("deterministic", True), ("benchmark", True)):
        monkeypatch.setattr(cudnn, name, value)
    network = Sees(recurrent).double()
    qs.meta_gradient(qs.MAML(network), episodes())
    assert set(network.seen) == {(not recurrent, False, True, True)}
    assert (cudnn.enabled, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark) == (True, False, True, True)


@pytest.mark.parametrize("name", LEARNERS)
def test_graphs(name):
    """adapt keeps none, whatever the caller's mode; learner(support, x) keeps one, and none under no_grad."""
    learner, episode = LEARNERS[name](network_named("plain"), "support"), episodes()[0]
    predictor = learner.adapt(episode.support)
    leaves = torch.utils._pytree.tree_leaves(predictor.state)
    assert not any(leaf.requires_grad for leaf in leaves)
    assert not predictor(episode.query.x).requires_grad
    assert learner(episode.support, episode.query.x).requires_grad
    assert learner.loss(episode).requires_grad
    with torch.no_grad():
        assert not learner(episode.support, episode.query.x).requires_grad
        torch.testing.assert_close(learner.adapt(episode.support)(episode.query.x), predictor(episode.query.x))


def test_a_predictor_without_inner_steps_is_its_own():
    """After 0 steps theta is phi: the predictor holds its value, not the parameter that the next outer step will move."""
    learner, episode = qs.MAML(network_named("plain"), inner_steps=0), episodes()[0]
    predictor = learner.adapt(episode.support)
    before = predictor(episode.query.x)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(1.0)
    torch.testing.assert_close(predictor(episode.query.x), before)


def test_a_copy_of_a_learner_is_a_learner():
    """deepcopy keeps values, ties and arguments, and shares nothing."""
    learner, episode = qs.MAML(network_named("tied, unused, frozen"), inner_lr=0.3), episodes()[0]
    twin = copy.deepcopy(learner)
    assert twin.network.second.weight is twin.network.first.weight
    assert twin.arguments["network"] is twin.network
    torch.testing.assert_close(twin(episode.support, episode.query.x), learner(episode.support, episode.query.x))
    with torch.no_grad():
        nn.utils.vector_to_parameters(torch.zeros(sum(p.numel() for p in twin.parameters())), twin.parameters())
    assert float(learner.network.first.weight.detach().abs().max()) > 0
