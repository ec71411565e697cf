"""Methods that need values only: evolution, the score function, searches. What they find, survive and refuse."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tests.meta.runs import Decays, Scalar, Weighted, regression
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.bilevel.training_run import TrainingRun
from quickstudy.learners.learner import Learner
from quickstudy.linear_solvers import ConjugateGradient
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.estimators.evolution import Evolution, PersistentEvolution, centred_ranks, scored
from quickstudy.meta.estimators.fixed_point import FixedPoint
from quickstudy.meta.estimators.forward_mode import ForwardMode
from quickstudy.meta.estimators.lookahead import Lookahead
from quickstudy.meta.estimators.score_function import ScoreFunction
from quickstudy.meta.searches.cmaes import CMAES
from quickstudy.meta.searches.population_based import PopulationBased
from quickstudy.models.choice import Choice, drawn
from quickstudy.tasks import TaskDistribution
from quickstudy.tasks.distribution.streams import Streams
from quickstudy.tasks.synthetic.quadratic import Quadratic, half_squares

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

SGD = partial(torch.optim.SGD, lr=0.05)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def line(size=4):
    torch.manual_seed(0)
    return nn.Linear(size, 1, bias=False, dtype=torch.float64)


def quadratic():
    return qs.MAML(line(), inner_lr=0.1, loss=half_squares)


def batch(n=3):
    return Quadratic(dtype=torch.float64).train.sample(n, generator=torch.Generator().manual_seed(0))


# ---- evolution ---------------------------------------------------------------------------------------------------------


def test_evolution_is_unbiased_on_a_quadratic():
    """Smoothing a quadratic leaves its gradient, so the interval covers the exact one; the sign flipped it does not."""
    learner, episodes = quadratic(), batch()
    exact = qs.meta_gradient(learner, episodes)[1]["network.weight"][0]
    estimator = Evolution(population=64, sigma=0.1, ranks=False)
    found = torch.stack(
        [
            qs.meta_gradient(learner, episodes, estimator=estimator, executor="vmap", seed=s)[1]["network.weight"][0]
            for s in range(60)
        ]
    )
    mean, half = found.mean(0), 3.5 * found.std(0) / 60**0.5
    assert bool(((mean - exact).abs() < half).all())
    assert bool((half < 0.3 * exact.abs().max()).all())
    assert not bool(((mean + exact).abs() < half).all())


@pytest.mark.parametrize("estimator", [Evolution(8), Evolution(8, ranks=False, together=3), PersistentEvolution(8)])
def test_population_in_a_loop_equals_the_nested_vmap(estimator):
    torch.manual_seed(0)
    learner = qs.MAML(nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.3), nn.Linear(5, 1)).double(), inner_lr=0.1)
    (_, loop), (_, nested) = (qs.meta_gradient(learner, batch(), estimator=estimator, executor=e) for e in ("loop", "vmap"))
    for name, one in loop.items():
        torch.testing.assert_close(nested[name], one, rtol=1e-10, atol=1e-12)
    assert max(float(one.abs().max()) for one in loop.values()) > 1e-3


def test_together_changes_nothing():
    learner = quadratic()
    one, two = (qs.meta_gradient(learner, batch(), estimator=Evolution(8, together=k), executor="vmap")[1] for k in (None, 3))
    torch.testing.assert_close(one["network.weight"], two["network.weight"])


def test_centred_ranks():
    scores = torch.tensor([3.0, -1.0, 100.0, 3.0])
    assert centred_ranks(scores).tolist() == pytest.approx([0.0, -0.5, 0.5, 0.0])
    assert float(centred_ranks(torch.randn(9)).sum()) == pytest.approx(0.0, abs=1e-6)


def test_a_member_that_diverges_is_scored_worst():
    losses = torch.tensor([[1.0, torch.nan], [5.0, torch.inf], [torch.nan, torch.nan]])
    assert scored(losses).tolist() == [[1.0, 0.0], [5.0, 0.0], [5.0, 0.0]]
    with pytest.raises(errors.NotFiniteError, match=r"`population`: expected a member under which some task's loss is finite"):
        scored(torch.full((2, 2), torch.nan))


class Fragile(Scalar):
    """s' = phi s, which overflows where phi is above 1e30."""

    def step(self, state, batch):
        return {"s": state["s"] * torch.exp(100 * self.phi)}

    def objective(self, state, batch):
        return state["s"].square()

    def predict(self, state, x):
        return state["s"] + 0 * x


