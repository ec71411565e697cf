"""Every learner of the library under every outer method: each cell held to what its method claims, or refused with a way out.

    Backprop, ForwardMode          the slope of the loss along 4 fixed directions, by central differences
    Evolution, PersistentEvolution the slope of the smoothed loss along them, with common random numbers, within the interval
    Lookahead, FixedPoint          of training runs: the slope of what they define; elsewhere refused
    ScoreFunction                  enumeration where there is a choice (test_searches.py); elsewhere refused
    CMAES, PopulationBased         a planted optimum, whose loss is 0, is approached
    Unrolled, FirstOrder, ...      the closed form of each hypergradient on the quadratic task

The learners are those of the checks, on networks of at most 50 parameters, in float64. A learner whose meta-gradient is not the
derivative of its loss (first order and its kin) is held to its closed form instead, and to what needs only values.
"""

from __future__ import annotations

import copy
import importlib
import math

import pytest
import torch
from tests.checks.every import CASES, each
from tests.exact.quadratic import Quadratic, half_squares, line, start
from tests.meta.runs import Decays, Weighted, regression
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.forward.context import Context
from quickstudy.learners.bilevel.training_run import TrainingRun
from quickstudy.learners.wrap.tables import Tables
from quickstudy.linear_solvers import ConjugateGradient, Exact, Identity, Neumann
from quickstudy.meta.carried import CarriedRuns
from quickstudy.meta.estimators import ReptileDirection
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.estimators.evolution import Evolution, PersistentEvolution, perturbations
from quickstudy.meta.estimators.fixed_point import FixedPoint
from quickstudy.meta.estimators.forward_mode import ForwardMode
from quickstudy.meta.estimators.lookahead import Lookahead
from quickstudy.meta.estimators.score_function import ScoreFunction
from quickstudy.meta.executors import Loop, Vmap
from quickstudy.meta.problem import Problem
from quickstudy.meta.searches.cmaes import CMAES
from quickstudy.meta.searches.population_based import PopulationBased
from quickstudy.tasks import TaskDistribution
from quickstudy.tasks.distribution.streams import Streams

SEEDS = torch.tensor([3])
DIRECTIONS, STEP = 4, 1e-5
LARGEST = 400  # parameters, of a learner that is bound to larger networks, where a population is evaluated


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# ---- the learners ------------------------------------------------------------------------------------------------------


def small(outputs=3):
    return qs.models.mlp(6, outputs, hidden=(3,))


def small_normed():
    return nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Dropout(0.3), nn.LayerNorm(3), nn.Linear(3, 3))


def runs():
    """The training runs of the tests."""
    torch.manual_seed(0)
    x, y = regression(24)
    episode = qs.Episode(qs.Examples(x[:12], y[:12]), qs.Examples(x[12:], y[12:]))
    return {
        "Weighted": (lambda: Weighted(nn.Linear(4, 1), steps=3, inner_lr=0.1), episode),
        "Decays": (lambda: Decays(steps=5), episode),
    }


def names():
    return [*CASES, *(f"runs: {name}" for name in runs())]


def built(name, monkeypatch):
    """The learner and a task, in float64; `network` and `normed` of the checks are made smaller."""
    module, _, own = name.partition(": ")
    if module == "runs":
        make, episode = runs()[own]
        torch.manual_seed(1)
        learner = make()
    else:
        home = importlib.import_module(f"tests.checks.{module}")
        for attribute, other in (("network", small), ("normed", small_normed)):
            if hasattr(home, attribute):
                monkeypatch.setattr(home, attribute, other)
        learner, episode = home.CASES[own]()
    learner = copy.deepcopy(learner).double()
    return learner, episode.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)


LEARNERS = each(names())


def trainable(learner):
    return {name: value for name, value in learner.named_parameters() if value.requires_grad}


def learns(learner):
    return learner.meta_learns and bool(trainable(learner))


def directions(phi):
    """Four fixed unit directions over all of phi, by name (4, *parameter)."""
    generator = torch.Generator().manual_seed(11)
    found = {name: torch.randn(DIRECTIONS, *value.shape, generator=generator, dtype=value.dtype) for name, value in phi.items()}
    norm = sum(one.reshape(DIRECTIONS, -1).square().sum(1) for one in found.values()).sqrt()
    return {name: one / norm.reshape(-1, *[1] * (one.ndim - 1)) for name, one in found.items()}


def along(gradient, d):
    return torch.stack([sum((gradient[name] * d[name][i]).sum() for name in d) for i in range(DIRECTIONS)])


