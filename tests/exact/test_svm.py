"""MetaOptNet's head: the quadratic program by its KKT conditions and scikit-learn's machine, its derivative by differences."""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.svm import LinearSVC
from tests.exact.quadratic import assert_slopes_agree, far, finite_differences
from torch import nn
from torch.autograd import gradcheck

import quickstudy as qs
from quickstudy import errors
from quickstudy.forward.context import Context
from quickstudy.learners.solve.quadratic_program import _follow, quadratic_program
from quickstudy.learners.solve.svm import SVM
from quickstudy.meta.executors import Threads
from quickstudy.recipes.metaoptnet import MetaOptNet

SHAPES = [(9, 20), (12, 3), (30, 4)]  # (examples, features): the last ones are not separable


def a_task(examples, features, ways=3):
    """Classes about centres of their own: of noise without classes the machine is W = 0, and any two solvers agree on that."""
    y = torch.arange(examples) % ways
    return torch.randn(examples, features) + torch.randn(ways, features)[y], y, F.one_hot(y, ways).double()


def machine(z, Y, C, **options):
    """W (features, ways)."""
    return C * z.T @ quadratic_program(C * z @ z.T, Y, Y, **options)[0]


@pytest.mark.parametrize(("examples", "features"), SHAPES)
@pytest.mark.parametrize("C", [0.1, 1.0])
def test_equals_scikit_learns_crammer_singer_machine(examples, features, C):
    """LinearSVC solves the same problem by coordinate descent. Controls: a fiftieth of C, and one against the rest."""
    z, y, Y = a_task(examples, features)
    got = machine(z, Y, C, barrier=1e-9, steps=25)
    fitted = lambda C, kind: LinearSVC(
        C=C, multi_class=kind, loss="hinge", fit_intercept=False, tol=1e-10, max_iter=100_000, random_state=0
    ).fit(z.numpy(), y.numpy())
    theirs = fitted(C, "crammer_singer")
    np.testing.assert_allclose(got.T, theirs.coef_, rtol=0, atol=2e-5 * float(got.abs().max()) + 1e-7)
    asked = torch.randn(200, features)
    assert float((np.argmax((asked @ got).numpy(), 1) == theirs.predict(asked.numpy())).mean()) > 0.99
    assert float(got.abs().max()) > 0.05
    assert far(got, torch.from_numpy(fitted(C / 50, "crammer_singer").coef_).T, 0.05)
    assert far(got, torch.from_numpy(fitted(C, "ovr").coef_).T, 0.05)


@pytest.mark.parametrize(("examples", "features"), SHAPES)
def test_primal_and_dual_meet(examples, features):
    """By weak duality no A has a larger objective than the least of the primal: a gap of 0 proves both optimal, with no solver
    beside. The gap is at most n k m of the barrier. Control: the W of an A that is feasible only."""
    z, y, Y = a_task(examples, features)
    C, barrier = 0.5, 1e-8
    A, _ = quadratic_program(C * z @ z.T, Y, Y, barrier=barrier, steps=25)

    def gap(A):
        W = C * z.T @ A
        scores = z @ W
        margins = scores + 1 - Y - scores.gather(1, y[:, None])
        primal = (W * W).sum() / 2 + C * margins.amax(1).sum()
        return float(primal - (C * (A * Y).sum() - (W * W).sum() / 2))

    assert -1e-10 < gap(A) < 1.01 * C * Y.numel() * barrier + 1e-10
    assert float((A - Y).max()) < 1e-7
    assert float(A.sum(1).abs().max()) < 1e-9
    assert gap(0.5 * A) > 1e-2


def test_a_smaller_cost_makes_more_support_vectors():
    z, _, Y = a_task(30, 4)
    vectors = [int((quadratic_program(C * z @ z.T, Y, Y, steps=25)[0].abs().amax(1) > 1e-3).sum()) for C in (0.001, 1.0)]
    assert vectors[0] > vectors[1]


