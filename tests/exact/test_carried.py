"""Gradients of carried training runs against closed forms.

The scalar system  s_{t+1} = a s_t + phi b_t,  L_t = 1/2 (s_{t+1} - m_t)^2.  Z_t = d s_t/d phi:  Z_{t+1} = a Z_t + b_t, Z_0 = 0,

    d/dphi  1/W sum_t L_t  =  1/W sum_t (s_{t+1} - m_t) Z_{t+1}                                 the whole truth
    truncated after a window:  the same with Z = 0 at the beginning of every window

so truncation misses exactly  1/W sum_t (s_{t+1} - m_t) a^{t - t_w + 1} Z_{t_w},  t_w the beginning of the window.
"""

from __future__ import annotations

import pytest
import torch
from tests.meta.runs import Decays, Replayed, Scalar, Weighted, over_the_run, regression
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.bilevel.training_run import TrainingRun
from quickstudy.linear_solvers import ConjugateGradient, Exact, Identity, Neumann
from quickstudy.meta.carried import CarriedRuns
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.estimators.evolution import Evolution, PersistentEvolution
from quickstudy.meta.estimators.fixed_point import FixedPoint
from quickstudy.meta.estimators.forward_mode import ForwardMode
from quickstudy.meta.estimators.lookahead import Lookahead
from quickstudy.meta.executors import Loop, Threads, Vmap
from quickstudy.meta.problem import Problem
from quickstudy.tasks.distribution.streams import Streams

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

TASKS, STEPS, WINDOW = 3, 20, 4


def batches():
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(TASKS, STEPS, generator=generator, dtype=torch.float64) for _ in range(2))


def truth(run, b, m, window):
    """(exact, truncated) gradients of the mean loss of each window, by hand; means over tasks."""
    s, Z, cut = torch.ones(TASKS), torch.zeros(TASKS), torch.zeros(TASKS)
    s, Z, cut = s.double(), Z.double(), cut.double()
    exact, truncated = [], []
    for t in range(STEPS):
        if t % window == 0:
            cut = torch.zeros_like(cut)
            exact.append(0.0)
            truncated.append(0.0)
        s = run.a * s + float(run.phi.detach()) * b[:, t]
        Z, cut = run.a * Z + b[:, t], run.a * cut + b[:, t]
        exact[-1] += float(((s - m[:, t]) * Z).mean()) / window
        truncated[-1] += float(((s - m[:, t]) * cut).mean()) / window
    return torch.tensor(exact, dtype=torch.float64), torch.tensor(truncated, dtype=torch.float64)


def found(estimator, window=WINDOW, **options):
    run, (b, m) = Scalar(STEPS), batches()
    gradients, _ = over_the_run(estimator, run, Replayed(b, m, window), TASKS, **options)
    return torch.stack([one["phi"] for one in gradients]), truth(run, *batches(), window)


@pytest.mark.parametrize("executor", ["loop", "threads", "vmap"])
def test_backprop_over_a_window_is_truncated_by_its_exact_amount(executor):
    if executor == "threads":
        executor = Threads(2)
    got, (exact, truncated) = found(Backprop(), executor=executor)
    torch.testing.assert_close(got, truncated, rtol=1e-12, atol=1e-13)
    assert float((exact - truncated)[1:].abs().min()) > 1e-2  # the control: it is not the truth


