"""The solvers of H u = v against the dense solve."""

import pytest
import torch
from tests.exact.quadratic import far
from torch.func import vmap

from quickstudy import errors
from quickstudy.linear_solvers import ConjugateGradient, Exact, Neumann


def problem(seed=0, size=6):
    """A positive H with eigenvalues 0.5 to 2, a right-hand side in two pieces, and the product."""
    Q = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))[0]
    H = Q @ torch.diag(torch.linspace(0.5, 2.0, size)) @ Q.T
    v = {"a": torch.randn(2, 2), "b": torch.randn(size - 4)}

    def product(u):
        flat = H @ torch.cat([u["a"].reshape(-1), u["b"]])
        return {"a": flat[:4].reshape(2, 2), "b": flat[4:]}

    return H, v, product


def flat(u):
    return torch.cat([u["a"].reshape(-1), u["b"]])


@pytest.mark.parametrize(
    "solver",
    [ConjugateGradient(steps=6), Neumann(terms=200, rate=0.6), Exact()],
    ids=repr,
)
def test_it_equals_the_dense_solve(solver):
    """Conjugate gradient ends after as many steps as there are unknowns; the series at ||I - aH||^200. Control: v itself."""
    H, v, product = problem()
    u, residual = solver.solve(product, v, torch.tensor(0.5))
    want = torch.linalg.solve(H, flat(v))
    torch.testing.assert_close(flat(u), want, rtol=1e-10, atol=1e-10)
    assert float(residual) < 1e-10
    assert far(want, flat(v))


def test_conjugate_gradient_stands_still_once_it_has_arrived():
    """60 steps where 6 do: nothing divides 0 by 0."""
    H, v, product = problem()
    u, residual = ConjugateGradient(steps=60).solve(product, v, torch.tensor(0.5))
    torch.testing.assert_close(flat(u), torch.linalg.solve(H, flat(v)), rtol=1e-11, atol=1e-11)
    assert float(residual) < 1e-12


@pytest.mark.parametrize(
    "solver",
    [ConjugateGradient(tolerance=1e-6), Neumann(rate=0.5), Exact()],
    ids=repr,
)
def test_zero_right_hand_side_gives_zero(solver):
    """A task whose query loss is already flat."""
    _, v, product = problem()
    u, residual = solver.solve(product, {name: torch.zeros_like(part) for name, part in v.items()}, torch.tensor(0.5))
    assert float(flat(u).abs().max()) == 0
    assert float(residual) == 0


def test_neumann_error_falls_at_the_rate_of_the_contraction():
    """u_n - u = -(I - aH)^n u, whose length falls at the rate ||I - aH|| = max |1 - a h|. Here a = 0.5 and h in 0.5..2, so
    0.75 a term in the long run. Control: it is not the rate of another a."""
    H, v, product = problem()
    u = torch.linalg.solve(H, flat(v))
    error = [float((flat(Neumann(terms=n).solve(product, v, torch.tensor(0.5))[0]) - u).norm()) for n in (30, 31, 60)]
    assert abs(error[1] / error[0] - 0.75) < 1e-3
    assert abs((error[2] / error[0]) ** (1 / 30) - 0.75) < 1e-3
    slower = [float((flat(Neumann(terms=n, rate=0.1).solve(product, v, torch.tensor(0.5))[0]) - u).norm()) for n in (60, 61)]
    assert abs(slower[1] / slower[0] - 0.95) < 1e-3


def test_one_neumann_term_is_the_rate_times_v():
    """The series' first term, a v: what a first-order answer with a rate would be."""
    _, v, product = problem()
    u, _ = Neumann(terms=1).solve(product, v, torch.tensor(0.25))
    torch.testing.assert_close(flat(u), 0.25 * flat(v))


def test_failures_raise_on_plain_tensors_and_are_nan_inside_vmap():
    """No transform can raise on a value, so there u is NaN, which an executor sees and runs again in the loop."""
    _, v, _ = problem()
    negative = lambda u: {name: -part for name, part in u.items()}
    with pytest.raises(errors.ConvergenceError, match="negative curvature"):
        ConjugateGradient().solve(negative, v, torch.tensor(0.5))
    batch = {name: torch.stack([part, part]) for name, part in v.items()}
    stopped, residual = ConjugateGradient(at_negative="stop").solve(negative, v, torch.tensor(0.5))
    torch.testing.assert_close(stopped, v)  # v'v / |v'Hv| = 1
    assert float(residual) == pytest.approx(2.0), "v - H u = 2 v: the residual tells"
    damped, _ = ConjugateGradient(damping=3.0).solve(negative, v, torch.tensor(0.5))  # (-1 + 3) u = v
    torch.testing.assert_close(damped, {name: part / 2 for name, part in v.items()})
    u, _ = vmap(lambda v: ConjugateGradient().solve(negative, v, torch.tensor(0.5)))(batch)
    assert all(bool(part.isnan().all()) for part in u.values())


def test_residual_is_that_of_the_answer():
    """Whatever the solver: residual = ||v - Hu|| / ||v||, with conjugate gradient stopped early."""
    H, v, product = problem()
    for solver in (ConjugateGradient(steps=2), Neumann(terms=4), Exact()):
        u, residual = solver.solve(product, v, torch.tensor(0.5))
        torch.testing.assert_close(residual, (flat(v) - H @ flat(u)).norm() / flat(v).norm(), atol=1e-12, rtol=1e-8)


def test_conjugate_gradient_that_stops_takes_what_it_reached():
    """H = diag(4, 1, -1): two steps of plain CG on the first two, then a negative direction; all positive: it goes on."""
    v = {"a": torch.tensor([1.0, 1.0, 1e-3], dtype=torch.float64)}
    H = lambda scale: lambda u: {"a": torch.tensor([4.0, 1.0, scale], dtype=torch.float64) * u["a"]}
    rate = torch.tensor(0.1, dtype=torch.float64)
    stopped, residual = ConjugateGradient(steps=3, at_negative="stop").solve(H(-1.0), v, rate)
    plain, _ = ConjugateGradient(steps=2).solve(H(-1.0), v, rate)
    torch.testing.assert_close(stopped, plain)
    assert 0 < float(residual) < 1
    whole, _ = ConjugateGradient(steps=3, at_negative="stop").solve(H(2.0), v, rate)
    torch.testing.assert_close(whole["a"], v["a"] / torch.tensor([4.0, 1.0, 2.0], dtype=torch.float64))