@pytest.mark.parametrize("executor", ["loop", "vmap"])
@pytest.mark.parametrize("ranks", [False, True])
def test_evolution_walks_away_from_divergence(executor, ranks):
    """Half of the members overflow; the gradient is finite and points away from them."""
    run = Fragile(steps=3, phi=1.2)
    episode = qs.Episode(*(qs.Examples(torch.zeros(2, 1).double(), torch.zeros(2, 1).double()) for _ in range(2)))
    assert bool(torch.isinf(run(episode.support, episode.query.x)).sum() == 0)
    _, gradient = qs.meta_gradient(run, [episode], estimator=Evolution(64, sigma=0.5, ranks=ranks), executor=executor)
    assert torch.isfinite(gradient["phi"])
    assert float(gradient["phi"]) > 0


def test_an_error_of_an_inner_solver_is_a_score_too():
    """The proximal weight of this iMAML is too small for CG's curvature: the loop raises, evolution does not."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    learner = qs.IMAML(
        net, inner_lr=0.1, inner_steps=1, proximal_weight=0.01, solver=ConjugateGradient(steps=20, tolerance=1e-14)
    )
    with pytest.raises(errors.QuickstudyError):
        qs.meta_gradient(learner, batch())
    with pytest.raises(errors.NotFiniteError, match="population"):
        qs.meta_gradient(learner, batch(), estimator=Evolution(4), executor="loop")


# ---- influence balancing -----------------------------------------------------------------------------------------------


class InfluenceBalancing(TrainingRun):
    """s' = A s + phi (p ones, n - p minus ones); L = 1/2 (s_1 - 1)^2 (Vicol et al. 2021, section 5.1; Tallec & Ollivier 2017).

    A has 0.5 on its diagonal and 0.5 above it, so that minus ones reach s_1 only after many steps: within a short window the
    influence of phi has the wrong sign.
    """

    def __init__(self, steps, n=23, p=10):
        super().__init__(steps=steps)
        self.n, self.p, self.phi = n, p, nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def init(self, task, seed):
        return {"s": torch.ones(self.n, dtype=torch.float64)}

    def step(self, state, batch):
        s = state["s"]
        above = torch.cat([s[1:], s.new_zeros(1)])
        signs = torch.cat([s.new_ones(self.p), -s.new_ones(self.n - self.p)])
        return {"s": 0.5 * s + 0.5 * above + self.phi * signs}

    def objective(self, state, batch):
        return 0.5 * (state["s"][0] - 1) ** 2

    def predict(self, state, x):
        return state["s"][:1] + 0 * x


class Nothing(TaskDistribution):
    """A stream of nothing: the run needs no data."""

    ways, shots, queries = None, 1, 1

    def __init__(self, window):
        self.window = window

    def sample(self, n, *, generator=None):
        zeros = torch.zeros(n, self.window, 1, 1, dtype=torch.float64)
        return qs.Episode(qs.Examples(zeros, zeros), qs.Examples(zeros, zeros))

    def examples(self):
        return self.sample(1).support

    def to(self, device):
        return self

    def check_protocol(self):
        """Nothing to check."""


def balanced(estimator, window=1, steps=900, lr=1e-4, length=10**9):
    """phi and loss after `steps` windows of one endless run."""
    run = InfluenceBalancing(length)
    outer = qs.Gradient(estimator, partial(torch.optim.SGD, lr=lr))
    record = qs.meta_train(run, Nothing(window), steps=steps, tasks_per_step=1, outer=outer, executor="vmap", progress=False)
    return float(run.phi.detach()), record.history[-1]["loss"]


def test_influence_balancing():
    """At rest s_i = s_{i+1} +- 2 phi, so s_1 = 2 phi (2p - n) = -6 phi, and phi* = -1/6. Truncation runs away from it."""
    away, _ = balanced(Backprop(), window=5, steps=60, lr=5e-4)
    assert away > 0.51  # it began at 0.5
    for estimator in (PersistentEvolution(300, sigma=0.1), ForwardMode()):
        phi, _ = balanced(estimator, window=5, steps=160, lr=5e-4)
        assert abs(phi + 1 / 6) < 0.02, estimator
    away, _ = balanced(Evolution(100, sigma=0.1, ranks=False), window=5, steps=60, lr=5e-4)
    assert away > 0.51


# ---- the score function ------------------------------------------------------------------------------------------------


class Mixture(Learner):
    """Predicts by one of three numbers for each of two choices, and a slope of its own."""

    def __init__(self, use="sampled"):
        super().__init__()
        self.first, self.second = Choice(3, use), Choice(2, use)
        self.slope = nn.Parameter(torch.tensor(0.7))
        with torch.no_grad():
            self.first.logits.copy_(torch.tensor([0.3, -0.2, 0.5]))
            self.second.logits.copy_(torch.tensor([-0.4, 0.1]))

    def learn(self, support):
        return {"mean": support.y.mean()}

    def predict(self, state, x):
        a = self.first() @ x.new_tensor([0.0, 1.0, 2.0])
        b = self.second() @ x.new_tensor([-1.0, 1.0])
        return state["mean"] + self.slope * x * a * b + b


def enumerated(learner, episode):
    """d/dphi sum_c p(c) L(c), over all six combinations."""
    total = 0.0
    for i, j in itertools.product(range(3), range(2)):
        learner.first.weights, learner.second.weights = (
            F.one_hot(torch.tensor(i), 3).double(),
            F.one_hot(torch.tensor(j), 2).double(),
        )
        p = torch.softmax(learner.first.logits, -1)[i] * torch.softmax(learner.second.logits, -1)[j]
        total = total + p * learner.loss(episode)
    for choice in (learner.first, learner.second):
        choice.clear()
    return dict(zip(dict(learner.named_parameters()), torch.autograd.grad(total, list(learner.parameters())), strict=True))


def targets():
    generator = torch.Generator().manual_seed(0)
    draw = lambda n: qs.Examples(*(torch.randn(n, 1, generator=generator, dtype=torch.float64) for _ in range(2)))
    return qs.Episode(draw(5), draw(6))


@pytest.mark.parametrize("estimator", [ScoreFunction(4), ScoreFunction(2), ScoreFunction(1, baseline=False)])
def test_score_function_by_enumeration(estimator):
    """The mean over thousands of draws covers the enumerated gradient; the mixed relaxation's gradient does not."""
    learner, episode = Mixture().double(), targets()
    want = enumerated(learner, episode)
    n = 4000
    episodes = episode.map(lambda leaf: leaf.expand(1, *leaf.shape))
    from quickstudy.meta.problem import Problem

    f = Problem(learner, estimator).function()
    phi = {name: value.detach() for name, value in learner.named_parameters()}
    each = torch.func.vmap(torch.func.grad(lambda phi, seed: f(phi, {}, episodes[0], seed).loss), (None, 0))(phi, torch.arange(n))
    mixed = qs.meta_gradient(Mixture("mixed").double(), [episode])[1]
    missed = []
    for name, one in want.items():
        got = each[name]
        half = 4 * got.std(0) / n**0.5
        assert bool(((got.mean(0) - one).abs() < half).all()), name
        missed.append(bool(((mixed[name] - one).abs() > half).any()))
    assert any(missed)


