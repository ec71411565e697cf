"""executor="auto" wherever an executor is taken: what an error says is accepted, is."""

import functools
import re

import pytest
import torch
from tests.meta.executors.networks import assert_same, dense, episodes
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError
from quickstudy.meta.executors import Compiled, Loop, Threads, Vmap, auto
from quickstudy.meta.executors.auto import choose_for_one
from quickstudy.meta.problem import Problem


def learner():
    return qs.MAML(dense().double(), inner_lr=0.3)


class Tasks(qs.tasks.GaussianClasses):
    """In float64."""

    def __init__(self):
        super().__init__(ways=3, dim=8, shots=2, queries=3)


FEW = {"estimators": {"FirstOrder": qs.FirstOrder()}}
ENTRIES = {
    "meta_gradient": lambda executor: qs.meta_gradient(learner(), episodes(), executor=executor),
    "meta_train": lambda executor: qs.meta_train(
        learner(), Tasks(), steps=1, tasks_per_step=2, validation_episodes=2, executor=executor
    ),
    "evaluate": lambda executor: qs.evaluate(learner(), Tasks().test, 4, executor=executor),
    "diagnose": lambda executor: qs.diagnose(learner(), Tasks(), batches=2, tasks_per_batch=2, executor=executor, **FEW),
}


@pytest.mark.wrong_types
@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
@pytest.mark.parametrize("name", ENTRIES)
def test_what_the_error_lists_is_accepted(name, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    torch.set_num_threads(2)  # with one, `threads` does not serve
    for wrong in ("fastest", None, Vmap):
        with pytest.raises(ArgumentError, match="`executor`: expected") as caught:
            ENTRIES[name](wrong)
    listed = re.findall(r"'(\w+)'", caught.value.expected)
    assert "auto" in listed
    for executor in listed:
        ENTRIES[name](executor)
    for executor in (Loop(), Vmap()):
        ENTRIES[name](executor)


def chosen(learner, n, monkeypatch, seconds=1.0, estimator=None):
    """What is chosen for one gradient over n tasks that take the loop `seconds` together."""
    monkeypatch.setattr(auto, "_seconds", lambda function, patience, most=7: seconds / n)
    problem = Problem(learner, estimator or qs.Backprop())
    return choose_for_one(problem, episodes(n), torch.zeros(n, dtype=torch.int64))


def test_one_gradient_is_chosen_for_by_rule(monkeypatch):
    torch.set_num_threads(2)
    conv = qs.MAML(
        nn.Sequential(nn.Unflatten(1, (1, 2, 4)), nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(16, 3)).double()
    )
    assert isinstance(chosen(learner(), 10, monkeypatch, seconds=0.1).executor, Loop)
    assert isinstance(chosen(learner(), 10, monkeypatch).executor, Vmap)
    assert isinstance(chosen(conv, 10, monkeypatch).executor, Threads)
    few = chosen(learner(), 4, monkeypatch)
    assert isinstance(few.executor, Threads)
    assert "vmap: 4 tasks are too few" in few.why
    torch.set_num_threads(1)
    assert isinstance(chosen(conv, 10, monkeypatch).executor, Vmap)


class Reads(nn.Linear):
    """Looks at a number, which vmap does not let it."""

    def forward(self, x):
        return super().forward(x) + 0 * float(x.sum())


def test_what_vmap_cannot_serve_goes_to_the_loop(monkeypatch):
    reads = qs.MAML(Reads(8, 3).double(), inner_lr=0.3)
    found = chosen(reads, 10, monkeypatch)
    assert isinstance(found.executor, Loop)
    assert "vmap: torch refuses" in found.why
    assert_same(qs.meta_gradient(reads, episodes(10), executor="auto")[1], qs.meta_gradient(reads, episodes(10))[1])
    rows = qs.diagnose(reads, Tasks(), batches=2, tasks_per_batch=2, **FEW).estimators
    assert rows


def test_a_single_gradient_is_not_timed_for_longer_than_it_takes(monkeypatch):
    """Counted in tasks that the loop runs: two, to see what one takes, and then the batch."""
    ran = []
    gradient = Loop.gradient
    monkeypatch.setattr(
        Loop, "gradient", lambda self, problem, batch, seeds: ran.append(len(batch)) or gradient(self, problem, batch, seeds)
    )
    monkeypatch.setattr(Compiled, "gradient", None)
    qs.meta_gradient(learner(), episodes(5), executor="auto")
    assert ran == [1, 1, 5]


def test_an_estimator_that_needs_values_only(monkeypatch):
    estimator = qs.Evolution(4)
    assert isinstance(chosen(learner(), 3, monkeypatch, estimator=estimator).executor, Loop | Vmap)
    _, got = qs.meta_gradient(learner_ := learner(), episodes(), estimator=estimator, executor="auto")
    assert_same(got, qs.meta_gradient(learner_, episodes(), estimator=estimator)[1], 1e-8)
