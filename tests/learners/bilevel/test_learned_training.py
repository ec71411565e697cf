"""Trainings whose parts are learned: the checks, the executors, several parts as one phi, and whole meta-trainings."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tests.checks.learners import classes, network
from tests.checks.learners_tune import everything, names
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.errors import UnsupportedError
from quickstudy.learners.bilevel.augmentation_policy import AugmentationPolicy
from quickstudy.learners.bilevel.example_weights import MetaWeightNet
from quickstudy.learners.bilevel.hyperparameters import Schedule, WeightDecay
from quickstudy.learners.bilevel.learned_momentum import LearnedMomentum
from quickstudy.learners.bilevel.learned_rule import LSTMRule
from quickstudy.learners.bilevel.learned_training import LearnedTraining
from quickstudy.learners.descend import LearnedRates
from quickstudy.learners.outcome import State
from quickstudy.meta.estimators import ReptileDirection
from quickstudy.meta.estimators.evolution import Evolution, PersistentEvolution
from quickstudy.meta.estimators.forward_mode import ForwardMode
from quickstudy.meta.estimators.lookahead import Lookahead
from quickstudy.optim import Learned
from quickstudy.tasks.distribution.streams import Streams


@pytest.fixture(autouse=True)
def _one_thread(_global_state):
    torch.set_num_threads(1)


# ---- several at once -----------------------------------------------------------------------------------------------------


def test_several_parts_are_one_phi_and_each_has_its_gradient():
    learner = everything().double()
    episode = classes().map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)
    _, gradient = qs.meta_gradient(learner, [episode], seed=1)
    parts = {name.split(".")[0] for name in gradient}
    assert parts == {"network", "rates", "weigh", "decays", "loss_part", "dropout"}
    for part in parts:
        assert max(float(value.abs().max()) for name, value in gradient.items() if name.startswith(part)) > 1e-8, part


def test_phi_of_a_plain_start_holds_no_student():
    run = LearnedTraining(network(), weights=MetaWeightNet(3), decay=WeightDecay(0.1))
    assert {name.split(".")[0] for name, _ in run.named_parameters()} == {"weigh", "decays"}
    assert run.adapted(State(run.init(None, 0))) is None
    learned = LearnedTraining(network(), learned_start=True)
    assert set(learned.adapted(State(learned.init(None, 0)))) == {name for name, _ in learned.named_parameters()}


def test_start_rates_and_weights_together_learn_better_than_each_alone():
    """Sixty outer steps on one kind of noisy task: the outer loss of all three is below each one's."""
    truth = torch.randn(6, 3)
    x = torch.randn(700, 6)
    clean = (x @ truth).argmax(1)
    noisy = torch.where(torch.rand(700) < 0.4, torch.randint(3, (700,)), clean)
    tasks = Streams(x[200:], noisy[200:], batch=20, window=4, outer=qs.Examples(x[:200], clean[:200], 3), outer_batch=50)
    parts = {
        "start": {"learned_start": True},
        "rates": {"inner_lr": LearnedRates(0.1, per="tensor")},
        "weights": {"weights": MetaWeightNet(8, normalised=True)},
    }
    parts["all"] = {key: value for part in list(parts.values()) for key, value in part.items()}
    losses = {}
    for name, options in parts.items():
        torch.manual_seed(1)
        run = LearnedTraining(nn.Linear(6, 3), steps=4, **options)
        outer = qs.Gradient(optimizer=partial(torch.optim.Adam, lr=0.05))
        history = qs.meta_train(
            run, tasks.train, steps=50, tasks_per_step=1, outer=outer, executor="loop", progress=False
        ).history
        losses[name] = sum(record["loss"] for record in history[-10:]) / 10
    assert losses["all"] < min(losses["start"], losses["rates"], losses["weights"])


