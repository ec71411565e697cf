"""qs.optim.Learned: a meta-trained rule as an optimizer of torch."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.bilevel.learned_mlp_rule import MLPRule
from quickstudy.learners.bilevel.learned_momentum import LearnedMomentum
from quickstudy.learners.bilevel.learned_rule import LSTMRule
from quickstudy.learners.bilevel.learned_training import LearnedTraining
from quickstudy.learners.descend import Adam
from quickstudy.optim import Learned

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py


@pytest.fixture(autouse=True)
def _settings(float64):
    torch.set_num_threads(1)


def network():
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


def examples():
    return qs.Examples(torch.randn(8, 5), torch.arange(8) % 3, 3)


def set_to(net, theta):
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(theta[name])


def train(net, optimizer, batches):
    for batch in batches:
        optimizer.zero_grad()
        F.cross_entropy(net(batch.x), batch.y).backward()
        optimizer.step()


NAMES = [name for name, _ in network().named_parameters()]
RULES = {
    "LSTM": lambda: LSTMRule(6),
    "MLP": lambda: MLPRule(6),
    "momentum": lambda: LearnedMomentum(lr=0.3, momentum=0.8),
    "momentum of each tensor": lambda: LearnedMomentum(NAMES, lr=0.3, momentum=0.8),
}


@pytest.mark.parametrize("name", RULES)
def test_it_takes_the_steps_of_the_training_run(name, tmp_path):
    net, rule = network(), RULES[name]().double()
    run = LearnedTraining(net, rule=rule)
    run.save(tmp_path / "rule")
    state, batches = run.init(None, 0), [examples() for _ in range(6)]
    set_to(net, state["theta"])
    train(net, Learned.load(tmp_path / "rule", net.named_parameters()), batches)
    with torch.no_grad():
        for batch in batches:
            state = run.step(state, batch)
    for own, p in net.named_parameters():
        torch.testing.assert_close(p.detach(), state["theta"][own], rtol=1e-11, atol=1e-13)
    first = run.init(None, 0)["theta"]
    assert all((first[own] - p.detach()).abs().max() > 1e-5 for own, p in net.named_parameters())


def test_the_student_of_meta_training_is_not_needed(tmp_path):
    """The learner was trained on a foreign network, which `load` would ask for; the optimizer does not."""
    LearnedTraining(network(), rule=LSTMRule(6)).save(tmp_path)
    with pytest.raises(errors.CheckpointError, match="network="):
        qs.load(tmp_path)
    other = nn.Conv2d(2, 3, 3)
    before = other.weight.detach().clone()
    optimizer = Learned.load(tmp_path, other.parameters())
    other(torch.randn(1, 2, 4, 4)).sum().backward()
    optimizer.step()
    assert not torch.equal(other.weight, before)


@pytest.mark.parametrize("name", RULES)
def test_its_state_goes_through_a_state_dict(name):
    """Five steps, saved, and five more by another one: bit for bit those of an unbroken run."""
    rule, batches = RULES[name](), [examples() for _ in range(10)]
    net = network()
    whole, broken = copy.deepcopy(net), copy.deepcopy(net)
    train(whole, Learned(whole.named_parameters(), rule), batches)
    optimizer = Learned(broken.named_parameters(), rule)
    train(broken, optimizer, batches[:5])
    again = Learned(broken.named_parameters(), rule)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(broken, again, batches[5:])
    assert all(torch.equal(p, other) for p, other in zip(whole.parameters(), broken.parameters(), strict=True))
    forgetful = copy.deepcopy(net)
    train(forgetful, Learned(forgetful.named_parameters(), rule), batches[:5])
    train(forgetful, Learned(forgetful.named_parameters(), rule), batches[5:])
    assert not torch.equal(next(whole.parameters()), next(forgetful.parameters()))


def test_groups_have_rates_of_their_own():
    net, rule = network(), LSTMRule(6)
    start = [p.detach().clone() for p in net.parameters()]
    full = copy.deepcopy(net)
    groups = [{"params": net[0].parameters(), "lr": 0.5}, {"params": net[2].parameters(), "lr": 0.0}]
    batch = examples()
    train(net, Learned(groups, rule), [batch])
    train(full, Learned(full.parameters(), rule), [batch])
    for i, (p, other) in enumerate(zip(net.parameters(), full.parameters(), strict=True)):
        share = 0.5 if i < 2 else 0.0
        torch.testing.assert_close(p.detach(), start[i] + share * (other.detach() - start[i]))


def test_schedulers_closures_and_absent_gradients():
    net = network()
    net[0].bias.requires_grad_(False)
    optimizer = Learned(net.parameters(), LSTMRule(6))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    batch, before = examples(), net[0].bias.clone()

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(net(batch.x), batch.y)
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) == pytest.approx(1.1, abs=0.5)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert torch.equal(net[0].bias, before)
    assert len(optimizer.state) == 3


def test_dtypes_and_sparse_gradients():
    embedding = nn.Embedding(6, 3, sparse=True).float()
    optimizer = Learned(embedding.parameters(), LSTMRule(6))
    embedding(torch.tensor([1, 4])).sum().backward()
    optimizer.step()
    assert embedding.weight.dtype == torch.float32
    assert bool(torch.isfinite(embedding.weight).all())


def test_the_rule_is_a_copy_that_stands_still():
    rule = LSTMRule(6)
    net = network()
    optimizer = Learned(net.parameters(), rule)
    before = copy.deepcopy(net)
    with torch.no_grad():
        rule.out.weight.zero_()
        rule.out.bias.zero_()
    batch = examples()
    train(net, optimizer, [batch])
    assert not torch.equal(net[0].weight, before[0].weight)
    assert all(p.grad is None for p in rule.parameters())


def test_what_is_refused(tmp_path):
    net = network()
    with pytest.raises(errors.ArgumentError, match=r"`lr`: expected 0 or more"):
        Learned(net.parameters(), LSTMRule(4), lr=-1.0)
    with pytest.raises(errors.CheckpointError, match="expected a saved learner"):
        Learned.load(tmp_path / "nowhere", net.parameters())
    qs.Prototypical(qs.models.mlp(5, 3)).save(tmp_path / "prototypical")
    with pytest.raises(errors.CheckpointError, match=r"with a learned update rule.*got Prototypical with no rule"):
        Learned.load(tmp_path / "prototypical", net.parameters())
    LearnedTraining(qs.models.mlp(5, 3), rule=Adam()).save(tmp_path / "adam")
    with pytest.raises(errors.CheckpointError, match="got LearnedTraining with Adam"):
        Learned.load(tmp_path / "adam", net.parameters())
    optimizer = Learned(net.parameters(), LearnedMomentum(NAMES))
    with pytest.raises(errors.ArgumentError, match=r"network.named_parameters\(\)"):
        train(net, optimizer, [examples()])


@pytest.mark.wrong_types
def test_a_rule_that_is_none_is_refused():
    with pytest.raises(errors.ArgumentError, match=r"`rule`: expected an object of the class UpdateRule, got 'adam'"):
        Learned(network().parameters(), "adam")