def test_the_baseline_lowers_the_variance():
    learner, episode = Mixture().double(), targets()
    from quickstudy.meta.problem import Problem

    phi = {name: value.detach() for name, value in learner.named_parameters()}
    spread = []
    for estimator in (ScoreFunction(4), ScoreFunction(4, baseline=False)):
        f = Problem(learner, estimator).function()
        one = torch.func.grad(lambda phi, seed, f=f: f(phi, {}, episode, seed).loss)
        each = torch.func.vmap(one, (None, 0))(phi, torch.arange(2000))
        spread.append(float(each["first.logits"].var(0).sum()))
    assert spread[0] < 0.7 * spread[1]


def test_executors_draw_the_same_choices():
    learner = Mixture().double()
    episodes = [targets(), targets()]
    (_, loop), (_, nested) = (
        qs.meta_gradient(learner, episodes, estimator=ScoreFunction(3), executor=e) for e in ("loop", "vmap")
    )
    for name, one in loop.items():
        torch.testing.assert_close(nested[name], one, rtol=1e-11, atol=1e-12)


def test_uses_of_a_choice():
    choice = Choice(3)
    with torch.no_grad():
        choice.logits.copy_(torch.tensor([0.1, 2.0, -1.0]))
    torch.testing.assert_close(choice(), torch.softmax(choice.logits, -1))
    assert choice.best == 1
    assert Choice(2, "best")().tolist() == [1.0, 0.0]
    sampled = Choice(3, "sampled")
    with torch.no_grad():
        sampled.logits.copy_(choice.logits)
    assert sampled().tolist() == [0.0, 1.0, 0.0]  # outside of meta-training: its best
    counts = torch.zeros(3)
    for seed in range(3000):
        with drawn(sampled, seed):
            counts += sampled()
    torch.testing.assert_close(counts / 3000, torch.softmax(choice.logits, -1).detach(), atol=0.03, rtol=0)
    assert sampled.weights is None


