"""What spawn, joblib and pools send to another process by pickle answers there, to the last bit, as it does here."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import quickstudy as qs
from quickstudy import errors, testing
from quickstudy.meta.executors import Compiled, Loop, Threads, Vmap
from tests.checks.every import CASES, each

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

TASKS = {
    "GaussianClasses": lambda: qs.tasks.GaussianClasses(ways=3, dim=4),
    "Sinusoid": lambda: qs.tasks.Sinusoid(),
    "Streams": lambda: qs.tasks.Streams(torch.randn(400, 4), torch.arange(400) % 3, batch=16, window=5, queries=20),
    "from_arrays": lambda: qs.tasks.from_arrays(np.random.default_rng(0).normal(size=(480, 4)), np.arange(480) % 24, ways=2),
    "TabularPrior": lambda: qs.tasks.TabularPrior(),
}
EXECUTORS = {"loop": Loop, "threads": lambda: Threads(2), "vmap": Vmap, "compiled": lambda: Compiled(3)}


def sent(value):
    return pickle.loads(pickle.dumps(value))


def answer(predictor, x):
    return predictor(x)


def fails(support):
    qs.Prototypical(torch.nn.Linear(9, 2)).adapt(support)


@pytest.fixture(scope="module")
def spawned():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", each(name for name in CASES if "own loss" not in name))
def test_learners_and_predictors(name):
    """All but the one whose loss is a lambda of the user's, which pickle refuses."""
    learner, episode = CASES[name]()
    predictor = learner.adapt(episode.support)
    want = predictor(episode.query.x)
    assert torch.equal(sent(predictor)(episode.query.x), want)
    assert torch.equal(sent(learner).adapt(episode.support)(episode.query.x), want)
    assert sent(learner).arguments.keys() == learner.arguments.keys()


@pytest.mark.parametrize("name", ["learners: MAML", "learners: Ridge", "learners_remember: SNAIL", "learners: Ensemble"])
def test_a_predictor_in_a_spawned_process(name, spawned):
    learner, episode = CASES[name]()
    predictor = learner.adapt(episode.support)
    torch.set_num_threads(1)
    found = spawned.submit(answer, predictor, episode.query.x).result(timeout=200)
    assert torch.equal(found, predictor(episode.query.x))


@pytest.mark.parametrize("again", [sent, copy.deepcopy])
@pytest.mark.parametrize("name", EXECUTORS)
def test_executors_that_were_used(name, again):
    """Threads and graphs stay behind, settings go along."""
    executor = EXECUTORS[name]()
    learner, batch = qs.MAML(qs.models.mlp(4, 3)), qs.tasks.GaussianClasses(ways=3, dim=4).train.sample(2)
    if name == "compiled":
        executor._graphs.append(lambda: "machine code")
    else:
        want = qs.meta_gradient(learner, batch, executor=executor)[0]
        assert torch.equal(qs.meta_gradient(learner, batch, executor=again(executor))[0], want)
    assert again(executor).settings() == executor.settings()


@pytest.mark.parametrize("name", TASKS)
def test_tasks(name):
    tasks = TASKS[name]()
    for part in ("train", "validation", "test"):
        one, other = (
            getattr(family, part).sample(2, generator=torch.Generator().manual_seed(0)) for family in (tasks, sent(tasks))
        )
        assert torch.equal(one.query.x, other.query.x)
        assert torch.equal(one.support.y, other.support.y)


def test_estimators():
    classifier = qs.FewShotClassifier().fit(np.eye(6), np.arange(6) % 3)
    assert np.array_equal(sent(classifier).predict_proba(np.eye(6)), classifier.predict_proba(np.eye(6)))
    regressor = qs.FewShotRegressor().fit(np.eye(6), np.arange(6.0))
    assert np.array_equal(sent(regressor).predict(np.eye(6)), regressor.predict(np.eye(6)))


ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.QuickstudyError)]


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("again", [sent, copy.deepcopy])
def test_errors(kind, again):
    """An error that pickle cannot make again ends a pool of processes, or lets it wait for ever."""
    parts = {"expected": "one", "got": "two", "do": "Take one.", **({"residual": 0.5} if kind is errors.ConvergenceError else {})}
    error = kind("argument", **parts)
    assert type(again(error)) is kind
    assert str(again(error)) == str(error) == "`argument`: expected one, got two. Take one."
    assert vars(again(error)) == {"argument": "argument", **parts}


def test_the_error_of_a_check():
    error = testing.ConformanceError("answer", qs.NearestCentroid(), "it answers nothing", "Answer.")
    assert (str(sent(error)), sent(error).check) == (str(error), "answer")


def test_an_error_comes_back_from_a_spawned_process(spawned):
    job = spawned.submit(fails, qs.Examples(torch.randn(6, 4), torch.arange(6) % 3))
    with pytest.raises(errors.ShapeError, match=r"`support\.x`: expected examples of the shape"):
        job.result(timeout=200)
    assert spawned.submit(abs, -1).result(timeout=200) == 1  # the pool lives on


class Adapted(IterableDataset):
    """What one predictor answers for tasks that the worker draws."""

    def __init__(self, learner, tasks):
        self.learner, self.tasks = learner, tasks

    def __iter__(self):
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):
            task = self.tasks.sample(1, generator=generator)[0]
            yield self.learner.adapt(task.support)(task.query.x)


@pytest.mark.parametrize("context", multiprocessing.get_all_start_methods())
def test_workers_of_a_data_loader(context):
    torch.set_num_threads(1)
    data = Adapted(qs.MAML(qs.models.mlp(4, 3)), qs.tasks.GaussianClasses(ways=3, dim=4).test)
    list(Threads(2).map(lambda learner, task: learner(task.support, task.query.x), data.learner, data.tasks.sample(4)))
    found = list(DataLoader(data, batch_size=None, num_workers=1, multiprocessing_context=context, timeout=100))
    assert len(found) == 3
    assert all(torch.equal(one, other) for one, other in zip(found, data, strict=True))


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_scikit_learn_with_jobs(backend):
    """Each fold in a process of its own, after threads were used here."""
    import joblib
    from sklearn.model_selection import cross_val_score

    generator = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = generator.normal(size=(60, 4)) + y[:, None]
    want = cross_val_score(qs.FewShotClassifier(), X, y, cv=4)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        found = cross_val_score(qs.FewShotClassifier(), X, y, cv=4)
    assert np.array_equal(found, want)