def test_backprop_over_the_whole_run_is_exact():
    got, (exact, _) = found(Backprop(), window=STEPS)
    torch.testing.assert_close(got, exact, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("executor", ["loop", "vmap"])
def test_forward_mode_is_exact_though_it_is_cut(executor):
    got, (exact, _) = found(ForwardMode(), executor=executor)
    torch.testing.assert_close(got, exact, rtol=1e-12, atol=1e-13)


def sampled(estimator, seeds):
    totals = torch.stack([found(estimator, seed=seed, executor="vmap")[0].sum() for seed in range(seeds)])
    return float(totals.mean()), 3 * float(totals.std()) / seeds**0.5


def test_persistent_evolution_is_unbiased_and_truncated_evolution_is_not():
    """The loss is quadratic in phi, so smoothing leaves its gradient: PES covers the truth, ES only the truncated one."""
    exact, truncated = (float(one.sum()) for one in found(Backprop())[1])
    mean, half = sampled(PersistentEvolution(population=400, sigma=0.1), 40)
    assert abs(mean - exact) < half < 0.2 * abs(exact - truncated)
    assert abs(mean - truncated) > half
    mean, half = sampled(Evolution(population=400, sigma=0.1, ranks=False), 20)
    assert abs(mean - truncated) < half < 0.2 * abs(exact - truncated)
    assert abs(mean - exact) > half


def test_persistent_evolution_without_its_sums_is_biased(monkeypatch):
    """The control of the control: a PES that forgets xi between windows is not unbiased."""
    exact, _ = (float(one.sum()) for one in found(Backprop())[1])
    take = CarriedRuns.take

    def forgetful(self, answer):
        answer = take(self, answer)
        self.leaves = [torch.zeros_like(leaf) if leaf.shape[1] == 200 else leaf for leaf in self.leaves]
        return answer

    monkeypatch.setattr(CarriedRuns, "take", forgetful)
    mean, half = sampled(PersistentEvolution(population=400, sigma=0.1), 20)
    assert abs(mean - exact) > half


# ---- lookahead ---------------------------------------------------------------------------------------------------------


class Game(TrainingRun):
    """The bilinear game of DARTS, figure 2: inner L = 1/2 w^2 - phi w (w moves by xi), outer = w phi - 2 phi + 1."""

    def __init__(self, xi=0.3):
        super().__init__(steps=50)
        self.xi, self.phi = xi, nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def init(self, task, seed):
        return {"w": torch.full((), -2.0, dtype=torch.float64)}

    def step(self, state, batch):
        return {"w": state["w"] - self.xi * (state["w"] - self.phi)}

    def objective(self, state, batch):
        return state["w"] * self.phi - 2 * self.phi + 1

    def predict(self, state, x):
        return state["w"] + 0 * x


def game(order, steps=1, lr=0.1):
    """phi and w by hand: the gradient at (w, phi), the update of phi, and then the real step of w."""
    run, w, phi = Game(), -2.0, 2.0
    rows = []
    for _ in range(steps):
        ahead = w - run.xi * (w - phi)
        g = ahead - 2 + run.xi * phi if order == 2 else w - 2
        rows.append(g)
        phi -= lr * g
        w -= run.xi * (w - phi)
    return rows, phi


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("executor", ["loop", "vmap"])
def test_lookahead_on_the_bilinear_game(order, executor):
    """Five outer steps; the real step is taken after phi has moved, or the second gradient would differ."""
    from functools import partial

    zeros = torch.zeros(1, 50, dtype=torch.float64)
    run, gradients = Game(), []
    outer = qs.Gradient(Lookahead(order=order), partial(torch.optim.SGD, lr=0.1))
    from quickstudy.meta.loop.state import MetaTraining

    training = MetaTraining(run, Replayed(zeros, zeros, 1), outer, None, None, 1, None, None, 0)
    training.take_executor(executor, 5, None)
    send = training._send
    training._send = lambda *args: (answer := send(*args), gradients.append(float(answer.gradient["phi"])))[0]
    for step in range(1, 6):
        training.step(step)
    want, phi = game(order, 5)
    torch.testing.assert_close(torch.tensor(gradients), torch.tensor(want), rtol=1e-6, atol=1e-6)
    assert abs(float(run.phi.detach()) - phi) < 1e-12
    other, _ = game(3 - order, 5)
    assert abs(other[0] - want[0]) > 0.1  # the orders differ


def test_the_second_order_is_what_darts_approximates():
    """Their finite difference  d/dphi [L(w+) - L(w-)] / 2 eps,  w+- = w +- eps d objective/d w', is exact on this game."""
    run, eps = Game(), 0.01
    w, phi = torch.tensor(-2.0, dtype=torch.float64), run.phi.detach().clone()
    ahead = w - run.xi * (w - phi)
    v = phi  # d objective / d w'
    mixed = (-(w + eps * v) + (w - eps * v)) / (2 * eps)  # of dL/dphi = -w at both
    by_hand = (ahead - 2) - run.xi * mixed
    assert abs(float(by_hand) - game(2)[0][0]) < 1e-12


def test_lookahead_of_meta_weights_is_the_hand_written_one():
    torch.manual_seed(0)
    run = Weighted(nn.Linear(4, 1), steps=10).double()
    tasks = Streams(*regression(), batch=6, window=1).train
    runs = CarriedRuns(Lookahead(), run, tasks, 2, 0)
    window = runs.draw(torch.Generator().manual_seed(0))
    answer = Vmap().gradient(Problem(run, Lookahead()), window, torch.tensor([1, 2]))
    total = None
    for t in range(2):
        theta = [value.clone().requires_grad_() for value in run.init(None, int(window.run[t])).values()]
        x, y = window.episode.support.x[t, 0], window.episode.support.y[t, 0]
        each = ((nn.functional.linear(x, *theta) - y) ** 2).sum(-1)
        inner = (run.weigh(each[:, None])[:, 0] * each).mean()
        g = torch.autograd.grad(inner, theta, create_graph=True)
        ahead = [value - run.inner_lr * one for value, one in zip(theta, g, strict=True)]
        answer_ahead = nn.functional.linear(window.episode.query.x[t, 0], *ahead)
        held_out = nn.functional.mse_loss(answer_ahead, window.episode.query.y[t, 0])
        one = torch.autograd.grad(held_out, list(run.parameters()))
        total = one if total is None else [a + b for a, b in zip(total, one, strict=True)]
    for (name, _), want in zip(run.named_parameters(), total, strict=True):
        torch.testing.assert_close(answer.gradient[name], want / 2, rtol=1e-10, atol=1e-12)
        assert float(want.abs().max()) > 1e-6


# ---- at rest -----------------------------------------------------------------------------------------------------------


def rested(solver, steps=4000, features=4):
    """The gradient at rest, and the closed form: theta* = (X'X/n + D)^{-1} X'y/n with D = diag(exp(log))."""
    x, y = regression(40)
    support, query = qs.Examples(x[:20], y[:20]), qs.Examples(x[20:], y[20:])
    run = Decays(features, steps=steps).double()
    _, got = qs.meta_gradient(run, [qs.Episode(support, query)], estimator=FixedPoint(solver))
    log = run.log.detach().clone().requires_grad_()
    A = support.x.T @ support.x / 20 + torch.diag(log.exp())
    theta = torch.linalg.solve(A, support.x.T @ support.y / 20)
    want = torch.autograd.grad(((query.x @ theta - query.y) ** 2).mean(), log)[0]
    return got["log"], want, (run, A.detach(), theta.detach()[:, 0], query)


@pytest.mark.parametrize(
    ("solver", "tolerance"),
    [
        (Exact(), 1e-9),
        (Neumann(terms=3000), 1e-8),
        (ConjugateGradient(steps=8), 1e-8),
    ],
    ids=["exact", "neumann", "cg"],
)
def test_fixed_point_is_the_closed_form(solver, tolerance):
    got, want, _ = rested(solver)
    assert float((got - want).abs().max()) < tolerance * float(want.abs().max())
    unrolled = qs.meta_gradient(Decays(4, steps=1500).double(), [qs.Episode(*halves())])[1]["log"]
    assert float((unrolled - want).abs().max()) < 1e-5 * float(want.abs().max())


def halves():
    x, y = regression(40)
    return qs.Examples(x[:20], y[:20]), qs.Examples(x[20:], y[20:])


def test_identity_is_its_own_biased_value_and_far_from_the_truth():
    """T1-T2: dL/dphi = - a v' diag(exp(log)) theta*  where the truth has  a^{-1}(I - J)^{-1} = A^{-1} in the place of a."""
    got, want, (run, _, theta, query) = rested(Identity(1.0))
    v = 2 * query.x.T @ (query.x @ theta - query.y[:, 0]) / len(query)
    biased = -run.inner_lr * v * run.log.detach().exp() * theta
    torch.testing.assert_close(got, biased, rtol=1e-8, atol=1e-12)
    assert float((got - want).abs().max()) > 0.5 * float(want.abs().max())


def test_a_run_that_does_not_rest_is_not_exact():
    got, want, _ = rested(Exact(), steps=3)
    assert float((got - want).abs().max()) > 0.05 * float(want.abs().max())


def test_identity_solver_in_implicit_maml():
    """iMAML with H^{-1} ~ a I: gradient  proximal_weight a v."""
    from tests.exact.quadratic import Quadratic, half_squares, line, start

    task, network, a, proximal_weight = Quadratic(), line(), 0.1, 2.0
    learner = qs.IMAML(
        network, inner_lr=a, inner_steps=600, proximal_weight=proximal_weight, solver=Identity(), loss=half_squares
    )
    phi = start(network)
    theta = torch.linalg.solve(task.A + proximal_weight * task.I, task.A @ task.c + proximal_weight * phi)
    _, got = qs.meta_gradient(learner, [task.episode])
    want = proximal_weight * a * task.query_gradient(theta)
    torch.testing.assert_close(got["network.weight"][0], want, rtol=1e-8, atol=1e-10)


# ---- runs whose start is learned, and other behaviour of the carry -----------------------------------------------------


class LearnedStart(Scalar):
    """s_0 = phi too."""

    learned_start = True

    def init(self, task, seed):
        return {"s": self.phi + 0 * task.x.sum()}


def test_a_learned_start_is_differentiated_in_the_first_window():
    run, (b, m) = LearnedStart(STEPS), batches()
    gradients, _ = over_the_run(Backprop(), run, Replayed(b, m, STEPS), TASKS, executor="vmap")

    def mean_loss(phi):
        s, total = phi.expand(TASKS), 0.0
        for t in range(STEPS):
            s = run.a * s + phi * b[:, t]
            total = total + 0.5 * ((s - m[:, t]) ** 2).mean() / STEPS
        return total

    b, m = batches()
    want = torch.func.grad(mean_loss)(run.phi.detach())
    torch.testing.assert_close(gradients[0]["phi"], want)
    forward, _ = over_the_run(ForwardMode(), LearnedStart(STEPS), Replayed(*batches(), WINDOW), TASKS)
    torch.testing.assert_close(sum(one["phi"] for one in forward) / len(forward), want)


def test_a_run_begins_anew_at_its_end_and_where_it_diverges():
    run = Scalar(steps=8)
    runs = CarriedRuns(Backprop(), run, Replayed(*batches(), 4), TASKS, 0)
    numbers, starts = [], []
    for i in range(4):
        window = runs.draw(torch.Generator().manual_seed(i))
        numbers.append(window.run.clone())
        starts.append(window.carry["s"].clone())
        answer = Loop().gradient(Problem(run, Backprop()), window, torch.zeros(TASKS, dtype=torch.int64))
        if i == 2:
            answer.carry["s"][1] = torch.nan
        runs.take(answer)
    assert torch.equal(numbers[0], numbers[1])
    assert not (numbers[1] == numbers[2]).any()
    assert (numbers[2] == numbers[3]).tolist() == [True, False, True]
    assert torch.equal(starts[2], torch.ones(TASKS).double())
    assert (starts[3] == 1).tolist() == [False, True, False]


def test_what_serves_no_plain_learner():
    learner = qs.MAML(nn.Linear(4, 1))
    for estimator in (Lookahead(), FixedPoint()):
        with pytest.raises(errors.UnsupportedError, match=r"`estimator`: expected one that serves Descent.*Use Backprop\(\)"):
            qs.meta_gradient(learner, [qs.Episode(*halves())], estimator=estimator)
    with pytest.raises(errors.UnsupportedError, match=r"whose meta-gradient is not the derivative.*hypergradient=Unrolled"):
        qs.meta_gradient(qs.FOMAML(nn.Linear(4, 1)), [qs.Episode(*halves())], estimator=ForwardMode())
    with pytest.raises(errors.UnsupportedError, match=r"expected one that serves 5 meta-parameters.*Evolution"):
        qs.meta_gradient(learner, [qs.Episode(*halves())], estimator=ForwardMode(most=4))
    for bad in (0, 3):
        for estimator in (Evolution, PersistentEvolution):
            with pytest.raises(errors.ArgumentError, match=r"`population`: expected an even number of members"):
                estimator(population=bad)
    with pytest.raises(errors.ArgumentError, match=r"`sigma`: expected a standard deviation above 0"):
        Evolution(sigma=0.0)


@pytest.mark.wrong_types
def test_an_order_that_does_not_exist():
    with pytest.raises(errors.ArgumentError, match=r"`order`: expected one of 1, 2, got 3"):
        Lookahead(order=3)
