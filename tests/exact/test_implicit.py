"""The implicit meta-gradient against its closed form, by both ways in which it is taken."""

import pytest
import torch
from tests.exact.quadratic import (
    Quadratic,
    assert_slopes_agree,
    far,
    finite_differences,
    forward_slopes,
    half_squares,
    line,
    nodes,
    start,
)
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.forward.context import Context
from quickstudy.linear_solvers import ConjugateGradient, Exact, Neumann
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.executors import Compiled, Threads
from quickstudy.meta.problem import Problem

STRENGTH = 1.5
SOLVERS = [
    ConjugateGradient(steps=6, tolerance=1e-8),
    Neumann(terms=120),
    Exact(),
]


def learner_on(network, solver, **options):
    options = {"inner_lr": 0.4, "inner_steps": 150, "proximal_weight": STRENGTH, "loss": half_squares} | options
    return qs.IMAML(network, solver=solver, **options)


def resting_point(task, phi):
    """t* where A(t - c) + l(t - phi) = 0:  (A + lI)^-1 (Ac + l phi)."""
    return torch.linalg.solve(task.A + STRENGTH * task.I, task.A @ task.c + STRENGTH * phi)


def exact(task, phi):
    """d t*/d phi = l (A + lI)^-1, so the gradient is l (A + lI)^-1 B(t* - d)."""
    return STRENGTH * torch.linalg.solve(task.A + STRENGTH * task.I, task.query_gradient(resting_point(task, phi)))


@pytest.mark.parametrize("executor", ["loop", "vmap"])
@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_surrogate_gradient(solver, executor):
    """The executors' gradient, over two tasks. Control: the identity in place of the inverse, B(t* - d), is something else
    (a test of a network whose Hessian is near the identity would not notice)."""
    tasks, network = [Quadratic(0), Quadratic(1)], line()
    phi = start(network)
    loss, gradient = qs.meta_gradient(learner_on(network, solver), [task.episode for task in tasks], executor=executor)
    want = sum(exact(task, phi) for task in tasks) / 2
    torch.testing.assert_close(gradient["network.weight"][0], want, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(loss, sum(task.query_loss(resting_point(task, phi)) for task in tasks) / 2)
    assert far(want, sum(task.query_gradient(resting_point(task, phi)) for task in tasks) / 2)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_differentiating_the_learner_itself(solver):
    """learner(support, x) is attached to phi by the theorem, so whoever composes with it gets the same gradient."""
    task, network = Quadratic(), line()
    episode = task.episode
    learner = learner_on(network, solver)
    loss = half_squares(learner(episode.support, episode.query.x), episode.query.y)
    (gradient,) = torch.autograd.grad(loss, [network.weight])
    torch.testing.assert_close(gradient[0], exact(task, start(network)), rtol=1e-9, atol=1e-9)


def deep(**options):
    """A body that does not adapt, a head that does, dropout off, and a proximal term: the head's problem is convex."""
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    options = {"inner_lr": 0.5, "inner_steps": 100, "proximal_weight": 0.5, "adapts": "2.*"} | options
    learner = qs.IMAML(network, **({"solver": Exact()} | options))
    support = qs.Examples(torch.randn(6, 3), torch.tensor([0, 1, 0, 1, 0, 1]))
    return learner, qs.Episode(support, qs.Examples(torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])))


def test_every_phi_of_the_surrogate_by_finite_differences():
    """theta* depends on the body through the inner loss, too: a Function or surrogate that closed over it would miss that."""
    learner, episode = deep()
    assert_slopes_agree(finite_differences(learner, [episode]))


def test_every_phi_of_the_learner_by_finite_differences():
    learner, episode = deep()
    ours, differences = forward_slopes(
        lambda: learner.criterion_of(episode.query)(learner(episode.support, episode.query.x), episode.query.y), learner
    )
    torch.testing.assert_close(ours, differences, rtol=1e-6, atol=1e-8)
    assert abs(differences) > 1e-3


def test_parameters_learned_in_the_loss_have_their_gradient():
    """A learned scale s of the inner loss: (sA + lI) t* = sAc + l phi, so d t*/ds = -(sA + lI)^-1 A(t* - c)."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(0.8))

        def forward(self, prediction, y):
            return self.scale * half_squares(prediction, y)

    task, network = Quadratic(), line()
    learner = learner_on(network, Exact(), loss=Scaled())
    H = 0.8 * task.A + STRENGTH * task.I
    t = torch.linalg.solve(H, 0.8 * task.A @ task.c + STRENGTH * start(network))
    want = -torch.linalg.solve(H, task.A @ (t - task.c)) @ task.query_gradient(t)
    _, gradient = qs.meta_gradient(learner, [task.episode], loss=half_squares)
    torch.testing.assert_close(gradient["loss_function.scale"], want, rtol=1e-8, atol=1e-9)
    prediction = learner(task.episode.support, task.episode.query.x)
    (direct,) = torch.autograd.grad(half_squares(prediction, task.episode.query.y), [learner.loss_function.scale])
    torch.testing.assert_close(direct, want, rtol=1e-8, atol=1e-9)


def test_running_statistics_in_the_backward_pass_of_the_learner():
    """Under "running" the inner steps of training use the batch's statistics, and so must a backward pass that comes later."""
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))
    episode = qs.Episode(qs.Examples(torch.randn(6, 3), torch.randn(6, 1)), qs.Examples(torch.randn(5, 3), torch.randn(5, 1)))

    class ByTheFunction(qs.Implicit):
        def loss(self, problem, steps):
            return problem.outer_loss(self.descend(problem, problem.start(), steps).theta, steps), {}

    gradients = [
        qs.meta_gradient(
            qs.Descent(
                network,
                inner_lr=0.1,
                inner_steps=3,
                proximal_weight=2.0,
                hypergradient=hypergradient(Exact()),
                normalisation="running",
            ),
            [episode],
        )[1]
        for hypergradient in (qs.Implicit, ByTheFunction)
    ]
    for name in gradients[0]:
        torch.testing.assert_close(gradients[0][name], gradients[1][name], rtol=1e-9, atol=1e-11)