@pytest.mark.parametrize(("examples", "features"), SHAPES)
def test_the_derivative_is_that_of_the_optimum(examples, features):
    """In z and C by central differences along random directions, through the whole solver. Control: A as a constant, so that
    W = C Z'A is differentiated and not A, the implicit term."""
    z, _, Y = a_task(examples, features)
    C, weights = torch.tensor(0.3), torch.randn(features, 3)

    def slopes(solve):
        inputs = [one.clone().requires_grad_() for one in (z, C)]
        return torch.autograd.grad((weights * solve(*inputs)).sum(), inputs)

    def dropped(z, C):
        return C * z.T @ quadratic_program(C * z @ z.T, Y, Y)[0].detach()

    value = lambda z, C: float((weights * machine(z, Y, C)).sum())
    exact, wrong = slopes(lambda z, C: machine(z, Y, C)), slopes(dropped)
    for _ in range(3):
        dz, h = torch.randn_like(z), 1e-6
        want = (value(z + h * dz, C) - value(z - h * dz, C)) / (2 * h)
        assert float((exact[0] * dz).sum()) == pytest.approx(want, rel=1e-6, abs=1e-7)
        assert float((wrong[0] * dz).sum()) != pytest.approx(want, rel=1e-2, abs=1e-3)
    want = (value(z, C + 1e-6) - value(z, C - 1e-6)) / 2e-6
    assert float(exact[1]) == pytest.approx(want, rel=1e-6, abs=1e-7)
    assert float(wrong[1]) != pytest.approx(want, rel=1e-2, abs=1e-3)


def test_the_derivative_in_every_argument_of_a_program_of_its_own():
    """Q, B and U of no support vector machine. Q is made symmetric inside, as its entries are moved alone."""
    root, B, U = torch.randn(4, 4), torch.randn(4, 3), torch.rand(4, 3) + 0.1
    Q = (root @ root.T).requires_grad_()
    solve = lambda Q, B, U: quadratic_program((Q + Q.T) / 2, B, U, barrier=1e-4)[0]
    assert gradcheck(solve, (Q, B.requires_grad_(), U.requires_grad_()), eps=1e-6, atol=1e-6)


def test_the_answer_is_the_central_point_of_the_barrier():
    """Minimising 1/2 tr(A'QA) - tr(B'A) - m sum log(U - A) over A 1 = 0 by torch's own L-BFGS finds the same A. Control: at ten
    times the barrier it does not."""
    z, _, Y = a_task(6, 4)
    Q, m = z @ z.T, 1e-2
    got = quadratic_program(Q, Y, Y, barrier=m)[0]
    start = Y - Y.mean(1, keepdim=True)
    free = torch.zeros(6, 2, requires_grad=True)
    found = {}
    for barrier in (m, 10 * m):
        with torch.no_grad():
            free.zero_()
        solver = torch.optim.LBFGS(
            [free], max_iter=3000, tolerance_grad=1e-12, tolerance_change=1e-18, line_search_fn="strong_wolfe"
        )

        def closure(solver=solver, barrier=barrier):
            solver.zero_grad()
            A = start + torch.cat([free, -free.sum(1, keepdim=True)], 1)
            S = Y - A
            value = (A * (Q @ A)).sum() / 2 - (Y * A).sum() - barrier * torch.where(S > 0, S, torch.nan).log().sum()
            value = torch.where(value.isnan(), torch.tensor(1e6) + 0 * free.sum(), value)
            value.backward()
            free.grad.nan_to_num_()
            return value

        solver.step(closure)
        found[barrier] = (start + torch.cat([free, -free.sum(1, keepdim=True)], 1)).detach()
    torch.testing.assert_close(got, found[m], rtol=0, atol=1e-5)
    assert far(got, found[10 * m], 0.05)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_residual_falls_to_rounding_whatever_the_scale(size):
    """Features a thousand times larger or smaller, duplicates among them (Q singular). Control: 2 steps are not enough."""
    z, _, Y = a_task(12, 5)
    z = size * torch.cat([z[:6], z[:6]])
    _, residual = quadratic_program(0.1 * z @ z.T, Y, Y)
    assert residual < 1e-7
    few = quadratic_program(0.1 * z @ z.T, Y, Y, steps=2, tolerance=float("inf"))[1]
    assert few > 1e-4


