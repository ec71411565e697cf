"""The compiled executor: the loop's gradients, and vmap after so many graphs.

One graph goes all the way to machine code, on the tiniest network; the others stop before the code generator
(`backend="aot_eager"`), which is where the minutes go: what can go wrong on our side, tracing and derivatives, lies before it.
"""

import functools
import shutil

import pytest
import torch
from tests.executors.networks import assert_same, episodes
from tests.laws.every import CASES
from tests.laws.executors import three_tasks
from torch import nn

import quickstudy as qs
from quickstudy.meta.executors import Compiled

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="there is no C++ compiler"),
    pytest.mark.filterwarnings("ignore"),  # torch's own, while it compiles
]


@pytest.fixture
def traced_only(monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))


def test_to_machine_code():
    learner = qs.MAML(nn.Linear(8, 3).double(), inner_lr=0.3)
    loss, got = qs.meta_gradient(learner, episodes(2), executor="compiled")
    want_loss, want = qs.meta_gradient(learner, episodes(2))
    torch.testing.assert_close(loss, want_loss, rtol=1e-11, atol=1e-12)
    assert_same(got, want)


def test_descent_and_what_happens_after_the_last_structure(traced_only):
    """Second order through affine batch norm and dropout, with learned rates. A second structure goes to vmap; both equal
    the loop. The graph is used again for another seed and other weights."""
    network = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Tanh(), nn.Linear(4, 3)).double()
    with torch.no_grad():
        network[1].weight.uniform_(0.5, 1.5)
    learner = qs.MetaSGD(network, inner_lr=0.3)
    compiled = Compiled(structures=1)
    for batch, seed, overflow in ((episodes(2), 0, 0), (episodes(2), 1, 0), (episodes(3), 0, 1)):
        loss, got = qs.meta_gradient(learner, batch, executor=compiled, seed=seed)
        want_loss, want = qs.meta_gradient(learner, batch, seed=seed)
        torch.testing.assert_close(loss, want_loss, rtol=1e-11, atol=1e-12)
        assert_same(got, want)
        assert compiled.overflow == overflow
        with torch.no_grad():
            network[0].weight.add_(0.01)


def one_of_each():
    """A case of every learner, its first; all but one are traced in `make test-all` alone, a few seconds each."""
    first = {name.partition(",")[0]: name for name in reversed(CASES)}.values()
    fast = "learners_tune: augmentation"
    return [name if name == fast else pytest.param(name, marks=pytest.mark.thorough) for name in first]


@pytest.mark.parametrize("name", one_of_each())
def test_every_learner_compiles(name, traced_only):
    learner, episode = CASES[name]()
    if not learner.meta_learns or not any(parameter.requires_grad for parameter in learner.parameters()):
        return  # it has no gradient
    learner, batch = learner.double(), three_tasks(episode)
    torch.compiler.reset()  # dynamo counts the graphs of one code over all tests
    got = qs.meta_gradient(learner, batch, executor="compiled", seed=5)[1]
    assert_same(got, qs.meta_gradient(learner, batch, seed=5)[1], 1e-8)


def test_implicit(traced_only):
    """The surrogate compiles, as it has no autograd.Function."""
    learner = qs.IMAML(nn.Linear(8, 3).double(), inner_lr=0.3, inner_steps=2, solver=qs.ConjugateGradient(steps=2))
    compiled = Compiled()
    loss, got = qs.meta_gradient(learner, episodes(2), executor=compiled)
    want_loss, want = qs.meta_gradient(learner, episodes(2))
    torch.testing.assert_close(loss, want_loss, rtol=1e-11, atol=1e-12)
    assert_same(got, want)
    assert compiled.overflow == 0


def test_no_structures_at_all():
    """Everything goes to vmap, and it is counted."""
    learner, compiled = qs.MAML(nn.Linear(8, 3).double()), Compiled(structures=0)
    assert_same(qs.meta_gradient(learner, episodes(2), executor=compiled)[1], qs.meta_gradient(learner, episodes(2))[1])
    assert compiled.overflow == 1