# ---- by other outer methods ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [Lookahead(), ForwardMode(), Evolution(population=4), PersistentEvolution(population=4)],
    ids=lambda one: type(one).__name__,
)
def test_every_outer_method_serves(estimator):
    """One meta-training of three steps each; phi moves and stays finite."""
    data = classes().support
    tasks = Streams(data.x.repeat(6, 1), data.y.repeat(6), batch=4, window=1 if isinstance(estimator, Lookahead) else 2)
    run = LearnedTraining(
        network(), steps=4, rule=LearnedMomentum(names()), weights=MetaWeightNet(3), decay=WeightDecay(0.1, per="tensor")
    )
    before = {name: p.detach().clone() for name, p in run.named_parameters()}
    qs.meta_train(run, tasks.train, steps=3, tasks_per_step=2, outer=qs.Gradient(estimator), executor="vmap", progress=False)
    after = dict(run.named_parameters())
    assert any(not torch.equal(before[name], p) for name, p in after.items())
    assert all(bool(torch.isfinite(p).all()) for p in after.values())


def test_forward_mode_through_an_augmentation_is_the_backward_gradient():
    student = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    run = LearnedTraining(student, steps=2, augmentation=AugmentationPolicy(("rotate", "noise"))).double()
    draw = lambda n: qs.Examples(torch.randn(n, 1, 4, 4).double(), torch.arange(n) % 3, 3)
    episodes = [qs.Episode(draw(6), draw(6))]
    want, got = (qs.meta_gradient(run, episodes, estimator=one)[1] for one in (None, ForwardMode()))
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=1e-9, atol=1e-12)


# ---- a whole meta-training -----------------------------------------------------------------------------------------------


def test_a_rule_is_meta_trained_saved_resumed_and_used(tmp_path, monkeypatch):
    data = classes().support
    tasks = Streams(data.x.repeat(6, 1), data.y.repeat(6), batch=6, window=3, shots=5, queries=3)
    build = lambda: (torch.manual_seed(0), LearnedTraining(network(), steps=6, rule=LSTMRule(4)))[1]
    train = lambda run, steps, **options: qs.meta_train(
        run,
        tasks,
        steps=steps,
        tasks_per_step=2,
        executor="vmap",
        validate_every=2,
        validation_episodes=2,
        progress=False,
        **options,
    )
    whole = build()
    train(whole, 4)
    train(build(), 2, out=tmp_path)
    resumed = build()
    train(resumed, 4, out=tmp_path, resume=True)
    for (name, one), other in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other), name
    net = nn.Linear(3, 2)
    optimizer, before = Learned.load(tmp_path, net.parameters()), net.weight.detach().clone()
    net(torch.randn(4, 3)).square().sum().backward()
    optimizer.step()
    assert not torch.equal(net.weight, before)


def test_a_diverging_training_names_its_step():
    run = LearnedTraining(network(1), steps=200, inner_lr=1e6)
    support = qs.Examples(torch.randn(7, 6), torch.randn(7, 1))
    with pytest.raises(errors.NotFiniteError, match=r"`inner_lr`: .*NaN or infinity in `.*` after inner step \d+ of 200"):
        run.adapt(support)


def test_a_part_that_nothing_depends_on_is_named():
    """A rate whose schedule is beyond the window's steps is reached all the same; weights under a frozen loss are not."""
    data = classes().support
    tasks = Streams(data.x.repeat(6, 1), data.y.repeat(6), batch=4, window=1)
    run = LearnedTraining(network(), steps=4, inner_lr=Schedule(0.1, steps=4, knots=2), rule=LSTMRule(3))
    with pytest.raises(errors.ArgumentError, match=r"does not reach \['rates.log_rate'\]"):
        qs.meta_train(run, tasks.train, steps=1, tasks_per_step=1, executor="loop", progress=False)


def test_reptile_refuses_a_run_that_learns_no_start():
    learner = LearnedTraining(network(), steps=2, rule=LSTMRule(4))
    with pytest.raises(UnsupportedError, match=r"LearnedTraining, which adapts no parameters of its own.* Use Backprop\(\)"):
        qs.meta_gradient(learner, [classes()], estimator=ReptileDirection())
    data = classes().support
    tasks = Streams(data.x.repeat(6, 1), data.y.repeat(6), batch=6, window=3, shots=5, queries=3)
    start = LearnedTraining(network(), steps=6, learned_start=True)
    with pytest.raises(UnsupportedError, match=r"LearnedTraining, which is trained on a stream"):
        qs.meta_train(start, tasks, steps=1, tasks_per_step=2, outer=qs.Gradient(ReptileDirection()), progress=False)