def test_a_feasible_point_at_every_step():
    """A 1 = 0 and A < U hold from the first step to the last."""
    z, _, Y = a_task(12, 5)
    for steps in range(8):
        A, S, L, _ = _follow(z @ z.T, Y, Y, steps, 1e-6)
        assert float(A.sum(1).abs().max()) < 1e-12
        assert float(S.min()) > 0
        assert float(L.min()) > 0
        torch.testing.assert_close(S, Y - A, rtol=0, atol=1e-12)


def episode(ways=3, shots=2, queries=3):
    draw = lambda n: qs.Examples(torch.randn(ways * n, 6), torch.arange(ways).repeat(n), ways)
    return qs.Episode(draw(shots), draw(queries))


def test_a_residual_that_is_too_large_raises_outside_transforms():
    """In adapt and in the loop's loss at once; under vmap the NaN sends the executor to the loop, which raises the same."""
    learner, task = SVM(nn.Linear(6, 4), C=5.0, solver_steps=2), episode()
    text = r"`quadratic_program\(steps=\.\.\.\)`: expected a KKT residual of at most 0\.0001 within 2 steps, got .*Raise `steps`"
    with pytest.raises(errors.ConvergenceError, match=text) as caught:
        learner.adapt(task.support)
    assert caught.value.residual > 1e-4
    for executor in ("loop", Threads(2), "vmap"):
        with pytest.raises(errors.ConvergenceError, match=text):
            qs.meta_gradient(learner, [task, task], executor=executor)
    qs.meta_gradient(SVM(nn.Linear(6, 4), C=5.0), [task])  # control: enough steps


def test_residual_is_a_measure():
    log = SVM(nn.Linear(6, 4)).copied().outcome(episode(), Context()).log
    assert log.keys() == {"residual"}
    assert log["residual"] < 1e-10
    assert not log["residual"].requires_grad


def test_learner_is_the_machine_and_its_gradient_that_of_differences():
    embed, task = nn.Sequential(nn.Linear(6, 8), nn.Tanh()), episode()
    learner = SVM(embed, C=0.7, scale=2.5)
    W = machine(embed(task.support.x), F.one_hot(task.support.y).double(), 0.7)
    torch.testing.assert_close(learner.adapt(task.support)(task.query.x), (2.5 * embed(task.query.x) @ W).detach())
    assert_slopes_agree(finite_differences(learner, [task]))


def test_float32_features_are_solved_in_float64():
    """The residual would not fall to rounding of float32 otherwise; the answer is float32 again."""
    z, _, Y = a_task(12, 5)
    A, residual = quadratic_program((100 * z @ z.T).float(), Y.float(), Y.float())
    assert A.dtype == residual.dtype == torch.float32
    torch.testing.assert_close(A.double(), quadratic_program((100 * z @ z.T).float().double(), Y, Y)[0], rtol=0, atol=1e-6)
    assert residual < 1e-10


def test_refusals():
    with pytest.raises(errors.ArgumentError, match=r"`C`: expected a number above 0, got -1\.0\. 0\.1 is the default"):
        MetaOptNet(nn.Linear(2, 2), C=-1.0)
    with pytest.raises(errors.ArgumentError, match=r"`solver_steps`: expected 1 or more, got 0"):
        SVM(nn.Linear(2, 2), solver_steps=0)


@pytest.mark.compiled
@pytest.mark.needs("a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
def test_compiled(monkeypatch):
    """Traced and differentiated whole, as `compiled` does, but not turned into machine code, which takes minutes."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    learner, one, other = SVM(nn.Linear(6, 3), C=0.3, solver_steps=4, tolerance=1.0), episode(), episode()
    loss, want = qs.meta_gradient(learner, [one, other])
    compiled = qs.meta_gradient(learner, [one, other], executor="compiled")
    torch.testing.assert_close(compiled[0], loss, rtol=1e-10, atol=1e-12)
    for name, gradient in want.items():
        torch.testing.assert_close(compiled[1][name], gradient, rtol=1e-7, atol=1e-9)
    assert max(float(gradient.abs().max()) for gradient in compiled[1].values()) > 1e-3
