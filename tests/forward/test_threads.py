"""One learner, eight threads that adapt and ask at once: each answer is that of one thread, the learner is untouched."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.learners.wrap import Standardised

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

WAYS, D, TASKS, CALLS = 3, 6, 10, 40


def embed(outputs=5):
    return nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, outputs))


def prepared(learner):
    learner.prepare(qs.tasks.GaussianClasses(ways=WAYS, dim=D).train)
    return learner.double()


LEARNERS = {
    "MAML": lambda: qs.MAML(embed(WAYS), inner_steps=1),
    "MetaSGD": lambda: qs.MetaSGD(embed(WAYS)),
    "ProtoMAML": lambda: qs.ProtoMAML(embed(), inner_steps=1),
    "Prototypical": lambda: qs.Prototypical(embed(), normalisation="support"),
    "Ridge": lambda: qs.R2D2(embed()),
    "PretrainFineTune": lambda: prepared(qs.PretrainFineTune(embed())),
    "LoRA": lambda: qs.MAML(qs.models.LoRA(embed(WAYS), rank=1), adapts="lora_*"),
    "Standardised": lambda: Standardised(qs.MAML(embed(WAYS), inner_steps=1)),
    "Ensemble": lambda: qs.Ensemble(qs.Prototypical(embed()), 2),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_threads_share_a_learner(name):
    learner = LEARNERS[name]()
    supports = [qs.Examples(torch.randn(2 * WAYS, D), torch.arange(WAYS).repeat(2)) for _ in range(TASKS)]
    x = torch.randn(5, D)
    before = copy.deepcopy(learner.state_dict())
    flags = [module.training for module in learner.modules()]
    alone = [learner.adapt(support)(x) for support in supports]

    def asked(thread):
        return sum(
            not torch.equal(learner.adapt(supports[i % TASKS])(x), alone[i % TASKS]) for i in range(thread, CALLS + thread, 1)
        )

    with ThreadPoolExecutor(8) as pool:
        wrong = sum(pool.map(asked, range(8)))
    assert wrong == 0, f"{wrong} of {8 * CALLS} answers are another's"
    assert all(torch.equal(before[key], value) for key, value in learner.state_dict().items())
    assert flags == [module.training for module in learner.modules()]


def test_threads_share_a_predictor():
    predictor = qs.MAML(embed(WAYS), inner_steps=1).adapt(qs.Examples(torch.randn(6, D), torch.arange(6) % WAYS))
    batches = [torch.randn(4, D) for _ in range(TASKS)]
    alone = [predictor(x) for x in batches]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: torch.equal(predictor(batches[i % TASKS]), alone[i % TASKS]), range(800)))
    assert all(answers)