def test_memory_does_not_grow_with_the_steps():
    """The graph has as many nodes after 200 inner steps as after 2. Control: the unrolled one grows."""
    task = Quadratic()

    def size(learner):
        return nodes(learner.loss(task.episode))

    short, long = (size(learner_on(line(), ConjugateGradient(), inner_steps=k)) for k in (2, 200))
    assert short == long
    assert size(qs.MAML(line(), inner_steps=20)) > 3 * size(qs.MAML(line(), inner_steps=2))


# ---- the residual ------------------------------------------------------------------------------------------------------


def test_residual_is_recorded():
    """One step of conjugate gradient leaves v - Hu with u = (v'v / v'Hv) v; its length over v's is logged as "residual"."""
    task, network = Quadratic(), line()
    learner = learner_on(network, ConjugateGradient(steps=1))
    log = learner.copied().outcome(task.episode, Context()).log
    H = task.A + STRENGTH * task.I
    v = task.query_gradient(resting_point(task, start(network)))
    left = v - H @ v * (v @ v) / (v @ H @ v)
    torch.testing.assert_close(log["residual"], left.norm() / v.norm(), rtol=1e-8, atol=1e-10)
    assert float(log["residual"]) > 0.01


@pytest.mark.parametrize("executor", ["loop", Threads(2), "vmap"])
def test_missed_tolerance_raises_with_its_residual(executor):
    """In every executor: inside a transform u becomes NaN, and the loop says why. Control: without tolerance none is raised."""
    task = Quadratic()
    learner = learner_on(line(), ConjugateGradient(steps=1, tolerance=1e-3))
    with pytest.raises(errors.ConvergenceError) as caught:
        qs.meta_gradient(learner, [task.episode, task.episode], executor=executor)
    assert "`solver=ConjugateGradient(tolerance=...)`: expected a relative residual of at most 0.001 within 1 steps" in str(
        caught.value
    )
    assert "Raise `steps`, raise `proximal_weight`, or leave `tolerance` out" in str(caught.value)
    measured = learner_on(line(), ConjugateGradient(steps=1)).copied().outcome(task.episode, Context()).log["residual"]
    torch.testing.assert_close(caught.value.residual, float(measured))


def test_missed_tolerance_raises_from_the_learner_too():
    task = Quadratic()
    learner = learner_on(line(), ConjugateGradient(steps=1, tolerance=1e-3))
    loss = half_squares(learner(task.episode.support, task.episode.query.x), task.episode.query.y)
    with pytest.raises(errors.ConvergenceError, match=r"relative residual of at most 0\.001"):
        loss.backward()


@pytest.mark.parametrize("executor", ["loop", "vmap"])
def test_negative_curvature_raises(executor):
    """A concave inner loss rests nowhere: its Hessian lI - A has negative directions. Control: a proximal_weight above A's 2."""
    task = Quadratic()
    options = {"inner_lr": 0.01, "inner_steps": 1, "loss": lambda p, y: -half_squares(p, y)}
    solver = ConjugateGradient(steps=4)
    with pytest.raises(
        errors.ConvergenceError, match=r"positive curvature.*got a direction of negative curvature.*proximal_weight"
    ):
        qs.meta_gradient(learner_on(line(), solver, proximal_weight=0.1, **options), [task.episode], executor=executor)
    qs.meta_gradient(learner_on(line(), solver, proximal_weight=2.5, **options), [task.episode], executor=executor)


@pytest.mark.parametrize("executor", ["loop", "vmap"])
def test_neumann_series_that_diverges_raises(executor):
    """The largest curvature is 2 + l = 3.5, so a rate of 0.7 does not contract, and 0.5 does."""
    task = Quadratic()
    with pytest.raises(errors.ConvergenceError, match=r"below 2 / \(largest curvature\), got a series whose residual grew"):
        qs.meta_gradient(learner_on(line(), Neumann(terms=50, rate=0.7)), [task.episode], executor=executor)
    qs.meta_gradient(learner_on(line(), Neumann(terms=50, rate=0.5)), [task.episode], executor=executor)


def test_compiled_may_serve_the_surrogate():
    """It has no autograd.Function, whose backward torch.compile would drop (test_torch_faults.py)."""
    assert Compiled().refusal(Problem(learner_on(line(), ConjugateGradient()), Backprop())) is None
