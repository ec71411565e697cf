"""evaluate and compare: the interval covers, the tasks are the same for everyone, the protocol says what was done."""

import math
import subprocess
import sys
import types

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError, NotFiniteError, UnsupportedError
from quickstudy.evaluation import evaluate as evaluate_module
from quickstudy.evaluation.evaluate import interval

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

GAUSSIAN = {"ways": 3, "dim": 6, "separation": 2.0, "shots": 1, "queries": 10}


class Oracle(nn.Module):
    """Accuracy of the classifier that knows the class means: its expectation is the Bayes accuracy."""

    @staticmethod
    def scores(tasks, episodes, seed):
        batch, truth = tasks.sample_with_truth(episodes, generator=torch.Generator().manual_seed(seed))
        nearest = torch.cdist(batch.query.x, truth["means"]).argmin(-1)
        return (nearest == batch.query.y).double().mean(1).tolist()


def test_the_interval_covers_the_bayes_accuracy_95_times_in_100():
    tasks = qs.tasks.GaussianClasses(**GAUSSIAN).test
    exact = qs.tasks.bayes_accuracy(3, 2.0)
    covered = wide = 0
    for seed in range(300):
        scores = Oracle.scores(tasks, 60, seed)
        mean, ci95 = interval(scores)
        covered += abs(mean - exact) <= ci95
        wide += abs(mean - exact) <= ci95 / 3  # the control: a third of the interval must under-cover
    assert 0.91 <= covered / 300 <= 0.985
    assert wide / 300 < 0.7


def test_the_mean_and_the_interval_are_those_of_the_scores():
    result = qs.evaluate(qs.NearestCentroid(), qs.tasks.GaussianClasses(**GAUSSIAN).test, 50, seed=3)
    scores = torch.tensor(result.per_episode, dtype=torch.float64)
    assert len(scores) == 50
    assert result.mean == pytest.approx(float(scores.mean()))
    assert result.ci95 == pytest.approx(1.96 * float(scores.std()) / math.sqrt(50))
    assert result.protocol["ways"] == 3
    assert result.protocol["normalisation"] == "running"
    assert result.protocol["seed"] == 3
    assert "accuracy" in str(result)
    assert "not transductive" in str(result)


def test_the_same_seed_is_the_same_tasks_whatever_the_executor():
    learner, tasks = qs.NearestCentroid(), qs.tasks.GaussianClasses(**GAUSSIAN).test
    reference = qs.evaluate(learner, tasks, 45, executor="loop").per_episode
    for executor in ("threads", "vmap", "auto"):
        assert qs.evaluate(learner, tasks, 45, executor=executor).per_episode == pytest.approx(reference)
    assert qs.evaluate(learner, tasks, 45, seed=1).per_episode != reference


def test_more_inner_steps_at_test():
    learner, tasks = qs.MAML(qs.models.mlp(), inner_lr=0.02), qs.tasks.Sinusoid().test
    errors = [qs.evaluate(learner, tasks, 40, steps=steps).mean for steps in (0, 1, 10)]
    assert errors[0] > errors[1] > errors[2]
    assert qs.evaluate(learner, tasks, 40).mean == pytest.approx(errors[1])


def test_random_labels_give_chance():
    class Shuffled:
        def __init__(self, tasks):
            self.tasks, self.protocol = tasks, tasks.protocol

        def sample(self, n, *, generator=None):
            batch = self.tasks.sample(n, generator=generator)
            batch.query.y = torch.randint(3, batch.query.y.shape, generator=generator)
            return batch

    tasks = qs.tasks.GaussianClasses(**GAUSSIAN).test
    honest, chance = (qs.evaluate(qs.NearestCentroid(), one, 200) for one in (tasks, Shuffled(tasks)))
    assert abs(chance.mean - 1 / 3) < 3 * chance.ci95
    assert honest.mean > 0.6


def test_compare_pairs_the_same_tasks():
    learners = [qs.NearestCentroid(), qs.NearestCentroid(nn.Linear(6, 1))]
    both = qs.compare(learners, qs.tasks.GaussianClasses(**GAUSSIAN).test, 60)
    first, other = (torch.tensor(one.per_episode, dtype=torch.float64) for one in both.evaluations)
    difference = both.differences[0]
    assert difference.mean == pytest.approx(float((first - other).mean()))
    assert difference.ci95 == pytest.approx(1.96 * float((first - other).std()) / math.sqrt(60))
    assert "(paired)" in str(both)


def test_bad_arguments():
    learner, tasks = qs.NearestCentroid(), qs.tasks.GaussianClasses(**GAUSSIAN).test
    with pytest.raises(ArgumentError, match="`episodes`: expected 2 or more, got 1"):
        qs.evaluate(learner, tasks, 1)
    with pytest.raises(UnsupportedError, match="`steps`: expected a learner that takes inner steps, got NearestCentroid"):
        qs.evaluate(learner, tasks, 5, steps=3)
    with pytest.raises(ArgumentError, match="`learners`: expected two or more, got 1"):
        qs.compare([learner], tasks)


def test_a_prediction_that_is_not_finite():
    broken = qs.MAML(qs.models.mlp(), inner_lr=1e30, inner_steps=5)
    with pytest.raises(NotFiniteError, match="`inner_lr`: expected an inner loop that stays finite, got NaN or infinity in"):
        qs.evaluate(broken, qs.tasks.Sinusoid().test, 5, executor="loop")


WITHOUT_RESOURCE = """
import sys
sys.modules["resource"] = None  # as on Windows
import quickstudy as qs
print(qs.evaluate(qs.NearestCentroid(), qs.tasks.GaussianClasses(ways=3, dim=6).test, 4).peak_mb)
"""


def test_peak_memory_is_none_where_the_system_does_not_say():
    done = subprocess.run([sys.executable, "-c", WITHOUT_RESOURCE], capture_output=True, text=True, check=False)
    assert done.stdout.strip() in ("None", "0.0"), done.stderr  # an accelerator's is known without
    assert (done.stdout.strip() == "None") != torch.cuda.is_available()


@pytest.mark.parametrize(("system", "unit"), [("linux", 2**10), ("darwin", 1)])
def test_the_unit_of_peak_memory_is_that_of_the_system(system, unit, monkeypatch):
    """ru_maxrss: KiB on Linux, bytes on macOS."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "platform", system)
    used = types.SimpleNamespace(ru_maxrss=3 * 2**20)
    monkeypatch.setitem(sys.modules, "resource", types.SimpleNamespace(getrusage=lambda who: used, RUSAGE_SELF=0))
    assert evaluate_module.peak_mb() == 3 * unit