def test_gumbel_is_straight_through():
    """Its value is one-hot, its derivative that of the softmax of the perturbed logits."""
    choice = Choice(3, "gumbel", temperature=0.7).double()
    with drawn(choice, 5):
        value = choice()
        got = torch.autograd.grad(value @ torch.tensor([1.0, 2.0, 4.0]).double(), choice.logits)[0]
        soft = value.detach()
    assert sorted(soft.tolist()) == [0.0, 0.0, 1.0]
    from quickstudy.random import stateless_uniform

    u = stateless_uniform(5, (3,), stream=7001, dtype=torch.float64)
    logits = choice.logits.detach().requires_grad_()
    p = torch.softmax((logits - torch.log(-torch.log(u))) / 0.7, -1)
    torch.testing.assert_close(got, torch.autograd.grad(p @ torch.tensor([1.0, 2.0, 4.0]).double(), logits)[0])


@pytest.mark.wrong_types
def test_what_a_choice_refuses():
    with pytest.raises(errors.ArgumentError, match=r"`n`: expected 1 option or more, got 0. An empty space"):
        Choice(0)
    with pytest.raises(errors.ArgumentError, match=r"`use`: expected one of 'mixed'"):
        Choice(2, "argmax")
    with pytest.raises(errors.ArgumentError, match=r"`temperature`: expected a number above 0"):
        Choice(2, temperature=0.0)
    with pytest.raises(errors.ArgumentError, match=r"`draws`: expected 2 or more, for a baseline, got 1"):
        ScoreFunction(1)
    with pytest.raises(errors.UnsupportedError, match=r"no distribution to draw from.*Use Backprop\(\) or Evolution\(\)"):
        qs.meta_gradient(quadratic(), batch(), estimator=ScoreFunction())


# ---- searches ----------------------------------------------------------------------------------------------------------


class Fixed(TaskDistribution):
    """The same episodes every time, so that the optimum is one."""

    def __init__(self, episodes):
        self.episodes, self.ways, self.shots, self.queries = episodes, None, len(episodes[0].support), len(episodes[0].query)

    def sample(self, n, *, generator=None):
        return self.episodes[:n]

    def examples(self):
        return self.episodes[0].support

    def to(self, device):
        return self

    def check_protocol(self):
        """Fixed."""


def optimum(learner, episodes):
    """argmin of the mean loss, a quadratic in phi: one Newton step."""
    size = learner.network.weight.numel()

    def gradient(w):
        with torch.no_grad():
            learner.network.weight.copy_(w[None])
        return qs.meta_gradient(learner, episodes)[1]["network.weight"][0]

    zero = gradient(torch.zeros(size).double())
    H = torch.stack([gradient(e) - zero for e in torch.eye(size).double()])
    return torch.linalg.solve(H, -zero)