def fastest(learner):
    """Vmap where it serves, or the loop."""
    return Vmap() if Vmap().refusal(Problem(learner, Backprop())) is None else Loop()


def values(executor, problem, members, batch):
    try:
        return executor.values(problem, members, batch, SEEDS).loss[:, 0]
    except (RuntimeError, NotImplementedError):  # torch has no batching rule for something
        return Loop().values(problem, members, batch, SEEDS).loss[:, 0]


def slopes(problem, batch, executor, shifts=None, step=STEP):
    """d/dh L(phi + shift + h d_i) by central differences: (4,), or (4, shifts)."""
    phi = problem.phi()
    d = directions(phi)
    n = 1 if shifts is None else next(iter(shifts.values())).shape[0]
    shifts = {name: torch.zeros(1, *value.shape, dtype=value.dtype) for name, value in phi.items()} if shifts is None else shifts
    members = {
        name: torch.cat([value.detach() + shifts[name] + sign * step * d[name][i] for i in range(DIRECTIONS) for sign in (1, -1)])
        for name, value in phi.items()
    }
    losses = values(executor, problem, members, batch).reshape(DIRECTIONS, 2, n)
    found = (losses[:, 0] - losses[:, 1]) / (2 * step)
    return found[:, 0] if n == 1 else found


def refusal(function):
    """The text of the error by which it is refused; None where it is not."""
    try:
        function()
    except errors.UnsupportedError as error:
        return str(error)
    return None


def close(got, want, tolerance=2e-5):
    scale = max(float(want.abs().max()), 1e-3)
    return float((got - want).abs().max()) <= tolerance * scale


def batched(episode):
    return episode.map(lambda leaf: leaf[None])


def answer(problem, batch, executor=None):
    from quickstudy.meta.gradient import in_chunks

    return in_chunks(executor or Loop(), problem, batch, SEEDS, None).gradient


# ---- derivatives -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARNERS)
def test_exact_gradients(name, monkeypatch):
    """Backprop and ForwardMode, where the learner declares its gradient exact; ForwardMode is refused elsewhere."""
    learner, episode = built(name, monkeypatch)
    if not learns(learner):
        return
    size, batch = sum(value.numel() for value in trainable(learner).values()), batched(episode)
    forward, refused = ForwardMode(), refusal(lambda: ForwardMode().check(learner))
    if refused is not None:
        assert not learner.exact_gradient or size > forward.most or learner.hypergradient.recompute
        assert "Backprop()" in refused
    if not learner.exact_gradient:
        return
    problem = Problem(learner, Backprop())
    d, want = directions(trainable(learner)), slopes(problem, batch, fastest(learner))
    got = along(answer(problem, batch), d)
    assert close(got, want), (got, want)
    if refused is None:
        found = []
        refused = refusal(lambda: found.append(along(answer(Problem(learner, forward), batch), d)))
        if refused is None:
            assert close(found[0], got, 1e-8), (found[0], got)
        else:  # torch has no third derivative of a norm in a transform
            assert any(isinstance(part, nn.LayerNorm | nn.BatchNorm1d | nn.BatchNorm2d) for part in learner.modules()), refused
            assert "Use Backprop() or Evolution()" in refused


def test_the_comparison_would_notice(monkeypatch):
    """The control: first order is not the slope of the loss."""
    learner, episode = built("learners: MAML", monkeypatch)
    first = copy.deepcopy(learner)
    first.hypergradient = qs.FirstOrder()
    batch, d = batched(episode), directions(trainable(learner))
    want = slopes(Problem(learner, Backprop()), batch, Vmap())
    assert not close(along(answer(Problem(first, Backprop()), batch), d), want)


