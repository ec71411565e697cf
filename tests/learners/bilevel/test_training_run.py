"""A training run is an ordinary learner on an episode; its student is structure and not phi."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.meta.runs import Decays, Scalar, Weighted, regression
from torch import nn

import quickstudy as qs
from quickstudy import errors, random
from quickstudy.forward.context import Context
from quickstudy.learners.bilevel.training_run import TrainingRun, hidden, initial_parameters
from quickstudy.tasks.distribution.streams import Streams
from quickstudy.testing import run_checks


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def classes():
    torch.manual_seed(0)
    draw = lambda n: qs.Examples(torch.randn(3 * n, 6), torch.arange(3).repeat(n), 3)
    return qs.Episode(draw(3), draw(2))


def targets():
    torch.manual_seed(0)
    draw = lambda n: qs.Examples(torch.randn(n, 4), torch.randn(n, 1))
    return qs.Episode(draw(7), draw(5))


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Tanh(), nn.Dropout(0.3), nn.Linear(5, 3))


@pytest.mark.parametrize("batch_size", [None, 4])
def test_checks_of_a_weighted_run(batch_size):
    assert "executors" in run_checks(Weighted(network(), batch_size=batch_size), classes())


def test_checks_of_decays():
    assert "gradient" in run_checks(Decays(), targets())


def test_phi_holds_no_student_and_the_student_follows_phi():
    run = Weighted(network())
    assert all(name.startswith("weigh.") for name, _ in run.named_parameters())
    assert not any(name.startswith("student") for name in run.state_dict())
    wide = copy.deepcopy(run).double()
    assert all(value.dtype == torch.float64 for value in wide.init(None, 0).values())
    assert next(run.student.module.parameters()).dtype == torch.float32


def test_learn_is_begin_and_steps_times_advance():
    learner, episode = Weighted(network(), steps=3), classes()
    run = learner.copied()  # whose dropout is off
    state = run.init(episode.support, 0)
    for _ in range(3):
        state = run.step(state, episode.support)
    learned = learner.copied().state(episode.support, Context()).values
    assert all(torch.equal(state[name], learned[name]) for name in state)
    assert not torch.equal(learner.copied().state(episode.support, Context(), 2).values["0.weight"], learned["0.weight"])


def test_initial_weights_are_stateless():
    """The same from the same seed, inside vmap too; others from another; within torch's bounds."""
    net = network()
    one, again, other = (initial_parameters(net, seed) for seed in (3, 3, 4))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["0.weight"], other["0.weight"])
    assert torch.equal(one["1.weight"], torch.ones(5))
    assert float(one["0.weight"].abs().max()) <= 6**-0.5
    inside = torch.func.vmap(lambda seed: initial_parameters(net, seed)["0.weight"])(torch.tensor([3, 4]))
    assert torch.equal(inside[0], one["0.weight"])
    assert torch.equal(inside[1], other["0.weight"])


def test_every_task_of_training_has_initial_weights_of_its_own():
    run, episode = Weighted(network(), steps=0), classes()
    from quickstudy.episode import stack
    from quickstudy.meta.estimators.backprop import Backprop
    from quickstudy.meta.executors import Loop
    from quickstudy.meta.problem import Problem

    answer = Loop().gradient(Problem(run, Backprop()), stack([episode, episode]), torch.tensor([1, 2]))
    assert float(answer.losses[0]) != float(answer.losses[1])


def test_stateless_numbers_have_their_distribution():
    uniform, normal = random.stateless_uniform(5, (20000,)), random.stateless_normal(5, (20000,))
    assert abs(float(uniform.mean()) - 0.5) < 0.01
    assert abs(float(uniform.var()) - 1 / 12) < 0.003
    assert abs(float(normal.mean())) < 0.025
    assert abs(float(normal.std()) - 1) < 0.02
    streams = torch.stack([random.stateless_normal(5, (20000,), stream=k) for k in range(3)])
    assert float((torch.corrcoef(streams) - torch.eye(3)).abs().max()) < 0.03
    assert sorted(random.stateless_order(7, 10).tolist()) == list(range(10))
    assert random.stateless_seed(1, 2) != random.stateless_seed(1, 3)


def test_what_a_run_refuses():
    with pytest.raises(errors.ArgumentError, match=r"`steps`: expected 0 or more steps, got -1"):
        Scalar(steps=-1)
    with pytest.raises(errors.ArgumentError, match=r"`batch_size`: expected 1 or more, got 0"):
        Weighted(network(), batch_size=0)
    with pytest.raises(errors.UnsupportedError, match=r"`network`: expected a student without batch norm.*nn\.GroupNorm"):
        hidden(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    with pytest.raises(errors.UnsupportedError, match=r"`TrainingRun`: expected a training run that defines init"):
        TrainingRun(steps=1).adapt(targets().support)


# ---- streams -----------------------------------------------------------------------------------------------------------


def test_shapes_of_a_stream():
    tasks = Streams(*regression(), batch=6, window=5, outer_batch=3)
    episode = tasks.train.sample(2, generator=torch.Generator().manual_seed(0))
    assert tuple(episode.support.x.shape) == (2, 5, 6, 4)
    assert tuple(episode.query.y.shape) == (2, 5, 3, 1)
    assert tasks.train.with_(window=2).sample(2).support.x.shape[1] == 2
    assert tasks.train.protocol == {"ways": None, "shots": 6, "queries": 3, "window": 5}
    plain = tasks.test.sample(2)
    assert tuple(plain.support.x.shape) == (2, len(tasks.test.inner), 4)


def test_labels_and_splits():
    x, y = torch.arange(80.0)[:, None], torch.arange(80) % 4
    tasks = Streams(x, y, batch=8, window=2)
    episode = tasks.train.sample(3)
    assert episode.support.ways == 4
    assert torch.equal(episode.support.x[..., 0].long() % 4, episode.support.y)
    pools = [tasks.train.inner, tasks.train.outer, tasks.validation.outer, tasks.test.outer]
    seen = [set(pool.x[:, 0].tolist()) for pool in pools]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 80


def test_a_run_keeps_its_variant():
    """Run 5 sees the same permutation of the labels in every window, and on both sides; run 6 another."""

    def permuted(examples, generator):
        order = torch.randperm(4, generator=generator)
        return qs.Examples(examples.x, order[examples.y], 4)

    x, y = (torch.arange(400.0) % 4)[:, None], torch.arange(400) % 4
    tasks = Streams(x, y, batch=40, window=1, variant=permuted).train
    found = []
    for run in (5, 5, 6, 7):
        episode = tasks.sample(1, runs=torch.tensor([run]))
        both = [
            {(int(a), int(b)) for a, b in zip(p.x.flatten(), p.y.flatten(), strict=True)}
            for p in (episode.support, episode.query)
        ]
        assert both[0] == both[1]
        found.append(tuple(sorted(both[0])))
    assert found[0] == found[1]
    assert len(set(found)) > 1


def test_what_streams_refuse():
    x, y = regression(8)
    with pytest.raises(errors.TaskError, match=r"`validation, test`: expected shares that leave"):
        Streams(x, y, validation=0.1)
    with pytest.raises(errors.ArgumentError, match=r"`window`: expected 1 or more, got 0"):
        Streams(*regression(), window=0)
    with pytest.raises(errors.TaskError, match=r"`shots`: expected 1 to \d+ examples"):
        Streams(*regression(), shots=1000)