@pytest.mark.parametrize(
    ("outer", "steps", "near"),
    [
        (CMAES(sigma=0.5), 80, 1e-3),
        (PopulationBased(population=32, sigma=0.3), 150, 0.05),
        (qs.Gradient(Evolution(32), SGD), 200, 0.25),
        (qs.Gradient(Evolution(32, ranks=False), SGD), 300, 0.05),
        (qs.Gradient(PersistentEvolution(32), SGD), 300, 0.05),
    ],
    ids=["CMA-ES", "population based", "evolution, ranks", "evolution", "persistent evolution"],
)
def test_the_optimum_is_reached(outer, steps, near):
    learner, episodes = quadratic(), batch()
    want = optimum(learner, episodes)
    with torch.no_grad():
        learner.network.weight.fill_(1.0)
    qs.meta_train(learner, Fixed(episodes), steps=steps, tasks_per_step=3, outer=outer, executor="vmap", progress=False)
    assert float((learner.network.weight.detach()[0] - want).norm()) < near
    assert float((torch.ones(4) - want).norm()) > 10 * near  # it had a way to go


def test_population_based_training_copies_students_with_their_phi():
    """On a stream every member trains its own student; the mean held-out loss of the best falls below that of the start."""
    torch.manual_seed(0)
    run = Decays(steps=10**6, inner_lr=0.05).double()
    with torch.no_grad():
        run.log.fill_(1.5)  # decays far too strong
    tasks = Streams(*regression(200), batch=16, window=5)
    record = qs.meta_train(
        run, tasks.train, steps=120, tasks_per_step=2, outer=PopulationBased(16, sigma=0.5), executor="vmap", progress=False
    )
    early = sum(one["loss"] for one in record.history[10:20]) / 10
    late = sum(one["loss"] for one in record.history[-10:]) / 10
    assert late < 0.8 * early
    assert float(run.log.detach().mean()) < 0.5


METHODS = {
    "Backprop": qs.Gradient(Backprop(), SGD),
    "Lookahead": qs.Gradient(Lookahead(), SGD),
    "ForwardMode": qs.Gradient(ForwardMode(), SGD),
    "FixedPoint": qs.Gradient(FixedPoint(), SGD),
    "Evolution": qs.Gradient(Evolution(4), SGD),
    "PersistentEvolution": qs.Gradient(PersistentEvolution(4), SGD),
    "CMAES": CMAES(),
    "PopulationBased": PopulationBased(8, every=2),
}


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", METHODS)
def test_a_carried_run_resumes_bit_for_bit(tmp_path, name):
    """Killed after step 5 of 9, in the middle of a run of length 12; the carry, its ages and generators come back."""

    def learner(seed=0):
        torch.manual_seed(seed)
        return Weighted(nn.Linear(4, 1), steps=12)

    x, y = regression(dtype=torch.float32)
    tasks = Streams(x, y, batch=4, window=1 if name == "Lookahead" else 3)
    settings = {"steps": 9, "tasks_per_step": 2, "outer": METHODS[name], "executor": "loop", "progress": False}
    settings |= {"validate_every": 4, "validation_episodes": 2}
    whole, again = learner(), learner(1)
    numbers = lambda run: [{k: v for k, v in record.items() if k != "seconds"} for record in run.history]
    want = qs.meta_train(whole, tasks, **settings)

    def track(record, step):
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        qs.meta_train(learner(), tasks, out=tmp_path, track=track, **settings)
    run = qs.meta_train(again, tasks, out=tmp_path, resume=True, **settings)
    assert numbers(run) == numbers(want)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_a_resume_that_forgets_the_carry_gives_other_numbers(tmp_path, monkeypatch):
    """The control."""
    from quickstudy.meta.carried import CarriedRuns

    x, y = regression(dtype=torch.float32)
    tasks = Streams(x, y, batch=4, window=3)
    settings = {"steps": 9, "tasks_per_step": 2, "executor": "loop", "progress": False, "validate_every": 100}
    torch.manual_seed(0)
    first = Weighted(nn.Linear(4, 1), steps=12)
    start = {name: value.clone() for name, value in first.state_dict().items()}
    want = qs.meta_train(first, tasks.train, **settings)

    def track(record, step):
        if step == 5:
            raise Killed

    again = Weighted(nn.Linear(4, 1), steps=12)
    again.load_state_dict(start)
    with pytest.raises(Killed):
        qs.meta_train(again, tasks.train, out=tmp_path, track=track, **{**settings, "validate_every": 5})
    monkeypatch.setattr(CarriedRuns, "load_state_dict", lambda self, state, where: None)
    run = qs.meta_train(again, tasks.train, out=tmp_path, resume=True, **{**settings, "validate_every": 5})
    assert [one["loss"] for one in run.history] != [one["loss"] for one in want.history]