@pytest.mark.parametrize("name", LEARNERS)
def test_smoothed_gradients(name, monkeypatch):
    """E[g . d] = d . grad of the smoothed loss: both are measured under the same perturbations, and their difference covers 0."""
    learner, episode = built(name, monkeypatch)
    if not learns(learner) or sum(value.numel() for value in trainable(learner).values()) > LARGEST:
        return
    batch, executor, sigma = batched(episode), fastest(learner), 0.02
    repeats, n = (8, 8) if isinstance(executor, Vmap) else (4, 2)
    problem = Problem(learner, Backprop())
    d = directions(trainable(learner))
    phi = problem.phi()
    differences = {"Evolution": [], "PersistentEvolution": []}
    for repeat in range(repeats):
        seeds = torch.tensor([100 + repeat])
        e = perturbations(phi, n, seeds)
        shifts = {key: sigma * torch.cat([one, -one]) for key, one in e.items()}
        want = slopes(problem, batch, executor, shifts, step=1e-4).mean(1)
        for estimator in (Evolution(2 * n, sigma, ranks=False), PersistentEvolution(2 * n, sigma)):
            own = Problem(learner, estimator)
            fixed = lambda phi, n, _: perturbations(phi, n, seeds)  # noqa: B023
            monkeypatch.setattr("quickstudy.meta.estimators.evolution.perturbations", fixed)
            try:
                got = estimator.estimate(executor, own, batch, SEEDS).gradient
            except (RuntimeError, NotImplementedError):
                got = estimator.estimate(Loop(), own, batch, SEEDS).gradient
            differences[type(estimator).__name__].append(along(got, d) - want)
    t = {4: 12.9, 8: 5.41}[repeats]  # Student's t, 99.9 % on both sides, for each of the 4 directions
    for key, rows in differences.items():
        found = torch.stack(rows)
        half = t * found.std(0) / math.sqrt(repeats) + 1e-7
        assert bool((found.mean(0).abs() < half).all()), (key, found.mean(0), half)


# ---- what serves only some ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARNERS)
def test_refusals_name_what_serves(name, monkeypatch):
    """Lookahead and FixedPoint serve training runs, ScoreFunction a choice; elsewhere each names a method that does serve."""
    learner, episode = built(name, monkeypatch)
    if not learns(learner):
        return
    run = isinstance(learner, TrainingRun)
    for estimator in (*(() if run else (Lookahead(), FixedPoint())), ScoreFunction()):
        with pytest.raises(errors.UnsupportedError, match=r"`estimator`: expected one that serves .* Use Backprop\(\)"):
            qs.meta_gradient(learner, [episode], estimator=estimator)
    if run:
        with pytest.raises(errors.UnsupportedError, match=r"on a stream.*Use Backprop\(\)"):
            qs.meta_gradient(learner, [episode], estimator=Lookahead())
    if type(learner).adapted is qs.Learner.adapted:
        with pytest.raises(errors.UnsupportedError, match=r"adapts no parameters.*Use Backprop\(\)"):
            qs.meta_gradient(learner, [episode], estimator=ReptileDirection())


RUNS = [name for name in names() if name.startswith("runs: ")]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", RUNS)
def test_lookahead_of_runs(name, order, monkeypatch):
    """The slope of objective(step(s, batch)), or at order 1 of objective(s)."""
    learner, _ = built(name, monkeypatch)
    runs = CarriedRuns(Lookahead(order), learner, Streams(*regression(), batch=6, window=1).train, 1, 0)
    problem = Problem(learner, Lookahead(order))
    for i in range(2):
        runs.take(Loop().gradient(problem, runs.draw(torch.Generator().manual_seed(i)), SEEDS))
    window = runs.draw(torch.Generator().manual_seed(2))
    window.carry["due"].zero_()  # its value is a function of phi through the virtual step alone
    assert float(window.carry["state"]["theta" if "theta" in window.carry["state"] else "weight"].abs().max()) > 0
    got = along(answer(problem, window), directions(trainable(learner)))
    want = slopes(problem, window, Loop())
    assert close(got, want, 1e-4)
    assert (float(want.abs().max()) > 1e-6) == (order == 2)  # neither acts on the outer loss directly


@pytest.mark.parametrize(
    "solver",
    [Exact(), Neumann(terms=500), Identity(1.0)],
    ids=["exact", "neumann", "identity"],
)
def test_fixed_point_of_a_run_at_rest(solver, monkeypatch):
    """At rest: the slope of a long run; with the identity, that of the last step alone."""
    learner, episode = built("runs: Decays", monkeypatch)
    learner.steps = 500
    got = along(answer(Problem(learner, FixedPoint(solver)), batched(episode)), directions(trainable(learner)))
    if isinstance(solver, Identity):
        rest = learner.copied().state(episode.support, Context()).values
        learner.steps = 1
        rest = {name: value.detach() for name, value in rest.items()}
        monkeypatch.setattr(learner, "init", lambda task, seed: rest)
    want = slopes(Problem(learner, Backprop()), batched(episode), Loop(), step=1e-4)
    assert close(got, want, 1e-4)


# ---- searches ----------------------------------------------------------------------------------------------------------


class Planted(TaskDistribution):
    """One task, again and again, whose targets are the learner's own answers at phi*."""

    def __init__(self, episode):
        self.episode, self.ways, self.shots, self.queries = episode, None, len(episode.support), len(episode.query)

    def sample(self, n, *, generator=None):
        return self.episode.map(lambda leaf: leaf.expand(n, *leaf.shape))

    def examples(self):
        return self.episode.support

    def to(self, device):
        return self

    def check_protocol(self):
        """Fixed."""


