"""A stopped run goes on bit for bit: every executor, network and outer method of episodes. (Carried runs: test_searches.py.)

Two unbroken runs are equal first: else nothing is said by a resumed one that is.
"""

from __future__ import annotations

import functools
from functools import partial

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.meta.estimators import ReptileDirection
from quickstudy.meta.searches import CMAES, PopulationBased

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

STEPS, STOP = 7, 4


class Stopped(Exception):
    pass


def conv4():
    return qs.Prototypical(qs.models.conv4(channels=4))


def images():
    return qs.tasks.Strokes(ways=3, shots=1, queries=2, classes=(6, 4, 4))


def maml(**options):
    return qs.MAML(nn.Sequential(nn.Linear(1, 6), nn.Dropout(0.2), nn.Tanh(), nn.Linear(6, 1)), inner_lr=0.01, **options)


def norms():
    return qs.MAML(qs.models.conv4(ways=3, channels=4), inner_lr=0.05, normalisation="running")


LEARNERS = {"Conv4": (conv4, images), "Conv4 by descent": (norms, images), "MLP": (maml, qs.tasks.Sinusoid)}
OUTERS = {
    "Adam": None,
    "unfused Adam": qs.Gradient(optimizer=partial(torch.optim.Adam, lr=1e-3, fused=False)),
    "AdamW, amsgrad": qs.Gradient(optimizer=partial(torch.optim.AdamW, lr=1e-3, amsgrad=True)),
    "SGD with momentum": qs.Gradient(optimizer=partial(torch.optim.SGD, lr=1e-2, momentum=0.9)),
    "Reptile": qs.Gradient(ReptileDirection(), partial(torch.optim.SGD, lr=0.5)),
    "Evolution": qs.Evolution(4),
    "CMAES": CMAES(population=4),
    "PopulationBased": PopulationBased(4, every=2),
}
OUTERS["Evolution"] = qs.Gradient(qs.Evolution(4), partial(torch.optim.Adam, lr=1e-3))


def trained(learner, tasks, out=None, stop=None, resume=False, **settings):
    """The numbers and the weights of a run."""
    torch.manual_seed(0 if not resume else 1)  # other weights: all must come from the checkpoint
    made = learner()

    def track(record, step):
        if step == stop:
            raise Stopped

    options = {"steps": STEPS, "tasks_per_step": 3, "validate_every": 3, "validation_episodes": 3, "progress": False} | settings
    run = qs.meta_train(made, tasks(), out=out, resume=resume, track=track, **options)
    history = [{name: value for name, value in record.items() if name != "seconds"} for record in run.history]
    return history, [tensor.clone() for tensor in made.state_dict().values()]


def assert_resumes(tmp_path, learner, tasks, **settings):
    first, second = (trained(learner, tasks, **settings) for _ in range(2))
    assert first[0] == second[0]
    assert all(torch.equal(*pair) for pair in zip(first[1], second[1], strict=True))
    with pytest.raises(Stopped):
        trained(learner, tasks, tmp_path, stop=STOP, **settings)
    resumed = trained(learner, tasks, tmp_path, resume=True, **settings)
    assert resumed[0] == first[0]
    assert all(torch.equal(*pair) for pair in zip(resumed[1], first[1], strict=True))


@pytest.mark.parametrize("executor", ["loop", "threads", "vmap", "compiled"])
@pytest.mark.parametrize("name", LEARNERS)
def test_every_executor(tmp_path, name, executor, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    assert_resumes(tmp_path, *LEARNERS[name], executor=executor)


@pytest.mark.parametrize("name", OUTERS)
@pytest.mark.parametrize("learner", ["Conv4 by descent", "MLP"])
def test_every_outer_method(tmp_path, learner, name):
    assert_resumes(tmp_path, *LEARNERS[learner], executor="loop", outer=OUTERS[name])


def test_the_control_loses_the_moments(tmp_path, monkeypatch):
    """A resume that lays Adam's moments row by row: Conv4 goes on to other numbers."""
    from quickstudy.meta.outer import optimizers

    monkeypatch.setattr(optimizers, "laid_as", lambda tensor, like: tensor.contiguous())
    with pytest.raises(AssertionError):
        assert_resumes(tmp_path, conv4, images, executor="loop")