# ---- bad input ---------------------------------------------------------------------------------------------------------


class Unused(Decays):
    def __init__(self):
        super().__init__()
        self.idle = nn.Parameter(torch.ones(2))


def test_a_phi_that_nothing_depends_on_is_named():
    tasks = Streams(*regression(), batch=4, window=2)
    with pytest.raises(errors.ArgumentError, match=r"`learner`: expected meta-parameters.*does not reach \['idle'\]"):
        qs.meta_train(Unused().double(), tasks, steps=1, tasks_per_step=1, progress=False)
    with pytest.raises(errors.ArgumentError, match=r"under Lookahead does not reach \['log'\].*Evolution"):
        qs.meta_train(
            Decays().double(),
            tasks.train.with_(window=1),
            steps=1,
            tasks_per_step=1,
            outer=qs.Gradient(Lookahead(1)),
            progress=False,
        )


def test_what_searches_refuse():
    tasks = Quadratic(dtype=torch.float64)
    options = {"steps": 1, "tasks_per_step": 1, "progress": False}
    with pytest.raises(errors.ArgumentError, match=r"`population`: expected 2 or more, got 0"):
        CMAES(population=0)
    with pytest.raises(errors.ArgumentError, match=r"`population`: expected 2 members or more, got 0"):
        PopulationBased(population=0)
    with pytest.raises(errors.ArgumentError, match=r"`share`: expected a share that replaces"):
        PopulationBased(4, share=0.1)
    with pytest.raises(
        errors.UnsupportedError, match=r"serves 4 meta-parameters, got CMAES\(most=3\).*Gradient\(Evolution\(\)\)"
    ):
        qs.meta_train(quadratic(), tasks, outer=CMAES(most=3), **options)
    with pytest.raises(errors.UnsupportedError, match=r"`clip`: expected a method that estimates a gradient"):
        qs.meta_train(quadratic(), tasks, outer=CMAES(), clip=1.0, **options)
    with pytest.raises(errors.UnsupportedError, match=r"`chunk`: expected a method that takes a derivative"):
        qs.meta_train(quadratic(), tasks, outer=qs.Gradient(Evolution()), chunk=1, **options)


def test_without_the_package(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(errors.MissingPackageError, match=r"`outer`: expected the package `cmaes`.*pip install cmaes"):
        qs.meta_train(quadratic(), Quadratic(dtype=torch.float64), steps=1, tasks_per_step=1, outer=CMAES(), progress=False)


def test_auto_chooses_an_executor_for_values():
    run = qs.meta_train(
        quadratic(), Quadratic(dtype=torch.float64), steps=2, tasks_per_step=3, outer=qs.Gradient(Evolution(8)), progress=False
    )
    assert run.executor in ("loop", "vmap")
    assert "is the fastest of loop" in run.why


@pytest.mark.parametrize("estimator", [Backprop(), Lookahead(), PersistentEvolution(4)])
def test_auto_serves_carried_runs(estimator):
    tasks = Streams(*regression(), batch=6, window=1 if isinstance(estimator, Lookahead) else 4)
    torch.manual_seed(0)
    run = Weighted(nn.Linear(4, 1), steps=12).double()
    record = qs.meta_train(
        run, tasks, steps=3, tasks_per_step=2, outer=qs.Gradient(estimator, SGD), validation_episodes=2, progress=False
    )
    assert record.executor in ("loop", "vmap", "threads")
    assert "validation" in record.history[-1]