@pytest.mark.parametrize("name", LEARNERS)
def test_searches_approach_a_planted_optimum(name, monkeypatch):
    """The outer loss is the squared distance to the answers at phi*, so its minimum is 0, at phi*; the start is beside it."""
    learner, episode = built(name, monkeypatch)
    size = sum(value.numel() for value in trainable(learner).values())
    if not learns(learner) or not 2 <= size <= 60 or any(isinstance(part, nn.Dropout | Tables) for part in learner.modules()):
        return  # with dropout, or one random view of a table, the loss that is lowered is not the distance itself
    if type(learner).prepare is not qs.Learner.prepare:
        return  # its shape comes from the meta-training tasks
    if isinstance(learner, TrainingRun):
        init = learner.init
        learner.init = lambda task, seed: init(task, 0)  # the student of the planted answers, for every episode
    teacher = learner.adapt(episode.support)(episode.query.x)
    distance = lambda prediction, y: ((prediction - teacher) ** 2).mean()
    generator = torch.Generator().manual_seed(5)
    star = {key: value.detach().clone() for key, value in trainable(learner).items()}
    start_at = {
        key: value + 0.5 * torch.randn(value.shape, generator=generator, dtype=value.dtype) for key, value in star.items()
    }
    executor = fastest(learner).name

    def loss():
        with torch.no_grad():
            return float(distance(learner(episode.support, episode.query.x), None))

    for outer in (CMAES(sigma=0.1, population=16), PopulationBased(16, sigma=0.1)):
        with torch.no_grad():
            for key, value in trainable(learner).items():
                value.copy_(start_at[key])
        first = loss()
        qs.meta_train(
            learner,
            Planted(episode),
            steps=25,
            tasks_per_step=1,
            outer=outer,
            loss=distance,
            executor=executor,
            progress=False,
        )
        assert loss() < 0.8 * first, (type(outer).__name__, first, loss())


# ---- hypergradients, each by its closed form ---------------------------------------------------------------------------

A, K, STRENGTH = 0.2, 4, 2.0


def closed(task, phi, name):
    """On the quadratic task: M B (t_K - d), with M = (I - aA)^K for what is unrolled."""
    I, M = task.I, task.M
    if name == "Implicit, identity":
        theta = torch.linalg.solve(task.A + STRENGTH * I, task.A @ task.c + STRENGTH * phi)
        return STRENGTH * A * task.query_gradient(theta)
    if name.startswith("Implicit"):
        theta = torch.linalg.solve(task.A + STRENGTH * I, task.A @ task.c + STRENGTH * phi)
        return STRENGTH * torch.linalg.solve(task.A + STRENGTH * I, task.query_gradient(theta))
    power = {"Unrolled": K, "recomputed": K, "FirstOrder": 0, "Truncated(0)": 0, "Truncated(2)": 2, "Truncated(9)": K}[name]
    return M(A, power) @ task.query_gradient(task.theta(phi, A, K))


HYPERGRADIENTS = {
    "Unrolled": qs.Unrolled(),
    "recomputed": qs.Unrolled(recompute=True),
    "FirstOrder": qs.FirstOrder(),
    "Truncated(0)": qs.Truncated(0),
    "Truncated(2)": qs.Truncated(2),
    "Truncated(9)": qs.Truncated(9),
    "Implicit, CG": qs.Implicit(ConjugateGradient(steps=8)),
    "Implicit, Neumann": qs.Implicit(Neumann(terms=80)),
    "Implicit, exact": qs.Implicit(Exact()),
    "Implicit, identity": qs.Implicit(Identity()),
}


@pytest.mark.parametrize("name", HYPERGRADIENTS)
def test_hypergradients(name):
    task, network, implicit = Quadratic(), line(), name.startswith("Implicit")
    options = {"proximal_weight": STRENGTH, "inner_steps": 80} if implicit else {"inner_steps": K}
    learner = qs.Descent(network, inner_lr=A, hypergradient=HYPERGRADIENTS[name], loss=half_squares, **options)
    got = qs.meta_gradient(learner, [task.episode])[1]["network.weight"][0]
    want = closed(task, start(network), name)
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-10)
    others = [closed(task, start(network), other) for other in ("Unrolled", "FirstOrder", "Truncated(2)", "Implicit, exact")]
    assert sum(float((want - one).norm()) > 0.01 * float(want.norm()) for one in others) >= 3  # the claims differ
