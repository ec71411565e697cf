"""One learner, eight threads that adapt and ask at once: each answer is that of one thread, the learner is untouched.

2,000 answers of every class of learner (`FEWER` of the slow ones), 250 of each thread: after each of 25 adaptations it asks ten
times, now the predictor that it has just made, now one that all threads share. `tests/checks` asks every variant of each learner
100 times.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tests.checks.every import CASES
from tests.docs.test_guides import FEATURES, LEARNERS
from torch import nn

import quickstudy as qs
from quickstudy.learners.learner import Learner
from quickstudy.learners.solve.feature_heads import LogisticHead, RidgeHead
from quickstudy.learners.wrap import ByFamily
from quickstudy.registry import is_own
from quickstudy.testing import ConformanceError, check_threads

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

ANSWERS = 2000
SLOW = "SVM Tables MANN SNAIL InContext LearningToReweight LearnedTraining FineTune FromScratch CosineProbe Ensemble"
SLOW += " InContextRegressor Transducer"
FEWER = {"Architecture": 400, **dict.fromkeys(SLOW.split(), 800), "Transducer": 200}  # 2,000 of each would take minutes


def of_the_guide(build):
    """The case of a learner in the guide's table, prepared for the tasks that it is given."""

    def case():
        torch.manual_seed(0)
        learner, tasks = build(), qs.tasks.GaussianClasses(ways=3, dim=FEATURES, shots=2, queries=2)
        learner.prepare(tasks.train)
        return learner, tasks.test.sample(1, generator=torch.Generator().manual_seed(0))[0]

    return case


def by_family():
    """A learner of two families, and a task of the second."""
    learner, episode = of_the_guide(lambda: qs.Prototypical(qs.models.mlp(FEATURES, 8)))()
    return ByFamily({"others": qs.R2D2(learner.embed), "these": learner}), episode.of("these")


HEADS = (RidgeHead, LogisticHead)  # of `choose_head`: fitted to features that were learned by another learner


def classes_of_learners():
    """One case of each class, by its name."""
    cases = {}
    heads = [of_the_guide(lambda head=head: head(qs.models.mlp(FEATURES, 8))) for head in HEADS]
    for build in (*CASES.values(), *map(of_the_guide, LEARNERS.values()), *heads, by_family):
        cases.setdefault(type(build()[0]), build)
    return {kind.__name__: build for kind, build in cases.items()}


EACH = classes_of_learners()


def below(kind):
    return {one for sub in kind.__subclasses__() if is_own(sub) for one in (sub, *below(sub))}


def test_no_class_is_left_out():
    final = {kind.__name__ for kind in below(Learner) if not below(kind) and not kind.__name__.startswith("_")}
    assert final <= EACH.keys()
    assert len(final) > 25


@pytest.mark.parametrize("name", EACH)
def test_threads_share_a_learner(name):
    torch.set_num_threads(1)
    check_threads(*EACH[name](), FEWER.get(name, ANSWERS))


# ---- the controls: what only another thread can see ----


class Means(Learner):
    def learn(self, support):
        member = nn.functional.one_hot(support.y, support.ways).to(support.x.dtype)
        return {"means": member.T @ support.x / member.sum(0)[:, None]}

    def predict(self, state, x):
        return -(torch.cdist(x, state["means"]) ** 2)


class OnTheClass(Means):
    """Takes its means from a dict of the class, written a line above: one thread never sees another's."""

    noted = {}

    def learn(self, support):
        self.noted["x"] = support.x
        member = nn.functional.one_hot(support.y, support.ways).to(support.x.dtype)
        return {"means": member.T @ self.noted["x"] / member.sum(0)[:, None]}


class WhereItAnswers(Means):
    """The same, where it answers."""

    noted = []

    def predict(self, state, x):
        self.noted[:] = [x]
        distance = torch.cdist(x, state["means"])
        return -(distance[: len(x)] ** 2) + self.noted[0].sum()


class Grows(Means):
    """An argument that grows with every task: its answers are right."""

    def __init__(self, seen):
        super().__init__()
        object.__setattr__(self, "seen", seen)

    def learn(self, support):
        self.arguments["seen"].append(len(support))
        return super().learn(support)


@pytest.mark.parametrize("build", [OnTheClass, WhereItAnswers])
def test_the_check_catches_what_threads_share(build):
    torch.set_num_threads(1)
    check_threads(Means(), CASES["learners: Prototypical"]()[1], ANSWERS)
    with pytest.raises(ConformanceError, match=r"answers of 8 threads are not those of one thread\. Keep nothing"):
        check_threads(build(), CASES["learners: Prototypical"]()[1], ANSWERS)


def test_the_check_catches_an_argument_that_changes():
    with pytest.raises(ConformanceError, match="the argument `seen` is not what it was before 8 threads adapted"):
        check_threads(Grows([]), CASES["learners: Prototypical"]()[1])


def test_threads_share_a_predictor():
    embed = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    predictor = qs.MAML(embed, inner_steps=1).adapt(qs.Examples(torch.randn(6, 6), torch.arange(6) % 3))
    batches = [torch.randn(4, 6) for _ in range(10)]
    alone = [predictor(x) for x in batches]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: torch.equal(predictor(batches[i % 10]), alone[i % 10]), range(800)))
    assert all(answers)
