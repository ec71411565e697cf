"""The compiled executor: the loop's gradients, and vmap after so many graphs.

One graph goes all the way to machine code, on the tiniest network; the others stop before the code generator
(`backend="aot_eager"`), which is where the minutes go: what can go wrong on our side, tracing and derivatives, lies before it.
"""

import functools

import pytest
import torch
from tests.checks.every import CASES
from tests.checks.executors import three_tasks
from tests.meta.executors.networks import assert_same, episodes
from torch import nn

import quickstudy as qs
from quickstudy.learners.bilevel.learned_training import LearnedTraining
from quickstudy.linear_solvers import ConjugateGradient
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.executors import Compiled
from quickstudy.meta.executors.compiled import Graph
from quickstudy.meta.problem import Problem

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.needs("a C++ compiler"),
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
    fast = "learners_tune: label smoothing"
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
    learner = qs.IMAML(nn.Linear(8, 3).double(), inner_lr=0.3, inner_steps=2, solver=ConjugateGradient(steps=2))
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


@pytest.fixture
def traced(monkeypatch):
    """Graphs are traced and run as they are; one entry each."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr(Graph, "code", None)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    return graphs


def test_learners_of_one_process_have_limits_of_their_own(traced):
    """Dynamo keeps 8 graphs on a code object; 12 learners that differ are compiled all the same, and its settings stay."""
    settings = torch._dynamo.config.save_config_portable()
    assert settings["recompile_limit"] == 8
    for width in range(12):
        learner, compiled = qs.Prototypical(nn.Linear(8, 2 + width).double()), Compiled()
        _, got = qs.meta_gradient(learner, episodes(2), executor=compiled)
        assert_same(got, qs.meta_gradient(learner, episodes(2))[1])
        assert compiled.overflow == 0
        assert len(traced) == width + 1
    assert torch._dynamo.config.save_config_portable() == settings


def test_a_program_of_the_users_own_has_its_limit_for_itself(traced):
    """The code object of what `grad_and_value` returns is torch's, and all programs share it: ours takes no place on it."""
    with torch._dynamo.config.patch(recompile_limit=1):
        qs.meta_gradient(qs.Prototypical(nn.Linear(8, 2).double()), episodes(2), executor="compiled")
        theirs = torch.compile(torch.func.grad_and_value(lambda x: (x**2).sum()), fullgraph=True)
        torch.testing.assert_close(theirs(torch.ones(3))[0], 2 * torch.ones(3))


def test_learners_of_one_structure_share_a_graph(traced):
    """From call to call, and in a sweep; the learners may be gone."""
    for lr in (0.1, 0.1, 0.2, 0.3):
        learner = qs.MAML(nn.Linear(8, 3).double(), inner_lr=lr)
        for _ in range(2):
            assert_same(qs.meta_gradient(learner, episodes(2), executor="compiled")[1], qs.meta_gradient(learner, episodes(2))[1])
    assert len(traced) == 1


class Powers(qs.Prototypical):
    """A learner whose structure changes: x ** power."""

    power = 1

    def compared(self, support_z, query_z, episode, criterion):
        loss, log = super().compared(support_z, query_z, episode, criterion)
        return loss**self.power, log


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_what_reaches_torchs_limit_goes_to_vmap(traced, limit):
    """A learner that changes its structure is compiled for each, on code of its own where the shared one is full, up to
    `structures`: the rest goes to vmap, counted, and so does all where the limit is 0. Another learner is compiled even so."""
    learner, compiled = Powers(nn.Linear(8, 2).double()), Compiled(structures=3)
    with torch._dynamo.config.patch(recompile_limit=limit):
        for power in range(1, 8):
            learner.power = power
            _, got = qs.meta_gradient(learner, episodes(2), executor=compiled)
            assert_same(got, qs.meta_gradient(learner, episodes(2))[1])
        assert len(traced) == 3 * (limit > 0)
        assert compiled.overflow == (4 if limit else 7)
        qs.meta_gradient(qs.Prototypical(nn.Linear(8, 5).double()), episodes(2), executor="compiled")
        assert len(traced) == 4 * (limit > 0)


def test_a_student_that_asks_for_its_mode_is_refused_by_name():
    """One compiled copy serves training and answering; a module that reads `self.training` would answer in the wrong mode."""

    class Noisy(nn.Module):
        def forward(self, x):
            return 2 * x if self.training else x

    run = lambda middle: LearnedTraining(nn.Sequential(nn.Linear(8, 3), middle), steps=1, learned_start=True)
    assert "Noisy asks for self.training" in (Compiled().refusal(Problem(run(Noisy()), Backprop())) or "")
    assert "self.training" not in (Compiled().refusal(Problem(run(nn.RReLU()), Backprop())) or "")
